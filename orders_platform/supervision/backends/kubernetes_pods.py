"""What the Deployment and its pods say of the matcher: pure functions of what the API server answered.

A Deployment restarts a container that ends, and replaces a pod that goes, by itself and with the same epoch. Such a
second life refuses itself: its epoch has begun already. Here it counts as dead, so that supervision starts the next
epoch and stays the only one that restarts anything.
"""

from collections.abc import Mapping, Sequence

import msgspec

from orders_platform.supervision.backends.kubernetes_objects import ContainerStatus, Deployment, Pod, Terminated
from orders_platform.supervision.observe import Handle

CONTAINER = "matcher"
EPOCH, ATTEMPT, LAST_END = "orders-platform/epoch", "orders-platform/attempt", "orders-platform/last-end"
REFUSED = 3
"""The exit status of a driver whose epoch is another's."""
_NORMAL_WAITS = ("", "ContainerCreating", "PodInitializing")
_MESSAGE_MAX = 500


class Run(msgspec.Struct, frozen=True, order=True):
    """Which life of the matcher a pod is, or a Deployment wants. Epoch 0: none of ours."""

    epoch: int = 0
    attempt: int = 0


def run_of(annotations: Mapping[str, str]) -> Run:
    """Read the annotations of a pod or of a pod template."""
    epoch, attempt = annotations.get(EPOCH, ""), annotations.get(ATTEMPT, "")
    return Run(int(epoch), int(attempt)) if epoch.isdecimal() and attempt.isdecimal() else Run()


def wanted_run(deployment: Deployment) -> Run:
    """Return the life that the Deployment wants, none where it is scaled to 0."""
    spec = deployment.spec
    return Run() if spec.replicas == 0 else run_of(spec.template.metadata.annotations)


def living(deployment: Deployment, pods: Sequence[Pod]) -> Handle | None:
    """Return the driver of the newest epoch, if it lives or is about to: also a pod that waits for a node or an image.

    Of two pods of one epoch the older one is the driver: a person scaled up, or a node is being emptied.
    """
    wanted = wanted_run(deployment)
    newest = max([wanted, *(run_of(pod.metadata.annotations) for pod in pods)])
    if newest.epoch == 0:
        return None
    its = [pod for pod in pods if run_of(pod.metadata.annotations) == newest]
    ends = [end for pod in its if (end := end_of(pod)) is not None]
    if any(not end.refused for end in ends):
        return None
    alive = sorted(
        (pod for pod in its if end_of(pod) is None),
        key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.name),
    )
    if alive:
        pod = alive[0].metadata
        return Handle(pod.uid, f"pod {pod.name}", newest.epoch, newest.attempt)
    if newest == wanted and not its:
        made = deployment.metadata
        told = f"deployment {made.name}, which has no pod yet"
        return Handle(f"{made.uid}/{newest.epoch}", told, newest.epoch, newest.attempt)
    return None


class End(msgspec.Struct, frozen=True):
    """How the matcher's container in a pod ended."""

    reason: str
    exit_code: int | None = None
    message: str = ""

    @property
    def refused(self) -> bool:
        """Whether it never was the driver of its epoch."""
        return self.exit_code == REFUSED

    def told(self) -> str:
        """Say it to a person."""
        code = "" if self.exit_code is None else f", exit code {self.exit_code}"
        return f"{self.reason}{code}" + (f": {self.message}" if self.message else "")


def end_of(pod: Pod) -> End | None:
    """Return how the driver in this pod ended, or None while it lives or waits.

    A container that runs again is over all the same: the life that it was started for has ended.
    """
    container = _container(pod)
    if container is not None:
        for state in (container.state, container.last_state):
            if state.terminated is not None:
                return _end(state.terminated)
        if container.restart_count:
            return End("its container was started again")
    if pod.status.phase in ("Failed", "Succeeded"):
        return End(pod.status.reason or pod.status.phase, message=_short(pod.status.message))
    return None


def trouble(deployment: Deployment, pods: Sequence[Pod]) -> str:
    """Say what keeps the newest pod from working, as far as Kubernetes knows; empty if nothing does."""
    if not pods:
        return _no_pod(deployment)
    pod = max(pods, key=lambda each: (run_of(each.metadata.annotations), each.metadata.creation_timestamp))
    told = [text for text in (_unscheduled(pod), _waiting(pod), _going(pod)) if text]
    if not told and (end := end_of(pod)) is not None:
        told = [end.told()]
    if deployment.spec.replicas > 1:
        told.append(f"The Deployment wants {deployment.spec.replicas} pods; only one can be the matcher.")
    return " ".join(text if text.endswith(".") else f"{text}." for text in told)


def _no_pod(deployment: Deployment) -> str:
    if deployment.spec.replicas == 0:
        return ""
    for condition in deployment.status.conditions:
        if condition.type == "ReplicaFailure" and condition.status == "True":
            return f"No pod can be made: {_short(condition.message).rstrip('.')}."
    return "Its pod is not made yet."


def _unscheduled(pod: Pod) -> str:
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"No node takes it: {_short(condition.message) or condition.reason}"
    return ""


def _waiting(pod: Pod) -> str:
    container = _container(pod)
    waiting = None if container is None else container.state.waiting
    if waiting is None or waiting.reason in (*_NORMAL_WAITS, "CrashLoopBackOff"):
        return ""
    return f"It can't start: {waiting.reason}" + (f": {_short(waiting.message)}" if waiting.message else "")


def _going(pod: Pod) -> str:
    """Tell of a pod that is being ended, and why: a node that is lost or emptied, pressure, a person."""
    if not pod.metadata.deletion_timestamp:
        return ""
    told = f"It is being ended since {pod.metadata.deletion_timestamp}"
    for condition in pod.status.conditions:
        if condition.type == "DisruptionTarget" and condition.status == "True":
            told += f" ({condition.reason}: {_short(condition.message)})"
    if pod.status.reason:
        told += f" ({pod.status.reason})"
    return told


def _container(pod: Pod) -> ContainerStatus | None:
    return next((status for status in pod.status.container_statuses if status.name == CONTAINER), None)


def _end(terminated: Terminated) -> End:
    return End(terminated.reason or "it ended", terminated.exit_code, _short(terminated.message))


def _short(message: str) -> str:
    """Return the end of what was said: of a log's last lines the last says most."""
    return " ".join(message.split())[-_MESSAGE_MAX:]
