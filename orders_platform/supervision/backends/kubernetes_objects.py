"""What we read of Kubernetes' objects, in their own names; the rest of them is left out."""

from typing import Any

import msgspec


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    pass


class Metadata(_Part, frozen=True):
    """Of an object or a pod template. Times are RFC 3339 in UTC."""

    name: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    annotations: dict[str, str] = {}


class Terminated(_Part, frozen=True):
    """How a container ended."""

    exit_code: int
    reason: str = ""
    message: str = ""


class Waiting(_Part, frozen=True):
    """Why a container does not run yet."""

    reason: str = ""
    message: str = ""


class ContainerState(_Part, frozen=True):
    """At most one of these; a running container has none."""

    terminated: Terminated | None = None
    waiting: Waiting | None = None


class ContainerStatus(_Part, frozen=True):
    """One container of a pod. `last_state` is how the life before this one ended."""

    name: str
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class Condition(_Part, frozen=True):
    """Something that holds of an object, or does not."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class PodStatus(_Part, frozen=True):
    """What its node says of a pod."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Variable(_Part, frozen=True):
    """A variable of a container, by value or by reference."""

    name: str
    value_from: dict[str, Any] | None = None


class Container(_Part, frozen=True):
    """What a container is to run."""

    name: str
    image: str = ""
    env: tuple[Variable, ...] = ()


class PodSpec(_Part, frozen=True):
    """What a pod is to run, and where."""

    containers: tuple[Container, ...]
    node_name: str = ""


class Pod(_Part, frozen=True):
    """One pod."""

    metadata: Metadata
    spec: PodSpec
    status: PodStatus = PodStatus()


class PodList(_Part, frozen=True):
    """All pods that were asked for, at the version of `metadata`."""

    metadata: Metadata
    items: tuple[Pod, ...]


class Template(_Part, frozen=True):
    """What the pods of a Deployment are made from."""

    spec: PodSpec
    metadata: Metadata = Metadata()


class Selector(_Part, frozen=True):
    """Which pods are a Deployment's."""

    match_labels: dict[str, str]


class DeploymentSpec(_Part, frozen=True):
    """What a Deployment wants."""

    selector: Selector
    template: Template
    replicas: int = 1


class DeploymentStatus(_Part, frozen=True):
    """What became of it."""

    conditions: tuple[Condition, ...] = ()


class Deployment(_Part, frozen=True):
    """One Deployment."""

    metadata: Metadata
    spec: DeploymentSpec
    status: DeploymentStatus = DeploymentStatus()
