"""What all orders come to at an edge: counts by status and by currency, and positions."""

from collections import Counter
from collections.abc import Mapping

import msgspec

from orders_platform.reports.standing import Standing


class Quiet(msgspec.Struct, frozen=True):
    """Orders that were the same, and without a break, all through the day: how many of one status and currency, and
    what they come to."""

    status: str
    currency: str
    orders: int
    position_minor: int


class Totals(msgspec.Struct):
    """Orders by status; how many have a position in each currency, be it 0; and what these come to, in minor units."""

    orders_by_status: Counter[str]
    orders_by_currency: Counter[str]
    position_minor: Counter[str]

    def add(self, there: Standing | None, sign: int = 1) -> None:
        """Add one order as it stands, or take it away; None: nothing of it had occurred."""
        if there is None:
            return
        self.orders_by_status[there.document.status] += sign
        for currency, amount_minor in there.position_minor.items():
            self.orders_by_currency[currency] += sign
            self.position_minor[currency] += sign * amount_minor

    def add_quiet(self, quiet: Quiet) -> None:
        """Add orders that nothing happened to."""
        self.orders_by_status[quiet.status] += quiet.orders
        self.orders_by_currency[quiet.currency] += quiet.orders
        self.position_minor[quiet.currency] += quiet.position_minor

    def is_sound(self) -> bool:
        """Return whether no count is below none, and no amounts are left where no order is."""
        counts = (*self.orders_by_status.values(), *self.orders_by_currency.values())
        amounts = self.position_minor.items()
        return min(counts, default=0) >= 0 and all(
            self.orders_by_currency[each] or not amount for each, amount in amounts
        )


def totals(
    orders_by_status: Mapping[str, int], orders_by_currency: Mapping[str, int], position_minor: Mapping[str, int]
) -> Totals:
    """Return totals of one's own with these values."""
    return Totals(Counter(orders_by_status), Counter(orders_by_currency), Counter(position_minor))
