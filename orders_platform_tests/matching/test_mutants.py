"""The tests notice a broken rule: every mutant of the core fails a scenario or a test of the bounds.

A new mutant that survives either shows a missing scenario, or changes nothing that anybody could see: then it belongs
into `WITHOUT_EFFECT`, with the reason.
"""

from importlib import import_module

import pytest

from orders_platform.matching import figures, status, winners
from orders_platform_tests.matching import test_bounds
from orders_platform_tests.matching.engines import core
from orders_platform_tests.matching.mutants import Mutant, broken, mutants
from orders_platform_tests.matching.tables import problems, read_all

SCENARIOS = read_all()
# By name: the package's own `fold` is the function.
MODULES = [winners, figures, status, import_module("orders_platform.matching.fold")]
WITHOUT_EFFECT = {
    # short cuts past work that would come to the same
    "len(by_id) > 1 with GtE",
    "chargebacks and winners.reversed_ids with the other word",
    # defaults for the type checker: only an order's amount can be 0, a payment's can't
    "0 becomes 1 in amounts = [event.amount_minor or 0 for event in winners.payments if event.currency == f.currency]",
}
MUTANTS = [each for module in MODULES for each in mutants(module) if each.text not in WITHOUT_EFFECT]


def is_noticed() -> bool:
    """Return whether a scenario or a bound fails or can't even be run."""
    try:
        if any(True for scenario in SCENARIOS for _ in problems(scenario, core)):
            return True
        test_bounds.test_one_at_a_time_is_the_same_as_all_at_once()
        test_bounds.test_the_first_clock_is_kept_as_it_is(0)
    except Exception:
        return True
    return False


def test_nothing_is_noticed_where_nothing_is_broken() -> None:
    assert not is_noticed()


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_every_small_change_is_noticed(mutant: Mutant) -> None:
    with broken(mutant):
        assert is_noticed()


@pytest.mark.parametrize("number", range(1, 12))
def test_a_missing_rule_is_noticed(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "RULES", tuple(rule for rule in status.RULES if rule.number != number))
    assert is_noticed()


# Never do both 7 and 8 hold, nor both 9 and 10: their order has no effect.
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 8, 10])
def test_two_rules_in_the_wrong_order_are_noticed(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = list(status.RULES)
    rules[number - 1], rules[number] = rules[number], rules[number - 1]
    monkeypatch.setattr(status, "RULES", tuple(rules))
    assert is_noticed()


@pytest.mark.parametrize("table", ["BREAK_STATUSES", "BREAK_REASONS", "PENDING_STATUSES"])
def test_a_word_that_no_longer_decides_the_outcome_is_noticed(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words: frozenset[str] = getattr(status, table)
    unnoticed: list[str] = []
    for word in sorted(words):
        monkeypatch.setattr(status, table, words - {word})
        if not is_noticed():
            unnoticed.append(word)
    assert not unnoticed


@pytest.mark.parametrize("kind", sorted(winners._IDENTITIES))
def test_a_business_identity_that_is_not_looked_at_is_noticed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, reason = winners._IDENTITIES[kind]
    monkeypatch.setitem(winners._IDENTITIES, kind, (lambda event: event.event_id, reason))
    assert is_noticed()
