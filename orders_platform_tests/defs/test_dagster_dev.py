"""`dagster dev -w workspace.yaml` from the repository, beside the services of `orders up --only kafka,mongo`."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from orders_platform.supervision.dagster_home import SERVER
from orders_platform_tests.e2e.platform import ROOT, Platform
from orders_platform_tests.e2e.recovery import durable_after, place

pytestmark = [pytest.mark.services, pytest.mark.spark, pytest.mark.timeout(600)]
WITHIN_S = 300.0


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end(leader: subprocess.Popen[bytes]) -> None:
    """End it as Ctrl-C does, then whatever is left of its session."""
    session = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == leader.pid:
                session.append(process)
    leader.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        leader.wait(60)
    for process in session:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    leader.wait(30)


def test_its_sensor_starts_the_matcher_which_outlives_it(
    whole_platform: Platform, tmp_path: Path, free_port: int
) -> None:
    whole_platform.orders("up", "--only", "kafka,mongo")
    folder = tmp_path / "dagster"
    folder.mkdir()
    environment = whole_platform.environment | {"DAGSTER_HOME": str(folder), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(free_port)]
    with (tmp_path / "dev.log").open("wb") as log:
        dev = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        place(whole_platform, "by-dev")
        try:
            durable_after(whole_platform, "by-dev", time.monotonic())
        except AssertionError as error:
            raise AssertionError((tmp_path / "dev.log").read_text()[-6000:]) from error
        deadline_s = time.monotonic() + WITHIN_S
        while not SERVER.answers(f"http://127.0.0.1:{free_port}"):
            assert time.monotonic() < deadline_s
            time.sleep(0.5)
        with DagsterInstance.from_config(str(folder)) as instance:
            first = instance.get_runs()[-1]
            assert (first.job_name, first.tags["dagster/run_key"]) == ("start_matcher", "start-1-1")
            while not instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.SUCCESS])):
                assert time.monotonic() < deadline_s
                time.sleep(0.5)
        matcher = whole_platform.matcher()
    finally:
        end(dev)
    after = whole_platform.matcher()
    assert (after["pid"], after["epoch"], after["state"]) == (matcher["pid"], matcher["epoch"], "running")
