"""Messages that must be rejected, each with the reason code and field that matching.md section 2 gives it.

`POISON` holds one entry a kind; every reason code but `too_many_events`, which depends on other messages, has several.
No entry contains a line feed, so `POISON_LINES` (those that are not blank) can also be sent as lines of a file.
"""

import json
from typing import NamedTuple


class Poison(NamedTuple):
    """One rejected message: a unique kebab-case name, the bytes, the reason code and the field it blames."""

    name: str
    raw: bytes
    reason: str
    field: str | None


MAX_BYTES = 65_536

_ORDER = {
    "event_id": "poison-event",
    "type": "order_placed",
    "order_id": "poison",
    "occurred_at": "2026-01-05T10:00:00Z",
    "amount_minor": 12_500,
    "currency": "EUR",
    "customer_id": "customer-7",
}
_PAYMENT = {**_ORDER, "type": "payment_captured", "payment_id": "payment-1", "method": "card"}
_FAILED = {**_PAYMENT, "type": "payment_failed"}
_REFUND = {**_ORDER, "type": "refund_issued", "refund_id": "refund-1"}
_CHARGEBACK = {**_ORDER, "type": "chargeback_opened", "chargeback_id": "chargeback-1"}
_REVERSED = {**_ORDER, "type": "chargeback_reversed", "chargeback_id": "chargeback-1"}
_CANCELLED = {**_ORDER, "type": "order_cancelled"}
_DEEP = 513


def _raw(base: dict[str, object], **changes: object) -> bytes:
    return json.dumps({**base, **changes}, ensure_ascii=False, allow_nan=False).encode()


def _without(base: dict[str, object], field: str) -> bytes:
    return json.dumps({key: value for key, value in base.items() if key != field}).encode()


def _literal(field: str, literal: str, base: dict[str, object] = _ORDER) -> bytes:
    """Return `base` with `field` set to `literal` as it stands, whether or not that is JSON."""
    return _raw(base, **{field: "@@"}).replace(b'"@@"', literal.encode())


def _padded(size: int) -> bytes:
    """Return a message of exactly `size` bytes that would be accepted but for its size."""
    bare = len(_raw(_ORDER, unlisted=""))
    return _raw(_ORDER, unlisted="x" * (size - bare))


_WHOLE = [
    # over 64 KiB, before anything else is looked at
    Poison("too-large-by-one-byte", _padded(MAX_BYTES + 1), "too_large", None),
    Poison("too-large-by-spaces", _raw(_ORDER).ljust(MAX_BYTES + 1), "too_large", None),
    Poison("too-large-binary", b"\xff" * (MAX_BYTES + 1), "too_large", None),
    Poison("too-large-in-bytes-not-in-characters", b'"' + "é".encode() * 32_768 + b'"', "too_large", None),
    # bytes that are no UTF-8
    Poison("lone-byte-ff", b"\xff", "not_utf8", None),
    Poison("latin-1-text", _raw(_PAYMENT, method="@").replace(b"@", b"\xe9"), "not_utf8", None),
    Poison("cut-inside-a-character", b'{"method":"\xe2\x82', "not_utf8", None),
    Poison("encoded-surrogate", _raw(_PAYMENT, method="@").replace(b"@", b"\xed\xa0\x80"), "not_utf8", None),
    Poison("overlong-encoding", _raw(_PAYMENT, method="@").replace(b"@", b"\xc0\xaf"), "not_utf8", None),
    Poison("beyond-unicode", _raw(_PAYMENT, method="@").replace(b"@", b"\xf4\x90\x80\x80"), "not_utf8", None),
    Poison("utf-16", json.dumps(_ORDER).encode("utf-16"), "not_utf8", None),
    Poison("gzip-header", b"\x1f\x8b\x08\x00\x00", "not_utf8", None),
    # text that is no JSON
    Poison("empty", b"", "not_json", None),
    Poison("only-spaces", b" \t ", "not_json", None),
    Poison("words", b"hello, orders", "not_json", None),
    Poison("cut-off", _raw(_ORDER)[:-9], "not_json", None),
    Poison("two-objects", _raw(_ORDER) + b" " + _raw(_ORDER), "not_json", None),
    Poison("trailing-comma", _raw(_ORDER)[:-1] + b",}", "not_json", None),
    Poison("single-quotes", _raw(_ORDER).replace(b'"', b"'"), "not_json", None),
    Poison("comment", _raw(_ORDER) + b"/* ok */", "not_json", None),
    Poison("byte-order-mark", b"\xef\xbb\xbf" + _raw(_ORDER), "not_json", None),
    Poison("nul-byte-after", _raw(_ORDER) + b"\x00", "not_json", None),
    Poison("control-character-in-string", _raw(_PAYMENT, method="@").replace(b"@", b"a\x01b"), "not_json", None),
    Poison("tab-in-string", _raw(_PAYMENT, method="@").replace(b"@", b"a\tb"), "not_json", None),
    Poison("bad-escape", _literal("method", r'"\x41"', _PAYMENT), "not_json", None),
    Poison("nan", _literal("amount_minor", "NaN"), "not_json", None),
    Poison("infinity", _literal("amount_minor", "Infinity"), "not_json", None),
    Poison("minus-infinity-unlisted", _literal("unlisted", "-Infinity"), "not_json", None),
    Poison("leading-zero", _literal("amount_minor", "0125"), "not_json", None),
    Poison("leading-plus", _literal("amount_minor", "+125"), "not_json", None),
    Poison("bare-point", _literal("amount_minor", "125."), "not_json", None),
    Poison("hexadecimal", _literal("amount_minor", "0x7d"), "not_json", None),
    Poison("python-true", _literal("amount_minor", "True"), "not_json", None),
    Poison("lone-high-surrogate", _literal("method", r'"\ud83d"', _PAYMENT), "not_json", None),
    Poison("lone-low-surrogate-unlisted", _literal("unlisted", r'"\udc00"'), "not_json", None),
    Poison("swapped-surrogates", _literal("method", r'"\ude00\ud83d"', _PAYMENT), "not_json", None),
    Poison("lone-surrogate-in-a-key", _raw(_ORDER)[:-1] + rb',"\ud800":1}', "not_json", None),
    Poison("lone-surrogate-overwritten", rb'{"method":"\ud800",' + _raw(_PAYMENT)[1:], "not_json", None),
    Poison("too-deep-array", b"[" * _DEEP + b"]" * _DEEP, "not_json", None),
    Poison("too-deep-unlisted", _literal("unlisted", "[" * (_DEEP - 1) + "]" * (_DEEP - 1)), "not_json", None),
    Poison("never-closed", b"[" * 60_000, "not_json", None),
    # JSON that is no object
    Poison("array", b"[" + _raw(_ORDER) + b"]", "not_an_object", None),
    Poison("string", b'"order_placed"', "not_an_object", None),
    Poison("number", b"42", "not_an_object", None),
    Poison("huge-number", b"9" * 5_000, "not_an_object", None),
    Poison("null", b"null", "not_an_object", None),
    Poison("true", b"true", "not_an_object", None),
]

_MISSING = [
    Poison("empty-object", b"{}", "missing_field", "type"),
    Poison("no-type", _without(_ORDER, "type"), "missing_field", "type"),
    Poison("null-type", _raw(_ORDER, type=None), "missing_field", "type"),
    Poison("only-type", b'{"type":"order_placed"}', "missing_field", "event_id"),
    Poison("null-event-id", _raw(_ORDER, event_id=None), "missing_field", "event_id"),
    Poison("no-order-id", _without(_PAYMENT, "order_id"), "missing_field", "order_id"),
    Poison("no-occurred-at", _without(_CANCELLED, "occurred_at"), "missing_field", "occurred_at"),
    Poison("no-amount", _without(_ORDER, "amount_minor"), "missing_field", "amount_minor"),
    Poison("null-currency", _raw(_REFUND, currency=None), "missing_field", "currency"),
    Poison("payment-without-payment-id", _without(_PAYMENT, "payment_id"), "missing_field", "payment_id"),
    Poison("failed-without-payment-id", _without(_FAILED, "payment_id"), "missing_field", "payment_id"),
    Poison("refund-without-refund-id", _without(_REFUND, "refund_id"), "missing_field", "refund_id"),
    Poison("chargeback-without-id", _without(_CHARGEBACK, "chargeback_id"), "missing_field", "chargeback_id"),
    Poison("reversal-with-null-id", _raw(_REVERSED, chargeback_id=None), "missing_field", "chargeback_id"),
    Poison("last-duplicate-key-is-null", _raw(_ORDER)[:-1] + b',"currency":null}', "missing_field", "currency"),
    Poison("key-in-other-case", _raw(_ORDER).replace(b'"order_id"', b'"Order_Id"'), "missing_field", "order_id"),
]

_WRONG = [
    Poison("type-is-a-number", _raw(_ORDER, type=1), "wrong_type", "type"),
    Poison("type-is-an-array", _raw(_ORDER, type=["order_placed"]), "wrong_type", "type"),
    Poison("event-id-is-a-number", _raw(_ORDER, event_id=12), "wrong_type", "event_id"),
    Poison("order-id-is-an-object", _raw(_ORDER, order_id={"$gt": ""}), "wrong_type", "order_id"),
    Poison("time-is-a-float", _raw(_ORDER, occurred_at=1767607200000.0), "wrong_type", "occurred_at"),
    Poison("time-is-true", _raw(_ORDER, occurred_at=True), "wrong_type", "occurred_at"),
    Poison("amount-is-true", _raw(_ORDER, amount_minor=True), "wrong_type", "amount_minor"),
    Poison("amount-is-10.0", _literal("amount_minor", "10.0"), "wrong_type", "amount_minor"),
    Poison("amount-has-an-exponent", _literal("amount_minor", "1e3"), "wrong_type", "amount_minor"),
    Poison("amount-is-beyond-a-float", _literal("amount_minor", "1e999"), "wrong_type", "amount_minor"),
    Poison("amount-is-a-string", _raw(_PAYMENT, amount_minor="100"), "wrong_type", "amount_minor"),
    Poison("currency-is-a-number", _raw(_ORDER, currency=978), "wrong_type", "currency"),
    Poison("customer-is-a-number", _raw(_ORDER, customer_id=7), "wrong_type", "customer_id"),
    Poison("payment-id-is-a-number", _raw(_PAYMENT, payment_id=1), "wrong_type", "payment_id"),
    Poison("optional-payment-id-is-false", _raw(_REFUND, payment_id=False), "wrong_type", "payment_id"),
    Poison("refund-id-is-a-float", _raw(_REFUND, refund_id=0.5), "wrong_type", "refund_id"),
    Poison("chargeback-id-is-a-number", _raw(_REVERSED, chargeback_id=3), "wrong_type", "chargeback_id"),
    Poison("method-is-an-object", _raw(_PAYMENT, method={}), "wrong_type", "method"),
    Poison("reason-is-an-array", _raw(_CANCELLED, reason=[]), "wrong_type", "reason"),
]

_VALUES = [
    Poison("unknown-type", _raw(_ORDER, type="order_shipped"), "unknown_type", "type"),
    Poison("type-in-capitals", _raw(_ORDER, type="ORDER_PLACED"), "unknown_type", "type"),
    Poison("type-with-a-space", _raw(_ORDER, type="order_placed "), "unknown_type", "type"),
    Poison("empty-type-and-nothing-else-right", b'{"type":"","event_id":1,"amount_minor":-1}', "unknown_type", "type"),
    Poison("empty-event-id", _raw(_ORDER, event_id=""), "bad_id", "event_id"),
    Poison("event-id-of-129", _raw(_ORDER, event_id="e" * 129), "bad_id", "event_id"),
    Poison("event-id-with-a-space", _raw(_ORDER, event_id="a b"), "bad_id", "event_id"),
    Poison("event-id-ends-with-a-line-feed", _raw(_ORDER, event_id="abc\n"), "bad_id", "event_id"),
    Poison("order-id-of-65", _raw(_PAYMENT, order_id="o" * 65), "bad_id", "order_id"),
    Poison("order-id-with-a-dollar", _raw(_ORDER, order_id="$where"), "bad_id", "order_id"),
    Poison("order-id-with-a-nul", _raw(_ORDER, order_id="a\0b"), "bad_id", "order_id"),
    Poison("order-id-with-foreign-digits", _raw(_ORDER, order_id="order-١٢"), "bad_id", "order_id"),
    Poison("payment-id-with-an-umlaut", _raw(_FAILED, payment_id="zahlung-ä"), "bad_id", "payment_id"),
    Poison("optional-payment-id-is-empty", _raw(_CHARGEBACK, payment_id=""), "bad_id", "payment_id"),
    Poison("refund-id-with-a-slash", _raw(_REFUND, refund_id="r/1"), "bad_id", "refund_id"),
    Poison("chargeback-id-of-129", _raw(_REVERSED, chargeback_id="c" * 129), "bad_id", "chargeback_id"),
    Poison("order-of-minus-one", _raw(_ORDER, amount_minor=-1), "bad_amount", "amount_minor"),
    Poison("order-over-10-to-15", _raw(_ORDER, amount_minor=10**15 + 1), "bad_amount", "amount_minor"),
    Poison("payment-of-zero", _raw(_PAYMENT, amount_minor=0), "bad_amount", "amount_minor"),
    Poison("payment-of-minus-zero", _literal("amount_minor", "-0", _PAYMENT), "bad_amount", "amount_minor"),
    Poison("payment-over-10-to-15", _raw(_PAYMENT, amount_minor=10**15 + 1), "bad_amount", "amount_minor"),
    Poison("refund-of-zero", _raw(_REFUND, amount_minor=0), "bad_amount", "amount_minor"),
    Poison("chargeback-of-minus-five", _raw(_CHARGEBACK, amount_minor=-5), "bad_amount", "amount_minor"),
    Poison("amount-of-2-to-64", _raw(_ORDER, amount_minor=2**64), "bad_amount", "amount_minor"),
    Poison("amount-of-100-digits", _raw(_ORDER, amount_minor=10**99), "bad_amount", "amount_minor"),
    Poison("amount-of-5000-digits", _literal("amount_minor", "-" + "9" * 5_000), "bad_amount", "amount_minor"),
    Poison("empty-currency", _raw(_ORDER, currency=""), "bad_currency", "currency"),
    Poison("currency-in-small-letters", _raw(_ORDER, currency="eur"), "bad_currency", "currency"),
    Poison("currency-of-two", _raw(_PAYMENT, currency="EU"), "bad_currency", "currency"),
    Poison("currency-of-four", _raw(_PAYMENT, currency="EURO"), "bad_currency", "currency"),
    Poison("currency-with-a-digit", _raw(_REFUND, currency="EU1"), "bad_currency", "currency"),
    Poison("currency-in-greek", _raw(_REFUND, currency="\u0395\u03a5\u03a1"), "bad_currency", "currency"),
    Poison("currency-ends-with-a-line-feed", _raw(_CHARGEBACK, currency="EUR\n"), "bad_currency", "currency"),
    Poison("time-without-offset", _raw(_ORDER, occurred_at="2026-01-05T10:00:00"), "bad_time", "occurred_at"),
    Poison("time-with-a-space", _raw(_ORDER, occurred_at="2026-01-05 10:00:00Z"), "bad_time", "occurred_at"),
    Poison("only-a-date", _raw(_ORDER, occurred_at="2026-01-05"), "bad_time", "occurred_at"),
    Poison("thirtieth-of-february", _raw(_ORDER, occurred_at="2026-02-30T10:00:00Z"), "bad_time", "occurred_at"),
    Poison("leap-day-of-2100", _raw(_ORDER, occurred_at="2100-02-29T10:00:00Z"), "bad_time", "occurred_at"),
    Poison("hour-24", _raw(_ORDER, occurred_at="2026-01-05T24:00:00Z"), "bad_time", "occurred_at"),
    Poison("leap-second", _raw(_ORDER, occurred_at="2016-12-31T23:59:60Z"), "bad_time", "occurred_at"),
    Poison("offset-of-24-hours", _raw(_ORDER, occurred_at="2026-01-05T10:00:00+24:00"), "bad_time", "occurred_at"),
    Poison("offset-without-colon", _raw(_ORDER, occurred_at="2026-01-05T10:00:00+0100"), "bad_time", "occurred_at"),
    Poison("time-with-a-comma", _raw(_ORDER, occurred_at="2026-01-05T10:00:00,5Z"), "bad_time", "occurred_at"),
    Poison("time-with-a-bare-point", _raw(_ORDER, occurred_at="2026-01-05T10:00:00.Z"), "bad_time", "occurred_at"),
    Poison("time-with-a-line-feed", _raw(_ORDER, occurred_at="2026-01-05T10:00:00Z\n"), "bad_time", "occurred_at"),
    Poison("time-in-foreign-digits", _raw(_ORDER, occurred_at="٢٠٢٦-01-05T10:00:00Z"), "bad_time", "occurred_at"),
    Poison("before-1970", _raw(_ORDER, occurred_at="1969-12-31T23:59:59.999Z"), "bad_time", "occurred_at"),
    Poison("before-1970-in-utc", _raw(_ORDER, occurred_at="1970-01-01T00:59:59+01:00"), "bad_time", "occurred_at"),
    Poison("after-9999-in-utc", _raw(_ORDER, occurred_at="9999-12-31T23:59:59-00:01"), "bad_time", "occurred_at"),
    Poison("epoch-of-minus-one", _raw(_ORDER, occurred_at=-1), "bad_time", "occurred_at"),
    Poison("epoch-after-9999", _raw(_ORDER, occurred_at=253_402_300_800_000), "bad_time", "occurred_at"),
    Poison("epoch-of-5000-digits", _literal("occurred_at", "9" * 5_000), "bad_time", "occurred_at"),
    Poison("epoch-in-a-string", _raw(_ORDER, occurred_at="1767607200000"), "bad_time", "occurred_at"),
    Poison("customer-of-65", _raw(_ORDER, customer_id="c" * 65), "bad_text", "customer_id"),
    Poison("method-of-65", _raw(_PAYMENT, method="m" * 65), "bad_text", "method"),
    Poison("reason-of-65-wide-characters", _raw(_CANCELLED, reason="😀" * 65), "bad_text", "reason"),
]

# More than one thing wrong: the order of the checks decides.
_ORDER_OF_CHECKS = [
    Poison("bad-type-before-bad-event-id", _raw(_ORDER, type="x", event_id=""), "unknown_type", "type"),
    Poison("event-id-before-order-id", _raw(_ORDER, event_id="?", order_id=5), "bad_id", "event_id"),
    Poison("order-id-before-time", _raw(_ORDER, order_id=None, occurred_at=-1), "missing_field", "order_id"),
    Poison("time-before-amount", _raw(_ORDER, occurred_at="soon", amount_minor=-1), "bad_time", "occurred_at"),
    Poison("amount-before-currency", _raw(_ORDER, amount_minor=-1, currency=1), "bad_amount", "amount_minor"),
    Poison("currency-before-customer", _raw(_ORDER, currency="e", customer_id=1), "bad_currency", "currency"),
    Poison("payment-id-before-refund-id", _raw(_REFUND, payment_id="", refund_id=None), "bad_id", "payment_id"),
    Poison("refund-id-before-method", _raw(_REFUND, refund_id="", method=1), "bad_id", "refund_id"),
    Poison("method-before-reason", _raw(_CANCELLED, method="m" * 65, reason=1), "bad_text", "method"),
]

POISON: list[Poison] = [*_WHOLE, *_MISSING, *_WRONG, *_VALUES, *_ORDER_OF_CHECKS]
POISON_LINES: list[Poison] = [poison for poison in POISON if poison.raw.strip()]
