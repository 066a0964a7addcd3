"""The numbers of now, from one source: the page, `/api`, the metrics and `orders watch` show the same. What waits in
Kafka is no part of them: the page asks Kafka, `orders watch` has it from the heartbeat.

What the matcher says of itself and the running totals of the orders are read at each look: some rows, however many
orders are stored. What must be counted row by row is counted again and again, but for no more than a hundredth of the
time, and says when it was.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from orders_platform.live.pace import Pace
from orders_platform.matcher.bucket import WAIT_BOUNDS_MS
from orders_platform.matching import Document
from orders_platform.store import matcher_records as records
from orders_platform.store import queries, views
from orders_platform.store.client import Store
from orders_platform.store.matcher_records import Heartbeat, LastLook
from orders_platform.supervision.observe import HISTORY, restarts

WINDOW_S = 10.0
"""Rates are means over so long, and waits those of so long."""
SHARE = 100
"""Counting may take no more than a hundredth of the time."""
MINUTES = 60
_MINUTE_MS = 60_000
_MATCHED, _BREAK = "matched", "break"


class Rates(msgspec.Struct, frozen=True):
    """What the matcher did over the last seconds: per second, and how long the messages waited from the broker to the
    durable document; None where that can't be told. Orders that became `matched` less those that no longer are."""

    messages_per_s: float | None = None
    matched_per_s: float | None = None
    wait_p50_ms: float | None = None
    wait_p99_ms: float | None = None


class Broken(msgspec.Struct, frozen=True):
    """An order that broke, and has not been settled since, with its figures in minor units."""

    order_id: str
    status: str
    reasons: list[str]
    currency: str | None
    due_minor: int | None
    net_minor: int
    broke_at_ms: int


class Counted(msgspec.Struct, frozen=True):
    """What is counted row by row: as of when (MongoDB's clock), dead letters by reason, what the matcher did in each of
    the last minutes, and its starts of the last 24 hours that nobody asked for."""

    at_ms: int = 0
    dead_letters: dict[str, int] = {}
    minutes: list[dict[str, Any]] = []
    restarts: int = 0


class Numbers(msgspec.Struct, frozen=True):
    """Everything as of one look.

    `silent_ms` is how long ago the matcher gave its last sign of life, `wanted` whether a person wants it to run,
    `last_look` tells of the supervisor; `orders` and `at_risk` are the rows of the views v_status_totals and
    v_value_at_risk.
    """

    at_ms: int
    heartbeat: Heartbeat | None
    silent_ms: int | None
    wanted: bool
    last_look: LastLook | None
    rates: Rates
    orders: list[dict[str, Any]]
    at_risk: list[dict[str, Any]]
    newest_breaks: list[Broken]
    counted: Counted

    def offsets(self) -> records.Offsets:
        """Return where the matcher has committed to, by topic and partition."""
        return {} if self.heartbeat is None else self.heartbeat.offsets

    def matched_minor(self) -> dict[str, int]:
        """Return what matched orders come to, by currency."""
        return _sums((row["currency"], row["due_minor"]) for row in self.orders if row["status"] == _MATCHED)

    def at_risk_minor(self) -> dict[str, int]:
        """Return what is at risk in orders, by currency: in each what its largest break puts at risk."""
        return _sums((row["currency"], row["at_risk_minor"]) for row in self.orders if row["outcome"] == _BREAK)


class _Sight(NamedTuple):
    at_s: float
    epoch: int
    messages: int
    waits: Sequence[int]
    matched: int


class Looker:
    """Looks at the store and remembers what rates need."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Look at nothing yet. `clock_s` goes on steadily."""
        self._clock_s = clock_s
        self._seen: deque[_Sight] = deque()
        self._counted = Counted()
        self._pace = Pace(SHARE, clock_s=clock_s)

    def look(self, store: Store) -> Numbers:
        """Return what is to be seen now, with what was counted last.

        Raises:
            StoreError: MongoDB could not be reached.
        """
        heartbeat, at_ms = records.read_heartbeat(store), records.server_time_ms(store)
        orders = views.rows(store, "v_status_totals")
        return Numbers(
            at_ms=at_ms,
            heartbeat=heartbeat,
            silent_ms=None if heartbeat is None else max(0, at_ms - heartbeat.alive_at_ms),
            wanted=records.read_desired(store).state != "stopped",
            last_look=records.read_last_look(store),
            rates=Rates() if heartbeat is None else self._rates(heartbeat, orders),
            orders=orders,
            at_risk=views.rows(store, "v_value_at_risk"),
            newest_breaks=[_broken(*each) for each in queries.newest_breaks(store)],
            counted=self._counted,
        )

    def is_due(self, back_s: float = float("-inf")) -> bool:
        """Tell whether it is time to count again. `back_s` is when MongoDB was last found again."""
        return self._pace.is_due(back_s)

    def count(self, store: Store) -> None:
        """Count what is counted row by row, which may take a while.

        Raises:
            StoreError: MongoDB could not be reached.
        """
        with self._pace.taken():
            at_ms = records.server_time_ms(store)
            self._counted = Counted(
                at_ms,
                dead_letters=queries.dead_letter_counts(store),
                minutes=views.minutes_since(store, at_ms - MINUTES * _MINUTE_MS),
                restarts=restarts(records.read_starts(store, HISTORY), at_ms),
            )

    def _rates(self, heartbeat: Heartbeat, orders: list[dict[str, Any]]) -> Rates:
        its, seen = heartbeat.counts, self._seen
        sight = _Sight(
            self._clock_s(),
            heartbeat.epoch,
            its.get("messages", 0),
            its.get("waits", []),
            sum(row["orders"] for row in orders if row["status"] == _MATCHED),
        )
        if seen and seen[-1].epoch != sight.epoch:
            seen.clear()  # another driver counts from zero
        seen.append(sight)
        while len(seen) > 2 and seen[1].at_s <= sight.at_s - WINDOW_S:
            seen.popleft()
        before = seen[0]
        elapsed_s = sight.at_s - before.at_s
        if elapsed_s <= 0:
            return Rates()
        waits = _less(sight.waits, before.waits)
        return Rates(
            messages_per_s=(sight.messages - before.messages) / elapsed_s,
            matched_per_s=(sight.matched - before.matched) / elapsed_s,
            wait_p50_ms=quantile_ms(waits, 0.5),
            wait_p99_ms=quantile_ms(waits, 0.99),
        )


def quantile_ms(waits: Sequence[int], share: float) -> float | None:
    """Return the wait that a share of the messages did not exceed, by lines between a histogram's bounds (as
    Prometheus' `histogram_quantile` draws them); None: there were none. Behind the last bound it is that bound."""
    rank, below, low_ms = share * sum(waits), 0, 0
    if not rank:
        return None
    for count, high_ms in zip(waits, WAIT_BOUNDS_MS, strict=False):
        if below + count >= rank:
            return low_ms + (high_ms - low_ms) * (rank - below) / count
        below, low_ms = below + count, high_ms
    return float(WAIT_BOUNDS_MS[-1])


def _less(now: Sequence[int], before: Sequence[int]) -> list[int]:
    return [each - (before[at] if at < len(before) else 0) for at, each in enumerate(now)]


def _broken(document: Document, broke_at_ms: int) -> Broken:
    return Broken(
        document.order_id,
        document.status,
        list(document.reasons),
        document.currency,
        document.due_minor,
        document.net_minor,
        broke_at_ms,
    )


def _sums(amounts: Iterable[tuple[str | None, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for currency, amount_minor in amounts:
        found[currency or ""] = found.get(currency or "", 0) + amount_minor
    return dict(sorted(found.items()))
