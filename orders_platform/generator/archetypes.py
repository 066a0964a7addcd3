"""What happens to orders: one small story each, which writes its events and states the document they must end in.

Nothing here asks the matching rules: every figure, status and reason follows from how the story was made. Stories
hold under any tolerance, as amounts are large beside it, and once the order's deadline has passed.
"""

from collections.abc import Callable
from typing import NamedTuple

from orders_platform.generator.case import Case, Expected

PAID = "paid"

Story = Callable[[Case], Expected]


class Archetype(NamedTuple):
    """A story, and the percentage of orders that it happens to."""

    story: Story
    share: float
    needs_tolerance: bool = False


def paid(case: Case) -> Expected:
    """Placed, and paid in full a little later."""
    at = case.soon()
    case.place()
    case.pay(at, case.due_minor)
    return case.expect("matched", "ok", captured=case.due_minor, settled_at_ms=at)


def payment_first(case: Case) -> Expected:
    """The payment is dated before the order."""
    at = case.placed_ms - case.hours(0, 0.1)
    case.pay(at, case.due_minor)
    case.place()
    return case.expect("matched", "ok", "payment_before_order", captured=case.due_minor, settled_at_ms=at)


def late_payment(case: Case) -> Expected:
    """Paid in full, after the deadline."""
    at = case.deadline_ms + case.hours(0, 30)
    case.place()
    case.pay(at, case.due_minor)
    return case.expect("matched", "ok", "payment_late", captured=case.due_minor, settled_at_ms=at)


def partial_then_full(case: Case) -> Expected:
    """A deposit in time, the rest after the deadline."""
    deposit = case.part(case.due_minor, 0.2, 0.8)
    at = case.deadline_ms + case.hours(0, 48)
    case.place()
    case.pay(case.soon(), deposit)
    case.pay(at, case.due_minor - deposit)
    return case.expect("matched", "ok", "payment_late", captured=case.due_minor, settled_at_ms=at)


def split_payment(case: Case) -> Expected:
    """Paid in two or three parts, such as a gift card and a card, all in time."""
    first = case.part(case.due_minor, 0.2, 0.5)
    second = case.part(case.due_minor, 0.1, 0.3) if case.chance(0.4) else 0
    at = case.between(0.7, 0.95)
    case.place()
    case.pay(case.between(0.05, 0.3), first)
    if second:
        case.pay(case.between(0.35, 0.65), second)
    case.pay(at, case.due_minor - first - second)
    return case.expect("matched", "ok", captured=case.due_minor, settled_at_ms=at)


def within_tolerance(case: Case) -> Expected:
    """A little less or more than due was paid, no more than the tolerance."""
    off = 1 + case.part(case.tolerance_minor - 1, 0, 1)
    amount = case.due_minor + (off if case.chance(0.3) else -off)
    at = case.soon()
    case.place()
    case.pay(at, amount)
    return case.expect("matched", "ok", "tolerance_used", captured=amount, settled_at_ms=at)


def free(case: Case) -> Expected:
    """Nothing is due: a voucher paid for it."""
    case.due_minor = 0
    case.place()
    return case.expect("matched", "ok", settled_at_ms=case.placed_ms)


def failed_then_paid(case: Case) -> Expected:
    """One or two payments fail, the next one works."""
    at = case.between(0.5, 0.95)
    case.place()
    case.fail(case.between(0.02, 0.2))
    if case.chance(0.3):
        case.fail(case.between(0.2, 0.4))
    case.pay(at, case.due_minor)
    return case.expect("matched", "ok", captured=case.due_minor, settled_at_ms=at)


def redelivered(case: Case) -> Expected:
    """The shop's systems tell the same order or payment again, as a new event: it counts once."""
    at = case.soon()
    case.place()
    payment = case.pay(at, case.due_minor)
    if case.chance(0.6):
        case.pay(at + case.hours(0, 6), case.due_minor, payment)
    else:
        case.place(case.placed_ms + case.hours(0, 6))
    return case.expect("matched", "ok", captured=case.due_minor, settled_at_ms=at)


def never_paid(case: Case) -> Expected:
    """No payment comes; half of the time one was tried."""
    case.place()
    if case.chance(0.5):
        case.fail(case.soon())
    return case.expect("unpaid", "break")


def underpaid(case: Case) -> Expected:
    """Less than due was paid."""
    amount = case.part(case.due_minor, 0.3, 0.9)
    case.place()
    case.pay(case.soon(), amount)
    return case.expect("underpaid", "break", captured=amount)


def overpaid(case: Case) -> Expected:
    """More than due was paid, in one payment."""
    amount = case.due_minor + case.part(case.due_minor, 0.1, 0.6)
    case.place()
    case.pay(case.soon(), amount)
    return case.expect("overpaid", "break", captured=amount)


def paid_twice(case: Case) -> Expected:
    """The customer pressed the button twice: two payments in full."""
    case.place()
    case.pay(case.between(0.05, 0.3), case.due_minor)
    case.pay(case.between(0.35, 0.9), case.due_minor)
    return case.expect("overpaid", "break", "duplicate_payment", captured=2 * case.due_minor)


def paid_twice_refunded(case: Case) -> Expected:
    """Two payments in full, the second one given back."""
    at = case.between(0.05, 0.3)
    case.place()
    case.pay(at, case.due_minor)
    second = case.pay(case.between(0.35, 0.9), case.due_minor)
    case.refund(case.deadline_ms + case.hours(1, 60), case.due_minor, second)
    return case.expect(
        "matched",
        "break",
        "duplicate_payment",
        "overpayment_refunded",
        captured=2 * case.due_minor,
        refunded=case.due_minor,
        settled_at_ms=at,
    )


def overpayment_refunded(case: Case) -> Expected:
    """Too much was paid, and exactly that given back."""
    extra = case.part(case.due_minor, 0.1, 0.6)
    at = case.soon()
    case.place()
    payment = case.pay(at, case.due_minor + extra)
    case.refund(case.deadline_ms + case.hours(1, 60), extra, payment)
    return case.expect(
        "matched",
        "ok",
        "overpayment_refunded",
        captured=case.due_minor + extra,
        refunded=extra,
        settled_at_ms=at,
    )


def cancelled(case: Case) -> Expected:
    """Cancelled before anything was paid."""
    at = case.placed_ms + case.hours(0, 4)
    case.place()
    case.cancel(at)
    return case.expect("cancelled", "ok", cancelled_at_ms=at)


def cancelled_after_payment(case: Case) -> Expected:
    """Paid, then cancelled; the money was not given back yet."""
    paid_at = case.soon()
    at = paid_at + case.hours(0.2, 20)
    case.place()
    case.pay(paid_at, case.due_minor)
    case.cancel(at)
    return case.expect("refund_due", "break", captured=case.due_minor, cancelled_at_ms=at)


def cancelled_and_refunded(case: Case) -> Expected:
    """Paid, cancelled, and all of it given back."""
    paid_at = case.soon()
    at = paid_at + case.hours(0.2, 20)
    case.place()
    payment = case.pay(paid_at, case.due_minor)
    case.cancel(at)
    case.refund(at + case.hours(0.1, 48), case.due_minor, payment)
    return case.expect("cancelled", "ok", captured=case.due_minor, refunded=case.due_minor, cancelled_at_ms=at)


def payment_after_cancel(case: Case) -> Expected:
    """Cancelled, and paid nevertheless: the money is to be given back."""
    at = case.between(0.1, 0.4)
    case.place()
    case.cancel(at)
    case.pay(case.between(0.5, 0.95), case.due_minor)
    return case.expect("refund_due", "break", "payment_after_cancel", captured=case.due_minor, cancelled_at_ms=at)


def refunded(case: Case) -> Expected:
    """Paid, and all of it given back, in one refund or two."""
    at = case.soon()
    first = case.part(case.due_minor, 0.2, 0.8) if case.chance(0.25) else case.due_minor
    case.place()
    payment = case.pay(at, case.due_minor)
    case.refund(at + case.hours(2, 72), first, payment)
    if first < case.due_minor:
        case.refund(at + case.hours(73, 120), case.due_minor - first, payment)
    return case.expect("refunded", "ok", captured=case.due_minor, refunded=case.due_minor)


def partially_refunded(case: Case) -> Expected:
    """Paid, and a part of it given back."""
    at = case.soon()
    back = case.part(case.due_minor, 0.1, 0.8)
    case.place()
    payment = case.pay(at, case.due_minor)
    case.refund(at + case.hours(2, 72), back, payment if case.chance(0.8) else None)
    return case.expect("partially_refunded", "ok", captured=case.due_minor, refunded=back)


def over_refunded(case: Case) -> Expected:
    """More was given back than came in."""
    at = case.soon()
    case.place()
    payment = case.pay(at, case.due_minor)
    back = case.part(case.due_minor, 0.2, 0.5)
    case.refund(at + case.hours(2, 48), case.due_minor, payment)
    case.refund(at + case.hours(49, 96), back, payment)
    return case.expect("refunded", "break", "over_refunded", captured=case.due_minor, refunded=case.due_minor + back)


def money_without_payment(case: Case) -> Expected:
    """Money was given back for an order that never was paid."""
    case.place()
    case.refund(case.deadline_ms + case.hours(2, 72), case.due_minor, None)
    return case.expect("refunded", "break", "money_without_payment", "over_refunded", refunded=case.due_minor)


def charged_back(case: Case) -> Expected:
    """Paid, and the bank took it back."""
    at = case.soon()
    case.place()
    payment = case.pay(at, case.due_minor)
    case.dispute(at + case.hours(24, 120), case.due_minor, payment)
    return case.expect("charged_back", "break", captured=case.due_minor, charged_back=case.due_minor)


def chargeback_won(case: Case) -> Expected:
    """The bank took the payment back, and the merchant won it again."""
    at = case.soon()
    case.place()
    payment = case.pay(at, case.due_minor)
    dispute = case.dispute(at + case.hours(24, 72), case.due_minor, payment)
    case.win(at + case.hours(96, 200), dispute)
    return case.expect("matched", "ok", captured=case.due_minor, settled_at_ms=at)


def refund_and_chargeback(case: Case) -> Expected:
    """The same payment was given back and taken back: the money left twice."""
    at = case.soon()
    case.place()
    payment = case.pay(at, case.due_minor)
    case.refund(at + case.hours(2, 48), case.due_minor, payment)
    case.dispute(at + case.hours(49, 120), case.due_minor, payment if case.chance(0.7) else None)
    return case.expect(
        "charged_back",
        "break",
        "refund_and_chargeback",
        captured=case.due_minor,
        refunded=case.due_minor,
        charged_back=case.due_minor,
    )


def other_currency(case: Case) -> Expected:
    """Paid in another currency than the order's."""
    case.place()
    case.pay(case.soon(), case.due_minor, currency=case.other_currency)
    return case.expect("currency_mismatch", "break")


def orphan(case: Case) -> Expected:
    """A payment whose order never comes."""
    at = case.soon()
    case.pay(at, case.due_minor)
    return case.expect("orphan", "break", captured=case.due_minor, orphan_since_ms=at)


def orphan_refund(case: Case) -> Expected:
    """A refund whose order and payment never come."""
    at = case.soon()
    case.refund(at, case.due_minor, None)
    return case.expect(
        "orphan",
        "break",
        "money_without_payment",
        "over_refunded",
        refunded=case.due_minor,
        orphan_since_ms=at,
    )


def conflicting_event(case: Case) -> Expected:
    """One event id with two contents: the one whose canonical text is smaller counts."""
    # Amounts of equally many digits sort as text as they do as numbers.
    case.due_minor -= case.due_minor % 10
    at = case.soon()
    event = case.new_event_id()
    case.place()
    payment = case.pay(at, case.due_minor, event_id=event)
    case.pay(at, case.due_minor + 7, payment, event_id=event)
    return case.expect("matched", "break", "conflicting_event", captured=case.due_minor, settled_at_ms=at)


def conflicting_order(case: Case) -> Expected:
    """The order is told again with another amount: the earlier one counts."""
    at = case.soon()
    case.place()
    case.place(case.placed_ms + case.hours(0.01, 2), case.due_minor + 500)
    case.pay(at, case.due_minor)
    return case.expect("matched", "break", "conflicting_order", captured=case.due_minor, settled_at_ms=at)


def conflicting_payment(case: Case) -> Expected:
    """A payment is told again with another amount: the earlier one counts."""
    at = case.soon()
    case.place()
    payment = case.pay(at, case.due_minor)
    case.pay(at + case.hours(0.01, 2), 2 * case.due_minor, payment)
    return case.expect("matched", "break", "conflicting_payment", captured=case.due_minor, settled_at_ms=at)


def conflicting_refund(case: Case) -> Expected:
    """A refund is told again with another amount: the earlier one counts."""
    at = case.soon()
    back = case.part(case.due_minor, 0.1, 0.8)
    refunded_at = at + case.hours(2, 48)
    case.place()
    payment = case.pay(at, case.due_minor)
    refund = case.refund(refunded_at, back, payment)
    case.refund(refunded_at + case.hours(0.01, 2), case.due_minor, payment, refund)
    return case.expect("partially_refunded", "break", "conflicting_refund", captured=case.due_minor, refunded=back)


def conflicting_chargeback(case: Case) -> Expected:
    """A charge-back is told again with another amount: the earlier one counts."""
    at = case.soon()
    part = case.part(case.due_minor, 0.3, 0.8)
    opened_at = at + case.hours(24, 72)
    case.place()
    payment = case.pay(at, case.due_minor)
    dispute = case.dispute(opened_at, part, payment)
    case.dispute(opened_at + case.hours(0.01, 2), case.due_minor, payment, dispute)
    return case.expect("charged_back", "break", "conflicting_chargeback", captured=case.due_minor, charged_back=part)


# The shares of a shop that does well and has every trouble that there is. Plainly paid orders take the rest.
ARCHETYPES: dict[str, Archetype] = {
    PAID: Archetype(paid, 0.0),
    "payment_first": Archetype(payment_first, 3.0),
    "late_payment": Archetype(late_payment, 3.0),
    "partial_then_full": Archetype(partial_then_full, 1.5),
    "split_payment": Archetype(split_payment, 4.0),
    "within_tolerance": Archetype(within_tolerance, 2.0, needs_tolerance=True),
    "free": Archetype(free, 0.5),
    "failed_then_paid": Archetype(failed_then_paid, 5.0),
    "redelivered": Archetype(redelivered, 2.0),
    "never_paid": Archetype(never_paid, 4.0),
    "underpaid": Archetype(underpaid, 1.5),
    "overpaid": Archetype(overpaid, 0.8),
    "paid_twice": Archetype(paid_twice, 0.8),
    "paid_twice_refunded": Archetype(paid_twice_refunded, 0.4),
    "overpayment_refunded": Archetype(overpayment_refunded, 0.4),
    "cancelled": Archetype(cancelled, 3.0),
    "cancelled_after_payment": Archetype(cancelled_after_payment, 0.8),
    "cancelled_and_refunded": Archetype(cancelled_and_refunded, 1.5),
    "payment_after_cancel": Archetype(payment_after_cancel, 0.5),
    "refunded": Archetype(refunded, 2.0),
    "partially_refunded": Archetype(partially_refunded, 2.0),
    "over_refunded": Archetype(over_refunded, 0.2),
    "money_without_payment": Archetype(money_without_payment, 0.2),
    "charged_back": Archetype(charged_back, 0.6),
    "chargeback_won": Archetype(chargeback_won, 0.4),
    "refund_and_chargeback": Archetype(refund_and_chargeback, 0.2),
    "other_currency": Archetype(other_currency, 0.5),
    "orphan": Archetype(orphan, 0.5),
    "orphan_refund": Archetype(orphan_refund, 0.2),
    "conflicting_event": Archetype(conflicting_event, 0.2),
    "conflicting_order": Archetype(conflicting_order, 0.2),
    "conflicting_payment": Archetype(conflicting_payment, 0.2),
    "conflicting_refund": Archetype(conflicting_refund, 0.2),
    "conflicting_chargeback": Archetype(conflicting_chargeback, 0.2),
}
