"""Statements by a real Spark batch: byte for byte those of one process; whoever waits may go, and hears of failures."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from random import Random

import psutil
import pytest

from orders_platform.errors import StackError
from orders_platform.local.stack import endpoints
from orders_platform.reports.making import Broker
from orders_platform.settings import Settings
from orders_platform.store import carries, schema, statements
from orders_platform.store.client import Store, connect
from orders_platform.supervision.backends import local_statements
from orders_platform.supervision.statements import BY_SPARK, Told, make_statements
from orders_platform_tests.reports import shops
from orders_platform_tests.reports.test_making import MONDAY, stored
from orders_platform_tests.reports.test_parts import alone, days_from, same
from orders_platform_tests.supervision.conftest import in_environment, settings  # noqa: F401 - fixtures

pytestmark = [pytest.mark.services, pytest.mark.spark, pytest.mark.timeout(600)]
DAYS = 7


@pytest.fixture
def shop(in_environment: Settings) -> Iterator[Store]:  # noqa: F811
    """A store with orders of a week, most of them adverse."""
    its = in_environment
    store = connect(str(its.mongo.given_uri()), its.mongo.database)
    schema.migrate(store)
    stored(store, shops.adverse(Random(3), 120, 5) | shops.generated(300, 5))
    try:
        yield store
    finally:
        store.close()


def few(its: Settings, most: int) -> Settings:
    """Return the settings with another bound of what one process takes."""
    return its.model_copy(update={"reports": its.reports.model_copy(update={"spark_above_orders": most})})


def test_a_week_by_spark_is_the_week_of_one_process(in_environment: Settings, shop: Store) -> None:  # noqa: F811
    its = in_environment
    where = endpoints(its)
    broker = Broker(where.bootstrap_servers, where.kafka_client, its.kafka.topics)
    days = days_from(MONDAY - timedelta(1), DAYS, its.reports.time_zone)
    expected = alone(shop, broker, days, its.matching.rules())
    assert any(each.statement.breaks.new for each in expected)

    said: list[str] = []
    heard: list[tuple[int, int]] = []
    told = Told(said.append, lambda counted, parts: heard.append((counted, parts)))
    made = make_statements(shop, few(its, 100), days, told)
    same(made, expected)
    assert [(each.is_new, each.counted_anew) for each in made] == [(True, BY_SPARK)] * DAYS
    assert heard
    assert len({parts for _, parts in heard}) == 1
    assert "all of more than 100 orders" in said[0]
    kept = statements.latest(shop, days[-1].date.isoformat())
    assert kept is not None
    assert kept.statement["revision"] == 1

    # What it left is enough for the next day, so that one process makes it, however many orders there are.
    assert carries.of_day(shop, days[-1].date.isoformat()) is not None
    after = days_from(days[-1].date + timedelta(1), 1, its.reports.time_zone)
    (next_day,) = make_statements(shop, few(its, 100), after, told)
    assert next_day.counted_anew == ""
    assert len(said) == 1


def test_why_it_failed_is_said(in_environment: Settings, shop: Store) -> None:  # noqa: F811
    first, last = date(2026, 1, 6), date(2026, 1, 5)
    with pytest.raises(StackError, match="2026-01-05 lies before 2026-01-06") as told:
        local_statements.run(
            in_environment, endpoints(in_environment), first, last, force=False, progress=lambda *_: None
        )
    log = str(told.value).rpartition(" in ")[2].rstrip(".")
    assert Path(log).stat().st_mode & 0o777 == 0o600
    del shop


def test_whoever_waits_takes_it_along(in_environment: Settings, shop: Store) -> None:  # noqa: F811
    class GoneError(Exception):
        pass

    seen: list[tuple[psutil.Process, str]] = []

    def interrupted(_counted: int, _parts: int) -> None:
        for batch in psutil.Process().children():
            with suppress(psutil.NoSuchProcess):  # others' children that have ended, and nobody has waited for yet
                if any("statement_job" in part for part in batch.cmdline()):
                    seen.extend((each, each.name()) for each in (batch, *batch.children(recursive=True)))
        raise GoneError

    with pytest.raises(GoneError):
        local_statements.run(
            in_environment, endpoints(in_environment), MONDAY, MONDAY, force=True, progress=interrupted
        )
    assert {"java", "python3.11"} & {name for _, name in seen}
    _, alive = psutil.wait_procs([process for process, _ in seen], timeout=20)
    assert alive == []
    assert statements.latest(shop, MONDAY.isoformat()) is None
