"""The artefact on a Spark of several processes: the real matcher runs from it, and finds nothing of the repository."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from orders_platform.deploy.package import Package
from orders_platform.store import lease, schema
from orders_platform.store import matcher_records as records
from orders_platform.store.client import connect
from orders_platform.streams.publish import Publisher
from orders_platform.version import code_version
from orders_platform_tests.conftest import RunningStack
from orders_platform_tests.deploy.engine import Engine, running

pytestmark = [pytest.mark.services, pytest.mark.spark, pytest.mark.timeout(600)]

ORDER = {
    "event_id": "event-1",
    "type": "order_placed",
    "order_id": "order-1",
    "occurred_at": "2026-01-05T10:00:00Z",
    "amount_minor": 12_500,
    "currency": "EUR",
}


def until(what: Callable[[], object], log: Path, timeout_s: float = 240.0) -> None:
    begun_s = time.monotonic()
    while not what():
        assert time.monotonic() - begun_s < timeout_s, log.read_text(errors="replace")[-6000:]
        time.sleep(0.2)


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def loaded(process: psutil.Process, words: str) -> set[Path]:
    """Return the native libraries of a process whose path has these words."""
    return {Path(part.path) for part in process.memory_maps() if words in part.path}


def test_every_package_of_the_archive_can_be_imported_and_dagster_can_not(package: Package, tmp_path: Path) -> None:
    engine = Engine(tmp_path, package)
    imports = "msgspec bson pymongo pydantic confluent_kafka psutil stamina grpc google.cloud.secretmanager"
    imports += " orders_platform.matcher.bucket orders_platform.settings"
    program = f"""
import importlib, importlib.util, sys
found = {{name: importlib.import_module(name).__file__ for name in {imports!r}.split()}}
assert all("/submitted/" in place for place in found.values()), found
assert importlib.util.find_spec("dagster") is None, sys.path
"""
    environment = engine.environment() | {"PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [engine.python, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_matcher_runs_from_the_wheel_and_the_archive(
    package: Package, stack: RunningStack, database: tuple[str, str], topics: tuple[str, str, str], tmp_path: Path
) -> None:
    engine, log, store = Engine(tmp_path, package), tmp_path / "log", connect(*database)
    schema.migrate(store)
    epoch = lease.take_epoch(store, "test", 60.0, 0)
    with Publisher(stack.bootstrap_servers, {}) as publisher:
        publisher.send(topics[0], None, json.dumps(ORDER).encode())
    environment = engine.environment(
        ORDERS_HOME=str(tmp_path / "home"),
        ORDERS_MATCHER_EPOCH=str(epoch),
        ORDERS_MATCHER_RUN=f"{epoch}-1",
        ORDERS_MATCHER__BUCKETS="2",
        ORDERS_MONGO__URI=database[0],
        ORDERS_MONGO__DATABASE=database[1],
        ORDERS_KAFKA__BOOTSTRAP_SERVERS=stack.bootstrap_servers,
        ORDERS_KAFKA__ORDERS_TOPIC=topics[0],
        ORDERS_KAFKA__PAYMENTS_TOPIC=topics[1],
        ORDERS_KAFKA__ADJUSTMENTS_TOPIC=topics[2],
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    try:
        with running(engine.submit("spark/matcher_job.py"), environment, empty, log) as driver:
            until(lambda: store.orders.find_one({"_id": "order-1"}) or driver.poll() is not None, log)
            assert driver.poll() is None, log.read_text(errors="replace")[-6000:]
            workers = [one for one in driver.children(recursive=True) if "spark.daemon" in words_of(one)]
            assert workers
            for worker in workers:
                # Each executor unpacked its own copy, in its own folder: nothing comes from where it was built.
                assert Path(worker.cwd()).is_relative_to(engine.work)
                assert any("dependencies/msgspec" in str(library) for library in loaded(worker, str(engine.work)))
                assert not loaded(worker, "site-packages/msgspec")
            beat = records.read_heartbeat(store)
            assert beat is not None
            assert beat.code_version == code_version()
            records.set_desired(store, state="stopped")
            assert driver.wait(120) == 0, log.read_text(errors="replace")[-6000:]
    finally:
        store.close()
