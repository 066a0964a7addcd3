"""The sensor that keeps the matcher at work. It only looks and decides; what is to be done, a run does."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
from dagster import DagsterRunStatus, RunsFilter

from orders_platform.defs.matching.checks import checks_on, evaluation
from orders_platform.defs.matching.jobs import JOBS, REQUEST_TAG
from orders_platform.defs.resources import MatcherResource
from orders_platform.defs.topics.assets import TOPICS
from orders_platform.errors import OrdersError, StackError
from orders_platform.local.home import prepare
from orders_platform.settings import Settings
from orders_platform.store import audit
from orders_platform.store import matcher_records as records
from orders_platform.store.client import within
from orders_platform.supervision import errand, rounds
from orders_platform.supervision.backends.choose import policy_of
from orders_platform.supervision.checks import Subject, answer
from orders_platform.supervision.observe import TIMEOUT_S, Memory, is_gone
from orders_platform.supervision.supervisor_lock import plain_supervisor
from orders_platform.times import format_ms

TICK_S = 1
"""As often as Dagster ticks at all, which is every five seconds: with five here it would skip every other time."""
WATCH_S = 3.5
"""How long a tick that found nothing to do goes on watching the driver's process: a death needn't wait for the next."""
GLANCE_S = 0.25
CHECKS_BUDGET_S = 20.0
"""When to give a report up. Dagster ends a tick after 60 s; one that ends late looks after no matcher meanwhile."""
CHECK_EVERY_MS = 60_000
REPORT_EVERY_MS = 600_000
TOPICS_EVERY_MS = 3_600_000
"""Dagster keeps events for ever, 4 KB each: with these 7 MB a day. A check that changes is told within a minute."""
HOME_TAG = "orders/home"
_SOMEBODY = "somebody"
_OPEN = {
    DagsterRunStatus.QUEUED: errand.LONGEST_S,
    DagsterRunStatus.NOT_STARTED: errand.LONGEST_S,
    DagsterRunStatus.STARTING: 60.0,
    DagsterRunStatus.STARTED: 20.0,
    DagsterRunStatus.CANCELING: 20.0,
}
"""How long a run may stay like this without being at work before it counts as dead, in seconds.

Nobody corrects the state of a run whose process was killed together with the code server that watched it.
"""


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """What shows only over time, carried from tick to tick. A lost one costs time, not safety."""

    memory: Memory = Memory()
    clock: rounds.SteadyClock = msgspec.field(default_factory=rounds.SteadyClock)
    proved: int = 0
    """The latest epoch that was seen to have committed a batch."""
    checked_at_ms: int = 0
    reported_at_ms: int = 0
    topics_at_ms: int = 0
    failing: tuple[str, ...] = ()
    """The checks that failed in the latest report."""
    open_runs: dict[str, int] = {}
    """The runs that were not over when one was wanted, and when that was first seen: no two clocks are compared."""


@dg.sensor(
    jobs=JOBS,
    minimum_interval_seconds=TICK_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps the matcher at work: restarts it when it dies or stalls, backs off, stops at a crash loop.",
)
def matcher_supervisor(context: dg.SensorEvaluationContext, matcher: MatcherResource) -> dg.SensorResult:
    """Look, decide, and ask for a run if something is to be done."""
    settings = matcher.settings()
    cursor = _cursor(context.cursor)
    if (other := plain_supervisor(settings.home)) is not None:
        return _skip(f"The supervisor of process {other.pid} keeps this matcher.", cursor)
    connections = rounds.Connections(settings, matcher.make_backend())
    try:
        sight, cursor = _look(context, settings, connections, cursor)
        events: list[Any] = []
        if errand.deed_of(sight) is None and _is_due(cursor, sight):
            store, _, servers = connections.get()
            events, cursor = _report(Subject(settings, store, servers, sight), cursor)
        elif errand.deed_of(sight) is None and sight.facts.running is not None and _dies_within(WATCH_S, connections):
            sight, cursor = _look(context, settings, connections, cursor)
        if (deed := errand.deed_of(sight)) is not None:
            return _asked(context.instance, settings, deed, sight, cursor)
        return _skip(f"{sight.state}: {sight.action.reason}", msgspec.structs.replace(cursor, open_runs={}), events)
    except OrdersError as error:
        # Nothing is known, so nothing is done; the next look tells.
        trouble = str(error)
        _tell_status(context, settings.home, lambda: rounds.write_trouble(settings.home, trouble))
        return _skip(trouble, cursor)
    finally:
        connections.close()


def _look(
    context: dg.SensorEvaluationContext, settings: Settings, connections: rounds.Connections, cursor: Cursor
) -> tuple[rounds.Sight, Cursor]:
    """Make a round, tell `orders status`, and return what was seen with the cursor after it."""
    me = rounds.identity(settings)
    sight = rounds.make_round(settings, connections, me, cursor.memory, cursor.clock, policy_of(settings))
    cursor = msgspec.structs.replace(cursor, memory=sight.memory)
    _tell_status(context, settings.home, lambda: rounds.write_report(settings.home, sight))
    rounds.note_look(settings, connections, sight)
    if sight.committed and (running := sight.facts.running) is not None and running.epoch != cursor.proved:
        cursor = msgspec.structs.replace(cursor, proved=running.epoch)
        records.forget_start_offsets(connections.get()[0])
        connections.get()[1].proved(running)
    return sight, cursor


def _dies_within(seconds: float, connections: rounds.Connections) -> bool:
    _, backend, _ = connections.get()
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        time.sleep(GLANCE_S)
        if is_gone(backend):
            return True
    return False


def _asked(
    instance: dg.DagsterInstance, settings: Settings, deed: errand.Deed, sight: rounds.Sight, cursor: Cursor
) -> dg.SensorResult:
    """Return a request for what is to be done, unless a run is at it."""
    ours = {HOME_TAG: rounds.own_holder(settings)}
    runs = [record.dagster_run for record in instance.get_run_records(RunsFilter(tags=ours, statuses=list(_OPEN)))]
    at_work = errand.is_at_work(settings.home)
    names = [run.run_id for run in runs] or [_SOMEBODY] * at_work
    seen = {name: cursor.open_runs.get(name, sight.now_ms) for name in names}
    cursor = msgspec.structs.replace(cursor, open_runs=seen)
    if sight.now_ms - seen.get(_SOMEBODY, 0) < 1000 * errand.LONGEST_S:
        return _skip(f"A person's run or command is at it. {sight.action.reason}", cursor)
    for run in runs:
        if sight.now_ms - seen[run.run_id] < 1000 * (errand.LONGEST_S if at_work else _OPEN[run.status]):
            return _skip(f"Run {run.run_id[:8]} ({run.job_name}) is at it. {sight.action.reason}", cursor)
    epoch = 0 if sight.facts.lease is None else sight.facts.lease.epoch
    attempt = getattr(sight.action, "attempt", sight.facts.running.attempt if sight.facts.running else 0)
    wanted = f"{deed}-{epoch + (deed == 'start')}-{attempt}"
    request = msgspec.json.encode(errand.Request(sight.memory, cursor.clock)).decode()
    asked = dg.RunRequest(
        run_key=_new_key(instance, wanted, ours),
        job_name=f"{deed}_matcher",
        run_config={"ops": {f"{deed}_the_matcher": {"config": {"request": request}}}},
        tags={
            REQUEST_TAG: wanted,
            **ours,
            "reason": sight.action.reason,
            # What is killed and never reported must not take a place among the runs for ever.
            "dagster/max_runtime": str(int(errand.LONGEST_S)),
        },
    )
    return dg.SensorResult(run_requests=[asked], cursor=_text(cursor))


def _new_key(instance: dg.DagsterInstance, wanted: str, ours: dict[str, str]) -> str:
    """Return a key that no run has had: Dagster drops a request whose key was used, also by a run that failed.

    So one that is wanted again has a number behind it, one above the highest: a run may have been deleted.
    """
    runs = instance.get_run_records(RunsFilter(tags={REQUEST_TAG: wanted, **ours}))
    used = [record.dagster_run.tags.get("dagster/run_key", "").removeprefix(wanted).lstrip("-") for record in runs]
    latest = max((int(number) if number.isdigit() else 1 for number in used), default=0)
    return f"{wanted}-{latest + 1}" if latest else wanted


def _tell_status(context: dg.SensorEvaluationContext, home: Path, tell: Callable[[], None]) -> None:
    """Leave what was seen for `orders status`. A full disk must not keep a matcher from being restarted."""
    try:
        if not (home / "run").is_dir():
            prepare(home)
        tell()
    except (OSError, StackError) as error:
        context.log.warning(f"The report for `orders status` can't be written: {error}")


def _is_due(cursor: Cursor, sight: rounds.Sight) -> bool:
    return sight.state != "starting" and sight.now_ms - cursor.checked_at_ms >= CHECK_EVERY_MS


def _report(subject: Subject, cursor: Cursor) -> tuple[list[Any], Cursor]:
    """Ask the checks; return what is to be told of it, nothing if they are as they were, and the cursor after it.

    The materialization comes first: a later one would wipe the checks' results out of the UI. It vouches for the
    collection, so there is none while a service is away or the matcher is not at work.
    """
    now_ms = subject.sight.now_ms
    cursor = msgspec.structs.replace(cursor, checked_at_ms=now_ms)
    give_up_s = time.monotonic() + CHECKS_BUDGET_S
    of_orders, of_topics = [], _observations(subject)
    if subject.sight.state == "running" and not subject.sight.facts.unreachable:
        with within(TIMEOUT_S):
            of_orders.append(_materialization(subject))
    failing: list[str] = []
    for asset in ("matched_orders", *TOPICS):
        for check in checks_on(asset):
            if time.monotonic() > give_up_s:
                return [], cursor
            with within(TIMEOUT_S):
                result = answer(check, subject)
            (of_topics if asset in TOPICS else of_orders).append(evaluation(asset, check, result))
            failing += [] if result.passed else [f"{asset}:{check.name}"]
    changed = tuple(failing) != cursor.failing
    events: list[Any] = []
    if changed or now_ms - cursor.reported_at_ms >= REPORT_EVERY_MS:
        events += of_orders
        cursor = msgspec.structs.replace(cursor, reported_at_ms=now_ms, failing=tuple(failing))
    if changed or now_ms - cursor.topics_at_ms >= TOPICS_EVERY_MS:
        events += of_topics
        cursor = msgspec.structs.replace(cursor, topics_at_ms=now_ms)
    return events, cursor


def _observations(subject: Subject) -> list[Any]:
    """Return how much there is in each topic; nothing if Kafka did not say."""
    ends = subject.sight.facts.ends
    if ends is None:
        return []
    kafka = subject.settings.kafka
    counted = {topic: ends.get(getattr(kafka, topic), {}) for topic in TOPICS}
    return [
        dg.AssetObservation(topic, metadata={"messages": sum(its.values()), "partitions": len(its)})
        for topic, its in counted.items()
    ]


def _materialization(subject: Subject) -> dg.AssetMaterialization:
    sight, beat = subject.sight, subject.sight.facts.heartbeat
    orders, letters = audit.totals(subject.store)
    figures: dict[str, Any] = {
        "orders": orders,
        "dead_letters": letters,
        "events_behind": sight.behind,
        "starts": len(sight.facts.history),
    }
    if beat is not None:
        figures |= {"epoch": beat.epoch, "batch": beat.batch_id, "messages": beat.counts.get("messages")}
        figures["last_commit"] = None if beat.committed_at_ms is None else format_ms(beat.committed_at_ms)
    version = "" if beat is None else f"{beat.epoch}:{beat.batch_id}"
    return dg.AssetMaterialization(
        "matched_orders",
        metadata={name: value for name, value in figures.items() if value is not None},
        tags={"dagster/data_version": version},
    )


def _skip(reason: str, cursor: Cursor, events: list[Any] | None = None) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason, cursor=_text(cursor), asset_events=events or [])


def _cursor(text: str | None) -> Cursor:
    try:
        return Cursor() if text is None else msgspec.json.decode(text, type=Cursor)
    except msgspec.MsgspecError:
        return Cursor()  # of another version


def _text(cursor: Cursor) -> str:
    return msgspec.json.encode(cursor).decode()
