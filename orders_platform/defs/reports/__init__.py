"""The day's statement, its breaks, their checks, and what makes them."""

import dagster as dg

from orders_platform.defs.reports.assets import day_assets
from orders_platform.defs.reports.checks import day_checks
from orders_platform.defs.reports.days import business_days
from orders_platform.defs.reports.jobs import close_day, every_night, rebuild_day


def definitions(time_zone: str) -> dg.Definitions:
    """Return statements and breaks of the business days in a time zone."""
    days = business_days(time_zone)
    closing = close_day()
    return dg.Definitions(
        assets=day_assets(days),
        asset_checks=day_checks(),
        jobs=[closing, rebuild_day()],
        schedules=[every_night(closing, days)],
    )
