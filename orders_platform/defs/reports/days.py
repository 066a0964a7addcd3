"""Business days as partitions."""

from datetime import date

import dagster as dg

from orders_platform.errors import OrdersError
from orders_platform.reports.days import Day, day_of

FIRST_DAY = "2025-01-01"
"""A charge-back may come 540 days after its payment, so the days that can still change are there. `orders report` makes
older ones."""


def business_days(time_zone: str) -> dg.DailyPartitionsDefinition:
    """Return the days from midnight to midnight in a time zone, up to today, whose statement is provisional."""
    return dg.DailyPartitionsDefinition(FIRST_DAY, timezone=time_zone, end_offset=1)


def days_of(keys: list[str], loaded_zone: str, time_zone: str) -> list[Day]:
    """Return the days of partition keys, the oldest first.

    Raises:
        OrdersError: the partitions were loaded with another time zone than the settings now have.
    """
    if loaded_zone != time_zone:
        raise OrdersError(
            f"Dagster's days lie in {loaded_zone}, those of the settings in {time_zone}.",
            "Reload the code location in Dagster, or run `orders up`.",
        )
    return [day_of(date.fromisoformat(key), time_zone) for key in sorted(keys)]
