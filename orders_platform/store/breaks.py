"""The `breaks` collection: each break under its id, with what became of it from day to day and what people decided.

It follows the last day that has a statement. What is written depends only on what is stored and on that statement, so
writing it again, or by two at once, changes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bson.int64 import Int64
from pymongo import ASCENDING, UpdateOne

from orders_platform.errors import OrdersError
from orders_platform.store.client import Store
from orders_platform.store.failures import translated

_BATCH = 2_000
_OF_THE_DAY = ("kind", "order_id", "currency", "at_risk_minor", "foreign_minor", "opened_on")


class BreakRecord(NamedTuple):
    """One break. Days are business days as `2026-01-05`; `resolved_on` is None while it lasts.

    `history` holds what became of it (`on`, `what`: opened, changed, resolved, reopened, and `at_risk_minor` from then
    on), `decisions` what people decided (`at_ms`, `by`, `note`).
    """

    id: str
    kind: str
    order_id: str
    currency: str | None
    at_risk_minor: int
    foreign_minor: dict[str, int]
    opened_on: str
    last_seen_on: str
    resolved_on: str | None
    history: list[dict[str, Any]]
    decisions: list[dict[str, Any]]


def record(store: Store, date: str, there: Sequence[Mapping[str, Any]], resolved: Sequence[Mapping[str, Any]]) -> None:
    """Record the breaks that are there at a day's end, and those that went on it, as its statement lists them.

    Raises:
        StoreError: MongoDB refused or could not be reached; doing it again is harmless.
    """
    open_ids = {each["id"] for each in there}
    with translated(writing=True):
        known = {found["_id"]: found for found in store.breaks.find({"resolved_on": None}, {"decisions": 0})}
        unknown = [each["id"] for each in (*there, *resolved) if each["id"] not in known]
        for at in range(0, len(unknown), _BATCH):
            wanted = {"_id": {"$in": unknown[at : at + _BATCH]}}
            known |= {found["_id"]: found for found in store.breaks.find(wanted, {"decisions": 0})}
        updates = [update for each in there if (update := _seen(date, each, known.get(each["id"])))]
        updates += [_insert(date, each, date) for each in resolved if each["id"] not in known]
        updates += [
            _update(found, {"resolved_on": date}, date, "resolved", 0)
            for found in known.values()
            if found["resolved_on"] is None and found["_id"] not in open_ids
        ]
        for at in range(0, len(updates), _BATCH):
            store.breaks.bulk_write(updates[at : at + _BATCH], ordered=False)
        store.breaks.update_many({"resolved_on": None, "last_seen_on": {"$ne": date}}, {"$set": {"last_seen_on": date}})


def decide(store: Store, break_id: str, note: str, by: str) -> BreakRecord:
    """Add a person's decision to a break, and return it.

    Raises:
        OrdersError: there is no such break.
        StoreError: MongoDB refused or could not be reached.
    """
    decision = {"at": "$$NOW", "by": {"$literal": by}, "note": {"$literal": note}}
    with translated(writing=True):
        found = store.breaks.find_one_and_update(
            {"_id": {"$eq": break_id}},
            [{"$set": {"decisions": {"$concatArrays": ["$decisions", [decision]]}}}],
            return_document=True,
        )
    if found is None:
        raise OrdersError(f"There is no break {break_id}.", "`orders breaks` lists those that are open.")
    return _record(found)


def all_breaks(
    store: Store,
    *,
    only_open: bool = False,
    kind: str | None = None,
    min_amount_minor: int | None = None,
    since: str | None = None,
) -> Iterator[BreakRecord]:
    """Yield breaks, sorted by id; `since`: only those that were there, or went, on this business day or later.

    Raises:
        StoreError: MongoDB could not be reached, or went away on the way.
    """
    wanted: dict[str, Any] = {"resolved_on": None} if only_open else {}
    if kind is not None:
        wanted["kind"] = kind
    if min_amount_minor is not None:
        wanted["at_risk_minor"] = {"$gte": Int64(min_amount_minor)}
    if since is not None:
        wanted["$or"] = [{"last_seen_on": {"$gte": since}}, {"resolved_on": {"$gte": since}}]
    with translated():
        for found in store.breaks.find(wanted, sort=[("_id", ASCENDING)], batch_size=_BATCH):
            yield _record(found)


def _seen(date: str, each: Mapping[str, Any], found: Mapping[str, Any] | None) -> UpdateOne | None:
    if found is None:
        return _insert(date, each, None)
    fields = _fields(each)
    if found["resolved_on"] is not None:
        return _update(found, fields | {"resolved_on": None}, date, "reopened", each["at_risk_minor"])
    if any(found[name] != value for name, value in fields.items()):
        return _update(found, fields, date, "changed", each["at_risk_minor"])
    return None


def _insert(date: str, each: Mapping[str, Any], resolved_on: str | None) -> UpdateOne:
    history = [_step(each["opened_on"], "opened", each["at_risk_minor"])]
    if resolved_on is not None:
        history.append(_step(resolved_on, "resolved", 0))
    fields = _fields(each) | {"last_seen_on": date, "resolved_on": resolved_on, "history": history, "decisions": []}
    return UpdateOne({"_id": each["id"]}, {"$setOnInsert": fields}, upsert=True)


def _update(found: Mapping[str, Any], fields: Mapping[str, Any], date: str, what: str, at_risk_minor: int) -> UpdateOne:
    """Change a break only if it is as it was read: another writer may have done it already."""
    unchanged = {name: found[name] for name in ("_id", "resolved_on", "at_risk_minor", "opened_on")}
    return UpdateOne(unchanged, {"$set": dict(fields), "$push": {"history": _step(date, what, at_risk_minor)}})


def _fields(each: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: each[name] for name in _OF_THE_DAY}
    fields["at_risk_minor"] = Int64(each["at_risk_minor"])
    fields["foreign_minor"] = {currency: Int64(amount) for currency, amount in each["foreign_minor"].items()}
    return fields


def _step(on: str, what: str, at_risk_minor: int) -> dict[str, Any]:
    return {"on": on, "what": what, "at_risk_minor": Int64(at_risk_minor)}


def _record(found: Mapping[str, Any]) -> BreakRecord:
    return BreakRecord(
        found["_id"],
        found["kind"],
        found["order_id"],
        found["currency"],
        int(found["at_risk_minor"]),
        {currency: int(amount) for currency, amount in found["foreign_minor"].items()},
        found["opened_on"],
        found["last_seen_on"],
        found["resolved_on"],
        [step | {"at_risk_minor": int(step["at_risk_minor"])} for step in found["history"]],
        [{"at_ms": int(each["at"]), "by": each["by"], "note": each["note"]} for each in found["decisions"]],
    )
