"""The homes that the supervisor's tests use, seen through Dagster."""

from collections.abc import Iterator

import dagster as dg
import pytest

from orders_platform.defs.resources import KafkaResource, MatcherResource, MongoResource
from orders_platform.settings import Settings
from orders_platform.store.schema import migrate
from orders_platform.supervision.observe import MakeBackend
from orders_platform_tests.supervision.conftest import (
    Platform,
    SmallBackend,
    in_environment,
    platform,
    settings,
)

__all__ = ["in_environment", "platform", "settings"]


class SmallMatcher(MatcherResource):
    """The matcher as it is, but for the program that its backend starts."""

    def make_backend(self) -> MakeBackend:
        return SmallBackend


@pytest.fixture
def matcher(platform: Platform, in_environment: Settings) -> SmallMatcher:
    migrate(platform.store)
    return SmallMatcher(kafka=KafkaResource(), mongo=MongoResource())


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made
