"""Looks on all the time, in threads of its own, so that no view of the page waits for MongoDB.

MongoDB, Kafka, the matcher and Dagster may come and go: what was seen last stays, with its age and the trouble.
"""

import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from datetime import date
from typing import Any

import msgspec

from orders_platform.errors import OrdersError
from orders_platform.live.metrics import Seen
from orders_platform.live.numbers import Looker, Numbers
from orders_platform.live.pace import Pace
from orders_platform.local.stack import bootstrap_servers, mongo_uri
from orders_platform.reports.counting import TooManyError, count
from orders_platform.reports.days import date_at, day_of
from orders_platform.reports.making import yesterday_of
from orders_platform.reports.statement import Statement, as_json
from orders_platform.settings import Settings
from orders_platform.store import day as day_store
from orders_platform.store import statements
from orders_platform.store.client import Store, connect
from orders_platform.streams.offsets import behind, end_offsets
from orders_platform.supervision.observe import KAFKA, MONGODB
from orders_platform.times import format_ms

LOOK_S = 1.0
COUNT_S = 2.0
KAFKA_S = 3.0
STATEMENT_S = 10.0
DAY_S = 30.0
DAY_SHARE = 50
"""The day so far is made anew for no more than a fiftieth of the time."""
DAY_MOST_ORDERS = 100_000
"""Without a statement of the day before, the day so far is counted from all orders, if there are no more than these."""
STALE_AFTER_S = 5.0
COUNTS, DAY, STATEMENT = "counts", "the day so far", "the last statement"
_TIMEOUT_S = 3.0
_COUNT_TIMEOUT_S = 20.0  # MongoDB may take six times as long to go through a large collection


class State(msgspec.Struct, frozen=True):
    """What is known now.

    `behind` is how many messages wait in Kafka, None where it does not answer; `day` is the business day so far, as its
    statement would say it, None where counting it would take too long, and `day_looked` whether it was looked at;
    `troubles` says by service what does not answer, and by subject what can't be told; `seen_s` is by the clock that
    goes on steadily.
    """

    numbers: Numbers | None = None
    seen_s: float | None = None
    behind: int | None = None
    day: dict[str, Any] | None = None
    day_looked: bool = False
    last_statement_s: float | None = None
    troubles: dict[str, str] = {}

    def trouble(self) -> str:
        """Return what is in trouble. What can't be told because MongoDB does not answer is no news beside that."""
        subjects = (MONGODB, KAFKA) if self.troubles.get(MONGODB) else self.troubles
        return " ".join(filter(None, (self.troubles.get(each) for each in subjects)))


class Watching:
    """Loops in threads of their own: the matcher each second, Kafka, the counts, the day so far, the last statement."""

    def __init__(self, settings: Settings) -> None:
        """Begin with nothing; `start` begins to look."""
        self._settings = settings
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._looker = Looker()
        self._day_pace = Pace(DAY_SHARE, DAY_S)
        self._back_s = float("-inf")
        self.state = State()

    def start(self) -> None:
        """Begin to look."""
        for loop, subject, failing in (
            (self._look, MONGODB, "What MongoDB holds can't be read."),
            (self._ask_kafka, KAFKA, "What waits in Kafka can't be counted."),
            (self._count, COUNTS, "Dead letters and restarts can't be counted."),
            (self._day, DAY, "The day so far can't be counted."),
            (self._last_statement, STATEMENT, "The last statement can't be read."),
        ):
            kept = (loop, subject, failing)
            threading.Thread(target=self._kept_up, args=kept, daemon=True, name=loop.__name__).start()

    def _kept_up(self, loop: Callable[[], None], subject: str, failing: str) -> None:
        """Go on with a loop until it is time to stop, whatever stands in its way, and tell what does."""
        while not self._ended.is_set():
            try:
                loop()
            except OrdersError as error:
                self._trouble(subject, str(error) if subject in (MONGODB, KAFKA) else f"{failing} {error}")
            except Exception as error:
                # A defect, or a record that is none; but a page that stands still until somebody starts it again would
                # be worse.
                traceback.print_exc()
                self._trouble(subject, f"{failing} It is a {type(error).__name__}: read the end of logs/live.log.")
            self._ended.wait(LOOK_S)

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
        fresh = stale_s is not None and stale_s < STALE_AFTER_S
        return Seen(state.numbers if fresh else None, state.behind, state.last_statement_s)

    def store(self, timeout_s: float = _TIMEOUT_S) -> Store:
        """Return a store of its own, where the services are now.

        Raises:
            OrdersError: MongoDB of this home does not run.
        """
        return connect(mongo_uri(self._settings), self._settings.mongo.database, timeout_s=timeout_s)

    def _set(self, **what: object) -> None:
        with self._lock:
            self.state = msgspec.structs.replace(self.state, **what)

    def _trouble(self, subject: str, text: str = "") -> None:
        with self._lock:
            self.state = msgspec.structs.replace(self.state, troubles=self.state.troubles | {subject: text})

    def _look(self) -> None:
        with closing(self.store()) as store:
            while not self._ended.is_set():
                numbers = self._looker.look(store)
                self._set(numbers=numbers, seen_s=time.monotonic())
                if self.state.troubles.get(MONGODB):
                    self._back_s = time.monotonic()
                self._trouble(MONGODB)
                self._ended.wait(LOOK_S)

    def _ask_kafka(self) -> None:
        """Ask how many messages wait, which a matcher that is down can't say."""
        kafka, numbers = self._settings.kafka, self.state.numbers
        waiting = None
        try:
            if numbers is not None:
                servers, offsets = bootstrap_servers(self._settings), numbers.offsets()
                ends = end_offsets(servers, kafka.client_properties(), kafka.topics, timeout_s=_TIMEOUT_S)
                from_earliest = self._settings.matcher.starting_offsets == "earliest"
                waiting = behind(ends, offsets, from_earliest=from_earliest)
                self._trouble(KAFKA)
        finally:
            self._set(behind=waiting)
        self._ended.wait(KAFKA_S)

    def _count(self) -> None:
        with closing(self.store(_COUNT_TIMEOUT_S)) as store:
            while not self._ended.is_set():
                if self._looker.is_due(self._back_s):
                    self._looker.count(store)
                    self._trouble(COUNTS)
                self._ended.wait(COUNT_S)

    def _day(self) -> None:
        with closing(self.store(_COUNT_TIMEOUT_S)) as store:
            while not self._ended.is_set():
                if self._day_pace.is_due(self._back_s):
                    with self._day_pace.taken():
                        self._set(day=self._so_far(store), day_looked=True)
                    self._trouble(DAY)
                self._ended.wait(COUNT_S)

    def _last_statement(self) -> None:
        """Read it apart from the day so far: that it is late must be known also when the day can't be counted."""
        with closing(self.store()) as store:
            while not self._ended.is_set():
                self._set(last_statement_s=self._last_statement_s(store))
                self._trouble(STATEMENT)
                self._ended.wait(STATEMENT_S)

    def _so_far(self, store: Store) -> dict[str, Any] | None:
        """Return the day so far, if it can be built upon the day before, or few orders are stored."""
        rules, zone = self._settings.matching.rules(), self._settings.reports.time_zone
        now_ms = time.time_ns() // 1_000_000
        today = day_of(date_at(now_ms, zone), zone)
        with day_store.reading(store) as reading:
            before = yesterday_of(store, today)
            try:
                counted = count(
                    store, reading, today, rules, before, provisional=True, force=False, most_orders=DAY_MOST_ORDERS
                )
            except TooManyError:
                return None
            letters = reading.dead_letters(today.start_ms, today.end_ms)
        told: Statement = counted.tally.statement(
            provisional=True, offsets=counted.offsets, unread={}, dead_letters=letters
        )
        keys = as_json(told)
        shown: dict[str, Any] = {
            name: keys[name] for name in ("date", "time_zone", "currencies", "match_rate", "payment_delay_s")
        }
        return shown | {"as_of": format_ms(now_ms)}

    def _last_statement_s(self, store: Store) -> float | None:
        when = statements.last_date(store, final=True)
        if when is None:
            return None
        return day_of(date.fromisoformat(when), self._settings.reports.time_zone).end_ms / 1000
