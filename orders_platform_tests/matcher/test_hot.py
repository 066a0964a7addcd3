"""The hot cache keeps what it is given, within its bounds, and never claims to read a format that it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders_platform.errors import CheckpointError
from orders_platform.events import Event
from orders_platform.matcher.hot import Bounds, HotOrders
from orders_platform.matching import View
from orders_platform.matching.breaks import Counted
from orders_platform.store.merge import Known

WIDE = Bounds(orders_max=1000, bytes_max=1 << 20)


def known(order_id: str, *, waiting: bool = True, events: int = 1) -> Known:
    contents = {
        Event(f"e{n}", "order_placed", order_id, 1_000 + n, 5, "EUR", customer_id="é$.\0"): None for n in range(events)
    }
    counted = Counted("overpaid", "break", ("overflow", "payment_late"), None, None, 10**15, 7, 0, -(10**15))
    return Known(3, View(contents, 9_000, overflow=events > 2), waiting, b"\0figures\xff", counted)


def repacked(hot: HotOrders, bounds: Bounds = WIDE) -> HotOrders:
    return HotOrders(hot.pack(), bounds)


def test_what_was_put_comes_back_whole() -> None:
    hot = HotOrders(None, WIDE)
    hot.put("a", known("a", events=3))
    again = repacked(hot)
    assert again.get("a") == known("a", events=3)
    assert again.get("b") is None


def test_settled_orders_leave_before_waiting_ones_and_the_longest_untouched_first() -> None:
    hot = HotOrders(None, WIDE)
    for order_id, waiting in (("w1", True), ("s1", False), ("w2", True), ("s2", False)):
        hot.put(order_id, known(order_id, waiting=waiting))
    hot.put("w1", known("w1"))  # touched again
    left = [
        [order_id for order_id in ("w1", "w2", "s1", "s2") if repacked(hot, Bounds(n, 1 << 20)).get(order_id)]
        for n in (4, 3, 2, 1, 0)
    ]
    # Bounds apply when packing, so pack once more under each bound.
    kept = []
    for bound in (4, 3, 2, 1, 0):
        narrow = HotOrders(hot.pack(), Bounds(bound, 1 << 20))
        kept.append([order_id for order_id in ("w1", "w2", "s1", "s2") if HotOrders(narrow.pack(), WIDE).get(order_id)])
    assert left == [["w1", "w2", "s1", "s2"]] * 5
    assert kept == [["w1", "w2", "s1", "s2"], ["w1", "w2", "s2"], ["w1", "w2"], ["w1"], []]


def test_an_order_that_settles_moves_to_the_settled() -> None:
    hot = HotOrders(None, Bounds(1, 1 << 20))
    hot.put("a", known("a"))
    hot.put("b", known("b"))
    hot.put("a", known("a", waiting=False))
    assert len(hot) == 2
    assert [order_id for order_id in "ab" if HotOrders(hot.pack(), WIDE).get(order_id)] == ["b"]


@given(st.integers(0, 3_000))
def test_the_packed_cache_stays_within_its_bytes(bytes_max: int) -> None:
    hot = HotOrders(None, Bounds(1000, bytes_max))
    for n in range(40):
        hot.put(f"order-{n}", known(f"order-{n}", waiting=n % 2 == 0, events=1 + n % 3))
    names_and_frame = 40 * 12 + 16
    assert len(hot.pack()) <= bytes_max + names_and_frame


@pytest.mark.parametrize("blob", [b"\x03\x92\x80\x80", b"\0", b""])
def test_another_format_is_refused_with_a_way_out(blob: bytes) -> None:
    with pytest.raises(CheckpointError, match="orders matcher repair"):
        HotOrders(blob, WIDE)


def test_what_an_earlier_version_kept_is_a_miss() -> None:
    hot = HotOrders(b"\x01\x92\x81\xa1a\xc0\x80", WIDE)
    assert len(hot) == 0
    hot.put("a", known("a"))
    assert repacked(hot).get("a") == known("a")
