"""The tests' own reading of the matching rules: what a message and a set of events must come to.

Written from the specification (matching.md) alone, and in another style than the product: an event is a plain dict, a
set is a dict of canonical bytes, every rule is spelled out where it applies. It imports nothing of the product and
nothing but the standard library, so that a shared mistake needs two separate misreadings.
"""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

Content = dict[str, Any]
"""The kept fields of an accepted event; `occurred_at` is an integer, UTC milliseconds."""

DEFAULT_WINDOW_MS = 30 * 60 * 1000
MOST_EVENTS = 500
MOST_BYTES = 64 * 1024
DEEPEST = 512
LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
LARGEST_AMOUNT = 10**15

MONEY_TYPES = {"order_placed", "payment_captured", "refund_issued", "chargeback_opened"}
TYPES = MONEY_TYPES | {"order_cancelled", "payment_failed", "chargeback_reversed"}


class Refused(NamedTuple):
    """Why a message is no event: the reason code, and the field where one is to blame."""

    reason: str
    field: str | None


class _RefusedError(Exception):
    def __init__(self, reason: str, field: str | None) -> None:
        super().__init__(reason)
        self.refused = Refused(reason, field)


# --- Section 2: what is an event -------------------------------------------------------------------------------------


def decode(raw: bytes | None) -> Content | Refused:
    """Return the kept fields of the event in `raw`, or why it is none."""
    try:
        return _event(_object(raw))
    except _RefusedError as refusal:
        return refusal.refused


def canonical(content: Content) -> bytes:
    """Return the canonical JSON of an event's kept fields: what makes two contents the same."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8")


def _object(raw: bytes | None) -> dict[str, Any]:
    if raw is None:
        raise _RefusedError("not_json", None)
    if len(raw) > MOST_BYTES:
        raise _RefusedError("too_large", None)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _RefusedError("not_utf8", None) from None
    if _depth(text) > DEEPEST:
        raise _RefusedError("not_json", None)
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_int=_integer, object_pairs_hook=_pairs)
        _no_lone_surrogate(value)
    except ValueError:
        raise _RefusedError("not_json", None) from None
    if not isinstance(value, dict):
        raise _RefusedError("not_an_object", None)
    return value


def _depth(text: str) -> int:
    """Return how deep arrays and objects are nested; brackets inside strings don't count."""
    outside_strings = re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL)
    depth = deepest = 0
    for character in outside_strings:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _no_constant(literal: str) -> None:
    raise ValueError(f"{literal} is not JSON")


def _integer(digits: str) -> int:
    """Return the integer; one too long for `int()` becomes 10^100 with its sign, which is as far out of every range."""
    if len(digits) > 101:
        return -(10**100) if digits.startswith("-") else 10**100
    return int(digits)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object, the last of equal keys winning; the values that lose must be JSON all the same."""
    for key, value in pairs:
        _no_lone_surrogate(key)
        _no_lone_surrogate(value)
    return dict(pairs)


def _no_lone_surrogate(value: object) -> None:
    """Raise ValueError where a text in `value` holds one; objects have been through `_pairs` already."""
    to_check = [value]
    while to_check:
        found = to_check.pop()
        if isinstance(found, list):
            to_check.extend(found)
        elif isinstance(found, str) and any(0xD800 <= ord(character) <= 0xDFFF for character in found):
            raise ValueError("a lone surrogate")


def _event(given: dict[str, Any]) -> Content:
    kind = given.get("type")
    if kind is None:
        raise _RefusedError("missing_field", "type")
    if not isinstance(kind, str):
        raise _RefusedError("wrong_type", "type")
    if kind not in TYPES:
        raise _RefusedError("unknown_type", "type")

    kept: Content = {}
    kept["event_id"] = _identifier(given, "event_id", 128)
    kept["type"] = kind
    kept["order_id"] = _identifier(given, "order_id", 64)
    kept["occurred_at"] = _occurred_at(given)
    if kind in MONEY_TYPES:
        kept["amount_minor"] = _amount(given, 0 if kind == "order_placed" else 1)
        kept["currency"] = _currency(given)
    if kind == "order_placed":
        kept["customer_id"] = _optional_text(given, "customer_id")
    if kind in {"payment_captured", "payment_failed"}:
        kept["payment_id"] = _identifier(given, "payment_id", 128)
    if kind in {"refund_issued", "chargeback_opened", "chargeback_reversed"}:
        kept["payment_id"] = None if given.get("payment_id") is None else _identifier(given, "payment_id", 128)
    if kind == "refund_issued":
        kept["refund_id"] = _identifier(given, "refund_id", 128)
    if kind in {"chargeback_opened", "chargeback_reversed"}:
        kept["chargeback_id"] = _identifier(given, "chargeback_id", 128)
    kept["method"] = _optional_text(given, "method")
    kept["reason"] = _optional_text(given, "reason")
    return {field: value for field, value in kept.items() if value is not None}


def _required(given: dict[str, Any], field: str) -> Any:
    value = given.get(field)
    if value is None:
        raise _RefusedError("missing_field", field)
    return value


def _identifier(given: dict[str, Any], field: str, most: int) -> str:
    value = _required(given, field)
    if not isinstance(value, str):
        raise _RefusedError("wrong_type", field)
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-")
    if not 1 <= len(value) <= most or not set(value) <= allowed:
        raise _RefusedError("bad_id", field)
    return value


def _optional_text(given: dict[str, Any], field: str) -> str | None:
    value = given.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _RefusedError("wrong_type", field)
    if len(value) > 64:
        raise _RefusedError("bad_text", field)
    return value


def _amount(given: dict[str, Any], least: int) -> int:
    value = _required(given, "amount_minor")
    if isinstance(value, bool) or not isinstance(value, int):
        raise _RefusedError("wrong_type", "amount_minor")
    if not least <= value <= LARGEST_AMOUNT:
        raise _RefusedError("bad_amount", "amount_minor")
    return value


def _currency(given: dict[str, Any]) -> str:
    value = _required(given, "currency")
    if not isinstance(value, str):
        raise _RefusedError("wrong_type", "currency")
    if len(value) != 3 or not set(value) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
        raise _RefusedError("bad_currency", "currency")
    return value


def _occurred_at(given: dict[str, Any]) -> int:
    value = _required(given, "occurred_at")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _RefusedError("wrong_type", "occurred_at")
    try:
        milliseconds = time_ms(value) if isinstance(value, str) else value
    except ValueError:
        raise _RefusedError("bad_time", "occurred_at") from None
    if not 0 <= milliseconds <= LAST_MS:
        raise _RefusedError("bad_time", "occurred_at")
    return milliseconds


def time_ms(text: str) -> int:
    """Return an RFC 3339 date-time as UTC milliseconds, finer digits cut off.

    Raises:
        ValueError: it is none, or such a time does not exist.
    """
    date_and_time, rest = text[:19], text[19:]
    if re.sub("[0-9]", "0", date_and_time) not in {"0000-00-00T00:00:00", "0000-00-00t00:00:00"}:
        raise ValueError("no date-time")
    year, month, day = int(text[0:4]), int(text[5:7]), int(text[8:10])
    hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:19])

    fraction = ""
    if rest.startswith("."):
        fraction = rest[1 : 1 + len(rest[1:]) - len(rest[1:].lstrip("0123456789"))]
        if not fraction:
            raise ValueError("a point without digits")
        rest = rest[1 + len(fraction) :]

    if rest in {"Z", "z"}:
        zone = UTC
    elif re.sub("[0-9]", "0", rest) in {"+00:00", "-00:00"}:
        hours, minutes = int(rest[1:3]), int(rest[4:6])
        if hours > 23 or minutes > 59:
            raise ValueError("no such offset")
        offset = timedelta(hours=hours, minutes=minutes)
        zone = timezone(offset if rest[0] == "+" else -offset)
    else:
        raise ValueError("no offset")

    since = datetime(year, month, day, hour, minute, second, tzinfo=zone) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(milliseconds=1) + int((fraction + "000")[:3])


def time_text(milliseconds: int | None) -> str | None:
    """Return UTC milliseconds the way `orders fold` prints times; beyond 9999 with a plus sign and five digits."""
    if milliseconds is None:
        return None
    days, in_day = divmod(milliseconds, 86_400_000)
    # The calendar repeats after 400 years of 146,097 days, so step back until Python knows the year.
    cycles = 0
    while days > 2_932_896:
        days, cycles = days - 146_097, cycles + 1
    date = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days)
    year = date.year + 400 * cycles
    printed_year = f"{year:04d}" if year <= 9999 else f"+{year}"
    second, millisecond = divmod(in_day, 1000)
    clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{millisecond:03d}"
    return f"{printed_year}-{date.month:02d}-{date.day:02d}T{clock}Z"


# --- Section 3: duplicates and conflicts -----------------------------------------------------------------------------


def _when(event: Content) -> tuple[int, str]:
    return event["occurred_at"], event["event_id"]


def winners(contents: Iterable[Content]) -> tuple[list[Content], set[str]]:
    """Return the events that count, earliest first, and the reasons that the choice gave."""
    distinct = {canonical(content): content for content in contents}
    reasons: set[str] = set()

    one_per_event_id: list[Content] = []
    for event_id in {content["event_id"] for content in distinct.values()}:
        rivals = {key: content for key, content in distinct.items() if content["event_id"] == event_id}
        if len(rivals) > 1:
            reasons.add("conflicting_event")
        one_per_event_id.append(rivals[min(rivals)])

    counted: list[Content] = []
    rivals_by_identity: dict[tuple[str, str], list[Content]] = {}
    for event in one_per_event_id:
        if event["type"] == "order_placed":
            rivals_by_identity.setdefault(("order", event["order_id"]), []).append(event)
        elif event["type"] == "payment_captured":
            rivals_by_identity.setdefault(("payment", event["payment_id"]), []).append(event)
        elif event["type"] == "refund_issued":
            rivals_by_identity.setdefault(("refund", event["refund_id"]), []).append(event)
        elif event["type"] == "chargeback_opened":
            rivals_by_identity.setdefault(("chargeback", event["chargeback_id"]), []).append(event)
        else:
            counted.append(event)

    for (noun, _), group in rivals_by_identity.items():
        winner = min(group, key=_when)
        counted.append(winner)
        for other in group:
            if other["amount_minor"] != winner["amount_minor"] or other["currency"] != winner["currency"]:
                reasons.add(f"conflicting_{noun}")
    return sorted(counted, key=_when), reasons


# --- Sections 4 and 5: figures, status, reasons, outcome -------------------------------------------------------------

BREAKING_STATUSES = {
    "orphan",
    "currency_mismatch",
    "charged_back",
    "refund_due",
    "unpaid",
    "underpaid",
    "overpaid",
}
PENDING_STATUSES = {"awaiting_order", "awaiting_payment", "partially_paid"}
BREAKING_REASONS = {
    "conflicting_event",
    "conflicting_order",
    "conflicting_payment",
    "conflicting_refund",
    "conflicting_chargeback",
    "duplicate_payment",
    "refund_and_chargeback",
    "over_refunded",
    "money_without_payment",
    "overflow",
}


def assess(
    contents: Iterable[Content],
    clock_ms: int | None,
    tolerance: int = 0,
    window_ms: int = DEFAULT_WINDOW_MS,
    overflow: bool = False,
) -> dict[str, Any]:
    """Return what the rules say of one order's events: the figures, and `rule`, the number of the rule that decided.

    Times are UTC milliseconds or None. A `clock_ms` of None means that no deadline has passed.
    """
    contents = list({canonical(content): content for content in contents}.values())
    events, reasons = winners(contents)
    orders = [event for event in events if event["type"] == "order_placed"]
    payments = [event for event in events if event["type"] == "payment_captured"]
    refunds = [event for event in events if event["type"] == "refund_issued"]
    chargebacks = [event for event in events if event["type"] == "chargeback_opened"]
    cancels = [event for event in events if event["type"] == "order_cancelled"]
    reversed_ids = {event["chargeback_id"] for event in events if event["type"] == "chargeback_reversed"}
    open_chargebacks = [event for event in chargebacks if event["chargeback_id"] not in reversed_ids]
    order = orders[0] if orders else None

    money = sorted(payments + refunds + chargebacks, key=_when)
    currency = order["currency"] if order else money[0]["currency"] if money else None
    captured = sum(event["amount_minor"] for event in payments if event["currency"] == currency)
    refunded = sum(event["amount_minor"] for event in refunds if event["currency"] == currency)
    charged_back = sum(event["amount_minor"] for event in open_chargebacks if event["currency"] == currency)
    cancelled_at = min((event["occurred_at"] for event in cancels), default=None)
    deadline_at = (order or events[0])["occurred_at"] + window_ms
    figures = {
        "currency": currency,
        "due_minor": order["amount_minor"] if order else None,
        "captured_minor": captured,
        "refunded_minor": refunded,
        "charged_back_minor": charged_back,
        "net_minor": captured - refunded - charged_back,
        "deadline_at": deadline_at,
        "cancelled_at": cancelled_at,
    }
    foreign = any(event["currency"] != currency for event in payments + refunds + open_chargebacks)
    passed = clock_ms is not None and deadline_at < clock_ms
    rule, status = _status(figures, foreign, passed, tolerance)

    reasons |= _payment_reasons(order, payments, figures, tolerance)
    if _refund_meets_chargeback(refunds, open_chargebacks):
        reasons.add("refund_and_chargeback")
    if refunded > captured:
        reasons.add("over_refunded")
    if rule == 6 and status == "matched":
        reasons.add("overpayment_refunded")
    if rule == 11 and captured != figures["due_minor"]:
        reasons.add("tolerance_used")
    if (refunded > 0 or charged_back > 0) and captured == 0:
        reasons.add("money_without_payment")
    if overflow:
        reasons.add("overflow")

    if status in BREAKING_STATUSES or reasons & BREAKING_REASONS:
        outcome = "break"
    elif status in PENDING_STATUSES:
        outcome = "pending"
    else:
        outcome = "ok"
    settled_at = _settled_at(order, payments, tolerance) if order and status == "matched" else None
    return {
        "order_id": contents[0]["order_id"],
        "status": status,
        "outcome": outcome,
        "reasons": sorted(reasons),
        **figures,
        "settled_at": settled_at,
        "event_count": len(contents),
        "rule": rule,
    }


def _status(figures: dict[str, Any], foreign: bool, passed: bool, tolerance: int) -> tuple[int, str]:
    due, captured, refunded = figures["due_minor"], figures["captured_minor"], figures["refunded_minor"]
    left = captured - refunded
    if due is None:
        return 1, "orphan" if passed else "awaiting_order"
    enough, too_much = due - tolerance, due + tolerance
    if foreign:
        return 2, "currency_mismatch"
    if figures["charged_back_minor"] > 0:
        return 3, "charged_back"
    if figures["cancelled_at"] is not None:
        return 4, "refund_due" if figures["net_minor"] > 0 else "cancelled"
    if refunded > 0 and left <= 0:
        return 5, "refunded"
    if refunded > 0 and captured > too_much:
        if left > too_much:
            return 6, "overpaid"
        if left >= enough:
            return 6, "matched"
        return 6, "partially_refunded"
    if refunded > 0 and captured >= enough:
        return 7, "partially_refunded"
    if captured == 0 and due > tolerance:
        return 8, "unpaid" if passed else "awaiting_payment"
    if captured < enough:
        return 9, "underpaid" if passed else "partially_paid"
    if captured > too_much:
        return 10, "overpaid"
    return 11, "matched"


def _payment_reasons(
    order: Content | None, payments: Sequence[Content], figures: dict[str, Any], tolerance: int
) -> set[str]:
    reasons: set[str] = set()
    for payment in payments:
        if figures["cancelled_at"] is not None and payment["occurred_at"] > figures["cancelled_at"]:
            reasons.add("payment_after_cancel")
        if order and payment["occurred_at"] > figures["deadline_at"]:
            reasons.add("payment_late")
        if order and payment["occurred_at"] < order["occurred_at"]:
            reasons.add("payment_before_order")
    if order and figures["captured_minor"] > order["amount_minor"] + tolerance:
        least, most = order["amount_minor"] - tolerance, order["amount_minor"] + tolerance
        in_currency = [payment["amount_minor"] for payment in payments if payment["currency"] == order["currency"]]
        if len(in_currency) >= 2 and any(least <= amount <= most for amount in in_currency):
            reasons.add("duplicate_payment")
    return reasons


def _refund_meets_chargeback(refunds: Sequence[Content], open_chargebacks: Sequence[Content]) -> bool:
    """Return whether one of each names the same payment, or may mean it because it names none."""
    for chargeback in open_chargebacks:
        for refund in refunds:
            named = {chargeback.get("payment_id"), refund.get("payment_id")}
            if None in named or len(named) == 1:
                return True
    return False


def _settled_at(order: Content, payments: Sequence[Content], tolerance: int) -> int | None:
    enough = order["amount_minor"] - tolerance
    if enough <= 0:
        return order["occurred_at"]
    paid = 0
    for payment in sorted(payments, key=_when):
        paid += payment["amount_minor"]
        if paid >= enough:
            return payment["occurred_at"]
    return None


# --- Sections 6 and 7: bounds and `orders fold` ----------------------------------------------------------------------

PRINTED = (
    "order_id",
    "status",
    "outcome",
    "reasons",
    "currency",
    "due_minor",
    "captured_minor",
    "refunded_minor",
    "charged_back_minor",
    "net_minor",
    "deadline_at",
    "cancelled_at",
    "settled_at",
    "event_count",
)


def document(
    contents: Iterable[Content],
    clock_ms: int | None,
    tolerance: int = 0,
    window_ms: int = DEFAULT_WINDOW_MS,
    overflow: bool = False,
) -> dict[str, Any]:
    """Return one order's document in the keys, and the order of keys, of `orders fold`; times are RFC 3339."""
    known = assess(contents, clock_ms, tolerance, window_ms, overflow)
    printed = {key: known[key] for key in PRINTED}
    for key in ("deadline_at", "cancelled_at", "settled_at"):
        printed[key] = time_text(printed[key])
    return printed


def fold_lines(
    lines: Iterable[bytes],
    clock_ms: int | None,
    tolerance: int = 0,
    window_ms: int = DEFAULT_WINDOW_MS,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what `orders fold` prints for `lines` (without their line feeds): the documents, and the rejections."""
    kept: dict[str, dict[bytes, Content]] = {}
    overflowed: set[str] = set()
    rejections: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip(b" \t\r"):
            continue
        decoded = decode(line)
        if isinstance(decoded, Refused):
            rejections.append({"line": number, "reason": decoded.reason, "field": decoded.field})
            continue
        events = kept.setdefault(decoded["order_id"], {})
        if canonical(decoded) in events:
            continue
        if len(events) < MOST_EVENTS:
            events[canonical(decoded)] = decoded
        else:
            overflowed.add(decoded["order_id"])
            rejections.append({"line": number, "reason": "too_many_events", "field": None})
    documents = [
        document(kept[order_id].values(), clock_ms, tolerance, window_ms, order_id in overflowed)
        for order_id in sorted(kept)
    ]
    return documents, rejections
