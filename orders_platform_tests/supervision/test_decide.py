"""The supervisor's decisions as tables an operator can read, and the properties that no sequence of mishaps may break.

Columns: `wanted` is what a person asked for (`?` when MongoDB didn't say); `age` is how long the driver has been alive;
`worked` whether it has committed; `behind` the messages that wait (`?`: Kafka didn't say); `waiting` for how long they
wait without a commit; `silent` how long its loop has given no sign (`-`: it never did); `gone` a service that
did not answer. Times are in seconds.
`lives` are earlier lives, oldest first: seconds lived, `+` when it committed and `-` when not, then `s` when it was
ended for a stall and `a` when a person ended it; `7*` repeats. `down` is how long it has been dead.
"""

import random
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orders_platform.supervision.decide import (
    Action,
    Alert,
    Desired,
    Driver,
    Life,
    Observed,
    Policy,
    Restart,
    Start,
    Stop,
    Wait,
    decide,
    matcher_state,
)

NOW_MS = 1_767_600_000_000
POLICY = Policy()

ALIVE = """
wanted | age  | worked | behind | waiting | silent | gone    | action     | state    | why

run    | 5    | no     | 0      | -       | -      |         | wait       | starting | just started
run    | 60   | no     | 900    | 55      | -      |         | wait       | starting | still within its grace
run    | 119  | no     | 900    | 100     | 1      |         | wait       | running  | no batch yet, but its stream runs
run    | 121  | no     | 900    | 100     | 1      |         | replace    | stalled  | grace over, nothing done
run    | 121  | no     | 0      | -       | -      |         | wait       | starting | never beat, but nothing waits
run    | 500  | yes    | 0      | -       | 1      |         | wait       | running  | idle
run    | 9999 | yes    | 0      | -       | 9000   |         | wait       | running  | silent, yet nothing waits
run    | 500  | yes    | 900    | 0       | 1      |         | wait       | running  | a message after a long quiet time
run    | 500  | yes    | 900    | 59      | 59     |         | wait       | running  | slow, not stalled
run    | 500  | yes    | 900    | 60      | 1      |         | replace    | stalled  | its loop runs, its batches don't
run    | 500  | yes    | 900    | 5       | 60     |         | replace    | stalled  | batches come, its loop is dead
run    | 500  | yes    | ?      | 100     | 100    | Kafka   | wait       | running  | who can't see must not shoot
run    | 500  | yes    | 900    | 100     | 100    | MongoDB | wait       | running  | its heartbeat may be unreadable
?      | 500  | yes    | 900    | 100     | 100    | MongoDB | wait       | running  | nor is it known what is wanted
run    | 500  | yes    | 900    | -100    | -100   |         | wait       | running  | the clock was set back
run    | -100 | no     | 900    | -100    | -      |         | wait       | starting | started in the future
stop   | 500  | yes    | 900    | 0       | 1      |         | stop drain | running  | asked for
stop   | 500  | yes    | ?      | -       | 1      | Kafka   | stop drain | running  | stopping needs no Kafka
stop   | 500  | yes    | 0      | -       | 500    |         | stop drain | running  | silent ones drain, too
?      | 5    | no     | ?      | -       | -      | MongoDB | wait       | starting | unreadable wish
"""

DEAD = """
wanted | down | lives                    | gone    | other  | action   | why

run    | 0    |                          |         |        | start 1  | first start ever
run    | 0    | 900+                     |         |        | start 2  | killed after a good life: at once
run    | 0    | 61-                      |         |        | start 2  | an idle life is a good life
run    | 0    | 20+                      |         |        | start 2  | short, but it did commit
run    | 0    | 20-                      |         |        | start 2  | killed while starting: that may be chance
run    | 0    | 20- 20-                  |         |        | wait     | twice is not
run    | 7    | 20- 20-                  |         |        | wait     | jitter leaves three quarters at least
run    | 10   | 20- 20-                  |         |        | start 3  | never more than the pause
run    | 0    | 20- 900+ 20-             |         |        | wait     | a good life between them doesn't forgive
run    | 10   | 20- 20- 20-              |         |        | wait     | doubled
run    | 20   | 20- 20- 20-              |         |        | start 4  | 20 s
run    | 29   | 20- 20- 20- 20-          |         |        | wait     | doubled again
run    | 40   | 20- 20- 20- 20-          |         |        | start 5  | 40 s
run    | 0    | 20- 20- 20- 20- 20-      |         |        | alert    | five in a row: a person must look
run    | 9999 | 20- 20- 20- 20- 20-      |         |        | alert    | and time alone doesn't help
run    | 9999 | 9+ 9- 9- 9- 9- 9-        |         |        | alert    | whatever came before
run    | 0    | 20- 20- 20- 20- 20+      |         |        | start 6  | it works again
run    | 59   | 20- 20- 20- 20- 20+ 5-   |         |        | wait     | but the pause is not forgotten
run    | 80   | 20- 20- 20- 20- 20+ 5-   |         |        | start 7  | 80 s
run    | 0    | 20- 20- 20- 20- 3600- 5- |         |        | start 2  | a healthy hour wipes the slate
run    | 0    | 20- 20- 20- 20- 20-a 5-  |         |        | start 2  | so does a person
run    | 0    | 20- 20- 20- 20- 20-a     |         |        | start 1  | who wants it now
run    | 0    | 20- 150-s                |         |        | wait     | a stall without a commit was no good life
run    | 10   | 20- 150-s                |         |        | start 3  |
run    | 0    | 20- 150+s                |         |        | start 3  | it had worked before it stalled
run    | 449  | 8*150-s                  |         |        | wait     | stalls alone never open the breaker
run    | 600  | 8*150-s                  |         |        | start 9  | ten minutes at most
run    | 0    | 10*9+                    |         |        | start 11 | kills by hand are healed at once
run    | 0    | 12*9+                    |         |        | wait     | but not without end
run    | 10   | 12*9+                    |         |        | start 13 |
run    | 0    | 900+                     | Kafka   |        | wait     | it would only fail
run    | 0    | 900+                     | MongoDB |        | wait     |
run    | 0    | 900+                     |         | host-b | wait     | it lives elsewhere
run    | 9999 | 20- 20- 20- 20- 20-      |         | host-b | wait     | and that is no alarm
run    | 0    | ?                        |         |        | wait     | its end is not on record yet
stop   | 0    | 900+                     |         |        | wait     | as asked
stop   | 0    |                          | Kafka   |        | wait     | as asked
?      | 9999 | 900+                     | MongoDB |        | wait     | unreadable wish
run    | -900 | 20- 20-                  |         |        | wait     | the clock was set back: our own look counts
"""


def rows(table: str) -> Iterator[dict[str, str]]:
    header, *lines = [line for line in table.splitlines() if line.strip()]
    names = [name.strip() for name in header.split("|")]
    for line in lines:
        cells = [cell.strip() for cell in line.split("|")]
        assert len(cells) == len(names), line
        yield dict(zip(names, cells, strict=True))


def cases(table: str) -> list:
    return [pytest.param(row, id=" ".join(filter(None, row.values()))) for row in rows(table)]


def wanted(cell: str) -> Desired | None:
    return None if cell == "?" else Desired(running=cell == "run")


def ago_ms(cell: str) -> int | None:
    return None if cell == "-" else NOW_MS - int(cell) * 1000


def lives(cell: str, down_s: int) -> tuple[Life, ...]:
    """Read `20-s 900+` backwards from the moment it went down, half a minute between two lives."""
    found = []
    end_ms = NOW_MS - down_s * 1000
    words = [word for group in cell.split() for word in repeated(group)]
    for index, word in reversed(list(enumerate(words))):
        if word == "?":
            found.append(life(index, end_ms - 1000, None))
            continue
        text, mark, end = word.rstrip("sa+-"), word.strip("0123456789sa"), word[-1]
        lived_s = float(text)
        end_ms -= int(lived_s * 1000)
        found.append(life(index, end_ms, lived_s, mark == "+", {"s": "stalled", "a": "asked"}.get(end, "died")))
        end_ms -= 30_000
    return tuple(reversed(found))


def repeated(group: str) -> list[str]:
    count, star, word = group.rpartition("*")
    return [word] * int(count) if star else [word]


def life(index: int, at_ms: int, lived_s: float | None, committed: bool = False, end: str = "died") -> Life:
    return Life(
        epoch=index + 1,
        attempt=index + 1,
        at_ms=at_ms,
        reason="test",
        lived_s=lived_s,
        committed=committed,
        end=end,
        code_version="v1",
        settings_hash="s1",
    )


def observed(**fields: object) -> Observed:
    return msgspec.structs.replace(Observed(code_version="v1", settings_hash="s1"), **fields)


def word(action: Action) -> str:
    match action:
        case Start(attempt, _):
            return f"start {attempt}"
        case Restart(_, end):
            return "replace" if end == "stalled" else f"restart {end}"
        case Stop(_, drain):
            return "stop drain" if drain else "stop now"
        case Wait():
            return "wait"
        case Alert():
            return "alert"


@pytest.mark.parametrize("row", cases(ALIVE))
def test_a_living_matcher(row: dict[str, str]) -> None:
    silent_ms = ago_ms(row["silent"])
    seen = observed(
        driver=Driver(NOW_MS - int(row["age"]) * 1000, 1, 1),
        ready=silent_ms is not None,
        committed=row["worked"] == "yes",
        events_behind=None if row["behind"] == "?" else int(row["behind"]),
        waiting_since_ms=ago_ms(row["waiting"]),
        silent_since_ms=silent_ms,
        unreachable=tuple(filter(None, [row["gone"]])),
    )
    desired = wanted(row["wanted"])
    action = decide(seen, desired, (life(0, NOW_MS, None),), NOW_MS)
    assert word(action) == row["action"]
    assert matcher_state(seen, desired, action) == row["state"]


@pytest.mark.parametrize("row", cases(DEAD))
def test_a_dead_matcher(row: dict[str, str]) -> None:
    down_s = int(row["down"])
    seen = observed(
        down_since_ms=NOW_MS - max(down_s, 0) * 1000,
        events_behind=5,
        unreachable=tuple(filter(None, [row["gone"]])),
        other_holder=row["other"] or None,
    )
    desired = wanted(row["wanted"])
    action = decide(seen, desired, lives(row["lives"], down_s), NOW_MS)
    assert word(action) == row["action"]
    expected = {"start": "starting", "alert": "failed", "wait": "backing_off"}[row["action"].split()[0]]
    assert matcher_state(seen, desired, action) == ("stopped" if row["wanted"] == "stop" else expected)


def test_a_wait_ends_when_the_start_is_due() -> None:
    history = lives("20- 20-", 0)
    action = decide(observed(down_since_ms=NOW_MS), Desired(), history, NOW_MS)
    assert isinstance(action, Wait)
    assert isinstance(decide(observed(down_since_ms=NOW_MS), Desired(), history, action.until_ms), Start)
    assert isinstance(decide(observed(down_since_ms=NOW_MS), Desired(), history, action.until_ms - 1), Wait)


def test_a_supervisor_that_starts_anew_begins_the_same_pause_anew() -> None:
    history = lives("20- 20- 20-", 0)
    first = decide(observed(down_since_ms=NOW_MS), Desired(), history, NOW_MS)
    later = decide(observed(down_since_ms=NOW_MS + 5_000), Desired(), history, NOW_MS + 5_000)
    assert isinstance(first, Wait)
    assert isinstance(later, Wait)
    assert later.until_ms == first.until_ms + 5_000


@pytest.mark.parametrize("closed_by", ["person", "code"])
def test_only_a_person_or_other_code_closes_the_breaker(closed_by: str) -> None:
    history = lives("20- 20- 20- 20- 20-", 9_999)
    down = observed(down_since_ms=NOW_MS)
    assert isinstance(decide(down, Desired(), history, NOW_MS), Alert)
    assert isinstance(decide(observed(down_since_ms=NOW_MS, settings_hash="s2"), Desired(), history, NOW_MS), Alert)
    if closed_by == "person":
        # Their clock may be behind: the value counts, not the time it says.
        action = decide(down, Desired(breaker_reset_at_ms=1), history, NOW_MS)
    else:
        action = decide(observed(down_since_ms=NOW_MS, code_version="v2"), Desired(), history, NOW_MS)
    assert action == Start(1, "It is wanted and not running.")


@pytest.mark.parametrize(
    ("seen", "desired", "reason"),
    [
        ({}, {"restart_token": "new"}, "A restart was asked for."),
        ({"code_version": "v2"}, {}, "The code has changed."),
        ({"settings_hash": "s2"}, {}, "The settings have changed."),
        ({"unreachable": ("Kafka",)}, {"restart_token": "new"}, "A restart was asked for."),
    ],
)
def test_what_replaces_a_healthy_matcher(seen: dict, desired: dict, reason: str) -> None:
    alive = observed(driver=Driver(NOW_MS - 5_000, 1, 1), events_behind=0, **seen)
    started = life(0, NOW_MS - 5_000, None)
    assert decide(alive, Desired(**desired), (started,), NOW_MS) == Restart(reason, "asked")
    # Once: the life that follows carries the new token, code and settings.
    after = msgspec.structs.replace(
        started,
        epoch=2,
        restart_token=desired.get("restart_token"),
        code_version=alive.code_version,
        settings_hash=alive.settings_hash,
    )
    again = msgspec.structs.replace(alive, driver=Driver(NOW_MS, 2, 1))
    assert isinstance(decide(again, Desired(**desired), (started, after), NOW_MS), Wait)


@pytest.mark.parametrize(("cut_short", "grace_s"), [(0, 120), (1, 240), (2, 480), (3, 960), (9, 960)])
def test_a_start_that_was_cut_short_gives_the_next_one_more_time(cut_short: int, grace_s: int) -> None:
    before = (life(0, 0, 500.0, committed=True, end="stalled"),)
    before += tuple(life(1 + index, 0, 130.0, end="stalled") for index in range(cut_short))
    own = life(cut_short + 1, 0, None)
    for age_s, action in ((grace_s - 1, "wait"), (grace_s + 1, "replace")):
        since_ms = NOW_MS - age_s * 1000
        seen = observed(
            driver=Driver(since_ms, own.epoch, 1),
            events_behind=1,
            waiting_since_ms=since_ms,
            silent_since_ms=NOW_MS,
        )
        assert word(decide(seen, Desired(), (*before, own), NOW_MS)) == action
    worked = msgspec.structs.replace(before[-1], committed=True)
    seen = msgspec.structs.replace(seen, driver=Driver(NOW_MS - 121_000, own.epoch, 1))
    assert word(decide(seen, Desired(), (*before[:-1], worked, own), NOW_MS)) == "replace", "one that worked resets it"


def test_a_driver_that_is_not_on_record_is_left_at_work() -> None:
    alive = observed(driver=Driver(NOW_MS - 5_000, 7, 1), events_behind=0, code_version="v2")
    assert isinstance(decide(alive, Desired(restart_token="new"), (life(0, NOW_MS, 5.0),), NOW_MS), Wait)


def test_a_drain_that_takes_too_long_is_cut_short() -> None:
    alive = observed(driver=Driver(NOW_MS - 5_000, 1, 1), draining_since_ms=NOW_MS - POLICY.drain_ms)
    action = decide(alive, Desired(running=False), (), NOW_MS)
    assert isinstance(action, Stop)
    assert not action.drain


# A world to let it loose in: the driver dies, stalls and works as a seed says, clocks jump, services come and go.

FATES = ("dies at once", "dies before a batch", "dies after a batch", "stalls", "idles", "lives")
fates = st.lists(st.sampled_from(FATES), min_size=1, max_size=8)


class World:
    """A simulated day of one supervisor, second by second. It keeps its own log and judges nothing."""

    def __init__(self, plan: list[str], seed: int = 0, outages: bool = False, jumps: bool = False) -> None:
        self.plan = plan
        self.chance = random.Random(seed)
        self.outages = outages
        self.jumps = jumps
        self.now_ms = NOW_MS
        self.history: list[Life] = []
        self.driver: Driver | None = None
        self.fate = ""
        self.waiting_since_ms: int | None = None
        self.down_since_ms: int | None = NOW_MS
        self.wall_skew_ms = 0
        self.log: list[tuple[int, Action]] = []

    def run(self, seconds: int) -> "World":
        for _ in range(seconds):
            self.now_ms += 1000
            self._live()
            self._act()
        return self

    def _live(self) -> None:
        if self.driver is None:
            return
        age_s = (self.now_ms - self.driver.started_ms) / 1000
        dies_at_s = {"dies at once": 1, "dies before a batch": 45, "dies after a batch": 40}.get(self.fate)
        if dies_at_s is not None and age_s >= dies_at_s:
            self._end("died")

    def _committed(self) -> bool:
        if self.driver is None:
            return False
        age_ms = self.now_ms - self.driver.started_ms
        return self.fate in ("dies after a batch", "lives") and age_ms >= 25_000

    def _act(self) -> None:
        unreachable = ("Kafka",) if self.outages and self.chance.random() < 0.2 else ()
        behind = 0 if self.fate == "idles" or self._committed() else 9
        if behind == 0:
            self.waiting_since_ms = None
        elif self.waiting_since_ms is None:
            self.waiting_since_ms = self.now_ms
        seen = observed(
            driver=self.driver,
            down_since_ms=self.down_since_ms,
            committed=self._committed(),
            events_behind=None if unreachable else behind,
            waiting_since_ms=self.waiting_since_ms,
            unreachable=unreachable,
        )
        action = decide(seen, Desired(), tuple(self.history[-50:]), self.now_ms)
        self.log.append((self.now_ms, action))
        if isinstance(action, Start):
            assert self.driver is None, "two drivers at once"
            self.fate = self.plan[min(len(self.history), len(self.plan) - 1)]
            epoch = len(self.history) + 1
            self.driver = Driver(self.now_ms, epoch, action.attempt)
            if self.jumps:
                self.wall_skew_ms = self.chance.choice([-7_200_000, 0, 7_200_000])
            self.history.append(
                Life(
                    epoch=epoch,
                    attempt=action.attempt,
                    at_ms=self.now_ms + self.wall_skew_ms,
                    reason=action.reason,
                    code_version="v1",
                    settings_hash="s1",
                )
            )
            self.waiting_since_ms = None
            self.down_since_ms = None
        elif isinstance(action, Restart):
            self._end(action.end)

    def _end(self, how: str) -> None:
        assert self.driver is not None
        lived_s = (self.now_ms - self.driver.started_ms) / 1000
        self.history[-1] = msgspec.structs.replace(
            self.history[-1], lived_s=lived_s, committed=self._committed(), end=how
        )
        self.driver = None
        self.down_since_ms = self.now_ms

    def starts(self) -> list[int]:
        return [at_ms for at_ms, action in self.log if isinstance(action, Start)]


@settings(max_examples=20, deadline=None)
@given(fates, st.integers(0, 999), st.booleans(), st.booleans())
def test_starts_are_bounded_in_any_hour_and_never_overlap(
    plan: list[str], seed: int, outages: bool, jumps: bool
) -> None:
    starts = World(plan, seed, outages, jumps).run(2 * 3600).starts()
    for first in starts:
        assert sum(first <= at_ms < first + 3_600_000 for at_ms in starts) <= 25


@settings(max_examples=10, deadline=None)
@given(fates, st.sampled_from(["dies at once", "dies before a batch"]), st.booleans())
def test_a_crash_loop_always_ends_at_the_breaker(plan: list[str], last: str, jumps: bool) -> None:
    plan = [fate for fate in plan if fate not in ("lives", "idles")] + [last]
    world = World(plan, jumps=jumps).run(4 * 3600)
    assert isinstance(world.log[-1][1], Alert)
    assert sum(isinstance(action, Start) for _, action in world.log) <= len(plan) + 5


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 999), st.booleans(), st.sampled_from(["idles", "lives"]))
def test_one_that_idles_or_works_is_never_replaced(seed: int, outages: bool, fate: str) -> None:
    world = World([fate], seed, outages).run(2 * 3600)
    assert len(world.starts()) == 1
    assert not any(isinstance(action, Restart | Stop | Alert) for _, action in world.log)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 999), st.booleans())
def test_a_stalled_one_is_always_replaced(seed: int, outages: bool) -> None:
    world = World(["stalls", "lives"], seed, outages).run(1_000)
    assert len(world.starts()) == 2
    ended_ms = world.history[0].lived_s
    assert ended_ms is not None
    assert ended_ms <= (POLICY.grace_ms + POLICY.stall_after_ms) / 1000


@settings(max_examples=200)
@given(
    st.builds(
        Observed,
        code_version=st.sampled_from(["v1", "v2"]),
        settings_hash=st.sampled_from(["s1", "s2"]),
        unreachable=st.sampled_from([(), ("Kafka",), ("MongoDB",), ("Kafka", "MongoDB")]),
        driver=st.none() | st.builds(Driver, st.integers(0, 2**45), st.integers(0, 9), st.integers(0, 9)),
        down_since_ms=st.none() | st.integers(0, 2**45),
        ready=st.booleans(),
        committed=st.booleans(),
        events_behind=st.none() | st.integers(-5, 2**40),
        waiting_since_ms=st.none() | st.integers(0, 2**45),
        silent_since_ms=st.none() | st.integers(0, 2**45),
        draining_since_ms=st.none() | st.integers(0, 2**45),
        other_holder=st.none() | st.just("host-b"),
    ),
    st.none() | st.builds(Desired, running=st.booleans(), restart_token=st.none() | st.just("t")),
    st.lists(
        st.builds(
            Life,
            epoch=st.integers(0, 9),
            attempt=st.integers(0, 9),
            at_ms=st.integers(0, 2**45),
            reason=st.just(""),
            lived_s=st.none() | st.floats(0, 1e7),
            committed=st.booleans(),
            end=st.sampled_from(["died", "stalled", "asked"]),
            code_version=st.sampled_from(["v1", "v2"]),
            settings_hash=st.sampled_from(["s1", "s2"]),
        ),
        max_size=60,
    ),
    st.integers(0, 2**45),
)
def test_any_sight_at_any_time_gives_an_action_that_fits(
    seen: Observed, desired: Desired | None, history: list[Life], now_ms: int
) -> None:
    action = decide(seen, desired, tuple(history), now_ms)
    state = matcher_state(seen, desired, action)
    assert state in ("running", "starting", "stalled", "backing_off", "stopped", "failed")
    if isinstance(action, Start | Alert):
        assert seen.driver is None
    if isinstance(action, Restart | Stop):
        assert seen.driver is not None
    if isinstance(action, Start):
        assert desired is not None
        assert desired.running
        assert not seen.unreachable
        assert seen.other_holder is None
    if isinstance(action, Wait):
        assert now_ms < action.until_ms <= now_ms + POLICY.longest_pause_ms
