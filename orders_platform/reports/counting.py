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
from orders_platform.reports.statement import Offsets, Statement, Tally
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


def count(
    store: Store, reading: Reading, of: Day, rules: Rules, yesterday: Yesterday, *, provisional: bool, force: bool
) -> Counted:
    """Count the orders of a day.

    Raises:
        StoreError: MongoDB could not be reached, or went away on the way.
    """
    offsets, as_of_ms, stored = reading.offsets(), reading.as_of_ms(), reading.stored()
    most = carrying.late_most(stored)
    late = 0 if yesterday.carry is None else reading.late(yesterday.carry.before_ms, most + 1)
    present = Present(carries.collection_of_orders(store), as_of_ms, offsets, stored, late)
    anew = carrying.why_anew(yesterday, of, rules, present, force=force)
    before_ms = as_of_ms - carrying.SETTLING_MS
    # Of a day that has not ended, and of events that don't say when they were merged, too little is known to build on.
    leaves = not provisional and reading.all_is_stamped()
    tally, left = Tally(of, rules), None
    if anew is None and yesterday.carry is not None and yesterday.statement is not None:
        before_ms = max(before_ms, yesterday.carry.before_ms)
        try:
            left = _carry_on(tally, reading, of, rules, yesterday.carry, yesterday.statement, before_ms)
        except NotCountedError:
            tally, anew = Tally(of, rules), "the orders contradict what the day before left"
    if anew is not None:
        leaves = leaves and before_ms - LATE_MS >= of.start_ms and reading.late(before_ms, most + 1) <= most
        left = _count_all(tally, reading, of, rules, before_ms if leaves else None)
    for order_id in reading.unreadable:
        tally.suspect(order_id)
    carry = carrying.carry_of(left, of, rules, before_ms, present, offsets) if leaves and left is not None else None
    return Counted(tally, offsets, carry, anew or "")


def _count_all(tally: Tally, reading: Reading, of: Day, rules: Rules, before_ms: int | None) -> Totals:
    """Count all orders; return what those events come to at the day's end that were merged before a time (None: all of
    them), which lies so far behind the day's start that an order without events on the day has only late ones since."""
    left = totals({}, {}, {})
    quiet, odd = reading.settled(of.start_ms, rules.tolerance_minor, before_ms)
    for each in quiet:
        left.add_quiet(Quiet(*each))
    tally.add_unmoved(left)
    for part in (reading.moving(of.start_ms, of.end_ms), reading.unsettled(of.start_ms), reading.named(odd)):
        for order, _, closing in _added(tally, part, rules):
            is_all = before_ms is None
            left.add(closing if is_all else carrying.as_counted(order, of.end_ms, before_ms, closing, rules))
    return left


def _carry_on(
    tally: Tally, reading: Reading, of: Day, rules: Rules, carry: Carry, before: Statement, before_ms: int
) -> Totals:
    """Count the orders that matter to a day on top of a carry; return what the events merged before a time come to at
    its end.

    Raises:
        NotCountedError: the orders contradict the carry.
    """
    carried = Carrying(of, rules, carry, before_ms)
    read: set[str] = set()
    orders = reading.touching(carrying.spans(of, rules, carry), carry.before_ms)
    for order, opening, closing in _added(tally, orders, rules):
        carrying.check(order, carry)
        carried.add(order, opening, closing)
        read.add(order.document.order_id)
    # What somebody changed was counted as it was before.
    if tally.has_suspects() or reading.unreadable or not carried.rest.is_sound():
        raise NotCountedError
    tally.add_unmoved(carried.rest)
    for each in (*before.breaks.new, *before.breaks.persisting):
        if each.order_id not in read:
            tally.add_lasting(each)
    return carried.next


def _added(
    tally: Tally, orders: Iterable[StoredOrder], rules: Rules
) -> Iterator[tuple[StoredOrder, Standing | None, Standing | None]]:
    """Add orders, and yield each with how it stands at both edges of the day."""
    for order in orders:
        events = [arrival.event for arrival in order.arrivals]
        document = order.document
        overflow = "overflow" in document.reasons
        try:
            contradicts = _contradicts(document, events, order.clock_ms, rules)
        except UNREADABLE:
            tally.suspect(document.order_id)
            continue
        opening, closing = tally.add(Told(document.order_id, events, overflow))
        if contradicts:
            tally.suspect(document.order_id)
        yield order, opening, closing


def _contradicts(stored: Document, events: Sequence[Event], clock_ms: int, rules: Rules) -> bool:
    folded = fold(stored.order_id, events, clock_ms, rules, "overflow" in stored.reasons)
    if any(getattr(stored, name) != getattr(folded, name) for name in _FIGURES):
        return True
    # Other settings of matching may have judged it, and the statement judges anew.
    return judgement(stored) != judgement(folded) and not is_some_verdict(stored, events, clock_ms)
