"""Every panel's query and every rule on a real Prometheus that scrapes a real live page's server: each gives data.

A query with a slip in a name, in a label or in how its sides are matched gives none, and nobody would notice: an alert
that can't fire looks like one that needn't.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from orders_platform_tests.conftest import RunningStack
from orders_platform_tests.monitoring import programs
from orders_platform_tests.monitoring.board import panel_queries
from orders_platform_tests.monitoring.rules import alerts, recordings, unit_tests
from orders_platform_tests.monitoring.world import World, standing

pytestmark = pytest.mark.services
WITHIN_S = 60.0
PAGE = Path(__file__).resolve().parents[2] / "docs" / "monitoring.md"
ROW = re.compile(r"^\| `(orders_\w+)` \| (\w+) \|([^|]*)\| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)
UNITS = {
    "_timestamp_seconds": "seconds since 1970",
    "_seconds": "seconds",
    "_minor": "minor units",
    "_up": "1 or 0",
    "_wanted": "1 or 0",
}


@pytest.fixture(scope="module")
def world(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with standing(stack, tmp_path_factory.mktemp("world") / "home") as its:
        within(
            WITHIN_S, lambda: {} if "orders_dead_letters{" in its.metrics() else {"orders_dead_letters": "not counted"}
        )
        yield its


def within(most_s: float, look: Callable[[], Mapping[str, str]]) -> None:
    """Look again and again until nothing is missing."""
    deadline_s = time.monotonic() + most_s
    while missing := look():
        assert time.monotonic() < deadline_s, missing
        time.sleep(0.5)


def without_data(world: World, expressions: Mapping[str, str]) -> dict[str, str]:
    return {name: each for name, each in expressions.items() if not any(map(is_number, world.query(each)))}


def is_number(row: Mapping[str, Any]) -> bool:
    return row["value"][1] != "NaN"


def families(world: World) -> list[Metric]:
    return list(text_string_to_metric_families(world.metrics()))


def sample_labels(world: World) -> dict[str, frozenset[str]]:
    """Return the names of the labels of each series' name."""
    return {each.name: frozenset(each.labels) for family in families(world) for each in family.samples}


def always(expression: str) -> str:
    """Return an alert's expression with comparisons that always hold: what is left is names, labels and matching. An
    hour ago becomes a second ago, for nobody waits that long here."""
    return re.sub(r" (>=|<=|==|>|<) ", r" \1 bool ", expression.replace("offset 1h", "offset 1s").replace("1d", "1s"))


def test_every_panel_shows_something(world: World) -> None:
    queries = panel_queries()
    assert len(queries) > 25
    asked = {f"{title}: {expression}": expression for title, expression in queries}
    within(WITHIN_S, lambda: without_data(world, asked))


def test_every_rule_is_loaded_and_works(world: World) -> None:
    def trouble() -> dict[str, str]:
        loaded = [rule for group in world.ask("rules")["groups"] for rule in group["rules"]]
        names = {each["name"] for each in loaded}
        missing = {each["alert"] for each in alerts()} | {each["record"] for each in recordings()}
        wrong = {each["name"]: f"{each['health']} {each.get('lastError')}" for each in loaded if each["health"] != "ok"}
        return dict.fromkeys(missing - names, "is not loaded") | wrong

    within(WITHIN_S, trouble)
    within(WITHIN_S, lambda: without_data(world, {each["record"]: each["record"] for each in recordings()}))


def test_every_alert_could_fire(world: World) -> None:
    within(WITHIN_S, lambda: without_data(world, {each["alert"]: always(each["expr"]) for each in alerts()}))


def test_while_all_is_well_no_alert_is_even_pending(world: World) -> None:
    """But for what is so: the last statement is three days old, and about one message in twenty is poison."""

    def wrong() -> dict[str, str]:
        told = {each["labels"]["alertname"] for each in world.ask("alerts")["alerts"]} - {"OrdersRejectedMany"}
        return dict.fromkeys(told ^ {"OrdersStatementLate"}, "is pending and should not be, or is not and should")

    within(WITHIN_S, wrong)


def test_promtool_has_nothing_to_say_of_the_metrics(world: World) -> None:
    done = programs.run("promtool", "check", "metrics", given=world.metrics())
    assert (done.returncode, done.stdout) == (0, "")


def test_the_unit_tests_are_of_series_that_there_are(world: World) -> None:
    real = sample_labels(world) | {"up": frozenset[str]()}
    for test in unit_tests():
        for each in test["input_series"]:
            name, _, labels = each["series"].partition("{")
            named = set(re.findall(r"(\w+)=", labels)) - {"job", "instance"}
            assert named == real[name], each["series"]


def test_the_page_tells_every_metric_as_it_is(world: World) -> None:
    real = set()
    for family in families(world):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "count")
        real.add((name, family.type, ", ".join(f"`{each}`" for each in labels), unit, family.documentation))
    told = [tuple(each.strip() for each in row) for row in ROW.findall(PAGE.read_text())]
    assert set(told) == real
    assert len(told) == len(real)
