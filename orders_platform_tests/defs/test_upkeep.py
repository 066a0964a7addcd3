"""The jobs that people launch now and then: replay a range, repair the matcher."""

import json
import os
import threading
from typing import Any

import dagster as dg
import pytest

from orders_platform.definitions import defs
from orders_platform.streams.publish import Publisher
from orders_platform.supervision.supervisor_lock import DAEMON, only_supervisor, take
from orders_platform_tests.defs.conftest import SmallMatcher
from orders_platform_tests.defs.test_supervisor import Dagster
from orders_platform_tests.supervision.conftest import Platform

pytestmark = pytest.mark.services


def launch(job: str, instance: dg.DagsterInstance, config: Any = None) -> dg.ExecuteInProcessResult:
    return defs().resolve_job_def(job).execute_in_process(run_config=config, instance=instance, raise_on_error=False)


def replayed(instance: dg.DagsterInstance, **config: str) -> tuple[int, int, int]:
    """Replay, and return how many messages were matched, added documents, and were right."""
    result = launch("replay_range", instance, {"ops": {"replay_the_range": {"config": config}}})
    assert result.success
    (seen,) = [event.asset_observation_data.asset_observation for event in result.get_asset_observation_events()]
    figures: dict[str, Any] = {name: value.value for name, value in seen.metadata.items()}
    return figures["messages"], figures["inserted"], figures["unchanged"]


def test_a_range_is_replayed(platform: Platform, matcher: SmallMatcher, instance: dg.DagsterInstance) -> None:
    kafka = platform.settings.kafka
    with Publisher(platform.servers, {}) as publisher:
        for number in range(3):
            placed = {"event_id": f"e-{number}", "type": "order_placed", "order_id": f"o-{number}"}
            money = {"occurred_at": "2026-01-05T10:00:00Z", "amount_minor": 100, "currency": "EUR"}
            publisher.send(kafka.orders_topic, b"one key", json.dumps(placed | money).encode())
    assert replayed(instance, begin="2090-01-01T00:00:00Z") == (0, 0, 0)
    assert replayed(instance, begin="earliest", topic=kafka.payments_topic) == (0, 0, 0)
    assert replayed(instance, begin="earliest") == (3, 3, 0)
    assert replayed(instance, begin="earliest") == (3, 0, 3)
    refused = launch("replay_range", instance, {"ops": {"replay_the_range": {"config": {"begin": "soon"}}}})
    assert not refused.success
    error = refused.get_step_failure_events()[0].step_failure_data.error
    assert error is not None
    assert "neither `earliest`" in error.to_string()


def test_a_repair_begins_a_new_checkpoint_under_the_same_daemon(
    platform: Platform, matcher: SmallMatcher, instance: dg.DagsterInstance
) -> None:
    home = platform.settings.home
    daemon = take(home, DAEMON)  # this process, in its place
    try:
        sensor = Dagster(platform, matcher, instance)
        before = sensor.start()
        (home / "checkpoint" / "offsets").mkdir(parents=True)
        done: list[dg.ExecuteInProcessResult] = []

        def repair() -> None:
            with dg.DagsterInstance.ephemeral() as its_own:
                done.append(launch("repair_matcher", its_own))
                (seen,) = done[0].get_asset_observation_events() or [None]
                assert seen is not None

        repairing = threading.Thread(target=repair)
        repairing.start()
        while repairing.is_alive():
            for request in sensor.tick().run_requests or []:
                sensor.run(request)
            repairing.join(0.2)
        assert done[0].success
        assert platform.epoch() > before
        assert list(home.glob("checkpoint.damaged-*/offsets"))
        assert not (home / "checkpoint").exists(), "the small driver makes none"
    finally:
        os.close(daemon)


def test_a_repair_without_dagsters_daemon_is_refused_before_it_touches_anything(
    platform: Platform, matcher: SmallMatcher, instance: dg.DagsterInstance
) -> None:
    checkpoint = platform.settings.home / "checkpoint"
    checkpoint.mkdir()
    assert not launch("repair_matcher", instance).success, "nobody would start it again"
    platform.supervise()
    platform.until(platform.committed)
    epoch = platform.epoch()
    with only_supervisor(platform.settings.home):
        assert not launch("repair_matcher", instance).success, "another supervisor does"
    assert platform.epoch() == epoch
    assert checkpoint.is_dir()
