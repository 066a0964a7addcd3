"""What can be seen of the matcher, and nothing else: the observer never changes anything.

`Observer.look` asks the process table, MongoDB and Kafka, each with a short time-out, and says who did not answer.
`remember` is pure and holds what only shows over time: since when messages wait, since when its loop is silent.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Protocol

import msgspec

from orders_platform.errors import OrdersError, StackError
from orders_platform.local.stack import Endpoints
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store, within
from orders_platform.streams.offsets import behind, end_offsets
from orders_platform.supervision.decide import ASKED, DIED, Desired, Driver, Life, Observed

TIMEOUT_S = 5.0
HISTORY = 50
_DAY_MS = 86_400_000
MONGODB, KAFKA = "MongoDB", "Kafka"

Ends = Mapping[str, Mapping[int, int]]


class Handle(msgspec.Struct, frozen=True):
    """A living driver as its backend knows it."""

    id: str
    """Its identity for good: a process's pid and start, for a pid is used again; a job's id; a pod's uid."""
    told: str
    """What people call it: `pid 4711`, `job orders-12-1`, `pod orders-matcher-7c9f`."""
    epoch: int
    attempt: int
    pid: int | None = None
    """Of a process of this machine: its death stops the work."""


class Backend(Protocol):
    """Where a matcher can live. A backend decides nothing."""

    name: str
    """What people call the place."""

    def submit(self, epoch: int, attempt: int, begun: records.BegunCheckpoint | None = None) -> Handle:
        """Start a driver and return at once; whether it works is for its heartbeat to say."""
        ...

    def find(self) -> Handle | None:
        """Return the living driver, if there is one; also one that still waits for its turn.

        Raises:
            OrdersError: nobody can say, because the place does not answer.
        """
        ...

    def stop(self, handle: Handle, drain: bool) -> None:
        """End the driver and what it started: politely and with time, or at once."""
        ...

    def proved(self, handle: Handle) -> None:
        """Hear that this driver has committed a batch."""
        ...

    def close(self) -> None:
        """Let go of what serves the supervisor alone; the driver is left at work."""
        ...

    def disconnect(self) -> None:
        """Let go of this object's own connections, and of nothing that others go on to use."""
        ...

    def clear_leftovers(self) -> bool:
        """End what a dead driver left behind; say if there was any."""
        ...

    def describe(self) -> dict[str, str]:
        """Say where it lives, for people."""
        ...


MakeBackend = Callable[[Settings, Endpoints], Backend]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One look, unjudged. None where a service did not answer or nothing is on record."""

    running: Handle | None = None
    backend_answered: bool = True
    """Without it nobody knows whether a driver lives."""
    unreachable: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """What those who could not be asked said instead, for the log."""
    lease: records.Lease | None = None
    heartbeat: records.Heartbeat | None = None
    desired: records.Desired | None = None
    history: tuple[records.Start, ...] = ()
    ends: Ends | None = None

    def beat(self) -> records.Heartbeat | None:
        """The heartbeat, if it is the living driver's own."""
        if self.running is None or self.heartbeat is None or self.heartbeat.epoch != self.running.epoch:
            return None
        return self.heartbeat


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What shows only over time, in milliseconds of the supervisor's steady clock."""

    epoch: int | None = None
    since_ms: int | None = None
    """When this epoch's driver was first seen: its age, whatever the wall clock was moved since. Kept when it dies."""
    progress: tuple[int | None, int | None] = (None, None)
    alive_at_ms: int | None = None
    waiting_since_ms: int | None = None
    silent_since_ms: int | None = None
    down_since_ms: int | None = None
    draining_since_ms: int | None = None


def is_gone(backend: Backend) -> bool:
    """Say whether it is certain that no driver lives; it is not while the place does not answer."""
    try:
        return backend.find() is None
    except OrdersError:
        return False


def look(
    settings: Settings,
    bootstrap_servers: str | None,
    store: Store | None,
    backend: Backend,
    timeout_s: float = TIMEOUT_S,
) -> Facts:
    """Ask everyone once. What could not be asked, or is None, is named in `unreachable` and left out.

    Each service gets `timeout_s` for all it is asked, also one that takes connections and hangs.
    """
    problems: dict[str, str] = {}
    found: dict[str, object] = {}
    try:
        found["running"] = backend.find()
    except OrdersError as error:
        found["backend_answered"] = False
        problems[backend.name] = str(error)
    try:
        if store is None:
            raise StackError("MongoDB is not running.", "Run `orders up`.")
        with within(timeout_s):
            found |= {
                "desired": records.read_desired(store),
                "lease": records.read_lease(store),
                "heartbeat": records.read_heartbeat(store),
                "history": tuple(records.read_starts(store, HISTORY)),
            }
    except OrdersError as error:
        problems[MONGODB] = str(error)
    try:
        if bootstrap_servers is None:
            raise StackError("Kafka is not running.", "Run `orders up`.")
        kafka = settings.kafka
        found["ends"] = end_offsets(bootstrap_servers, kafka.client_properties(), kafka.topics, timeout_s=timeout_s)
    except OrdersError as error:
        problems[KAFKA] = str(error)
    return Facts(unreachable=tuple(problems), problems=tuple(problems.values()), **found)  # type: ignore[arg-type]


def events_behind(facts: Facts, from_earliest: bool) -> int | None:
    """Count the messages between what is committed and the broker's ends; None when either is unknown."""
    if facts.ends is None or facts.desired is None:
        return None
    offsets = {} if facts.heartbeat is None else facts.heartbeat.offsets
    return behind(facts.ends, offsets, from_earliest=from_earliest)


def remember(memory: Memory, facts: Facts, behind: int | None, now_ms: int) -> Memory:
    """Return the memory after this look."""
    if not facts.backend_answered:
        return memory
    if facts.running is None:
        down_since_ms = now_ms if memory.down_since_ms is None else memory.down_since_ms
        return Memory(epoch=memory.epoch, since_ms=memory.since_ms, down_since_ms=down_since_ms)
    if facts.running.epoch != memory.epoch or memory.down_since_ms is not None:
        memory = Memory(epoch=facts.running.epoch, since_ms=now_ms)
    beat = facts.beat()
    changes: dict[str, object] = {}
    if beat is not None and beat.alive_at_ms != memory.alive_at_ms:
        changes |= {"alive_at_ms": beat.alive_at_ms, "silent_since_ms": now_ms}
    progress = memory.progress if beat is None else (beat.batch_id, beat.committed_at_ms)
    if behind == 0:
        changes["waiting_since_ms"] = None
    elif behind is not None and (memory.waiting_since_ms is None or progress != memory.progress):
        changes["waiting_since_ms"] = now_ms
    changes["progress"] = progress
    if facts.desired is not None:
        wanted = facts.desired.state != "stopped"
        since_ms = now_ms if memory.draining_since_ms is None else memory.draining_since_ms
        changes["draining_since_ms"] = None if wanted else since_ms
    return msgspec.structs.replace(memory, **changes)


def observed(
    facts: Facts, memory: Memory, behind: int | None, own_holder: str, code_version: str, settings_hash: str
) -> Observed:
    """Put facts and memory into the form that `decide` judges."""
    beat = facts.beat()
    running = facts.running
    return Observed(
        code_version=code_version,
        settings_hash=settings_hash,
        unreachable=facts.unreachable,
        driver=None if running is None else Driver(memory.since_ms or 0, running.epoch, running.attempt),
        down_since_ms=memory.down_since_ms,
        ready=beat is not None and beat.state == "running",
        committed=beat is not None and beat.committed_at_ms is not None,
        events_behind=behind,
        waiting_since_ms=memory.waiting_since_ms,
        silent_since_ms=memory.silent_since_ms,
        draining_since_ms=memory.draining_since_ms,
        other_holder=_other_holder(facts, own_holder),
    )


def wish(facts: Facts) -> Desired | None:
    """Return what is wanted, or None if it could not be read."""
    if facts.desired is None:
        return None
    return Desired(
        running=facts.desired.state != "stopped",
        restart_token=facts.desired.restart_token,
        breaker_reset_at_ms=facts.desired.breaker_reset_at_ms,
    )


def lives(facts: Facts) -> tuple[Life, ...]:
    """Return the restart history, oldest first."""
    return tuple(
        Life(
            epoch=start.epoch,
            attempt=start.attempt,
            at_ms=start.at_ms,
            reason=start.reason,
            lived_s=start.lived_s,
            committed=start.committed,
            end=start.end or DIED,
            code_version=start.code_version,
            settings_hash=start.settings_hash,
            restart_token=start.restart_token,
            breaker_reset_at_ms=start.breaker_reset_at_ms,
        )
        for start in facts.history
    )


def restarts(history: Sequence[records.Start], now_ms: int) -> int:
    """Count the starts of the last 24 hours that nobody asked for: those after a life that no person ended. The history
    is oldest first, and of a matcher that ends again and again not the whole of a day.
    """
    return sum(each.at_ms > now_ms - _DAY_MS and before.end != ASKED for before, each in pairwise(history))


def _other_holder(facts: Facts, own_holder: str) -> str | None:
    """Return who holds a live lease, unless this home started it: its death we see for ourselves."""
    if facts.lease is None or not facts.lease.live or facts.lease.holder == own_holder:
        return None
    ours = {start.epoch for start in facts.history if start.holder == own_holder}
    return None if facts.lease.epoch in ours else facts.lease.holder
