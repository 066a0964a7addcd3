"""The contract at the edge: what is accepted, as which content, and what is rejected with which reason and field."""

import json

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orders_platform import events
from orders_platform_tests import oracle, strategies
from orders_platform_tests.matching.engines import content_of
from orders_platform_tests.oracle import Content, Refused
from orders_platform_tests.poison import POISON, Poison

ORDER: Content = {
    "event_id": "e1",
    "type": "order_placed",
    "order_id": "o1",
    "occurred_at": 1_767_607_200_000,
    "amount_minor": 100,
    "currency": "EUR",
}
PAYMENT: Content = {**ORDER, "type": "payment_captured", "payment_id": "p1"}
EVERY_FIELD: Content = {
    **ORDER,
    "customer_id": "c1",
    "payment_id": "p1",
    "refund_id": "r1",
    "chargeback_id": "b1",
    "method": "card",
    "reason": "none given",
    "unlisted": {"a": 1},
}


def raw(content: Content, **changes: object) -> bytes:
    return json.dumps({**content, **changes}, ensure_ascii=False).encode()


def outcome(decoded: events.Event | events.Rejection) -> Content | Refused:
    """Return what the product decoded in the oracle's form."""
    if isinstance(decoded, events.Rejection):
        return Refused(decoded.reason, decoded.field)
    return content_of(decoded)


def accepted(message: bytes) -> events.Event:
    event = events.decode(message)
    assert isinstance(event, events.Event), event
    return event


@pytest.mark.parametrize("poison", POISON, ids=lambda poison: poison.name)
def test_poison_is_rejected_with_its_reason_and_field(poison: Poison) -> None:
    expected = Refused(poison.reason, poison.field)
    assert oracle.decode(poison.raw) == expected
    assert outcome(events.decode(poison.raw)) == expected


def test_poison_has_every_reason_several_times_and_no_line_feed() -> None:
    reasons = [poison.reason for poison in POISON]
    assert set(reasons) == set(events.REASONS) - {"too_many_events", "damaged_order"}
    assert all(reasons.count(reason) >= 3 for reason in reasons)
    assert len({poison.name for poison in POISON}) == len(POISON) >= 40
    assert not any(b"\n" in poison.raw for poison in POISON)


def test_a_message_without_a_value_is_rejected() -> None:
    assert outcome(events.decode(None)) == Refused("not_json", None)


def test_a_rejection_never_holds_the_value() -> None:
    secret = "Erika Mustermann"
    for field in EVERY_FIELD:
        rejection = events.decode(raw(PAYMENT, **{field: [secret]}))
        assert secret not in repr(rejection)
    assert msgspec.structs.fields(events.Rejection)[0].name == "reason"
    assert [field.name for field in msgspec.structs.fields(events.Rejection)] == ["reason", "field"]


def test_one_bad_message_among_many_rejects_only_itself() -> None:
    many = [raw(ORDER), b"{", None, raw(PAYMENT), b"\xff"]
    assert events.decode_many(many) == [events.decode(each) for each in many]
    assert [isinstance(each, events.Event) for each in events.decode_many(many)] == [True, False, False, True, False]


@pytest.mark.parametrize("kind", sorted(oracle.TYPES))
def test_each_type_keeps_its_own_fields_and_drops_the_others(kind: str) -> None:
    message = raw(EVERY_FIELD, type=kind)
    expected = {
        "order_placed": {"amount_minor", "currency", "customer_id"},
        "order_cancelled": set(),
        "payment_captured": {"amount_minor", "currency", "payment_id"},
        "payment_failed": {"payment_id"},
        "refund_issued": {"amount_minor", "currency", "payment_id", "refund_id"},
        "chargeback_opened": {"amount_minor", "currency", "payment_id", "chargeback_id"},
        "chargeback_reversed": {"payment_id", "chargeback_id"},
    }[kind] | {"event_id", "type", "order_id", "occurred_at", "method", "reason"}
    assert set(content_of(accepted(message))) == expected
    assert oracle.decode(message) == content_of(accepted(message))


@pytest.mark.parametrize("kind", sorted(oracle.TYPES))
@pytest.mark.parametrize("field", sorted(EVERY_FIELD))
@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        1,
        10**15,
        10**15 + 1,
        2**63,
        2**64,
        0.5,
        10.0,
        "",
        "A",
        "EUR",
        "x" * 64,
        "x" * 65,
        "ä",
        [],
        {},
    ],
    ids=repr,
)
def test_every_field_of_every_type_with_every_kind_of_value(kind: str, field: str, value: object) -> None:
    message = raw(EVERY_FIELD | {"type": kind}, **{field: value})
    assert outcome(events.decode(message)) == oracle.decode(message)


@pytest.mark.parametrize(("base", "least"), [(ORDER, 0), (PAYMENT, 1)], ids=["order", "payment"])
def test_amounts_at_their_bounds(base: Content, least: int) -> None:
    assert accepted(raw(base, amount_minor=least)).amount_minor == least
    assert accepted(raw(base, amount_minor=10**15)).amount_minor == 10**15
    for amount in (least - 1, 10**15 + 1):
        assert outcome(events.decode(raw(base, amount_minor=amount))) == Refused("bad_amount", "amount_minor")


@pytest.mark.parametrize(("field", "most"), [("event_id", 128), ("order_id", 64), ("payment_id", 128)])
def test_ids_at_their_bounds(field: str, most: int) -> None:
    longest = ("AZaz09_.:-" * 13)[:most]
    assert content_of(accepted(raw(PAYMENT, **{field: longest})))[field] == longest
    assert outcome(events.decode(raw(PAYMENT, **{field: longest + "x"}))) == Refused("bad_id", field)
    assert content_of(accepted(raw(PAYMENT, **{field: "-"})))[field] == "-"


@pytest.mark.parametrize("character", ["x", "é", "€", "😀"])
@pytest.mark.parametrize("field", ["customer_id", "method", "reason"])
def test_texts_are_measured_in_characters(field: str, character: str) -> None:
    for message in (raw(ORDER, **{field: character * 64}), json.dumps({**ORDER, field: character * 64}).encode()):
        assert content_of(accepted(message))[field] == character * 64
    for message in (raw(ORDER, **{field: character * 65}), json.dumps({**ORDER, field: character * 65}).encode()):
        assert outcome(events.decode(message)) == Refused("bad_text", field)


@pytest.mark.parametrize("padding", [b" ", b"x", "é".encode(), b"[{"], ids=["spaces", "text", "wide", "brackets"])
def test_64_kib_is_accepted_and_a_byte_more_is_not(padding: bytes) -> None:
    if padding == b" ":
        largest = raw(ORDER).ljust(65_536)
    else:
        head, tail = raw(ORDER)[:-1] + b',"unlisted":"', b'"}'
        room = 65_536 - len(head) - len(tail)
        largest = head + padding * (room // len(padding)) + b"x" * (room % len(padding)) + tail
    assert len(largest) == 65_536
    assert content_of(accepted(largest)) == ORDER
    assert outcome(events.decode(largest + b" ")) == Refused("too_large", None)
    assert outcome(events.decode(b" " + largest)) == Refused("too_large", None)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["arrays", "objects"])
def test_nesting_at_its_bound(opening: str, closing: str) -> None:
    for depth, is_accepted in ((511, True), (512, False)):  # the message itself is one level more
        value = opening * depth + "1" + closing * depth
        message = raw(ORDER)[:-1] + f',"unlisted":{value}}}'.encode()
        assert outcome(events.decode(message)) == (ORDER if is_accepted else Refused("not_json", None))
    wide = raw(ORDER)[:-1] + b',"unlisted":[' + b"[],{}," * 5_000 + b'"[[["]}'
    assert outcome(events.decode(wide)) == ORDER


@pytest.mark.parametrize(
    ("literal", "milliseconds"),
    [
        ('"2026-01-05T10:00:00Z"', 1_767_607_200_000),
        ('"2026-01-05t10:00:00z"', 1_767_607_200_000),
        ('"2026-01-05T10:00:00.1Z"', 1_767_607_200_100),
        ('"2026-01-05T10:00:00.1239999Z"', 1_767_607_200_123),
        ('"2026-01-05T11:30:00+01:30"', 1_767_607_200_000),
        ('"2026-01-05T10:00:00-00:00"', 1_767_607_200_000),
        ('"2026-01-04T10:01:00.007-23:59"', 1_767_607_200_007),
        ('"1970-01-01T00:00:00Z"', 0),
        ('"1969-12-31T23:59:00-00:01"', 0),
        ('"1970-01-01T00:59:59.999+01:00"', None),
        ('"9999-12-31T23:59:59.9999Z"', 253_402_300_799_999),
        ('"9999-12-31T23:59:59.999+23:59"', 253_402_214_459_999),
        ('"9999-12-31T23:59:59.999-00:01"', None),
        ('"2024-02-29T00:00:00Z"', 1_709_164_800_000),
        ("0", 0),
        ("-0", 0),
        ("253402300799999", 253_402_300_799_999),
        ("253402300800000", None),
        ("-1", None),
    ],
)
def test_times(literal: str, milliseconds: int | None) -> None:
    message = raw(ORDER, occurred_at="@").replace(b'"@"', literal.encode())
    expected = Refused("bad_time", "occurred_at") if milliseconds is None else {**ORDER, "occurred_at": milliseconds}
    assert oracle.decode(message) == expected
    for _ in range(2):  # the second time from memory
        assert outcome(events.decode(message)) == expected


def test_more_distinct_times_than_are_remembered() -> None:
    starts = [index * 61_001 for index in range(120_000)]
    written = [oracle.time_text(start) for start in starts]
    messages = [raw(ORDER, occurred_at=time) for time in written]
    decoded = events.decode_many(messages)
    assert [event.occurred_at_ms for event in decoded if isinstance(event, events.Event)] == starts


@pytest.mark.parametrize(
    ("changes", "canonical"),
    [
        ({}, b'{"amount_minor":100,"currency":"EUR","event_id":"e1","occurred_at":1767607200000,"order_id":"o1"'),
        ({"reason": 'a"b\\c/d'}, b'"order_id":"o1","reason":"a\\"b\\\\c/d","type"'),
        ({"reason": "\b\f\n\r\t"}, b'"reason":"\\b\\f\\n\\r\\t"'),
        ({"reason": "\x00\x1f\x7f"}, b'"reason":"\\u0000\\u001f\x7f"'),
        ({"reason": "é\u2028😀"}, '"reason":"é\u2028😀"'.encode()),
        ({"reason": None, "method": ""}, b'"event_id":"e1","method":"","occurred_at"'),
    ],
    ids=["plain", "quotes", "short-escapes", "control", "unicode", "null-and-empty"],
)  # fmt: skip
def test_canonical_json(changes: dict[str, object], canonical: bytes) -> None:
    event = accepted(raw(ORDER, **changes))
    assert canonical in events.canonical(event)
    assert events.canonical(event) == oracle.canonical(content_of(event))


@pytest.mark.parametrize(
    ("literal", "is_accepted"),
    [
        (r'"\ud7ff"', True),
        (r'"\ud800"', False),
        (r'"\uDBFF"', False),
        (r'"\udc00"', False),
        (r'"\uDfFf"', False),
        (r'"\ue000"', True),
        (r'"\uffff"', True),
        (r'"\ud800\udc00"', True),
        (r'"\uDBFF\uDFFF"', True),
        (r'"\ud83d\ude00\ude00"', False),
        (r'"\ud83d\ud83d\ude00"', False),
        (r'"\ud83d \ude00"', False),
        (r'"\ud83d\n\ude00"', False),
        (r'"\ud83d\ue000"', False),
        (r'"\ud83d\\ude00"', False),
        (r'"\\ud83d"', True),
        (r'"\\\ud83d"', False),
        (r'"\\\\ud83d"', True),
        (r'"\\ud83d\ude00"', False),
        (r'["\ud83d","\ude00"]', False),
        (r'{"\ud83d":"\ude00"}', False),
        (r'{"a":{"\ud83d\ude00":["\uD83D\uDE00"]}}', True),
    ],
)
def test_surrogate_escapes_stand_in_pairs(literal: str, is_accepted: bool) -> None:
    dropped = raw(ORDER)[:-1] + f',"unlisted":{literal}}}'.encode()
    overwritten = b'{"method":' + literal.encode() + b"," + raw(ORDER, method="card")[1:]
    for message in (dropped, overwritten):
        assert isinstance(events.decode(message), events.Event) == is_accepted
        assert outcome(events.decode(message)) == oracle.decode(message)
    kept = raw(ORDER)[:-1] + f',"method":{literal}}}'.encode()
    assert outcome(events.decode(kept)) == oracle.decode(kept)


def test_last_of_equal_keys_wins() -> None:
    assert accepted(b'{"amount_minor":-1,"currency":7,' + raw(ORDER)[1:]) == accepted(raw(ORDER))
    assert accepted(b'{"type":"payment_captured",' + raw(ORDER)[1:]) == accepted(raw(ORDER))
    assert accepted(b'{"\\u0074ype":"nonsense",' + raw(ORDER)[1:]) == accepted(raw(ORDER))


@settings(strategies.patient, max_examples=400)
@given(strategies.messages())
def test_decoding_equals_the_oracle(message: bytes) -> None:
    expected = oracle.decode(message)
    decoded = events.decode(message)
    assert outcome(decoded) == expected
    if isinstance(decoded, events.Event) and not isinstance(expected, Refused):
        assert events.canonical(decoded) == oracle.canonical(expected)


@settings(strategies.patient, max_examples=200)
@given(strategies.written_contents())
def test_a_content_is_the_same_however_it_is_written(written: tuple[Content, bytes]) -> None:
    content, message = written
    event = accepted(message)
    assert content_of(event) == content
    assert events.canonical(event) == oracle.canonical(content)
    again = accepted(events.canonical(event))
    assert again == event
    assert hash(again) == hash(event)
    assert accepted(events.to_json(event)) == event


@settings(strategies.patient, max_examples=200)
@given(st.sampled_from(sorted(oracle.TYPES)), st.sampled_from(sorted(EVERY_FIELD)), strategies.json_values)
@example("order_placed", "amount_minor", 1e15)
@example("refund_issued", "payment_id", "\ud800")
def test_any_json_value_anywhere_equals_the_oracle(kind: str, field: str, value: object) -> None:
    for ascii_only in (False, True):
        text = json.dumps({**EVERY_FIELD, "type": kind, field: value}, ensure_ascii=ascii_only)
        message = text.encode("utf-8", "surrogatepass")
        assert outcome(events.decode(message)) == oracle.decode(message)


@settings(strategies.patient, max_examples=300)
@given(st.binary(max_size=80) | st.text(max_size=60).map(str.encode))
@example(b"")
@example(b"\xef\xbb\xbf{}")
def test_any_bytes_equal_the_oracle(message: bytes) -> None:
    assert outcome(events.decode(message)) == oracle.decode(message)
