"""`orders up`, `down` and `doctor` as a person calls them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from orders_platform.local import processes, prometheus

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def orders(home: Path) -> Iterator[Run]:
    """Runs `orders` on a home of its own, and ends what it left running."""

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        env = processes.environment({"ORDERS_HOME": str(home), **environ})
        command = [sys.executable, "-m", "orders_platform.cli.main", *arguments]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=280)

    yield run
    run("down")


def running(home: Path) -> set[str]:
    names = ("kafka", "mongo", "supervisor", "matcher", "live", "prometheus", "dagster", "dagster-daemon")
    return {name for name in names if processes.find(home, name) is not None}


def states(orders: Run) -> dict[str, str]:
    shown = json.loads(orders("status", "--json").stdout)
    return {part["name"]: part["state"] for part in shown["components"]}


def test_down_without_a_home_is_done_already(orders: Run, home: Path) -> None:
    done = orders("down")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "Nothing was running.\n")
    assert not home.exists()


@pytest.mark.parametrize("parts", ["kafka,spark", "", ","])
def test_an_unknown_part_is_wrong_use(orders: Run, parts: str) -> None:
    done = orders("up", "--only", parts)
    assert done.returncode == 2
    assert "kafka, mongo, matcher" in done.stderr


def test_a_home_that_can_not_be_written_ends_in_two_sentences(orders: Run, home: Path) -> None:
    home.write_text("a file")
    done = orders("up")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith(f"Error: The home {home} can't be written")
    assert "ORDERS_HOME" in done.stderr.splitlines()[1]
    home.unlink()


def test_without_java_up_says_what_to_install(orders: Run, tmp_path: Path) -> None:
    """Where it could install Java itself it would; so this runs as nobody who may, on a PATH without it."""
    program = (
        "import sys; from orders_platform.local import java; java._PLACES = (); java.apt_install = lambda name: False;"
        "from orders_platform.cli.main import run; sys.argv = ['orders', 'up']; run()"
    )
    env = {"ORDERS_HOME": str(tmp_path / "home"), "PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Error: No Java 17 or later was found." in done.stderr
    assert "openjdk-17-jre-headless" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_tells_its_findings_as_json_and_by_its_exit_status(orders: Run) -> None:
    done = orders("doctor", "--json")
    shown = json.loads(done.stdout)
    assert done.returncode == (0 if shown["healthy"] else 1)
    assert shown["healthy"] == all(finding["state"] != "problem" for finding in shown["findings"])
    assert {finding["check"] for finding in shown["findings"]} >= {"python", "java", "kafka", "mongo", "checkpoint"}
    refused = orders("doctor", "--json", ORDERS_MONGO__URI="mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300")
    assert refused.returncode == 1
    assert not json.loads(refused.stdout)["healthy"]


@pytest.mark.services
def test_the_whole_platform_comes_up_once_and_goes_down(orders: Run, home: Path) -> None:
    up = orders("up", "--no-dagster")
    assert up.returncode == 0, up.stderr
    pages = ["live"] if prometheus.find() is None else ["prometheus", "live"]
    assert running(home) == {"kafka", "mongo", "supervisor", "matcher", *pages}
    assert set(states(orders).values()) == {"running"}
    before = {path.name: path.read_text() for path in (home / "run").glob("*.json") if path.stem in running(home)}
    assert orders("up", "--no-dagster").returncode == 0
    after = {path.name: path.read_text() for path in (home / "run").glob("*.json") if path.stem in running(home)}
    assert after == before
    children = psutil.Process(json.loads(before["matcher.json"])["pid"]).children(recursive=True)
    assert children
    down = orders("down")
    assert down.returncode == 0
    assert f"Stopped: {', '.join(pages)}, supervisor, matcher, kafka, mongo.\n" in down.stderr
    assert running(home) == set()
    _, left = psutil.wait_procs(children, timeout=5)
    assert not [child for child in left if child.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.services
def test_down_ends_the_matcher_though_mongo_is_gone(orders: Run, home: Path) -> None:
    assert orders("up", "--no-dagster").returncode == 0
    mongo = processes.find(home, "mongo")
    assert mongo is not None
    os.kill(mongo.pid, signal.SIGKILL)
    down = orders("down", "--purge")
    assert down.returncode == 0, down.stderr
    assert "The matcher is stopped at once." in down.stderr
    assert running(home) == set()
    assert not home.exists()
