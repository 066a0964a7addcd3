"""The topics, as assets that others produce."""

import dagster as dg

from orders_platform.defs.matching.checks import checks_of
from orders_platform.defs.topics.assets import TOPICS, topic_specs


def definitions() -> dg.Definitions:
    """Return the topics and their checks."""
    return dg.Definitions(assets=topic_specs(), asset_checks=[checks_of(topic) for topic in TOPICS])
