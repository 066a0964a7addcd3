"""Putting messages through the matcher again, in this process, beside whichever matcher runs.

Merging is commutative and idempotent: what was right stays as it is, what was missing is added.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from orders_platform.errors import UsageError
from orders_platform.matcher.bucket import Messages, match
from orders_platform.matcher.hot import Bounds, HotOrders
from orders_platform.matching import Rules
from orders_platform.store.client import Store
from orders_platform.streams.offsets import Positions, begin_offsets, end_offsets, offsets_for_time
from orders_platform.streams.read import Record, read_range
from orders_platform.times import parse_rfc3339

_NOTHING_HOT = Bounds(orders_max=0, bytes_max=0)
_COORDINATES = re.compile(r"([A-Za-z0-9._-]+):([0-9]{1,9}):([0-9]{1,18})")


class Replayed(msgspec.Struct):
    """What became of replayed messages. `dead_letters` were rejected now, whether or not they were before."""

    messages: int = 0
    events: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    dead_letters: int = 0


class Stretch(msgspec.Struct, frozen=True):
    """What is replayed: from where to where in each partition."""

    begins: Positions
    ends: Positions

    def messages(self) -> int:
        """Return how many offsets lie in it."""
        return sum(
            max(0, end - self.begins[topic][at])
            for topic, partitions in self.ends.items()
            for at, end in partitions.items()
        )


def stretch(
    begin: str, only: str | None, topics: Sequence[str], bootstrap_servers: str, client: Mapping[str, str]
) -> Stretch:
    """Return what lies between `begin` and the topics' ends of now: `earliest`, a time at which the broker received a
    message (RFC 3339), or offsets as `topic:partition:offset` with commas between, where partitions that are not named
    are left out. Nothing begins before what the broker still keeps. `only`: this topic alone.

    Raises:
        UsageError: `begin` is none of that, or names a topic or partition that is not there.
        ServiceUnavailable: Kafka can't be reached.
    """
    if only is not None and only not in topics:
        raise UsageError(f"The matcher does not read the topic {only}.", f"Name one of {', '.join(topics)}.")
    chosen = topics if only is None else [only]
    begins = _begins(begin, chosen, bootstrap_servers, client)
    all_ends = end_offsets(bootstrap_servers, client, begins)
    return Stretch(
        begins, {name: {at: all_ends[name].get(at, 0) for at in partitions} for name, partitions in begins.items()}
    )


def replay_stretch(
    store: Store,
    what: Stretch,
    bootstrap_servers: str,
    client: Mapping[str, str],
    rules: Rules,
    advance: Callable[[int], object],
) -> Replayed:
    """Read and match a stretch, and return what became of it; `advance` is told how many messages were done.

    Raises:
        ServiceUnavailable: Kafka can't be reached.
        StoreError: as `replay`.
    """
    done = Replayed()
    for records in read_range(bootstrap_servers, client, what.begins, what.ends):
        replay(store, records, rules, done)
        advance(len(records))
    return done


def _begins(begin: str, topics: Sequence[str], bootstrap_servers: str, client: Mapping[str, str]) -> Positions:
    earliest = begin_offsets(bootstrap_servers, client, topics)
    if begin == "earliest":
        return earliest
    if ":" in begin and all(_COORDINATES.fullmatch(part.strip()) for part in begin.split(",")):
        named: Positions = {}
        for part in begin.split(","):
            name, partition, offset = part.strip().split(":")
            if int(partition) not in earliest.get(name, {}):
                raise UsageError(
                    f"There is no partition {partition} of a topic {name} to replay.",
                    f"The topics to choose from are {', '.join(topics)}.",
                )
            named.setdefault(name, {})[int(partition)] = max(int(offset), earliest[name][int(partition)])
        return named
    try:
        time_ms = parse_rfc3339(begin)
    except ValueError:
        raise UsageError(
            f"{begin} is neither `earliest`, nor a time, nor offsets.",
            "Write a time as 2026-01-05T10:00:00Z, and offsets as orders:0:1200,orders:1:0.",
        ) from None
    return offsets_for_time(bootstrap_servers, client, topics, time_ms)


def replay(store: Store, records: Iterable[Record], rules: Rules, total: Replayed) -> None:
    """Match messages, with the clock of now, into `store`; add what became of them to `total`.

    Raises:
        StoreError: MongoDB refused or could not be reached. What was matched before stays; doing it again is harmless.
    """
    batch = list(records)
    messages = Messages(
        [record.value for record in batch],
        [record.topic for record in batch],
        [record.partition for record in batch],
        [record.offset for record in batch],
        [record.time_ms for record in batch],
    )
    # Without anything hot, every order is merged with what MongoDB holds.
    counts = match(messages, HotOrders(None, _NOTHING_HOT), time.time_ns() // 1_000_000, store, rules)
    for name in Replayed.__struct_fields__:
        setattr(total, name, getattr(total, name) + getattr(counts, name))
