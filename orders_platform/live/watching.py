"""Looks on all the time, in threads of its own, so that no view of the page waits for MongoDB.

MongoDB, Kafka, the matcher and Dagster may come and go: what was seen last stays, with its age and the trouble.
"""

import threading
import time
from contextlib import closing, suppress
from datetime import date

import msgspec

from orders_platform.errors import OrdersError
from orders_platform.live.metrics import Seen
from orders_platform.live.numbers import Looker, Numbers
from orders_platform.local.stack import endpoints
from orders_platform.reports.counting import TooManyError, count
from orders_platform.reports.days import date_at, day_of
from orders_platform.reports.making import yesterday_of
from orders_platform.reports.statement import Statement, as_json
from orders_platform.settings import Settings
from orders_platform.store import day as day_store
from orders_platform.store import statements
from orders_platform.store.client import Store, connect
from orders_platform.supervision.rounds import read_report
from orders_platform.times import format_ms

LOOK_S = 1.0
COUNT_S = 2.0
DAY_S = 30.0
STALE_AFTER_S = 5.0
_TIMEOUT_S = 3.0
_COUNT_TIMEOUT_S = 20.0  # MongoDB may take six times as long to go through a large collection
_SHARE = 10


class State(msgspec.Struct, frozen=True):
    """What is known now. `trouble` says what does not answer; `day` is the business day so far, as its statement would
    say it, None without a statement of the day before to build upon; `seen_s` is by the clock that goes on steadily."""

    numbers: Numbers | None = None
    seen_s: float | None = None
    trouble: str = ""
    day: dict[str, object] | None = None
    supervisor_looked_s: float | None = None
    last_statement_s: float | None = None


class Watching:
    """Three loops: the matcher each second, the counts, the day so far."""

    def __init__(self, settings: Settings) -> None:
        """Begin with nothing; `start` begins to look."""
        self._settings = settings
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._looker: Looker | None = None
        self.state = State()

    def start(self) -> None:
        """Begin to look."""
        for loop in (self._look, self._count, self._day):
            threading.Thread(target=loop, daemon=True, name=loop.__name__).start()

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()

    def stale_s(self) -> float | None:
        """Return how long ago the last look was, None if there was none."""
        seen_s = self.state.seen_s
        return None if seen_s is None else time.monotonic() - seen_s

    def metrics(self) -> Seen:
        """Return what is known in the metrics' terms: numbers that are stale are none."""
        state, stale_s = self.state, self.stale_s()
        seen = Seen()
        seen.numbers = state.numbers if stale_s is not None and stale_s < STALE_AFTER_S else None
        seen.supervisor_looked_s, seen.last_statement_s = state.supervisor_looked_s, state.last_statement_s
        return seen

    def store(self, timeout_s: float = _TIMEOUT_S) -> Store:
        """Return a store of its own, where the services are now.

        Raises:
            OrdersError: MongoDB of this home does not run.
        """
        return connect(endpoints(self._settings).mongo_uri, self._settings.mongo.database, timeout_s=timeout_s)

    def _set(self, **what: object) -> None:
        with self._lock:
            self.state = msgspec.structs.replace(self.state, **what)

    def _look(self) -> None:
        while not self._ended.is_set():
            try:
                with closing(self.store()) as store:
                    self._look_at(store)
            except OrdersError as error:
                self._set(trouble=error.what)
                self._ended.wait(LOOK_S)

    def _look_at(self, store: Store) -> None:
        """Look each second.

        Raises:
            StoreError: the store does not answer.
        """
        self._looker = looker = Looker(store)
        while not self._ended.wait(LOOK_S):
            report = read_report(self._settings.home)
            looked_s = None if report is None else report.at_ms / 1000
            self._set(supervisor_looked_s=looked_s)
            numbers = looker.look()
            self._set(numbers=numbers, seen_s=time.monotonic(), trouble="")

    def _count(self) -> None:
        while not self._ended.wait(COUNT_S):
            looker = self._looker
            if looker is None or not looker.is_due():
                continue
            with suppress(OrdersError), closing(self.store(_COUNT_TIMEOUT_S)) as store:  # the looks tell of it
                looker.count(store)

    def _day(self) -> None:
        wait_s = 0.0
        while not self._ended.wait(wait_s):
            begun_s = time.monotonic()
            try:
                with closing(self.store(_COUNT_TIMEOUT_S)) as store:
                    self._set(day=self._so_far(store), last_statement_s=self._last_statement_s(store))
            except OrdersError:
                self._set(day=None)
            wait_s = max(DAY_S, _SHARE * (time.monotonic() - begun_s))

    def _so_far(self, store: Store) -> dict[str, object] | None:
        """Return the day so far, if it can be built upon the day before: nothing else is read often."""
        rules, zone = self._settings.matching.rules(), self._settings.reports.time_zone
        today = day_of(date_at(time.time_ns() // 1_000_000, zone), zone)
        with day_store.reading(store) as reading:
            as_of_ms = reading.as_of_ms()
            before = yesterday_of(store, today)
            try:
                counted = count(store, reading, today, rules, before, provisional=True, force=False, most_orders=-1)
            except TooManyError:
                return None
            letters = reading.dead_letters(today.start_ms, today.end_ms)
        told: Statement = counted.tally.statement(
            provisional=True, offsets=counted.offsets, unread={}, dead_letters=letters
        )
        keys = as_json(told)
        names = ("date", "time_zone", "currencies", "match_rate", "payment_delay_s")
        return {"as_of": format_ms(as_of_ms), **{name: keys[name] for name in names}}

    def _last_statement_s(self, store: Store) -> float | None:
        when = statements.last_date(store, final=True)
        if when is None:
            return None
        return day_of(date.fromisoformat(when), self._settings.reports.time_zone).end_ms / 1000
