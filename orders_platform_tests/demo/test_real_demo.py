"""`orders demo` as a person runs it: with Dagster, its sensor, Spark, and a kill on the way.

Not marked `spark`: those tests run on two versions of Spark, and here nothing hangs on the version.
"""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from typing import Any

import pytest

from orders_platform.local import processes
from orders_platform_tests.e2e.platform import ROOT, Platform

pytestmark = [pytest.mark.services, pytest.mark.timeout(2400)]
DEMO_S = 1500.0
STARTED_S = 300.0
PARTS = ("kafka", "mongo", "matcher", "dagster", "dagster-daemon")


def begin(platform: Platform, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "orders_platform.cli.main", "demo", *options]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=platform.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ask(address: str, query: str) -> Any:
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]


def test_the_demo_goes_through_dagster_and_leaves_what_it_made_to_be_seen(whole_platform: Platform) -> None:
    told, said = begin(whole_platform, "--keep", "--orders", "60").communicate(timeout=DEMO_S)
    assert "Every one of 60 documents and" in told, (told, said)
    assert "Dagster's sensor had another at work after" in told
    assert "Closing " in said

    address = whole_platform.json("status", "--json")["urls"]["dagster"]
    runs = ask(address, "{ runsOrError { ... on Runs { results { jobName status tags { key value } } } } }")
    found = [(run["jobName"], run["status"]) for run in runs["runsOrError"]["results"]]
    assert found.count(("start_matcher", "SUCCESS")) == 2
    (closed,) = [run for run in runs["runsOrError"]["results"] if run["jobName"] == "close_day"]
    (day,) = [tag["value"] for tag in closed["tags"] if tag["key"] == "dagster/asset_partition_range_end"]
    assert closed["status"] == "SUCCESS"
    with urllib.request.urlopen(f"{address}/statements/{day}", timeout=60) as page:
        assert f"Statement of {day}" in page.read().decode()
    assert f"# {day}: adds up" in told
    assert f"{address}/statements/{day}" in said

    whole_platform.orders("down")
    assert [name for name in PARTS if processes.find(whole_platform.home, name)] == []


def test_a_demo_that_is_interrupted_ends_what_it_started(whole_platform: Platform) -> None:
    demo = begin(whole_platform)
    deadline_s = time.monotonic() + STARTED_S
    while processes.find(whole_platform.home, "dagster") is None:
        assert demo.poll() is None, demo.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    demo.send_signal(signal.SIGINT)
    _, said = demo.communicate(timeout=STARTED_S)
    assert (demo.returncode, "Stopped: " in said) == (130, True), said
    assert [name for name in PARTS if processes.find(whole_platform.home, name)] == []
