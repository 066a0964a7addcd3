"""Runs wait their turn, but for those that start, restart or stop the matcher.

A backfill or a handful of runs that people started may take every place among the runs for hours. A matcher that died
can't wait for that, so its runs are launched at once; they last seconds, and among themselves they take turns.
"""

from dagster import DagsterRun, DagsterRunStatus, QueuedRunCoordinator
from dagster._core.run_coordinator.base import SubmitRunContext

ERRANDS = ("start_matcher", "restart_matcher", "stop_matcher")


class ErrandsAtOnce(QueuedRunCoordinator):
    """Dagster's queue as it is; dagster.yaml names this class and takes the same options."""

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Launch a run of the matcher's, queue any other.

        Raises:
            DagsterError: the code location did not take the run, which has failed then.
        """
        run = context.dagster_run
        if run.job_name not in ERRANDS or run.status != DagsterRunStatus.NOT_STARTED:
            return super().submit_run(context)
        return self._instance.launch_run(run.run_id, context.workspace)
