"""Servers of one home that people open in a browser: detached processes on the loopback interface, each at its port."""

import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from orders_platform.errors import StackError
from orders_platform.local import home as homes
from orders_platform.local import processes
from orders_platform.local.processes import Process


class Server(NamedTuple):
    """One server. `title` begins a sentence about it; `ready_path` answers 200 once it is ready."""

    name: str
    title: str
    ready_path: str
    ready_timeout_s: float = 120.0
    stop_timeout_s: float = 10.0

    def start(
        self,
        home: Path,
        wanted_port: int | None,
        command: Callable[[int], Sequence[str | Path]],
        environment: Mapping[str, str],
        is_current: Callable[[Process], bool],
    ) -> None:
        """Start what `command` returns for a port, unless one runs that `is_current`. Returns at once; `wait` waits.

        Raises:
            StackError: the port is taken, or it can't be started.
        """
        running = processes.find(home, self.name)
        if running is not None:
            if is_current(running):
                return
            self.stop(home)
        homes.prepare(home)
        port = homes.Ports(home).take(self.name, wanted_port)
        processes.start(home, self.name, command(port), environment)

    def wait(self, home: Path) -> str:
        """Return its address once it answers.

        Raises:
            StackError: it ended, or does not answer in time.
        """
        address, log = self.url(home), processes.log_file(home, self.name)
        deadline_s = time.monotonic() + self.ready_timeout_s
        while time.monotonic() < deadline_s:
            if address is None or processes.find(home, self.name) is None:
                raise StackError(f"{self.title} ended while it started.", f"Read {log}.")
            if self.answers(address):
                return address
            time.sleep(0.1)
        raise StackError(f"{self.title} does not answer after {self.ready_timeout_s:.0f} s.", f"Read {log}.")

    def stop(self, home: Path) -> bool:
        """End it and forget that it was wanted; return whether it ran.

        Raises:
            StackError: it does not end.
        """
        return processes.stop(home, self.name, timeout_s=self.stop_timeout_s)

    def is_wanted(self, home: Path) -> bool:
        """Say whether it was started and not stopped since, whether it lives or died."""
        return processes.is_recorded(home, self.name)

    def url(self, home: Path) -> str | None:
        """Return its address, or None if it does not run."""
        port = homes.Ports(home).recorded().get(self.name)
        if port is None or processes.find(home, self.name) is None:
            return None
        return f"http://127.0.0.1:{port}"

    def answers(self, address: str, timeout_s: float = 2.0) -> bool:
        """Say whether it answers at an address."""
        try:
            with urllib.request.urlopen(f"{address}{self.ready_path}", timeout=timeout_s) as answer:  # noqa: S310
                return answer.status == 200
        except OSError:
            return False
