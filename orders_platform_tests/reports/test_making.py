"""Statements made from a real MongoDB and a real broker: what they read, keep, revise and notice."""

import time
from datetime import date, timedelta
from random import Random
from typing import Any

import msgspec
import pytest
from bson.int64 import Int64

from orders_platform.errors import OrdersError
from orders_platform.matching import Rules
from orders_platform.reports.days import date_at, day_of
from orders_platform.reports.making import Broker, earlier_match_rates, make_day
from orders_platform.reports.statement import as_json
from orders_platform.reports.tally import make
from orders_platform.store import breaks, day, dead_letters, statements
from orders_platform.store.client import Store
from orders_platform.store.dead_letters import DeadLetter
from orders_platform.store.merge import Arrival, Change, merge
from orders_platform.streams.publish import Publisher
from orders_platform.times import MAX_MS
from orders_platform_tests import oracle, statement_oracle
from orders_platform_tests.adversary import OPENING_MS
from orders_platform_tests.matcher_words import has_read
from orders_platform_tests.reports import shops
from orders_platform_tests.reports.shops import DAY_MS, HOUR_MS, event_of

pytestmark = pytest.mark.services
MONDAY, TUESDAY = date(2026, 1, 5), date(2026, 1, 6)


def stored(store: Store, shop: shops.Shop, clock_ms: int = MAX_MS, start: int = 0, rules: Rules = Rules()) -> int:  # noqa: B008
    """Merge a shop's orders as if delivered one message after the other; return the next offset."""
    changes: list[Change] = []
    offset = start
    for order_id, its in shop.items():
        arrivals = [Arrival(event_of(each), "payments", 0, offset + at) for at, each in enumerate(its)]
        changes.append(Change(order_id, None, arrivals))
        offset += len(its)
    merge(store, changes, clock_ms, rules)
    return offset


def content(kind: str, order_id: str, at_ms: int, **fields: Any) -> oracle.Content:
    made = {"event_id": f"{order_id}-{kind}-{at_ms}", "type": kind, "order_id": order_id, "occurred_at": at_ms}
    return made | fields


def bought(order_id: str, at_ms: int, amount: int = 100, paid: int | None = 100) -> list[oracle.Content]:
    money = {"currency": "EUR"}
    its = [content("order_placed", order_id, at_ms, amount_minor=amount, **money)]
    if paid is not None:
        payment = {"amount_minor": paid, "payment_id": f"{order_id}-p"} | money
        its.append(content("payment_captured", order_id, at_ms + 60_000, **payment))
    return its


def made(store: Store, broker: Broker, when: date, rules: Rules = Rules(), zone: str = "UTC", **options: Any) -> Any:  # noqa: B008
    return make_day(store, broker, day_of(when, zone), rules, **options)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_read_gives_what_all_orders_give(store: Store, broker: Broker, seed: int) -> None:
    shop = shops.adverse(Random(seed), 60, 4) | shops.generated(120, 3, seed)
    stored(store, shop)
    for days in range(-1, 6):
        when, zone = MONDAY + timedelta(days), ["UTC", "Asia/Tokyo", "America/New_York"][seed]
        told = made(store, broker, when, zone=zone).statement
        assert told.coverage.suspects == []
        assert msgspec.structs.replace(told, coverage=None) == msgspec.structs.replace(
            make(shops.told(shop), day_of(when, zone), Rules()), coverage=None
        )
        assert statement_oracle.differences(as_json(told), statement_oracle.statement(shop, when, zone)) == []


def test_orders_judged_by_other_rules_are_judged_anew(store: Store, broker: Broker) -> None:
    lenient, strict = Rules(50, 7 * DAY_MS), Rules(0, HOUR_MS)
    shop = shops.adverse(Random(5), 80, 2) | shops.generated(80, 2)
    stored(store, shop, rules=lenient)
    for when in (MONDAY, TUESDAY, MONDAY + timedelta(9)):
        expected = statement_oracle.statement(shop, when, "UTC", 0, HOUR_MS)
        assert statement_oracle.differences(as_json(made(store, broker, when, strict).statement), expected) == []


def test_orders_settled_before_the_day_stay_in_mongodb(store: Store) -> None:
    stored(store, {f"o-{number}": bought(f"o-{number}", OPENING_MS) for number in range(50)})
    stored(store, {f"u-{number}": bought(f"u-{number}", OPENING_MS, paid=None) for number in range(3)}, start=100)
    stored(store, {"t": bought("t", OPENING_MS + DAY_MS)}, start=200)
    tuesday, wednesday = day_of(TUESDAY, "UTC"), day_of(TUESDAY + timedelta(1), "UTC")
    with day.reading(store) as reading:
        quiet, odd = reading.settled(tuesday.start_ms, 0, None)
        assert (quiet, odd) == ([("matched", "EUR", 50, 0)], [])
        for of, expected in ((tuesday, ["t", "u-0", "u-1", "u-2"]), (wednesday, ["u-0", "u-1", "u-2"])):
            assert sorted(each.document.order_id for each in reading.mattering(of.start_ms, of.end_ms)) == expected
    plan = store.orders.find({"events.occurred_at": {"$gte": tuesday.start_ms}}).explain()
    assert "event_times" in str(plan["queryPlanner"]["winningPlan"])


def test_the_same_day_again_keeps_nothing_and_tells_the_same(store: Store, broker: Broker) -> None:
    stored(store, shops.generated(60, 1))
    first = made(store, broker, MONDAY)
    has_read(store, {"payments": {"0": 7}})  # reading on alone is no news
    again = made(store, broker, MONDAY)
    assert (first.is_new, again.is_new) == (True, False)
    assert msgspec.json.encode(first.statement) == msgspec.json.encode(again.statement)
    assert store.statements.count_documents({}) == 1


def test_a_late_event_makes_a_revision_that_names_it(store: Store, broker: Broker) -> None:
    offset = stored(store, {"a": bought("a", OPENING_MS), "b": bought("b", OPENING_MS, paid=None)})
    has_read(store, {"payments": {"0": offset}})
    first = made(store, broker, MONDAY)
    assert [each.id for each in first.statement.breaks.new] == ["b:unpaid"]
    late = content("payment_captured", "b", OPENING_MS + HOUR_MS, amount_minor=100, currency="EUR", payment_id="late")
    stored(store, {"b": [late]}, start=offset)
    second = made(store, broker, MONDAY)
    assert (second.statement.revision, second.statement.replaces, second.statement.verdict) == (2, 1, "clean")
    assert [event.event_id for event in second.changes.late_events] == [late["event_id"]]
    assert second.changes.figures["currencies.EUR.captured_minor"] == (100, 200)
    assert second.changes.breaks_vanished == ["b:unpaid"]
    assert made(store, broker, MONDAY).changes == second.changes
    kept = {each["_id"]: each["currencies"]["EUR"]["captured_minor"] for each in store.statements.find()}
    assert kept == {"2026-01-05:1": 100, "2026-01-05:2": 200}
    assert store.breaks.find_one({"_id": "b:unpaid"}, {"resolved_on": 1}) == {
        "_id": "b:unpaid",
        "resolved_on": "2026-01-05",
    }


TAMPERINGS = [
    {"$set": {"captured_minor": Int64(99)}},
    {"$set": {"due_minor": Int64(90), "captured_minor": Int64(90), "net_minor": Int64(90)}},
    {"$set": {"events.1.amount_minor": Int64(90)}},
    {"$set": {"events.0.amount_minor": Int64(90)}},
    {"$set": {"events.1.currency": "USD"}},
    {"$set": {"currency": "USD"}},
    {"$pop": {"events": 1}},
    {"$set": {"event_count": Int64(3)}},
    {"$set": {"refunded_minor": Int64(10), "status": "partially_refunded"}},
]


@pytest.mark.parametrize("number", range(len(TAMPERINGS)))
@pytest.mark.parametrize("when", [MONDAY, MONDAY + timedelta(20)])
def test_a_document_somebody_changed_is_named(store: Store, broker: Broker, number: int, when: date) -> None:
    stored(store, {name: bought(name, OPENING_MS) for name in ("a", "b", "c")})
    assert made(store, broker, when).statement.verdict == "clean"
    store.orders.update_one({"_id": "b"}, TAMPERINGS[number])
    told = made(store, broker, when).statement
    assert (told.verdict, told.coverage.suspects) == ("incomplete", ["b"])


def test_messages_that_are_not_matched_yet_make_it_incomplete(store: Store, broker: Broker) -> None:
    with Publisher(broker.bootstrap_servers, broker.client) as publisher:
        for number in range(3):
            publisher.send(broker.topics[0], b"key", b"%d" % number)
    today = date_at(time.time_ns() // 1_000_000, "UTC")
    ends = [made(store, broker, MONDAY).statement, made(store, broker, today).statement]
    assert [(each.verdict, each.provisional) for each in ends] == [("clean", False), ("incomplete", True)]
    unread = ends[1].coverage.unread[broker.topics[0]]
    assert sum(unread.values()) == 3
    has_read(store, {broker.topics[0]: unread})
    assert made(store, broker, today).statement.verdict == "clean"


def test_dead_letters_count_by_the_brokers_time(store: Store, broker: Broker) -> None:
    monday = day_of(MONDAY, "UTC")
    times = [monday.start_ms - 1, monday.start_ms, monday.end_ms - 1, monday.end_ms, None]
    letters = [DeadLetter("orders", 0, at, "not_json", None, b"", time_ms) for at, time_ms in enumerate(times)]
    dead_letters.write(store, letters)
    assert made(store, broker, MONDAY).statement.dead_letters == {"not_json": 2}


def test_other_settings_need_force(store: Store, broker: Broker) -> None:
    stored(store, {"a": bought("a", OPENING_MS, paid=99)})
    made(store, broker, MONDAY)
    with pytest.raises(OrdersError, match="other settings"):
        made(store, broker, MONDAY, Rules(1))
    with pytest.raises(OrdersError, match="time zone"):
        made(store, broker, MONDAY, zone="Europe/Paris")
    forced = made(store, broker, MONDAY, Rules(1), force=True)
    assert (forced.statement.revision, forced.statement.verdict) == (2, "clean")
    assert forced.changes.figures["settings.tolerance_minor"] == (0, 1)


def test_breaks_follow_from_day_to_day(store: Store, broker: Broker) -> None:
    refund = content("refund_issued", "a", OPENING_MS + 3 * DAY_MS, amount_minor=50, currency="EUR", refund_id="r")
    stored(store, {"a": [*bought("a", OPENING_MS, paid=150), refund], "b": bought("b", OPENING_MS, paid=None)})
    for days in range(5):
        made(store, broker, MONDAY + timedelta(days))
    breaks.decide(store, "b:unpaid", "$written off", "$jane")
    before = list(store.breaks.find(sort=[("_id", 1)]))
    made(store, broker, MONDAY + timedelta(4))
    made(store, broker, MONDAY)  # an earlier day says nothing of now
    assert list(store.breaks.find(sort=[("_id", 1)])) == before
    closed, there = breaks.all_breaks(store)
    assert (closed.id, closed.opened_on, closed.resolved_on) == ("a:overpaid", "2026-01-05", "2026-01-08")
    assert [(step["on"], step["what"]) for step in closed.history] == [
        ("2026-01-05", "opened"),
        ("2026-01-08", "resolved"),
    ]
    assert (there.id, there.last_seen_on, there.resolved_on) == ("b:unpaid", "2026-01-09", None)
    assert [(each["by"], each["note"]) for each in there.decisions] == [("$jane", "$written off")]
    with pytest.raises(OrdersError, match="no break"):
        breaks.decide(store, "c:unpaid", "n", "j")


def test_a_day_that_has_not_begun_says_nothing_of_the_breaks_of_now(store: Store, broker: Broker) -> None:
    stored(store, {"a": bought("a", OPENING_MS, paid=None), "b": bought("b", OPENING_MS + DAY_MS, paid=None)})
    made(store, broker, MONDAY)
    ahead = made(store, broker, date(2999, 1, 1)).statement
    assert (ahead.provisional, len(ahead.breaks.persisting)) == (True, 2)
    assert [each.id for each in breaks.all_breaks(store)] == ["a:unpaid"]
    assert statements.last_date(store) == "2026-01-05"
    made(store, broker, TUESDAY)
    assert [(each.id, each.last_seen_on) for each in breaks.all_breaks(store)] == [
        ("a:unpaid", "2026-01-06"),
        ("b:unpaid", "2026-01-06"),
    ]


def test_many_breaks_are_kept_in_parts(store: Store, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orders_platform.store.statements._BREAKS_A_PART", 3)
    stored(store, {f"o-{number}": bought(f"o-{number}", OPENING_MS, paid=None) for number in range(10)})
    first = made(store, broker, MONDAY)
    assert store.statement_breaks.count_documents({}) == 4
    assert made(store, broker, MONDAY).statement == first.statement
    kept = statements.latest(store, "2026-01-05")
    assert kept is not None
    assert kept.statement == as_json(first.statement)


def test_what_a_dead_maker_left_behind_does_not_mix_in(
    store: Store, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders_platform.store.statements._BREAKS_A_PART", 3)
    stored(store, {f"o-{number}": bought(f"o-{number}", OPENING_MS, paid=None) for number in range(10)})
    made(store, broker, MONDAY)
    store.statements.delete_many({})  # as if it had died before its last write
    payment = {"amount_minor": 100, "currency": "EUR"}
    for number in range(8):
        its = [content("payment_captured", f"o-{number}", OPENING_MS + 5, payment_id="p", **payment)]
        stored(store, {f"o-{number}": its}, start=100 + number)
    first = made(store, broker, MONDAY)
    assert len(first.statement.breaks.new) == 2
    assert made(store, broker, MONDAY).statement == first.statement


def test_match_rates_of_days_before(store: Store, broker: Broker) -> None:
    stored(store, {"a": bought("a", OPENING_MS), "b": bought("b", OPENING_MS, paid=None)})
    made(store, broker, MONDAY)
    assert earlier_match_rates(store, TUESDAY, 2) == [("2026-01-04", None), ("2026-01-05", 0.5)]
