"""Chromium, found on PATH or installed where we may: the live page is tested in it, and pages are printed by it."""

import shutil
from pathlib import Path

from orders_platform.bootstrap import apt_install
from orders_platform.errors import MissingDependency

OPTIONS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""It speaks to nobody but to those that it is sent to."""
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PACKAGE = "chromium"


def find_chromium() -> Path:
    """Return the browser's program, without installing anything.

    Raises:
        MissingDependency: there is none.
    """
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        raise MissingDependency("No Chromium was found on PATH.", f"Install it (Debian and Ubuntu: {_PACKAGE}).")
    return Path(found)


def ensure_chromium() -> Path:
    """Return the browser's program, installed first if it is missing and this is root on a system with apt-get.

    Raises:
        MissingDependency: there is none, and it can't be installed.
    """
    try:
        return find_chromium()
    except MissingDependency:
        if not apt_install(_PACKAGE):
            raise
    return find_chromium()
