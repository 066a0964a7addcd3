"""Orders as MongoDB documents.

What is written is assembled as BSON bytes, because every event pays for it: building the same document as a dict of
`Int64` and `DatetimeMS` objects and encoding that costs four times as much (docs/decisions/0002-store-writes.md).
What is read comes back through the driver's own decoder.

Amounts and counts are 64-bit integers, times are BSON dates (also those past the year 9999), text is only ever a
value: no string of an event can become a field name or an operator.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Any, NamedTuple

import msgspec
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

from orders_platform.events import Event
from orders_platform.matching import MAX_EVENTS, Document, View
from orders_platform.matching.breaks import Counted

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # the driver's dates bear no zone: they are UTC
_MILLISECOND = timedelta(milliseconds=1)
_int32 = Struct("<i").pack
_int64 = Struct("<q").pack
_sums = Struct("<16sq16sq20sq11sq13sq13sq").pack  # names as BSON elements between 64-bit values
_PLACES = tuple(b"\x03%d\0" % place for place in range(MAX_EVENTS))  # of embedded documents in an array


class Arrival(NamedTuple):
    """An event as Kafka delivered it."""

    event: Event
    topic: str
    partition: int
    offset: int


class Stored(NamedTuple):
    """What a stored document holds that a merge needs: its version, its events, what time or rules can change, and
    what it counts as: None where somebody has written past the schema."""

    version: int
    view: View
    judgement: tuple[Any, ...]
    counted: Counted | None


class Damaged:
    """In the place of a stored document that can't be read."""


UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, msgspec.ValidationError)
"""What reading or folding a document may raise that somebody has written past the schema."""
_EVENT_FIELDS = (
    "event_id",
    "type",
    "occurred_at",
    "amount_minor",
    "currency",
    "payment_id",
    "refund_id",
    "chargeback_id",
    "customer_id",
    "method",
    "reason",
)
# The fields that `stored` reads, without the events' coordinates.
STORED_FIELDS = {
    **dict.fromkeys(("version", "clock", "deadline_at", "settled_at", *Counted.__struct_fields__), 1),
    "events": dict.fromkeys(_EVENT_FIELDS, 1),
}


def new_document(
    order_id: str, figures: bytes, events: Iterable[bytes], *, clock_ms: int, now_ms: int, late_ms: int | None
) -> RawBSONDocument:
    """Return a new order's document, version 1, of what `figures` and `event_bytes` encoded; with `late_at`, unless
    it is None."""
    key = _string(order_id)
    now = _int64(now_ms)
    return _document(
        b"".join(
            (
                b"\x02_id\0",
                key,
                b"\x02order_id\0",
                key,
                figures,
                b"\x12version\0\1\0\0\0\0\0\0\0\x09clock\0",
                _int64(clock_ms),
                b"\x09first_seen_at\0",
                now,
                b"\x09updated_at\0",
                now,
                _late(late_ms),
                b"\x04events\0",
                _array(events),
            )
        )
    )


def update_statement(
    order_id: str,
    figures: bytes,
    added: Sequence[bytes],
    version: int,
    *,
    clock_ms: int,
    now_ms: int,
    late_ms: int | None,
) -> RawBSONDocument:
    """Return one statement of an `update` command, by `_id` alone: new figures, new version, `added` events pushed.
    `late_at` stays as it is where `late_ms` is None."""
    changed = _embed(
        b"\x03$set\0",
        b"".join(
            (
                figures,
                b"\x12version\0",
                _int64(version),
                b"\x09clock\0",
                _int64(clock_ms),
                b"\x09updated_at\0",
                _int64(now_ms),
                _late(late_ms),
            )
        ),
    )
    if added:
        changed += _embed(b"\x03$push\0", _embed(b"\x03events\0", b"\x04$each\0" + _array(added)))
    query = _embed(b"\x03q\0", b"\x02_id\0" + _string(order_id))
    return _document(query + _embed(b"\x03u\0", changed))


def figures(d: Document) -> bytes:
    """Return the keys of a document that follow from its events, clock and rules, encoded."""
    settled_ms, cancelled_ms = d.settled_at_ms, d.cancelled_at_ms
    return b"".join(
        (
            _verdict(d.status, d.outcome, d.reasons),
            b"\x0acurrency\0" if d.currency is None else _currency(d.currency),
            b"\x0adue_minor\0" if d.due_minor is None else b"\x12due_minor\0" + _int64(d.due_minor),
            _sums(
                b"\x12captured_minor\0",
                d.captured_minor,
                b"\x12refunded_minor\0",
                d.refunded_minor,
                b"\x12charged_back_minor\0",
                d.charged_back_minor,
                b"\x12net_minor\0",
                d.net_minor,
                b"\x12event_count\0",
                d.event_count,
                b"\x09deadline_at\0",
                d.deadline_at_ms,
            ),
            b"\x0acancelled_at\0" if cancelled_ms is None else b"\x09cancelled_at\0" + _int64(cancelled_ms),
            b"\x0asettled_at\0" if settled_ms is None else b"\x09settled_at\0" + _int64(settled_ms),
            b"\x0acustomer_id\0" if d.customer_id is None else b"\x02customer_id\0" + _string(d.customer_id),
        )
    )


def fingerprint(figures: bytes) -> bytes:
    """Return a short digest of encoded figures, the same in every process."""
    return blake2b(figures, digest_size=8).digest()


def event_bytes(
    event: Event, topic: str | None = None, partition: int = 0, offset: int = 0, *, merged_ms: int
) -> bytes:
    """Return an event as an encoded subdocument with the coordinates of its delivery and the time of its merge, absent
    fields left out."""
    parts = [
        b"\x02event_id\0",
        _string(event.event_id),
        _type(event.type),
        _int64(event.occurred_at_ms),
    ]
    if event.amount_minor is not None:
        parts += (b"\x12amount_minor\0", _int64(event.amount_minor))
    if event.currency is not None:
        parts.append(_currency(event.currency))
    if event.payment_id is not None:
        parts += (b"\x02payment_id\0", _string(event.payment_id))
    if event.refund_id is not None:
        parts += (b"\x02refund_id\0", _string(event.refund_id))
    if event.chargeback_id is not None:
        parts += (b"\x02chargeback_id\0", _string(event.chargeback_id))
    if event.customer_id is not None:
        parts += (b"\x02customer_id\0", _string(event.customer_id))
    if event.method is not None:
        parts += (b"\x02method\0", _string(event.method))
    if event.reason is not None:
        parts += (b"\x02reason\0", _string(event.reason))
    if topic is not None:
        parts += (_delivery(topic, partition), _int64(offset))
    parts += (b"\x09merged_at\0", _int64(merged_ms))
    body = b"".join(parts)
    return _int32(len(body) + 5) + body + b"\0"


def stored(found: Mapping[str, Any]) -> Stored:
    """Return what a merge needs of a document read with `STORED_FIELDS` or whole."""
    order_id = found["_id"]
    reasons = tuple(found["reasons"])
    events = {_event(order_id, item): None for item in found["events"]}
    view = View(events, time_ms(found["clock"]), "overflow" in reasons)
    settled_at = found["settled_at"]
    deadline_ms, settled_ms = time_ms(found["deadline_at"]), None if settled_at is None else time_ms(settled_at)
    judged = (found["status"], found["outcome"], reasons, deadline_ms, settled_ms)
    return Stored(int(found["version"]), view, judged, counted(found))


def counted(found: Mapping[str, Any]) -> Counted | None:
    """Return what a stored document counts as, or None where somebody has written past the schema: as nothing."""
    try:
        return msgspec.convert([found[name] for name in Counted.__struct_fields__], Counted)
    except (KeyError, msgspec.ValidationError):
        return None


def judgement(document: Document) -> tuple[Any, ...]:
    """Return what a clock or other rules can change in the document of the same events."""
    d = document
    return d.status, d.outcome, d.reasons, d.deadline_at_ms, d.settled_at_ms


def folded(found: Mapping[str, Any]) -> Document:
    """Return the figures of a whole stored document; which rule gave the status is not stored (0)."""
    return Document(
        order_id=found["order_id"],
        status=found["status"],
        outcome=found["outcome"],
        reasons=tuple(found["reasons"]),
        currency=found["currency"],
        due_minor=_maybe(found["due_minor"]),
        captured_minor=int(found["captured_minor"]),
        refunded_minor=int(found["refunded_minor"]),
        charged_back_minor=int(found["charged_back_minor"]),
        net_minor=int(found["net_minor"]),
        deadline_at_ms=time_ms(found["deadline_at"]),
        cancelled_at_ms=_maybe_ms(found["cancelled_at"]),
        settled_at_ms=_maybe_ms(found["settled_at"]),
        event_count=int(found["event_count"]),
        customer_id=found["customer_id"],
        rule=0,
    )


def clock_ms(found: Mapping[str, Any]) -> int:
    """Return the clock that a stored document was folded with."""
    return time_ms(found["clock"])


def arrivals(found: Mapping[str, Any]) -> list[Arrival]:
    """Return a stored document's events with the coordinates of their first delivery, in order of arrival."""
    return [
        Arrival(
            _event(found["_id"], item),
            item.get("topic", ""),
            int(item.get("partition", -1)),
            int(item.get("offset", -1)),
        )
        for item in found["events"]
    ]


def merged_ms(found: Mapping[str, Any]) -> list[int | None]:
    """Return when each of a stored document's events was merged, in order of arrival; None for one from before that was
    kept."""
    return [_maybe_ms(item.get("merged_at")) for item in found["events"]]


def _event(order_id: str, item: Mapping[str, Any]) -> Event:
    get = item.get
    # Converted, as somebody may have written past the schema: what is no text must not get any further.
    fields = (
        item["event_id"],
        item["type"],
        order_id,
        time_ms(item["occurred_at"]),
        get("amount_minor"),
        get("currency"),
        get("payment_id"),
        get("refund_id"),
        get("chargeback_id"),
        get("customer_id"),
        get("method"),
        get("reason"),
    )
    return msgspec.convert(fields, Event)


def time_ms(time: datetime | DatetimeMS) -> int:
    """Return a date as merging reads it (`datetime` where it can be one, the faster to decode), or anybody else."""
    return (time - _EPOCH) // _MILLISECOND if isinstance(time, datetime) else int(time)


def _maybe_ms(time: datetime | DatetimeMS | None) -> int | None:
    return None if time is None else time_ms(time)


def _maybe(value: int | None) -> int | None:
    return None if value is None else int(value)


def _late(late_ms: int | None) -> bytes:
    return b"" if late_ms is None else b"\x09late_at\0" + _int64(late_ms)


def _array(items: Iterable[bytes]) -> bytes:
    body = b"".join([part for pair in zip(_PLACES, items, strict=False) for part in pair])
    return _int32(len(body) + 5) + body + b"\0"


def _string(text: str) -> bytes:
    raw = text.encode()
    return _int32(len(raw) + 1) + raw + b"\0"


def _document(body: bytes) -> RawBSONDocument:
    return RawBSONDocument(_int32(len(body) + 5) + body + b"\0")


def _embed(head: bytes, body: bytes) -> bytes:
    return b"%b%b%b\0" % (head, _int32(len(body) + 5), body)


# The values of closed or small sets are encoded once; the bounds only guard memory.


@lru_cache(maxsize=64)
def _type(event_type: str) -> bytes:
    return b"\x02type\0" + _string(event_type) + b"\x09occurred_at\0"


@lru_cache(maxsize=1024)
def _currency(currency: str) -> bytes:
    return b"\x02currency\0" + _string(currency)


@lru_cache(maxsize=1024)
def _delivery(topic: str, partition: int) -> bytes:
    return b"\x02topic\0" + _string(topic) + b"\x12partition\0" + _int64(partition) + b"\x12offset\0"


@lru_cache(maxsize=1024)
def _verdict(status: str, outcome: str, reasons: tuple[str, ...]) -> bytes:
    body = b"".join(b"\x02%d\0%b" % (place, _string(reason)) for place, reason in enumerate(reasons))
    return b"\x02status\0%b\x02outcome\0%b\x04reasons\0%b%b\0" % (
        _string(status),
        _string(outcome),
        _int32(len(body) + 5),
        body,
    )
