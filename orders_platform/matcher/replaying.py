"""Putting messages through the matcher again, in this process, beside whichever matcher runs.

Merging is commutative and idempotent: what was right stays as it is, what was missing is added.
"""

import time
from collections.abc import Iterable

import msgspec

from orders_platform.matcher.bucket import Messages, match
from orders_platform.matcher.hot import Bounds, HotOrders
from orders_platform.matching import Rules
from orders_platform.store.client import Store
from orders_platform.streams.read import Record

_NOTHING_HOT = Bounds(orders_max=0, bytes_max=0)


class Replayed(msgspec.Struct):
    """What became of replayed messages. `dead_letters` were rejected now, whether or not they were before."""

    messages: int = 0
    events: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    dead_letters: int = 0


def replay(store: Store, records: Iterable[Record], rules: Rules, total: Replayed) -> None:
    """Match messages, with the clock of now, into `store`; add what became of them to `total`.

    Raises:
        StoreError: MongoDB refused or could not be reached. What was matched before stays; doing it again is harmless.
    """
    batch = list(records)
    messages = Messages(
        [record.value for record in batch],
        [record.topic for record in batch],
        [record.partition for record in batch],
        [record.offset for record in batch],
        [record.time_ms for record in batch],
    )
    # Without anything hot, every order is merged with what MongoDB holds.
    counts = match(messages, HotOrders(None, _NOTHING_HOT), time.time_ns() // 1_000_000, store, rules)
    for name in Replayed.__struct_fields__:
        setattr(total, name, getattr(total, name) + getattr(counts, name))
