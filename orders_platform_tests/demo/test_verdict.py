"""The demo's verdict notices whatever differs from the truth, and its summary says so."""

import io
from collections import Counter
from typing import Any

import msgspec
import pytest
from bson.int64 import Int64
from rich.console import Console

from orders_platform.demo.course import Course
from orders_platform.demo.summary import summary
from orders_platform.demo.verdict import Latency, Verdict, judge
from orders_platform.events import Event, decode
from orders_platform.generator import GeneratorOptions, Stream
from orders_platform.generator.case import Expected
from orders_platform.matching import Rules
from orders_platform.store import dead_letters
from orders_platform.store.client import Store
from orders_platform.store.dead_letters import DeadLetter
from orders_platform.store.merge import Arrival, Change, merge
from orders_platform.times import MAX_MS
from orders_platform_tests.adversary import OPENING_MS

TOPIC = "orders"
START, ENDS = {TOPIC: {0: 100}}, {TOPIC: {0: 100_000}}
Truth = dict[str, dict[str, Any]]


@pytest.fixture
def told(store: Store) -> tuple[Truth, dict[str, int]]:
    """The truth of a stream that the store has taken in: the orders' documents, the count of poison by reason."""
    truth: Truth = {}

    def expect(expected: Expected) -> None:
        truth[expected.order_id] = msgspec.json.decode(expected.json_line(stream.clock))

    stream = Stream(GeneratorOptions(start_ms=OPENING_MS, orders=150, days=2, seed=3, poison=5.0), expect)
    arrivals: dict[str, list[Arrival]] = {}
    letters = []
    for offset, message in enumerate(stream, START[TOPIC][0]):
        event = decode(message.value)
        if isinstance(event, Event):
            arrivals.setdefault(event.order_id, []).append(Arrival(event, TOPIC, 0, offset))
        else:
            letters.append(DeadLetter(TOPIC, 0, offset, event.reason, event.field, message.value or b"", 0))
    merge(store, [Change(order_id, None, its) for order_id, its in arrivals.items()], MAX_MS, Rules())
    dead_letters.write(store, letters)
    return truth, dict(stream.counts.dead_letters)


def test_a_store_that_holds_the_truth_has_no_differences(store: Store, told: tuple[Truth, dict[str, int]]) -> None:
    truth, poison = told
    verdict = judge(store, truth, poison, START, ENDS)
    assert verdict.differences == []
    assert verdict.orders == sum(verdict.outcomes.values()) == len(truth) == 150
    assert verdict.dead_letters == poison
    assert verdict.breaks.total() > 0


def test_each_difference_is_named(store: Store, told: tuple[Truth, dict[str, int]]) -> None:
    truth, poison = told
    changed, missing, *_ = truth
    store.orders.update_one({"_id": changed}, {"$inc": {"captured_minor": Int64(1)}})
    store.orders.delete_one({"_id": missing})
    dead_letters.write(store, [DeadLetter(TOPIC, 0, 99_999, "not_json", None, b"x", 0)])
    was = truth[changed]["captured_minor"]
    assert judge(store, truth, poison, START, ENDS).differences == [
        f"{changed}: captured_minor is {was + 1}, not {was}",
        f"{missing}: has no document",
        f"dead letters not_json: {poison['not_json'] + 1}, not {poison['not_json']}",
    ]


def test_what_other_streams_left_is_not_its_business(store: Store, told: tuple[Truth, dict[str, int]]) -> None:
    truth, poison = told
    dead_letters.write(store, [DeadLetter(TOPIC, 0, 99, "not_json", None, b"x", 0)])
    without = {order_id: expected for order_id, expected in truth.items() if order_id != next(iter(truth))}
    verdict = judge(store, without, poison, START, ENDS)
    assert (verdict.differences, verdict.orders) == ([], 149)


@pytest.mark.parametrize(
    ("differences", "said"),
    [([], "Every one of 7 documents and 2 dead letters is as the truth says."), (["o-1: no"], "1 differences")],
)
def test_the_summary_ends_with_the_verdict(differences: list[str], said: str) -> None:
    verdict = Verdict(orders=7, differences=differences)
    verdict.outcomes.update(ok=6, **{"break": 1})
    verdict.breaks["unpaid"] = 1
    verdict.at_risk_minor["unpaid"] = Counter(EUR=1_250)
    verdict.dead_letters["not_json"] = 2
    drawn = Console(file=io.StringIO(), width=150)
    drawn.print(summary(Course(verdict, Latency(3, 0.5, 1.5), 20, 3, 2, 12.0, 4711, 9.5)))
    assert isinstance(drawn.file, io.StringIO)
    text = drawn.file.getvalue()
    assert said in text
    for part in ("85.7%", "EUR 12.50", "not_json 2", "pid 4711", "after 9.5 s", "0.50 s from the broker"):
        assert part in text
    assert text.rstrip().splitlines()[-1].startswith("╰")
