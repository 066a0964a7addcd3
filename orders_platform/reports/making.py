"""Makes a day's statement from what is stored and from how far the topics are read, and keeps it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import msgspec

from orders_platform.errors import OrdersError
from orders_platform.events import Event
from orders_platform.matching import Document, Rules, fold
from orders_platform.matching.any_rules import is_some_verdict
from orders_platform.reports.days import Day
from orders_platform.reports.revisions import Changes, LateEvent, changes, revise
from orders_platform.reports.standing import Told
from orders_platform.reports.statement import Offsets, Quiet, Statement, Tally, as_json
from orders_platform.store import breaks, day, statements
from orders_platform.store.client import Store
from orders_platform.store.day import Reading, StoredOrder
from orders_platform.store.documents import UNREADABLE, judgement
from orders_platform.store.lease import server_time_ms
from orders_platform.streams.offsets import offsets_for_time
from orders_platform.times import format_ms

# How far the clock of a writer may be from MongoDB's, and how long a merge may take, when late events are looked for.
_TOUCHED_MARGIN_MS = 300_000
_FIGURES = (
    "currency",
    "due_minor",
    "captured_minor",
    "refunded_minor",
    "charged_back_minor",
    "net_minor",
    "cancelled_at_ms",
    "event_count",
    "customer_id",
)
"""What follows from the events alone: neither the clock nor the settings of matching can change it."""


class Broker(msgspec.Struct, frozen=True):
    """Where the messages come from."""

    bootstrap_servers: str
    client: Mapping[str, str]
    topics: tuple[str, ...]


class Made(msgspec.Struct, frozen=True):
    """A day's statement as it is kept, how it differs from the revision before, and whether it was kept just now."""

    statement: Statement
    changes: Changes | None
    is_new: bool


def make_day(store: Store, broker: Broker, of: Day, rules: Rules, *, force: bool = False) -> Made:
    """Make the statement of a day, and keep it if it says other than the kept one.

    `force` makes a revision also where the kept one was made with other settings.

    Raises:
        OrdersError: the kept statement was made with other settings.
        ServiceUnavailable: Kafka can't be reached.
        StoreError: MongoDB refused or could not be reached; making it again is harmless.
    """
    kept = statements.latest(store, of.date.isoformat())
    before = None if kept is None else msgspec.convert(kept.statement, Statement)
    _check_settings(before, of, rules, force=force)
    # Asked before anything is read: what the broker receives afterwards is not missing yet.
    ends = offsets_for_time(broker.bootstrap_servers, broker.client, broker.topics, of.end_ms)
    read_at_ms = server_time_ms(store)
    with day.reading(store) as reading:
        made = _statement(reading, of, rules, ends, provisional=read_at_ms < of.end_ms)
        revised = revise(made, before)
        moved = None
        if revised is not None and kept is not None and before is not None:
            touched = reading.touched(kept.read_at_ms - _TOUCHED_MARGIN_MS, of.end_ms)
            moved = changes(before, revised, list(_late_events(touched, before.coverage.offsets, of.end_ms)))
    if revised is not None:
        statements.keep(store, as_json(revised), read_at_ms, None if moved is None else msgspec.to_builtins(moved))
    elif kept is not None and kept.changes is not None:
        moved = msgspec.convert(kept.changes, Changes)
    current = revised or before or made
    _follow(store, current)
    return Made(current, moved, revised is not None)


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


def _statement(
    reading: Reading, of: Day, rules: Rules, ends: Mapping[str, Mapping[int, int]], *, provisional: bool
) -> Statement:
    tally = Tally(of, rules)
    quiet, odd = reading.settled(of.start_ms, rules.tolerance_minor)
    for each in quiet:
        tally.add_quiet(Quiet(*each))
    for part in (reading.moving(of.start_ms, of.end_ms), reading.unsettled(of.start_ms), reading.named(odd)):
        _add(tally, part, rules)
    for order_id in reading.unreadable:
        tally.suspect(order_id)
    offsets = reading.offsets()
    return tally.statement(
        provisional=provisional,
        offsets=offsets,
        unread=_unread(offsets, ends),
        dead_letters=reading.dead_letters(of.start_ms, of.end_ms),
    )


def _add(tally: Tally, orders: Iterable[StoredOrder], rules: Rules) -> None:
    for order in orders:
        events = [arrival.event for arrival in order.arrivals]
        document = order.document
        overflow = "overflow" in document.reasons
        try:
            contradicts = _contradicts(document, events, order.clock_ms, rules)
        except UNREADABLE:
            tally.suspect(document.order_id)
            continue
        tally.add(Told(document.order_id, events, overflow))
        if contradicts:
            tally.suspect(document.order_id)


def _contradicts(stored: Document, events: Sequence[Event], clock_ms: int, rules: Rules) -> bool:
    folded = fold(stored.order_id, events, clock_ms, rules, "overflow" in stored.reasons)
    if any(getattr(stored, name) != getattr(folded, name) for name in _FIGURES):
        return True
    # Other settings of matching may have judged it, and the statement judges anew.
    return judgement(stored) != judgement(folded) and not is_some_verdict(stored, events, clock_ms)


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
