"""The statements' batch on Dataproc: a workflow whose own cluster grows with the work, and then goes."""

from datetime import date
from typing import TYPE_CHECKING, Any

from orders_platform.errors import SettingsError, StackError
from orders_platform.loopback import endpoint_here
from orders_platform.settings import Settings
from orders_platform.supervision.backends import request_files
from orders_platform.supervision.backends.dataproc_clients import Dataproc
from orders_platform.supervision.backends.dataproc_job import EXECUTOR_CORES, EXECUTOR_MEMORY, labels, yarn_properties
from orders_platform.supervision.backends.driver_environment import settings_variables
from orders_platform.supervision.backends.release import DEPENDENCIES, Release, release

if TYPE_CHECKING:
    from google.cloud.dataproc_v1.types import InstantiateInlineWorkflowTemplateRequest

TEMPLATE = "dataproc/statements.yaml"
TIMEOUT_S = 4 * 3_600.0
"""As long as the template lets a workflow run."""
DRIVER_MEMORY = "4g"


def policy_id(settings: Settings) -> str:
    """Return what this platform's autoscaling policy is called."""
    return f"{settings.dataproc.name}-statements"


def run(settings: Settings, first: date, last: date, *, force: bool) -> None:
    """Make the statements of the days from the first to the last, and return when they are kept.

    Raises:
        SettingsError: no project, region or bucket is set, or a secret is set by its value.
        StackError: the batch failed, or took longer than it may.
        OrdersError: Dataproc refuses or does not answer.
    """
    from google.api_core.exceptions import GoogleAPICallError

    its = settings.dataproc
    if its.project is None or its.region is None or its.bucket is None:
        raise SettingsError(
            "Statements of so many orders are made on Dataproc, and where is not set.",
            "Set dataproc.project, dataproc.region and dataproc.bucket.",
        )
    request = workflow_request(settings, release(its.bucket), first, last, force=force)
    with Dataproc(its.project, its.region, endpoint_here()).workflows() as workflows:
        operation = workflows.instantiate_inline_workflow_template(request)
        try:
            operation.result(timeout=TIMEOUT_S)
        except TimeoutError:
            raise StackError(
                f"Dataproc still makes the statements of {first} to {last} after {TIMEOUT_S / 3600:.0f} hours.",
                "Look at its workflows; doing it again is harmless.",
            ) from None
        except GoogleAPICallError as error:
            raise StackError(
                f"The statements' batch failed on Dataproc: {error.message}.",
                "Look at the job's output, in Dataproc's list of jobs; doing it again is harmless.",
            ) from None


def workflow_request(
    settings: Settings, release: Release, first: date, last: date, *, force: bool
) -> "InstantiateInlineWorkflowTemplateRequest":
    """Return the request that makes the cluster, runs the job and deletes the cluster.

    Raises:
        SettingsError: a secret is set by its value, or the template is no workflow of the API.
    """
    from google.cloud.dataproc_v1.types import (
        InstantiateInlineWorkflowTemplateRequest,
        JobScheduling,
        OrderedJob,
        PySparkJob,
        WorkflowTemplate,
    )

    its = settings.dataproc
    values = {
        "project": str(its.project),
        "region": str(its.region),
        "name": its.name,
        "subnetwork": its.subnetwork,
        "bucket": str(its.bucket).removeprefix("gs://").split("/")[0],
        "policy": policy_id(settings),
    }
    template: Any = request_files.message(
        WorkflowTemplate, request_files.filled(TEMPLATE, values), f"deploy/{TEMPLATE}"
    )
    template.jobs = [
        OrderedJob(
            step_id="statements",
            labels=labels(settings),
            scheduling=JobScheduling(max_failures_per_hour=0, max_failures_total=0),
            pyspark_job=PySparkJob(
                main_python_file_uri=release.statements,
                args=[first.isoformat(), last.isoformat(), *(["--force"] if force else [])],
                python_file_uris=[release.wheel],
                archive_uris=[f"{release.dependencies}#{DEPENDENCIES}"],
                properties=yarn_properties(
                    settings_variables(settings, None, also=("reports",)),
                    {
                        "spark.driver.memory": DRIVER_MEMORY,
                        "spark.dynamicAllocation.enabled": "true",
                        "spark.executor.cores": EXECUTOR_CORES,
                        "spark.executor.memory": EXECUTOR_MEMORY,
                    },
                ),
            ),
        )
    ]
    return InstantiateInlineWorkflowTemplateRequest(
        parent=f"projects/{its.project}/regions/{its.region}", template=template
    )
