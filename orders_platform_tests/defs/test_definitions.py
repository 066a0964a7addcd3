"""The code location, loaded in each way that Dagster loads it, and its public names."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from orders_platform.definitions import defs
from orders_platform.defs.resources import KafkaResource, MatcherResource, MongoResource

ROOT = Path(__file__).resolve().parents[2]
MATCHED = {
    "dead_letter_share",
    "deadlines_swept",
    "documents_valid",
    "figures_follow_from_events",
    "lag",
    "matcher_at_work",
    "messages_conserved",
    "no_event_twice",
    "no_money_without_order",
    "supervisor_at_work",
    "totals_hold",
}
TOPICS = {"orders_topic", "payments_topic", "adjustments_topic"}


STATEMENTS = {"closes", "opens_as_closed", "unaltered"}
BREAKS = {"at_risk_not_negative", "ids_stable", "open_as_stated"}


def test_the_names_that_others_rely_on() -> None:
    graph, repository = defs().resolve_asset_graph(), defs().get_repository_def()
    assets = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert assets == TOPICS | {"matched_orders", "daily_statement", "breaks"}
    checks = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    assert checks == (
        {("matched_orders", name) for name in MATCHED}
        | {(topic, "nothing_expired") for topic in TOPICS}
        | {("daily_statement", name) for name in STATEMENTS}
        | {("breaks", name) for name in BREAKS}
    )
    jobs = {job.name for job in repository.get_all_jobs()} - {"__ASSET_JOB"}
    of_the_matcher = {"start_matcher", "restart_matcher", "stop_matcher", "repair_matcher", "replay_range"}
    assert jobs == of_the_matcher | {"close_day", "rebuild_day"}
    assert set(repository.get_top_level_resources()) == {"dataproc", "kafka", "matcher", "mongo", "webhook"}
    assert {sensor.name for sensor in repository.sensor_defs} == {"alerts", "matcher_supervisor"}
    assert {schedule.name for schedule in repository.schedule_defs} == {"close_day_schedule"}


def test_assets_say_what_they_are_and_those_that_others_write_are_external() -> None:
    graph = defs().resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.is_external == (key.to_user_string() in TOPICS | {"matched_orders"})
        assert node.description
        assert node.owners
        assert node.kinds
        assert node.group_name != "default"
    parents = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert parents == {topic: set() for topic in TOPICS} | {
        "matched_orders": TOPICS,
        "daily_statement": {"matched_orders"},
        "breaks": {"daily_statement"},
    }
    assert graph.get(dg.AssetKey("matched_orders")).freshness_policy is not None
    assert graph.get(dg.AssetKey("daily_statement")).freshness_policy is not None


def test_the_days_lie_in_the_settings_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_REPORTS__TIME_ZONE", "America/New_York")
    loaded = defs()
    for name in ("daily_statement", "breaks"):
        days = loaded.resolve_asset_graph().get(dg.AssetKey(name)).partitions_def
        assert isinstance(days, dg.DailyPartitionsDefinition)
        assert days.timezone == "America/New_York"
    (schedule,) = loaded.get_repository_def().schedule_defs
    assert schedule.execution_timezone == "America/New_York"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_the_sensors_run_without_anybody_switching_them_on() -> None:
    sensors = {sensor.name: sensor for sensor in defs().get_repository_def().sensor_defs}
    assert {sensor.default_status for sensor in sensors.values()} == {dg.DefaultSensorStatus.RUNNING}
    assert sensors["matcher_supervisor"].minimum_interval_seconds == 1
    assert sensors["alerts"].minimum_interval_seconds == 30


def test_each_job_tells_its_failure() -> None:
    for job in defs().get_repository_def().get_all_jobs():
        assert ({hook.name for hook in job.hook_defs} == {"tell_failure"}) == (not job.name.startswith("__"))


def test_nothing_tries_again_beside_the_sensor() -> None:
    for name in ("start_matcher", "restart_matcher", "stop_matcher"):
        assert defs().resolve_job_def(name).tags["dagster/max_retries"] == "0"


@pytest.mark.parametrize("way", ["workspace.yaml", "tool.dg"])
def test_the_code_location_loads(way: str, tmp_path: Path) -> None:
    """As Dagster's code server loads what each file names, in a process without settings or a directory of ours."""
    program = (
        "import json, sys; from pathlib import Path;"
        "from orders_platform_tests.defs.loading import loaded_as; print(json.dumps(loaded_as(*sys.argv[1:])))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, way, str(ROOT)],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "location": "orders_platform",
        "assets": sorted(key.to_user_string() for key in defs().resolve_asset_graph().get_all_asset_keys()),
        "schedules": ["close_day_schedule"],
    }


def test_secrets_come_from_settings_or_a_named_variable_and_are_not_in_the_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ORDERS_HOME", str(tmp_path))
    monkeypatch.setenv("ORDERS_MONGO__URI", "mongodb://u:canary-in-uri@127.0.0.1:1/")
    plain = MatcherResource(kafka=KafkaResource(), mongo=MongoResource())
    assert "canary" not in repr(plain)
    assert plain.settings().mongo.given_uri() == "mongodb://u:canary-in-uri@127.0.0.1:1/"
    monkeypatch.setenv("ELSEWHERE", "mongodb://u:canary-2@127.0.0.1:2/")
    named = MongoResource(uri=dg.EnvVar("ELSEWHERE"))
    assert "canary" not in repr(named)
    with dg.build_resources({"m": MatcherResource(kafka=KafkaResource(), mongo=named)}) as found:
        assert found.m.settings().mongo.given_uri() == "mongodb://u:canary-2@127.0.0.1:2/"


def test_both_instances_take_their_file(tmp_path: Path) -> None:
    for file in ("dagster.yaml", "deploy/dagster/dagster.yaml"):
        written = yaml.safe_load((ROOT / file).read_text())
        stored = written.pop("storage", None)
        assert (stored is not None) == file.startswith("deploy")
        (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(written))
        with dg.DagsterInstance.from_config(str(tmp_path)) as made:
            assert not made.telemetry_enabled
            assert made.run_retries_enabled is False
            assert made.run_monitoring_enabled
