"""Hand-made BSON is, to the byte, what the driver's own encoder makes of the same document; reading gives it back."""

from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from hypothesis import given
from hypothesis import strategies as st

from orders_platform.events import Event
from orders_platform.matching import Document, Rules, View, fold, union
from orders_platform.store import documents
from orders_platform.store.documents import Arrival
from orders_platform_tests import strategies
from orders_platform_tests.oracle import Content
from orders_platform_tests.store.deliveries import event_of

_OFFSETS = st.sampled_from([0, 1, 2**31, 2**62])
_PRECISE = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
_FAST = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


def _date(time_ms: int | None) -> DatetimeMS | None:
    return None if time_ms is None else DatetimeMS(time_ms)


def _event(arrival: Arrival, merged_ms: int) -> dict[str, Any]:
    event = arrival.event
    fields: dict[str, Any] = {
        "event_id": event.event_id,
        "type": event.type,
        "occurred_at": DatetimeMS(event.occurred_at_ms),
        "amount_minor": None if event.amount_minor is None else Int64(event.amount_minor),
        "currency": event.currency,
        "payment_id": event.payment_id,
        "refund_id": event.refund_id,
        "chargeback_id": event.chargeback_id,
        "customer_id": event.customer_id,
        "method": event.method,
        "reason": event.reason,
        "topic": arrival.topic,
        "partition": Int64(arrival.partition),
        "offset": Int64(arrival.offset),
        "merged_at": DatetimeMS(merged_ms),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _figures(d: Document) -> dict[str, Any]:
    return {
        "status": d.status,
        "outcome": d.outcome,
        "reasons": list(d.reasons),
        "currency": d.currency,
        "due_minor": None if d.due_minor is None else Int64(d.due_minor),
        "captured_minor": Int64(d.captured_minor),
        "refunded_minor": Int64(d.refunded_minor),
        "charged_back_minor": Int64(d.charged_back_minor),
        "net_minor": Int64(d.net_minor),
        "event_count": Int64(d.event_count),
        "deadline_at": _date(d.deadline_at_ms),
        "cancelled_at": _date(d.cancelled_at_ms),
        "settled_at": _date(d.settled_at_ms),
        "customer_id": d.customer_id,
    }


def _folded(contents: list[Content], clock_ms: int, overflow: bool) -> tuple[Document, View, list[Arrival]]:
    view, added, _ = union(None, [event_of(content) for content in contents], clock_ms)
    view.overflow = overflow
    arrivals = [Arrival(event, "shop.orders", at, at << 40) for at, event in enumerate(added)]
    return fold("order", view.events, clock_ms, Rules(), overflow), view, arrivals


@given(strategies.event_sets(), strategies.live_clocks_ms, st.booleans())
def test_a_new_document_is_encoded_as_the_driver_would(contents: list[Content], clock_ms: int, overflow: bool) -> None:
    document, view, arrivals = _folded(contents, clock_ms, overflow)
    figures = documents.figures(document)
    encoded = [documents.event_bytes(*arrival, merged_ms=at + 5) for at, arrival in enumerate(arrivals)]
    late_ms = 23 if overflow else None
    made = documents.new_document("order", figures, encoded, clock_ms=clock_ms, now_ms=17, late_ms=late_ms).raw
    assert made == bson.encode(
        {"_id": "order", "order_id": "order"}
        | _figures(document)
        | {"version": Int64(1), "clock": DatetimeMS(clock_ms), "first_seen_at": DatetimeMS(17)}
        | {"updated_at": DatetimeMS(17)}
        | ({"late_at": DatetimeMS(23)} if overflow else {})
        | {"events": [_event(arrival, at + 5) for at, arrival in enumerate(arrivals)]}
    )
    whole = bson.decode(made, _PRECISE)
    for read in (whole, bson.decode(made, _FAST)):
        stored = documents.stored(read)
        assert (stored.version, stored.view) == (1, view)
        assert list(stored.view.events) == list(view.events)
        assert stored.judgement == documents.judgement(document)
    document.rule = 0  # the only thing that is not stored
    assert documents.folded(whole) == document
    assert documents.arrivals(whole) == arrivals
    assert documents.merged_ms(whole) == [at + 5 for at, _ in enumerate(arrivals)]
    assert documents.merged_ms({"events": [{"event_id": "kept before"}]}) == [None]


@given(strategies.event_sets(), strategies.live_clocks_ms, st.integers(0, 12), st.integers(2, 2**40))
def test_an_update_is_encoded_as_the_driver_would(
    contents: list[Content], clock_ms: int, added: int, version: int
) -> None:
    document, _, arrivals = _folded(contents, clock_ms, overflow=False)
    encoded = [documents.event_bytes(*arrival, merged_ms=5) for arrival in arrivals[:added]]
    late_ms = 23 if version % 2 else None
    made = documents.update_statement(
        "order", documents.figures(document), encoded, version, clock_ms=clock_ms, now_ms=17, late_ms=late_ms
    )
    changed = (
        _figures(document)
        | {
            "version": Int64(version),
            "clock": DatetimeMS(clock_ms),
            "updated_at": DatetimeMS(17),
        }
        | ({} if late_ms is None else {"late_at": DatetimeMS(late_ms)})
    )
    update: dict[str, Any] = {"$set": changed}
    if encoded:
        update["$push"] = {"events": {"$each": [_event(arrival, 5) for arrival in arrivals[:added]]}}
    assert made.raw == bson.encode({"q": {"_id": "order"}, "u": update})


@given(strategies.event_sets(), strategies.live_clocks_ms, strategies.live_clocks_ms)
def test_a_fingerprint_tells_figures_apart_and_is_the_same_everywhere(
    contents: list[Content], one_ms: int, other_ms: int
) -> None:
    one, other = (_folded(contents, clock_ms, overflow=False)[0] for clock_ms in (one_ms, other_ms))
    fingerprints = [documents.fingerprint(documents.figures(document)) for document in (one, other)]
    assert (fingerprints[0] == fingerprints[1]) == (_figures(one) == _figures(other))
    assert documents.fingerprint(b"figures").hex() == "de8a3201a7c2c65c"


def test_an_event_without_coordinates_leaves_them_out() -> None:
    event = Event("e", "order_cancelled", "o", 5)
    assert documents.event_bytes(event, merged_ms=7) == bson.encode(
        {"event_id": "e", "type": "order_cancelled", "occurred_at": DatetimeMS(5), "merged_at": DatetimeMS(7)}
    )
