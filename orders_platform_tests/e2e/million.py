"""Evidence: what a day's statement takes over a large collection, and how it grows with the orders of the day and those
stored.

    python -m orders_platform_tests.e2e.million --orders 250000 1000000 --per-day 12500 50000

For each size a database is filled with the documents that a matcher would have left that kept up: the same fold, the
same encoding, each event merged a second after it occurred. Then days are made, each by a process of its own: the first
from all orders, the following ones upon the day before, and the last one once more after some payments came late.
"""

import argparse
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path

import psutil
from bson.raw_bson import RawBSONDocument
from pymongo import WriteConcern
from rich.progress import track

from orders_platform.events import Event
from orders_platform.local import broker, mongod
from orders_platform.matching import Rules, fold
from orders_platform.reports.days import day_of
from orders_platform.reports.making import Broker, make_day
from orders_platform.store import documents, schema
from orders_platform.store.client import Store, connect
from orders_platform.store.merge import Arrival, Change, merge
from orders_platform.streams.topics import ensure_topics

RULES = Rules()
DAY_MS = 86_400_000
TOPICS = ("orders", "payments", "adjustments")
ANSWER_S = 20.0
FOLLOWING = 3
LATE_PAYMENTS = 100


def story(order_id: str, placed_ms: int, draw: random.Random) -> list[Event]:
    """Return one order's events: most are paid within minutes, some never, some are cancelled, refunded or disputed."""
    amount = draw.randrange(500, 50_000)
    currency = draw.choice(["EUR", "EUR", "EUR", "USD", "GBP"])
    paid_ms = placed_ms + draw.randrange(1_000, 600_000)

    def event(kind: str, at_ms: int, **fields: str | int) -> Event:
        return Event(f"{order_id}-{kind}", kind, order_id, at_ms, **fields)  # type: ignore[arg-type]

    money = {"amount_minor": amount, "currency": currency}
    payment = f"{order_id}-pay"
    told = [event("order_placed", placed_ms, customer_id=f"c-{draw.randrange(99_999)}", **money)]
    chance = draw.random()
    if chance < 0.01:
        return told
    if chance < 0.02:
        return [*told, event("order_cancelled", paid_ms)]
    told.append(event("payment_captured", paid_ms, payment_id=payment, method="card", **money))
    if chance < 0.06:
        after_ms = paid_ms + draw.randrange(DAY_MS, 14 * DAY_MS)
        told.append(event("refund_issued", after_ms, payment_id=payment, refund_id=f"{order_id}-r", **money))
    elif chance < 0.065:
        after_ms = paid_ms + draw.randrange(DAY_MS, 14 * DAY_MS)
        told.append(event("chargeback_opened", after_ms, payment_id=payment, chargeback_id=f"{order_id}-c", **money))
    elif chance < 0.07:
        amounts = {"amount_minor": 100, "currency": currency}
        told.append(Event(f"{order_id}-twice", "payment_captured", order_id, paid_ms + 5, payment_id="two", **amounts))
    return told


def filled(orders: int, per_day: int, until_ms: int, seed: int = 1) -> Iterator[RawBSONDocument]:
    """Yield orders, so many placed on each day up to a time, as they are stored now."""
    draw = random.Random(seed)
    days = -(-orders // per_day)
    now_ms = time.time_ns() // 1_000_000
    for number in range(orders):
        order_id = f"ord-{number:09}"
        placed_ms = until_ms - (days - number // per_day) * DAY_MS + draw.randrange(DAY_MS)
        events = [event for event in story(order_id, placed_ms, draw) if event.occurred_at_ms < now_ms]
        figures = documents.figures(fold(order_id, events, now_ms, RULES))
        encoded = [
            documents.event_bytes(event, TOPICS[at > 0], 0, number, merged_ms=event.occurred_at_ms + 1_000)
            for at, event in enumerate(events)
        ]
        yield documents.new_document(order_id, figures, encoded, clock_ms=now_ms, now_ms=now_ms, late_ms=None)


def fill(store: Store, orders: int, made: Iterable[RawBSONDocument]) -> None:
    fast = store.orders.with_options(write_concern=WriteConcern(w=1))
    left = iter(made)
    for _ in track(range(-(-orders // 2_000)), f"{orders:,} orders"):
        fast.insert_many(islice(left, 2_000), ordered=False)


def make(uri: str, name: str, servers: str, day: date) -> tuple[float, float, float, str, str]:
    """Make a day; return seconds, CPU seconds and peak MB of this process, how it was made, and its verdict."""
    store = connect(uri, name, timeout_s=ANSWER_S)
    started_s = time.perf_counter()
    made = make_day(store, Broker(servers, {}, TOPICS), day_of(day, "UTC"), RULES)
    took_s = time.perf_counter() - started_s
    store.close()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    how = f"all orders: {made.counted_anew}" if made.counted_anew else "upon the day before"
    told = made.statement
    open_breaks = len(told.breaks.new) + len(told.breaks.persisting)
    return took_s, time.process_time(), peak_mb, how, f"{told.verdict}, {open_breaks:,} breaks, rev {told.revision}"


def measured(store: Store, server: psutil.Process, uri: str, servers: str, day: date) -> None:
    """Make a day in a new process, and print what it took."""
    before, examined = server.cpu_times(), scanned(store)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        took_s, cpu_s, peak_mb, how, verdict = pool.apply(make, (uri, store.database.name, servers, day))
    after, examined = server.cpu_times(), scanned(store) - examined
    server_s = after.user + after.system - before.user - before.system
    memory_mb = server.memory_info().rss / 2**20
    print(
        f"  {day}  {took_s:7.2f} s  maker {cpu_s:6.1f} s CPU {peak_mb:5.0f} MB  mongod {server_s:6.1f} s CPU"
        f" {memory_mb:6.0f} MB  {examined:>9,} examined  {how}; {verdict}",
        flush=True,
    )


def scanned(store: Store) -> int:
    metrics = store.client.admin.command("serverStatus")["metrics"]
    return int(metrics["queryExecutor"]["scannedObjects"])


def pay_late(store: Store, day: date, offset: int) -> None:
    """Let orders of a day that were not paid be paid now, by payments from that day."""
    start_ms = day_of(day, "UTC").start_ms
    wanted = {"status": "unpaid", "events.occurred_at": {"$gte": datetime.fromtimestamp(start_ms / 1000, UTC)}}
    changes: list[Change] = []
    for at, found in enumerate(store.orders.find(wanted, limit=LATE_PAYMENTS)):
        order_id, due_minor, currency = found["_id"], int(found["due_minor"]), found["currency"]
        paid_ms = start_ms + DAY_MS - 1
        event = Event(f"late-{at}", "payment_captured", order_id, paid_ms, due_minor, currency, f"late-{at}")
        changes.append(Change(order_id, None, [Arrival(event, "payments", 0, offset + at)]))
    merge(store, changes, time.time_ns() // 1_000_000, RULES)


def run(home: Path, server: psutil.Process, servers: str, orders: int, per_day: int) -> None:
    """Fill a database, make days of it, and drop it."""
    uri, name = mongod.uri(home), f"million_{orders}_{per_day}"
    today = datetime.now(UTC).date()
    store = connect(uri, name, timeout_s=ANSWER_S)
    schema.migrate(store)
    # As if this had always been the program, or a revision would go through all orders for what an earlier one merged.
    store.matcher.update_one({"_id": "schema"}, {"$set": {"stamped_since": datetime.fromtimestamp(0, UTC)}})
    started_s = time.perf_counter()
    fill(store, orders, filled(orders, per_day, day_of(today, "UTC").start_ms))
    stats = store.database.command("collStats", "orders")
    print(
        f"{orders:,} orders, {per_day:,} a day: filled in {time.perf_counter() - started_s:.0f} s, "
        f"{stats['size'] / 2**20:,.0f} MB, indexes {stats['totalIndexSize'] / 2**20:,.0f} MB; "
        f"load average {os.getloadavg()[0]:.1f}"
    )
    days = [today - timedelta(FOLLOWING + 1 - at) for at in range(FOLLOWING + 1)]
    for day in days:
        measured(store, server, uri, servers, day)
    pay_late(store, days[-1], orders)
    print(f"  with {LATE_PAYMENTS} late payments:")
    measured(store, server, uri, servers, days[-1])
    store.client.drop_database(name)
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, nargs="+", default=[250_000, 1_000_000])
    parser.add_argument("--per-day", type=int, nargs="+", default=[12_500, 50_000])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orders-million-") as directory:
        home = Path(directory)
        try:
            server = psutil.Process(mongod.start(home).pid)
            broker.start(home)
            servers = broker.bootstrap_servers(home)
            ensure_topics(servers, {}, TOPICS, 2)
            for orders in given.orders:
                for per_day in given.per_day:
                    run(home, server, servers, orders, per_day)
        finally:
            broker.stop(home)
            mongod.stop(home)


if __name__ == "__main__":
    main()
