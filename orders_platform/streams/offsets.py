"""Where topics begin and end, and which offset a time has: {topic: {partition: offset}}."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # pyright: ignore[reportPrivateImportUsage]

from orders_platform.errors import ServiceUnavailable
from orders_platform.streams.client import admin, unreachable

Positions = dict[str, dict[int, int]]
EARLIEST = -2
"""Kafka's word, in Spark's offset format, for the first message that is still there."""

# What a broker answers for a moment after a topic was made or a leader has changed.
_PASSING = frozenset(
    {
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)
_PAUSE_S = 0.05


def end_offsets(
    bootstrap_servers: str, client: Mapping[str, str], topics: Iterable[str], *, timeout_s: float = 5.0
) -> Positions:
    """Return the offset behind the last message that can be read, for every partition; open transactions are not over
    their end.

    Raises:
        ServiceUnavailable: the broker can't be reached within `timeout_s`, or has no such topic.
        SettingsError: `client` holds a property that the Kafka client does not take.
    """
    return _offsets(bootstrap_servers, client, topics, OffsetSpec.latest(), timeout_s)


def behind(ends: Mapping[str, Mapping[int, int]], done: Mapping[str, Mapping[str, int]], *, from_earliest: bool) -> int:
    """Return how many messages lie between what is done and the topics' ends.

    A partition of which nothing was done counts from its first offset, or not at all where one begins at the end.
    """
    return sum(
        max(0, end - done.get(topic, {}).get(str(partition), 0 if from_earliest else end))
        for topic, partitions in ends.items()
        for partition, end in partitions.items()
    )


def complete(
    offsets: Mapping[str, Mapping[str, int]], partitions: Mapping[str, Iterable[int]]
) -> dict[str, dict[str, int]]:
    """Return an offset for every partition that exists, as Spark wants it: the first message where none is known."""
    return {
        topic: {str(at): offsets.get(topic, {}).get(str(at), EARLIEST) for at in its}
        for topic, its in partitions.items()
    }


def begin_offsets(
    bootstrap_servers: str, client: Mapping[str, str], topics: Iterable[str], *, timeout_s: float = 5.0
) -> Positions:
    """Return the offset of the first message that is still kept, for every partition.

    Raises:
        As `end_offsets`.
    """
    return _offsets(bootstrap_servers, client, topics, OffsetSpec.earliest(), timeout_s)


def offsets_for_time(
    bootstrap_servers: str, client: Mapping[str, str], topics: Iterable[str], time_ms: int, *, timeout_s: float = 5.0
) -> Positions:
    """Return the offset of the first message that the broker received at `time_ms` (UTC) or later, for every
    partition; the end where there is none.

    Raises:
        As `end_offsets`.
    """
    names = list(topics)
    found = _offsets(bootstrap_servers, client, names, OffsetSpec.for_timestamp(time_ms), timeout_s)
    if all(offset >= 0 for partitions in found.values() for offset in partitions.values()):
        return found
    ends = end_offsets(bootstrap_servers, client, names, timeout_s=timeout_s)
    return {
        topic: {at: ends[topic][at] if offset < 0 else offset for at, offset in partitions.items()}
        for topic, partitions in found.items()
    }


def _offsets(
    bootstrap_servers: str,
    client: Mapping[str, str],
    topics: Iterable[str],
    spec: Any,  # the client types its own specs as optional
    timeout_s: float,
) -> Positions:
    deadline = time.monotonic() + timeout_s
    with admin(bootstrap_servers, client) as kafka:
        positions = {topic: dict.fromkeys(at, -1) for topic, at in _partitions(kafka, topics, timeout_s).items()}
        open_ = [TopicPartition(topic, at) for topic, partitions in positions.items() for at in partitions]
        while open_:
            left_s = max(0.1, deadline - time.monotonic())
            specs: dict[TopicPartition, Any] = dict.fromkeys(open_, spec)
            asked = kafka.list_offsets(specs, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=left_s)
            open_ = []
            for where, answer in asked.items():
                try:
                    positions[where.topic][where.partition] = answer.result(timeout=left_s + 1).offset
                except TimeoutError:
                    raise unreachable(bootstrap_servers) from None
                except KafkaException as error:
                    if error.args[0].code() not in _PASSING or time.monotonic() >= deadline:
                        raise
                    open_.append(where)
            if open_:
                time.sleep(_PAUSE_S)
    return positions


def _partitions(kafka: AdminClient, topics: Iterable[str], timeout_s: float) -> dict[str, list[int]]:
    known = kafka.list_topics(timeout=timeout_s).topics
    found: dict[str, list[int]] = {}
    for topic in topics:
        if topic not in known:
            raise ServiceUnavailable(
                f"Kafka has no topic {topic}.", "Run `orders up` to make the topics, or correct kafka.*_topic."
            )
        found[topic] = sorted(known[topic].partitions)
    return found
