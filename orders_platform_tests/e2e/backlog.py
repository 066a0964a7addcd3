"""Evidence: how fast the matcher works off a backlog, and what each component costs per event.

    python -m orders_platform_tests.e2e.backlog --events 500000

The matcher is stopped while a generated stream is published; then it starts, and the figures count from the commit of
the first `--warm-up` messages (the JVM compiles meanwhile) to the commit of the last one.
"""

import argparse
import json
import sys
import time
from typing import Any

import psutil
from pymongo import MongoClient

from orders_platform.local import mongod
from orders_platform_tests.e2e.platform import Platform, passing_platform

LOOK_S = 0.25
MESSAGES_AN_ORDER = 2.3  # of the generated stream, without duplicates and poison


class Meter:
    """CPU seconds of each component, the children of the JVM being Python's."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._python: dict[int, float] = {}

    def read(self) -> dict[str, float]:
        spent = {name: self._spent(psutil.Process(pid)) for name, pid in self._pids.items()}
        for child in psutil.Process(self._pids["matcher"]).children(recursive=True):
            try:
                self._python[child.pid] = self._spent(child)
            except psutil.Error:
                continue  # it has just ended
        return spent | {"python": sum(self._python.values())}

    @staticmethod
    def _spent(process: psutil.Process) -> float:
        times = process.cpu_times()
        return times.user + times.system


def run(platform: Platform, events: int, warm_up: int) -> dict[str, Any]:
    platform.orders("up", "--no-dagster")
    platform.orders("matcher", "stop")
    orders = int((events + warm_up) / MESSAGES_AN_ORDER)
    told = platform.json("seed", "--orders", str(orders), "--seed", "11", "--json")
    platform.orders("matcher", "start")
    return measure(platform, told["sent"], warm_up)


def measure(platform: Platform, messages: int, warm_up: int) -> dict[str, Any]:
    components = platform.json("status", "--json", expect=None)["components"]
    meter = Meter({part["name"]: part["pid"] for part in components if part["name"] in ("kafka", "mongo", "matcher")})
    start: tuple[float, int, dict[str, float]] | None = None
    with MongoClient(mongod.uri(platform.home)) as client:
        matcher = client["orders_platform"]["matcher"]
        while True:
            beat = matcher.find_one({"_id": "heartbeat"}) or {}
            done = sum(sum(partitions.values()) for partitions in beat.get("offsets", {}).values())
            if start is None and done >= warm_up:
                start = (time.monotonic(), done, meter.read())
            if done >= messages and start is not None:
                break
            time.sleep(LOOK_S)
        spent, wall_s = meter.read(), time.monotonic() - start[0]
        counted = messages - start[1]
        documents = client["orders_platform"]["orders"].estimated_document_count()
    each = {name: (spent[name] - start[2][name]) / counted * 1e6 for name in spent}
    return {
        "messages": counted,
        "documents": documents,
        "events_per_s": counted / wall_s,
        "cpu_us_per_event": each | {"all": sum(each.values())},
    }


def main() -> int:
    """Run once on a fresh platform and print the figures as one JSON document."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=500_000)
    arguments.add_argument("--warm-up", type=int, default=200_000)
    chosen = arguments.parse_args()
    with passing_platform() as platform:
        print(json.dumps(run(platform, chosen.events, chosen.warm_up), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
