"""Adds up orders, one after the other or in parts, to a day's statement (daily statements, version 1)."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import cast

import msgspec

from orders_platform.events import canonical
from orders_platform.matching import Rules
from orders_platform.reports.breaks import Break, breaks_at
from orders_platform.reports.bridge import LINES, Bridge, lines_of
from orders_platform.reports.days import Day, date_at
from orders_platform.reports.standing import Standing, Told, standing
from orders_platform.reports.statement import (
    BREAKS,
    CLEAN,
    INCOMPLETE,
    BreakLists,
    Coverage,
    Offsets,
    Statement,
)
from orders_platform.reports.totals import Totals


class Covered(msgspec.Struct, frozen=True):
    """The contents that occurred on a day: how many, and the SHA-256 over their sorted canonical JSON, a line each."""

    events: int
    sha256: str


def covered_by(contents: list[bytes]) -> Covered:
    """Return what is told of contents; their order does not matter."""
    return Covered(len(contents), hashlib.sha256(b"".join(line + b"\n" for line in sorted(contents))).hexdigest())


class Tally:
    """Takes one order after the other and makes the statement; the order in which they come changes nothing."""

    def __init__(self, day: Day, rules: Rules) -> None:
        self.day = day
        self._rules = rules
        self._bridges: dict[str, Bridge] = {}
        self._opening: Counter[str] = Counter()
        self._closing: Counter[str] = Counter()
        self._new: list[Break] = []
        self._persisting: list[Break] = []
        self._resolved: list[Break] = []
        self._suspects: set[str] = set()
        self._contents: list[bytes] = []
        self._placed = [0, 0]  # of the day: all, and those matched at its end
        self._placed_minor: dict[str, list[int]] = {}
        self._delays_ms: Counter[int] = Counter()

    def add(self, order: Told) -> tuple[Standing | None, Standing | None]:
        """Add one order, whose events may lie anywhere in time; return how it stands at both edges."""
        closing = standing(order, self.day.end_ms, self._rules)
        if closing is None:
            return None, None
        is_still = self._is_still(order, closing)
        opening = closing if is_still else standing(order, self.day.start_ms, self._rules)
        self._add(order, opening, closing)
        return opening, closing

    def add_from(self, order: Told, opening: Standing) -> Standing:
        """Add one order that is known as of the day's start; return how it stands at its end."""
        closing = opening
        if not self._is_still(order, opening):
            # There was something of it, so there is.
            closing = cast("Standing", standing(order, self.day.end_ms, self._rules))
        self._add(order, opening, closing)
        return closing

    def add_part(self, part: "Part") -> None:
        """Add what another tally of the same day and rules has been given: other orders."""
        for currency, bridge in part.bridges.items():
            own = self._bridges.setdefault(currency, Bridge())
            for name in Bridge.__struct_fields__:
                setattr(own, name, getattr(own, name) + getattr(bridge, name))
        self._opening.update(part.opening)
        self._closing.update(part.closing)
        self._new += part.new
        self._persisting += part.persisting
        self._resolved += part.resolved
        self._suspects.update(part.suspects)
        self._placed = [sum(each) for each in zip(self._placed, part.placed, strict=True)]
        for currency, amounts in part.placed_minor.items():
            there = self._placed_minor.get(currency, [0, 0])
            self._placed_minor[currency] = [sum(each) for each in zip(there, amounts, strict=True)]
        self._delays_ms.update(part.delays_ms)

    def part(self) -> "Part":
        """Return what has been added, but for the contents of the day's events: `take_contents`."""
        return Part(
            bridges=self._bridges,
            opening=self._opening,
            closing=self._closing,
            new=self._new,
            persisting=self._persisting,
            resolved=self._resolved,
            suspects=sorted(self._suspects),
            placed=self._placed,
            placed_minor=self._placed_minor,
            delays_ms=self._delays_ms,
        )

    def take_contents(self) -> list[bytes]:
        """Return the canonical contents of the day's events that have come since it was asked last; they are no longer
        kept here."""
        taken, self._contents = self._contents, []
        return taken

    def _add(self, order: Told, opening: Standing | None, closing: Standing) -> None:
        day = self.day
        today = [event for event in order.events if day.start_ms <= event.occurred_at_ms < day.end_ms]
        self._contents += map(canonical, today)
        self._closing[closing.document.status] += 1
        if opening is not None:
            self._opening[opening.document.status] += 1
        self._add_to_bridge(order.order_id, opening, closing)
        self._add_placed(closing)
        self._add_breaks(order, opening, closing)

    def add_unmoved(self, totals: Totals) -> None:
        """Add orders that nothing happened to: what they come to at both edges."""
        for currency, orders in totals.orders_by_currency.items():
            if orders:
                bridge = self._bridges.setdefault(currency, Bridge())
                bridge.opening_minor += totals.position_minor[currency]
                bridge.closing_minor += totals.position_minor[currency]
        for status, orders in totals.orders_by_status.items():
            if orders:
                self._opening[status] += orders
                self._closing[status] += orders

    def add_lasting(self, found: Break) -> None:
        """Add a break of an order that nothing happened to, as the statement of an earlier day lists it."""
        self._persisting.append(msgspec.structs.replace(found, age_days=(self.day.date - found.opened_on).days))

    def suspect(self, order_id: str) -> None:
        """Name an order whose stored document contradicts itself: the statement can't be complete."""
        self._suspects.add(order_id)

    def has_suspects(self) -> bool:
        """Return whether an order was named whose document contradicts itself."""
        return bool(self._suspects)

    def statement(
        self,
        *,
        provisional: bool,
        offsets: Offsets,
        unread: Offsets,
        dead_letters: Mapping[str, int],
        covered: Covered | None = None,
    ) -> Statement:
        """Return the statement of what was added; `covered` tells of the contents where they were taken."""
        its = covered or covered_by(self._contents)
        for bridge in self._bridges.values():
            bridge.residual_minor = bridge.closing_minor - bridge.opening_minor - bridge.moved_minor()
        open_breaks = bool(self._new or self._persisting)
        whole = not (unread or self._suspects or any(bridge.residual_minor for bridge in self._bridges.values()))
        placed, matched = self._placed
        amounts = sorted(self._placed_minor.items())
        return Statement(
            date=self.day.date.isoformat(),
            time_zone=self.day.time_zone,
            provisional=provisional,
            verdict=INCOMPLETE if not whole else BREAKS if open_breaks else CLEAN,
            settings={
                "tolerance_minor": self._rules.tolerance_minor,
                "payment_window_ms": self._rules.payment_window_ms,
            },
            currencies=dict(sorted(self._bridges.items())),
            orders_by_status={
                "opening": dict(sorted(self._opening.items())),
                "closing": dict(sorted(self._closing.items())),
            },
            match_rate=_share(matched, placed),
            match_rate_by_amount={currency: _share(part, whole) for currency, (whole, part) in amounts} or None,
            payment_delay_s={"p50": _rank_s(self._delays_ms, 50), "p95": _rank_s(self._delays_ms, 95)},
            breaks=BreakLists(*(sorted(each, key=_id) for each in (self._new, self._persisting, self._resolved))),
            dead_letters=dict(sorted(dead_letters.items())),
            coverage=Coverage(offsets, its.events, its.sha256, unread, sorted(self._suspects)),
        )

    def _is_still(self, order: Told, there: Standing) -> bool:
        """Tell whether neither an event nor the clock moves an order on the day; `there` is it at one of its edges."""
        start_ms, end_ms = self.day.start_ms, self.day.end_ms
        return not start_ms <= there.document.deadline_at_ms < end_ms and not any(
            start_ms <= event.occurred_at_ms < end_ms for event in order.events
        )

    def _add_to_bridge(self, order_id: str, opening: Standing | None, closing: Standing) -> None:
        if opening is closing:
            for currency, amount_minor in closing.position_minor.items():
                bridge = self._bridges.setdefault(currency, Bridge())
                bridge.opening_minor += amount_minor
                bridge.closing_minor += amount_minor
            return
        before = opening.position_minor if opening else {}
        lines = lines_of(opening.winners if opening else None, closing.winners, self.day.start_ms)
        touched = (
            before.keys() | closing.position_minor.keys() | {currency for each in lines.values() for currency in each}
        )
        for currency in touched:
            bridge = self._bridges.setdefault(currency, Bridge())
            moved = closing.position_minor.get(currency, 0) - before.get(currency, 0)
            bridge.opening_minor += before.get(currency, 0)
            bridge.closing_minor += closing.position_minor.get(currency, 0)
            for line, sign in LINES:
                amount_minor = lines[line][currency]
                setattr(bridge, line, getattr(bridge, line) + amount_minor)
                moved -= sign * amount_minor
            if moved:
                self._suspects.add(order_id)

    def _add_placed(self, closing: Standing) -> None:
        placed, document = closing.winners.order, closing.document
        if placed is None or placed.occurred_at_ms < self.day.start_ms:
            return
        amount_minor = placed.amount_minor or 0
        amounts = self._placed_minor.setdefault(placed.currency or "", [0, 0])
        self._placed[0] += 1
        amounts[0] += amount_minor
        if document.status == "matched":
            self._placed[1] += 1
            amounts[1] += amount_minor
            # A payment from before its order waited for nothing.
            self._delays_ms[max(0, (document.settled_at_ms or 0) - placed.occurred_at_ms)] += 1

    def _add_breaks(self, order: Told, opening: Standing | None, closing: Standing) -> None:
        day = self.day
        there = {each.id: each for each in breaks_at(order, closing, day.date, day, self._rules)}
        if opening is closing:
            # Nothing moved on the day, so what is there was there before.
            self._persisting += there.values()
            return
        before: dict[str, Break] = {}
        if opening is not None and day.start_ms > 0:
            yesterday = date_at(day.start_ms - 1, day.time_zone)
            before = {each.id: each for each in breaks_at(order, opening, yesterday, day, self._rules)}
        for name, found in there.items():
            (self._persisting if name in before else self._new).append(found)
        self._resolved += [found for name, found in before.items() if name not in there]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What a tally has been given, to be added to another."""

    bridges: dict[str, Bridge]
    opening: dict[str, int]
    closing: dict[str, int]
    new: list[Break]
    persisting: list[Break]
    resolved: list[Break]
    suspects: list[str]
    placed: list[int]
    placed_minor: dict[str, list[int]]
    delays_ms: dict[int, int]


def make(orders: Iterable[Told], day: Day, rules: Rules, *, provisional: bool = False) -> Statement:
    """Return the statement of orders alone, as if all messages had been read."""
    tally = Tally(day, rules)
    for order in orders:
        tally.add(order)
    return tally.statement(provisional=provisional, offsets={}, unread={}, dead_letters={})


def _id(each: Break) -> str:
    return each.id


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _rank_s(times_ms: Counter[int], percent: int) -> float | None:
    """Return the nearest-rank percentile, in seconds, of how often there is each time."""
    rank = -(-times_ms.total() * percent // 100)
    for time_ms in sorted(times_ms):
        rank -= times_ms[time_ms]
        if rank <= 0:
            return time_ms / 1000
    return None
