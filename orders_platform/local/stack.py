"""The local platform as a whole: where its parts are, starting and stopping them in order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orders_platform.local import broker, mongod
from orders_platform.settings import Settings


@dataclass(frozen=True)
class Endpoints:
    """Where Kafka and MongoDB are, and how to speak to them. What may hold a secret is not shown by `repr`."""

    bootstrap_servers: str
    mongo_uri: str = field(repr=False)
    kafka_client: Mapping[str, str] = field(default_factory=dict, repr=False)


def endpoints(settings: Settings) -> Endpoints:
    """Return what the settings name, and this home's own processes for what they leave open.

    Raises:
        StackError: a process of this home is needed and does not run.
        SettingsError: a file that holds a secret can't be read.
    """
    home = Path(settings.home)
    return Endpoints(
        bootstrap_servers=settings.kafka.bootstrap_servers or broker.bootstrap_servers(home),
        mongo_uri=settings.mongo.given_uri() or mongod.uri(home),
        kafka_client=settings.kafka.client_properties(),
    )
