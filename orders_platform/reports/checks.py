"""What is asked of kept statements and of the breaks: what counts as right, and whom it names if it is not."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import msgspec

from orders_platform.errors import OrdersError
from orders_platform.matching.status import BREAK_REASONS, BREAK_STATUSES
from orders_platform.reports.bridge import Bridge
from orders_platform.reports.money import money
from orders_platform.reports.statement import INCOMPLETE, Statement
from orders_platform.reports.words import incomplete_because
from orders_platform.store import breaks, statements
from orders_platform.store.client import Store

LATEST_DAYS = 31
"""Days that are looked at where none are named; their breaks are not read for it."""
_NAMED = 10
_MAY_BE_NEGATIVE = {"duplicate_payment"}
"""Captured twice, and then more than the second paid back: what is left is less than what is due."""


class Finding(msgspec.Struct, frozen=True):
    """What a check found: in a sentence, and in figures. `grave` failures are errors, others warnings."""

    passed: bool
    text: str
    figures: dict[str, Any] = {}
    grave: bool = True


class Asked(msgspec.Struct, frozen=True):
    """What one run of checks looks at: the days it made, if it made any, else the latest; or everything."""

    store: Store
    days: Sequence[str] | None = None
    everything: bool = False

    def at_most(self) -> int | None:
        """Return how many of the latest days are looked at, None for all of them."""
        return None if self.everything or self.days is not None else LATEST_DAYS


class Check(msgspec.Struct, frozen=True):
    """A check, what it promises, and how it is answered; a `blocking` one keeps what comes after it from being made."""

    name: str
    promise: str
    ask: Callable[[Asked], Finding]
    blocking: bool = False


def answer(check: Check, asked: Asked) -> Finding:
    """Ask one check. A service that is away is a failure, not an error, and so is a statement that can't be read."""
    try:
        return check.ask(asked)
    except OrdersError as error:
        return Finding(False, str(error))
    except msgspec.ValidationError as error:
        return Finding(False, f"A kept statement is not one any more: {error}.")


def _closes(asked: Asked) -> Finding:
    found = _heads(asked)
    # A day that goes on has messages on their way; whoever made it wants to know, nobody else.
    looked_at = [each for each in found if asked.days is not None or not each.provisional]
    wrong = [each for each in looked_at if each.verdict == INCOMPLETE]
    residuals: Counter[str] = Counter()
    for each in looked_at:
        for currency, bridge in each.currencies.items():
            residuals[f"residual_{currency}_minor"] += abs(bridge.residual_minor)
    suspects = sorted({order_id for each in wrong for order_id in each.coverage.suspects})
    figures = {"statements": len(looked_at), "incomplete": len(wrong), "orders": suspects[:_NAMED]} | dict(residuals)
    if wrong:
        reasons = [f"{each.date}: {' '.join(incomplete_because(each))}" for each in wrong]
        return Finding(False, f"{' '.join(reasons[:_NAMED])}{_more(len(reasons))}", figures)
    missing = sorted(set(asked.days or ()) - {each.date for each in found})
    if missing:
        return Finding(False, f"There is no statement of {_named(missing)}.", figures)
    return Finding(True, f"{_count(len(looked_at), 'statement')} looked at: everything adds up.", figures)


def _opens_as_closed(asked: Asked) -> Finding:
    named = asked.days
    if named is not None:
        named = sorted({*named, *(_day_before(each) for each in named)})
    by_date = {each.date: each for each in _heads(Asked(asked.store, named, asked.everything))}
    wrong: list[str] = []
    compared = 0
    for each in by_date.values():
        before = by_date.get(_day_before(each.date))
        if before is None or (before.settings, before.time_zone) != (each.settings, each.time_zone):
            continue
        compared += 1
        wrong += [
            f"{before.date} closed with {money(closing, code, code=True)}, {each.date} opens with "
            f"{money(opening, code)}."
            for code in sorted(before.currencies.keys() | each.currencies.keys())
            if (closing := before.currencies.get(code, Bridge()).closing_minor)
            != (opening := each.currencies.get(code, Bridge()).opening_minor)
        ]
    figures = {"compared": compared, "different": len(wrong)}
    if wrong:
        text = f"{' '.join(wrong[:_NAMED])}{_more(len(wrong))} Events came late: make the earlier day again."
        return Finding(False, text, figures, grave=False)
    return Finding(True, f"{_count(compared, 'day')} compared: each opens as the day before closed.", figures)


def _unaltered(asked: Asked) -> Finding:
    days = asked.days
    if days is None and not asked.everything:
        last = statements.last_date(asked.store)
        days = [] if last is None else [last]
    names = statements.altered(asked.store, days)
    if names:
        text = f"Not what was kept: {_named(names)}. Restore `statements` and `statement_breaks` from a backup."
        return Finding(False, text, {"altered": names[:_NAMED]})
    return Finding(True, "The statements are what was kept.", {"altered": []})


def _ids_stable(asked: Asked) -> Finding:
    looked_at, wrong = 0, []
    for statement in _statements(asked):
        lists = statement.breaks
        listed = [*lists.new, *lists.persisting, *lists.resolved]
        looked_at += len(listed)
        counted = Counter(each.id for each in listed)
        wrong += [f"{name} on {statement.date}, {count} times" for name, count in counted.items() if count > 1]
        wrong += [
            f"{each.id} on {statement.date}"
            for each in listed
            if each.id != f"{each.order_id}:{each.kind}" or each.kind not in BREAK_STATUSES | BREAK_REASONS
        ]
    figures = {"breaks": looked_at, "wrong": wrong[:_NAMED]}
    if wrong:
        return Finding(False, f"Ids that are not order and kind, or not unique: {_named(wrong)}.", figures)
    return Finding(True, f"{_count(looked_at, 'break')} looked at: each has an id of its own.", figures)


def _at_risk_not_negative(asked: Asked) -> Finding:
    looked_at, wrong = 0, []
    for statement in _statements(asked):
        there = [*statement.breaks.new, *statement.breaks.persisting]
        looked_at += len(there)
        wrong += [
            f"{each.id} on {statement.date}"
            for each in there
            if each.at_risk_minor < 0 and each.kind not in _MAY_BE_NEGATIVE
        ]
    figures = {"breaks": looked_at, "negative": wrong[:_NAMED]}
    if wrong:
        return Finding(False, f"Less than nothing is at risk in {_named(wrong)}.", figures)
    return Finding(True, f"{_count(looked_at, 'open break')} looked at: no amount at risk is negative.", figures)


def _open_as_stated(asked: Asked) -> Finding:
    last = statements.last_date(asked.store)
    stated: dict[str, tuple[int, str]] = {}
    if last is not None:
        for statement in _statements(Asked(asked.store, [last])):
            there = [*statement.breaks.new, *statement.breaks.persisting]
            stated = {each.id: (each.at_risk_minor, each.opened_on.isoformat()) for each in there}
    recorded = {
        each.id: (each.at_risk_minor, each.opened_on) for each in breaks.all_breaks(asked.store, only_open=True)
    }
    wrong = sorted(name for name in stated.keys() | recorded.keys() if stated.get(name) != recorded.get(name))
    figures = {"open": len(recorded), "different": wrong[:_NAMED]}
    if wrong:
        text = f"The open breaks are not those of the last statement, {last}: {_named(wrong)}. Make that day again."
        return Finding(False, text, figures)
    return Finding(True, f"{_count(len(recorded), 'open break')}, as the last statement says.", figures)


OF_STATEMENTS = (
    Check(
        "closes",
        "Every bridge closes to 0 in every currency, everything was read, no stored order contradicts itself.",
        _closes,
        blocking=True,
    ),
    Check(
        "opens_as_closed",
        "A day opens with what the day before closed with. Where late events came, the earlier day wants making again.",
        _opens_as_closed,
    ),
    Check("unaltered", "Kept statements are as they were kept, and no revision is gone.", _unaltered),
)
OF_BREAKS = (
    Check("ids_stable", "A break's id is order and kind, and is there once.", _ids_stable),
    Check(
        "at_risk_not_negative",
        "No break puts less than nothing at risk, but a duplicate payment that was paid back.",
        _at_risk_not_negative,
    ),
    Check("open_as_stated", "The collection's open breaks are those of the last statement.", _open_as_stated),
)


def _heads(asked: Asked) -> list[Statement]:
    """Return the statements that are looked at, their breaks left out."""
    left_out: dict[str, list[Any]] = {name: [] for name in statements.LISTS}
    found = statements.heads(asked.store, asked.days, at_most=asked.at_most())
    return [msgspec.convert(each | {"breaks": left_out}, Statement) for each in found]


def _statements(asked: Asked) -> list[Statement]:
    """Return the statements of the days that were named, or the last one, or all."""
    days = asked.days
    if days is None:
        days = [each.date for each in _heads(asked)][slice(None) if asked.everything else slice(-1, None)]
    kept = [statements.latest(asked.store, each) for each in days]
    return [msgspec.convert(each.statement, Statement) for each in kept if each is not None]


def _day_before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _named(names: Sequence[str]) -> str:
    return f"{', '.join(names[:_NAMED])}{_more(len(names))}"


def _more(count: int) -> str:
    return f" and {count - _NAMED:,} more" if count > _NAMED else ""
