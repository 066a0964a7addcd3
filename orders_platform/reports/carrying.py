"""A day's statement from what the statement of the day before left, so that nothing but the day itself is read.

A carry holds the totals as of the day's start, by the events that were merged before a time. Whatever is not in them
and matters to the day leaves a trace that an index finds: an event that occurred on the day; an event that was merged
since and occurred near the day's start, or came late; a deadline on the day, whose event occurred a payment window
before. All other orders stand at both edges of the day as they were counted, and their breaks are those that the day
before listed. For those that are read, what was counted is taken out of the totals and what they are is put in.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from orders_platform.matching import Rules
from orders_platform.reports.days import Day
from orders_platform.reports.standing import Standing, Told, standing
from orders_platform.reports.statement import Statement
from orders_platform.reports.totals import Totals, totals
from orders_platform.store.carries import Carry
from orders_platform.store.day import StoredOrder
from orders_platform.store.plan import LATE_MS

SETTLING_MS = 180_000
"""Twice as long as MongoDB lets a transaction live (60 s and its half): an event merged so long before a snapshot, by
cluster time, is in it."""
_LATE_LEAST = 1_000
_LATE_SHARE = 30
"""Folding an order costs about as much as 30 orders in a pass of MongoDB over all of them."""


class NotCountedError(Exception):
    """The stored orders contradict what was carried: it can't be built upon."""


class Yesterday(NamedTuple):
    """What the day before left: its carry, and its statement, if it is as it was kept. That was read after the carry,
    so it knows all that was counted there."""

    carry: Carry | None
    statement: Statement | None


class Present(NamedTuple):
    """What a carry is held against: the collection of orders, the snapshot's cluster time, how far the topics are read,
    how many orders are stored, and how many of them had late events merged since the carry, up to some more than too
    many."""

    collection: bytes
    as_of_ms: int
    offsets: Mapping[str, Mapping[str, int]]
    stored: int
    late: int


def late_most(stored: int) -> int:
    """Return how many orders with late events are cheaper to read than all that are stored."""
    return max(_LATE_LEAST, stored // _LATE_SHARE)


def why_anew(yesterday: Yesterday, of: Day, rules: Rules, present: Present, *, force: bool) -> str | None:
    """Return why a day must be counted from all orders, or None if what the day before left can be built upon."""
    carry, before = yesterday
    settings = msgspec.to_builtins(rules)
    reasons = [(force, "it was asked for")]
    if carry is None:
        reasons.append((True, "the day before left nothing to build upon"))
    elif before is None:
        reasons.append((True, "the statement of the day before is gone or altered"))
    else:
        as_it_was = carry.edge_ms == of.start_ms and carry.time_zone == before.time_zone == of.time_zone
        reasons += [
            (not as_it_was or carry.settings != settings or before.settings != settings, "the settings were others"),
            (bool(before.coverage.suspects), "the statement of the day before names suspects"),
            (carry.collection != present.collection, "the collection of orders is another"),
            (present.as_of_ms < carry.as_of_ms, "MongoDB's time went back"),
            (_went_back(carry.offsets, present.offsets), "the topics are read from before where they were"),
            (present.late > late_most(present.stored), "too many events came late"),
        ]
    return next((reason for holds, reason in reasons if holds), None)


def spans(of: Day, rules: Rules, carry: Carry) -> list[tuple[int, int]]:
    """Return when the events occurred that make an order matter to a day (UTC ms, ends not included): on it, or merged
    since the carry and not late; and those whose deadline may lie on it."""
    on_it = (min(of.start_ms, carry.before_ms - LATE_MS), of.end_ms)
    due = (of.start_ms - rules.payment_window_ms, of.end_ms - rules.payment_window_ms)
    if due[1] < on_it[0]:
        return [on_it, due]
    return [(min(due[0], on_it[0]), of.end_ms)]


def as_counted(order: StoredOrder, edge_ms: int, before_ms: int, now: Standing | None, rules: Rules) -> Standing | None:
    """Return an order as of an edge by the events alone that were merged before a time; `now` is it by all of them."""
    if not any(
        merged_ms is not None and merged_ms >= before_ms and arrival.event.occurred_at_ms < edge_ms
        for arrival, merged_ms in zip(order.arrivals, order.merged_ms, strict=True)
    ):
        return now
    events = [
        arrival.event
        for arrival, merged_ms in zip(order.arrivals, order.merged_ms, strict=True)
        if merged_ms is None or merged_ms < before_ms
    ]
    return standing(Told(order.document.order_id, events), edge_ms, rules)


def check(order: StoredOrder, carry: Carry) -> None:
    """Check that what an order holds besides what was counted came after that.

    Raises:
        NotCountedError: it has an event that should have been counted: its document was made anew, or messages that
            were refused are accepted now.
    """
    for (_, topic, partition, offset), merged_ms in zip(order.arrivals, order.merged_ms, strict=True):
        if merged_ms is None or merged_ms < carry.before_ms:
            continue
        was_read = merged_ms > carry.as_of_ms and offset < carry.offsets.get(topic, {}).get(str(partition), 0)
        if offset < 0 or was_read:
            raise NotCountedError


class Carrying:
    """The totals of a day, on the way from those of the day before to those of the next."""

    def __init__(self, of: Day, rules: Rules, carry: Carry, before_ms: int) -> None:
        """Begin with a carry; what is left to the next day is by the events merged before `before_ms`."""
        self._of, self._rules, self._carry, self._before_ms = of, rules, carry, before_ms
        carried = (carry.orders_by_status, carry.orders_by_currency, carry.position_minor)
        self.rest, self.next = totals(*carried), totals(*carried)

    def add(self, order: StoredOrder, opening: Standing | None, closing: Standing | None) -> None:
        """Take one order, as it stands at both edges, out of the rest, and to the next day."""
        was = as_counted(order, self._of.start_ms, self._carry.before_ms, opening, self._rules)
        self.rest.add(was, -1)
        self.next.add(was, -1)
        self.next.add(as_counted(order, self._of.end_ms, self._before_ms, closing, self._rules))


def carry_of(
    left: Totals,
    of: Day,
    rules: Rules,
    before_ms: int,
    as_of_ms: int,
    collection: bytes,
    offsets: dict[str, dict[str, int]],
) -> Carry:
    """Return what a day leaves to the next."""
    return Carry(
        date=of.date.isoformat(),
        edge_ms=of.end_ms,
        time_zone=of.time_zone,
        settings=msgspec.to_builtins(rules),
        before_ms=before_ms,
        as_of_ms=as_of_ms,
        collection=collection,
        offsets=offsets,
        orders_by_status={each: count for each, count in left.orders_by_status.items() if count},
        orders_by_currency={each: count for each, count in left.orders_by_currency.items() if count},
        position_minor={each: left.position_minor[each] for each, count in left.orders_by_currency.items() if count},
    )


def _went_back(carried: Mapping[str, Mapping[str, int]], now: Mapping[str, Mapping[str, int]]) -> bool:
    return any(now.get(topic, {}).get(at, 0) < offset for topic, its in carried.items() for at, offset in its.items())
