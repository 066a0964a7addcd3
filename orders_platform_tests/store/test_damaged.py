"""Somebody wrote past the schema of an order: its events wait as dead letters, and nobody else's do."""

from collections.abc import Callable
from typing import Any

import pytest
from bson.int64 import Int64

from orders_platform.errors import FatalStoreError
from orders_platform.events import DAMAGED_ORDER, Event, canonical
from orders_platform.matcher.bucket import Counts, Messages, match
from orders_platform.matcher.hot import Bounds, HotOrders
from orders_platform.matcher.sweep import sweep
from orders_platform.matching import Rules
from orders_platform.store import queries, recount, views
from orders_platform.store.client import Store
from orders_platform_tests.adversary import DEADLINE_MS, OPENING_MS
from orders_platform_tests.store.deliveries import paid, placed

pytestmark = pytest.mark.services
NAMES = ("broken", "good", "other")
DAMAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "events are no list": lambda found: {"events": "none"},
    "an event has no time": lambda found: {"events": [each | {"occurred_at": "noon"} for each in found["events"]]},
    "an event has no id": lambda found: {"events": [{"type": "order_placed"}]},
    "an amount is text": lambda found: {"events": [each | {"amount_minor": "ten"} for each in found["events"]]},
    "an event id is a number": lambda found: {"events": [each | {"event_id": Int64(7)} for each in found["events"]]},
    "a currency is a number": lambda found: {"events": [each | {"currency": Int64(7)} for each in found["events"]]},
    "an event of no type": lambda found: {"events": [each | {"type": "party"} for each in found["events"]]},
    "an event is a number": lambda found: {"events": [Int64(1)]},
    "the version is text": lambda found: {"version": "first"},
    "the clock is text": lambda found: {"clock": "now"},
    "the reasons are a number": lambda found: {"reasons": Int64(1)},
    "a field that the schema refuses": lambda found: {"first_seen_at": "yesterday"},
}


class Bucket:
    """A matcher's bucket, with or without a memory of what is stored."""

    def __init__(self, store: Store, bounds: Bounds) -> None:
        self._store, self._bounds = store, bounds
        self._kept: bytes | None = None
        self._offset = 0

    def match(self, *events: Event, clock_ms: int = OPENING_MS + 60_000) -> Counts:
        values = [canonical(each) for each in events]
        first, self._offset = self._offset, self._offset + len(values)
        offsets, count = range(first, self._offset), len(values)
        messages = Messages(values, ["orders"] * count, [0] * count, list(offsets), [OPENING_MS] * count)
        hot = HotOrders(self._kept, self._bounds)
        counts = match(messages, hot, clock_ms, self._store, Rules())
        self._kept = hot.pack()  # only now is what is over the bounds forgotten
        return counts


COLD, HOT = Bounds(0, 1 << 20), Bounds(100, 1 << 20)


@pytest.fixture(params=[COLD, HOT], ids=["cold", "hot"])
def bucket(store: Store, request: pytest.FixtureRequest) -> Bucket:
    return Bucket(store, request.param)


def damage(store: Store, order_id: str, how: Callable[[dict[str, Any]], Any]) -> None:
    found = store.orders.find_one({"_id": order_id})
    assert found is not None
    store.database.command(
        {
            "update": "orders",
            "updates": [{"q": {"_id": order_id}, "u": {"$set": how(found)}}],
            "bypassDocumentValidation": True,
        }
    )


@pytest.mark.parametrize("how", DAMAGES)
def test_its_events_become_dead_letters_and_all_others_documents(store: Store, bucket: Bucket, how: str) -> None:
    bucket.match(*map(placed, NAMES))
    damage(store, "broken", DAMAGES[how])
    before = store.orders.find_one({"_id": "broken"})
    counts = bucket.match(*map(paid, NAMES), *map(placed, ("new-1", "new-2")))
    statuses = {each["_id"]: each["status"] for each in store.orders.find({}, {"status": 1})}
    assert {name: statuses[name] for name in ("good", "other")} == {"good": "matched", "other": "matched"}
    assert {"new-1", "new-2"} <= statuses.keys()
    letters = [(each.reason, each.offset) for each in queries.export_dead_letters(store)]
    after = store.orders.find_one({"_id": "broken"})
    if letters:
        assert letters == [(DAMAGED_ORDER, 3)]
        assert counts.dead_letters == 1
        assert after == before
    else:
        # What a bucket remembers may be all it needs: then the event is in the document.
        assert after is not None
        assert len(after["events"]) == 2
    store.orders.delete_one({"_id": "broken"})
    bucket.match(*map(placed, ["broken"]), *map(paid, ["broken"]))
    healed = queries.order(store, "broken")
    assert healed is not None
    assert healed.document.status == "matched"


@pytest.mark.parametrize("how", DAMAGES)
def test_its_deadline_keeps_no_other_from_being_swept(store: Store, bucket: Bucket, how: str) -> None:
    bucket.match(*map(placed, NAMES))
    damage(store, "broken", DAMAGES[how])
    sweep(store, DEADLINE_MS + 1, Rules())
    statuses = {each["_id"]: each["status"] for each in store.orders.find({}, {"status": 1})}
    assert (statuses["good"], statuses["other"]) == ("unpaid", "unpaid")


def test_a_defect_of_ours_is_no_damage(store: Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.match(placed("good"))
    monkeypatch.setattr("orders_platform.store.plan.union", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bucket.match(paid("good"))
    monkeypatch.undo()
    monkeypatch.setattr("orders_platform.store.plan._encoded", lambda *given: [].append)
    with pytest.raises(TypeError):
        bucket.match(paid("good"))
    assert not list(queries.export_dead_letters(store))


def test_a_schema_that_takes_none_of_our_documents_stops_the_matcher(store: Store, bucket: Bucket) -> None:
    bucket.match(placed("good"))
    store.database.command({"collMod": "orders", "validator": {"status": "never"}})
    with pytest.raises(FatalStoreError, match="121"):
        bucket.match(placed("new"))
    assert not list(queries.export_dead_letters(store))


@pytest.mark.parametrize(
    "harm",
    [
        {"currency": Int64(978)},
        {"status": Int64(5)},
        {"status": {}},
        {"outcome": {}},
        {"outcome": "break", "reasons": [["overflow"]]},
        {"net_minor": "ten"},
        {"due_minor": 1.5},
    ],
    ids=str,
)
def test_figures_that_are_none_are_overwritten_and_count_as_nothing_meanwhile(
    store: Store, harm: dict[str, Any]
) -> None:
    bucket = Bucket(store, COLD)
    bucket.match(*map(placed, NAMES))
    damage(store, "broken", lambda _: harm)
    recount.recount(store)
    assert sum(row["orders"] for row in views.rows(store, "v_status_totals")) == len(NAMES) - 1
    bucket.match(*map(paid, NAMES))
    assert {each["status"] for each in store.orders.find()} == {"matched"}
    assert views.rows(store, "v_status_totals")[0]["orders"] == len(NAMES)
    assert recount.drifts(store) == []
