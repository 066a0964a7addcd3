"""The whole platform on real Kafka, MongoDB and Spark, as a black box: what was published is what is stored.

One platform serves all tests, in the order in which they stand here: each adds to the stream that the next one meets.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer
from pymongo import MongoClient

from orders_platform.local import broker, mongod
from orders_platform.store import recount
from orders_platform.store.client import connect
from orders_platform_tests.e2e.platform import Platform
from orders_platform_tests.poison import POISON

pytestmark = [pytest.mark.services, pytest.mark.spark, pytest.mark.timeout(600)]

TOPICS = ("orders", "payments", "adjustments")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform") / "home")
    try:
        platform.orders("up", "--no-dagster")
        yield platform
    finally:
        platform.close()


def stream(platform: Platform, seed: int, orders: int) -> tuple[list[bytes], list[bytes]]:
    """Return the lines of a generated stream without poison, and what its orders must come to."""
    lines, truth = platform.home / "stream.jsonl", platform.home / "truth.jsonl"
    options = ("--orders", str(orders), "--seed", str(seed), "--poison", "0", "--output", str(lines))
    platform.orders("seed", *options, "--truth", str(truth))
    return lines.read_bytes().splitlines(), truth.read_bytes().splitlines()


def produce(platform: Platform, values: Sequence[tuple[str, bytes | None, bytes | None]]) -> None:
    """Send (topic, key, value) as they are."""
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers(platform.home), "acks": "all"})
    for topic, key, value in values:
        producer.produce(topic, value, key)
    assert producer.flush(30) == 0


def whole_collection(platform: Platform) -> list[dict[str, Any]]:
    with MongoClient(mongod.uri(platform.home)) as client:
        return list(client["orders_platform"]["orders"].find(sort=[("_id", 1)]))


def exported(platform: Platform) -> list[bytes]:
    platform.orders("wait", "--timeout", "120")
    return platform.orders("export").splitlines()


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # it has just ended
        return ""


def test_messages_with_any_key_or_none_on_any_topic_are_matched_and_poison_is_set_aside(platform: Platform) -> None:
    lines, truth = stream(platform, seed=1, orders=300)
    chance = random.Random(1)
    values: list[tuple[str, bytes | None, bytes | None]] = [
        (chance.choice(TOPICS), chance.choice([None, b"foreign-%d" % (at % 7), b""]), line)
        for at, line in enumerate(lines)
    ]
    values += [(chance.choice(TOPICS), None, kind.raw) for kind in POISON]
    chance.shuffle(values)
    produce(platform, values)
    assert exported(platform) == truth
    letters = platform.lines("export", "--collection", "dead_letters")
    assert sorted((letter["reason"], letter["field"] or "") for letter in letters) == sorted(
        (kind.reason, kind.field or "") for kind in POISON
    )


def test_a_killed_matcher_is_replaced_and_goes_on_where_it_was(platform: Platform) -> None:
    before = exported(platform)
    lines, truth = stream(platform, seed=2, orders=300)
    half = len(lines) // 2
    platform.orders("publish", "-", stdin=b"\n".join(lines[:half]) + b"\n")
    epoch = platform.matcher()["epoch"]
    killed_s = platform.kill_matcher()
    platform.orders("publish", "-", stdin=b"\n".join(lines[half:]) + b"\n")
    assert exported(platform) == sorted(before + truth)
    platform.wait_for_the_next(killed_s, epoch)


def test_a_killed_python_worker_changes_nothing(platform: Platform) -> None:
    before = exported(platform)
    lines, truth = stream(platform, seed=3, orders=300)
    pid = platform.matcher()["pid"]
    workers = [
        worker
        for child in psutil.Process(pid).children(recursive=True)
        if "spark.daemon" in command_line(child)
        for worker in child.children()
    ]
    assert workers, "no Python worker to kill"
    for worker in workers:
        os.kill(worker.pid, signal.SIGKILL)
    platform.orders("publish", "-", stdin=b"\n".join(lines) + b"\n")
    assert exported(platform) == sorted(before + truth)


def test_a_replay_and_a_wiped_checkpoint_change_no_document(platform: Platform) -> None:
    platform.orders("wait")
    before = whole_collection(platform)
    platform.orders("replay", "--from", "earliest")
    assert whole_collection(platform) == before
    platform.orders("matcher", "stop")
    shutil.rmtree(platform.home / "checkpoint")
    platform.orders("matcher", "start")
    deadline_s = time.monotonic() + 60
    while platform.matcher()["batch_id"] is None and time.monotonic() < deadline_s:
        time.sleep(0.5)
    assert platform.matcher()["batch_id"] is not None
    assert whole_collection(platform) == before


def test_a_deadline_passes_on_quiet_topics(platform: Platform) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=8)
    placed = {
        "event_id": "quiet-1",
        "type": "order_placed",
        "order_id": "quiet",
        "occurred_at": (deadline - timedelta(minutes=30)).isoformat(),
        "amount_minor": 500,
        "currency": "EUR",
    }
    platform.orders("publish", "-", stdin=str(placed).replace("'", '"').encode())
    platform.orders("wait")
    assert status_of(platform, "quiet") == "awaiting_payment"
    while datetime.now(UTC) < deadline + timedelta(seconds=15):
        if status_of(platform, "quiet") == "unpaid":
            break
        time.sleep(0.5)
    assert status_of(platform, "quiet") == "unpaid"


def status_of(platform: Platform, order_id: str) -> str:
    with MongoClient(mongod.uri(platform.home)) as client:
        found = client["orders_platform"]["orders"].find_one({"_id": order_id})
    assert found is not None
    return found["status"]


def test_no_secret_is_on_a_command_line_or_in_a_log(platform: Platform) -> None:
    uri = mongod.uri(platform.home)
    matcher = psutil.Process(platform.matcher()["pid"])
    for process in (matcher, *matcher.children(recursive=True)):
        assert uri not in command_line(process)
    for log in Path(platform.home / "logs").iterdir():
        assert uri.encode() not in log.read_bytes(), log.name


def test_orders_from_before_there_were_totals_are_counted_by_the_next_matcher(platform: Platform) -> None:
    with closing(connect(mongod.uri(platform.home), "orders_platform")) as store:
        store.counters.drop()
        assert recount.drifts(store) != []
        epoch = platform.matcher()["epoch"]
        platform.wait_for_the_next(platform.kill_matcher(), epoch)
        deadline_s = time.monotonic() + 60
        while recount.drifts(store) != []:
            assert time.monotonic() < deadline_s
            time.sleep(0.5)
