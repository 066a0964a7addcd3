"""fold(set of events, clock) -> document, and the union of partial views (matching rules, sections 1, 5 and 6)."""

from collections.abc import Iterable
from typing import Any

import msgspec

from orders_platform.events import Event
from orders_platform.matching.figures import Figures, Rules, add_up
from orders_platform.matching.status import outcome_of, reasons_of, status_of
from orders_platform.matching.winners import Winners, choose
from orders_platform.times import format_ms

MAX_EVENTS = 500


class Document(msgspec.Struct, gc=False):
    """What one order's events say at one time. Amounts in minor units of `currency`, times in UTC milliseconds."""

    order_id: str
    status: str
    outcome: str
    reasons: tuple[str, ...]
    currency: str | None
    due_minor: int | None
    captured_minor: int
    refunded_minor: int
    charged_back_minor: int
    net_minor: int
    deadline_at_ms: int
    cancelled_at_ms: int | None
    settled_at_ms: int | None
    event_count: int
    customer_id: str | None
    rule: int  # of the status table


class View(msgspec.Struct, gc=False):
    """What one place knows of an order: distinct event contents in order of arrival, the latest clock that they were
    folded with, and whether events beyond the bound were refused."""

    events: dict[Event, None]
    clock_ms: int
    overflow: bool = False


def fold(
    order_id: str, events: Iterable[Event], clock_ms: int | None, rules: Rules, overflow: bool = False
) -> Document:
    """Return the document of an order's distinct event contents (at least one) at a clock.

    Without a clock no deadline has passed. `overflow` says that further contents were refused.
    """
    contents = tuple(events)
    winners = choose(contents)
    figures = add_up(winners, rules)
    passed = clock_ms is not None and figures.deadline_at_ms < clock_ms
    rule, status = status_of(figures, passed)
    reasons = reasons_of(winners, figures, rule, status)
    if overflow:
        reasons.add("overflow")
    order = winners.order
    return Document(
        order_id,
        status,
        outcome_of(status, reasons),
        tuple(sorted(reasons)),
        figures.currency,
        figures.due_minor,
        figures.captured_minor,
        figures.refunded_minor,
        figures.charged_back_minor,
        figures.net_minor,
        figures.deadline_at_ms,
        figures.cancelled_at_ms,
        _settled_at_ms(winners, figures) if status == "matched" else None,
        len(contents),
        None if order is None else order.customer_id,
        rule,
    )


def _settled_at_ms(winners: Winners, figures: Figures) -> int | None:
    """Return when a matched order first had what it needs: its payment's time, or its own where nothing was due."""
    needed_minor = (figures.due_minor or 0) - figures.tolerance_minor
    if needed_minor <= 0 and winners.order is not None:
        return winners.order.occurred_at_ms
    for payment in winners.payments:
        needed_minor -= payment.amount_minor or 0
        if needed_minor <= 0:
            return payment.occurred_at_ms
    raise AssertionError("a matched order has been paid")


def union(view: View | None, arrivals: Iterable[Event], clock_ms: int = 0) -> tuple[View, list[Event], list[Event]]:
    """Return the view with `arrivals` and the later clock, which of them were new, and which the bound refused.

    The given view is left as it is. Contents it already holds are neither added nor refused.
    """
    events = {} if view is None else view.events.copy()
    added: list[Event] = []
    refused: list[Event] = []
    for event in arrivals:
        if event in events:
            continue
        if len(events) < MAX_EVENTS:
            events[event] = None
            added.append(event)
        else:
            refused.append(event)
    known_clock_ms = 0 if view is None else view.clock_ms
    overflow = bool(refused) or (view is not None and view.overflow)
    return View(events, max(known_clock_ms, clock_ms), overflow), added, refused


def document_json(document: Document) -> dict[str, Any]:
    """Return a document with the keys and times of `orders fold`."""
    d = document
    return {
        "order_id": d.order_id,
        "status": d.status,
        "outcome": d.outcome,
        "reasons": list(d.reasons),
        "currency": d.currency,
        "due_minor": d.due_minor,
        "captured_minor": d.captured_minor,
        "refunded_minor": d.refunded_minor,
        "charged_back_minor": d.charged_back_minor,
        "net_minor": d.net_minor,
        "deadline_at": format_ms(d.deadline_at_ms),
        "cancelled_at": None if d.cancelled_at_ms is None else format_ms(d.cancelled_at_ms),
        "settled_at": None if d.settled_at_ms is None else format_ms(d.settled_at_ms),
        "event_count": d.event_count,
    }
