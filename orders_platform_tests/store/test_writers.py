"""Two writers at once: whatever the interleaving, what is stored is the fold of what both delivered."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from random import Random
from typing import Any

import pytest

from orders_platform.errors import RetryableStoreError
from orders_platform.store import abandoned
from orders_platform.store import merge as merging
from orders_platform.store.client import Store, connect
from orders_platform.store.merge import Change, Known, Merged, merge
from orders_platform_tests.adversary import OPENING_MS
from orders_platform_tests.store.deliveries import RULES, Adversity, change, exported, paid, placed, snapshot

pytestmark = pytest.mark.services

CLOCK_MS = OPENING_MS + 60_000
SPAWN = multiprocessing.get_context("spawn")


def _write_share(target: tuple[str, str], seed: int, writer: int) -> int:
    """Deliver a random two thirds of everything in an order of its own; return the number of writes."""
    store = connect(*target)
    random = Random(seed * 100 + writer)
    beliefs: dict[str, Known] = {}
    batches = list(Adversity(seed, orders=60).batches(30))
    random.shuffle(batches)
    writes = 0
    for batch in batches:
        share = random.sample(batch, (len(batch) * 2 + 2) // 3)
        changes = [Change(order_id, beliefs.get(order_id), its) for order_id, its in share]
        merged = merge(store, changes, CLOCK_MS, RULES)
        writes += merged.inserted + merged.updated
        beliefs |= {order_id: known for order_id, known in merged.known.items() if random.random() < 0.7}
    store.close()
    return writes


@pytest.mark.parametrize("seed", [1, 2])
def test_processes_that_write_the_same_orders_lose_nothing(store: Store, database: tuple[str, str], seed: int) -> None:
    with ProcessPoolExecutor(3, SPAWN) as pool:
        writes = list(pool.map(_write_share, [database] * 3, [seed] * 3, range(3)))
    assert sum(document["version"] for document in snapshot(store)) == sum(writes)
    # Each left a third out: what is stored is checked against the whole once that is delivered too.
    adversity = Adversity(seed, orders=60)
    for batch in adversity.batches(60):
        merge(store, [Change(order_id, None, its) for order_id, its in batch], CLOCK_MS, RULES)
    assert exported(store) == adversity.expected(CLOCK_MS)


def _run_together(*works: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_threads_that_update_the_same_orders_at_the_same_time(store: Store, database: tuple[str, str]) -> None:
    order_ids = [f"o-{number}" for number in range(300)]
    known = merge(store, [change(placed(order_id, amount_minor=8_00)) for order_id in order_ids], CLOCK_MS, RULES).known
    merged: list[Merged] = []

    def pay(writer: int) -> None:
        own = connect(*database)
        for number in range(4):
            payments = [change(paid(o, writer * 4 + number), known=known[o]) for o in order_ids]
            merged.append(merge(own, payments, CLOCK_MS, RULES))
        own.close()

    _run_together(lambda: pay(0), lambda: pay(1))
    assert [row["captured_minor"] for row in exported(store)] == [800] * 300
    assert {document["version"] for document in snapshot(store)} == {9}
    assert sum(each.conflicts for each in merged) > 0


@pytest.mark.parametrize("stored_before", [0, 50, 100])
def test_a_writer_that_comes_between_reading_and_writing_is_noticed(
    store: Store, database: tuple[str, str], monkeypatch: pytest.MonkeyPatch, stored_before: int
) -> None:
    """Between our snapshot and our write another writer inserts or updates some of the same orders."""
    order_ids = [f"o-{number:03}" for number in range(100)]
    known = merge(store, [change(placed(o)) for o in order_ids[:stored_before]], CLOCK_MS, RULES).known
    other = connect(*database)
    original, interruptions = merging.plan, []

    def interrupted(*given: Any) -> Any:
        plan = original(*given)
        if not interruptions:
            interruptions.append(1)
            merge(other, [change(paid(o, 1)) for o in order_ids[40:60]], CLOCK_MS, RULES)
        return plan

    monkeypatch.setattr(merging, "plan", interrupted)
    merged = merge(store, [change(paid(o, 2), known=known.get(o)) for o in order_ids], CLOCK_MS, RULES)
    other.close()
    assert merged.conflicts > 0
    assert merged.inserted + merged.updated == 100
    assert [row["captured_minor"] for row in exported(store)] == [100] * 40 + [200] * 20 + [100] * 40
    for document in snapshot(store):
        assert merged.known[document["_id"]].version == document["version"]


def test_without_the_snapshot_the_same_interruption_loses_an_event(
    store: Store, database: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switch: outside of a transaction the steps of the test above store figures that leave an event out."""
    known = merge(store, [change(placed("o"))], CLOCK_MS, RULES).known
    other = connect(*database)
    original, interruptions = merging.plan, []

    def interrupted(*given: Any) -> Any:
        plan = original(*given)
        if not interruptions:
            interruptions.append(1)
            merge(other, [change(paid("o", 1))], CLOCK_MS, RULES)
        return plan

    class Loose:
        """A session that begins no transaction."""

        def __enter__(self) -> None:
            return None

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(merging, "plan", interrupted)
    monkeypatch.setattr(merging, "_begin", lambda session: None)
    monkeypatch.setattr(merging, "_cluster_time_ms", lambda session: OPENING_MS)  # there is no session to ask
    monkeypatch.setattr(merging, "_commit", lambda session: None)
    monkeypatch.setattr(store, "session", Loose)
    merge(store, [change(paid("o", 2), known=known["o"])], CLOCK_MS, RULES)
    other.close()
    assert exported(store)[0]["captured_minor"] == 100
    assert snapshot(store)[0]["version"] == 2


def _die_inside(target: tuple[str, str], order_ids: list[str], ready: Any) -> None:
    """Hold a transaction open that has written the orders, until killed."""
    store = connect(*target)

    def wait_for_death(session: object) -> None:
        ready.put(os.getpid())
        time.sleep(600)

    merging._commit = wait_for_death  # this process is there for nothing else
    merge(store, [change(paid(order_id, 1)) for order_id in order_ids], CLOCK_MS, RULES)


def _kill_a_writer_inside_its_transaction(database: tuple[str, str], order_ids: list[str]) -> None:
    ready: Any = SPAWN.SimpleQueue()
    writer = SPAWN.Process(target=_die_inside, args=(database, order_ids, ready))
    writer.start()
    os.kill(ready.get(), signal.SIGKILL)
    writer.join(30)


def test_a_writer_killed_inside_its_transaction_holds_nobody_up_for_long(
    store: Store, database: tuple[str, str]
) -> None:
    order_ids = [f"o-{number}" for number in range(20)]
    merge(store, [change(placed(order_id)) for order_id in order_ids[:10]], CLOCK_MS, RULES)
    _kill_a_writer_inside_its_transaction(database, order_ids)
    started = time.monotonic()
    merged = merge(store, [change(paid(order_id, 1)) for order_id in order_ids], CLOCK_MS, RULES)
    assert time.monotonic() - started < merging.ABANDONED_S + 5
    assert (merged.inserted, merged.updated) == (10, 10)
    assert sorted(row["status"] for row in exported(store)) == ["awaiting_order"] * 10 + ["matched"] * 10


def test_without_ending_its_transaction_it_would(
    store: Store, database: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switch, and what a user without the right to end transactions gets: patience, then a sentence."""
    _kill_a_writer_inside_its_transaction(database, ["o"])
    monkeypatch.setattr(merging, "CONFLICT_S", merging.ABANDONED_S + 2)
    monkeypatch.setattr(abandoned, "end_transactions", lambda store, idle_s: 0)
    with pytest.raises(RetryableStoreError, match="kept changing"):
        merge(store, [change(placed("o"))], CLOCK_MS, RULES)
    monkeypatch.undo()
    assert abandoned.end_transactions(store, 1.0) == 1
    assert merge(store, [change(placed("o"))], CLOCK_MS, RULES).inserted == 1
