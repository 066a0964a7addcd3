"""Deploying to Dataproc: code into the bucket, and the fixed cluster that the matcher lives on."""

import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orders_platform.deploy import package
from orders_platform.deploy.bucket import Bucket
from orders_platform.deploy.plan import Plan, Step, differences
from orders_platform.errors import SettingsError, StackError
from orders_platform.local import jars
from orders_platform.loopback import endpoint_here
from orders_platform.settings import DataprocSettings, Settings
from orders_platform.supervision.backends import request_files
from orders_platform.supervision.backends.dataproc_clients import Dataproc
from orders_platform.supervision.backends.dataproc_statements import policy_id
from orders_platform.supervision.backends.release import DATAPROC_PYTHON, DATAPROC_SPARK, release
from orders_platform.surroundings import ROOT

CLUSTER_TIMEOUT_S = 1_200.0
"""A cluster takes two to five minutes to come up."""
_IN_PLACE = ("labels", "config.worker_config.num_instances")
"""What Dataproc changes of a cluster that runs."""


@contextmanager
def planned(settings: Settings, tell: Callable[[str], None]) -> Iterator[Plan]:
    """Give the plan that brings the project to what this checkout and these settings say; its files live as long.

    Raises:
        SettingsError: where to deploy is not set.
        OrdersError: the package can't be made, or Google refuses or does not answer.
    """
    its, bucket = _where(settings)
    with tempfile.TemporaryDirectory(prefix="orders-deploy-") as scratch:
        tell("Packing the code.")
        made = package.build(ROOT, Path(scratch), python=DATAPROC_PYTHON, progress=tell)
        tell("Looking at what is there.")
        steps = [bucket.step()]
        if not steps[0].needs:
            steps += [bucket.object_step(uri, file) for uri, file in _objects(str(its.bucket), made, Path(scratch))]
        steps += [_policy_step(settings), _cluster_step(its)]
        yield Plan(f"Dataproc, project {its.project}, region {its.region}", steps)


def _where(settings: Settings) -> tuple[DataprocSettings, Bucket]:
    its = settings.dataproc
    missing = [name for name in ("project", "region", "bucket") if getattr(its, name) is None]
    if settings.matcher.backend != "dataproc":
        missing.append('matcher.backend = "dataproc"')
    if settings.kafka.bootstrap_servers is None:
        missing.append("kafka.bootstrap_servers")
    if settings.mongo.uri_secret is None:
        missing.append("mongo.uri_secret")
    if missing:
        raise SettingsError("It is not set where and what to deploy.", f"Set {', '.join(missing)}.")
    return its, Bucket(str(its.bucket), str(its.project))


def _objects(bucket: str, made: package.Package, scratch: Path) -> Iterator[tuple[str, Path]]:
    """Yield where what goes."""
    its = release(bucket)
    with zipfile.ZipFile(made.wheel) as wheel:
        for uri, name in ((its.main, "spark/matcher_job.py"), (its.statements, "spark/statement_job.py")):
            yield uri, Path(wheel.extract(name, scratch))
    yield its.wheel, made.wheel
    yield its.dependencies, made.dependencies
    yield from zip(its.jars, jars.ensure(f"spark-{DATAPROC_SPARK}"), strict=True)


def cluster_of(its: DataprocSettings) -> dict[str, Any]:
    """Return the cluster that the file describes, with these settings filled in.

    Raises:
        SettingsError: the file is no cluster of the API.
    """
    from google.cloud.dataproc_v1.types import Cluster

    values = {
        "project": str(its.project),
        "region": str(its.region),
        "name": its.name,
        "cluster": its.cluster,
        "subnetwork": its.subnetwork,
        "bucket": str(its.bucket).removeprefix("gs://").split("/")[0],
        "workers": str(max(2, its.executors)),
    }
    given = request_files.filled("dataproc/cluster.yaml", values)
    return _as_dict(request_files.message(Cluster, given, "deploy/dataproc/cluster.yaml"))


def _as_dict(made: Any) -> dict[str, Any]:
    return type(made).to_dict(made, always_print_fields_with_no_presence=False, use_integers_for_enums=False)


def _policy_step(settings: Settings) -> Step:
    """Return what is to be done for the autoscaling of the statements' clusters to be as the file says.

    Raises:
        OrdersError: Dataproc refuses or does not answer.
    """
    from google.api_core.exceptions import NotFound
    from google.cloud.dataproc_v1.types import AutoscalingPolicy

    its, name, file = settings.dataproc, policy_id(settings), "dataproc/autoscaling-policy.yaml"
    parent = f"projects/{its.project}/regions/{its.region}"
    given = request_files.filled(file, {"policy": name})
    wanted = _as_dict(request_files.message(AutoscalingPolicy, given, f"deploy/{file}"))
    what, path = f"autoscaling policy {name}", f"{parent}/autoscalingPolicies/{name}"
    dataproc = Dataproc(str(its.project), str(its.region), endpoint_here())

    def act(method: str, request: Mapping[str, Any]) -> None:
        with dataproc.policies() as policies:
            getattr(policies, method)(request=request)

    with dataproc.policies() as policies:
        try:
            found = _as_dict(policies.get_autoscaling_policy(request={"name": path}))
        except NotFound:
            make = {"parent": parent, "policy": wanted}
            return Step(what, "missing", "create it", make, lambda: act("create_autoscaling_policy", make))
    if not (changed := differences(wanted, found)):
        return Step(what, "as wanted")
    update = {"policy": wanted | {"name": path}}
    does = f"update its {' and '.join(sorted(changed))}"
    return Step(what, "differs", does, update, lambda: act("update_autoscaling_policy", update))


def _cluster_step(its: DataprocSettings) -> Step:
    """Return what is to be done for the cluster to be as the file says.

    Raises:
        OrdersError: Dataproc refuses or does not answer.
    """
    from google.api_core.exceptions import NotFound

    wanted, what = cluster_of(its), f"cluster {its.cluster}"
    place = {"project_id": its.project, "region": its.region}
    dataproc = Dataproc(str(its.project), str(its.region), endpoint_here())
    with dataproc.clusters() as clusters:
        try:
            there = clusters.get_cluster(request=place | {"cluster_name": its.cluster})
        except NotFound:
            # No request_id: its name keeps a cluster from being made twice, and one may be made again after its end.
            request = place | {"cluster": wanted}
            does = f"create it: {its.executors} workers, about 3 minutes"
            return Step(what, "missing", does, request, lambda: _wait(dataproc, "create_cluster", request))
    found = _as_dict(there)
    if (state := there.status.state.name) in ("ERROR", "ERROR_DUE_TO_UPDATE", "DELETING"):
        gone = f"gcloud dataproc clusters delete {its.cluster} --region={its.region} --project={its.project}"
        return Step(what, "differs", needs=f"It is in state {state}. Look at its log, then: {gone}")
    changed = differences(wanted, found)
    if not changed:
        return Step(what, "as wanted")
    paths = sorted({_in_place(path) or path for path in changed})
    if others := [path for path in paths if path not in _IN_PLACE]:
        return Step(
            what,
            "differs",
            needs=f"{', '.join(others)} of a running cluster can't be changed. Set dataproc.cluster to a new name, "
            "deploy, run `orders matcher restart`, then delete the old cluster: the checkpoint is in the bucket.",
        )
    request = place | {"cluster_name": its.cluster, "cluster": wanted, "update_mask": {"paths": paths}}
    does = f"update its {' and '.join(paths)}"
    return Step(what, "differs", does, request, lambda: _wait(dataproc, "update_cluster", request))


def _in_place(path: str) -> str | None:
    return next((each for each in _IN_PLACE if path == each or path.startswith(f"{each}.")), None)


def _wait(dataproc: Dataproc, method: str, request: Mapping[str, Any]) -> None:
    """Ask for an operation and wait until it is done.

    Raises:
        StackError: it takes too long, or failed.
        OrdersError: Dataproc refused.
    """
    from google.api_core.exceptions import GoogleAPICallError

    with dataproc.clusters() as clusters:
        operation = getattr(clusters, method)(request=request)
        try:
            operation.result(timeout=CLUSTER_TIMEOUT_S)
        except TimeoutError:
            raise StackError(
                f"Dataproc still works at it after {CLUSTER_TIMEOUT_S / 60:.0f} minutes.", "Do it again: it goes on."
            ) from None
        except GoogleAPICallError as error:
            raise StackError(f"Dataproc could not do it: {error.message}.", "Correct that, and do it again.") from None
