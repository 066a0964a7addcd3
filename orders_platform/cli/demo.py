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

if TYPE_CHECKING:
    from orders_platform.demo.course import Course
    from orders_platform.generator import GeneratorOptions
    from orders_platform.settings import Settings

DAYS = 7


@click.command()
@click.option("--orders", type=click.IntRange(20, 1_000_000), default=5_000, show_default=True, help="How many orders.")
@click.option("--rate", type=click.FloatRange(1), default=800.0, show_default=True, help="Messages a second.")
@click.option("--keep", is_flag=True, help="Leave the platform running.")
@click.pass_context
@pass_settings
def demo(ctx: click.Context, settings: "Settings", orders: int, rate: float, keep: bool) -> int:
    """Start the platform, stream orders with known truth through it, kill the matcher on the way, and prove the result.

    Exit status 1 if any document or dead letter is not what the truth says, or the day's statement is incomplete.
    """
    from orders_platform.cli.report import report
    from orders_platform.cli.stack import down, up

    ctx.invoke(up)
    try:
        options = _options(settings, orders)
        course = _run(settings, options, rate)
        _show(course)
        # The last day of the stream that is over in every time zone.
        day = datetime.fromtimestamp(options.start_ms / 1000, UTC) + timedelta(days=options.days - 2)
        pages = settings.home / "statements"
        pages.mkdir(exist_ok=True)
        ctx.invoke(report, when=day, as_json=False, page=pages / f"{day:%Y-%m-%d}.html", force=False)
    finally:
        if not keep:
            ctx.invoke(down)
    if keep:
        output.say(
            "It goes on running: see `orders status`, `orders watch`, `orders trace ORDER_ID`; `orders down` ends it."
        )
    return 1 if course.verdict.differences else 0


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
        last = ""

        def tell(sent: int, matched: int, word: str) -> None:
            nonlocal last
            plain = word.partition(" s ago")[0].rstrip("0123456789 ")
            if plain != last:
                last = plain
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
