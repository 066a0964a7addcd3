"""The topics: made when they are missing, found when they are there."""

import difflib
import time
from collections.abc import Iterable, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ClusterMetadata,  # pyright: ignore[reportPrivateImportUsage]
    NewTopic,  # pyright: ignore[reportPrivateImportUsage]
)

from orders_platform.errors import ServiceUnavailable, UsageError
from orders_platform.streams.client import admin, refusal, unreachable
from orders_platform.streams.offsets import end_offsets

_REPLICAS_MAX = 3


def ensure_topics(
    bootstrap_servers: str,
    client: Mapping[str, str],
    names: Iterable[str],
    partitions: int,
    *,
    timeout_s: float = 10.0,
) -> list[str]:
    """Make the topics that are missing, wait until all can be written to, and return those that were made.

    New topics carry the broker's time, so that a replay can begin at a time that no producer chose; on three brokers
    or more each has three replicas, of which two must have a message before it counts as sent. Topics that are there
    stay as they are. Safe to run from several processes at once.

    Raises:
        ServiceUnavailable: the broker can't be reached within `timeout_s`, or refuses to make a topic.
        SettingsError: `client` holds a property that the Kafka client does not take.
    """
    wanted = list(dict.fromkeys(names))
    deadline = time.monotonic() + timeout_s
    with admin(bootstrap_servers, client) as kafka:
        cluster = kafka.list_topics(timeout=timeout_s)
        missing = [name for name in wanted if name not in cluster.topics]
        made = _make(kafka, bootstrap_servers, client, missing, partitions, len(cluster.brokers), deadline)
        while not _writable(cluster, wanted):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise ServiceUnavailable(
                    f"Kafka at {bootstrap_servers} has no leader for every partition of {', '.join(wanted)}.",
                    "Look at the broker's log, and run this again.",
                )
            cluster = kafka.list_topics(timeout=left_s)
            if not _writable(cluster, wanted):
                time.sleep(min(0.1, left_s))
    if made:
        # A broker may name itself a partition's leader a moment before it is one.
        end_offsets(bootstrap_servers, client, made, timeout_s=max(1.0, deadline - time.monotonic()))
    return made


def require_topic(bootstrap_servers: str, client: Mapping[str, str], name: str, *, timeout_s: float = 10.0) -> None:
    """Check that a topic that a person named exists.

    Raises:
        UsageError: there is no such topic.
        ServiceUnavailable: the broker can't be reached within `timeout_s`.
    """
    with admin(bootstrap_servers, client) as kafka:
        names = [each for each in kafka.list_topics(timeout=timeout_s).topics if not each.startswith("__")]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1) or sorted(names)[:5]
        raise UsageError(
            f"There is no topic {name}.",
            f"Did you mean {', '.join(near)}?" if near else "Run `orders up` to make them.",
        )


def _make(
    kafka: AdminClient,
    bootstrap_servers: str,
    client: Mapping[str, str],
    names: Sequence[str],
    partitions: int,
    brokers: int,
    deadline: float,
) -> list[str]:
    if not names:
        return []
    replicas = max(1, min(_REPLICAS_MAX, brokers))
    config = {"message.timestamp.type": "LogAppendTime", "min.insync.replicas": str(max(1, replicas - 1))}
    left_s = max(0.1, deadline - time.monotonic())
    asked = kafka.create_topics(
        [NewTopic(name, partitions, replicas, config=config) for name in names],
        operation_timeout=left_s,
        request_timeout=left_s,
    )
    made: list[str] = []
    for name, answer in asked.items():
        try:
            answer.result(timeout=left_s + 1)
        except TimeoutError:
            raise unreachable(bootstrap_servers) from None
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise refusal(bootstrap_servers, client, error.args[0]) from None
        else:
            made.append(name)
    return made


def _writable(cluster: ClusterMetadata, names: Iterable[str]) -> bool:
    for name in names:
        topic = cluster.topics.get(name)
        if topic is None or not topic.partitions:
            return False
        if any(partition.leader < 0 for partition in topic.partitions.values()):
            return False
    return True
