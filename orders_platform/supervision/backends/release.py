"""Where the code of this checkout lies once it is deployed: names that follow from its content alone.

So whoever deploys and whoever submits agree without a word, another version never overwrites one that runs, and a
supervisor can't start code that is not its own.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from orders_platform import __version__
from orders_platform.local.jars import locked
from orders_platform.surroundings import ROOT

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
    code = f"{bucket}/releases/{__version__}-{_digest_of_code()}"
    held = (ROOT / "locks" / "python.txt").read_bytes() + " ".join(ROOTS).encode()
    lock = hashlib.sha256(held).hexdigest()[:16]
    return Release(
        main=f"{code}/matcher_job.py",
        statements=f"{code}/statement_job.py",
        wheel=f"{code}/orders_platform.zip",
        dependencies=f"{bucket}/dependencies/{lock}-py{DATAPROC_PYTHON.replace('.', '')}.tar.gz",
        jars=tuple(f"{bucket}/jars/{jar.sha256[:16]}/{jar.file_name}" for jar in locked(f"spark-{spark}")),
    )


def _digest_of_code() -> str:
    """Return what names all that is in the wheel: whatever changes its bytes changes this."""
    digest = hashlib.sha256()
    for file in sorted(_in_wheel()):
        digest.update(f"{file.relative_to(ROOT).as_posix()}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _in_wheel() -> Iterator[Path]:
    yield ROOT / "pyproject.toml"
    for package in ("orders_platform", "spark"):
        for file in (ROOT / package).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                yield file
