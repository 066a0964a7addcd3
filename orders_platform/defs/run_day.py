"""A day closed in this process, as Dagster's job `close_day`: its run is kept in the home's instance like any other."""

import warnings
from datetime import date
from pathlib import Path

import dagster as dg

JOB = "close_day"


def run_day(instance_home: Path, when: date) -> bool:
    """Make a day's statement and breaks and have them checked; say whether all of it succeeded.

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
                partition_key=when.isoformat(),
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
    return result.success
