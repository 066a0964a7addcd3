"""Which orders MongoDB may add up by itself: those whose stored figures follow from the stored events by addition."""

from typing import Any

from bson.datetime_ms import DatetimeMS

from orders_platform.events import CHARGEBACK_OPENED, ORDER_CANCELLED, ORDER_PLACED, PAYMENT_CAPTURED, REFUND_ISSUED
from orders_platform.matching import MAX_EVENTS


def totals_or_odd(tolerance_minor: int, late_since_ms: int | None) -> dict[str, Any]:
    """Return the stage that groups settled orders by currency and status, and adds up their positions; each odd one is
    a group of its own, by its id. Those with an event that was merged late and since are odd, unless it is None."""
    # First, as MongoDB does not subtract what is no number.
    numbers = [{"$isNumber": f"${name}"} for name in ("due_minor", "captured_minor", "refunded_minor")]
    plain = {"$and": [*numbers, {"$isArray": "$events"}, _plain(tolerance_minor)]}
    if late_since_ms is not None:
        plain = {"$and": [{"$not": {"$gte": ["$late_at", DatetimeMS(late_since_ms)]}}, plain]}
    billed = {"$cond": [{"$eq": ["$status", "cancelled"]}, 0, "$due_minor"]}
    position = {"$add": [{"$subtract": [billed, "$captured_minor"]}, "$refunded_minor"]}
    return {
        "$group": {
            "_id": {"$cond": [plain, {"currency": "$currency", "status": "$status"}, {"odd": "$_id"}]},
            "orders": {"$sum": 1},
            "position": {"$sum": {"$cond": [{"$and": numbers}, position, 0]}},
        }
    }


def _plain(tolerance_minor: int) -> dict[str, Any]:
    """Return the expression for: the figures follow from the events by addition, and the status from the figures by
    these rules, whatever the clock says. What it does not hold for is folded here, so it need only never err."""
    is_cancelled = {"$gt": ["$cancelled_at", None]}
    is_refunded = {"$gt": ["$refunded_minor", 0]}
    left = {"$subtract": ["$captured_minor", "$refunded_minor"]}
    enough = {"$gte": ["$captured_minor", {"$subtract": ["$due_minor", tolerance_minor]}]}
    status = {
        "$switch": {
            "branches": [
                {"case": is_cancelled, "then": {"$cond": [{"$lte": [left, 0]}, "cancelled", "refund_due"]}},
                {"case": {"$and": [is_refunded, {"$lte": [left, 0]}]}, "then": "refunded"},
                {"case": {"$not": enough}, "then": "too little"},
                {"case": is_refunded, "then": "partially_refunded"},
            ],
            "default": "matched",
        }
    }
    return {
        "$and": [
            {"$gt": ["$due_minor", None]},
            {"$eq": ["$charged_back_minor", 0]},
            {"$eq": ["$net_minor", left]},
            {"$lte": ["$captured_minor", {"$add": ["$due_minor", tolerance_minor]}]},
            {"$eq": ["$status", status]},
            # A break is never quiet, whatever the document says of its outcome.
            {"$eq": ["$outcome", "ok"]},
            {"$gte": [left, 0]},
            {"$lt": ["$event_count", MAX_EVENTS]},
            {"$eq": ["$event_count", {"$size": "$events"}]},
            {"$eq": [is_cancelled, {"$in": [ORDER_CANCELLED, "$events.type"]}]},
            {"$not": [{"$in": [CHARGEBACK_OPENED, "$events.type"]}]},
            {"$setIsSubset": ["$events.currency", ["$currency"]]},
            *[
                {"$eq": [f"${figure}", {"$sum": {"$map": {"input": "$events", "in": _amount_of(kind)}}}]}
                for kind, figure in (
                    (ORDER_PLACED, "due_minor"),
                    (PAYMENT_CAPTURED, "captured_minor"),
                    (REFUND_ISSUED, "refunded_minor"),
                )
            ],
        ]
    }


def _amount_of(kind: str) -> dict[str, Any]:
    return {"$cond": [{"$eq": ["$$this.type", kind]}, "$$this.amount_minor", 0]}
