"""What a round's decision takes: recording ends, starting and ending drivers. Only who holds the matcher may act."""

import msgspec

from orders_platform.errors import OrdersError
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store
from orders_platform.supervision.decide import DIED, STALLED, Restart, Start
from orders_platform.supervision.observe import Backend, Handle
from orders_platform.supervision.rounds import Identity, Sight

LEASE_TTL_S = 30.0
"""From taking the epoch to the driver's first renewal: the JVM's start."""


def record_ends(sight: Sight, store: Store, backend: Backend) -> list[str]:
    """Record the ends of lives that are over, once their leftovers are gone; return a sentence on each.

    Raises:
        OrdersError: MongoDB refused, or something that was left does not end.
    """
    told = []
    for over in sight.over:
        cleared = sight.facts.running is None and backend.clear_leftovers()
        records.add_start(store, over)
        left = "; what it left running was ended" if cleared else ""
        told.append(f"The matcher of epoch {over.epoch} is over after {over.lived_s:.0f} s ({over.end}){left}.")
    return told


def start(me: Identity, action: Start, sight: Sight, store: Store, backend: Backend) -> Handle:
    """Take the epoch, record the start, then start: in this order nothing that lives is ever off the record.

    Raises:
        Deposed: somebody else took the epoch since we looked.
        OrdersError: MongoDB refused, or the driver can't be started.
    """
    desired = sight.desired
    expected = 0 if sight.facts.lease is None else sight.facts.lease.epoch
    epoch = records.take_epoch(store, me.holder, LEASE_TTL_S, expected)
    begun = records.Start(
        epoch=epoch,
        attempt=action.attempt,
        at_ms=sight.now_ms,
        reason=action.reason,
        code_version=me.code_version,
        settings_hash=me.settings_hash,
        holder=me.holder,
        restart_token=None if desired is None else desired.restart_token,
        breaker_reset_at_ms=None if desired is None else desired.breaker_reset_at_ms,
    )
    records.add_start(store, begun)
    try:
        return backend.submit(epoch, action.attempt, records.read_checkpoint(store))
    except OrdersError:
        records.add_start(store, msgspec.structs.replace(begun, outcome="failed", lived_s=0.0, end=DIED))
        raise


def end(action: Restart, running: Handle, backend: Backend) -> None:
    """End the driver so that the next round starts another.

    Raises:
        StackError: it does not end.
    """
    # One that stalls may be stopped in its tracks: it would not answer a polite signal.
    backend.stop(running, drain=action.end != STALLED)
