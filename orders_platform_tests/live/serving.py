"""The live page's server as it runs for people: a process of its own."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orders_platform.local import home as homes
from orders_platform.local import live, processes
from orders_platform.surroundings import ROOT

_READY_S = 60.0


class Server:
    """One server of one home; it comes back at the same address. Settings are given as variables."""

    def __init__(self, home: Path, **variables: str) -> None:
        homes.prepare(home)
        self.port = homes.Ports(home).take("live")
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = processes.environment({"ORDERS_HOME": str(home)} | variables)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "orders_platform.live", str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment)
        self.until(lambda: live.SERVER.answers(self.url))

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(signal_number)
            self._process.wait(30)
            self._process = None

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Return status and body of one answer."""
        asked = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def numbers(self) -> dict[str, Any]:
        """Return what `/api/numbers.json` says now."""
        return json.loads(self.get("/api/numbers.json")[1])

    def until(self, holds: Callable[[], object], timeout_s: float = _READY_S) -> None:
        """Wait until something holds."""
        until_s = time.monotonic() + timeout_s
        while not holds():
            assert self._process is not None
            assert self._process.poll() is None, "the server ended"
            assert time.monotonic() < until_s, "it does not come to that"
            time.sleep(0.05)
