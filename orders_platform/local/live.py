"""The live page's server of one home: a process of its own on the loopback interface, which only reads."""

import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from orders_platform.errors import StackError
from orders_platform.local import home as homes
from orders_platform.local import processes
from orders_platform.local.programs import has_settings_of, own_environment
from orders_platform.settings import Settings

NAME = "live"
READY_TIMEOUT_S = 120.0


def start(settings: Settings) -> None:
    """Start it unless it runs with the settings of now. Returns at once; `await_page` waits.

    Raises:
        StackError: the port is taken, or it can't be started.
    """
    home = settings.home
    environment = own_environment(home)
    running = processes.find(home, NAME)
    if running is not None:
        if has_settings_of(running.pid, environment):
            return
        processes.stop(home, NAME)
    homes.prepare(home)
    port = homes.Ports(home).take(NAME, settings.local.live_port)
    processes.start(home, NAME, [sys.executable, "-m", "orders_platform.live", str(port)], environment)


def await_page(settings: Settings) -> str:
    """Return its address once it answers.

    Raises:
        StackError: it ended, or does not answer in time.
    """
    address, log = url(settings.home), processes.log_file(settings.home, NAME)
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if address is None or processes.find(settings.home, NAME) is None:
            raise StackError("The live page's server ended while it started.", f"Read {log}.")
        if answers(address):
            return address
        time.sleep(0.1)
    raise StackError(f"The live page does not answer after {READY_TIMEOUT_S:.0f} s.", f"Read {log}.")


def stop(home: Path) -> bool:
    """End it; return whether it ran.

    Raises:
        StackError: it does not end.
    """
    return processes.stop(home, NAME, timeout_s=5.0)


def is_wanted(home: Path) -> bool:
    """Say whether it was started and not stopped since, whether it lives or died."""
    return processes.is_recorded(home, NAME)


def url(home: Path) -> str | None:
    """Return its address, or None if it does not run."""
    port = homes.Ports(home).recorded().get(NAME)
    if port is None or processes.find(home, NAME) is None:
        return None
    return f"http://127.0.0.1:{port}"


def answers(address: str, timeout_s: float = 2.0) -> bool:
    """Say whether it answers at an address."""
    try:
        with urllib.request.urlopen(f"{address}/api/numbers.json", timeout=timeout_s) as answer:  # noqa: S310
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False
