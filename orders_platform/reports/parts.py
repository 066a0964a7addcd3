"""Days counted in parts, each a range of the orders' ids and all of them as of one moment: what an engine spreads over
machines. The parts come to what one process would count."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from orders_platform.matching import Rules
from orders_platform.reports.counting import Counted, Counting, count_all
from orders_platform.reports.days import Day
from orders_platform.reports.tallies import Tallies
from orders_platform.reports.tally import Covered, Part
from orders_platform.reports.totals import totals
from orders_platform.store.client import Store
from orders_platform.store.day import IdRange, Moment, Reading

IN_ONE_RUN = "days were counted in parts"


class Task(msgspec.Struct, frozen=True):
    """What every part is counted by: as of when, for which consecutive days, by which rules, and what is left to the
    day after them (`count_all`)."""

    at: Moment
    days: Sequence[Day]
    rules: Rules
    left_before_ms: int | None


class PartOfDays(msgspec.Struct, frozen=True):
    """What the orders of one range come to: on each day, and for the day after."""

    days: list[Part]
    orders_by_status: dict[str, int]
    orders_by_currency: dict[str, int]
    position_minor: dict[str, int]


def count_part(store: Store, task: Task, within: IdRange) -> tuple[PartOfDays, Iterator[list[bytes]]]:
    """Count the orders of a range; return what they come to, and the contents of each day's events in no order.

    Raises:
        StoreError: MongoDB could not be reached, or no longer keeps what was stored then.
    """
    reading = Reading(store, None, task.at, within)
    tallies, left = count_all(reading, task.days, task.rules, task.left_before_ms)
    found = PartOfDays(
        [tally.part() for tally in tallies.each], left.orders_by_status, left.orders_by_currency, left.position_minor
    )
    return found, (tally.take_contents() for tally in tallies.each)


class Sum:
    """What the parts of all orders come to."""

    def __init__(self, task: Task) -> None:
        """Begin with none of them."""
        self._task = task
        self._tallies = Tallies(task.days, task.rules)
        self._left = totals({}, {}, {})

    def add(self, part: PartOfDays) -> None:
        """Add a part."""
        for tally, its in zip(self._tallies.each, part.days, strict=True):
            tally.add_part(its)
        self._left.orders_by_status.update(part.orders_by_status)
        self._left.orders_by_currency.update(part.orders_by_currency)
        self._left.position_minor.update(part.position_minor)

    def counted(self, counting: Counting, covered: Iterable[Covered]) -> list[Counted]:
        """Return each day's orders; `covered` tells of each day's contents. What is left is the last day's."""
        carry = counting.carry(self._left, self._task.left_before_ms)
        days = [
            Counted(tally, counting.offsets, None, IN_ONE_RUN, its)
            for tally, its in zip(self._tallies.each, covered, strict=True)
        ]
        return [*days[:-1], days[-1]._replace(left=carry)]
