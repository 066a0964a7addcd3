"""Prometheus, promtool and amtool for tests: those of the machine, else Debian's, unpacked into the cache.

Nothing is installed, so no service of the system is started. apt-get verifies what it downloads.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from orders_platform.local.jars import cache_folder

_PROGRAMS = ("prometheus", "promtool", "amtool")
_PACKAGES = ("prometheus", "prometheus-alertmanager")
# As root, apt-get would hand the download to a user who can't write here, and warn of it.
_APT = ("apt-get", "-qq", "-o", "APT::Sandbox::User=root")


@cache
def folder() -> Path:
    """Return a folder with all the programs, for PATH.

    Raises:
        AssertionError: they are not on PATH and can't be had from Debian.
    """
    found = [shutil.which(name) for name in _PROGRAMS]
    places = {Path(each).parent for each in found if each is not None}
    if None not in found and len(places) == 1:
        return places.pop()
    whole = cache_folder().with_name("monitoring")
    whole.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with whole.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all((whole / name).exists() for name in _PROGRAMS):
            _fetch(whole)
    return whole


def run(program: str, *arguments: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of them to its end on what is given to it; output and errors are in `stdout`."""
    return subprocess.run(
        [folder() / program, *arguments],
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )


def _fetch(whole: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".monitoring-", dir=whole.parent) as scratch_name:
        scratch = Path(scratch_name)
        download = [*_APT, "download", *_PACKAGES]
        if _said(download, scratch) is not None:
            # A new machine knows no package before its first update.
            _said([*_APT, "update"], scratch)
            trouble = _said(download, scratch)
            assert trouble is None, f"{', '.join(_PROGRAMS)} are not on PATH, and apt-get can't fetch them: {trouble}"
        for package in scratch.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, scratch / "unpacked"], check=True)
        fresh = scratch / "fresh"
        fresh.mkdir()
        for name in _PROGRAMS:
            (scratch / "unpacked" / "usr" / "bin" / name).rename(fresh / name)
        shutil.rmtree(whole, ignore_errors=True)
        fresh.rename(whole)


def _said(command: Sequence[str], scratch: Path) -> str | None:
    """Run a step; return what it said if it failed."""
    try:
        done = subprocess.run(
            command, cwd=scratch, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, check=False
        )
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip()
