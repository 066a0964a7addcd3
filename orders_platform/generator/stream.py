"""The stream: stories in the order of their time, their messages in the order of their arrival."""

import random
from bisect import bisect
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import accumulate
from typing import NamedTuple

import msgspec

from orders_platform.generator.archetypes import ARCHETYPES
from orders_platform.generator.case import Case, Expected
from orders_platform.generator.options import LEAD_MS, GeneratorOptions
from orders_platform.generator.poison import POISON
from orders_platform.generator.shop import CURRENCIES, Clock, placements, price_minor

_OUT_OF_ORDER_MS = 2 * 3_600_000
_LATE_MS = 48 * 3_600_000
_AGAIN = b',"delivery":2}'


class Message(NamedTuple):
    """One message: which of the topics `orders`, `payments` and `adjustments` it belongs to, what it holds, and when
    it arrives (UTC milliseconds of the told time). `poison` names the damage of one that must be rejected."""

    role: str
    key: bytes
    value: bytes | None
    at_ms: int
    poison: str | None


class Counts(msgspec.Struct):
    """What a stream has told so far. `duplicates` and `poison` are part of `messages`."""

    orders: int = 0
    messages: int = 0
    duplicates: int = 0
    poison: int = 0
    by_archetype: dict[str, int] = {}
    dead_letters: dict[str, int] = {}  # rejections by reason
    decided_from_ms: int = 0  # from then on the expected documents hold


class Stream:
    """A seeded stream of messages; `on_expected` is told the document of every order, sorted by order id.

    Memory holds what is under way: stories are told in the order of their time, and a message leaves when nothing
    that arrives before it can come any more.
    """

    def __init__(self, options: GeneratorOptions, on_expected: Callable[[Expected], object] | None = None) -> None:
        """Prepare the stream.

        Raises:
            UsageError: the options contradict each other.
        """
        options.check_times()
        self.counts = Counts()
        self.clock = Clock()
        self._options = options
        self.on_expected = on_expected
        weights = options.weights()
        self._stories = [(name, ARCHETYPES[name].story) for name in weights]
        self._bounds = list(accumulate(weights.values()))
        self._currency_bounds = list(accumulate(currency.share for currency in CURRENCIES))
        self._tag = options.tag()
        # Not for secrets: the same seed must give the same stream.
        self._draw = random.Random(f"{options.seed}").random  # noqa: S311

    def __iter__(self) -> Iterator[Message]:
        """Yield the messages in the order of their arrival; once."""
        options, draw = self._options, self._draw
        waiting: list[tuple[int, int, Message]] = []
        told = 0
        for placed_ms in placements(options.orders, options.start_ms, options.days, draw):
            case = self._tell(placed_ms)
            key = case.order_id.encode()
            for message in self._deliver(case, key):
                told += 1
                heappush(waiting, (message.at_ms, told, message))
            until_ms = placed_ms - LEAD_MS
            while waiting and waiting[0][0] < until_ms:
                yield heappop(waiting)[2]
        while waiting:
            yield heappop(waiting)[2]

    def _tell(self, placed_ms: int) -> Case:
        options, draw, counts = self._options, self._draw, self.counts
        counts.orders += 1
        name, story = self._stories[min(bisect(self._bounds, draw() * self._bounds[-1]), len(self._stories) - 1)]
        at = min(bisect(self._currency_bounds, draw()), len(CURRENCIES) - 1)
        currency = CURRENCIES[at]
        rules = options.rules
        case = Case(
            f"ord-{self._tag}-{counts.orders:08d}",
            placed_ms,
            max(price_minor(currency, draw), 100 * rules.tolerance_minor),
            currency.code,
            CURRENCIES[at - 1].code,
            # A few customers buy often, most once or twice.
            f"customer-{int(draw() ** 2 * (options.orders // 2 + 1)):07d}",
            rules.tolerance_minor,
            rules.payment_window_ms,
            draw,
            self.clock,
        )
        expected = story(case)
        counts.by_archetype[name] = counts.by_archetype.get(name, 0) + 1
        counts.decided_from_ms = max(counts.decided_from_ms, expected.deadline_at_ms + 1)
        if self.on_expected is not None:
            self.on_expected(expected)
        return case

    def _deliver(self, case: Case, key: bytes) -> Iterator[Message]:
        options, draw, counts = self._options, self._draw, self.counts
        late, out_of_order = options.late / 100, (options.late + options.out_of_order) / 100
        duplicates, poison = options.duplicates / 100, options.poison / 100
        for occurred_ms, role, value in case.messages:
            at_ms = occurred_ms + 40 + int(draw() * 1960)
            luck = draw()
            if luck < late:
                at_ms += int(draw() * _LATE_MS)
            elif luck < out_of_order:
                at_ms += int(draw() * _OUT_OF_ORDER_MS)
            counts.messages += 1
            yield Message(role, key, value, at_ms, None)
            if draw() < duplicates:
                counts.messages += 1
                counts.duplicates += 1
                # Some senders mark what they send again: a field that the contract drops changes no content.
                again = value if draw() < 0.5 else value[:-1] + _AGAIN
                yield Message(role, key, again, at_ms + 1 + int(draw() * _OUT_OF_ORDER_MS), None)
            if draw() < poison:
                counts.messages += 1
                counts.poison += 1
                kind = POISON[int(draw() * len(POISON))]
                counts.dead_letters[kind.reason] = counts.dead_letters.get(kind.reason, 0) + 1
                yield Message(role, key, kind.spoil(value), at_ms, kind.name)
