"""The breaks of an order as a statement lists them, and since when each lasts (daily statements, section 3)."""

from datetime import date

import msgspec

from orders_platform.matching import Document, Rules
from orders_platform.matching.breaks import at_risk_minor, break_kinds
from orders_platform.reports.days import Day, date_at, day_of
from orders_platform.reports.standing import Standing, Told, foreign_minor, standing


class Break(msgspec.Struct, frozen=True):
    """One break as a statement lists it. Amounts are in minor units: `at_risk_minor` of `currency`, `foreign_minor` by
    currency, which only a `currency_mismatch` has."""

    id: str
    kind: str
    order_id: str
    currency: str | None
    at_risk_minor: int
    opened_on: date
    age_days: int
    foreign_minor: dict[str, int]


def breaks_at(order: Told, there: Standing, seen_on: date, day: Day, rules: Rules) -> list[Break]:
    """Return the breaks that an order has as of the end of the business day `seen_on`, as the statement of `day`, that
    day or the next, lists them. The age is in days up to `day`."""
    kinds = break_kinds(there.document)
    if not kinds:
        return []
    opened = _opened_on(order, there.document, seen_on, day.time_zone, rules)
    return [
        Break(
            f"{order.order_id}:{kind}",
            kind,
            order.order_id,
            there.document.currency,
            at_risk_minor(kind, there.document),
            opened[kind],
            (day.date - opened[kind]).days,
            foreign_minor(there) if kind == "currency_mismatch" else {},
        )
        for kind in kinds
    ]


def _opened_on(order: Told, now: Document, seen_on: date, time_zone: str, rules: Rules) -> dict[str, date]:
    """Return for each kind of `now`, the document at the end of `seen_on`, the first business day at whose end it was
    there without a gap."""
    lasting = set(break_kinds(now))
    opened = dict.fromkeys(lasting, seen_on)
    for when, found in reversed(_turns(order, now, seen_on, time_zone, rules)):
        lasting &= found
        if not lasting:
            break
        for kind in lasting:
            opened[kind] = when
    return opened


def _turns(order: Told, now: Document, last: date, time_zone: str, rules: Rules) -> list[tuple[date, set[str]]]:
    """Return the business days up to `last` at whose end an order may be other than at the end of the day before, in
    their order, with the kinds of its breaks then: days of its events, and of the deadlines that these make."""
    end_ms = day_of(last, time_zone).end_ms
    times_ms = {event.occurred_at_ms for event in order.events if event.occurred_at_ms < end_ms}
    final_ms = max(times_ms)
    if now.deadline_at_ms < end_ms:
        final_ms = max(final_ms, now.deadline_at_ms)
    # Since the last turn nothing has moved, so then it was as it is now.
    found = {date_at(final_ms, time_zone): set(break_kinds(now))}
    days = {date_at(time_ms, time_zone) for time_ms in times_ms}
    while missing := sorted(days - found.keys()):
        for when in missing:
            there = standing(order, day_of(when, time_zone).end_ms, rules)
            found[when] = set(break_kinds(there.document)) if there else set()
            if there is not None and there.document.deadline_at_ms < end_ms:
                days.add(date_at(there.document.deadline_at_ms, time_zone))
    return sorted(found.items())
