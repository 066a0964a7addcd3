"""Kafka, MongoDB, the matcher, Dataproc and the webhook for assets, checks, jobs and sensors.

They take what they are not given from the platform's settings (`ORDERS_*`, orders.toml), when they are first used and
not before. So no secret stands in Dagster's configuration; who wires one in names its variable: `dg.EnvVar("NAME")`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from orders_platform.defs.dataproc import DataprocResource
from orders_platform.defs.webhook import WebhookResource
from orders_platform.local import mongod
from orders_platform.settings import Settings
from orders_platform.store.client import Store, connect
from orders_platform.streams.offsets import Positions, begin_offsets, end_offsets
from orders_platform.supervision import rounds
from orders_platform.supervision.backends.choose import make_backend, policy_of
from orders_platform.supervision.checks import SAMPLE, Subject
from orders_platform.supervision.observe import MakeBackend, Memory

TIMEOUT_S = 5.0


class KafkaResource(dg.ConfigurableResource):
    """The brokers that the settings name, else this home's."""

    bootstrap_servers: str | None = None
    password: str | None = None

    def overrides(self) -> dict[str, Any]:
        """Return the settings that this resource was given."""
        return {"kafka": _given(bootstrap_servers=self.bootstrap_servers, password=self.password)}

    def ends(self, settings: Settings) -> Positions:
        """Return the offset behind the last message of every partition of our topics.

        Raises:
            OrdersError: the brokers can't be reached.
        """
        return end_offsets(*_brokers(settings), settings.kafka.topics, timeout_s=TIMEOUT_S)

    def begins(self, settings: Settings) -> Positions:
        """Return the offset of the first message that is still kept, for every partition of our topics.

        Raises:
            OrdersError: the brokers can't be reached.
        """
        return begin_offsets(*_brokers(settings), settings.kafka.topics, timeout_s=TIMEOUT_S)


class MongoResource(dg.ConfigurableResource):
    """The MongoDB that the settings name, else this home's."""

    uri: str | None = None
    database: str | None = None

    def overrides(self) -> dict[str, Any]:
        """Return the settings that this resource was given."""
        return {"mongo": _given(uri=self.uri, database=self.database)}

    @contextmanager
    def store(self, settings: Settings, timeout_s: float = TIMEOUT_S) -> Iterator[Store]:
        """Connect, and let go afterwards. An answer may take six times the time-out.

        Raises:
            StackError: this home's MongoDB is needed and does not run.
        """
        uri = settings.mongo.given_uri() or mongod.uri(settings.home)
        store = connect(uri, settings.mongo.database, timeout_s=timeout_s)
        try:
            yield store
        finally:
            store.close()


class MatcherResource(dg.ConfigurableResource):
    """The matcher, where its backend runs it, and the rounds of its supervision."""

    kafka: dg.ResourceDependency[KafkaResource]
    mongo: dg.ResourceDependency[MongoResource]

    def settings(self) -> Settings:
        """Return the settings of now.

        Raises:
            SettingsError: a key is unknown or a value is not what its key takes.
        """
        return Settings.load(self.kafka.overrides() | self.mongo.overrides())

    def make_backend(self) -> MakeBackend:
        """Return what makes the backend that the matcher lives in."""
        return make_backend

    @contextmanager
    def subject(self, sample: int | None = SAMPLE) -> Iterator[Subject]:
        """Look at everything once, for checks.

        Raises:
            StackError: a local service does not run.
        """
        settings = self.settings()
        connections = rounds.Connections(settings, self.make_backend())
        try:
            store, _, servers = connections.get()
            me, clock = rounds.identity(settings), rounds.SteadyClock()
            sight = rounds.make_round(settings, connections, me, Memory(), clock, policy_of(settings))
            yield Subject(settings, store, servers, sight, sample)
        finally:
            connections.close()


def _brokers(settings: Settings) -> tuple[str, dict[str, str]]:
    from orders_platform.local.stack import endpoints

    return endpoints(settings).bootstrap_servers, settings.kafka.client_properties()


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


_KAFKA, _MONGO = KafkaResource(), MongoResource()
RESOURCES = {
    "kafka": _KAFKA,
    "mongo": _MONGO,
    "matcher": MatcherResource(kafka=_KAFKA, mongo=_MONGO),
    "dataproc": DataprocResource(),
    "webhook": WebhookResource(),
}
