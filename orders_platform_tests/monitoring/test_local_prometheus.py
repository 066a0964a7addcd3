"""The Prometheus of `orders up`: started where there is one, found again, started anew when it changed, ended."""

import json
import os
import signal
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from orders_platform.errors import StackError
from orders_platform.local import doctor, live, processes, prometheus
from orders_platform.local import home as homes
from orders_platform.settings import Settings
from orders_platform.supervision.status import gather
from orders_platform_tests.e2e.platform import Platform
from orders_platform_tests.monitoring import programs

NAME = prometheus.SERVER.name


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(programs.folder()), prepend=os.pathsep)
    monkeypatch.setattr(prometheus, "SCRAPE_S", 1)
    monkeypatch.setattr(prometheus, "EVALUATE_S", 1)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Settings of a home whose live page's server runs, without any store to tell of."""
    home = tmp_path / "home"
    made = settings_of(home)
    live.start(made)
    yield made
    prometheus.SERVER.stop(home)
    live.SERVER.stop(home)


def settings_of(home: Path, **environ: str) -> Settings:
    return Settings.load(environ={"ORDERS_HOME": str(home), **environ}, root=home.parent)


def process(settings: Settings) -> processes.Process:
    found = processes.find(settings.home, NAME)
    assert found is not None
    return found


def up(settings: Settings) -> processes.Process:
    assert prometheus.start(settings)
    prometheus.SERVER.wait(settings.home)
    return process(settings)


def value(settings: Settings, expression: str) -> float | None:
    url = f"{prometheus.SERVER.url(settings.home)}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        found = json.load(answer)["data"]["result"]
    return float(found[0]["value"][1]) if found else None


def until(look: Callable[[], Any], most_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + most_s
    while not look():
        assert time.monotonic() < deadline_s
        time.sleep(0.2)


def component(settings: Settings) -> tuple[str, str | None] | None:
    found = [(each.state, each.address) for each in gather(settings).components if each.name == NAME]
    return found[0] if found else None


def test_it_scrapes_the_live_page_under_the_rules_and_is_left_as_it_is(settings: Settings) -> None:
    first = up(settings)
    until(lambda: value(settings, 'up{job="orders"}') == 1)
    assert value(settings, "orders_store_up") == 0
    rules = urllib.request.urlopen(f"{prometheus.SERVER.url(settings.home)}/api/v1/rules", timeout=10)
    groups = json.load(rules)["data"]["groups"]
    assert {each["name"] for each in groups} == {
        "orders-recording", "orders-platform", "orders-matcher", "orders-money"
    }  # fmt: skip
    assert up(settings) == first
    address = prometheus.SERVER.url(settings.home)
    assert component(settings) == ("running", address)
    assert gather(settings).urls[NAME] == address
    listening = [its.laddr.ip for its in psutil.Process(first.pid).net_connections() if its.status == "LISTEN"]
    assert listening == ["127.0.0.1"]


def test_another_configuration_starts_it_anew_and_keeps_what_it_knew(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = up(settings)
    until(lambda: value(settings, "count_over_time(orders_store_up[5m])"))
    rules = tmp_path / "rules"
    rules.mkdir()
    alert = {"alert": "Mine", "expr": "orders_store_up == 0"}
    (rules / "alerts.yml").write_text(yaml.safe_dump({"groups": [{"name": "mine", "rules": [alert]}]}))
    monkeypatch.setattr(prometheus, "_RULES", rules)
    known = value(settings, "count_over_time(orders_store_up[5m])") or 0
    after = up(settings)
    assert after != before
    assert not (settings.home / NAME / "recording.yml").exists()
    until(lambda: value(settings, 'ALERTS{alertname="Mine"}'))
    assert (value(settings, "count_over_time(orders_store_up[5m])") or 0) >= known > 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    moved = settings_of(settings.home, ORDERS_LOCAL__PROMETHEUS_PORT=str(port))
    assert up(moved) != after
    assert prometheus.SERVER.url(settings.home) == f"http://127.0.0.1:{port}"
    assert up(settings) == process(moved), "a port that is no longer set stays the one that it has"


def test_a_dead_one_is_said_to_be_and_comes_back_where_it_was(settings: Settings) -> None:
    first = up(settings)
    address = prometheus.SERVER.url(settings.home)
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: processes.find(settings.home, NAME) is None)
    assert component(settings) == ("failed", None)
    assert up(settings) != first
    assert component(settings) == ("running", address)
    assert prometheus.SERVER.stop(settings.home)
    assert component(settings) is None
    assert not prometheus.SERVER.stop(settings.home)


def test_one_that_can_not_start_says_where_to_read_why(settings: Settings) -> None:
    homes.prepare(settings.home)
    (settings.home / NAME).mkdir()
    (settings.home / NAME / "data").write_text("no folder")
    assert prometheus.start(settings)
    with pytest.raises(StackError, match=r"(?s)Prometheus ended while it started.*prometheus\.log"):
        prometheus.SERVER.wait(settings.home)


def test_a_set_port_that_is_taken_ends_in_a_sentence(settings: Settings) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        taken = settings_of(settings.home, ORDERS_LOCAL__PROMETHEUS_PORT=str(port))
        with pytest.raises(StackError, match=f"Port {port}, set for prometheus, is taken"):
            prometheus.start(taken)
    assert component(settings) is None


def test_without_one_the_platform_goes_without(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if there was one when it was started, and another program of that name is none."""
    running = up(settings)
    (tmp_path / "bin").mkdir()
    another = tmp_path / "bin" / "prometheus"
    another.write_text("#!/bin/sh\necho a film, version 1\n")
    another.chmod(0o755)
    monkeypatch.setenv("PATH", str(another.parent))
    monkeypatch.setattr(prometheus, "_PLACES", ())
    assert prometheus.find() is None
    assert not prometheus.start(settings)
    assert not processes.is_alive(running)
    assert component(settings) is None
    (finding,) = [each for each in doctor.examine(settings) if each.check == "prometheus"]
    assert (finding.state, finding.fix) == ("ok", "")
    assert finding.detail.startswith("none is installed")


def test_no_page_from_elsewhere_may_read_it(settings: Settings) -> None:
    """A browser asks with the page's origin, and hands over the answer only where that is allowed by name."""
    up(settings)
    address = f"{prometheus.SERVER.url(settings.home)}/api/v1/query?query=up"
    for origin, allowed in (("http://elsewhere.example", None), ("http://localhost:3000", "http://localhost:3000")):
        request = urllib.request.Request(address, headers={"Origin": origin})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == allowed, origin


@pytest.mark.services
def test_up_starts_it_and_down_ends_it_with_its_data(whole_platform: Platform) -> None:
    whole_platform.orders("up", "--only", "mongo,live")
    status = whole_platform.json("status", "--json", expect=None)
    assert {each["name"]: each["state"] for each in status["components"]}[NAME] == "running"
    address = status["urls"][NAME]
    assert prometheus.SERVER.answers(address)
    assert (whole_platform.home / NAME / "data").is_dir()
    whole_platform.orders("down")
    assert not prometheus.SERVER.answers(address)
    assert (whole_platform.home / NAME / "data").is_dir()
    whole_platform.orders("down", "--purge")
    assert not whole_platform.home.exists()
