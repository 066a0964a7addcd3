"""The stateful function that Spark calls for each bucket and batch, and its state: the bucket's hot orders."""

import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql.streaming.state import GroupState, GroupStateTimeout

from orders_platform.errors import SettingsError
from orders_platform.matcher.bucket import Messages, match
from orders_platform.matcher.hot import Bounds, HotOrders
from orders_platform.matching import Rules
from orders_platform.settings import Settings
from orders_platform.store.client import store_for_process

STATE_SCHEMA = "hot binary"
OUTPUT_SCHEMA = "bucket int, counts binary"


def match_buckets(bucketed: DataFrame, rules: Rules, bounds: Bounds) -> DataFrame:
    """Return one row a bucket and batch: its counts as MessagePack. The documents are written on the way."""

    def work(key: tuple[Any, ...], frames: Iterator[pd.DataFrame], state: GroupState) -> Iterator[pd.DataFrame]:
        hot = HotOrders(state.get[0] if state.exists else None, bounds)
        clock_ms, store = time.time_ns() // 1_000_000, store_for_process(*mongo_target())
        counts = match(_messages(frames), hot, clock_ms, store, rules, key[0])
        state.update((hot.pack(),))
        yield pd.DataFrame({"bucket": [key[0]], "counts": [msgspec.msgpack.encode(counts)]})

    return bucketed.groupBy("bucket").applyInPandasWithState(
        work, OUTPUT_SCHEMA, STATE_SCHEMA, "update", GroupStateTimeout.NoTimeout
    )


@cache
def mongo_target() -> tuple[str, str]:
    """Return MongoDB's URI and database from this process's environment: a secret is no part of a plan.

    Raises:
        SettingsError: the environment does not say.
    """
    mongo = Settings.load().mongo
    uri = mongo.given_uri()
    if uri is None:
        raise SettingsError("ORDERS_MONGO__URI is not set.", "Start the matcher with `orders matcher start`.")
    return uri, mongo.database


def _messages(frames: Iterator[pd.DataFrame]) -> Messages:
    columns: tuple[list[Any], ...] = ([], [], [], [], [])
    for frame in frames:
        for column, name in zip(columns, ("value", "topic", "partition", "offset", "time_ms"), strict=True):
            column.extend(frame[name].tolist())
    return Messages(*columns)
