"""The lines that lead from a day's opening position to its closing one (daily statements, section 2)."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from orders_platform.events import Event
from orders_platform.matching.winners import Winners

LINES = (
    ("placed_minor", 1),
    ("cancelled_minor", -1),
    ("captured_minor", -1),
    ("refunded_minor", 1),
    ("charged_back_minor", 1),
    ("chargebacks_reversed_minor", -1),
    ("corrections_minor", 1),
)
"""The lines in their order, and the sign with which each counts."""


class Bridge(msgspec.Struct):
    """One currency's day, in minor units."""

    opening_minor: int = 0
    placed_minor: int = 0
    cancelled_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    charged_back_minor: int = 0
    chargebacks_reversed_minor: int = 0
    corrections_minor: int = 0
    closing_minor: int = 0
    residual_minor: int = 0

    def moved_minor(self) -> int:
        """Return what the lines come to, with their signs."""
        return sum(sign * getattr(self, line) for line, sign in LINES)


Lines = dict[str, Counter[str]]
"""Amounts by line and currency."""


def lines_of(start: Winners | None, end: Winners, start_ms: int) -> Lines:
    """Return one order's lines, from its winners as of the day's start (None: nothing had occurred) and end.

    What occurred from `start_ms` on makes the lines of their names. What events from before are worth now that they
    were not at the start, because other events win, is a correction.
    """
    lines: Lines = {line: Counter() for line, _ in LINES}
    for name, before, after, sign in (
        ("captured_minor", start.payments if start else [], end.payments, -1),
        ("refunded_minor", start.refunds if start else [], end.refunds, 1),
    ):
        _sum(lines, name, before, after, start_ms, sign)
    _orders(lines, start, end, start_ms)
    _chargebacks(lines, start, end, start_ms)
    return lines


def _sum(lines: Lines, name: str, before: Sequence[Event], after: Sequence[Event], start_ms: int, sign: int) -> None:
    for event in after:
        if event.occurred_at_ms >= start_ms:
            _add(lines, name, event)
        else:
            _add(lines, "corrections_minor", event, sign)
    for event in before:
        _add(lines, "corrections_minor", event, -sign)


def _orders(lines: Lines, start: Winners | None, end: Winners, start_ms: int) -> None:
    was = start.order if start else None
    both_before = was is not None and start is not None and bool(start.cancellations)
    _sum(lines, "placed_minor", [was] if was else [], [end.order] if end.order else [], start_ms, 1)
    both_after = end.order is not None and bool(end.cancellations)
    _undone(lines, "cancelled_minor", was if both_before else None, end.order if both_after else None)


def _chargebacks(lines: Lines, start: Winners | None, end: Winners, start_ms: int) -> None:
    _sum(lines, "charged_back_minor", start.chargebacks if start else [], end.chargebacks, start_ms, 1)
    reversed_before = _reversed(start) if start else {}
    reversed_after = _reversed(end)
    for chargeback_id in reversed_before.keys() | reversed_after.keys():
        before, after = reversed_before.get(chargeback_id), reversed_after.get(chargeback_id)
        _undone(lines, "chargebacks_reversed_minor", before, after)


def _reversed(winners: Winners) -> dict[str | None, Event]:
    return {event.chargeback_id: event for event in winners.chargebacks if event.chargeback_id in winners.reversed_ids}


def _undone(lines: Lines, name: str, before: Event | None, after: Event | None) -> None:
    """Add an amount that was undone: on the day if it was not before, else as far as its worth has changed."""
    if before is None:
        if after is not None:
            _add(lines, name, after)
        return
    _add(lines, "corrections_minor", before, 1)
    if after is not None:
        _add(lines, "corrections_minor", after, -1)


def _add(lines: Lines, name: str, event: Event, sign: int = 1) -> None:
    lines[name][event.currency or ""] += sign * (event.amount_minor or 0)
