"""What the winning events add up to (matching rules, section 4)."""

import msgspec

from orders_platform.events import Event
from orders_platform.matching.winners import Winners


class Rules(msgspec.Struct, frozen=True):
    """The settings of matching: how far a payment may be off, in minor units, and how long an order may wait for it."""

    tolerance_minor: int = 0
    payment_window_ms: int = 30 * 60_000


class Figures(msgspec.Struct, gc=False):
    """The sums of one order in `currency`, in minor units, and its times in UTC milliseconds."""

    tolerance_minor: int
    currency: str | None
    due_minor: int | None
    captured_minor: int
    refunded_minor: int
    charged_back_minor: int
    net_minor: int
    deadline_at_ms: int
    cancelled_at_ms: int | None
    foreign: bool
    open_chargebacks: list[Event]


def add_up(winners: Winners, rules: Rules) -> Figures:
    """Return the figures of an order's winning events."""
    order, payments, refunds = winners.order, winners.payments, winners.refunds
    chargebacks = winners.chargebacks
    if chargebacks and winners.reversed_ids:
        chargebacks = [event for event in chargebacks if event.chargeback_id not in winners.reversed_ids]
    currency = order.currency if order is not None else _earliest_currency(winners)
    captured, foreign_payment = _sum(payments, currency)
    refunded, foreign_refund = _sum(refunds, currency)
    charged_back, foreign_chargeback = _sum(chargebacks, currency)
    return Figures(
        rules.tolerance_minor,
        currency,
        None if order is None else order.amount_minor,
        captured,
        refunded,
        charged_back,
        captured - refunded - charged_back,
        (winners.first if order is None else order).occurred_at_ms + rules.payment_window_ms,
        winners.cancellations[0].occurred_at_ms if winners.cancellations else None,
        foreign_payment or foreign_refund or foreign_chargeback,
        chargebacks,
    )


def _sum(events: list[Event], currency: str | None) -> tuple[int, bool]:
    total_minor = 0
    foreign = False
    for event in events:
        if event.currency == currency:
            total_minor += event.amount_minor or 0
        else:
            foreign = True
    return total_minor, foreign


def _earliest_currency(winners: Winners) -> str | None:
    heads = [events[0] for events in (winners.payments, winners.refunds, winners.chargebacks) if events]
    return min(heads, key=lambda event: (event.occurred_at_ms, event.event_id)).currency if heads else None
