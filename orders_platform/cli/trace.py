"""One order, told to a person or as one JSON document."""

from typing import Any

import msgspec
from rich.markup import escape
from rich.table import Table

from orders_platform.cli import output
from orders_platform.errors import OrdersError
from orders_platform.events import Event
from orders_platform.matching import Document, document_json
from orders_platform.matching.explain import Explanation, Note, Step, explain
from orders_platform.settings import Settings
from orders_platform.store import queries
from orders_platform.store.client import Store
from orders_platform.store.documents import Arrival
from orders_platform.times import format_ms

_MARKS = {True: "[green]yes[/]", False: "[dim]no[/]"}


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
        OrdersError: there is no such order.
        StoreError: MongoDB could not be reached.
    """
    found = queries.order(store, order_id)
    if found is None:
        raise OrdersError(
            f"There is no order {order_id!r} in {settings.mongo.database}.",
            "If it was published just now, run `orders wait`; if its events were rejected, see `orders dead-letters`.",
        )
    deliveries = {arrival.event: arrival for arrival in found.arrivals}
    return Trace(
        found,
        explain(order_id, deliveries, found.clock_ms, settings.matching.rules(), found.overflow),
        deliveries,
    )


def as_json(traced: Trace) -> dict[str, Any]:
    """Return the trace as one JSON document; times are RFC 3339, amounts are in minor units."""
    stored, explained = traced.stored, traced.explained
    return {
        "document": document_json(stored.document),
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


def draw(traced: Trace) -> None:
    """Print the trace for a person."""
    stored, explained = traced.stored, traced.explained
    document = stored.document
    style = output.STYLES[document.outcome]
    reasons = f": {', '.join(document.reasons)}" if document.reasons else ""
    out = output.console(stderr=False)
    out.print(f"[bold]{document.order_id}[/]  [{style}]{document.status}[/]  ({document.outcome}{reasons})")
    out.print(
        f"version {stored.version}, first seen {format_ms(stored.first_seen_at_ms)}, "
        f"updated {format_ms(stored.updated_at_ms)}, clock {format_ms(stored.clock_ms)}\n"
    )
    out.print(_events(traced))
    unit = f"minor units of {document.currency}" if document.currency else "no money has moved"
    out.print(f"\n[bold]Figures[/] ({unit})")
    out.print(_figures(document))
    passed = "passed" if explained.deadline_passed else "not passed"
    out.print(f"deadline {format_ms(document.deadline_at_ms)} ({passed}){_times(document)}")
    out.print("\n[bold]Rules[/]: the first that holds gives the status")
    out.print(_rules(explained.steps))
    out.print("\n[bold]What would settle it[/]")
    for remedy in explained.remedies:
        out.print(f"  {escape(remedy.what)}")
    if not explained.remedies:
        out.print("  nothing: it is settled")
    if traced.differs:
        now = explained.document
        again = ", ".join((now.status, now.outcome, *now.reasons))
        output.say(f"\nThe settings of now would say: {again}. `orders matcher restart` takes them.")


def _events(traced: Trace) -> Table:
    drawn = output.table("occurred at", "event, its id", "amount", "counts", "why, first delivery", right=("amount",))
    drawn.columns[0].no_wrap = True
    for note in traced.explained.notes:
        event, arrival = note.event, traced.deliveries[note.event]
        amount = "" if event.amount_minor is None else f"{event.amount_minor} {event.currency}"
        drawn.add_row(
            format_ms(event.occurred_at_ms),
            f"{event.type}\n[dim]{event.event_id}[/]",
            amount,
            _MARKS[note.counts],
            f"{escape(note.why)}\n[dim]{arrival.topic}:{arrival.partition}:{arrival.offset}[/]",
        )
    return drawn


def _figures(document: Document) -> Table:
    names = ("due", "captured", "refunded", "charged back", "net")
    drawn = output.table(*names, right=names)
    drawn.add_row(
        "-" if document.due_minor is None else str(document.due_minor),
        *map(str, (document.captured_minor, document.refunded_minor, document.charged_back_minor, document.net_minor)),
    )
    return drawn


def _times(document: Document) -> str:
    named = (("cancelled", document.cancelled_at_ms), ("settled", document.settled_at_ms))
    return "".join(f", {name} {format_ms(time_ms)}" for name, time_ms in named if time_ms is not None)


def _rules(steps: list[Step]) -> Table:
    drawn = output.table("rule", "condition", "holds", "why", right=("rule",))
    for step in steps:
        if step.holds is not None:
            drawn.add_row(str(step.rule), step.condition, _MARKS[step.holds], escape(step.why))
    return drawn
