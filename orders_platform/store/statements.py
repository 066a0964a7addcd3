"""Kept statements: one document for each day and revision in `statements`, never overwritten.

A large shop's breaks would not fit into one document: they lie in `statement_breaks`, some thousand to a document,
written before the statement that they belong to. They go by their content, so what a maker left behind that died, or
came second, never mixes with what was kept.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING, ReplaceOne
from pymongo.errors import DuplicateKeyError

from orders_platform.errors import RetryableStoreError
from orders_platform.store.client import Store
from orders_platform.store.failures import translated

LISTS = ("new", "persisting", "resolved")
_BREAKS_A_PART = 2_000
_ABOUT = ("_id", "read_at", "changes", "sha256")
"""What a document says beside its statement; `sha256` is over all of it, and over the breaks."""


class Kept(NamedTuple):
    """A kept statement in its JSON keys; when its reading began (MongoDB's clock, UTC ms); how it differs from the
    revision before, if there is one."""

    statement: dict[str, Any]
    read_at_ms: int
    changes: dict[str, Any] | None


def latest(store: Store, date: str) -> Kept | None:
    """Return the last revision of a day's statement, or None.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    with translated():
        found = store.statements.find_one({"date": date}, sort=[("revision", DESCENDING)])
        if found is None:
            return None
        lists: dict[str, list[Any]] = {name: [] for name in LISTS}
        counts = found.pop("breaks")
        for part in _parts_of(store, counts["parts"]):
            lists[part["list"]] += part["breaks"]
    if any(len(lists[name]) != counts[name] for name in LISTS):
        raise RetryableStoreError(f"The breaks of the statement {found['_id']} are not all there.", "Try again.")
    return _kept(found, lists)


def keep(store: Store, statement: Mapping[str, Any], read_at_ms: int, changes: Mapping[str, Any] | None) -> None:
    """Keep a statement, given in its JSON keys, durably.

    Raises:
        RetryableStoreError: somebody else has kept this revision of this day meanwhile.
        StoreError: MongoDB refused or could not be reached; doing it again is harmless.
    """
    name = f"{statement['date']}:{statement['revision']}"
    digest = hashlib.sha256(msgspec.json.encode(statement["breaks"])).hexdigest()[:16]
    parts = list(_parts(f"{name}:{digest}", statement["breaks"]))
    counts: dict[str, Any] = {each: Int64(len(statement["breaks"][each])) for each in LISTS}
    document = _longs(statement) | {
        "_id": name,
        "read_at": DatetimeMS(read_at_ms),
        "changes": None if changes is None else _longs(changes),
        "breaks": counts | {"parts": f"{name}:{digest}"},
        "sha256": _digest(Kept(dict(statement), read_at_ms, None if changes is None else dict(changes))),
    }
    with translated(writing=True):
        if store.statements.find_one({"_id": name}, {"_id": 1}) is not None:
            raise _taken(name)
        if parts:
            store.statement_breaks.bulk_write(parts, ordered=False)
        try:
            store.statements.insert_one(document)
        except DuplicateKeyError:
            raise _taken(name) from None


def heads(store: Store, dates: Sequence[str] | None = None, *, at_most: int | None = None) -> list[dict[str, Any]]:
    """Return the last revisions of statements in their JSON keys, the breaks left out, the oldest day first: of these
    days, or of all, and only of the latest so many days that have one.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    latest_first = [("date", DESCENDING), ("revision", DESCENDING)]
    found: dict[str, dict[str, Any]] = {}
    with translated():
        for each in store.statements.find({} if dates is None else {"date": {"$in": list(dates)}}, sort=latest_first):
            if each["date"] not in found and len(found) == at_most:
                break
            found.setdefault(each["date"], each)
    for each in found.values():
        for name in (*_ABOUT, "breaks"):
            each.pop(name, None)
    return [_plain(found[on]) for on in sorted(found)]


def altered(store: Store, dates: Sequence[str] | None = None) -> list[str]:
    """Return the names of statements (`2026-01-05:1`) that are not what was kept, and of revisions that are gone,
    though a later one is there: of these days, or of all.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    names: list[str] = []
    following: tuple[str, int] = ("", 1)
    in_order = [("date", ASCENDING), ("revision", ASCENDING)]
    with translated():
        for found in store.statements.find({} if dates is None else {"date": {"$in": list(dates)}}, sort=in_order):
            name, revision = found["_id"], int(found["revision"])
            expected = following[1] if following[0] == found["date"] else 1
            names += [f"{found['date']}:{missing}" for missing in range(expected, revision)]
            following = (found["date"], revision + 1)
            if not _is_as_kept(store, found):
                names.append(name)
    return names


def last_date(store: Store, *, final: bool = False) -> str | None:
    """Return the last day that has a statement (`final`: one that is not provisional), or None.

    Statements that were made before their day had begun are left
    out: one for next year, asked for by mistake, must not stand for what is known now.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    latest_first = [("date", DESCENDING), ("revision", DESCENDING)]
    with translated():
        wanted = {"provisional": False} if final else {}
        for found in store.statements.find(wanted, {"date": 1, "time_zone": 1, "read_at": 1}, sort=latest_first):
            if found["date"] <= _date_at(int(found["read_at"]), found["time_zone"]):
                return found["date"]
    return None


def match_rates(store: Store, dates: Sequence[str]) -> dict[str, float | None]:
    """Return the match rate by day, for those of the days that have a statement: of its last revision.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    wanted = {"date": {"$in": list(dates)}}
    in_order = [("date", ASCENDING), ("revision", ASCENDING)]
    with translated():
        kept = list(store.statements.find(wanted, {"date": 1, "match_rate": 1}, sort=in_order))
    return {found["date"]: found["match_rate"] for found in kept}


def _date_at(time_ms: int, time_zone: str) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    return at.astimezone(ZoneInfo(time_zone)).date().isoformat()


def _is_as_kept(store: Store, found: dict[str, Any]) -> bool:
    lists: dict[str, list[Any]] = {name: [] for name in LISTS}
    try:
        for part in _parts_of(store, found.pop("breaks")["parts"]):
            lists[part["list"]] += part["breaks"]
        told = found["sha256"]
        return told == _digest(_kept(found, lists))
    except (KeyError, TypeError, ValueError):
        return False  # something that belongs to it was taken away, or is of another type


def _parts_of(store: Store, name: str) -> Iterator[dict[str, Any]]:
    yield from store.statement_breaks.find({"statement": name}, sort=[("part", ASCENDING)])


def _kept(found: dict[str, Any], lists: Mapping[str, list[Any]]) -> Kept:
    about = {name: found.pop(name, None) for name in _ABOUT}
    changes = None if about["changes"] is None else _plain(about["changes"])
    return Kept(_plain(found) | {"breaks": _plain(lists)}, int(about["read_at"]), changes)


def _digest(kept: Kept) -> str:
    """Return the hash of all that a statement says, whatever the order of keys."""
    return hashlib.sha256(msgspec.json.encode(kept, order="sorted")).hexdigest()


def _taken(name: str) -> RetryableStoreError:
    return RetryableStoreError(f"Somebody else has just kept the statement {name}.", "Run it again.")


def _parts(name: str, breaks: Mapping[str, Sequence[Any]]) -> Iterator[ReplaceOne[dict[str, Any]]]:
    number = 0
    for each in LISTS:
        for at in range(0, len(breaks[each]), _BREAKS_A_PART):
            listed = [_break_longs(one) for one in breaks[each][at : at + _BREAKS_A_PART]]
            part = {"_id": f"{name}:{number}", "statement": name, "part": Int64(number), "list": each}
            yield ReplaceOne({"_id": part["_id"]}, part | {"breaks": listed}, upsert=True)
            number += 1


def _break_longs(each: Mapping[str, Any]) -> dict[str, Any]:
    """Do what `_longs` does, faster: there may be a million."""
    foreign = {currency: Int64(amount) for currency, amount in each["foreign_minor"].items()}
    numbers = {"at_risk_minor": Int64(each["at_risk_minor"]), "age_days": Int64(each["age_days"])}
    return {**each, **numbers, "foreign_minor": foreign}


def _longs(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _longs(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_longs(item) for item in value]
    return Int64(value) if type(value) is int else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, Int64) else value
