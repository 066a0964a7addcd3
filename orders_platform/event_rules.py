"""The contract's rules as a table, and the strict reading that names the first one a message breaks.

Source: the matching rules, section 2. `events.decode` reads well-formed messages on a faster path and comes here for
the rest.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from orders_platform.times import MAX_MS, parse_rfc3339

MAX_MESSAGE_BYTES = 64 * 1024
MAX_AMOUNT_MINOR = 10**15
MAX_TEXT_CHARACTERS = 64
MAX_NESTING = 512  # far above any event, far below what overflows a parser's stack

ORDER_PLACED = "order_placed"
ORDER_CANCELLED = "order_cancelled"
PAYMENT_CAPTURED = "payment_captured"
PAYMENT_FAILED = "payment_failed"
REFUND_ISSUED = "refund_issued"
CHARGEBACK_OPENED = "chargeback_opened"
CHARGEBACK_REVERSED = "chargeback_reversed"
TYPES = (
    ORDER_PLACED,
    ORDER_CANCELLED,
    PAYMENT_CAPTURED,
    PAYMENT_FAILED,
    REFUND_ISSUED,
    CHARGEBACK_OPENED,
    CHARGEBACK_REVERSED,
)

TOO_MANY_EVENTS = "too_many_events"
DAMAGED_ORDER = "damaged_order"
"""No rule of events: somebody wrote past the schema of the order that the event belongs to."""
REASONS = (
    "too_large",
    "not_utf8",
    "not_json",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "unknown_type",
    "bad_id",
    "bad_amount",
    "bad_currency",
    "bad_time",
    "bad_text",
    TOO_MANY_EVENTS,
    DAMAGED_ORDER,
)


class Rejection(msgspec.Struct, frozen=True):
    """Why a message is no event: one of `REASONS`, and the field that broke the rule where one did. Never its value."""

    reason: str
    field: str | None = None


class Broken(Exception):
    """A rule does not hold; carries the reason code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


LONG_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
ORDER_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
CURRENCY = re.compile(r"[A-Z]{3}")


def _matching(pattern: re.Pattern[str], reason: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str):
            raise Broken("wrong_type")
        if pattern.fullmatch(value) is None:
            raise Broken(reason)
        return value

    return check


def _amount_from(least_minor: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if type(value) is not int:  # True is an int to isinstance, and no amount
            raise Broken("wrong_type")
        if not least_minor <= value <= MAX_AMOUNT_MINOR:
            raise Broken("bad_amount")
        return value

    return check


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Broken("wrong_type")
    if len(value) > MAX_TEXT_CHARACTERS:
        raise Broken("bad_text")
    return value


def occurred_at_ms(value: object) -> int:
    """Return an `occurred_at` (RFC 3339 text or epoch milliseconds) as UTC milliseconds.

    Raises:
        Broken: `wrong_type` or `bad_time`.
    """
    if type(value) is int:
        if not 0 <= value <= MAX_MS:
            raise Broken("bad_time")
        return value
    if not isinstance(value, str):
        raise Broken("wrong_type")
    try:
        return parse_rfc3339(value)
    except ValueError:
        raise Broken("bad_time") from None


_MONEY_TYPES = {PAYMENT_CAPTURED, REFUND_ISSUED, CHARGEBACK_OPENED}
_ID = _matching(LONG_ID, "bad_id")

# (field, types that carry it, types that require it, check), in the order in which rules are checked.
FIELDS: tuple[tuple[str, set[str], set[str], Callable[[object], Any]], ...] = (
    ("event_id", set(TYPES), set(TYPES), _ID),
    ("order_id", set(TYPES), set(TYPES), _matching(ORDER_ID, "bad_id")),
    ("occurred_at", set(TYPES), set(TYPES), occurred_at_ms),
    ("amount_minor", {ORDER_PLACED}, {ORDER_PLACED}, _amount_from(0)),
    ("amount_minor", _MONEY_TYPES, _MONEY_TYPES, _amount_from(1)),
    ("currency", {ORDER_PLACED, *_MONEY_TYPES}, {ORDER_PLACED, *_MONEY_TYPES}, _matching(CURRENCY, "bad_currency")),
    ("customer_id", {ORDER_PLACED}, set(), _text),
    (
        "payment_id",
        {PAYMENT_CAPTURED, PAYMENT_FAILED, REFUND_ISSUED, CHARGEBACK_OPENED, CHARGEBACK_REVERSED},
        {PAYMENT_CAPTURED, PAYMENT_FAILED},
        _ID,
    ),
    ("refund_id", {REFUND_ISSUED}, {REFUND_ISSUED}, _ID),
    ("chargeback_id", {CHARGEBACK_OPENED, CHARGEBACK_REVERSED}, {CHARGEBACK_OPENED, CHARGEBACK_REVERSED}, _ID),
    ("method", set(TYPES), set(), _text),
    ("reason", set(TYPES), set(), _text),
)


def read(raw: bytes | None) -> dict[str, Any] | Rejection:
    """Return the kept fields of a message (`occurred_at` as UTC milliseconds), or the first rule that it breaks."""
    try:
        message = _parse(raw)
    except Broken as broken:
        return Rejection(broken.reason)
    kind = message.get("type")
    if kind is None:
        return Rejection("missing_field", "type")
    if not isinstance(kind, str):
        return Rejection("wrong_type", "type")
    if kind not in TYPES:
        return Rejection("unknown_type", "type")
    kept: dict[str, Any] = {"type": kind}
    for field, carried_by, required_by, check in FIELDS:
        if kind not in carried_by:
            continue
        value = message.get(field)
        if value is None:
            if kind in required_by:
                return Rejection("missing_field", field)
            continue
        try:
            kept[field] = check(value)
        except Broken as broken:
            return Rejection(broken.reason, field)
    return kept


def _parse(raw: bytes | None) -> dict[str, Any]:
    if raw is not None and len(raw) > MAX_MESSAGE_BYTES:
        raise Broken("too_large")
    try:
        text = (raw or b"").decode()
    except UnicodeDecodeError:
        raise Broken("not_utf8") from None
    if _nesting(text) > MAX_NESTING:
        raise Broken("not_json")
    try:
        message = json.loads(text, parse_int=_integer, parse_constant=_no_constant)
    except ValueError:
        raise Broken("not_json") from None
    if "\\u" in text and _has_lone_surrogate(text):
        raise Broken("not_json")
    if not isinstance(message, dict):
        raise Broken("not_an_object")
    return message


def _integer(digits: str) -> int:
    # Python refuses to convert integers of thousands of digits; any value beyond every bound serves as well.
    return int(digits) if len(digits) <= 40 else (-(10**40) if digits[0] == "-" else 10**40)


def _no_constant(name: str) -> NoReturn:
    raise Broken("not_json")


_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _nesting(text: str) -> int:
    """Return how deep arrays and objects nest, without parsing: a parser's own limit depends on its caller's stack."""
    if text.count("[") + text.count("{") <= MAX_NESTING:
        return 0
    depth = deepest = 0
    for character in _STRINGS.sub("", text):
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


_ESCAPES = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


def _has_lone_surrogate(text: str) -> bool:
    """Return whether valid JSON text holds a surrogate escape without its other half, be it in a dropped value."""
    high_end = None  # where the low half of a pair must follow
    for escape in _ESCAPES.finditer(text):
        code = int(escape[1], 16) if escape[1] else 0
        low = 0xDC00 <= code <= 0xDFFF
        if low != (escape.start() == high_end) or (high_end is not None and not low):
            return True
        high_end = escape.end() if 0xD800 <= code <= 0xDBFF else None
    return high_end is not None
