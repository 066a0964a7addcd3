"""What others read: exports in the shape of `orders fold`, one order, counts and breaks."""

import pytest

from orders_platform.matching import document_json, fold
from orders_platform.store import queries
from orders_platform.store.client import Store
from orders_platform.store.merge import Change, merge
from orders_platform_tests.adversary import DEADLINE_MS, OPENING_MS
from orders_platform_tests.store.deliveries import RULES, Adversity, arrived, change, exported, paid, placed, snapshot

pytestmark = pytest.mark.services


def test_the_export_has_the_shape_and_order_of_fold(store: Store) -> None:
    adversity = Adversity(7, orders=1200, most=3)  # more than one batch of the cursor
    for batch in adversity.batches(2000):
        merge(store, [Change(order_id, None, its) for order_id, its in batch], OPENING_MS, RULES)
    rows = exported(store)
    assert rows == adversity.expected(OPENING_MS)
    assert [*rows[0]] == [*document_json(fold("o", [placed("o")], 0, RULES))]
    assert [row["order_id"] for row in rows] == sorted(adversity.contents)


def test_since_leaves_out_what_was_not_written_since(store: Store) -> None:
    merge(store, [change(placed("a")), change(placed("b"))], OPENING_MS, RULES)
    last_ms = max(int(document["updated_at"]) for document in snapshot(store))
    while merge(store, [change(paid("b"))], OPENING_MS, RULES).updated:
        pass
    since_ms = int(snapshot(store)[1]["updated_at"])
    if since_ms > last_ms:
        assert [row["order_id"] for row in queries.export_orders(store, since_ms)] == ["b"]
    assert [row["order_id"] for row in queries.export_orders(store, since_ms + 1)] == []
    assert len(list(queries.export_orders(store, last_ms))) >= 1


def test_one_order_with_its_events_and_coordinates(store: Store) -> None:
    events = arrived(paid("o", 2), placed("o"), paid("o", 1), start=40)
    merge(store, [Change("o", None, events)], OPENING_MS, RULES)
    order = queries.order(store, "o")
    assert order is not None
    assert order.arrivals == events
    assert (order.version, order.clock_ms, order.overflow) == (1, OPENING_MS, False)
    assert document_json(order.document) == exported(store)[0]
    for stranger in ("p", "", "$o", "o.", "\0"):
        assert queries.order(store, stranger) is None


def test_breaks_come_newest_first_without_those_that_were_settled(store: Store) -> None:
    for number in range(5):
        merge(store, [change(placed(f"o-{number}"))], DEADLINE_MS + 1, RULES)
    merge(store, [change(placed("fine"), paid("fine"))], DEADLINE_MS + 1, RULES)
    merge(store, [change(paid("o-3"))], DEADLINE_MS + 1, RULES)
    newest = queries.newest_breaks(store)
    assert {document.order_id for document, _ in newest} == {"o-0", "o-1", "o-2", "o-4"}
    times = [time_ms for _, time_ms in newest]
    assert times == sorted(times, reverse=True)
    assert max(times) == max(int(each["updated_at"]) for each in snapshot(store) if each["outcome"] == "break")
    # What breaks again comes first again.
    merge(store, [change(paid("o-3", 2))], DEADLINE_MS + 1, RULES)
    assert queries.newest_breaks(store)[0][0].order_id == "o-3"


def test_due_orders_come_oldest_first_and_in_portions(store: Store) -> None:
    changes = [change(placed(f"o-{number}", occurred_at=OPENING_MS - number)) for number in range(10)]
    known = merge(store, changes, OPENING_MS, RULES).known
    due = queries.due(store, DEADLINE_MS, 4)
    assert due == [(f"o-{number}", known[f"o-{number}"]) for number in (9, 8, 7, 6)]
    assert len(queries.due(store, DEADLINE_MS, 100)) == 9  # the last one's deadline is this very millisecond
