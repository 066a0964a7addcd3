"""What a statement says in words, for pages, summaries and terminals."""

from collections import Counter
from collections.abc import Iterable, Iterator

from orders_platform.reports.bridge import LINES
from orders_platform.reports.money import money
from orders_platform.reports.revisions import Changes
from orders_platform.reports.statement import BREAKS, CLEAN, INCOMPLETE, Break, Statement

VERDICTS = {CLEAN: "clean", BREAKS: "adds up, with open breaks", INCOMPLETE: "incomplete"}
_LINE_WORDS = {
    "placed_minor": "placed",
    "cancelled_minor": "cancelled",
    "captured_minor": "captured",
    "refunded_minor": "refunded",
    "charged_back_minor": "charged back",
    "chargebacks_reversed_minor": "charge-backs won",
    "corrections_minor": "corrections",
}
LINE_NAMES = [
    ("opening_minor", "opening", 1),
    *((line, _LINE_WORDS[line], sign) for line, sign in LINES),
    ("closing_minor", "closing", 1),
    ("residual_minor", "residual", 1),
]
"""The figures of a bridge in their order: field, word, the sign with which it counts."""

AGES = ("0", "1-6", "7-29", "30+")
"""Groups of ages, in days."""
_LATE_EVENTS_TOLD = 10
_NAMED = 10


def age_of(days: int) -> str:
    """Return the group of `AGES` that an age belongs to."""
    return AGES[0] if days < 1 else AGES[1] if days < 7 else AGES[2] if days < 30 else AGES[3]


def at_risk_by_currency(there: Iterable[Break]) -> Counter[str]:
    """Return the amounts at risk in minor units, summed by currency, foreign ones included; none is 0."""
    sums: Counter[str] = Counter()
    for each in there:
        if each.currency is not None and each.at_risk_minor:
            sums[each.currency] += each.at_risk_minor
        for currency, amount_minor in each.foreign_minor.items():
            sums[currency] += abs(amount_minor)
    return Counter({currency: amount_minor for currency, amount_minor in sums.items() if amount_minor})


def at_risk(there: Iterable[Break]) -> list[str]:
    """Return the amounts at risk, summed by currency, in words."""
    sums = at_risk_by_currency(there)
    return [money(amount_minor, currency, code=True) for currency, amount_minor in sorted(sums.items())]


def figure(number: int) -> str:
    """Return a count; nothing is a dash."""
    return f"{number:,}" if number else "-"


def fraction(share: float | None) -> str:
    """Return a share as per cent."""
    return "none" if share is None else f"{share:.1%}"


def seconds(time_s: float | None) -> str:
    """Return a duration in the unit that a person would use."""
    if time_s is None:
        return "none"
    if time_s < 120:
        return f"{time_s:.1f} s"
    return f"{time_s / 60:.1f} min" if time_s < 7200 else f"{time_s / 3600:.1f} h"


def in_a_sentence(statement: Statement) -> str:
    """Return what the verdict means for whoever books the day."""
    if statement.verdict == INCOMPLETE:
        return "Don't book this day yet."
    if statement.verdict == CLEAN:
        return "Every amount is explained, and nothing is open."
    there = [*statement.breaks.new, *statement.breaks.persisting]
    orders = len({each.order_id for each in there})
    breaks = "break is" if len(there) == 1 else "breaks are"
    return f"Every amount is explained. {len(there):,} {breaks} open, in {orders:,} order{'s' * (orders != 1)}."


def incomplete_because(statement: Statement) -> list[str]:
    """Return why a statement is incomplete, a sentence each."""
    reasons = [
        f"{currency} does not close: {money(bridge.residual_minor, currency)} are unexplained."
        for currency, bridge in statement.currencies.items()
        if bridge.residual_minor
    ]
    unread = sum(sum(partitions.values()) for partitions in statement.coverage.unread.values())
    if unread:
        reasons.append(f"{unread:,} messages that the broker received before the day's end are not matched yet.")
    suspects = statement.coverage.suspects
    if suspects:
        more = f" and {len(suspects) - _NAMED:,} more" if len(suspects) > _NAMED else ""
        named = ", ".join(suspects[:_NAMED])
        reasons.append(f"Stored figures and stored events contradict each other in {named}{more}.")
    return reasons


def told_changes(changed: Changes) -> Iterator[str]:
    """Yield what a revision changed, a sentence each: what came late, what it did to the breaks, then every figure."""
    for event in changed.late_events[:_LATE_EVENTS_TOLD]:
        yield f"late: {event.type} {event.event_id} of order {event.order_id}, which occurred at {event.occurred_at}"
    if changed.late_event_count > _LATE_EVENTS_TOLD:
        yield f"and {changed.late_event_count - _LATE_EVENTS_TOLD:,} more late events"
    for what, listed in (
        ("appeared", changed.breaks_appeared),
        ("vanished", changed.breaks_vanished),
        ("changed", changed.breaks_moved),
    ):
        if listed:
            more = f" and {len(listed) - _NAMED:,} more" if len(listed) > _NAMED else ""
            yield f"breaks that {what}: {', '.join(listed[:_NAMED])}{more}"
    for place, (was, now) in changed.figures.items():
        yield f"{place}: {was} became {now}"
