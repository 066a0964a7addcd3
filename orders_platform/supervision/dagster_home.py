"""Dagster of one home: its webserver for people, its daemon for the sensor that supervises, its instance's files.

The daemon is the home's supervisor for as long as it lives, by the same lock as a supervisor in a terminal. Both are
detached processes on the loopback interface: Dagster asks nobody for a password.
"""

import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

from orders_platform.errors import MissingDependency, StackError
from orders_platform.local import home as homes
from orders_platform.local import processes
from orders_platform.local.programs import has_settings_of, own_environment
from orders_platform.settings import Settings
from orders_platform.supervision.backends.class_archive import stop_making
from orders_platform.supervision.rounds import forget_report
from orders_platform.supervision.supervisor_lock import DAEMON, take
from orders_platform.surroundings import ROOT

WEBSERVER = "dagster"
READY_TIMEOUT_S = 300.0
_DAEMON_PROGRAM = "from orders_platform.supervision.dagster_home import become_daemon; become_daemon()"


def start_daemon(settings: Settings) -> None:
    """Start the daemon, and with it the sensor, unless it runs with the settings of now. Returns at once.

    Raises:
        MissingDependency: Dagster is not installed.
        StackError: it can't be started.
    """
    running = processes.find(settings.home, DAEMON)
    environment = _environment(settings)
    if running is not None:
        if has_settings_of(running.pid, environment):
            return
        processes.stop(settings.home, DAEMON)
    prepare(settings.home)
    forget_report(settings.home)
    processes.start(settings.home, DAEMON, [sys.executable, "-c", _DAEMON_PROGRAM], environment)


def start_webserver(settings: Settings) -> None:
    """Start the webserver unless it runs with the settings of now. Returns at once; `await_webserver` waits.

    Raises:
        MissingDependency: Dagster is not installed.
        StackError: the port is taken, or it can't be started.
    """
    home = settings.home
    running = processes.find(home, WEBSERVER)
    environment = _environment(settings)
    if running is not None:
        if has_settings_of(running.pid, environment):
            return
        processes.stop(home, WEBSERVER)
    prepare(home)
    port = homes.Ports(home).take(WEBSERVER, settings.local.dagster_port)
    command = [sys.executable, "-m", "orders_platform.defs.webserver", str(_workspace(home)), str(port)]
    processes.start(home, WEBSERVER, command, environment)


def await_webserver(settings: Settings) -> str:
    """Return the webserver's address once it answers.

    Raises:
        StackError: it ended, or does not answer in time.
    """
    address, log = url(settings.home), processes.log_file(settings.home, WEBSERVER)
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if address is None or processes.find(settings.home, WEBSERVER) is None:
            raise StackError("Dagster's webserver ended while it started.", f"Read {log}.")
        if answers(address):
            return address
        time.sleep(0.25)
    raise StackError(f"Dagster's webserver does not answer after {READY_TIMEOUT_S:.0f} s.", f"Read {log}.")


def stop(settings: Settings) -> list[str]:
    """End daemon and webserver; the matcher goes on. Returns the names of those that ran.

    Raises:
        StackError: one does not end.
    """
    home = settings.home
    if not home.exists():
        return []
    stopped = [name for name in (DAEMON, WEBSERVER) if processes.stop(home, name, timeout_s=10.0)]
    stop_making(home)
    return stopped


def is_installed() -> bool:
    """Say whether Dagster is there at all."""
    return find_spec("dagster_webserver") is not None


def is_wanted(home: Path) -> bool:
    """Say whether the webserver was started and not stopped since, whether it lives or died."""
    return processes.is_recorded(home, WEBSERVER)


def url(home: Path) -> str | None:
    """Return the webserver's address, or None if it does not run."""
    port = homes.Ports(home).recorded().get(WEBSERVER)
    if port is None or processes.find(home, WEBSERVER) is None:
        return None
    return f"http://127.0.0.1:{port}"


def answers(address: str, timeout_s: float = 2.0) -> bool:
    """Say whether the webserver at this address answers."""
    try:
        with urllib.request.urlopen(f"{address}/server_info", timeout=timeout_s) as answer:  # noqa: S310
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def become_daemon() -> None:
    """Take the supervisor's lock, then be Dagster's daemon with the lock in hand: it ends with the process.

    Raises:
        StackError: another supervisor is at work.
    """
    home = Path(os.environ["ORDERS_HOME"])
    os.set_inheritable(take(home, DAEMON), True)
    # It would tell of each tick otherwise, 10 MB a day; ticks are kept in Dagster.
    told = ("--log-level", "warning")
    daemon = [sys.executable, "-m", "orders_platform.defs.daemon", *told, "--workspace", str(_workspace(home))]
    os.execv(sys.executable, daemon)  # noqa: S606  no shell is the point


def prepare(home: Path) -> Path:
    """Put the instance's files into the home and return their folder; what is there already is brought up to date.

    Raises:
        MissingDependency: Dagster is not installed.
        StackError: the disk refuses.
    """
    if not is_installed():
        raise MissingDependency("Dagster is not installed.", "Run `./orders`, which installs what the lock names.")
    homes.prepare(home)
    with homes.writing(home):
        (home / "dagster").mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(ROOT / "dagster.yaml", home / "dagster" / "dagster.yaml")
        shutil.copyfile(ROOT / "workspace.yaml", _workspace(home))
    return home.resolve() / "dagster"


def _workspace(home: Path) -> Path:
    return home.resolve() / "dagster" / "workspace.yaml"


def _environment(settings: Settings) -> dict[str, str]:
    dagster = {"DAGSTER_HOME": str(settings.home.resolve() / "dagster"), "DAGSTER_DISABLE_TELEMETRY": "yes"}
    # Dagster warns of its own parts that are in beta, at each start of each process.
    return own_environment(settings.home) | dagster | {"PYTHONWARNINGS": "ignore"}
