"""Exactly at the bounds: 500 events, merges of views that are full, the last times that there are."""

import json

import pytest

import orders_platform.matching as product
from orders_platform_tests import oracle
from orders_platform_tests.matching.engines import core, decoded, printed
from orders_platform_tests.oracle import Content

AT_MS = 1_767_607_200_000
WINDOW_MS = oracle.DEFAULT_WINDOW_MS


def payments(first: int, count: int) -> list[Content]:
    """Return payments of one cent each, with numbers from `first`."""
    return [
        {
            "event_id": f"e{number}",
            "type": "payment_captured",
            "order_id": "order",
            "occurred_at": AT_MS + number,
            "amount_minor": 1,
            "currency": "EUR",
            "payment_id": f"p{number}",
        }
        for number in range(first, first + count)
    ]


@pytest.mark.parametrize("count", [1, 499, 500, 501, 502, 1000])
def test_at_most_500_distinct_contents(count: int) -> None:
    arrivals = decoded(payments(0, count))
    view, added, refused = product.union(None, arrivals)
    assert added == arrivals[:500] == list(view.events)
    assert refused == arrivals[500:]
    assert view.overflow == (count > 500)
    document = core(payments(0, count), None, 0, WINDOW_MS)
    assert document["event_count"] == document["captured_minor"] == min(count, 500)
    assert document["reasons"] == (["overflow"] if count > 500 else [])
    assert document["outcome"] == ("break" if count > 500 else "pending")


def test_one_at_a_time_is_the_same_as_all_at_once() -> None:
    arrivals = decoded(payments(0, 503))
    view = None
    refused_one_by_one = []
    for event in arrivals:
        view, _, refused = product.union(view, [event])
        refused_one_by_one += refused
    whole, _, refused_at_once = product.union(None, arrivals)
    assert view == whole
    assert refused_one_by_one == refused_at_once == arrivals[500:]


@pytest.mark.parametrize("clock_ms", [0, 1, AT_MS])
def test_the_first_clock_is_kept_as_it_is(clock_ms: int) -> None:
    view, _, _ = product.union(None, decoded(payments(0, 1)), clock_ms)
    assert view.clock_ms == clock_ms


def test_a_full_view_takes_redeliveries_and_refuses_the_rest() -> None:
    full, _, _ = product.union(None, decoded(payments(0, 500)))
    same, added, refused = product.union(full, decoded(payments(499, 1)))
    assert (same, added, refused) == (full, [], [])
    over, added, refused = product.union(full, decoded(payments(499, 2)))
    assert added == []
    assert refused == decoded(payments(500, 1))
    assert list(over.events) == list(full.events)
    assert over.overflow
    assert not full.overflow


def test_overflow_is_never_forgotten() -> None:
    over, _, _ = product.union(None, decoded(payments(0, 501)))
    later, _, refused = product.union(over, [], AT_MS)
    assert refused == []
    assert later.overflow
    assert printed(later, AT_MS, 0, WINDOW_MS)["reasons"] == ["overflow"]


@pytest.mark.parametrize(("other_first", "other_count", "kept"), [(300, 200, 500), (300, 201, 500), (200, 300, 500)])
def test_two_partial_views_that_are_full_only_together(other_first: int, other_count: int, kept: int) -> None:
    one, _, _ = product.union(None, decoded(payments(0, 300)))
    other, _, _ = product.union(None, decoded(payments(other_first, other_count)))
    together = {content["event_id"] for content in payments(0, 300) + payments(other_first, other_count)}
    both, _, refused = product.union(one, other.events)
    assert len(both.events) == kept
    assert len(refused) == len(together) - kept
    assert both.overflow == (len(together) > 500)


def test_500_contents_of_one_event_id_are_one_event() -> None:
    contents = [{**content, "event_id": "same"} for content in payments(0, 500)]
    document = core(contents, None, 0, WINDOW_MS)
    smallest = min(contents, key=oracle.canonical)
    assert document["event_count"] == 500
    assert document["captured_minor"] == 1
    assert document["deadline_at"] == oracle.time_text(smallest["occurred_at"] + WINDOW_MS)
    assert document["reasons"] == ["conflicting_event"]


def test_500_deliveries_of_one_payment_under_new_event_ids() -> None:
    contents = [{**content, "payment_id": "same"} for content in payments(0, 500)]
    document = core(contents[::-1], None, 0, WINDOW_MS)
    assert (document["captured_minor"], document["reasons"]) == (1, [])
    assert document["deadline_at"] == oracle.time_text(AT_MS + WINDOW_MS)


@pytest.mark.parametrize("kind", ["refund_issued", "chargeback_opened"])
def test_sums_of_the_largest_amounts_are_exact(kind: str) -> None:
    large = [{**content, "amount_minor": 10**15} for content in payments(0, 500)]
    assert core(large, None, 0, WINDOW_MS)["captured_minor"] == 500 * 10**15
    own_id = "refund_id" if kind == "refund_issued" else "chargeback_id"
    back = [{**content, "type": kind, own_id: content["payment_id"]} for content in large]
    assert core(back, None, 0, WINDOW_MS)["net_minor"] == -500 * 10**15


@pytest.mark.parametrize("window_ms", [0, 1, WINDOW_MS, 86_400_000, 366 * 86_400_000])
@pytest.mark.parametrize("at_ms", [0, AT_MS, oracle.LAST_MS])
def test_the_deadline_passes_a_millisecond_after_it(at_ms: int, window_ms: int) -> None:
    order: Content = {
        "event_id": "e",
        "type": "order_placed",
        "order_id": "order",
        "occurred_at": at_ms,
        "amount_minor": 1,
        "currency": "EUR",
    }
    statuses = [core([order], at_ms + window_ms + step, 0, window_ms)["status"] for step in (-1, 0, 1)]
    assert statuses == ["awaiting_payment", "awaiting_payment", "unpaid"]
    assert core([order], None, 0, window_ms)["deadline_at"] == oracle.time_text(at_ms + window_ms)


def test_documents_are_plain_json() -> None:
    document = core(payments(0, 2), AT_MS, 0, WINDOW_MS)
    assert json.loads(json.dumps(document)) == document
