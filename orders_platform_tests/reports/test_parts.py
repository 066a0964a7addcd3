"""Days counted in parts: byte for byte what one process counts, however the orders are cut, also while some arrive."""

import time
from collections.abc import Sequence
from datetime import date, timedelta
from random import Random

import msgspec
import pytest

from orders_platform.errors import RetryableStoreError
from orders_platform.matching import Rules
from orders_platform.reports.counting import Counted, Counting
from orders_platform.reports.days import Day, day_of
from orders_platform.reports.making import Broker, Made, make_day, make_days
from orders_platform.reports.parts import PartOfDays, Sum, Task, count_part
from orders_platform.reports.tally import Covered, covered_by
from orders_platform.store import carries, day
from orders_platform.store.client import Store
from orders_platform.store.day import IdRange, Reading
from orders_platform.times import MAX_MS
from orders_platform_tests.adversary import OPENING_MS
from orders_platform_tests.reports import shops
from orders_platform_tests.reports.test_making import MONDAY, bought, stored

pytestmark = pytest.mark.services
KEPT = ("statements", "statement_breaks", "breaks", "carries")


class Parts:
    """Counts as an engine does: each part for itself, nothing but bytes in between."""

    def __init__(self, store: Store, parts: int) -> None:
        self.store, self.parts = store, parts
        self.ranges: list[IdRange] = []

    def __call__(self, reading: Reading, counting: Counting, days: Sequence[Day]) -> list[Counted]:
        task = Task(reading.as_of(), days, counting.rules, counting.left_before_ms(days[0]))
        self.ranges = day.id_ranges(self.store, self.parts)
        found, contents = Sum(task), [list[bytes]() for _ in days]
        for within in self.ranges:
            part, its = count_part(self.store, task, within)
            found.add(msgspec.msgpack.decode(msgspec.msgpack.encode(part), type=PartOfDays))
            for lines, more in zip(contents, its, strict=True):
                lines.extend(more)
        return found.counted(counting, map(covered_by, contents))


def days_from(first: date, count: int, zone: str) -> list[Day]:
    return [day_of(first + timedelta(at), zone) for at in range(count)]


def alone(store: Store, broker: Broker, days: Sequence[Day], rules: Rules) -> list[Made]:
    """Make each day by itself, from all orders, and forget that it was made."""
    made = [make_day(store, broker, each, rules, force=True) for each in days]
    for name in KEPT:
        store.database[name].delete_many({})
    return made


def same(found: Sequence[Made], expected: Sequence[Made]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert msgspec.json.encode(one.statement) == msgspec.json.encode(other.statement)


@pytest.mark.parametrize(("seed", "parts", "zone"), [(0, 1, "UTC"), (1, 3, "Asia/Tokyo"), (2, 7, "America/New_York")])
def test_parts_come_to_the_same_bytes(store: Store, broker: Broker, seed: int, parts: int, zone: str) -> None:
    rules = Rules()
    stored(store, shops.adverse(Random(seed), 60, 4) | shops.generated(120, 3, seed))
    days = days_from(MONDAY - timedelta(1), 7, zone)
    expected = alone(store, broker, days, rules)
    counting = Parts(store, parts)
    found = make_days(store, broker, days, rules, counting)
    assert len(counting.ranges) == parts
    same(found, expected)
    assert any(each.statement.breaks.resolved for each in found)
    assert all(each.is_new for each in found)
    again = make_days(store, broker, days, rules, counting)
    assert not any(each.is_new for each in again)
    assert [each.statement.revision for each in again] == [1] * len(days)


def test_the_day_after_builds_on_what_they_leave(store: Store, broker: Broker) -> None:
    rules = Rules()
    stored(store, shops.generated(120, 3))
    *days, after = days_from(MONDAY, 4, "UTC")
    (expected,) = alone(store, broker, [after], rules)
    make_days(store, broker, days, rules, Parts(store, 3))
    assert carries.of_day(store, days[-1].date.isoformat()) is not None
    made = make_day(store, broker, after, rules)
    assert made.counted_anew == ""
    same([made], [expected])


def test_what_arrives_while_parts_are_counted_is_in_none_of_them(store: Store, broker: Broker) -> None:
    rules = Rules()
    start = stored(store, {f"o-{at:02}": bought(f"o-{at:02}", OPENING_MS + at) for at in range(40)})
    days = days_from(MONDAY, 2, "UTC")
    expected = alone(store, broker, days, rules)
    counting = Parts(store, 4)

    def arriving(reading: Reading, its: Counting, of: Sequence[Day]) -> list[Counted]:
        reading.as_of()  # from here on nothing is to be seen
        late = {f"o-{at:02}x": bought(f"o-{at:02}x", OPENING_MS + at) for at in range(40)}
        stored(store, late, MAX_MS, start, rules)
        return counting(reading, its, of)

    same(make_days(store, broker, days, rules, arriving), expected)
    later = make_days(store, broker, days, rules, counting, force=True)
    assert later[0].statement.coverage.events == 2 * expected[0].statement.coverage.events


def test_what_somebody_wrote_past_the_schema_is_named_on_the_days_it_touches(store: Store, broker: Broker) -> None:
    rules = Rules()
    stored(store, {f"o-{at}": bought(f"o-{at}", OPENING_MS + at * shops.DAY_MS) for at in range(6)})
    anyhow = store.database["orders"].with_options(write_concern=None)
    for order_id, change in {
        "o-1": {"$set": {"captured_minor": 7}},  # contradicts its events
        "o-3": {"$set": {"events.0.type": 5}},  # unreadable, but for when it began
        "o-4": {"$set": {"events": "none"}},  # unreadable altogether
    }.items():
        store.database.command(
            {
                "update": anyhow.name,
                "updates": [{"q": {"_id": order_id}, "u": change}],
                "bypassDocumentValidation": True,
            }
        )
    store.database.command(
        {"insert": anyhow.name, "documents": [{"_id": 5, "outcome": "ok"}], "bypassDocumentValidation": True}
    )
    days = days_from(MONDAY, 5, "UTC")
    expected = alone(store, broker, days, rules)
    assert [each.statement.coverage.suspects for each in expected] == [
        ["5", "o-4"],
        ["5", "o-1", "o-4"],
        ["5", "o-1", "o-4"],
        ["5", "o-1", "o-3", "o-4"],
        ["5", "o-1", "o-3", "o-4"],
    ]
    same(make_days(store, broker, days, rules, Parts(store, 3)), expected)


def test_nothing_stored_is_a_statement_of_nothing(store: Store, broker: Broker) -> None:
    days = days_from(MONDAY, 2, "UTC")
    expected = alone(store, broker, days, Rules())
    same(make_days(store, broker, days, Rules(), Parts(store, 4)), expected)
    assert expected[0].statement.coverage == msgspec.structs.replace(
        expected[1].statement.coverage, sha256=covered_by([]).sha256
    )


def test_a_moment_that_mongodb_no_longer_keeps_is_said(store: Store) -> None:
    with day.reading(store) as reading:
        at = reading.as_of()
    admin = store.client.admin
    window = admin.command("getParameter", 1, minSnapshotHistoryWindowInSeconds=1)["minSnapshotHistoryWindowInSeconds"]
    admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=0)
    try:
        with pytest.raises(RetryableStoreError, match="no longer keeps what was stored") as told:
            for _ in range(100):
                day.time_of_reading_ms(store)  # MongoDB's time goes on
                list(Reading(store, None, at).mattering(0, 1))
                time.sleep(0.1)
    finally:
        admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=window)
    assert "minSnapshotHistoryWindowInSeconds" in str(told.value)


def test_covered_is_counted_and_hashed_in_any_order() -> None:
    assert covered_by([b"b", b"a"]) == covered_by([b"a", b"b"]) == Covered(2, covered_by([b"a", b"b"]).sha256)
