"""Where the code of this checkout lies once it is deployed: names that follow from its content alone.

So whoever deploys and whoever submits agree without a word, another version never overwrites one that runs, and a
supervisor can't start code that is not its own.
"""

import hashlib

import msgspec

from orders_platform.local.jars import locked
from orders_platform.surroundings import ROOT
from orders_platform.version import code_version

DATAPROC_SPARK = "4.1.2"
"""The Spark whose connector Dataproc's image 3.0 takes."""
DATAPROC_PYTHON = "3.12"
"""Of the same image, and of the serverless runtime 3.0."""
ROOTS = (
    "confluent-kafka",
    "google-cloud-secret-manager",
    "msgspec",
    "psutil",
    "pydantic",
    "pymongo",
    "stamina",
)
"""What spark/ and the parts of orders_platform under it import; a test holds them against the imports."""
DEPENDENCIES = "dependencies"
"""What the archive is called where it is unpacked."""


class Release(msgspec.Struct, frozen=True):
    """The objects of one release, as `gs://` addresses."""

    main: str
    statements: str
    wheel: str
    dependencies: str
    jars: tuple[str, ...]


def release(bucket: str, spark: str = DATAPROC_SPARK) -> Release:
    """Return the objects of this checkout's release in a bucket."""
    code = f"{bucket}/releases/{code_version().replace('+', '-')}"
    held = (ROOT / "locks" / "python.txt").read_bytes() + " ".join(ROOTS).encode()
    lock = hashlib.sha256(held).hexdigest()[:16]
    return Release(
        main=f"{code}/matcher_job.py",
        statements=f"{code}/statement_job.py",
        wheel=f"{code}/orders_platform.zip",
        dependencies=f"{bucket}/dependencies/{lock}-py{DATAPROC_PYTHON.replace('.', '')}.tar.gz",
        jars=tuple(f"{bucket}/jars/{jar.sha256[:16]}/{jar.file_name}" for jar in locked(f"spark-{spark}")),
    )
