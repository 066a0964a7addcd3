"""The tables in scenarios/ hold for the product and for the oracle, whatever the order of arrival."""

from random import Random

import pytest

from orders_platform import events
from orders_platform_tests import oracle
from orders_platform_tests.matching import engines
from orders_platform_tests.matching.tables import Engine, Scenario, problems, read, read_all

SCENARIOS = read_all()
STATUSES = {
    *oracle.BREAKING_STATUSES,
    *oracle.PENDING_STATUSES,
    "matched",
    "cancelled",
    "refunded",
    "partially_refunded",
}
REASONS = oracle.BREAKING_REASONS | {
    "payment_after_cancel",
    "payment_late",
    "payment_before_order",
    "overpayment_refunded",
    "tolerance_used",
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize("engine", [engines.core, engines.by_oracle], ids=["core", "oracle"])
def test_table(scenario: Scenario, engine: Engine) -> None:
    assert scenario.expectations
    assert not list(problems(scenario, engine))


@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if len(each.arrivals) <= 500], ids=str)
def test_arrival_order_changes_nothing(scenario: Scenario) -> None:
    orders = [scenario.arrivals[::-1]]
    orders += [Random(seed).sample(scenario.arrivals, len(scenario.arrivals)) for seed in range(3)]
    for arrivals in orders:
        assert not list(problems(scenario, engines.core, arrivals))


def test_every_rule_status_outcome_and_reason_has_a_scenario() -> None:
    expected = [each.document for scenario in SCENARIOS for each in scenario.expectations]
    assert {document["rule"] for document in expected} == set(range(1, 12))
    assert {document["status"] for document in expected} == STATUSES
    assert {document["outcome"] for document in expected} == {"ok", "pending", "break"}
    assert {reason for document in expected for reason in document["reasons"]} == REASONS


def test_every_event_type_has_a_scenario() -> None:
    assert {content["type"] for scenario in SCENARIOS for content in scenario.arrivals} == set(events.TYPES)


@pytest.mark.parametrize(
    "line",
    [
        "10:00  parcel 1.00 EUR",
        "10:00  order 1.005 EUR",
        "10:00  order",
        "25  order 1.00 EUR",
        "=> 10:00 | matched | eleven | ok | -",
        "=> 10:00 | matched",
        "=> 10:00 | matched | 11 | ok | - | profit 1.00",
        "window 30",
    ],
)
def test_a_line_that_means_nothing_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        read("table", f"== A title\n{line}\n")


def test_a_wrong_expectation_is_a_problem() -> None:
    (scenario,) = read("table", "== Unpaid\n10:00 order 1.00 EUR\n=> 11:00 | matched | 11 | ok | - | due 1.01\n")
    found = list(problems(scenario, engines.core))
    assert [problem.split(": ")[1].split()[0] for problem in found] == ["status", "rule", "outcome", "due_minor"]
