"""Dagster's own processes, for tests: a daemon over the small code location, with an instance of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import dagster as dg
import psutil
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.scheduler.instigation import InstigatorTick

from orders_platform.surroundings import ROOT

WITHIN_S = 120.0
"""A bound for a machine that does other things too; a quiet one is far below."""
LOCATION = "orders_platform_tests.defs.small_location"


class RealDagster:
    """One DAGSTER_HOME and the processes that were started on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / "dagster.yaml", folder / "dagster.yaml")
        with self.instance():
            pass  # makes its tables: two processes that do so at once get into each other's way
        self.environment = {"DAGSTER_HOME": str(folder), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start one of Dagster's programs in a session of its own; the daemon if none is named."""
        arguments = command or ("-m", "orders_platform.defs.daemon", "-m", LOCATION, "-d", str(ROOT))
        with (self.folder / "output.log").open("ab") as log:
            started = subprocess.Popen(
                [sys.executable, *arguments],
                env={**os.environ, **self.environment, **environment},
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self.processes.append(started)
        return started

    def part_of(self, leader: subprocess.Popen[bytes]) -> list[psutil.Process]:
        """Return the living processes of a session, whoever their parents are by now."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if os.getsid(process.pid) == leader.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def code_servers(self, leader: subprocess.Popen[bytes]) -> list[psutil.Process]:
        return [each for each in self.part_of(leader) if "grpc" in _command(each)]

    def run_workers(self, leader: subprocess.Popen[bytes]) -> list[psutil.Process]:
        """Return the processes in which runs are carried out."""
        return [each for each in self.part_of(leader) if "spawn_main" in _command(each)]

    def instance(self) -> DagsterInstance:
        return DagsterInstance.from_config(str(self.folder))

    def ticks(self) -> list[InstigatorTick]:
        """Return the sensor's ticks, newest first."""
        with self.instance() as instance:
            for state in instance.all_instigator_state():
                if state.instigator_name == "matcher_supervisor":
                    return list(instance.get_ticks(state.instigator_origin_id, state.selector_id))
        return []

    def runs(self, *statuses: DagsterRunStatus) -> list[dg.DagsterRun]:
        """Return the runs, newest first."""
        with self.instance() as instance:
            return list(instance.get_runs(RunsFilter(statuses=list(statuses)) if statuses else None))

    def kill(self, leader: subprocess.Popen[bytes]) -> None:
        """Kill a whole session."""
        for process in self.part_of(leader):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        leader.wait(30)

    def close(self) -> None:
        for leader in self.processes:
            with suppress(ProcessLookupError):
                leader.send_signal(signal.SIGCONT)
            self.kill(leader)

    def log(self) -> str:
        return (self.folder / "output.log").read_text(errors="replace")[-8000:]

    def until(self, what: Callable[[], object], timeout_s: float = WITHIN_S) -> float:
        """Return after how many seconds `what` became true; fail with what Dagster said."""
        begun_s = time.monotonic()
        while not what():
            assert time.monotonic() - begun_s < timeout_s, self.log()
            time.sleep(0.1)
        return time.monotonic() - begun_s


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
