"""Statements and breaks in Dagster, made in this process from a real MongoDB and a real broker."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
from bson.int64 import Int64

from orders_platform.cli.main import cli
from orders_platform.definitions import defs
from orders_platform.defs.reports import assets
from orders_platform.defs.reports.days import business_days, days_of
from orders_platform.defs.resources import RESOURCES
from orders_platform.defs.run_checks import run_checks
from orders_platform.errors import OrdersError
from orders_platform.matching import Rules
from orders_platform.reports.days import date_at
from orders_platform.settings import Settings
from orders_platform.store.client import Store
from orders_platform.store.lease import server_time_ms
from orders_platform.store.merge import Arrival, Change, merge
from orders_platform.streams.offsets import end_offsets
from orders_platform.streams.publish import Publisher
from orders_platform.times import MAX_MS
from orders_platform_tests import matcher_words, oracle
from orders_platform_tests.adversary import OPENING_MS
from orders_platform_tests.reports import shops
from orders_platform_tests.reports.shops import HOUR_MS, event_of

pytestmark = pytest.mark.services
MONDAY, TUESDAY, WEDNESDAY = "2026-01-05", "2026-01-06", "2026-01-07"


@dataclass
class Office:
    """Who closes days: in this process, with an instance of his own."""

    settings: Settings
    store: Store
    instance: dg.DagsterInstance
    offset: int = 0

    def deliver(self, shop: shops.Shop) -> None:
        """Merge a shop's orders as if delivered one message after the other."""
        changes: list[Change] = []
        for order_id, its in shop.items():
            arrivals = [Arrival(event_of(each), "payments", 0, self.offset + at) for at, each in enumerate(its)]
            changes.append(Change(order_id, None, arrivals))
            self.offset += len(its)
        merge(self.store, changes, MAX_MS, Rules())

    def has_read_everything(self) -> None:
        """Let the heartbeat say that all topics are read to their ends."""
        kafka = self.settings.kafka
        ends = end_offsets(str(kafka.bootstrap_servers), {}, kafka.topics)
        matcher_words.has_read(self.store, matcher_words.as_offsets(ends))

    def run(self, first: str, last: str | None = None, job: str = "close_day") -> dg.ExecuteInProcessResult:
        """Make a day, or several in one run as a backfill does."""
        several = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last or first}
        return (
            defs()
            .resolve_job_def(job)
            .execute_in_process(
                partition_key=None if last else first,
                tags=several if last else None,
                instance=self.instance,
                raise_on_error=False,
            )
        )


@pytest.fixture
def office(in_environment: Settings, store: Store) -> Iterator[Office]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Office(in_environment, store, instance)


def content(kind: str, order_id: str, at_ms: int, **fields: Any) -> oracle.Content:
    made = {"event_id": f"{order_id}-{kind}-{at_ms}", "type": kind, "order_id": order_id, "occurred_at": at_ms}
    return made | fields


def paid(order_id: str, at_ms: int, amount: int = 100) -> oracle.Content:
    return content("payment_captured", order_id, at_ms, amount_minor=amount, currency="EUR", payment_id=order_id)


def bought(order_id: str, at_ms: int, amount: int | None = 100) -> list[oracle.Content]:
    placed = content("order_placed", order_id, at_ms, amount_minor=100, currency="EUR")
    return [placed] if amount is None else [placed, paid(order_id, at_ms + 60_000, amount)]


def shown(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, dict[str, Any]]:
    """Return the metadata of an asset's materializations by day."""
    found = {}
    for event in result.get_asset_materialization_events():
        if event.asset_key == dg.AssetKey(asset):
            each = event.materialization
            found[str(each.partition)] = {name: value.value for name, value in each.metadata.items()}
    return found


def judged(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {each.check_name: each.passed for each in result.get_asset_check_evaluations()}


ALL_GREEN = dict.fromkeys(
    ("closes", "opens_as_closed", "unaltered", "ids_stable", "at_risk_not_negative", "open_as_stated"), True
)


def versions(result: dg.ExecuteInProcessResult) -> list[str]:
    return [
        (event.materialization.tags or {})["dagster/data_version"]
        for event in result.get_asset_materialization_events()
    ]


def written(office: Office, when: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (office.settings.home / "statements" / when).iterdir()}


def asked(name: str) -> tuple[str, str]:
    """Ask one check by itself, as `orders check` does."""
    (found,) = run_checks(frozenset({name}), False)
    return found.state, found.text


def test_a_day_is_closed_and_shown(office: Office) -> None:
    office.deliver({"a": bought("a", OPENING_MS), "b": bought("b", OPENING_MS, 70)})
    result = office.run(MONDAY)
    assert result.success
    assert judged(result) == ALL_GREEN
    told = shown(result, "daily_statement")[MONDAY]
    assert (told["verdict"], told["revision"], told["provisional"], told["match_rate"]) == ("breaks", 1, False, 0.5)
    assert (told["closing_EUR_minor"], told["residual_EUR_minor"], told["at_risk_EUR_minor"]) == (30, 0, 30)
    assert [row.data["EUR"] for row in told["bridge"].records][::3] == ["0.00", "-1.70", "0.00", "0.00"]
    assert "underpaid" in told["summary"]
    assert told["page"] == f"/statements/{MONDAY}"
    listed = shown(result, "breaks")[MONDAY]
    (kind,) = listed["by_kind"].records
    assert kind.data == {"kind": "underpaid", "open": 1, "new": 1, "oldest": 0, "at risk": "EUR 0.30"}
    assert listed["largest"].records[0].data["id"] == "b:underpaid"
    files = written(office, MONDAY)
    assert b"Statement of" in files["statement.html"]
    assert Path(told["file"]).read_bytes() == files["statement.html"]
    assert files["breaks.csv"].splitlines()[1].startswith(b"new,b:underpaid,underpaid,b,EUR,30,")
    table = pq.read_table(office.settings.home / "statements" / MONDAY / "breaks.parquet")
    assert table.column("id").to_pylist() == ["b:underpaid"]


def test_made_again_it_says_the_same_and_keeps_nothing(office: Office) -> None:
    office.deliver(shops.generated(40, 1))
    first = office.run(MONDAY)
    files = written(office, MONDAY)
    again = office.run(MONDAY)
    assert first.success
    assert again.success
    assert written(office, MONDAY) == files
    assert versions(first) == versions(again)
    assert office.store.statements.count_documents({}) == 1


def test_a_late_event_makes_the_next_revision_and_wants_the_next_day_made_again(office: Office) -> None:
    office.deliver({"a": bought("a", OPENING_MS), "b": bought("b", OPENING_MS, None)})
    first = office.run(MONDAY, TUESDAY)
    office.deliver({"b": [paid("b", OPENING_MS + HOUR_MS)]})
    tuesday = office.run(TUESDAY)
    assert tuesday.success, "an earlier day that wants making again blocks nothing"
    assert judged(tuesday) == ALL_GREEN | {"opens_as_closed": False}
    state, text = asked("opens_as_closed")
    assert state == "warning"
    assert f"{MONDAY} closed with EUR 1.00, {TUESDAY} opens with 0.00." in text
    monday = office.run(MONDAY)
    told = shown(monday, "daily_statement")[MONDAY]
    assert (told["revision"], told["verdict"], told["breaks_open"]) == (2, "clean", 0)
    assert "late: payment_captured" in told["summary"]
    assert versions(monday)[0] not in versions(first)
    assert asked("opens_as_closed")[0] == "passed"


def test_a_document_somebody_changed_is_named_and_nothing_follows_from_the_day(office: Office) -> None:
    office.deliver({name: bought(name, OPENING_MS) for name in ("a", "ord-b", "c")})
    assert office.run(MONDAY).success
    office.store.orders.update_one({"_id": "ord-b"}, {"$set": {"captured_minor": Int64(99)}})
    result = office.run(MONDAY)
    assert not result.success
    assert judged(result) == {"closes": False, "opens_as_closed": True, "unaltered": True}
    assert shown(result, "daily_statement")[MONDAY]["verdict"] == "incomplete"
    assert shown(result, "breaks") == {}
    state, text = asked("closes")
    assert state == "failed"
    assert "ord-b" in text
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", "--select", "daily_statement"])
    assert ended.value.code == 1


def test_a_backfill_makes_its_days_in_their_order_in_one_run(office: Office) -> None:
    office.deliver(shops.generated(60, 3) | {"u": bought("u", OPENING_MS, None)})
    result = office.run(MONDAY, "2026-01-08")
    assert result.success
    assert judged(result) == ALL_GREEN
    days = [MONDAY, TUESDAY, WEDNESDAY, "2026-01-08"]
    assert list(shown(result, "daily_statement")) == days
    assert list(shown(result, "breaks")) == days
    kept = [(each["date"], each["read_at"]) for each in office.store.statements.find(sort=[("date", 1)])]
    assert [when for when, _ in kept] == days
    assert [read for _, read in kept] == sorted(read for _, read in kept)
    compared = next(e for e in result.get_asset_check_evaluations() if e.check_name == "opens_as_closed")
    assert compared.metadata["compared"].value == 3
    days_of_u = [
        next(
            row.data["days"] for row in shown(result, "breaks")[day]["largest"].records if row.data["id"] == "u:unpaid"
        )
        for day in days
    ]
    assert days_of_u == [0, 1, 2, 3]
    closed = office.run(TUESDAY)
    assert shown(closed, "daily_statement")[TUESDAY]["revision"] == 1, "alone it says what it said among others"


def test_days_from_before_any_money_close_too(office: Office) -> None:
    office.deliver({"a": bought("a", OPENING_MS)})
    result = office.run("2026-01-03", MONDAY)
    assert judged(result) == ALL_GREEN
    assert shown(result, "daily_statement")["2026-01-03"]["verdict"] == "clean"


def test_today_can_be_made_and_says_that_it_goes_on(office: Office) -> None:
    today = date_at(server_time_ms(office.store), "UTC").isoformat()
    told = shown(office.run(today), "daily_statement")[today]
    assert told["provisional"] is True


def test_what_is_not_matched_yet_is_waited_for_a_few_times(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "WAITS_S", (0, 0))
    today = date_at(server_time_ms(office.store), "UTC").isoformat()
    with Publisher(str(office.settings.kafka.bootstrap_servers), {}) as publisher:
        publisher.send(office.settings.kafka.orders_topic, None, b"{}")
    result = office.run(today)
    assert not result.success
    assert len([event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]) == 2
    assert shown(result, "daily_statement")[today]["verdict"] == "incomplete"
    assert asked("closes")[0] == "passed", "a day that goes on has messages on their way"
    assert office.store.statements.count_documents({}) == 1
    monkeypatch.setattr(assets, "WAITS_S", (1,) * 100)
    # The matcher reads on while the run waits.
    reading = threading.Timer(2.0, office.has_read_everything)
    reading.start()
    second = office.run(today)
    reading.join()
    assert second.success
    assert shown(second, "daily_statement")[today]["revision"] == 2


def requested(office: Office, tick: str) -> list[str]:
    """Return the days that the schedule asks for at ten past midnight of a date."""
    repository = defs().get_repository_def()
    at = datetime.fromisoformat(f"{tick}T00:10:00+00:00")
    given = {"matcher": RESOURCES["matcher"]}
    with dg.build_schedule_context(scheduled_execution_time=at, repository_def=repository, resources=given) as context:
        found = repository.schedule_defs[0].evaluate_tick(context).run_requests or []
    assert len({request.run_key for request in found}) == len(found)
    return [str(request.partition_key) for request in found]


def test_days_that_nobody_closed_are_made_up_for(office: Office) -> None:
    office.deliver({"a": bought("a", OPENING_MS)})
    assert requested(office, WEDNESDAY) == [TUESDAY], "nothing was ever closed"
    office.run(MONDAY)
    assert requested(office, TUESDAY) == [MONDAY], "what came late may be in it now"
    assert requested(office, "2026-01-09") == [TUESDAY, WEDNESDAY, "2026-01-08"]
    assert requested(office, "2026-02-20") == ["2026-02-19"]
    office.run(TUESDAY)
    office.store.statements.update_one({"_id": f"{TUESDAY}:1"}, {"$set": {"verdict": "incomplete"}})
    assert requested(office, "2026-01-08") == [TUESDAY, WEDNESDAY]
    office.store.statements.update_one({"_id": f"{TUESDAY}:1"}, {"$set": {"verdict": "clean", "provisional": True}})
    assert requested(office, "2026-01-08") == [TUESDAY, WEDNESDAY]


def test_other_settings_need_the_job_that_says_so(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.deliver({"a": bought("a", OPENING_MS, 99)})
    assert office.run(MONDAY).success
    monkeypatch.setenv("ORDERS_MATCHING__TOLERANCE_MINOR", "1")
    refused = office.run(MONDAY)
    assert not refused.success
    (failure,) = [event.step_failure_data.error for event in refused.get_step_failure_events()][:1]
    assert failure is not None
    assert "other settings" in failure.to_string()
    told = shown(office.run(MONDAY, job="rebuild_day"), "daily_statement")[MONDAY]
    assert (told["revision"], told["verdict"]) == (2, "clean")


def test_days_loaded_with_another_time_zone_are_not_made(office: Office) -> None:
    days = business_days("Asia/Tokyo")
    with pytest.raises(OrdersError, match="Reload the code location"):
        days_of([MONDAY], days.timezone, office.settings.reports.time_zone)


@pytest.fixture
def two_days(office: Office) -> Office:
    office.deliver({"a": bought("a", OPENING_MS), "b": bought("b", OPENING_MS, None)})
    assert office.run(MONDAY, TUESDAY).success
    return office


def test_older_statements_are_looked_at_when_everything_is(two_days: Office) -> None:
    two_days.store.statements.update_one({"_id": f"{MONDAY}:1"}, {"$set": {"match_rate": 1.0}})
    names = frozenset({"unaltered"})
    assert [found.state for found in run_checks(names, False)] == ["passed"]
    assert [found.state for found in run_checks(names, True)] == ["failed"]


def test_without_mongodb_checks_fail_and_say_so(two_days: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_MONGO__URI", "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=300")
    found = run_checks(frozenset({"daily_statement", "breaks"}), False)
    assert {each.state for each in found} == {"failed"}
    assert all("MongoDB" in each.text for each in found)
