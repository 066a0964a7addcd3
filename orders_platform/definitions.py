"""The code location: `workspace.yaml` and `[tool.dg]` name this module."""

import dagster as dg

from orders_platform.defs import matching, topics
from orders_platform.defs.resources import RESOURCES

defs: dg.Definitions = dg.Definitions.merge(
    topics.definitions(), matching.definitions(), dg.Definitions(resources=RESOURCES, executor=dg.in_process_executor)
)
