"""Evidence: how long after a kill of the matcher an order that was sent meanwhile is durable again.

python -m orders_platform_tests.e2e.recovery --kills 5
"""

import argparse
import json
import statistics
import sys
import time

from pymongo import MongoClient

from orders_platform.local import mongod
from orders_platform_tests.e2e.platform import Platform, passing_platform

TIMEOUT_S = 300.0


def durable_after(platform: Platform, order_id: str, since_s: float) -> float:
    """Return the seconds from a moment (monotonic) until an order has its document."""
    with MongoClient(mongod.uri(platform.home)) as client:
        while client["orders_platform"]["orders"].find_one({"_id": order_id}) is None:
            if time.monotonic() - since_s > TIMEOUT_S:
                raise AssertionError(f"{order_id} has no document after {TIMEOUT_S:.0f} s: {platform.matcher()}")
            time.sleep(0.1)
    return time.monotonic() - since_s


def place(platform: Platform, order_id: str) -> None:
    event = {
        "event_id": order_id,
        "type": "order_placed",
        "order_id": order_id,
        "occurred_at": "2026-01-05T10:00:00Z",
        "amount_minor": 100,
        "currency": "EUR",
    }
    platform.orders("publish", "-", stdin=json.dumps(event).encode())


def main() -> int:
    """Kill the matcher again and again, and print how long each took to heal."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--kills", type=int, default=5)
    kills = arguments.parse_args().kills
    with passing_platform() as platform:
        started_s = time.monotonic()
        platform.orders("up", "--no-dagster")
        print(f"up after {time.monotonic() - started_s:.1f} s")
        place(platform, "probe-0")
        durable_after(platform, "probe-0", time.monotonic())
        healed_s = []
        for number in range(1, kills + 1):
            killed_s = platform.kill_matcher()
            place(platform, f"probe-{number}")
            healed_s.append(durable_after(platform, f"probe-{number}", killed_s))
        print("healed after", ", ".join(f"{seconds:.1f}" for seconds in healed_s), "s; median",
              f"{statistics.median(healed_s):.1f} s")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
