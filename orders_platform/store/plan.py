"""What a chunk of changes makes of what is stored: pure, so that a transaction can be done again from the start."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter, is_
from typing import NamedTuple, cast

import msgspec
from bson.raw_bson import RawBSONDocument

from orders_platform.events import Event
from orders_platform.matching import Document, Rules, View, fold, union
from orders_platform.matching.breaks import Counted, counted_as
from orders_platform.matching.status import PENDING_STATUSES
from orders_platform.store import documents
from orders_platform.store.counters import Deltas
from orders_platform.store.documents import UNREADABLE, Arrival, Damaged, Stored

LATE_MS = 3_600_000
"""An event that is merged so long after it occurred makes its order's `late_at`: daily statements look for such."""
_event = attrgetter("event")
_occurred_at_ms = attrgetter("occurred_at_ms")


class Known(msgspec.Struct, gc=False):
    """What one place believes to be stored of an order; it may be stale.

    `open` says that the order still waits for its money or its placement. `figures` is the fingerprint of the stored
    figures: it shows whether a clock or other rules would change them. `counted` is what it counts as in the totals.
    """

    version: int
    view: View
    open: bool
    figures: bytes
    counted: Counted


class Change(NamedTuple):
    """What is to be merged into one order: what we believe is stored, if anything, and the events delivered for it.

    Without arrivals the order is only judged again by the clock.
    """

    order_id: str
    known: Known | None
    arrivals: Sequence[Arrival]


class Merged(msgspec.Struct):
    """What became of changes: each order's new state, arrivals beyond the bound of events, arrivals for orders whose
    stored document is damaged, and counts of orders.

    `conflicts` counts orders that another writer had moved, once for each time.
    """

    known: dict[str, Known]
    refused: list[Arrival]
    damaged: list[Arrival] = []
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    conflicts: int = 0

    def add(self, more: "Merged") -> None:
        """Take over what became of more changes, of other orders."""
        self.known.update(more.known)
        self.refused += more.refused
        self.damaged += more.damaged
        self.inserted += more.inserted
        self.updated += more.updated
        self.unchanged += more.unchanged
        self.conflicts += more.conflicts


class Plan(msgspec.Struct):
    """What one transaction is to write, and what holds once it is committed.

    `merged_ms` is MongoDB's cluster time within the transaction, so at most that of its commit.
    """

    inserts: list[RawBSONDocument]
    updates: list[RawBSONDocument]
    deltas: Deltas
    merged: Merged
    clock_ms: int
    now_ms: int
    merged_ms: int
    rules: Rules


def plan(
    changes: Sequence[Change],
    stored: Mapping[str, int | Stored | Damaged],
    clock_ms: int,
    now_ms: int,
    merged_ms: int,
    rules: Rules,
) -> Plan:
    """Return what to write. `stored` has, by order id, the version where it is as believed, else what is stored."""
    made = Plan([], [], Deltas(), Merged({}, []), clock_ms, now_ms, merged_ms, rules)
    for change in changes:
        found = stored.get(change.order_id)
        try:
            if isinstance(found, Damaged):
                made.merged.damaged += change.arrivals
            else:
                _plan_order(made, change, found)
        except UNREADABLE:
            base = found if isinstance(found, Stored) else change.known
            if base is None or not _is_damaged(change.order_id, base.view, rules):
                raise
            made.merged.damaged += change.arrivals
    return made


def _is_damaged(order_id: str, view: View, rules: Rules) -> bool:
    """Return whether what is stored can't even be judged by itself."""
    try:
        documents.figures(fold(order_id, view.events, view.clock_ms, rules, view.overflow))
    except UNREADABLE:
        return True
    return False


def _plan_order(plan: Plan, change: Change, stored: int | Stored | None) -> None:
    order_id, known, arrivals = change
    merged, clock_ms = plan.merged, plan.clock_ms
    events: Iterable[Event] = map(_event, arrivals)
    version, base, before, overflow = 0, None, None, False
    if isinstance(stored, int):
        known = cast("Known", known)
        version, base, before = stored, known.view, known.counted
    else:
        if stored is not None:
            version, base, before = stored.version, stored.view, stored.counted
        if known is not None:
            merged.conflicts += 1
            events = chain(known.view.events, events)
            clock_ms, overflow = max(clock_ms, known.view.clock_ms), known.view.overflow
    view, added, refused = union(base, events, clock_ms)
    view.overflow |= overflow
    if not view.events:
        return  # a document that vanished before it was judged again
    if refused:
        too_many = frozenset(refused)
        merged.refused += [arrival for arrival in arrivals if arrival.event in too_many]
    document = fold(order_id, view.events, view.clock_ms, plan.rules, view.overflow)
    figures = documents.figures(document)
    fingerprint = documents.fingerprint(figures)
    counted = counted_as(document)
    if base is not None and not added and _stands(stored, known, document, fingerprint):
        merged.unchanged += 1
        view = base
    else:
        version += 1
        plan.deltas.replace(order_id, before, counted)
        encoded = _encoded(added, arrivals, plan.merged_ms)
        late_ms = plan.merged_ms if _is_late(plan, view, base, added) else None
        if base is None:
            merged.inserted += 1
            plan.inserts.append(
                documents.new_document(
                    order_id, figures, encoded, clock_ms=view.clock_ms, now_ms=plan.now_ms, late_ms=late_ms
                )
            )
        else:
            merged.updated += 1
            plan.updates.append(
                documents.update_statement(
                    order_id, figures, encoded, version, clock_ms=view.clock_ms, now_ms=plan.now_ms, late_ms=late_ms
                )
            )
    merged.known[order_id] = Known(version, view, document.status in PENDING_STATUSES, fingerprint, counted)


def _stands(stored: int | Stored | None, known: Known | None, document: Document, fingerprint: bytes) -> bool:
    """Return whether the stored figures are those of `document`, which has the same events."""
    if isinstance(stored, Stored):
        return stored.judgement == documents.judgement(document)
    return known is not None and known.figures == fingerprint


def _is_late(plan: Plan, view: View, base: View | None, added: Sequence[Event]) -> bool:
    """Return whether a statement of an earlier day may have to know: an event that comes late, or a refused one, which
    has no time."""
    if view.overflow and not (base is not None and base.overflow):
        return True
    return bool(added) and min(map(_occurred_at_ms, added)) <= plan.merged_ms - LATE_MS


def _encoded(added: Sequence[Event], arrivals: Sequence[Arrival], merged_ms: int) -> list[bytes]:
    """Return the added events as subdocuments with the coordinates of their first delivery."""
    if len(added) == len(arrivals) and all(map(is_, added, map(_event, arrivals))):
        return [documents.event_bytes(*arrival, merged_ms=merged_ms) for arrival in arrivals]
    first: dict[Event, Arrival] = {}
    for arrival in arrivals:
        first.setdefault(arrival.event, arrival)
    # An event that only our belief held, of a document that has vanished, has lost its coordinates.
    return [
        documents.event_bytes(*first[event], merged_ms=merged_ms)
        if event in first
        else documents.event_bytes(event, merged_ms=merged_ms)
        for event in added
    ]
