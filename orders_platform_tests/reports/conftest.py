"""A broker with topics of the test's own, and a world."""

import pytest

from orders_platform.reports.making import Broker
from orders_platform.store.client import Store
from orders_platform_tests.conftest import RunningStack
from orders_platform_tests.reports.worlds import World


@pytest.fixture
def broker(stack: RunningStack, topics: tuple[str, str, str]) -> Broker:
    return Broker(stack.bootstrap_servers, {}, topics)


@pytest.fixture
def world(store: Store, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(store, broker, monkeypatch)
