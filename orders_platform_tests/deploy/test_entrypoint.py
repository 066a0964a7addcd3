"""The container's entrypoint: an executor as Spark on Kubernetes starts it, at work for a real driver."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from orders_platform.local.java import find_java, java_home
from orders_platform_tests.deploy.engine import engine_spark
from orders_platform_tests.deploy.packing import ROOT

ENTRYPOINT = ROOT / "deploy" / "container" / "entrypoint"
# A driver that nobody gives an executor: the one that comes is the entrypoint's.
DRIVER = """
import os, subprocess, sys
from pyspark.sql import SparkSession
port, entrypoint = sys.argv[1:]
builder = SparkSession.builder.master("local-cluster[0,1,512]").config("spark.driver.port", port)
for name, value in {
    "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.ui.enabled": "false",
    "spark.executor.memory": "512m", "spark.log.level": "WARN",
}.items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
said = {
    "SPARK_DRIVER_URL": f"spark://CoarseGrainedScheduler@127.0.0.1:{port}", "SPARK_EXECUTOR_ID": "7",
    "SPARK_EXECUTOR_CORES": "1", "SPARK_EXECUTOR_MEMORY": "512m", "SPARK_EXECUTOR_POD_IP": "127.0.0.1",
    "SPARK_APPLICATION_ID": spark.sparkContext.applicationId, "SPARK_RESOURCE_PROFILE_ID": "0",
    "SPARK_EXECUTOR_POD_NAME": "executor-7", "SPARK_CLASSPATH": "/given/*",
}
# As Spark numbers an executor's Java options for its pod; those that open Java's modules are among them.
options = spark.sparkContext.getConf().get("spark.executor.extraJavaOptions").split()
said |= {f"SPARK_JAVA_OPT_{number}": option for number, option in enumerate([*options, "-Dlast=1"])}
executor = subprocess.Popen([sys.executable, "-I", entrypoint, "executor"], env=os.environ | said)
def work(frames):
    import os, pandas
    for frame in frames:
        parent = open(f"/proc/{os.getppid()}/stat").read().rpartition(")")[2].split()[1]
        yield pandas.DataFrame({"double": frame["id"] * 2, "executor": int(parent)})
rows = spark.range(100, numPartitions=2).mapInPandas(work, "double long, executor long").collect()
assert sum(row.double for row in rows) == 9900
assert {row.executor for row in rows} == {executor.pid}, (rows[0], executor.pid)
words = open(f"/proc/{executor.pid}/cmdline").read().split(chr(0))
assert len(options) > 10
assert words[1 : len(options) + 2] == [*options, "-Dlast=1"]
spark.stop()
assert executor.wait(60) == 0, executor.returncode
print("done")
"""


@pytest.mark.spark
def test_an_executor_registers_and_works_and_ends_with_its_driver(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "PATH": os.defpath,
        "JAVA_HOME": str(java_home(find_java())),
        "SPARK_HOME": str(engine_spark(tmp_path / "spark")),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(port), ENTRYPOINT],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["done"]), done.stderr


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", ENTRYPOINT, *arguments],
        env={"PATH": os.defpath} | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_another_command_takes_the_place_of_the_entrypoint() -> None:
    done = run("sh", "-c", 'echo "$0: $1"; exit 3', "a name", "an argument with spaces")
    assert (done.returncode, done.stdout) == (3, "a name: an argument with spaces\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Nothing to run"),
        (("executor",), "SPARK_HOME is not set"),
        (("no-such-command",), "no-such-command can't be run: No such file or directory"),
    ],
)
def test_what_can_not_be_run_is_said_in_a_sentence(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
