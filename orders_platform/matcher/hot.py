"""The hot orders of one bucket: a bounded cache of what MongoDB holds, flat, so that Spark can keep it as state.

It saves reading an order's events again when its next one comes. It is never the truth: a miss means "merge with
the stored document", and a stale entry is found out by its version.
"""

import msgspec

from orders_platform.errors import CheckpointError
from orders_platform.events import Event
from orders_platform.matching import View
from orders_platform.matching.breaks import Counted
from orders_platform.store.merge import Known

FORMAT_VERSION = 2
_EARLIER_VERSIONS = {1}
"""Formats that are not read any more. What they kept is left out, as a miss costs a read and nothing else."""


class Bounds(msgspec.Struct, frozen=True):
    """How much one bucket keeps hot: every batch reads and rewrites all of it."""

    orders_max: int
    bytes_max: int


class _Entry(msgspec.Struct, array_like=True, gc=False):
    version: int
    clock_ms: int
    overflow: bool
    open: bool
    figures: bytes
    counted: Counted
    events: list[Event]


class _State(msgspec.Struct, array_like=True):
    """Entries by order id, least recently touched first; their content stays packed until the order is touched."""

    waiting: dict[str, msgspec.Raw]
    settled: dict[str, msgspec.Raw]


_state_decoder = msgspec.msgpack.Decoder(_State)
_entry_decoder = msgspec.msgpack.Decoder(_Entry)
_encoder = msgspec.msgpack.Encoder()


class HotOrders:
    """A mapping of order id to `Known`, written to and read from one value of bytes."""

    def __init__(self, blob: bytes | None, bounds: Bounds) -> None:
        """Unpack `blob`, the result of an earlier `pack`, or start empty, as after a change of the format.

        Raises:
            CheckpointError: the blob has a format that this version does not read.
        """
        self._bounds = bounds
        self._state = _State({}, {})
        if blob is None or (version := next(iter(blob), None)) in _EARLIER_VERSIONS:
            return
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"The checkpoint keeps hot orders in format {version}, this version reads format {FORMAT_VERSION}.",
                "Run `orders matcher repair`: it starts a new checkpoint from the kept offsets, and nothing is lost.",
            )
        self._state = _state_decoder.decode(memoryview(blob)[1:])

    def __len__(self) -> int:
        return len(self._state.waiting) + len(self._state.settled)

    def get(self, order_id: str) -> Known | None:
        """Return what is cached of an order."""
        packed = self._state.waiting.get(order_id) or self._state.settled.get(order_id)
        if packed is None:
            return None
        entry = _entry_decoder.decode(packed)
        view = View(dict.fromkeys(entry.events), entry.clock_ms, entry.overflow)
        return Known(entry.version, view, entry.open, entry.figures, entry.counted)

    def put(self, order_id: str, known: Known) -> None:
        """Cache an order as the most recently touched one."""
        state, view = self._state, known.view
        state.waiting.pop(order_id, None)
        state.settled.pop(order_id, None)
        entry = _Entry(
            known.version,
            view.clock_ms,
            view.overflow,
            known.open,
            known.figures,
            known.counted,
            list(view.events),
        )
        (state.waiting if known.open else state.settled)[order_id] = msgspec.Raw(_encoder.encode(entry))

    def pack(self) -> bytes:
        """Return the cache within its bounds as bytes; settled orders leave first, then the longest untouched."""
        state = self._state
        size = sum(map(len, state.waiting.values())) + sum(map(len, state.settled.values()))
        while len(self) > self._bounds.orders_max or size > self._bounds.bytes_max:
            leaving = state.settled or state.waiting
            size -= len(leaving.pop(next(iter(leaving))))
        return bytes([FORMAT_VERSION]) + _encoder.encode(state)
