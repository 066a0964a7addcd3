"""Which backend the settings choose, and what supervision must know of it beforehand."""

from orders_platform.errors import SettingsError
from orders_platform.local.stack import Endpoints
from orders_platform.settings import Settings
from orders_platform.supervision.decide import Policy
from orders_platform.supervision.observe import Backend

REMOTE_GRACE_MS = 600_000
"""Elsewhere a driver waits for a machine, an image or its turn before it begins."""


def make_backend(settings: Settings, endpoints: Endpoints) -> Backend:
    """Return the backend that `matcher.backend` names; its libraries are imported only now.

    Raises:
        SettingsError: a driver elsewhere could not reach this home's own Kafka or MongoDB, or the backend's settings
            are missing.
    """
    match settings.matcher.backend:
        case "dataproc":
            _require_services_elsewhere(settings)
            from orders_platform.supervision.backends.dataproc import DataprocBackend

            return DataprocBackend(settings)
        case "kubernetes":
            _require_services_elsewhere(settings)
            from orders_platform.supervision.backends.kubernetes import KubernetesBackend

            return KubernetesBackend(settings)
        case _:
            from orders_platform.supervision.backends.local import LocalBackend

            return LocalBackend(settings, endpoints)


def policy_of(settings: Settings) -> Policy:
    """Return the bounds of supervision for the backend that the settings name."""
    return Policy() if settings.matcher.backend == "local" else Policy(grace_ms=REMOTE_GRACE_MS)


def _require_services_elsewhere(settings: Settings) -> None:
    missing = []
    if settings.kafka.bootstrap_servers is None:
        missing.append("kafka.bootstrap_servers")
    if not settings.mongo.is_given():
        missing.append("mongo.uri_secret or mongo.uri_file")
    if missing:
        raise SettingsError(
            f"A matcher on {settings.matcher.backend} can't reach the services of this home.",
            f"Set {' and '.join(missing)}.",
        )
