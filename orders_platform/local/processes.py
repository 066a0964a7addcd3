"""Detached processes of a home, known by more than their pid.

A process is started in a session of its own, with default signals, no standard input and its output in
`logs/NAME.log`, so that it outlives the command that started it and answers to no terminal. It is recorded in
`run/NAME.json`; a marker in its environment finds it again if the command died before it could write that record.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

from orders_platform.errors import StackError
from orders_platform.local import home as homes

MARKER = "ORDERS_PROCESS"
LOG_BYTES_MAX = 10 << 20
_PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "JAVA_HOME", "LD_LIBRARY_PATH", "ORDERS_CACHE"}
)
_PASSED_ON_PREFIXES = ("LC_", "OPENBLAS_")
# `posix_spawn` can't change the directory; a server that keeps its caller's would keep that file system busy.
_IN_ITS_FOLDER = "import os, sys; os.chdir(sys.argv[1]); os.execve(sys.argv[2], sys.argv[2:], os.environ)"


class Process(msgspec.Struct, frozen=True):
    """One process. `started` is its start in seconds since 1970; `birth` tells it from others even if clocks step."""

    name: str
    pid: int
    started: float
    birth: str | None = None


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what a process of ours may see of this process's environment, with `extra` added."""
    passed_on = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    return passed_on | dict(extra or {})


def start(home: Path, name: str, command: Sequence[str | Path], env: Mapping[str, str]) -> Process:
    """Start `command` detached and record it as `name`; return at once.

    `env` is the whole environment of the new process.

    Raises:
        StackError: `name` runs already, or the disk or the system refuses.
    """
    if running := find(home, name):
        raise StackError(f"{name} runs already, as process {running.pid}.", "Stop it first with `orders down`.")
    homes.prepare(home)
    log = log_file(home, name)
    with homes.writing(home):
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.1"))
        log.touch(mode=0o600)
    argv = [sys.executable, "-I", "-S", "-c", _IN_ITS_FOLDER, str(home), *map(str, command)]
    try:
        pid = os.posix_spawn(
            sys.executable,
            argv,
            {**env, MARKER: _marker(home, name)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)],
        )
    except OSError as error:
        raise StackError(f"{name} can't be started: {error.strerror}.", "Free memory or processes.") from error
    process = _identify(name, pid)
    if process is None:
        raise StackError(f"{name} ended at once.", f"Read {log}.")
    _record(home, process)
    return process


def find(home: Path, name: str) -> Process | None:
    """Return the living process `name` of this home, or None."""
    recorded = _recorded(home, name)
    if recorded is not None and is_alive(recorded):
        return recorded
    lost = _find_by_marker(home, name)
    if lost is not None:
        _record(home, lost)
    return lost


def is_recorded(home: Path, name: str) -> bool:
    """Say whether `name` was started here and not stopped since: it lives, or died by itself."""
    return _recorded(home, name) is not None


def is_alive(process: Process) -> bool:
    """Say whether this very process still runs. One that ended and was not waited for does not."""
    current = _identify(process.name, process.pid)
    if current is None:
        return False
    if process.birth is not None and current.birth is not None:
        return process.birth == current.birth
    return abs(process.started - current.started) < 1.0


def reap(process: Process) -> int | None:
    """Return the exit status if it ended as a child of ours and was not asked before; negative is a signal's number."""
    try:
        pid, status = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if pid == process.pid else None


def stop(home: Path, name: str, *, timeout_s: float = 15.0) -> bool:
    """End `name` and everything in its session: TERM and `timeout_s` seconds first, then KILL. False if none ran.

    Raises:
        StackError: it outlives KILL, or belongs to another user.
    """
    process = find(home, name) or _recorded(home, name)
    if process is None:
        return False
    members = list(_session(process))
    found = bool(members)
    deadline = time.monotonic() + timeout_s
    if timeout_s > 0:
        if is_alive(process):
            _signal(process, [psutil.Process(process.pid)], signal.SIGTERM)
        _wait(process, deadline, leader_only=True)
        _signal(process, _session(process), signal.SIGTERM)
        _wait(process, min(deadline, time.monotonic() + 2.0))
    _signal(process, _session(process), signal.SIGKILL)
    _wait(process, time.monotonic() + 10.0)
    if left := [member.pid for member in _session(process)]:
        raise StackError(f"{name} (process {left[0]}) does not end.", "Look at what it waits for; a disk may hang.")
    with homes.writing(home):
        _record_file(home, name).unlink(missing_ok=True)
    return found


def log_file(home: Path, name: str) -> Path:
    """Return where the output of `name` goes."""
    return home / "logs" / f"{name}.log"


def log_tail(home: Path, name: str, lines: int = 5) -> str:
    """Return the last lines of its log, for an error's text."""
    try:
        with log_file(home, name).open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 8192))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _record_file(home: Path, name: str) -> Path:
    return home / "run" / f"{name}.json"


def _record(home: Path, process: Process) -> None:
    with homes.writing(home):
        homes.write_atomically(_record_file(home, process.name), msgspec.json.encode(process))


def _recorded(home: Path, name: str) -> Process | None:
    try:
        return msgspec.json.decode(_record_file(home, name).read_bytes(), type=Process)
    except (OSError, msgspec.MsgspecError):
        return None


def _marker(home: Path, name: str) -> str:
    return f"{home.resolve()}:{name}"


def _identify(name: str, pid: int) -> Process | None:
    try:
        found = psutil.Process(pid)
        if found.status() == psutil.STATUS_ZOMBIE:
            return None
        return Process(name, pid, found.create_time(), _birth(pid))
    except psutil.NoSuchProcess:
        return None


def _birth(pid: int) -> str | None:
    """Return the boot and the clock tick within it at which the process began, where the system tells them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return f"{boot}:{after_name[19]}"


def _find_by_marker(home: Path, name: str) -> Process | None:
    wanted = _marker(home, name)
    for candidate in psutil.process_iter():
        # Children inherit the marker; ours leads its session.
        with suppress(psutil.Error, OSError):
            if os.getsid(candidate.pid) == candidate.pid and candidate.environ().get(MARKER) == wanted:
                return _identify(name, candidate.pid)
    return None


def _session(process: Process) -> Iterator[psutil.Process]:
    """Yield what lives in the process's session. Nothing if its pid went to somebody else: the session is over then."""
    if not is_alive(process) and _identify(process.name, process.pid) is not None:
        return
    for member in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if (
                os.getsid(member.pid) == process.pid
                and member.create_time() > process.started - 1.0
                and member.status() != psutil.STATUS_ZOMBIE
            ):
                yield member


def _signal(process: Process, members: Iterator[psutil.Process] | list[psutil.Process], number: int) -> None:
    for member in members:
        try:
            member.send_signal(number)
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied:
            raise StackError(
                f"{process.name} (process {member.pid}) belongs to another user.", "Stop it as that user."
            ) from None


def _wait(process: Process, deadline: float, *, leader_only: bool = False) -> None:
    while time.monotonic() < deadline:
        reap(process)
        if not is_alive(process) and (leader_only or not any(_session(process))):
            return
        time.sleep(0.05)
