"""The matcher on Dataproc: one job a life, found by its labels, ended by cancelling it.

What the API says of a job is not health: a job may be RUNNING long after its driver died, and a driver that was asked
to stop makes it DONE, a success. So the backend only tells whether a job is there; the heartbeat tells the rest.
"""

import time
from contextlib import suppress

from orders_platform.errors import SettingsError, StackError
from orders_platform.loopback import endpoint_here
from orders_platform.settings import Settings
from orders_platform.store.matcher_records import BegunCheckpoint
from orders_platform.supervision.backends.dataproc_clients import Dataproc
from orders_platform.supervision.backends.dataproc_job import APP, submit_request
from orders_platform.supervision.backends.release import release
from orders_platform.supervision.observe import Handle

LOOK_EVERY_S = 3.0
"""Between two questions to the API: supervision looks more often, for a process costs nothing to look at."""
STOP_TIMEOUT_S = 90.0
_POLL_S = 1.0
_OVER = frozenset({"CANCELLED", "DONE", "ERROR"})


class DataprocBackend:
    """Submits, finds and cancels the matcher's jobs of one platform."""

    name = "Dataproc"

    def __init__(self, settings: Settings) -> None:
        """Connect to nothing yet.

        Raises:
            SettingsError: no project, region or bucket is set.
        """
        its = settings.dataproc
        if its.project is None or its.region is None or its.bucket is None:
            raise SettingsError(
                "The matcher is to run on Dataproc, and where is not set.",
                "Set dataproc.project, dataproc.region and dataproc.bucket.",
            )
        self._settings, self._bucket = settings, its.bucket
        self._project, self._region = its.project, its.region
        self._dataproc = Dataproc(its.project, its.region, endpoint_here())
        self._seen: Handle | None = None
        self._looked_s = float("-inf")

    def submit(self, epoch: int, attempt: int, begun: BegunCheckpoint | None = None) -> Handle:
        """Submit the job of a life and return at once. One that is there already is that job.

        Raises:
            OrdersError: Dataproc refused, did not answer, or has no such cluster.
        """
        from google.api_core import exceptions as api

        request = submit_request(self._settings, release(self._bucket), epoch, attempt, begun)
        identity = request.job.reference.job_id
        try:
            with self._dataproc.jobs() as jobs:
                try:
                    jobs.submit_job(request)
                except api.AlreadyExists:
                    pass  # an earlier request got through, though nobody heard the answer
                except api.DeadlineExceeded:
                    # Whether it was taken nobody knows, until it is looked for.
                    jobs.get_job(project_id=self._project, region=self._region, job_id=identity)
                except api.NotFound:
                    raise StackError(
                        f"Dataproc has no cluster {self._settings.dataproc.cluster} in {self._region}.",
                        "Make it with `orders deploy dataproc`.",
                    ) from None
                except api.ResourceExhausted as error:
                    raise StackError(
                        f"A quota of the project is used up: {error.message}.", "Ask for more, or end other jobs."
                    ) from None
        finally:
            self._looked_s = float("-inf")
        return _handle(identity, epoch, attempt)

    def find(self) -> Handle | None:
        """Return the newest job of this platform that is not over, as of `LOOK_EVERY_S` ago at most.

        Raises:
            OrdersError: Dataproc does not answer, or refuses.
        """
        if time.monotonic() - self._looked_s >= LOOK_EVERY_S:
            self._seen = self._look()
            self._looked_s = time.monotonic()
        return self._seen

    def stop(self, handle: Handle, drain: bool) -> None:
        """Cancel a driver's job and return when it is over. Whether it may finish its batch was settled before: it
        heeds the wish in MongoDB.

        Raises:
            StackError: it is not over in time.
            OrdersError: Dataproc does not answer, or refuses.
        """
        from google.api_core import exceptions as api

        self._looked_s = float("-inf")
        deadline_s = time.monotonic() + STOP_TIMEOUT_S
        with self._dataproc.jobs() as jobs:
            with suppress(api.NotFound, api.FailedPrecondition):  # it is over
                jobs.cancel_job(project_id=self._project, region=self._region, job_id=handle.id)
            while time.monotonic() < deadline_s:
                try:
                    job = jobs.get_job(project_id=self._project, region=self._region, job_id=handle.id)
                except api.NotFound:
                    return
                if job.status.state.name in _OVER:
                    return
                time.sleep(_POLL_S)
        raise StackError(
            f"Dataproc did not end the {handle.told} within {STOP_TIMEOUT_S:.0f} s.",
            "It is tried again; if it lasts, cancel the job by hand.",
        )

    def proved(self, handle: Handle) -> None:
        """Learn nothing from a driver that has committed: the next one starts as fast."""

    def close(self) -> None:
        """Let go of nothing: each question has a connection of its own."""

    def disconnect(self) -> None:
        """Let go of nothing, as `close`."""

    def clear_leftovers(self) -> bool:
        """Say that a job that is over left nothing behind: YARN ends all of its containers."""
        return False

    def describe(self) -> dict[str, str]:
        """Say where it lives, for people; of the newest job, if there is any, its state and where its output is.

        Raises:
            OrdersError: Dataproc does not answer, or refuses.
        """
        its = self._settings.dataproc
        told = {"backend": "dataproc", "project": self._project, "region": self._region, "cluster": its.cluster}
        newest = self._newest("")
        if newest is None:
            return told
        identity = newest.reference.job_id
        page = (
            f"https://console.cloud.google.com/dataproc/jobs/{identity}?region={self._region}&project={self._project}"
        )
        state = newest.status.state.name
        return told | {
            "job": identity,
            "state": f"{state}: {newest.status.details}" if newest.status.details else state,
            "log": newest.driver_output_resource_uri or page,
            "console": page,
        }

    def _look(self) -> Handle | None:
        newest = self._newest("status.state = ACTIVE AND ")
        if newest is None:
            return None
        return _handle(newest.reference.job_id, int(newest.labels["epoch"]), int(newest.labels["attempt"]))

    def _newest(self, state: str):
        found = f"{state}labels.app = {APP} AND labels.platform = {self._settings.dataproc.name}"
        with self._dataproc.jobs() as jobs:
            listed = jobs.list_jobs(request={"project_id": self._project, "region": self._region, "filter": found})
            ours = [job for job in listed if {"epoch", "attempt"} <= job.labels.keys()]
        return max(ours, key=lambda job: (int(job.labels["epoch"]), int(job.labels["attempt"])), default=None)


def _handle(identity: str, epoch: int, attempt: int) -> Handle:
    return Handle(id=identity, told=f"job {identity}", epoch=epoch, attempt=attempt)
