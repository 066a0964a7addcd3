"""The only writer of `orders`: merges delivered events and the clock into the stored documents.

A document is only ever replaced by a merge of what it held, so two writers, a replay or a zombie can only write what
is right. Orders are merged in chunks, each in one snapshot transaction: read what is stored, fold, insert the new and
update the changed by `_id` alone. The snapshot makes comparing versions safe: whoever changes one of the documents
after it makes the transaction fail as a whole, and it is done again from a new snapshot. Why one transaction, and what
the alternatives cost: docs/decisions/0002-store-writes.md.
"""

import random
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from orders_platform.errors import FatalStoreError, RetryableStoreError, UnknownOutcome
from orders_platform.matching import Rules
from orders_platform.store import abandoned, documents
from orders_platform.store.client import DURABLE, FAST_CODEC, Store
from orders_platform.store.documents import Arrival, Damaged, Stored
from orders_platform.store.failures import DUPLICATE_KEY, VALIDATION_FAILURE, WRITE_CONFLICT, sorted_error
from orders_platform.store.plan import Change, Known, Merged, plan

__all__ = ["Arrival", "Change", "Known", "Merged", "merge"]

CHUNK_ORDERS = 2_000
CHUNK_EVENTS = 20_000  # bounds a transaction, and its memory, where orders are large
READ_EVENTS = 50_000  # the same for what we did not know of before we read it
COMMAND_BYTES = 12 << 20  # MongoDB takes commands of up to 16 MB
AWAY_S = 30.0  # how long MongoDB may be away before we give up
CONFLICT_S = 90.0  # longer than MongoDB lets an abandoned transaction stand in the way (60 s and its half)
ABANDONED_S = 3.0  # a transaction that has waited so long for its client has lost it
_PAUSE_S = 0.01
_PAUSE_MAX_S = 1.0
_SNAPSHOT = ReadConcern("snapshot")
_DAMAGED_CODES = frozenset({VALIDATION_FAILURE, 2, 14, 28})  # BadValue, TypeMismatch, PathNotViable: no array, say


def merge(store: Store, changes: Sequence[Change], clock_ms: int, rules: Rules, *, writer: str = "merge") -> Merged:
    """Merge changes, at most one for each order, into the stored documents; all of it is durable at return.

    Doing the same again changes no document. Waits up to `AWAY_S` for a MongoDB that is away. `writer` names the rows
    of the running totals that this adds to: who shares one waits for the other.

    Raises:
        RetryableStoreError: MongoDB stayed away or other writers stayed in the way; some orders may be merged.
        UnknownOutcome: MongoDB stayed away while it was committing; the same holds.
        FatalStoreError: MongoDB refuses the documents or us.
    """
    merged = Merged({}, [])
    waiting = deque(_Chunk(part) for part in _chunks(changes))
    while waiting:
        chunk = waiting.popleft()
        try:
            _merge_chunk(store, chunk.changes, clock_ms, rules, writer, merged)
        except _ConflictError:
            merged.conflicts += len(chunk.changes)
            waiting.extendleft(reversed(_after_conflict(store, chunk)))
        except _DamagedError:
            if len(chunk.changes) > 1:
                waiting.extendleft(reversed(_halves(chunk)))
            else:
                merged.damaged += chunk.changes[0].arrivals
        except _TooLargeError:
            waiting.extendleft(reversed(_halves(chunk)))
        except (RetryableStoreError, UnknownOutcome):
            again = _after_failure(chunk)
            if again is None:
                raise
            waiting.appendleft(again)
    return merged


class _ConflictError(Exception):
    """Another writer changed one of the documents after our snapshot."""


class _TooLargeError(Exception):
    """The stored documents of a chunk hold more events than we want in memory at once."""


class _DamagedError(Exception):
    """MongoDB refuses to update a document of the chunk: somebody wrote past its schema."""


class _Chunk(msgspec.Struct):
    """Changes for one transaction, how often it failed, and since when (monotonic seconds)."""

    changes: Sequence[Change]
    failures: int = 0
    since_s: float = 0.0


def _chunks(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    """Yield the changes in parts of bounded numbers of orders and of events."""
    start = events = 0
    for at, change in enumerate(changes):
        size = len(change.arrivals) + (0 if change.known is None else len(change.known.view.events))
        if at > start and (at - start == CHUNK_ORDERS or events + size > CHUNK_EVENTS):
            yield changes[start:at]
            start, events = at, 0
        events += size
    if start < len(changes):
        yield changes[start:]


def _after_conflict(store: Store, chunk: _Chunk) -> list[_Chunk]:
    """Return the chunk's halves after a pause, so that all but the contended orders get through.

    A writer that died inside a transaction leaves its documents locked; once waiting looks hopeless, such
    transactions are ended.
    """
    failures, since_s = _failed(chunk)
    if time.monotonic() - since_s > CONFLICT_S:
        raise RetryableStoreError(
            f"Other writers kept changing the same orders for {CONFLICT_S:.0f} s.",
            "Try again; if it lasts, look for a second matcher on this database.",
        )
    if time.monotonic() - since_s > ABANDONED_S:
        abandoned.end_transactions(store, ABANDONED_S)
    _pause(failures)
    return _halves(_Chunk(chunk.changes, failures, since_s))


def _halves(chunk: _Chunk) -> list[_Chunk]:
    half = (len(chunk.changes) + 1) // 2
    parts = (chunk.changes[:half], chunk.changes[half:])
    return [_Chunk(part, chunk.failures, chunk.since_s) for part in parts if part]


def _after_failure(chunk: _Chunk) -> _Chunk | None:
    """Return the chunk, to be done again, after a pause, or None if MongoDB has been away for too long."""
    failures, since_s = _failed(chunk)
    if time.monotonic() - since_s > AWAY_S:
        return None
    _pause(failures)
    return _Chunk(chunk.changes, failures, since_s)


def _failed(chunk: _Chunk) -> tuple[int, float]:
    return chunk.failures + 1, chunk.since_s or time.monotonic()


def _pause(failures: int) -> None:
    jitter = random.uniform(0.5, 1.0)  # noqa: S311 - it keeps writers apart, and no secret
    time.sleep(jitter * min(_PAUSE_MAX_S, _PAUSE_S * 2**failures))


def _merge_chunk(
    store: Store, changes: Sequence[Change], clock_ms: int, rules: Rules, writer: str, merged: Merged
) -> None:
    """Merge changes in one transaction and add the result to `merged` once it is committed.

    Raises:
        _ConflictError: another writer got there first; nothing was written.
        _DamagedError, _TooLargeError: it must be done in smaller parts; nothing was written.
    """
    updates = False
    try:
        with store.session() as session:
            _begin(session)
            stored = _read(store, changes, session)
            planned = plan(changes, stored, clock_ms, time.time_ns() // 1_000_000, _cluster_time_ms(session), rules)
            updates = bool(planned.updates)
            _run(store.orders, session, "insert", "documents", planned.inserts)
            _run(store.orders, session, "update", "updates", planned.updates)
            # Last, as others who add to the same rows wait from here on.
            _count(store, session, planned.deltas.statements(writer, planned.now_ms))
            _commit(session)
    except PyMongoError as error:
        if isinstance(error, OperationFailure) and error.code == WRITE_CONFLICT:
            raise _ConflictError from error
        if updates and isinstance(error, OperationFailure) and error.code in _DAMAGED_CODES:
            raise _DamagedError from error
        raise sorted_error(error, writing=False) from error
    merged.add(planned.merged)


def _begin(session: ClientSession) -> None:
    # Read and write concern are set here: a transaction ignores those of its collections.
    session.start_transaction(_SNAPSHOT, DURABLE, ReadPreference.PRIMARY)


def _cluster_time_ms(session: ClientSession) -> int:
    """Return MongoDB's logical time, in whole seconds, as its last answer to the session told it. Whatever the session
    commits from now on has a later one, whatever the clocks of this machine say."""
    return cast("Mapping[str, Any]", session.cluster_time)["clusterTime"].time * 1000


def _commit(session: ClientSession) -> None:
    # Also where nothing was written: what was read is durable only once this is acknowledged. The driver asks once
    # more by itself; if the answer stays unknown the chunk is merged again, which finds out.
    session.commit_transaction()


def _read(store: Store, changes: Sequence[Change], session: ClientSession) -> dict[str, int | Stored | Damaged]:
    """Return what is stored of orders: the version where it is as believed, else what a merge needs."""
    found: dict[str, int | Stored | Damaged] = {}
    believed = {change.order_id: change.known.version for change in changes if change.known is not None}
    if believed:
        for document in store.orders.find({"_id": {"$in": list(believed)}}, {"version": 1}, session=session):
            if document["version"] == believed[document["_id"]]:
                found[document["_id"]] = int(document["version"])
    others = [change.order_id for change in changes if change.order_id not in found]
    if others:
        events = 0
        orders = store.orders.with_options(FAST_CODEC)
        for document in orders.find({"_id": {"$in": others}}, documents.STORED_FIELDS, session=session):
            try:
                read = found[document["_id"]] = documents.stored(document)
            except documents.UNREADABLE:
                found[document["_id"]] = Damaged()
                continue
            events += len(read.view.events)
            if events > READ_EVENTS and len(changes) > 1:
                raise _TooLargeError
    return found


def _count(store: Store, session: ClientSession, statements: Sequence[RawBSONDocument]) -> None:
    """Add to the running totals.

    Raises:
        FatalStoreError: somebody has written past the matcher into a row of them.
    """
    try:
        _run(store.counters, session, "update", "updates", statements)
    except OperationFailure as error:
        if error.code in _DAMAGED_CODES:
            raise FatalStoreError(
                f"The running totals in the collection counters can't be added to (code {error.code}).",
                "Drop that collection, then run `orders recount`: they are counted anew from the orders.",
            ) from error
        raise


def _run(
    collection: Collection[dict[str, Any]],
    session: ClientSession,
    command: str,
    field: str,
    statements: Sequence[RawBSONDocument],
) -> None:
    """Run one write command, in parts that MongoDB takes."""
    for part in _by_size(statements):
        asked = {command: collection.name, field: part, "ordered": False}
        reply = collection.database.command(asked, session=session)
        for error in reply.get("writeErrors", ()):
            # Inside a transaction that is the end of it; a key that appeared after our snapshot is a conflict.
            code = WRITE_CONFLICT if error["code"] == DUPLICATE_KEY else error["code"]
            raise OperationFailure(f"{command} in {collection.name}", code)
        if reply["n"] != len(part):
            raise AssertionError("a snapshot keeps the documents that it read")


def _by_size(statements: Sequence[RawBSONDocument]) -> Iterator[Sequence[RawBSONDocument]]:
    start = size = 0
    for at, statement in enumerate(statements):
        length = len(statement.raw)
        if at > start and size + length > COMMAND_BYTES:
            yield statements[start:at]
            start, size = at, 0
        size += length
    if start < len(statements):
        yield statements[start:]
