"""What to do about the matcher: a pure function of what was seen, what is wanted, and what was tried before.

No clock is read here and nothing is done. Times are integer milliseconds of the supervisor's own steady clock: wall
time when it began, then monotonic. A clock that is set back or forward can neither hold a restart up nor cause one.

The rules, strongest first:

1. What a person wants comes first: stopped means drained, then left alone.
2. Missing knowledge is no reason to act: while MongoDB or Kafka can't be asked, nothing is started or replaced.
3. A dead matcher is started: at once after a life that was worth something or a first mishap, else with a growing
   pause. Five lives in a row that ended at once leave it to a person.
4. A living matcher is replaced when it was asked for, when its code or settings are no longer ours, or when messages
   wait and it commits nothing. Silence alone says nothing: an idle stream is healthy.
"""

import zlib
from typing import Literal

import msgspec

__all__ = [
    "Action",
    "Alert",
    "Desired",
    "Driver",
    "Life",
    "Observed",
    "Policy",
    "Restart",
    "Start",
    "State",
    "Stop",
    "Wait",
    "decide",
    "matcher_state",
]

State = Literal["running", "starting", "stalled", "backing_off", "stopped", "failed"]
"""What people are told of the matcher, and of every other part of the platform."""

ASKED = "asked"
"""How a life ended that a person ended: it counts neither for the pause nor for the breaker."""
DIED = "died"
STALLED = "stalled"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the rules. The defaults are what runs; tests vary them."""

    look_again_ms: int = 2_000
    """How long to wait when there is nothing to do."""
    first_pause_ms: int = 10_000
    longest_pause_ms: int = 600_000
    worth_something_s: float = 60.0
    """A life this long, or one that committed a batch, is followed by a restart at once."""
    reset_s: float = 3_600.0
    """A life this long wipes the slate clean."""
    free_restarts: int = 10
    """Restarts at once between two such lives: one that works for half a minute and dies must not storm either."""
    free_troubles: int = 1
    """One life that came to nothing may be chance, such as a kill while it started: it is followed at once, too."""
    breaker_failures: int = 5
    stall_after_ms: int = 60_000
    grace_ms: int = 120_000
    """What a new driver gets until its first batch: session, JIT and the first fetch take their time."""
    grace_doublings: int = 3
    """Each start that was cut short by it gives the next one twice as long: on a machine that is busy with other things
    no start would ever come to its first batch."""
    drain_ms: int = 120_000
    """How long a batch may take to finish before a stop no longer waits for it. Safe: writes are idempotent."""


class Driver(msgspec.Struct, frozen=True):
    """A living driver."""

    started_ms: int
    """When it was first seen."""
    epoch: int
    attempt: int


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the matcher and what it depends on."""

    code_version: str
    settings_hash: str
    """What a driver started now would run."""
    unreachable: tuple[str, ...] = ()
    """Services that did not answer this time."""
    driver: Driver | None = None
    down_since_ms: int | None = None
    """When this supervisor first saw that no driver lives."""
    ready: bool = False
    """Whether this driver says that its stream runs."""
    committed: bool = False
    """Whether this driver has committed a batch."""
    events_behind: int | None = None
    """Messages between the broker's ends and the driver's offsets; None when it could not be counted."""
    waiting_since_ms: int | None = None
    """Since when messages wait without a batch being committed; None when none wait."""
    silent_since_ms: int | None = None
    """When the driver's loop last gave a sign of life; None before its first."""
    draining_since_ms: int | None = None
    """When a stop was first seen to be wanted of this driver."""
    other_holder: str | None = None
    """Holder of a live lease that is not this home's."""


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants."""

    running: bool = True
    restart_token: str | None = None
    breaker_reset_at_ms: int | None = None
    """Compared for equality only: each reset is a new value, whatever the clock of who asked."""


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One start of the matcher and, once it is over, how it ended."""

    epoch: int
    attempt: int
    at_ms: int
    reason: str
    lived_s: float | None = None
    """None while it lives."""
    committed: bool = False
    end: str = DIED
    code_version: str = ""
    settings_hash: str = ""
    restart_token: str | None = None
    breaker_reset_at_ms: int | None = None


class Start(msgspec.Struct, frozen=True):
    """Take an epoch and start a driver."""

    attempt: int
    reason: str


class Restart(msgspec.Struct, frozen=True):
    """End the living driver so that the next look starts another."""

    reason: str
    end: str
    """`asked` or `stalled`: how the life is recorded. A stalled process may not answer a polite signal."""


class Stop(msgspec.Struct, frozen=True):
    """End the living driver; with `drain` it finishes its batch by itself."""

    reason: str
    drain: bool


class Wait(msgspec.Struct, frozen=True):
    """Nothing to do before `until_ms`, as far as is known now."""

    until_ms: int
    reason: str


class Alert(msgspec.Struct, frozen=True):
    """Only a person can help."""

    reason: str
    fix: str


Action = Start | Restart | Stop | Wait | Alert

_DEFAULT = Policy()


def decide(
    observed: Observed, desired: Desired | None, history: tuple[Life, ...], now_ms: int, policy: Policy = _DEFAULT
) -> Action:
    """Return the one thing to do now.

    `desired` is None when it could not be read. `history` is oldest first; its last life may still be going on.
    """
    if desired is None:
        return _look_again(now_ms, f"{_and(observed.unreachable) or 'MongoDB'} can't be reached.", policy)
    if not desired.running:
        return _when_unwanted(observed, now_ms, policy)
    if observed.driver is None:
        return _when_down(observed, desired, history, now_ms, policy)
    grace_ms = policy.grace_ms << min(_cut_short(observed.driver, history), policy.grace_doublings)
    return _outdated(observed, observed.driver, desired, history) or _when_up(
        observed, observed.driver, grace_ms, now_ms, policy
    )


def _when_unwanted(observed: Observed, now_ms: int, policy: Policy) -> Action:
    if observed.driver is None:
        away = f" {_and(observed.unreachable)} can't be reached." if observed.unreachable else ""
        return _look_again(now_ms, f"It is stopped, as asked.{away}", policy)
    since_ms = now_ms if observed.draining_since_ms is None else observed.draining_since_ms
    if now_ms - since_ms < policy.drain_ms:
        return Stop("A stop was asked for; it finishes its batch.", drain=True)
    return Stop(f"It did not finish its batch within {policy.drain_ms // 1000} s of the stop.", drain=False)


def _when_down(observed: Observed, desired: Desired, history: tuple[Life, ...], now_ms: int, policy: Policy) -> Action:
    if observed.other_holder is not None:
        return _look_again(now_ms, f"Another matcher holds the lease: {observed.other_holder}.", policy)
    if observed.unreachable:
        return _look_again(now_ms, f"{_and(observed.unreachable)} can't be reached.", policy)
    lives = _since_reset(history, observed, desired, policy)
    attempt = len(lives) + 1
    if not lives:
        return Start(attempt, "It is wanted and not running." if history else "It is started for the first time.")
    if lives[-1].lived_s is None:
        return _look_again(now_ms, "The end of its last life is not recorded yet.", policy)
    fast = _fast_failures(lives, policy)
    if fast >= policy.breaker_failures:
        return Alert(
            f"The matcher ended {fast} times in a row within {policy.worth_something_s:.0f} s and without a batch.",
            "Read the end of its log, mend the cause, then run `orders matcher start`.",
        )
    # From when we saw it ourselves: what is on record may have been written by another clock.
    down_since_ms = now_ms if observed.down_since_ms is None else observed.down_since_ms
    until_ms = down_since_ms + _pause_ms(lives, policy)
    if until_ms > now_ms:
        return Wait(until_ms, f"It ended {_times(len(lives))}; attempt {attempt} waits.")
    return Start(attempt, _cause(lives[-1]))


def _outdated(observed: Observed, driver: Driver, desired: Desired, history: tuple[Life, ...]) -> Restart | None:
    """Compare with what this driver was started with. One that isn't on record is left at work."""
    life = history[-1] if history else None
    if life is None or life.epoch != driver.epoch:
        return None
    if desired.restart_token is not None and desired.restart_token != life.restart_token:
        return Restart("A restart was asked for.", ASKED)
    if observed.code_version != life.code_version:
        return Restart("The code has changed.", ASKED)
    if observed.settings_hash != life.settings_hash:
        return Restart("The settings have changed.", ASKED)
    return None


def _cut_short(driver: Driver, history: tuple[Life, ...]) -> int:
    """Return how many starts right before this one were ended because no batch came."""
    count = 0
    for life in reversed(history):
        if life.epoch >= driver.epoch:
            continue
        if life.end != STALLED or life.committed:
            break
        count += 1
    return count


def _when_up(observed: Observed, driver: Driver, grace_ms: int, now_ms: int, policy: Policy) -> Action:
    if observed.unreachable or observed.events_behind is None:
        return _look_again(now_ms, f"{_and(observed.unreachable) or 'Kafka'} can't be reached.", policy)
    if not observed.committed and now_ms - driver.started_ms < grace_ms:
        return _look_again(now_ms, "It is starting.", policy)
    if observed.events_behind <= 0:
        return _look_again(now_ms, "It has committed everything there is.", policy)
    waiting_ms = now_ms - (now_ms if observed.waiting_since_ms is None else observed.waiting_since_ms)
    silent_ms = now_ms - (now_ms if observed.silent_since_ms is None else observed.silent_since_ms)
    if waiting_ms >= policy.stall_after_ms:
        return Restart(f"{observed.events_behind} messages wait and no batch came for {waiting_ms // 1000} s.", STALLED)
    if silent_ms >= policy.stall_after_ms:
        return Restart(
            f"{observed.events_behind} messages wait and its loop was silent for {silent_ms // 1000} s.", STALLED
        )
    return _look_again(now_ms, "It is at work.", policy)


def matcher_state(observed: Observed, desired: Desired | None, action: Action) -> State:
    """Return the state that this sight and decision mean."""
    if isinstance(action, Alert):
        return "failed"
    if observed.driver is None:
        if desired is not None and not desired.running:
            return "stopped"
        return "starting" if isinstance(action, Start) else "backing_off"
    if isinstance(action, Restart) and action.end == STALLED:
        return "stalled"
    return "running" if observed.ready or observed.committed else "starting"


def _since_reset(history: tuple[Life, ...], observed: Observed, desired: Desired, policy: Policy) -> tuple[Life, ...]:
    """Return the lives that count: those after the last one that wiped the slate, a person's word, or other code."""
    start = len(history)
    while start > 0:
        life = history[start - 1]
        if (
            life.end == ASKED
            or (life.lived_s or 0.0) >= policy.reset_s
            or life.code_version != observed.code_version
            or life.breaker_reset_at_ms != desired.breaker_reset_at_ms
        ):
            break
        start -= 1
    return history[start:]


def _worth_something(life: Life, policy: Policy) -> bool:
    return life.committed or ((life.lived_s or 0.0) >= policy.worth_something_s and life.end != STALLED)


def _fast_failures(lives: tuple[Life, ...], policy: Policy) -> int:
    """Return how many of the latest lives, without a gap, ended quickly and for nothing."""
    count = 0
    for life in reversed(lives):
        if life.committed or (life.lived_s or 0.0) >= policy.worth_something_s:
            break
        count += 1
    return count


def _pause_ms(lives: tuple[Life, ...], policy: Policy) -> int:
    """Return the pause before the next start: none after a good life or a first mishap, then doubling.

    Of each pause three quarters to all are taken.
    """
    good = sum(_worth_something(life, policy) for life in lives)
    if _worth_something(lives[-1], policy) and good <= policy.free_restarts:
        return 0
    troubles = len(lives) - good + max(0, good - policy.free_restarts) - policy.free_troubles
    if troubles <= 0:
        return 0
    pause_ms = min(policy.first_pause_ms << min(troubles - 1, 30), policy.longest_pause_ms)
    # The jitter is drawn from the life that ended: a supervisor that starts anew computes the same pause.
    share = zlib.crc32(f"{lives[-1].epoch}:{lives[-1].attempt}".encode()) / 2**32
    return int(pause_ms * (0.75 + 0.25 * share))


def _cause(life: Life) -> str:
    if life.end == STALLED:
        return "It stalled and was ended."
    return f"It died after {life.lived_s or 0.0:.0f} s."


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _look_again(now_ms: int, reason: str, policy: Policy) -> Wait:
    return Wait(now_ms + policy.look_again_ms, reason)


def _and(names: tuple[str, ...]) -> str:
    return " and ".join(names)
