"""One deed of supervision as an errand: whoever asked for it, it looks again, acts once, sees it through and ends.

Dagster's runs are errands. Between the request and the run a matcher may have recovered, somebody else may have
started one, a person may have changed his mind: so the request is only a reason to look. Two errands of one home never
act at once, and an errand never acts beside the supervisor of a terminal; between homes the epoch decides.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from orders_platform.errors import StackError
from orders_platform.local.home import prepare, writing
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.supervision import act, rounds
from orders_platform.supervision.backends.choose import make_backend, policy_of
from orders_platform.supervision.decide import DIED, Alert, Policy, Restart, Start, Stop
from orders_platform.supervision.observe import Handle, MakeBackend, Memory, is_gone
from orders_platform.supervision.supervisor_lock import plain_supervisor

Deed = Literal["start", "restart", "stop"]
TURN_TIMEOUT_S = 60.0
FIRST_BEAT_TIMEOUT_S = 120.0
"""The JVM's start, Spark's session and the checkpoint: 10 s on two idle cores."""
LONGEST_S = TURN_TIMEOUT_S + 2 * FIRST_BEAT_TIMEOUT_S
"""No errand is at work for longer."""
_POLL_S = 0.25


class Request(msgspec.Struct, frozen=True):
    """What the asking round knew and a later one can't see at once: what shows only over time."""

    memory: Memory = Memory()
    clock: rounds.SteadyClock = msgspec.field(default_factory=rounds.SteadyClock)


class Outcome(msgspec.Struct, frozen=True):
    """What became of an errand. `handle` is the driver that was started, if one was."""

    told: tuple[str, ...]
    handle: Handle | None = None


def deed_of(sight: rounds.Sight) -> Deed | None:
    """Return what a round's decision needs a run for; None where looking again is all there is to do."""
    match sight.action:
        case Start():
            return "start"
        case Restart():
            return "restart"
        case Stop(_, drain) if not drain:
            return "stop"
    stopped = sight.desired is not None and not sight.desired.running
    return "stop" if stopped and sight.over else None


def carry_out(
    settings: Settings,
    deed: Deed,
    request: Request,
    say: Callable[[str], None],
    make: MakeBackend = make_backend,
    policy: Policy | None = None,
) -> Outcome:
    """Look again, do `deed` if it is still what is to be done, and return when a started driver has beaten once.

    Raises:
        Deposed: somebody else took the epoch first.
        StackError: another supervisor is at work, or the driver ended before its first heartbeat.
        OrdersError: a service could not be reached, or refused.
    """
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        say(text)

    connections = rounds.Connections(settings, make)
    me = rounds.identity(settings)
    memory, ending, bounds = request.memory, DIED, policy or policy_of(settings)
    try:
        with turn(settings.home):
            for _ in range(2):  # a restart is an end and a start
                store, backend, _ = connections.get()
                sight = rounds.make_round(settings, connections, me, memory, request.clock, bounds, ending)
                if sight.facts.unreachable:
                    raise StackError(sight.action.reason, "It is looked at again in a moment.")
                wanted = deed_of(sight)
                if wanted != deed and not (deed == "restart" and wanted == "start"):
                    tell(f"Nothing is left to do. {sight.action.reason}")
                    return Outcome(tuple(told))
                for text in act.record_ends(sight, store, backend):
                    tell(text)
                running = sight.facts.running
                match sight.action:
                    case Start(attempt, reason) as action:
                        handle = act.start(me, action, sight, store, backend)
                        tell(f"Started: epoch {handle.epoch}, attempt {attempt}, {handle.told}. {reason}")
                        tell(_await_first_beat(settings, connections, handle))
                        return Outcome(tuple(told), handle)
                    case Restart(reason, ending) as action if running is not None:
                        tell(f"Ends epoch {running.epoch} ({running.told}). {reason}")
                        act.end(action, running, backend)
                        memory = sight.memory
                    case Stop(reason, _) if running is not None:
                        tell(f"Ends epoch {running.epoch} ({running.told}). {reason}")
                        backend.stop(running, drain=False)
                    case Alert(reason, fix):
                        raise StackError(reason, fix)
                    case _:
                        return Outcome(tuple(told))
            return Outcome(tuple(told))
    finally:
        connections.close()


def is_at_work(home: Path) -> bool:
    """Say whether an errand of this home is being done. The kernel knows: one that was killed is not."""
    try:
        descriptor = os.open(_lock_file(home), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _await_first_beat(settings: Settings, connections: rounds.Connections, handle: Handle) -> str:
    """Return what is to be told of the driver once it has begun, or once it is clear that it lives and waits."""
    store, backend, _ = connections.get()
    deadline_s = time.monotonic() + FIRST_BEAT_TIMEOUT_S
    log = backend.describe().get("log", "its log")
    while time.monotonic() < deadline_s:
        beat = records.read_heartbeat(store)
        if beat is not None and beat.epoch >= handle.epoch:
            return "It has given its first sign of life."
        if is_gone(backend):
            raise StackError("The matcher ended before its first sign of life.", f"Read {log}; it is started again.")
        time.sleep(_POLL_S)
    if settings.matcher.backend != "local":
        # A machine, an image or its turn may take longer; how long that is borne with is for the rounds to say.
        return f"It still waits at {backend.name}: {backend.describe().get('state', 'no sign of life yet')}."
    raise StackError(f"The matcher gave no sign of life within {FIRST_BEAT_TIMEOUT_S:.0f} s.", f"Read {log}.")


@contextmanager
def turn(home: Path) -> Iterator[None]:
    """Be the only one of this home who acts while inside.

    Raises:
        StackError: a supervisor of a terminal does it all, or another errand takes too long.
    """
    prepare(home)
    if (other := plain_supervisor(home)) is not None:
        raise StackError(
            f"The supervisor of process {other.pid} keeps this matcher.", "Run `orders up` to let Dagster do it."
        )
    with writing(home):
        descriptor = os.open(_lock_file(home), os.O_RDWR | os.O_CREAT, 0o600)
    deadline_s = time.monotonic() + TURN_TIMEOUT_S
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise StackError("Another run starts or stops the matcher.", "Wait for it to end.") from None
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _lock_file(home: Path) -> Path:
    return home / "run" / "errand.lock"
