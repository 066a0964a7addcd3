"""The contract at the platform's edge: bytes of a message -> `Event` or `Rejection`.

Every event pays for this module, so `decode` first tries a typed reader (msgspec) that accepts only what the strict
rules accept, and leaves every message that it does not like to `event_rules.read`, which names the broken rule.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from orders_platform.event_rules import (
    CHARGEBACK_OPENED,
    CHARGEBACK_REVERSED,
    CURRENCY,
    DAMAGED_ORDER,
    LONG_ID,
    MAX_AMOUNT_MINOR,
    MAX_MESSAGE_BYTES,
    MAX_NESTING,
    MAX_TEXT_CHARACTERS,
    ORDER_CANCELLED,
    ORDER_ID,
    ORDER_PLACED,
    PAYMENT_CAPTURED,
    PAYMENT_FAILED,
    REASONS,
    REFUND_ISSUED,
    TOO_MANY_EVENTS,
    TYPES,
    Broken,
    Rejection,
    occurred_at_ms,
    read,
)
from orders_platform.times import MAX_MS, format_ms

__all__ = [
    "CHARGEBACK_OPENED",
    "CHARGEBACK_REVERSED",
    "DAMAGED_ORDER",
    "MAX_MESSAGE_BYTES",
    "ORDER_CANCELLED",
    "ORDER_PLACED",
    "PAYMENT_CAPTURED",
    "PAYMENT_FAILED",
    "REASONS",
    "REFUND_ISSUED",
    "TOO_MANY_EVENTS",
    "TYPES",
    "Event",
    "Rejection",
    "canonical",
    "decode",
    "decode_many",
    "to_json",
]


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The kept fields of one event; equal events are the same event content. Absent fields are None.

    As an array it is also the flat form in which hot orders are cached, so fields may only be added at the end.
    """

    event_id: str
    type: str
    order_id: str
    occurred_at_ms: int
    amount_minor: int | None = None
    currency: str | None = None
    payment_id: str | None = None
    refund_id: str | None = None
    chargeback_id: str | None = None
    customer_id: str | None = None
    method: str | None = None
    reason: str | None = None


def decode(raw: bytes | None) -> Event | Rejection:
    """Return the event that a message's value holds, or the first rule of the contract that it breaks."""
    return decode_many((raw,))[0]


def decode_many(raws: Iterable[bytes | None]) -> list[Event | Rejection]:
    """Return `decode` of each value, in order."""
    parse = _WIRE.decode
    decoded: list[Event | Rejection] = []
    for raw in raws:
        event = None
        # UTF-8 is checked here as the typed reader skips over the text of fields that it drops.
        if raw is not None and (raw.isascii() or _is_utf8(raw)) and (len(raw) <= MAX_NESTING * 2 or _is_plain(raw)):
            try:
                event = parse(raw).event()
            except (msgspec.DecodeError, Broken):
                event = None
        decoded.append(_strict(raw) if event is None else event)
    return decoded


def canonical(event: Event) -> bytes:
    """Return the canonical JSON of an event's kept fields: UTF-8, keys sorted, no spaces, time as UTC milliseconds."""
    return _dump(_kept(event, event.occurred_at_ms))


def to_json(event: Event) -> bytes:
    """Return the event as a contract message, its time as RFC 3339."""
    return _dump(_kept(event, format_ms(event.occurred_at_ms)))


def _dump(kept: dict[str, Any]) -> bytes:
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _kept(event: Event, occurred_at: int | str) -> dict[str, Any]:
    kept = {name: value for name, value in msgspec.structs.asdict(event).items() if value is not None}
    del kept["occurred_at_ms"]
    kept["occurred_at"] = occurred_at
    return kept


def _strict(raw: bytes | None) -> Event | Rejection:
    kept = read(raw)
    if isinstance(kept, Rejection):
        return kept
    kept["occurred_at_ms"] = kept.pop("occurred_at")
    return Event(**kept)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_plain(raw: bytes) -> bool:
    return len(raw) <= MAX_MESSAGE_BYTES and raw.count(b"[") + raw.count(b"{") <= MAX_NESTING


class _Memory(dict[str, int]):
    """Parsed pieces of text that come again and again, bounded."""

    def remember(self, text: str, value: int) -> int:
        if len(self) >= 100_000:
            self.clear()
        self[text] = value
        return value


_minutes = _Memory()  # "2026-01-05T10:00" -> UTC milliseconds
_SECONDS = {f":{second:02d}": second * 1000 for second in range(60)}
_tails = _Memory()  # ".000Z", "+02:00" -> milliseconds to add
_currencies = _Memory()


def _time_ms(value: str | int) -> int:
    """Return `occurred_at_ms(value)`, mostly from memory: a stream's times share their minutes, seconds and tails."""
    if isinstance(value, int):
        return occurred_at_ms(value)
    minute, second, tail = value[:16], value[16:19], value[19:]
    try:
        time_ms = _minutes[minute] + _SECONDS[second] + _tails[tail]
    except KeyError:
        time_ms = occurred_at_ms(value)
        start_ms = _minutes.get(minute)
        if start_ms is None:
            start_ms = _minutes.remember(minute, occurred_at_ms(minute + ":00Z"))
        _tails.remember(tail, time_ms - start_ms - _SECONDS[second])
        return time_ms
    if not 0 <= time_ms <= MAX_MS:
        raise Broken("bad_time")
    return time_ms


def _check_money(amount_minor: int, least_minor: int, currency: str) -> None:
    if not least_minor <= amount_minor <= MAX_AMOUNT_MINOR:
        raise Broken("bad_amount")
    if currency not in _currencies:
        if CURRENCY.fullmatch(currency) is None:
            raise Broken("bad_currency")
        _currencies.remember(currency, 0)


_IDS = re.compile(f"{LONG_ID.pattern} {ORDER_ID.pattern}").fullmatch
_IDS_AND_ONE = re.compile(f"{LONG_ID.pattern} {ORDER_ID.pattern} {LONG_ID.pattern}").fullmatch
_IDS_AND_TWO = re.compile(f"{LONG_ID.pattern} {ORDER_ID.pattern} {LONG_ID.pattern} {LONG_ID.pattern}").fullmatch


class _Message(msgspec.Struct, tag_field="type", kw_only=True, gc=False):
    """What the typed reader takes for each type. `event` adds the rules that a field's type doesn't say; ids, which
    hold no space, are checked in one search."""

    event_id: str
    order_id: str
    occurred_at: str | int
    method: str | None = None
    reason: str | None = None

    def event(self) -> Event:
        raise NotImplementedError

    def _check(self, ids: re.Match[str] | None) -> None:
        if ids is None:
            raise Broken("bad_id")
        if self.method is not None:
            _check_text(self.method)
        if self.reason is not None:
            _check_text(self.reason)


def _check_text(text: str) -> None:
    if len(text) > MAX_TEXT_CHARACTERS:
        raise Broken("bad_text")


class _OrderPlaced(_Message, tag=ORDER_PLACED):
    amount_minor: int
    currency: str
    customer_id: str | None = None

    def event(self) -> Event:
        self._check(_IDS(f"{self.event_id} {self.order_id}"))
        _check_money(self.amount_minor, 0, self.currency)
        if self.customer_id is not None:
            _check_text(self.customer_id)
        return Event(
            self.event_id, ORDER_PLACED, self.order_id, _time_ms(self.occurred_at), self.amount_minor, self.currency,
            None, None, None, self.customer_id, self.method, self.reason,
        )  # fmt: skip


class _OrderCancelled(_Message, tag=ORDER_CANCELLED):
    def event(self) -> Event:
        self._check(_IDS(f"{self.event_id} {self.order_id}"))
        return Event(
            self.event_id, ORDER_CANCELLED, self.order_id, _time_ms(self.occurred_at), None, None,
            None, None, None, None, self.method, self.reason,
        )  # fmt: skip


class _PaymentCaptured(_Message, tag=PAYMENT_CAPTURED):
    amount_minor: int
    currency: str
    payment_id: str

    def event(self) -> Event:
        self._check(_IDS_AND_ONE(f"{self.event_id} {self.order_id} {self.payment_id}"))
        _check_money(self.amount_minor, 1, self.currency)
        return Event(
            self.event_id, PAYMENT_CAPTURED, self.order_id, _time_ms(self.occurred_at), self.amount_minor,
            self.currency, self.payment_id, None, None, None, self.method, self.reason,
        )  # fmt: skip


class _PaymentFailed(_Message, tag=PAYMENT_FAILED):
    payment_id: str

    def event(self) -> Event:
        self._check(_IDS_AND_ONE(f"{self.event_id} {self.order_id} {self.payment_id}"))
        return Event(
            self.event_id, PAYMENT_FAILED, self.order_id, _time_ms(self.occurred_at), None, None,
            self.payment_id, None, None, None, self.method, self.reason,
        )  # fmt: skip


class _Adjustment(_Message, kw_only=True):
    """An event about money that came in before; may say by which payment."""

    payment_id: str | None = None

    def _check_ids(self, own_id: str) -> None:
        if self.payment_id is None:
            self._check(_IDS_AND_ONE(f"{self.event_id} {self.order_id} {own_id}"))
        else:
            self._check(_IDS_AND_TWO(f"{self.event_id} {self.order_id} {own_id} {self.payment_id}"))


class _RefundIssued(_Adjustment, tag=REFUND_ISSUED):
    amount_minor: int
    currency: str
    refund_id: str

    def event(self) -> Event:
        self._check_ids(self.refund_id)
        _check_money(self.amount_minor, 1, self.currency)
        return Event(
            self.event_id, REFUND_ISSUED, self.order_id, _time_ms(self.occurred_at), self.amount_minor, self.currency,
            self.payment_id, self.refund_id, None, None, self.method, self.reason,
        )  # fmt: skip


class _ChargebackOpened(_Adjustment, tag=CHARGEBACK_OPENED):
    amount_minor: int
    currency: str
    chargeback_id: str

    def event(self) -> Event:
        self._check_ids(self.chargeback_id)
        _check_money(self.amount_minor, 1, self.currency)
        return Event(
            self.event_id, CHARGEBACK_OPENED, self.order_id, _time_ms(self.occurred_at), self.amount_minor,
            self.currency, self.payment_id, None, self.chargeback_id, None, self.method, self.reason,
        )  # fmt: skip


class _ChargebackReversed(_Adjustment, tag=CHARGEBACK_REVERSED):
    chargeback_id: str

    def event(self) -> Event:
        self._check_ids(self.chargeback_id)
        return Event(
            self.event_id, CHARGEBACK_REVERSED, self.order_id, _time_ms(self.occurred_at), None, None,
            self.payment_id, None, self.chargeback_id, None, self.method, self.reason,
        )  # fmt: skip


_WIRE = msgspec.json.Decoder(
    _OrderPlaced
    | _OrderCancelled
    | _PaymentCaptured
    | _PaymentFailed
    | _RefundIssued
    | _ChargebackOpened
    | _ChargebackReversed
)
