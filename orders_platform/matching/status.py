"""Status, reasons and outcome of an order (matching rules, section 5), as tables."""

from collections.abc import Callable
from typing import NamedTuple

from orders_platform.matching.figures import Figures
from orders_platform.matching.winners import Winners

PENDING_STATUSES = frozenset({"awaiting_order", "awaiting_payment", "partially_paid"})
BREAK_STATUSES = frozenset(
    {"orphan", "currency_mismatch", "charged_back", "refund_due", "unpaid", "underpaid", "overpaid"}
)
BREAK_REASONS = frozenset(
    {
        "conflicting_event",
        "conflicting_order",
        "conflicting_payment",
        "conflicting_refund",
        "conflicting_chargeback",
        "duplicate_payment",
        "refund_and_chargeback",
        "over_refunded",
        "money_without_payment",
        "overflow",
    }
)


class Rule(NamedTuple):
    """One line of the status table: its condition in words, and the status it gives or None where it does not hold.

    `status` takes the figures, the amount due (0 without an order) and whether the deadline has passed.
    """

    number: int
    condition: str
    status: Callable[[Figures, int, bool], str | None]


def _no_order(f: Figures, due: int, passed: bool) -> str | None:
    if f.due_minor is None:
        return "orphan" if passed else "awaiting_order"
    return None


def _cancelled(f: Figures, due: int, passed: bool) -> str | None:
    if f.cancelled_at_ms is None:
        return None
    return "refund_due" if f.net_minor > 0 else "cancelled"


def _refunded_overpayment(f: Figures, due: int, passed: bool) -> str | None:
    if f.refunded_minor <= 0 or f.captured_minor <= due + f.tolerance_minor:
        return None
    left = f.captured_minor - f.refunded_minor
    if left > due + f.tolerance_minor:
        return "overpaid"
    return "matched" if left >= due - f.tolerance_minor else "partially_refunded"


def _nothing_captured(f: Figures, due: int, passed: bool) -> str | None:
    if f.captured_minor == 0 and due > f.tolerance_minor:
        return "unpaid" if passed else "awaiting_payment"
    return None


def _captured_short(f: Figures, due: int, passed: bool) -> str | None:
    if f.captured_minor < due - f.tolerance_minor:
        return "underpaid" if passed else "partially_paid"
    return None


RULES = (
    Rule(1, "no order was placed", _no_order),
    Rule(2, "money moved in another currency", lambda f, due, passed: "currency_mismatch" if f.foreign else None),
    Rule(3, "a charge-back is open", lambda f, due, passed: "charged_back" if f.charged_back_minor > 0 else None),
    Rule(4, "the order was cancelled", _cancelled),
    Rule(
        5,
        "everything captured was refunded",
        lambda f, due, passed: "refunded" if f.refunded_minor > 0 and f.captured_minor <= f.refunded_minor else None,
    ),
    Rule(6, "an overpayment was refunded", _refunded_overpayment),
    Rule(
        7,
        "a part of a full payment was refunded",
        lambda f, due, passed: (
            "partially_refunded" if f.refunded_minor > 0 and f.captured_minor >= due - f.tolerance_minor else None
        ),
    ),
    Rule(8, "nothing was captured", _nothing_captured),
    Rule(9, "less than due was captured", _captured_short),
    Rule(
        10,
        "more than due was captured",
        lambda f, due, passed: "overpaid" if f.captured_minor > due + f.tolerance_minor else None,
    ),
    Rule(11, "what is due was captured", lambda f, due, passed: "matched"),
)


def status_of(figures: Figures, passed: bool) -> tuple[int, str]:
    """Return the number of the first rule that holds, and its status."""
    due = figures.due_minor or 0
    for number, _, status in RULES:
        found = status(figures, due, passed)
        if found is not None:
            return number, found
    raise AssertionError("the last rule always holds")


def reasons_of(winners: Winners, figures: Figures, rule: int, status: str) -> set[str]:
    """Return the reasons that go with a status, the conflicts among them."""
    f, order, payments = figures, winners.order, winners.payments
    reasons = set(winners.conflicts)
    if payments:
        first, last = payments[0].occurred_at_ms, payments[-1].occurred_at_ms
        if f.cancelled_at_ms is not None and last > f.cancelled_at_ms:
            reasons.add("payment_after_cancel")
        if order is not None:
            if last > f.deadline_at_ms:
                reasons.add("payment_late")
            if first < order.occurred_at_ms:
                reasons.add("payment_before_order")
            if _is_duplicate_payment(winners, f, order.amount_minor or 0):
                reasons.add("duplicate_payment")
    if f.open_chargebacks and _names_same_payment(winners, f):
        reasons.add("refund_and_chargeback")
    if f.refunded_minor > f.captured_minor:
        reasons.add("over_refunded")
    if f.captured_minor == 0 and (f.refunded_minor > 0 or f.charged_back_minor > 0):
        reasons.add("money_without_payment")
    if status == "matched":
        if rule == 6:
            reasons.add("overpayment_refunded")
        elif f.captured_minor != f.due_minor:
            reasons.add("tolerance_used")
    return reasons


def _is_duplicate_payment(winners: Winners, f: Figures, due: int) -> bool:
    if f.captured_minor <= due + f.tolerance_minor:
        return False
    amounts = [event.amount_minor or 0 for event in winners.payments if event.currency == f.currency]
    return len(amounts) >= 2 and any(abs(amount - due) <= f.tolerance_minor for amount in amounts)


def _names_same_payment(winners: Winners, f: Figures) -> bool:
    return any(
        refund.payment_id is None or chargeback.payment_id is None or refund.payment_id == chargeback.payment_id
        for refund in winners.refunds
        for chargeback in f.open_chargebacks
    )


def outcome_of(status: str, reasons: set[str]) -> str:
    """Return `break`, `pending` or `ok`: one word for people and reports."""
    if status in BREAK_STATUSES or not BREAK_REASONS.isdisjoint(reasons):
        return "break"
    return "pending" if status in PENDING_STATUSES else "ok"
