"""The homes that the supervisor's tests use, seen through Dagster."""

from collections.abc import Iterator

import dagster as dg
import pytest

from orders_platform.defs.matching import sensors
from orders_platform.defs.resources import KafkaResource, MongoResource
from orders_platform.settings import Settings
from orders_platform.store.schema import migrate
from orders_platform_tests.defs.ticking import Dagster, SmallMatcher
from orders_platform_tests.supervision.conftest import (
    Platform,
    in_environment,
    platform,
    settings,
)

__all__ = ["SmallMatcher", "in_environment", "platform", "settings"]


@pytest.fixture
def matcher(platform: Platform, in_environment: Settings) -> SmallMatcher:
    migrate(platform.store)
    return SmallMatcher(kafka=KafkaResource(), mongo=MongoResource())


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def dagster(
    platform: Platform, matcher: SmallMatcher, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> Dagster:
    """Ticks by hand, which end when there is nothing to do."""
    monkeypatch.setattr(sensors, "WATCH_S", 0.0)
    return Dagster(platform, matcher, instance)
