"""Consecutive days added up at once, so that each order is read once for all of them."""

from collections.abc import Sequence

from orders_platform.matching import Rules
from orders_platform.reports.days import Day
from orders_platform.reports.standing import Standing, Told
from orders_platform.reports.tally import Tally
from orders_platform.reports.totals import Totals


class Tallies:
    """A tally of each of some consecutive days, the oldest first."""

    def __init__(self, days: Sequence[Day], rules: Rules) -> None:
        """Begin with nothing in any of them."""
        self.each = [Tally(day, rules) for day in days]

    def add(self, order: Told) -> tuple[Standing | None, Standing | None]:
        """Add one order to all days; return how it stands at the first one's start and at the last one's end."""
        first, *others = self.each
        opening, closing = first.add(order)
        for tally in others:
            closing = tally.add(order)[1] if closing is None else tally.add_from(order, closing)
        return opening, closing

    def add_unmoved(self, totals: Totals) -> None:
        """Add orders that nothing happened to on any of the days."""
        for tally in self.each:
            tally.add_unmoved(totals)

    def suspect(self, order_id: str, first_ms: int | None) -> None:
        """Name an order whose stored document contradicts itself, for the days at whose end something of it had
        occurred. `first_ms` is when its first event did (UTC ms; None: it does not say)."""
        for tally in self.each:
            if first_ms is None or first_ms < tally.day.end_ms:
                tally.suspect(order_id)
