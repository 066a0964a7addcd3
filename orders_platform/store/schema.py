"""Indexes, validators and views, versioned. Migrating again, or two at once, is harmless.

Every index costs every write of its documents, so each is here because something reads by it:
docs/decisions/0002-store-writes.md has what they cost.
"""

from collections.abc import Mapping
from typing import Any

from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import OperationFailure

from orders_platform.errors import FatalStoreError, RetryableStoreError
from orders_platform.events import REASONS
from orders_platform.matching import MAX_EVENTS
from orders_platform.matching.status import BREAK_REASONS, BREAK_STATUSES, PENDING_STATUSES
from orders_platform.store import views
from orders_platform.store.client import Store
from orders_platform.store.day import EVENT_TIMES, LATE, UNSETTLED, UNSETTLED_OUTCOMES
from orders_platform.store.failures import translated

VERSION = 4

_NAMESPACE_EXISTS = 48
_CONFLICTING_OPERATION = 117
_OK_STATUSES = frozenset({"matched", "cancelled", "refunded", "partially_refunded"})
_ATTEMPTS = 5

_TEXT: dict[str, Any] = {"bsonType": "string"}
_DATE: dict[str, Any] = {"bsonType": "date"}
_BUSINESS_DAY: dict[str, Any] = {"bsonType": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
_NOT_NEGATIVE: dict[str, Any] = {"bsonType": "long", "minimum": 0}
_POSITIVE: dict[str, Any] = {"bsonType": "long", "minimum": 1}


def migrate(store: Store) -> None:
    """Bring the database to this version's schema; nothing happens where it is there already.

    Raises:
        FatalStoreError: the database belongs to a later version, or we may not change it.
        StoreError: MongoDB could not be reached.
    """
    with translated(writing=True):
        recorded = store.matcher.find_one({"_id": "schema"})
        if recorded is not None and recorded["version"] > VERSION:
            raise FatalStoreError(
                f"The database's schema has version {recorded['version']}, this program knows {VERSION}.",
                "Use the program's later version with it.",
            )
        for name, validator in VALIDATORS.items():
            _validate(store, name, validator)
        for name, indexes in _INDEXES.items():
            store.database[name].create_indexes(indexes)
        for name in views.NAMES:
            its = views.view(name)
            _keep(store, name, {"viewOn": its.on, "pipeline": its.pipeline})
        # From then on no matcher starts that does not say when it merged an event: it would not know this version.
        stamped_since = {"$ifNull": ["$stamped_since", "$$NOW"]}
        recorded_now = {"version": {"$max": ["$version", Int64(VERSION)]}, "stamped_since": stamped_since}
        store.matcher.update_one({"_id": "schema"}, [{"$set": recorded_now}], upsert=True)


def _validate(store: Store, name: str, validator: Mapping[str, Any]) -> None:
    """Make the collection if need be, and give it the validator unless it has it."""
    _keep(store, name, {"validator": validator, "validationAction": "error", "validationLevel": "strict"})


def _keep(store: Store, name: str, rules: dict[str, Any]) -> None:
    """Make a collection or view with these options if need be, and give it those that it has otherwise."""
    for _ in range(_ATTEMPTS):
        existing = next(iter(store.database.list_collections(filter={"name": name})), None)
        try:
            if existing is None:
                store.database.command({"create": name} | rules)
            elif any(existing["options"].get(option) != value for option, value in rules.items()):
                store.database.command({"collMod": name} | rules)
        except OperationFailure as error:
            if error.code not in {_NAMESPACE_EXISTS, _CONFLICTING_OPERATION}:
                raise
        else:
            return
    raise RetryableStoreError(f"Somebody else keeps changing the collection {name}.", "Try again.")


def _or_null(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {**rule, "bsonType": [rule["bsonType"], "null"]}


def _whole(properties: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    known = {**properties, **(optional or {})}
    return {"$jsonSchema": {"bsonType": "object", "required": list(properties), "properties": known}}


# The events are not looked into: MongoDB checks a whole document at each write, which costs more than the write where
# there are many. They are written by one function, and read back by the next merge.
_ORDER = _whole(
    {
        "order_id": _TEXT,
        "status": {"enum": sorted(BREAK_STATUSES | PENDING_STATUSES | _OK_STATUSES)},
        "outcome": {"enum": ["break", "ok", "pending"]},
        "reasons": {"bsonType": "array"},
        "currency": _or_null(_TEXT),
        "due_minor": _or_null(_NOT_NEGATIVE),
        "captured_minor": _NOT_NEGATIVE,
        "refunded_minor": _NOT_NEGATIVE,
        "charged_back_minor": _NOT_NEGATIVE,
        "net_minor": {"bsonType": "long"},
        "event_count": _POSITIVE,
        "deadline_at": _DATE,
        "cancelled_at": _or_null(_DATE),
        "settled_at": _or_null(_DATE),
        "customer_id": _or_null(_TEXT),
        "version": _POSITIVE,
        "clock": _DATE,
        "first_seen_at": _DATE,
        "updated_at": _DATE,
        "events": {"bsonType": "array", "minItems": 1, "maxItems": MAX_EVENTS},
    },
    optional={"late_at": _DATE},
)
_DEAD_LETTER = _whole(
    {
        "topic": _TEXT,
        "partition": _NOT_NEGATIVE,
        "offset": _NOT_NEGATIVE,
        "reason": {"enum": sorted(REASONS)},
        "field": _or_null(_TEXT),
        "raw": {"bsonType": "binData"},
        "size": _NOT_NEGATIVE,
        "broker_time": _or_null(_DATE),
        "first_seen_at": _DATE,
    }
)
_BREAK = _whole(
    {
        "kind": {"enum": sorted(BREAK_STATUSES | BREAK_REASONS)},
        "order_id": _TEXT,
        "currency": _or_null(_TEXT),
        "at_risk_minor": {"bsonType": "long"},
        "foreign_minor": {"bsonType": "object"},
        "opened_on": _BUSINESS_DAY,
        "last_seen_on": _BUSINESS_DAY,
        "resolved_on": _or_null(_BUSINESS_DAY),
        "history": {"bsonType": "array", "minItems": 1},
        "decisions": {"bsonType": "array"},
    }
)
_STATEMENT = _whole(
    {
        "date": _BUSINESS_DAY,
        "time_zone": _TEXT,
        "revision": _POSITIVE,
        "replaces": _or_null(_POSITIVE),
        "provisional": {"bsonType": "bool"},
        "verdict": {"enum": ["breaks", "clean", "incomplete"]},
        "settings": {"bsonType": "object"},
        "currencies": {"bsonType": "object"},
        "breaks": {"bsonType": "object"},
        "coverage": {"bsonType": "object"},
        "read_at": _DATE,
        "changes": _or_null({"bsonType": "object"}),
    }
)
_CARRY = _whole(
    {
        "edge": _DATE,
        "time_zone": _TEXT,
        "settings": {"bsonType": "object"},
        "before": _DATE,
        "as_of": _DATE,
        "collection": {"bsonType": "binData"},
        "offsets": {"bsonType": "object"},
        "orders_by_status": {"bsonType": "object"},
        "orders_by_currency": {"bsonType": "object"},
        "position_minor": {"bsonType": "object"},
        "sha256": _TEXT,
    }
)
# One shape for rows of orders and of breaks, the orders that broke last, and the mark of the last recount.
_COUNTER = {"$jsonSchema": {"bsonType": "object", "properties": {"of": {"enum": ["breaks", "newest", "orders"]}}}}
VALIDATORS = {
    "orders": _ORDER,
    "counters": _COUNTER,
    "dead_letters": _DEAD_LETTER,
    "breaks": _BREAK,
    "statements": _STATEMENT,
    "carries": _CARRY,
}
_INDEXES = {
    "orders": [
        # The sweep: what waits, by deadline. An order that waits for nothing more is not in it.
        IndexModel(
            [("deadline_at", ASCENDING)],
            name="waiting_by_deadline",
            partialFilterExpression={"status": {"$in": sorted(PENDING_STATUSES)}},
        ),
        # A day's statement: the orders that anything happened to since its start, and those that break or wait.
        IndexModel([("events.occurred_at", ASCENDING)], name=EVENT_TIMES),
        IndexModel(
            [("outcome", ASCENDING)],
            name=UNSETTLED,
            partialFilterExpression={"outcome": {"$in": UNSETTLED_OUTCOMES}},
        ),
        # What a day's statement must know of that occurred on earlier days. Only an order with a late event is in it.
        IndexModel([("late_at", ASCENDING)], name=LATE, sparse=True),
        # The check for money without an order. Only such orders are in it, and they are few.
        IndexModel(
            [("deadline_at", ASCENDING)], name="orphans_by_deadline", partialFilterExpression={"status": "orphan"}
        ),
    ],
    "dead_letters": [
        IndexModel([("topic", ASCENDING), ("partition", ASCENDING), ("offset", ASCENDING)], name="coordinates"),
        IndexModel([("reason", ASCENDING), ("first_seen_at", DESCENDING)], name="newest_by_reason"),
        IndexModel([("broker_time", ASCENDING)], name="by_broker_time"),
    ],
    "breaks": [IndexModel([("resolved_on", ASCENDING)], name="open")],
    "statements": [IndexModel([("date", DESCENDING), ("revision", DESCENDING)], name="latest", unique=True)],
    "statement_breaks": [IndexModel([("statement", ASCENDING), ("part", ASCENDING)], name="of_statement")],
    "matcher": [
        IndexModel([("purge_at", ASCENDING)], name="purge", expireAfterSeconds=0),
        # The batches of the last hour, among those of a week. Of the rest only the heartbeat has a `committed_at`.
        IndexModel([("committed_at", ASCENDING)], name="by_commit", sparse=True),
    ],
}
