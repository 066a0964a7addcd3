"""`orders demo`: the whole platform, until it has proved itself."""

import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from orders_platform.cli import output
from orders_platform.cli.context import pass_settings
from orders_platform.errors import StackError

if TYPE_CHECKING:
    from datetime import date

    from orders_platform.demo.course import Course
    from orders_platform.generator import GeneratorOptions
    from orders_platform.settings import Settings

DAYS = 7
_QUIET_S = 20.0
"""Elsewhere than on a terminal: how long nothing is said while nothing new happens."""


@click.command()
@click.option("--orders", type=click.IntRange(20, 1_000_000), default=5_000, show_default=True, help="How many orders.")
@click.option("--rate", type=click.FloatRange(1), default=800.0, show_default=True, help="Messages a second.")
@click.option("--keep", is_flag=True, help="Leave the platform running.")
@click.pass_context
@pass_settings
def demo(ctx: click.Context, settings: "Settings", orders: int, rate: float, keep: bool) -> int:
    """Start the platform, stream orders with known truth through it, kill the matcher on the way, and prove the result.

    Dagster's sensor replaces the matcher, and the stream's days are closed in Dagster. Exit status 1 if any document or
    dead letter is not what the truth says, or a day's statement is incomplete.
    """
    from orders_platform.cli.stack import down, up

    keep = keep or _runs_already(settings)
    try:
        ctx.invoke(up)
        options = _options(settings, orders)
        course = _run(settings, options, rate)
        _show(course)
        first = datetime.fromtimestamp(options.start_ms / 1000, UTC).date()
        last = first + timedelta(days=options.days - 2)  # the stream's last day that is over in every time zone
        closes = _close(settings, first, last)
        if keep:
            _say_where(settings, last)
    finally:
        if not keep:
            ctx.invoke(down)
    return 1 if course.verdict.differences or not closes else 0


def _runs_already(settings: "Settings") -> bool:
    """Say whether somebody's platform runs in this home: the demo ends only what it started."""
    from orders_platform.local import processes

    return any(processes.find(settings.home, name) for name in ("kafka", "mongo", "matcher"))


def _close(settings: "Settings", first: "date", last: "date") -> bool:
    """Close days in Dagster, show the last one's statement, and say whether all are complete."""
    name = last.isoformat()
    output.say(f"Closing the days from {first} to {last} in Dagster ...")

    import msgspec

    from orders_platform.cli.connected import store_of
    from orders_platform.defs.close_days import close_days
    from orders_platform.defs.reports import files
    from orders_platform.reports.revisions import Changes
    from orders_platform.reports.statement import Statement
    from orders_platform.reports.summary import markdown
    from orders_platform.store import statements

    with output.activity("Closing"):
        succeeded = close_days(settings.home / "dagster", first, last)
    with store_of(settings) as store:
        kept = statements.latest(store, name)
    if kept is None:
        raise StackError(f"Dagster's job close_day made no statement of {name}.", f"Try `orders report {name}`.")
    changes = None if kept.changes is None else msgspec.convert(kept.changes, Changes)
    output.result(markdown(msgspec.convert(kept.statement, Statement), changes).rstrip("\n"))
    output.say(f"The page to print is {files.folder(settings.home, name) / files.PAGE}.")
    return succeeded


def _say_where(settings: "Settings", day: "date") -> None:
    from orders_platform.defs.reports import files
    from orders_platform.local import live
    from orders_platform.supervision import dagster_home

    if page := live.SERVER.url(settings.home):
        output.say(f"Live: {page}")
    if address := dagster_home.SERVER.url(settings.home):
        output.say(f"Dagster: {address}; the statement: {address}{files.address(day.isoformat())}")
    output.say(
        "It goes on running: see `orders status`, `orders watch`, `orders trace ORDER_ID`; `orders down` ends it."
    )


def _options(settings: "Settings", orders: int) -> "GeneratorOptions":
    from orders_platform.generator import GeneratorOptions
    from orders_platform.generator.options import start_in_the_past

    rules = settings.matching.rules()
    return GeneratorOptions(
        start_ms=start_in_the_past(time.time_ns() // 1_000_000, DAYS, rules),
        orders=orders,
        seed=secrets.randbelow(1_000_000),  # each demo brings orders of its own
        days=DAYS,
        rules=rules,
    )


def _run(settings: "Settings", options: "GeneratorOptions", rate: float) -> "Course":
    from orders_platform.demo.course import run
    from orders_platform.local.stack import endpoints
    from orders_platform.store.client import connect

    output.say(f"Streaming {options.orders:,} orders (seed {options.seed}) at {rate:,.0f} messages a second ...")
    where = endpoints(settings)
    store = connect(where.mongo_uri, settings.mongo.database)
    try:
        with _live() as show:
            return run(settings, where, store, options, rate, show)
    finally:
        store.close()


def _show(course: "Course") -> None:
    from orders_platform.demo.summary import summary

    output.show(summary(course))


@contextmanager
def _live() -> Iterator[Callable[[int, int, str], None]]:
    """Show messages sent and matched and a word on the matcher: bars on a terminal, changed words elsewhere."""
    if not sys.stderr.isatty():
        last, said_s = "", 0.0

        def tell(sent: int, matched: int, word: str) -> None:
            nonlocal last, said_s
            plain = word.partition(" s ago")[0].rstrip("0123456789 ")
            if plain != last or time.monotonic() - said_s > _QUIET_S:
                last, said_s = plain, time.monotonic()
                output.say(f"{sent:,} sent, {matched:,} matched: {word}")

        yield tell
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=output.console()) as bars:
        matched_bar = bars.add_task("matched", total=None)

        def draw(sent: int, matched: int, word: str) -> None:
            bars.update(matched_bar, total=sent, completed=matched, description=f"matched of sent, {word}")

        yield draw


commands: list[click.Command] = [demo]
