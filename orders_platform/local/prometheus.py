"""Prometheus of one home, where this machine has one: it keeps what the live page's server says of now.

It is never installed, and the platform works without it. It listens on the loopback interface; its configuration, the
rules of deploy/prometheus and its data are in the home.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil
import yaml

from orders_platform.errors import StackError
from orders_platform.local import home as homes
from orders_platform.local import live, processes
from orders_platform.local.processes import Process
from orders_platform.local.servers import Server
from orders_platform.settings import Settings
from orders_platform.surroundings import ROOT

SERVER = Server("prometheus", "Prometheus", "/-/ready", stop_timeout_s=20.0)
JOB = "orders"
"""The rules know the platform by this job."""
_RULES = ROOT / "deploy" / "prometheus"
_CONFIGURATION = "prometheus.yml"
SCRAPE_S = 5
EVALUATE_S = 15
_PLACES = ("/usr/bin", "/usr/local/bin", "/opt/prometheus", "/opt/homebrew/bin")
_OPTIONS = (
    # A platform has some hundred series, each with a sample every five seconds: below 10 MB a day.
    "--storage.tsdb.retention.time=15d",
    "--storage.tsdb.retention.size=512MB",
    # By default any page that is open in a browser may read all of it.
    r"--web.cors.origin=http://(127\.0\.0\.1|localhost)(:[0-9]+)?",
    "--log.level=warn",
)


def start(settings: Settings) -> bool:
    """Start it unless it runs as it would be started now; say whether there is one at all. Returns at once.

    The live page's server must have been started: its port is what is scraped.

    Raises:
        StackError: the port is taken, or it can't be started.
    """
    home = settings.home
    program = find()
    if program is None:
        SERVER.stop(home)
        return False
    folder = home.resolve() / SERVER.name
    files = _files(home)

    def command(port: int) -> list[str]:
        _write(folder, files)
        return _command(program, folder, port)

    def is_current(running: Process) -> bool:
        port = settings.local.prometheus_port or homes.Ports(home).recorded().get(SERVER.name)
        return port is not None and _runs(running, _command(program, folder, port)) and _read(folder) == files

    SERVER.start(home, settings.local.prometheus_port, command, processes.environment(), is_current)
    return True


def find() -> Path | None:
    """Return the `prometheus` of this machine: the one on PATH, or in the usual places."""
    path = os.pathsep.join(filter(None, (os.environ.get("PATH"), *_PLACES)))
    found = shutil.which("prometheus", path=path)
    return None if found is None or version(Path(found)) is None else Path(found)


def rule_files() -> list[Path]:
    """Return the files of rules; none where this is no repository."""
    return [file for file in (_RULES / "recording.yml", _RULES / "alerts.yml") if file.exists()]


def version(program: Path) -> str | None:
    """Return the version of a `prometheus` command, or None if it does not work, or is something else."""
    try:
        shown = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"prometheus, version (\S+)", shown.stdout or shown.stderr)
    return found[1] if found else None


def _command(program: Path, folder: Path, port: int) -> list[str]:
    return [
        str(program),
        f"--config.file={folder / _CONFIGURATION}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        *_OPTIONS,
    ]


def _runs(process: Process, command: list[str]) -> bool:
    try:
        return psutil.Process(process.pid).cmdline() == command
    except psutil.Error:
        return False


def _files(home: Path) -> dict[str, bytes]:
    """Return what its folder must hold, by name: the configuration, and the rules where this is the repository."""
    rules = {file.name: file.read_bytes() for file in rule_files()}
    port = homes.Ports(home).recorded().get(live.SERVER.name)
    if port is None:
        raise StackError("The live page was never started, so there is nothing to scrape.", "Run `orders up`.")
    configuration = {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{EVALUATE_S}s"},
        "rule_files": list(rules),
        "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
    }
    return rules | {_CONFIGURATION: yaml.safe_dump(configuration, sort_keys=False).encode()}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    with homes.writing(folder.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
        for file in folder.glob("*.yml"):
            file.unlink()
        for name, content in files.items():
            homes.write_atomically(folder / name, content)


def _read(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.yml")}
