"""The command that a pod's container becomes, and what its probes look at."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orders_platform.errors import OrdersError, SettingsError
from orders_platform.settings import Settings
from orders_platform.supervision.backends.pod_driver import command

DRIVER = [sys.executable, "-c", "from orders_platform.cli.main import run; run()", "matcher", "driver"]
POD = {"POD_IP": "10.1.2.3", "POD_NAME": "orders-matcher-1", "POD_NAMESPACE": "shop", "ORDERS_MATCHER_EPOCH": "7"}
PROBE = 'find "$ORDERS_HOME/run/alive" -mmin -1.5 | grep -q .'
"""What the manifests' probes run."""


def made(tmp_path: Path, **mongo: str) -> Settings:
    given = {"mongo": mongo, "matcher": {"master": "k8s://https://kubernetes.default.svc", "checkpoint": "gs://b/c"}}
    return Settings.load(given, {"ORDERS_HOME": str(tmp_path)}, tmp_path)


def test_executors_are_told_names_of_secrets_and_belong_to_the_pod(tmp_path: Path) -> None:
    given = command(made(tmp_path, uri_file="/run/secrets/mongo", database="shop"), POD)
    told = {
        given[at + 1].partition("=")[0]: given[at + 1].partition("=")[2]
        for at, it in enumerate(given)
        if it == "--conf"
    }
    assert told["spark.driver.host"] == "10.1.2.3"
    assert told["spark.kubernetes.driver.pod.name"] == "orders-matcher-1"
    assert told["spark.kubernetes.namespace"] == "shop"
    executors = {name: text for name, text in told.items() if name.startswith("spark.executorEnv.")}
    assert executors == {
        "spark.executorEnv.ORDERS_MONGO__URI_FILE": "/run/secrets/mongo",
        "spark.executorEnv.ORDERS_MONGO__DATABASE": "shop",
    }
    assert given[given.index("--master") + 1] == "k8s://https://kubernetes.default.svc"
    with pytest.raises(SettingsError, match="in the open"):
        command(made(tmp_path, uri="mongodb://name:secret@db/"), POD)


def test_a_pod_that_nobody_supervises_or_that_does_not_know_itself_says_so(tmp_path: Path) -> None:
    settings = made(tmp_path, uri_file="/run/secrets/mongo")
    with pytest.raises(OrdersError, match="No supervisor started this matcher"):
        command(settings, {name: text for name, text in POD.items() if name.startswith("POD")})
    with pytest.raises(OrdersError, match="POD_IP is not set"):
        command(settings, {name: text for name, text in POD.items() if name != "POD_IP"})


def probe(home: Path) -> int:
    environment = {"ORDERS_HOME": str(home), "PATH": os.environ["PATH"]}
    return subprocess.run(["sh", "-c", PROBE], env=environment, capture_output=True, check=False).returncode


def test_the_probe_goes_by_the_age_of_the_drivers_sign(tmp_path: Path) -> None:
    assert probe(tmp_path) != 0, "before the stream runs"
    sign = tmp_path / "run" / "alive"
    sign.parent.mkdir()
    sign.touch()
    assert probe(tmp_path) == 0
    long_ago_s = sign.stat().st_mtime - 120
    os.utime(sign, (long_ago_s, long_ago_s))
    assert probe(tmp_path) != 0
