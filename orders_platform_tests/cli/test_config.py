"""`orders config`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from orders_platform.cli.main import cli
from orders_platform.settings import known_keys

SECRET = "hunter2"


def config(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["config", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_setting_is_shown_with_its_origin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[matching]\npayment_window = "90m"\n')
    monkeypatch.setenv("ORDERS_CONFIG", str(file))
    monkeypatch.setenv("ORDERS_HOME", str(tmp_path))
    monkeypatch.setenv("ORDERS_MATCHER__BUCKETS", "7")
    shown = json.loads(config("--json"))
    assert list(shown) == list(known_keys())
    assert shown["matching.payment_window"] == {"value": "1h30m", "origin": "mine.toml"}
    assert shown["matcher.buckets"] == {"value": 7, "origin": "environment"}
    assert shown["home"] == {"value": str(tmp_path), "origin": "environment"}
    assert shown["mongo.uri"] == {"value": None, "origin": "default"}
    lines = config().splitlines()
    assert len(lines) == len(shown)
    assert "matching.payment_window = 1h30m  (mine.toml)" in lines
    assert "alerts.statement_deadline = 6h  (default)" in lines
    assert "mongo.uri = -  (default)" in lines


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setenv("ORDERS_MONGO__URI", f"mongodb://me:{SECRET}@h/")
    monkeypatch.setenv("ORDERS_KAFKA__PASSWORD", SECRET)
    monkeypatch.setenv("ORDERS_ALERTS__WEBHOOK_URL", f"https://h/{SECRET}")
    client = {"security.protocol": "SASL_SSL", "sasl.password": SECRET}
    monkeypatch.setenv("ORDERS_KAFKA__CLIENT", json.dumps(client))
    shown = config(*arguments)
    assert SECRET not in shown
    assert "SASL_SSL" in shown
    assert "****" in shown
