"""Kafka and MongoDB as the settings name them, for one command."""

from collections.abc import Iterator
from contextlib import contextmanager

from orders_platform.local.stack import Endpoints, endpoints
from orders_platform.settings import Settings
from orders_platform.store.client import Store, connect
from orders_platform.streams.publish import Publisher
from orders_platform.streams.roles import ROLES
from orders_platform.streams.topics import ensure_topics, require_topic


def publisher_for(settings: Settings, topic: str | None = None) -> Publisher:
    """Return a publisher, after a look whether Kafka is there: missing topics of ours are made, another `topic` must
    exist.

    Raises:
        StackError: this home's broker does not run.
        ServiceUnavailable: Kafka can't be reached.
        UsageError: there is no such topic.
    """
    where = endpoints(settings)
    ours = settings.kafka.topics
    if topic is None or topic in ours:
        ensure_topics(where.bootstrap_servers, where.kafka_client, ours, settings.kafka.partitions)
    else:
        require_topic(where.bootstrap_servers, where.kafka_client, topic)
    return Publisher(where.bootstrap_servers, where.kafka_client)


def topics_by_role(settings: Settings) -> dict[str, str]:
    """Return the topics' names by what they are for."""
    return dict(zip(ROLES, settings.kafka.topics, strict=True))


@contextmanager
def store_of(settings: Settings, where: Endpoints, *, timeout_s: float = 5.0) -> Iterator[Store]:
    """Give the store, and close it afterwards.

    Raises:
        FatalStoreError: the URI is none.
    """
    store = connect(where.mongo_uri, settings.mongo.database, timeout_s=timeout_s)
    try:
        yield store
    finally:
        store.close()
