"""What a container image is built from: a folder with the commit's code, the pinned requirements, and the jars.

`deploy/container/Containerfile` builds it. Only what is in that folder can get into the image: no secret, no setting,
no file of whoever builds it.
"""

import shutil
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from orders_platform.deploy.locked import Target, closure, read_lock
from orders_platform.deploy.package import PackageError, Progress, commit_of, export, sha256
from orders_platform.local import jars

IMAGE_PYTHON = "3.11"
"""Of Debian 12, the image's base."""
_CODE = ("orders_platform", "spark", "locks", "dagster.yaml", "workspace.yaml", "pyproject.toml")


class Context(msgspec.Struct, frozen=True):
    """A folder to build an image from."""

    folder: Path
    commit: str
    packages: tuple[str, ...]
    """As NAME==VERSION."""
    jar_groups: tuple[str, ...]
    """Of the lock of jars: those that are added to Spark's own."""


def prepare(root: Path, to: Path, *, progress: Progress | None = None) -> Context:
    """Write the folder `to` anew, from the commit that is checked out in the repository `root`.

    Raises:
        PackageError: `root` is no checkout, has changes that no commit holds, or `to` holds something else.
        MissingDependency: a jar can't be had as it was pinned.
    """
    tell = progress or (lambda _what: None)
    commit = commit_of(root)
    _clear(to)
    with tempfile.TemporaryDirectory(prefix="orders-image-") as scratch:
        source = export(root, Path(scratch) / "source", commit)
        for name in ("Containerfile", "core-site.xml", "entrypoint", "orders"):
            shutil.copy(source / "deploy" / "container" / name, to / name)
        for name in _CODE:
            (to / "code").mkdir(exist_ok=True)
            shutil.move(source / name, to / "code" / name)
    locks = to / "code" / "locks"
    shutil.copy(locks / "build.txt", to / "build.txt")
    target = Target(IMAGE_PYTHON)
    project = tomllib.loads((to / "code" / "pyproject.toml").read_text())["project"]
    packages = closure(project["dependencies"], read_lock(locks / "python.txt", target), target)
    (to / "requirements.txt").write_text("".join(one.requirement() + "\n" for one in packages))
    groups = (next(f"spark-{one.version}" for one in packages if one.name == "pyspark"), "image")
    tell("Collecting the jars.")
    _collect_jars(groups, to / "jars")
    return Context(
        folder=to,
        commit=commit,
        packages=tuple(f"{one.name}=={one.version}" for one in packages),
        jar_groups=groups,
    )


def _clear(to: Path) -> None:
    """Make way for a new folder, and for no other loss than that of an old one."""
    if to.exists() and any(to.iterdir()):
        if not (to / "Containerfile").is_file():
            raise PackageError(f"{to} holds something else.", "Give an empty folder.")
        shutil.rmtree(to)
    to.mkdir(parents=True, exist_ok=True)


def _collect_jars(groups: Iterable[str], to: Path) -> None:
    """Copy the verified jars, and their sums as `sha256sum` reads them."""
    to.mkdir()
    copied = [Path(shutil.copy(jar, to)) for group in groups for jar in jars.ensure(group)]
    (to / "SHA256SUMS").write_text("".join(f"{sha256(jar)}  {jar.name}\n" for jar in sorted(copied)))
