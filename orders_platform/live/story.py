"""One order's story: what is stored, which events count, which rule gave the status, what would settle it."""

from typing import Any

import msgspec

from orders_platform.errors import FatalStoreError, UnknownOrder
from orders_platform.events import Event
from orders_platform.matching import document_json
from orders_platform.matching.explain import Explanation, Note, explain
from orders_platform.reports.money import digits_of
from orders_platform.settings import Settings
from orders_platform.store import queries
from orders_platform.store.client import Store
from orders_platform.store.documents import UNREADABLE, Arrival
from orders_platform.times import format_ms


class Trace(msgspec.Struct, frozen=True):
    """A stored order, explained by the rules of now with the clock that it was last folded with."""

    stored: queries.Order
    explained: Explanation
    deliveries: dict[Event, Arrival]

    @property
    def differs(self) -> bool:
        """Whether the rules of now would say something else than what is stored."""
        return document_json(self.stored.document) != document_json(self.explained.document)


def trace(store: Store, settings: Settings, order_id: str) -> Trace:
    """Return one order with the grounds for its status.

    Raises:
        UnknownOrder: there is no such order.
        StoreError: MongoDB could not be reached, or the order's document can't be read.
    """
    try:
        found = queries.order(store, order_id)
        traced = None if found is None else _explained(found, settings)
    except UNREADABLE as error:
        raise FatalStoreError(
            f"The document of order {order_id!r} can't be read: somebody has written it past the schema.",
            "Mend or delete it, then run `orders dead-letters replay --reason damaged_order`.",
        ) from error
    if traced is None:
        raise UnknownOrder(
            f"There is no order {order_id!r} in {settings.mongo.database}.",
            "If it was published just now, run `orders wait`; if its events were rejected, see `orders dead-letters`.",
        )
    return traced


def _explained(found: queries.Order, settings: Settings) -> Trace:
    deliveries = {arrival.event: arrival for arrival in found.arrivals}
    rules = settings.matching.rules()
    explained = explain(found.document.order_id, deliveries, found.clock_ms, rules, found.overflow)
    return Trace(found, explained, deliveries)


def as_json(traced: Trace) -> dict[str, Any]:
    """Return the trace as one JSON document; times are RFC 3339, amounts are in minor units, and `digits`
    says how many digits that unit has of each currency."""
    stored, explained = traced.stored, traced.explained
    currencies = {stored.document.currency, *(event.currency for event in traced.deliveries)}
    return {
        "document": document_json(stored.document),
        "digits": {currency: digits_of(currency) for currency in sorted(filter(None, currencies))},
        "customer_id": stored.document.customer_id,
        "version": stored.version,
        "clock": format_ms(stored.clock_ms),
        "first_seen_at": format_ms(stored.first_seen_at_ms),
        "updated_at": format_ms(stored.updated_at_ms),
        "deadline_passed": explained.deadline_passed,
        "events": [_event_json(note, traced.deliveries[note.event]) for note in explained.notes],
        "rules": [msgspec.to_builtins(step) for step in explained.steps],
        "settled_by": [msgspec.to_builtins(remedy) for remedy in explained.remedies],
        "by_the_rules_of_now": document_json(explained.document) if traced.differs else None,
    }


def _event_json(note: Note, arrival: Arrival) -> dict[str, Any]:
    fields = {name: value for name, value in msgspec.structs.asdict(note.event).items() if value is not None}
    fields["occurred_at"] = format_ms(fields.pop("occurred_at_ms"))
    del fields["order_id"]
    place = {"topic": arrival.topic, "partition": arrival.partition, "offset": arrival.offset}
    return fields | place | {"counts": note.counts, "why": note.why}
