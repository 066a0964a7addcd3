"""The real thing: `orders up`, Dagster's webserver and daemon, its sensor, and the matcher on Spark.

How long a killed matcher is away is printed (`pytest -s`).
"""

import json
import os
import signal
import time
import urllib.request
from contextlib import suppress
from typing import Any

import pytest

from orders_platform.local import processes
from orders_platform.supervision.supervisor_lock import DAEMON, find_supervisor
from orders_platform_tests.e2e.platform import Platform
from orders_platform_tests.e2e.recovery import durable_after, place

pytestmark = [pytest.mark.services, pytest.mark.spark, pytest.mark.timeout(1200)]
BACK_WITHIN_S = 300.0
"""A bound for a machine that does other things too; a quiet one is far below."""


def _parts(platform: Platform) -> dict[str, Any]:
    return {part["name"]: part for part in platform.json("status", "--json", expect=None)["components"]}


def _ask(address: str, query: str) -> Any:
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"]


def _checks(address: str) -> dict[str, str | None]:
    found = _ask(
        address,
        """{ assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks { checks {
        name executionForLatestMaterialization { status } } } } } }""",
    )
    states = {}
    for node in found["assetNodes"]:
        if node["assetKey"]["path"][0] in {"daily_statement", "breaks"}:
            continue  # those that the sensor does not vouch for
        for check in node["assetChecksOrError"].get("checks", []):
            latest = check["executionForLatestMaterialization"] or {}
            states[f"{node['assetKey']['path'][0]}:{check['name']}"] = latest.get("status")
    return states


def test_dagster_keeps_the_matcher_at_work(whole_platform: Platform) -> None:
    platform = whole_platform
    home = platform.home
    platform.orders("up")
    parts = _parts(platform)
    states = {name: part["state"] for name, part in parts.items() if name != "prometheus"}  # not everywhere installed
    assert states == dict.fromkeys(("kafka", "mongo", "dagster", "live", "dagster-daemon", "matcher"), "running")
    holder = find_supervisor(home)
    assert holder is not None
    assert (holder.name, holder.pid) == (DAEMON, parts["dagster-daemon"]["pid"])
    platform.orders("supervise", expect=1)

    truth = home.parent / "truth.jsonl"
    platform.orders("seed", "--orders", "200", "--rate", "2000", "--truth", str(truth))
    platform.orders("wait")
    before = platform.matcher()
    killed_s = platform.kill_matcher()
    platform.wait_for_the_next(killed_s, before["epoch"], BACK_WITHIN_S)
    print(f"\na killed matcher was back after {time.monotonic() - killed_s:.1f} s")

    address = parts["dagster"]["address"]
    deadline_s = time.monotonic() + 300
    while None in (states := _checks(address)).values():
        assert time.monotonic() < deadline_s, states
        time.sleep(2)
    assert set(states.values()) == {"SUCCEEDED"} or states["matched_orders:no_money_without_order"] == "FAILED"
    assert [state for name, state in states.items() if "no_money" not in name] == ["SUCCEEDED"] * 13

    assert platform.orders("export") == truth.read_bytes()
    _a_reloaded_code_location_leaves_it_alone(platform, address)
    _one_that_is_stopped_is_replaced_once_also_without_a_webserver(platform)
    _the_daemon_may_die_too(platform)
    _the_plain_supervisor_takes_over(platform)
    assert len(platform.lines("export")) == len(truth.read_bytes().splitlines()) + 1
    platform.orders("down")
    assert not [name for name in (DAEMON, "dagster", "live", "matcher", "kafka", "mongo") if processes.find(home, name)]


def _a_reloaded_code_location_leaves_it_alone(platform: Platform, address: str) -> None:
    pid = platform.matcher()["pid"]
    reload = 'mutation { reloadRepositoryLocation(repositoryLocationName: "orders_platform") { __typename } }'
    assert _ask(address, reload)["reloadRepositoryLocation"]["__typename"] == "WorkspaceLocationEntry"
    findings = {each["detail"]: each["state"] for each in platform.json("doctor", "--json")["findings"]}
    assert [state for detail, state in findings.items() if "matcher_supervisor looked" in detail] == ["ok"]
    assert platform.matcher()["pid"] == pid


def _one_that_is_stopped_is_replaced_once_also_without_a_webserver(platform: Platform) -> None:
    webserver = processes.find(platform.home, "dagster")
    assert webserver is not None
    os.kill(webserver.pid, signal.SIGKILL)
    before = platform.matcher()
    os.kill(before["pid"], signal.SIGSTOP)
    stopped_s = time.monotonic()
    place(platform, "while-stopped")
    durable_s = durable_after(platform, "while-stopped", stopped_s)
    print(f"what waited for a stopped matcher was durable after {durable_s:.1f} s")
    assert _parts(platform)["dagster"]["state"] == "failed"
    with suppress(ProcessLookupError):
        os.kill(before["pid"], signal.SIGCONT)
    platform.orders("up")
    assert _parts(platform)["dagster"]["state"] == "running"
    assert platform.matcher()["epoch"] == before["epoch"] + 1


def _the_daemon_may_die_too(platform: Platform) -> None:
    matcher = platform.matcher()
    daemon = processes.find(platform.home, DAEMON)
    assert daemon is not None
    os.kill(daemon.pid, signal.SIGKILL)

    assert _parts(platform)["supervisor"]["state"] == "stopped"
    platform.orders("up")
    assert _parts(platform)["dagster-daemon"]["state"] == "running"
    assert platform.matcher()["pid"] == matcher["pid"], "it went on meanwhile"


def _the_plain_supervisor_takes_over(platform: Platform) -> None:
    pid = platform.matcher()["pid"]
    platform.orders("up", "--no-dagster")
    parts = _parts(platform)
    assert parts.keys() - {"prometheus"} == {"kafka", "mongo", "live", "supervisor", "matcher"}
    assert platform.matcher()["pid"] == pid
    assert processes.find(platform.home, DAEMON) is None
