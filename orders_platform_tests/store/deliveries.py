"""Deliveries for the store's tests, and what must be stored of them by the oracle's reading of the rules."""

from collections.abc import Iterator
from random import Random
from typing import Any

from orders_platform.events import Event, decode
from orders_platform.matching import Rules
from orders_platform.store import queries
from orders_platform.store.client import Store
from orders_platform.store.merge import Arrival, Change, Known
from orders_platform_tests import adversary, oracle
from orders_platform_tests.adversary import OPENING_MS

RULES = Rules()


def event_of(content: oracle.Content) -> Event:
    event = decode(oracle.canonical(content))
    assert isinstance(event, Event)
    return event


def placed(order_id: str, **fields: Any) -> Event:
    given = {"event_id": f"{order_id}-placed", "amount_minor": 100, "currency": "EUR", "occurred_at": OPENING_MS}
    return event_of(given | {"type": "order_placed", "order_id": order_id} | fields)


def paid(order_id: str, number: int = 1, **fields: Any) -> Event:
    given = {"event_id": f"{order_id}-paid-{number}", "payment_id": f"{order_id}-p{number}", "amount_minor": 100}
    given |= {"currency": "EUR", "occurred_at": OPENING_MS + number}
    return event_of(given | {"type": "payment_captured", "order_id": order_id} | fields)


def arrived(*events: Event, topic: str = "payments", start: int = 0) -> list[Arrival]:
    return [Arrival(event, topic, 0, start + at) for at, event in enumerate(events)]


def change(*events: Event, known: Known | None = None, topic: str = "payments", start: int = 0) -> Change:
    return Change(events[0].order_id, known, arrived(*events, topic=topic, start=start))


class Adversity:
    """Contents of some orders by the adversary, delivered more than once, in portions and in any order."""

    def __init__(self, seed: int, orders: int, most: int = 8) -> None:
        self.random = Random(seed)
        self.contents: dict[str, list[oracle.Content]] = {}
        for number in range(orders):
            order_id = f"order-{number}"
            its = [adversary.content(self.random, order_id) for _ in range(self.random.randint(1, most))]
            self.contents[order_id] = its + [adversary.changed(self.random, its[0])] * (number % 9 == 0)

    def batches(self, orders_a_batch: int) -> Iterator[list[tuple[str, list[Arrival]]]]:
        """Yield everything once and a quarter of it twice, as batches of (order id, arrivals)."""
        everything = [event_of(content) for its in self.contents.values() for content in its]
        everything += self.random.sample(everything, len(everything) // 4)
        self.random.shuffle(everything)
        batch: dict[str, list[Arrival]] = {}
        for offset, event in enumerate(everything):
            batch.setdefault(event.order_id, []).append(Arrival(event, "payments", 0, offset))
            if len(batch) == orders_a_batch:
                yield list(batch.items())
                batch = {}
        if batch:
            yield list(batch.items())

    def expected(self, clock_ms: int) -> list[dict[str, Any]]:
        return [oracle.document(self.contents[order_id], clock_ms) for order_id in sorted(self.contents)]


def exported(store: Store) -> list[dict[str, Any]]:
    return list(queries.export_orders(store))


def snapshot(store: Store) -> list[dict[str, Any]]:
    return list(store.orders.find(sort=[("_id", 1)]))
