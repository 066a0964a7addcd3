"""How commands speak: words for people on standard error, results on standard output."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click
import msgspec

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Loaded when something is drawn: rich costs a quarter of the start-up time that a quick command may take.

STYLES = {"ok": "green", "pending": "yellow", "break": "red"}
"""Colours of an order's outcome."""


def console(*, stderr: bool = True) -> "Console":
    """Return the console for people: standard error, or standard output for a result that is drawn."""
    from rich.console import Console

    # rich itself honours NO_COLOR and drops styles where there is no terminal; a file should not wrap at 80 columns.
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else 160
    return Console(stderr=stderr, highlight=False, width=width)


def say(text: str) -> None:
    """Write one line for people; markup is not read, so any text may stand in it."""
    click.echo(text, err=True)


def result(line: str | bytes) -> None:
    """Write one line of a result to standard output."""
    click.echo(line)


class Bulk:
    """A standard stream for large writes: the whole is written, also where Python runs unbuffered.

    An unbuffered stream (PYTHONUNBUFFERED) may take a part only, and leave it to the caller to notice.
    """

    def __init__(self, stream: TextIO) -> None:
        self._binary = stream.buffer

    def write(self, data: bytes) -> int:
        """Write all of `data`; return how much that is."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._binary.write(rest) :]
        self._binary.flush()
        return len(data)


def result_json(value: Any) -> None:
    """Write one JSON document to standard output, indented where a person reads it."""
    encoded = msgspec.json.encode(value)
    click.echo(msgspec.json.format(encoded, indent=2 if sys.stdout.isatty() else 0))


def table(*columns: str, rows: Iterable[Iterable[str]] = (), right: Iterable[str] = ()) -> "Table":
    """Return a plain table; the columns named in `right` are aligned to the right. Cells may hold rich markup."""
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    numbers = set(right)
    for column in columns:
        drawn.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    return drawn


def show(drawn: Any) -> None:
    """Draw a result for people, a table or anything else that rich can draw, on standard output."""
    console(stderr=False).print(drawn)


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Draw a progress bar while inside, on a terminal only; the value is the function that moves it on by a count."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


@contextmanager
def activity(what: str) -> Iterator[Callable[[str], None]]:
    """Show that something is going on while inside, on a terminal only; the value is the function that says what."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    with console().status(what) as status:
        yield status.update
