"""What feeds the matcher, and waits for it: seed, publish, wait; replay and dead-letters are in `again`."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from orders_platform.cli import again, output
from orders_platform.cli.context import pass_settings
from orders_platform.cli.params import TIME
from orders_platform.generator.archetypes import ARCHETYPES

if TYPE_CHECKING:
    from orders_platform.generator import GeneratorOptions, Stream
    from orders_platform.settings import Settings

REJECTED = 3

_PERCENT = click.FloatRange(0, 100)
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _share_options(command: _Command) -> _Command:
    """Give a command one option for the share of each archetype."""
    for name, archetype in reversed(ARCHETYPES.items()):
        story = (archetype.story.__doc__ or "").strip()
        share = "what the others leave" if archetype.share == 0 else f"{archetype.share:g}"
        option = f"--{name.replace('_', '-')}"
        click.option(option, f"share_{name}", type=_PERCENT, metavar="PERCENT", help=f"{story} [{share}]")(command)
    return command


@click.command()
@click.option("--orders", type=click.IntRange(1, 99_999_999), default=1000, show_default=True, help="How many orders.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Messages a second; without it, at once.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed and start give the same stream.")
@click.option("--truth", type=click.Path(dir_okay=False, path_type=Path), help="Write what each order must come to.")
@click.option("--start", "start_ms", type=TIME, help="When the first day begins; default: so that no deadline is open.")
@click.option("--days", type=click.IntRange(1, 3660), default=7, show_default=True, help="Days the orders spread over.")
@click.option("--output", "path", type=click.Path(dir_okay=False, path_type=Path), help="A file of lines, not Kafka.")
@click.option("--duplicates", type=_PERCENT, default=5.0, show_default=True, help="Messages that are delivered twice.")
@click.option("--poison", type=_PERCENT, default=1.0, show_default=True, help="Messages with a bad one beside them.")
@click.option("--out-of-order", type=_PERCENT, default=10.0, show_default=True, help="Messages up to 2 h after others.")
@click.option("--late", type=_PERCENT, default=1.0, show_default=True, help="Messages up to two days late.")
@_share_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@pass_settings
def seed(
    settings: "Settings",
    orders: int,
    rate: float | None,
    seed: int,
    truth: Path | None,
    start_ms: int | None,
    days: int,
    path: Path | None,
    duplicates: float,
    poison: float,
    out_of_order: float,
    late: float,
    as_json: bool,
    **shares: float | None,
) -> None:
    """Publish a realistic stream of orders, payments and what goes wrong with them, with known truth.

    Every share is a percentage: of orders for the stories, of messages for duplicates, poison and late ones. The
    truth is one document a line, sorted by order id, as `orders export` prints it, and holds once the orders'
    deadlines have passed: right away unless --start says otherwise.
    """
    from orders_platform.generator import GeneratorOptions
    from orders_platform.generator.options import start_in_the_past

    if path is not None and rate is not None:
        raise click.UsageError("--rate paces what goes to Kafka; leave it out with --output.")
    rules = settings.matching.rules()
    now_ms = time.time_ns() // 1_000_000
    options = GeneratorOptions(
        start_ms=start_in_the_past(now_ms, days, rules) if start_ms is None else start_ms,
        orders=orders,
        seed=seed,
        days=days,
        shares={name.removeprefix("share_"): share for name, share in shares.items() if share is not None},
        duplicates=duplicates,
        poison=poison,
        out_of_order=out_of_order,
        late=late,
        rules=rules,
    )
    told = _tell(settings, options, truth, path, rate)
    if as_json:
        output.result_json(told)
    else:
        _summarize(told, path, now_ms)
    if told["failed"]:
        raise _undelivered(told["failed"], told["messages"])


def _tell(
    settings: "Settings", options: "GeneratorOptions", truth: Path | None, path: Path | None, rate: float | None
) -> dict[str, Any]:
    """Generate the stream into Kafka or a file, write the truth beside it, and return what was told."""
    from orders_platform.cli.files import replaced
    from orders_platform.cli.services import publisher_for, topics_by_role
    from orders_platform.generator import Stream
    from orders_platform.generator.send import send, write

    stream = Stream(options)
    sent = failed = left_out = 0
    with ExitStack() as stack:
        if truth is not None:
            truth_file = stack.enter_context(replaced(truth))
            stream.on_expected = lambda expected: truth_file.write(expected.json_line(stream.clock).encode())
        if path is None:
            publisher = publisher_for(settings)
            with publisher, output.progress("Publishing messages") as advance:
                send(stream, publisher, topics_by_role(settings), rate=rate, advance=advance)
            sent, failed = publisher.sent, publisher.failed
        else:
            lines = stack.enter_context(replaced(path))
            with output.progress("Writing messages") as advance:
                left_out = write(stream, lines, advance=advance)
    return _told(stream, truth) | {"sent": sent, "failed": failed, "left_out": left_out}


def _told(stream: "Stream", truth: Path | None) -> dict[str, Any]:
    from orders_platform.times import format_ms

    counts = stream.counts
    return {
        "orders": counts.orders,
        "messages": counts.messages,
        "duplicates": counts.duplicates,
        "poison": counts.poison,
        "dead_letters": dict(sorted(counts.dead_letters.items())),
        "by_archetype": dict(sorted(counts.by_archetype.items())),
        "holds_from": format_ms(counts.decided_from_ms),
        "truth": None if truth is None else str(truth),
    }


def _summarize(told: dict[str, Any], path: Path | None, now_ms: int) -> None:
    from orders_platform.times import parse_rfc3339

    written = told["messages"] - told["left_out"]
    done = f"Published {told['sent']:,}" if path is None else f"Wrote {written:,}"
    output.say(
        f"{done} messages of {told['orders']:,} orders: {told['duplicates']:,} delivered again, {told['poison']:,} "
        "that must be rejected."
    )
    if told["left_out"]:
        output.say(f"{told['left_out']:,} of these are empty and can't be lines of a file: they were left out.")
    if told["truth"] is not None:
        output.say(f"What each order must come to is in {told['truth']}.")
    if parse_rfc3339(told["holds_from"]) > now_ms:
        output.say(f"The last deadline passes at {told['holds_from']}: until then some orders are still pending.")


@click.command()
@click.option("--topic", help="Send every line there as it is, valid or not.")
@click.argument("source", metavar="FILE|-", type=click.File("rb"))
@click.pass_context
@pass_settings
def publish(ctx: click.Context, settings: "Settings", source: BinaryIO, topic: str | None) -> None:
    """Send the lines of FILE to Kafka: acks=all, key = order id, topic by the event's type.

    Without --topic a line that is no valid event is not sent: it goes to standard error as JSON, counts as failed,
    and makes the exit status 3.
    """
    from orders_platform.cli.lines import send_events, send_raw
    from orders_platform.cli.services import publisher_for, topics_by_role

    rejected = 0
    publisher = publisher_for(settings, topic)
    try:
        with publisher, output.progress("Sending lines") as advance:
            if topic is None:
                rejected = send_events(source, publisher, topics_by_role(settings), advance)
            else:
                send_raw(source, publisher, topic, advance)
    finally:
        output.result_json({"sent": publisher.sent, "failed": publisher.failed + rejected})
    if publisher.failed:
        raise publisher.failure or _undelivered(publisher.failed, publisher.failed + publisher.sent)
    if rejected:
        ctx.exit(REJECTED)


@click.command()
@click.option("--timeout", "timeout_s", type=click.FloatRange(0), default=120.0, show_default=True, help="Seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
@pass_settings
def wait(ctx: click.Context, settings: "Settings", timeout_s: float, as_json: bool) -> None:
    """Return when every message published before this call is committed by the matcher; 1 on time-out."""
    from orders_platform.cli.services import store_of
    from orders_platform.local.stack import endpoints
    from orders_platform.matcher.waiting import wait_until_matched

    where = endpoints(settings)
    with (
        store_of(settings, where, timeout_s=1.0) as store,
        output.activity("Looking at the topics' ends ...") as describe,
    ):
        waited = wait_until_matched(
            store,
            where.bootstrap_servers,
            where.kafka_client,
            settings.kafka.topics,
            timeout_s,
            say=output.say,
            on_behind=lambda count: describe(f"{count:,} messages to go"),
        )
    if as_json:
        output.result_json({"reached": waited.reached, "behind": waited.behind, "waited_s": round(waited.waited_s, 3)})
    if not waited.reached:
        topics = ", ".join(f"{topic}: {count:,}" for topic, count in waited.behind.items())
        output.say(
            f"Error: After {timeout_s:g} s, {sum(waited.behind.values()):,} messages are not matched yet ({topics}).\n"
            "Run `orders status` to see what the matcher does, or wait again with a longer --timeout."
        )
        ctx.exit(1)


def _undelivered(failed: int, messages: int) -> Exception:
    from orders_platform.errors import ServiceUnavailable

    return ServiceUnavailable(
        f"Kafka did not acknowledge {failed:,} of {messages:,} messages.",
        "Look at the broker's log, and send them again: what did arrive counts once.",
    )


commands: list[click.Command] = [seed, publish, wait, again.replay, again.dead_letters]
