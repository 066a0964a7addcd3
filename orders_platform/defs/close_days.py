"""Days closed in this process by Dagster's job `close_day`; its run is kept in the home's instance like any other."""

import warnings
from datetime import date
from pathlib import Path

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

JOB = "close_day"


def close_days(instance_home: Path, first: date, last: date) -> bool:
    """Make the statements and breaks of days in one run, as a backfill does, and say whether all of it succeeded.

    A day that does not close is made too, and is no success: its blocking check fails.

    Raises:
        SettingsError: a key is unknown or a value is not what its key takes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from orders_platform.definitions import defs

        job = defs().resolve_job_def(JOB)
        with dg.DagsterInstance.from_config(str(instance_home)) as instance:
            result = job.execute_in_process(
                instance=instance,
                tags={
                    ASSET_PARTITION_RANGE_START_TAG: first.isoformat(),
                    ASSET_PARTITION_RANGE_END_TAG: last.isoformat(),
                },
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
    return result.success
