"""The connection to MongoDB, with the guarantees that every writer of this package relies on."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from orders_platform.store.failures import bad_uri, translated

APPLICATION = "orders-platform"  # what our connections call themselves
# An acknowledged write survives kill -9 of any mongod. Anything less loses acknowledged writes of up to 100 ms.
DURABLE = WriteConcern(w="majority", j=True)
# Dates come back as `DatetimeMS`: `datetime` ends with the year 9999, a deadline may lie behind it.
CODEC = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
# For merging alone, which reads most: `datetime` where it can hold the date, as it is decoded faster.
FAST_CODEC = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


class Store:
    """One MongoDB database: durable writes, reads of what is durable.

    A transaction does not inherit these guarantees from its collections: `merge` sets them on the transaction.
    """

    def __init__(self, client: MongoClient[dict[str, Any]], database: str) -> None:
        """Use `database` of `client`; no call is made."""
        self.client = client
        self.database: Database[dict[str, Any]] = client.get_database(
            database,
            codec_options=CODEC,
            read_preference=ReadPreference.PRIMARY,
            write_concern=DURABLE,
            read_concern=ReadConcern("majority"),
        )
        self.orders: Collection[dict[str, Any]] = self.database["orders"]
        self.counters: Collection[dict[str, Any]] = self.database["counters"]
        self.dead_letters: Collection[dict[str, Any]] = self.database["dead_letters"]
        self.matcher: Collection[dict[str, Any]] = self.database["matcher"]
        self.breaks: Collection[dict[str, Any]] = self.database["breaks"]
        self.statements: Collection[dict[str, Any]] = self.database["statements"]
        self.carries: Collection[dict[str, Any]] = self.database["carries"]
        self.statement_breaks: Collection[dict[str, Any]] = self.database["statement_breaks"]

    def session(self) -> ClientSession:
        """Return a new session for a transaction."""
        return self.client.start_session(causal_consistency=False)

    def ping(self) -> None:
        """Ask the primary for a sign of life.

        Raises:
            StoreError: there is none, or it refuses us.
        """
        with translated():
            self.database.command("ping")

    def close(self) -> None:
        """Close all connections."""
        self.client.close()


def connect(uri: str, database: str, *, timeout_s: float = 5.0) -> Store:
    """Return a store at `uri`; nothing is sent before its first use.

    `timeout_s` bounds how long a call waits for a connection or a primary; an answer may take six times as long,
    as a bulk write under load does. Options in the URI win.

    Raises:
        FatalStoreError: `uri` is not a MongoDB URI.
    """
    timeout_ms = int(timeout_s * 1000)
    defaults: dict[str, Any] = {
        "appname": APPLICATION,
        "serverSelectionTimeoutMS": timeout_ms,
        "connectTimeoutMS": timeout_ms,
        "socketTimeoutMS": 6 * timeout_ms,
        "waitQueueTimeoutMS": timeout_ms,
        "maxPoolSize": 8,
        "retryWrites": True,
        "retryReads": True,
    }
    if not uri.startswith(("mongodb://", "mongodb+srv://")):
        raise bad_uri("scheme")
    try:
        given = {name.lower() for name, _ in parse_qsl(uri.partition("?")[2])}
        options = {name: value for name, value in defaults.items() if name.lower() not in given}
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # the driver would drop an option that it can't read
            return Store(MongoClient(uri, **options), database)
    except (PyMongoError, ValueError, TypeError, UserWarning) as error:
        # Without its cause: the driver's text may repeat parts of the URI, and with them a password.
        raise bad_uri(type(error).__name__) from None


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give all calls inside together this long, also to a server that hangs. They fail as `StoreError`."""
    with pymongo.timeout(seconds):
        yield


def store_for_process(uri: str, database: str, *, timeout_s: float = 5.0) -> Store:
    """Return this process's store, made at the first call: a client must not be carried over a fork.

    Raises:
        FatalStoreError: `uri` is not a MongoDB URI.
    """
    key = (os.getpid(), uri, database)
    store = _stores.get(key)
    if store is None:
        store = _stores[key] = connect(uri, database, timeout_s=timeout_s)
    return store


_stores: dict[tuple[int, str, str], Store] = {}
