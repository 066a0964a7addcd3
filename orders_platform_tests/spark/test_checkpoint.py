"""What a checkpoint fixes, and that our hash is Spark's."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that every PySpark reader expects

from orders_platform.errors import CheckpointError
from spark.checkpoint import LAYOUT_FILE, Checkpoint, bucket_ids, spark_hash
from spark.source import by_bucket

pytestmark = [
    pytest.mark.spark,
    # PySpark leaves its own sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

LAYOUT = {"layout": 1, "bucket_ids": [2, 0]}


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    session = (
        SparkSession.Builder()
        .master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    yield session
    session.stop()


def test_our_hash_of_an_integer_is_sparks(spark: SparkSession) -> None:
    values = [0, 1, 2, 7, 1_000_003, -1, -(2**31), 2**31 - 1]
    rows = spark.createDataFrame([(value,) for value in values], "value int").select(
        "value", F.hash("value").alias("hash")
    )
    assert {row["value"]: row["hash"] for row in rows.collect()} == {value: spark_hash(value) for value in values}


@pytest.mark.parametrize("buckets", [1, 2, 4, 7, 32])
def test_each_bucket_gets_a_partition_of_its_own(buckets: int) -> None:
    ids = bucket_ids(buckets)
    assert [spark_hash(bucket) % buckets for bucket in ids] == list(range(buckets))


def test_messages_go_by_their_key_else_by_the_order_in_their_value(spark: SparkSession) -> None:
    ids = bucket_ids(4)
    columns = "key binary, value binary, topic string, partition int, offset long, timestamp timestamp"
    body = b'{"order_id":"order-17","note":"x"}'
    rows = [(b"order-17", b"junk"), (None, body), (None, b"junk"), (None, None), (b"", body)]
    frame = spark.createDataFrame(
        [(key, value, "orders", 0, at, None) for at, (key, value) in enumerate(rows)], columns
    )
    buckets = [row["bucket"] for row in by_bucket(frame, ids).orderBy("offset").collect()]
    assert set(buckets) <= set(ids)
    assert buckets[0] == buckets[1]
    assert buckets[2] == buckets[3] == buckets[4]


def test_a_layout_is_recorded_once_and_another_one_refused(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    Checkpoint(spark, str(path)).settle(LAYOUT)
    Checkpoint(spark, str(path)).settle(LAYOUT)
    with pytest.raises(CheckpointError, match=r"bucket_ids \(was \[2, 0\], is \[0\]\).*rescale"):
        Checkpoint(spark, str(path)).settle(LAYOUT | {"bucket_ids": [0]})
    assert json.loads((path / LAYOUT_FILE).read_text()) == LAYOUT


def test_what_an_earlier_version_fixed_besides_is_let_go(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / LAYOUT_FILE).write_text(json.dumps(LAYOUT | {"hot_format": 1}))
    Checkpoint(spark, str(tmp_path)).settle(LAYOUT)


@pytest.mark.parametrize("damage", ["", "{", None])
def test_a_damaged_or_missing_layout_is_refused(spark: SparkSession, tmp_path: Path, damage: str | None) -> None:
    (tmp_path / "offsets").mkdir()
    if damage is not None:
        (tmp_path / LAYOUT_FILE).write_text(damage)
    with pytest.raises(CheckpointError, match="orders matcher repair"):
        Checkpoint(spark, str(tmp_path)).settle(LAYOUT)


def test_the_end_of_a_batch_is_read_from_sparks_own_log(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "offsets").mkdir()
    (tmp_path / "offsets" / "3").write_text('v1\n{"batchWatermarkMs":0}\n{"orders":{"1":7,"0":12}}')
    checkpoint = Checkpoint(spark, str(tmp_path))
    assert checkpoint.end_offsets(3) == {"orders": {"0": 12, "1": 7}}
    with pytest.raises(CheckpointError, match="no offsets of batch 4"):
        checkpoint.end_offsets(4)
