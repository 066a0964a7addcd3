"""A real broker and a real mongod: started, found, killed, moved, purged."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pymongo import MongoClient

from orders_platform.errors import StackError
from orders_platform.local import broker, mongod, processes, stack
from orders_platform.local import home as homes
from orders_platform.settings import Settings
from orders_platform.streams.offsets import end_offsets
from orders_platform.streams.publish import Publisher
from orders_platform_tests.conftest import RunningStack

pytestmark = pytest.mark.services

SERVICES = frozenset({"kafka", "mongo"})
MakeSettings = Callable[..., Settings]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeSettings]:
    """Makes settings of a home of its own; what runs there is ended afterwards."""
    made: list[Settings] = []

    def settings(name: str = "home", **environ: str) -> Settings:
        environ |= {"ORDERS_HOME": str(tmp_path / name)}
        made.append(Settings.load(environ=environ, root=tmp_path))
        return made[-1]

    yield settings
    for one in made:
        stack.down(one)


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def pid(settings: Settings, name: str) -> int | None:
    found = processes.find(settings.home, name)
    return None if found is None else found.pid


def publish(settings: Settings, value: bytes) -> None:
    with Publisher(stack.endpoints(settings).bootstrap_servers, {}) as publisher:
        publisher.send("orders", b"k", value)
        publisher.flush()


def published(settings: Settings) -> int:
    ends = end_offsets(stack.endpoints(settings).bootstrap_servers, {}, ["orders"])
    return sum(ends["orders"].values())


def ours(home: Path) -> list[psutil.Process]:
    """Everything alive that was started for this home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(processes.MARKER, "").startswith(f"{home.resolve()}:"):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_up_twice_changes_nothing_and_down_ends_it(make: MakeSettings) -> None:
    settings = make()
    stack.up(settings, SERVICES)
    before = {name: pid(settings, name) for name in SERVICES}
    assert None not in before.values()
    where = stack.endpoints(settings)
    stack.up(settings, SERVICES)
    assert {name: pid(settings, name) for name in SERVICES} == before
    assert stack.endpoints(settings) == where
    assert stack.down(settings) == ["kafka", "mongo"]
    assert not ours(settings.home)
    assert stack.down(settings) == []
    with pytest.raises(StackError, match="orders up"):
        stack.endpoints(settings)


def test_kill_9_of_both_loses_nothing_and_they_come_back_where_they_were(make: MakeSettings) -> None:
    settings = make()
    stack.up(settings, SERVICES)
    where = stack.endpoints(settings)
    publish(settings, b"one")
    with MongoClient(where.mongo_uri) as client:
        client.get_database("kept", write_concern=None).things.insert_one({"_id": 1})
    for name in SERVICES:
        os.kill(pid(settings, name) or 0, signal.SIGKILL)
    stack.up(settings, SERVICES)
    assert stack.endpoints(settings) == where
    assert published(settings) == 1
    with MongoClient(where.mongo_uri) as client:
        assert client.kept.things.count_documents({}) == 1


def test_two_homes_run_side_by_side(make: MakeSettings) -> None:
    first, second = make("first"), make("second")
    stack.up(first, {"mongo"})
    stack.up(second, {"mongo"})
    assert mongod.uri(first.home) != mongod.uri(second.home)
    stack.down(first)
    assert pid(second, "mongo") is not None
    with MongoClient(mongod.uri(second.home)) as client:
        client.alive.things.insert_one({})


def test_taken_ports_are_left_and_the_data_comes_along(make: MakeSettings, listening: int) -> None:
    settings = make()
    stack.up(settings, SERVICES)
    publish(settings, b"one")
    with MongoClient(mongod.uri(settings.home)) as client:
        client.kept.things.insert_one({"_id": 1})
    stack.down(settings)
    (settings.home / "run" / "ports.json").write_text(
        f'{{"kafka": {listening}, "kafka_controller": {listening}, "mongo": {listening}}}'
    )
    stack.up(settings, SERVICES)
    assert str(listening) not in broker.bootstrap_servers(settings.home)
    assert published(settings) == 1
    with MongoClient(mongod.uri(settings.home)) as client:
        assert client.kept.things.count_documents({}) == 1


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_set_port_that_is_taken_ends_in_a_sentence(make: MakeSettings, listening: int, name: str) -> None:
    settings = make(**{f"ORDERS_LOCAL__{name.upper()}_PORT": str(listening)})
    with pytest.raises(StackError, match=f"Port {listening}, set for {name}, is taken"):
        stack.up(settings, {name})
    assert not ours(settings.home)


def test_purge_deletes_what_the_platform_made_and_nothing_else(make: MakeSettings) -> None:
    settings = make()
    stack.up(settings, {"mongo"})
    (settings.home / "notes.txt").write_text("mine")
    stack.down(settings, purge=True)
    assert [path.name for path in settings.home.iterdir()] == ["notes.txt"]
    (settings.home / "notes.txt").unlink()
    stack.up(settings, {"mongo"})
    stack.down(settings, purge=True)
    assert not settings.home.exists()


def test_services_named_by_settings_are_used_and_not_started(
    make: MakeSettings, stack_of_session: RunningStack, database: tuple[str, str], topics: tuple[str, str, str]
) -> None:
    settings = make(
        ORDERS_KAFKA__BOOTSTRAP_SERVERS=stack_of_session.bootstrap_servers,
        ORDERS_KAFKA__ORDERS_TOPIC=f"{topics[0]}-new",
        ORDERS_KAFKA__PAYMENTS_TOPIC=topics[1],
        ORDERS_KAFKA__ADJUSTMENTS_TOPIC=topics[2],
        ORDERS_MONGO__URI=database[0],
        ORDERS_MONGO__DATABASE=database[1],
    )
    stack.up(settings, SERVICES)
    assert not ours(settings.home)
    assert end_offsets(stack_of_session.bootstrap_servers, {}, [f"{topics[0]}-new"])
    with MongoClient(database[0]) as client:
        assert "orders" in client[database[1]].list_collection_names()


@pytest.fixture
def stack_of_session(request: pytest.FixtureRequest) -> RunningStack:
    """The session's services; the name `stack` is the module's here."""
    return request.getfixturevalue("stack")


def test_storage_that_was_made_half_is_made_anew(make: MakeSettings) -> None:
    settings = make()
    half = settings.home / "kafka" / "data.new"
    half.mkdir(parents=True)
    (half / "bootstrap.checkpoint").write_bytes(b"half")
    broker.start(settings.home)
    assert not half.exists()
    assert broker.answers(homes.Ports(settings.home).recorded()["kafka"])


def test_a_broker_that_can_not_start_says_where_to_read_why(make: MakeSettings) -> None:
    settings = make()
    broker.start(settings.home)
    broker.stop(settings.home)
    (settings.home / "kafka" / "data" / "meta.properties").write_text("version=1\ncluster.id=another\nnode.id=7\n")
    with pytest.raises(StackError, match=r"(?s)Kafka ended while it started: .*kafka\.log"):
        broker.start(settings.home)


def test_a_mongod_that_can_not_start_says_where_to_read_why(make: MakeSettings) -> None:
    settings = make()
    (settings.home / "mongo").mkdir(parents=True)
    (settings.home / "mongo" / "storage.bson").write_text("not a database")
    with pytest.raises(
        StackError, match=r"MongoDB ended while it started: Unable to read the storage engine metadata file.*mongo\.log"
    ):
        mongod.start(settings.home)


@pytest.mark.parametrize("after_s", [0.6, 1.5, 2.5])
def test_an_up_that_was_killed_half_way_is_taken_up_and_leaves_nothing(make: MakeSettings, after_s: float) -> None:
    settings = make()
    command = [sys.executable, "-m", "orders_platform.cli.main", "up", "--only", "kafka,mongo"]
    root = Path(__file__).parents[2]
    env = processes.environment({"ORDERS_HOME": str(settings.home)})
    with subprocess.Popen(command, cwd=root, env=env, stderr=subprocess.DEVNULL) as first:
        time.sleep(after_s)
        first.kill()
    stack.up(settings, SERVICES)
    publish(settings, b"one")
    assert published(settings) == 1
    stack.down(settings)
    assert not ours(settings.home)
