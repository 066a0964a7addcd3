"""The local backend's hold on real processes: found again, told apart from others, ended with all that they started."""

import os
import signal
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from orders_platform.local import processes
from orders_platform.local.stack import Endpoints
from orders_platform.settings import Settings
from orders_platform.store.matcher_records import BegunCheckpoint
from orders_platform.supervision.backends.local import DRIVER, LocalBackend, pid_of
from orders_platform_tests.supervision.conftest import Platform, SmallBackend, is_over

URI = "mongodb://someone:canary-in-uri@127.0.0.1:1/"
WHERE = Endpoints("127.0.0.1:9", URI)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    settings = Settings.load({"home": str(tmp_path / "home")}, {}, tmp_path)
    settings.home.mkdir()
    (settings.home / "mode").write_text("mute")
    return settings


@pytest.fixture
def backend(home: Settings):
    made = SmallBackend(home, WHERE)
    yield made
    processes.stop(home.home, "matcher", timeout_s=0)


def child_of(home: Settings) -> psutil.Process:
    file = home.home / "child"
    for _ in range(100):
        if file.exists() and file.read_text():
            return psutil.Process(int(file.read_text()))
        time.sleep(0.1)
    raise AssertionError(processes.log_tail(home.home, "matcher", 20))


def test_a_driver_is_found_by_another_supervisor_with_its_epoch(home: Settings, backend: LocalBackend) -> None:
    assert backend.find() is None
    handle = backend.submit(7, 2)
    child_of(home)
    assert (handle.epoch, handle.attempt) == (7, 2)
    found = SmallBackend(home, WHERE).find()
    assert found is not None
    assert (found.pid, found.epoch, found.attempt) == (handle.pid, 7, 2)
    # Its record is lost: the marker in its environment is not.
    (home.home / "run" / "matcher.json").unlink()
    assert SmallBackend(home, WHERE).find() == found


def test_it_has_a_session_of_its_own_and_answers_to_no_terminal(home: Settings, backend: LocalBackend) -> None:
    handle = backend.submit(1, 1)
    child_of(home)
    assert os.getsid(pid_of(handle)) == pid_of(handle) != os.getsid(0)
    assert backend.describe()["log"] == str(home.home / "logs" / "matcher.log")


@pytest.mark.parametrize("drain", [True, False])
def test_stop_ends_what_it_started_too(home: Settings, backend: LocalBackend, drain: bool) -> None:
    handle = backend.submit(1, 1)
    child = child_of(home)
    backend.stop(handle, drain=drain)
    assert backend.find() is None
    assert is_over(child)


def test_one_that_is_stopped_in_its_tracks_is_killed(home: Settings, backend: LocalBackend) -> None:
    handle = backend.submit(1, 1)
    child = child_of(home)
    os.kill(pid_of(handle), signal.SIGSTOP)
    begun_s = time.monotonic()
    backend.stop(handle, drain=False)
    assert time.monotonic() - begun_s < 30
    assert backend.find() is None
    assert is_over(child)


def test_leftovers_of_a_killed_driver_are_ended(home: Settings, backend: LocalBackend) -> None:
    handle = backend.submit(1, 1)
    child = child_of(home)
    os.kill(pid_of(handle), signal.SIGKILL)
    while backend.find() is not None:
        time.sleep(0.05)
    assert not is_over(child)
    assert backend.clear_leftovers()
    assert is_over(child)
    assert not backend.clear_leftovers()


def test_a_pid_that_was_used_again_is_neither_ours_nor_ended(home: Settings, backend: LocalBackend) -> None:
    stranger = psutil.Popen(["sleep", "60"])
    try:
        record = processes.Process("matcher", stranger.pid, stranger.create_time() - 100, "another-boot:1")
        (home.home / "run").mkdir()
        (home.home / "run" / "matcher.json").write_bytes(msgspec.json.encode(record))
        assert backend.find() is None
        backend.clear_leftovers()
        assert stranger.is_running()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_secrets_reach_the_driver_by_environment_alone(
    home: Settings, backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_KAFKA__PASSWORD", "canary-in-password")
    monkeypatch.setenv("SOMEBODY_ELSES_TOKEN", "canary-of-others")
    handle = backend.submit(1, 1, BegunCheckpoint(base=None, location=None, offsets={"orders": {"0": 5}}))
    child_of(home)
    process = psutil.Process(pid_of(handle))
    environment = process.environ()
    assert environment["ORDERS_MONGO__URI"] == URI
    assert environment["ORDERS_KAFKA__PASSWORD"] == "canary-in-password"
    assert environment["ORDERS_MATCHER_START_OFFSETS"] == '{"orders":{"0":5}}'
    assert "SOMEBODY_ELSES_TOKEN" not in environment
    assert "canary" not in " ".join(process.cmdline())
    assert "canary" not in repr(WHERE)


def test_the_real_command_holds_no_secret_and_names_the_driver(home: Settings) -> None:
    real = LocalBackend(home, WHERE)
    command = real._command(Path("/spark"))
    assert command[0] == "/spark/bin/spark-submit"
    assert command[-1] == str(DRIVER)
    assert DRIVER.is_file()
    assert "canary" not in " ".join(command)
    assert not any("mongo" in part.lower() for part in command)


@pytest.mark.services
def test_a_living_driver_is_not_started_twice(platform: Platform) -> None:
    platform.supervise()
    platform.until(platform.committed)
    pid = platform.backend.find()
    time.sleep(3)
    assert platform.backend.find() == pid
    assert len([line for line in platform.said if line.startswith("Starts")]) == 1
