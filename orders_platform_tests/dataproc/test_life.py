"""The supervised life of a matcher on Dataproc, with the small driver: every job is a real process."""

import os
import signal
import time

import grpc
import pytest

from orders_platform.store import matcher_records as records
from orders_platform.supervision.status import gather
from orders_platform_tests.dataproc.conftest import Cloud

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]


def test_it_is_started_as_a_job_that_says_whose_it_is(cloud: Cloud) -> None:
    cloud.supervise()
    cloud.publish()
    cloud.until(cloud.at_work)
    (job,) = cloud.dataproc.jobs.values()
    assert dict(job.labels) == {"app": "orders-platform", "platform": "orders", "epoch": "1", "attempt": "1"}
    assert cloud.dataproc.states("orders-1-1") == ["PENDING", "SETUP_DONE", "RUNNING"]
    shown = gather(cloud.settings).matcher
    assert (shown.state, shown.pid, shown.epoch) == ("running", None, 1)


def test_a_killed_driver_is_followed_by_one_of_a_new_epoch(cloud: Cloud) -> None:
    cloud.supervise()
    cloud.publish()
    cloud.until(cloud.at_work)
    os.kill(cloud.dataproc.processes["orders-1-1"].pid, signal.SIGKILL)
    cloud.publish()
    cloud.until(lambda: cloud.at_work(after_epoch=1))
    assert cloud.dataproc.states("orders-1-1")[-1] == "ERROR"
    assert cloud.dataproc.active() == ["orders-2-1"] or cloud.dataproc.active()[0].startswith("orders-2-")


def test_a_job_that_says_running_while_its_driver_is_dead_is_replaced(cloud: Cloud) -> None:
    cloud.dataproc.deaf = True
    cloud.supervise()
    cloud.publish()
    cloud.until(cloud.at_work)
    os.kill(cloud.dataproc.processes["orders-1-1"].pid, signal.SIGKILL)
    cloud.publish()
    cloud.until(lambda: cloud.at_work(after_epoch=1))
    assert cloud.dataproc.states("orders-1-1")[-2:] == ["CANCEL_STARTED", "CANCELLED"]
    assert len(cloud.dataproc.active()) == 1


def test_a_success_that_nobody_asked_for_is_a_death_and_leads_to_the_breaker(cloud: Cloud) -> None:
    cloud.runner.mode = "leave"
    cloud.supervise()
    cloud.until(lambda: any("5 times in a row" in each for each in cloud.said))
    assert [cloud.dataproc.states(name)[-1] for name in cloud.dataproc.jobs] == ["DONE"] * 5
    time.sleep(3)
    assert len(cloud.dataproc.jobs) == 5


def test_two_supervisors_make_one_job(cloud: Cloud) -> None:
    homes = [cloud.settings.home.with_name(name) for name in ("one", "two", "three")]
    for home in homes:
        cloud.supervise(home)
    cloud.publish()
    cloud.until(cloud.at_work)
    time.sleep(4)
    assert len(cloud.dataproc.active()) == 1
    os.kill(cloud.dataproc.processes[cloud.dataproc.active()[0]].pid, signal.SIGKILL)
    cloud.publish()
    cloud.until(lambda: cloud.at_work(after_epoch=1))
    cloud.until(lambda: len(cloud.dataproc.active()) == 1)


def test_asked_to_stop_it_ends_by_itself_and_stays_so(cloud: Cloud) -> None:
    cloud.supervise()
    cloud.publish()
    cloud.until(cloud.at_work)
    records.set_desired(cloud.store, state="stopped", reason="a test")
    cloud.until(lambda: not cloud.dataproc.active())
    assert cloud.dataproc.states("orders-1-1")[-1] == "DONE"
    time.sleep(3)
    assert len(cloud.dataproc.jobs) == 1
    records.set_desired(cloud.store, state="running", reason="a test")
    cloud.publish()
    cloud.until(lambda: cloud.at_work(after_epoch=1))


def test_one_that_does_not_heed_a_stop_is_cancelled(cloud: Cloud) -> None:
    cloud.runner.mode = "mute"
    cloud.supervise()
    cloud.until(lambda: "orders-1-1" in cloud.dataproc.processes)
    records.set_desired(cloud.store, state="stopped", reason="a test")
    cloud.until(lambda: not cloud.dataproc.active())
    assert cloud.dataproc.states("orders-1-1")[-3:] == ["CANCEL_PENDING", "CANCEL_STARTED", "CANCELLED"]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED])
def test_while_dataproc_does_not_say_nothing_is_done(cloud: Cloud, code: grpc.StatusCode) -> None:
    cloud.supervise()
    cloud.publish()
    cloud.until(cloud.at_work)
    cloud.dataproc.refuse["ListJobs"] = code
    cloud.until(lambda: any("Dataproc" in each for each in cloud.said[1:]))
    time.sleep(4)
    assert list(cloud.dataproc.jobs) == ["orders-1-1"]
    assert cloud.dataproc.active() == ["orders-1-1"]
    starts = records.read_starts(cloud.store)
    assert [each.lived_s for each in starts] == [None]
    cloud.dataproc.refuse.clear()
    os.kill(cloud.dataproc.processes["orders-1-1"].pid, signal.SIGKILL)
    cloud.publish()
    cloud.until(lambda: cloud.at_work(after_epoch=1))
