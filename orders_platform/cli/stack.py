"""`orders up`, `orders down`, `orders doctor`: the local platform as a whole."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from orders_platform.cli import output
from orders_platform.cli.context import pass_settings
from orders_platform.settings import Settings

if TYPE_CHECKING:
    from orders_platform.local.servers import Server

_ALL = ("kafka", "mongo", "matcher", "live")
_COLOURS = {"running": "green", "ok": "green", "starting": "yellow", "warning": "yellow", "stopped": "dim"}


class Parts(click.ParamType[frozenset[str]]):
    """Names of the platform's parts, with commas between."""

    name = "parts"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[str]:
        """Return the set of names; an unknown one is wrong use."""
        names = frozenset(part.strip() for part in str(value).split(",") if part.strip())
        if unknown := sorted(names - set(_ALL)):
            self.fail(f"{unknown[0]!r} is not a part of the platform; those are {', '.join(_ALL)}.", param, ctx)
        if not names:
            self.fail(f"name at least one of {', '.join(_ALL)}.", param, ctx)
        return names


@click.command()
@click.option("--only", type=Parts(), default=",".join(_ALL), metavar="PARTS", help="A part: kafka,mongo,matcher,live.")
@click.option("--no-dagster", is_flag=True, help="Without Dagster: a small supervisor keeps the matcher.")
@pass_settings
def up(settings: Settings, only: frozenset[str], no_dagster: bool) -> None:
    """Start Kafka, MongoDB, Dagster, the matcher and the live page, and wait until they work.

    Dagster's sensor starts the matcher and keeps it at work. Where this machine has Prometheus, it keeps the
    page's numbers. What the settings name elsewhere is used, not started. What runs already stays as it is.
    """
    from orders_platform.local import stack
    from orders_platform.supervision import dagster_home
    from orders_platform.supervision.control import Control, stop_supervisor
    from orders_platform.supervision.status import gather

    addresses: dict[str, str] = {}
    with _steps() as report, ThreadPoolExecutor(1) as pool:
        with_dagster = "matcher" in only and not no_dagster
        made = pool.submit(_make_instance, settings) if with_dagster else None
        stack.up(settings, only, report)
        if "matcher" in only and no_dagster:
            dagster_home.stop(settings)
        if made is not None:
            report("Starting Dagster", 0, 1)
            made.result()
            stop_supervisor(settings)
            dagster_home.start_daemon(settings)
            dagster_home.start_webserver(settings)
        pages = _start_pages(settings) if "live" in only else []
        if "matcher" in only:
            report("Starting the matcher", 0, 1)
            Control(settings, output.say).start()
            report("Starting the matcher", 1, 1)
        if made is not None:
            addresses["Dagster"] = dagster_home.SERVER.wait(settings.home)
            report("Starting Dagster", 1, 1)
        addresses |= {page.name.capitalize(): page.wait(settings.home) for page in pages}
    rows = [
        (part.name, _coloured(part.state), str(part.pid or ""), part.address or "", part.detail)
        for part in gather(settings).components
    ]
    output.show(output.table("", "state", "pid", "address", "detail", rows=rows))
    for name, address in addresses.items():
        output.say(f"{name}: {address}")


@click.command()
@click.option("--purge", is_flag=True, help="Delete this home's data too.")
@pass_settings
def down(settings: Settings, purge: bool) -> None:
    """Stop Prometheus and the live page, Dagster, the matcher after its batch, then Kafka and MongoDB."""
    from orders_platform.local import live, prometheus, stack

    with output.activity("Stopping ...") as say:
        stopped = [each.name for each in (prometheus.SERVER, live.SERVER) if each.stop(settings.home)]
        stopped += _stop_matcher(settings)
        say("Stopping Kafka and MongoDB ...")
        stopped += stack.down(settings, purge=purge)
    output.say(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")
    if purge:
        output.say(f"The data in {settings.home} is deleted.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@pass_settings
def doctor(settings: Settings, as_json: bool) -> int:
    """Check this machine and the platform, with a fix for each finding.

    Exit status 1 if something is wrong; a warning is no failure.
    """
    from orders_platform.local.doctor import examine
    from orders_platform.supervision import dagster_home

    with output.activity("Looking ..."):
        findings = examine(settings)
        if dagster_home.is_installed():
            from orders_platform.defs import health

            findings += health.examine(settings)
    healthy = all(finding.state != "problem" for finding in findings)
    if as_json:
        output.result_json({"healthy": healthy, "findings": findings})
    else:
        rows = [(found.check, _coloured(found.state), found.detail, found.fix) for found in findings]
        output.show(output.table("check", "state", "found", "what to do", rows=rows))
    return 0 if healthy else 1


def _make_instance(settings: Settings) -> None:
    from orders_platform.defs import instance
    from orders_platform.supervision import dagster_home

    instance.make(dagster_home.prepare(settings.home))


def _start_pages(settings: Settings) -> "list[Server]":
    from orders_platform.local import live, prometheus

    live.start(settings)
    return [live.SERVER, prometheus.SERVER] if prometheus.start(settings) else [live.SERVER]


def _stop_matcher(settings: Settings) -> list[str]:
    from orders_platform.errors import OrdersError
    from orders_platform.local import processes
    from orders_platform.supervision import dagster_home
    from orders_platform.supervision.control import Control, stop_supervisor

    stopped = dagster_home.stop(settings)
    stopped += ["supervisor"] if stop_supervisor(settings) else []
    if settings.matcher.backend == "local" and processes.find(settings.home, "matcher") is None:
        return stopped
    try:
        Control(settings, output.say).stop()
    except OrdersError as error:
        # Without Kafka or MongoDB it can't be asked; what it did not commit is done again.
        output.say(f"{error.what} The matcher is stopped at once.")
        processes.stop(settings.home, "matcher")
    return [*stopped, "matcher"]


@contextmanager
def _steps() -> Iterator[Callable[[str, int, int], None]]:
    """Show each step with its progress: bars on a terminal, a line for each step elsewhere."""
    if not sys.stderr.isatty():
        seen: set[str] = set()

        def tell(what: str, _done: int, _total: int) -> None:
            if what not in seen:
                seen.add(what)
                output.say(f"{what} ...")

        yield tell
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output.console()) as bars:
        tasks: dict[str, TaskID] = {}

        def draw(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            # One step has no measure: its bar moves until it is done.
            bars.update(tasks[what], completed=done, total=None if total == 1 and done == 0 else total)

        yield draw


def _coloured(state: str) -> str:
    return f"[{_COLOURS.get(state, 'red')}]{state}[/]"


commands: list[click.Command] = [up, down, doctor]
