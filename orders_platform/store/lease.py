"""The lease: the one document that says which matcher may make progress, by MongoDB's clock alone.

It keeps a deposed driver from going on; it is not what keeps data right, merging is. Pipelines here hold nothing but
server time and values of ours, never text that came with an event.
"""

from typing import Any

import msgspec
from bson.int64 import Int64
from pymongo.errors import DuplicateKeyError

from orders_platform.errors import Deposed
from orders_platform.store.client import CODEC, Store
from orders_platform.store.failures import translated


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who may make progress: the highest epoch. `live` is judged by MongoDB's clock at the reading."""

    epoch: int
    holder: str
    renewed_at_ms: int
    expires_at_ms: int
    live: bool


def server_time_ms(store: Store) -> int:
    """Return MongoDB's clock, the lease's.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    with translated():
        return int(store.database.command("hello", codec_options=CODEC)["localTime"])


def take_epoch(store: Store, holder: str, ttl_s: float, expected: int) -> int:
    """Take the lease with the epoch after `expected` (0: there was none), and depose who held it; return the epoch.

    Raises:
        Deposed: somebody else took it since `expected` was read.
        StoreError: MongoDB refused or could not be reached; the lease may have been taken.
    """
    taken = {"epoch": Int64(expected + 1), "holder": {"$literal": holder}} | _renewed(ttl_s)
    unchanged = {"_id": "lease", "epoch": Int64(expected)}
    with translated(writing=True):
        try:
            result = store.matcher.update_one(unchanged, [{"$set": taken}], upsert=expected == 0)
        except DuplicateKeyError:
            raise deposed(expected + 1) from None
    if result.matched_count == 0 and result.upserted_id is None:
        raise deposed(expected + 1)
    return expected + 1


def renew_lease(store: Store, epoch: int, holder: str, ttl_s: float) -> None:
    """Keep the lease of `epoch` for another `ttl_s`.

    Raises:
        Deposed: a later epoch was taken.
        StoreError: MongoDB refused or could not be reached.
    """
    renewed = {"holder": {"$literal": holder}} | _renewed(ttl_s)
    with translated(writing=True):
        result = store.matcher.update_one({"_id": "lease", "epoch": Int64(epoch)}, [{"$set": renewed}])
    if result.matched_count == 0:
        raise deposed(epoch)


def release_lease(store: Store, epoch: int, holder: str) -> None:
    """Let the lease end now, if this epoch and holder still have it.

    Raises:
        StoreError: MongoDB refused or could not be reached; the lease ends by itself.
    """
    with translated(writing=True):
        store.matcher.update_one(
            {"_id": "lease", "epoch": Int64(epoch), "holder": holder}, [{"$set": {"expires_at": "$$NOW"}}]
        )


def read_lease(store: Store) -> Lease | None:
    """Return the lease, or None if there never was one.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    judged = [{"$match": {"_id": "lease"}}, {"$set": {"live": {"$gt": ["$expires_at", "$$NOW"]}}}]
    with translated():
        found = next(iter(store.matcher.aggregate(judged)), None)
    if found is None:
        return None
    return Lease(
        epoch=int(found["epoch"]),
        holder=found["holder"],
        renewed_at_ms=int(found["renewed_at"]),
        expires_at_ms=int(found["expires_at"]),
        live=found["live"],
    )


def deposed(epoch: int) -> Deposed:
    """Return the error of a holder of `epoch` that has been overtaken."""
    return Deposed(
        f"A later matcher has taken over from epoch {epoch}.", "Nothing to do: this one stops, the other one goes on."
    )


def _renewed(ttl_s: float) -> dict[str, Any]:
    ttl_ms = Int64(int(ttl_s * 1000))
    return {"renewed_at": "$$NOW", "expires_at": {"$add": ["$$NOW", ttl_ms]}}
