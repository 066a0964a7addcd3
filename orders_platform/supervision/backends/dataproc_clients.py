"""Dataproc of one project and region, through Google's typed clients; imported when the first is made.

They authenticate with the credentials of the environment (ADC), so no key is a setting. Every call ends within a bound;
left alone, Google's clients try for a quarter of an hour.
"""

import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from orders_platform.errors import OrdersError, ServiceUnavailable, SettingsError
from orders_platform.loopback import channel, is_here

if TYPE_CHECKING:
    from google.api_core.exceptions import GoogleAPICallError
    from google.cloud.dataproc_v1 import (
        AutoscalingPolicyServiceClient,
        BatchControllerClient,
        ClusterControllerClient,
        JobControllerClient,
        WorkflowTemplateServiceClient,
    )

TIMEOUT_S = 20.0
_Client = TypeVar("_Client")


class Dataproc(msgspec.Struct, frozen=True):
    """Where Dataproc is. Each client lives as long as its `with`, and errors that leave it are ours:

    ServiceUnavailable, where no answer came in time, else OrdersError. Inside, Google's own can be caught.
    `endpoint` is an address on this machine that speaks without TLS, for tests.
    """

    project: str
    region: str
    endpoint: str | None = None
    timeout_s: float = TIMEOUT_S

    def __post_init__(self) -> None:
        if self.endpoint is not None and not is_here(self.endpoint):
            raise SettingsError(
                "Dataproc's endpoint is not on this machine.",
                "Leave it out: the region says where Dataproc is, and only there the connection is encrypted.",
            )

    @contextmanager
    def jobs(self) -> "Iterator[JobControllerClient]":
        """Connect to submit, find and cancel jobs."""
        from google.cloud.dataproc_v1 import JobControllerClient

        with self._client(JobControllerClient) as client:
            yield client

    @contextmanager
    def clusters(self) -> "Iterator[ClusterControllerClient]":
        """Connect to make, find and delete clusters."""
        from google.cloud.dataproc_v1 import ClusterControllerClient

        with self._client(ClusterControllerClient) as client:
            yield client

    @contextmanager
    def batches(self) -> "Iterator[BatchControllerClient]":
        """Connect to start and find serverless batches."""
        from google.cloud.dataproc_v1 import BatchControllerClient

        with self._client(BatchControllerClient) as client:
            yield client

    @contextmanager
    def policies(self) -> "Iterator[AutoscalingPolicyServiceClient]":
        """Connect to make, find and delete autoscaling policies."""
        from google.cloud.dataproc_v1 import AutoscalingPolicyServiceClient

        with self._client(AutoscalingPolicyServiceClient) as client:
            yield client

    @contextmanager
    def workflows(self) -> "Iterator[WorkflowTemplateServiceClient]":
        """Connect to run jobs on clusters of their own."""
        from google.cloud.dataproc_v1 import WorkflowTemplateServiceClient

        with self._client(WorkflowTemplateServiceClient) as client:
            yield client

    @contextmanager
    def _client(self, kind: type[_Client]) -> Iterator[_Client]:
        with self._translated():
            client = self._made(kind)
            _bound(client, self.timeout_s)
            try:
                yield client
            finally:
                client.transport.close()

    def _made(self, kind: Any) -> Any:
        if self.endpoint is None:
            return kind(client_options={"api_endpoint": f"{self.region}-dataproc.googleapis.com:443"})
        return kind(transport=kind.get_transport_class("grpc")(channel=channel(self.endpoint)))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from google.api_core import exceptions as api
        from google.auth.exceptions import GoogleAuthError

        try:
            yield
        except GoogleAuthError:
            raise OrdersError(
                "This process has no credentials that Google accepts.",
                "Run `gcloud auth application-default login`, or give the machine a service account.",
            ) from None
        except api.DeadlineExceeded:
            raise ServiceUnavailable(
                f"Dataproc in {self.region} did not answer within {self.timeout_s:g} s.",
                "Look whether it was done all the same, then try again.",
            ) from None
        except api.ServiceUnavailable:
            raise ServiceUnavailable(
                f"Dataproc in {self.region} can't be reached.",
                "Check the network and the region, which is the setting dataproc.region.",
            ) from None
        except (api.Forbidden, api.Unauthorized) as error:
            raise OrdersError(
                f"Dataproc refused: {_sentence(error)}",
                f"Grant the account the role Dataproc Editor in the project {self.project}.",
            ) from None
        except api.GoogleAPICallError as error:
            name = type(error).__name__
            raise OrdersError(f"Dataproc answered {name}: {_sentence(error)}", "Correct the request.") from None


def _bound(client: object, timeout_s: float) -> None:
    """Give every call of a client our time-out, and no retries, unless the caller says otherwise."""
    for name, method in inspect.getmembers(type(client), inspect.isfunction):
        if not name.startswith("_") and {"retry", "timeout"} <= inspect.signature(method).parameters.keys():
            # Whether to try again is for who called: some requests would be done twice.
            setattr(client, name, functools.partial(getattr(client, name), retry=None, timeout=timeout_s))


def _sentence(error: "GoogleAPICallError") -> str:
    return f"{error.message}".rstrip(". ") + "."
