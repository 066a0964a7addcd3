"""Explanations: they agree with the rules in every case, and what they propose helps."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders_platform.events import Event, decode
from orders_platform.matching import MAX_EVENTS, Rules, fold
from orders_platform.matching.explain import Explanation, explain
from orders_platform.matching.figures import add_up
from orders_platform.matching.remedies import remedies_for
from orders_platform.matching.status import BREAK_REASONS, BREAK_STATUSES, PENDING_STATUSES, RULES
from orders_platform.matching.winners import choose
from orders_platform_tests import strategies
from orders_platform_tests.adversary import DEADLINE_MS, OPENING_MS
from orders_platform_tests.matching.engines import decoded

BEFORE_MS, AFTER_MS = DEADLINE_MS, DEADLINE_MS + 1
STATUSES = BREAK_STATUSES | PENDING_STATUSES


def event(kind: str, number: int = 1, **fields: Any) -> Event:
    own = {"payment_captured": "payment_id", "refund_issued": "refund_id", "payment_failed": "payment_id"}
    identity = own.get(kind, "chargeback_id" if kind.startswith("chargeback") else None)
    made: dict[str, Any] = {"event_id": f"{kind}-{number}", "type": kind, "order_id": "o", "occurred_at": OPENING_MS}
    if identity is not None:
        made[identity] = f"{identity}-{number}"
    if kind in ("order_placed", "payment_captured", "refund_issued", "chargeback_opened"):
        made |= {"amount_minor": 100, "currency": "EUR"}
    read = decode(json.dumps(made | fields).encode())
    assert isinstance(read, Event), read
    return read


PLACED, PAID = event("order_placed"), event("payment_captured")


def why(events: list[Event], of: Event, clock_ms: int = BEFORE_MS) -> tuple[bool, str]:
    notes = explain("o", events, clock_ms, Rules()).notes
    (note,) = [note for note in notes if note.event == of]
    return note.counts, note.why


@given(strategies.event_sets(), strategies.clocks_ms, strategies.tolerances, strategies.windows_ms, st.booleans())
def test_an_explanation_says_what_the_fold_says(
    contents: list[Any], clock_ms: int | None, tolerance: int, window_ms: int, overflow: bool
) -> None:
    rules, events = Rules(tolerance, window_ms), list(dict.fromkeys(decoded(contents)))
    found = explain(events[0].order_id, events, clock_ms, rules, overflow)
    document = fold(events[0].order_id, events, clock_ms, rules, overflow)
    assert found.document == document
    assert [step.rule for step in found.steps] == [rule.number for rule in RULES]
    assert [step.holds for step in found.steps] == [
        None if step.rule > document.rule else step.rule == document.rule for step in found.steps
    ]
    assert all(step.why for step in found.steps)
    assert sorted(map(str, (note.event for note in found.notes))) == sorted(map(str, events))
    assert [note.event.occurred_at_ms for note in found.notes] == sorted(each.occurred_at_ms for each in events)
    check_sums(found)


def check_sums(found: Explanation) -> None:
    """What counts adds up to the figures, and what does not count is in none of them."""
    document = found.document
    sums = {"payment_captured": 0, "refund_issued": 0, "chargeback_opened": 0}
    for note in found.notes:
        if note.counts and note.event.type in sums:
            sums[note.event.type] += note.event.amount_minor or 0
    assert list(sums.values()) == [document.captured_minor, document.refunded_minor, document.charged_back_minor]
    placed = [note.event.amount_minor for note in found.notes if note.counts and note.event.type == "order_placed"]
    assert placed == ([] if document.due_minor is None else [document.due_minor])


@given(strategies.event_sets(), strategies.live_clocks_ms, st.sampled_from([0, 1, 50]))
def test_what_is_proposed_settles_the_order(contents: list[Any], clock_ms: int, tolerance: int) -> None:
    events = list(dict.fromkeys(decoded(contents)))
    order_id, rules = events[0].order_id, Rules(tolerance)
    for round_number in range(6):
        found = explain(order_id, events, clock_ms, rules)
        proposed = [each for each in found.remedies if each.type is not None]
        if found.document.status not in STATUSES:
            assert not proposed
            return
        if not proposed or any((each.amount_minor or 1) > 10**15 for each in proposed):
            # Only a person can help: money in two currencies.
            assert found.document.status == "currency_mismatch" or proposed
            return
        for number, remedy in enumerate(proposed):
            fields: dict[str, Any] = {"order_id": order_id, "event_id": f"remedy-{round_number}-{number}"}
            fields |= {"amount_minor": remedy.amount_minor} if remedy.amount_minor is not None else {}
            if remedy.type != "chargeback_reversed":
                fields["currency"] = found.document.currency or "EUR"
            if remedy.chargeback_id is not None:
                fields["chargeback_id"] = remedy.chargeback_id
            assert remedy.type is not None
            events.append(event(remedy.type, 1000 + 10 * round_number + number, **fields))
    pytest.fail(f"not settled by: {events}")


@given(strategies.event_sets(), strategies.clocks_ms)
def test_a_break_is_never_left_without_advice(contents: list[Any], clock_ms: int | None) -> None:
    events = list(dict.fromkeys(decoded(contents)))
    found = explain(events[0].order_id, events, clock_ms, Rules())
    assert bool(found.remedies) == (found.document.outcome != "ok")


@pytest.mark.parametrize("reason", sorted(BREAK_REASONS))
def test_every_break_reason_has_advice(reason: str) -> None:
    document = fold("o", [PLACED, PAID], BEFORE_MS, Rules())
    figures = add_up(choose([PLACED, PAID]), Rules())
    assert remedies_for(document, figures) == []
    document.reasons = (reason,)
    assert len(remedies_for(document, figures)) == 1


@pytest.mark.parametrize(
    ("others", "of", "counts", "words"),
    [
        ([PLACED], PAID, True, "captures 100"),
        ([PAID], PLACED, True, "says what is due: 100"),
        ([PLACED], event("payment_failed"), False, "information"),
        ([PLACED, PAID], event("payment_captured", event_id="z"), False, "delivered again: payment_captured-1"),
        ([PAID], event("payment_captured", event_id="z", amount_minor=7), False, "7 EUR is not 100 EUR"),
        ([event("payment_captured", method="x")], PAID, False, "canonical JSON is smaller"),
        ([PLACED], event("payment_captured", currency="USD"), False, "is in USD, not in EUR"),
        ([PLACED], event("order_cancelled"), True, "cancels"),
        ([event("order_cancelled")], event("order_cancelled", 2), False, "order_cancelled-1 had already"),
        ([PAID], event("refund_issued", amount_minor=3), True, "refunds 3"),
        ([PAID], event("chargeback_opened"), True, "charges back 100"),
        ([event("chargeback_reversed")], event("chargeback_opened"), False, "won it back"),
        ([event("chargeback_opened")], event("chargeback_reversed"), True, "closes"),
        ([PAID], event("chargeback_reversed"), False, "no charge-back chargeback_id-1"),
    ],
)
def test_each_event_is_told_why(others: list[Event], of: Event, counts: bool, words: str) -> None:
    found = why([*others, of], of)
    assert found[0] == counts
    assert words in found[1]


@pytest.mark.parametrize(
    ("events", "clock_ms", "rule", "words"),
    [
        ([PAID], BEFORE_MS, 1, "deadline 2026-01-05T10:30:00.000Z has not passed"),
        ([PAID], AFTER_MS, 1, "deadline 2026-01-05T10:30:00.000Z has passed"),
        ([PLACED, event("payment_captured", currency="USD")], BEFORE_MS, 2, "money in USD beside EUR"),
        ([PLACED, PAID, event("chargeback_opened")], BEFORE_MS, 3, "charged back 100"),
        ([PLACED, event("order_cancelled")], BEFORE_MS, 4, "cancelled at 2026-01-05T10:00:00.000Z, net 0"),
        ([PLACED, PAID, event("refund_issued")], BEFORE_MS, 5, "refunded 100, captured 100"),
        ([PLACED, PAID, event("payment_captured", 2), event("refund_issued")], BEFORE_MS, 6, "100 is left"),
        ([PLACED, PAID, event("refund_issued", amount_minor=1)], BEFORE_MS, 7, "captured 100 reaches due 100"),
        ([PLACED], BEFORE_MS, 8, "captured 0, due 100, and the deadline"),
        ([PLACED, event("payment_captured", amount_minor=1)], BEFORE_MS, 9, "captured 1 is less than due 100"),
        ([PLACED, PAID, event("payment_captured", 2)], BEFORE_MS, 10, "captured 200 is more than due 100"),
        ([PLACED, PAID], BEFORE_MS, 11, "captured 100, due 100"),
    ],
)
def test_the_rule_that_holds_says_why(events: list[Event], clock_ms: int, rule: int, words: str) -> None:
    found = explain("o", events, clock_ms, Rules())
    assert found.document.rule == rule
    assert words in found.steps[rule - 1].why


def test_rules_that_did_not_hold_say_why() -> None:
    found = explain("o", [PLACED, PAID, event("refund_issued", amount_minor=1)], BEFORE_MS, Rules(2))
    assert [step.why for step in found.steps] == [
        "the order came with order_placed-1",
        "no other currency occurs",
        "no charge-back is open",
        "nobody cancelled it",
        "captured 100 is more than refunded 1",
        "captured 100 is not more than due 100 + tolerance 2",
        "captured 100 reaches due 100 - tolerance 2, refunded 1",
        *["not asked: rule 7 holds"] * 4,
    ]


def test_an_order_past_the_bound_is_explained() -> None:
    events = [PLACED, *(event("payment_failed", number) for number in range(MAX_EVENTS - 1))]
    found = explain("o", events, BEFORE_MS, Rules(), overflow=True)
    assert len(found.notes) == MAX_EVENTS
    assert "overflow" in found.document.reasons
    assert any("dead letters" in remedy.what for remedy in found.remedies)
