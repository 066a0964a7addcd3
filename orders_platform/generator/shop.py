"""What a shop's days look like: when people order, what things cost, who buys, how they pay."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from orders_platform.times import format_ms

# Orders by hour of the day: asleep at four, a rise over lunch, most in the evening.
_HOURS = (16, 9, 5, 3, 2, 3, 7, 15, 27, 38, 46, 52, 58, 54, 48, 46, 47, 51, 58, 70, 84, 88, 66, 36)
_WEEKDAYS = (96, 94, 95, 98, 108, 118, 122)  # Monday to Sunday
_SLOT_MS = 900_000
_SLOTS_A_DAY = 96


class Currency(NamedTuple):
    """A currency with its share of orders, its minor units in a price of 1 (one euro or so), and its price points."""

    code: str
    share: float
    minor_per_unit: int
    step_minor: int  # prices are a multiple of this ...
    below_minor: int  # ... less this: 19.99, 4,980 yen, 6.250 dinars


CURRENCIES = (
    Currency("EUR", 0.58, 100, 100, 1),
    Currency("USD", 0.17, 110, 100, 1),
    Currency("GBP", 0.12, 86, 100, 1),
    Currency("PLN", 0.05, 430, 100, 1),
    Currency("JPY", 0.05, 160, 100, 20),
    Currency("KWD", 0.03, 330, 250, 0),
)
METHODS = ("card", "card", "card", "wallet", "wallet", "bank_transfer", "gift_card", "invoice")

_MEDIAN_PRICE = 38.0
_PRICE_SPREAD = 0.9  # of the price's logarithm: one order in a hundred costs eight times the median


def placements(orders: int, start_ms: int, days: int, draw: Callable[[], float]) -> Iterator[int]:
    """Yield the times of `orders` orders (UTC milliseconds), ascending, over `days` days from a `start_ms`."""
    weights = [
        _slot_weight(start_ms + slot * _SLOT_MS) for slot in range(days * _SLOTS_A_DAY)
    ]  # whole numbers: no order is lost to rounding
    total = sum(weights)
    below = placed = 0
    for slot, weight in enumerate(weights):
        below += weight
        until = orders * below // total
        begin_ms = start_ms + slot * _SLOT_MS
        yield from sorted(begin_ms + int(draw() * _SLOT_MS) for _ in range(until - placed))
        placed = until


def _slot_weight(time_ms: int) -> int:
    minutes = time_ms // 60_000
    hour, minute = minutes // 60 % 24, minutes % 60
    weekday = (minutes // 1440 + 3) % 7  # 1970 began on a Thursday
    now, then = _HOURS[hour], _HOURS[(hour + 1) % 24]
    return (now * (60 - minute) + then * minute) * _WEEKDAYS[weekday]


def price_minor(currency: Currency, draw: Callable[[], float]) -> int:
    """Return what an order costs, log-normally spread, at one of the currency's usual price points."""
    # Box and Muller's normal, so that equal seeds give equal prices on every version of Python.
    normal = math.sqrt(-2.0 * math.log(1.0 - draw())) * math.cos(math.tau * draw())
    exact = _MEDIAN_PRICE * math.exp(_PRICE_SPREAD * normal) * currency.minor_per_unit
    steps = max(4, round(exact / currency.step_minor))
    return steps * currency.step_minor - currency.below_minor


class Clock:
    """Formats times as RFC 3339, fast: a stream's times share their minutes."""

    def __init__(self) -> None:
        self._minutes: dict[int, str] = {}

    def text(self, time_ms: int) -> str:
        """Return UTC milliseconds as `2026-01-05T10:00:00.000Z`."""
        minute, rest_ms = divmod(time_ms, 60_000)
        head = self._minutes.get(minute)
        if head is None:
            if len(self._minutes) > 50_000:
                self._minutes.clear()
            head = self._minutes[minute] = format_ms(minute * 60_000)[:17]
        return f"{head}{rest_ms // 1000:02d}.{rest_ms % 1000:03d}Z"
