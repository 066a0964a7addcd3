"""The real services that tests use: one broker and one mongod a session, names of their own for each test."""

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from pymongo import MongoClient

from orders_platform.local import broker, mongod
from orders_platform.store import schema
from orders_platform.store.client import Store, connect
from orders_platform.streams.topics import ensure_topics
from orders_platform_tests.e2e.platform import Platform

_PREFIX = "orders-tests-"


def pytest_configure() -> None:
    """Heed Ctrl-C, and let the commands under test inherit that: a shell starts background jobs deaf to it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class RunningStack:
    """The session's services."""

    home: Path
    bootstrap_servers: str
    mongo_uri: str


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with Spark: its files take minutes, and the last of them would go on when all others are done."""
    items.sort(key=lambda item: "spark" not in item.path.parts)


@pytest.fixture(autouse=True)
def _settings_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith("ORDERS_") and name not in ("ORDERS_CACHE", "ORDERS_IVY_SETTINGS"):
            monkeypatch.delenv(name)


@pytest.fixture
def whole_platform(tmp_path: Path) -> Iterator[Platform]:
    """A platform of this test alone, driven through the command line; nothing of it runs yet."""
    made = Platform(tmp_path / "home")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    """One real broker and one real mongod."""
    _end_abandoned()
    home = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    try:
        with ThreadPoolExecutor(2) as pool:
            started = [pool.submit(broker.start, home), pool.submit(mongod.start, home)]
        for part in started:
            part.result()
        yield RunningStack(home, broker.bootstrap_servers(home), mongod.uri(home))
    finally:
        _end(home)


@pytest.fixture
def database(stack: RunningStack) -> Iterator[tuple[str, str]]:
    """The URI and the name of an empty database, dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    yield stack.mongo_uri, name
    with MongoClient(stack.mongo_uri) as client:
        client.drop_database(name)


@pytest.fixture
def store(database: tuple[str, str]) -> Iterator[Store]:
    """A migrated store in a database of the test's own."""
    store = connect(*database)
    try:
        schema.migrate(store)
        yield store
    finally:
        store.close()


@pytest.fixture
def topics(stack: RunningStack) -> tuple[str, str, str]:
    """Three new topics with two partitions each, in the order of orders, payments, adjustments."""
    prefix = f"test-{secrets.token_hex(6)}"
    names = (f"{prefix}-orders", f"{prefix}-payments", f"{prefix}-adjustments")
    ensure_topics(stack.bootstrap_servers, {}, names, 2)
    return names


def _end_abandoned() -> None:
    """End the services of sessions that were killed."""
    for home in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = home.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            _end(home)


def _end(home: Path) -> None:
    broker.stop(home)
    mongod.stop(home)
    shutil.rmtree(home, ignore_errors=True)
