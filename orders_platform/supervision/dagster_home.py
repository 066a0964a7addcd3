"""Dagster of one home: its webserver for people, its daemon for the sensor that supervises, its instance's files.

The daemon is the home's supervisor for as long as it lives, by the same lock as a supervisor in a terminal. Both are
detached processes on the loopback interface: Dagster asks nobody for a password.
"""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from orders_platform.errors import MissingDependency
from orders_platform.local import home as homes
from orders_platform.local import processes
from orders_platform.local.programs import has_settings_of, own_environment
from orders_platform.local.servers import Server
from orders_platform.settings import Settings
from orders_platform.supervision.backends.class_archive import stop_making
from orders_platform.supervision.rounds import forget_report
from orders_platform.supervision.supervisor_lock import DAEMON, take
from orders_platform.surroundings import ROOT

SERVER = Server("dagster", "Dagster's webserver", "/server_info", ready_timeout_s=300.0)
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
    """Start the webserver unless it runs with the settings of now. Returns at once.

    Raises:
        MissingDependency: Dagster is not installed.
        StackError: the port is taken, or it can't be started.
    """
    home, environment = settings.home, _environment(settings)

    def command(port: int) -> list[str]:
        prepare(home)
        return [sys.executable, "-m", "orders_platform.defs.webserver", str(_workspace(home)), str(port)]

    SERVER.start(
        home,
        settings.local.dagster_port,
        command,
        environment,
        lambda running: has_settings_of(running.pid, environment),
    )


def stop(settings: Settings) -> list[str]:
    """End daemon and webserver; the matcher goes on. Returns the names of those that ran.

    Raises:
        StackError: one does not end.
    """
    home = settings.home
    if not home.exists():
        return []
    stopped = [DAEMON] if processes.stop(home, DAEMON, timeout_s=10.0) else []
    stopped += [SERVER.name] if SERVER.stop(home) else []
    stop_making(home)
    return stopped


def is_installed() -> bool:
    """Say whether Dagster is there at all."""
    return find_spec("dagster_webserver") is not None


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
