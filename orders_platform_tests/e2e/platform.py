"""One local platform in a home of its own, driven through the command line."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Platform:
    """A local platform; `orders` runs one command, `close` stops everything."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.environment = (
            {
                name: value
                for name, value in os.environ.items()
                if not name.startswith("ORDERS_") or name == "ORDERS_CACHE"
            }
            | {"ORDERS_HOME": str(home), "NO_COLOR": "1"}
            | settings
        )

    def orders(self, *arguments: str, expect: int | None = 0, stdin: bytes | None = None) -> bytes:
        """Run a command, return its standard output, and fail with what it said where its status is another."""
        done = subprocess.run(
            [sys.executable, "-m", "orders_platform.cli.main", *arguments],
            cwd=ROOT,
            env=self.environment,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=600,
        )
        if expect is not None and done.returncode != expect:
            raise AssertionError(
                f"orders {' '.join(arguments)}: status {done.returncode}, not {expect}\n"
                f"{done.stdout.decode(errors='replace')[-2000:]}\n{done.stderr.decode(errors='replace')[-4000:]}"
            )
        return done.stdout

    def json(self, *arguments: str, expect: int | None = 0) -> Any:
        return json.loads(self.orders(*arguments, expect=expect))

    def lines(self, *arguments: str, expect: int | None = 0) -> list[Any]:
        return [json.loads(line) for line in self.orders(*arguments, expect=expect).splitlines()]

    def matcher(self) -> dict[str, Any]:
        return self.json("status", "--json", expect=None)["matcher"]

    def kill_matcher(self) -> float:
        """Kill the matcher with no chance to clean up; return when (monotonic seconds)."""
        pid = self.matcher()["pid"]
        assert pid, "no matcher to kill"
        os.kill(pid, signal.SIGKILL)
        return time.monotonic()

    def wait_for_the_next(self, killed_s: float, killed_epoch: int, timeout_s: float = 120) -> float:
        """Wait until a new epoch is at work and return the seconds since the kill."""
        while time.monotonic() - killed_s < timeout_s:
            seen = self.matcher()
            if seen["state"] == "running" and (seen["epoch"] or 0) > killed_epoch:
                return time.monotonic() - killed_s
            time.sleep(0.5)
        raise AssertionError(f"the matcher is not back after {timeout_s} s: {self.matcher()}")

    def close(self) -> None:
        self.orders("down", "--purge", expect=None)


@contextmanager
def passing_platform() -> Iterator[Platform]:
    """Give a platform in a home that is gone afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        platform = Platform(Path(directory) / "home")
        try:
            yield platform
        finally:
            platform.close()
