"""Why an order's document says what it says: which events count, which rule held and why those before it did not.

It adds nothing to the rules: winners, figures and the status table decide, this module puts their answers into words.
"""

from collections.abc import Callable, Iterable

import msgspec

from orders_platform.events import (
    CHARGEBACK_OPENED,
    CHARGEBACK_REVERSED,
    ORDER_CANCELLED,
    ORDER_PLACED,
    PAYMENT_CAPTURED,
    PAYMENT_FAILED,
    REFUND_ISSUED,
    Event,
    canonical,
)
from orders_platform.matching.figures import Figures, Rules, add_up
from orders_platform.matching.fold import Document, fold
from orders_platform.matching.remedies import Remedy, remedies_for
from orders_platform.matching.status import RULES
from orders_platform.matching.winners import Winners, choose
from orders_platform.times import format_ms


class Note(msgspec.Struct, frozen=True):
    """One event, whether it is in the figures or the status, and why or why not."""

    event: Event
    counts: bool
    why: str


class Step(msgspec.Struct, frozen=True):
    """One line of the status table: whether it holds, None where an earlier one already did, and why."""

    rule: int
    condition: str
    holds: bool | None
    why: str


class Explanation(msgspec.Struct, frozen=True):
    """A document with the grounds for it: notes in time order, steps in the order of the table, and what is missing."""

    document: Document
    deadline_passed: bool
    notes: list[Note]
    steps: list[Step]
    remedies: list[Remedy]


def explain(
    order_id: str, events: Iterable[Event], clock_ms: int | None, rules: Rules, overflow: bool = False
) -> Explanation:
    """Return the document that `fold` makes of the same arguments, explained. There is at least one event."""
    contents = list(events)
    document = fold(order_id, contents, clock_ms, rules, overflow)
    winners = choose(contents)
    figures = add_up(winners, rules)
    passed = clock_ms is not None and figures.deadline_at_ms < clock_ms
    return Explanation(
        document,
        passed,
        _notes(contents, winners, figures),
        _steps(document.rule, winners, figures, passed),
        remedies_for(document, figures),
    )


def _notes(contents: list[Event], winners: Winners, figures: Figures) -> list[Note]:
    by_id: dict[str, Event] = {}
    for event in sorted(contents, key=canonical):
        by_id.setdefault(event.event_id, event)
    in_time = sorted(contents, key=lambda event: (event.occurred_at_ms, event.event_id, canonical(event)))
    notes: list[Note] = []
    for event in in_time:
        if by_id[event.event_id] != event:
            notes.append(Note(event, False, "another content with this event id counts: its canonical JSON is smaller"))
        else:
            counts, why = _JUDGES[event.type](event, winners, figures)
            notes.append(Note(event, counts, why))
    return notes


def _judge_order(event: Event, winners: Winners, figures: Figures) -> tuple[bool, str]:
    return _loser(event, winners.order) or (True, f"says what is due: {event.amount_minor}")


def _judge_cancellation(event: Event, winners: Winners, figures: Figures) -> tuple[bool, str]:
    if event == winners.cancellations[0]:
        return True, "cancels the order"
    return False, f"{winners.cancellations[0].event_id} had already cancelled the order"


def _judge_payment(event: Event, winners: Winners, figures: Figures) -> tuple[bool, str]:
    winner = _same(winners.payments, "payment_id", event)
    return _loser(event, winner) or _foreign(event, figures) or (True, f"captures {event.amount_minor}")


def _judge_refund(event: Event, winners: Winners, figures: Figures) -> tuple[bool, str]:
    winner = _same(winners.refunds, "refund_id", event)
    return _loser(event, winner) or _foreign(event, figures) or (True, f"refunds {event.amount_minor}")


def _judge_chargeback(event: Event, winners: Winners, figures: Figures) -> tuple[bool, str]:
    lost = _loser(event, _same(winners.chargebacks, "chargeback_id", event))
    if lost is None and event.chargeback_id in winners.reversed_ids:
        return False, "the merchant won it back"
    return lost or _foreign(event, figures) or (True, f"charges back {event.amount_minor}")


def _judge_reversal(event: Event, winners: Winners, figures: Figures) -> tuple[bool, str]:
    if _same(winners.chargebacks, "chargeback_id", event) is None:
        return False, f"no charge-back {event.chargeback_id} is known so far"
    return True, f"closes the charge-back {event.chargeback_id}"


def _judge_failure(event: Event, winners: Winners, figures: Figures) -> tuple[bool, str]:
    return False, "information: a failed payment moves no money"


_JUDGES: dict[str, Callable[[Event, Winners, Figures], tuple[bool, str]]] = {
    ORDER_PLACED: _judge_order,
    ORDER_CANCELLED: _judge_cancellation,
    PAYMENT_CAPTURED: _judge_payment,
    PAYMENT_FAILED: _judge_failure,
    REFUND_ISSUED: _judge_refund,
    CHARGEBACK_OPENED: _judge_chargeback,
    CHARGEBACK_REVERSED: _judge_reversal,
}


def _same(winners: list[Event], identity: str, event: Event) -> Event | None:
    wanted = getattr(event, identity)
    return next((winner for winner in winners if getattr(winner, identity) == wanted), None)


def _loser(event: Event, winner: Event | None) -> tuple[bool, str] | None:
    if winner is None or winner == event:
        return None
    if (winner.amount_minor, winner.currency) == (event.amount_minor, event.currency):
        return False, f"delivered again: {winner.event_id} says the same and counts"
    return False, (
        f"conflicts with {winner.event_id}, which is earlier and counts: "
        f"{event.amount_minor} {event.currency} is not {winner.amount_minor} {winner.currency}"
    )


def _foreign(event: Event, figures: Figures) -> tuple[bool, str] | None:
    if event.currency == figures.currency:
        return None
    return False, f"is in {event.currency}, not in {figures.currency}: in no sum, but it makes a currency mismatch"


def _steps(held: int, winners: Winners, figures: Figures, passed: bool) -> list[Step]:
    words = _Words(winners, figures, passed)
    steps: list[Step] = []
    for number, condition, _ in RULES:
        if number < held:
            steps.append(Step(number, condition, False, _WHY_NOT[number](words)))
        elif number == held:
            steps.append(Step(number, condition, True, _WHY[number](words)))
        else:
            steps.append(Step(number, condition, None, f"not asked: rule {held} holds"))
    return steps


class _Words:
    """The pieces that the sentences below are made of."""

    def __init__(self, winners: Winners, figures: Figures, passed: bool) -> None:
        f, tolerance = figures, figures.tolerance_minor
        due = f.due_minor or 0
        self.captured, self.refunded = f"captured {f.captured_minor}", f"refunded {f.refunded_minor}"
        self.left = f"{f.captured_minor - f.refunded_minor} is left"
        self.due = f"due {due}"
        self.most = f"due {due} + tolerance {tolerance}" if tolerance else self.due
        self.least = f"due {due} - tolerance {tolerance}" if tolerance else self.due
        self.net = f"net {f.net_minor}"
        self.cancelled = "" if f.cancelled_at_ms is None else f"cancelled at {format_ms(f.cancelled_at_ms)}"
        self.deadline = f"the deadline {format_ms(f.deadline_at_ms)} has {'passed' if passed else 'not passed'}"
        self.order = "" if winners.order is None else f"the order came with {winners.order.event_id}"
        money = [*winners.payments, *winners.refunds, *f.open_chargebacks]
        others = sorted({event.currency or "" for event in money if event.currency != f.currency})
        self.currencies = f"money in {', '.join(others)} beside {f.currency}" if others else "no other currency occurs"
        self.charged_back = f"charged back {f.charged_back_minor}"
        self.has_refunds = f.refunded_minor > 0
        self.has_captures = f.captured_minor > 0

    def if_refunded(self, text: str) -> str:
        return text if self.has_refunds else "nothing was refunded"


_WHY_NOT: dict[int, Callable[[_Words], str]] = {
    1: lambda w: w.order,
    2: lambda w: w.currencies,
    3: lambda w: "no charge-back is open",
    4: lambda w: "nobody cancelled it",
    5: lambda w: w.if_refunded(f"{w.captured} is more than {w.refunded}"),
    6: lambda w: w.if_refunded(f"{w.captured} is not more than {w.most}"),
    7: lambda w: w.if_refunded(f"{w.captured} is less than {w.least}"),
    8: lambda w: w.captured if w.has_captures else f"{w.due} is within the tolerance",
    9: lambda w: f"{w.captured} is not less than {w.least}",
    10: lambda w: f"{w.captured} is not more than {w.most}",
}
_WHY: dict[int, Callable[[_Words], str]] = {
    1: lambda w: f"no order_placed is among the events, and {w.deadline}",
    2: lambda w: w.currencies,
    3: lambda w: w.charged_back,
    4: lambda w: f"{w.cancelled}, {w.net}",
    5: lambda w: f"{w.refunded}, {w.captured}",
    6: lambda w: f"{w.captured} is more than {w.most}, {w.refunded}: {w.left}",
    7: lambda w: f"{w.captured} reaches {w.least}, {w.refunded}",
    8: lambda w: f"{w.captured}, {w.due}, and {w.deadline}",
    9: lambda w: f"{w.captured} is less than {w.least}, and {w.deadline}",
    10: lambda w: f"{w.captured} is more than {w.most}",
    11: lambda w: f"{w.captured}, {w.most}",
}
