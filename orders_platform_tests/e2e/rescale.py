"""Evidence: the running matcher gets other numbers of buckets under load, and a topic more partitions; two changes are
cut off by a kill. Nothing is lost and nothing counts twice.

    python -m orders_platform_tests.e2e.rescale --orders 40000 --rate 1500
"""

import argparse
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions  # pyright: ignore[reportPrivateImportUsage]

from orders_platform.local import broker
from orders_platform_tests.e2e.platform import ROOT, Platform, passing_platform

TOPICS = ("orders", "payments", "adjustments")
BUCKETS = "ORDERS_MATCHER__BUCKETS"


class Change(NamedTuple):
    """One change: the buckets after it, how long the command took, and how far the matcher was behind at its end."""

    buckets: int
    took_s: float
    behind: int | None
    killed: bool


@contextmanager
def publishing(platform: Platform, lines: Sequence[bytes], rate: float) -> Iterator[threading.Thread]:
    """Publish lines at a rate, any line to any topic, while inside; all of them are sent at the end."""
    producer, chance = Producer({"bootstrap.servers": broker.bootstrap_servers(platform.home)}), random.Random(7)

    def publish() -> None:
        begun_s = time.monotonic()
        for sent, line in enumerate(lines):
            if (ahead_s := begun_s + sent / rate - time.monotonic()) > 0:
                time.sleep(ahead_s)
            producer.produce(chance.choice(TOPICS), line)
            producer.poll(0)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()
        assert producer.flush(60) == 0


def rescale(platform: Platform, buckets: int, killed_after_s: float | None = None) -> Change:
    """Change the number of buckets; with a time, kill the command and the matcher then, and do it again."""
    platform.environment[BUCKETS] = str(buckets)
    begun_s = time.monotonic()
    if killed_after_s is not None:
        command = [sys.executable, "-m", "orders_platform.cli.main", "matcher", "rescale"]
        cut_off = subprocess.Popen(
            command, cwd=ROOT, env=platform.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(killed_after_s)
        cut_off.kill()
        cut_off.wait()
        if platform.matcher()["pid"]:
            platform.kill_matcher()
    platform.orders("matcher", "rescale")
    took_s = time.monotonic() - begun_s
    return Change(buckets, took_s, platform.matcher()["events_behind"], killed_after_s is not None)


def add_partitions(platform: Platform, topic: str, partitions: int) -> None:
    """Give a topic more partitions, as an administrator does."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers(platform.home)})
    for made in admin.create_partitions([NewPartitions(topic, partitions)]).values():
        made.result(timeout=30)


def stream(platform: Platform, orders: int, seed: int) -> tuple[list[bytes], list[bytes]]:
    """Return a generated stream's lines without poison, and what its orders must come to."""
    lines, truth = platform.home / f"rescale-{seed}.jsonl", platform.home / f"rescale-{seed}-truth.jsonl"
    options = ("--orders", str(orders), "--seed", str(seed), "--poison", "0", "--output", str(lines))
    platform.orders("seed", *options, "--truth", str(truth))
    return lines.read_bytes().splitlines(), truth.read_bytes().splitlines()


def wrong(platform: Platform, truth: Sequence[bytes]) -> list[bytes]:
    """Return the lines by which what is stored and the truth differ."""
    platform.orders("wait", "--timeout", "300")
    return sorted(set(truth) ^ set(platform.orders("export").splitlines()))


def main() -> int:
    """Run it once on a fresh platform and print what it showed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--orders", type=int, default=40_000)
    arguments.add_argument("--rate", type=float, default=1_500.0)
    chosen = arguments.parse_args()
    with passing_platform() as platform:
        platform.environment[BUCKETS] = "4"
        platform.orders("up", "--no-dagster")
        lines, truth = stream(platform, chosen.orders, 5)
        changes: list[Any] = []
        with publishing(platform, lines, chosen.rate) as under_way:
            time.sleep(10)
            add_partitions(platform, "payments", 3)
            for buckets, killed_after_s in ((8, None), (3, 4.0), (8, 9.0)):
                changes.append(rescale(platform, buckets, killed_after_s))
                print(f"{changes[-1]}, still publishing: {under_way.is_alive()}", flush=True)
                time.sleep(5)
        differences = wrong(platform, truth)
        print(f"{len(lines)} messages, {len(truth)} orders, {len(differences)} differences")
        for line in differences[:5]:
            print("   ", line[:300])
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
