"""The live page's server as it runs for people: a process of its own."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from orders_platform.local import home as homes
from orders_platform.local import live, processes
from orders_platform.surroundings import ROOT

_READY_S = 60.0
_NO_KAFKA = "127.0.0.1:1"  # the page reads MongoDB alone


class Server:
    """One server of one home; it comes back at the same address."""

    def __init__(self, home: Path, mongo_uri: str, database: str, zone: str) -> None:
        homes.prepare(home)
        self._port = homes.Ports(home).take("live")
        self.url = f"http://127.0.0.1:{self._port}"
        self._environment = processes.environment(
            {
                "ORDERS_HOME": str(home),
                "ORDERS_KAFKA__BOOTSTRAP_SERVERS": _NO_KAFKA,
                "ORDERS_MONGO__URI": mongo_uri,
                "ORDERS_MONGO__DATABASE": database,
                "ORDERS_REPORTS__TIME_ZONE": zone,
            }
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "orders_platform.live", str(self._port)]
        self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment)
        until_s = time.monotonic() + _READY_S
        while not live.answers(self.url):
            assert self._process.poll() is None, "the server ended while it started"
            assert time.monotonic() < until_s, "the server does not answer"
            time.sleep(0.05)

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(signal_number)
            self._process.wait(30)
            self._process = None
