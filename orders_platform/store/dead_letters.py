"""Rejected messages, kept under their coordinates: a replay stores each once."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from pymongo.errors import BulkWriteError, PyMongoError

from orders_platform.events import MAX_MESSAGE_BYTES
from orders_platform.store.client import Store
from orders_platform.store.failures import DUPLICATE_KEY, sorted_error


class DeadLetter(NamedTuple):
    """A rejected message: where it lies in Kafka, the reason code, the field that broke, its bytes, its broker time."""

    topic: str
    partition: int
    offset: int
    reason: str
    field: str | None
    raw: bytes
    broker_time_ms: int | None


def write(store: Store, letters: Sequence[DeadLetter]) -> int:
    """Store dead letters durably; return how many were not there before. Those that were stay as they are.

    Raises:
        StoreError: MongoDB refused or could not be reached; some letters may be stored. Doing it again is harmless.
    """
    if not letters:
        return 0
    now = DatetimeMS(time.time_ns() // 1_000_000)
    stored = [_stored(letter, now) for letter in letters]
    try:
        return len(store.dead_letters.insert_many(stored, ordered=False).inserted_ids)
    except BulkWriteError as error:
        if {item["code"] for item in error.details["writeErrors"]} != {DUPLICATE_KEY} or error.details.get(
            "writeConcernErrors"
        ):
            raise sorted_error(error, writing=True) from error
        return error.details["nInserted"]
    except PyMongoError as error:
        raise sorted_error(error, writing=True) from error


def _stored(letter: DeadLetter, now: DatetimeMS) -> dict[str, Any]:
    time_ms = letter.broker_time_ms
    return {
        "_id": f"{letter.topic}:{letter.partition}:{letter.offset}",
        "topic": letter.topic,
        "partition": Int64(letter.partition),
        "offset": Int64(letter.offset),
        "reason": letter.reason,
        "field": letter.field,
        "raw": Binary(letter.raw[:MAX_MESSAGE_BYTES]),
        "size": Int64(len(letter.raw)),
        "broker_time": None if time_ms is None else DatetimeMS(time_ms),
        "first_seen_at": now,
    }
