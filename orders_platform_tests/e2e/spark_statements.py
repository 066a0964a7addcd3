"""A million orders: days by one process each, and by one Spark batch on this machine; the bytes are compared.

.venv/bin/python -m orders_platform_tests.e2e.spark_statements --orders 1000000 --per-day 50000 --days 1 10
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import psutil

from orders_platform.local import broker, mongod
from orders_platform.local.stack import endpoints
from orders_platform.reports.days import Day, day_of
from orders_platform.reports.making import Broker, Made, make_day
from orders_platform.settings import Settings
from orders_platform.store import schema, statements
from orders_platform.store.client import Store, connect
from orders_platform.streams.topics import ensure_topics
from orders_platform.supervision.statements import Told, make_statements
from orders_platform_tests.e2e.million import ANSWER_S, RULES, TOPICS, fill, filled

KEPT = ("statements", "statement_breaks", "breaks", "carries")


def alone(store: Store, servers: str, days: Sequence[Day], *, force: bool) -> list[Made]:
    """Make each day in this process; with `force` from all orders, else upon the day before where that can be."""
    at = Broker(servers, {}, TOPICS)
    return [make_day(store, at, day, RULES, force=force) for day in days]


def by_spark(store: Store, settings: Settings, days: Sequence[Day]) -> list[Made]:
    """Make the days by one batch."""
    return make_statements(store, settings, days, Told(print, lambda counted, parts: None), force=True)


def forget(store: Store) -> None:
    for name in KEPT:
        store.database[name].delete_many({})


def measured(server: psutil.Process, what: str, make: "Making") -> list[bytes]:
    """Run it, print what it took, and return each day's statement as bytes."""
    before, begun_s = server.cpu_times(), time.perf_counter()
    made = make()
    took_s, after = time.perf_counter() - begun_s, server.cpu_times()
    server_s = after.user + after.system - before.user - before.system
    events = sum(each.statement.coverage.events for each in made)
    open_breaks = sum(len(each.statement.breaks.new) + len(each.statement.breaks.persisting) for each in made)
    print(
        f"  {what:<34} {took_s:7.1f} s  mongod {server_s:6.1f} s CPU  {events:>9,} events  {open_breaks:>9,} breaks",
        flush=True,
    )
    return [msgspec.json.encode(each.statement) for each in made]


class Making(msgspec.Struct):
    """Days to make in one way."""

    store: Store
    settings: Settings
    servers: str
    days: list[Day]
    how: str

    def __call__(self) -> list[Made]:
        forget(self.store)
        if self.how == "Spark":
            return by_spark(self.store, self.settings, self.days)
        return alone(self.store, self.servers, self.days, force=self.how == "all orders")


def run(home: Path, server: psutil.Process, orders: int, per_day: int, spans: Sequence[int]) -> bool:
    """Fill a database and make days of it in each way; return whether all bytes are the same."""
    settings = Settings.load({"home": str(home), "reports": {"spark_above_orders": 0}}, {}, home)
    servers, today = endpoints(settings).bootstrap_servers, datetime.now(UTC).date()
    store = connect(mongod.uri(home), settings.mongo.database, timeout_s=ANSWER_S)
    schema.migrate(store)
    store.matcher.update_one({"_id": "schema"}, {"$set": {"stamped_since": datetime.fromtimestamp(0, UTC)}})
    fill(store, orders, filled(orders, per_day, day_of(today, "UTC").start_ms))
    same = True
    for count in spans:
        days = [day_of(_back(today, count - at), "UTC") for at in range(count)]
        print(f"{orders:,} orders, {per_day:,} a day; {count} days")
        found = {
            how: measured(server, how, Making(store, settings, servers, days, how))
            for how in ("all orders", "upon the day before", "Spark")
        }
        equal = found["all orders"] == found["Spark"] == found["upon the day before"]
        print(f"  {sum(map(len, found['Spark'])):,} bytes, {'the same' if equal else 'NOT THE SAME'}")
        assert statements.latest(store, days[-1].date.isoformat()) is not None
        same &= equal
    store.close()
    return same


def _back(today: date, days: int) -> date:
    return today - timedelta(days)


def main() -> int:
    """Measure, and fail where bytes differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--per-day", type=int, default=50_000)
    parser.add_argument("--days", type=int, nargs="+", default=[1, 10])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orders-spark-statements-") as directory:
        home = Path(directory)
        try:
            server = psutil.Process(mongod.start(home).pid)
            broker.start(home)
            ensure_topics(broker.bootstrap_servers(home), {}, TOPICS, 2)
            return 0 if run(home, server, given.orders, given.per_day, given.days) else 1
        finally:
            broker.stop(home)
            mongod.stop(home)


if __name__ == "__main__":
    raise SystemExit(main())
