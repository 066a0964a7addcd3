"""`orders check`: Dagster's asset checks in this process, with an exit status that tells; `orders recount`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orders_platform.cli import output
from orders_platform.cli.context import pass_settings

if TYPE_CHECKING:
    from orders_platform.defs.run_checks import Outcome
    from orders_platform.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write JUnit XML.")
@click.option("--select", metavar="KEYS", help="Only these assets or checks, with commas between: lag,orders_topic.")
@click.option("--whole", is_flag=True, help="Look at every order and message, not at a sample.")
@pass_settings
def check(settings: "Settings", as_json: bool, junit: Path | None, select: str | None, whole: bool) -> int:
    """Run the platform's checks, those of Dagster, in this process.

    Exit status 1 if a check fails; a warning is told, and is no failure.
    """
    from orders_platform.defs.run_checks import run_checks
    from orders_platform.defs.run_checks import to_junit as junit_of

    names = None if select is None else frozenset(name.strip() for name in select.split(",") if name.strip())
    with output.activity("Checking ..."):
        outcomes = run_checks(names, whole)
    if junit is not None:
        junit.write_bytes(junit_of(outcomes))
    failed = [each for each in outcomes if each.state == "failed"]
    if as_json:
        output.result_json({"passed": not failed, "checks": outcomes})
    else:
        _draw(outcomes)
    return 1 if failed else 0


def _draw(outcomes: "list[Outcome]") -> None:
    colours = {"passed": "green", "warning": "yellow", "failed": "red"}
    rows = [(each.asset, each.check, f"[{colours[each.state]}]{each.state}[/]", each.text) for each in outcomes]
    output.show(output.table("asset", "check", "", "found", rows=rows))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print what was wrong as one JSON document.")
@pass_settings
def recount(settings: "Settings", as_json: bool) -> int:
    """Count all stored orders, and put the running totals right that page, metrics and views show.

    The matcher goes on meanwhile. Needed only after somebody changed or deleted orders by hand. Exit status 1 if a
    total was wrong.
    """
    from orders_platform.cli.connected import store_of
    from orders_platform.store import recount as counting

    with store_of(settings) as store, output.activity("Counting all orders ..."):
        found = counting.recount(store)
    if as_json:
        output.result_json({"corrected": [each._asdict() for each in found]})
    else:
        for each in found:
            output.say(f"Corrected {each.told()}.")
        output.say("The totals are right now." if found else "The totals were right.")
    return 1 if found else 0


commands: list[click.Command] = [check, recount]
