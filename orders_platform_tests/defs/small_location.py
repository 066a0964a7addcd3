"""The code location of tests as Dagster's processes load it: all as it is, but for the matcher's program and pace."""

from dagster import DagsterRunStatus

from orders_platform.defs.matching import sensors
from orders_platform.supervision import errand
from orders_platform_tests.defs.ticking import small_definitions
from orders_platform_tests.supervision.conftest import QUICK

sensors.policy_of = lambda settings: QUICK
sensors._OPEN |= {DagsterRunStatus.STARTING: 15.0, DagsterRunStatus.STARTED: 5.0}
sensors.WATCH_S = 0.5
errand.policy_of = lambda settings: QUICK

defs = small_definitions()
