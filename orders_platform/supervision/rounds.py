"""One round of supervision without its deeds: look, close what is over in thought, remember, decide.

The supervisor of a terminal and Dagster's sensor make the same rounds. The one acts itself, the other asks for a run
that makes one more round and acts. Nothing here changes anything but the word that is left of a look.
"""

import socket
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from orders_platform.errors import OrdersError, StackError
from orders_platform.local.home import write_atomically
from orders_platform.local.stack import Endpoints, endpoints
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store, connect, within
from orders_platform.supervision.backends.choose import make_backend
from orders_platform.supervision.decide import (
    ASKED,
    DIED,
    Action,
    Alert,
    Desired,
    Policy,
    State,
    decide,
    matcher_state,
)
from orders_platform.supervision.observe import (
    MONGODB,
    Backend,
    Facts,
    MakeBackend,
    Memory,
    events_behind,
    lives,
    look,
    observed,
    remember,
    wish,
)
from orders_platform.version import code_version

STORE_TIMEOUT_S = 2.0


class SteadyClock(msgspec.Struct):
    """Wall time when it began, then monotonic: never set back, never ahead of itself.

    Another process of the same boot goes on with it: `boot` and `offset_ns` are all there is to it.
    """

    boot: str = ""
    offset_ns: int = 0

    def __post_init__(self) -> None:
        if self.boot != (boot := _boot()):
            self.boot = boot
            self.offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        """Return milliseconds since 1970, give or take what the wall clock was moved since."""
        return (time.monotonic_ns() + self.offset_ns) // 1_000_000


class Identity(msgspec.Struct, frozen=True):
    """Who supervises, and what a driver started now would run."""

    holder: str
    code_version: str
    settings_hash: str


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What one round saw, and what is to be done."""

    facts: Facts
    over: tuple[records.Start, ...]
    """Lives that are over and not yet recorded as such; `facts` already has them so."""
    memory: Memory
    desired: Desired | None
    action: Action
    state: State
    behind: int | None
    committed: bool
    now_ms: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor last found: `orders status` reads it, so both say the same."""

    state: State
    reason: str
    fix: str = ""
    at_ms: int
    unreachable: tuple[str, ...] = ()


class Connections:
    """Store, backend and brokers of one home; anew when the local stack came back with other addresses."""

    def __init__(self, settings: Settings, make: MakeBackend = make_backend) -> None:
        self._settings = settings
        self._make_backend = make
        self._endpoints: Endpoints | None = None
        self._store: Store | None = None
        self.backend: Backend | None = None

    def get(self) -> tuple[Store, Backend, str]:
        """Return store, backend and bootstrap servers.

        Raises:
            StackError: a local service does not run, and never did while we looked.
        """
        try:
            found = endpoints(self._settings)
        except StackError:
            # A local service died. Where it was is still the place to find that out, and to find it again.
            if self._endpoints is None:
                raise
            found = self._endpoints
        if self._store is None or self.backend is None or found != self._endpoints:
            self.close()
            self._endpoints = found
            self._store = connect(found.mongo_uri, self._settings.mongo.database, timeout_s=STORE_TIMEOUT_S)
            self.backend = self._make_backend(self._settings, found)
        return self._store, self.backend, found.bootstrap_servers

    def close(self) -> None:
        """Let go of MongoDB."""
        if self._store is not None:
            self._store.close()
            self._store = None


def identity(settings: Settings) -> Identity:
    """Return who we are, with the settings and the code of now."""
    return Identity(own_holder(settings), code_version(), settings.fingerprint())


def make_round(
    settings: Settings,
    connections: Connections,
    me: Identity,
    memory: Memory,
    clock: SteadyClock,
    policy: Policy,
    ending: str = DIED,
) -> Sight:
    """Look and decide. `memory` is what the round before left, `ending` how the driver it saw ends if it is gone.

    Raises:
        StackError: a local service does not run, and never did while we looked.
    """
    store, backend, servers = connections.get()
    facts = look(settings, servers, store, backend)
    now_ms = clock.now_ms()
    facts, over = _closed(facts, memory, ending, me.holder, now_ms)
    behind = events_behind(facts, settings.matcher.starting_offsets == "earliest")
    memory = remember(memory, facts, behind, now_ms)
    seen = observed(facts, memory, behind, me.holder, me.code_version, me.settings_hash)
    desired = wish(facts)
    action = decide(seen, desired, lives(facts), now_ms, policy)
    return Sight(
        facts=facts,
        over=over,
        memory=memory,
        desired=desired,
        action=action,
        state=matcher_state(seen, desired, action),
        behind=behind,
        committed=seen.committed,
        now_ms=now_ms,
    )


def _closed(
    facts: Facts, memory: Memory, ending: str, holder: str, now_ms: int
) -> tuple[Facts, tuple[records.Start, ...]]:
    """Return the facts with every life closed that is over, and those lives."""
    if facts.desired is None or not facts.backend_answered:
        return facts, ()
    living = None if facts.running is None else facts.running.epoch
    history, over = [], []
    for start in facts.history:
        theirs = start.holder != holder and not _has_lapsed(start, facts.lease)
        if start.lived_s is not None or start.epoch == living or theirs:
            history.append(start)
            continue
        over.append(_end_of(start, facts, memory, ending, now_ms))
        history.append(over[-1])
    return msgspec.structs.replace(facts, history=tuple(history)), tuple(over)


def _has_lapsed(start: records.Start, lease: records.Lease | None) -> bool:
    """Say whether a life in another home is over, as far as can be told from here: its home may never come back."""
    return lease is None or lease.epoch > start.epoch or not lease.live


def _end_of(start: records.Start, facts: Facts, memory: Memory, ending: str, now_ms: int) -> records.Start:
    beat = facts.heartbeat if facts.heartbeat is not None and facts.heartbeat.epoch == start.epoch else None
    seen_ms, told_ms = 0, 0
    if memory.epoch == start.epoch and memory.since_ms is not None:
        # Not the time that it has been dead since: that would make a long life of any.
        seen_ms = (now_ms if memory.down_since_ms is None else memory.down_since_ms) - memory.since_ms
    if beat is not None:
        # Of a life that began or ended unseen its heartbeat tells, by MongoDB's clock.
        told_ms = beat.alive_at_ms - beat.started_at_ms
    unwanted = facts.desired is not None and facts.desired.state == "stopped"
    return msgspec.structs.replace(
        start,
        lived_s=max(0, seen_ms, told_ms) / 1000,
        committed=beat is not None and beat.committed_at_ms is not None,
        end=ASKED if unwanted else ending,
    )


def write_report(home: Path, sight: Sight) -> None:
    """Leave for `orders status` what this round found.

    Raises:
        OSError: the disk refuses.
    """
    action = sight.action
    fix = action.fix if isinstance(action, Alert) else ""
    _leave(home, sight.state, action.reason, fix, sight.facts.unreachable)


def note_look(settings: Settings, connections: Connections, sight: Sight) -> None:
    """Leave word of this round in MongoDB, where it can be had: who looks on from another machine goes by it."""
    if MONGODB not in sight.facts.unreachable:
        with suppress(OrdersError), within(STORE_TIMEOUT_S):
            records.note_look(connections.get()[0], own_holder(settings))


def write_trouble(home: Path, trouble: str) -> None:
    """Leave for `orders status` why a round could not even be made.

    Raises:
        OSError: the disk refuses.
    """
    _leave(home, "backing_off", trouble)


def _leave(home: Path, state: State, reason: str, fix: str = "", unreachable: tuple[str, ...] = ()) -> None:
    # In wall time, not in the supervisor's own: whoever reads it has no other.
    report = Report(state=state, reason=reason, fix=fix, at_ms=time.time_ns() // 1_000_000, unreachable=unreachable)
    write_atomically(report_file(home), msgspec.json.encode(report))


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


def _boot() -> str:
    """Return what tells this start of the machine from others; monotonic time begins anew with each."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"
