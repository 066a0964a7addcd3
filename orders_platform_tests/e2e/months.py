"""Evidence: three months of days, closed one after the other while events come late, and every figure of every
statement as the tests' oracle says.

    python -m orders_platform_tests.e2e.months [--days 92] [--orders-per-day 120] [--seed 1] [--json FILE]

Once in Europe/Berlin across a change of the clocks, once in UTC. Messages go through a real broker, whose time is the
told one, the matcher's core (`matcher.bucket.match`, `matcher.sweep`) and a real mongod; Spark, which only carries
bytes to that core, is left out. Statements are made by `make_day`, as the schedule and `orders report` make them, at
the told time.
Exit status 1 if anything differs.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from orders_platform.local import broker, mongod
from orders_platform.matching import Rules
from orders_platform.store import schema
from orders_platform.store.client import Store, connect
from orders_platform_tests.e2e.month_course import Course
from orders_platform_tests.e2e.month_stream import Shop

RULES = Rules(tolerance_minor=2)
ZONES = ("Europe/Berlin", "UTC")
FIRST = date(2025, 9, 1)  # the clocks change on 26 October
SHOWN = 20


def run(store: Store, servers: str, shop: Shop, advance: Callable[[], object]) -> dict[str, Any]:
    """Live through one shop's days and return what was seen, with every difference."""
    begun_s = time.monotonic()
    course = Course(store, servers, shop, advance)
    with course.matcher.clock.runs(store):
        course.run()
    told = [kept.told for kept in course.kept.values()]
    return {
        "zone": shop.zone,
        "first": shop.first.isoformat(),
        "days": shop.days,
        "seed": shop.seed,
        "orders": course.ledger.orders,
        "messages": course.ledger.messages,
        "events": len(course.ledger.arrivals),
        "dead_letters": course.ledger.letters,
        "statements_made": course.counts["made"],
        "compared": course.counts["compared"],
        "built_upon_the_day_before": course.counts["from the day before"],
        "days_made_before_they_ended": course.counts["ahead"],
        "days_closed_while_the_matcher_was_behind": course.counts["incomplete"],
        "revisions": course.counts["revisions"],
        "highest_revision": max(each["revision"] for each in told),
        "late_events_named": course.counts["late events named"],
        "openings_compared": course.counts["openings"],
        "breaks_compared": sum(course.seen[f"breaks {name}"] for name in ("new", "persisting", "resolved")),
        "seen": dict(sorted(course.seen.items())),
        "seconds": round(time.monotonic() - begun_s, 1),
        "wrong": course.wrong,
    }


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table(title="Days closed, made again, and compared")
    table.add_column("")
    for each in results:
        table.add_column(f"{each['zone']}, seed {each['seed']}", justify="right")
    for name in results[0]:
        if name not in ("zone", "seed", "seen", "wrong"):
            values = [each[name] for each in results]
            table.add_row(name.replace("_", " "), *(f"{one:,}" if isinstance(one, int) else str(one) for one in values))
    table.add_row("differences", *(f"{len(each['wrong']):,}" for each in results))
    return table


def main() -> int:
    """Run both zones on services of their own; print a table, and where anything differs."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--days", type=int, default=92)
    arguments.add_argument("--orders-per-day", type=int, default=120)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--from", dest="first", type=date.fromisoformat, default=FIRST)
    arguments.add_argument("--zones", nargs="+", default=ZONES)
    arguments.add_argument("--json", type=Path, metavar="FILE")
    chosen = arguments.parse_args()
    results: list[dict[str, Any]] = []
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as directory, Progress(console=console) as progress:
        home = Path(directory) / "home"
        try:
            with ThreadPoolExecutor(2) as pool:
                for part in [pool.submit(broker.start, home), pool.submit(mongod.start, home)]:
                    part.result()
            for zone in chosen.zones:
                shop = Shop(chosen.first, chosen.days, zone, chosen.orders_per_day, chosen.seed, RULES)
                bar = progress.add_task(zone, total=2 * chosen.days + 1)
                store = connect(mongod.uri(home), f"months_{zone.replace('/', '_')}", timeout_s=20)
                schema.migrate(store)
                try:
                    results.append(run(store, broker.bootstrap_servers(home), shop, lambda b=bar: progress.advance(b)))
                finally:
                    store.close()
                console.print(f"{zone}: {results[-1]['seconds']:,} s, {len(results[-1]['wrong'])} differences")
        finally:
            broker.stop(home)
            mongod.stop(home)
    console.print(_table(results))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(results, indent=2) + "\n")
    for each in results:
        for difference in each["wrong"][:SHOWN]:
            print(f"{each['zone']}: {difference}"[:600])
    return 1 if any(each["wrong"] for each in results) else 0


if __name__ == "__main__":
    sys.exit(main())
