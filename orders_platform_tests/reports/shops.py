"""Shops for the tests of statements: orders of some days, by the adversary and by the generator."""

from random import Random

from orders_platform.events import Event, decode
from orders_platform.generator.options import GeneratorOptions
from orders_platform.generator.stream import Stream
from orders_platform.reports.standing import Told
from orders_platform_tests import adversary, oracle

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
Shop = dict[str, list[oracle.Content]]


def event_of(content: oracle.Content) -> Event:
    event = decode(oracle.canonical(content))
    assert isinstance(event, Event)
    return event


def told(shop: Shop) -> list[Told]:
    """Return a shop's orders as a statement takes them: distinct contents."""
    return [Told(order_id, list(dict.fromkeys(map(event_of, its)))) for order_id, its in shop.items()]


def adverse(random: Random, orders: int, days: int, most: int = 8) -> Shop:
    """Return orders with conflicts, foreign money and events in any order, over some days from 4 January 2026 on."""
    shop: Shop = {}
    for number in range(orders):
        order_id = f"o-{number}"
        its: list[oracle.Content] = []
        one_currency = random.randrange(3) > 0
        for _ in range(random.randint(1, most)):
            if its and random.randrange(6) == 0:
                made = adversary.changed(random, random.choice(its))
            else:
                made = adversary.content(random, order_id, event_ids=30)
            near = made["occurred_at"] if abs(made["occurred_at"] - adversary.OPENING_MS) < DAY_MS else 0
            made["occurred_at"] = (near or adversary.OPENING_MS) + random.randrange(-10, days * 24) * HOUR_MS
            if one_currency and "currency" in made:
                made["currency"] = "EUR"
            its.append(made)
        shop[order_id] = its
    return shop


def generated(orders: int, days: int, seed: int = 1) -> Shop:
    """Return what the generator publishes from 5 January 2026 on, poison left out, as the oracle reads it."""
    shop: Shop = {}
    start_ms = adversary.OPENING_MS - 10 * HOUR_MS
    for message in Stream(GeneratorOptions(start_ms=start_ms, orders=orders, days=days, seed=seed)):
        content = oracle.decode(message.value)
        if not isinstance(content, oracle.Refused):
            shop.setdefault(content["order_id"], []).append(content)
    return shop
