"""Closing days: each night by itself, by hand and as backfill, and again where settings changed."""

from datetime import timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orders_platform.defs.alerts.hooks import tell_failure
from orders_platform.reports.days import date_at

MINUTE = 10
"""After midnight: what occurred just before it has arrived by then. What comes later still makes a revision."""
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
        description="Closes the day that has just ended, in the time zone of the business day.",
    )
    def close_day_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        now_ms = int(context.scheduled_execution_time.timestamp() * 1000)
        ended = (date_at(now_ms, days.timezone) - timedelta(days=1)).isoformat()
        return dg.RunRequest(run_key=ended, partition_key=ended)

    return close_day_schedule
