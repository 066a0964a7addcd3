"""What topics are for."""

ORDERS, PAYMENTS, ADJUSTMENTS = ROLES = ("orders", "payments", "adjustments")
"""What topics are for. An event's type never depends on its topic; producers of ours sort by it."""


def role_of(event_type: str) -> str:
    """Return the role of the topic that events of a type are sent to."""
    if event_type.startswith("order_"):
        return ORDERS
    return PAYMENTS if event_type.startswith("payment_") else ADJUSTMENTS
