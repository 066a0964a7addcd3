"""What people and other commands ask of the matcher. Wishes go to MongoDB; the supervisor and the driver heed them."""

import os
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from orders_platform.errors import OrdersError, StackError
from orders_platform.local import processes
from orders_platform.local.stack import Endpoints, endpoints
from orders_platform.settings import PREFIX, Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store, connect
from orders_platform.streams.offsets import begin_offsets
from orders_platform.supervision import checkpoints, dagster_home
from orders_platform.supervision.backends.choose import make_backend, policy_of
from orders_platform.supervision.errand import turn
from orders_platform.supervision.observe import Handle, is_gone
from orders_platform.supervision.rounds import forget_report, read_report
from orders_platform.supervision.supervisor_lock import DAEMON, find_supervisor
from orders_platform.supervision.supervisor_lock import NAME as SUPERVISOR
from orders_platform.surroundings import ROOT

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
        self._backend = make_backend(settings, self._endpoints)
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
        deadline_s = time.monotonic() + (0.0 if now else policy_of(self._settings).drain_ms / 1000)
        while time.monotonic() < deadline_s and not is_gone(self._backend):
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

    def repair(self) -> tuple[str | None, records.Heartbeat]:
        """Give the checkpoint up and start a new one at the offsets last committed; return where the old one is.

        Raises:
            CheckpointError: the checkpoint can't be moved.
            OrdersError: the matcher does not stop or come up.
        """
        by_dagster = processes.stop(self._settings.home, DAEMON)
        stop_supervisor(self._settings)
        self.stop()
        if processes.find(self._settings.home, SUPERVISOR) is not None:
            raise StackError("The supervisor did not end.", "Stop it, then run the command again.")
        # A supervisor in somebody's terminal may have been about to start one: it heeds the wish within a tick.
        time.sleep(_SETTLE_S)
        self.stop()
        aside, epoch = self._renew()
        if by_dagster:
            dagster_home.start_daemon(self._settings)
        ensure_supervisor(self._settings)
        return aside, self.wait_until_ready(after_epoch=epoch)

    def rescale(self) -> tuple[int | None, records.Heartbeat]:
        """Give the running matcher the number of buckets that the settings name; return what it had, if it is known.

        Its batch is finished, and a new checkpoint begins at the offsets that it committed: nothing is lost or counted
        twice, whatever was under way. Done again after it was interrupted, it goes on.

        Raises:
            OrdersError: messages behind those offsets are not kept any more; the matcher does not stop or come up.
        """
        before = records.read_heartbeat(self._store)
        if before is not None:
            self._require_kept(before.offsets)
        _, beat = self.repair()
        return None if before is None else before.buckets, beat

    def repair_beside_daemon(self) -> tuple[str | None, records.Heartbeat]:
        """Do what `repair` does while Dagster's daemon goes on, of which the caller is a part: it heeds the wish that
        the matcher be stopped, and no run of it acts until the new checkpoint may begin.

        Raises:
            As `repair`.
            StackError: no daemon supervises, or one of its runs takes too long.
        """
        if find_supervisor(self._settings.home) is None:
            raise StackError("Nobody would start the matcher again.", "Run `orders up`, or `orders matcher repair`.")
        with turn(self._settings.home):
            self.stop()
            aside, epoch = self._renew()
        return aside, self.wait_until_ready(after_epoch=epoch)

    def _renew(self) -> tuple[str | None, int]:
        """Give the checkpoint up and want a matcher that begins a new one; return where the old one is, and the latest
        epoch."""
        begun = records.read_checkpoint(self._store)
        before = records.read_heartbeat(self._store)
        offsets = before.offsets if before is not None and before.offsets else None
        if offsets is None and begun is not None:
            offsets = begun.offsets  # it was interrupted before a driver committed
        aside, following = checkpoints.give_up(self._settings, begun)
        records.begin_checkpoint(
            self._store,
            records.BegunCheckpoint(base=self._settings.checkpoint(), location=following, offsets=offsets),
        )
        if offsets is not None:
            self._say("The new checkpoint begins at the offsets that were last committed.")
        else:
            self._say(f"No offsets are kept: the new checkpoint begins at {self._settings.matcher.starting_offsets}.")
        self._want("running", "repaired by a person", reset_breaker=True)
        return aside, 0 if before is None else before.epoch

    def _require_kept(self, offsets: records.Offsets) -> None:
        kafka = self._settings.kafka
        begins = begin_offsets(self._endpoints.bootstrap_servers, kafka.client_properties(), kafka.topics)
        gone = [
            f"{topic} {partition}"
            for topic, partitions in offsets.items()
            for partition, offset in partitions.items()
            if begins.get(topic, {}).get(int(partition), 0) > offset
        ]
        if gone:
            raise StackError(
                f"Kafka no longer keeps messages that the matcher has not read, in {', '.join(gone)}.",
                "Let the matcher catch up first, or accept the loss with `orders matcher repair`.",
            )

    def wait_until_ready(self, after_epoch: int = 0, timeout_s: float = READY_TIMEOUT_S) -> records.Heartbeat:
        """Return the heartbeat of a living driver whose stream runs, of a later epoch than `after_epoch`.

        Raises:
            StackError: the supervisor gave up or ended, or the time is over.
        """
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            running = None
            with suppress(OrdersError):  # who does not answer now may in a moment
                running = self._backend.find()
            beat = records.read_heartbeat(self._store)
            if beat is not None and _is_ready(beat, running) and beat.epoch > after_epoch:
                return beat
            self._give_up_with_supervisor()
            time.sleep(_POLL_S)
        log = self._backend.describe().get("log", "its log")
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
    if dagster_home.SERVER.is_wanted(settings.home):
        dagster_home.start_daemon(settings)
        return
    own = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    environment = processes.environment(
        own | {"ORDERS_HOME": str(settings.home.resolve()), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    )
    forget_report(settings.home)
    processes.start(settings.home, SUPERVISOR, [sys.executable, "-c", _COMMAND, "supervise"], environment)


def stop_supervisor(settings: Settings) -> bool:
    """End the detached supervisor; the matcher goes on. False if none ran.

    Raises:
        StackError: it does not end.
    """
    return processes.stop(settings.home, SUPERVISOR)


def _is_ready(beat: records.Heartbeat, running: Handle | None) -> bool:
    return running is not None and beat.epoch == running.epoch and beat.state == "running"
