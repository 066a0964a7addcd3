"""Makes a virtual environment from hash-pinned locks, with nothing but Python's standard library at hand.

The launcher runs this file before any dependency is there; `orders test` uses it for the environment with the oldest
Spark. A kernel lock keeps two of them apart and ends with its holder. The stamp that says "whole" is written last, so
a killed set-up is taken up again.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

STAMP = ".stamp"
_PIP = ("-q", "--disable-pip-version-check", "--root-user-action=ignore")


class SetUpError(Exception):
    """One sentence that says what happened, and one that says what to do."""


def ensure(
    environment: Path, lock: Path, stamp: str, *, python: str = sys.executable, project: Path | None = None
) -> None:
    """Make `environment`, of this `python`, hold exactly what `lock` pins, unless its stamp says so already.

    `build.txt` beside `lock` pins what builds source packages; `project` is installed too, editable.

    Raises:
        SetUpError: an installer is missing or fails, or the disk refuses.
    """
    with _only_one(environment):
        if _is_whole(environment, stamp):
            return
        _say(f"Setting up {environment.name} from {lock.name}; the first time this takes some minutes.")
        (environment / STAMP).unlink(missing_ok=True)
        build = lock.with_name("build.txt")
        uv = find_uv(lock.with_name("uv.txt"))
        if uv is None or not _install_with_uv(uv, python, environment, build, lock, project):
            _install_with_pip(python, environment, build, lock, project)
        (environment / STAMP).write_text(stamp + "\n")


def _is_whole(environment: Path, stamp: str) -> bool:
    try:
        return (environment / STAMP).read_text().strip() == stamp and _works(environment / "bin" / "python")
    except OSError:
        return False


@contextmanager
def _only_one(environment: Path) -> Iterator[None]:
    """Wait until no other process sets this environment up."""
    with environment.with_name(f"{environment.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"Waiting for another process that sets up {environment.name} ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def find_uv(lock: Path) -> Path | None:
    """Return uv: from PATH, from an earlier time, or freshly installed by pip into the user's cache."""
    if found := shutil.which("uv"):
        return Path(found)
    folder = _cache() / f"uv-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    program = folder / "bin" / "uv"
    if _works(program):
        return program
    if not _has_pip() and (sys.prefix != sys.base_prefix or not apt_install("python3-pip")):
        return None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".uv-", dir=folder.parent) as scratch:
            fresh = Path(scratch) / "uv"
            command = [sys.executable, "-m", "pip", "install", *_PIP, "--require-hashes", "-r", lock, "--target", fresh]
            if not _run(command):
                return None
            shutil.rmtree(folder, ignore_errors=True)
            fresh.replace(folder)
    except OSError as error:
        _say(f"uv can't be kept in {folder.parent} ({error.strerror}); going on with pip.")
        return None
    return program if _works(program) else None


def _install_with_uv(uv: Path, python: str, environment: Path, build: Path, lock: Path, project: Path | None) -> bool:
    installed = environment / "bin" / "python"
    at = ["--python", installed]
    pinned = ["--require-hashes", *at]
    steps: list[list[str | Path]] = []
    if not _works(installed):
        shutil.rmtree(environment, ignore_errors=True)
        steps.append([uv, "venv", "-q", "--no-project", "--python", python, environment])
    steps.append([uv, "pip", "install", "-q", *pinned, "-r", build])
    shown = [] if sys.stderr.isatty() else ["-q"]
    steps.append([uv, "pip", "sync", *shown, *pinned, "--no-build-isolation", build, lock])
    if project is not None:
        steps.append([uv, "pip", "install", "-q", *at, "--no-deps", "--no-build-isolation", "-e", project])
    return all(_run(step, cwd=build.parent) for step in steps)


def _install_with_pip(python: str, environment: Path, build: Path, lock: Path, project: Path | None) -> None:
    _say("Installing with pip.")
    make = [python, "-m", "venv", "--clear", environment]
    # Debian splits it from Python.
    if not _run(make) and not (apt_install(f"python3.{sys.version_info.minor}-venv", "python3-venv") and _run(make)):
        raise SetUpError(f"{environment} can't be made. Install Python's venv (Debian and Ubuntu: python3-venv).")
    # Without dependencies: a lock is a whole closure, and pip can't match its pins with extras.
    flags = [*_PIP, "--no-deps", "--no-build-isolation"]
    pip: list[str | Path] = [environment / "bin" / "python", "-m", "pip", "install", *flags]
    steps: list[list[str | Path]] = [
        [*pip, "--require-hashes", "-r", build],
        [*pip, "--require-hashes", "-r", lock],
    ]
    if project is not None:
        steps.append([*pip, "-e", project])
    if not all(_run(step) for step in steps):
        raise SetUpError("The dependencies could not be installed. Connect to the package index, and run this again.")


def _has_pip() -> bool:
    probe = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    return probe.returncode == 0


def _works(program: Path) -> bool:
    try:
        return subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def apt_install(*packages: str) -> bool:
    """Install the first of these Debian packages that there is, if this is root and apt-get is there.

    Says whether it worked.
    """
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return False
    _say(f"Installing {packages[0]} with apt-get.")
    install = ["install", "-y", "-qq", "--no-install-recommends"]
    _run_apt([apt, "update", "-qq"])
    return any(_run_apt([apt, *install, package]) for package in packages)


def _run_apt(command: Sequence[str]) -> bool:
    # What it does well is said on standard output, what it can't do on standard error.
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=False).returncode == 0


def _run(command: Sequence[str | Path], *, cwd: Path | None = None) -> bool:
    """Run a step with its output on standard error, where a person sees progress; say whether it worked."""
    visible = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return subprocess.run(command, env=visible, cwd=cwd, stdout=sys.stderr, check=False).returncode == 0


def _cache() -> Path:
    if given := os.environ.get("ORDERS_CACHE"):
        return Path(given)
    user = os.environ.get("XDG_CACHE_HOME")
    return (Path(user) if user else Path.home() / ".cache") / "orders-platform"


def _say(text: str) -> None:
    print(f"orders: {text}", file=sys.stderr, flush=True)  # noqa: T201 - nothing else is installed yet


def main(root: Path, stamp: str) -> int:
    """Make the launcher's environment; return the exit status."""
    try:
        ensure(root / ".venv", root / "locks" / "python.txt", stamp, project=root)
    except SetUpError as error:
        _say(str(error))
    except OSError as error:
        _say(f"{root / '.venv'} can't be made: {error.strerror or error}. Free the disk or correct the rights.")
    except KeyboardInterrupt:
        _say("Stopped. Run it again to go on.")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
