"""What others read of the collections: exports, one order, counts, breaks, and what is due."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from bson.datetime_ms import DatetimeMS
from pymongo import ASCENDING

from orders_platform.matching import Document, document_json
from orders_platform.matching.breaks import counted_as
from orders_platform.matching.status import PENDING_STATUSES
from orders_platform.store import documents
from orders_platform.store.client import Store
from orders_platform.store.counters import NEWEST, newest_broken
from orders_platform.store.dead_letters import DeadLetter
from orders_platform.store.documents import Arrival
from orders_platform.store.failures import translated
from orders_platform.store.merge import Known

_BATCH = 1_000  # documents a round trip; a whole batch of the largest documents stays far below 16 MB of reply each
_WITHOUT_EVENTS = {"events": 0}
LETTERS_BY_REASON = [{"$sort": {"reason": ASCENDING}}, {"$group": {"_id": "$reason", "letters": {"$sum": 1}}}]
"""Sorted first, it goes through the index and reads no letter."""


class Order(msgspec.Struct):
    """One stored order: its figures, its events with the coordinates of their first delivery, and its history."""

    document: Document
    arrivals: list[Arrival]
    overflow: bool
    version: int
    clock_ms: int
    first_seen_at_ms: int
    updated_at_ms: int


def all_orders(store: Store, since_ms: int | None = None) -> Iterator[Document]:
    """Yield the figures of every order, sorted by order id; `since_ms`: only of those updated since then.

    Raises:
        StoreError: MongoDB could not be reached, or went away on the way.
    """
    wanted = {} if since_ms is None else {"updated_at": {"$gte": DatetimeMS(since_ms)}}
    with translated():
        cursor = store.orders.find(wanted, _WITHOUT_EVENTS, sort=[("_id", ASCENDING)], batch_size=_BATCH)
        for found in cursor:
            yield documents.folded(found)


def export_orders(store: Store, since_ms: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield what `all_orders` does in the keys of `orders fold`.

    Raises:
        StoreError: MongoDB could not be reached, or went away on the way.
    """
    yield from map(document_json, all_orders(store, since_ms))


def order(store: Store, order_id: str) -> Order | None:
    """Return one order with its events in order of arrival, or None if there is none.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    with translated():
        found = store.orders.find_one({"_id": {"$eq": order_id}})
    if found is None:
        return None
    return Order(
        documents.folded(found),
        documents.arrivals(found),
        "overflow" in found["reasons"],
        int(found["version"]),
        int(found["clock"]),
        int(found["first_seen_at"]),
        int(found["updated_at"]),
    )


def export_dead_letters(store: Store, since_ms: int | None = None) -> Iterator[DeadLetter]:
    """Yield every dead letter, sorted by topic, partition and offset; `since_ms`: only those written since then.

    Raises:
        StoreError: MongoDB could not be reached, or went away on the way.
    """
    by_coordinates = [("topic", ASCENDING), ("partition", ASCENDING), ("offset", ASCENDING)]
    wanted = {} if since_ms is None else {"first_seen_at": {"$gte": DatetimeMS(since_ms)}}
    with translated():
        for found in store.dead_letters.find(wanted, sort=by_coordinates, batch_size=_BATCH):
            yield _letter(found)


def dead_letter_counts(store: Store) -> dict[str, int]:
    """Return how many dead letters there are by reason.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    with translated():
        groups = list(store.dead_letters.aggregate(LETTERS_BY_REASON))
    return {group["_id"]: int(group["letters"]) for group in groups}


def newest_breaks(store: Store) -> list[tuple[Document, int]]:
    """Return the orders that broke last and still do, newest first, each with when it broke (UTC milliseconds).

    Raises:
        StoreError: MongoDB could not be reached.
    """
    broken, breaks = newest_broken(store), list[tuple[Document, int]]()
    for start in range(0, len(broken), NEWEST):
        portion = broken[start : start + NEWEST]
        wanted = {"_id": {"$in": [each.order_id for each in portion]}, "outcome": "break"}
        with translated():
            found = {each["_id"]: each for each in store.orders.find(wanted, _WITHOUT_EVENTS)}
        for order_id, at_ms in portion:
            with suppress(KeyError, *documents.UNREADABLE):  # settled since, or somebody wrote past the schema
                breaks.append((documents.folded(found[order_id]), at_ms))
        if len(breaks) >= NEWEST:
            break
    return breaks[:NEWEST]


def due(store: Store, now_ms: int, limit: int) -> list[tuple[str, Known]]:
    """Return up to `limit` orders that wait for something and whose deadline lies before `now_ms`, oldest first.

    A document that can't be read is left out: the clock changes nothing about it.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    wanted = {"status": {"$in": sorted(PENDING_STATUSES)}, "deadline_at": {"$lt": DatetimeMS(now_ms)}}
    with translated():
        found = list(store.orders.find(wanted, sort=[("deadline_at", ASCENDING)], limit=limit))
    known = ((each["_id"], _known(each)) for each in found)
    return [(order_id, its) for order_id, its in known if its is not None]


def _known(found: Mapping[str, Any]) -> Known | None:
    try:
        folded = documents.folded(found)
        figures = documents.figures(folded)
        read = documents.stored(found)
    except documents.UNREADABLE:
        return None
    return Known(read.version, read.view, True, documents.fingerprint(figures), counted_as(folded))


def _letter(found: Mapping[str, Any]) -> DeadLetter:
    time = found["broker_time"]
    return DeadLetter(
        found["topic"],
        int(found["partition"]),
        int(found["offset"]),
        found["reason"],
        found["field"],
        bytes(found["raw"]),
        None if time is None else int(time),
    )
