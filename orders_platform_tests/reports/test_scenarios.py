"""The statements in scenarios/days.txt hold for the product and for the oracle (scenarios/README.md)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orders_platform.matching import Rules
from orders_platform.reports.days import day_of
from orders_platform.reports.statement import as_json
from orders_platform.reports.tally import make
from orders_platform_tests import statement_oracle
from orders_platform_tests.oracle import time_ms
from orders_platform_tests.reports import shops

TABLE = Path(__file__).parent / "scenarios" / "days.txt"
LISTS = ("new", "persisting", "resolved")
TYPES = {
    "order": "order_placed",
    "cancel": "order_cancelled",
    "payment": "payment_captured",
    "refund": "refund_issued",
    "chargeback": "chargeback_opened",
    "reversal": "chargeback_reversed",
}


@dataclass
class Scenario:
    title: str
    zone: str = "UTC"
    shop: shops.Shop = field(default_factory=dict)
    expected: list[tuple[int, date, str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return self.title


def read(text: str) -> list[Scenario]:
    scenarios: list[Scenario] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("== "):
            scenarios.append(Scenario(line[3:]))
        elif line.startswith("zone "):
            scenarios[-1].zone = line[5:]
        elif line.startswith("=> "):
            day, what, said = (part.strip() for part in line[3:].split("|"))
            scenarios[-1].expected.append((number, day_named(day), what, said))
        else:
            add_event(scenarios[-1], line.split())
    return scenarios


def add_event(scenario: Scenario, words: list[str]) -> None:
    day, clock, order_id, noun = day_named(f"{words[0]} {words[1]}"), words[2], words[3], words[4]
    hour, minute = map(int, clock.split(":"))
    local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(scenario.zone))
    its = scenario.shop.setdefault(order_id, [])
    event: dict[str, Any] = {"event_id": f"{order_id}{len(its)}", "type": TYPES[noun], "order_id": order_id}
    event["occurred_at"] = time_ms(local.isoformat())
    rest = words[5:]
    if noun in {"payment", "refund", "chargeback", "reversal"}:
        event["chargeback_id" if noun == "reversal" else f"{noun}_id"] = rest.pop(0)
    if noun not in {"cancel", "reversal"}:
        event["amount_minor"], event["currency"] = minor(rest.pop(0)), rest.pop(0)
    if rest:
        event["event_id"] = rest[1]
    its.append(event)


def day_named(text: str) -> date:
    return datetime.strptime(f"{text} 2026", "%d %b %Y").date()  # noqa: DTZ007


def minor(money: str) -> int:
    return int(Decimal(money) * 100)


def bridge(told: dict[str, Any], currency: str) -> str:
    figures = told["currencies"].get(currency, {})
    names = ("opening", *(line.removesuffix("_minor") for line in statement_oracle.LINES), "closing", "residual")
    amounts = {name: figures.get(f"{name}_minor", 0) for name in names}
    return ", ".join(f"{name} {Decimal(amount) / 100:.2f}" for name, amount in amounts.items() if amount) or "-"


def listed(told: dict[str, Any], name: str) -> str:
    found = []
    for each in told["breaks"][name]:
        since = date.fromisoformat(str(each["opened_on"]))
        amount = f"{Decimal(each['at_risk_minor']) / 100:.2f} {each['currency']}"
        foreign = "".join(f" and {Decimal(sum_) / 100:.2f} {code}" for code, sum_ in each["foreign_minor"].items())
        found.append(f"{each['id']} {amount} since {since.day} {since:%b}{foreign}")
    return ", ".join(sorted(found)) or "-"


def said_of(told: dict[str, Any], what: str) -> str:
    if what in LISTS:
        return listed(told, what)
    if what == "status":
        return ", ".join(f"{status} {count}" for status, count in sorted(told["orders_by_status"]["closing"].items()))
    if what == "rate":
        rate, delay = told["match_rate"], told["payment_delay_s"]["p50"]
        return f"{'-' if rate is None else rate} {'-' if delay is None else int(delay)}"
    return bridge(told, what)


def by_product(scenario: Scenario, day: date) -> dict[str, Any]:
    return as_json(make(shops.told(scenario.shop), day_of(day, scenario.zone), Rules()))


def by_oracle(scenario: Scenario, day: date) -> dict[str, Any]:
    return statement_oracle.statement(scenario.shop, day, scenario.zone)


@pytest.mark.parametrize("scenario", read(TABLE.read_text("utf-8")), ids=str)
@pytest.mark.parametrize("engine", [by_product, by_oracle])
def test_scenario(scenario: Scenario, engine: Callable[[Scenario, date], dict[str, Any]]) -> None:
    assert scenario.expected
    for line, day, what, said in scenario.expected:
        expected = ", ".join(sorted(said.split(", "))) if what in LISTS else said
        assert said_of(engine(scenario, day), what) == expected, f"days.txt, line {line}"
    for days in range(14):
        first = min(day for _, day, _, _ in scenario.expected)
        told = by_product(scenario, first + timedelta(days))
        assert all(each["residual_minor"] == 0 for each in told["currencies"].values())
