"""`orders fold` in bulk: lines -> orders -> documents, with the matcher's own decoder and fold."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import msgspec

from orders_platform.events import TOO_MANY_EVENTS, Event, Rejection, decode_many
from orders_platform.matching import MAX_EVENTS, Rules, document_json, fold

_CHUNK_BYTES = 1 << 22
_ORDERS_A_BLOCK = 5_000
_BLANK = b" \t\r"


class Rejected(NamedTuple):
    """A line that is no accepted event: its number, counted from 1, and what is wrong with it."""

    line: int
    reason: str
    field: str | None


class Gathered(NamedTuple):
    """The distinct contents of each order in order of arrival, and which orders had more than the bound."""

    orders: dict[str, dict[Event, None]]
    overflowing: set[str]


def gather(source: BinaryIO) -> Iterator[Gathered | list[Rejected]]:
    """Read all lines; yield the rejections of each chunk that has some, and last of all what was gathered.

    Blank lines are counted and skipped.
    """
    orders: dict[str, dict[Event, None]] = {}
    overflowing: set[str] = set()
    known = orders.get
    number = 0
    for lines in _chunks(source):
        first = number + 1
        rejected: list[Rejected] = []
        for event in decode_many(lines):
            number += 1
            if type(event) is Event:
                contents = known(event.order_id)
                if contents is None:
                    orders[event.order_id] = {event: None}
                elif len(contents) < MAX_EVENTS or event in contents:
                    contents[event] = None
                else:
                    overflowing.add(event.order_id)
                    rejected.append(Rejected(number, TOO_MANY_EVENTS, None))
            elif type(event) is Rejection and lines[number - first].strip(_BLANK):
                rejected.append(Rejected(number, event.reason, event.field))
        if rejected:
            yield rejected
    yield Gathered(orders, overflowing)


def folded(gathered: Gathered, clock_ms: int | None, rules: Rules) -> Iterator[bytes]:
    """Yield blocks of JSON lines, the documents of all orders sorted by order id."""
    encode_lines = msgspec.json.Encoder().encode_lines
    orders, overflowing = gathered
    ids = sorted(orders)
    for start in range(0, len(ids), _ORDERS_A_BLOCK):
        yield encode_lines(
            [
                document_json(fold(order_id, orders[order_id], clock_ms, rules, order_id in overflowing))
                for order_id in ids[start : start + _ORDERS_A_BLOCK]
            ]
        )


def _chunks(source: BinaryIO) -> Iterator[list[bytes]]:
    """Yield all lines of a file, without their newlines, in lists of a few megabytes."""
    rest: list[bytes] = []
    while chunk := source.read(_CHUNK_BYTES):
        head, newline, tail = chunk.rpartition(b"\n")
        if not newline:
            rest.append(chunk)
            continue
        yield b"".join((*rest, head)).split(b"\n")
        rest = [tail] if tail else []
    if rest:
        yield [b"".join(rest)]
