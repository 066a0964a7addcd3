"""Breaks of a document, and the amount at risk in each (daily statements, section 3)."""

import msgspec

from orders_platform.matching.fold import Document
from orders_platform.matching.status import BREAK_REASONS, BREAK_STATUSES


class Counted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What of a document is counted: its verdict, and its figures in minor units of its currency."""

    status: str
    outcome: str
    reasons: tuple[str, ...]
    currency: str | None
    due_minor: int | None
    captured_minor: int
    refunded_minor: int
    charged_back_minor: int
    net_minor: int


def counted_as(document: Document) -> Counted:
    """Return what of a document is counted."""
    d = document
    return Counted(
        d.status,
        d.outcome,
        d.reasons,
        d.currency,
        d.due_minor,
        d.captured_minor,
        d.refunded_minor,
        d.charged_back_minor,
        d.net_minor,
    )


def break_kinds(document: Document | Counted) -> list[str]:
    """Return the kinds of the breaks that a document has: its status, if that is one, and its reasons that are."""
    status = [document.status] if document.status in BREAK_STATUSES else []
    return status + [reason for reason in document.reasons if reason in BREAK_REASONS]


def at_risk_minor(kind: str, document: Document | Counted) -> int:
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
