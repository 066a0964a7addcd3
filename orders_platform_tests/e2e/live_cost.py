"""Evidence: what an open live page and a scraping Prometheus cost the matcher while it works off a backlog.

    python -m orders_platform_tests.e2e.live_cost --windows 40 --seconds 5

One backlog on one platform. In every other window the live page's server, a client that reads the page's stream and a
real Prometheus that scrapes are stopped (SIGSTOP), in the others they go on; the order of each pair is drawn. What is
compared is the events that the matcher commits a second, pair by pair.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from pymongo import MongoClient

from orders_platform.local import mongod
from orders_platform_tests.e2e.backlog import MESSAGES_AN_ORDER
from orders_platform_tests.e2e.platform import Platform, passing_platform
from orders_platform_tests.monitoring import programs

RATE_MOST = 15_000  # events a second: more than this machine does, so that the backlog lasts
SETTLE_S = 2.0
READ_STREAM = "import sys, urllib.request as r\nfor line in r.urlopen(sys.argv[1] + '/events'): pass"


def committed(client: MongoClient[Any]) -> tuple[float, int]:
    """Return when the last batch was committed (MongoDB's clock, seconds) and how many messages were by then."""
    beat = client["orders_platform"]["matcher"].find_one({"_id": "heartbeat"}) or {}
    return beat["committed_at"].timestamp(), sum(sum(its.values()) for its in beat["offsets"].values())


def next_commit(client: MongoClient[Any]) -> tuple[float, int]:
    """Wait for a batch to end: a window is measured from one to another."""
    before = committed(client)
    while (now := committed(client)) == before:
        time.sleep(0.02)
    return now


@contextmanager
def going(processes: list[psutil.Process], on: bool) -> Iterator[None]:
    for process in processes:
        process.send_signal(signal.SIGCONT if on else signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def spent_s(processes: list[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


def run(platform: Platform, windows: int, seconds: float, warm_up_s: float) -> dict[str, Any]:
    platform.orders("up", "--no-dagster")
    platform.orders("matcher", "stop")
    events = int(RATE_MOST * (warm_up_s + windows * (seconds + SETTLE_S)))
    platform.orders("seed", "--orders", str(int(events / MESSAGES_AN_ORDER)), "--seed", "11", "--json")
    platform.orders("matcher", "start")
    status = platform.json("status", "--json", expect=None)
    pids = {part["name"]: part["pid"] for part in status["components"]}
    reader = subprocess.Popen([sys.executable, "-c", READ_STREAM, status["urls"]["live"]])
    viewers = [psutil.Process(pid) for pid in (pids["live"], pids["prometheus"], reader.pid)]
    mongo = psutil.Process(pids["mongo"])
    rates: dict[bool, list[float]] = {True: [], False: []}
    viewing_s: list[float] = []
    mongo_us: dict[bool, list[float]] = {True: [], False: []}
    draw = random.Random(1)
    try:
        with MongoClient(mongod.uri(platform.home), tz_aware=True) as client:
            time.sleep(warm_up_s)
            for _ in range(windows // 2):
                for on in draw.sample((True, False), 2):
                    with going(viewers, on):
                        time.sleep(SETTLE_S)
                        begun, viewers_s, mongo_s = next_commit(client), spent_s(viewers), spent_s([mongo])
                        time.sleep(seconds)
                        ended = next_commit(client)
                        rates[on].append((ended[1] - begun[1]) / (ended[0] - begun[0]))
                        mongo_us[on].append((spent_s([mongo]) - mongo_s) / (ended[1] - begun[1]) * 1e6)
                        if on:
                            viewing_s.append((spent_s(viewers) - viewers_s) / seconds)
    finally:
        reader.kill()
    return found(rates, viewing_s, mongo_us)


def found(rates: dict[bool, list[float]], viewing_s: list[float], mongo_us: dict[bool, list[float]]) -> dict[str, Any]:
    ratios = [on / off for on, off in zip(rates[True], rates[False], strict=True)]
    return {
        "pairs": len(ratios),
        "events_per_s": {"on": statistics.median(rates[True]), "off": statistics.median(rates[False])},
        "cost": 1 - statistics.mean(ratios),
        "cost_standard_error": statistics.stdev(ratios) / len(ratios) ** 0.5,
        "cost_median": 1 - statistics.median(ratios),
        "viewers_cores": statistics.mean(viewing_s),
        "mongo_us_per_event": {"on": statistics.median(mongo_us[True]), "off": statistics.median(mongo_us[False])},
    }


def main() -> int:
    """Run once on a fresh platform and print the figures as one JSON document; 1 if it costs 3 % or more."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--windows", type=int, default=40)
    arguments.add_argument("--seconds", type=float, default=5.0)
    arguments.add_argument("--warm-up", type=float, default=30.0)
    chosen = arguments.parse_args()
    os.environ["PATH"] = f"{programs.folder()}:{os.environ['PATH']}"
    with passing_platform() as platform:
        platform.environment["ORDERS_MATCHER__MAX_EVENTS_PER_BATCH"] = "20000"
        told = run(platform, chosen.windows, chosen.seconds, chosen.warm_up)
    print(json.dumps(told, indent=2))
    return 0 if told["cost_median"] < 0.03 else 1


if __name__ == "__main__":
    sys.exit(main())
