"""What merging costs: CPU of this process and of mongod for each document, over a mongod of its own.

    python -m orders_platform_tests.store.bench_merge [--orders 50000] [--rounds 3] [--bare] [--history]

Figures are the least of the rounds, in microseconds. Compare them only within one run: machines differ and drift.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from orders_platform.events import Event
from orders_platform.local import mongod
from orders_platform.matching import Rules
from orders_platform.store import schema
from orders_platform.store.client import Store, connect
from orders_platform.store.merge import Arrival, Change, Known, Merged, merge

HISTORY_MS = 1_767_607_200_000
RULES = Rules()
STEPS = (
    "insert one event",
    "insert two events",
    "update, known",
    "update, unknown",
    "replay, known",
    "replay, unknown",
)


class Bench:
    """The steps over one mongod, and the least that each cost."""

    def __init__(self, store: Store, server: psutil.Process, orders: int, bare: bool, start_ms: int) -> None:
        self.store, self.server, self.bare, self.start_ms = store, server, bare, start_ms
        self.costs: dict[str, tuple[float, float, float]] = {}
        self.order_ids = [f"ord-{number:08}" for number in range(orders)]
        random.Random(1).shuffle(self.order_ids)
        self.placed = [
            Arrival(
                Event(f"{o}-1", "order_placed", o, start_ms, 1999, "EUR", customer_id=f"c-{at % 999}"), "orders", 0, at
            )
            for at, o in enumerate(self.order_ids)
        ]
        self.paid = [
            Arrival(
                Event(f"{o}-2", "payment_captured", o, start_ms + 5, 1999, "EUR", f"p-{o}", method="card"),
                "payments",
                0,
                at,
            )
            for at, o in enumerate(self.order_ids)
        ]

    def round(self) -> None:
        """Take every step once."""
        self._empty()
        both = [[one, two] for one, two in zip(self.placed, self.paid, strict=True)]
        self._measure("insert two events", self._changes(both))
        self._empty()
        placed, paid = [[one] for one in self.placed], [[one] for one in self.paid]
        known = self._measure("insert one event", self._changes(placed)).known
        known = self._measure("update, known", self._changes(paid, known)).known
        self._measure("replay, known", self._changes(paid, known))
        self._measure("replay, unknown", self._changes(paid))
        self._empty()
        merge(self.store, self._changes(placed), self.start_ms, RULES)
        self._measure("update, unknown", self._changes(paid))

    def _changes(self, arrivals: Sequence[list[Arrival]], known: dict[str, Known] | None = None) -> list[Change]:
        return [
            Change(order_id, (known or {}).get(order_id), its)
            for order_id, its in zip(self.order_ids, arrivals, strict=True)
        ]

    def _measure(self, step: str, changes: list[Change]) -> Merged:
        server = self.server.cpu_times()
        client_s, wall_s = time.process_time(), time.perf_counter()
        merged = merge(self.store, changes, self.start_ms, RULES)
        client_s, wall_s = time.process_time() - client_s, time.perf_counter() - wall_s
        after = self.server.cpu_times()
        server_s = after.user + after.system - server.user - server.system
        each = 1e6 / len(changes)
        cost = (client_s * each, server_s * each, wall_s * each)
        self.costs[step] = min(self.costs.get(step, cost), cost, key=sum)
        return merged

    def _empty(self) -> None:
        self.store.orders.drop()
        if not self.bare:
            schema.migrate(self.store)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bare", action="store_true", help="without indexes and validators")
    parser.add_argument("--history", action="store_true", help="events of long ago, which all come late")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orders-bench-") as directory:
        home = Path(directory)
        process = mongod.start(home)
        store = connect(mongod.uri(home), "bench")
        try:
            start_ms = HISTORY_MS if given.history else time.time_ns() // 1_000_000
            bench = Bench(store, psutil.Process(process.pid), given.orders, given.bare, start_ms)
            for _ in range(given.rounds):
                bench.round()
        finally:
            store.close()
            mongod.stop(home)
    print(f"{'us a document':<20}{'client':>10}{'mongod':>10}{'wall':>10}")
    for step in STEPS:
        print(f"{step:<20}" + "".join(f"{cost:>10.1f}" for cost in bench.costs[step]))


if __name__ == "__main__":
    main()
