"""A platform as Prometheus sees it: a matcher's work and records, a day's statement, a supervisor's look, the real live
page's server, and a real Prometheus that scrapes it each second under the rules of deploy/prometheus.

Only Spark is missing: what it would do for each batch is done here by the same functions, in a thread, for as long as
the world stands.
"""

import json
import secrets
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from orders_platform.generator.options import DAY_MS, GeneratorOptions
from orders_platform.generator.stream import Message, Stream
from orders_platform.local import home as homes
from orders_platform.local import live, prometheus
from orders_platform.matcher.bucket import Counts, Messages, add, match
from orders_platform.matcher.hot import Bounds, HotOrders
from orders_platform.matcher.sweep import sweep
from orders_platform.matching import Rules
from orders_platform.reports.days import date_at, day_of
from orders_platform.reports.making import Broker, make_day
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store import schema
from orders_platform.store.client import Store, connect
from orders_platform.streams.topics import ensure_topics
from orders_platform.supervision.decide import Policy
from orders_platform.supervision.observe import Memory
from orders_platform.supervision.rounds import Connections, SteadyClock, identity, make_round, note_look
from orders_platform_tests import matcher_words
from orders_platform_tests.conftest import RunningStack
from orders_platform_tests.monitoring import programs

EPOCH = 2
_ORDERS = 4_000
_BATCH = 100
_BATCH_EVERY_S = 0.5
_STREAM_DAYS = 3


class Matcher(threading.Thread):
    """Does what the matcher does with its batches, from a generated stream, until it is told to end."""

    def __init__(self, store: Store, messages: Iterator[Message]) -> None:
        super().__init__(daemon=True)
        self._store, self._messages, self._rules = store, messages, Rules()
        self._ended = threading.Event()
        self._hot = HotOrders(None, Bounds(1_000, 1 << 20))
        self._totals, self._batch_id, self._read = Counts(), 0, 0

    def batch(self, messages: tuple[Message, ...]) -> None:
        """Do one batch: messages that came a while ago, the first of them longest."""
        begun_s, now_ms = time.monotonic(), time.time_ns() // 1_000_000
        count = len(messages)
        columns = Messages(
            [each.value for each in messages],
            [each.role for each in messages],
            [0] * count,
            range(self._read, self._read + count),
            [now_ms - 20 * (count - at) for at in range(count)],
        )
        counts = match(columns, self._hot, now_ms, self._store, self._rules)
        self._totals, self._read, self._batch_id = add(self._totals, counts), self._read + count, self._batch_id + 1
        took_ms = int((time.monotonic() - begun_s) * 1000)
        offsets = {"orders": {"0": self._read}}
        records.record_batch(
            self._store, EPOCH, self._batch_id, offsets, batch=counts, totals=self._totals, duration_ms=took_ms
        )
        sweep(self._store, now_ms, self._rules)
        records.write_heartbeat(self._store, EPOCH, "running", deadline_swept_to_ms=now_ms)

    def run(self) -> None:
        """Go on batch after batch, slowly enough to be looked at meanwhile."""
        while not self._ended.wait(_BATCH_EVERY_S) and (messages := tuple(islice(self._messages, _BATCH))):
            self.batch(messages)

    def end(self) -> None:
        """Return when it has ended."""
        self._ended.set()
        self.join()


class World:
    """Where its parts are, and how to ask them."""

    def __init__(self, page: str, database: str) -> None:
        self.page, self.prometheus = page, database
        self.instance = urllib.parse.urlsplit(page).netloc

    def metrics(self) -> str:
        """Return what /metrics says now."""
        with urllib.request.urlopen(f"{self.page}/metrics", timeout=10) as answer:
            return answer.read().decode()

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of Prometheus' API; a refusal fails with what it says."""
        url = f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression gives now."""
        return self.ask("query", query=expression)["result"]


@contextmanager
def standing(stack: RunningStack, home: Path) -> Iterator[World]:
    """Give a world; everything of it ends with it."""
    name = f"test_{secrets.token_hex(6)}"
    topics = tuple(f"{name}-{role}" for role in ("orders", "payments", "adjustments"))
    ensure_topics(stack.bootstrap_servers, {}, topics, 1)
    environ = {
        "ORDERS_HOME": str(home),
        "ORDERS_KAFKA__BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        **{f"ORDERS_KAFKA__{topic.rpartition('-')[2].upper()}_TOPIC": topic for topic in topics},
        "ORDERS_MONGO__URI": stack.mongo_uri,
        "ORDERS_MONGO__DATABASE": name,
    }
    settings = Settings.load(environ=environ, root=home)
    with closing(connect(stack.mongo_uri, name)) as store, pytest.MonkeyPatch.context() as patch:
        for variable, text in environ.items():
            patch.setenv(variable, text)
        patch.setenv("PATH", str(programs.folder()), prepend=":")
        patch.setattr(prometheus, "SCRAPE_S", 1)
        patch.setattr(prometheus, "EVALUATE_S", 1)
        schema.migrate(store)
        homes.prepare(home)
        matcher = _began(store, settings, Broker(stack.bootstrap_servers, {}, topics))
        try:
            live.start(settings)
            assert prometheus.start(settings)
            yield World(live.SERVER.wait(home), prometheus.SERVER.wait(home))
        finally:
            matcher.end()
            prometheus.SERVER.stop(home)
            live.SERVER.stop(home)
            with MongoClient(stack.mongo_uri) as client:
                client.drop_database(name)


def _began(store: Store, settings: Settings, broker: Broker) -> Matcher:
    """Leave what a platform leaves that has run for a while, and return its matcher at work."""
    now_ms = records.server_time_ms(store)
    first = day_of(date_at(now_ms - _STREAM_DAYS * DAY_MS, "UTC"), "UTC")
    options = GeneratorOptions(start_ms=first.start_ms, orders=_ORDERS, days=_STREAM_DAYS, poison=5.0)
    for epoch in range(1, EPOCH + 1):
        start = records.Start(epoch=epoch, attempt=1, at_ms=now_ms - 60_000 * (EPOCH - epoch), reason="a test")
        records.add_start(store, start)
    matcher_words.begins(store, EPOCH)
    messages = iter(Stream(options))
    matcher = Matcher(store, messages)
    matcher.batch(tuple(islice(messages, _ORDERS)))
    make_day(store, broker, first, Rules())
    connections = Connections(settings)
    try:
        me = identity(settings)
        note_look(settings, connections, make_round(settings, connections, me, Memory(), SteadyClock(), Policy()))
    finally:
        connections.close()
    matcher.start()
    return matcher
