"""What a checkpoint fixes for its whole life, and what it says about offsets.

Works on every file system that Spark's Hadoop client knows, so the same code serves a laptop's disk and a bucket.
"""

import json
from typing import Any

from pyspark.sql import SparkSession

from orders_platform.errors import CheckpointError

LAYOUT_FILE = "layout.json"
LAYOUT_VERSION = 1
_REPAIR = (
    "Run `orders matcher repair`: it moves the checkpoint aside and starts from the kept offsets; nothing is lost."
)
_RESCALE = "Run `orders matcher rescale`: it begins a new checkpoint with the new number of buckets; nothing is lost."


def bucket_ids(buckets: int) -> list[int]:
    """Return one id a bucket, chosen so that Spark's hash of them sends each to a partition of its own."""
    ids: dict[int, int] = {}
    candidate = 0
    while len(ids) < buckets:
        ids.setdefault(spark_hash(candidate) % buckets, candidate)
        candidate += 1
    return [ids[partition] for partition in range(buckets)]


def spark_hash(value: int, seed: int = 42) -> int:
    """Return Spark SQL's `hash` of an integer column: Murmur3 (x86, 32 bit) of its four bytes, signed.

    Source: MurmurHash3 by Austin Appleby, public domain; seed 42 as in Spark's `HashPartitioning`.
    """
    mask = 0xFFFFFFFF
    mixed = (value & mask) * 0xCC9E2D51 & mask
    mixed = (mixed << 15 | mixed >> 17) & mask
    mixed = mixed * 0x1B873593 & mask
    hashed = seed ^ mixed
    hashed = (hashed << 13 | hashed >> 19) & mask
    hashed = (hashed * 5 + 0xE6546B64) & mask
    hashed ^= 4
    hashed ^= hashed >> 16
    hashed = hashed * 0x85EBCA6B & mask
    hashed ^= hashed >> 13
    hashed = hashed * 0xC2B2AE35 & mask
    hashed ^= hashed >> 16
    return hashed - (1 << 32) if hashed >= 1 << 31 else hashed


class Checkpoint:
    """A checkpoint directory, read and written through Spark's Hadoop file system."""

    def __init__(self, spark: SparkSession, path: str) -> None:
        # PySpark has no public door to Hadoop's file systems.
        self._jvm: Any = spark._jvm  # noqa: SLF001
        java_context: Any = spark._jsc  # noqa: SLF001
        self._directory = self._jvm.org.apache.hadoop.fs.Path(path)
        self._files = self._directory.getFileSystem(java_context.hadoopConfiguration())
        self.path = path

    def settle(self, layout: dict[str, Any]) -> None:
        """Record the layout in a new checkpoint, or compare it with the recorded one.

        Raises:
            CheckpointError: the checkpoint was made with another layout, or without one.
        """
        recorded = self._read(LAYOUT_FILE)
        if recorded is None:
            if self._files.exists(self._child("offsets")):
                raise CheckpointError(f"The checkpoint {self.path} has no {LAYOUT_FILE}.", _REPAIR)
            self._write(LAYOUT_FILE, json.dumps(layout, sort_keys=True))
            return
        try:
            before = json.loads(recorded)
        except ValueError:
            raise CheckpointError(f"{LAYOUT_FILE} of the checkpoint {self.path} is damaged.", _REPAIR) from None
        # What an earlier version fixed besides, this one does not depend on.
        changed = sorted(key for key, value in layout.items() if before.get(key) != value)
        if changed:
            told = ", ".join(f"{key} (was {before.get(key)}, is {layout.get(key)})" for key in changed)
            fix = _RESCALE if changed == ["bucket_ids"] else _REPAIR
            raise CheckpointError(f"The checkpoint was made with another layout: {told}.", fix)

    def end_offsets(self, batch_id: int) -> dict[str, dict[str, int]]:
        """Return where a batch ends: for every topic and partition the offset of the next message.

        Source: Spark's offset log, one line a source after the version and the metadata, Kafka's as JSON.
        """
        logged = self._read(f"offsets/{batch_id}")
        if logged is None:
            raise CheckpointError(f"The checkpoint {self.path} has no offsets of batch {batch_id}.", _REPAIR)
        return json.loads(logged.splitlines()[2])

    def _child(self, name: str) -> Any:
        return self._jvm.org.apache.hadoop.fs.Path(self._directory, name)

    def _read(self, name: str) -> str | None:
        path = self._child(name)
        if not self._files.exists(path):
            return None
        stream = self._files.open(path)
        try:
            return bytes(stream.readAllBytes()).decode()
        finally:
            stream.close()

    def _write(self, name: str, text: str) -> None:
        # A temporary name and a rename, so that a kill in between leaves no half-written layout.
        self._files.mkdirs(self._directory)
        temporary = self._child(f".{name}.tmp")
        stream = self._files.create(temporary, True)
        try:
            stream.write(text.encode())
        finally:
            stream.close()
        self._files.rename(temporary, self._child(name))
