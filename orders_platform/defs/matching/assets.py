"""The collection `orders`, which the matcher writes all the time."""

from datetime import timedelta

import dagster as dg

from orders_platform.defs.topics.assets import OWNERS, TOPICS

WARN_AFTER = timedelta(minutes=15)
FAIL_AFTER = timedelta(minutes=30)
"""The sensor vouches for the collection every ten minutes while the matcher is at work, and at no other time."""

matched_orders = dg.AssetSpec(
    "matched_orders",
    deps=list(TOPICS),
    description=(
        "One document per order in MongoDB: what is owed, paid, refunded and disputed, and why it does or doesn't add "
        "up. A Spark Structured Streaming job writes it all the time; the sensor `matcher_supervisor` keeps that job "
        "at work, and reports here what it has done. `orders trace ORDER_ID` explains one order."
    ),
    group_name="matching",
    kinds={"spark", "mongodb"},
    owners=OWNERS,
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=FAIL_AFTER, warn_window=WARN_AFTER),
    metadata={
        "collection": "orders",
        "fields": dg.MetadataValue.md("See *What an order's document says* in README.md."),
        "runbook": dg.MetadataValue.md("docs/operations.md"),
    },
)
