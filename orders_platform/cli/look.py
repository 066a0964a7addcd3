"""`orders fold`, `orders export`, `orders trace` and `orders watch`: looking at what was matched, or would be."""

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from orders_platform.cli import output
from orders_platform.cli.context import pass_settings
from orders_platform.cli.params import DURATION, TIME
from orders_platform.errors import UsageError

if TYPE_CHECKING:
    from orders_platform.matching import Rules
    from orders_platform.settings import Settings

REJECTED = 3


@click.command()
@click.option("--now", "clock_ms", type=TIME, help="The clock; without it no deadline has passed.")
@click.option("--tolerance", "tolerance_minor", type=click.IntRange(0), help="In minor units, instead of the setting.")
@click.option("--payment-window", "window_ms", type=DURATION, help="Such as 30m, instead of the setting.")
@click.argument("source", metavar="FILE|-", type=click.File("rb"))
@click.pass_context
def fold(
    ctx: click.Context, source: BinaryIO, clock_ms: int | None, tolerance_minor: int | None, window_ms: int | None
) -> None:
    """Match the events in FILE, one JSON object a line; print one document a line, sorted by order id.

    Rejected lines go to standard error, one JSON object each, and make the exit status 3.
    """
    from orders_platform.cli import fold as bulk

    rules = _rules(tolerance_minor, window_ms)
    encode_lines = msgspec.json.Encoder().encode_lines
    results, rejections = output.Bulk(sys.stdout), output.Bulk(sys.stderr)
    some_rejected = False
    # Neither events nor documents hold cycles: looking for garbage among them would only cost.
    gc.disable()
    try:
        for part in bulk.gather(source):
            if isinstance(part, bulk.Gathered):
                for block in bulk.folded(part, clock_ms, rules):
                    results.write(block)
            else:
                some_rejected = True
                rejections.write(encode_lines([each._asdict() for each in part]))
    finally:
        gc.enable()
    if some_rejected:
        ctx.exit(REJECTED)


def _rules(tolerance_minor: int | None, window_ms: int | None) -> "Rules":
    """Return the rules of the settings with what the options say instead."""
    from orders_platform.matching import Rules
    from orders_platform.surroundings import nothing_is_set

    rules = Rules()
    # The settings' models cost twice as much to import as all else that this command needs.
    if not nothing_is_set():
        from orders_platform.settings import Settings

        rules = Settings.load().matching.rules()
    given: dict[str, Any] = {"tolerance_minor": tolerance_minor, "payment_window_ms": window_ms}
    return msgspec.structs.replace(rules, **{name: value for name, value in given.items() if value is not None})


@click.command()
@click.option(
    "--collection",
    type=click.Choice(["orders", "dead_letters", "breaks"]),
    default="orders",
    show_default=True,
    help="What to write out.",
)
@click.option("--format", "kind", type=click.Choice(["jsonl", "csv", "parquet"]), default="jsonl", show_default=True)
@click.option("--since", "since_ms", type=TIME, help="Only what was written at this time or later; breaks by its day.")
@click.option("-o", "--output", "place", type=click.Path(dir_okay=False, path_type=Path), help="A file to write.")
@pass_settings
def export(settings: "Settings", collection: str, kind: str, since_ms: int | None, place: Path | None) -> None:
    """Write out orders in the keys of `orders fold`, breaks as the last statement left them, or dead letters, in order
    of their ids.

    In CSV the reasons of an order are joined by `|`.
    """
    if kind == "parquet" and place is None:
        raise UsageError("Parquet is not for a stream.", "Name a file with -o.")
    from orders_platform.cli.connected import store_of
    from orders_platform.cli.export import export as write

    with store_of(settings) as store, output.activity(f"Writing {collection} ..."):
        count = write(store, collection, kind, since_ms, settings.reports.time_zone, place)
    if place is not None:
        output.say(f"{count:,} rows are in {place}.")


@click.command()
@click.argument("order_id")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@pass_settings
def trace(settings: "Settings", order_id: str, as_json: bool) -> None:
    """Explain ORDER_ID: its events, which of them count, the figures, each rule, and what would settle it."""
    from orders_platform.cli.connected import store_of
    from orders_platform.live import story

    with store_of(settings) as store:
        traced = story.trace(store, settings, order_id)
    if as_json:
        output.result_json(story.as_json(traced))
    else:
        from orders_platform.cli.trace import draw

        draw(traced)


@click.command()
@click.option("--once", is_flag=True, help="Draw one frame and end, as without a terminal.")
@pass_settings
def watch(settings: "Settings", once: bool) -> None:
    """Watch rates, lag, statuses and the newest breaks, drawn anew each second; Ctrl-C ends it."""
    from orders_platform.cli import watch as watching
    from orders_platform.cli.connected import store_of

    with store_of(settings) as store:
        watching.run(store, once=once)


commands: list[click.Command] = [fold, export, trace, watch]
