"""Makes a day's statement from what is stored and from how far the topics are read, and keeps it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

import msgspec

from orders_platform.errors import OrdersError
from orders_platform.matching import Rules
from orders_platform.reports.carrying import Yesterday
from orders_platform.reports.counting import Counted, Counting, count
from orders_platform.reports.days import Day, date_at
from orders_platform.reports.revisions import Changes, LateEvent, changes, revise
from orders_platform.reports.statement import Offsets, Statement, as_json
from orders_platform.store import breaks, carries, day, statements
from orders_platform.store.client import Store
from orders_platform.store.day import Reading, StoredOrder
from orders_platform.store.statements import Kept
from orders_platform.streams.offsets import offsets_for_time
from orders_platform.times import format_ms

# How far the clock of a writer may be from MongoDB's, and how long a merge may take, when late events are looked for.
_TOUCHED_MARGIN_MS = 300_000


class Broker(msgspec.Struct, frozen=True):
    """Where the messages come from."""

    bootstrap_servers: str
    client: Mapping[str, str]
    topics: tuple[str, ...]


class Made(msgspec.Struct, frozen=True):
    """A day's statement as it is kept, how it differs from the revision before, and whether it was kept just now.

    `counted_anew` says why all orders were gone through; it is empty where what the day before left was built upon.
    """

    statement: Statement
    changes: Changes | None
    is_new: bool
    counted_anew: str = ""


class _Asked(NamedTuple):
    """A day to make, its latest kept statement, and the topics' ends that it must have been read to."""

    of: Day
    kept: Kept | None
    before: Statement | None
    ends: Mapping[str, Mapping[int, int]]


CountDays = Callable[[Reading, Counting, Sequence[Day]], Sequence[Counted]]
"""Counts all orders of consecutive days as of the reading's moment."""


def make_day(
    store: Store, broker: Broker, of: Day, rules: Rules, *, force: bool = False, most_orders: int | None = None
) -> Made:
    """Make the statement of a day, and keep it if it says other than the kept one.

    Builds upon what the statement of the day before left, if it can, and leaves the same to the next day. `force` makes
    it from all orders, and a revision also where the kept one was made with other settings.

    Raises:
        TooManyError: it can only be made from all orders, and more than `most_orders` are stored: `make_days`.
        OrdersError: the kept statement was made with other settings.
        ServiceUnavailable: Kafka can't be reached.
        StoreError: MongoDB refused or could not be reached; making it again is harmless.
    """
    asked = _asked(store, broker, of, rules, force=force)
    yesterday = yesterday_of(store, of)
    read_at_ms = day.time_of_reading_ms(store)
    provisional = read_at_ms < of.end_ms
    with day.reading(store) as reading:
        counted = count(
            store, reading, of, rules, yesterday, provisional=provisional, force=force, most_orders=most_orders
        )
        return _keep(store, reading, asked, counted, read_at_ms)


def make_days(
    store: Store, broker: Broker, days: Sequence[Day], rules: Rules, count_days: CountDays, *, force: bool = False
) -> list[Made]:
    """Make the statements of consecutive days, the oldest first, from all orders at once; as `make_day` otherwise.

    Raises:
        OrdersError, ServiceUnavailable, StoreError: as there. What was kept by then stays.
    """
    asked = [_asked(store, broker, of, rules, force=force) for of in days]
    read_at_ms = day.time_of_reading_ms(store)
    last = days[-1]
    with day.reading(store) as reading:
        counting = Counting(store, reading, last, rules, provisional=read_at_ms < last.end_ms)
        found = count_days(reading, counting, days)
        return [_keep(store, reading, *each, read_at_ms) for each in zip(asked, found, strict=True)]


def _asked(store: Store, broker: Broker, of: Day, rules: Rules, *, force: bool) -> _Asked:
    kept = statements.latest(store, of.date.isoformat())
    before = None if kept is None else msgspec.convert(kept.statement, Statement)
    _check_settings(before, of, rules, force=force)
    # Asked before anything is read: what the broker receives afterwards is not missing yet.
    ends = offsets_for_time(broker.bootstrap_servers, broker.client, broker.topics, of.end_ms)
    return _Asked(of, kept, before, ends)


def _keep(store: Store, reading: Reading, asked: _Asked, counted: Counted, read_at_ms: int) -> Made:
    of, kept, before, ends = asked
    made = _statement(reading, counted, of, ends, provisional=read_at_ms < of.end_ms)
    revised, moved = revise(made, before), None
    if revised is not None:
        if kept is not None and before is not None:
            touched = reading.touched(kept.read_at_ms - _TOUCHED_MARGIN_MS, of.end_ms)
            moved = changes(before, revised, list(_late_events(touched, before.coverage.offsets, of.end_ms)))
        statements.keep(store, as_json(revised), read_at_ms, None if moved is None else msgspec.to_builtins(moved))
    elif kept is not None and kept.changes is not None:
        moved = msgspec.convert(kept.changes, Changes)
    # Not before the statement is kept: the next day takes its breaks from there. What suspects add up to is not left.
    if counted.left is not None and not made.coverage.suspects:
        carries.keep(store, counted.left)
    current = revised or before or made
    _follow(store, current)
    return Made(current, moved, revised is not None, counted.anew)


def earlier_match_rates(store: Store, of: date, days: int) -> list[tuple[str, float | None]]:
    """Return the match rate of the days before, the oldest first, as their kept statements say; None where there is
    none.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    dates = [(of - timedelta(days=back)).isoformat() for back in range(days, 0, -1)]
    found = statements.match_rates(store, dates)
    return [(each, found.get(each)) for each in dates]


def _check_settings(before: Statement | None, of: Day, rules: Rules, *, force: bool) -> None:
    if before is None or force:
        return
    if before.settings != msgspec.to_builtins(rules) or before.time_zone != of.time_zone:
        raise OrdersError(
            f"The statement of {of.date} was made with another time zone or other settings of matching.",
            "Set them as they were, or make a revision with the present ones by --force.",
        )


def yesterday_of(store: Store, of: Day) -> Yesterday:
    """Return what the day before left.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    date = date_at(of.start_ms - 1, of.time_zone).isoformat()
    # In this order: the statement must know all that was counted in the carry.
    carry = carries.of_day(store, date)
    if carry is None or statements.altered(store, [date]):
        return Yesterday(carry, None)
    kept = statements.latest(store, date)
    return Yesterday(carry, None if kept is None else msgspec.convert(kept.statement, Statement))


def _statement(
    reading: Reading, counted: Counted, of: Day, ends: Mapping[str, Mapping[int, int]], *, provisional: bool
) -> Statement:
    return counted.tally.statement(
        provisional=provisional,
        offsets=counted.offsets,
        unread=_unread(counted.offsets, ends),
        dead_letters=reading.dead_letters(of.start_ms, of.end_ms),
        covered=counted.covered,
    )


def _unread(offsets: Offsets, ends: Mapping[str, Mapping[int, int]]) -> Offsets:
    """Return how many messages from before the day's end are not matched, where there are any."""
    missing = {
        topic: {
            str(at): end - offsets.get(topic, {}).get(str(at), 0)
            for at, end in sorted(partitions.items())
            if end > offsets.get(topic, {}).get(str(at), 0)
        }
        for topic, partitions in sorted(ends.items())
    }
    return {topic: partitions for topic, partitions in missing.items() if partitions}


def _late_events(touched: Iterable[StoredOrder], known: Offsets, end_ms: int) -> Iterator[LateEvent]:
    """Yield the events from before the day's end that lay behind what the revision before had read."""
    for order in touched:
        for event, topic, partition, offset in order.arrivals:
            is_known = 0 <= offset < known.get(topic, {}).get(str(partition), 0)
            if event.occurred_at_ms < end_ms and not is_known:
                yield LateEvent(event.event_id, event.order_id, event.type, format_ms(event.occurred_at_ms))


def _follow(store: Store, statement: Statement) -> None:
    """Let the collection of breaks follow a statement, if there is none of a later day."""
    if statements.last_date(store) == statement.date:
        listed: dict[str, Any] = as_json(statement)["breaks"]
        breaks.record(store, statement.date, listed["new"] + listed["persisting"], listed["resolved"])
