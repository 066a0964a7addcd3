"""Statements and breaks in Dagster, made in this process from a real MongoDB and a real broker."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import pyarrow.parquet as pq
import pytest
from bson.int64 import Int64

from orders_platform.definitions import defs
from orders_platform.defs.reports import assets
from orders_platform.defs.run_checks import run_checks
from orders_platform.matching import Rules
from orders_platform.settings import Settings
from orders_platform.store import statements
from orders_platform.store.client import Store
from orders_platform.store.merge import Arrival, Change, merge
from orders_platform.streams.publish import Publisher
from orders_platform.times import MAX_MS
from orders_platform_tests import oracle
from orders_platform_tests.adversary import OPENING_MS
from orders_platform_tests.reports import shops
from orders_platform_tests.reports.shops import DAY_MS, HOUR_MS, event_of

pytestmark = pytest.mark.services
MONDAY, TUESDAY, WEDNESDAY = "2026-01-05", "2026-01-06", "2026-01-07"


@dataclass
class Office:
    """Who closes days: in this process, with an instance of his own."""

    settings: Settings
    store: Store
    instance: dg.DagsterInstance
    offset: int = 0

    def deliver(self, shop: shops.Shop) -> None:
        """Merge a shop's orders as if delivered one message after the other."""
        changes: list[Change] = []
        for order_id, its in shop.items():
            arrivals = [Arrival(event_of(each), "payments", 0, self.offset + at) for at, each in enumerate(its)]
            changes.append(Change(order_id, None, arrivals))
            self.offset += len(its)
        merge(self.store, changes, MAX_MS, Rules())

    def run(self, first: str, last: str | None = None, job: str = "close_day") -> dg.ExecuteInProcessResult:
        """Make a day, or several in one run as a backfill does."""
        several = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last or first}
        return (
            defs()
            .resolve_job_def(job)
            .execute_in_process(
                partition_key=None if last else first,
                tags=several if last else None,
                instance=self.instance,
                raise_on_error=False,
            )
        )


@pytest.fixture
def office(in_environment: Settings, store: Store) -> Iterator[Office]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Office(in_environment, store, instance)


def content(kind: str, order_id: str, at_ms: int, **fields: Any) -> oracle.Content:
    made = {"event_id": f"{order_id}-{kind}-{at_ms}", "type": kind, "order_id": order_id, "occurred_at": at_ms}
    return made | fields


def paid(order_id: str, at_ms: int, amount: int = 100) -> oracle.Content:
    return content("payment_captured", order_id, at_ms, amount_minor=amount, currency="EUR", payment_id=order_id)


def bought(order_id: str, at_ms: int, amount: int | None = 100) -> list[oracle.Content]:
    placed = content("order_placed", order_id, at_ms, amount_minor=100, currency="EUR")
    return [placed] if amount is None else [placed, paid(order_id, at_ms + 60_000, amount)]


def shown(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, dict[str, Any]]:
    """Return the metadata of an asset's materializations by day."""
    found = {}
    for event in result.get_asset_materialization_events():
        if event.asset_key == dg.AssetKey(asset):
            each = event.materialization
            found[str(each.partition)] = {name: value.value for name, value in each.metadata.items()}
    return found


def judged(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {each.check_name: each.passed for each in result.get_asset_check_evaluations()}


ALL_GREEN = dict.fromkeys(
    ("closes", "opens_as_closed", "unaltered", "ids_stable", "at_risk_not_negative", "open_as_stated"), True
)


def test_a_day_is_closed(office: Office) -> None:
    office.deliver({"a": bought("a", OPENING_MS), "b": bought("b", OPENING_MS, 70)})
    result = office.run(MONDAY)
    assert result.success
    assert judged(result) == ALL_GREEN
    told = shown(result, "daily_statement")[MONDAY]
    print(told)
    print(shown(result, "breaks"))
