"""What is wrong and what no longer is, as Dagster, the supervisor's report and the store tell it."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import dagster as dg
from dagster import AssetCheckKey, DagsterEventType, DagsterRunStatus, RunsFilter

from orders_platform import errors
from orders_platform.alerts import causes
from orders_platform.alerts.causes import Cause, Days
from orders_platform.store import statements
from orders_platform.store.client import Store
from orders_platform.supervision import rounds

_DAY_TAG = "dagster/partition"
_FIRST_DAY_TAG, _LAST_DAY_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
TOLD_TAG = "orders/alert"
"""On the failed run that the hook has told, and on those that failed after it."""
SPAN = timedelta(days=1)
"""How far back ended runs are looked at; what is older was seen by an earlier tick."""
_RUNS_MAX, _EVALUATIONS_MAX = 500, 25
_ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE]
_OURS = f"{errors.__name__}."


class Seen(NamedTuple):
    """Causes that are there, keys of causes that are over, and keys of those that somebody has told."""

    present: list[Cause]
    over: set[str]
    known: set[str]


def checks(instance: dg.DagsterInstance, repository: dg.RepositoryDefinition, told: Collection[str]) -> Seen:
    """Look at the latest result of each check; of each day, where the asset is one of days.

    `told` are the keys of checks that are not over. A result that is no more than a warning is not told, as it does not
    fail `orders check` either.
    """
    seen, graph, storage = Seen([], set(), set()), repository.asset_graph, instance.event_log_storage
    keys: list[AssetCheckKey] = []
    of_days: list[AssetCheckKey] = []
    for key in graph.asset_check_keys:
        (keys if graph.get(key.asset_key).partitions_def is None else of_days).append(key)
    for summary in storage.get_asset_check_summary_records(keys).values():
        record = summary.last_completed_check_execution_record
        if record is not None and record.evaluation is not None:
            _judge(seen, record.evaluation, str(record.id), None, told)
    for key in of_days:
        # A later day that passes says nothing of an earlier one that failed.
        records = storage.get_asset_check_execution_history(key, limit=_EVALUATIONS_MAX)
        records = [each for each in records if isinstance(each.evaluation, dg.AssetCheckEvaluation)]
        days = _days_of_runs(instance, {each.run_id for each in records})
        judged, passed = set[Days | None](), list[Days]()
        for each in records:  # the latest first
            its = days.get(each.run_id)
            if each.evaluation is None or its in judged or (its and any(later.cover(its) for later in passed)):
                continue
            judged.add(its)
            if _judge(seen, each.evaluation, str(each.id), its, told) and its is not None:
                passed.append(its)
    return seen


def breaker(home: Path) -> Seen:
    """Look at what the supervisor last found."""
    report = rounds.read_report(home)
    if report is None:
        return Seen([], set(), set())
    if report.state == "failed":
        return Seen([causes.breaker_open(report.reason, report.fix)], set(), set())
    return Seen([], {causes.BREAKER}, set())


def late_statements(store: Store, dates: Sequence[str], time_zone: str, deadline: str) -> Seen:
    """Look which of the days, whose statements are due, have none that is final.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    kept = {head["date"] for head in statements.heads(store, dates) if not head["provisional"]}
    late = [causes.statement_late(date, time_zone, deadline) for date in dates if date not in kept]
    return Seen(late, {causes.statement_key(date) for date in kept}, set())


def runs(instance: dg.DagsterInstance, since_ms: int) -> Seen:
    """Look at the latest run of each job that has ended, and day; crashed ones too, as run monitoring fails them."""
    seen = Seen([], set(), set())
    after = max(datetime.fromtimestamp(since_ms / 1000, UTC), datetime.now(UTC) - SPAN)
    ended = RunsFilter(statuses=_ENDED, updated_after=after)
    records = instance.get_run_records(ended, limit=_RUNS_MAX, order_by="update_timestamp")
    latest = {(_name(each.dagster_run), days_of(each.dagster_run)): each.dagster_run for each in reversed(records)}
    for (job, days), run in latest.items():
        key = causes.run_key(job, days)
        if run.status == DagsterRunStatus.SUCCESS:
            seen.over.add(key)
            continue
        if TOLD_TAG in run.tags:
            seen.known.add(key)
        text = why(instance, run.run_id)
        if text is not None:
            seen.present.append(causes.run_failed(job, days, text, run.run_id))
    return seen


def failing_run(instance: dg.DagsterInstance, like: dg.DagsterRun) -> dg.DagsterRun | None:
    """Return the latest ended run of the same job, for the same days, if it failed."""
    tags = {name: like.tags[name] for name in (_DAY_TAG, _FIRST_DAY_TAG, _LAST_DAY_TAG) if name in like.tags}
    ended = RunsFilter(job_name=like.job_name, statuses=_ENDED, tags=tags)
    for record in instance.get_run_records(ended, limit=1, order_by="update_timestamp"):
        if record.dagster_run.status == DagsterRunStatus.FAILURE:
            return record.dagster_run
    return None


def why(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """Return why a run failed, in our own words; None where a check that blocks was the reason, as that is told."""
    logged = instance.get_records_for_run(run_id, of_type=DagsterEventType.STEP_FAILURE, limit=1).records
    for each in logged:
        event = each.event_log_entry.dagster_event
        error = None if event is None else event.step_failure_data.error
        chain: list[tuple[str, str]] = []
        while error is not None:
            chain.append((error.cls_name or "error", error.message))
            error = error.cause
        return _words(chain)
    return "It ended without a word: its process died or could not start."


def words_for(error: BaseException | None) -> str | None:
    """Return what may be said of an error, as `why` does."""
    chain: list[tuple[str, str]] = []
    while error is not None:
        kind = type(error)
        chain.append((kind.__name__, f"{kind.__module__}.{kind.__name__}: {error}"))
        error = error.__cause__
    return _words(chain)


def _words(chain: Sequence[tuple[str, str]]) -> str | None:
    """Take the names and texts of an error, its cause, the cause of that. A text that is not ours may hold anything."""
    for name, text in chain:
        if name == "DagsterAssetCheckFailedError":
            return None
        if text.startswith(_OURS):
            return text.partition(": ")[2]
    foreign = [name for name, _ in chain if not name.startswith("Dagster")]
    return f"An unexpected {foreign[0] if foreign else 'error'}; the run's log has the rest."


def _judge(
    seen: Seen, evaluation: dg.AssetCheckEvaluation, evidence: str, days: Days | None, told: Collection[str]
) -> bool:
    """Add what a result means, and say whether it is a good one: it ends what was told of the days that it is about."""
    asset, name = evaluation.asset_key.to_user_string(), evaluation.check_name
    if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR:
        text = evaluation.description or "It says no more."
        seen.present.append(causes.check_failed(asset, name, days, text, evidence))
        return False
    seen.over.update(key for key in told if causes.is_ended(key, asset, name, days))
    return True


def days_of(run: dg.DagsterRun) -> Days | None:
    """Return the days that a run was about, or None."""
    day = run.tags.get(_DAY_TAG)
    first, last = run.tags.get(_FIRST_DAY_TAG, day), run.tags.get(_LAST_DAY_TAG, day)
    return None if first is None or last is None else Days(first, last)


def _days_of_runs(instance: dg.DagsterInstance, run_ids: set[str]) -> dict[str, Days | None]:
    records = instance.get_run_records(RunsFilter(run_ids=sorted(run_ids))) if run_ids else []
    return {each.dagster_run.run_id: days_of(each.dagster_run) for each in records}


def _name(run: dg.DagsterRun) -> str:
    """Return the job's name; where Dagster made one up for chosen assets or checks, theirs."""
    chosen = [key.to_user_string() for key in run.asset_selection or ()]
    chosen += [f"{key.asset_key.to_user_string()}:{key.name}" for key in run.asset_check_selection or ()]
    return " and ".join(sorted(chosen)) if chosen and run.job_name.startswith("__") else run.job_name
