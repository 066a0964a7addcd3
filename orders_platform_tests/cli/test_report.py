"""`orders report`, `breaks`, `resolve` and the export of breaks, on a real MongoDB and a real broker."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from bson.int64 import Int64
from click.testing import CliRunner, Result

from orders_platform.cli.main import cli
from orders_platform.matching import Rules
from orders_platform.store import schema
from orders_platform.store.client import Store, connect
from orders_platform.store.merge import Arrival, Change, merge
from orders_platform.times import MAX_MS
from orders_platform_tests import statement_oracle
from orders_platform_tests.conftest import RunningStack
from orders_platform_tests.reports import shops

pytestmark = pytest.mark.services
SHOP = shops.generated(150, 2)
KEYS = [
    *("date", "time_zone", "revision", "replaces", "provisional", "verdict", "settings", "currencies"),
    *(
        "orders_by_status",
        "match_rate",
        "match_rate_by_amount",
        "payment_delay_s",
        "breaks",
        "dead_letters",
        "coverage",
    ),
]
BRIDGE = ["opening_minor", *statement_oracle.LINES, "closing_minor", "residual_minor"]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def told(*arguments: str, status: int = 0) -> Any:
    done = invoke(*arguments, "--json")
    assert done.exit_code == status, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def store(
    stack: RunningStack, database: tuple[str, str], topics: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """A store with a shop, which the settings point to."""
    uri, name = database
    monkeypatch.setenv("ORDERS_MONGO__URI", uri)
    monkeypatch.setenv("ORDERS_MONGO__DATABASE", name)
    monkeypatch.setenv("ORDERS_KAFKA__BOOTSTRAP_SERVERS", stack.bootstrap_servers)
    for role, topic in zip(("ORDERS", "PAYMENTS", "ADJUSTMENTS"), topics, strict=True):
        monkeypatch.setenv(f"ORDERS_KAFKA__{role}_TOPIC", topic)
    store = connect(uri, name)
    schema.migrate(store)
    changes = [
        Change(order_id, None, [Arrival(shops.event_of(each), "payments", 0, at) for at, each in enumerate(its)])
        for order_id, its in SHOP.items()
    ]
    merge(store, changes, MAX_MS, Rules())
    yield store
    store.close()


def test_json_has_the_keys_of_the_specification_and_the_figures_of_the_oracle(store: Store) -> None:
    for day in ("2026-01-05", "2026-01-06"):
        found = told("report", day)
        assert list(found) == KEYS
        assert [list(bridge) for bridge in found["currencies"].values()] == [BRIDGE] * len(found["currencies"])
        assert (found["date"], found["revision"], found["verdict"]) == (day, 1, "breaks")
        expected = statement_oracle.statement(SHOP, date.fromisoformat(day))
        assert statement_oracle.differences(found, expected) == []


def test_twice_is_the_same_bytes(store: Store) -> None:
    one, other = invoke("report", "2026-01-05", "--json"), invoke("report", "2026-01-05", "--json")
    assert one.stdout_bytes == other.stdout_bytes
    assert "Nothing new" in invoke("report", "2026-01-05").stderr


def test_the_summary_is_markdown(store: Store) -> None:
    done = invoke("report", "2026-01-05")
    assert done.exit_code == 0
    assert done.stdout.startswith("# 2026-01-05: adds up, with open breaks\n")
    assert "| opening " in done.stdout
    assert "Kept as revision 1." in done.stderr


def test_an_incomplete_day_is_status_1_and_names_the_order(store: Store) -> None:
    order_id = next(iter(SHOP))
    store.orders.update_one({"_id": order_id}, {"$inc": {"captured_minor": Int64(1)}})
    assert told("report", "2026-01-05", status=1)["coverage"]["suspects"] == [order_id]
    done = invoke("report", "2026-01-05")
    assert order_id in done.stdout


class _Page(HTMLParser):
    """Checks that what is opened is closed, and collects what a browser would fetch."""

    EMPTY = frozenset({"meta", "line", "rect", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.fetched += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone(store: Store, tmp_path: Path) -> None:
    invoke("report", "2026-01-05")
    place = tmp_path / "page.html"
    assert invoke("report", "2026-01-06", "--html", str(place)).exit_code == 0
    page = _Page()
    page.feed(place.read_text("utf-8"))
    assert (page.open, page.fetched) == ([], [])
    assert {"svg", "rect", "table", "style"} <= page.seen
    assert not page.seen & {"script", "img", "link", "iframe"}
    assert place.read_text("utf-8").count("Bridge in ") == len(told("report", "2026-01-06")["currencies"])
    first = place.read_bytes()
    invoke("report", "2026-01-06", "--html", str(place))
    assert place.read_bytes() == first


def test_breaks_are_chosen_by_kind_amount_and_age(store: Store) -> None:
    days = [date(2026, 1, 5) + timedelta(days) for days in range(4)]
    last = [told("report", day.isoformat()) for day in days][-1]
    there = last["breaks"]["new"] + last["breaks"]["persisting"]
    found = told("breaks")
    assert [each["id"] for each in found] == sorted(each["id"] for each in there)
    assert {each["id"]: each["age_days"] for each in found} == {each["id"]: each["age_days"] for each in there}
    for options, wanted in (
        (["--status", "unpaid"], lambda each: each["kind"] == "unpaid"),
        (["--min-amount", "2000"], lambda each: each["at_risk_minor"] >= 2000),
        (["--older-than", "1d"], lambda each: each["age_days"] > 1),
    ):
        chosen = [each["id"] for each in there if wanted(each)]
        assert 0 < len(chosen) < len(there)
        assert [each["id"] for each in told("breaks", *options)] == sorted(chosen)
    assert f"{len(there)} open breaks as of 2026-01-08" in invoke("breaks").stderr


def test_decisions_are_kept_one_after_the_other(store: Store) -> None:
    break_id = told("report", "2026-01-05")["breaks"]["new"][0]["id"]
    for note in ("asked the customer", "written off [red]"):
        assert invoke("resolve", break_id, "--note", note, "--by", "Jo").exit_code == 0
    told("report", "2026-01-06")
    (found,) = [each for each in told("breaks") if each["id"] == break_id]
    assert [(each["by"], each["note"]) for each in found["decisions"]] == [
        ("Jo", "asked the customer"),
        ("Jo", "written off [red]"),
    ]
    assert "written off [red]" in invoke("breaks").stdout
    unknown = invoke("resolve", "none:unpaid", "--note", "n", "--by", "Jo")
    assert (unknown.exit_code, "no break none:unpaid" in unknown.stderr) == (1, True)


def test_breaks_are_exported(store: Store, tmp_path: Path) -> None:
    told("report", "2026-01-05")
    found = told("breaks")
    lines = [json.loads(line) for line in invoke("export", "--collection", "breaks").stdout.splitlines()]
    assert [each["id"] for each in lines] == [each["id"] for each in found]
    rows = list(csv.DictReader(io.StringIO(invoke("export", "--collection", "breaks", "--format", "csv").stdout)))
    assert [int(row["at_risk_minor"]) for row in rows] == [each["at_risk_minor"] for each in found]
    place = tmp_path / "breaks.parquet"
    assert invoke("export", "--collection", "breaks", "--format", "parquet", "-o", str(place)).exit_code == 0
    assert pq.read_table(place).column("opened_on").to_pylist() == [each["opened_on"] for each in found]


def test_breaks_are_exported_by_the_business_day_of_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_REPORTS__TIME_ZONE", "Asia/Tokyo")
    made = [told("report", f"2026-01-{day:02d}")["breaks"] for day in (5, 6, 7)]
    went = [{each["id"] for each in lists["resolved"]} for lists in made]
    there = {each["id"] for each in made[-1]["new"] + made[-1]["persisting"]}
    assert went[1]
    for since, wanted in (
        ("2026-01-05T14:59:59Z", went[0] | went[1] | went[2] | there),  # the last moment of the fifth in Tokyo
        ("2026-01-05T15:00:00Z", went[1] | went[2] | there),
        ("2026-01-06T15:00:00Z", went[2] | there),
        ("2026-01-07T15:00:00Z", set()),
    ):
        lines = invoke("export", "--collection", "breaks", "--since", since).stdout.splitlines()
        assert {json.loads(line)["id"] for line in lines} == wanted


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["report", "yesterday"], 2, "yesterday"),
        (["report", "1969-12-31"], 2, "1970"),
        (["report"], 2, "DATE"),
        (["breaks", "--status", "sad"], 2, "no kind of break"),
        (["breaks", "--older-than", "3"], 2, "3"),
        (["breaks"], 1, "No statement"),
        (["resolve", "a:unpaid", "--note", "n"], 2, "--by"),
        (["resolve", "a:unpaid", "--note", " ", "--by", "Jo"], 2, "note"),
        (["resolve", "a:unpaid", "--note", "n", "--by", ""], 2, "name"),
    ],
)
def test_called_wrongly(store: Store, arguments: list[str], status: int, word: str) -> None:
    done = invoke(*arguments)
    assert (done.exit_code, done.stdout) == (status, "")
    assert word in done.stderr
