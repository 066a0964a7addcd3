"""Deadlines: pending documents whose deadline has passed are merged with the new clock, also while topics are quiet."""

from orders_platform.matching import Rules
from orders_platform.store import queries
from orders_platform.store.client import Store
from orders_platform.store.merge import Change, merge

PORTION_ORDERS = 2_000


def sweep(store: Store, clock_ms: int, rules: Rules) -> int:
    """Merge a portion of the pending documents whose deadline lies before the clock with that clock.

    Returns how many there were; fewer than `PORTION_ORDERS` says that none is left.

    Raises:
        StoreError: MongoDB refused or could not be reached; the next sweep goes on where this one stopped.
    """
    due = queries.due(store, clock_ms, PORTION_ORDERS)
    merge(store, [Change(order_id, known, []) for order_id, known in due], clock_ms, rules, writer="deadlines")
    return len(due)
