"""The supervisor at work on real processes, a real lease and real topics, with a small driver in Spark's place."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from orders_platform.errors import StackError
from orders_platform.store import matcher_records as records
from orders_platform.supervision.backends.local import pid_of
from orders_platform.supervision.rounds import own_holder, read_report
from orders_platform.supervision.status import gather
from orders_platform.supervision.supervisor_lock import find_supervisor, only_supervisor
from orders_platform.surroundings import ROOT
from orders_platform_tests.supervision.conftest import Platform, is_over

pytestmark = pytest.mark.services
QUIET_S = 8


def starts(platform: Platform) -> list[records.Start]:
    return records.read_starts(platform.store)


def test_a_killed_matcher_is_back_at_once_and_its_leftovers_are_gone(platform: Platform) -> None:
    platform.supervise()
    platform.until(platform.committed)
    first = platform.backend.find()
    assert first is not None
    child = psutil.Process(int((platform.settings.home / "child").read_text()))
    os.kill(pid_of(first), signal.SIGKILL)
    platform.until(lambda: platform.committed(first.epoch), 15)
    assert is_over(child)
    before, now = starts(platform)
    assert (before.end, before.committed, before.holder) == ("died", True, own_holder(platform.settings))
    assert before.lived_s is not None
    assert (now.epoch, now.attempt, now.lived_s) == (first.epoch + 1, 2, None)


def test_the_supervisor_may_die_too(platform: Platform) -> None:
    platform.supervise()
    platform.until(platform.committed)
    first = platform.backend.find()
    platform.leave()
    assert platform.backend.find() == first
    platform.supervise()
    time.sleep(3)
    assert platform.backend.find() == first, "a new supervisor takes over what lives"
    platform.leave()
    assert first is not None
    os.kill(pid_of(first), signal.SIGKILL)
    platform.supervise()
    platform.until(lambda: platform.committed(first.epoch))
    assert starts(platform)[0].end == "died", "a death that nobody saw is put on record"
    assert starts(platform)[0].committed


def test_a_crash_loop_backs_off_and_ends_at_the_breaker_until_a_person_resets_it(platform: Platform) -> None:
    platform.mode("die")
    platform.supervise()
    platform.until(lambda: (report := read_report(platform.settings.home)) and report.state == "failed", 60)
    assert len(starts(platform)) == 5
    assert any("5 times in a row" in line for line in platform.said)
    status = gather(platform.settings)
    assert status.matcher.state == "failed"
    assert not status.healthy()
    time.sleep(3)
    assert len(starts(platform)) == 5
    platform.mode("work")
    records.set_desired(platform.store, reset_breaker=True)
    platform.until(platform.committed)
    assert starts(platform)[-1].attempt == 1


def test_waiting_messages_without_a_batch_are_a_stall_and_silence_is_not(platform: Platform) -> None:
    platform.supervise()
    platform.until(platform.committed)
    first = platform.epoch()
    time.sleep(QUIET_S)
    assert platform.epoch() == first, "idle for longer than any bound, and left alone"
    platform.mode("hang")
    os.kill(platform.backend.find().pid, signal.SIGKILL)  # type: ignore[union-attr]
    platform.until(lambda: (found := platform.backend.find()) and found.epoch == first + 1)
    time.sleep(QUIET_S)
    assert platform.epoch() == first + 1, "commits nothing, but nothing waits"
    platform.mode("work")
    platform.publish()
    platform.until(lambda: platform.committed(first + 1))
    assert starts(platform)[-2].end == "stalled"


def test_one_that_is_stopped_in_its_tracks_is_replaced_once_messages_wait(platform: Platform) -> None:
    platform.supervise()
    platform.until(platform.committed)
    first = platform.backend.find()
    assert first is not None
    os.kill(pid_of(first), signal.SIGSTOP)
    platform.publish()
    platform.until(lambda: platform.committed(first.epoch))
    assert starts(platform)[0].end == "stalled"


def test_a_stop_drains_and_stays(platform: Platform) -> None:
    platform.supervise()
    platform.until(platform.committed)
    records.set_desired(platform.store, state="stopped")
    platform.until(lambda: platform.backend.find() is None)
    platform.until(lambda: starts(platform)[-1].end == "asked")
    assert gather(platform.settings).matcher.state == "stopped"
    time.sleep(3)
    assert platform.backend.find() is None
    records.set_desired(platform.store, state="running")
    platform.until(platform.committed)
    assert starts(platform)[-1].attempt == 1
    assert gather(platform.settings).matcher.restarts == 0


def test_a_drain_that_hangs_is_cut_short(platform: Platform) -> None:
    platform.supervise()
    platform.until(platform.committed)
    running = platform.backend.find()
    assert running is not None
    os.kill(pid_of(running), signal.SIGSTOP)
    records.set_desired(platform.store, state="stopped")
    taken_s = platform.until(lambda: platform.backend.find() is None)
    assert taken_s >= platform.policy.drain_ms / 1000 - 1


def test_a_restart_is_done_once(platform: Platform) -> None:
    platform.supervise()
    platform.until(platform.committed)
    first = platform.epoch()
    records.set_desired(platform.store, restart_token="again")
    platform.until(lambda: platform.committed(first))
    time.sleep(3)
    assert platform.epoch() == first + 1
    assert starts(platform)[0].end == "asked"


def test_a_live_lease_of_another_host_is_respected_until_it_ends(platform: Platform) -> None:
    epoch = records.take_epoch(platform.store, "host-b:1:1-1", 4.0, 0)
    platform.supervise()
    platform.until(lambda: any("host-b:1:1-1" in line for line in platform.said))
    assert platform.backend.find() is None
    platform.until(lambda: platform.committed(epoch))


def test_the_last_holder_of_this_home_is_not_waited_for(platform: Platform) -> None:
    records.take_epoch(platform.store, own_holder(platform.settings), 600.0, 0)
    platform.supervise()
    platform.until(platform.committed)


def test_without_kafka_nothing_is_started_and_nothing_ended(platform: Platform) -> None:
    kafka = platform.settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:9"})
    away = Platform(
        platform.settings.model_copy(update={"kafka": kafka}), platform.store, platform.backend, "127.0.0.1:9"
    )
    away.supervise()
    away.until(lambda: any("Kafka can't be reached" in line for line in away.said))
    assert platform.backend.find() is None
    away.leave()
    assert gather(away.settings).components[0].state == "failed"


def test_a_second_supervisor_says_so_and_ends(platform: Platform) -> None:
    home = platform.settings.home
    with only_supervisor(home):
        found = find_supervisor(home)
        assert found is not None
        assert found.pid == os.getpid()
        with pytest.raises(StackError, match=f"runs already, process {os.getpid()}"), only_supervisor(home):
            pass
        second = subprocess.run(
            [sys.executable, "-m", "orders_platform.cli.main", "supervise"],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert second.returncode == 1
    assert "runs already" in second.stderr


def test_sigterm_ends_the_supervisor_and_not_the_matcher(platform: Platform) -> None:
    platform.supervise()
    platform.until(platform.committed)
    platform.leave()
    running = platform.backend.find()
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "orders_platform.cli.main", "supervise"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        platform.until(lambda: find_supervisor(platform.settings.home))
        time.sleep(1)
    finally:
        supervisor.send_signal(signal.SIGTERM)
        _, told = supervisor.communicate(timeout=30)
    assert supervisor.returncode == 0, told
    assert "the matcher goes on" in told
    assert platform.backend.find() == running, told
    assert find_supervisor(platform.settings.home) is None
