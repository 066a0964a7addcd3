"""What every launch of the driver through `spark-submit` has in common, on this machine and in a pod.

`spark-submit`, not `python driver.py`: killing the latter's JVM leaves a Python driver behind that goes on writing.
Secrets travel in the environment or as files, never in arguments or Spark's configuration, where any user or a log
could read them.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from orders_platform.errors import MissingDependency
from orders_platform.local.stack import Endpoints
from orders_platform.surroundings import PREFIX, ROOT

DRIVER = ROOT / "spark" / "matcher_job.py"
STATEMENTS = ROOT / "spark" / "statement_job.py"
ON_LOOPBACK = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
# One collector thread beside two busy cores, and a smaller process; the compilers stay on, throughput needs them.
LAUNCHER_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
"""Of the small JVM that only puts the command together and is gone in half a second."""
JAVA_OPTIONS = "-XX:+UseSerialGC -Xshare:auto -XX:-UsePerfData -Djava.net.preferIPv4Stack=true"


def spark_home() -> Path:
    """Return the PySpark package's directory, which is a whole Spark.

    Raises:
        MissingDependency: it is not installed.
    """
    found = find_spec("pyspark")
    if found is None or found.origin is None:
        raise MissingDependency("PySpark is not installed.", "Run `./orders`, which installs what the lock names.")
    return Path(found.origin).parent


def environment_here(home: Path, endpoints: Endpoints, java: Path) -> dict[str, str]:
    """Return what a program that is launched on this machine is told: our own settings, secrets among them, as it reads
    them as we did; and where everything is. `java` is a JAVA_HOME.

    Raises:
        MissingDependency: Spark is not installed.
    """
    own = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    return own | {
        "JAVA_HOME": str(java),
        "SPARK_LAUNCHER_OPTS": LAUNCHER_OPTIONS,
        "SPARK_HOME": str(spark_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "ORDERS_HOME": str(home),
        "ORDERS_KAFKA__BOOTSTRAP_SERVERS": endpoints.bootstrap_servers,
        "ORDERS_MONGO__URI": endpoints.mongo_uri,
    }


def configuration(scratch: Path) -> dict[str, str]:
    """Return the driver's settings of Spark that hold everywhere. What it writes of its own goes to `scratch`."""
    return {
        "spark.ui.enabled": "false",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.log.level": "WARN",
        "spark.python.worker.reuse": "true",
    }


def flags(configuration: dict[str, str]) -> list[str]:
    """Return settings of Spark as arguments of spark-submit."""
    return [part for name, value in configuration.items() for part in ("--conf", f"{name}={value}")]
