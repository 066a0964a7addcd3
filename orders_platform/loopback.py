"""Services of this machine in the place of a cloud's, for tests: without TLS, so nothing else may be named."""

import ipaddress
import os
from typing import Any

from orders_platform.errors import SettingsError


def channel(endpoint: str) -> Any:
    """Return a gRPC channel to an address of this machine, as `127.0.0.1:4711`.

    Raises:
        SettingsError: it is not one.
    """
    if not is_here(endpoint):
        raise SettingsError(
            f"The endpoint {endpoint} is not on this machine.",
            "Leave it out: only the cloud's own address is spoken to with encryption.",
        )
    import grpc

    return grpc.insecure_channel(endpoint, [("grpc.enable_http_proxy", 0)])


def endpoint_here() -> str | None:
    """Return the address of this machine that stands for Google's services, or None for their own."""
    return os.environ.get("ORDERS_GOOGLE_ENDPOINT")


def is_here(endpoint: str) -> bool:
    """Tell whether an address with its port is of this machine."""
    host, _, port = endpoint.rpartition(":")
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback and port.isdecimal()
    except ValueError:
        return False
