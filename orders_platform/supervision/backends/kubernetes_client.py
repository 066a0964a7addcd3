"""One Deployment of one namespace and its pods, through Kubernetes' own client; imported when the first call is made.

Inside a cluster it authenticates as the pod's service account, elsewhere as the kubeconfig says. Every call ends within
a bound and is made once: whether to try again is for who called.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from orders_platform.errors import OrdersError, ServiceUnavailable
from orders_platform.settings import KubernetesSettings
from orders_platform.supervision.backends.kubernetes_objects import Deployment, PodList

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, ApiException

TIMEOUT_S = 5.0
FIELD_MANAGER = "orders-supervisor"
_STRATEGIC = "application/strategic-merge-patch+json"
_Object = TypeVar("_Object", bound=msgspec.Struct)


class Conflict(OrdersError):
    """Somebody else changed the object since it was read."""


class NotFound(OrdersError):
    """The object is not there."""


class Expired(OrdersError):
    """The API server no longer knows the changes since the given version: list again."""


class Cluster:
    """The matcher's Deployment as the API server knows it. Nothing is asked before the first call."""

    def __init__(self, settings: KubernetesSettings, timeout_s: float = TIMEOUT_S) -> None:
        self.namespace = settings.namespace
        self.name = settings.deployment
        self._context = settings.context
        self._timeout_s = timeout_s
        self._api: ApiClient | None = None

    def deployment(self) -> Deployment:
        """Return the Deployment.

        Raises:
            NotFound: it or its namespace is not there.
            ServiceUnavailable: no answer came in time.
            OrdersError: the API server refused.
        """
        from kubernetes.client import AppsV1Api

        with self._translated("get", "deployments"):
            found = AppsV1Api(self._client()).read_namespaced_deployment(self.name, self.namespace, **self._bound())
        return self._read(found, Deployment)

    def patch(self, body: Mapping[str, Any]) -> None:
        """Merge `body` into the Deployment; with a `resourceVersion` only if nobody changed it since.

        Raises:
            Conflict: somebody did.
            NotFound, ServiceUnavailable, OrdersError: as `deployment`; after ServiceUnavailable it may have been done.
        """
        from kubernetes.client import AppsV1Api

        with self._translated("patch", "deployments"):
            AppsV1Api(self._client()).patch_namespaced_deployment(
                self.name,
                self.namespace,
                dict(body),
                field_manager=FIELD_MANAGER,
                _content_type=_STRATEGIC,
                **self._bound(),
            )

    def pods(self, selector: str) -> PodList:
        """Return the pods that the label selector picks, as they are now.

        Raises:
            ServiceUnavailable, OrdersError: as `deployment`.
        """
        from kubernetes.client import CoreV1Api

        with self._translated("list", "pods"):
            found = CoreV1Api(self._client()).list_namespaced_pod(
                self.namespace, label_selector=selector, **self._bound()
            )
        return self._read(found, PodList)

    def changes(self, selector: str, since: str, longest_s: int) -> Iterator[str]:
        """Yield the kind of each change to those pods after the version `since`, for `longest_s` at most.

        Raises:
            Expired: `since` is too long ago.
            ServiceUnavailable, OrdersError: as `deployment`; also when the connection breaks.
        """
        from kubernetes.client import CoreV1Api
        from kubernetes.watch import Watch

        with self._translated("watch", "pods"):
            for event in Watch().stream(
                CoreV1Api(self._client()).list_namespaced_pod,
                self.namespace,
                label_selector=selector,
                resource_version=since,
                allow_watch_bookmarks=True,
                timeout_seconds=longest_s,
                # A connection that died without a word is given up soon after the server should have ended it.
                _request_timeout=(self._timeout_s, longest_s + self._timeout_s),
            ):
                yield str(event["type"])  # type: ignore[index]  # untyped: an event of this kind of watch is a dict

    def delete_pod(self, name: str, uid: str) -> None:
        """Delete this very pod at once. On a node that is cut off its processes may live on.

        Raises:
            ServiceUnavailable, OrdersError: as `deployment`. A pod that is gone is no error.
        """
        from kubernetes.client import CoreV1Api, V1DeleteOptions, V1Preconditions

        options = V1DeleteOptions(grace_period_seconds=0, preconditions=V1Preconditions(uid=uid))
        try:
            with self._translated("delete", "pods"):
                CoreV1Api(self._client()).delete_namespaced_pod(name, self.namespace, body=options, **self._bound())
        except (NotFound, Conflict):
            pass  # gone, or another one has its name

    def close(self) -> None:
        """Let go of the connections."""
        if self._api is not None:
            self._api.close()
            self._api = None

    def _read(self, found: object, kind: type[_Object]) -> _Object:
        return msgspec.convert(self._client().sanitize_for_serialization(found), kind)

    def _bound(self) -> dict[str, Any]:
        return {"_request_timeout": (self._timeout_s, self._timeout_s)}

    def _client(self) -> "ApiClient":
        if self._api is None:
            self._api = connected(self._context)
        return self._api

    @contextmanager
    def _translated(self, verb: str, resource: str) -> Iterator[None]:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ApiException as error:
            raise self._translation(error, verb, resource) from None
        except (HTTPError, OSError):
            raise ServiceUnavailable(
                f"Kubernetes' API server can't be reached, or did not answer within {self._timeout_s:g} s.",
                "Check the network and the kubeconfig's context; what runs there goes on.",
            ) from None

    def _translation(self, error: "ApiException", verb: str, resource: str) -> OrdersError:
        told = _sentence(error)
        match error.status:
            case 401:
                return OrdersError(
                    "Kubernetes' API server does not know who asks.",
                    "Log in again, or give the pod its service account; `kubectl auth whoami` tells.",
                )
            case 403:
                return OrdersError(
                    f"Kubernetes does not let us {verb} {resource} in the namespace {self.namespace}.",
                    f"Grant the verb {verb} on {resource}: `orders deploy kubernetes` makes the role.",
                )
            case 404:
                return NotFound(
                    f"There is no Deployment {self.name} in the namespace {self.namespace}.",
                    "Run `orders deploy kubernetes`, or set kubernetes.namespace and kubernetes.deployment.",
                )
            case 409:
                return Conflict(f"Somebody else changed the Deployment {self.name} meanwhile.", "Try again.")
            case 410:
                return Expired("What changed since then is no longer known.", "List again.")
            case int(status) if status == 429 or status >= 500:
                return ServiceUnavailable(f"Kubernetes' API server answered {status}: {told}", "Try again later.")
        return OrdersError(f"Kubernetes refused to {verb} {resource}: {told}", "Correct the Deployment.")


def connected(context: str | None) -> "ApiClient":
    """Connect as the pod's service account, or as the kubeconfig says; no call is made twice.

    Raises:
        OrdersError: no cluster is known.
    """
    from kubernetes.client import ApiClient, Configuration
    from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

    configuration = Configuration()
    try:
        if context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(configuration)
        else:
            load_kube_config(os.environ.get("KUBECONFIG"), context, configuration, persist_config=False)
    except ConfigException as error:
        raise OrdersError(
            f"No Kubernetes cluster is known here: {str(error).rstrip('.')}.",
            "Set KUBECONFIG or kubernetes.context, or run it inside the cluster with a service account.",
        ) from None
    configuration.retries = False  # type: ignore[assignment]  # ours is the one retry loop
    return ApiClient(configuration)


def _sentence(error: "ApiException") -> str:
    """Return what the API server said, without the whole request around it."""
    told = error.reason or ""
    with suppress(msgspec.DecodeError, AttributeError):  # a proxy's page
        told = msgspec.json.decode(error.body or b"{}").get("message") or told
    return f"{told}".rstrip(". ")[:500] + "."
