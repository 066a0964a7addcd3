"""Counts a day's orders: either all of them, or those of the day on top of what the day before left."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from orders_platform.events import Event
from orders_platform.matching import Document, Rules, fold
from orders_platform.matching.any_rules import is_some_verdict
from orders_platform.reports import carrying
from orders_platform.reports.carrying import Carrying, NotCountedError, Present, Yesterday
from orders_platform.reports.days import Day
from orders_platform.reports.standing import Standing, Told
from orders_platform.reports.statement import Offsets, Statement
from orders_platform.reports.tallies import Tallies
from orders_platform.reports.tally import Covered, Tally
from orders_platform.reports.totals import Quiet, Totals, totals
from orders_platform.store import carries
from orders_platform.store.carries import Carry
from orders_platform.store.client import Store
from orders_platform.store.day import Reading, StoredOrder
from orders_platform.store.documents import UNREADABLE, judgement
from orders_platform.store.plan import LATE_MS

_FIGURES = (
    "currency",
    "due_minor",
    "captured_minor",
    "refunded_minor",
    "charged_back_minor",
    "net_minor",
    "cancelled_at_ms",
    "event_count",
    "customer_id",
)
"""What follows from the events alone: neither the clock nor the settings of matching can change it."""


class Counted(NamedTuple):
    """The orders of a day, how far the topics were read, what is left to the next day, if it may build upon it, and
    why all orders were gone through, if they were."""

    tally: Tally
    offsets: Offsets
    left: Carry | None
    anew: str
    covered: Covered | None = None
    """Of the day's contents, where they are not in the tally."""


class TooManyError(Exception):
    """All orders would have to be gone through, and there are more than one process is to take."""


class Counting:
    """What the orders of one snapshot are counted with: how much is stored, how far it is read, and as of when."""

    def __init__(self, store: Store, reading: Reading, last: Day, rules: Rules, *, provisional: bool) -> None:
        """Look at the snapshot. `last` is the last of the days that are counted, and `provisional` if it has not ended.

        Raises:
            StoreError: MongoDB could not be reached, or went away on the way.
        """
        self.reading, self.last, self.rules = reading, last, rules
        self.as_of_ms = reading.as_of_ms()
        self.offsets, self.stored = reading.offsets(), reading.stored()
        self.collection = carries.collection_of_orders(store)
        self.before_ms = self.as_of_ms - carrying.SETTLING_MS
        # Of a day that has not ended, and of events that don't say when they were merged, too little is known to build
        # on.
        self._leaves = not provisional and reading.all_is_stamped()

    def present(self, yesterday: Yesterday) -> Present:
        """Return what the carry of the day before is held against."""
        late = 0
        if yesterday.carry is not None:
            late = self.reading.late(yesterday.carry.before_ms, carrying.late_most(self.stored) + 1)
        return Present(self.collection, self.as_of_ms, self.offsets, self.stored, late)

    def left_before_ms(self, first: Day) -> int | None:
        """Return before when the events were merged that are left to the day after the last, where all orders since the
        first day's start are counted; None: nothing can be left."""
        most = carrying.late_most(self.stored)
        leaves = self._leaves and self.before_ms - LATE_MS >= first.start_ms
        return self.before_ms if leaves and self.reading.late(self.before_ms, most + 1) <= most else None

    def carry(self, left: Totals, before_ms: int | None) -> Carry | None:
        """Return what the last day leaves to the next, if anything."""
        if before_ms is None or not self._leaves:
            return None
        return carrying.carry_of(left, self.last, self.rules, before_ms, self.as_of_ms, self.collection, self.offsets)


def count(
    store: Store,
    reading: Reading,
    of: Day,
    rules: Rules,
    yesterday: Yesterday,
    *,
    provisional: bool,
    force: bool,
    most_orders: int | None = None,
) -> Counted:
    """Count the orders of a day.

    Raises:
        TooManyError: all orders would have to be gone through, and more than `most_orders` are stored.
        StoreError: MongoDB could not be reached, or went away on the way.
    """
    counting = Counting(store, reading, of, rules, provisional=provisional)
    anew = carrying.why_anew(yesterday, of, rules, counting.present(yesterday), force=force)
    if anew is None and yesterday.carry is not None and yesterday.statement is not None:
        before_ms = max(counting.before_ms, yesterday.carry.before_ms)
        tallies = Tallies([of], rules)
        try:
            left = _carry_on(tallies, reading, of, rules, yesterday.carry, yesterday.statement, before_ms)
            return Counted(tallies.each[0], counting.offsets, counting.carry(left, before_ms), "")
        except NotCountedError:
            anew = "the orders contradict what the day before left"
    if most_orders is not None and counting.stored > most_orders:
        raise TooManyError
    before_ms = counting.left_before_ms(of)
    tallies, left = count_all(reading, [of], rules, before_ms)
    return Counted(tallies.each[0], counting.offsets, counting.carry(left, before_ms), anew or "")


def count_all(reading: Reading, days: Sequence[Day], rules: Rules, before_ms: int | None) -> tuple[Tallies, Totals]:
    """Count all orders that the reading finds, for consecutive days.

    Also returns what those events come to at the last day's end that were merged before a time (None: all of them),
    which lies so far behind the first day's start that an order without events since then has only late ones.

    Raises:
        StoreError: MongoDB could not be reached, or went away on the way.
    """
    first, last = days[0], days[-1]
    tallies, left = Tallies(days, rules), totals({}, {}, {})
    quiet, odd = reading.settled(first.start_ms, rules.tolerance_minor, before_ms)
    for each in quiet:
        left.add_quiet(Quiet(*each))
    tallies.add_unmoved(left)
    for part in (reading.mattering(first.start_ms, last.end_ms), reading.named(odd)):
        for order, _, closing in _added(tallies, part, rules):
            is_all = before_ms is None
            left.add(closing if is_all else carrying.as_counted(order, last.end_ms, before_ms, closing, rules))
    for order_id, first_ms in reading.unreadable:
        tallies.suspect(order_id, first_ms)
    return tallies, left


def _carry_on(
    tallies: Tallies, reading: Reading, of: Day, rules: Rules, carry: Carry, before: Statement, before_ms: int
) -> Totals:
    """Count the orders that matter to a day on top of a carry; return what the events merged before a time come to at
    its end.

    Raises:
        NotCountedError: the orders contradict the carry.
    """
    carried, tally = Carrying(of, rules, carry, before_ms), tallies.each[0]
    read: set[str] = set()
    orders = reading.touching(carrying.spans(of, rules, carry), carry.before_ms)
    for order, opening, closing in _added(tallies, orders, rules):
        carrying.check(order, carry)
        carried.add(order, opening, closing)
        read.add(order.document.order_id)
    # What somebody changed was counted as it was before.
    if tally.has_suspects() or reading.unreadable or not carried.rest.is_sound():
        reading.unreadable.clear()
        raise NotCountedError
    tally.add_unmoved(carried.rest)
    for each in (*before.breaks.new, *before.breaks.persisting):
        if each.order_id not in read:
            tally.add_lasting(each)
    return carried.next


def _added(
    tallies: Tallies, orders: Iterable[StoredOrder], rules: Rules
) -> Iterator[tuple[StoredOrder, Standing | None, Standing | None]]:
    """Add orders, and yield each with how it stands at the first day's start and at the last one's end."""
    for order in orders:
        events = [arrival.event for arrival in order.arrivals]
        document = order.document
        first_ms = min((event.occurred_at_ms for event in events), default=None)
        overflow = "overflow" in document.reasons
        try:
            contradicts = _contradicts(document, events, order.clock_ms, rules)
        except UNREADABLE:
            tallies.suspect(document.order_id, first_ms)
            continue
        opening, closing = tallies.add(Told(document.order_id, events, overflow))
        if contradicts:
            tallies.suspect(document.order_id, first_ms)
        yield order, opening, closing


def _contradicts(stored: Document, events: Sequence[Event], clock_ms: int, rules: Rules) -> bool:
    folded = fold(stored.order_id, events, clock_ms, rules, "overflow" in stored.reasons)
    if any(getattr(stored, name) != getattr(folded, name) for name in _FIGURES):
        return True
    # Other settings of matching may have judged it, and the statement judges anew.
    return judgement(stored) != judgement(folded) and not is_some_verdict(stored, events, clock_ms)
