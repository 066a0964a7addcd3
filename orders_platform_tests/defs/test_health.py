"""What `orders doctor` says of Dagster, on real instances in all their states."""

import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from orders_platform.defs import daemon, health, instance
from orders_platform.local import processes
from orders_platform.settings import Settings
from orders_platform.supervision import dagster_home
from orders_platform.supervision.supervisor_lock import DAEMON

ORIGIN = RemoteInstigatorOrigin(
    RemoteRepositoryOrigin(
        ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name="orders_platform.definitions"), "here"),
        "__repository__",
    ),
    health.SENSOR,
)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    made = Settings.load({"home": str(tmp_path / "home")}, {}, tmp_path)
    yield made
    for name in (dagster_home.SERVER.name, DAEMON):
        processes.stop(made.home, name, timeout_s=0)


@pytest.fixture
def folder(settings: Settings) -> Path:
    made = dagster_home.prepare(settings.home)
    instance.make(made)
    return made


def at_work(settings: Settings, name: str) -> None:
    """Let a part of the home run, which has just begun."""
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    processes.start(settings.home, name, command, processes.environment({}))


def found(settings: Settings) -> dict[str, str]:
    return {finding.detail: finding.state for finding in health.examine(settings)}


def state(settings: Settings, words: str) -> str:
    """Return the state of the finding with these words; no other may have a fix where all is well."""
    (its,) = [finding for finding in health.examine(settings) if words in finding.detail]
    assert (its.state == "ok") == (not its.fix)
    return its.state


def tick(folder: Path, at_s: float, status: TickStatus = TickStatus.SKIPPED) -> None:
    with DagsterInstance.from_config(str(folder)) as made:
        data = SensorInstigatorData(last_tick_timestamp=at_s, last_tick_start_timestamp=at_s, cursor="kept")
        sensor = InstigatorState(ORIGIN, InstigatorType.SENSOR, InstigatorStatus.DECLARED_IN_CODE, data)
        if not made.all_instigator_state():
            made.add_instigator_state(sensor)
        made.create_tick(
            TickData(
                instigator_origin_id=sensor.instigator_origin_id,
                instigator_name=health.SENSOR,
                instigator_type=InstigatorType.SENSOR,
                status=status,
                timestamp=at_s,
                selector_id=sensor.selector_id,
                error=SerializableErrorInfo("Kafka hangs\nhere", [], None) if status == TickStatus.FAILURE else None,
            )
        )


def test_a_home_without_dagster_is_well(settings: Settings) -> None:
    assert found(settings) == {"none yet": "ok"}


def test_an_instance_that_nobody_uses_is_looked_at_and_not_missed(settings: Settings, folder: Path) -> None:
    assert state(settings, "tables as version") == "ok"
    assert state(settings, f" MiB in {folder}") == "ok"
    assert len(found(settings)) == 2


def test_tables_of_another_version_and_files_that_are_none_are_problems(settings: Settings, folder: Path) -> None:
    with sqlite3.connect(folder / "schedules" / "schedules.db") as database:
        database.execute("update alembic_version set version_num = '8ccbed5060b8'")
    assert state(settings, "tables of another version") == "problem"
    (folder / "history" / "runs.db").write_bytes(b"no database at all" * 1000)
    assert state(settings, "can't be opened") == "problem"


def test_a_daemon_that_is_gone_or_silent_is_a_problem(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work(settings, dagster_home.SERVER.name)
    assert state(settings, "nobody restarts the matcher") == "problem"
    at_work(settings, DAEMON)
    assert state(settings, "the daemon works") == "ok", "it has just begun"
    monkeypatch.setattr(health, "HEARTBEAT_MAX_S", -1.0)
    assert state(settings, "no sign of life of") == "problem"
    monkeypatch.setattr(health, "HEARTBEAT_MAX_S", 150.0)
    with DagsterInstance.from_config(str(folder)) as made:
        for kind in made.get_required_daemon_types():
            made.add_daemon_heartbeat(DaemonHeartbeat(time.time(), kind, "1", []))
    assert state(settings, "the daemon works") == "ok"


def test_a_sensor_that_is_off_late_or_failing_is_told(settings: Settings, folder: Path) -> None:
    at_work(settings, dagster_home.SERVER.name)
    at_work(settings, DAEMON)
    assert state(settings, "has not looked yet") == "warning"
    tick(folder, time.time() - 300)
    assert state(settings, "and not since") == "problem"
    tick(folder, time.time())
    assert state(settings, "matcher_supervisor looked") == "ok"
    tick(folder, time.time(), TickStatus.FAILURE)
    assert state(settings, "ago: Kafka hangs") == "warning"
    with DagsterInstance.from_config(str(folder)) as made:
        (sensor,) = made.all_instigator_state()
        made.update_instigator_state(sensor.with_status(InstigatorStatus.STOPPED))
    assert state(settings, "is switched off") == "problem"


def test_sensors_whose_latest_tick_lies_in_the_future_are_brought_back_with_their_cursor(folder: Path) -> None:
    tick(folder, time.time() + 20)
    with DagsterInstance.from_config(str(folder)) as made:
        assert daemon.bring_back(made) == [], "clocks are never quite the same"
        (sensor,) = made.all_instigator_state()
        assert isinstance(sensor.instigator_data, SensorInstigatorData)
        ahead = sensor.instigator_data._replace(last_tick_start_timestamp=time.time() + 300)
        made.update_instigator_state(sensor.with_data(ahead))
        assert daemon.bring_back(made) == [health.SENSOR]
        (sensor,) = made.all_instigator_state()
        assert isinstance(sensor.instigator_data, SensorInstigatorData)
        assert sensor.instigator_data.cursor == "kept"
        assert (sensor.instigator_data.last_tick_start_timestamp or 0) <= time.time()
        assert daemon.bring_back(made) == []


def test_making_an_instance_again_changes_nothing(folder: Path) -> None:
    with DagsterInstance.from_config(str(folder)) as made:
        made.add_dynamic_partitions("kept", ["a"])
    instance.make(folder)
    with DagsterInstance.from_config(str(folder)) as made:
        assert made.get_dynamic_partitions("kept") == ["a"]
