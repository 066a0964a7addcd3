"""Any object of a Kubernetes cluster, applied by the server's own rules: what others own of it stays theirs."""

import json
from collections.abc import Mapping
from typing import Any

from orders_platform.errors import OrdersError, ServiceUnavailable
from orders_platform.supervision.backends.kubernetes_client import connected

TIMEOUT_S = 20.0
FIELD_MANAGER = "orders-deploy"
_PLURALS = {
    "ConfigMap": "configmaps",
    "Deployment": "deployments",
    "Namespace": "namespaces",
    "NetworkPolicy": "networkpolicies",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "PriorityClass": "priorityclasses",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
}
_OF_THE_CLUSTER = {"Namespace", "PriorityClass"}
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class ClusterApi:
    """The API server that the kubeconfig's context names."""

    def __init__(self, context: str | None) -> None:
        """Raises:
        OrdersError: no cluster is known.
        """
        self._client = connected(context)

    def find(self, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the object of this kind and name, or None; of a Secret its metadata alone.

        Raises:
            OrdersError: the API server refuses or can't be reached.
        """
        accept = _METADATA_ONLY if wanted["kind"] == "Secret" else "application/json"
        return self._call("GET", wanted, {"Accept": accept})

    def apply(self, wanted: Mapping[str, Any], *, dry_run: bool) -> dict[str, Any]:
        """Apply an object on the server, or let it say what that would come to.

        Raises:
            OrdersError: the API server refuses or can't be reached; somebody else owns a field with another value.
        """
        query = [("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict")]
        query += [("dryRun", "All")] if dry_run else []
        headers = {"Accept": "application/json", "Content-Type": "application/apply-patch+yaml"}
        applied = self._call("PATCH", wanted, headers, json.dumps(wanted), query)
        if applied is None:
            raise OrdersError(
                f"There is no place for {wanted['kind']} {wanted['metadata']['name']} in this cluster.",
                "Its namespace or its kind is missing.",
            )
        return applied

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _call(
        self,
        method: str,
        wanted: Mapping[str, Any],
        headers: Mapping[str, str],
        body: str | None = None,
        query: list[tuple[str, str]] | None = None,
    ) -> dict[str, Any] | None:
        from urllib3.exceptions import HTTPError

        request = self._client.param_serialize(
            method,
            path_of(wanted),
            query_params=query or [],
            header_params=dict(headers),
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._client.call_api(*request, _request_timeout=(TIMEOUT_S, TIMEOUT_S))
            content = answer.read()
        except (HTTPError, OSError):
            raise ServiceUnavailable(
                "Kubernetes' API server can't be reached.", "Check the network and the kubeconfig's context."
            ) from None
        if answer.status == 404:
            return None
        if answer.status >= 400:
            raise _refusal(f"{wanted['kind']} {wanted['metadata']['name']}", answer.status, content)
        return json.loads(content)


def _refusal(what: str, status: int, content: bytes) -> OrdersError:
    try:
        told = str(json.loads(content)["message"]).rstrip(".")
    except (ValueError, LookupError, TypeError):  # a proxy's page
        told = f"status {status}"
    if status == 409:
        return OrdersError(
            f"{what} belongs to somebody else: {told}.", "Let go of these fields there, or change the overlay."
        )
    if status == 429 or status >= 500:
        return ServiceUnavailable(f"Kubernetes' API server could not do {what}: {told}.", "Do it again later.")
    return OrdersError(f"Kubernetes refused {what}: {told}.", "Correct the overlay, or ask for the right.")


def path_of(wanted: Mapping[str, Any]) -> str:
    """Return where an object is.

    Raises:
        OrdersError: it is of a kind that no overlay has.
    """
    kind, version, metadata = wanted["kind"], wanted["apiVersion"], wanted["metadata"]
    if kind not in _PLURALS:
        raise OrdersError(f"{kind} is a kind that is not known here.", "Apply it with kubectl before.")
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    namespace = "" if kind in _OF_THE_CLUSTER else f"/namespaces/{metadata['namespace']}"
    return f"{root}{namespace}/{_PLURALS[kind]}/{metadata['name']}"
