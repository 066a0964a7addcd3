"""A home with real services and, where Spark is not what is tested, a small driver in its place."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from orders_platform.local import processes
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store, connect
from orders_platform.streams.publish import Publisher
from orders_platform.supervision.backends.local import LocalBackend, pid_of
from orders_platform.supervision.decide import Policy
from orders_platform.supervision.supervise import Supervisor
from orders_platform_tests.conftest import RunningStack

SMALL_DRIVER = Path(__file__).with_name("small_driver.py")
QUICK = Policy(first_pause_ms=1_000, stall_after_ms=3_000, grace_ms=4_000, drain_ms=8_000, worth_something_s=20.0)


class SmallBackend(LocalBackend):
    """The local backend as it is, but for the program that it starts.

    With `late` as the home's mode it hesitates: the epoch is taken, and nothing is started yet.
    """

    def _command(self, home: Path) -> list[str]:
        own = self._settings.home
        while (own / "mode").read_text() == "late":
            (own / "hesitates").touch()
            time.sleep(0.1)
        return [sys.executable, str(SMALL_DRIVER)]


@dataclass
class Platform:
    """One home under one supervisor in a thread."""

    settings: Settings
    store: Store
    backend: LocalBackend
    servers: str
    policy: Policy = QUICK
    said: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def supervise(self) -> None:
        supervisor = Supervisor(self.settings, self.said.append, self.policy, type(self.backend))
        self.ended = threading.Event()
        self.thread = threading.Thread(target=supervisor.run, args=(self.ended,), daemon=True)
        self.thread.start()

    def leave(self) -> None:
        self.ended.set()
        if self.thread is not None:
            self.thread.join(60)

    def mode(self, mode: str) -> None:
        self.settings.home.mkdir(exist_ok=True)
        (self.settings.home / "mode").write_text(mode)

    def publish(self, value: bytes = b"{}") -> None:
        with Publisher(self.servers, {}) as publisher:
            publisher.send(self.settings.kafka.orders_topic, None, value)

    def until(self, what: Callable[[], object], timeout_s: float = 30.0) -> float:
        """Return after how many seconds `what` became true."""
        begun_s = time.monotonic()
        while not what():
            assert time.monotonic() - begun_s < timeout_s, "\n".join([*self.said, *self._log()])
            time.sleep(0.1)
        return time.monotonic() - begun_s

    def committed(self, after_epoch: int = 0) -> bool:
        """Say whether a living driver of a later epoch has committed everything that is in the topics."""
        running, beat = self.backend.find(), records.read_heartbeat(self.store)
        return (
            running is not None
            and beat is not None
            and beat.epoch == running.epoch > after_epoch
            and beat.state == "running"
            and beat.committed_at_ms is not None
        )

    def epoch(self) -> int:
        running = self.backend.find()
        assert running is not None
        return running.epoch

    def epoch_pid(self) -> int:
        running = self.backend.find()
        assert running is not None
        return pid_of(running)

    def _log(self) -> list[str]:
        return [processes.log_tail(self.settings.home, name, 20) for name in ("matcher", "supervisor")]


def is_over(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def settings(stack: RunningStack, database: tuple[str, str], topics: tuple[str, str, str], tmp_path: Path) -> Settings:
    """The settings of a new home with the session's services."""
    uri, name = database
    orders, payments, adjustments = topics
    return Settings.load(
        {
            "home": str(tmp_path / "home"),
            "mongo": {"uri": uri, "database": name},
            "kafka": {
                "bootstrap_servers": stack.bootstrap_servers,
                "orders_topic": orders,
                "payments_topic": payments,
                "adjustments_topic": adjustments,
            },
        },
        {},
        tmp_path,
    )


@pytest.fixture
def in_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same settings as environment variables: what a driver and commands inherit."""
    uri = settings.mongo.given_uri()
    assert uri is not None
    assert settings.kafka.bootstrap_servers is not None
    for name, value in {
        "ORDERS_HOME": str(settings.home),
        "ORDERS_MONGO__URI": uri,
        "ORDERS_MONGO__DATABASE": settings.mongo.database,
        "ORDERS_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "ORDERS_KAFKA__ORDERS_TOPIC": settings.kafka.orders_topic,
        "ORDERS_KAFKA__PAYMENTS_TOPIC": settings.kafka.payments_topic,
        "ORDERS_KAFKA__ADJUSTMENTS_TOPIC": settings.kafka.adjustments_topic,
    }.items():
        monkeypatch.setenv(name, value)
    return settings


@pytest.fixture
def platform(in_environment: Settings) -> Iterator[Platform]:
    """A home whose matcher is the small driver; the supervisor is not yet started."""
    yield from _platform(in_environment, SmallBackend)


def _platform(settings: Settings, backend: type[LocalBackend], policy: Policy = QUICK) -> Iterator[Platform]:
    from orders_platform.local.stack import endpoints

    where = endpoints(settings)
    store = connect(where.mongo_uri, settings.mongo.database)
    made = Platform(settings, store, backend(settings, where), where.bootstrap_servers, policy)
    made.mode("work")
    try:
        yield made
    finally:
        made.leave()
        processes.stop(settings.home, "supervisor", timeout_s=5)
        processes.stop(settings.home, "matcher", timeout_s=0)
        store.close()
