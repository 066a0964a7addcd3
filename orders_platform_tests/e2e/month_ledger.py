"""What has been delivered so far, and what the statements' oracle makes of it: nothing here is the product's."""

from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from orders_platform_tests import oracle, statement_oracle
from orders_platform_tests.statement_oracle import Order, midnight

Told = dict[str, Any]


class Ledger:
    """Contents in the order of their first delivery, and messages that had to be rejected."""

    def __init__(self, zone: str, tolerance: int, window: int) -> None:
        self.zone = zone
        self.arrivals: list[oracle.Content] = []
        self.messages = 0
        self._rules = (tolerance, window)
        self._lines: set[bytes] = set()
        self._contents: dict[str, list[oracle.Content]] = {}
        self._orders: dict[str, Order] = {}
        self._letters: list[tuple[int, str]] = []

    @property
    def orders(self) -> int:
        return len(self._contents)

    @property
    def letters(self) -> int:
        return len(self._letters)

    def take(self, messages: Iterable[tuple[int, bytes | None]]) -> None:
        """Take messages in: the broker's time of each, and its bytes."""
        for time_ms, value in messages:
            self.messages += 1
            content = oracle.decode(value)
            if isinstance(content, oracle.Refused):
                self._letters.append((time_ms, content.reason))
                continue
            line = oracle.canonical(content)
            if line not in self._lines:
                self._lines.add(line)
                self.arrivals.append(content)
                self._contents.setdefault(content["order_id"], []).append(content)
                self._orders.pop(content["order_id"], None)

    def expected(self, day: date, unread: dict[str, dict[str, int]], is_over: bool) -> Told:
        """What a day's statement must say now, with so many messages from before its end not matched."""
        for order_id in self._contents.keys() - self._orders.keys():
            self._orders[order_id] = Order(self._contents[order_id], self.zone, *self._rules)
        told = statement_oracle.statement_of(self._orders, day, self.zone)
        start, end = midnight(day, self.zone), midnight(day + timedelta(days=1), self.zone)
        tolerance, window = self._rules
        is_open = bool(told["breaks"]["new"] or told["breaks"]["persisting"])
        return told | {
            "time_zone": self.zone,
            "provisional": not is_over,
            "settings": {"tolerance_minor": tolerance, "payment_window_ms": window},
            "dead_letters": dict(Counter(reason for time_ms, reason in self._letters if start <= time_ms < end)),
            "verdict": "incomplete" if unread else "breaks" if is_open else "clean",
            "unread": unread,
        }

    def late(self, mark: int, day: date) -> list[dict[str, str]]:
        """The events from before a day's end that came after the first `mark` of all, as a revision names them."""
        end = midnight(day + timedelta(days=1), self.zone)
        found = [
            {
                "event_id": content["event_id"],
                "order_id": content["order_id"],
                "type": content["type"],
                "occurred_at": str(oracle.time_text(content["occurred_at"])),
            }
            for content in self.arrivals[mark:]
            if content["occurred_at"] < end
        ]
        return sorted(found, key=lambda event: (event["occurred_at"], event["order_id"], event["event_id"]))
