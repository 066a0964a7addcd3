"""What becomes of a job that the fake Dataproc was given: the small driver, or the real one on a real Spark."""

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
from google.cloud.dataproc_v1.types import Job

from orders_platform.local.jars import spark_connector_jars
from orders_platform.local.java import find_java, java_home
from orders_platform.surroundings import ROOT
from orders_platform_tests.deploy.engine import engine_python, engine_spark

SMALL_DRIVER = ROOT / "orders_platform_tests" / "supervision" / "small_driver.py"
_MASTER = "spark.yarn.appMasterEnv."
_FOR_YARN = ("spark.yarn.", "spark.submit.", "spark.dynamicAllocation.", "spark.executor.", "spark.driver.memory")


def told(job: Job) -> dict[str, str]:
    """Return the environment of a job's driver, as YARN makes it of the job's properties."""
    properties = job.pyspark_job.properties
    return {name.removeprefix(_MASTER): value for name, value in properties.items() if name.startswith(_MASTER)}


class SmallRunner:
    """Runs the small driver with what the job tells its own, in a folder of the job's."""

    def __init__(self, place: Path, endpoint: Callable[[], str]) -> None:
        self.place = place
        self.mode = "work"
        self._endpoint = endpoint

    def __call__(self, job: Job) -> psutil.Popen:
        folder = self.place / job.reference.job_id
        (folder / "orders-home").mkdir(parents=True)
        (folder / "orders-home" / "mode").write_text(self.mode)
        environment = told(job) | {"PYTHONPATH": str(ROOT), "ORDERS_GOOGLE_ENDPOINT": self._endpoint()}
        return _start([sys.executable, str(SMALL_DRIVER)], folder, environment)


class SparkRunner:
    """Runs the job as it is: `objects` holds what lies in the bucket, and nothing of this repository can be imported.
    The Spark is the installed one, so its connector stands in for the one of Dataproc's Spark.

    What YARN does, this does: the archive unpacked in the container's folder, the wheel beside it, and the properties
    as they are, but for those that only YARN reads.
    """

    def __init__(self, place: Path, objects: Path, endpoint: Callable[[], str]) -> None:
        self.place = place
        self._objects = objects
        self._endpoint = endpoint
        self._python = engine_python(place / "python")
        self._spark = engine_spark(place / "spark")

    def __call__(self, job: Job) -> psutil.Popen:
        its, container = job.pyspark_job, self.place / job.reference.job_id
        container.mkdir(parents=True)
        wheel = self._fetch(its.python_file_uris[0], container)
        archive, _, alias = its.archive_uris[0].partition("#")
        with tarfile.open(self._object(archive)) as tar:
            tar.extractall(container / alias, filter="data")
        main = self._fetch(its.main_python_file_uri, container)
        jars = [str(jar) for jar in spark_connector_jars()]
        properties = {name: value for name, value in its.properties.items() if not name.startswith(_FOR_YARN)}
        here = {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.executor.memory": "512m",
        }
        command = [
            str(self._spark / "bin" / "spark-submit"),
            *("--master", "local-cluster[1,2,512]"),
            *("--py-files", str(wheel)),
            *("--archives", f"{self._object(archive)}#{alias}"),
            *("--jars", ",".join(jars)),
            *(part for name, value in (properties | here).items() for part in ("--conf", f"{name}={value}")),
            str(main),
            *its.args,
        ]
        environment = told(job) | {
            "PATH": os.defpath,
            "HOME": str(container),
            "LANG": "C.UTF-8",
            "JAVA_HOME": str(java_home(find_java())),
            "SPARK_HOME": str(self._spark),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": str(self._python),
            "ORDERS_GOOGLE_ENDPOINT": self._endpoint(),
        }
        return _start(command, container, environment)

    def _object(self, uri: str) -> Path:
        return self._objects / uri.removeprefix("gs://")

    def _fetch(self, uri: str, to: Path) -> Path:
        return Path(shutil.copy(self._object(uri), to))


def _start(command: list[str], folder: Path, environment: Mapping[str, str]) -> psutil.Popen:
    with (folder / "log").open("wb") as log:
        return psutil.Popen(
            command, env=dict(environment), cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
