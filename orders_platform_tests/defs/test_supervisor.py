"""The sensor's tick as a function, and the jobs it asks for, on real services with a small driver in Spark's place."""

import os
import signal
import time
from typing import Any

import dagster as dg
import msgspec
import psutil
import pytest
from bson.datetime_ms import DatetimeMS

from orders_platform.defs.matching import sensors
from orders_platform.defs.matching.sensors import Cursor
from orders_platform.store import matcher_records as records
from orders_platform.supervision import errand, rounds
from orders_platform.supervision.errand import Request, carry_out
from orders_platform.supervision.supervisor_lock import only_supervisor
from orders_platform_tests.defs.ticking import Dagster, small_definitions, tags_of
from orders_platform_tests.supervision.conftest import Platform, SmallBackend

pytestmark = pytest.mark.services


def test_the_first_tick_asks_for_a_start_and_does_nothing_itself(dagster: Dagster) -> None:
    result = dagster.tick()
    (request,) = result.run_requests or []
    assert (request.job_name, request.run_key) == ("start_matcher", "start-1-1")
    assert dagster.platform.backend.find() is None
    assert records.read_starts(dagster.platform.store) == []
    assert records.read_lease(dagster.platform.store) is None
    assert dagster.run(request).success
    assert dagster.platform.epoch() == 1
    assert not dagster.tick().run_requests


def test_a_killed_matcher_is_asked_for_again_and_what_it_left_is_gone(dagster: Dagster) -> None:
    epoch = dagster.start()
    dagster.tick()
    child = psutil.Process(int((dagster.platform.settings.home / "child").read_text()))
    os.kill(dagster.platform.epoch_pid(), signal.SIGKILL)
    request = dagster.until_asked()
    assert request.run_key == f"start-{epoch + 1}-2"
    assert "died" in request.tags["reason"]
    assert dagster.run(request).success
    assert dagster.platform.epoch() == epoch + 1
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    before, now = records.read_starts(dagster.platform.store)
    assert (before.end, before.committed, now.attempt) == ("died", True, 2)


def test_a_request_that_failed_before_it_did_anything_is_made_again_under_another_key(
    dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = dagster.until_asked()
    monkeypatch.setenv("ORDERS_MONGO__URI", "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=300")
    assert not dagster.run(request).success
    assert "MongoDB" in str(dagster.tick().skip_reason)
    monkeypatch.undo()
    monkeypatch.setenv("ORDERS_HOME", str(dagster.platform.settings.home))
    for name, value in _variables(dagster.platform).items():
        monkeypatch.setenv(name, value)
    again = dagster.until_asked()
    assert again.run_key == "start-1-1-2"
    assert dagster.run(again).success


def test_while_a_run_is_at_it_none_is_asked_for(dagster: Dagster) -> None:
    request = dagster.until_asked()
    run = dagster.instance.create_run_for_job(
        small_definitions().resolve_job_def("start_matcher"),
        tags=tags_of(request),
        status=dg.DagsterRunStatus.STARTED,
    )
    assert "is at it" in str(dagster.tick().skip_reason)
    dagster.instance.report_run_failed(run)
    assert dagster.until_asked().run_key == "start-1-1-2"


def test_two_runs_of_one_request_start_one_matcher(dagster: Dagster) -> None:
    request = dagster.until_asked()
    assert dagster.launch("start_matcher", request.run_config, request.tags).success
    running = dagster.platform.backend.find()
    assert dagster.launch("start_matcher", request.run_config, request.tags).success
    assert dagster.platform.backend.find() == running
    assert len(records.read_starts(dagster.platform.store)) == 1


def test_a_stall_is_replaced_only_if_it_still_stalls(dagster: Dagster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "policy_of", lambda settings: dagster.platform.policy)
    monkeypatch.setattr(errand, "policy_of", lambda settings: dagster.platform.policy)
    epoch = dagster.start()
    dagster.tick()
    stopped = dagster.platform.epoch_pid()
    os.kill(stopped, signal.SIGSTOP)
    time.sleep(1)
    assert not dagster.tick().run_requests, "silence alone says nothing"
    dagster.platform.publish()
    request = dagster.until_asked()
    assert request.job_name == "restart_matcher"
    os.kill(stopped, signal.SIGCONT)
    dagster.platform.until(lambda: _behind(dagster.platform) == 0)
    assert dagster.run(request).success
    assert dagster.platform.epoch() == epoch, "it recovered between request and run"
    os.kill(stopped, signal.SIGSTOP)
    dagster.platform.publish()
    assert dagster.run(dagster.until_asked()).success
    assert dagster.platform.epoch() == epoch + 1
    assert records.read_starts(dagster.platform.store)[0].end == "stalled"


def test_an_idle_matcher_is_left_alone_and_reported_with_its_checks_in_one_tick(dagster: Dagster) -> None:
    dagster.start()
    dagster.platform.publish()
    dagster.platform.until(lambda: _behind(dagster.platform) == 0)
    with only_supervisor_named_daemon(dagster.platform):
        events = dagster.tick().asset_events
    kinds = [type(event).__name__ for event in events]
    assert kinds[0] == "AssetMaterialization", "checks before it would vanish from the UI"
    assert kinds.count("AssetMaterialization") == 1
    assert kinds.count("AssetCheckEvaluation") == 14
    assert kinds.count("AssetObservation") == 3
    second = dagster.tick()
    assert not second.asset_events, "at most once a minute"
    assert not second.run_requests


def test_checks_are_asked_each_minute_and_told_when_one_changes_or_after_ten(dagster: Dagster) -> None:
    def later(checked_ms: int, reported_ms: int) -> None:
        seen = msgspec.json.decode(str(dagster.cursor), type=Cursor)
        earlier = {
            "checked_at_ms": seen.checked_at_ms - checked_ms,
            "reported_at_ms": seen.reported_at_ms - reported_ms,
        }
        dagster.cursor = msgspec.json.encode(msgspec.structs.replace(seen, **earlier)).decode()

    dagster.start()
    assert dagster.tick().asset_events
    later(61_000, 61_000)
    assert not dagster.tick().asset_events, "nothing has changed"
    later(61_000, 540_000)
    events = dagster.tick().asset_events
    assert len(events) == 12, "the collection and its checks; the topics are told once an hour"
    late = {"_id": "o-1", "status": "awaiting_payment", "deadline_at": DatetimeMS(1)}
    dagster.platform.store.orders.insert_one(late, bypass_document_validation=True)
    later(1_000, 0)
    assert not dagster.tick().asset_events, "not yet asked again"
    later(61_000, 61_000)
    events = dagster.tick().asset_events
    failed = {event.check_name for event in events if isinstance(event, dg.AssetCheckEvaluation) and not event.passed}
    assert "deadlines_swept" in failed


def test_people_stop_start_and_restart_it_from_dagster(dagster: Dagster) -> None:
    first = dagster.start()
    assert dagster.launch("stop_matcher").success
    assert dagster.platform.backend.find() is None
    assert records.read_desired(dagster.platform.store).state == "stopped"
    assert not dagster.tick().run_requests
    assert records.read_starts(dagster.platform.store)[-1].end == "asked"
    assert dagster.launch("start_matcher").success
    dagster.platform.until(dagster.platform.committed)
    assert dagster.platform.epoch() == first + 1
    assert dagster.launch("restart_matcher").success
    dagster.platform.until(lambda: dagster.platform.committed(first + 1))
    assert not dagster.tick().run_requests, "a restart is done once"


def test_a_stop_by_command_is_put_on_record_by_a_run(dagster: Dagster) -> None:
    dagster.start()
    dagster.tick()
    records.set_desired(dagster.platform.store, state="stopped")
    dagster.platform.until(lambda: dagster.platform.backend.find() is None)
    request = dagster.until_asked()
    assert request.job_name == "stop_matcher"
    assert dagster.run(request).success
    assert records.read_starts(dagster.platform.store)[-1].end == "asked"
    assert not dagster.tick().run_requests


def test_a_supervisor_in_a_terminal_goes_first(dagster: Dagster) -> None:
    with only_supervisor(dagster.platform.settings.home):
        result = dagster.tick()
        assert not result.run_requests
        assert f"process {os.getpid()}" in str(result.skip_reason)
        with pytest.raises(Exception, match="keeps this matcher"):
            carry_out(dagster.platform.settings, "start", Request(), print, SmallBackend)
    assert dagster.until_asked().job_name == "start_matcher"


@pytest.mark.parametrize("cursor", ["", "{}", '{"memory": 7}', "other"])
def test_a_lost_or_foreign_cursor_costs_nothing(dagster: Dagster, cursor: str) -> None:
    dagster.start()
    dagster.cursor = cursor
    assert not dagster.tick().run_requests


def test_a_wall_clock_that_is_moved_between_ticks_neither_holds_up_nor_causes_a_restart(
    dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = dagster.start()
    dagster.tick()
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 300_000_000_000)
    assert not dagster.tick().run_requests
    os.kill(dagster.platform.epoch_pid(), signal.SIGKILL)
    assert dagster.run(dagster.until_asked()).success
    assert dagster.platform.epoch() == epoch + 1


def test_a_clock_goes_on_in_another_process_and_begins_anew_after_a_boot() -> None:
    clock = rounds.SteadyClock()
    again = msgspec.json.decode(msgspec.json.encode(clock), type=rounds.SteadyClock)
    assert again == clock
    assert rounds.SteadyClock("another boot", 1).offset_ns == pytest.approx(clock.offset_ns, abs=10**9)


def _behind(platform: Platform) -> int | None:
    connections = rounds.Connections(platform.settings, SmallBackend)
    try:
        me, clock = rounds.identity(platform.settings), rounds.SteadyClock()
        sight = rounds.make_round(platform.settings, connections, me, rounds.Memory(), clock, platform.policy)
        return sight.behind
    finally:
        connections.close()


def _variables(platform: Platform) -> dict[str, str]:
    settings = platform.settings
    return {
        "ORDERS_MONGO__URI": settings.mongo.given_uri() or "",
        "ORDERS_MONGO__DATABASE": settings.mongo.database,
        "ORDERS_KAFKA__BOOTSTRAP_SERVERS": platform.servers,
        "ORDERS_KAFKA__ORDERS_TOPIC": settings.kafka.orders_topic,
        "ORDERS_KAFKA__PAYMENTS_TOPIC": settings.kafka.payments_topic,
        "ORDERS_KAFKA__ADJUSTMENTS_TOPIC": settings.kafka.adjustments_topic,
    }


def only_supervisor_named_daemon(platform: Platform) -> Any:
    from contextlib import contextmanager

    from orders_platform.supervision.supervisor_lock import DAEMON, take

    @contextmanager
    def held() -> Any:
        descriptor = take(platform.settings.home, DAEMON)
        try:
            yield
        finally:
            os.close(descriptor)

    return held()
