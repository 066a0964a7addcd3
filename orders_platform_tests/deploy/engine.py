"""A Spark as a cluster has it: Python with what the engine brings, and nothing that lies in this repository."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

import psutil

from orders_platform.deploy.package import Package
from orders_platform.local.jars import spark_connector_jars
from orders_platform.local.java import find_java, java_home

BROUGHT = ("numpy", "pandas", "pyarrow", "python-dateutil", "six", "tzdata", "pytz")


def engine_spark(to: Path) -> Path:
    """Make a Spark home of the installed Spark's parts: executors work in a folder of their home."""
    to.mkdir()
    installed = Path(str(metadata.distribution("pyspark").locate_file("pyspark")))
    for part in ("bin", "jars", "python"):
        (to / part).symlink_to(installed / part)
    return to


def engine_python(to: Path) -> Path:
    """Make a Python that can import what engines bring, and return its program."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", to], check=True)
    packages = next((to / "lib").glob("python*")) / "site-packages"
    for name in BROUGHT:
        try:
            files = metadata.files(name) or []
        except metadata.PackageNotFoundError:
            continue  # pandas 2 needs it, pandas 3 doesn't, or the other way round
        for top in {file.parts[0] for file in files} - {".."}:
            place = Path(str(metadata.distribution(name).locate_file(top)))
            if place.exists() and top != "__pycache__":
                (packages / top).symlink_to(place)
    return to / "bin" / "python"


class Engine:
    """One place to submit drivers from, to executors in processes and folders of their own."""

    def __init__(self, place: Path, package: Package) -> None:
        self.python = engine_python(place / "python")
        self.spark_home = engine_spark(place / "spark")
        self.work = self.spark_home / "work"
        self.submitted = place / "submitted"
        self.unpacked = self.submitted / "dependencies"
        self.submitted.mkdir()
        self.code = self.submitted / package.spark_name
        self.archive = self.submitted / package.dependencies.name
        shutil.copyfile(package.wheel, self.code)
        shutil.copyfile(package.dependencies, self.archive)
        with tarfile.open(self.archive) as tar:
            tar.extractall(self.unpacked, filter="data")

    def environment(self, **settings: str) -> dict[str, str]:
        """Return a driver's whole environment: nothing of the process that runs the tests."""
        return {
            "PATH": os.defpath,
            "HOME": str(self.submitted),
            "LANG": "C.UTF-8",
            "JAVA_HOME": str(java_home(find_java())),
            "SPARK_HOME": str(self.spark_home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": str(self.python),
            "PYTHONPATH": os.pathsep.join(map(str, (self.unpacked, self.code))),
            **settings,
        }

    def submit(self, main: str) -> list[str]:
        """Return the command that submits a file of the wheel, with the artefact as Spark's own means carry it."""
        driver = self.submitted / Path(main).name
        with zipfile.ZipFile(self.code) as code:
            driver.write_bytes(code.read(main))
        configuration = {
            # Relative: an executor's folder, where Spark puts both. Not the driver's, which it would inherit.
            "spark.executorEnv.PYTHONPATH": f"./dependencies:./{self.code.name}",
            "spark.executor.memory": "512m",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.log.level": "WARN",
        }
        return [
            str(self.spark_home / "bin" / "spark-submit"),
            *("--master", "local-cluster[1,2,512]"),
            *("--py-files", str(self.code)),
            *("--archives", f"{self.archive}#dependencies"),
            *("--jars", ",".join(map(str, spark_connector_jars()))),
            *(part for name, value in configuration.items() for part in ("--conf", f"{name}={value}")),
            str(driver),
        ]


@contextmanager
def running(command: Sequence[str], environment: dict[str, str], cwd: Path, log: Path) -> Iterator[psutil.Popen]:
    """Run a process; end it and all that it started afterwards."""
    with log.open("wb") as out:
        process = psutil.Popen(command, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            yield process
        finally:
            started = [process, *process.children(recursive=True)] if process.is_running() else []
            for one in started:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait(30)
