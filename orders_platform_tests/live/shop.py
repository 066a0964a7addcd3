"""A shop as the matcher leaves it in MongoDB, right up to now: its orders, its dead letters, its batches, its days.

Messages are the generator's, and go through the matcher's own function; only Kafka and Spark are left out.
"""

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from random import Random
from unittest.mock import patch

import msgspec
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from orders_platform.events import Event, decode_many
from orders_platform.generator.options import GeneratorOptions
from orders_platform.generator.stream import Message, Stream
from orders_platform.matcher.bucket import Counts, Messages, add, match
from orders_platform.matcher.hot import Bounds, HotOrders
from orders_platform.matching import Rules
from orders_platform.reports.days import Day, date_at, day_of
from orders_platform.reports.making import Broker, make_day
from orders_platform.reports.standing import Told
from orders_platform.store import matcher_records as records
from orders_platform.store import merge
from orders_platform.store.client import Store
from orders_platform.streams.publish import Publisher
from orders_platform.streams.topics import ensure_topics
from orders_platform_tests import matcher_words, oracle
from orders_platform_tests.reports import shops

DAY_MS, HOUR_MS, MINUTE_MS = 86_400_000, 3_600_000, 60_000
_AT_ONCE = 2_000
_HOT = Bounds(20_000, 8 << 20)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def zone_of_noon() -> str:
    """The time zone in which it is about noon: no test meets a midnight."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


class Topics:
    """Real topics with one partition each, to say how far the shop's matcher is behind."""

    def __init__(self, bootstrap_servers: str, prefix: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.names = (f"{prefix}-orders", f"{prefix}-payments", f"{prefix}-adjustments")
        self.sent = 0
        ensure_topics(bootstrap_servers, {}, self.names, 1)

    def settings(self) -> dict[str, str]:
        """Return the variables that name them."""
        roles = ("ORDERS", "PAYMENTS", "ADJUSTMENTS")
        named = {f"ORDERS_KAFKA__{role}_TOPIC": name for role, name in zip(roles, self.names, strict=True)}
        return named | {"ORDERS_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap_servers}

    def grow_to(self, end: int) -> None:
        """Send messages that nobody reads until the first topic ends there."""
        with Publisher(self.bootstrap_servers, {}) as publisher:
            while self.sent < end:
                publisher.send(self.names[0], None, b"waits")
                self.sent += 1


class Shop:
    """Two days of orders; `epoch` is the matcher's life, `coming` what it has not read yet of what arrived by now."""

    def __init__(
        self,
        store: Store,
        topics: Topics,
        orders: int,
        zone: str,
        *,
        behind_ms: int = HOUR_MS,
        before: Sequence[Message] = (),
        seed: int = 1,
    ) -> None:
        """Store what had arrived so long before now; `before` had arrived before everything else."""
        self.store, self.topics, self.zone, self.epoch = store, topics, zone, 0
        self._hot = HotOrders(None, _HOT)
        self._offset = self._batch_id = 0
        self._totals = Counts()
        self._events: dict[str, dict[Event, None]] = {}
        self.restart()
        start_ms, until_ms = self.day(1).start_ms, now_ms()
        options = GeneratorOptions(start_ms=start_ms, days=2, orders=orders, seed=seed, late=0, out_of_order=1)
        arrived = list(takewhile(lambda message: message.at_ms <= until_ms, Stream(options)))
        self.coming = [message for message in arrived if message.at_ms > until_ms - behind_ms]
        self._take_earlier([*before, *arrived[: len(arrived) - len(self.coming)]])

    def day(self, back: int = 0) -> Day:
        """The business day of now, or the one so many days before."""
        return day_of(date_at(now_ms(), self.zone) - timedelta(days=back), self.zone)

    def told(self) -> list[Told]:
        """All orders as a statement takes them."""
        return [Told(order_id, list(its)) for order_id, its in self._events.items()]

    def restart(self) -> None:
        """Begin another life of the matcher."""
        self.epoch += 1
        self._batch_id, self._totals = 0, Counts()
        records.add_start(
            self.store, records.Start(epoch=self.epoch, attempt=1, at_ms=now_ms(), reason="a test wants it")
        )
        matcher_words.begins(self.store, self.epoch)

    def settings(self, mongo_uri: str) -> dict[str, str]:
        """Return the variables of a server that shows this shop."""
        own = {"ORDERS_MONGO__URI": mongo_uri, "ORDERS_MONGO__DATABASE": self.store.database.name}
        return own | {"ORDERS_REPORTS__TIME_ZONE": self.zone} | self.topics.settings()

    def beat(self, state: str = "running", failure: str | None = None) -> None:
        """Give a sign of life."""
        records.write_heartbeat(self.store, self.epoch, state, failure=failure)

    def fall_behind(self, messages: int) -> None:
        """Let so many messages wait in Kafka."""
        self.topics.grow_to(self._offset + messages)

    def catch_up(self) -> None:
        """Let the matcher have read all that waits in Kafka."""
        self._offset = max(self._offset, self.topics.sent)
        self.take([])

    def take(self, messages: Sequence[Message], waited_ms: int = 700) -> Counts:
        """Match messages as one batch, which the broker received so long ago; return what became of them."""
        began_s, at_ms = time.monotonic(), now_ms()
        columns = Messages(
            [message.value for message in messages],
            [message.role for message in messages],
            [0] * len(messages),
            range(self._offset, self._offset + len(messages)),
            [at_ms - waited_ms] * len(messages),
        )
        for event in decode_many(columns.values):
            if isinstance(event, Event):
                self._events.setdefault(event.order_id, {})[event] = None
        self._offset += len(messages)
        self._batch_id += 1
        counts = match(columns, self._hot, at_ms, self.store, Rules())
        self._totals = add(self._totals, counts)
        took_ms = int((time.monotonic() - began_s) * 1000)
        records.record_batch(
            self.store,
            self.epoch,
            self._batch_id,
            {self.topics.names[0]: {"0": self._offset}},
            batch=counts,
            totals=self._totals,
            duration_ms=took_ms,
        )
        self.beat()
        return counts

    def go_on(self, messages: int) -> Counts:
        """Take some of what was still to come."""
        taken, self.coming = self.coming[:messages], self.coming[messages:]
        return self.take(taken)

    def breaks(self) -> str:
        """Let an order break, and return its id: it is the newest break."""
        order_id = f"o-breaks-{self._offset}"
        self.take([message("refund_issued", order_id, amount_minor=700, refund_id="r")])
        return order_id

    def close_yesterday(self) -> None:
        """Make yesterday's statement, for today's to build upon."""
        broker = Broker(self.topics.bootstrap_servers, {}, self.topics.names)
        make_day(self.store, broker, self.day(1), Rules())

    def remember(self, minutes: Iterable[tuple[int, int, int]]) -> None:
        """Leave batches of earlier minutes: minutes ago, messages, the longest wait in milliseconds."""
        for ago, messages, waited_ms in minutes:
            at_ms = now_ms() - ago * MINUTE_MS
            longs = {"messages": messages, "events": messages, "dead_letters": 0, "duration_ms": 400}
            dates = {"committed_at": at_ms, "oldest_time": at_ms - waited_ms, "purge_at": at_ms + 7 * DAY_MS}
            self.store.matcher.insert_one(
                {"_id": f"batch:0:{ago}"}
                | {name: Int64(value) for name, value in longs.items()}
                | {name: DatetimeMS(value) for name, value in dates.items()}
            )

    def _take_earlier(self, messages: Sequence[Message]) -> None:
        """Match messages, merged when they came: a statement builds upon a day whose events are settled."""
        self.store.matcher.update_one({"_id": "schema"}, {"$set": {"stamped_since": DatetimeMS(0)}})
        for at in range(0, len(messages), _AT_ONCE):
            part = messages[at : at + _AT_ONCE]
            arrived_ms = part[-1].at_ms // 1000 * 1000
            with patch.object(merge, "_cluster_time_ms", lambda _session, at_ms=arrived_ms: at_ms):
                self.take(part)
            self.store.matcher.delete_one({"_id": f"batch:{self.epoch}:{self._batch_id}"})  # it is long ago


def adverse(orders: int) -> list[Message]:
    """Messages of orders with everything that can be wrong with one, the same ones each time."""
    shop = shops.adverse(Random(11), orders, days=4)
    return [Message("orders", b"", oracle.canonical(each), 0, None) for its in shop.values() for each in its]


def message(kind: str, order_id: str, **fields: object) -> Message:
    """One message of a test's own, of what happened just now; amounts are in EUR."""
    at_ms = now_ms()
    content = {"event_id": f"{order_id}-{kind}-{at_ms}", "type": kind, "order_id": order_id, "occurred_at": at_ms}
    money = {"currency": "EUR"} if "amount_minor" in fields else {}
    return Message("payments", b"", msgspec.json.encode(content | money | fields), at_ms, None)
