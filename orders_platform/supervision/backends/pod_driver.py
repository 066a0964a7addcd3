"""The driver of a pod: the command that the Deployment's container becomes.

Only what differs from pod to pod or follows from our settings is said here. What an operator chooses once (image,
number and size of executors, ports) is in the `spark-defaults.conf` that the manifests mount: docs/decisions/0008.
"""

from collections.abc import Mapping

from orders_platform.errors import OrdersError
from orders_platform.settings import Settings
from orders_platform.supervision.backends.driver_environment import settings_variables
from orders_platform.supervision.backends.spark_submit import (
    DRIVER,
    JAVA_OPTIONS,
    LAUNCHER_OPTIONS,
    configuration,
    flags,
    spark_home,
)

_POD = {
    "POD_IMAGE": "spark.kubernetes.container.image",
    "POD_IP": "spark.driver.host",
    "POD_NAME": "spark.kubernetes.driver.pod.name",
    "POD_NAMESPACE": "spark.kubernetes.namespace",
}
"""Variables of the manifests, most by the downward API. With the pod's name Spark makes it the owner of its executors:
they go with it."""


def command(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """Return the command with which this pod's driver begins.

    Raises:
        OrdersError: supervision did not start this pod, or the manifests leave something out.
        SettingsError: a secret is set by its value, which executors must not be told in the open.
    """
    if "ORDERS_MATCHER_EPOCH" not in environ:
        raise OrdersError(
            "No supervisor started this matcher: ORDERS_MATCHER_EPOCH is not set.",
            "Scale it to 0 and run `orders matcher start`; supervision scales it up.",
        )
    master = settings.matcher.master
    its = configuration(settings.home / "spark")
    if master.startswith("k8s://"):
        its |= _of_this_pod(environ)
        # What executors must know to write; names of secrets and of files, no value of one.
        told = settings_variables(settings, settings.checkpoint())
        its |= {f"spark.executorEnv.{name}": text for name, text in told.items() if name.startswith("ORDERS_MONGO_")}
    else:
        its |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return [
        str(spark_home() / "bin" / "spark-submit"),
        *("--master", master),
        *("--driver-memory", settings.matcher.driver_memory),
        *("--driver-java-options", JAVA_OPTIONS),
        *flags(its),
        str(DRIVER),
    ]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of that command: the container's own, which the manifests and supervision made."""
    return {"SPARK_LAUNCHER_OPTS": LAUNCHER_OPTIONS, "SPARK_HOME": str(spark_home()), **environ}


def _of_this_pod(environ: Mapping[str, str]) -> dict[str, str]:
    missing = sorted(set(_POD) - environ.keys())
    if missing:
        raise OrdersError(
            f"The pod does not say what it is: {', '.join(missing)} is not set.",
            "Run `orders deploy kubernetes`, whose Deployment sets it from the pod's own fields.",
        )
    return {name: environ[variable] for variable, name in _POD.items()}
