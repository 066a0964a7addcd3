"""The command that a pod's container becomes, and a whole life of the real driver in the cluster of the tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orders_platform.errors import OrdersError, SettingsError
from orders_platform.local.jars import spark_connector_jars
from orders_platform.local.java import find_java, java_home
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.schema import migrate
from orders_platform.supervision.backends.pod_driver import command
from orders_platform_tests.kubernetes.api_server import ApiServer
from orders_platform_tests.kubernetes.conftest import Cluster, KubernetesPlatform
from orders_platform_tests.supervision.test_real_matcher import BACK_WITHIN_S, PATIENT, is_matched, place

DRIVER = [sys.executable, "-c", "from orders_platform.cli.main import run; run()", "matcher", "driver"]
POD = {
    "POD_IMAGE": "orders@sha256:0",
    "POD_IP": "10.1.2.3",
    "POD_NAME": "orders-matcher-1",
    "POD_NAMESPACE": "shop",
    "ORDERS_MATCHER_EPOCH": "7",
}
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


def committed_by_spark(platform: KubernetesPlatform, commits: Path) -> bool:
    beat = records.read_heartbeat(platform.store)
    return beat is not None and beat.batch_id is not None and (commits / str(beat.batch_id)).exists()


@pytest.mark.services
@pytest.mark.spark
@pytest.mark.timeout(900)
def test_the_real_driver_lives_dies_and_is_followed_in_a_cluster(
    api: ApiServer, platform: KubernetesPlatform, cluster: Cluster, tmp_path: Path
) -> None:
    migrate(platform.store)
    platform.policy = PATIENT
    cluster.nodes.command = DRIVER
    conf = tmp_path / "spark-conf"
    conf.mkdir()
    jars = os.pathsep.join(map(str, spark_connector_jars()))
    (conf / "spark-defaults.conf").write_text(f"spark.driver.extraClassPath {jars}\n")
    cluster.nodes.environment |= {
        "JAVA_HOME": str(java_home(find_java())),
        "SPARK_CONF_DIR": str(conf),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }
    platform.supervise()
    place(platform, "first")
    platform.until(lambda: is_matched(platform, "first"), BACK_WITHIN_S)
    platform.until(lambda: probe(cluster.home) == 0, BACK_WITHIN_S)
    # Spark's own log of ended batches: a document is durable before it, and a kill in between does the batch again.
    commits = cluster.home / "checkpoint" / "commits"
    platform.until(lambda: committed_by_spark(platform, commits), BACK_WITHIN_S)
    first = cluster.pod()
    cluster.nodes.kill(first, "OOMKilled")
    place(platform, "second")
    platform.until(lambda: is_matched(platform, "second"), BACK_WITHIN_S)
    platform.until(lambda: platform.committed(1), BACK_WITHIN_S)
    assert cluster.nodes.most_at_once == 1
    assert [(start.epoch, start.end) for start in records.read_starts(platform.store)] == [(1, "died"), (2, None)]
    beat = records.read_heartbeat(platform.store)
    assert beat is not None
    assert beat.counts["messages"] == 1, "it went on where the last commit ended"
    records.set_desired(platform.store, state="stopped")
    platform.until(lambda: not cluster.nodes.living() and not cluster.nodes.pods(), BACK_WITHIN_S)
    platform.until(lambda: records.read_starts(platform.store)[-1].end == "asked", BACK_WITHIN_S)
