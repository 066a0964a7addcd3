"""The code location: `workspace.yaml` and `[tool.dg]` name this module."""

import dagster as dg

from orders_platform.defs import alerts, matching, reports, topics
from orders_platform.defs.resources import RESOURCES
from orders_platform.settings import Settings


@dg.definitions
def defs() -> dg.Definitions:
    """Return everything. Dagster calls this when it loads the code location, and not before: the business days that
    the statements are partitioned by lie in the time zone of the settings.

    Raises:
        SettingsError: a key is unknown or a value is not what its key takes.
    """
    settings = Settings.load()
    return dg.Definitions.merge(
        topics.definitions(),
        matching.definitions(),
        reports.definitions(settings.reports.time_zone),
        alerts.definitions(),
        dg.Definitions(resources=RESOURCES, executor=dg.in_process_executor),
    )
