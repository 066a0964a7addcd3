"""An adversary that writes events and messages: few ids, amounts and times, all of them close to a bound.

Everything is drawn from the `random.Random` that is passed in, so that Hypothesis (which can pass one whose draws it
controls and shrinks) and seeded runs over many lines share one adversary. Contents are the oracle's plain dicts.
"""

import json
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

from orders_platform_tests.oracle import DEFAULT_WINDOW_MS, LARGEST_AMOUNT, LAST_MS, Content
from orders_platform_tests.poison import POISON_LINES

OPENING_MS = 1_767_607_200_000  # 2026-01-05T10:00:00Z
DEADLINE_MS = OPENING_MS + DEFAULT_WINDOW_MS

_TYPES = (
    ["order_placed"] * 4
    + ["payment_captured"] * 6
    + ["refund_issued"] * 3
    + ["chargeback_opened"] * 2
    + ["chargeback_reversed", "order_cancelled", "payment_failed"]
)
_TIMES = [
    *[OPENING_MS + step for step in (0, 1, -1, 60_000, 60_001)],
    *[DEADLINE_MS + step for step in (0, 1, -1, 60_000)],
    OPENING_MS - 60_000,
]
_FAR_TIMES = [0, 1, LAST_MS, LAST_MS - DEFAULT_WINDOW_MS, LAST_MS - DEFAULT_WINDOW_MS + 1]
_AMOUNTS = [100, 100, 100, 50, 50, 99, 98, 101, 102, 1, 2, 200, 30, 20]
_FAR_AMOUNTS = [LARGEST_AMOUNT, LARGEST_AMOUNT - 1, 2**31, 2**32 + 1]
_TEXTS = [
    "card",
    "",
    "Käse",
    "😀" * 64,
    'quote " and \\ slash',
    "\u0000\u001f\u007f",
    "\b\f\n\r\t",
    "\u2028é\ufeff",
    "</x>",
]

CLOCKS_MS = [None, 0, OPENING_MS, DEADLINE_MS - 1, DEADLINE_MS, DEADLINE_MS + 1, DEADLINE_MS + 60_001, LAST_MS]
TOLERANCES = [0, 0, 1, 2, 50, 100, LARGEST_AMOUNT]
WINDOWS_MS = [DEFAULT_WINDOW_MS, DEFAULT_WINDOW_MS, 0, 1, 60_000]


def _rarely(random: Random, one_in: int) -> bool:
    return random.randrange(one_in) == one_in - 1


def content(random: Random, order_id: str = "order", event_ids: int = 40) -> Content:
    """Return one event that the contract accepts, in the oracle's form."""
    kind = random.choice(_TYPES)
    kept: Content = {
        "event_id": f"e{random.randrange(event_ids)}",
        "type": kind,
        "order_id": order_id,
        "occurred_at": random.choice(_FAR_TIMES if _rarely(random, 30) else _TIMES),
    }
    if kind in {"order_placed", "payment_captured", "refund_issued", "chargeback_opened"}:
        kept["amount_minor"] = random.choice(_FAR_AMOUNTS if _rarely(random, 30) else _AMOUNTS)
        kept["currency"] = "USD" if _rarely(random, 12) else "EUR"
    if kind == "order_placed":
        if _rarely(random, 15):
            kept["amount_minor"] = 0
        if _rarely(random, 3):
            kept["customer_id"] = random.choice(["c1", *_TEXTS])
    named = f"p{random.randrange(4)}"
    if kind in {"payment_captured", "payment_failed"} or (
        kind not in {"order_placed", "order_cancelled"} and random.randrange(2)
    ):
        kept["payment_id"] = named
    if kind == "refund_issued":
        kept["refund_id"] = f"r{random.randrange(3)}"
    if kind.startswith("chargeback"):
        kept["chargeback_id"] = f"c{random.randrange(3)}"
    for field in ("method", "reason"):
        if _rarely(random, 8):
            kept[field] = random.choice(_TEXTS)
    return kept


# --- Messages: the same content written in many ways ------------------------------------------------------------------


def _time_literal(random: Random, milliseconds: int) -> str:
    """Return a time as one of its RFC 3339 or integer forms."""
    form = random.randrange(5)
    # Near both ends of the range an offset would leave what Python's calendar can print.
    if form == 0 or not 86_400_000 <= milliseconds <= LAST_MS - 86_400_000:
        return str(milliseconds)
    offset_min = random.choice([0, 60, -300, 345, 23 * 60 + 59, -(23 * 60 + 59)]) if form < 3 else 0
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds - milliseconds % 1000)
    text = at.astimezone(timezone(timedelta(minutes=offset_min))).isoformat()
    digits = f"{milliseconds % 1000:03d}" + random.choice(["", "", "0", "9999", "5" * 30])
    without_fraction = milliseconds % 1000 == 0 and random.randrange(2)
    fraction = "" if without_fraction else "." + (digits.rstrip("0") or "0")
    zone = random.choice(["Z", "z", "-00:00", "+00:00"]) if offset_min == 0 else text[19:]
    return json.dumps(text[:10] + random.choice("TTTt") + text[11:19] + fraction + zone)


def _text_literal(random: Random, text: str) -> str:
    """Return a string as JSON, some of its characters escaped without need."""
    if random.randrange(4):
        return json.dumps(text, ensure_ascii=random.randrange(2) == 0)
    escaped = ""
    for character in text:
        if character == "/" and random.randrange(2):
            escaped += "\\/"
        elif ord(character) < 0x10000 and random.randrange(3) == 0:
            escaped += f"\\u{ord(character):04{random.choice('xX')}}"
        else:
            escaped += json.dumps(character, ensure_ascii=False)[1:-1]
    return f'"{escaped}"'


# fmt: off
_LITERALS = [
    # numbers and what only looks like one
    "null", "true", "false", "0", "-0", "1", "-1", "100", "1.0", "100.0", "1e2", "1E+2", "0.1", "1e999", "-1e-999",
    "9007199254740993", "1000000000000000", "1000000000000001", "9223372036854775808", "-9223372036854775809",
    "18446744073709551616", "253402300799999", "253402300800000", "9" * 400, "9" * 5000, "-" + "8" * 4301,
    "NaN", "Infinity", "-Infinity", "nan", "00", "01", "+1", ".5", "1.", "-", "1e", "0x10", "1_000",
    # nesting; the message itself is one level
    "[]", "{}", "[1,2]", '{"type":"order_placed"}', "[[[[]]]]", "[null,NaN]", '["\\ud800"]', "[" * 511 + "]" * 511,
    "[" * 512 + "]" * 512, '{"a":' * 511 + "1" + "}" * 511, '{"a":' * 512 + "1" + "}" * 512, '"' + "[" * 600 + '"',
    # strings, escapes, surrogates, lengths
    '""', '" "', '"a"', '"\\u0000"', '"\\ud83d\\ude00"', '"\\ud83d"', '"\\ude00"', '"\\uD83D\\u0041"', '"\\u12"',
    '"EUR"', '"eur"', '"EUR\\n"', '"\\u0045UR"', '"\u0415UR"', '"e\\u0031"', '"a\tb"', "'a'", "a", "", '"', "{", "[1",
    *[f'"{"x" * size}"' for size in (63, 64, 65, 128, 129)], "]", '"\\x"',
    '"' + "é" * 64 + '"', '"' + "😀" * 65 + '"', '"' + "\\ud83d\\ude00" * 64 + '"', '"' + "e\u0301" * 33 + '"',
    # times
    '"2026-01-05T10:00:00Z"', '"2026-01-05t10:00:00.1z"', '"2026-01-05T10:00:00.999999999999+23:59"',
    '"1970-01-01T00:00:00Z"', '"1969-12-31T23:59:59.999999Z"', '"1969-12-31T23:30:00-00:30"',
    '"1970-01-01T00:30:00+00:31"', '"9999-12-31T23:59:59.9999Z"', '"9999-12-31T23:59:59-00:01"',
    '"9999-12-31T23:59:59.999+00:01"', '"10000-01-01T00:00:00Z"', '"0000-01-01T00:00:00Z"', '"0001-01-01T00:00:00Z"',
    '"2024-02-29T00:00:00Z"', '"2023-02-29T00:00:00Z"', '"2026-13-01T00:00:00Z"', '"2026-00-01T00:00:00Z"',
    '"2026-01-00T00:00:00Z"', '"2026-04-31T00:00:00Z"', '"2026-01-05T24:00:00Z"', '"2026-01-05T23:60:00Z"',
    '"2026-01-05T23:59:60Z"', '"2016-12-31T23:59:60Z"', '"2026-01-05T10:00Z"', '"2026-01-05T10:00:00"', '"now"',
    '"2026-01-05"', '"2026-01-05 10:00:00Z"', '"2026-01-05T10:00:00+01"', '"2026-01-05T10:00:00+0100"',
    '"2026-01-05T10:00:00+24:00"', '"2026-01-05T10:00:00+23:60"', '"2026-01-05T10:00:00.Z"',
    '"2026-01-05T10:00:00,1Z"', '"2026-01-05T10:00:00Z "', '" 2026-01-05T10:00:00Z"', '"2026-1-5T10:00:00Z"',
    '"20260105T100000Z"', '"2026-W02-1T10:00:00Z"', '"٢٠٢٦-01-05T10:00:00Z"', '"2026-01-05T10:00:00Z\\n"',
    '"2026-01-05T10:00:00\u221201:00"', '"+2026-01-05T10:00:00Z"', '"2026-01-05T10:00:00.1234567890Z"',
    # types
    *[json.dumps(kind) for kind in dict.fromkeys(_TYPES)],
    '"order_placed "', '"Order_placed"', '"order\\u005fplaced"', '"order_placed\\u0000"',
]
# fmt: on
_KEYS = [
    *["event_id", "type", "order_id", "occurred_at", "amount_minor", "currency", "customer_id", "payment_id"],
    *[
        "refund_id",
        "chargeback_id",
        "method",
        "reason",
        "unlisted",
        "$set",
        "a.b",
        "",
        "Type",
        "_id",
        "\\u0074ype",
        "\\ud800",
    ],
]
_BYTES = [bytes([byte]) for byte in b'"\\{}[]:,0-.eE+tn\x00\x01\t\r /\x7f\x80\xc3\xff'] + [
    *[
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\xef\xbb\xbf",
        "é".encode(),
        "😀".encode(),
        "\u2028".encode(),
        b"\\u",
        b"\\ud83d",
    ],
    *[b"NaN", b"null", b"/**/", b'""', b"{}", b"[]", b"\x0c", b"\xc2\xa0"],
]


def message(random: Random, kept: Content, nastiness: int = 3) -> bytes:
    """Return one way to write a content as a message, never with a line feed in it.

    `nastiness` bounds how many of its fields or bytes are spoilt; with 0 the message must be accepted as that content.
    """
    fields: list[tuple[str, str]] = []
    for key, value in kept.items():
        if key == "occurred_at":
            literal = _time_literal(random, value)
        else:
            literal = _text_literal(random, value) if isinstance(value, str) else str(value)
        fields.append((json.dumps(key), literal))
    for _ in range(random.randrange(3)):
        fields.insert(0, (random.choice(['"unlisted"', '"$set"', '"a.b"', '""', '"Type"']), random.choice(_BENIGN)))
    if random.randrange(2):
        random.shuffle(fields)
    for _ in range(random.randrange(nastiness + 1)):
        _spoil_field(random, fields)
    space = random.choice(["", "", " ", "\t", " \r "])
    text = "{" + space + f"{space},".join(f"{key}:{space}{literal}" for key, literal in fields) + space + "}" + space
    raw = text.encode()
    for _ in range(max(0, random.randrange(nastiness + 4) - 3)):
        raw = _spoil_bytes(random, raw)
    return raw.replace(b"\n", b" ")


_BENIGN = ["null", "1e999", "[]", '{"a":{"b":[1.5,true,"\\ud83d\\ude00"]}}', '"NaN"', "-0.0", "9" * 400, '"x"', '"[{"']


def _spoil_field(random: Random, fields: list[tuple[str, str]]) -> None:
    spot = random.randrange(len(fields) + 1)
    how = random.randrange(6)
    if how <= 2 and spot < len(fields):
        fields[spot] = (fields[spot][0], random.choice(_LITERALS))
    elif how == 3 and spot < len(fields):
        del fields[spot]
    elif how == 4 and fields:
        fields.insert(spot, random.choice(fields))
    else:
        fields.insert(spot, (f'"{random.choice(_KEYS)}"', random.choice(_LITERALS)))


def _spoil_bytes(random: Random, raw: bytes) -> bytes:
    at = random.randrange(len(raw) + 1)
    how = random.randrange(4)
    if how == 0:
        return raw[:at] + random.choice(_BYTES) + raw[at:]
    if how == 1:
        return raw[:at] + raw[at + 1 :]
    if how == 2:
        return raw[:at] + random.choice(_BYTES) + raw[at + 1 :]
    return raw[:at] if _rarely(random, 4) else raw


def lines(random: Random, count: int, orders: int, hot_orders: int = 0) -> list[bytes]:
    """Return `count` lines of a file for `orders fold`, in no order of time.

    Most belong to `orders` orders of a few events each; every hot order gets enough to pass the bound of 500. One line
    in eight may be spoilt, one in eight repeats an earlier line, some are blank.
    """
    written: list[bytes] = []
    hot_share = min(0.5, hot_orders * 560 / count) if count else 0
    while len(written) < count:
        lot = random.randrange(160)
        if lot < 20 and written:
            written.append(written[random.randrange(max(0, len(written) - 5_000), len(written))])
        elif lot == 20:
            written.append(random.choice([b"", b" ", b"\t\r"]))
        elif lot < 24:
            written.append(random.choice(POISON_LINES).raw)
        elif random.random() < hot_share:
            kept = content(random, f"hot-{random.randrange(hot_orders)}", event_ids=10**6)
            written.append(message(random, kept, nastiness=0))
        else:
            kept = content(random, f"order-{random.randrange(orders)}")
            written.append(message(random, kept, nastiness=random.choice([0, 0, 0, 0, 0, 0, 0, 3])))
    return written


def changed(random: Random, kept: Content) -> Content:
    """Return another content with the same event id: what a producer with a bug would send twice."""
    other: dict[str, Any] = {**kept, "occurred_at": random.choice(_TIMES)}
    if "amount_minor" in other:
        other["amount_minor"] = random.choice(_AMOUNTS)
    return other
