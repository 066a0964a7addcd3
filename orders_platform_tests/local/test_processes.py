"""Real processes: started, found, recycled, killed, stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from orders_platform.errors import StackError
from orders_platform.local import processes

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home"
    yield folder
    for record in (folder / "run").glob("*.json"):
        processes.stop(folder, record.stem, timeout_s=0)


def start(home: Path, command: list[str], name: str = "part", **env: str) -> processes.Process:
    before = processes.log_tail(home, name).count("up")
    process = processes.start(home, name, command, processes.environment(env))
    wait_for(lambda: processes.log_tail(home, name).count("up") != before)
    return process


def wait_for(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_runs_in_a_session_of_its_own_and_is_found_again(home: Path) -> None:
    process = start(home, SLEEP)
    assert os.getsid(process.pid) == process.pid
    assert processes.find(home, "part") == process
    assert abs(process.started - time.time()) < 30
    assert processes.stop(home, "part")
    assert processes.find(home, "part") is None
    assert not psutil.pid_exists(process.pid) or not processes.is_alive(process)


def test_stopping_what_does_not_run_is_no_error(home: Path) -> None:
    assert not processes.stop(home, "part")


def test_it_can_not_be_started_twice(home: Path) -> None:
    process = start(home, SLEEP)
    with pytest.raises(StackError, match=str(process.pid)):
        processes.start(home, "part", SLEEP, {})


def test_signals_that_its_starter_ignores_are_not_ignored_by_it(home: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = start(home, SLEEP)
    finally:
        signal.signal(signal.SIGINT, before)
    os.kill(process.pid, signal.SIGINT)
    wait_for(lambda: not processes.is_alive(process))


def test_one_that_ignores_term_is_killed(home: Path) -> None:
    process = start(home, DEAF)
    began = time.monotonic()
    assert processes.stop(home, "part", timeout_s=0.5)
    assert 0.5 <= time.monotonic() - began < 60
    assert not processes.is_alive(process)


def test_what_it_started_ends_with_it_even_when_it_was_killed_before(home: Path) -> None:
    family = (
        "import subprocess, sys, os, time;"
        "c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], process_group=0);"
        "print('up', c.pid, flush=True); time.sleep(600)"
    )
    process = start(home, [sys.executable, "-c", family])
    child = psutil.Process(int(processes.log_tail(home, "part").split()[-1]))
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not processes.is_alive(process))
    assert child.is_running()
    processes.stop(home, "part", timeout_s=2)
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_recycled_pid_is_not_taken_for_it(home: Path) -> None:
    process = start(home, SLEEP)
    processes.stop(home, "part")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        try:
            record = {"name": "part", "pid": stranger.pid, "started": process.started, "birth": process.birth}
            (home / "run" / "part.json").write_text(json.dumps(record))
            assert processes.find(home, "part") is None
            assert not processes.stop(home, "part", timeout_s=0.2)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_without_a_birth_mark_the_start_time_decides_to_the_second(home: Path) -> None:
    process = start(home, SLEEP)
    assert processes.is_alive(processes.Process("part", process.pid, process.started + 0.9))
    assert not processes.is_alive(processes.Process("part", process.pid, process.started + 1.1))


def test_a_stepped_clock_does_not_hide_it(home: Path) -> None:
    process = start(home, SLEEP)
    assert process.birth is not None
    assert processes.is_alive(processes.Process("part", process.pid, process.started - 3600, process.birth))


def test_it_is_found_though_its_starter_died_before_recording_it(home: Path) -> None:
    process = start(home, SLEEP)
    (home / "run" / "part.json").unlink()
    assert processes.find(home, "part") == process
    assert json.loads((home / "run" / "part.json").read_text())["pid"] == process.pid


def test_another_home_does_not_see_it(home: Path, tmp_path: Path) -> None:
    start(home, SLEEP)
    assert processes.find(tmp_path / "other", "part") is None


def test_its_environment_is_what_it_was_given(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LC_TIME", "C")
    assert "AWS_SECRET_ACCESS_KEY" not in processes.environment()
    process = start(home, SLEEP, ORDERS_X="1")
    seen = psutil.Process(process.pid).environ()
    assert seen["ORDERS_X"] == "1"
    assert seen["LC_TIME"] == "C"
    assert "AWS_SECRET_ACCESS_KEY" not in seen


def test_its_log_is_appended_to_and_moved_aside_when_it_is_large(home: Path) -> None:
    start(home, SLEEP)
    processes.stop(home, "part")
    start(home, SLEEP)
    processes.stop(home, "part")
    log = processes.log_file(home, "part")
    assert log.read_text().count("up") == 2
    log.write_bytes(b"x" * (processes.LOG_BYTES_MAX + 1))
    start(home, SLEEP)
    assert log.read_text() == "up\n"
    assert log.with_suffix(".log.1").stat().st_size > processes.LOG_BYTES_MAX


def test_its_files_are_its_owners_alone(home: Path) -> None:
    start(home, SLEEP)
    for folder in (home, home / "run", home / "logs"):
        assert folder.stat().st_mode & 0o777 == 0o700
    for file in (home / "run" / "part.json", home / "logs" / "part.log"):
        assert file.stat().st_mode & 0o777 == 0o600


def test_the_exit_status_of_a_child_is_told_once(home: Path) -> None:
    process = processes.start(home, "part", [sys.executable, "-c", "raise SystemExit(3)"], {})
    wait_for(lambda: not processes.is_alive(process))
    assert processes.reap(process) == 3
    assert processes.reap(process) is None


def test_a_program_that_does_not_exist_says_so_in_the_log(home: Path) -> None:
    process = processes.start(home, "part", ["/no/such/program"], {})
    wait_for(lambda: not processes.is_alive(process))
    assert "No such file" in processes.log_tail(home, "part", 3)
