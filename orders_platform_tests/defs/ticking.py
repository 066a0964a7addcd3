"""Dagster's part in tests of the sensor, without its processes: ticks, and runs of what the sensor asks for."""

from typing import Any

import dagster as dg

from orders_platform.defs import matching, topics
from orders_platform.defs.matching.sensors import matcher_supervisor
from orders_platform.defs.resources import RESOURCES, KafkaResource, MatcherResource, MongoResource
from orders_platform.supervision.observe import MakeBackend
from orders_platform_tests.supervision.conftest import Platform, SmallBackend


class SmallMatcher(MatcherResource):
    """The matcher as it is, but for the program that its backend starts."""

    def make_backend(self) -> MakeBackend:
        return SmallBackend


def small_definitions() -> dg.Definitions:
    """Return the platform's definitions around the small matcher."""
    small = SmallMatcher(kafka=KafkaResource(), mongo=MongoResource())
    return dg.Definitions.merge(
        topics.definitions(),
        matching.definitions(),
        dg.Definitions(resources={**RESOURCES, "matcher": small}, executor=dg.in_process_executor),
    )


class Dagster:
    """The daemon's part: it calls the sensor with its cursor, and makes and runs what it asks for."""

    def __init__(self, platform: Platform, matcher: SmallMatcher, instance: dg.DagsterInstance) -> None:
        self.platform, self.matcher, self.instance = platform, matcher, instance
        self.cursor: str | None = None
        self.keys: set[str] = set()

    def tick(self) -> dg.SensorResult:
        given = {"matcher": self.matcher}
        with dg.build_sensor_context(self.instance, self.cursor, resources=given) as context:
            result = matcher_supervisor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        assert request.run_key not in self.keys, "a key is used once for ever"
        self.keys.add(str(request.run_key))
        return self.launch(str(request.job_name), request.run_config, tags_of(request))

    def launch(self, job: str, config: Any = None, tags: Any = None) -> dg.ExecuteInProcessResult:
        return (
            small_definitions()
            .resolve_job_def(job)
            .execute_in_process(
                run_config=config,
                instance=self.instance,
                tags=tags,
                resources={"matcher": self.matcher},
                raise_on_error=False,
            )
        )

    def until_asked(self, timeout_s: float = 30.0) -> dg.RunRequest:
        found: list[dg.RunRequest] = []
        self.platform.until(lambda: found.extend(self.tick().run_requests or []) or found, timeout_s)
        return found[0]

    def start(self) -> int:
        assert self.run(self.until_asked()).success
        self.platform.until(self.platform.committed)
        return self.platform.epoch()


def tags_of(request: dg.RunRequest) -> dict[str, str]:
    """Return the tags of the run that Dagster makes of a request."""
    return {**request.tags, "dagster/run_key": str(request.run_key), "dagster/sensor_name": "matcher_supervisor"}
