"""Topics, publishing, offsets and reading on a real broker."""

import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,  # pyright: ignore[reportPrivateImportUsage]
    ResourceType,  # pyright: ignore[reportPrivateImportUsage]
)

from orders_platform.errors import ServiceUnavailable, UsageError
from orders_platform.streams.offsets import Positions, begin_offsets, end_offsets, offsets_for_time
from orders_platform.streams.publish import Publisher
from orders_platform.streams.read import Record, read_range
from orders_platform.streams.topics import ensure_topics, require_topic
from orders_platform_tests.conftest import RunningStack

pytestmark = pytest.mark.services

Topics = tuple[str, str, str]


@pytest.fixture
def at(stack: RunningStack) -> str:
    return stack.bootstrap_servers


def publish(at: str, topic: str, values: list[bytes | None], key: bytes | None = None) -> None:
    with Publisher(at, {}) as publisher:
        for value in values:
            publisher.send(topic, key, value)
    assert (publisher.sent, publisher.failed) == (len(values), 0)


def read(at: str, begins: Positions, ends: Positions, **options: int) -> list[Record]:
    return [record for records in read_range(at, {}, begins, ends, **options) for record in records]


def test_topics_are_made_once_with_the_brokers_time(at: str) -> None:
    names = [f"test-{secrets.token_hex(6)}" for _ in range(3)]
    assert sorted(ensure_topics(at, {}, names, 3)) == sorted(names)
    assert ensure_topics(at, {}, names, 3) == []
    assert {name: len(partitions) for name, partitions in end_offsets(at, {}, names).items()} == dict.fromkeys(names, 3)
    admin = AdminClient({"bootstrap.servers": at})
    asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, names[0])])
    config = next(iter(asked.values())).result(30)
    assert config["message.timestamp.type"].value == "LogAppendTime"


def test_many_may_make_the_same_topics_at_once(at: str) -> None:
    names = [f"test-{secrets.token_hex(6)}" for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: ensure_topics(at, {}, names, 2), range(4)))
    assert sorted(name for each in made for name in each) == sorted(names)


def test_a_topic_that_is_not_there_is_told_with_the_nearest_one(at: str, topics: Topics) -> None:
    require_topic(at, {}, topics[0])
    with pytest.raises(UsageError, match=topics[0]):
        require_topic(at, {}, topics[0][:-1])
    with pytest.raises(ServiceUnavailable, match="no topic"):
        end_offsets(at, {}, [f"{topics[0]}x"])


def test_everything_sent_is_there_in_order_and_byte_by_byte(at: str, topics: Topics) -> None:
    values = [b"%d" % number for number in range(5000)] + [b"", None, b"\x00\xff\n", b"x" * 200_000]
    publish(at, topics[0], values, key=b"one-key")
    begins, ends = begin_offsets(at, {}, topics), end_offsets(at, {}, topics)
    assert sum(end for partitions in ends.values() for end in partitions.values()) == len(values)
    records = read(at, begins, ends, records_max=700)
    assert [record.value for record in records] == values
    assert {record.key for record in records} == {b"one-key"}
    assert {record.partition for record in records} == {records[0].partition}
    now_ms = time.time() * 1000
    assert all(abs(now_ms - record.time_ms) < 60_000 for record in records)


def test_what_is_too_large_for_the_broker_counts_as_failed(at: str, topics: Topics) -> None:
    with Publisher(at, {}) as publisher:
        publisher.send(topics[0], None, b"x" * 2_000_000)
        publisher.send(topics[0], None, b"small")
    assert (publisher.sent, publisher.failed) == (1, 1)
    assert "MSG_SIZE_TOO_LARGE" in str(publisher.failure)


def test_a_range_begins_and_ends_where_it_says(at: str, topics: Topics) -> None:
    publish(at, topics[0], [b"%d" % number for number in range(100)], key=b"k")
    ends = end_offsets(at, {}, topics[:1])
    partition = next(at for at, end in ends[topics[0]].items() if end)
    cut = read(at, {topics[0]: {partition: 10}}, {topics[0]: {partition: 13}})
    assert [(record.offset, record.value) for record in cut] == [(10, b"10"), (11, b"11"), (12, b"12")]
    assert read(at, ends, ends) == []


def test_a_time_is_the_brokers(at: str, topics: Topics) -> None:
    publish(at, topics[0], [b"before"], key=b"k")
    time.sleep(0.05)
    middle_ms = time.time_ns() // 1_000_000
    publish(at, topics[0], [b"after"], key=b"k")
    ends = end_offsets(at, {}, topics[:1])
    assert [record.value for record in read(at, offsets_for_time(at, {}, topics[:1], middle_ms), ends)] == [b"after"]
    assert offsets_for_time(at, {}, topics[:1], middle_ms + 3_600_000) == ends
    assert offsets_for_time(at, {}, topics[:1], 0)[topics[0]] == {0: 0, 1: 0} or ends[topics[0]][0] == 0


def test_what_was_not_committed_is_neither_read_nor_waited_for(at: str, topics: Topics) -> None:
    """Transactions of other producers: an aborted one leaves offsets behind that hold no message."""
    producer = Producer({"bootstrap.servers": at, "transactional.id": topics[0]})
    producer.init_transactions(20)
    for value, commit in ((b"committed", True), (b"aborted", False)):
        producer.begin_transaction()
        producer.produce(topics[0], value, partition=0)
        producer.flush(20)
        if commit:
            producer.commit_transaction(20)
        else:
            producer.abort_transaction(20)
    ends = end_offsets(at, {}, topics[:1])
    assert ends[topics[0]][0] == 4  # two messages and two marks
    assert [record.value for record in read(at, begin_offsets(at, {}, topics[:1]), ends)] == [b"committed"]

    producer.begin_transaction()
    producer.produce(topics[0], b"open", partition=0)
    producer.flush(20)
    assert end_offsets(at, {}, topics[:1]) == ends
    producer.abort_transaction(20)


def test_reading_what_is_no_longer_kept_goes_on_with_what_is(at: str, topics: Topics) -> None:
    publish(at, topics[0], [b"%d" % number for number in range(10)], key=b"k")
    ends = end_offsets(at, {}, topics[:1])
    partition = next(at for at, end in ends[topics[0]].items() if end)
    admin = AdminClient({"bootstrap.servers": at})
    deleted = admin.delete_records([TopicPartition(topics[0], partition, 7)])
    for answer in deleted.values():
        answer.result(20)
    assert begin_offsets(at, {}, topics[:1])[topics[0]][partition] == 7
    assert [r.value for r in read(at, {topics[0]: {partition: 2}}, {topics[0]: {partition: 10}})] == [b"7", b"8", b"9"]
