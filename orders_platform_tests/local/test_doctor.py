"""Each finding of `orders doctor`, on what it finds."""

import socket
import time
from pathlib import Path

import pytest

from orders_platform.local import doctor, jars, mongod, processes
from orders_platform.local import home as homes
from orders_platform.settings import Settings
from orders_platform.store.admin import Server
from orders_platform_tests.conftest import RunningStack


def settings_of(home: Path, **environ: str) -> Settings:
    return Settings.load(environ={"ORDERS_HOME": str(home), **environ}, root=home)


def found(settings: Settings, check: str) -> list[doctor.Finding]:
    return [finding for finding in doctor.examine(settings) if finding.check == check]


@pytest.fixture
def beside(stack: RunningStack, topics: tuple[str, str, str], database: tuple[str, str]) -> dict[str, str]:
    """Settings that name the session's services."""
    return {
        "ORDERS_KAFKA__BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "ORDERS_KAFKA__ORDERS_TOPIC": topics[0],
        "ORDERS_KAFKA__PAYMENTS_TOPIC": topics[1],
        "ORDERS_KAFKA__ADJUSTMENTS_TOPIC": topics[2],
        "ORDERS_MONGO__URI": database[0],
        "ORDERS_MONGO__DATABASE": database[1],
    }


@pytest.mark.services
def test_a_healthy_platform_has_no_finding_that_needs_a_fix(tmp_path: Path, beside: dict[str, str]) -> None:
    jars.broker_classpath()
    jars.spark_connector_jars()
    findings = doctor.examine(settings_of(tmp_path, **beside))
    assert {finding.check for finding in findings} == {
        "python", "locks", "java", "jars", "disk", "ports", "kafka", "mongo", "clock", "checkpoint", "alerts",
        "prometheus",
    }  # fmt: skip
    assert [finding for finding in findings if finding.state != "ok" or finding.fix] == []


@pytest.mark.services
def test_missing_topics_are_named(tmp_path: Path, beside: dict[str, str]) -> None:
    (finding,) = found(settings_of(tmp_path, **beside | {"ORDERS_KAFKA__ORDERS_TOPIC": "gone"}), "kafka")
    assert finding.state == "problem"
    assert finding.detail.endswith("has no topic gone")


def test_what_is_not_running_here_is_a_warning(tmp_path: Path) -> None:
    for check in ("kafka", "mongo"):
        last = found(settings_of(tmp_path), check)[-1]
        assert (last.state, last.fix) == ("warning", "Run `orders up`.")


def test_services_that_do_not_answer_are_problems_not_errors(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    settings = settings_of(
        tmp_path,
        ORDERS_KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{port}",
        ORDERS_MONGO__URI=f"mongodb://someone:hidden@127.0.0.1:{port}/?serverSelectionTimeoutMS=500",
    )
    findings = doctor.examine(settings)
    for check in ("kafka", "mongo"):
        assert [finding.state for finding in findings if finding.check == check] == ["problem"]
    assert "hidden" not in str(findings)


@pytest.mark.services
def test_a_standalone_server_that_takes_zlib_is_named_as_both(tmp_path: Path) -> None:
    homes.prepare(tmp_path)
    port = homes.Ports(tmp_path).take("standalone")
    (tmp_path / "data").mkdir()
    command = [mongod.find_mongod(), "--dbpath", tmp_path / "data", "--port", str(port), "--bind_ip", "127.0.0.1"]
    processes.start(tmp_path, "standalone", [*command, "--nounixsocket"], processes.environment())
    try:
        settings = settings_of(tmp_path, ORDERS_MONGO__URI=f"mongodb://127.0.0.1:{port}/?directConnection=true")
        deadline = time.monotonic() + 20
        while homes.port_is_free(port) and time.monotonic() < deadline:
            time.sleep(0.1)
        findings = found(settings, "mongo")
    finally:
        processes.stop(tmp_path, "standalone")
    assert [(finding.state, finding.detail) for finding in findings[:2]] == [
        ("warning", "version 6.0.5 takes zlib and can leak its memory to strangers (CVE-2025-14847)"),
        ("problem", "it is a standalone server"),
    ]


@pytest.mark.parametrize(
    ("version", "zlib", "state"),
    [
        ((4, 4, 29), False, "problem"),
        ((5, 0, 31), True, "warning"),
        ((6, 0, 26), True, "warning"),
        ((6, 0, 26), False, "ok"),
        ((6, 0, 27), True, "ok"),
        ((7, 0, 27), True, "warning"),
        ((7, 0, 28), True, "ok"),
        ((8, 0, 16), True, "warning"),
        ((8, 2, 3), True, "ok"),
        ((9, 0, 0), True, "ok"),
    ],
)
def test_versions_that_leak_memory(version: tuple[int, ...], zlib: bool, state: str) -> None:
    server = Server(version=version, replica_set="r", majority_writes=True, zlib=zlib, clock_offset_ms=0)
    assert doctor._mongo_version(server, local=False).state == state


@pytest.mark.parametrize(("offset_ms", "state"), [(1000, "ok"), (-1000, "ok"), (1001, "problem"), (-1001, "problem")])
def test_clocks_that_differ(offset_ms: int, state: str) -> None:
    server = Server(version=(6, 0, 27), replica_set="r", majority_writes=True, zlib=False, clock_offset_ms=offset_ms)
    assert doctor._clock(server).state == state


def test_a_taken_port_is_a_warning_unless_it_was_set(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        homes.prepare(tmp_path)
        (tmp_path / "run" / "ports.json").write_text(f'{{"kafka": {port}}}')
        assert [finding.state for finding in found(settings_of(tmp_path), "ports")] == ["warning", "ok"]
        set_one = settings_of(tmp_path, ORDERS_LOCAL__MONGO_PORT=str(port))
        assert [finding.state for finding in found(set_one, "ports")] == ["warning", "problem"]


def test_missing_jars_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_CACHE", str(tmp_path / "empty"))
    first, second = found(settings_of(tmp_path), "jars")
    assert (first.state, first.detail) == ("warning", "broker: 46 of 46 are missing or damaged")
    assert second.state == "warning"


def test_a_package_of_another_version_than_pinned_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "python.txt"
    lock.write_text(
        "click==0.0.1 \\\n    --hash=sha256:00\nnot-there==1.0 \\\nelsewhere==1.0 ; sys_platform == 'win32' \\\n"
    )
    monkeypatch.setattr(doctor, "LOCK", lock)
    (finding,) = found(settings_of(tmp_path), "locks")
    assert finding.state == "problem"
    assert "click is" in finding.detail
    assert "not-there is missing" in finding.detail
    assert "elsewhere" not in finding.detail


@pytest.mark.parametrize(
    ("problem", "warning", "state"), [(0, 0, "ok"), (0, 1 << 62, "warning"), (1 << 62, 1 << 62, "problem")]
)
def test_little_space_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: int, warning: int, state: str
) -> None:
    """The disk at hand is what it is; the bounds move."""
    monkeypatch.setattr(doctor, "_DISK_PROBLEM", problem)
    monkeypatch.setattr(doctor, "_DISK_WARNING", warning)
    (finding,) = found(settings_of(tmp_path), "disk")
    assert finding.state == state
    assert bool(finding.fix) == (state != "ok")


def checkpoint(home: Path) -> Path:
    folder = home / "checkpoint"
    for kind in ("offsets", "commits"):
        (folder / kind).mkdir(parents=True)
        for batch in (9, 10):
            (folder / kind / str(batch)).write_text('v1\n{"x":1}\n')
    (folder / "metadata").write_text('{"id":"x"}')
    return folder


def test_a_sound_checkpoint_tells_its_batch(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    (finding,) = found(settings_of(tmp_path), "checkpoint")
    assert (finding.state, finding.detail[-8:]) == ("ok", "batch 10")


@pytest.mark.parametrize("file", ["metadata", "offsets/10", "commits/10"])
@pytest.mark.parametrize("content", ["", "v1\n{"])
def test_a_damaged_checkpoint_is_a_problem(tmp_path: Path, file: str, content: str) -> None:
    (checkpoint(tmp_path) / file).write_text(content)
    (finding,) = found(settings_of(tmp_path), "checkpoint")
    assert finding.state == "problem"
    assert "matcher repair" in finding.fix


def test_a_checkpoint_elsewhere_is_left_to_its_place(tmp_path: Path) -> None:
    (finding,) = found(settings_of(tmp_path, ORDERS_MATCHER__CHECKPOINT="gs://bucket/checkpoint"), "checkpoint")
    assert finding.state == "ok"


@pytest.mark.parametrize(
    ("environ", "state", "words"),
    [
        ({}, "ok", "nobody is told"),
        ({"ORDERS_ALERTS__WEBHOOK_URL": "https://hooks.example/canary"}, "ok", "gets slack"),
        ({"ORDERS_ALERTS__WEBHOOK_URL": "http://hooks.example/canary"}, "problem", "not one that alerts can go to"),
        ({"ORDERS_ALERTS__WEBHOOK_URL_FILE": "/nowhere/hook"}, "problem", "alerts.webhook_url_file can't be read"),
    ],
)
def test_a_webhook_that_can_not_work_is_a_problem(
    tmp_path: Path, environ: dict[str, str], state: str, words: str
) -> None:
    (finding,) = found(settings_of(tmp_path, **environ), "alerts")
    assert finding.state == state
    assert words in finding.detail
    assert bool(finding.fix) == (state == "problem")
    assert "canary" not in f"{finding}"
