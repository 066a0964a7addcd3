"""Which events of an order count: duplicates and conflicts (matching rules, section 3)."""

from collections.abc import Iterable
from operator import attrgetter

import msgspec

from orders_platform.events import (
    CHARGEBACK_OPENED,
    CHARGEBACK_REVERSED,
    ORDER_CANCELLED,
    ORDER_PLACED,
    PAYMENT_CAPTURED,
    REFUND_ISSUED,
    Event,
    canonical,
)

_in_order = attrgetter("occurred_at_ms", "event_id")

# What makes two events of one type the same business fact, and the reason where they disagree about its money.
_IDENTITIES = {
    ORDER_PLACED: (attrgetter("order_id"), "conflicting_order"),
    PAYMENT_CAPTURED: (attrgetter("payment_id"), "conflicting_payment"),
    REFUND_ISSUED: (attrgetter("refund_id"), "conflicting_refund"),
    CHARGEBACK_OPENED: (attrgetter("chargeback_id"), "conflicting_chargeback"),
}


class Winners(msgspec.Struct, gc=False):
    """The events of one order that count, each list in (`occurred_at`, `event_id`) order, and the conflicts found."""

    first: Event  # the earliest of all, of whatever type
    order: Event | None
    cancellations: list[Event]
    payments: list[Event]
    refunds: list[Event]
    chargebacks: list[Event]
    reversed_ids: set[str | None]  # chargeback ids that the merchant won
    conflicts: set[str]  # reasons


def choose(events: Iterable[Event]) -> Winners:
    """Return what counts of the distinct contents in `events`, of which there is at least one."""
    conflicts: set[str] = set()
    by_id: dict[str, Event] = {}
    for event in events:
        other = by_id.setdefault(event.event_id, event)
        if other is not event:
            conflicts.add("conflicting_event")
            by_id[event.event_id] = min(event, other, key=canonical)
    by_type: dict[str, dict[str, Event]] = {}
    reversed_ids: set[str | None] = set()
    cancellations: list[Event] = []
    ordered = sorted(by_id.values(), key=_in_order) if len(by_id) > 1 else list(by_id.values())
    for event in ordered:
        kind = event.type
        if kind in _IDENTITIES:
            identity, reason = _IDENTITIES[kind]
            winner = by_type.setdefault(kind, {}).setdefault(identity(event), event)
            if winner is not event and (winner.amount_minor != event.amount_minor or winner.currency != event.currency):
                conflicts.add(reason)
        elif kind == CHARGEBACK_REVERSED:
            reversed_ids.add(event.chargeback_id)
        elif kind == ORDER_CANCELLED:
            cancellations.append(event)
    return Winners(
        ordered[0],
        next(iter(by_type.get(ORDER_PLACED, {}).values()), None),
        cancellations,
        list(by_type.get(PAYMENT_CAPTURED, {}).values()),
        list(by_type.get(REFUND_ISSUED, {}).values()),
        list(by_type.get(CHARGEBACK_OPENED, {}).values()),
        reversed_ids,
        conflicts,
    )
