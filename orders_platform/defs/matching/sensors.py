"""The sensor that keeps the matcher at work. It only looks and decides; what is to be done, a run does."""

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
from orders_platform.store import audit
from orders_platform.supervision import errand, repair, rounds
from orders_platform.supervision.checks import Subject, answer
from orders_platform.supervision.decide import Policy
from orders_platform.supervision.observe import Handle, Memory
from orders_platform.supervision.supervisor_lock import plain_supervisor
from orders_platform.times import format_ms

TICK_S = 5
"""As often as Dagster ticks at all: a dead matcher waits for it."""
CHECK_EVERY_MS = 60_000
REPORT_EVERY_MS = 300_000
"""Dagster keeps events for ever, and a report is 40 KB of them: 12 MB a day. A check that changes is told sooner."""
POLICY = Policy()
_OPEN = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """What shows only over time, carried from tick to tick. A lost one costs time, not safety."""

    memory: Memory = Memory()
    clock: rounds.SteadyClock = msgspec.field(default_factory=rounds.SteadyClock)
    last: Handle | None = None
    proved: int = 0
    """The latest epoch that was seen to have committed a batch."""
    checked_at_ms: int = 0
    reported_at_ms: int = 0
    failing: tuple[str, ...] = ()
    """The checks that failed in the latest report."""


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
        me = rounds.identity(settings)
        sight = rounds.make_round(settings, connections, me, cursor.memory, cursor.clock, POLICY, cursor.last)
        _tell_status(context, settings.home, sight)
        if sight.committed and (running := sight.facts.running) is not None and running.epoch != cursor.proved:
            cursor = msgspec.structs.replace(cursor, proved=running.epoch)
            repair.forget_start_offsets(settings.home)
            connections.get()[1].proved(running)
        request = _request(context.instance, sight, cursor)
        cursor = msgspec.structs.replace(cursor, memory=sight.memory, last=sight.facts.running or cursor.last)
        if isinstance(request, dg.RunRequest):
            return dg.SensorResult(run_requests=[request], cursor=_text(cursor))
        store, _, servers = connections.get()
        events: list[Any] = []
        if _is_due(cursor, sight):
            events, failing = _report(Subject(settings, store, servers, sight))
            cursor = msgspec.structs.replace(cursor, checked_at_ms=sight.now_ms)
            if failing == cursor.failing and sight.now_ms - cursor.reported_at_ms < REPORT_EVERY_MS:
                events = []
            else:
                cursor = msgspec.structs.replace(cursor, reported_at_ms=sight.now_ms, failing=failing)
        return _skip(request or f"{sight.state}: {sight.action.reason}", cursor, events)
    except OrdersError as error:
        # Nothing is known, so nothing is done; the next look tells.
        return _skip(str(error), cursor)
    finally:
        connections.close()


def _request(instance: dg.DagsterInstance, sight: rounds.Sight, cursor: Cursor) -> dg.RunRequest | str | None:
    """Return a request for what is to be done, or why none is made, or None where nothing is to be done.

    A key is used once for ever, also by a run that failed before it did anything. So one that is wanted again has the
    count of its runs behind it.
    """
    deed = errand.deed_of(sight)
    if deed is None:
        return None
    epoch = 0 if sight.facts.lease is None else sight.facts.lease.epoch
    attempt = getattr(sight.action, "attempt", sight.facts.running.attempt if sight.facts.running else 0)
    wanted = f"{deed}-{epoch + (deed == 'start')}-{attempt}"
    latest = instance.get_run_records(RunsFilter(tags={REQUEST_TAG: wanted}))
    for record in instance.get_run_records(
        RunsFilter(tags={"dagster/sensor_name": "matcher_supervisor"}, statuses=_OPEN)
    ):
        age_s = sight.now_ms / 1000 - record.create_timestamp.timestamp()
        if abs(age_s) < errand.LONGEST_S:
            return (
                f"Run {record.dagster_run.run_id[:8]} ({record.dagster_run.job_name}) is at it. {sight.action.reason}"
            )
    key = wanted if not latest else f"{wanted}-{len(latest) + 1}"
    request = errand.Request(cursor.memory, cursor.clock, cursor.last)
    config = {"ops": {f"{deed}_the_matcher": {"config": {"request": msgspec.json.encode(request).decode()}}}}
    return dg.RunRequest(
        run_key=key,
        job_name=f"{deed}_matcher",
        run_config=config,
        tags={REQUEST_TAG: wanted, "reason": sight.action.reason},
    )


def _tell_status(context: dg.SensorEvaluationContext, home: Path, sight: rounds.Sight) -> None:
    """Leave what was seen for `orders status`. A full disk must not keep a matcher from being restarted."""
    try:
        if not (home / "run").is_dir():
            prepare(home)
        rounds.write_report(home, sight)
    except (OSError, StackError) as error:
        context.log.warning(f"The report for `orders status` can't be written: {error}")


def _is_due(cursor: Cursor, sight: rounds.Sight) -> bool:
    """Say whether the checks are due: a report vouches for the collection, so a matcher not at work gets none."""
    return sight.state == "running" and sight.now_ms - cursor.checked_at_ms >= CHECK_EVERY_MS


def _report(subject: Subject) -> tuple[list[Any], tuple[str, ...]]:
    """Return events, the materialization first: a later one would wipe the checks' results out of the UI.

    And the names of the checks that failed.
    """
    events: list[Any] = [_materialization(subject)]
    failing: list[str] = []
    for topic in TOPICS:
        ends = (subject.sight.facts.ends or {}).get(getattr(subject.settings.kafka, topic), {})
        events.append(dg.AssetObservation(topic, metadata={"messages": sum(ends.values()), "partitions": len(ends)}))
    for asset in ("matched_orders", *TOPICS):
        for check in checks_on(asset):
            result = answer(check, subject)
            events.append(evaluation(asset, check, result))
            failing += [] if result.passed else [f"{asset}:{check.name}"]
    return events, tuple(failing)


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
