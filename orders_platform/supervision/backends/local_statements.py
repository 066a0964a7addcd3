"""The statements' batch on this machine: one `spark-submit` that ends with whoever waits for it."""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import IO

import msgspec

from orders_platform.errors import StackError
from orders_platform.local import home as homes
from orders_platform.local import processes
from orders_platform.local.java import find_java, java_home
from orders_platform.local.stack import Endpoints
from orders_platform.settings import Settings
from orders_platform.supervision.backends.spark_submit import (
    JAVA_OPTIONS,
    ON_LOOPBACK,
    STATEMENTS,
    configuration,
    environment_here,
    flags,
    spark_home,
)

NAME = "statements"
DRIVER_MEMORY = "2g"
END_S = 10.0
Progress = Callable[[int, int], None]
"""Told how many parts are counted, of how many."""


class _Said(msgspec.Struct):
    """What the batch prints on the way."""

    counted: int = 0
    of: int = 0
    failed: str = ""


def run(settings: Settings, endpoints: Endpoints, first: date, last: date, *, force: bool, progress: Progress) -> None:
    """Make the statements of the days from the first to the last, and return when they are kept.

    Raises:
        MissingDependency: Java or Spark is not there.
        StackError: it can't be started, or failed.
    """
    home = settings.home.resolve()
    homes.prepare(home)
    command = [
        str(spark_home() / "bin" / "spark-submit"),
        *("--master", "local[*]"),
        *("--driver-memory", DRIVER_MEMORY),
        *("--driver-java-options", JAVA_OPTIONS),
        *flags(configuration(home / "spark-statements") | ON_LOOPBACK),
        str(STATEMENTS),
        first.isoformat(),
        last.isoformat(),
        *(["--force"] if force else []),
    ]
    environment = processes.environment(environment_here(home, endpoints, java_home(find_java())))
    log = processes.log_file(home, NAME)
    batch = _started(command, environment, home, log)
    with batch:
        try:
            failed = _follow(batch.stdout, progress)
            status = batch.wait()
        finally:
            _end(batch)
    if status:
        raise StackError(
            f"The statements' batch failed: {failed or f'it ended with status {status}.'}",
            f"All that it said is in {log}.",
        )


def _started(command: list[str], environment: dict[str, str], home: Path, log: Path) -> "subprocess.Popen[bytes]":
    log.touch(mode=0o600)
    with log.open("wb") as errors:
        try:
            return subprocess.Popen(
                command,
                env=environment,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            raise StackError(
                f"spark-submit can't be started: {error.strerror}.", "Free memory or processes."
            ) from error


def _follow(said: "IO[bytes] | None", progress: Progress) -> str:
    """Pass progress on until the batch says no more; return why it failed, if it said so."""
    failed = ""
    for line in said or ():
        with suppress(msgspec.DecodeError):  # what is no word of ours
            now = msgspec.json.decode(line, type=_Said)
            failed = now.failed or failed
            if now.of:
                progress(now.counted, now.of)
    return failed


def _end(batch: "subprocess.Popen[bytes]") -> None:
    """End it and all that it started, if whoever waited was interrupted."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        if batch.poll() is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(batch.pid, signal_number)
        with suppress(subprocess.TimeoutExpired):
            batch.wait(END_S)
