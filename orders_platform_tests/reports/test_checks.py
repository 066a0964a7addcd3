"""Each check of statements and breaks passes on what was kept, and fails on what is wrong in its way."""

from collections.abc import Callable
from datetime import date, timedelta
from random import Random

import pytest
from bson.int64 import Int64

from orders_platform.matching import Rules
from orders_platform.reports.checks import OF_BREAKS, OF_STATEMENTS, Asked, Finding, answer
from orders_platform.reports.days import day_of
from orders_platform.reports.making import Broker, make_day
from orders_platform.store.client import Store
from orders_platform_tests.adversary import OPENING_MS
from orders_platform_tests.reports import shops
from orders_platform_tests.reports.test_making import bought, stored

pytestmark = pytest.mark.services
MONDAY, TUESDAY = "2026-01-05", "2026-01-06"
CHECKS = {check.name: check for check in (*OF_STATEMENTS, *OF_BREAKS)}


def asked(name: str, store: Store, days: list[str] | None = None, everything: bool = False) -> Finding:
    return answer(CHECKS[name], Asked(store, days, everything))


@pytest.fixture
def two_days(store: Store, broker: Broker) -> Store:
    stored(store, {"a": bought("a", OPENING_MS), "b": bought("b", OPENING_MS, paid=None)})
    for when in (MONDAY, TUESDAY):
        make_day(store, broker, day_of(date.fromisoformat(when), "UTC"), Rules())
    return store


def test_all_pass_where_nothing_was_made_yet(store: Store) -> None:
    assert all(asked(name, store).passed for name in CHECKS)


def test_a_day_without_a_statement_does_not_close(two_days: Store) -> None:
    found = asked("closes", two_days, ["2026-01-07"])
    assert not found.passed
    assert "2026-01-07" in found.text


@pytest.mark.parametrize("seed", range(2))
def test_all_pass_on_shops_of_every_kind(store: Store, broker: Broker, seed: int) -> None:
    stored(store, shops.adverse(Random(seed), 60, 4) | shops.generated(120, 3, seed))
    for days in range(-1, 6):
        make_day(store, broker, day_of(date(2026, 1, 5) + timedelta(days), "UTC"), Rules())
    for everything in (False, True):
        found = {name: asked(name, store, everything=everything) for name in CHECKS}
        assert [each.text for each in found.values() if not each.passed] == []


def test_an_edge_that_moved_between_two_days_is_a_warning(two_days: Store) -> None:
    two_days.statements.update_one({"_id": f"{MONDAY}:1"}, {"$inc": {"currencies.EUR.closing_minor": Int64(5)}})
    found = asked("opens_as_closed", two_days)
    assert (found.passed, found.grave) == (False, False)
    assert f"{MONDAY} closed with EUR 1.05, {TUESDAY} opens with 1.00." in found.text
    assert asked("opens_as_closed", two_days, [TUESDAY]).text == found.text


def test_a_day_that_goes_on_may_have_messages_on_their_way(two_days: Store) -> None:
    wrong = {"coverage.unread": {"orders": {"0": Int64(5)}}, "verdict": "incomplete", "provisional": True}
    two_days.statements.update_one({"_id": f"{TUESDAY}:1"}, {"$set": wrong})
    assert asked("closes", two_days).passed
    assert not asked("closes", two_days, [TUESDAY]).passed


def test_only_the_latest_days_are_looked_at_unless_all_are_asked_for(
    two_days: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders_platform.reports.checks.LATEST_DAYS", 1)
    two_days.statements.update_one({"_id": f"{MONDAY}:1"}, {"$set": {"verdict": "incomplete"}})
    assert asked("closes", two_days).passed
    assert not asked("closes", two_days, everything=True).passed
    assert asked("unaltered", two_days).passed
    assert not asked("unaltered", two_days, everything=True).passed


def _alter_a_figure(store: Store) -> None:
    store.statements.update_one({"_id": f"{TUESDAY}:1"}, {"$set": {"match_rate": 1.0}})


def _alter_a_kept_break(store: Store) -> None:
    store.statement_breaks.update_one(
        {"statement": {"$regex": TUESDAY}}, {"$set": {"breaks.0.at_risk_minor": Int64(1)}}
    )


def _lose_a_revision(store: Store) -> None:
    store.statements.update_one({"_id": f"{TUESDAY}:1"}, {"$set": {"revision": Int64(2)}})


def _lose_the_hash(store: Store) -> None:
    store.statements.update_one({"_id": f"{TUESDAY}:1"}, {"$unset": {"sha256": 1}})


def _twice(store: Store) -> None:
    part = store.statement_breaks.find_one({"statement": {"$regex": TUESDAY}})
    assert part is not None
    store.statement_breaks.update_one({"_id": part["_id"]}, {"$push": {"breaks": part["breaks"][0]}})
    store.statements.update_one({"_id": f"{TUESDAY}:1"}, {"$inc": {f"breaks.{part['list']}": Int64(1)}})


def _rename(store: Store) -> None:
    store.statement_breaks.update_one({"statement": {"$regex": TUESDAY}}, {"$set": {"breaks.0.id": "b:overpaid"}})


def _less_than_nothing(store: Store) -> None:
    store.statement_breaks.update_one(
        {"statement": {"$regex": TUESDAY}}, {"$set": {"breaks.0.at_risk_minor": Int64(-1)}}
    )


def _forget_a_break(store: Store) -> None:
    store.breaks.delete_one({"_id": "b:unpaid"})


def _change_a_break(store: Store) -> None:
    store.breaks.update_one({"_id": "b:unpaid"}, {"$set": {"at_risk_minor": Int64(1)}})


def _close_a_break(store: Store) -> None:
    store.breaks.update_one({"_id": "b:unpaid"}, {"$set": {"resolved_on": TUESDAY}})


def _leave_a_residual(store: Store) -> None:
    wrong = {"currencies.EUR.residual_minor": Int64(7), "verdict": "incomplete"}
    store.statements.update_one({"_id": f"{TUESDAY}:1"}, {"$set": wrong})


def _unread(store: Store) -> None:
    wrong = {"coverage.unread": {"orders": {"0": Int64(5)}}, "verdict": "incomplete"}
    store.statements.update_one({"_id": f"{TUESDAY}:1"}, {"$set": wrong})


def _another_type(store: Store) -> None:
    store.statements.update_one({"_id": f"{TUESDAY}:1"}, {"$set": {"currencies.EUR.closing_minor": "much"}})


@pytest.mark.parametrize(
    ("check", "spoil", "named"),
    [
        ("closes", _leave_a_residual, "EUR does not close"),
        ("closes", _unread, "5 messages"),
        ("closes", _another_type, "closing_minor"),
        ("unaltered", _alter_a_figure, f"{TUESDAY}:1"),
        ("unaltered", _alter_a_kept_break, f"{TUESDAY}:1"),
        ("unaltered", _another_type, f"{TUESDAY}:1"),
        ("unaltered", _lose_a_revision, f"{TUESDAY}:1"),
        ("unaltered", _lose_the_hash, f"{TUESDAY}:1"),
        ("ids_stable", _twice, "b:unpaid on 2026-01-06, 2 times"),
        ("ids_stable", _rename, "b:overpaid on 2026-01-06"),
        ("at_risk_not_negative", _less_than_nothing, "b:unpaid on 2026-01-06"),
        ("open_as_stated", _forget_a_break, "b:unpaid"),
        ("open_as_stated", _change_a_break, "b:unpaid"),
        ("open_as_stated", _close_a_break, "b:unpaid"),
    ],
)
def test_what_was_kept_and_is_not_right_is_named(
    two_days: Store, check: str, spoil: Callable[[Store], None], named: str
) -> None:
    assert asked(check, two_days).passed
    spoil(two_days)
    found = asked(check, two_days)
    assert (found.passed, found.grave) == (False, True)
    assert named in found.text
