"""Waiting until the matcher has committed what was published."""

import time
from collections.abc import Callable, Iterable, Mapping

import msgspec

from orders_platform.errors import RetryableStoreError
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store
from orders_platform.streams.offsets import Positions, begin_offsets, end_offsets

_POLL_S = 0.2
_LOOK_AT_MATCHER_S = 2.0


class Waited(msgspec.Struct, frozen=True):
    """How a wait ended: messages that were not committed yet, by topic, and how long it took."""

    behind: dict[str, int]
    waited_s: float

    @property
    def reached(self) -> bool:
        """Whether everything is committed."""
        return not self.behind


def behind(begins: Positions, ends: Positions, committed: records.Offsets) -> dict[str, int]:
    """Return how many messages before `ends` are not committed, for the topics that have some.

    What the broker no longer keeps can't be waited for.
    """
    waiting: dict[str, int] = {}
    for topic, partitions in ends.items():
        done = committed.get(topic, {})
        missing = sum(
            max(0, end - max(done.get(str(partition), 0), begins[topic][partition]))
            for partition, end in partitions.items()
        )
        if missing:
            waiting[topic] = missing
    return waiting


def wait_until_matched(
    store: Store,
    bootstrap_servers: str,
    client: Mapping[str, str],
    topics: Iterable[str],
    timeout_s: float,
    *,
    say: Callable[[str], None],
    on_behind: Callable[[int], None],
) -> Waited:
    """Take the topics' ends now, and return when they are committed, or when `timeout_s` is over.

    `say` is told once when no matcher is at work, for a person should not have to wait for that; `on_behind` how many
    messages are missing, at each look. A MongoDB that is away for a while is waited for too.

    Raises:
        ServiceUnavailable: Kafka can't be reached.
        StoreError: MongoDB refuses, or could not be reached until the end.
    """
    started_s = time.monotonic()
    deadline_s = started_s + timeout_s
    names = list(topics)
    kafka_timeout_s = min(10.0, max(1.0, timeout_s))
    ends = end_offsets(bootstrap_servers, client, names, timeout_s=kafka_timeout_s)
    begins = begin_offsets(bootstrap_servers, client, names, timeout_s=kafka_timeout_s)
    said: str | None = None
    looked_s = float("-inf")
    while True:
        now_s = time.monotonic()
        missing: dict[str, int] | None = None
        try:
            beat = records.read_heartbeat(store)
            missing = behind(begins, ends, {} if beat is None else beat.offsets)
            if missing and now_s - looked_s >= _LOOK_AT_MATCHER_S:
                looked_s = now_s
                trouble = _trouble(store, beat)
                if trouble is not None and trouble != said:
                    say(trouble)
                said = trouble
        except RetryableStoreError:
            if time.monotonic() >= deadline_s:
                raise
        if missing is not None:
            on_behind(sum(missing.values()))
            if not missing or time.monotonic() >= deadline_s:
                return Waited(missing, time.monotonic() - started_s)
        time.sleep(max(0.0, min(_POLL_S, deadline_s - time.monotonic())))


def _trouble(store: Store, beat: records.Heartbeat | None) -> str | None:
    """Return why nobody seems to be at work, or None."""
    if records.read_desired(store).state == "stopped":
        return "The matcher was stopped by a person: run `orders matcher start`."
    lease = records.read_lease(store)
    if lease is not None and lease.live:
        return None
    if beat is None:
        return "No matcher has run yet: start it with `orders up` or `orders matcher start`."
    silent_s = max(0, records.server_time_ms(store) - beat.alive_at_ms) // 1000
    return (
        f"No matcher is alive (last sign {silent_s} s ago): its supervisor may be starting it again; "
        "`orders status` says more."
    )
