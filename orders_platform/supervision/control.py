"""What people and other commands ask of the matcher. Wishes go to MongoDB; the supervisor and the driver heed them."""

import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path

from orders_platform.errors import CheckpointError, StackError
from orders_platform.local import processes
from orders_platform.local.stack import Endpoints, endpoints
from orders_platform.settings import PREFIX, Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store, connect
from orders_platform.streams.offsets import end_offsets
from orders_platform.supervision import dagster_home, repair
from orders_platform.supervision.backends.local import REPOSITORY, LocalBackend
from orders_platform.supervision.decide import Policy
from orders_platform.supervision.errand import turn
from orders_platform.supervision.observe import Handle
from orders_platform.supervision.rounds import forget_report, read_report
from orders_platform.supervision.supervisor_lock import DAEMON, find_supervisor
from orders_platform.supervision.supervisor_lock import NAME as SUPERVISOR

READY_TIMEOUT_S = 600.0
"""Session, checkpoint and first heartbeat take about 20 s on two busy cores, 80 s where ten processes wait for each; a
backoff may come on top. A supervisor that gave up is noticed before."""
_POLL_S = 0.25
_SETTLE_S = 3.0
_COMMAND = "from orders_platform.cli.main import run; run()"


class Control:
    """One person's or command's hold on the matcher of one home."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = lambda text: None) -> None:
        """Connect to what the settings name.

        Raises:
            StackError: a local service does not run.
        """
        self._settings = settings
        self._say = say
        self._endpoints: Endpoints = endpoints(settings)
        self._store: Store = connect(self._endpoints.mongo_uri, settings.mongo.database)
        self._backend = LocalBackend(settings, self._endpoints)
        self._asked_ms = 0

    def close(self) -> None:
        """Let go of MongoDB."""
        self._store.close()

    def start(self) -> records.Heartbeat:
        """Want the matcher to run, see that a supervisor does, and return its heartbeat once its stream runs.

        Closes the breaker too. Does nothing to a matcher that runs.

        Raises:
            OrdersError: it does not come up.
        """
        self._want("running", "started by a person", reset_breaker=self._backend.find() is None)
        ensure_supervisor(self._settings)
        return self.wait_until_ready()

    def stop(self, now: bool = False) -> bool:
        """Want the matcher to be stopped and return when it is: after its batch, or at once. False if none ran.

        Raises:
            OrdersError: it does not end.
        """
        self._want("stopped", "stopped by a person")
        running = self._backend.find()
        if running is None:
            return False
        deadline_s = time.monotonic() + (0.0 if now else Policy().drain_ms / 1000)
        while time.monotonic() < deadline_s and self._backend.find() is not None:
            time.sleep(_POLL_S)
        # The politeness of a signal is lost on a process that is stopped in its tracks; KILL follows.
        self._backend.stop(running, drain=True)
        return True

    def restart(self) -> records.Heartbeat:
        """Replace the matcher by one with the settings and code of now, and return the new one's heartbeat.

        Raises:
            OrdersError: it does not come up.
        """
        before = records.read_heartbeat(self._store)
        self._want("running", "restarted by a person", restart_token=secrets.token_hex(8), reset_breaker=True)
        # A supervisor started here takes the settings of this command; one that a person runs keeps its own.
        if processes.find(self._settings.home, DAEMON) is not None:
            dagster_home.start_daemon(self._settings)
        else:
            stop_supervisor(self._settings)
            ensure_supervisor(self._settings)
        return self.wait_until_ready(after_epoch=0 if before is None else before.epoch)

    def repair(self) -> tuple[Path | None, records.Heartbeat]:
        """Put the checkpoint aside and start a new one at the offsets last committed; return where the old one is.

        Raises:
            CheckpointError: the checkpoint is not on this machine, or can't be moved.
            OrdersError: the matcher does not stop or come up.
        """
        checkpoint = checkpoint_path(self._settings)
        by_dagster = processes.stop(self._settings.home, DAEMON)
        stop_supervisor(self._settings)
        self.stop()
        if processes.find(self._settings.home, SUPERVISOR) is not None:
            raise StackError("The supervisor did not end.", "Stop it, then run `orders matcher repair` again.")
        # A supervisor in somebody's terminal may have been about to start one: it heeds the wish within a tick.
        time.sleep(_SETTLE_S)
        self.stop()
        aside, epoch = self._renew(checkpoint)
        if by_dagster:
            dagster_home.start_daemon(self._settings)
        ensure_supervisor(self._settings)
        return aside, self.wait_until_ready(after_epoch=epoch)

    def repair_beside_daemon(self) -> tuple[Path | None, records.Heartbeat]:
        """Do what `repair` does while Dagster's daemon goes on, of which the caller is a part: it heeds the wish that
        the matcher be stopped, and no run of it acts until the new checkpoint may begin.

        Raises:
            As `repair`.
            StackError: no daemon supervises, or one of its runs takes too long.
        """
        checkpoint = checkpoint_path(self._settings)
        if find_supervisor(self._settings.home) is None:
            raise StackError("Nobody would start the matcher again.", "Run `orders up`, or `orders matcher repair`.")
        with turn(self._settings.home):
            self.stop()
            aside, epoch = self._renew(checkpoint)
        return aside, self.wait_until_ready(after_epoch=epoch)

    def _renew(self, checkpoint: Path) -> tuple[Path | None, int]:
        """Put the checkpoint aside and want a matcher that begins a new one; return its new name, and the latest
        epoch."""
        aside = repair.put_checkpoint_aside(checkpoint)
        before = records.read_heartbeat(self._store)
        if before is not None and before.offsets:
            kafka = self._settings.kafka
            ends = end_offsets(self._endpoints.bootstrap_servers, kafka.client_properties(), kafka.topics)
            repair.keep_start_offsets(self._settings.home, repair.complete(before.offsets, ends))
            self._say("The new checkpoint begins at the offsets that were last committed.")
        else:
            self._say(f"No offsets are kept: the new checkpoint begins at {self._settings.matcher.starting_offsets}.")
        self._want("running", "repaired by a person", reset_breaker=True)
        return aside, 0 if before is None else before.epoch

    def wait_until_ready(self, after_epoch: int = 0, timeout_s: float = READY_TIMEOUT_S) -> records.Heartbeat:
        """Return the heartbeat of a living driver whose stream runs, of a later epoch than `after_epoch`.

        Raises:
            StackError: the supervisor gave up or ended, or the time is over.
        """
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            running = self._backend.find()
            beat = records.read_heartbeat(self._store)
            if beat is not None and _is_ready(beat, running) and beat.epoch > after_epoch:
                return beat
            self._give_up_with_supervisor()
            time.sleep(_POLL_S)
        log = self._backend.describe()["log"]
        raise StackError(f"The matcher was not ready within {timeout_s:.0f} s.", f"Read {log} and `orders status`.")

    def _give_up_with_supervisor(self) -> None:
        report = read_report(self._settings.home)
        # What it found before the wish is no answer to it.
        if report is not None and report.state == "failed" and report.at_ms >= self._asked_ms:
            raise StackError(report.reason, report.fix)
        if find_supervisor(self._settings.home) is None:
            logs = [processes.log_file(self._settings.home, name) for name in (DAEMON, SUPERVISOR)]
            log = next((file for file in logs if file.exists()), logs[-1])
            raise StackError("The supervisor is not running any more.", f"Read {log}, then `orders matcher start`.")

    def _want(self, state: str, reason: str, restart_token: str | None = None, reset_breaker: bool = False) -> None:
        records.set_desired(
            self._store, state=state, reason=reason, restart_token=restart_token, reset_breaker=reset_breaker
        )
        self._asked_ms = int(time.time() * 1000)


def ensure_supervisor(settings: Settings) -> None:
    """Start a detached supervisor unless one runs: Dagster's daemon where its webserver was started.

    Raises:
        StackError: it can't be started.
    """
    if find_supervisor(settings.home) is not None:
        return
    if dagster_home.is_wanted(settings.home):
        dagster_home.start_daemon(settings)
        return
    own = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    environment = processes.environment(
        own | {"ORDERS_HOME": str(settings.home.resolve()), "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
    )
    forget_report(settings.home)
    processes.start(settings.home, SUPERVISOR, [sys.executable, "-c", _COMMAND, "supervise"], environment)


def stop_supervisor(settings: Settings) -> bool:
    """End the detached supervisor; the matcher goes on. False if none ran.

    Raises:
        StackError: it does not end.
    """
    return processes.stop(settings.home, SUPERVISOR)


def checkpoint_path(settings: Settings) -> Path:
    """Return the checkpoint's directory on this machine.

    Raises:
        CheckpointError: it is elsewhere.
    """
    given = settings.matcher.checkpoint
    if given is None:
        return settings.home / "checkpoint"
    if given.startswith("file:"):
        return Path("/" + given.removeprefix("file:").lstrip("/"))
    if "://" in given:
        raise CheckpointError(
            f"The checkpoint {given} is not on this machine.",
            "Move it aside with its own tools, set matcher.starting_offsets, and run `orders matcher restart`.",
        )
    return Path(given)


def _is_ready(beat: records.Heartbeat, running: Handle | None) -> bool:
    return running is not None and beat.epoch == running.epoch and beat.state == "running"
