"""Statements of many days as one batch: `spark-submit spark/statement_job.py FIRST LAST [--force]`, dates of days.

Executors count ranges of the orders' ids, all as of the driver's snapshot, by the functions that one process makes a
statement with; the driver adds up what they find and keeps each day's statement. Settings come from the environment.
Prints a JSON line for each step of progress and for each day, or for why it failed. Exit status: 0 all days are kept, 1
failed. Doing it again is harmless.
"""

import argparse
import hashlib
import json
import math
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import groupby
from typing import Any

import msgspec
import pyarrow as pa
from pyspark import StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from orders_platform.errors import OrdersError, SettingsError
from orders_platform.reports.counting import Counted, Counting
from orders_platform.reports.days import Day, day_of
from orders_platform.reports.making import Broker, make_days
from orders_platform.reports.parts import PartOfDays, Sum, Task, count_part
from orders_platform.reports.tally import Covered
from orders_platform.settings import Settings
from orders_platform.store import schema
from orders_platform.store.client import Store, connect, store_for_process
from orders_platform.store.day import IdRange, Reading, id_ranges
from spark.bucket_state import mongo_target
from spark.session import build_batch_session

ORDERS_PER_PART = 20_000
"""One part is counted in some seconds: little is done again where an executor is lost, and the rest is well spread."""
PARTS_PER_CORE = 2
ANSWER_S = 20.0
"""MongoDB may take six times as long to add up a large collection."""
PROGRESS_S = 1.0
_PART = -1
_FOUND = pa.schema([("day", pa.int32()), ("content", pa.binary())])
_LINES = pa.schema([("day", pa.int32()), ("events", pa.int64()), ("lines", pa.binary())])
_ROWS = 10_000


def say(**told: Any) -> None:
    """Print one JSON line for whoever started this."""
    print(json.dumps(told), flush=True)  # noqa: T201 - the launcher reads it


class SparkCounting:
    """Counts consecutive days over the executors."""

    def __init__(self, spark: SparkSession, store: Store) -> None:
        self._spark, self._store = spark, store

    def __call__(self, reading: Reading, counting: Counting, days: Sequence[Day]) -> list[Counted]:
        """Count all orders as of the reading's moment."""
        task = Task(reading.as_of(), days, counting.rules, counting.left_before_ms(days[0]))
        cores = self._spark.sparkContext.defaultParallelism
        ranges = id_ranges(self._store, max(PARTS_PER_CORE * cores, math.ceil(counting.stored / ORDERS_PER_PART)))
        # On the disk, as it is read twice: the parts by themselves, and the contents in their order.
        found = counted_parts(self._spark, task, ranges).persist(StorageLevel.DISK_ONLY)
        try:
            with _progress(self._spark, len(ranges)):
                found.count()
            total = Sum(task)
            for row in found.where(f"day = {_PART}").select("content").toLocalIterator(prefetchPartitions=True):
                total.add(msgspec.msgpack.decode(row["content"], type=PartOfDays))
            return total.counted(counting, hashed(found.where(f"day <> {_PART}"), len(days), cores))
        finally:
            found.unpersist()


def counted_parts(spark: SparkSession, task: Task, ranges: Sequence[IdRange]) -> DataFrame:
    """Return one row for each range, as MessagePack, and one for each event's canonical content."""

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for at in batch.column("id").to_pylist():
                store = store_for_process(*mongo_target(), timeout_s=ANSWER_S)
                part, contents = count_part(store, task, ranges[at])
                yield _rows(_PART, [msgspec.msgpack.encode(part)])
                for of_day, lines in enumerate(contents):
                    for begin in range(0, len(lines), _ROWS):
                        yield _rows(of_day, lines[begin : begin + _ROWS])

    return spark.range(0, len(ranges), 1, len(ranges)).mapInArrow(work, "day int, content binary")


def hashed(contents: DataFrame, days: int, partitions: int) -> list[Covered]:
    """Return each day's contents, counted and hashed. Spark sorts them; they pass through here as a stream."""
    hashes, events = [hashlib.sha256() for _ in range(days)], [0] * days
    ordered = contents.repartitionByRange(partitions, "day", "content").sortWithinPartitions("day", "content")
    for row in ordered.mapInArrow(_as_lines, "day int, events long, lines binary").toLocalIterator(True):
        hashes[row["day"]].update(row["lines"])
        events[row["day"]] += row["events"]
    return [Covered(count, digest.hexdigest()) for count, digest in zip(events, hashes, strict=True)]


def _as_lines(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        sorted_rows = zip(batch.column("day").to_pylist(), batch.column("content").to_pylist(), strict=True)
        for of_day, rows in groupby(sorted_rows, key=lambda row: row[0]):
            lines = [content + b"\n" for _, content in rows]
            yield pa.RecordBatch.from_arrays([[of_day], [len(lines)], [b"".join(lines)]], schema=_LINES)


def _rows(of_day: int, contents: list[bytes]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([[of_day] * len(contents), contents], schema=_FOUND)


@contextmanager
def _progress(spark: SparkSession, parts: int) -> Iterator[None]:
    """Say each second how many parts are counted."""
    over = threading.Event()

    def watch() -> None:
        tracker = spark.sparkContext.statusTracker()
        while not over.wait(PROGRESS_S):
            stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
            say(counted=max((stage.numCompletedTasks for stage in stages if stage is not None), default=0), of=parts)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _days(first: date, last: date, time_zone: str) -> list[Day]:
    if last < first:
        raise OrdersError(f"{last} lies before {first}.", "Name the first day, then the last.")
    return [day_of(first + timedelta(at), time_zone) for at in range((last - first).days + 1)]


def run(settings: Settings, first: date, last: date, *, force: bool) -> None:
    """Make and keep the statements of the days from the first to the last.

    Raises:
        OrdersError: a kept statement was made with other settings, or a service is away.
    """
    servers = settings.kafka.bootstrap_servers
    if servers is None:
        raise SettingsError("kafka.bootstrap_servers is not set.", "Set it: a statement says what is not read yet.")
    days = _days(first, last, settings.reports.time_zone)
    broker = Broker(servers, settings.kafka.client_properties(), settings.kafka.topics)
    store = connect(*mongo_target(), timeout_s=ANSWER_S)
    try:
        schema.migrate(store)
        spark = build_batch_session()
        try:
            made = make_days(store, broker, days, settings.matching.rules(), SparkCounting(spark, store), force=force)
        finally:
            spark.stop()
    finally:
        store.close()
    for each in made:
        its = each.statement
        say(date=its.date, verdict=its.verdict, revision=its.revision, is_new=each.is_new)


def _reason(error: Exception) -> str:
    """Return why in one line; what a worker raised stands at the end of its traceback in Spark's error."""
    said = [line for line in str(error).splitlines() if line.strip()]
    ours = [line.partition(": ")[2] for line in said if line.startswith("orders_platform.errors.")]
    return (ours or said or [type(error).__name__])[-1 if ours else 0]


def main(argv: Sequence[str]) -> int:
    """Do as the arguments say and return the exit status."""
    parser = argparse.ArgumentParser(prog="statement_job.py", description="Make the statements of consecutive days.")
    parser.add_argument("first", type=date.fromisoformat)
    parser.add_argument("last", type=date.fromisoformat)
    parser.add_argument("--force", action="store_true", help="also where the kept one was made with other settings")
    asked = parser.parse_args(argv)
    try:
        run(Settings.load(), asked.first, asked.last, force=asked.force)
    except (OrdersError, PySparkException) as error:
        traceback.print_exc()
        say(failed=_reason(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
