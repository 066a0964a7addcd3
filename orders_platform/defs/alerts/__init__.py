"""What people are told without looking: a sensor, and a hook for jobs."""

import dagster as dg

from orders_platform.defs.alerts.sensors import alerts


def definitions() -> dg.Definitions:
    """Return the sensor that tells."""
    return dg.Definitions(sensors=[alerts])
