"""Messages that must be rejected, made from good ones, each with the reason that its rejection must give."""

from collections.abc import Callable
from typing import NamedTuple

from orders_platform.events import MAX_MESSAGE_BYTES


class Poison(NamedTuple):
    """One kind of damage: what it is called, the reason that it must give, and how a good message gets it.

    `fits_a_line` says whether it can be a line of a file.
    """

    name: str
    reason: str
    spoil: Callable[[bytes], bytes | None]
    fits_a_line: bool = True


def _with_field(name: bytes, literal: bytes) -> Callable[[bytes], bytes]:
    """Set a field to a literal: of two equal keys the last one counts."""
    return lambda good: good[:-1] + b',"' + name + b'":' + literal + b"}"


def _oversized(good: bytes) -> bytes:
    return good[:-1] + b',"note":"' + b"x" * MAX_MESSAGE_BYTES + b'"}'


POISON: tuple[Poison, ...] = (
    Poison("too_large", "too_large", _oversized),
    Poison("binary", "not_utf8", lambda good: b"\x00\xff\xfe" + good[:40]),
    Poison("latin_1", "not_utf8", _with_field(b"method", b'"\xe9tranger"')),
    Poison("cut_off", "not_json", lambda good: good[: len(good) // 2]),
    Poison("nan", "not_json", _with_field(b"amount_minor", b"NaN")),
    Poison("lone_surrogate", "not_json", _with_field(b"reason", rb'"\ud83d"')),
    Poison("xml", "not_json", lambda good: b"<order><id>17</id></order>"),
    Poison("empty", "not_json", lambda good: b"", fits_a_line=False),
    Poison("tombstone", "not_json", lambda good: None, fits_a_line=False),
    Poison("array", "not_an_object", lambda good: b"[" + good + b"]"),
    Poison("null", "not_an_object", lambda good: b"null"),
    Poison("no_order_id", "missing_field", lambda good: good.replace(b'"order_id":', b'"orderId":', 1)),
    Poison("null_time", "missing_field", _with_field(b"occurred_at", b"null")),
    Poison("order_id_number", "wrong_type", _with_field(b"order_id", b"4711")),
    Poison("time_float", "wrong_type", _with_field(b"occurred_at", b"1767607200000.0")),
    Poison("method_object", "wrong_type", _with_field(b"method", b'{"$gt":""}')),
    Poison("unknown_type", "unknown_type", _with_field(b"type", b'"order_shipped"')),
    Poison("id_with_space", "bad_id", _with_field(b"event_id", b'"evt 1"')),
    Poison("id_too_long", "bad_id", _with_field(b"order_id", b'"' + b"o" * 65 + b'"')),
    Poison("negative_amount", "bad_amount", lambda good: _placed(good, b"-500", b'"EUR"')),
    Poison("huge_amount", "bad_amount", lambda good: _placed(good, b"1000000000000001", b'"EUR"')),
    Poison("float_amount", "wrong_type", lambda good: _placed(good, b"19.99", b'"EUR"')),
    Poison("true_amount", "wrong_type", lambda good: _placed(good, b"true", b'"EUR"')),
    Poison("small_letters", "bad_currency", lambda good: _placed(good, b"500", b'"eur"')),
    Poison("naive_time", "bad_time", _with_field(b"occurred_at", b'"2026-01-05T10:00:00"')),
    Poison("no_such_day", "bad_time", _with_field(b"occurred_at", b'"2026-02-30T10:00:00Z"')),
    Poison("long_reason", "bad_text", _with_field(b"reason", b'"' + b"r" * 65 + b'"')),
)


def _placed(good: bytes, amount: bytes, currency: bytes) -> bytes:
    """Turn any message into an order with this money: not every type carries an amount."""
    return good[:-1] + b',"type":"order_placed","amount_minor":' + amount + b',"currency":' + currency + b"}"
