"""The home: the directory that holds all state of one local platform."""

import fcntl
import os
import random
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from orders_platform.errors import StackError

# Below the ports that Linux and macOS hand out for outgoing connections, so that a recorded one is still free tomorrow.
_PORTS = range(20_000, 30_000)
_PORT_TRIES = 200


def prepare(home: Path) -> None:
    """Make the home and its folders, readable by their owner only.

    Raises:
        StackError: the disk refuses.
    """
    with writing(home):
        for folder in (home, home / "run", home / "logs"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Says now what a full or read-only disk would say later; named by nobody, as threads do this side by side.
        with tempfile.TemporaryFile(dir=home / "run") as probe:
            probe.write(b"\0")


@contextmanager
def writing(home: Path) -> Iterator[None]:
    """Turn what the disk refuses inside into one clear error.

    Raises:
        StackError: an `OSError` was raised inside.
    """
    try:
        yield
    except OSError as error:
        raise StackError(
            f"The home {home} can't be written: {error.strerror or error}.",
            "Free or repair the disk, correct the rights, or choose another place with ORDERS_HOME.",
        ) from error


def write_atomically(file: Path, content: bytes) -> None:
    """Replace `file` as a whole, readable by its owner only: a reader sees the old or the new content."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}")
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    fresh.replace(file)


@contextmanager
def locked(home: Path, *, timeout_s: float = 120.0) -> Iterator[None]:
    """Keep others from starting or stopping this home's processes meanwhile.

    Raises:
        StackError: somebody else holds the lock for longer than `timeout_s`, or the disk refuses.
    """
    prepare(home)
    with writing(home):
        descriptor = os.open(home / "run" / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, home, time.monotonic() + timeout_s)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, home: Path, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, 20, 0).decode(errors="replace")
                raise StackError(
                    f"Process {holder} is starting or stopping the platform in {home}.",
                    "Wait for it to end, or stop it, and try again.",
                ) from None
        time.sleep(0.1)


def port_is_free(port: int) -> bool:
    """Say whether nothing listens on this port of the loopback interface."""
    with socket.socket() as probe:
        # Like the servers themselves: connections that are only waiting to be forgotten are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Ports:
    """The ports of one home, recorded so that they stay the same over restarts."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._file = home / "run" / "ports.json"

    def recorded(self) -> dict[str, int]:
        """Return the ports that were given out before, by name."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, int])
        except (OSError, msgspec.MsgspecError):
            return {}

    def take(self, name: str, wanted: int | None = None) -> int:
        """Return a free port for `name`: the wanted one, else the one it had, else another.

        Raises:
            StackError: the wanted port is taken, no port is free, or the disk refuses.
        """
        known = self.recorded()
        if wanted is not None:
            if not port_is_free(wanted):
                raise StackError(
                    f"Port {wanted}, set for {name}, is taken by another process.",
                    f"Stop that process, or set another port, or none, with ORDERS_LOCAL__{name.upper()}_PORT.",
                )
            port = wanted
        elif name in known and port_is_free(known[name]):
            port = known[name]
        else:
            port = self._another(set(known.values()))
        if known.get(name) != port:
            with writing(self._home):
                write_atomically(self._file, msgspec.json.encode(known | {name: port}))
        return port

    def _another(self, given: set[int]) -> int:
        for port in random.sample(_PORTS, _PORT_TRIES):
            if port not in given and port_is_free(port):
                return port
        raise StackError("No free port was found on 127.0.0.1.", "Set ORDERS_LOCAL__KAFKA_PORT and ..._MONGO_PORT.")
