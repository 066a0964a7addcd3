"""The live page's server as a real process, over a store of the test's own."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orders_platform.local import processes
from orders_platform.surroundings import ROOT
from orders_platform_tests.conftest import RunningStack

READY_S = 60.0


class Server:
    """`python -m orders_platform.live` on a free port."""

    def __init__(self, environment: dict[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._environment = environment

    def start(self) -> None:
        """Start it, and return once it has seen the store."""
        command = [sys.executable, "-m", "orders_platform.live", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=self._environment)
        self.until(lambda: self.numbers()["at"] is not None)

    def stop(self) -> None:
        """End it, as `orders down` does."""
        self.process.terminate()
        self.process.wait(20)

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Return status and body of one answer."""
        asked = urllib.request.Request(self.address + path, headers=headers)
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def numbers(self) -> dict[str, Any]:
        """Return what `/api/numbers.json` says now."""
        return json.loads(self.get("/api/numbers.json")[1])

    def until(self, holds: Callable[[], object], timeout_s: float = READY_S) -> None:
        """Wait until something holds; a server that does not answer yet is waited for."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                if holds():
                    return
            except OSError:
                assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < deadline_s, "it did not come to that in time"
            time.sleep(0.1)


@pytest.fixture
def serve(
    stack: RunningStack, database: tuple[str, str], topics: tuple[str, str, str], tmp_path: Path
) -> Iterator[Callable[..., Server]]:
    """Starts servers over the test's database and topics; settings are given as variables."""
    made: list[Server] = []

    def start(**variables: str) -> Server:
        uri, name = database
        own = {"ORDERS_HOME": str(tmp_path / "home"), "ORDERS_MONGO__URI": uri, "ORDERS_MONGO__DATABASE": name}
        own["ORDERS_KAFKA__BOOTSTRAP_SERVERS"] = stack.bootstrap_servers
        for role, topic in zip(("ORDERS", "PAYMENTS", "ADJUSTMENTS"), topics, strict=True):
            own[f"ORDERS_KAFKA__{role}_TOPIC"] = topic
        made.append(Server(processes.environment(own | {"PATH": os.environ["PATH"]} | variables)))
        made[-1].start()
        return made[-1]

    yield start
    for server in made:
        server.stop()
