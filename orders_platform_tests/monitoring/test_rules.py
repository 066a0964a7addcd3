"""Rules, their unit tests and the examples, judged by Prometheus' and Alertmanager's own tools."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orders_platform.cli.main import COMMANDS
from orders_platform.local import prometheus
from orders_platform_tests.monitoring import programs
from orders_platform_tests.monitoring.rules import FOLDER, alerts, recordings, unit_test_files, unit_tests

ROOT = FOLDER.parents[1]
ALERTMANAGER = FOLDER / "alertmanager.yml"
NAMES = [each["alert"] for each in alerts()]


def expected(name: str) -> list[list[dict[str, Any]]]:
    """Return what the unit tests expect of an alert, one list for each moment that they look at."""
    found = [each for test in unit_tests() for each in test.get("alert_rule_test", []) if each["alertname"] == name]
    return [each["exp_alerts"] for each in found]


def keys(value: Any) -> set[str]:
    """Return every key of a configuration, however deep."""
    if isinstance(value, dict):
        return set(value) | {key for each in value.values() for key in keys(each)}
    return {key for each in value for key in keys(each)} if isinstance(value, list) else set()


def test_promtool_takes_the_configuration_and_the_rules() -> None:
    config = programs.run("promtool", "check", "config", FOLDER / "prometheus.yml")
    assert config.returncode == 0, config.stdout
    assert "2 rule files found" in config.stdout
    rules = programs.run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *prometheus.rule_files())
    assert rules.returncode == 0, rules.stdout
    assert f"{len(recordings())} rules found" in rules.stdout
    assert f"{len(alerts())} rules found" in rules.stdout


def test_the_unit_tests_pass() -> None:
    assert len(unit_test_files()) > 3
    done = programs.run("promtool", "test", "rules", *unit_test_files())
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_every_alert_is_tried_and_says_what_to_do(alert: dict[str, Any]) -> None:
    told = expected(alert["alert"])
    assert any(told), "no test in which it fires"
    assert not all(told), "no test in which it does not"
    assert alert["labels"] == {"severity": alert["labels"]["severity"]}
    assert alert["labels"]["severity"] in ("critical", "warning")
    summary, description = alert["annotations"]["summary"], alert["annotations"]["description"]
    assert summary.endswith(".")
    assert description.endswith(".")
    commands = re.findall(r"`orders ([a-z-]+)", description)
    assert commands, "it names no command"
    assert set(commands) <= set(COMMANDS)
    for page in re.findall(r"docs/[\w.-]+\.md", description):
        assert (ROOT / page).exists(), page


def test_the_page_tells_every_alert() -> None:
    rows = re.findall(r"^\| `(Orders\w+)` \| (\w+) \|", (ROOT / "docs" / "monitoring.md").read_text(), re.MULTILINE)
    assert rows == [(each["alert"], each["labels"]["severity"]) for each in alerts()]


def test_what_is_recorded_is_used() -> None:
    used = " ".join(each["expr"] for each in (*alerts(), *recordings()))
    assert [each["record"] for each in recordings() if each["record"] not in used] == []


def test_what_orders_up_scrapes_and_the_example_have_one_job() -> None:
    (job,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    assert job["job_name"] == prometheus.JOB
    assert all(f'job="{prometheus.JOB}"' in each["expr"] for each in alerts() if re.search(r"\bup\{", each["expr"]))


def test_amtool_takes_the_example() -> None:
    done = programs.run("amtool", "check-config", ALERTMANAGER)
    assert done.returncode == 0, done.stdout
    assert "2 receivers" in done.stdout


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_what_is_critical_wakes_somebody_and_a_warning_does_not(alert: dict[str, Any]) -> None:
    severity = alert["labels"]["severity"]
    labels = (f"alertname={alert['alert']}", f"severity={severity}", "job=orders", "instance=127.0.0.1:9099")
    done = programs.run("amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels)
    assert done.returncode == 0, done.stdout
    assert done.stdout.split()[-1] == ("at-once" if severity == "critical" else "by-day")


def test_the_example_silences_what_there_is_and_holds_no_secret() -> None:
    example = yaml.safe_load(ALERTMANAGER.read_text())
    for rule in example["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            named = re.fullmatch(r'alertname=~?"([\w|]+)"', matcher)
            assert named is not None, matcher
            assert set(named[1].split("|")) <= set(NAMES), matcher
    secrets = {"api_url", "routing_key", "service_key", "url", "password", "auth_password", "bot_token", "credentials"}
    assert keys(example) & secrets == set()
    assert all(Path(file).is_absolute() for file in re.findall(r"_file: (\S+)", ALERTMANAGER.read_text()))
