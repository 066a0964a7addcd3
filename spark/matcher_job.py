"""The matcher's driver: `spark-submit spark/matcher_job.py`, started and watched by the supervisor.

Reads everything from the environment: the settings, and `ORDERS_MATCHER_EPOCH`, `ORDERS_MATCHER_RUN` and, after a
repair, `ORDERS_MATCHER_START_OFFSETS`. Exit status: 0 asked to stop, 1 failed (the heartbeat says why), 3 deposed.
"""

import json
import os
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress

import msgspec
import psutil
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from orders_platform.errors import Deposed, OrdersError, ServiceUnavailable, SettingsError, StoreError
from orders_platform.matcher.bucket import Counts, add
from orders_platform.matcher.hot import Bounds
from orders_platform.matcher.sweep import PORTION_ORDERS, sweep
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store import recount
from orders_platform.store.client import Store, connect
from orders_platform.streams.offsets import behind, complete, end_offsets
from orders_platform.version import code_version
from spark.bucket_state import match_buckets, mongo_target
from spark.checkpoint import LAYOUT_VERSION, Checkpoint, bucket_ids
from spark.session import build_session
from spark.source import by_bucket, read_messages

LOOP_S = 1.0
ASK_KAFKA_S = 5.0
COUNT_AGAIN_S = 60.0
LEASE_TTL_S = 15.0
DRAIN_TIMEOUT_S = 60.0
PATIENCE_S = 60.0  # how long the loop bears with a MongoDB that is away; the supervisor sees the rest
EXIT_STOPPED, EXIT_FAILED, EXIT_DEPOSED = 0, 1, 3


class Driver:
    """One life of the matcher: holds the lease, runs the query, records batches, sweeps deadlines, heeds requests."""

    def __init__(self, settings: Settings, store: Store, epoch: int, run: str) -> None:
        self.settings = settings
        self.store = store
        self.epoch = epoch
        self.rules = settings.matching.rules()
        self.checkpoint_path = settings.matcher.checkpoint or str(settings.home / "checkpoint")
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{run}"
        self.totals = Counts()
        self.offsets: records.Offsets = {}
        self.batch_id: int | None = None
        self.begun = False
        self.asked_kafka_s = float("-inf")
        self.recording = threading.Lock()

    def run(self) -> int:
        """Work until asked to stop, deposed or failed; return the exit status.

        Raises:
            OrdersError, StreamingQueryException: why the matcher cannot go on.
        """
        # First of all: a second life of an epoch must not even renew the first one's lease.
        records.begin_heartbeat(self.store, self._first_heartbeat())
        records.renew_lease(self.store, self.epoch, self.holder, LEASE_TTL_S)
        if (beat := records.read_heartbeat(self.store)) is not None:
            self.offsets = beat.offsets  # of the driver before this one, until the first batch
        query = self._start(build_session(self.settings, self.checkpoint_path))
        threading.Thread(target=self._count_what_was_there, daemon=True).start()
        answered_s = time.monotonic()
        while query.isActive:
            try:
                if self._tend(query):
                    return EXIT_STOPPED
                answered_s = time.monotonic()
            except StoreError:
                if time.monotonic() - answered_s > PATIENCE_S:
                    raise
            time.sleep(LOOP_S)
        query.awaitTermination()  # raises what ended it
        return EXIT_FAILED

    def fail(self, reason: str) -> None:
        """Leave word of why this driver ends."""
        records.write_heartbeat(self.store, self.epoch, "failed", failure=reason)

    def _tend(self, query: StreamingQuery) -> bool:
        """Do what is due beside the batches; return whether the matcher was asked to stop, and has stopped."""
        records.renew_lease(self.store, self.epoch, self.holder, LEASE_TTL_S)
        if records.read_desired(self.store).state == "stopped":
            self._drain(query)
            return True
        clock_ms = time.time_ns() // 1_000_000
        # One bounded portion of the deadlines that have passed, so that the lease stays renewed.
        swept_all = sweep(self.store, clock_ms, self.rules) < PORTION_ORDERS
        records.write_heartbeat(
            self.store,
            self.epoch,
            self._state(query),
            events_behind=self._events_behind(),
            deadline_swept_to_ms=clock_ms if swept_all else None,
        )
        self._leave_sign()
        return False

    def _count_what_was_there(self) -> None:
        """Bring the running totals to a database from before them. By now whoever wrote without them is deposed."""
        while True:
            try:
                recount.count_what_was_there(self.store)
            except StoreError as error:
                print(error, file=sys.stderr)  # noqa: T201 - the log of a detached process
                time.sleep(COUNT_AGAIN_S)
            else:
                return

    def _leave_sign(self) -> None:
        """Touch the file whose age a probe looks at: every ten seconds, that must not cost the start of a Python."""
        sign = self.settings.home / "run" / "alive"
        with suppress(OSError):  # where nobody probes there may be no home to write to
            sign.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            sign.touch()

    def _state(self, query: StreamingQuery) -> str:
        """Return `running` from the first committed batch or the first look at topics that have nothing new."""
        self.begun = self.begun or self.batch_id is not None or query.status["message"].startswith("Waiting")
        return "running" if self.begun else "starting"

    def _first_heartbeat(self) -> records.Heartbeat:
        return records.Heartbeat(
            epoch=self.epoch,
            holder=self.holder,
            pid=os.getpid(),
            pid_started=psutil.Process().create_time(),
            state="starting",
            started_at_ms=0,
            alive_at_ms=0,
            code_version=code_version(),
            settings_hash=self.settings.fingerprint(),
            checkpoint=self.checkpoint_path,
            buckets=self.settings.matcher.buckets,
        )

    def _start(self, spark: SparkSession) -> StreamingQuery:
        matcher, kafka = self.settings.matcher, self.settings.kafka
        ids = bucket_ids(matcher.buckets)
        self.checkpoint = Checkpoint(spark, self.checkpoint_path)
        self.checkpoint.settle(
            {
                "layout": LAYOUT_VERSION,
                "hash": "xxhash64",
                "bucket_ids": ids,
                "topics": sorted(kafka.topics),
            }
        )
        messages = read_messages(
            spark,
            _bootstrap_servers(self.settings),
            kafka.client_properties(),
            kafka.topics,
            self._starting_offsets(),
            matcher.max_events_per_batch,
        )
        bounds = Bounds(matcher.hot_orders_max, matcher.hot_bytes_max)
        counts = match_buckets(by_bucket(messages, ids), self.rules, bounds)
        return (
            counts.writeStream.queryName("matcher")
            .outputMode("update")
            .option("checkpointLocation", self.checkpoint_path)
            .trigger(processingTime=f"{matcher.trigger_interval_ms} milliseconds")
            .foreachBatch(self._record)
            .start()
        )

    def _starting_offsets(self) -> str:
        """Return where a new checkpoint begins, in Spark's format; one that has batches goes on where it was."""
        kept = os.environ.get("ORDERS_MATCHER_START_OFFSETS")
        if kept is None:
            return self.settings.matcher.starting_offsets
        kafka = self.settings.kafka
        # Partitions may have been added since the offsets were kept.
        ends = end_offsets(_bootstrap_servers(self.settings), kafka.client_properties(), kafka.topics)
        return json.dumps(complete(json.loads(kept), ends))

    def _record(self, counts: DataFrame, batch_id: int) -> None:
        """Run the batch by its one action, then record it: only now is everything that it read durable."""
        started_s = time.monotonic()
        batch = add(*(msgspec.msgpack.decode(row["counts"], type=Counts) for row in counts.collect()))
        duration_ms = int((time.monotonic() - started_s) * 1000)
        with self.recording:
            self.offsets, self.batch_id = self.checkpoint.end_offsets(batch_id), batch_id
            self.totals = add(self.totals, batch)
            records.record_batch(
                self.store,
                self.epoch,
                batch_id,
                self.offsets,
                batch=batch,
                totals=self.totals,
                duration_ms=duration_ms,
            )

    def _events_behind(self) -> int | None:
        """Return how many messages wait, or None where it is not yet time to ask again or Kafka does not say."""
        if time.monotonic() - self.asked_kafka_s < ASK_KAFKA_S:
            return None
        self.asked_kafka_s = time.monotonic()
        kafka = self.settings.kafka
        try:
            ends = end_offsets(_bootstrap_servers(self.settings), kafka.client_properties(), kafka.topics)
        except ServiceUnavailable:
            return None
        with self.recording:
            return behind(ends, self.offsets, from_earliest=True)

    def _drain(self, query: StreamingQuery) -> None:
        """Stop between batches where possible; a batch that takes too long is cut off, and done again later."""
        deadline_s = time.monotonic() + DRAIN_TIMEOUT_S
        batch_id = self.batch_id
        while query.isActive and query.status["isTriggerActive"] and time.monotonic() < deadline_s:
            records.renew_lease(self.store, self.epoch, self.holder, LEASE_TTL_S)
            if self.batch_id != batch_id:
                break
            time.sleep(0.1)
        query.stop()
        records.write_heartbeat(self.store, self.epoch, "stopped")
        records.release_lease(self.store, self.epoch, self.holder)


def _bootstrap_servers(settings: Settings) -> str:
    servers = settings.kafka.bootstrap_servers
    if servers is None:
        raise SettingsError("ORDERS_KAFKA__BOOTSTRAP_SERVERS is not set.", "Start it with `orders matcher start`.")
    return servers


def main() -> int:
    """Run one driver and return its exit status."""
    epoch, run = int(os.environ["ORDERS_MATCHER_EPOCH"]), os.environ["ORDERS_MATCHER_RUN"]
    driver = Driver(Settings.load(), connect(*mongo_target()), epoch, run)
    try:
        return driver.run()
    except Deposed as deposed:
        print(deposed, file=sys.stderr)  # noqa: T201 - the log of a detached process
        return EXIT_DEPOSED
    except (OrdersError, StreamingQueryException) as error:
        traceback.print_exc()
        try:
            driver.fail(str(error).partition("=== Streaming Query ===")[0][-2000:])
        except OrdersError as unreachable:
            print(unreachable, file=sys.stderr)  # noqa: T201 - the log of a detached process
        return EXIT_FAILED


if __name__ == "__main__":
    # `sys.exit` would wait for py4j's threads; the exit status is what the supervisor goes by.
    status = main()
    sys.stderr.flush()
    os._exit(status)
