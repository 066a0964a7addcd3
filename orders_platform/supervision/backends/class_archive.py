"""A class archive for the driver's JVM (CDS): what it loads at every start, kept parsed and verified in one file.

Measured on two busy cores: 11 instead of 19 s of CPU from start to the first committed batch, which a restart after a
kill waits for. The first driver of a machine lists the classes that it loads; when it has proved itself, a process of
the lowest priority makes the archive of them, once, in the cache that all homes share. The JVM compares the archive
with its own version and class path, and goes on without it where they differ.
"""

import hashlib
import shlex
from collections.abc import Iterable
from pathlib import Path

import psutil

from orders_platform.local import processes
from orders_platform.local.jars import cache_folder

NAME = "class-archive"
_KEPT = 3  # 180 MB each; a clone of the repository has its own paths and so its own archive
_LIST_BYTES_MIN = 100_000  # a driver that has committed has loaded some 16,000 classes: a megabyte


class ClassArchive:
    """The archive for one Java and one set of jars, and this home's part in making it."""

    def __init__(self, home: Path, java_home: Path, jars: Iterable[Path]) -> None:
        self._home = home
        self._java = java_home / "bin" / "java"
        self._list = home / "spark" / "classes.list"
        parts = [self._java.resolve(), *sorted(jars)]
        told = "\n".join(f"{part} {part.stat().st_size} {part.stat().st_mtime_ns}" for part in parts)
        self._archive = cache_folder() / f"classes-{hashlib.sha256(told.encode()).hexdigest()[:16]}.jsa"

    def options(self) -> list[str]:
        """Return the JVM's options: use the archive, or list the classes that one should hold."""
        if self._archive.exists():
            return [f"-XX:SharedArchiveFile={self._archive}"]
        self._list.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return [f"-XX:DumpLoadedClassList={self._list}"]

    def make(self, driver_pid: int) -> bool:
        """Begin to make the archive of what the living driver has loaded, unless it is there or being made.

        Says whether it began.

        Raises:
            StackError: the process can't be started.
        """
        if self._archive.exists() or not self._is_listed() or processes.find(self._home, NAME) is not None:
            return False
        class_path = _class_path(driver_pid)
        if class_path is None:
            return False
        self._make_room()
        unfinished = self._archive.with_suffix(f".{driver_pid}.tmp")
        dump = [
            *("nice", "-n", "19", str(self._java), "-Xshare:dump", "-XX:+UseSerialGC", "-Xlog:disable"),
            f"-XX:SharedClassListFile={self._list}",
            f"-XX:SharedArchiveFile={unfinished}",
            *("-cp", class_path),
        ]
        # Under its name it is whole, whoever is killed meanwhile. The list is taken away: one try a driver is enough.
        script = (
            f"{shlex.join(dump)} && mv {shlex.quote(str(unfinished))} {shlex.quote(str(self._archive))}; "
            f"rm -f {shlex.quote(str(unfinished))} {shlex.quote(str(self._list))}"
        )
        processes.start(self._home, NAME, ["/bin/sh", "-c", script], processes.environment())
        return True

    def _make_room(self) -> None:
        """Drop the oldest archives. A JVM that uses one keeps it until it ends."""
        archives = sorted(self._archive.parent.glob("classes-*.jsa"), key=lambda file: file.stat().st_mtime)
        for old in archives[: -(_KEPT - 1)]:
            old.unlink(missing_ok=True)

    def _is_listed(self) -> bool:
        return self._list.exists() and self._list.stat().st_size >= _LIST_BYTES_MIN


def stop_making(home: Path) -> None:
    """End the making; the next driver's supervisor begins anew.

    Raises:
        StackError: it does not end.
    """
    processes.stop(home, NAME, timeout_s=0.0)


def _class_path(pid: int) -> str | None:
    """Return the class path of a running JVM as it was given."""
    try:
        command = psutil.Process(pid).cmdline()
    except psutil.Error:
        return None
    return command[command.index("-cp") + 1] if "-cp" in command[:-1] else None
