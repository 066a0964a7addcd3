"""Lease, heartbeat, batches, wishes and starts on a real MongoDB."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from orders_platform.errors import Deposed
from orders_platform.store import lease
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store
from orders_platform.store.matcher_records import Heartbeat, Start

pytestmark = pytest.mark.services


def first_words(epoch: int) -> Heartbeat:
    return Heartbeat(
        epoch=epoch,
        holder=f"host:{epoch}",
        pid=4711,
        pid_started=1.5,
        state="starting",
        code_version="1",
        settings_hash="abc",
        checkpoint="/checkpoint",
    )


def test_a_lease_is_taken_renewed_and_runs_out_by_the_servers_clock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A local clock that is years off must not matter.
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert records.read_lease(store) is None
    assert records.take_epoch(store, "$a", 0.4, 0) == 1
    taken = records.read_lease(store)
    assert taken is not None
    assert (taken.epoch, taken.holder, taken.live) == (1, "$a", True)
    assert taken.expires_at_ms - taken.renewed_at_ms == 400
    assert abs(taken.renewed_at_ms - records.server_time_ms(store)) < 10_000
    time.sleep(0.5)
    expired = records.read_lease(store)
    assert expired is not None
    assert not expired.live
    records.renew_lease(store, 1, "b", 60)
    renewed = records.read_lease(store)
    assert renewed is not None
    assert (renewed.live, renewed.holder) == (True, "b")
    records.release_lease(store, 1, "a")  # no longer its holder
    assert records.read_lease(store) == renewed
    records.release_lease(store, 1, "b")
    released = records.read_lease(store)
    assert released is not None
    assert not released.live


def test_of_many_that_want_the_next_epoch_one_gets_it(store: Store) -> None:
    barrier = threading.Barrier(8)

    def take(expected: int) -> int:
        barrier.wait()
        try:
            return records.take_epoch(store, "x", 60, expected)
        except Deposed:
            return 0

    with ThreadPoolExecutor(8) as pool:
        for expected in range(5):
            assert sorted(pool.map(take, [expected] * 8)) == [0] * 7 + [expected + 1]


def test_the_epoch_never_goes_down(store: Store) -> None:
    for expected in range(3):
        records.take_epoch(store, "x", 60, expected)
    for stale in (0, 1, 2, 7):
        with pytest.raises(Deposed):
            records.take_epoch(store, "y", 60, stale)
    with pytest.raises(Deposed):
        records.renew_lease(store, 2, "x", 60)
    records.release_lease(store, 2, "x")
    held = records.read_lease(store)
    assert held is not None
    assert (held.epoch, held.holder, held.live) == (3, "x", True)


def test_without_the_guard_a_deposed_one_would_take_it_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The switch: renewing by `_id` alone gives the lease to whoever asks."""
    records.take_epoch(store, "old", 60, 0)
    records.take_epoch(store, "new", 60, 1)
    monkeypatch.setattr(lease, "Int64", lambda number: {"$gte": number} if number == 1 else number)
    records.renew_lease(store, 1, "old", 1)
    stolen = records.read_lease(store)
    assert stolen is not None
    assert stolen.holder == "old"


def test_a_heartbeat_tells_of_batches_and_of_idle_times(store: Store) -> None:
    assert records.read_heartbeat(store) is None
    records.begin_heartbeat(store, first_words(1))
    begun = records.read_heartbeat(store)
    assert begun is not None
    assert begun.started_at_ms == begun.alive_at_ms > 0
    assert (begun.state, begun.batch_id, begun.committed_at_ms, begun.offsets, begun.counts) == (
        *("starting", None, None, {}, {}),
    )
    offsets = {"shop.orders": {"0": 5, "1": 2**40}}
    records.record_batch(store, 1, 0, offsets, batch={"events": 3}, totals={"events": 3}, duration_ms=12)
    records.write_heartbeat(store, 1, "running", events_behind=4, deadline_swept_to_ms=5)
    records.write_heartbeat(store, 1, "running", failure="It failed.")
    heartbeat = records.read_heartbeat(store)
    assert heartbeat is not None
    assert (heartbeat.batch_id, heartbeat.offsets, heartbeat.counts) == (0, offsets, {"events": 3})
    assert heartbeat.last == {"events": 3, "duration_ms": 12}
    assert (heartbeat.events_behind, heartbeat.deadline_swept_to_ms, heartbeat.failure) == (4, 5, "It failed.")
    assert heartbeat.committed_at_ms is not None
    assert heartbeat.started_at_ms <= heartbeat.committed_at_ms <= heartbeat.alive_at_ms
    batch = store.matcher.find_one({"_id": "batch:1:0"})
    assert batch is not None
    assert batch["purge_at"] > batch["committed_at"]


def test_a_new_driver_starts_afresh_but_keeps_the_offsets(store: Store) -> None:
    records.begin_heartbeat(store, first_words(1))
    records.record_batch(store, 1, 9, {"orders": {"0": 5}}, batch={"events": 3}, totals={"events": 3}, duration_ms=1)
    records.write_heartbeat(store, 1, "running", failure="It failed.")
    records.begin_heartbeat(store, first_words(2))
    heartbeat = records.read_heartbeat(store)
    assert heartbeat is not None
    assert (heartbeat.epoch, heartbeat.batch_id, heartbeat.counts, heartbeat.failure) == (2, None, {}, None)
    assert heartbeat.offsets == {"orders": {"0": 5}}


def test_an_epoch_is_begun_once(store: Store) -> None:
    first = msgspec.structs.replace(first_words(1), holder="orders-matcher-1:7:1-1", pid_started=100.5)
    records.begin_heartbeat(store, first)
    records.begin_heartbeat(store, first)  # its own, sent again
    again = msgspec.structs.replace(first, pid_started=103.0)  # a container started again has the same pid
    for second in (again, msgspec.structs.replace(first, holder="orders-matcher-2:7:1-1")):
        with pytest.raises(Deposed):
            records.begin_heartbeat(store, second)
    beat = records.read_heartbeat(store)
    assert beat is not None
    assert (beat.holder, beat.pid_started) == (first.holder, first.pid_started)


def test_a_deposed_driver_can_write_nothing(store: Store) -> None:
    records.begin_heartbeat(store, first_words(2))
    before = list(store.matcher.find())
    with pytest.raises(Deposed):
        records.begin_heartbeat(store, first_words(1))
    with pytest.raises(Deposed):
        records.write_heartbeat(store, 1, "running")
    with pytest.raises(Deposed):
        records.record_batch(store, 1, 0, {}, batch={}, totals={}, duration_ms=1)
    assert list(store.matcher.find()) == before


def test_wishes_are_kept_until_changed(store: Store) -> None:
    assert records.read_desired(store) == records.Desired(state="running")
    records.set_desired(store, state="stopped", reason="maintenance")
    records.set_desired(store, restart_token="t-1", reset_breaker=True)
    desired = records.read_desired(store)
    assert (desired.state, desired.restart_token, desired.reason) == ("stopped", "t-1", None)
    assert desired.breaker_reset_at_ms is not None
    records.set_desired(store, state="running")
    assert records.read_desired(store).breaker_reset_at_ms == desired.breaker_reset_at_ms


def test_starts_come_back_oldest_first_and_the_latest_of_many(store: Store) -> None:
    starts = [Start(epoch=epoch, attempt=1, at_ms=epoch * 1000, reason="first") for epoch in (1, 2, 10, 9)]
    for start in starts:
        records.add_start(store, start)
    ended = Start(epoch=2, attempt=1, at_ms=2000, reason="first", outcome="failed", lived_s=1.25, breaker_reset_at_ms=7)
    records.add_start(store, ended)
    assert records.read_starts(store) == [starts[0], ended, starts[3], starts[2]]
    assert records.read_starts(store, limit=2) == [starts[3], starts[2]]
