"""What the observer makes of what it sees: how much waits, since when, and whose lease it is."""

import msgspec
import pytest

from orders_platform.store.matcher_records import Desired, Heartbeat, Lease, Start
from orders_platform.supervision.observe import Facts, Handle, Memory, events_behind, observed, remember

DRIVER = Handle(id="100@1000.0", told="pid 100", epoch=3, attempt=1, pid=100)
BEAT = Heartbeat(
    epoch=3, holder="h", pid=101, pid_started=1.0, state="running", started_at_ms=1, alive_at_ms=5, code_version="v",
    settings_hash="s", checkpoint="c", offsets={"orders": {"0": 7, "1": 2}},
)  # fmt: skip
FACTS = Facts(running=DRIVER, heartbeat=BEAT, desired=Desired(), ends={"orders": {0: 10, 1: 2}, "payments": {0: 4}})


def facts(**changes: object) -> Facts:
    return msgspec.structs.replace(FACTS, **changes)


def beat(**changes: object) -> Facts:
    return facts(heartbeat=msgspec.structs.replace(BEAT, **changes))


@pytest.mark.parametrize(
    ("seen", "from_earliest", "behind"),
    [
        (FACTS, True, 7),
        (FACTS, False, 3),
        (facts(heartbeat=None), True, 16),
        (facts(heartbeat=None), False, 0),
        (facts(ends=None), True, None),
        (facts(desired=None), True, None),
        # A topic that was made anew is shorter than what was read of the old one.
        (facts(ends={"orders": {0: 1, 1: 5}}), True, 3),
    ],
)
def test_what_waits_is_counted_from_what_is_committed(seen: Facts, from_earliest: bool, behind: int | None) -> None:
    assert events_behind(seen, from_earliest) == behind


def test_the_last_drivers_offsets_count_until_the_new_one_commits() -> None:
    assert events_behind(beat(epoch=2), True) == 7
    assert not observed(beat(epoch=2, committed_at_ms=4), Memory(), 7, "me", "v", "s").committed


def test_waiting_counts_from_the_last_sign_of_progress() -> None:
    memory = remember(Memory(), beat(batch_id=None), 7, 1_000)
    assert memory.waiting_since_ms == 1_000
    memory = remember(memory, beat(batch_id=None), 9, 2_000)
    assert memory.waiting_since_ms == 1_000
    memory = remember(memory, beat(batch_id=1, committed_at_ms=3), 9, 3_000)
    assert memory.waiting_since_ms == 3_000
    # Not known is not the same as nothing: the count goes on.
    memory = remember(memory, beat(batch_id=1, committed_at_ms=3), None, 4_000)
    assert memory.waiting_since_ms == 3_000
    memory = remember(memory, beat(batch_id=1, committed_at_ms=3), 0, 5_000)
    assert memory.waiting_since_ms is None
    memory = remember(memory, beat(batch_id=1, committed_at_ms=3), 1, 9_000)
    assert memory.waiting_since_ms == 9_000


def test_silence_counts_from_the_last_new_beat_by_our_own_clock() -> None:
    memory = remember(Memory(), beat(alive_at_ms=5), 0, 1_000)
    memory = remember(memory, beat(alive_at_ms=5), 0, 2_000)
    assert memory.silent_since_ms == 1_000
    memory = remember(memory, beat(alive_at_ms=4), 0, 3_000)
    assert memory.silent_since_ms == 3_000


def test_a_heartbeat_of_an_earlier_epoch_is_no_sign_of_life() -> None:
    memory = remember(Memory(), beat(epoch=2), 0, 1_000)
    assert memory.silent_since_ms is None
    assert not observed(beat(epoch=2), memory, 0, "me", "v", "s").ready


def test_a_new_driver_starts_with_a_clean_memory_and_death_is_remembered_once() -> None:
    memory = remember(Memory(), FACTS, 7, 1_000)
    memory = remember(memory, facts(running=None), 7, 2_000)
    assert memory == Memory(epoch=DRIVER.epoch, since_ms=1_000, down_since_ms=2_000), "how old it became is not lost"
    memory = remember(memory, facts(running=None), 7, 3_000)
    assert memory.down_since_ms == 2_000
    memory = remember(memory, facts(running=msgspec.structs.replace(DRIVER, epoch=4)), 7, 4_000)
    assert (memory.epoch, memory.waiting_since_ms, memory.down_since_ms) == (4, 4_000, None)


def test_draining_counts_from_the_first_look_at_the_wish() -> None:
    wished = facts(desired=Desired(state="stopped"))
    memory = remember(remember(Memory(), wished, 0, 1_000), wished, 0, 2_000)
    assert memory.draining_since_ms == 1_000
    # MongoDB didn't answer: still draining.
    memory = remember(memory, facts(desired=None), None, 3_000)
    assert memory.draining_since_ms == 1_000
    assert remember(memory, FACTS, 0, 4_000).draining_since_ms is None


@pytest.mark.parametrize(
    ("lease", "other"),
    [
        (None, None),
        ((3, "host-a:55:3-1", True), None),
        ((4, "host-b:55:4-1", True), "host-b:55:4-1"),
        ((4, "host-b:55:4-1", False), None),
        # Taken by this home, and its supervisor was killed before it could put that on record.
        ((4, "me", True), None),
    ],
)
def test_only_a_live_lease_of_somebody_else_is_in_the_way(lease: tuple[int, str, bool] | None, other: str) -> None:
    held = None if lease is None else Lease(
        epoch=lease[0], holder=lease[1], renewed_at_ms=1, expires_at_ms=2, live=lease[2]
    )  # fmt: skip
    history = (
        Start(epoch=2, attempt=1, at_ms=1, reason="", holder="host-b:/x"),
        Start(epoch=3, attempt=1, at_ms=1, reason="", holder="me"),
    )
    seen = facts(running=None, lease=held, history=history)
    assert observed(seen, Memory(), 0, "me", "v", "s").other_holder == other
