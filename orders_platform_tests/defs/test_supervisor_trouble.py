"""What the sensor and its runs survive: lost memory, moved clocks, dead runs, services that hang, others at work."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg
import msgspec
import psutil
import pytest
from confluent_kafka.admin import AdminClient

from orders_platform.defs.matching import sensors
from orders_platform.defs.matching.sensors import Cursor
from orders_platform.errors import StackError
from orders_platform.local import broker, mongod, processes
from orders_platform.store import matcher_records as records
from orders_platform.supervision import errand, rounds
from orders_platform.supervision.errand import carry_out, is_at_work
from orders_platform.supervision.rounds import read_report
from orders_platform.supervision.status import gather
from orders_platform_tests.conftest import RunningStack
from orders_platform_tests.defs.ticking import Dagster, SmallMatcher, small_definitions, tags_of
from orders_platform_tests.supervision.conftest import QUICK, Platform, SmallBackend

pytestmark = pytest.mark.services
SENSOR_TIMEOUT_S = 60.0
"""Dagster's own bound of a tick."""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "policy_of", lambda settings: QUICK)
    monkeypatch.setattr(errand, "policy_of", lambda settings: QUICK)


@contextmanager
def stopped(stack: RunningStack, *names: str) -> Iterator[None]:
    """Let services hang: they take connections and answer nothing."""
    found = [processes.find(stack.home, name) for name in names]
    pids = [each.pid for each in found if each is not None]
    assert len(pids) == len(names)
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        # A broker that stood still has lost its place in its own cluster, and is let in again some seconds later.
        kafka, deadline_s = AdminClient({"bootstrap.servers": stack.bootstrap_servers}), time.monotonic() + 60
        while not kafka.list_topics(timeout=60).brokers:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)


@pytest.mark.parametrize("names", [(broker.NAME,), (mongod.NAME, broker.NAME)])
def test_services_that_hang_neither_hold_a_tick_up_nor_make_it_act(
    dagster: Dagster, stack: RunningStack, names: tuple[str, ...]
) -> None:
    epoch = dagster.start()
    running = dagster.platform.backend.find()
    later(dagster, checked_ms=61_000)
    with stopped(stack, *names):
        begun_s = time.monotonic()
        result = dagster.tick()
        took_s = time.monotonic() - begun_s
    print(f"\na tick while {' and '.join(names)} hang: {took_s:.1f} s")
    assert took_s < SENSOR_TIMEOUT_S
    assert not result.run_requests
    assert not [event for event in result.asset_events if isinstance(event, dg.AssetMaterialization)]
    assert "can't be reached" in str(result.skip_reason)
    assert dagster.platform.backend.find() == running
    dagster.platform.until(lambda: not (answer := dagster.tick()).run_requests and "reached" not in _why(answer))
    assert dagster.platform.epoch() == epoch


def test_services_that_begin_to_hang_between_look_and_checks_cost_the_report_alone(
    dagster: Dagster, stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    dagster.start()
    dagster.platform.publish()
    dagster.platform.until(lambda: dagster.tick() and _behind(dagster.platform) == 0)
    later(dagster, checked_ms=61_000, reported_ms=301_000)
    look = sensors._look
    with stopped_after(stack) as stop:
        monkeypatch.setattr(sensors, "_look", lambda *given: (look(*given), stop())[0])
        begun_s = time.monotonic()
        result = dagster.tick()
        took_s = time.monotonic() - begun_s
    print(f"\na tick whose services hang from the first check on: {took_s:.1f} s")
    assert took_s < SENSOR_TIMEOUT_S
    assert not result.asset_events
    assert not result.run_requests


@contextmanager
def stopped_after(stack: RunningStack) -> Iterator[Callable[[], None]]:
    with ExitStack() as held:
        yield lambda: held.enter_context(stopped(stack, mongod.NAME, broker.NAME))


def test_without_a_service_the_status_says_so_and_not_that_the_sensor_is_gone(
    dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORDERS_MONGO__URI")
    assert "MongoDB is not running" in _why(dagster.tick())
    report = read_report(dagster.platform.settings.home)
    assert report is not None
    assert "MongoDB is not running" in report.reason
    assert abs(time.time() - report.at_ms / 1000) < SENSOR_TIMEOUT_S


@pytest.mark.parametrize("state", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_a_run_that_never_does_anything_is_waited_for_and_then_made_again(
    dagster: Dagster, state: dg.DagsterRunStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = dagster.until_asked()
    leave_run(dagster, request, state)
    assert "is at it" in _why(dagster.tick())
    age(dagster, sensors._OPEN[state] - 5)
    assert "is at it" in _why(dagster.tick())
    # How the wall clock was moved since does not count.
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 10**12)
    assert "is at it" in _why(dagster.tick())
    age(dagster, 10)
    again = dagster.until_asked()
    assert again.run_key == "start-1-1-2"
    assert dagster.run(again).success
    assert not dagster.tick().run_requests


def test_a_run_that_is_at_work_is_given_its_time(dagster: Dagster) -> None:
    request = dagster.until_asked()
    run = leave_run(dagster, request, dg.DagsterRunStatus.STARTED)
    assert "is at it" in _why(dagster.tick())
    home = dagster.platform.settings.home
    with errand.turn(home):
        assert is_at_work(home)
        age(dagster, sensors._OPEN[dg.DagsterRunStatus.STARTED] + 5)
        assert "is at it" in _why(dagster.tick())
        age(dagster, errand.LONGEST_S)
        assert dagster.tick().run_requests, "one that is stopped in its tracks is waited for, too, but not for ever"
        dagster.instance.delete_run(run.run_id)
        assert "A person's run or command is at it" in _why(dagster.tick())
        age(dagster, errand.LONGEST_S)
        assert dagster.tick().run_requests
    assert not is_at_work(home)
    assert dagster.tick().run_requests


def test_keys_are_new_after_a_wiped_instance_a_lost_cursor_a_deleted_run_and_a_wiped_database(
    dagster: Dagster,
) -> None:
    request = dagster.until_asked()
    runs = []
    for number in (None, 2, 3):
        assert request.run_key == ("start-1-1" if number is None else f"start-1-1-{number}")
        run = leave_run(dagster, request, dg.DagsterRunStatus.STARTED)
        dagster.instance.report_run_failed(run)
        runs.append(run)
        dagster.cursor = None
        request = dagster.until_asked()
    dagster.instance.delete_run(runs[0].run_id)
    dagster.cursor = None
    assert dagster.until_asked().run_key == "start-1-1-4", "not the third's, though there are two"
    dagster.start()
    with dg.DagsterInstance.ephemeral() as fresh:
        dagster.instance = fresh
        dagster.keys.clear()
        dagster.cursor = None
        assert not dagster.tick().run_requests, "what lives is found without Dagster's memory"
        os.kill(dagster.platform.epoch_pid(), signal.SIGKILL)
        again = dagster.until_asked()
        assert again.run_key == "start-2-2"
        assert dagster.run(again).success
        dagster.platform.store.matcher.delete_many({})
        os.kill(dagster.platform.epoch_pid(), signal.SIGKILL)
        assert dagster.run(dagster.until_asked()).success
        os.kill(dagster.platform.epoch_pid(), signal.SIGKILL)
        again = dagster.until_asked()
        assert again.run_key == "start-2-2-2", "an epoch comes again; its key does not"
        assert dagster.run(again).success


@pytest.mark.parametrize("what", ["settings", "code"])
def test_other_settings_or_code_have_a_restart_asked_for_once(
    dagster: Dagster, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = dagster.start()
    if what == "settings":
        monkeypatch.setenv("ORDERS_MATCHING__TOLERANCE_MINOR", "7")
    else:
        monkeypatch.setattr(rounds, "code_version", lambda: "another")
    request = dagster.until_asked()
    assert request.job_name == "restart_matcher"
    assert "changed" in request.tags["reason"]
    assert dagster.run(request).success
    dagster.platform.until(lambda: dagster.platform.committed(epoch))
    assert dagster.platform.epoch() == epoch + 1
    assert not dagster.tick().run_requests
    assert records.read_starts(dagster.platform.store)[0].end == "asked"


@pytest.mark.usefixtures("quick")
def test_a_crash_loop_opens_the_breaker_and_only_a_person_closes_it(dagster: Dagster) -> None:
    dagster.platform.mode("die")
    for _ in range(QUICK.breaker_failures):
        assert not dagster.run(dagster.until_asked()).success, "it ended before its first sign of life"
    dagster.platform.until(lambda: "failed: " in _why(dagster.tick()))
    assert not dagster.tick().run_requests
    assert len(records.read_starts(dagster.platform.store)) == QUICK.breaker_failures
    status = gather(dagster.platform.settings)
    assert status.matcher.state == "failed"
    dagster.platform.mode("work")
    dagster.cursor = None
    assert "failed: " in _why(dagster.tick()), "mending the cause alone closes nothing, nor does a lost cursor"
    assert dagster.launch("start_matcher").success
    dagster.platform.until(dagster.platform.committed)
    assert not dagster.tick().run_requests


@pytest.mark.usefixtures("quick")
def test_the_time_that_it_has_been_dead_makes_no_long_life(dagster: Dagster) -> None:
    dagster.start()
    dagster.tick()
    store = dagster.platform.store
    store.matcher.update_one({"_id": "heartbeat"}, {"$unset": {"committed_at": 1}})
    os.kill(dagster.platform.epoch_pid(), signal.SIGKILL)
    dagster.platform.until(lambda: dagster.platform.backend.find() is None)
    dagster.tick()
    earlier(dagster, 2 * QUICK.reset_s)
    assert dagster.run(dagster.until_asked()).success
    ended = records.read_starts(store)[0]
    assert ended.lived_s is not None
    assert ended.lived_s < QUICK.reset_s


@pytest.mark.parametrize("moved_s", [-300, 300])
def test_a_clock_that_is_five_minutes_off_changes_neither_grace_nor_age(
    dagster: Dagster, moved_s: int, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = Cursor()
    off = msgspec.structs.replace(cursor.clock, offset_ns=cursor.clock.offset_ns + moved_s * 10**9)
    dagster.cursor = msgspec.json.encode(msgspec.structs.replace(cursor, clock=off)).decode()
    dagster.platform.mode("hang")
    assert dagster.run(dagster.until_asked()).success
    dagster.platform.publish()
    assert "starting" in _why(dagster.tick()).lower()
    request = dagster.until_asked(4 * (QUICK.grace_ms + QUICK.stall_after_ms) / 1000)
    assert request.job_name == "restart_matcher"
    dagster.platform.mode("work")
    assert dagster.run(request).success
    ended = records.read_starts(dagster.platform.store)[0]
    assert ended.end == "stalled"
    assert ended.lived_s is not None
    assert ended.lived_s < 250
    status = gather(dagster.platform.settings)
    assert "last looked" not in " ".join(part.detail for part in status.components)


@pytest.mark.usefixtures("quick")
def test_a_matcher_that_is_given_up_is_told_by_its_checks_and_not_vouched_for(dagster: Dagster) -> None:
    dagster.start()
    dagster.tick()
    records.set_desired(dagster.platform.store, state="stopped")
    dagster.platform.until(lambda: dagster.platform.backend.find() is None)
    assert dagster.run(dagster.until_asked()).success
    later(dagster, checked_ms=61_000)
    events = dagster.tick().asset_events
    failed = {event.check_name for event in events if isinstance(event, dg.AssetCheckEvaluation) and not event.passed}
    assert "matcher_at_work" in failed
    assert not [event for event in events if isinstance(event, dg.AssetMaterialization)]


def test_a_recycled_pid_is_neither_taken_for_the_matcher_nor_ended(dagster: Dagster) -> None:
    epoch = dagster.start()
    home = dagster.platform.settings.home
    os.kill(dagster.platform.epoch_pid(), signal.SIGKILL)
    stranger = psutil.Popen(["sleep", "300"])
    try:
        record = processes.Process("matcher", stranger.pid, stranger.create_time() - 100, "another-boot:1")
        (home / "run" / "matcher.json").write_bytes(msgspec.json.encode(record))
        assert dagster.run(dagster.until_asked()).success
        assert dagster.platform.epoch() == epoch + 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_death_in_the_middle_of_a_tick_is_seen_by_it(dagster: Dagster, monkeypatch: pytest.MonkeyPatch) -> None:
    dagster.start()
    dagster.tick()
    monkeypatch.setattr(sensors, "WATCH_S", 20.0)
    find, seen = dagster.platform.backend.find, []

    def dying(seconds: float, connections: rounds.Connections) -> bool:
        os.kill(dagster.platform.epoch_pid(), signal.SIGKILL)
        seen.append(find())
        return watch(seconds, connections)

    watch = sensors._dies_within
    monkeypatch.setattr(sensors, "_dies_within", dying)
    (request,) = dagster.tick().run_requests or []
    assert request.job_name == "start_matcher"
    assert len(seen) == 1


def test_of_two_homes_on_one_database_one_starts_and_the_other_waits_for_its_lease(
    dagster: Dagster, matcher: SmallMatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = dagster.platform
    theirs = here.settings.model_copy(update={"home": tmp_path / "their-home"})
    there = Platform(theirs, here.store, SmallBackend(theirs, here.backend._endpoints), here.servers)
    there.mode("work")
    with dg.DagsterInstance.ephemeral() as instance:
        other = Dagster(there, matcher, instance)
        ours, asked = dagster.until_asked(), None
        with monkeypatch.context() as moved:
            moved.setenv("ORDERS_HOME", str(theirs.home))
            asked = other.until_asked()
        try:
            assert asked.run_key == ours.run_key
            assert dagster.run(ours).success
            with monkeypatch.context() as moved:
                moved.setenv("ORDERS_HOME", str(theirs.home))
                other.run(asked)
                assert there.backend.find() is None, "both were asked for; one took the epoch"
                assert "Another matcher holds the lease" in _why(other.tick())
            here.until(here.committed)
            first = here.epoch()
            os.kill(here.epoch_pid(), signal.SIGKILL)
            with monkeypatch.context() as moved:
                moved.setenv("ORDERS_HOME", str(theirs.home))
                assert other.run(other.until_asked(60)).success
                there.until(lambda: there.committed(first))
            assert "Another matcher holds the lease" in _why(dagster.tick())
            assert here.backend.find() is None
            with pytest.raises(StackError):
                _deed_that_nobody_wants(dagster)
        finally:
            processes.stop(theirs.home, "matcher", timeout_s=0)


def _deed_that_nobody_wants(dagster: Dagster) -> None:
    """An errand that comes too late does nothing and says why."""
    outcome = carry_out(dagster.platform.settings, "start", errand.Request(), print, SmallBackend)
    assert outcome.handle is None
    raise StackError(" ".join(outcome.told), "Nothing.")


def leave_run(dagster: Dagster, request: dg.RunRequest, state: dg.DagsterRunStatus) -> dg.DagsterRun:
    """Make the run that was asked for, and leave it in a state as if its process had been killed."""
    job = small_definitions().resolve_job_def(str(request.job_name))
    return dagster.instance.create_run_for_job(job, tags=tags_of(request), status=state)


def age(dagster: Dagster, seconds: float) -> None:
    """Let the runs that the cursor knows be older."""
    seen = msgspec.json.decode(str(dagster.cursor), type=Cursor)
    assert seen.open_runs
    older = {run: int(since_ms - seconds * 1000) for run, since_ms in seen.open_runs.items()}
    dagster.cursor = msgspec.json.encode(msgspec.structs.replace(seen, open_runs=older)).decode()


def earlier(dagster: Dagster, seconds: float) -> None:
    """Let the driver have been down for longer."""
    seen = msgspec.json.decode(str(dagster.cursor), type=Cursor)
    assert seen.memory.down_since_ms is not None
    assert seen.memory.since_ms is not None
    memory = msgspec.structs.replace(
        seen.memory,
        down_since_ms=int(seen.memory.down_since_ms - seconds * 1000),
        since_ms=int(seen.memory.since_ms - seconds * 1000),
    )
    dagster.cursor = msgspec.json.encode(msgspec.structs.replace(seen, memory=memory)).decode()


def later(dagster: Dagster, checked_ms: int, reported_ms: int = 0) -> None:
    """Let the latest checks and report be older."""
    seen = msgspec.json.decode(str(dagster.cursor), type=Cursor)
    older = msgspec.structs.replace(
        seen, checked_at_ms=seen.checked_at_ms - checked_ms, reported_at_ms=seen.reported_at_ms - reported_ms
    )
    dagster.cursor = msgspec.json.encode(older).decode()


def _why(result: dg.SensorResult) -> str:
    return "" if result.skip_reason is None else str(result.skip_reason.skip_message)  # type: ignore[union-attr]


def _behind(platform: Platform) -> int | None:
    connections = rounds.Connections(platform.settings, SmallBackend)
    try:
        me, clock = rounds.identity(platform.settings), rounds.SteadyClock()
        return rounds.make_round(platform.settings, connections, me, rounds.Memory(), clock, platform.policy).behind
    finally:
        connections.close()
