"""What Kafka's messages told, each at its place: the stored events held against it, so that none is there that no
message told."""

from array import array
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import NamedTuple

from orders_platform.events import Event, canonical
from orders_platform.store import documents
from orders_platform.store.client import Store
from orders_platform.store.failures import translated

_BATCH = 200  # documents a round trip: the largest have 500 events


class Doubtful(NamedTuple):
    """A stored event that no noted message told: its order, and where the message should be. `beyond` says that it
    should be behind all that were noted."""

    order_id: str
    topic: str
    partition: int
    offset: int
    beyond: bool


class Told:
    """The contents of the messages of some ranges of offsets, eight bytes for each."""

    def __init__(self, begins: Mapping[str, Mapping[int, int]], ends: Mapping[str, Mapping[int, int]]) -> None:
        """Begin with nothing told from `begins` (included) to `ends` (excluded), by topic and partition."""
        self._begins = {(topic, at): begin for topic, its in begins.items() for at, begin in its.items()}
        self._digests = {
            (topic, at): array("Q", bytes(8 * max(0, ends[topic][at] - begin)))
            for (topic, at), begin in self._begins.items()
        }

    def note(self, topic: str, partition: int, offset: int, event: Event) -> None:
        """Note the event of a message."""
        self._digests[topic, partition][offset - self._begins[topic, partition]] = _digest(event)

    def doubtful(self, store: Store) -> Iterator[Doubtful]:
        """Yield the stored events that are not what the message at their place told. What lies before the first of the
        noted messages can't be known any more.

        Raises:
            StoreError: MongoDB could not be reached.
        """
        with translated():
            for found in store.orders.find({}, {"events": 1}, batch_size=_BATCH):
                try:
                    arrivals = documents.arrivals(found)
                except documents.UNREADABLE:
                    continue
                for event, topic, partition, offset in arrivals:
                    place = offset - self._begins.get((topic, partition), offset + 1)
                    if place < 0:
                        continue
                    digests = self._digests[topic, partition]
                    beyond = place >= len(digests)
                    if beyond or digests[place] != _digest(event):
                        yield Doubtful(str(found["_id"]), topic, partition, offset, beyond)


def _digest(event: Event) -> int:
    return int.from_bytes(blake2b(canonical(event), digest_size=8).digest(), "little")
