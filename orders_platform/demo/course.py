"""The demo's course: send a stream with known truth, kill the matcher on the way, wait, compare."""

import os
import signal
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import msgspec

from orders_platform.demo.verdict import Latency, Verdict, judge, latency_between
from orders_platform.errors import OrdersError
from orders_platform.generator import GeneratorOptions, Stream
from orders_platform.generator.case import Expected
from orders_platform.generator.send import send
from orders_platform.local import processes
from orders_platform.local.stack import Endpoints
from orders_platform.matcher.waiting import wait_until_matched
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store
from orders_platform.streams.offsets import Positions, end_offsets
from orders_platform.streams.publish import Publisher
from orders_platform.streams.roles import ROLES

LOOK_S = 0.5
# Of the messages that plain orders have, two each; the stream has more, so both lie inside it.
KILL_AT = 0.4
HOLD_AT = 0.6  # the rest comes when the matcher is back, to show how fast it is when nothing happens
PATIENCE_S = 900.0
"""Without another matcher, or until all is matched: a quiet machine takes seconds, a very busy one minutes."""

Show = Callable[[int, int, str], None]


class Course(msgspec.Struct):
    """What happened."""

    verdict: Verdict
    latency: Latency
    messages: int
    duplicates: int
    poison: int
    matched_s: float
    killed_pid: int
    back_after_s: float


class Watcher:
    """Follows the matcher while the demo runs, and kills it once."""

    def __init__(self, settings: Settings, store: Store, start: Positions, show: Show) -> None:
        self.settings, self.store, self.start, self.show = settings, store, start, show
        self.sent = 0
        self.matched = 0
        self.killed_pid = 0
        self.killed_epoch = 0
        self.killed_s = 0.0
        self.back_after_s: float | None = None
        self.looked_s = 0.0

    def advance(self, count: int) -> None:
        """Count messages as sent, and look at the matcher now and then."""
        self.sent += count
        if time.monotonic() - self.looked_s >= LOOK_S:
            self.look()

    def look(self) -> None:
        """Show how far the matcher is; notice when a killed one is back."""
        self.looked_s = time.monotonic()
        beat = records.read_heartbeat(self.store)
        if beat is None:
            return
        if self.killed_pid and self.back_after_s is None and beat.epoch > self.killed_epoch and _is_at_work(beat):
            self.back_after_s = time.monotonic() - self.killed_s
        self.matched = sum(
            max(0, beat.offsets.get(topic, {}).get(str(partition), 0) - begin)
            for topic, partitions in self.start.items()
            for partition, begin in partitions.items()
        )
        self.show(self.sent, self.matched, self._word(beat))

    def kill(self) -> None:
        """Kill the matcher with no chance to clean up.

        Raises:
            OrdersError: there is none.
        """
        matcher = processes.find(self.settings.home, "matcher")
        beat = records.read_heartbeat(self.store)
        if matcher is None or beat is None:
            raise OrdersError("There is no matcher to kill.", "See `orders status` and the logs in the home's logs/.")
        self.killed_pid, self.killed_epoch, self.killed_s = matcher.pid, beat.epoch, time.monotonic()
        os.kill(matcher.pid, signal.SIGKILL)

    def _word(self, beat: records.Heartbeat) -> str:
        if self.killed_pid and self.back_after_s is None:
            return f"killed {time.monotonic() - self.killed_s:.0f} s ago, Dagster's sensor asks for another"
        return f"matcher {beat.state}, epoch {beat.epoch}"


def run(
    settings: Settings,
    where: Endpoints,
    store: Store,
    options: GeneratorOptions,
    rate: float | None,
    show: Show,
) -> Course:
    """Run the course on a platform that is up. `show` is told messages sent, messages matched, and a word.

    Raises:
        OrdersError: the platform can't be reached, or the matcher did not get through in time.
    """
    topics = settings.kafka.topics
    start = end_offsets(where.bootstrap_servers, where.kafka_client, topics)
    watcher = Watcher(settings, store, start, show)
    truth: dict[str, dict[str, Any]] = {}
    stream = Stream(options)

    def expect(expected: Expected) -> None:
        truth[expected.order_id] = msgspec.json.decode(expected.json_line(stream.clock))

    stream.on_expected = expect
    started_s = time.monotonic()
    with Publisher(where.bootstrap_servers, where.kafka_client) as publisher:
        roles: dict[str, str] = dict(zip(ROLES, topics, strict=True))
        messages = iter(stream)
        first = islice(messages, int(2 * options.orders * HOLD_AT))
        send(first, publisher, roles, rate=rate, advance=_killing_at(watcher, options))
        _kill_at_last(watcher)
        _until_back(watcher)
        back_ms = records.server_time_ms(store)
        send(messages, publisher, roles, rate=rate, advance=watcher.advance)
    _wait(settings, where, store, watcher)
    matched_s = time.monotonic() - started_s
    ends = end_offsets(where.bootstrap_servers, where.kafka_client, topics)
    verdict = judge(store, truth, stream.counts.dead_letters, start, ends)
    return Course(
        verdict,
        latency_between(store, back_ms),
        stream.counts.messages,
        stream.counts.duplicates,
        stream.counts.poison,
        matched_s,
        watcher.killed_pid,
        watcher.back_after_s or 0.0,
    )


def _is_at_work(beat: records.Heartbeat) -> bool:
    """Return whether a driver has committed a batch, or would if anything waited."""
    return beat.batch_id is not None or (beat.state == "running" and beat.events_behind == 0)


def _killing_at(watcher: Watcher, options: GeneratorOptions) -> Callable[[int], None]:
    """Return what to call with each count of messages sent: kills the matcher once, in the midst of its work."""
    kill_at = int(2 * options.orders * KILL_AT)

    def advance(count: int) -> None:
        watcher.advance(count)
        if not watcher.killed_pid and watcher.sent >= kill_at and watcher.matched:
            watcher.kill()

    return advance


def _kill_at_last(watcher: Watcher) -> None:
    """Kill the matcher if it has not happened yet: as soon as it has committed something."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not watcher.killed_pid:
        watcher.look()
        if watcher.matched:
            watcher.kill()
        elif time.monotonic() > deadline_s:
            raise OrdersError(f"The matcher committed nothing within {PATIENCE_S:.0f} s.", "See `orders status`.")
        time.sleep(LOOK_S)


def _until_back(watcher: Watcher) -> None:
    """Wait until another matcher has committed what waits, or is at work where nothing does."""
    deadline_s = time.monotonic() + PATIENCE_S
    while watcher.back_after_s is None:
        watcher.look()
        if time.monotonic() > deadline_s:
            raise OrdersError(f"No other matcher came to work within {PATIENCE_S:.0f} s.", "See `orders status`.")
        time.sleep(LOOK_S)


def _wait(settings: Settings, where: Endpoints, store: Store, watcher: Watcher) -> None:
    waited = wait_until_matched(
        store,
        where.bootstrap_servers,
        where.kafka_client,
        settings.kafka.topics,
        PATIENCE_S,
        say=lambda text: None,
        on_behind=lambda count: watcher.advance(0),
    )
    if not waited.reached:
        raise OrdersError(
            f"The matcher did not get through within {PATIENCE_S:.0f} s.",
            "See `orders status` and the logs in the home's logs/.",
        )
    watcher.look()
