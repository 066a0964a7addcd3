"""Java, found where people keep it, or installed where we may."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from orders_platform.bootstrap import apt_install
from orders_platform.errors import MissingDependency

VERSION_MIN = 17
_PLACES = (
    "/usr/lib/jvm",
    "/usr/java",
    "/opt/java",
    "/opt",
    "/opt/homebrew/opt",
    "/usr/local/opt",
    "/Library/Java/JavaVirtualMachines",
    "~/.sdkman/candidates/java",
    "~/Library/Java/JavaVirtualMachines",
)
_PACKAGE = "openjdk-17-jre-headless"


def find_java() -> Path:
    """Return the `java` command of a Java that is new enough, without installing anything.

    Raises:
        MissingDependency: there is none.
    """
    too_old: list[str] = []
    for candidate in _candidates():
        version = java_version(candidate)
        if version is not None and version >= VERSION_MIN:
            return candidate
        if version is not None:
            too_old.append(f"{candidate} is version {version}")
    found = f" ({'; '.join(too_old)})" if too_old else ""
    raise MissingDependency(
        f"No Java {VERSION_MIN} or later was found{found}.",
        f"Install it (Debian and Ubuntu: {_PACKAGE}) or set JAVA_HOME.",
    )


def ensure_java() -> Path:
    """Return the `java` command, installed first if it is missing and this is root on a system with apt-get.

    Raises:
        MissingDependency: there is none, and it can't be installed.
    """
    try:
        return find_java()
    except MissingDependency:
        if not apt_install(_PACKAGE):
            raise
    return find_java()


def java_home(java: Path) -> Path:
    """Return the JAVA_HOME that a `java` command belongs to."""
    return java.resolve().parent.parent


def java_version(java: Path) -> int | None:
    """Return the major version of a `java` command, or None if it does not work."""
    try:
        shown = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?([0-9]+)', shown.stderr)
    return int(found[1]) if found else None


def _candidates() -> Iterator[Path]:
    if given := os.environ.get("JAVA_HOME"):
        yield Path(given) / "bin" / "java"
    if on_path := shutil.which("java"):
        yield Path(on_path)
    for place in _PLACES:
        folder = Path(place).expanduser()
        for home in sorted(folder.iterdir(), reverse=True) if folder.is_dir() else ():
            for inside in ("bin/java", "Contents/Home/bin/java", "libexec/openjdk.jdk/Contents/Home/bin/java"):
                if os.access(home / inside, os.X_OK):
                    yield home / inside
