"""One finished stream through the whole platform: page, metrics, views, export and statement say the same, and
Prometheus has all that the dashboard asks for."""

import json
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page
from prometheus_client.parser import text_string_to_metric_families

from orders_platform.local import mongod
from orders_platform.matching.status import BREAK_REASONS, BREAK_STATUSES
from orders_platform.reports.money import money
from orders_platform.store import views
from orders_platform.store.client import connect
from orders_platform_tests.e2e.platform import Platform
from orders_platform_tests.live.conftest import Visitor
from orders_platform_tests.live.reading import rows, until, words
from orders_platform_tests.monitoring import programs
from orders_platform_tests.monitoring.board import panel_queries
from orders_platform_tests.statement_oracle import at_risk_minor

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]
ORDERS = 600
Amounts = dict[tuple[str, str], tuple[int, int]]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that has matched a whole stream; its deadlines have passed."""
    made = Platform(tmp_path_factory.mktemp("agreement") / "home")
    made.environment["PATH"] = f"{programs.folder()}:{made.environment['PATH']}"
    try:
        made.orders("up", "--no-dagster")
        made.orders("seed", "--orders", str(ORDERS), "--seed", "5", "--rate", "300")
        made.orders("wait", "--timeout", "240")
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def urls(platform: Platform) -> dict[str, str]:
    return platform.json("status", "--json")["urls"]


@pytest.fixture(scope="module")
def exported(platform: Platform) -> list[dict[str, Any]]:
    return platform.lines("export")


@pytest.fixture(scope="module")
def statement(platform: Platform) -> dict[str, Any]:
    """The statement of today, so far, after yesterday's: nothing more happens, so it tells what is now."""
    today = datetime.now(UTC).date()
    platform.orders("report", (today - timedelta(days=1)).isoformat())
    return platform.json("report", today.isoformat(), "--json", expect=None)


@pytest.fixture(scope="module")
def viewed(platform: Platform) -> dict[str, list[dict[str, Any]]]:
    with closing(connect(mongod.uri(platform.home), "orders_platform")) as store:
        return {name: views.rows(store, name) for name in ("v_status_totals", "v_value_at_risk")}


@pytest.fixture(scope="module")
def metrics(urls: dict[str, str]) -> dict[str, list[Any]]:
    return read(urls)


def read(urls: dict[str, str]) -> dict[str, list[Any]]:
    """Return the metrics of now; dead letters are counted now and then."""
    text = fetched(f"{urls['live']}/metrics").decode()
    return {family.name: family.samples for family in text_string_to_metric_families(text)}


@pytest.fixture(scope="module")
def page(browser: Any, urls: dict[str, str]) -> Page:
    return Visitor(browser, urls["live"]).open("/", None)


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read()


def by_status(given: Any, name: str = "orders") -> Counter[str]:
    added: Counter[str] = Counter()
    for row in given:
        added[row["status"]] += row[name]
    return added


def test_orders_by_status(
    exported: Any, statement: Any, viewed: Any, metrics: Any, urls: dict[str, str], page: Page
) -> None:
    expected = Counter(each["status"] for each in exported)
    assert sum(expected.values()) >= ORDERS
    assert len(expected) > 8
    assert expected == Counter(statement["orders_by_status"]["closing"])
    assert expected == by_status(viewed["v_status_totals"])
    assert expected == by_status(json.loads(fetched(f"{urls['live']}/api/numbers.json"))["orders"])
    assert expected == by_status({**sample.labels, "orders": sample.value} for sample in metrics["orders_stored"])
    shown = {words(status): f"{orders:,}" for status, orders in expected.items()}
    until(page, lambda: {name: figure for name, _, figure in rows(page, "#statuses")}, shown)


def test_money_at_risk_by_kind(exported: Any, statement: Any, viewed: Any, metrics: Any, page: Page) -> None:
    expected: dict[tuple[str, str], list[int]] = {}
    for each in exported:
        kinds = [*({each["status"]} & BREAK_STATUSES), *(set(each["reasons"]) & BREAK_REASONS)]
        for kind in kinds:
            row = expected.setdefault((kind, each["currency"]), [0, 0])
            row[0], row[1] = row[0] + 1, row[1] + at_risk_minor(kind, each)
    assert len({kind for kind, _ in expected}) > 8
    found: dict[tuple[str, str], list[int]] = {}
    for each in (*statement["breaks"]["new"], *statement["breaks"]["persisting"]):
        row = found.setdefault((each["kind"], each["currency"]), [0, 0])
        row[0], row[1] = row[0] + 1, row[1] + each["at_risk_minor"]
    assert found == expected
    assert expected == {
        (row["kind"], row["currency"]): [row["breaks"], row["at_risk_minor"]] for row in viewed["v_value_at_risk"]
    }
    told = {
        (sample.labels["kind"], sample.labels["currency"]): sample.value for sample in metrics["orders_at_risk_minor"]
    }
    assert told == {key: its_minor for key, (_, its_minor) in expected.items()}
    currencies = sorted({currency for _, currency in expected})
    matrix = {words(kind): [0, *[0] * len(currencies)] for kind, _ in expected}
    for (kind, currency), (breaks, its_minor) in expected.items():
        row = matrix[words(kind)]
        row[0], row[1 + currencies.index(currency)] = row[0] + breaks, its_minor
    shown = {
        kind: [f"{breaks:,}", *(money(its, cur) if its else "-" for its, cur in zip(amounts, currencies, strict=True))]
        for kind, (breaks, *amounts) in matrix.items()
    }
    until(page, lambda: {kind: rest for kind, *rest in rows(page, "#kinds")}, shown)


def test_money_matched_and_dead_letters(
    platform: Platform, exported: Any, statement: Any, viewed: Any, metrics: Any, urls: dict[str, str], page: Page
) -> None:
    matched: Counter[str] = Counter()
    for each in exported:
        if each["status"] == "matched":
            matched[each["currency"]] += each["due_minor"]
    assert len(matched) > 3
    in_view: Counter[str] = Counter()
    for row in viewed["v_status_totals"]:
        if row["status"] == "matched":
            in_view[row["currency"]] += row["due_minor"]
    assert in_view == matched
    due = metrics["orders_due_minor"]
    assert matched == {its.labels["currency"]: its.value for its in due if its.labels["status"] == "matched"}
    shown = {currency: money(its, currency) for currency, its in matched.items()}
    until(page, lambda: {row[0]: row[2] for row in rows(page, "#money")}, shown)

    letters = Counter(each["reason"] for each in platform.lines("export", "--collection", "dead_letters"))
    assert sum(letters.values()) > 5
    assert letters == Counter(statement["dead_letters"])
    until(page, lambda: {its.labels["reason"]: its.value for its in read(urls)["orders_dead_letters"]}, letters)
    until(page, lambda: dict(rows(page, "#letters")), {words(each): f"{n:,}" for each, n in letters.items()})


def test_the_page_and_the_statement_of_the_day_so_far_have_one_bridge(statement: Any, urls: dict[str, str]) -> None:
    """The stream's days are past, so nothing moves today; what counts is that opening and closing are the same."""
    deadline_s = time.monotonic() + 60
    while (day := json.loads(fetched(f"{urls['live']}/api/numbers.json")).get("day")) is None or any(
        day["currencies"].get(currency) != bridge for currency, bridge in statement["currencies"].items()
    ):
        assert time.monotonic() < deadline_s, (day, statement["currencies"])
        time.sleep(1)
    assert statement["verdict"] != "incomplete"


@pytest.mark.usefixtures("statement")
def test_prometheus_has_all_that_the_dashboard_asks_for(platform: Platform, urls: dict[str, str]) -> None:
    platform.orders("seed", "--orders", "200", "--seed", "6", "--rate", "100")
    missing = dict.fromkeys(title for title, _ in panel_queries())
    deadline_s = time.monotonic() + 60
    while missing:
        for title, expression in panel_queries():
            asked = urllib.parse.urlencode({"query": expression})
            if json.loads(fetched(f"{urls['prometheus']}/api/v1/query?{asked}"))["data"]["result"]:
                missing.pop(title, None)
        assert time.monotonic() < deadline_s, list(missing)
    alerts = json.loads(fetched(f"{urls['prometheus']}/api/v1/alerts"))["data"]["alerts"]
    assert [each["labels"]["alertname"] for each in alerts if each["state"] == "firing"] == []
    rules = json.loads(fetched(f"{urls['prometheus']}/api/v1/rules"))["data"]["groups"]
    assert {rule["health"] for group in rules for rule in group["rules"]} <= {"ok", "unknown"}


def test_a_recount_finds_the_totals_right(platform: Platform) -> None:
    found = platform.json("check", "--json", "--whole", "--select", "totals_hold", expect=None)
    assert [(each["check"], each["state"]) for each in found["checks"]] == [("totals_hold", "passed")], found
