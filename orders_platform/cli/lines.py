"""Lines of a file as messages."""

import sys
from collections.abc import Callable, Mapping
from itertools import islice
from typing import BinaryIO

import msgspec

from orders_platform.events import Event, decode_many
from orders_platform.streams.publish import Publisher
from orders_platform.streams.roles import role_of

_LINES_A_CHUNK = 2_000


class _Owner(msgspec.Struct):
    order_id: str


_owner = msgspec.json.Decoder(_Owner)


def key_of(raw: bytes) -> bytes | None:
    """Return the order id of a message that may not be an event, as far as one can be read."""
    try:
        return _owner.decode(raw).order_id.encode() or None
    except (msgspec.DecodeError, UnicodeError):
        return None


def send_events(
    source: BinaryIO, publisher: Publisher, topics: Mapping[str, str], advance: Callable[[int], None]
) -> int:
    """Send the lines that are events to the topic of their type; report the others on standard error as `orders fold`
    does, and return how many they are.

    Raises:
        ServiceUnavailable: Kafka takes no more messages.
    """
    number = rejected = 0
    while lines := [line.removesuffix(b"\n") for line in islice(source, _LINES_A_CHUNK)]:
        for line, event in zip(lines, decode_many(lines), strict=True):
            number += 1
            if isinstance(event, Event):
                publisher.send(topics[role_of(event.type)], event.order_id.encode(), line)
            else:
                rejected += 1
                told = {"line": number, "reason": event.reason, "field": event.field}
                sys.stderr.buffer.write(msgspec.json.encode(told) + b"\n")
        advance(len(lines))
    sys.stderr.flush()
    return rejected


def send_raw(source: BinaryIO, publisher: Publisher, topic: str, advance: Callable[[int], None]) -> None:
    """Send every line to a topic as it is.

    Raises:
        ServiceUnavailable: Kafka takes no more messages.
    """
    while lines := [line.removesuffix(b"\n") for line in islice(source, _LINES_A_CHUNK)]:
        for line in lines:
            publisher.send(topic, key_of(line), line)
        advance(len(lines))
