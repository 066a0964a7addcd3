"""The stream's promises: reproducible, in order of arrival, bounded, in the shares that were asked for."""

import json
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from random import Random

import msgspec
import pytest

from orders_platform.errors import UsageError
from orders_platform.events import Event, decode
from orders_platform.generator import GeneratorOptions, Message, Stream
from orders_platform.generator.archetypes import ARCHETYPES, PAID
from orders_platform.generator.options import DAY_MS, TAIL_MS, start_in_the_past
from orders_platform.generator.shop import CURRENCIES, Clock, placements, price_minor
from orders_platform.matching import Rules
from orders_platform.times import MAX_MS, format_ms

START_MS = 1_767_571_200_000  # 2026-01-05, a Monday
OPTIONS = GeneratorOptions(start_ms=START_MS, orders=2000)


def changed(**changes: object) -> GeneratorOptions:
    return msgspec.structs.replace(OPTIONS, **changes)


def ids(stream: Stream) -> set[bytes]:
    return {message.key for message in stream}


def test_same_options_same_bytes() -> None:
    assert list(Stream(OPTIONS)) == list(Stream(OPTIONS))


def test_same_bytes_in_another_process_with_another_hash_seed() -> None:
    program = (
        "import hashlib; from orders_platform.generator import *;"
        f"s = Stream(GeneratorOptions(start_ms={START_MS}, orders=500));"
        "print(hashlib.sha256(b''.join(m.value or b'' for m in s)).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"start_ms": START_MS + DAY_MS}, {"orders": 2001}, {"rules": Rules(1)}, {"shares": {"free": 9.0}}],
)
def test_different_streams_share_no_order(changes: dict[str, object]) -> None:
    assert ids(Stream(OPTIONS)).isdisjoint(ids(Stream(changed(**changes))))


def test_messages_come_in_the_order_of_their_arrival() -> None:
    times = [message.at_ms for message in Stream(changed(out_of_order=40.0, late=10.0, duplicates=20.0))]
    assert times == sorted(times)


def test_some_events_arrive_after_later_ones_and_none_before_it_happened() -> None:
    shown = [json.loads(message.value) for message in Stream(changed(poison=0.0)) if message.value]
    occurred = [event["occurred_at"] for event in shown]
    behind = sum(later < earlier for earlier, later in pairwise(occurred))
    assert 0.1 < behind / len(occurred) < 0.5
    clock = Clock()
    for message in Stream(changed(poison=0.0)):
        assert json.loads(message.value or b"")["occurred_at"] < clock.text(message.at_ms)


def test_without_disorder_everything_arrives_within_two_seconds() -> None:
    stream = Stream(changed(out_of_order=0.0, late=0.0, duplicates=0.0, poison=0.0))
    clock = Clock()
    for message in stream:
        assert clock.text(message.at_ms - 2000) <= json.loads(message.value or b"")["occurred_at"]


def test_shares_are_what_was_asked_for() -> None:
    options = changed(orders=20_000, shares={"never_paid": 30.0, "orphan": 20.0}, duplicates=8.0, poison=4.0)
    stream = Stream(options)
    accepted = sum(message.poison is None for message in stream) - stream.counts.duplicates
    by_archetype = stream.counts.by_archetype
    assert by_archetype["never_paid"] == pytest.approx(6000, rel=0.05)
    assert by_archetype["orphan"] == pytest.approx(4000, rel=0.05)
    others = sum(archetype.share for archetype in ARCHETYPES.values() if not archetype.needs_tolerance) - 4.0 - 0.5
    assert by_archetype[PAID] == pytest.approx(200 * (100 - 50 - others), rel=0.05)
    assert stream.counts.duplicates == pytest.approx(accepted * 0.08, rel=0.08)
    assert stream.counts.poison == pytest.approx(accepted * 0.04, rel=0.1)


def test_a_share_of_everything_leaves_no_other_story() -> None:
    stream = Stream(changed(shares={"free": 100.0}))
    assert Counter(
        json.loads(message.value or b"{}").get("type") for message in stream if not message.poison
    ).keys() == {"order_placed"}
    assert stream.counts.by_archetype == {"free": 2000}


def test_more_than_everything_is_refused() -> None:
    with pytest.raises(UsageError, match=r"add up to 1\d\d"):
        Stream(changed(shares={"free": 60.0, "paid": 60.0}))


def test_less_than_everything_is_refused_where_nothing_takes_the_rest() -> None:
    with pytest.raises(UsageError, match=r"add up to 34 %"):
        Stream(changed(shares=dict.fromkeys(ARCHETYPES, 1.0), rules=Rules(1)))


def test_what_is_given_stays_and_the_others_fill_the_rest_in_proportion() -> None:
    weights = changed(shares={"paid": 20.0, "orphan": 0.0}).weights()
    assert weights["paid"] == 20.0
    assert "orphan" not in weights
    assert sum(weights.values()) == pytest.approx(100)
    assert weights["never_paid"] / weights["payment_first"] == pytest.approx(4 / 3)
    crowded = changed(shares={"never_paid": 90.0}).weights()
    assert crowded["never_paid"] == 90.0
    assert "paid" not in crowded
    assert sum(crowded.values()) == pytest.approx(100)


def test_a_story_that_needs_a_tolerance_is_refused_without_one() -> None:
    with pytest.raises(UsageError, match="Without a tolerance"):
        Stream(changed(shares={"within_tolerance": 5.0}))


def test_a_window_too_short_for_payments_is_refused() -> None:
    with pytest.raises(UsageError, match="shorter than a second"):
        Stream(changed(rules=Rules(0, 999)))


@pytest.mark.parametrize("start_ms", [0, 599_999, MAX_MS - 21 * DAY_MS])
def test_times_that_no_event_can_have_are_refused(start_ms: int) -> None:
    with pytest.raises(UsageError, match="1970 to 9999"):
        Stream(changed(start_ms=start_ms))


def test_the_first_and_the_last_possible_start() -> None:
    for start_ms in (600_000, MAX_MS - 21 * DAY_MS - OPTIONS.rules.payment_window_ms):
        stream = Stream(changed(start_ms=start_ms, orders=300, poison=0.0, shares={"payment_first": 30.0}))
        assert all(isinstance(decode(message.value), Event) for message in stream)


def test_what_waits_is_bounded_by_time_not_by_orders() -> None:
    def most_waiting(days: int) -> int:
        stream = Stream(changed(orders=3000 * days, days=days, poison=0.0, duplicates=0.0, late=0.0))
        return max(stream.counts.messages - yielded for yielded, _ in enumerate(stream))

    assert most_waiting(56) < 1.3 * most_waiting(28)


def test_orders_follow_a_shops_day_and_week() -> None:
    times = list(placements(70_000, START_MS, 14, Random(1).random))
    assert times == sorted(times)
    assert len(times) == 70_000
    assert times[0] >= START_MS
    assert times[-1] < START_MS + 14 * DAY_MS
    hours = Counter(time_ms // 3_600_000 % 24 for time_ms in times)
    assert hours[20] > 3 * hours[7] > 6 * hours[3]
    days = Counter((time_ms - START_MS) // DAY_MS % 7 for time_ms in times)
    assert days[6] > 1.15 * days[1]


@pytest.mark.parametrize("orders", [1, 2, 50])
def test_few_orders_are_all_placed(orders: int) -> None:
    assert len(list(placements(orders, START_MS, 7, Random(1).random))) == orders


def test_prices_are_a_shops() -> None:
    draw = Random(3).random
    euro, yen, dinar = (next(c for c in CURRENCIES if c.code == code) for code in ("EUR", "JPY", "KWD"))
    prices = sorted(price_minor(euro, draw) for _ in range(5000))
    assert {price % 100 for price in prices} == {99}
    assert 3000 < prices[2500] < 4800
    assert prices[-50] > 5 * prices[2500]
    assert {price_minor(yen, draw) % 100 for _ in range(500)} == {80}
    assert {price_minor(dinar, draw) % 250 for _ in range(500)} == {0}


def test_every_currency_and_some_customers_come_again() -> None:
    placed = [json.loads(message.value) for message in Stream(changed(poison=0.0)) if message.value]
    orders = [event for event in placed if event["type"] == "order_placed"]
    assert {event["currency"] for event in orders} == {currency.code for currency in CURRENCIES}
    assert max(Counter(event["customer_id"] for event in orders).values()) > 5


def test_topics_go_by_type() -> None:
    roles = {
        (json.loads(message.value or b"{}")["type"].split("_")[0], message.role)
        for message in Stream(changed(poison=0.0))
    }
    assert roles == {
        ("order", "orders"),
        ("payment", "payments"),
        ("refund", "adjustments"),
        ("chargeback", "adjustments"),
    }


def test_the_clock_writes_as_times_does() -> None:
    clock, random = Clock(), Random(5)
    for _ in range(500):
        time_ms = random.randrange(0, 4 * 10**12)
        assert clock.text(time_ms) == format_ms(time_ms)


@pytest.mark.parametrize("rules", [Rules(), Rules(0, 5 * DAY_MS)])
def test_by_default_no_deadline_is_open_and_nothing_lies_ahead(rules: Rules) -> None:
    now_ms = START_MS + 12_345_678
    start_ms = start_in_the_past(now_ms, 7, rules)
    assert start_ms % DAY_MS == 0
    assert now_ms - start_ms < (8 * DAY_MS) + TAIL_MS + rules.payment_window_ms
    stream = Stream(changed(start_ms=start_ms, rules=rules, shares={"chargeback_won": 40.0, PAID: 20.0}))
    last: Message | None = None
    for message in stream:
        last = message
    assert last is not None
    assert last.at_ms < now_ms
    assert stream.counts.decided_from_ms < now_ms
