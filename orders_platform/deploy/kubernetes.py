"""Deploying to Kubernetes: an overlay's objects applied by the server, then the Dagster there starts the matcher."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orders_platform.deploy.cluster_api import ClusterApi
from orders_platform.deploy.plan import Plan, Step
from orders_platform.errors import MissingDependency, OrdersError, StackError
from orders_platform.settings import KubernetesSettings
from orders_platform.surroundings import ROOT

OVERLAYS = ROOT / "deploy" / "kubernetes" / "overlays"
SECRETS = {"orders-mongo": "uri", "orders-dagster": "postgres-url"}
"""What overlays name and somebody else makes, by the key that must be in it."""
ROLLOUT_TIMEOUT_S = 900.0
EPOCH = "orders-platform/epoch"
_UNSET = re.compile(r"\b(PROJECT|REGION|ACCOUNT|BUCKET)\b|sha256:0{64}")
_SERVERS_OWN = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")
_POLL_S = 2.0


def planned(overlay: Path, api: ClusterApi) -> Plan:
    """Return the plan that brings the cluster to what an overlay says.

    Raises:
        OrdersError: the overlay can't be rendered, or the API server refuses or can't be reached.
    """
    objects = rendered(overlay)
    unset = sorted({found.group(0)[:20] for each in objects for found in _UNSET.finditer(str(each))})
    if unset:
        copy = f"cp -r {overlay} my-overlay"
        need = f"{copy}, set {', '.join(unset)} there, and deploy with --overlay my-overlay"
        return Plan(f"Kubernetes, {overlay.name}", [Step(f"overlay {overlay.name}", "missing", needs=need)])
    namespace = next(each["metadata"]["namespace"] for each in objects if "namespace" in each["metadata"])
    steps = [_step(api, _namespace(namespace), there=True)]
    there = steps[0].state != "missing"
    steps += [_secret_step(api, namespace, name, key, there=there) for name, key in SECRETS.items()]
    steps += [_step(api, each, there=there or each["kind"] == "PriorityClass") for each in objects]
    return Plan(f"Kubernetes, namespace {namespace}", steps)


def rendered(overlay: Path) -> list[dict[str, Any]]:
    """Return an overlay's objects, what others need first.

    Raises:
        MissingDependency: there is no kubectl.
        OrdersError: the overlay is none.
    """
    import yaml

    beside = Path(sys.executable).with_name("kubectl")
    kubectl = shutil.which("kubectl") or (str(beside) if beside.exists() else None)
    if kubectl is None:
        raise MissingDependency("kubectl was not found.", "Install kubectl 1.33 or later, and put it on PATH.")
    done = subprocess.run([kubectl, "kustomize", overlay], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OrdersError(
            f"The overlay {overlay} can't be rendered: {done.stderr.strip().splitlines()[-1]}.", "Correct the overlay."
        )
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def await_matcher(api: ClusterApi, settings: KubernetesSettings, objects: list[dict[str, Any]]) -> str:
    """Wait until Dagster's parts are up and its sensor has started a matcher that works; return its epoch.

    Raises:
        StackError: that takes too long; it says what is not ready.
        OrdersError: the API server refuses or can't be reached.
    """
    deployments = [each for each in objects if each["kind"] == "Deployment"]
    deadline_s = time.monotonic() + ROLLOUT_TIMEOUT_S
    while True:
        found = {each["metadata"]["name"]: api.find(each) or {} for each in deployments}
        waiting = sorted(name for name, each in found.items() if not _is_up(each))
        template = found.get(settings.deployment, {}).get("spec", {}).get("template", {})
        epoch = template.get("metadata", {}).get("annotations", {}).get(EPOCH)
        if not waiting and epoch is not None:
            return epoch
        if time.monotonic() > deadline_s:
            raise StackError(
                f"{', '.join(waiting) or settings.deployment} did not come up within {ROLLOUT_TIMEOUT_S / 60:.0f} min.",
                "Look at `kubectl describe` and `kubectl logs` of it; what was applied stays, and works once it can.",
            )
        time.sleep(_POLL_S)


def _is_up(deployment: dict[str, Any]) -> bool:
    status, wanted = deployment.get("status", {}), deployment.get("spec", {}).get("replicas", 1)
    seen = status.get("observedGeneration", 0) >= deployment.get("metadata", {}).get("generation", 0)
    return bool(wanted) and seen and status.get("availableReplicas", 0) >= wanted


def _step(api: ClusterApi, wanted: dict[str, Any], *, there: bool) -> Step:
    """Return what is to be done for an object; without its namespace there is nothing to look at yet."""
    name = f"{wanted['kind']} {wanted['metadata']['name']}"
    found = api.find(wanted) if there else None
    request = {"apply": wanted}
    if found is None:
        return Step(name, "missing", f"create {name}", request, _applying(api, wanted))
    if wanted["kind"] == "Deployment" and wanted["spec"].get("replicas") == 0:
        # Supervision scales it; an apply that said 0 would end the matcher.
        wanted = wanted | {"spec": {key: value for key, value in wanted["spec"].items() if key != "replicas"}}
    if _content(api.apply(wanted, dry_run=True)) == _content(found):
        return Step(name, "as wanted")
    return Step(name, "differs", f"update {name}", {"apply": wanted}, _applying(api, wanted))


def _applying(api: ClusterApi, wanted: dict[str, Any]) -> Callable[[], object]:
    return lambda: api.apply(wanted, dry_run=False)


def _secret_step(api: ClusterApi, namespace: str, name: str, key: str, *, there: bool) -> Step:
    """Return whether a secret is there, without reading it."""
    wanted = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}}
    if there and api.find(wanted) is not None:
        return Step(f"Secret {name}", "as wanted")
    make = f"kubectl -n {namespace} create secret generic {name} --from-file={key}=FILE"
    first = "" if there else f"kubectl create namespace {namespace} && "
    return Step(f"Secret {name}", "missing", needs=f"{first}{make}")


def _namespace(name: str) -> dict[str, Any]:
    # Pods that could do more than ours are refused by the cluster itself.
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _content(found: dict[str, Any]) -> dict[str, Any]:
    """Return an object without what the server counts and keeps of it."""
    metadata = {key: value for key, value in found["metadata"].items() if key not in _SERVERS_OWN}
    return {key: value for key, value in found.items() if key != "status"} | {"metadata": metadata}
