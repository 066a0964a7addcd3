"""The `matcher` collection, through which the matcher, its supervisor and those who watch them speak.

Times are MongoDB's. What a driver writes is guarded by its epoch: a deposed one gets `Deposed`.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from orders_platform.store.client import Store
from orders_platform.store.failures import translated
from orders_platform.store.lease import (
    Lease,
    deposed,
    read_lease,
    release_lease,
    renew_lease,
    server_time_ms,
    take_epoch,
)

__all__ = [
    "Batch",
    "BegunCheckpoint",
    "Desired",
    "Heartbeat",
    "Lease",
    "Offsets",
    "Start",
    "add_start",
    "begin_checkpoint",
    "begin_heartbeat",
    "forget_start_offsets",
    "read_batches",
    "read_checkpoint",
    "read_desired",
    "read_heartbeat",
    "read_lease",
    "read_starts",
    "record_batch",
    "release_lease",
    "renew_lease",
    "server_time_ms",
    "set_desired",
    "take_epoch",
    "write_heartbeat",
]

BATCHES_KEPT_MS = 7 * 86_400_000
STARTS_KEPT_MS = 30 * 86_400_000

Offsets = Mapping[str, Mapping[str, int]]
"""The next offset to read by topic and partition."""

_Record = TypeVar("_Record", bound=msgspec.Struct)


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver says of itself. What belongs to batches is None or empty until it has committed one.

    `started_at_ms` and `alive_at_ms` are set by MongoDB when it is written.
    """

    epoch: int
    holder: str
    pid: int
    pid_started: float
    state: str
    code_version: str
    settings_hash: str
    checkpoint: str
    buckets: int | None = None
    started_at_ms: int = 0
    alive_at_ms: int = 0
    batch_id: int | None = None
    committed_at_ms: int | None = None
    offsets: Offsets = {}
    events_behind: int | None = None
    counts: dict[str, Any] = {}
    last: dict[str, Any] = {}
    deadline_swept_to_ms: int | None = None
    failure: str | None = None


class BegunCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint that a person's word began: where it is, under which setting, and the offsets that a driver begins
    at which finds it empty."""

    base: str | None
    location: str | None
    offsets: Offsets | None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One committed batch: its messages, and the broker's time of the oldest."""

    committed_at_ms: int
    messages: int = 0
    dead_letters: int = 0
    oldest_time_ms: int | None = None


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants of the matcher; without a word it runs."""

    state: str = "running"
    restart_token: str | None = None
    breaker_reset_at_ms: int | None = None
    reason: str | None = None


class LastLook(msgspec.Struct, frozen=True, kw_only=True):
    """Which supervisor looked last, as `host:home`, and when (MongoDB's clock)."""

    holder: str
    looked_at_ms: int


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a driver and, once it is over, how it ended."""

    epoch: int
    attempt: int
    at_ms: int
    reason: str
    outcome: str = "started"
    lived_s: float | None = None
    committed: bool = False
    end: str | None = None
    code_version: str = ""
    settings_hash: str = ""
    holder: str = ""
    """Whose start it was, as `host:home`: tells our own dead driver's lease from another host's."""
    restart_token: str | None = None
    breaker_reset_at_ms: int | None = None


def begin_heartbeat(store: Store, heartbeat: Heartbeat) -> None:
    """Write a driver's first heartbeat. The offsets of the driver before it stay until it commits a batch.

    An epoch is begun once: an engine that starts a process again, or a second one beside it, gets no second life of it.

    Raises:
        Deposed: a later epoch has begun, or another process this one.
        StoreError: MongoDB refused or could not be reached.
    """
    fields = {
        "epoch": Int64(heartbeat.epoch),
        "holder": heartbeat.holder,
        "pid": Int64(heartbeat.pid),
        "pid_started": heartbeat.pid_started,
        "state": heartbeat.state,
        "batch_id": None,
        "committed_at": None,
        "events_behind": None,
        "counts": {},
        "last": {},
        "failure": None,
        "code_version": heartbeat.code_version,
        "settings_hash": heartbeat.settings_hash,
        "checkpoint": heartbeat.checkpoint,
        "buckets": None if heartbeat.buckets is None else Int64(heartbeat.buckets),
    }
    begun = {"$set": fields, "$currentDate": {"started_at": True, "alive_at": True}}
    begun["$setOnInsert"] = {"offsets": {}, "deadline_swept_to": None}
    with translated(writing=True):
        try:
            mine = {name: fields[name] for name in ("epoch", "holder", "pid_started")}
            earlier = {"_id": "heartbeat", "$or": [{"epoch": {"$lt": Int64(heartbeat.epoch)}}, mine]}
            store.matcher.update_one(earlier, begun, upsert=True)
        except DuplicateKeyError:
            raise deposed(heartbeat.epoch) from None


def write_heartbeat(
    store: Store,
    epoch: int,
    state: str,
    *,
    events_behind: int | None = None,
    deadline_swept_to_ms: int | None = None,
    failure: str | None = None,
) -> None:
    """Say that the driver's loop is alive, also while it is idle. What is None stays as it was.

    Raises:
        Deposed: a later epoch has begun.
        StoreError: MongoDB refused or could not be reached.
    """
    fields: dict[str, Any] = {"state": state}
    if events_behind is not None:
        fields["events_behind"] = Int64(events_behind)
    if deadline_swept_to_ms is not None:
        fields["deadline_swept_to"] = DatetimeMS(deadline_swept_to_ms)
    if failure is not None:
        fields["failure"] = failure
    _beat(store, epoch, {"$set": fields, "$currentDate": {"alive_at": True}})


def record_batch(
    store: Store,
    epoch: int,
    batch_id: int,
    offsets: Offsets,
    *,
    batch: Mapping[str, Any] | msgspec.Struct,
    totals: Mapping[str, Any] | msgspec.Struct,
    duration_ms: int,
) -> None:
    """Record that everything a batch read is durable: in the heartbeat, with its offsets, and as its own record.

    `batch` and `totals` hold what became of the messages of the batch and of all batches of this driver.

    Raises:
        Deposed: a later epoch has begun.
        StoreError: MongoDB refused or could not be reached; the batch is done again, which changes nothing.
    """
    its = msgspec.to_builtins(batch)
    oldest_ms = its.pop("oldest_time_ms", None)
    its.pop("waits", None)  # the totals have them
    last = _longs(its) | {"duration_ms": Int64(duration_ms)}
    if oldest_ms is not None:
        last["oldest_time"] = DatetimeMS(oldest_ms)
    fields = {
        "batch_id": Int64(batch_id),
        "offsets": _longs(msgspec.to_builtins(offsets)),
        "counts": _longs(msgspec.to_builtins(totals)),
        "last": last,
    }
    # First, as it is what the epoch guards.
    _beat(store, epoch, {"$set": fields, "$currentDate": {"committed_at": True, "alive_at": True}})
    purge_at = DatetimeMS(server_time_ms(store) + BATCHES_KEPT_MS)
    with translated(writing=True):
        store.matcher.update_one(
            {"_id": f"batch:{epoch}:{batch_id}"},
            {"$set": last | {"purge_at": purge_at}, "$currentDate": {"committed_at": True}},
            upsert=True,
        )


def note_look(store: Store, holder: str) -> None:
    """Note that a supervisor has looked, for whoever asks from elsewhere.

    Raises:
        StoreError: MongoDB refused or could not be reached.
    """
    noted = {"$set": {"holder": holder}, "$currentDate": {"looked_at": True}}
    with translated(writing=True):
        store.matcher.update_one({"_id": "supervisor"}, noted, upsert=True)


def read_last_look(store: Store) -> LastLook | None:
    """Return who last looked and when, or None if nobody ever did.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    with translated():
        found = store.matcher.find_one({"_id": "supervisor"})
    return None if found is None else _read(found, LastLook)


def read_batches(store: Store, since_ms: int) -> list[Batch]:
    """Return the batches committed since then (MongoDB's clock), oldest first.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    batches = {"_id": {"$gte": "batch:", "$lt": "batch;"}, "committed_at": {"$gte": DatetimeMS(since_ms)}}
    with translated():
        found = list(store.matcher.find(batches, sort=[("committed_at", ASCENDING)]))
    return [_read(each, Batch) for each in found]


def read_heartbeat(store: Store) -> Heartbeat | None:
    """Return the latest driver's heartbeat, or None if none ever ran.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    with translated():
        found = store.matcher.find_one({"_id": "heartbeat"})
    return None if found is None else _read(found, Heartbeat)


def begin_checkpoint(store: Store, begun: BegunCheckpoint) -> None:
    """Let the next drivers have this checkpoint.

    Raises:
        StoreError: MongoDB refused or could not be reached.
    """
    with translated(writing=True):
        store.matcher.replace_one({"_id": "checkpoint"}, _longs(msgspec.structs.asdict(begun)), upsert=True)


def read_checkpoint(store: Store) -> BegunCheckpoint | None:
    """Return the checkpoint that was begun last, or None if none ever was: then it is the settings'.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    with translated():
        found = store.matcher.find_one({"_id": "checkpoint"})
    return None if found is None else _read(found, BegunCheckpoint)


def forget_start_offsets(store: Store) -> None:
    """A driver has committed: its checkpoint knows better from now on.

    Raises:
        StoreError: MongoDB refused or could not be reached.
    """
    with translated(writing=True):
        store.matcher.update_one({"_id": "checkpoint", "offsets": {"$ne": None}}, {"$set": {"offsets": None}})


def set_desired(
    store: Store,
    *,
    state: str | None = None,
    restart_token: str | None = None,
    reset_breaker: bool = False,
    reason: str | None = None,
) -> None:
    """Say what a person wants of the matcher, and why. What is None stays as it was.

    Raises:
        StoreError: MongoDB refused or could not be reached.
    """
    fields: dict[str, Any] = {"reason": reason}
    if state is not None:
        fields["state"] = state
    if restart_token is not None:
        fields["restart_token"] = restart_token
    wanted: dict[str, Any] = {"$set": fields}
    if reset_breaker:
        wanted["$currentDate"] = {"breaker_reset_at": True}
    with translated(writing=True):
        store.matcher.update_one({"_id": "desired"}, wanted, upsert=True)


def read_desired(store: Store) -> Desired:
    """Return what a person wants of the matcher.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    with translated():
        found = store.matcher.find_one({"_id": "desired"})
    return _read(found or {}, Desired)


def add_start(store: Store, start: Start) -> None:
    """Add a start to the history, before the driver is started; again with the same epoch and attempt: replace it.

    Raises:
        StoreError: MongoDB refused or could not be reached.
    """
    fields = _longs(msgspec.structs.asdict(start))
    for name in ("at_ms", "breaker_reset_at_ms"):
        del fields[name]
    reset_at_ms = start.breaker_reset_at_ms
    fields["at"] = DatetimeMS(start.at_ms)
    fields["breaker_reset_at"] = None if reset_at_ms is None else DatetimeMS(reset_at_ms)
    fields["purge_at"] = DatetimeMS(start.at_ms + STARTS_KEPT_MS)
    with translated(writing=True):
        store.matcher.replace_one({"_id": f"start:{start.epoch}:{start.attempt}"}, fields, upsert=True)


def read_starts(store: Store, limit: int = 100) -> list[Start]:
    """Return the latest starts, oldest first.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    starts = {"_id": {"$gte": "start:", "$lt": "start;"}}
    newest_first = [("epoch", DESCENDING), ("attempt", DESCENDING)]
    with translated():
        found = list(store.matcher.find(starts, sort=newest_first, limit=limit))
    return [_read(each, Start) for each in reversed(found)]


def _beat(store: Store, epoch: int, update: Mapping[str, Any]) -> None:
    with translated(writing=True):
        result = store.matcher.update_one({"_id": "heartbeat", "epoch": Int64(epoch)}, update)
    if result.matched_count == 0:
        raise deposed(epoch)


def _longs(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with every integer as 64-bit, as everywhere in the database."""
    longs: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            longs[name] = _longs(value)
        elif isinstance(value, list):
            longs[name] = [Int64(each) if type(each) is int else each for each in value]
        else:
            longs[name] = Int64(value) if type(value) is int else value
    return longs


def _read(found: Mapping[str, Any], record: type[_Record]) -> _Record:
    fields: dict[str, Any] = {}
    for field in record.__struct_fields__:
        name = field.removesuffix("_ms")
        if name in found:
            fields[field] = _plain(found[name])
    return record(**fields)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, Int64 | DatetimeMS) else value
