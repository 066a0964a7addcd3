"""The connection: its guarantees, its bounds, and forks."""

import multiprocessing
import time
from typing import Any

import pytest

from orders_platform.errors import FatalStoreError, RetryableStoreError
from orders_platform.store.client import connect, store_for_process

FORK = multiprocessing.get_context("fork")


def test_writes_are_durable_and_reads_too() -> None:
    store = connect("mongodb://127.0.0.1:1/?w=1", "db")
    for collection in (store.orders, store.dead_letters, store.matcher):
        assert collection.write_concern.document == {"w": "majority", "j": True}
        assert collection.read_concern.document == {"level": "majority"}
    assert store.client.options.retry_writes
    assert store.client.options.pool_options.appname == "orders-platform"
    store.close()


def test_options_in_the_uri_win() -> None:
    store = connect("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=123&appName=mine&maxpoolsize=3", "db")
    options = store.client.options
    assert (options.server_selection_timeout, options.pool_options.max_pool_size) == (0.123, 3)
    assert options.pool_options.appname == "mine"
    assert options.pool_options.connect_timeout == 5.0
    store.close()


def test_a_bad_uri_is_refused_without_repeating_it() -> None:
    for uri in (
        "mongodb://user:hunter2@@@",
        "http://user:hunter2@db",
        "mongodb://user:hunter2@db:port",
        "mongodb://user:hunter2@db/?maxPoolSize=many",
        "mongodb://user:hunter2@db/?tls=hunter2",
        "",
    ):
        with pytest.raises(FatalStoreError, match="ORDERS_MONGO__URI") as raised:
            connect(uri, "db")
        assert "hunter2" not in str(raised.value)


def test_nobody_there_is_said_in_time() -> None:
    store = connect("mongodb://127.0.0.1:1/", "db", timeout_s=0.3)
    started = time.monotonic()
    with pytest.raises(RetryableStoreError, match="mongod runs"):
        store.ping()
    assert time.monotonic() - started < 25  # the driver's own patience is 30 s
    store.close()


def _ping(target: tuple[str, str], inherited: int, results: Any) -> None:
    store = store_for_process(*target)
    results.put((id(store) != inherited, store_for_process(*target) is store, store.ping()))


@pytest.mark.services
def test_a_forked_worker_gets_a_client_of_its_own(database: tuple[str, str]) -> None:
    store = store_for_process(*database)
    store.ping()
    assert store_for_process(*database) is store
    results = FORK.SimpleQueue()
    worker = FORK.Process(target=_ping, args=(database, id(store), results))
    worker.start()
    worker.join(30)
    assert worker.exitcode == 0
    assert results.get() == (True, True, None)
    store.close()
