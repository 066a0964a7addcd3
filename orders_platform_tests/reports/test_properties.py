"""What holds for the statements of any shop, and that they are what the oracle makes of it."""

from datetime import date, timedelta
from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders_platform.matching import Rules
from orders_platform.reports import revisions
from orders_platform.reports.bridge import Bridge
from orders_platform.reports.days import day_of
from orders_platform.reports.render import html
from orders_platform.reports.standing import Told
from orders_platform.reports.statement import Statement, as_json
from orders_platform.reports.summary import markdown
from orders_platform.reports.tables import breaks_csv, breaks_parquet
from orders_platform.reports.tally import make
from orders_platform_tests import statement_oracle
from orders_platform_tests.reports import shops
from orders_platform_tests.strategies import patient

FIRST = date(2026, 1, 4)
ZONES = ["UTC", "Europe/Paris", "America/Los_Angeles", "Pacific/Kiritimati"]
RULES = [Rules(), Rules(2, 60_000), Rules(0, 2 * shops.DAY_MS)]

shop_seeds = st.builds(
    shops.adverse,
    st.randoms(use_true_random=False),
    st.integers(1, 6),
    st.integers(1, 4),
)


def check(shop: shops.Shop, day: date, zone: str, rules: Rules) -> Statement:
    made = make(shops.told(shop), day_of(day, zone), rules)
    expected = statement_oracle.statement(shop, day, zone, rules.tolerance_minor, rules.payment_window_ms)
    assert statement_oracle.differences(as_json(made), expected) == []
    assert all(bridge.residual_minor == 0 for bridge in made.currencies.values())
    assert made.verdict == ("breaks" if made.breaks.new or made.breaks.persisting else "clean")
    return made


@patient
@given(shop_seeds, st.integers(0, 5), st.sampled_from(ZONES), st.sampled_from(RULES))
def test_any_day_is_what_the_oracle_says_and_closes(shop: shops.Shop, days: int, zone: str, rules: Rules) -> None:
    check(shop, FIRST + timedelta(days), zone, rules)


@pytest.mark.parametrize("seed", range(6))
def test_many_adverse_orders(seed: int) -> None:
    shop = shops.adverse(Random(seed), 150, 4, most=12)
    moved: set[str] = set()
    for days in range(6):
        made = check(shop, FIRST + timedelta(days), ZONES[seed % 4], RULES[seed % 3])
        for bridge in made.currencies.values():
            moved |= {name for name in bridge.__struct_fields__ if getattr(bridge, name)}
    # Every line of the bridge was at work, or the check would have proved little.
    assert moved == set(Bridge.__struct_fields__) - {"residual_minor"}


def test_a_generated_fortnight() -> None:
    shop = shops.generated(400, 4)
    for days in range(14):
        check(shop, FIRST + timedelta(days), "Europe/Paris", Rules())


@patient
@given(shop_seeds, st.sampled_from(ZONES))
def test_each_day_opens_as_the_day_before_closed(shop: shops.Shop, zone: str) -> None:
    orders = shops.told(shop)
    days = [make(orders, day_of(FIRST + timedelta(number), zone), Rules()) for number in range(7)]
    for before, after in pairwise(days):
        for currency, bridge in after.currencies.items():
            closed = before.currencies[currency].closing_minor if currency in before.currencies else 0
            assert bridge.opening_minor == closed
        assert after.orders_by_status["opening"] == before.orders_by_status["closing"]
        was = {each.id: each.opened_on for each in (*before.breaks.new, *before.breaks.persisting)}
        assert was == {each.id: each.opened_on for each in (*after.breaks.persisting, *after.breaks.resolved)}
        assert all(each.age_days == 0 for each in after.breaks.new)


@patient
@given(shop_seeds, st.randoms(use_true_random=False))
def test_neither_the_order_of_events_nor_of_orders_changes_a_byte(shop: shops.Shop, random: Random) -> None:
    day = day_of(date(2026, 1, 5), "UTC")
    orders = shops.told(shop)
    shuffled = [Told(each.order_id, random.sample(each.events, len(each.events))) for each in orders]
    random.shuffle(shuffled)
    one, other = make(orders, day, Rules()), make(shuffled, day, Rules())
    assert msgspec.json.encode(one) == msgspec.json.encode(other)
    assert (html(one, None, []), markdown(one, None)) == (html(other, None, []), markdown(other, None))
    assert (breaks_csv(one), breaks_parquet(one)) == (breaks_csv(other), breaks_parquet(other))


@patient
@given(shop_seeds)
def test_events_of_later_days_change_nothing(shop: shops.Shop) -> None:
    day = day_of(date(2026, 1, 5), "UTC")
    known = {name: [each for each in its if each["occurred_at"] < day.end_ms] for name, its in shop.items()}
    until_then = {name: its for name, its in known.items() if its}
    assert make(shops.told(shop), day, Rules()) == make(shops.told(until_then), day, Rules())


@patient
@given(shop_seeds, shop_seeds)
def test_a_revision_is_made_exactly_when_the_content_differs(one: shops.Shop, other: shops.Shop) -> None:
    day = day_of(date(2026, 1, 5), "UTC")
    before, after = make(shops.told(one), day, Rules()), make(shops.told(other), day, Rules())
    revised = revisions.revise(after, before)
    assert (revised is None) == (after == before)
    if revised is not None:
        assert (revised.revision, revised.replaces) == (2, 1)
        changed = revisions.changes(before, revised, [])
        assert changed.figures or changed.breaks_appeared or changed.breaks_vanished or changed.breaks_moved
