"""The running totals: those of the stored orders at every moment, whatever is merged by whom and killed when."""

import threading
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from bson.int64 import Int64
from hypothesis import given, settings
from hypothesis import strategies as st

from orders_platform.errors import FatalStoreError
from orders_platform.matching import fold
from orders_platform.matching.breaks import counted_as
from orders_platform.store import counters, queries, recount, views
from orders_platform.store.client import Store, connect
from orders_platform.store.counters import Deltas
from orders_platform.store.merge import Change, Known, merge
from orders_platform_tests.adversary import OPENING_MS
from orders_platform_tests.store.deliveries import RULES, Adversity, change, exported, paid, placed
from orders_platform_tests.store.test_writers import SPAWN, _kill_a_writer_inside_its_transaction

pytestmark = pytest.mark.services
CLOCK_MS = OPENING_MS + 60_000
LATER_MS = OPENING_MS + 3_600_000
FIGURES = ("due_minor", "captured_minor", "refunded_minor", "charged_back_minor", "net_minor")


def added_up(documents: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """Return the totals of documents, by plain adding."""
    totals: Counter[tuple[Any, ...]] = Counter()
    for each in documents:
        key = (each["status"], each["outcome"], each["currency"])
        totals[*key, "orders"] += 1
        for name in FIGURES:
            totals[*key, name] += each[name] or 0
    return totals


def totals(store: Store) -> Counter[tuple[Any, ...]]:
    found: Counter[tuple[Any, ...]] = Counter()
    for row in views.rows(store, "v_status_totals"):
        for name in ("orders", *FIGURES):
            found[row["status"], row["outcome"], row["currency"], name] = row[name]
    return found


def deliver(store: Store, seed: int, orders: int, most: int = 8) -> None:
    """Merge an adverse shop in portions, with beliefs that are right, stale or missing, by clocks that go on."""
    random, beliefs = Random(seed), dict[str, list[Known]]()
    for number, batch in enumerate(Adversity(seed, orders, most).batches(20)):
        known = {order_id: random.choice([None, *beliefs.get(order_id, [])]) for order_id, _ in batch}
        changes = [Change(order_id, known[order_id], its) for order_id, its in batch]
        writer = random.choice(("bucket-0", "bucket-1", "deadlines"))
        merged = merge(store, changes, CLOCK_MS + number * 600_000, RULES, writer=writer)
        for order_id, its in merged.known.items():
            beliefs.setdefault(order_id, []).append(its)


@pytest.mark.parametrize("seed", range(6))
def test_totals_are_those_of_the_stored_orders_after_whatever_was_merged(store: Store, seed: int) -> None:
    deliver(store, seed, orders=120)
    assert totals(store) == added_up(exported(store))
    assert recount.drifts(store) == []
    assert len({row["kind"] for row in views.rows(store, "v_value_at_risk")}) > 5


def test_totals_that_nobody_is_taken_out_of_would_be_noticed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The switch: what an order counted as before stays in."""
    replace = Deltas.replace
    monkeypatch.setattr(Deltas, "replace", lambda self, order_id, _before, now: replace(self, order_id, None, now))
    deliver(store, 1, orders=20)
    assert recount.drifts(store) != []


def test_time_moves_totals_too(store: Store) -> None:
    known = merge(store, [change(placed("o"))], CLOCK_MS, RULES).known
    assert totals(store)["awaiting_payment", "pending", "EUR", "orders"] == 1
    merge(store, [Change("o", known["o"], [])], LATER_MS, RULES, writer="deadlines")
    assert totals(store) == added_up(exported(store))
    assert totals(store)["unpaid", "break", "EUR", "due_minor"] == 100
    (risk,) = views.rows(store, "v_value_at_risk")
    assert risk == {"kind": "unpaid", "currency": "EUR", "breaks": 1, "at_risk_minor": 100}


def _deliver_as(target: tuple[str, str], seed: int, writer: str) -> None:
    store = connect(*target)
    batches = list(Adversity(seed, orders=60).batches(30))
    Random(writer).shuffle(batches)
    for batch in batches:
        merge(store, [Change(order_id, None, its) for order_id, its in batch], CLOCK_MS, RULES, writer=writer)
    store.close()


@pytest.mark.parametrize("writers", [("bucket-0", "bucket-1", "bucket-2"), ("bucket-0",) * 3])
def test_processes_that_write_the_same_orders_count_each_once(
    store: Store, database: tuple[str, str], writers: tuple[str, ...]
) -> None:
    """Also by one name: two drivers, of which one does not yet know that it was deposed."""
    with ProcessPoolExecutor(3, SPAWN) as pool:
        list(pool.map(_deliver_as, [database] * 3, [3] * 3, writers))
    assert totals(store) == added_up(exported(store))
    assert recount.drifts(store) == []


def test_a_writer_killed_inside_its_transaction_has_counted_nothing(store: Store, database: tuple[str, str]) -> None:
    merge(store, [change(placed("a"))], CLOCK_MS, RULES)
    _kill_a_writer_inside_its_transaction(database, ["a", "b"])
    merge(store, [change(paid("a", 1)), change(paid("b", 1))], CLOCK_MS, RULES)
    assert totals(store) == added_up(exported(store))
    assert recount.drifts(store) == []


@pytest.mark.parametrize("harm", ["an order deleted", "figures changed", "totals dropped", "a total changed"])
def test_what_somebody_wrote_past_the_matcher_is_told_and_put_right(store: Store, harm: str) -> None:
    deliver(store, 2, orders=40)
    match harm:
        case "an order deleted":
            store.orders.delete_one({"status": "orphan"})
        case "figures changed":
            store.orders.update_one({"outcome": "break"}, {"$inc": {"net_minor": Int64(5)}})
        case "totals dropped":
            store.counters.drop()
        case _:
            store.counters.update_one({"of": "orders"}, {"$inc": {"orders": Int64(1)}})
    found = recount.drifts(store)
    assert found
    assert all(each.told() for each in found)
    assert recount.recount(store) == found
    assert recount.drifts(store) == []
    assert totals(store) == added_up(exported(store))


def test_recounting_while_others_merge_and_recount_leaves_the_right_totals(
    store: Store, database: tuple[str, str]
) -> None:
    deliver(store, 4, orders=100)
    store.counters.update_one({"of": "orders"}, {"$inc": {"orders": Int64(7)}})
    done = threading.Event()

    def go_on() -> None:
        own = connect(*database)
        for number in range(500):
            if done.is_set():
                break
            merge(own, [change(placed(f"new-{number}"))], CLOCK_MS, RULES, writer="bucket-0")
        own.close()

    with ThreadPoolExecutor(3) as pool:
        merging = pool.submit(go_on)
        results = [each.result() for each in [pool.submit(recount.recount, store) for _ in range(2)]]
        done.set()
        merging.result()
    assert sum(bool(found) for found in results) == 1, "one of them put it right"
    assert recount.drifts(store) == []


def test_a_database_from_before_is_counted_once(store: Store) -> None:
    deliver(store, 5, orders=50)
    store.counters.drop()
    assert recount.count_what_was_there(store) != []
    assert totals(store) == added_up(exported(store))
    store.counters.update_one({"of": "orders"}, {"$inc": {"orders": Int64(1)}})
    assert recount.count_what_was_there(store) == [], "from then on a person asks for it"


LARGEST_MINOR = 10**15
"""What the contract takes as an amount."""


def test_totals_that_64_bits_do_not_hold_are_exact(store: Store) -> None:
    """The contract takes all of these, so nothing of it may stop the matcher: together they come to 10^19 and more."""
    changes = [
        change(*(paid(f"o-{number}", at, amount_minor=LARGEST_MINOR) for at in range(499))) for number in range(40)
    ]
    merge(store, changes[:20], CLOCK_MS, RULES)
    merge(store, changes[20:], CLOCK_MS, RULES)
    assert totals(store) == added_up(exported(store))
    assert sum(row["captured_minor"] for row in views.rows(store, "v_status_totals")) == 40 * 499 * LARGEST_MINOR
    assert recount.drifts(store) == []
    store.counters.drop()
    recount.recount(store)
    assert totals(store) == added_up(exported(store))


def test_a_total_without_orders_that_is_not_nothing_is_told(store: Store) -> None:
    """Changed by hand while its order is the only one, then left by it: the row has money of nobody."""
    merge(store, [change(paid("o", 1))], CLOCK_MS, RULES)
    store.orders.update_one({"_id": "o"}, {"$inc": {"net_minor": Int64(5)}})
    merge(store, [change(placed("o"))], CLOCK_MS, RULES)
    assert recount.recount(store) != []
    assert totals(store) == added_up(exported(store))
    assert recount.drifts(store) == []


def test_totals_that_can_not_be_added_to_stop_the_matcher_and_become_no_dead_letters(store: Store) -> None:
    merge(store, [change(placed("a"))], CLOCK_MS, RULES)
    store.counters.update_many({"of": "orders"}, {"$set": {"orders": "many"}})
    with pytest.raises(FatalStoreError, match="counters") as refused:
        merge(store, [change(paid("a"))], CLOCK_MS, RULES)
    assert "orders recount" in refused.value.fix
    store.counters.drop()
    recount.recount(store)
    assert merge(store, [change(paid("a"))], CLOCK_MS, RULES).updated == 1
    assert totals(store) == added_up(exported(store))


def test_the_orders_that_broke_last_are_remembered_across_writers(store: Store) -> None:
    for number in range(30):
        merge(store, [change(paid(f"o-{number:02}"))], LATER_MS, RULES, writer=f"bucket-{number % 2}")
    broken = counters.newest_broken(store)
    assert [each.order_id for each in broken] == [f"o-{number:02}" for number in range(29, -1, -1)]
    # An order that goes on being a break did not break again.
    merge(store, [change(paid("o-00", 2))], LATER_MS, RULES, writer="bucket-0")
    assert counters.newest_broken(store) == broken


def test_orders_that_were_settled_since_leave_room_for_older_breaks(store: Store) -> None:
    late = [change(paid(f"o-{number:02}")) for number in range(20)]
    merge(store, late, LATER_MS, RULES, writer="bucket-0")
    swept = [change(paid(f"s-{number:02}")) for number in range(20)]
    merge(store, swept, LATER_MS + 1, RULES, writer="deadlines")
    merge(store, [change(placed(f"s-{number:02}")) for number in range(20)], LATER_MS + 2, RULES)
    assert [each.order_id for each, _ in queries.newest_breaks(store)] == [f"o-{number:02}" for number in range(20)]


def test_dead_letters_are_counted_without_reading_them(store: Store) -> None:
    asked = {"aggregate": "dead_letters", "pipeline": queries.LETTERS_BY_REASON, "cursor": {}}
    told = store.database.command("explain", asked, verbosity="executionStats")
    assert "newest_by_reason" in str(told)
    assert "FETCH" not in str(told)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=30))
@settings(max_examples=20, deadline=None)
def test_what_comes_to_nothing_is_not_written(steps: list[tuple[int, int]]) -> None:
    deltas, held = Deltas(), dict[str, Any]()
    for number, payments in steps:
        order_id = f"o-{number}"
        events = [placed(order_id), *(paid(order_id, at) for at in range(payments))]
        now = counted_as(fold(order_id, events, CLOCK_MS, RULES))
        deltas.replace(order_id, held.get(order_id), now)
        held[order_id] = now
    for last in held.values():
        deltas._add(last, -1)
    assert [each for each in deltas.statements("w", 0) if b"newest" not in each.raw] == []
