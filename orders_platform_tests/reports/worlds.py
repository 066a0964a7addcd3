"""A shop whose events arrive in time, and whose days are made in between: what a statement may read depends on when an
event was merged, so merging, MongoDB's snapshots and the clock follow one simulated time."""

import sys
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from random import Random
from typing import Any

import msgspec
import pytest
from bson.datetime_ms import DatetimeMS

from orders_platform.matching import Rules
from orders_platform.reports import carrying, making
from orders_platform.reports.days import day_of
from orders_platform.reports.making import Broker, Made, make_day
from orders_platform.reports.standing import Told
from orders_platform.reports.statement import Statement, as_json
from orders_platform.reports.tally import make
from orders_platform.store import day, merge, statements
from orders_platform.store.client import Store
from orders_platform.store.merge import Arrival, Change
from orders_platform_tests import oracle, statement_oracle
from orders_platform_tests.reports import shops
from orders_platform_tests.reports.shops import DAY_MS, HOUR_MS, event_of
from orders_platform_tests.reports.test_making import bought
from orders_platform_tests.reports.test_making import content as told_content

MINUTE_MS = 60_000
TOPIC = "payments"
Arriving = list[tuple[int, oracle.Content]]
_OF_A_RUN = ("orders", "statements", "statement_breaks", "breaks", "carries")


class World:
    """One store at one time; everything that arrived is known twice: as stored, and as the tests remember it."""

    def __init__(self, store: Store, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.broker = store, broker
        self.now_ms = 0
        self.most_events = 500
        monkeypatch.setattr(merge, "_cluster_time_ms", lambda session: self.now_ms)
        monkeypatch.setattr(day.Reading, "as_of_ms", lambda reading: self.now_ms)
        monkeypatch.setattr(day, "time_of_reading_ms", lambda store: self.now_ms)
        monkeypatch.setattr(carrying, "SETTLING_MS", 3 * MINUTE_MS)
        self._monkeypatch = monkeypatch
        self.begin()

    def begin(self, most_events: int = 500) -> None:
        """Forget everything. `most_events` is how many an order takes."""
        for name in _OF_A_RUN:
            self.store.database[name].delete_many({})
        self.store.matcher.delete_one({"_id": "heartbeat"})
        self.store.matcher.update_one({"_id": "schema"}, {"$set": {"stamped_since": DatetimeMS(0)}})
        self._monkeypatch.setattr(sys.modules["orders_platform.matching.fold"], "MAX_EVENTS", most_events)
        self.most_events = most_events
        self.known: dict[str, list[oracle.Content]] = {}
        self.overflowing: set[str] = set()
        self.offsets: dict[bytes, int] = {}
        self.offset = 0

    def arrive(self, contents: Iterable[oracle.Content], rules: Rules = Rules()) -> None:  # noqa: B008
        """Merge events that arrive now."""
        by_order: dict[str, list[Arrival]] = {}
        for content in contents:
            by_order.setdefault(content["order_id"], []).append(Arrival(event_of(content), TOPIC, 0, self.offset))
            self.offset += 1
            its = self.known.setdefault(content["order_id"], [])
            if any(oracle.canonical(content) == oracle.canonical(each) for each in its):
                continue
            if len(its) < self.most_events:
                its.append(content)
                self.offsets[oracle.canonical(content)] = self.offset - 1
            else:
                self.overflowing.add(content["order_id"])
        changes = [Change(order_id, None, arrivals) for order_id, arrivals in by_order.items()]
        if changes:
            merge.merge(self.store, changes, self.now_ms, rules)

    def has_read(self) -> None:
        """Record that all that arrived was read."""
        heartbeat = {"offsets": {TOPIC: {"0": self.offset}}}
        self.store.matcher.update_one(
            {"_id": "heartbeat"}, [{"$set": heartbeat | {"started_at": "$$NOW"}}], upsert=True
        )

    def made(self, when: date, zone: str, rules: Rules = Rules(), *, force: bool = False) -> Made:  # noqa: B008
        """Make a day, and hold it against the events that arrived."""
        self.has_read()
        kept = statements.latest(self.store, when.isoformat())
        told = make_day(self.store, self.broker, day_of(when, zone), rules, force=force)
        self.check(told.statement, when, zone, rules)
        if told.is_new and kept is not None and told.changes is not None:
            known = int(kept.statement["coverage"]["offsets"][TOPIC]["0"])
            named = [(each.order_id, each.event_id) for each in told.changes.late_events]
            assert sorted(named) == self.late(known, day_of(when, zone).end_ms)
        return told

    def late(self, known: int, end_ms: int) -> list[tuple[str, str]]:
        """Return the order and id of each event from before a time that was not read yet up to an offset."""
        return sorted(
            (content["order_id"], content["event_id"])
            for its in self.known.values()
            for content in its
            if content["occurred_at"] < end_ms and self.offsets[oracle.canonical(content)] >= known
        )

    def check(self, told: Statement, when: date, zone: str, rules: Rules) -> None:
        """Check that a statement is, to the byte, what all events give, and what the oracle makes of them."""
        orders = [
            Told(each, list(map(event_of, its)), each in self.overflowing) for each, its in self.known.items() if its
        ]
        expected = make(orders, day_of(when, zone), rules, provisional=told.provisional)
        assert plainly(told) == plainly(expected)
        if not self.overflowing:
            shop = statement_oracle.statement(self.known, when, zone, rules.tolerance_minor, rules.payment_window_ms)
            assert statement_oracle.differences(as_json(told), shop) == []


def plainly(statement: Statement) -> bytes:
    """Return what a statement says, without its revision and how far the topics were read."""
    coverage = msgspec.structs.replace(statement.coverage, offsets={})
    return msgspec.json.encode(msgspec.structs.replace(statement, revision=1, replaces=None, coverage=coverage))


def arriving(random: Random, orders: int, days: int, shift_ms: int) -> Arriving:
    """Return an adverse shop's events of some days, each with the time of its arrival, in that order: most at once,
    some about an hour late, some late by days, some from a clock that is ahead."""
    arrivals: list[tuple[int, int, oracle.Content]] = []
    for number, content in enumerate(
        content for its in shops.adverse(random, orders, days).values() for content in its
    ):
        content["occurred_at"] += shift_ms + random.choice([0, 0, random.randrange(-HOUR_MS, HOUR_MS)])
        lag_ms = random.choice(
            [
                *[random.randrange(3 * MINUTE_MS)] * 5,
                random.randrange(2 * HOUR_MS),
                HOUR_MS + random.randrange(-2, 3),
                random.randrange(days * DAY_MS),
                -random.randrange(36 * HOUR_MS),
            ]
        )
        arrivals.append((content["occurred_at"] + lag_ms, number, content))
    return [(at_ms, content) for at_ms, _, content in sorted(arrivals, key=lambda each: each[:2])]


def live(
    world: World, random: Random, arrivals: Arriving, first: date, days: int, zone: str, rules: Sequence[Rules]
) -> list[str]:
    """Let events arrive and make each day after its end, soon or hours later; some are left out, made before they end,
    made again, by other rules or from all orders. Return for each made day why it was counted anew, or nothing."""
    ways: list[str] = []
    pending = list(arrivals)
    for number in range(days):
        when = first + timedelta(number)
        end_ms = day_of(when, zone).end_ms
        makings: list[tuple[int, date, dict[str, Any]]] = []
        if random.randrange(6) == 0:
            makings.append((end_ms - random.randrange(20 * HOUR_MS), when, {}))
        if random.randrange(8):
            makings.append((end_ms + random.choice([0, MINUTE_MS, random.randrange(8 * HOUR_MS)]), when, {}))
        if random.randrange(4) == 0:
            again = when - timedelta(random.randrange(number + 1))
            makings.append((end_ms + random.randrange(8, 14) * HOUR_MS, again, {"force": random.randrange(4) == 0}))
        for at_ms, made, options in sorted(makings, key=lambda each: each[0]):
            batch: list[oracle.Content] = []
            while pending and pending[0][0] < at_ms:
                arrives_ms, content = pending.pop(0)
                if batch and arrives_ms - world.now_ms > MINUTE_MS:
                    world.arrive(batch, rules[0])
                    batch = []
                if not batch:
                    world.now_ms = arrives_ms
                batch.append(content)
            world.arrive(batch, rules[0])
            world.now_ms = at_ms
            chosen = random.choice(rules) if random.randrange(10) == 0 else rules[0]
            forced = options.get("force", False) or chosen is not rules[0]
            try:
                ways.append(world.made(made, zone, chosen, force=forced).counted_anew)
            except making.OrdersError:  # kept by other rules before: only a forced one replaces it
                ways.append(world.made(made, zone, chosen, force=True).counted_anew)
    return ways


MONDAY, TUESDAY, WEDNESDAY = (date(2026, 1, day) for day in (5, 6, 7))
MONDAY_MS, TUESDAY_MS, WEDNESDAY_MS = (day_of(each, "UTC").start_ms for each in (MONDAY, TUESDAY, WEDNESDAY))


def payment(order_id: str, at_ms: int, amount: int = 100) -> oracle.Content:
    fields = {"amount_minor": amount, "currency": "EUR", "payment_id": f"{order_id}-{at_ms}"}
    return told_content("payment_captured", order_id, at_ms, **fields)


def on_monday(world: World, orders: int = 6) -> None:
    """Let a third of some orders of Monday be paid, another be half paid, and make the day."""
    for number in range(orders):
        world.now_ms = MONDAY_MS + number * MINUTE_MS
        world.arrive(bought(f"o-{number}", world.now_ms, paid=[100, None, 50][number % 3]))
    world.now_ms = TUESDAY_MS + HOUR_MS
    assert world.made(MONDAY, "UTC").counted_anew == "the day before left nothing to build upon"


def on_tuesday(world: World) -> Made:
    """Make Tuesday on the day after."""
    world.now_ms = WEDNESDAY_MS + HOUR_MS
    return world.made(TUESDAY, "UTC")
