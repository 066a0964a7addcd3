"""The store of a command."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orders_platform.settings import Settings
    from orders_platform.store.client import Store


@contextmanager
def store_of(settings: "Settings", *, timeout_s: float = 5.0) -> "Iterator[Store]":
    """Connect to the MongoDB that the settings name, else to this home's, and let go of it afterwards.

    Raises:
        StackError: this home's MongoDB is needed and does not run.
    """
    from orders_platform.local.stack import mongo_uri
    from orders_platform.store.client import connect

    store = connect(mongo_uri(settings), settings.mongo.database, timeout_s=timeout_s)
    try:
        yield store
    finally:
        store.close()
