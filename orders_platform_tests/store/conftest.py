"""A migrated store in a database of the test's own."""

from collections.abc import Iterator

import pytest

from orders_platform.store import schema
from orders_platform.store.client import Store, connect


@pytest.fixture
def store(database: tuple[str, str]) -> Iterator[Store]:
    store = connect(*database)
    try:
        schema.migrate(store)
        yield store
    finally:
        store.close()
