"""The numbers of the page, the metrics and `orders watch`: rates, waits, totals, and how often counting is done."""

import time
from contextlib import suppress

import pytest

from orders_platform.live.numbers import Looker, quantile_ms
from orders_platform.live.pace import Pace
from orders_platform.matcher.bucket import WAIT_BOUNDS_MS, Counts, Messages, add, match
from orders_platform.matcher.hot import Bounds, HotOrders
from orders_platform.store import dead_letters, matcher_records
from orders_platform.store.client import Store
from orders_platform.store.dead_letters import DeadLetter
from orders_platform.store.merge import merge
from orders_platform_tests import matcher_words
from orders_platform_tests.adversary import DEADLINE_MS
from orders_platform_tests.store.deliveries import RULES, change, paid, placed

services = pytest.mark.services


def beat(store: Store, *, epoch: int, messages: int, waits: list[int] | None = None) -> None:
    if matcher_records.read_lease(store) is None:
        for expected in range(epoch):
            matcher_records.take_epoch(store, "test", 60, expected)
        matcher_words.begins(store, epoch)
    counts = Counts(messages=messages, waits=waits or [])
    matcher_records.record_batch(store, epoch, 1, {}, batch=counts, totals=counts, duration_ms=5)


@services
def test_rates_are_those_of_the_last_seconds(store: Store) -> None:
    now_s = 0.0
    looker = Looker(clock_s=lambda: now_s)
    assert looker.look(store).rates.messages_per_s is None
    rates: list[float | None] = []
    for second in range(1, 31):
        now_s = float(second)
        beat(store, epoch=1, messages=100 * second if second < 15 else 1400)
        rates.append(looker.look(store).rates.messages_per_s)
    assert rates[0] is None
    assert rates[1:14] == [100.0] * 13
    assert rates[-1] == 0.0


@services
def test_another_driver_counts_from_zero_and_no_rate_is_below_it(store: Store) -> None:
    now_s = 0.0
    looker = Looker(clock_s=lambda: now_s)
    beat(store, epoch=1, messages=1_000)
    looker.look(store)
    matcher_records.take_epoch(store, "test", 60, 1)
    matcher_words.begins(store, 2)
    matcher_records.record_batch(store, 2, 0, {}, batch=Counts(), totals=Counts(messages=5), duration_ms=5)
    now_s = 1.0
    assert looker.look(store).rates.messages_per_s is None
    matcher_records.record_batch(store, 2, 1, {}, batch=Counts(), totals=Counts(messages=25), duration_ms=5)
    now_s = 2.0
    assert looker.look(store).rates.messages_per_s == 20.0


@services
def test_orders_that_become_matched_are_a_rate(store: Store) -> None:
    now_s = 0.0
    looker = Looker(clock_s=lambda: now_s)
    beat(store, epoch=1, messages=0)
    looker.look(store)
    merge(store, [change(placed(f"o-{at}"), paid(f"o-{at}")) for at in range(30)], DEADLINE_MS, RULES)
    now_s = 10.0
    assert looker.look(store).rates.matched_per_s == 3.0


@services
def test_waits_are_those_of_the_last_seconds(store: Store) -> None:
    now_s = 0.0
    looker = Looker(clock_s=lambda: now_s)
    old, new = [0] * (len(WAIT_BOUNDS_MS) + 1), [0] * (len(WAIT_BOUNDS_MS) + 1)
    old[-1] = new[-1] = 1_000  # from a backlog of long ago
    new[3] = 100
    beat(store, epoch=1, messages=1_000, waits=old)
    looker.look(store)
    now_s = 1.0
    beat(store, epoch=1, messages=1_100, waits=new)
    rates = looker.look(store).rates
    assert (rates.wait_p50_ms, rates.wait_p99_ms) == (750.0, 995.0)


@services
def test_money_breaks_and_dead_letters_are_told(store: Store) -> None:
    merge(store, [change(placed("m"), paid("m")), change(placed("u", amount_minor=250))], DEADLINE_MS + 1, RULES)
    merge(store, [change(placed("yen", amount_minor=7, currency="JPY"))], DEADLINE_MS + 1, RULES)
    dead_letters.write(store, [DeadLetter("orders", 0, 1, "not_json", None, b"", None)])
    looker = Looker()
    looker.count(store)
    numbers = looker.look(store)
    assert numbers.matched_minor() == {"EUR": 100}
    assert numbers.at_risk_minor() == {"EUR": 250, "JPY": 7}
    assert {each.order_id for each in numbers.newest_breaks} == {"u", "yen"}
    assert numbers.counted.dead_letters == {"not_json": 1}


@services
def test_counting_is_done_only_as_often_as_that_is_cheap(store: Store) -> None:
    now_s = 0.0

    def clock_s() -> float:
        nonlocal now_s
        now_s += 1.0  # so that counting seems to take a second
        return now_s

    looker = Looker(clock_s)
    assert looker.is_due()
    looker.count(store)
    assert 95 <= next(number for number in range(200) if looker.is_due()) <= 105


def test_what_fails_is_paced_as_what_succeeds_unless_mongodb_was_away_meanwhile() -> None:
    now_s = 0.0
    pace = Pace(10, least_s=5, clock_s=lambda: now_s)
    assert pace.is_due()
    with pace.taken():
        pass
    now_s = 4.9
    assert not pace.is_due(back_s=4.0), "it succeeded"
    now_s = 5.0
    assert pace.is_due()
    with suppress(ValueError), pace.taken():
        now_s = 8.0
        raise ValueError
    now_s = 37.9
    assert not pace.is_due(back_s=4.9)
    assert pace.is_due(back_s=6.0), "MongoDB was found again after it had begun"
    now_s = 38.0
    assert pace.is_due()


@services
def test_restarts_are_the_starts_that_nobody_asked_for(store: Store) -> None:
    now_ms, hour_ms = matcher_records.server_time_ms(store), 3_600_000
    # Yesterday's last life ended by itself; then a person asked for one; the last three nobody did.
    for epoch, (hours_ago, end) in enumerate(
        [(40, "died"), (30, "died"), (20, "asked"), (10, "died"), (3, "stalled"), (2, "died"), (1, None)], 1
    ):
        at_ms = now_ms - hours_ago * hour_ms
        start = matcher_records.Start(epoch=epoch, attempt=1, at_ms=at_ms, reason="a test", end=end)
        matcher_records.add_start(store, start)
    looker = Looker()
    looker.count(store)
    assert looker.look(store).counted.restarts == 4


@pytest.mark.parametrize(
    ("waits", "share", "expected_ms"),
    [
        ([0] * 13, 0.5, None),
        ([], 0.5, None),
        ([10], 0.5, 50.0),
        ([0, 10], 0.5, 175.0),
        ([5, 5], 0.5, 100.0),
        ([0] * 12 + [3], 0.99, 3_600_000.0),
    ],
)
def test_quantiles_are_drawn_between_the_bounds(waits: list[int], share: float, expected_ms: float | None) -> None:
    assert quantile_ms(waits, share) == expected_ms


@services
def test_the_matchers_function_says_how_long_its_messages_waited(store: Store) -> None:
    now_ms = time.time_ns() // 1_000_000
    times_ms = [now_ms - 700, now_ms - 45_000, now_ms + 60_000]  # the broker's clock may be ahead
    values = [b"{}", b"no", b"[]"]
    messages = Messages(values, ["orders"] * 3, [0] * 3, [0, 1, 2], times_ms)
    counts = match(messages, HotOrders(None, Bounds(10, 1_000)), now_ms, store, RULES)
    took_ms = time.time_ns() // 1_000_000 - now_ms
    assert sum(counts.waits) == 3
    assert counts.waits[0] >= 1, "what comes from the future has not waited"
    assert counts.waits[WAIT_BOUNDS_MS.index(60_000)] == 1 or took_ms > 10_000
    assert 45_700 <= counts.waited_ms <= 45_700 + 2 * took_ms


def test_counts_of_buckets_add_up() -> None:
    one, other = Counts(messages=2, waits=[1, 1, 0], waited_ms=7), Counts(messages=1, waits=[0, 0, 1], waited_ms=2)
    total = add(one, Counts(), other)
    assert (total.messages, total.waits, total.waited_ms) == (3, [1, 1, 1], 9)
    assert add(Counts()).waits == []
