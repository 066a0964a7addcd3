"""Months of a shop as messages in the order of their arrival, some of them weeks late.

Most orders are the generator's. Beside them stand adverse ones (conflicts, foreign money, events of any type in any
order, spread over days), and orders whose times lie on a day's edge, or a millisecond beside it.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import Any, NamedTuple

from orders_platform.generator.options import GeneratorOptions
from orders_platform.generator.stream import Stream
from orders_platform.matching import Rules
from orders_platform.streams.roles import role_of
from orders_platform_tests import adversary, oracle
from orders_platform_tests.statement_oracle import midnight

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ADVERSE_SHARE = 0.04
WEEKS_LATE_SHARE = 0.003
FROM_THE_FUTURE_SHARE = 0.002


class Delivery(NamedTuple):
    """One message: when the broker gets it (UTC ms), the topic's role, key and value."""

    at_ms: int
    role: str
    key: bytes
    value: bytes | None


class Shop(NamedTuple):
    """Which months: `orders` are the generator's each day."""

    first: date
    days: int
    zone: str
    orders: int
    seed: int
    rules: Rules


def deliveries(shop: Shop) -> list[Delivery]:
    """Return every message of the months in the order of arrival; what happens after them is cut off by the caller."""
    chance = Random(f"{shop.seed}:{shop.zone}")
    start_ms, end_ms = midnight(shop.first, shop.zone), midnight(shop.first + timedelta(days=shop.days), shop.zone)
    span_days = -(-(end_ms - start_ms) // DAY_MS)
    options = GeneratorOptions(
        start_ms=start_ms, orders=shop.orders * shop.days, days=span_days, seed=shop.seed, rules=shop.rules
    )
    told = [Delivery(each.at_ms, each.role, each.key, each.value) for each in Stream(options)]
    for number in range(int(shop.orders * shop.days * ADVERSE_SHARE)):
        told += _delivered(chance, _adverse(chance, f"adverse-{number}", shop))
    for days in range(shop.days):
        told += _delivered(chance, _on_the_edges(shop.first + timedelta(days=days), shop))
    arrivals = [(_arrival(chance, each), number, each) for number, each in enumerate(told)]
    return [each._replace(at_ms=at_ms) for at_ms, _, each in sorted(arrivals)]


def _arrival(chance: Random, each: Delivery) -> int:
    luck = chance.random()
    if luck < WEEKS_LATE_SHARE:
        return each.at_ms + int(chance.uniform(2, 30) * DAY_MS)
    if luck < WEEKS_LATE_SHARE + FROM_THE_FUTURE_SHARE:  # the clock of whoever sent it is ahead
        return each.at_ms - int(chance.uniform(0, 6) * HOUR_MS)
    return each.at_ms


def _delivered(chance: Random, told: Iterator[tuple[int, oracle.Content]]) -> Iterator[Delivery]:
    for sent_ms, content in told:
        value = adversary.message(chance, content, nastiness=0)
        role = role_of(content["type"])
        at_ms = sent_ms + int(chance.uniform(0.04, 2) * 1000)
        for again in range(2 if chance.random() < 0.1 else 1):
            yield Delivery(at_ms + again * int(chance.random() * DAY_MS), role, content["order_id"].encode(), value)


def _adverse(chance: Random, order_id: str, shop: Shop) -> Iterator[tuple[int, oracle.Content]]:
    """An order with events of any type over some days, near midnight more often than not; a few are dated 1970 or 9999
    by whoever sent them."""
    told: list[oracle.Content] = []
    first, lasts = chance.randrange(shop.days), chance.choice([1, 2, 3, 10, 25])
    one_currency = chance.random() < 0.7
    for _ in range(chance.randint(1, 9)):
        content = adversary.content(chance, order_id, event_ids=30)
        if told and chance.randrange(6) == 0:
            content = adversary.changed(chance, chance.choice(told))
        day = shop.first + timedelta(days=first + chance.randrange(lasts))
        edge_ms = midnight(day, shop.zone)
        sent_ms = edge_ms + chance.choice(
            [-1, 0, 1, -shop.rules.payment_window_ms, -shop.rules.payment_window_ms - 1, chance.randrange(DAY_MS)]
        )
        if abs(content["occurred_at"] - adversary.OPENING_MS) < DAY_MS:
            content["occurred_at"] = sent_ms
        if one_currency and "currency" in content:
            content["currency"] = "EUR"
        told.append(content)
        yield sent_ms, content


def _on_the_edges(day: date, shop: Shop) -> Iterator[tuple[int, oracle.Content]]:
    """Orders that a day's edge decides: its first and last millisecond, and deadlines on both sides of its end."""
    start_ms, end_ms = midnight(day, shop.zone), midnight(day + timedelta(days=1), shop.zone)
    window_ms = shop.rules.payment_window_ms
    for name, at_ms in (
        ("first", start_ms),
        ("last", end_ms - 1),
        ("deadline-on", end_ms - window_ms),
        ("deadline-before", end_ms - window_ms - 1),
    ):
        order_id = f"edge-{day}-{name}"
        yield _event(order_id, "order_placed", at_ms, 1_000)
        if day.day % 3:  # paid by the day after; the others stay open
            yield _event(order_id, "payment_captured", at_ms + DAY_MS - day.day % 2, 1_000, payment_id="p")
    yield from _comes_and_goes(day, start_ms, end_ms)
    # The second telling wins, as its text is the smaller one: what the first was worth is corrected the day after.
    yield _event(f"mended-{day}", "payment_captured", start_ms + HOUR_MS, 1_500, event_id="e", payment_id="p")
    yield _event(f"mended-{day}", "payment_captured", end_ms + HOUR_MS, 1_000, event_id="e", payment_id="p")


def _comes_and_goes(day: date, start_ms: int, end_ms: int) -> Iterator[tuple[int, oracle.Content]]:
    """A break that ends and begins again, and money that comes back after weeks, seen from one day's edges."""
    order_id = f"gap-{day}"
    yield _event(order_id, "order_placed", start_ms + HOUR_MS, 1_000)
    yield _event(order_id, "payment_captured", start_ms + HOUR_MS, 1_500, payment_id="p")  # overpaid
    if day.day % 2:
        yield _event(order_id, "refund_issued", end_ms + day.day * HOUR_MS, 500, refund_id="r")
        yield _event(order_id, "payment_captured", end_ms + day.day * 2 * HOUR_MS, 500, payment_id="q")
    else:
        yield _event(order_id, "chargeback_opened", end_ms + day.day * HOUR_MS, 1_500, chargeback_id="c")
        won_ms = end_ms + day.day % 4 * 6 * DAY_MS + 36 * HOUR_MS  # up to two weeks later
        yield _event(order_id, "chargeback_reversed", won_ms, chargeback_id="c")


def _event(
    order_id: str, kind: str, at_ms: int, amount_minor: int | None = None, **fields: Any
) -> tuple[int, oracle.Content]:
    money = {} if amount_minor is None else {"amount_minor": amount_minor, "currency": "EUR"}
    event = {"event_id": f"{order_id}-{kind}-{at_ms}", "type": kind, "order_id": order_id, "occurred_at": at_ms}
    return at_ms, event | money | fields
