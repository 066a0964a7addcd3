"""At most one supervisor a home: a lock that the kernel releases when its holder dies, with the holder's name in it."""

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


@contextmanager
def only_supervisor(home: Path) -> Iterator[None]:
    """Be the supervisor of this home while inside.

    Raises:
        StackError: another one is, or the disk refuses.
    """
    prepare(home)
    with writing(home):
        descriptor = os.open(_file(home), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = find_supervisor(home)
            known = "" if other is None else f", process {other.pid}"
            raise StackError(
                f"A supervisor of {home} runs already{known}.", "Let it work, or end it before you start another."
            ) from None
        me = processes.Process(NAME, os.getpid(), psutil.Process().create_time())
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(me), 0)
        yield
    finally:
        os.close(descriptor)


def find_supervisor(home: Path) -> processes.Process | None:
    """Return the living supervisor of this home, whether detached or in somebody's terminal; None if there is none."""
    try:
        holder = msgspec.json.decode(_file(home).read_bytes(), type=processes.Process)
    except (OSError, msgspec.MsgspecError):
        return processes.find(home, NAME)
    return holder if processes.is_alive(holder) else processes.find(home, NAME)


def _file(home: Path) -> Path:
    return home / "run" / "supervisor.lock"
