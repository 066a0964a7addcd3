"""One bucket's messages -> merged documents, dead letters and a new hot cache: the matcher's one function."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from orders_platform.events import DAMAGED_ORDER, TOO_MANY_EVENTS, Event, Rejection, decode_many
from orders_platform.matcher.hot import HotOrders
from orders_platform.matching import Rules
from orders_platform.store import dead_letters
from orders_platform.store.client import Store
from orders_platform.store.dead_letters import DeadLetter
from orders_platform.store.merge import Arrival, Change, Merged, merge


class Messages(NamedTuple):
    """Kafka messages as columns of one length: raw values, coordinates, and the broker's time in UTC milliseconds."""

    values: Sequence[bytes | None]
    topics: Sequence[str]
    partitions: Sequence[int]
    offsets: Sequence[int]
    times_ms: Sequence[int]


WAIT_BOUNDS_MS = (100, 250, 500, 1_000, 2_000, 3_000, 5_000, 10_000, 30_000, 60_000, 300_000, 3_600_000)
"""Upper bounds of the histogram of waits; what waited for longer is counted behind the last."""


class Counts(msgspec.Struct):
    """What became of one bucket's messages in one batch, and where the time went (milliseconds).

    `waits` counts the messages by how long they waited, from the broker's receipt to the durable write: one count for
    each of `WAIT_BOUNDS_MS` and one for longer ones; empty: nothing was read. `waited_ms` is their sum.
    """

    messages: int = 0
    events: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    conflicts: int = 0
    dead_letters: int = 0
    oldest_time_ms: int | None = None
    waits: list[int] = []
    waited_ms: int = 0
    decode_ms: float = 0.0
    write_ms: float = 0.0


def add(*counts: Counts) -> Counts:
    """Return the sum of counts, with the oldest of their times."""
    times_ms = [each.oldest_time_ms for each in counts if each.oldest_time_ms is not None]
    waits = [sum(each) for each in zip(*(its.waits for its in counts if its.waits), strict=True)]
    total = Counts(oldest_time_ms=min(times_ms, default=None), waits=waits)
    for name in Counts.__struct_fields__:
        if name not in ("oldest_time_ms", "waits"):
            setattr(total, name, sum(getattr(each, name) for each in counts))
    return total


def match(messages: Messages, hot: HotOrders, clock_ms: int, store: Store, rules: Rules, bucket: int = 0) -> Counts:
    """Put messages of a bucket through the rules into the store: every one ends in a document or in the dead letters.

    Everything is durable when this returns. Doing it again changes nothing, so a retried task is harmless. `hot` is
    updated to what the store then holds.

    Raises:
        StoreError: MongoDB refused or could not be reached; nothing is lost, as the batch does not commit.
    """
    started = time.perf_counter()
    arrivals, rejected = _sort(messages)
    decoded = time.perf_counter()
    changes = [Change(order_id, hot.get(order_id), its) for order_id, its in arrivals.items()]
    merged = merge(store, changes, clock_ms, rules, writer=f"bucket-{bucket}")
    for order_id, known in merged.known.items():
        hot.put(order_id, known)
    if merged.refused or merged.damaged:
        rejected |= _rejections(merged, messages)
    dead_letters.write(store, [_letter(messages, at, rejection) for at, rejection in rejected.items()])
    written = time.perf_counter()
    waits, waited_ms = _waits(messages.times_ms)
    return Counts(
        messages=len(messages.values),
        events=len(messages.values) - len(rejected),
        inserted=merged.inserted,
        updated=merged.updated,
        unchanged=merged.unchanged,
        conflicts=merged.conflicts,
        dead_letters=len(rejected),
        oldest_time_ms=min(messages.times_ms, default=None),
        waits=waits,
        waited_ms=waited_ms,
        decode_ms=(decoded - started) * 1000,
        write_ms=(written - decoded) * 1000,
    )


def _waits(times_ms: Sequence[int]) -> tuple[list[int], int]:
    """Return how many messages waited how long until now, and the sum of that. The broker's clock may be ahead."""
    waited_ms = np.maximum(time.time_ns() // 1_000_000 - np.asarray(times_ms, dtype=np.int64), 0)
    at = np.searchsorted(WAIT_BOUNDS_MS, waited_ms)
    return np.bincount(at, minlength=len(WAIT_BOUNDS_MS) + 1).tolist(), int(waited_ms.sum())


def _sort(messages: Messages) -> tuple[Mapping[str, list[Arrival]], dict[int, Rejection]]:
    """Return the events by order, and the rejections by their position among the messages."""
    arrivals: defaultdict[str, list[Arrival]] = defaultdict(list)
    rejected: dict[int, Rejection] = {}
    coordinates = zip(messages.topics, messages.partitions, messages.offsets, strict=True)
    for at, (event, (topic, partition, offset)) in enumerate(
        zip(decode_many(messages.values), coordinates, strict=True)
    ):
        if isinstance(event, Event):
            arrivals[event.order_id].append(Arrival(event, topic, partition, offset))
        else:
            rejected[at] = event
    return arrivals, rejected


def _rejections(merged: Merged, messages: Messages) -> dict[int, Rejection]:
    """Return the arrivals that could not be merged as rejections by their position among the messages."""
    why = {arrival[1:]: TOO_MANY_EVENTS for arrival in merged.refused}
    why |= {arrival[1:]: DAMAGED_ORDER for arrival in merged.damaged}
    everything = zip(messages.topics, messages.partitions, messages.offsets, strict=True)
    return {at: Rejection(why[here]) for at, here in enumerate(everything) if here in why}


def _letter(messages: Messages, at: int, rejection: Rejection) -> DeadLetter:
    return DeadLetter(
        messages.topics[at],
        messages.partitions[at],
        messages.offsets[at],
        rejection.reason,
        rejection.field,
        messages.values[at] or b"",
        messages.times_ms[at],
    )
