"""Secrets that Google's Secret Manager keeps, read by the process that needs them with its own service account."""

import re
from functools import cache

from orders_platform.errors import ServiceUnavailable, SettingsError
from orders_platform.loopback import channel, endpoint_here

NAME = re.compile(r"projects/[a-z0-9:.-]{1,60}/secrets/[A-Za-z0-9_-]{1,255}/versions/(latest|[1-9][0-9]{0,9})")
"""A version's resource name. `latest` moves a process to a new secret when it starts anew, and no sooner."""
TIMEOUT_S = 10.0


@cache
def secret(name: str) -> str:
    """Return the text of a version. It is asked for once a process.

    Raises:
        SettingsError: there is no such version, it is disabled, or this process may not read it.
        ServiceUnavailable: Secret Manager did not answer in time.
    """
    from google.api_core import exceptions as api
    from google.api_core.retry import Retry
    from google.auth.exceptions import GoogleAuthError

    short = "/".join(name.split("/")[2:])
    try:
        with _client() as client:
            answer = client.access_secret_version(name=name, retry=Retry(timeout=TIMEOUT_S), timeout=TIMEOUT_S)
    except (api.NotFound, api.FailedPrecondition):
        raise SettingsError(
            f"There is no enabled {short} in Secret Manager.", "Add a version, or name one that is enabled."
        ) from None
    except (api.PermissionDenied, api.Unauthenticated, GoogleAuthError):
        raise SettingsError(
            f"This process may not read {short}.",
            "Grant its service account the role Secret Manager Secret Accessor on that secret alone.",
        ) from None
    except (api.GoogleAPICallError, api.RetryError) as error:
        raise ServiceUnavailable(
            f"Secret Manager did not give {short} ({type(error).__name__}).", "Check the network, and try again."
        ) from None
    return answer.payload.data.decode().strip()


def _client():
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

    endpoint = endpoint_here()
    if endpoint is None:
        return SecretManagerServiceClient()
    transport = SecretManagerServiceClient.get_transport_class("grpc")
    return SecretManagerServiceClient(transport=transport(channel=channel(endpoint)))
