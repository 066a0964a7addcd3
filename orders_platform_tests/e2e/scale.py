"""Evidence: what an order and an event cost in CPU, memory, disk and traffic; docs/scaling.md is made of these figures.

    python -m orders_platform_tests.e2e.scale --events 500000 --rates 500 2000

First a backlog, as in `backlog`: cost per event where batches are full. Then streams of so many events a second, one
after the other: there each batch costs the same whatever it holds, and its share of an event grows. Last, sizes.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from orders_platform.local import mongod
from orders_platform_tests.e2e import backlog
from orders_platform_tests.e2e.backlog import MESSAGES_AN_ORDER, Meter
from orders_platform_tests.e2e.platform import ROOT, Platform, passing_platform

SETTLE_S = 15.0
"""From the beginning of a stream to the beginning of the count, which ends so long before the stream does."""
_INDEX_SIZES = "indexSizes"


def at_rate(platform: Platform, rate: int, seconds: float, seed: int) -> dict[str, Any]:
    """Return what an event and a batch cost while so many events a second come."""
    components = platform.json("status", "--json", expect=None)["components"]
    meter = Meter({part["name"]: part["pid"] for part in components if part["name"] in ("kafka", "mongo", "matcher")})
    orders = int(rate * (seconds + 2 * SETTLE_S) / MESSAGES_AN_ORDER)
    options = ("--orders", str(orders), "--rate", str(rate), "--seed", str(seed))
    stream = subprocess.Popen(
        [sys.executable, "-m", "orders_platform.cli.main", "seed", *options],
        cwd=ROOT,
        env=platform.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with MongoClient(mongod.uri(platform.home)) as client:
        time.sleep(SETTLE_S)
        begun, before = _progress(client), meter.read()
        time.sleep(seconds)
        ended, after = _progress(client), meter.read()
    stream.wait()
    platform.orders("wait")
    events, batches = ended[0] - begun[0], ended[1] - begun[1]
    each = {name: (after[name] - before[name]) / events * 1e6 for name in after}
    return {
        "events_per_s": events / seconds,
        "batches_per_s": batches / seconds,
        "cpu_us_per_event": each | {"all": sum(each.values())},
        "cores": sum(after[name] - before[name] for name in after) / seconds,
    }


def _progress(client: MongoClient[Any]) -> tuple[int, int]:
    beat = client["orders_platform"]["matcher"].find_one({"_id": "heartbeat"}) or {}
    return sum(sum(partitions.values()) for partitions in beat["offsets"].values()), beat["batch_id"]


def sizes(platform: Platform) -> dict[str, Any]:
    """Return bytes an order in MongoDB by part, bytes a message in Kafka, and what a batch leaves in the checkpoint."""
    with MongoClient(mongod.uri(platform.home)) as client:
        database = client["orders_platform"]
        client.admin.command("fsync")  # what is only in memory has no size yet
        orders = database.command("collStats", "orders")
        beat = database["matcher"].find_one({"_id": "heartbeat"}) or {}
    count = orders["count"]
    messages = sum(sum(partitions.values()) for partitions in beat["offsets"].values())
    checkpoint = platform.home / "checkpoint"
    deltas = [file.stat().st_size for file in (checkpoint / "state").rglob("*.delta")]
    snapshots = [file.stat().st_size for file in (checkpoint / "state").rglob("*.snapshot")]
    logs = [file.stat().st_size for kind in ("offsets", "commits") for file in (checkpoint / kind).glob("[0-9]*")]
    return {
        "orders": count,
        "messages": messages,
        "document_bytes": orders["avgObjSize"],
        "document_on_disk_bytes": orders["storageSize"] / count,
        "index_bytes_per_order": {name: size / count for name, size in sorted(orders[_INDEX_SIZES].items())},
        "kafka_bytes_per_message": _bytes_of(platform.home / "kafka", "*.log") / messages,
        "state_delta_bytes": {"mean": sum(deltas) / max(1, len(deltas)), "max": max(deltas, default=0)},
        "state_snapshot_bytes": {"mean": sum(snapshots) / max(1, len(snapshots)), "max": max(snapshots, default=0)},
        "batch_log_bytes": sum(logs) / max(1, len(logs)),
        "checkpoint_bytes": _bytes_of(checkpoint, "*"),
    }


def _bytes_of(directory: Path, pattern: str) -> int:
    return sum(file.stat().st_size for file in directory.rglob(pattern) if file.is_file())


def main() -> int:
    """Run once on a fresh platform and print the figures as one JSON document."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=500_000)
    arguments.add_argument("--warm-up", type=int, default=200_000)
    arguments.add_argument("--rates", type=int, nargs="*", default=[500, 2_000])
    arguments.add_argument("--seconds", type=float, default=30.0)
    chosen = arguments.parse_args()
    with passing_platform() as platform:
        found: dict[str, Any] = {"backlog": backlog.run(platform, chosen.events, chosen.warm_up)}
        for seed, rate in enumerate(chosen.rates, 100):
            found[f"{rate} events/s"] = at_rate(platform, rate, chosen.seconds, seed)
        print(json.dumps(found | {"sizes": sizes(platform)}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
