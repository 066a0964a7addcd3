"""`orders test`: the whole test suite, on this Spark and on the oldest that is supported."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from orders_platform.cli import output
from orders_platform.surroundings import ROOT

OLD_SPARK_PYTHON_MAX = (3, 12)
"""The last Python for which the libraries of Spark 4.0's time were published."""
_KEPT = ("ORDERS_CACHE", "ORDERS_IVY_SETTINGS")
_CHECKS = (
    ("ruff", "check"),
    ("ruff", "format", "--check"),
    ("pyright",),
    ("lint-imports",),
)
# Most of the time goes into waiting for real processes: three at once leave two cores some air still. A file's tests
# stay together, for they share what it starts; in the order in which they are found, the slow ones are among the first.
_SIDE_BY_SIDE = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")


@click.command()
def test() -> int:
    """Run linters, type checker and all tests; the Spark tests also on Spark 4.0."""
    from orders_platform.local import chromium, java

    java.ensure_java()
    chromium.ensure_chromium()
    failed = [" ".join(check) for check in _CHECKS if not _run([_tool(check[0]), *check[1:]])]
    # Spark 4.0 first, so that the closing line is that of the whole suite.
    if not _test_on_old_spark():
        failed.append("the Spark tests on Spark 4.0")
    if failed:
        output.say(f"Failed so far: {', '.join(failed)}.")
    passed = _run([sys.executable, "-m", "pytest", *_SIDE_BY_SIDE])
    return 0 if passed and not failed else 1


def _test_on_old_spark() -> bool:
    from orders_platform import bootstrap
    from orders_platform.errors import MissingDependency

    environment, lock = ROOT / ".venv-spark40", ROOT / "locks" / "python-spark40.txt"
    stamp = hashlib.sha256(f"{environment}\n{lock.read_text()}".encode()).hexdigest()
    try:
        bootstrap.ensure(environment, lock, stamp, python=_old_enough_python())
    except bootstrap.SetUpError as error:
        raise MissingDependency("The environment with Spark 4.0 can't be made.", str(error)) from error
    return _run([environment / "bin" / "python", "-m", "pytest", "orders_platform_tests/spark", "-m", "spark"])


def _old_enough_python() -> str:
    from orders_platform.errors import MissingDependency

    if sys.version_info[:2] <= OLD_SPARK_PYTHON_MAX:
        return sys.executable
    found = shutil.which("python3.12") or shutil.which("python3.11")
    if found is None:
        version = ".".join(map(str, OLD_SPARK_PYTHON_MAX))
        raise MissingDependency(
            f"The libraries of Spark 4.0 need Python {version} or older.", f"Put python{version} on PATH for the tests."
        )
    return found


def _tool(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def _run(command: Sequence[str | Path]) -> bool:
    output.say(f"$ {' '.join(Path(part).name if isinstance(part, Path) else part for part in command)}")
    # Whoever runs the tests has settings that they must not see.
    kept = {name: text for name, text in os.environ.items() if not name.startswith("ORDERS_") or name in _KEPT}
    return subprocess.run(command, cwd=ROOT, env=kept, stdin=subprocess.DEVNULL, check=False).returncode == 0


commands: list[click.Command] = [test]
