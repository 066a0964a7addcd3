"""Closing days: each night by itself, by hand and as backfill, and again where settings changed."""

from datetime import date, timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orders_platform.defs.alerts.hooks import tell_failure
from orders_platform.defs.resources import MatcherResource
from orders_platform.errors import OrdersError
from orders_platform.reports.days import date_at
from orders_platform.reports.statement import INCOMPLETE
from orders_platform.store import statements

MINUTE = 10
"""After midnight: what occurred just before it has arrived by then. What comes later still makes a revision."""
MADE_UP_DAYS = 14
"""A longer gap is a person's to fill: Dagster itself makes up for nothing."""
_SELECTION = dg.AssetSelection.assets("daily_statement", "breaks")


def close_day() -> UnresolvedAssetJobDefinition:
    """Return the job over a day's statement and breaks."""
    return dg.define_asset_job(
        "close_day",
        _SELECTION,
        description="Make the day's statement, hold it against itself, and list its breaks if it closes.",
        hooks={tell_failure},
    )


def rebuild_day() -> UnresolvedAssetJobDefinition:
    """Return the job that makes a day again whatever it was made with."""
    return dg.define_asset_job(
        "rebuild_day",
        _SELECTION,
        config={"ops": {"daily_statement": {"config": {"force": True}}}},
        description=(
            "Make the day's statement again with the time zone and the settings of matching of now, although it was "
            "made with others; as `orders report DATE --force`."
        ),
        hooks={tell_failure},
    )


def every_night(job: UnresolvedAssetJobDefinition, days: dg.DailyPartitionsDefinition) -> dg.ScheduleDefinition:
    """Return the schedule that closes each day after it has ended.

    `build_schedule_from_partitioned_job` would take the last partition, which is today's and not over.
    """

    @dg.schedule(
        name="close_day_schedule",
        job=job,
        cron_schedule=f"{MINUTE} 0 * * *",
        execution_timezone=days.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=(
            "Closes the day that has just ended, in the time zone of the business day, and the days of the fortnight "
            "before it that nobody closed."
        ),
    )
    def close_day_schedule(context: dg.ScheduleEvaluationContext, matcher: MatcherResource) -> list[dg.RunRequest]:
        tick = context.scheduled_execution_time
        ended = date_at(int(tick.timestamp() * 1000), days.timezone) - timedelta(days=1)
        try:
            closed = _last_closed(matcher)
        except OrdersError as error:
            context.log.warning(f"Whether earlier days are missing can't be said. {error}")
            closed = None
        missed = 0 if closed is None else max(0, (ended - closed).days - 1)
        first = ended - timedelta(days=missed if missed <= MADE_UP_DAYS else 0)
        keys = [(first + timedelta(days=day)).isoformat() for day in range((ended - first).days + 1)]
        return [dg.RunRequest(run_key=f"{key} on {tick:%Y-%m-%d}", partition_key=key) for key in keys]

    return close_day_schedule


def _last_closed(matcher: MatcherResource) -> date | None:
    """Return the last business day whose kept statement is final and closes."""
    with matcher.mongo.store(matcher.settings()) as store:
        for each in reversed(statements.heads(store, at_most=MADE_UP_DAYS + 2)):
            if not each["provisional"] and each["verdict"] != INCOMPLETE:
                return date.fromisoformat(each["date"])
    return None
