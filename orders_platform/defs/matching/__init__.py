"""The matched orders, their checks, and what keeps the matcher at work."""

import dagster as dg

from orders_platform.defs.matching import upkeep
from orders_platform.defs.matching.assets import matched_orders
from orders_platform.defs.matching.checks import checks_of
from orders_platform.defs.matching.jobs import JOBS
from orders_platform.defs.matching.sensors import matcher_supervisor


def definitions() -> dg.Definitions:
    """Return the collection, its checks, the matcher's jobs and the sensor that supervises it."""
    return dg.Definitions(
        assets=[matched_orders],
        asset_checks=[checks_of("matched_orders")],
        jobs=[*JOBS, *upkeep.JOBS],
        sensors=[matcher_supervisor],
    )
