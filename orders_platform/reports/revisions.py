"""Revisions of a day's statement: whether its content is another, and what moved (daily statements, section 5)."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from orders_platform.reports.statement import Break, Statement, as_json

LATE_EVENTS_MAX = 1_000  # named in a revision; all are counted
_ABOUT_BREAKS = {"breaks"}
_NOT_CONTENT = {"revision", "replaces"}


class LateEvent(msgspec.Struct, frozen=True):
    """An event that the revision before did not know."""

    event_id: str
    order_id: str
    type: str
    occurred_at: str


class Changes(msgspec.Struct, frozen=True):
    """What moved: figures by their place, with what they were and are (None: not there); breaks by id; the late events
    that are behind it, in order of their time, up to a bound, and how many they are."""

    figures: dict[str, tuple[Any, Any]]
    breaks_appeared: list[str]
    breaks_vanished: list[str]
    breaks_moved: list[str]
    late_events: list[LateEvent]
    late_event_count: int


def content_sha256(statement: Statement) -> str:
    """Return the hash of what a statement says. How far the topics are read is not part of it, as it grows with every
    message; what is unread is."""
    return hashlib.sha256(msgspec.json.encode(_content(statement))).hexdigest()


def revise(statement: Statement, before: Statement | None) -> Statement | None:
    """Return the statement as the next revision, or None if it says what the kept one says."""
    if before is None:
        return statement
    if content_sha256(statement) == content_sha256(before):
        return None
    return msgspec.structs.replace(statement, revision=before.revision + 1, replaces=before.revision)


def changes(before: Statement, after: Statement, late: Sequence[LateEvent]) -> Changes:
    """Return what moved from one revision to the next."""
    old, new = _figures(_content(before)), _figures(_content(after))
    figures = {
        place: (old.get(place), new.get(place))
        for place in sorted(old.keys() | new.keys())
        if old.get(place) != new.get(place)
    }
    was, now = _listed(before), _listed(after)
    moved = [each for each in was.keys() & now.keys() if was[each] != now[each]]
    told = sorted(late, key=lambda event: (event.occurred_at, event.order_id, event.event_id))
    return Changes(
        figures,
        sorted(now.keys() - was.keys()),
        sorted(was.keys() - now.keys()),
        sorted(moved),
        told[:LATE_EVENTS_MAX],
        len(told),
    )


def _content(statement: Statement) -> dict[str, Any]:
    content = {name: value for name, value in as_json(statement).items() if name not in _NOT_CONTENT}
    content["coverage"] = {name: value for name, value in content["coverage"].items() if name != "offsets"}
    return content


def _figures(value: Any, place: str = "") -> dict[str, Any]:
    """Return everything but the breaks by its dotted place."""
    if not isinstance(value, Mapping):
        return {place: value}
    found: dict[str, Any] = {}
    for name, part in value.items():
        if place or name not in _ABOUT_BREAKS:
            found |= _figures(part, f"{place}.{name}" if place else name)
    return found


def _listed(statement: Statement) -> dict[str, tuple[str, Break]]:
    lists = statement.breaks
    return {
        each.id: (name, each)
        for name, listed in (("new", lists.new), ("persisting", lists.persisting), ("resolved", lists.resolved))
        for each in listed
    }
