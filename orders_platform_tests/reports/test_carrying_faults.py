"""What dies, meets, is late or is odd while days are made one upon the other: the statements stay right."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from orders_platform.errors import RetryableStoreError
from orders_platform.matching import Rules, View, fold
from orders_platform.matching.breaks import counted_as
from orders_platform.reports import carrying
from orders_platform.reports.days import day_of
from orders_platform.reports.making import make_day
from orders_platform.store import breaks, carries, schema, statements
from orders_platform.store.merge import Arrival, Change, Known, merge
from orders_platform_tests import oracle
from orders_platform_tests.reports.shops import DAY_MS, HOUR_MS, event_of
from orders_platform_tests.reports.test_making import bought, content
from orders_platform_tests.reports.worlds import (
    MINUTE_MS,
    MONDAY,
    MONDAY_MS,
    TUESDAY,
    TUESDAY_MS,
    WEDNESDAY,
    WEDNESDAY_MS,
    World,
    on_monday,
    on_tuesday,
    payment,
)

pytestmark = pytest.mark.services


@pytest.mark.parametrize("where", [(statements, "keep"), (carries, "keep"), (breaks, "record")])
@pytest.mark.parametrize("before", [True, False])
def test_a_maker_that_died_between_its_writes_spoils_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str], before: bool
) -> None:
    on_monday(world)
    original = getattr(*where)

    def dies(*given: Any) -> None:
        if not before:
            original(*given)
        raise KeyboardInterrupt

    world.now_ms = TUESDAY_MS + 2 * HOUR_MS
    world.arrive([payment("o-1", world.now_ms)])
    world.arrive([payment("o-2", MONDAY_MS + HOUR_MS, 50)])
    for time in range(2):
        world.now_ms += DAY_MS
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(*where, dies)
            world.made(TUESDAY, "UTC")
        world.arrive([payment("o-4", MONDAY_MS + HOUR_MS + time)])
    for when in (TUESDAY, WEDNESDAY, MONDAY, TUESDAY, WEDNESDAY):
        world.now_ms += HOUR_MS
        world.made(when, "UTC")


def test_two_makers_at_once_leave_what_is_right(world: World) -> None:
    on_monday(world)
    world.now_ms = WEDNESDAY_MS + HOUR_MS
    world.arrive([payment("o-1", TUESDAY_MS + 5)])
    world.has_read()
    barrier = threading.Barrier(4)

    def at_once(when: date) -> str:
        barrier.wait(60)
        try:
            return make_day(world.store, world.broker, day_of(when, "UTC"), Rules()).counted_anew
        except RetryableStoreError as error:
            assert "Somebody else has just kept" in error.what
            return ""

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(at_once, [TUESDAY] * 4)) == [""] * 4
    assert world.store.statements.count_documents({"date": "2026-01-06"}) == 1
    world.arrive([payment("o-2", MONDAY_MS + HOUR_MS, 50)])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(at_once, [TUESDAY, TUESDAY, MONDAY, MONDAY]))
    world.now_ms += DAY_MS
    for when in (WEDNESDAY, TUESDAY, MONDAY):
        assert (world.made(when, "UTC").counted_anew == "") == (when != MONDAY)


@pytest.mark.parametrize(
    "change",
    [
        {"captured_minor": Int64(99)},
        {"events.0.amount_minor": Int64(90)},
        {"events.1.currency": "USD"},
        {"events.0.amount_minor": "much"},
    ],
)
def test_a_tampered_order_of_the_day_is_named_and_nothing_built_upon_it(world: World, change: dict[str, Any]) -> None:
    on_monday(world)
    world.now_ms = TUESDAY_MS + 2 * HOUR_MS
    world.arrive([payment("o-1", world.now_ms)])
    right = world.store.orders.find_one({"_id": "o-1"})
    assert right is not None
    world.store.orders.update_one({"_id": "o-1"}, {"$set": change})
    world.now_ms = WEDNESDAY_MS + HOUR_MS
    world.has_read()
    told = make_day(world.store, world.broker, day_of(TUESDAY, "UTC"), Rules())
    assert told.counted_anew == "the orders contradict what the day before left"
    assert (told.statement.verdict, told.statement.coverage.suspects) == ("incomplete", ["o-1"])
    forced = make_day(world.store, world.broker, day_of(TUESDAY, "UTC"), Rules(), force=True)
    assert not forced.is_new
    world.now_ms += DAY_MS
    told = make_day(world.store, world.broker, day_of(WEDNESDAY, "UTC"), Rules())
    assert told.counted_anew == "the day before left nothing to build upon"
    assert told.statement.coverage.suspects == ["o-1"]
    world.store.orders.replace_one({"_id": "o-1"}, right, bypass_document_validation=True)
    for when in (WEDNESDAY, WEDNESDAY + timedelta(1)):
        world.now_ms += DAY_MS
        world.made(when, "UTC")


def test_orders_of_an_earlier_program_are_counted(world: World) -> None:
    for number in range(4):
        world.now_ms = MONDAY_MS + number * MINUTE_MS
        world.arrive(bought(f"o-{number}", world.now_ms, paid=None if number % 2 else 100))
    world.store.orders.update_many({}, {"$unset": {"events.$[].merged_at": 1, "late_at": 1}})
    world.now_ms = TUESDAY_MS + HOUR_MS
    world.made(MONDAY, "UTC")
    world.arrive([payment("o-1", MONDAY_MS + HOUR_MS)])
    assert on_tuesday(world).counted_anew == ""


def test_nothing_is_left_while_a_matcher_of_an_earlier_program_runs(world: World) -> None:
    on_monday(world)
    world.store.carries.delete_many({})
    world.has_read()
    world.store.matcher.update_one({"_id": "schema"}, [{"$set": {"stamped_since": "$$NOW"}}])
    world.store.matcher.update_one({"_id": "heartbeat"}, {"$set": {"started_at": DatetimeMS(MONDAY_MS)}})
    make_day(world.store, world.broker, day_of(MONDAY, "UTC"), Rules())
    assert world.store.carries.count_documents({}) == 0


def _store_again(world: World) -> None:
    """Somebody deletes an order, and its messages are read once more."""
    its = world.known.pop("o-1")
    world.store.orders.delete_one({"_id": "o-1"})
    offset, world.offset = world.offset, world.offsets[oracle.canonical(its[0])]
    world.arrive(its)
    world.offset = offset


def _store_from_cache(world: World) -> None:
    """Somebody deletes an order, and the matcher writes what it remembers of it."""
    known = {event_of(each): None for each in world.known["o-1"]}
    counted = counted_as(fold("o-1", known, world.now_ms, Rules()))
    known_order = Known(1, View(known, world.now_ms), True, b"", counted)
    world.store.orders.delete_one({"_id": "o-1"})
    late = payment("o-1", world.now_ms)
    world.known["o-1"].append(late)
    world.offsets[oracle.canonical(late)] = world.offset
    merge(world.store, [Change("o-1", known_order, [Arrival(event_of(late), "payments", 0, world.offset)])], 0, Rules())
    world.offset += 1


def _begin_anew(world: World) -> None:
    """The orders are emptied, and everything is read once more."""
    world.store.orders.drop()
    schema.migrate(world.store)
    offset, world.offset = world.offset, 0
    known = [each for its in world.known.values() for each in its]
    world.known = {}
    world.arrive(known)
    assert world.offset <= offset


def _another_kafka(world: World) -> None:
    world.offset = 1
    world.arrive([payment("o-1", world.now_ms)])


def _clock_back(world: World) -> None:
    carry = carries.of_day(world.store, "2026-01-05")
    assert carry is not None
    carries.keep(world.store, msgspec.structs.replace(carry, as_of_ms=WEDNESDAY_MS + DAY_MS))


def _change_carry(world: World) -> None:
    world.store.carries.update_one({}, {"$set": {"position_minor.EUR": Int64(1)}})


def _damage_carry(world: World) -> None:
    damaged = [{"$set": {"position_minor": 7}}]
    world.store.database.command(
        {"update": "carries", "updates": [{"q": {}, "u": damaged}], "bypassDocumentValidation": True}
    )


def _lose_statement(world: World) -> None:
    world.store.statements.delete_many({})


def _change_breaks(world: World) -> None:
    world.store.statement_breaks.update_one({}, {"$set": {"breaks.0.at_risk_minor": Int64(1)}})


def _lose_breaks(world: World) -> None:
    world.store.statement_breaks.delete_many({})


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (_store_again, "the orders contradict what the day before left"),
        (_store_from_cache, "the orders contradict what the day before left"),
        (_begin_anew, "the collection of orders is another"),
        (_another_kafka, "the topics are read from before where they were"),
        (_clock_back, "MongoDB's time went back"),
        (_change_carry, "the day before left nothing to build upon"),
        (_damage_carry, "the day before left nothing to build upon"),
        (_lose_statement, "the statement of the day before is gone or altered"),
        (_change_breaks, "the statement of the day before is gone or altered"),
        (_lose_breaks, "the statement of the day before is gone or altered"),
    ],
)
def test_what_is_odd_is_counted_anew(world: World, happens: Callable[[World], None], reason: str) -> None:
    on_monday(world)
    world.now_ms = TUESDAY_MS + 2 * HOUR_MS
    happens(world)
    assert on_tuesday(world).counted_anew == reason


def test_many_late_events_are_counted_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "_LATE_LEAST", 2)
    on_monday(world)
    for number in range(3):
        world.now_ms = TUESDAY_MS + 2 * HOUR_MS
        world.arrive([payment(f"o-{number}", MONDAY_MS + HOUR_MS)])
    assert on_tuesday(world).counted_anew == "too many events came late"
    world.now_ms += DAY_MS
    assert world.made(WEDNESDAY, "UTC").counted_anew == ""


def test_a_history_that_was_just_loaded_leaves_nothing_to_build_upon(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "_LATE_LEAST", 2)
    world.now_ms = WEDNESDAY_MS + HOUR_MS
    for number in range(5):
        world.arrive(bought(f"o-{number}", MONDAY_MS))
    world.now_ms += MINUTE_MS
    world.made(MONDAY, "UTC")
    assert world.store.carries.count_documents({}) == 0
    world.now_ms += 3 * MINUTE_MS
    world.made(MONDAY, "UTC")
    assert world.made(TUESDAY, "UTC").counted_anew == ""


def test_force_counts_anew(world: World) -> None:
    on_monday(world)
    world.now_ms = WEDNESDAY_MS + HOUR_MS
    assert world.made(TUESDAY, "UTC", force=True).counted_anew == "it was asked for"
    assert world.made(TUESDAY, "UTC").counted_anew == ""
    world.now_ms += DAY_MS
    assert world.made(WEDNESDAY, "UTC").counted_anew == ""


@pytest.mark.parametrize("back_ms", [HOUR_MS, DAY_MS + HOUR_MS])
def test_what_was_merged_just_before_a_count_of_all_counts_once(world: World, back_ms: int) -> None:
    world.now_ms = TUESDAY_MS - back_ms
    world.arrive(bought("o-1", world.now_ms))
    world.now_ms = TUESDAY_MS + 3 * HOUR_MS
    fields = {"amount_minor": 10, "currency": "EUR", "refund_id": "r"}
    world.arrive([content("refund_issued", "o-1", TUESDAY_MS - back_ms + MINUTE_MS, **fields)])
    world.now_ms += MINUTE_MS
    assert world.made(MONDAY, "UTC").counted_anew
    assert on_tuesday(world).counted_anew == ""
