"""The views on a real MongoDB, held against the statement of the same orders and against plain counting."""

import re
from collections import Counter, defaultdict
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest

from orders_platform.matcher.bucket import Counts
from orders_platform.matching import Rules
from orders_platform.matching.status import BREAK_REASONS, BREAK_STATUSES
from orders_platform.reports.days import day_of
from orders_platform.reports.making import Broker, make_day
from orders_platform.reports.statement import Statement
from orders_platform.store import matcher_records as records
from orders_platform.store import queries, schema, views
from orders_platform.store.client import Store
from orders_platform.surroundings import ROOT
from orders_platform_tests.reports import shops
from orders_platform_tests.reports.conftest import broker  # noqa: F401 - a fixture
from orders_platform_tests.reports.test_making import MONDAY, stored
from orders_platform_tests.store.test_matcher_records import first_words

pytestmark = pytest.mark.services
LATER = MONDAY + timedelta(60)
"""Every deadline is past, as for documents that are folded at the end of time."""
AGES = ((0, "0 days"), (1, "1 day"), (7, "2 to 7 days"), (30, "8 to 30 days"))


@pytest.fixture
def shop(store: Store) -> shops.Shop:
    its = shops.adverse(Random(11), 150, 4) | shops.generated(250, 4)
    stored(store, its)
    return its


def closed(store: Store, its: Broker, when: date = LATER) -> Statement:
    return make_day(store, its, day_of(when, "UTC"), Rules()).statement


def by(rows: list[dict[str, Any]], *names: str) -> dict[Any, dict[str, Any]]:
    found = {tuple(row.pop(name) for name in names): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_status_totals_are_the_statements(store: Store, shop: shops.Shop, broker: Broker) -> None:  # noqa: F811
    rows = views.rows(store, "v_status_totals")
    orders: Counter[str] = Counter()
    for row in rows:
        orders[row["status"]] += row["orders"]
    assert orders == closed(store, broker).orders_by_status["closing"]
    assert sum(orders.values()) == len(shop)
    due: Counter[tuple[str, str | None]] = Counter()
    for row in rows:
        due[row["status"], row["currency"]] += row["due_minor"]
    expected: Counter[tuple[str, str | None]] = Counter()
    for document in queries.all_orders(store):
        expected[document.status, document.currency] += document.due_minor or 0
    assert due == expected


def test_value_at_risk_is_the_statements(store: Store, shop: shops.Shop, broker: Broker) -> None:  # noqa: F811
    there = closed(store, broker).breaks
    expected: defaultdict[tuple[str, str | None], list[int]] = defaultdict(list)
    for each in (*there.new, *there.persisting):
        expected[each.kind, each.currency].append(each.at_risk_minor)
    found = by(views.rows(store, "v_value_at_risk"), "kind", "currency")
    assert {key: (row["breaks"], row["at_risk_minor"]) for key, row in found.items()} == {
        key: (len(amounts), sum(amounts)) for key, amounts in expected.items()
    }
    assert len({kind for kind, _ in found}) > 8
    del shop


def test_at_risk_in_orders_is_the_statements_largest_break_of_each(
    store: Store,
    shop: shops.Shop,
    broker: Broker,  # noqa: F811
) -> None:
    there = closed(store, broker).breaks
    largest: dict[tuple[str, str | None], int] = {}
    for each in (*there.new, *there.persisting):
        key = (each.order_id, each.currency)
        largest[key] = max(0, each.at_risk_minor, largest.get(key, 0))
    expected: Counter[str | None] = Counter()
    for (_, currency), amount_minor in largest.items():
        expected[currency] += amount_minor
    found: Counter[str | None] = Counter()
    for row in views.rows(store, "v_status_totals"):
        found[row["currency"]] += row["at_risk_minor"]
    assert +found == +expected
    by_kind = sum(row["at_risk_minor"] for row in views.rows(store, "v_value_at_risk"))
    assert by_kind > sum(found.values()), "some of these orders break in two ways"
    del shop


def test_the_pipeline_knows_every_kind() -> None:
    text = str(views.view("counted_breaks").pipeline)
    assert all(f"'{kind}'" in text for kind in BREAK_STATUSES | BREAK_REASONS)


def test_breaks_by_age_are_the_statements(store: Store, shop: shops.Shop, broker: Broker) -> None:  # noqa: F811
    statement = [closed(store, broker, MONDAY + timedelta(days)) for days in range(5)][-1]
    expected: Counter[tuple[str, str | None, str]] = Counter()
    for each in (*statement.breaks.new, *statement.breaks.persisting):
        age = next((name for most, name in AGES if each.age_days <= most), "over 30 days")
        expected[each.kind, each.currency, age] += each.at_risk_minor
    found = by(views.rows(store, "v_breaks_by_age"), "kind", "currency", "age")
    assert {key: row["at_risk_minor"] for key, row in found.items()} == expected
    assert {age for _, _, age in found} > {"0 days", "2 to 7 days"}
    del shop


def test_match_rate_by_minute_counts_orders_where_they_were_placed(store: Store, shop: shops.Shop) -> None:
    placed: Counter[int] = Counter()
    matched: Counter[int] = Counter()
    status = {document.order_id: document.status for document in queries.all_orders(store)}
    for order_id, its in shop.items():
        times = [each["occurred_at"] for each in its if each["type"] == "order_placed"]
        if times:
            minute = min(times) // 60_000 * 60_000
            placed[minute] += 1
            matched[minute] += status[order_id] == "matched"
    found = by(views.rows(store, "v_match_rate_by_minute"), "minute")
    assert {minute: row["placed"] for (minute,), row in found.items()} == placed
    assert {minute: row["matched"] for (minute,), row in found.items()} == {each: matched[each] for each in placed}
    assert all(row["match_rate"] == row["matched"] / row["placed"] for row in found.values())


def test_throughput_adds_up_the_batches(store: Store) -> None:
    records.take_epoch(store, "test", 60.0, 0)
    records.begin_heartbeat(store, first_words(1))
    now_ms = int(records.server_time_ms(store))
    for batch_id, messages in enumerate((5, 7, 11)):
        batch = {"messages": messages, "events": messages - 1, "dead_letters": 1, "oldest_time_ms": now_ms - 4_000}
        records.record_batch(store, 1, batch_id, {}, batch=batch, totals={}, duration_ms=20)
    rows = views.rows(store, "v_throughput")
    assert sum(row["messages"] for row in rows) == 23
    assert sum(row["busy_ms"] for row in rows) == 60
    assert sum(row["dead_letters"] for row in rows) == sum(row["batches"] for row in rows) == 3
    assert all(3_900 < row["longest_wait_ms"] < 60_000 for row in rows)


def test_a_view_that_was_changed_is_put_right(store: Store) -> None:
    store.database.command({"collMod": "v_throughput", "viewOn": "orders", "pipeline": []})
    schema.migrate(store)
    (found,) = store.database.list_collections(filter={"name": "v_throughput"})
    assert found["type"] == "view"
    assert found["options"]["viewOn"] == "matcher"
    assert found["options"]["pipeline"] == views.view("v_throughput").pipeline


@pytest.mark.parametrize("name", views.NAMES)
def test_a_view_gives_what_its_pipeline_gives(store: Store, shop: shops.Shop, broker: Broker, name: str) -> None:  # noqa: F811
    closed(store, broker)
    there = [{key: views._plain(value) for key, value in row.items()} for row in store.database[name].find()]
    assert there == views.rows(store, name)
    assert views.view(name).says.endswith(".")
    del shop


def test_the_page_names_every_view_with_its_fields(store: Store, shop: shops.Shop, broker: Broker) -> None:  # noqa: F811
    closed(store, broker)
    records.take_epoch(store, "test", 60.0, 0)
    records.begin_heartbeat(store, first_words(1))
    records.record_batch(store, 1, 0, {}, batch=Counts(oldest_time_ms=1), totals=Counts(), duration_ms=20)
    told = re.findall(r"^\| `(v_\w+)` \|[^|]*\|([^|]*)\|", (ROOT / "docs" / "dashboards.md").read_text(), re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", fields)) for name, fields in told} == {
        name: set(views.rows(store, name)[0]) for name in views.NAMES
    }
    del shop
