"""One order as of an edge (daily statements, sections 1 and 2): its document, and what the customer owes by it."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from orders_platform.events import Event
from orders_platform.matching import Document, Rules, fold
from orders_platform.matching.winners import Winners, choose


class Told(msgspec.Struct, gc=False):
    """What is known of one order: its distinct event contents, and whether further ones were refused.

    A refused event has no place in time, so the flag holds at every edge that has an event of the order.
    """

    order_id: str
    events: Sequence[Event]
    overflow: bool = False


class Standing(msgspec.Struct, gc=False):
    """An order as of an edge. `position_minor` has every currency in which anything counts, also where it is 0."""

    document: Document
    winners: Winners
    position_minor: dict[str, int]


def standing(order: Told, edge_ms: int, rules: Rules) -> Standing | None:
    """Return an order as of an edge, or None if nothing of it had occurred."""
    events = [event for event in order.events if event.occurred_at_ms < edge_ms]
    if not events:
        return None
    document = fold(order.order_id, events, edge_ms, rules, order.overflow)
    winners = choose(events)
    return Standing(document, winners, _position(document, winners))


def foreign_minor(standing: Standing) -> dict[str, int]:
    """Return what was captured less what went back, by each currency other than the order's own."""
    return dict(sorted(_foreign(standing.document, standing.winners).items()))


def open_chargebacks(winners: Winners) -> list[Event]:
    """Return the charge-backs that the merchant has not won."""
    return [event for event in winners.chargebacks if event.chargeback_id not in winners.reversed_ids]


def _position(document: Document, winners: Winners) -> dict[str, int]:
    """The order's own currency comes from the document's figures, and not from the events that make the lines."""
    position = {currency: -amount for currency, amount in _foreign(document, winners).items()}
    if document.currency is not None:
        billed = 0 if document.cancelled_at_ms is not None else document.due_minor or 0
        position[document.currency] = billed - document.net_minor
    return position


def _foreign(document: Document, winners: Winners) -> Counter[str]:
    found: Counter[str] = Counter()
    for currency, _ in _money(winners.chargebacks):  # one that was reversed counts nothing, but shows its currency
        found[currency] += 0
    for sign, events in ((1, winners.payments), (-1, winners.refunds), (-1, open_chargebacks(winners))):
        for currency, amount_minor in _money(events):
            found[currency] += sign * amount_minor
    found.pop(document.currency or "", None)
    return found


def _money(events: Iterable[Event]) -> list[tuple[str, int]]:
    return [(event.currency or "", event.amount_minor or 0) for event in events]
