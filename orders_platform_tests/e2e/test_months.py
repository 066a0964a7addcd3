"""Some days of two shops, as `python -m orders_platform_tests.e2e.months` lives through three months."""

from datetime import date

import pytest

from orders_platform.store.client import Store
from orders_platform_tests import statement_oracle
from orders_platform_tests.conftest import RunningStack
from orders_platform_tests.e2e.month_stream import Shop
from orders_platform_tests.e2e.months import RULES, run

pytestmark = pytest.mark.services


@pytest.mark.parametrize(
    ("first", "zone"), [(date(2025, 10, 23), "Europe/Berlin"), (date(2025, 2, 26), "UTC")], ids=["25 hours", "UTC"]
)
def test_days_are_what_the_oracle_says(stack: RunningStack, store: Store, first: date, zone: str) -> None:
    seen = run(store, stack.bootstrap_servers, Shop(first, 6, zone, 40, 25, RULES), lambda: None)
    assert seen["wrong"] == []
    # Nothing was left out that it is about.
    assert seen["days_closed_while_the_matcher_was_behind"] > 0
    assert seen["days_made_before_they_ended"] > 0
    assert seen["built_upon_the_day_before"] > seen["compared"] / 2
    assert seen["revisions"] > 5
    assert seen["late_events_named"] > seen["revisions"]
    assert {f"line {line}" for line in statement_oracle.LINES} <= seen["seen"].keys()
    assert {"breaks new", "breaks persisting", "breaks resolved", "dead letters"} <= seen["seen"].keys()
