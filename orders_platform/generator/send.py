"""Where a generated stream goes: to Kafka, at once or in real time, or to a file."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO

from orders_platform.generator.poison import POISON
from orders_platform.generator.stream import Message
from orders_platform.streams.publish import Publisher

_ADVANCE_EVERY = 500
_AHEAD_S = 0.005  # paced messages leave in bursts of this length: waking for each one would cost more than sending it

_NO_LINE = frozenset(kind.name for kind in POISON if not kind.fits_a_line)


def send(
    messages: Iterable[Message],
    publisher: Publisher,
    topics: Mapping[str, str],
    *,
    rate: float | None,
    advance: Callable[[int], None],
) -> None:
    """Publish messages to the topic of their role; with `rate`, so many a second, else as fast as they are taken.

    `advance` is told how many more were handed over. The caller flushes.

    Raises:
        ServiceUnavailable: Kafka takes no more messages.
    """
    started_s = time.monotonic()
    advanced = number = 0
    for number, message in enumerate(messages, 1):
        publisher.send(topics[message.role], message.key, message.value)
        if rate is not None:
            due_s = started_s + number / rate
            while (left_s := due_s - time.monotonic()) > _AHEAD_S:
                publisher.poll(min(left_s, 0.1))
        if number - advanced >= (_ADVANCE_EVERY if rate is None else max(1, min(_ADVANCE_EVERY, rate // 5))):
            advance(number - advanced)
            advanced = number
    advance(number - advanced)


def write(messages: Iterable[Message], file: BinaryIO, *, advance: Callable[[int], None]) -> int:
    """Write messages as lines; return how many were left out because no line can hold them (an empty value, and
    none)."""
    left_out = advanced = number = 0
    for number, message in enumerate(messages, 1):
        if message.value is None or message.poison in _NO_LINE:
            left_out += 1
        else:
            file.write(message.value + b"\n")
        if number - advanced >= _ADVANCE_EVERY:
            advance(number - advanced)
            advanced = number
    advance(number - advanced)
    return left_out
