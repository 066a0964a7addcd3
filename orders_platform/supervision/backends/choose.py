"""Which backend the settings choose, and what supervision must know of it beforehand."""

from datetime import date

from orders_platform.errors import SettingsError
from orders_platform.local.stack import Endpoints
from orders_platform.settings import Settings
from orders_platform.supervision.backends import local_statements
from orders_platform.supervision.backends.local_statements import Progress
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


def make_by_batch(
    settings: Settings, endpoints: Endpoints, first: date, last: date, *, force: bool, progress: Progress
) -> None:
    """Make the statements of the days from the first to the last by a Spark batch: on Dataproc where the matcher is,
    else on this machine. Return when they are kept.

    Raises:
        OrdersError: it can't be started, or failed.
    """
    if settings.matcher.backend == "dataproc":
        from orders_platform.supervision.backends import dataproc_statements

        dataproc_statements.run(settings, first, last, force=force)
    else:
        local_statements.run(settings, endpoints, first, last, force=force, progress=progress)


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
