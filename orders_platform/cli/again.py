"""Doing things again: `replay` for what lies in Kafka, `dead-letters` for what was rejected."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from orders_platform.cli import output
from orders_platform.cli.context import pass_settings
from orders_platform.errors import OrdersError, UsageError

if TYPE_CHECKING:
    from orders_platform.settings import Settings
    from orders_platform.store.dead_letters import DeadLetter

REJECTED = 3


@click.command()
@click.option("--from", "begin", required=True, metavar="earliest|TIME|OFFSETS", help="Where to begin.")
@click.option("--topic", help="Only this topic.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@pass_settings
def replay(settings: "Settings", begin: str, topic: str | None, as_json: bool) -> None:
    """Put the events in Kafka through the matcher again, up to the topics' ends of now.

    It works beside the running matcher and changes nothing that was right. TIME is when the broker received the
    message (2026-01-05T10:00:00Z); OFFSETS are topic:partition:offset, separated by commas: partitions that are not
    named are left out.
    """
    from orders_platform.cli.services import store_of
    from orders_platform.local.stack import endpoints
    from orders_platform.matcher.replaying import replay_stretch, stretch

    where = endpoints(settings)
    servers, client = where.bootstrap_servers, where.kafka_client
    what = stretch(begin, topic, settings.kafka.topics, servers, client)
    with store_of(settings, where) as store, output.progress("Matching again", what.messages()) as advance:
        _warn_of_other_settings(settings, store)
        done = replay_stretch(store, what, servers, client, settings.matching.rules(), advance)
    if as_json:
        output.result_json(done)
    else:
        output.say(
            f"{done.messages:,} messages matched again: {done.inserted:,} documents added, {done.updated:,} changed, "
            f"{done.unchanged:,} right as they were; {done.dead_letters:,} messages are dead letters."
        )


def _warn_of_other_settings(settings: "Settings", store: Any) -> None:
    from orders_platform.store.matcher_records import read_starts

    # As its supervisor saw them: the driver itself is handed addresses that the settings may leave open.
    latest = read_starts(store, limit=1)
    if latest and latest[-1].settings_hash not in {"", settings.fingerprint()}:
        output.say(
            "The matcher was started with other settings than those of now: `orders matcher restart` takes them."
        )


@click.group("dead-letters")
def dead_letters() -> None:
    """Show rejected messages, or publish them again."""


_reason_option = click.option("--reason", "reasons", multiple=True, help="Only with this reason; may be repeated.")


@dead_letters.command("list")
@_reason_option
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Rows of the table.")
@click.option("--json", "as_json", is_flag=True, help="Print all of them, one JSON object a line.")
@pass_settings
def list_letters(settings: "Settings", reasons: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Show where rejected messages lie and what is wrong with them; never what they hold."""
    from orders_platform.times import format_ms

    table = output.table("id", "reason", "field", "bytes kept", "received", right=["bytes kept"])
    by_reason: Counter[str] = Counter()
    for letter in _letters(settings, reasons):
        by_reason[letter.reason] += 1
        received = None if letter.broker_time_ms is None else format_ms(letter.broker_time_ms)
        if as_json:
            output.result(_json_line(letter, received))
        elif by_reason.total() <= limit:
            table.add_row(_id(letter), letter.reason, letter.field or "", f"{len(letter.raw):,}", received or "")
    if as_json:
        return
    if by_reason:
        output.show(table)
    totals = ", ".join(f"{reason} {count:,}" for reason, count in by_reason.most_common())
    output.say(f"{by_reason.total():,} dead letters{': ' if totals else ''}{totals}.")


@dead_letters.command("replay")
@click.argument("ids", nargs=-1, metavar="[TOPIC:PARTITION:OFFSET]...")
@_reason_option
@click.option("--all", "everything", is_flag=True, help="Every dead letter.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
@pass_settings
def replay_letters(
    ctx: click.Context,
    settings: "Settings",
    ids: tuple[str, ...],
    reasons: tuple[str, ...],
    everything: bool,
    as_json: bool,
) -> None:
    """Publish rejected messages to their topic again, byte by byte, after a rule or a mapping was mended.

    Name them by id, by --reason, or take --all. The dead letters themselves stay as the record of what was rejected.
    A message that was too large can't be published again, as only its first 64 KiB are kept.
    """
    from orders_platform.cli.lines import key_of
    from orders_platform.cli.services import publisher_for

    if (bool(ids) + bool(reasons) + everything) != 1:
        raise click.UsageError("Choose dead letters by their ids, by --reason, or take --all.")
    left_out: list[str] = []
    found: set[str] = set()
    publisher = publisher_for(settings)
    with publisher, output.progress("Publishing dead letters again") as advance:
        for letter in _letters(settings, reasons, frozenset(ids)):
            found.add(_id(letter))
            if letter.reason == "too_large":
                left_out.append(_id(letter))
            else:
                publisher.send(letter.topic, key_of(letter.raw), letter.raw)
            advance(1)
    if as_json:
        output.result_json({"sent": publisher.sent, "failed": publisher.failed, "too_large": left_out})
    else:
        output.say(f"Published {publisher.sent:,} messages again.")
    for letter_id in left_out[:10]:
        output.say(f"{letter_id} was too large: only its first 64 KiB are kept, so its sender must send it again.")
    unknown = sorted(set(ids) - found)
    if unknown:
        raise OrdersError(
            f"There is no dead letter {', '.join(unknown[:3])}{' and others' if len(unknown) > 3 else ''}.",
            "Run `orders dead-letters list` for their ids.",
        )
    if publisher.failed:
        raise publisher.failure or OrdersError("Kafka refused some messages.", "Look at the broker's log.")
    if left_out:
        ctx.exit(REJECTED)


def _letters(
    settings: "Settings", reasons: tuple[str, ...], ids: frozenset[str] = frozenset()
) -> Iterator["DeadLetter"]:
    """Yield the dead letters with one of the reasons, or of the ids, where some are given."""
    from orders_platform.cli.services import store_of
    from orders_platform.events import REASONS
    from orders_platform.local.stack import endpoints
    from orders_platform.store.queries import export_dead_letters

    for reason in reasons:
        if reason not in REASONS:
            raise UsageError(f"There is no reason {reason}.", f"The reasons are {', '.join(REASONS)}.")
    with store_of(settings, endpoints(settings)) as store:
        for letter in export_dead_letters(store):
            if (not reasons or letter.reason in reasons) and (not ids or _id(letter) in ids):
                yield letter


def _id(letter: "DeadLetter") -> str:
    return f"{letter.topic}:{letter.partition}:{letter.offset}"


def _json_line(letter: "DeadLetter", received: str | None) -> bytes:
    import msgspec

    return msgspec.json.encode(
        {
            "id": _id(letter),
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "reason": letter.reason,
            "field": letter.field,
            "received_at": received,
        }
    )
