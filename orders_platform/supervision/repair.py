"""A damaged checkpoint is put aside, and the matcher begins a new one at the offsets that were last committed.

Nothing can be lost or counted twice by that: whatever is read again is merged again, which changes nothing. The offsets
are kept in a file until a driver has committed a batch with them; a driver that has a checkpoint does not look at them.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from orders_platform.errors import CheckpointError
from orders_platform.local.home import prepare, write_atomically, writing

Offsets = Mapping[str, Mapping[str, int]]
EARLIEST = -2
"""Kafka's word, in Spark's offset format, for the first message that is still there."""


def put_checkpoint_aside(checkpoint: Path) -> Path | None:
    """Rename the checkpoint's directory and return its new name, or None if there is none.

    Raises:
        CheckpointError: it can't be renamed.
    """
    if not checkpoint.exists():
        return None
    aside = checkpoint.with_name(f"{checkpoint.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    try:
        checkpoint.rename(aside)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {checkpoint} can't be moved aside: {error.strerror}.", "Mend its directory's permissions."
        ) from None
    return aside


def complete(offsets: Offsets, partitions: Mapping[str, Mapping[int, int]]) -> dict[str, dict[str, int]]:
    """Return an offset for every partition that exists, as Spark wants it: the first message where none is known."""
    return {
        topic: {str(partition): offsets.get(topic, {}).get(str(partition), EARLIEST) for partition in ends}
        for topic, ends in partitions.items()
    }


def keep_start_offsets(home: Path, offsets: Offsets) -> None:
    """Let the next driver that has no checkpoint begin at these offsets."""
    prepare(home)
    with writing(home):
        write_atomically(_file(home), msgspec.json.encode(offsets))


def kept_start_offsets(home: Path) -> Offsets | None:
    """Return the offsets to begin at without a checkpoint, or None for the setting's."""
    try:
        return msgspec.json.decode(_file(home).read_bytes(), type=dict[str, dict[str, int]])
    except (OSError, msgspec.DecodeError):
        return None


def forget_start_offsets(home: Path) -> None:
    """A driver has committed: its checkpoint knows better from now on."""
    _file(home).unlink(missing_ok=True)


def _file(home: Path) -> Path:
    return home / "run" / "start-offsets.json"
