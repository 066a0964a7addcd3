"""The supervisor: looks, decides, acts, every other second, until it is told to end. The matcher outlives it.

Every start is put on record before it happens, with what it was started with, and closed when it is over; so a
supervisor that is killed at any moment leaves nothing behind that the next one can't take up.
"""

import socket
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

from orders_platform.errors import OrdersError, StackError
from orders_platform.local.home import prepare, write_atomically
from orders_platform.local.stack import Endpoints, endpoints
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store, connect
from orders_platform.supervision import repair
from orders_platform.supervision.backends.local import LocalBackend
from orders_platform.supervision.decide import (
    ASKED,
    DIED,
    STALLED,
    Action,
    Alert,
    Desired,
    Policy,
    Restart,
    Start,
    State,
    Stop,
    Wait,
    decide,
    matcher_state,
)
from orders_platform.supervision.observe import (
    Backend,
    Facts,
    Handle,
    Memory,
    events_behind,
    lives,
    look,
    observed,
    remember,
    wish,
)
from orders_platform.version import code_version

TICK_S = 2.0
BUSY_TICK_S = 1.0
GLANCE_S = 0.25
LEASE_TTL_S = 30.0
"""From taking the epoch to the driver's first renewal: the JVM's start."""
STORE_TIMEOUT_S = 2.0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor last found: `orders status` reads it, so both say the same."""

    state: State
    reason: str
    fix: str = ""
    at_ms: int
    until_ms: int | None = None
    unreachable: tuple[str, ...] = ()


class SteadyClock:
    """Wall time when it began, then monotonic: never set back, never ahead of itself."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        """Return milliseconds since 1970, give or take what the wall clock was moved since."""
        return (time.monotonic_ns() + self._offset_ns) // 1_000_000


class Supervisor:
    """Keeps the matcher of one home at work."""

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None],
        policy: Policy | None = None,
        backend: Callable[[Settings, Endpoints], Backend] = LocalBackend,
    ) -> None:
        self._settings = settings
        self._make_backend = backend
        self._say = say
        self._policy = policy or Policy()
        self._clock = SteadyClock()
        self._memory = Memory()
        self._holder = own_holder(settings)
        self._code_version = code_version()
        self._settings_hash = settings.fingerprint()
        self._endpoints: Endpoints | None = None
        self._store: Store | None = None
        self._backend: Backend | None = None
        self._last: Handle | None = None
        self._proved = 0
        self._ending = DIED
        self._said = ""

    def run(self, ended: threading.Event) -> None:
        """Supervise until `ended` is set.

        Raises:
            StackError: the home can't be written.
        """
        prepare(self._settings.home)
        self._say(f"Supervising the matcher of {self._settings.home}.")
        try:
            while not ended.is_set():
                self._sleep(ended, self.tick())
        finally:
            if self._store is not None:
                self._store.close()
            if self._backend is not None:
                self._backend.close()
        self._say("The supervisor ends; the matcher goes on." if self._last else "The supervisor ends.")

    def _sleep(self, ended: threading.Event, seconds: float) -> None:
        """Wait for the next look, which a death brings forward: that much is cheap to see."""
        until_s = time.monotonic() + seconds
        while not ended.wait(GLANCE_S) and time.monotonic() < until_s:
            if self._backend is not None and self._last is not None and self._backend.find() is None:
                return

    def tick(self) -> float:
        """Look, decide and act once; return the seconds until the next look."""
        try:
            return self._tick()
        except OrdersError as error:
            # A service went away in the middle: nothing is known to have happened, and the next look tells.
            self._say_once(str(error))
            return TICK_S
        except Exception:
            # A defect; but a matcher that nobody watches any more would be worse than a look that failed.
            self._say_once(traceback.format_exc())
            return TICK_S

    def _tick(self) -> float:
        store, backend, servers = self._connections()
        facts = look(self._settings, servers, store, backend)
        facts = self._close_what_is_over(facts, store, backend)
        now_ms = self._clock.now_ms()
        behind = events_behind(facts, self._settings.matcher.starting_offsets == "earliest")
        self._memory = remember(self._memory, facts, behind, now_ms)
        seen = observed(facts, self._memory, behind, self._holder, self._code_version, self._settings_hash)
        desired = wish(facts)
        action = decide(seen, desired, lives(facts), now_ms, self._policy)
        state = matcher_state(seen, desired, action)
        self._report(action, state, facts, now_ms)
        if seen.committed and facts.running is not None and facts.running.epoch != self._proved:
            self._proved = facts.running.epoch
            repair.forget_start_offsets(self._settings.home)
            backend.proved(facts.running)
        self._last = facts.running
        self._act(action, facts, desired, store, backend, now_ms)
        return TICK_S if state in ("running", "stopped", "failed") else BUSY_TICK_S

    def _connections(self) -> tuple[Store, Backend, str]:
        """Return store, backend and brokers; anew when the local stack came back with other addresses."""
        try:
            found = endpoints(self._settings)
        except StackError:
            # A local service died. Where it was is still the place to find that out, and to find it again.
            if self._endpoints is None:
                raise
            found = self._endpoints
        if self._store is None or self._backend is None or found != self._endpoints:
            if self._store is not None:
                self._store.close()
            self._endpoints = found
            self._store = connect(found.mongo_uri, self._settings.mongo.database, timeout_s=STORE_TIMEOUT_S)
            self._backend = self._make_backend(self._settings, found)
        return self._store, self._backend, found.bootstrap_servers

    def _close_what_is_over(self, facts: Facts, store: Store, backend: Backend) -> Facts:
        """Record the end of lives that are over, once their leftovers are gone; return the facts with it."""
        if facts.desired is None:
            return facts
        living = None if facts.running is None else facts.running.epoch
        history = []
        for start in facts.history:
            if start.lived_s is not None or start.epoch == living or start.holder != self._holder:
                history.append(start)
                continue
            cleared = living is None and backend.clear_leftovers()
            over = self._end_of(start, facts)
            records.add_start(store, over)
            left = "; what it left running was ended" if cleared else ""
            self._say(f"The matcher of epoch {start.epoch} is over after {over.lived_s:.0f} s ({over.end}){left}.")
            history.append(over)
        self._ending = DIED if living is None else self._ending
        return msgspec.structs.replace(facts, history=tuple(history))

    def _end_of(self, start: records.Start, facts: Facts) -> records.Start:
        beat = facts.heartbeat if facts.heartbeat is not None and facts.heartbeat.epoch == start.epoch else None
        if self._last is not None and self._last.epoch == start.epoch:
            lived_s = self._clock.now_ms() / 1000 - self._last.started
        else:
            # It died unseen: its heartbeat, by MongoDB's clock, says how far it came.
            lived_s = 0.0 if beat is None else (beat.alive_at_ms - beat.started_at_ms) / 1000
        unwanted = facts.desired is not None and facts.desired.state == "stopped"
        return msgspec.structs.replace(
            start,
            lived_s=max(0.0, lived_s),
            committed=beat is not None and beat.committed_at_ms is not None,
            end=ASKED if unwanted else self._ending,
        )

    def _act(
        self, action: Action, facts: Facts, desired: Desired | None, store: Store, backend: Backend, now_ms: int
    ) -> None:
        match action:
            case Start(attempt, reason) if desired is not None:
                self._start(attempt, reason, facts, desired, store, backend, now_ms)
            case Restart(reason, end) if facts.running is not None:
                self._say(f"Ends the matcher (pid {facts.running.pid}). {reason}")
                self._ending = end
                # One that stalls may be stopped in its tracks: it would not answer a polite signal.
                backend.stop(facts.running, drain=end != STALLED)
            case Stop(reason, drain) if facts.running is not None:
                self._ending = ASKED
                self._say_once(f"Stops the matcher (pid {facts.running.pid}). {reason}")
                if not drain:
                    backend.stop(facts.running, drain=False)
            case Alert(reason, fix):
                self._say_once(f"{reason} {fix}")
            case Wait(_, reason):
                told = " ".join((reason, *facts.problems))
                self._say_once(told, quiet=facts.running is not None and not facts.problems)
            case _:
                pass

    def _start(
        self,
        attempt: int,
        reason: str,
        facts: Facts,
        desired: Desired,
        store: Store,
        backend: Backend,
        now_ms: int,
    ) -> None:
        """Take the epoch, record the start, then start: in this order nothing that lives is ever off the record."""
        expected = 0 if facts.lease is None else facts.lease.epoch
        epoch = records.take_epoch(store, self._holder, LEASE_TTL_S, expected)
        start = records.Start(
            epoch=epoch,
            attempt=attempt,
            at_ms=now_ms,
            reason=reason,
            code_version=self._code_version,
            settings_hash=self._settings_hash,
            holder=self._holder,
            restart_token=desired.restart_token,
            breaker_reset_at_ms=desired.breaker_reset_at_ms,
        )
        records.add_start(store, start)
        try:
            handle = backend.submit(epoch, attempt, repair.kept_start_offsets(self._settings.home))
        except OrdersError:
            records.add_start(store, msgspec.structs.replace(start, outcome="failed", lived_s=0.0, end=DIED))
            raise
        self._last = handle
        self._ending = DIED
        self._say(f"Starts the matcher: epoch {epoch}, attempt {attempt}, pid {handle.pid}. {reason}")

    def _report(self, action: Action, state: State, facts: Facts, now_ms: int) -> None:
        report = Report(
            state=state,
            reason=action.reason,
            fix=action.fix if isinstance(action, Alert) else "",
            at_ms=now_ms,
            until_ms=action.until_ms if isinstance(action, Wait) and state == "backing_off" else None,
            unreachable=facts.unreachable,
        )
        try:
            write_atomically(report_file(self._settings.home), msgspec.json.encode(report))
        except OSError as error:
            # A full disk must not keep a matcher from being restarted; only `orders status` knows less.
            self._say_once(f"The report for `orders status` can't be written: {error.strerror}.")

    def _say_once(self, text: str, quiet: bool = False) -> None:
        """Say what is not yet said. What differs in its figures alone is said already."""
        plain = text.translate(_NO_FIGURES)
        if plain != self._said and not quiet:
            self._say(text)
        self._said = plain


_NO_FIGURES = str.maketrans("", "", "0123456789")


def own_holder(settings: Settings) -> str:
    """Return who we are to others who share the database: this host and home."""
    return f"{socket.gethostname()}:{Path(settings.home).resolve()}"


def report_file(home: Path) -> Path:
    """Where a supervisor leaves what it last found."""
    return home / "run" / "supervision.json"


def read_report(home: Path) -> Report | None:
    """Return what the supervisor last found, or None where none ever ran."""
    try:
        return msgspec.json.decode(report_file(home).read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError):
        return None


def forget_report(home: Path) -> None:
    """Let nobody take what an earlier supervisor found for news."""
    report_file(home).unlink(missing_ok=True)
