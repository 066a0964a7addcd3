"""What would settle an order that does not add up: events that can still come, and what only a person can decide."""

from collections.abc import Callable

import msgspec

from orders_platform.events import CHARGEBACK_REVERSED, ORDER_PLACED, PAYMENT_CAPTURED, REFUND_ISSUED
from orders_platform.matching.figures import Figures
from orders_platform.matching.fold import Document


class Remedy(msgspec.Struct, frozen=True):
    """One thing that would help. Where it is an event, its type, and its amount in minor units or its charge-back."""

    what: str
    type: str | None = None
    amount_minor: int | None = None
    chargeback_id: str | None = None


def remedies_for(document: Document, figures: Figures) -> list[Remedy]:
    """Return what the status asks for, then what each reason asks for; nothing for an order that needs nothing."""
    by_status = _BY_STATUS.get(document.status)
    found = [] if by_status is None else by_status(figures)
    return found + [Remedy(_BY_REASON[reason]) for reason in document.reasons if reason in _BY_REASON]


def _an_order(f: Figures) -> list[Remedy]:
    fitting = f"; one of {f.captured_minor} would fit what was captured" if f.captured_minor else ""
    return [Remedy(f"the order itself{fitting}", ORDER_PLACED, f.captured_minor)]


def _a_payment(f: Figures) -> list[Remedy]:
    missing_minor = (f.due_minor or 0) - f.captured_minor
    return [Remedy(f"a payment of {missing_minor}", PAYMENT_CAPTURED, missing_minor)]


def _a_refund_of_too_much(f: Figures) -> list[Remedy]:
    over_minor = f.captured_minor - f.refunded_minor - (f.due_minor or 0)
    return [Remedy(f"a refund of {over_minor}", REFUND_ISSUED, over_minor)]


def _a_refund_of_all(f: Figures) -> list[Remedy]:
    return [Remedy(f"a refund of {f.net_minor}, for the order was cancelled", REFUND_ISSUED, f.net_minor)]


def _reversals(f: Figures) -> list[Remedy]:
    return [
        Remedy(
            f"winning the charge-back {event.chargeback_id} of {event.amount_minor} {event.currency}",
            CHARGEBACK_REVERSED,
            chargeback_id=event.chargeback_id,
        )
        for event in f.open_chargebacks
    ]


def _one_currency(f: Figures) -> list[Remedy]:
    foreign = Remedy(f"a person's decision: what is not in {f.currency} can't be weighed against what is due")
    return [foreign, *(_reversals(f) if any(each.currency != f.currency for each in f.open_chargebacks) else [])]


_BY_STATUS: dict[str, Callable[[Figures], list[Remedy]]] = {
    "awaiting_order": _an_order,
    "orphan": _an_order,
    "currency_mismatch": _one_currency,
    "charged_back": _reversals,
    "refund_due": _a_refund_of_all,
    "awaiting_payment": _a_payment,
    "unpaid": _a_payment,
    "partially_paid": _a_payment,
    "underpaid": _a_payment,
    "overpaid": _a_refund_of_too_much,
}
_BY_REASON = {
    "conflicting_event": "asking the producer which content of the same event id is right; both are kept, one counts",
    "conflicting_order": "asking the shop which amount was ordered; the earliest counts",
    "conflicting_payment": "asking the payment provider what was captured; the earliest counts",
    "conflicting_refund": "asking the payment provider what was refunded; the earliest counts",
    "conflicting_chargeback": "asking the payment provider what was disputed; the earliest counts",
    "duplicate_payment": "checking whether the customer paid twice; the note stays when the second payment is refunded",
    "refund_and_chargeback": "answering the charge-back with the refund: the customer may be paid back twice",
    "over_refunded": "finding the payment that is missing, or why more was refunded than captured",
    "money_without_payment": "finding the payment that the refund or charge-back belongs to",
    "overflow": "finding out what sends this order so many events; those beyond the bound are in the dead letters",
}
