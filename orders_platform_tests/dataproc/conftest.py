"""A platform whose matcher lives on a Dataproc of this process."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store, connect
from orders_platform.streams.publish import Publisher
from orders_platform.supervision.backends.dataproc import DataprocBackend
from orders_platform.supervision.decide import Policy
from orders_platform.supervision.supervise import Supervisor
from orders_platform_tests.conftest import RunningStack
from orders_platform_tests.dataproc import fake as fakes
from orders_platform_tests.dataproc.fake import FakeDataproc
from orders_platform_tests.dataproc.runners import SmallRunner

PROJECT, REGION, CLUSTER, BUCKET = "a-project", "europe-west1", "a-cluster", "gs://a-bucket/orders"
QUICK = Policy(first_pause_ms=500, stall_after_ms=6_000, grace_ms=20_000, drain_ms=8_000, worth_something_s=20.0)


@dataclass
class Cloud:
    """A database, topics, and Dataproc; supervisors are started by the tests."""

    settings: Settings
    store: Store
    dataproc: FakeDataproc
    runner: SmallRunner
    said: list[str] = field(default_factory=list)
    _running: list[tuple[threading.Thread, threading.Event]] = field(default_factory=list)

    def backend(self) -> DataprocBackend:
        return DataprocBackend(self.settings)

    def supervise(self, home: Path | None = None, policy: Policy = QUICK) -> None:
        settings = self.settings if home is None else self.settings.model_copy(update={"home": home})
        ended = threading.Event()
        thread = threading.Thread(target=Supervisor(settings, self.said.append, policy).run, args=(ended,), daemon=True)
        thread.start()
        self._running.append((thread, ended))

    def leave(self) -> None:
        for _, ended in self._running:
            ended.set()
        for thread, _ in self._running:
            thread.join(120)
        self._running.clear()

    def publish(self, value: bytes = b"{}") -> None:
        with Publisher(str(self.settings.kafka.bootstrap_servers), {}) as publisher:
            publisher.send(self.settings.kafka.orders_topic, None, value)

    def until(self, what: Callable[[], object], timeout_s: float = 120.0) -> float:
        begun_s = time.monotonic()
        while not what():
            assert time.monotonic() - begun_s < timeout_s, "\n".join(self.said)
            time.sleep(0.1)
        return time.monotonic() - begun_s

    def at_work(self, after_epoch: int = 0) -> bool:
        """Say whether a driver of a later epoch beats and has committed."""
        beat = records.read_heartbeat(self.store)
        return beat is not None and beat.epoch > after_epoch and beat.committed_at_ms is not None

    def epoch(self) -> int:
        beat = records.read_heartbeat(self.store)
        return 0 if beat is None else beat.epoch


@pytest.fixture
def settings(stack: RunningStack, database: tuple[str, str], topics: tuple[str, str, str], tmp_path: Path) -> Settings:
    """The settings of a platform on Dataproc: MongoDB's address is a secret's."""
    return Settings.load(
        {
            "home": str(tmp_path / "home"),
            "mongo": {"uri_secret": f"projects/p/secrets/{database[1]}/versions/3", "database": database[1]},
            "kafka": {
                "bootstrap_servers": stack.bootstrap_servers,
                **dict(zip(("orders_topic", "payments_topic", "adjustments_topic"), topics, strict=True)),
            },
            "matcher": {"backend": "dataproc", "checkpoint": f"file://{tmp_path}/checkpoint"},
            "dataproc": {"project": PROJECT, "region": REGION, "cluster": CLUSTER, "bucket": BUCKET},
        },
        {},
        tmp_path,
    )


@pytest.fixture
def cloud(
    settings: Settings, database: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cloud]:
    runner = SmallRunner(tmp_path / "jobs", lambda: address)
    fake = FakeDataproc(runner, {CLUSTER}, {str(settings.mongo.uri_secret): database[0]})
    store = connect(*database)
    with fakes.serving(fake) as address:
        monkeypatch.setenv("ORDERS_GOOGLE_ENDPOINT", address)
        made = Cloud(settings, store, fake, runner)
        try:
            yield made
        finally:
            made.leave()
            store.close()
