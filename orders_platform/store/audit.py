"""The stored orders held against themselves and against Kafka's messages: what the checks ask.

Each question is asked of a random sample, whose cost does not grow with the collection, or of everything.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from bson.datetime_ms import DatetimeMS
from pymongo import ASCENDING

from orders_platform.events import Event
from orders_platform.matching import Document, Rules, fold
from orders_platform.matching.any_rules import is_some_verdict
from orders_platform.matching.status import PENDING_STATUSES
from orders_platform.store import documents
from orders_platform.store.client import Store
from orders_platform.store.failures import translated
from orders_platform.store.schema import VALIDATORS

NAMED_MAX = 10
"""How many order ids a finding names."""
_BATCH = 200  # documents a round trip: the largest have 500 events


class Audit(msgspec.Struct):
    """What was found in the orders that were looked at; each list names up to `NAMED_MAX` of its kind."""

    orders: int = 0
    events: int = 0
    altered: list[str] = []
    """Figures that don't follow from the order's events, and verdicts that no settings of matching would give."""
    judged_otherwise: list[str] = []
    """Verdicts that today's settings of matching would not give, but others would."""
    repeated: list[str] = []
    """Events counted twice, or not as many as the document says."""


def audit(store: Store, rules: Rules, sample: int | None) -> Audit:
    """Fold the events of `sample` random orders, or of all, again, and compare with what is stored.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    found = Audit()
    for each in _orders(store, sample):
        found.orders += 1
        try:
            stored = documents.stored(each)
            kept = documents.folded(each)
            verdict = _verdict_on(kept, list(stored.view.events), stored.view.clock_ms, rules)
        except documents.UNREADABLE:
            # Somebody wrote past the schema: what can't be read follows from nothing.
            _name(found.altered, str(each["_id"]))
            continue
        found.events += len(each["events"])
        if verdict == "altered" or kept.order_id != each["_id"]:
            _name(found.altered, each["_id"])
        elif verdict == "judged otherwise":
            _name(found.judged_otherwise, kept.order_id)
        if not len(each["events"]) == len(stored.view.events) == kept.event_count:
            _name(found.repeated, kept.order_id)
    return found


def violations(store: Store, name: str, sample: int | None) -> tuple[int, list[str]]:
    """Return how many documents of a collection were held against its validator, and ids of those that break it.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    collection = store.database[name]
    drawn: list[Mapping[str, Any]] = [] if sample is None else [{"$sample": {"size": sample}}]
    breaking = [{"$match": {"$nor": [VALIDATORS[name]]}}, {"$project": {"_id": 1}}, {"$limit": NAMED_MAX}]
    with translated():
        total = collection.estimated_document_count()
        ids = [str(each["_id"]) for each in collection.aggregate([*drawn, *breaking])]
    return total if sample is None else min(sample, total), ids


class Lost(NamedTuple):
    """A message that is in no order and no dead letter: its coordinates, and its order, where it was accepted."""

    topic: str
    partition: int
    offset: int
    order_id: str | None


def missing(store: Store, messages: Iterable[tuple[str, int, int, Event | None]]) -> list[Lost]:
    """Return the messages that are in no order and no dead letter.

    A message is its topic, partition and offset, and its event, or None where it was rejected.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    asked = list(messages)
    ids = sorted({event.order_id for *_, event in asked if event is not None})
    held: dict[str, Mapping[Event, None]] = {}
    with translated():
        for begin in range(0, len(ids), _BATCH):
            wanted = {"_id": {"$in": ids[begin : begin + _BATCH]}}
            for each in store.orders.find(wanted, documents.STORED_FIELDS):
                # What can't be read holds nothing.
                with suppress(*documents.UNREADABLE):
                    held[each["_id"]] = documents.stored(each).view.events
        absent = [
            Lost(topic, partition, offset, None if event is None else event.order_id)
            for topic, partition, offset, event in asked
            if event is None or event not in held.get(event.order_id, {})
        ]
        return [each for each in absent if not _is_dead_letter(store, each)]


def orphans(store: Store, before_ms: int, limit: int = NAMED_MAX) -> tuple[int, list[Document]]:
    """Return how many orders have money but were never placed though their deadline was before then, and the oldest.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    wanted = {"status": "orphan", "deadline_at": {"$lt": DatetimeMS(before_ms)}, "captured_minor": {"$gt": 0}}
    with translated():
        count = store.orders.count_documents(wanted)
        oldest = list(store.orders.find(wanted, {"events": 0}, sort=[("deadline_at", ASCENDING)], limit=limit))
    return count, [documents.folded(each) for each in oldest]


def overdue(store: Store, before_ms: int) -> tuple[int, list[str]]:
    """Return how many orders still wait though their deadline was before then, and the oldest of them.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    wanted = {"status": {"$in": sorted(PENDING_STATUSES)}, "deadline_at": {"$lt": DatetimeMS(before_ms)}}
    with translated():
        count = store.orders.count_documents(wanted)
        oldest = store.orders.find(wanted, {"_id": 1}, sort=[("deadline_at", ASCENDING)], limit=NAMED_MAX)
        return count, [str(each["_id"]) for each in oldest]


def totals(store: Store) -> tuple[int, int]:
    """Return how many orders and dead letters there are, by the collections' own count.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    with translated():
        return store.orders.estimated_document_count(), store.dead_letters.estimated_document_count()


def _orders(store: Store, sample: int | None) -> Iterator[Mapping[str, Any]]:
    with translated():
        if sample is None:
            yield from store.orders.find(batch_size=_BATCH)
        else:
            yield from store.orders.aggregate([{"$sample": {"size": sample}}], batchSize=_BATCH)


def _is_dead_letter(store: Store, lost: Lost) -> bool:
    where = {"topic": lost.topic, "partition": lost.partition, "offset": lost.offset}
    return store.dead_letters.find_one(where, {"_id": 1}) is not None


def _verdict_on(kept: Document, events: list[Event], clock_ms: int, rules: Rules) -> str:
    again = fold(kept.order_id, events, clock_ms, rules, "overflow" in kept.reasons)
    if _figures(again) != _figures(kept):
        return "altered"
    if documents.judgement(again) == documents.judgement(kept):
        return "right"
    return "judged otherwise" if is_some_verdict(kept, events, clock_ms) else "altered"


def _figures(document: Document) -> tuple[Any, ...]:
    """Return what follows from the events alone, whatever the rules are."""
    d = document
    money = d.currency, d.due_minor, d.captured_minor, d.refunded_minor, d.charged_back_minor, d.net_minor
    return (*money, d.cancelled_at_ms, d.customer_id)


def _name(found: list[str], order_id: str) -> None:
    if len(found) < NAMED_MAX:
        found.append(order_id)
