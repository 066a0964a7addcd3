"""`orders deploy ...`: the platform on engines that scale."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orders_platform.cli import output
from orders_platform.cli.context import pass_settings
from orders_platform.settings import Settings

if TYPE_CHECKING:
    from orders_platform.deploy.plan import Plan

PROBLEM = 1
_COLOURS = {"as wanted": "green", "missing": "yellow", "differs": "yellow", "unknown": "red"}


@click.group()
def deploy() -> None:
    """Put the matcher on an engine that scales, supervised by a Dagster that the same command sets up."""


@deploy.command()
@click.option("--dry-run", is_flag=True, help="Print what would be done, with every request, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as one JSON document.")
@click.option("--no-up", is_flag=True, help="Don't start Dagster here: another machine supervises the matcher.")
@click.pass_context
@pass_settings
def dataproc(ctx: click.Context, settings: Settings, dry_run: bool, as_json: bool, no_up: bool) -> None:
    """Deploy to Dataproc: code into the bucket, the cluster, then Dagster on this machine, which starts the matcher.

    Run it from a clone of the repository, on the machine that is to supervise. Doing it again does what is missing.
    The exit status is 1 where somebody with more rights must act first; the commands for that are printed.
    """
    from orders_platform.cli.stack import up
    from orders_platform.deploy.dataproc import planned
    from orders_platform.deploy.plan import carry_out

    with planned(settings, output.say) as plan:
        show(plan, as_json, with_requests=dry_run)
        if plan.needs():
            ctx.exit(PROBLEM)
        if dry_run:
            return
        done = carry_out(plan, output.say)
    output.say(f"{done} steps were done." if done else "Everything was as wanted.")
    if not no_up:
        ctx.invoke(up)


@deploy.command()
@click.option("--overlay", required=True, help="gcp, aws, local, or the folder of an overlay of your own.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, with every object, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as one JSON document.")
@click.pass_context
@pass_settings
def kubernetes(ctx: click.Context, settings: Settings, overlay: str, dry_run: bool, as_json: bool) -> None:
    """Deploy to the cluster of the kubeconfig's context, or of kubernetes.context: Dagster, whose sensor starts the
    matcher. Doing it again does what is missing.

    The exit status is 1 where somebody must act first; the commands for that are printed.
    """
    from orders_platform.deploy.cluster_api import ClusterApi
    from orders_platform.deploy.kubernetes import OVERLAYS, await_matcher, planned, rendered
    from orders_platform.deploy.plan import carry_out

    known = OVERLAYS / overlay
    folder = known if known.is_dir() else Path(overlay)
    api = ClusterApi(settings.kubernetes.context)
    try:
        plan = planned(folder, api)
        show(plan, as_json, with_requests=dry_run)
        if plan.needs():
            ctx.exit(PROBLEM)
        if dry_run:
            return
        done = carry_out(plan, output.say)
        output.say(f"{done} steps were done." if done else "Everything was as wanted.")
        with output.activity("Waiting for Dagster and the matcher ..."):
            epoch = await_matcher(api, settings.kubernetes, rendered(folder))
    finally:
        api.close()
    output.say(f"The matcher works, epoch {epoch}, kept by Dagster in the cluster.")


def show(plan: "Plan", as_json: bool, *, with_requests: bool) -> None:
    """Print a plan: as JSON for scripts, else as a table, with each request where asked for."""
    import json

    if as_json:
        output.result_json(plan.as_json())
        return
    from rich.markup import escape

    drawn = output.table(plan.target, "is", "what is done")
    for step in plan.steps:
        drawn.add_row(escape(step.what), f"[{_COLOURS[step.state]}]{step.state}[/]", escape(step.does or "-"))
    output.show(drawn)
    for step in plan.steps:
        if with_requests and step.request is not None:
            output.result(f"# {step.what}: {step.does}\n{json.dumps(step.request, indent=2)}")
    for needed in plan.needs():
        output.say(f"First, with more rights: {needed}")


commands: list[click.Command] = [deploy]
