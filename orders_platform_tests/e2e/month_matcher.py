"""A broker whose time is the told one, and the matcher's core without Spark: what is published in order of arrival is
read back from the topics with its offsets, put through `matcher.bucket.match`, swept, and recorded as committed."""

import secrets
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import pairwise
from random import Random
from unittest import mock

from bson.datetime_ms import DatetimeMS
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # pyright: ignore[reportPrivateImportUsage]

from orders_platform.matcher.bucket import Messages, match
from orders_platform.matcher.hot import Bounds, HotOrders
from orders_platform.matcher.sweep import PORTION_ORDERS, sweep
from orders_platform.matching import Rules
from orders_platform.store import day, matcher_records, merge
from orders_platform.store.client import Store
from orders_platform.streams.offsets import Positions, end_offsets
from orders_platform.streams.read import Record, read_range
from orders_platform.streams.roles import ADJUSTMENTS, ORDERS, PAYMENTS
from orders_platform_tests import matcher_words
from orders_platform_tests.e2e.month_stream import Delivery

PARTITIONS = 3
BATCHES = 3
SMALL = Bounds(300, 1 << 20)  # most orders leave the cache before their next event comes
TOLD_TIME = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}


class Clock:
    """The told time: whoever merges, and MongoDB's snapshots and clock as far as statements go by them, follow it."""

    now_ms = 0

    def runs(self, store: Store) -> ExitStack:
        """Let it run until the stack is closed. The database must say of no event that nobody knew its merge's time."""
        store.matcher.update_one({"_id": "schema"}, {"$set": {"stamped_since": DatetimeMS(0)}})
        stack = ExitStack()
        for where, name in ((merge, "_cluster_time_ms"), (day.Reading, "as_of_ms"), (day, "time_of_reading_ms")):
            stack.enter_context(mock.patch.object(where, name, lambda _: self.now_ms))
        return stack


class MonthMatcher:
    """Publishes, and matches what was published, at the told time."""

    def __init__(self, store: Store, bootstrap_servers: str, rules: Rules, chance: Random) -> None:
        self.store = store
        self.clock = Clock()
        self.servers = bootstrap_servers
        self.rules = rules
        prefix = f"months-{secrets.token_hex(4)}"
        self.topics = (f"{prefix}-orders", f"{prefix}-payments", f"{prefix}-adjustments")
        self._by_role: dict[str, str] = dict(zip((ORDERS, PAYMENTS, ADJUSTMENTS), self.topics, strict=True))
        self._chance = chance
        self._hot = HotOrders(None, SMALL)
        self._waiting: list[Record] = []
        self._batch_id = 0
        self._fetched: Positions = {topic: dict.fromkeys(range(PARTITIONS), 0) for topic in self.topics}
        self.matched: Positions = {topic: dict.fromkeys(range(PARTITIONS), 0) for topic in self.topics}
        self._times: dict[tuple[str, int], list[int]] = defaultdict(list)
        self._make_topics()
        self._producer = Producer({"bootstrap.servers": self.servers, "enable.idempotence": True, "linger.ms": 5})
        matcher_words.begins(store)

    def publish(self, messages: Iterable[Delivery]) -> None:
        """Send messages in their order; the broker's time of each is when it arrives."""
        for each in messages:
            topic = self._by_role[each.role]
            self._producer.produce(topic, each.value, each.key, timestamp=each.at_ms, on_delivery=self._delivered)
            self._producer.poll(0)
        assert self._producer.flush(60) == 0

    def match(self, before_ms: int, *, sweep_at_ms: int | None) -> list[Record]:
        """Match what the broker has from before a time, in some batches; return it in the order of matching."""
        ends = end_offsets(self.servers, {}, self.topics)
        for records in read_range(self.servers, {}, self._fetched, ends):
            self._waiting += records
        self._fetched = ends
        # Stable, and a partition's times never fall: each partition keeps its order.
        self._waiting.sort(key=lambda record: record.time_ms)
        taken = [record for record in self._waiting if record.time_ms < before_ms]
        self._waiting = self._waiting[len(taken) :]
        cuts = [0, *sorted(self._chance.randrange(len(taken) + 1) for _ in range(BATCHES - 1)), len(taken)]
        for begin, end in pairwise(cuts):
            self._match(taken[begin:end])
        while sweep_at_ms is not None and sweep(self.store, sweep_at_ms, self.rules) == PORTION_ORDERS:
            pass
        return taken

    def unread(self, before_ms: int) -> dict[str, dict[str, int]]:
        """Count, by the delivery reports, what the broker got before a time and is not matched."""
        found: dict[str, dict[str, int]] = {}
        for (topic, at), times_ms in sorted(self._times.items()):
            missing = sum(time_ms < before_ms for time_ms in times_ms[self.matched[topic][at] :])
            if missing:
                found.setdefault(topic, {})[str(at)] = missing
        return found

    def offsets(self) -> dict[str, dict[str, int]]:
        """What is matched, as a statement tells it: nothing before the first batch."""
        if self._batch_id == 0:
            return {}
        return {topic: {str(at): offset for at, offset in its.items()} for topic, its in sorted(self.matched.items())}

    def _match(self, batch: list[Record]) -> None:
        if not batch:
            return
        columns = Messages(*zip(*[(r.value, r.topic, r.partition, r.offset, r.time_ms) for r in batch], strict=True))
        self.clock.now_ms = max(self.clock.now_ms, batch[-1].time_ms)
        match(columns, self._hot, self.clock.now_ms, self.store, self.rules)
        self._hot = HotOrders(self._hot.pack(), SMALL)
        for record in batch:
            self.matched[record.topic][record.partition] = record.offset + 1
        self._batch_id += 1
        matcher_records.record_batch(self.store, 1, self._batch_id, self.offsets(), batch={}, totals={}, duration_ms=1)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        times_ms = self._times[message.topic() or "", message.partition() or 0]
        assert message.offset() == len(times_ms)
        times_ms.append(message.timestamp()[1])

    def _make_topics(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.servers})
        wanted = [NewTopic(topic, num_partitions=PARTITIONS, config=TOLD_TIME) for topic in self.topics]
        for made in admin.create_topics(wanted).values():
            made.result(timeout=30)
