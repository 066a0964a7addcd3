"""Breaks of an order and the amount at risk in each (daily statements, section 3)."""

from orders_platform.matching import Document
from orders_platform.matching.status import BREAK_REASONS, BREAK_STATUSES


def break_kinds(document: Document) -> list[str]:
    """Return the kinds of the breaks that a document has: its status, if that is one, and its reasons that are."""
    status = [document.status] if document.status in BREAK_STATUSES else []
    return status + [reason for reason in document.reasons if reason in BREAK_REASONS]


def at_risk_minor(kind: str, document: Document) -> int:
    """Return the amount at risk in a break of this kind, in minor units of the document's currency."""
    due = document.due_minor or 0
    match kind:
        case "unpaid" | "underpaid":
            return due - document.net_minor
        case "orphan" | "refund_due" | "money_without_payment":
            return abs(document.net_minor)
        case "overpaid" | "duplicate_payment":
            return document.net_minor - due
        case "charged_back" | "refund_and_chargeback":
            return document.charged_back_minor
        case "over_refunded":
            return document.refunded_minor - document.captured_minor
        case "currency_mismatch":
            return abs(due - document.net_minor)
        case _:  # a conflict or an overflow: what is at risk is not known from the figures
            return 0
