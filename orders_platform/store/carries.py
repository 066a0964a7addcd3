"""What each day's statement leaves to the next: the totals at its end, of the events that were merged before a time.

A carry says nothing that the stored orders do not say, so losing one costs a pass over them and nothing else. One is a
single document, written after its day's statement was kept: there is no half of it.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from orders_platform.store import documents
from orders_platform.store.client import Store
from orders_platform.store.failures import translated

Offsets = dict[str, dict[str, int]]


class Carry(msgspec.Struct, frozen=True, kw_only=True):
    """The orders as of the end of a day (`edge_ms`), by those events alone that were merged before `before_ms`.

    `as_of_ms` is the cluster time of the snapshot that it was made from, and `offsets` how far the topics were read
    then; `collection` tells the collection of orders from another of that name.
    """

    date: str
    edge_ms: int
    time_zone: str
    settings: dict[str, int]
    before_ms: int
    as_of_ms: int
    collection: bytes
    offsets: Offsets
    orders_by_status: dict[str, int]
    orders_by_currency: dict[str, int]
    position_minor: dict[str, int]


def of_day(store: Store, date: str) -> Carry | None:
    """Return what a day's statement left, or None; also where somebody has changed it.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    with translated():
        found = store.carries.find_one({"_id": date})
    if found is None:
        return None
    try:
        carry = _carry(date, found)
        return carry if found["sha256"] == _digest(carry) else None
    except documents.UNREADABLE:
        return None


def keep(store: Store, carry: Carry) -> None:
    """Keep a carry, in place of an earlier one of its day.

    Raises:
        StoreError: MongoDB refused or could not be reached; doing it again is harmless.
    """
    document = {
        "edge": DatetimeMS(carry.edge_ms),
        "time_zone": carry.time_zone,
        "settings": _longs(carry.settings),
        "before": DatetimeMS(carry.before_ms),
        "as_of": DatetimeMS(carry.as_of_ms),
        "collection": Binary(carry.collection),
        "offsets": {topic: _longs(its) for topic, its in carry.offsets.items()},
        "orders_by_status": _longs(carry.orders_by_status),
        "orders_by_currency": _longs(carry.orders_by_currency),
        "position_minor": _longs(carry.position_minor),
        "sha256": _digest(carry),
    }
    with translated(writing=True):
        store.carries.replace_one({"_id": carry.date}, document, upsert=True)


def collection_of_orders(store: Store) -> bytes:
    """Return what tells the collection of orders from another that had, or will have, its name.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    with translated():
        found = next(iter(store.database.list_collections(filter={"name": store.orders.name})))
    return bytes(found["info"]["uuid"])


def _carry(date: str, found: Mapping[str, Any]) -> Carry:
    return Carry(
        date=date,
        edge_ms=int(found["edge"]),
        time_zone=found["time_zone"],
        settings=_ints(found["settings"]),
        before_ms=int(found["before"]),
        as_of_ms=int(found["as_of"]),
        collection=bytes(found["collection"]),
        offsets={topic: _ints(its) for topic, its in found["offsets"].items()},
        orders_by_status=_ints(found["orders_by_status"]),
        orders_by_currency=_ints(found["orders_by_currency"]),
        position_minor=_ints(found["position_minor"]),
    )


def _digest(carry: Carry) -> str:
    return hashlib.sha256(msgspec.json.encode(carry, order="sorted")).hexdigest()


def _ints(amounts: Mapping[str, int]) -> dict[str, int]:
    return {name: int(amount) for name, amount in amounts.items()}


def _longs(amounts: dict[str, int]) -> dict[str, Int64]:
    return {name: Int64(amount) for name, amount in amounts.items()}
