"""The matcher on Kubernetes: a Deployment of one client-mode driver, which this patches and never makes.

An epoch is started by writing it into the pod template and scaling to 1, and ended by scaling to 0. Each patch names
the version that it was decided on, so that of two supervisors, or of one and a person, the slower looks again. What
keeps data right where a node is cut off and its pod writes on is the epoch in MongoDB, as everywhere.
"""

import time
from collections.abc import Callable
from typing import Any

from orders_platform.errors import Deposed, OrdersError, ServiceUnavailable, SettingsError, StackError
from orders_platform.settings import PREFIX, Settings
from orders_platform.store.matcher_records import BegunCheckpoint
from orders_platform.supervision.backends.driver_environment import run_variables, settings_variables
from orders_platform.supervision.backends.kubernetes_client import Cluster, Conflict
from orders_platform.supervision.backends.kubernetes_look import Look, Seen
from orders_platform.supervision.backends.kubernetes_pods import (
    ATTEMPT,
    CONTAINER,
    EPOCH,
    LAST_END,
    end_of,
    living,
    run_of,
    trouble,
)
from orders_platform.supervision.checkpoints import location
from orders_platform.supervision.observe import Handle

TRIES = 5
"""How often a patch is decided anew because somebody else was faster or no answer came."""
DRAIN_WAIT_S = 30.0
GONE_WAIT_S = 30.0
_POLL_S = 0.25


class KubernetesBackend:
    """Starts, finds and ends the matcher of one namespace."""

    name = "Kubernetes"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cluster = Cluster(settings.kubernetes)
        self._look = Look(self._cluster)

    def submit(self, epoch: int, attempt: int, begun: BegunCheckpoint | None = None) -> Handle:
        """Want a pod of this epoch and return at once; whether it works is for its heartbeat to say.

        Raises:
            Deposed: a driver of a later epoch lives.
            SettingsError: a pod can't be told a setting, or the checkpoint would go with the pod.
            OrdersError: Kubernetes refused or can't be reached; it may have been done all the same.
        """
        checkpoint = location(self._settings, begun)
        if checkpoint is None:
            raise SettingsError(
                "The matcher's checkpoint would be gone with its pod.",
                "Set matcher.checkpoint to a bucket, such as gs://my-bucket/checkpoint, or to a volume's directory.",
            )
        environment = settings_variables(self._settings, checkpoint)
        environment |= run_variables(epoch, attempt, None if begun is None else begun.offsets)

        def begin(seen: Seen) -> dict[str, Any] | None:
            running = living(seen.deployment, seen.pods)
            if running is not None and running.epoch > epoch:
                raise Deposed(f"The matcher of epoch {running.epoch} runs already.", "Nothing to do: that one goes on.")
            if running is not None and (running.epoch, running.attempt) == (epoch, attempt):
                return None
            annotations = {EPOCH: str(epoch), ATTEMPT: str(attempt)}
            container = {"name": CONTAINER, "env": _variables(seen, environment)}
            template = {"metadata": {"annotations": annotations}, "spec": {"containers": [container]}}
            return {"spec": {"replicas": 1, "template": template}}

        self._change(begin)
        found = self._cluster.deployment().metadata
        return Handle(f"{found.uid}/{epoch}", f"deployment {found.name}", epoch, attempt)

    def find(self) -> Handle | None:
        """Return the driver of the newest epoch that lives or is about to; what was seen may be seconds old.

        Raises:
            OrdersError: Kubernetes refused or can't be reached: nothing is known then.
        """
        seen = self._look.latest()
        return living(seen.deployment, seen.pods)

    def stop(self, handle: Handle, drain: bool) -> None:
        """Scale to 0 and return when no pod of this epoch or an earlier one is left.

        With `drain` the pod gets a polite signal and some seconds; without, it is deleted at once.

        Raises:
            StackError: it does not go.
            OrdersError: Kubernetes refused or can't be reached.
        """

        def is_ours(seen: Seen) -> bool:
            running = living(seen.deployment, seen.pods)
            return running is None or running.epoch <= handle.epoch

        self._change(lambda seen: _to_zero(seen) if is_ours(seen) else None)
        if drain and self._is_gone(handle.epoch, DRAIN_WAIT_S, force=False):
            return
        if not self._is_gone(handle.epoch, GONE_WAIT_S, force=True):
            raise StackError(
                f"The {handle.told} of epoch {handle.epoch} does not go.",
                f"Look at it with `kubectl -n {self._cluster.namespace} get pods -o wide`.",
            )

    def proved(self, handle: Handle) -> None:
        """Hear that this driver has committed a batch: nothing is learnt from it here."""

    def close(self) -> None:
        """Let go of what serves the supervisor alone; the driver is left at work."""
        self.disconnect()

    def disconnect(self) -> None:
        """Let go of the watch and the connections."""
        self._look.close()
        self._cluster.close()

    def clear_leftovers(self) -> bool:
        """Scale a dead driver to 0, so that Kubernetes does not start it again, and delete its pods. Say if any was.

        Raises:
            StackError: something does not go.
            OrdersError: Kubernetes refused or can't be reached.
        """
        seen = self._change(lambda seen: None if living(seen.deployment, seen.pods) else _to_zero(seen))
        if not seen.pods or living(seen.deployment, seen.pods) is not None:
            return False
        dead = max(run_of(pod.metadata.annotations).epoch for pod in seen.pods)
        if not self._is_gone(dead, GONE_WAIT_S, force=True):
            raise StackError(
                f"What epoch {dead} left does not go.",
                f"Look at it with `kubectl -n {self._cluster.namespace} get pods -o wide`.",
            )
        return True

    def describe(self) -> dict[str, str]:
        """Say where it lives, for people; `trouble` is there while something keeps it from working."""
        where = f"kubectl -n {self._cluster.namespace}"
        told = {
            "backend": "kubernetes",
            "namespace": self._cluster.namespace,
            "deployment": self._cluster.name,
            "log": f"`{where} logs deployment/{self._cluster.name}`",
        }
        try:
            seen = self._look.latest(watched=False)
        except OrdersError as error:
            return told | {"trouble": str(error)}
        if seen.pods:
            pod = max(seen.pods, key=lambda each: (run_of(each.metadata.annotations), each.metadata.creation_timestamp))
            told |= {"pod": pod.metadata.name, "log": f"`{where} logs {pod.metadata.name}`"}
            if pod.spec.node_name:
                told["node"] = pod.spec.node_name
            told["image"] = next((each.image for each in pod.spec.containers if each.name == CONTAINER), "")
        if last := seen.deployment.metadata.annotations.get(LAST_END):
            told["last end"] = last
        if what := trouble(seen.deployment, seen.pods):
            told |= {"trouble": what, "state": what.rstrip(".")}
        return told

    def _change(self, decide: Callable[[Seen], dict[str, Any] | None]) -> Seen:
        """Patch the Deployment as `decide` says of what is there now; nothing where it says None. Return what it saw.

        Raises:
            OrdersError: Kubernetes refused or can't be reached, or others keep changing the Deployment.
        """
        for tries_left in reversed(range(TRIES)):
            seen = self._look.now()
            patch = decide(seen)
            if patch is None:
                return seen
            metadata = patch.pop("metadata", {}) | {"resourceVersion": seen.deployment.metadata.resource_version}
            try:
                self._cluster.patch({"metadata": metadata, **patch})
                return seen
            except (Conflict, ServiceUnavailable):
                # After no answer it may have been done: the next look tells.
                if tries_left == 0:
                    raise
            finally:
                self._look.forget()
            time.sleep(_POLL_S)
        raise AssertionError

    def _is_gone(self, epoch: int, timeout_s: float, *, force: bool) -> bool:
        """Say whether no pod of this epoch or an earlier one is left within the time. With `force`, delete them."""
        deadline_s = time.monotonic() + timeout_s
        while left := [pod for pod in self._look.now().pods if run_of(pod.metadata.annotations).epoch <= epoch]:
            if time.monotonic() > deadline_s:
                return False
            if force:
                # Again each time: until the scaling has gone round, Kubernetes replaces what is deleted.
                for pod in left:
                    self._cluster.delete_pod(pod.metadata.name, pod.metadata.uid)
            time.sleep(_POLL_S)
        return True


def _to_zero(seen: Seen) -> dict[str, Any] | None:
    """Return the patch that scales to 0 and keeps how the driver ended, which goes with its pod."""
    if seen.deployment.spec.replicas == 0:
        return None
    patch: dict[str, Any] = {"spec": {"replicas": 0}}
    ended = [(run_of(pod.metadata.annotations), end) for pod in seen.pods if (end := end_of(pod)) is not None]
    if ended:
        run, end = max(ended, key=lambda each: (each[0], not each[1].refused))
        patch["metadata"] = {"annotations": {LAST_END: f"epoch {run.epoch}: {end.told()}"}}
    return patch


def _variables(seen: Seen, wanted: dict[str, str]) -> list[dict[str, Any]]:
    """Return the container's new variables as a patch: merged by name, and those of an earlier epoch taken away.

    Every `ORDERS_*` with a plain value is supervision's; what refers to a secret or a field is the manifests'.
    """
    containers = seen.deployment.spec.template.spec.containers
    present = next((each.env for each in containers if each.name == CONTAINER), None)
    if present is None:
        name = seen.deployment.metadata.name
        raise OrdersError(f"The Deployment {name} has no container {CONTAINER}.", "Run `orders deploy kubernetes`.")
    stale = [
        each.name
        for each in present
        if each.name.startswith(PREFIX) and each.value_from is None and each.name not in wanted
    ]
    return [
        *({"name": name, "value": value} for name, value in wanted.items()),
        *({"name": name, "$patch": "delete"} for name in stale),
    ]
