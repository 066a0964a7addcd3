"""The real matcher, on Spark, under its supervisor: every way of dying, and the commands that steer it.

How long it takes from death to the next committed order is printed (`pytest -s`): 20 to 30 s on two idle cores.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orders_platform.local import processes
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.schema import migrate
from orders_platform.supervision.backends.local import LocalBackend
from orders_platform.supervision.decide import Policy
from orders_platform.surroundings import ROOT
from orders_platform_tests.supervision.conftest import Platform, _platform, is_over

pytestmark = [pytest.mark.services, pytest.mark.spark, pytest.mark.timeout(900)]

BACK_WITHIN_S = 300.0
"""A bound for a machine that does other things too; a quiet one is far below."""
PATIENT = Policy(stall_after_ms=20_000)


@pytest.fixture
def real(in_environment: Settings) -> Iterator[Platform]:
    for made in _platform(in_environment, LocalBackend, PATIENT):
        migrate(made.store)
        yield made


def place(platform: Platform, name: str) -> None:
    platform.publish(
        json.dumps(
            {
                "event_id": f"event-{name}",
                "type": "order_placed",
                "order_id": name,
                "occurred_at": "2026-01-05T10:00:00Z",
                "amount_minor": 12_500,
                "currency": "EUR",
            }
        ).encode()
    )


def is_matched(platform: Platform, name: str) -> bool:
    return platform.store.orders.find_one({"_id": name}) is not None


def part_of(platform: Platform, words: str) -> psutil.Process:
    """Return the newest process of the driver whose command line has these words; the JVM itself for none."""
    running = platform.backend.find()
    assert running is not None
    jvm = psutil.Process(running.pid)
    if not words:
        return jvm
    living = [child for child in jvm.children(recursive=True) if not is_over(child)]
    return [child for child in living if words in " ".join(child.cmdline())][-1]


def orders(*arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "orders_platform.cli.main", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == expect, done.stderr
    return done


def test_every_part_of_it_may_be_killed_or_stopped(real: Platform) -> None:
    real.supervise()
    place(real, "first")
    taken = {"start": real.until(lambda: is_matched(real, "first"), BACK_WITHIN_S)}
    for words, number in {
        "": signal.SIGKILL,
        "matcher_job.py": signal.SIGKILL,
        "daemon": signal.SIGKILL,
        " ": signal.SIGSTOP,
    }.items():
        name = f"{words.strip() or 'jvm'}-{number.name}"
        real.until(lambda: real.committed(0))
        session = [psutil.Process(real.epoch_pid()), *psutil.Process(real.epoch_pid()).children(recursive=True)]
        os.kill(part_of(real, words.strip()).pid, number)
        place(real, name)
        taken[name] = real.until(lambda name=name: is_matched(real, name), BACK_WITHIN_S)
        if words == "daemon":
            continue  # Spark starts another worker by itself
        assert all(is_over(process) for process in session), "nothing of a dead life may go on writing"
    real.until(lambda: real.committed(0))
    print("\nseconds to the next committed order:", {name: round(seconds, 1) for name, seconds in taken.items()})
    ends = [(start.end, start.committed) for start in records.read_starts(real.store)]
    assert ends == [("died", True), ("died", True), ("stalled", True), (None, False)]


def test_people_steer_it(real: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    home = real.settings.home
    orders("matcher", "start")
    place(real, "one")
    real.until(lambda: is_matched(real, "one"), BACK_WITHIN_S)
    status = json.loads(orders("status", "--json").stdout)
    assert [part["state"] for part in status["components"]] == ["running"] * 4
    assert status["matcher"]["pid"] == real.epoch_pid()
    assert set(status["matcher"]) == {
        "state", "pid", "epoch", "batch_id", "last_commit_at", "events_behind", "restarts", "deadline_swept_to"
    }  # fmt: skip
    assert orders("matcher", "start").stderr.strip().endswith("(epoch 1).")

    monkeypatch.setenv("ORDERS_MATCHING__TOLERANCE_MINOR", "7")
    orders("matcher", "restart")
    assert real.epoch() == 2
    assert psutil.Process(real.epoch_pid()).environ()["ORDERS_MATCHING__TOLERANCE_MINOR"] == "7"

    assert "is stopped" in orders("matcher", "stop").stderr
    assert json.loads(orders("status", "--json", expect=1).stdout)["matcher"]["state"] == "stopped"
    assert records.read_starts(real.store)[-1].end in (None, "asked")
    place(real, "two")
    _damage(home / "checkpoint")
    told = orders("matcher", "repair").stderr
    assert "checkpoint.damaged-" in told
    assert "offsets that were last committed" in told
    real.until(lambda: is_matched(real, "two"), BACK_WITHIN_S)
    beat = records.read_heartbeat(real.store)
    assert beat is not None
    assert beat.counts["messages"] == 1, "began where the last commit ended"
    real.until(lambda: not (home / "run" / "start-offsets.json").exists())
    orders("matcher", "stop", "--now")
    processes.stop(home, "supervisor")
    assert is_matched(real, "one")


def _damage(checkpoint: Path) -> None:
    """Empty the last offset file, as a full disk does: Spark refuses this checkpoint for ever."""
    last = max(checkpoint.glob("offsets/[0-9]*"), key=lambda file: int(file.name))
    last.write_bytes(b"")
    (checkpoint / "offsets" / f".{last.name}.crc").unlink(missing_ok=True)
