"""The artefact that an engine takes: a wheel of our code, and an archive of what drivers and executors import.

The wheel is made from what the commit holds, the archive from `locks/python.txt`. The same content gives the same
bytes, in each commit that holds it, wherever it is built with the tools that the locks pin. Neither holds Dagster, and
the archive has no PySpark, pandas, NumPy or PyArrow: an engine brings the four that were made for each other, and a
second copy of native code beside them would be found first.
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from orders_platform import bootstrap
from orders_platform.deploy.locked import Locked, Target, closure, read_lock
from orders_platform.errors import MissingDependency, OrdersError
from orders_platform.supervision.backends.release import DATAPROC_PYTHON, ROOTS

ENGINE_BRINGS = ("numpy", "pandas", "pyarrow", "pyspark")
SOURCES = (
    "orders_platform",
    "spark",
    "deploy",
    "locks",
    "dagster.yaml",
    "workspace.yaml",
    "pyproject.toml",
    "README.md",
)
_NOISE = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}
_BUILD_TIMEOUT_S = 600.0
_DATED_S = 315_532_800
"""What all files are dated, 1980, the first year that a zip file can tell: a later commit of the same content is the
same release."""
Progress = Callable[[str], None]


class PackageError(OrdersError):
    """The artefact can't be made."""


class Package(msgspec.Struct, frozen=True):
    """What was made, from which commit, for which Python."""

    version: str
    commit: str
    python: str
    wheel: Path
    wheel_sha256: str
    dependencies: Path
    dependencies_sha256: str
    packages: tuple[str, ...]
    """What the archive holds, as NAME==VERSION."""

    @property
    def spark_name(self) -> str:
        """What the wheel must be called for Spark to import it: it takes .zip files, and looks at names alone."""
        return f"{self.wheel.stem}.zip"


def build(root: Path, to: Path, *, python: str = DATAPROC_PYTHON, progress: Progress | None = None) -> Package:
    """Make both files in `to`, from the commit that is checked out in the repository `root`.

    Raises:
        PackageError: `root` is no checkout, has changes that no commit holds, or a tool fails.
        MissingDependency: a package can't be had as it was pinned.
    """
    tell = progress or (lambda _what: None)
    commit = commit_of(root)
    target = Target(python)
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="orders-package-") as scratch_name:
        scratch = Path(scratch_name)
        source = export(root, scratch / "source", commit)
        tell("Building the wheel.")
        wheel = _wheel(source, scratch / "wheel")
        needed = engine_packages(source / "locks" / "python.txt", target)
        tell(f"Fetching {len(needed)} packages for Python {python}.")
        fetched = fetch(needed, target, scratch / "packages", source / "locks" / "uv.txt")
        version = wheel.name.split("-")[1]
        archive = scratch / f"dependencies-{version}-py{python.replace('.', '')}-linux-x86_64.tar.gz"
        tell("Packing them.")
        pack(fetched, archive)
        return Package(
            version=version,
            commit=commit,
            python=python,
            wheel=_keep(wheel, to),
            wheel_sha256=sha256(wheel),
            dependencies=_keep(archive, to),
            dependencies_sha256=sha256(archive),
            packages=tuple(f"{one.name}=={one.version}" for one in needed),
        )


def engine_packages(lock: Path, target: Target) -> list[Locked]:
    """Return what the archive holds.

    Raises:
        MissingDependency: the lock lacks some of it.
    """
    return closure(ROOTS, read_lock(lock, target), target, without=ENGINE_BRINGS)


def fetch(packages: Sequence[Locked], target: Target, to: Path, uv_lock: Path) -> Path:
    """Install the wheels of `packages` for `target` into the folder `to`, each verified by its hash.

    Raises:
        MissingDependency: there is no uv, or a package can't be had as it was pinned.
    """
    uv = bootstrap.find_uv(uv_lock)
    if uv is None:
        raise MissingDependency("uv is not there.", "Install uv, or pip for the Python that runs this.")
    to.mkdir(parents=True)
    wanted = to.with_suffix(".txt")
    wanted.write_text("".join(one.requirement() + "\n" for one in packages))
    command = [uv, "pip", "install", "-q", "--no-config", "--target", to, "--python", sys.executable]
    command += ["--python-version", target.python, "--python-platform", "x86_64-unknown-linux-gnu"]
    command += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--link-mode", "copy", "-r", wanted]
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    _run(command, "The packages could not be fetched", "Connect to the package index, and try again.", env=environment)
    return to


def pack(folder: Path, archive: Path) -> None:
    """Write all files of `folder` that matter at run time to a tar.gz, in one order and dated alike."""
    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=_DATED_S) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in _at_run_time(folder)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = path.stat().st_size, _DATED_S, 0o644
            with path.open("rb") as content:
                tar.addfile(entry, content)


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _at_run_time(folder: Path) -> Iterator[Path]:
    """Yield the files to import: no scripts, no bytecode, nothing that tells who installed them."""
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts
        described = inside[0].endswith(".dist-info")
        if not path.is_file() or inside[0] in ("bin", ".lock") or "__pycache__" in inside:
            continue
        if path.suffix != ".pyc" and not (described and path.name in _NOISE):
            yield path


def commit_of(root: Path) -> str:
    """Return the commit that is checked out.

    Raises:
        PackageError: there is none, or what is packed has changes that no commit holds.
    """
    said = _git(root, "status", "--porcelain", "--untracked-files=all", "--", *SOURCES)
    if changed := [line[3:] for line in said.splitlines()]:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise PackageError(
            f"No commit holds what is in {', '.join(changed[:3])}{more}.",
            "Commit it or put it away: what is deployed must be what a commit says.",
        )
    return _git(root, "rev-parse", "HEAD").strip()


def _git(root: Path, *arguments: str) -> str:
    return _run(
        ["git", "-C", root, *arguments],
        f"{root} is no checkout of the repository",
        "Run this in a clone of the repository, with git installed.",
    ).decode()


def export(root: Path, to: Path, commit: str) -> Path:
    """Write out the files of the commit, and nothing else that may lie beside them.

    Raises:
        PackageError: `root` is no checkout.
    """
    to.mkdir(parents=True)
    content = to.with_suffix(".tar")
    _git(root, "archive", "--format=tar", "-o", str(content), commit)
    with tarfile.open(content) as tar:
        tar.extractall(to, filter="data")
    return to


def _wheel(source: Path, to: Path) -> Path:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(to), "SOURCE_DATE_EPOCH": str(_DATED_S)}
    command = [sys.executable, "-I", "-m", "hatchling", "build", "-t", "wheel", "-d", to]
    _run(command, "The wheel could not be built", "Run `./orders --version`, which installs what the lock names.",
         cwd=source, env=environment)  # fmt: skip
    return next(to.glob("*.whl"))


def _keep(file: Path, to: Path) -> Path:
    """Put a whole file in its place at once, over what an earlier build left."""
    beside = to / f".{file.name}"
    shutil.copyfile(file, beside)
    return beside.replace(to / file.name)


def _run(
    command: Sequence[str | Path], what: str, fix: str, *, cwd: Path | None = None, env: dict[str, str] | None = None
) -> bytes:
    try:
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, check=False, timeout=_BUILD_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackageError(f"{what}: {error}.", fix) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise PackageError(f"{what} ({said[-1] if said else 'no reason given'}).", fix)
    return done.stdout
