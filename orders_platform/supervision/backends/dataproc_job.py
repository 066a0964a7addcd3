"""The job that Dataproc gets for one life of the matcher, in the API's own words."""

from typing import TYPE_CHECKING, Any

from orders_platform.settings import Settings
from orders_platform.store.matcher_records import BegunCheckpoint
from orders_platform.supervision.backends.driver_environment import run_variables, settings_variables
from orders_platform.supervision.backends.release import DEPENDENCIES, Release
from orders_platform.supervision.checkpoints import location

if TYPE_CHECKING:
    from google.cloud.dataproc_v1.types import SubmitJobRequest

APP = "orders-platform"
EXECUTOR_CORES = 2
EXECUTOR_MEMORY = "4g"


def labels(settings: Settings) -> dict[str, str]:
    """Return what every job of this platform bears, and no other."""
    return {"app": APP, "platform": settings.dataproc.name}


def job_id(settings: Settings, epoch: int, attempt: int) -> str:
    """Return the id of a life's job. It is the request's id as well: at most 40 characters."""
    return f"{settings.dataproc.name}-{epoch}-{attempt}"


def submit_request(
    settings: Settings, release: Release, epoch: int, attempt: int, begun: BegunCheckpoint | None
) -> "SubmitJobRequest":
    """Return the request that starts a driver. Doing it twice starts one: its ids are those of epoch and attempt.

    Raises:
        SettingsError: a secret is set by its value.
    """
    from google.cloud.dataproc_v1.types import (
        Job,
        JobPlacement,
        JobReference,
        JobScheduling,
        PySparkJob,
        SubmitJobRequest,
    )

    project, identity = settings.dataproc.project, job_id(settings, epoch, attempt)
    environment = settings_variables(settings, location(settings, begun))
    environment |= run_variables(epoch, attempt, None if begun is None else begun.offsets)
    return SubmitJobRequest(
        project_id=project,
        region=settings.dataproc.region,
        request_id=identity,
        job=Job(
            reference=JobReference(project_id=project, job_id=identity),
            placement=JobPlacement(cluster_name=settings.dataproc.cluster),
            labels=labels(settings) | {"epoch": str(epoch), "attempt": str(attempt)},
            # One retry loop, the supervisor's: Dataproc's own would start what was replaced.
            scheduling=JobScheduling(max_failures_per_hour=0, max_failures_total=0),
            pyspark_job=PySparkJob(
                main_python_file_uri=release.main,
                python_file_uris=[release.wheel],
                archive_uris=[f"{release.dependencies}#{DEPENDENCIES}"],
                jar_file_uris=list(release.jars),
                properties=properties(settings, environment),
            ),
        ),
    )


def properties(settings: Settings, environment: dict[str, str]) -> dict[str, str]:
    """Return Spark's configuration of a driver of the matcher."""
    chosen = {
        "spark.dynamicAllocation.enabled": "false",
        "spark.executor.instances": settings.dataproc.executors,
        "spark.executor.cores": EXECUTOR_CORES,
        "spark.executor.memory": EXECUTOR_MEMORY,
        "spark.driver.memory": settings.matcher.driver_memory,
    }
    return yarn_properties(environment, chosen)


def yarn_properties(environment: dict[str, str], chosen: dict[str, Any]) -> dict[str, str]:
    """Return Spark's configuration of a driver and executors in YARN, which brings our code to both."""
    code = f"./{DEPENDENCIES}:./orders_platform.zip"
    told = environment | {"PYTHONPATH": code, "ORDERS_HOME": "./orders-home"}
    everywhere: dict[str, Any] = {
        # The driver in a container: only there it gets the archive and an environment of its own.
        "spark.submit.deployMode": "cluster",
        # YARN's restarts are off as well.
        "spark.yarn.maxAppAttempts": 1,
        "spark.yarn.submit.waitAppCompletion": "true",
        "spark.ui.enabled": "false",
        "spark.eventLog.enabled": "false",
        "spark.speculation": "false",
        "spark.python.worker.reuse": "true",
    }
    everywhere |= {f"spark.yarn.appMasterEnv.{name}": value for name, value in told.items()}
    everywhere |= {f"spark.executorEnv.{name}": value for name, value in told.items()}
    return {name: str(value) for name, value in sorted((everywhere | chosen).items())}
