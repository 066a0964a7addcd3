"""The matcher on this machine: one detached `spark-submit` of the driver, in a session of its own."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil

from orders_platform.local import processes
from orders_platform.local.jars import spark_connector_jars
from orders_platform.local.java import find_java, java_home
from orders_platform.local.stack import Endpoints
from orders_platform.settings import Settings
from orders_platform.store.matcher_records import BegunCheckpoint
from orders_platform.supervision.backends.class_archive import ClassArchive, stop_making
from orders_platform.supervision.backends.driver_environment import run_variables
from orders_platform.supervision.backends.spark_submit import (
    DRIVER,
    JAVA_OPTIONS,
    ON_LOOPBACK,
    configuration,
    environment_here,
    flags,
    spark_home,
)
from orders_platform.supervision.checkpoints import location
from orders_platform.supervision.observe import Handle

NAME = "matcher"
STOP_WAIT_S = 15.0


class LocalBackend:
    """Starts, finds and ends the matcher's process of one home."""

    name = "this machine"

    def __init__(self, settings: Settings, endpoints: Endpoints) -> None:
        self._settings = settings
        self._endpoints = endpoints
        self._home = settings.home.resolve()
        self._java_home: Path | None = None

    def submit(self, epoch: int, attempt: int, begun: BegunCheckpoint | None = None) -> Handle:
        """Start a driver and return at once; whether it works is for its heartbeat to say.

        `begun` says where it begins if it has no checkpoint.

        Raises:
            MissingDependency: Java, Spark or the connector's jars are not there.
            StackError: the process can't be started.
        """
        home = spark_home()
        self._clear_scratch()
        given = environment_here(self._home, self._endpoints, self._java())
        given |= run_variables(epoch, attempt, None if begun is None else begun.offsets)
        where = location(self._settings, begun)
        if where is not None:
            given["ORDERS_MATCHER__CHECKPOINT"] = where
        environment = processes.environment(given)
        process = processes.start(self._settings.home, NAME, self._command(home), environment)
        return _handle(process, epoch, attempt)

    def find(self) -> Handle | None:
        """Return the living driver of this home, if there is one: the JVM, whose death stops the work."""
        process = processes.find(self._settings.home, NAME)
        if process is None:
            return None
        epoch, _, attempt = _run_of(process.pid).partition("-")
        return _handle(process, int(epoch or 0), int(attempt or 0))

    def stop(self, handle: Handle, drain: bool) -> None:
        """End the driver and everything that it started.

        With `drain` it gets a polite signal and some seconds; without, it is killed: a stalled or stopped process
        answers no other signal.

        Raises:
            StackError: it does not end.
        """
        processes.stop(self._settings.home, NAME, timeout_s=STOP_WAIT_S if drain else 0.0)

    def proved(self, handle: Handle) -> None:
        """Learn from a driver that has committed: the next one's JVM starts faster.

        Raises:
            StackError: the process that sees to it can't be started.
        """
        if self._settings.matcher.master.startswith("local"):
            self._class_archive(spark_home(), spark_connector_jars()).make(pid_of(handle))

    def close(self) -> None:
        """Let go of what serves the supervisor alone; the driver is left at work.

        Raises:
            StackError: something does not end.
        """
        stop_making(self._settings.home)

    def disconnect(self) -> None:
        """Let go of nothing: there are no connections."""

    def clear_leftovers(self) -> bool:
        """Kill what a dead driver left behind: its Python half, PySpark's daemon and workers. Say if there was any.

        Raises:
            StackError: something does not end.
        """
        return processes.stop(self._settings.home, NAME, timeout_s=0.0)

    def describe(self) -> dict[str, str]:
        """Say where it lives, for people."""
        return {
            "backend": "local",
            "master": self._settings.matcher.master,
            "log": str(processes.log_file(self._settings.home, NAME)),
        }

    def _clear_scratch(self) -> None:
        """Remove what killed drivers left on the disk; nothing of it is ever read again."""
        for pattern in ("blockmgr-*", "spark-*"):
            for left in (self._home / "spark").glob(pattern):
                shutil.rmtree(left, ignore_errors=True)

    def _java(self) -> Path:
        """Return the JAVA_HOME, looked for once: that runs Java, and a restart is in a hurry."""
        if self._java_home is None:
            self._java_home = java_home(find_java())
        return self._java_home

    def _class_archive(self, home: Path, connector: Sequence[Path]) -> ClassArchive:
        return ClassArchive(self._home, self._java(), [*connector, *home.glob("jars/*.jar")])

    def _command(self, home: Path) -> list[str]:
        connector = spark_connector_jars()
        master = self._settings.matcher.master
        java_options = JAVA_OPTIONS
        if master.startswith("local"):
            # Workers are in this JVM: its class path does, and is what a class archive is made for.
            jars = ("--driver-class-path", os.pathsep.join(map(str, connector)))
            java_options = " ".join((JAVA_OPTIONS, *self._class_archive(home, connector).options()))
        else:
            jars = ("--jars", ",".join(map(str, connector)))
        return [
            str(home / "bin" / "spark-submit"),
            *("--master", master),
            *("--driver-memory", self._settings.matcher.driver_memory),
            *("--driver-java-options", java_options),
            *jars,
            *flags(configuration(self._home / "spark") | ON_LOOPBACK),
            str(DRIVER),
        ]


def _handle(process: processes.Process, epoch: int, attempt: int) -> Handle:
    identity = f"{process.pid}@{process.started}"
    return Handle(identity, f"pid {process.pid}", epoch, attempt, process.pid)


def pid_of(handle: Handle) -> int:
    """Return the process of one of this backend's drivers."""
    return int(handle.id.partition("@")[0])


def _run_of(pid: int) -> str:
    try:
        return psutil.Process(pid).environ().get("ORDERS_MATCHER_RUN", "")
    except psutil.Error:
        return ""
