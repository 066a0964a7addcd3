"""`orders status`, `orders supervise` and `orders matcher ...`: the matcher, watched and steered."""

import signal
import threading
from typing import TYPE_CHECKING

import click

from orders_platform.cli import output
from orders_platform.cli.context import pass_settings
from orders_platform.settings import Settings

if TYPE_CHECKING:
    from orders_platform.supervision.status import Status

_COLOURS = {"running": "green", "starting": "yellow", "stopped": "dim"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@pass_settings
def status(settings: Settings, as_json: bool) -> int:
    """Show what runs and how far the matcher is.

    Exit status 0 when everything runs, 1 otherwise.
    """
    from orders_platform.supervision.status import gather

    with output.activity("Asking every part ..."):
        found = gather(settings)
    if as_json:
        output.result_json(found)
    else:
        _draw(found)
    return 0 if found.healthy() else 1


@click.command()
@pass_settings
def supervise(settings: Settings) -> None:
    """Keep the matcher running, in the foreground.

    Restarts it when it dies or stalls, backs off when it keeps failing, and heeds `orders matcher`. Ending it (Ctrl-C,
    SIGTERM) leaves the matcher at work.
    """
    from orders_platform.supervision.supervise import Supervisor
    from orders_platform.supervision.supervisor_lock import only_supervisor

    ended = threading.Event()
    with only_supervisor(settings.home):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        Supervisor(settings, _log).run(ended)


@click.group()
def matcher() -> None:
    """Start, stop, restart, repair or rescale the matcher."""


@matcher.command()
@pass_settings
def start(settings: Settings) -> None:
    """Start the matcher and its supervisor, and wait until its stream runs."""
    from orders_platform.supervision.control import Control

    with output.activity("Starting the matcher ..."):
        beat = Control(settings, output.say).start()
    output.say(f"The matcher runs (epoch {beat.epoch}).")


@matcher.command()
@click.option("--now", is_flag=True, help="Don't wait for the current batch; it is done again later.")
@pass_settings
def stop(settings: Settings, now: bool) -> None:
    """Let the matcher finish its batch, and keep it stopped."""
    from orders_platform.supervision.control import Control

    with output.activity("Stopping the matcher ..."):
        stopped = Control(settings, output.say).stop(now=now)
    output.say("The matcher is stopped." if stopped else "The matcher was not running; it stays stopped.")


@matcher.command()
@pass_settings
def restart(settings: Settings) -> None:
    """Replace the matcher by one with the settings and the code of now."""
    from orders_platform.supervision.control import Control

    with output.activity("Restarting the matcher ..."):
        beat = Control(settings, output.say).restart()
    output.say(f"The matcher runs with the settings of now (epoch {beat.epoch}).")


@matcher.command()
@pass_settings
def repair(settings: Settings) -> None:
    """Move a damaged checkpoint aside and start from the offsets last committed.

    Nothing is lost or counted twice: what is read again is merged again, which changes nothing.
    """
    from orders_platform.supervision.control import Control

    with output.activity("Repairing the matcher ..."):
        aside, beat = Control(settings, output.say).repair()
    output.say(f"The old checkpoint is in {aside}." if aside else "There was no checkpoint to move aside.")
    output.say(f"The matcher runs (epoch {beat.epoch}).")


@matcher.command()
@pass_settings
def rescale(settings: Settings) -> None:
    """Give the running matcher the number of buckets that matcher.buckets names.

    It finishes its batch and goes on with a new checkpoint from the offsets last committed. Nothing is lost or counted
    twice. New partitions of the topics need no command: the matcher reads them from their first message.
    """
    from orders_platform.supervision.control import Control

    with output.activity("Rescaling the matcher ..."):
        before, beat = Control(settings, output.say).rescale()
    was = "" if before is None else f"; it had {before}"
    output.say(f"The matcher runs with {beat.buckets} buckets{was} (epoch {beat.epoch}).")


@matcher.command(hidden=True)
@pass_settings
def driver(settings: Settings) -> None:
    """Become the driver of this pod; the container's command on Kubernetes, where supervision scales it up."""
    import os

    from orders_platform.supervision.backends import pod_driver

    command = pod_driver.command(settings, os.environ)
    # No shell and no parent: signals and the exit status are the driver's own.
    os.execve(command[0], command, pod_driver.environment(os.environ))  # noqa: S606


def _log(text: str) -> None:
    from datetime import UTC, datetime

    output.say(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}")


def _draw(found: "Status") -> None:
    drawn = output.table("", "state", "pid", "address", "detail")
    for part in found.components:
        colour = _COLOURS.get(part.state, "red")
        pid = "" if part.pid is None else str(part.pid)
        drawn.add_row(part.name, f"[{colour}]{part.state}[/]", pid, part.address or "", part.detail)
    output.show(drawn)
    its = found.matcher
    if its.epoch is None:
        return
    behind = "unknown" if its.events_behind is None else f"{its.events_behind:,}"
    output.say(
        f"\nMatcher: epoch {its.epoch}, batch {_or_dash(its.batch_id)}, last commit {_or_dash(its.last_commit_at)}, "
        f"{behind} events behind, {its.restarts} restarts, deadlines swept to {_or_dash(its.deadline_swept_to)}."
    )


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)


commands: list[click.Command] = [status, supervise, matcher]
