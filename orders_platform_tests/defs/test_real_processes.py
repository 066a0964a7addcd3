"""Dagster's real processes, killed, doubled, stopped and misled, around a small driver in Spark's place."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from dagster import DagsterRunStatus
from dagster._core.scheduler.instigation import TickStatus

from orders_platform.local import mongod, processes
from orders_platform.store import matcher_records as records
from orders_platform.store.schema import migrate
from orders_platform.supervision.backends.local import pid_of
from orders_platform.surroundings import ROOT
from orders_platform_tests.conftest import RunningStack
from orders_platform_tests.defs.real_dagster import LOCATION, WITHIN_S, RealDagster
from orders_platform_tests.defs.ticking import small_definitions
from orders_platform_tests.supervision.conftest import Platform

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]
MOVED_CLOCK = """
import os, sys, time
real, real_ns = time.time, time.time_ns
def moved():
    # What grpc's C part can't see be moved, its Python part must not see either.
    if sys._getframe(2).f_globals.get("__name__", "").startswith("grpc"):
        return 0
    with open(os.environ["MOVED_BY"]) as told:
        return int(told.read() or 0)
def seconds():
    return real() + moved()
def nanoseconds():
    return real_ns() + moved() * 10**9
time.time, time.time_ns = seconds, nanoseconds
"""
"""For PYTHONPATH: the wall clock of a process is off by what a file says."""
RENEWED_SOONER = (
    "import sys; from dagster._daemon import controller; controller.RELOAD_WORKSPACE_INTERVAL = 5; "
    f"from dagster._daemon.cli import run_command; run_command(['-m', '{LOCATION}', '-d', sys.argv[1]])"
)
"""Dagster's daemon starts a new code server each minute; here more often."""


@pytest.fixture
def home(platform: Platform) -> Platform:
    migrate(platform.store)
    return platform


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[str], RealDagster]]:
    made: list[RealDagster] = []

    def one(name: str) -> RealDagster:
        made.append(RealDagster(tmp_path / name))
        return made[-1]

    yield one
    for each in made:
        each.close()


def kill_matcher(home: Platform) -> int:
    """Kill the driver and return its epoch."""
    running = home.backend.find()
    assert running is not None
    os.kill(pid_of(running), signal.SIGKILL)
    return running.epoch


def heal(home: Platform, dagster: RealDagster) -> int:
    """Kill the driver, wait for the next, and return its epoch."""
    before = kill_matcher(home)
    dagster.until(lambda: home.committed(before))
    return home.epoch()


def drivers(home: Platform) -> list[int]:
    """Return the pids of all drivers of the home that live, on record or not."""
    marker, found = f"{home.settings.home.resolve()}:matcher", []
    for process in psutil.process_iter():
        try:
            leads = os.getsid(process.pid) == process.pid and process.status() != psutil.STATUS_ZOMBIE
            if leads and process.environ().get(processes.MARKER) == marker:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def hesitate(home: Platform, dagster: RealDagster) -> int:
    """Kill the driver, and return its epoch when the run that replaces it has taken an epoch and started nothing."""
    hesitates = home.settings.home / "hesitates"
    hesitates.unlink(missing_ok=True)  # an earlier one said so until it went on
    home.mode("late")
    before = kill_matcher(home)
    dagster.until(hesitates.exists)
    lease = records.read_lease(home.store)
    assert lease is not None
    assert lease.epoch == before + 1
    assert drivers(home) == []
    return before


def die_alone(daemon: subprocess.Popen[bytes]) -> None:
    daemon.kill()
    daemon.wait(30)


def take_every_place(dagster: RealDagster) -> None:
    """Leave no place among Dagster's runs for any that waits in its queue."""
    job = small_definitions().resolve_job_def("restart_matcher")
    with dagster.instance() as instance:
        limit = instance.get_concurrency_config().run_queue_config
        assert limit is not None
        for _ in range(limit.max_concurrent_runs):
            instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)


def test_the_daemon_may_be_killed_before_while_and_after_a_run(
    home: Platform, make: Callable[[str], RealDagster]
) -> None:
    dagster = make("dagster")
    daemon = dagster.start()
    dagster.until(home.committed)
    alive = home.epoch_pid()
    die_alone(daemon)
    assert home.epoch_pid() == alive, "the matcher outlives it"
    first = kill_matcher(home)

    daemon = dagster.start()
    dagster.until(lambda: home.committed(first))
    before = hesitate(home, dagster)
    die_alone(daemon)
    home.mode("work")
    dagster.until(lambda: home.committed(before))
    assert home.epoch() == before + 1, "the run that was under way needs no daemon"

    daemon = dagster.start()
    ticks = len(dagster.ticks())
    dagster.until(lambda: len(dagster.ticks()) > ticks + 1)
    assert home.epoch() == before + 1, "and the next one leaves its work alone"
    before = hesitate(home, dagster)
    dagster.kill(daemon)
    home.mode("work")
    assert dagster.runs(DagsterRunStatus.STARTED), "nobody could report this run's end"

    daemon = dagster.start()
    dagster.until(lambda: home.committed(before + 1))
    assert [start.epoch for start in records.read_starts(home.store)] == list(range(1, before + 3))
    assert [start.end for start in records.read_starts(home.store)] == ["died"] * (before + 1) + [None]
    assert len(drivers(home)) == 1


def test_three_daemons_on_two_instances_keep_one_matcher(home: Platform, make: Callable[[str], RealDagster]) -> None:
    one, other = make("one"), make("other")
    started = [one.start(), one.start(), other.start()]
    one.until(home.committed)
    one.until(lambda: one.ticks() and other.ticks())
    for _ in range(3):
        heal(home, one)
        assert len(drivers(home)) == 1
    ticks = len(one.ticks()), len(other.ticks())
    one.until(lambda: len(one.ticks()) > ticks[0] + 1 and len(other.ticks()) > ticks[1] + 1)
    starts = records.read_starts(home.store)
    assert [start.epoch for start in starts] == [1, 2, 3, 4], "one start a death, whoever asked for it"
    assert [start.end for start in starts] == ["died"] * 3 + [None]
    assert len(drivers(home)) == 1
    assert any(daemon.poll() is None for daemon in started[:2])
    assert started[2].poll() is None


def test_a_code_server_that_is_killed_and_a_tick_that_times_out_hold_nothing_up_for_long(
    home: Platform, make: Callable[[str], RealDagster], stack: RunningStack
) -> None:
    dagster = make("dagster")
    daemon = dagster.start("-c", RENEWED_SOONER, str(ROOT), DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS="3")
    dagster.until(home.committed)
    alive = home.epoch_pid()
    mongo = processes.find(stack.home, mongod.NAME)
    assert mongo is not None
    os.kill(mongo.pid, signal.SIGSTOP)
    try:
        dagster.until(lambda: any(tick.status == TickStatus.FAILURE for tick in dagster.ticks()))
    finally:
        os.kill(mongo.pid, signal.SIGCONT)
    failed = [str(tick.error) for tick in dagster.ticks() if tick.status == TickStatus.FAILURE]
    assert any("DEADLINE_EXCEEDED" in each for each in failed), failed
    assert home.epoch_pid() == alive
    heal(home, dagster)

    servers = dagster.code_servers(daemon)
    assert servers
    for server in servers:
        server.kill()
    heal(home, dagster)
    assert len(drivers(home)) == 1
    assert daemon.poll() is None
    assert len(records.read_starts(home.store)) == 3


def test_a_clock_that_is_moved_by_five_minutes_and_a_queue_that_is_full_hold_nothing_up(
    home: Platform, make: Callable[[str], RealDagster], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(MOVED_CLOCK)
    moved = tmp_path / "moved"
    moved.write_text("0")
    dagster = make("dagster")
    take_every_place(dagster)
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    daemon = dagster.start(PYTHONPATH=path, MOVED_BY=str(moved))
    dagster.until(home.committed)
    for epoch, seconds in ((2, 300), (3, 0), (4, -300)):
        moved.write_text(str(seconds))
        ticks = len(dagster.ticks())
        dagster.until(lambda ticks=ticks: len(dagster.ticks()) > ticks, WITHIN_S)
        assert home.epoch() == epoch - 1, "a moved clock is no reason to act"
        assert heal(home, dagster) == epoch
    assert [start.end for start in records.read_starts(home.store)] == ["died"] * 3 + [None]
    assert daemon.poll() is None
