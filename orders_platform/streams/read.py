"""Reading a bounded range of topics, once, in this process: no group, nothing committed."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from orders_platform.streams.client import APPLICATION, END_OF_PARTITION, properties, translated, unreachable
from orders_platform.streams.offsets import Positions


class Record(NamedTuple):
    """One message: where it lies, the broker's or producer's time in UTC milliseconds, and its bytes."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None


def read_range(
    bootstrap_servers: str,
    client: Mapping[str, str],
    begins: Positions,
    ends: Positions,
    *,
    records_max: int = 5_000,
    timeout_s: float = 30.0,
) -> Iterator[list[Record]]:
    """Yield the committed messages from `begins` (included) to `ends` (excluded) in lists of up to `records_max`.

    A partition's messages come in order. Messages that the broker no longer keeps are skipped: a caller who needs to
    know compares `begins` with `begin_offsets`.

    Raises:
        ServiceUnavailable: nothing came for `timeout_s` though the ends are not reached, or the broker refuses.
        SettingsError: `client` holds a property that the Kafka client does not take.
    """
    wanted = {
        (topic, at): end
        for topic, partitions in ends.items()
        for at, end in partitions.items()
        if begins[topic][at] < end
    }
    if not wanted:
        return
    with translated(bootstrap_servers, client):
        consumer = Consumer(
            properties(
                bootstrap_servers,
                client,
                group_id=f"{APPLICATION}-reader",  # asked for by the client, never joined
                enable_auto_commit=False,
                enable_partition_eof=True,
                isolation_level="read_committed",
                auto_offset_reset="earliest",
                queued_max_messages_kbytes=32 * 1024,
            )
        )
    try:
        with translated(bootstrap_servers, client):
            consumer.assign([TopicPartition(topic, at, begins[topic][at]) for topic, at in wanted])
        deadline = time.monotonic() + timeout_s
        while wanted:
            with translated(bootstrap_servers, client):
                found = consumer.consume(records_max, timeout=0.2)
                records = list(_wanted_of(consumer, found, wanted))
            if records:
                yield records
            if found:
                deadline = time.monotonic() + timeout_s  # the caller's time is not the broker's
            elif time.monotonic() >= deadline:
                raise unreachable(bootstrap_servers)
    finally:
        consumer.close()


def _wanted_of(consumer: Consumer, found: Iterable[Message], wanted: dict[tuple[str, int], int]) -> Iterator[Record]:
    """Yield the messages before their partition's end; take partitions that have reached it out of `wanted`."""
    for message in found:
        where = (message.topic() or "", message.partition() or 0)
        offset = message.offset() or 0
        error = message.error()
        if error is not None and error.code() != END_OF_PARTITION:
            raise KafkaException(error)
        end = wanted.get(where)
        if end is None:
            continue
        if error is None and offset < end:
            yield Record(*where, offset, message.timestamp()[1], message.key(), message.value())
        # The last offsets before the end may be a transaction's marks, which no message shows: the partition's own
        # end does.
        if offset >= end - (error is None):
            del wanted[where]
            consumer.pause([TopicPartition(*where)])
