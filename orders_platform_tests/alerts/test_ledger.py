"""Each cause is told once when it begins and once when it is over, whatever happens to the receiver."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders_platform.alerts import causes
from orders_platform.alerts.causes import Cause, Days
from orders_platform.alerts.ledger import TOLD_MAX, WAITING_MAX, Ledger, delivered, take


def cause(number: int, evidence: str = "1") -> Cause:
    return causes.check_failed("matched_orders", f"check_{number}", None, "Order 7 is wrong.", evidence)


def told(ledger: Ledger) -> list[tuple[str, str]]:
    return [(each.state, each.key) for each in ledger.waiting]


def test_a_cause_is_told_when_it_begins_and_when_it_is_over_and_not_in_between() -> None:
    one = cause(1)
    ledger = take(Ledger(since_ms=0), [one], set(), 5)
    assert told(ledger) == [("began", one.key)]
    assert (ledger.waiting[0].at_ms, ledger.waiting[0].title) == (5, "The check check_1 of matched_orders failed.")
    ledger = delivered(ledger)
    for _ in range(3):
        ledger = take(ledger, [one], set(), 6)
        assert told(ledger) == []
    ledger = take(ledger, [], set(), 7)
    assert told(ledger) == [], "what could not be seen is not over"
    ledger = take(ledger, [], {one.key, "another"}, 8)
    assert told(ledger) == [("over", one.key)]
    assert ledger.waiting[0].title == "The check check_1 of matched_orders passes again."
    ledger = take(delivered(ledger), [], {one.key}, 9)
    assert (ledger.told, ledger.waiting) == ((), ())
    assert told(take(ledger, [one], set(), 9)) == [("began", one.key)], "it may begin again"


def test_what_is_not_delivered_waits_with_what_comes_meanwhile() -> None:
    one, two = cause(1), cause(2)
    ledger = take(Ledger(since_ms=0), [one], set(), 1)
    ledger = take(ledger, [two], {one.key}, 2)
    assert told(ledger) == [("began", one.key), ("over", one.key), ("began", two.key)]


def test_what_is_there_is_not_over_whatever_an_older_result_says() -> None:
    one = cause(1)
    ledger = delivered(take(Ledger(since_ms=0), [one], set(), 1))
    assert take(ledger, [one], {one.key}, 2) == ledger


def test_somebody_else_may_have_told_it_already_but_not_that_it_is_over() -> None:
    one = cause(1)
    ledger = take(Ledger(since_ms=0), [one], set(), 1, known={one.key})
    assert told(ledger) == []
    assert told(take(ledger, [], {one.key}, 2)) == [("over", one.key)]


def test_the_same_occurrence_has_the_same_id_after_the_ledger_was_lost() -> None:
    first, again, later = (
        take(Ledger(since_ms=now), [cause(1, evidence)], set(), now).waiting[0].id
        for now, evidence in ((1, "1"), (2, "1"), (3, "2"))
    )
    assert first == again != later
    ledger = take(Ledger(since_ms=0), [cause(1)], set(), 1)
    assert take(delivered(ledger), [], {cause(1).key}, 2).waiting[0].id == f"{first}-over"


def test_what_finds_no_room_is_told_when_there_is_some() -> None:
    many = [cause(number) for number in range(TOLD_MAX + 30)]
    ledger, seen = Ledger(since_ms=0), list[str]()
    for _ in range(20):
        ledger = take(ledger, many, set(), 1)
        assert len(ledger.waiting) <= WAITING_MAX
        seen += [each.key for each in ledger.waiting]
        ledger = delivered(ledger)
    assert seen == [each.key for each in many[:TOLD_MAX]]
    over = {each.key for each in many[:50]}
    for _ in range(5):
        ledger = take(ledger, many[50:], over, 2)
        assert len(ledger.waiting) <= WAITING_MAX
        seen += [each.key for each in ledger.waiting if each.state == "began"]
        ledger = delivered(ledger)
    assert seen == [each.key for each in many]


def test_a_ledger_stays_small() -> None:
    many = [
        causes.check_failed(
            "a" * 60, f"{'c' * 60}_{number}", causes.Days("2026-01-05", "2026-02-05"), "x" * 9999, str(number)
        )
        for number in range(1000)
    ]
    ledger = Ledger(since_ms=0)
    for _ in range(20):
        ledger = take(delivered(ledger), many, set(), 1)
    ledger = take(ledger, [], {each.key for each in many}, 1)
    assert len(msgspec.json.encode(ledger)) < 300_000


@given(st.lists(st.tuples(st.sets(st.integers(0, 5)), st.booleans()), max_size=30))
def test_what_arrives_alternates_and_ends_with_how_things_are(rounds: list[tuple[set[int], bool]]) -> None:
    ledger, arrived = Ledger(since_ms=0), dict[str, list[str]]()
    state: set[int] = set()
    for state, up in [*rounds, (rounds[-1][0] if rounds else set(), True)]:
        gone = {cause(number).key for number in range(6) if number not in state}
        ledger = take(ledger, [cause(number) for number in sorted(state)], gone, 1)
        if up:
            for each in ledger.waiting:
                arrived.setdefault(each.key, []).append(each.state)
            ledger = delivered(ledger)
    for number in range(6):
        told_of = arrived.get(cause(number).key, [])
        assert told_of == (["began", "over"] * 40)[: len(told_of)]
        assert (len(told_of) % 2 == 1) == (number in state)


@pytest.mark.parametrize(
    ("first", "last", "ended"),
    [
        ("2026-01-03", "2026-01-05", True),
        ("2026-01-01", "2026-01-31", True),
        ("2026-01-04", "2026-01-31", False),
        ("2026-01-01", "2026-01-04", False),
    ],
)
def test_days_that_pass_end_what_was_told_of_days_among_them(first: str, last: str, ended: bool) -> None:
    key = causes.check_key("statement", "closes", Days("2026-01-03", "2026-01-05"))
    assert causes.is_ended(key, "statement", "closes", Days(first, last)) == ended
    assert not causes.is_ended(key, "statement", "closes", None)
    assert not causes.is_ended(key, "statement", "close", Days(first, last))
    assert not causes.is_ended(key, "statemen", "closes", Days(first, last))


def test_a_check_that_is_about_no_days_ends_its_own_cause_alone() -> None:
    key = causes.check_key("statement", "closes", None)
    assert causes.is_ended(key, "statement", "closes", None)
    assert not causes.is_ended(key, "statement", "closes", Days("2026-01-01", "2026-01-31"))
