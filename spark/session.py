"""The engine's own settings, in one place; what must be known before the JVM starts is given by who launches it."""

import pyspark
from pyspark.sql import SparkSession

from orders_platform.settings import Settings

_STREAMING = "org.apache.spark.sql.execution.streaming"


_EVERYWHERE = {
    "spark.sql.session.timeZone": "UTC",
    # A second copy of a task would do what the first one does: harmless, and twice the work.
    "spark.speculation": "false",
    "spark.python.daemon.module": "spark.daemon",
}


def build_session(settings: Settings, checkpoint: str) -> SparkSession:
    """Return the session of the matcher's driver."""
    return _session("orders-matcher", _options(settings, checkpoint))


def build_batch_session() -> SparkSession:
    """Return the session of a batch over what is stored."""
    return _session("orders-statements", {})


def _session(name: str, options: dict[str, str]) -> SparkSession:
    builder = SparkSession.Builder().appName(name)
    for option, value in (_EVERYWHERE | options).items():
        builder = builder.config(option, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    return spark


def _options(settings: Settings, checkpoint: str) -> dict[str, str]:
    options = {
        "spark.sql.shuffle.partitions": str(settings.matcher.buckets),
        # Deadlines are swept by the driver; a batch without data would be work for nothing.
        "spark.sql.streaming.noDataMicroBatches.enabled": "false",
        # Each batch keeps the hot orders whole; a hundred of them, Spark's default, would only fill the disk.
        "spark.sql.streaming.minBatchesToRetain": "10",
        # A bucket's messages as few frames: putting frames together costs more than their memory.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
    }
    if "://" not in checkpoint or checkpoint.startswith("file:"):
        # On a local disk a rename is atomic; the default manager forks a `readlink` for each of its many calls.
        package = _STREAMING if pyspark.__version__.startswith("4.0.") else f"{_STREAMING}.checkpointing"
        options["spark.sql.streaming.checkpointFileManagerClass"] = f"{package}.FileSystemBasedCheckpointFileManager"
    return options
