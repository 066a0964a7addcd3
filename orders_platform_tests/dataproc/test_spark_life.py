"""The real matcher as a Dataproc job: from the bucket's artefact, on a real Spark, killed, and back where it was.

How long a killed driver is away is printed (`pytest -s`).
"""

import os
import shutil
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orders_platform.deploy.package import Package
from orders_platform.events import canonical
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store import queries, schema
from orders_platform.store.client import connect
from orders_platform.supervision.backends.release import release
from orders_platform.supervision.decide import Policy
from orders_platform_tests.dataproc import fake as fakes
from orders_platform_tests.dataproc.conftest import BUCKET, CLUSTER, Cloud
from orders_platform_tests.dataproc.fake import FakeDataproc
from orders_platform_tests.dataproc.runners import SparkRunner
from orders_platform_tests.deploy.conftest import package  # noqa: F401 - a fixture
from orders_platform_tests.store.deliveries import paid, placed

pytestmark = [pytest.mark.services, pytest.mark.timeout(1200)]
PATIENT = Policy(grace_ms=600_000)
WITHIN_S = 240.0


def upload(made: Package, objects: Path) -> None:
    """Put an artefact where a deployment puts it."""
    its = release(BUCKET)
    with zipfile.ZipFile(made.wheel) as wheel:
        main, statements = (wheel.read(f"spark/{name}_job.py") for name in ("matcher", "statement"))
    for uri, content in (
        (its.main, main),
        (its.statements, statements),
        (its.wheel, made.wheel.read_bytes()),
        (its.dependencies, made.dependencies.read_bytes()),
    ):
        place = objects / uri.removeprefix("gs://")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


@pytest.fixture
def real_cloud(
    package: Package,  # noqa: F811
    settings: Settings,
    database: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Cloud]:
    (tmp_path / "jobs").mkdir()
    upload(package, tmp_path / "objects")
    runner = SparkRunner(tmp_path / "jobs", tmp_path / "objects", lambda: address)
    fake = FakeDataproc(runner, {CLUSTER}, {str(settings.mongo.uri_secret): database[0]})
    store = connect(*database)
    schema.migrate(store)
    with fakes.serving(fake) as address:
        monkeypatch.setenv("ORDERS_GOOGLE_ENDPOINT", address)
        made = Cloud(settings, store, fake, runner)  # type: ignore[arg-type]
        try:
            yield made
        finally:
            made.leave()
            store.close()


def test_it_matches_is_killed_and_goes_on_from_its_checkpoint(real_cloud: Cloud, tmp_path: Path) -> None:
    cloud = real_cloud

    def log() -> str:
        logs = sorted((tmp_path / "jobs").glob("orders-*/log"))
        return "\n".join([*cloud.said, *(each.read_text(errors="replace")[-3000:] for each in logs)])

    def until_stored(status: str, *order_ids: str) -> float:
        begun_s = time.monotonic()
        while True:
            found = [queries.order(cloud.store, each) for each in order_ids]
            if all(each is not None and each.document.status == status for each in found):
                return time.monotonic() - begun_s
            assert time.monotonic() - begun_s < WITHIN_S, log()
            time.sleep(0.2)

    cloud.supervise(policy=PATIENT)
    for name in ("a", "b"):
        cloud.publish(canonical(placed(name)))
    until_stored("unpaid", "a", "b")
    first = records.read_heartbeat(cloud.store)
    assert first is not None
    cloud.until(cloud.at_work)
    os.kill(cloud.dataproc.processes["orders-1-1"].pid, signal.SIGKILL)
    for name in ("a", "b"):
        cloud.publish(canonical(paid(name)))
    away_s = until_stored("matched", "a", "b")
    print(f"\nback after {away_s:.1f} s (load {os.getloadavg()[0]:.1f})")
    second = records.read_heartbeat(cloud.store)
    assert second is not None
    assert second.epoch > first.epoch
    assert second.checkpoint == first.checkpoint
    exported = list(queries.export_orders(cloud.store))
    assert [(each["order_id"], each["event_count"]) for each in exported] == [("a", 2), ("b", 2)]
    records.set_desired(cloud.store, state="stopped", reason="a test")
    cloud.until(lambda: not cloud.dataproc.active(), WITHIN_S)
    last = max(cloud.dataproc.jobs, key=lambda name: int(name.split("-")[1]))
    assert cloud.dataproc.states(last)[-1] == "DONE"
    shutil.rmtree(tmp_path / "jobs", ignore_errors=True)
