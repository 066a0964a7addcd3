"""`orders fold`: matching without a service."""

import gc
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from orders_platform.cli.params import DURATION, TIME

if TYPE_CHECKING:
    from orders_platform.matching import Rules

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
    some_rejected = False
    # Neither events nor documents hold cycles: looking for garbage among them would only cost.
    gc.disable()
    try:
        for part in bulk.gather(source):
            if isinstance(part, bulk.Gathered):
                for block in bulk.folded(part, clock_ms, rules):
                    sys.stdout.buffer.write(block)
            else:
                some_rejected = True
                sys.stderr.buffer.write(encode_lines([each._asdict() for each in part]))
                sys.stderr.buffer.flush()
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


commands: list[click.Command] = [fold]
