"""A broker with topics of the test's own."""

import pytest

from orders_platform.reports.making import Broker
from orders_platform_tests.conftest import RunningStack


@pytest.fixture
def broker(stack: RunningStack, topics: tuple[str, str, str]) -> Broker:
    return Broker(stack.bootstrap_servers, {}, topics)
