"""The entry point: `orders COMMAND`. A command's module is imported only when that command is called or asked about."""

import difflib
import errno
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import click

from orders_platform import __version__
from orders_platform.errors import OrdersError

# Command -> the module of this package that exports it in `commands`, and the line that `orders --help` shows for it.
# The lines stand here so that help needs no import of Kafka's and MongoDB's clients.
COMMANDS = {
    "up": ("stack", "Start the platform on this machine."),
    "down": ("stack", "Stop it; --purge deletes its data."),
    "status": ("supervise", "Show what runs and how far the matcher is."),
    "doctor": ("stack", "Check this machine and the platform, with a fix for each finding."),
    "demo": ("demo", "Run the whole platform on a generated stream and prove the result."),
    "test": ("suite", "Run the whole test suite."),
    "seed": ("feed", "Publish a realistic generated stream with known truth."),
    "publish": ("feed", "Send JSON lines to Kafka."),
    "wait": ("feed", "Wait until everything published so far is matched."),
    "check": ("check", "Run the platform's checks; for CI, too."),
    "recount": ("check", "Count all orders and put the running totals right."),
    "export": ("look", "Write out orders, breaks or dead letters."),
    "fold": ("look", "Match a file of events without any service: the dry run of a rule change."),
    "trace": ("look", "Explain one order: its events, its figures, its status."),
    "watch": ("look", "Watch rates, lag, statuses and new breaks live."),
    "report": ("report", "Make a day's statement: what customers owe, and why."),
    "breaks": ("report", "List what is open, since when, and how much is at risk."),
    "resolve": ("report", "Record a person's decision on a break."),
    "replay": ("feed", "Put events through the matcher again."),
    "dead-letters": ("feed", "Show rejected messages, or publish them again."),
    "matcher": ("supervise", "Start, stop, restart, repair or rescale the matcher."),
    "supervise": ("supervise", "Keep the matcher running, in the foreground."),
    "deploy": ("deploy", "Put the matcher on Dataproc or Kubernetes."),
    "package": ("package", "Pack the commit for Dataproc and for a container image."),
    "config": ("settings", "Show every setting and where its value comes from."),
    "completion": ("settings", "Print the completion script of a shell."),
}
_SYSTEM_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
INTERRUPTED = 130
BROKEN_PIPE = 1  # as click ends a command whose reader left while it wrote


class Commands(click.Group):
    """The commands, loaded one at a time, and the one place where errors become sentences and exit statuses."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names in the order of their use, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command; None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"orders_platform.cli.{COMMANDS[cmd_name][0]}")
        return next(command for command in module.commands if command.name == cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command to run.

        Raises:
            click.UsageError: there is none of this name; the nearest one is named.
        """
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            fix = f"Did you mean `orders {near[0]}`?" if near else "Run `orders --help` for all commands."
            raise click.UsageError(f"There is no command {name!r}. {fix}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Return the commands that begin so, again without importing them."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run the command line and leave the process with its exit status, whatever `standalone_mode` says."""
        with _interrupts_noted() as interrupted:
            try:
                status: Any = super().main(
                    args=args,
                    prog_name=prog_name or "orders",
                    complete_var=complete_var,
                    standalone_mode=False,
                    windows_expand_args=windows_expand_args,
                    **extra,
                )
                sys.stdout.flush()
            except (Exception, KeyboardInterrupt) as error:
                status = _told(error, interrupted=interrupted.is_set())
        sys.exit(status if isinstance(status, int) else 0)


@click.group(
    "orders",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start with `orders demo`. Exit status: 0 done, 1 a problem, 2 wrong use, 3 some input was rejected.",
)
@click.version_option(__version__, prog_name="orders", message="%(prog)s %(version)s")
def cli() -> None:
    """Match orders with payments from Kafka, and say why each does or doesn't add up."""


def run() -> NoReturn:
    """Run `orders` with the arguments of this process."""
    cli.main()


@contextmanager
def _interrupts_noted() -> Iterator[threading.Event]:
    """Note Ctrl-C beside raising KeyboardInterrupt: a library written in C may swallow that, or fail in its own way."""
    interrupted = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        signal.default_int_handler(number, frame)

    ours = threading.current_thread() is threading.main_thread()
    ours = ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _told(error: BaseException, *, interrupted: bool) -> int:
    """Tell a person what ended the command; return its exit status."""
    if interrupted or isinstance(error, (KeyboardInterrupt, click.Abort)):
        _say("Interrupted.")
        return INTERRUPTED
    match error:
        case OrdersError():
            _say(f"Error: {error.what}", error.fix)
            return error.exit_code
        case click.ClickException():
            error.show()
            return error.exit_code
        case BrokenPipeError():
            return _closed_output()
        case OSError() if error.errno in _SYSTEM_REFUSALS:
            return _refused_by_system(error)
        case _:
            return _unexpected(error)


def _say(*lines: str) -> None:
    try:
        click.echo("\n".join(lines), err=True)
    except OSError:
        return  # nobody listens; the exit status still speaks


def _closed_output() -> int:
    # The interpreter flushes standard output once more on its way out; let that go nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE


def _refused_by_system(error: OSError) -> int:
    place = f" ({error.filename})" if error.filename else ""
    _say(f"Error: The system refused: {error.strerror}{place}.", "Free or repair the disk, or choose another place.")
    return 1


def _unexpected(error: BaseException) -> int:
    if os.environ.get("ORDERS_DEBUG") == "1":
        raise error
    from orders_platform.cli.crash import write_report

    name = type(error).__name__
    place = write_report(error)
    where = f"The traceback is in {place}." if place else "Its traceback could not be written: the disk refuses."
    _say(f"Error: {name} was not expected here, so this is a defect. {where}", "ORDERS_DEBUG=1 shows it here.")
    return 1


if __name__ == "__main__":
    run()
