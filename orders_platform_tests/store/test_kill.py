"""mongod killed with -9 under load: what was acknowledged is there, and merging goes on by itself."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from pymongo import WriteConcern

from orders_platform.errors import RetryableStoreError, UnknownOutcome
from orders_platform.local import mongod, processes
from orders_platform.store import merge as merging
from orders_platform.store import schema
from orders_platform.store.client import Store, connect
from orders_platform.store.merge import Change, Known, merge
from orders_platform_tests.adversary import OPENING_MS
from orders_platform_tests.store.deliveries import RULES, change, exported, paid, placed, snapshot

pytestmark = pytest.mark.services

CLOCK_MS = OPENING_MS + 60_000


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The home of a mongod of the test's own, to be killed."""
    mongod.start(tmp_path)
    yield tmp_path
    mongod.stop(tmp_path)


@contextmanager
def _store(home: Path) -> Iterator[Store]:
    store = connect(mongod.uri(home), "kills", timeout_s=2.0)
    try:
        schema.migrate(store)
        yield store
    finally:
        store.close()


def _kill(home: Path) -> None:
    process = processes.find(home, mongod.NAME)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    while processes.is_alive(process):
        time.sleep(0.01)
    processes.reap(process)


class Writer(threading.Thread):
    """Merges a new order and a payment of an older one again and again, and keeps what was acknowledged."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.placed: list[str] = []
        self.paid: set[str] = set()
        self.halt = threading.Event()
        self.failure: Exception | None = None

    def run(self) -> None:
        known: dict[str, Known] = {}
        try:
            for number in itertools.count():
                if self.halt.is_set():
                    return
                order_id, older = f"o-{number:06}", f"o-{number - 5:06}"
                changes = [change(placed(order_id))]
                if number >= 5:
                    changes.append(change(paid(older), known=known.pop(older)))
                merged = merge(self.store, changes, CLOCK_MS, RULES)
                known[order_id] = merged.known[order_id]
                self.placed.append(order_id)
                if number >= 5:
                    self.paid.add(older)
        except Exception as error:
            self.failure = error


def _missing(store: Store, writer: Writer) -> list[str]:
    """Return which acknowledged orders and payments are not stored."""
    status = {row["order_id"]: row["status"] for row in exported(store)}
    assert set(status.values()) <= {"matched", "awaiting_payment"}
    lost = [order_id for order_id in writer.placed if order_id not in status]
    return lost + [order_id for order_id in writer.paid if status.get(order_id, "lost") == "awaiting_payment"]


def test_nothing_acknowledged_is_lost_and_merging_goes_on_by_itself(home: Path) -> None:
    random = Random(1)
    with _store(home) as store:
        writer = Writer(store)
        writer.start()
        for _ in range(3):
            time.sleep(random.uniform(0.3, 1.5))
            before = len(writer.placed)
            _kill(home)
            time.sleep(random.uniform(0, 0.5))
            mongod.start(home)
            deadline_s = time.monotonic() + 120
            while len(writer.placed) < before + 20 and time.monotonic() < deadline_s and writer.is_alive():
                time.sleep(0.05)
            assert writer.failure is None
            assert len(writer.placed) >= before + 20
        writer.halt.set()
        writer.join(30)
        assert writer.failure is None
        assert _missing(store, writer) == []
        assert all(document["version"] <= 2 for document in snapshot(store))


def test_with_weaker_writes_the_same_kill_loses_what_was_acknowledged(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switch: acknowledged by memory alone, what a kill takes away would never be sent again."""
    monkeypatch.setattr(merging, "DURABLE", WriteConcern(w=1, j=False))
    monkeypatch.setattr(merging, "AWAY_S", 0.0)
    for _ in range(12):
        with _store(home) as store:
            store.orders.delete_many({})
            writer = Writer(store)
            writer.start()
            while len(writer.placed) < 100 and writer.is_alive():
                time.sleep(0.01)
            _kill(home)
            writer.join(60)
            assert isinstance(writer.failure, RetryableStoreError | UnknownOutcome)
            mongod.start(home)
            if _missing(store, writer):
                return
    pytest.fail("no kill lost anything: this test cannot tell durable writes from others")


@pytest.mark.parametrize("step", ["_begin", "plan", "_commit"])
def test_a_kill_at_each_step_of_a_transaction_leaves_the_right_documents(
    home: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with _store(home) as store:
        known = merge(store, [change(placed("a")), change(placed("b"))], CLOCK_MS, RULES).known
        original = getattr(merging, step)
        killed: list[str] = []

        def killing(*given: object) -> object:
            result = None if step == "_commit" else original(*given)
            if not killed:
                killed.append(step)
                _kill(home)
                starting = threading.Thread(target=mongod.start, args=(home,))
                starting.start()
                killed_threads.append(starting)
            return original(*given) if step == "_commit" else result

        killed_threads: list[threading.Thread] = []
        monkeypatch.setattr(merging, step, killing)
        changes = [
            change(paid("a"), known=known["a"]),
            change(paid("b")),
            change(placed("c"), paid("c")),
        ]
        merged = merge(store, changes, CLOCK_MS, RULES)
        for thread in killed_threads:
            thread.join()
        assert killed == [step]
        assert [row["status"] for row in exported(store)] == ["matched"] * 3
        assert [document["version"] for document in snapshot(store)] == [2, 2, 1]
        assert {order_id: it.version for order_id, it in merged.known.items()} == {"a": 2, "b": 2, "c": 1}


def test_an_answer_lost_after_the_commit_is_found_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit took place, its answer did not come: merging again finds everything there and adds nothing."""
    with _store(home) as store:
        known = merge(store, [change(placed("a"))], CLOCK_MS, RULES).known
        original = merging._commit
        lost: list[int] = []

        def losing(session: object) -> None:
            original(session)  # type: ignore[arg-type]
            if not lost:
                lost.append(1)
                raise UnknownOutcome("The answer is lost.", "Merge again.")

        monkeypatch.setattr(merging, "_commit", losing)
        merged = merge(store, [change(paid("a"), known=known["a"]), change(placed("b"))], CLOCK_MS, RULES)
        assert (merged.inserted, merged.updated, merged.unchanged) == (0, 0, 2)
        assert [(row["order_id"], row["event_count"]) for row in exported(store)] == [("a", 2), ("b", 1)]
        assert merged.known["a"].version == 2


def test_a_mongod_that_stays_away_ends_in_a_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "AWAY_S", 1.0)
    with _store(home) as store:
        merge(store, [change(placed("a"))], CLOCK_MS, RULES)
        _kill(home)
        started = time.monotonic()
        with pytest.raises(RetryableStoreError, match="mongod runs"):
            merge(store, [Change("a", None, change(paid("a")).arrivals)], CLOCK_MS, RULES)
        assert time.monotonic() - started < 28  # the driver's own patience is 30 s
