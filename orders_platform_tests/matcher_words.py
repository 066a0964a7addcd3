"""What a matcher leaves in MongoDB, for tests that need its word and not its work."""

from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store
from orders_platform.streams.offsets import Positions


def begins(store: Store, epoch: int = 1) -> None:
    """Leave the first heartbeat of an epoch's matcher."""
    beat = records.Heartbeat(
        epoch=epoch,
        holder="a-test",
        pid=1,
        pid_started=1.0,
        state="running",
        code_version="1",
        settings_hash="",
        checkpoint="",
    )
    records.begin_heartbeat(store, beat)


def has_read(store: Store, offsets: records.Offsets, epoch: int = 1) -> None:
    """Begin a matcher and record one batch up to these offsets."""
    begins(store, epoch)
    records.record_batch(store, epoch, 1, offsets, batch={}, totals={}, duration_ms=1)


def as_offsets(positions: Positions) -> dict[str, dict[str, int]]:
    """Return Kafka's positions as a matcher records them."""
    return {topic: {str(at): end for at, end in its.items()} for topic, its in positions.items()}
