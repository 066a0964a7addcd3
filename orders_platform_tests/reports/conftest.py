"""A migrated store and topics of the test's own."""

from collections.abc import Iterator

import pytest

from orders_platform.reports.making import Broker
from orders_platform.store import schema
from orders_platform.store.client import Store, connect
from orders_platform_tests.conftest import RunningStack


@pytest.fixture
def store(database: tuple[str, str]) -> Iterator[Store]:
    store = connect(*database)
    try:
        schema.migrate(store)
        yield store
    finally:
        store.close()


@pytest.fixture
def broker(stack: RunningStack, topics: tuple[str, str, str]) -> Broker:
    return Broker(stack.bootstrap_servers, {}, topics)
