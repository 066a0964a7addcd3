"""Deadlines pass without any event."""

import pytest

from orders_platform.events import Event
from orders_platform.matcher import sweep as sweeping
from orders_platform.matcher.sweep import sweep
from orders_platform.matching import Rules
from orders_platform.store import queries
from orders_platform.store.client import Store
from orders_platform.store.merge import Arrival, Change, merge

pytestmark = pytest.mark.services

PLACED_MS = 1_800_000_000_000
RULES = Rules(payment_window_ms=60_000)
DEADLINE_MS = PLACED_MS + 60_000


def place(store: Store, count: int) -> None:
    changes = [
        Change(f"o{n}", None, [Arrival(Event(f"e{n}", "order_placed", f"o{n}", PLACED_MS, 5, "EUR"), "orders", 0, n)])
        for n in range(count)
    ]
    merge(store, changes, PLACED_MS, RULES)


def statuses(store: Store) -> set[object]:
    return {document["status"] for document in queries.export_orders(store)}


def test_nothing_is_due_until_the_millisecond_after_the_deadline(store: Store) -> None:
    place(store, 3)
    assert sweep(store, DEADLINE_MS, RULES) == 0
    assert statuses(store) == {"awaiting_payment"}
    assert sweep(store, DEADLINE_MS + 1, RULES) == 3
    assert statuses(store) == {"unpaid"}
    assert sweep(store, DEADLINE_MS + 2, RULES) == 0


def test_many_are_swept_in_portions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "PORTION_ORDERS", 4)
    place(store, 10)
    assert [sweep(store, DEADLINE_MS + 1, RULES) for _ in range(4)] == [4, 4, 2, 0]
    assert statuses(store) == {"unpaid"}


def test_a_longer_window_than_the_stored_one_does_not_make_the_sweep_go_round_for_ever(store: Store) -> None:
    place(store, 3)
    longer = Rules(payment_window_ms=120_000)
    assert sweep(store, DEADLINE_MS + 1, longer) == 3
    assert sweep(store, DEADLINE_MS + 1, longer) == 0
    assert statuses(store) == {"awaiting_payment"}
