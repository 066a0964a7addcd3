"""At most one supervisor a home: a lock that the kernel releases when its holder dies, with the holder's name in it.

The plain supervisor holds it while it works; Dagster's daemon, whose sensor supervises, while it lives.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from orders_platform.errors import StackError
from orders_platform.local import processes
from orders_platform.local.home import prepare, writing

NAME = "supervisor"
DAEMON = "dagster-daemon"


@contextmanager
def only_supervisor(home: Path) -> Iterator[None]:
    """Be the supervisor of this home while inside.

    Raises:
        StackError: another one is, or the disk refuses.
    """
    descriptor = take(home, NAME)
    try:
        yield
    finally:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)


def take(home: Path, name: str) -> int:
    """Become the supervisor of this home for as long as this process has the returned descriptor open.

    Raises:
        StackError: another one is, or the disk refuses.
    """
    prepare(home)
    with writing(home):
        descriptor = os.open(_file(home), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        other = find_supervisor(home)
        known = "" if other is None else f", process {other.pid}"
        who = "Dagster's daemon" if other is not None and other.name == DAEMON else "A supervisor"
        raise StackError(
            f"{who} of {home} runs already{known}.", "Let it work, or end it before you start another."
        ) from None
    me = processes.Process(name, os.getpid(), psutil.Process().create_time())
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, msgspec.json.encode(me), 0)
    return descriptor


def find_supervisor(home: Path) -> processes.Process | None:
    """Return who supervises this home: a supervisor, detached or in somebody's terminal, or Dagster's daemon."""
    try:
        holder = msgspec.json.decode(_file(home).read_bytes(), type=processes.Process)
        if processes.is_alive(holder):
            return holder
    except (OSError, msgspec.MsgspecError):
        pass  # nobody ever was
    return processes.find(home, NAME) or processes.find(home, DAEMON)


def plain_supervisor(home: Path) -> processes.Process | None:
    """Return the living supervisor that is not Dagster's."""
    found = find_supervisor(home)
    return found if found is not None and found.name == NAME else None


def _file(home: Path) -> Path:
    return home / "run" / "supervisor.lock"
