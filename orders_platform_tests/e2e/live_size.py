"""Evidence: how long the live page takes to answer over a large collection, and how that grows with what is stored.

    python -m orders_platform_tests.e2e.live_size --orders 250000 5000000

For each size a database is filled with documents as a matcher leaves them, counted once by `recount`, and served by the
live page's server as a process of its own. Then its answers are timed from outside, stories of orders drawn at random
among them, and in Chromium the time from a click on the page's address to its figures.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from playwright.sync_api import Browser, sync_playwright

from orders_platform.events import Event
from orders_platform.live.numbers import Looker
from orders_platform.local import broker, chromium, mongod
from orders_platform.store import schema
from orders_platform.store.client import Store, connect
from orders_platform.store.merge import Arrival, Change, merge
from orders_platform.store.recount import recount
from orders_platform.streams.topics import ensure_topics
from orders_platform_tests.e2e.million import ANSWER_S, DAY_MS, RULES, TOPICS, fill, filled
from orders_platform_tests.live.serving import Server

PER_DAY = 50_000
BREAKS = 20
ASKED = 300
VIEWED = 20
WANTED_MS = 100.0


def timed(asked: int, ask: Callable[[], object]) -> list[float]:
    """Return how long each of so many calls took, in milliseconds, the shortest first."""
    took_ms: list[float] = []
    for _ in range(asked):
        started_s = time.perf_counter()
        ask()
        took_ms.append((time.perf_counter() - started_s) * 1e3)
    return sorted(took_ms)


def told(name: str, took_ms: list[float]) -> float:
    """Print what calls took; return how much all but one of a hundred took no longer than."""
    p99_ms = took_ms[int(0.99 * (len(took_ms) - 1))]
    middle_ms = statistics.median(took_ms)
    print(f"  {name:26} p50 {middle_ms:7.1f}  p99 {p99_ms:7.1f}  most {took_ms[-1]:7.1f} ms", flush=True)
    return p99_ms


def break_some(store: Store, orders: int, now_ms: int) -> None:
    """Let a matcher merge orders that were never paid: the newest breaks of the page."""
    events = (
        Event(f"new-{at}", "order_placed", f"new-{orders}-{at}", now_ms - DAY_MS, amount_minor=900 + at, currency="EUR")
        for at in range(BREAKS)
    )
    changes = [Change(event.order_id, None, [Arrival(event, "orders", 0, at)]) for at, event in enumerate(events)]
    merge(store, changes, now_ms, RULES)


def view_ms(browser: Browser, url: str) -> float:
    """Open the page in a context that knows nothing of it, until its figures stand there."""
    context = browser.new_context()
    page = context.new_page()
    started_s = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector("#statuses tr td")
    took_ms = (time.perf_counter() - started_s) * 1e3
    context.close()
    return took_ms


def answers(server: Server, orders: int, browser: Browser) -> float:
    """Print how long each kind of answer takes; return the longest p99 of the server's own."""
    draw = random.Random(2)

    def get(path: str) -> None:
        status, body = server.get(path)
        assert status == 200, body

    longest_ms = max(
        told("GET /", timed(ASKED, lambda: get("/"))),
        told("GET /api/numbers.json", timed(ASKED, lambda: get("/api/numbers.json"))),
        told("GET /metrics", timed(ASKED, lambda: get("/metrics"))),
        told("GET /api/order.json", timed(ASKED, lambda: get(f"/api/order.json?id=ord-{draw.randrange(orders):09}"))),
    )
    told("Chromium, to the figures", sorted(view_ms(browser, server.url) for _ in range(VIEWED)))
    return longest_ms


def run(home: Path, orders: int, browser: Browser) -> float:
    """Fill a database, serve it, and drop it; return the longest p99 of an answer in milliseconds."""
    uri, name = mongod.uri(home), f"size_{orders}"
    store = connect(uri, name, timeout_s=ANSWER_S)
    schema.migrate(store)
    started_s = time.perf_counter()
    fill(store, orders, filled(orders, PER_DAY, time.time_ns() // 1_000_000))
    stats = store.database.command("collStats", "orders")
    print(
        f"{orders:,} orders: filled in {time.perf_counter() - started_s:.0f} s, {stats['size'] / 2**20:,.0f} MB, "
        f"load average {os.getloadavg()[0]:.1f}"
    )
    patient = connect(uri, name, timeout_s=600)
    mongo = psutil.Process(mongod.start(home).pid)
    told("recount", timed(1, lambda: recount(patient)))
    break_some(store, orders, time.time_ns() // 1_000_000)
    looker = Looker()
    spent_s = sum(mongo.cpu_times()[:2])
    told("a look, each second", timed(ASKED, lambda: looker.look(store)))
    print(f"    of which MongoDB {(sum(mongo.cpu_times()[:2]) - spent_s) / ASKED * 1e3:.1f} ms CPU a look")
    told("a count, 1/100 of the time", timed(5, lambda: looker.count(store)))
    served = Server(home, ORDERS_MONGO__URI=uri, ORDERS_MONGO__DATABASE=name)
    served.start()
    try:
        served.until(lambda: served.numbers().get("orders"))
        return answers(served, orders, browser)
    finally:
        served.stop()
        store.client.drop_database(name)
        store.close()
        patient.close()


def main() -> int:
    """Run each size; 1 if an answer of the server takes 100 ms or more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, nargs="+", default=[250_000, 5_000_000])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orders-size-") as directory, sync_playwright() as playwright:
        home = Path(directory)
        browser = playwright.chromium.launch(executable_path=chromium.ensure_chromium(), args=list(chromium.OPTIONS))
        try:
            mongod.start(home)
            broker.start(home)
            ensure_topics(broker.bootstrap_servers(home), {}, TOPICS, 2)
            longest_ms = [run(home, orders, browser) for orders in given.orders]
        finally:
            browser.close()
            broker.stop(home)
            mongod.stop(home)
    return 1 if max(longest_ms) >= WANTED_MS else 0


if __name__ == "__main__":
    sys.exit(main())
