"""A day that builds upon the day before says, to the byte, what all orders say: whatever arrives when."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.client_session import ClientSession

from orders_platform.matching import Rules
from orders_platform.reports.days import day_of
from orders_platform.reports.making import Broker, make_day
from orders_platform.store import day
from orders_platform.store import merge as merging
from orders_platform.store.client import Store
from orders_platform.store.merge import Arrival, Change, merge
from orders_platform_tests.reports import worlds
from orders_platform_tests.reports.shops import DAY_MS, HOUR_MS, event_of
from orders_platform_tests.reports.test_making import bought
from orders_platform_tests.reports.worlds import (
    MINUTE_MS,
    MONDAY,
    MONDAY_MS,
    TUESDAY,
    TUESDAY_MS,
    WEDNESDAY_MS,
    World,
    on_monday,
    on_tuesday,
    payment,
)
from orders_platform_tests.strategies import patient

pytestmark = pytest.mark.services
FIRST = date(2026, 1, 4)
ZONES = ["UTC", "Europe/Paris", "America/New_York", "Pacific/Kiritimati"]
RULES = [Rules(), Rules(2, MINUTE_MS), Rules(0, 2 * DAY_MS), Rules(0, 20 * 60 * MINUTE_MS)]
SHIFTS = [0, 0, 82, 291]  # days; the last two bring changes of the clocks in Paris, and one in New York


def run(world: World, random: Random, orders: int, days: int) -> list[str]:
    shift = random.choice(SHIFTS)
    rules = random.choice(RULES)
    world.begin(random.choice([500, 500, 4]))
    arrivals = worlds.arriving(random, orders, days, shift * DAY_MS)
    first, zone = FIRST + timedelta(shift - 1), random.choice(ZONES)
    return worlds.live(world, random, arrivals, first, days + 4, zone, [rules, *RULES])


@settings(patient, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.integers(1, 12), st.integers(1, 4))
def test_however_a_shop_lives_its_days_are_right(world: World, random: Random, orders: int, days: int) -> None:
    run(world, random, orders, days)


@pytest.mark.parametrize("seed", range(3))
def test_a_busy_shop_builds_upon_the_day_before(world: World, seed: int) -> None:
    ways = run(world, Random(seed), 60, 5)
    assert ways.count("") >= len(ways) // 3  # or the comparison would have proved little


def test_a_day_reads_its_own_orders(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    on_monday(world, orders=300)
    world.now_ms = TUESDAY_MS + 2 * HOUR_MS
    world.arrive([payment("o-1", world.now_ms), *bought("new", world.now_ms)])
    world.arrive([payment("o-4", MONDAY_MS + HOUR_MS)])  # late by a day
    read: list[str] = []
    touching = day.Reading.touching

    def noting(*given: Any) -> Iterator[day.StoredOrder]:
        for order in touching(*given):
            read.append(order.document.order_id)
            yield order

    monkeypatch.setattr(day.Reading, "touching", noting)
    for name in ("settled", "mattering", "named"):
        monkeypatch.delattr(day.Reading, name)
    assert on_tuesday(world).counted_anew == ""
    assert sorted(read) == ["new", "o-1", "o-4"]


def test_the_orders_of_a_day_are_found_by_index(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    on_monday(world, orders=300)
    world.now_ms = TUESDAY_MS + 2 * HOUR_MS
    world.arrive([payment("o-1", world.now_ms)])
    asked: list[tuple[Any, ...]] = []
    found = day.Reading._found

    def noting(reading: day.Reading, *given: Any) -> Iterator[day.StoredOrder]:
        asked.append(given)
        return found(reading, *given)

    monkeypatch.setattr(day.Reading, "_found", noting)
    with day.reading(world.store) as reading:
        assert len(list(reading.touching([(TUESDAY_MS, WEDNESDAY_MS), (5, 6)], TUESDAY_MS))) == 1
    assert [index for _, index in asked] == ["event_times", "event_times", "late"]
    for wanted, index in asked:
        plan = world.store.orders.find(wanted, hint=index).explain()["executionStats"]
        assert (plan["totalDocsExamined"] <= 1, plan["totalKeysExamined"] <= 3) == (True, True)


def test_a_transaction_that_is_open_is_counted_on_the_next_day(
    store: Store, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge(store, [Change("o", None, [Arrival(event_of(bought("o", MONDAY_MS)[0]), "orders", 0, 0)])], 0, Rules())
    commit, written, go_on = merging._commit, threading.Event(), threading.Event()

    def slow_commit(session: ClientSession) -> None:
        written.set()
        assert go_on.wait(60)
        commit(session)

    monkeypatch.setattr(merging, "_commit", slow_commit)
    paid = Change("o", None, [Arrival(event_of(payment("o", MONDAY_MS + 1)), "payments", 0, 0)])
    with ThreadPoolExecutor(1) as pool:
        merged = pool.submit(merge, store, [paid], 0, Rules())
        assert written.wait(60)
        second_s = int(merging.time.time())
        while int(merging.time.time()) <= second_s + 1:  # or their cluster times would be the same second
            merging.time.sleep(0.05)
            store.matcher.update_one({"_id": "tick"}, {"$inc": {"n": 1}}, upsert=True)
        first = make_day(store, broker, day_of(MONDAY, "UTC"), Rules())
        go_on.set()
        assert merged.result(60).updated == 1
    assert [each.id for each in first.statement.breaks.new] == ["o:unpaid"]
    second = make_day(store, broker, day_of(TUESDAY, "UTC"), Rules())
    assert second.counted_anew == ""
    assert second.statement.currencies["EUR"].opening_minor == 0
    assert second.statement.verdict == "clean"
