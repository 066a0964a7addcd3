"""The sensor `alerts` and the hook `tell_failure`, on a real instance with real events and a real receiver."""

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import pytest

from orders_platform.alerts.ledger import Ledger
from orders_platform.defs.alerts.hooks import tell_failure
from orders_platform.defs.alerts.sensors import alerts
from orders_platform.defs.matching.sensors import matcher_supervisor
from orders_platform.defs.resources import KafkaResource, MatcherResource, MongoResource
from orders_platform.defs.webhook import NOT_SET, WebhookResource
from orders_platform.errors import StackError
from orders_platform.matching import Rules
from orders_platform.reports.days import day_of
from orders_platform.reports.statement import as_json
from orders_platform.reports.tally import make
from orders_platform.store import matcher_records as records
from orders_platform.store import schema, statements
from orders_platform.store.client import connect
from orders_platform.supervision import rounds
from orders_platform_tests.alerts.receiver import PATH, Receiver, receiving
from orders_platform_tests.defs.conftest import SmallMatcher
from orders_platform_tests.supervision.conftest import Platform

CANARY = "canary-in-the-path"
DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-10")
wrong: dict[str, Any] = {}
"""What the code location below is to get wrong: by check, day or job."""


def _result(name: str, days: Sequence[str] = ()) -> dg.AssetCheckResult:
    found = next((wrong[f"{name}:{day}"] for day in days if f"{name}:{day}" in wrong), wrong.get(name))
    return dg.AssetCheckResult(
        passed=found is None, description=found, severity=wrong.get("severity", dg.AssetCheckSeverity.ERROR)
    )


@dg.asset_check(asset="collection")
def whole() -> dg.AssetCheckResult:
    return _result("whole")


@dg.asset(
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.multi_run(5),
    check_specs=[dg.AssetCheckSpec("closes", asset="statement", blocking=True)],
)
def statement(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    return dg.MaterializeResult(check_results=[_result("closes", context.partition_keys)])


@dg.op
def work() -> None:
    if (error := wrong.get("job")) is not None:
        try:
            raise ValueError("the cause, with a secret in it")
        except ValueError as cause:
            raise error from cause


@dg.job
def plain_job() -> None:
    work()


@dg.job(hooks={tell_failure})
def hooked_job() -> None:
    work()


LOCATION = dg.Definitions(
    assets=[dg.AssetSpec("collection"), statement],
    asset_checks=[whole],
    jobs=[plain_job, hooked_job, dg.define_asset_job("close", [statement], hooks={tell_failure})],
    sensors=[alerts],
    resources={"webhook": WebhookResource()},
    executor=dg.in_process_executor,
)


class Alerts:
    """The daemon's part: ticks with a cursor. `resource` is where a user may name the address."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.cursor: str | None = None
        self.resource = WebhookResource()

    def tick(self) -> str:
        given = {"matcher": MatcherResource(kafka=KafkaResource(), mongo=MongoResource()), "webhook": self.resource}
        with dg.build_sensor_context(self.instance, self.cursor, definitions=LOCATION, resources=given) as context:
            result = alerts(context)
        assert isinstance(result, dg.SensorResult)
        assert not result.run_requests
        assert isinstance(result.skip_reason, dg.SkipReason)
        self.cursor = result.cursor
        return str(result.skip_reason.skip_message)

    def run(self, job: str, day: str | None = None, last: str | None = None) -> dg.ExecuteInProcessResult:
        found = LOCATION.resolve_job_def(job)
        if day is not None and last is not None:  # as a backfill does
            tags = {"dagster/asset_partition_range_start": day, "dagster/asset_partition_range_end": last}
            return found.execute_in_process(instance=self.instance, tags=tags, raise_on_error=False)
        return found.execute_in_process(instance=self.instance, partition_key=day, raise_on_error=False)

    def check(self) -> None:
        """Report a result as the matcher's sensor does, as an event of no run."""
        found = _result("whole")
        self.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                dg.AssetKey("collection"), "whole", found.passed, severity=found.severity, description=found.description
            )
        )


@pytest.fixture(autouse=True)
def _nothing_is_wrong() -> Iterator[None]:
    wrong.clear()
    yield
    wrong.clear()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Receiver]:
    monkeypatch.setenv("ORDERS_HOME", str(tmp_path))
    with receiving() as made:
        monkeypatch.setenv("ORDERS_ALERTS__WEBHOOK_URL", made.url)
        monkeypatch.setenv("ORDERS_ALERTS__FORMAT", "json")
        yield made


@pytest.fixture
def told(instance: dg.DagsterInstance, receiver: Receiver) -> Alerts:
    return Alerts(instance)


def test_a_failed_check_is_told_once_when_it_fails_and_once_when_it_passes(told: Alerts, receiver: Receiver) -> None:
    assert told.tick() == "Nothing is to be told; 0 told and not over."
    told.check()
    assert told.tick() == "Nothing is to be told; 0 told and not over."
    wrong["whole"] = "Order ord-7 holds an event twice."
    told.check()
    assert told.tick() == "Told 1: The check whole of collection failed."
    (alert,) = receiver.plain()
    assert (alert.state, alert.kind, alert.text) == ("began", "check_failed", "Order ord-7 holds an event twice.")
    assert receiver.titles() == ["began: The check whole of collection failed."]
    told.check()
    assert told.tick() == "Nothing is to be told; 1 told and not over."
    wrong.clear()
    told.check()
    told.tick()
    told.tick()
    assert receiver.titles() == ["over: The check whole of collection passes again."]


def test_a_warning_is_not_told(told: Alerts, receiver: Receiver) -> None:
    wrong.update(whole="A payment is without its order.", severity=dg.AssetCheckSeverity.WARN)
    told.check()
    assert "Nothing" in told.tick()
    assert receiver.paths == []


def test_a_day_that_passes_says_nothing_of_another_that_failed(told: Alerts, receiver: Receiver) -> None:
    wrong["closes:2026-01-03"] = "It does not close."
    for day in ("2026-01-02", "2026-01-03", "2026-01-04"):
        told.run("close", day)
    told.tick()
    assert receiver.titles() == ["began: The check closes of statement for 2026-01-03 failed."], "and no failed run"
    wrong.clear()
    told.run("close", "2026-01-05")
    assert "Nothing" in told.tick()
    told.run("close", "2026-01-03")
    told.tick()
    assert receiver.titles() == ["over: The check closes of statement for 2026-01-03 passes again."]


def test_days_of_one_run_are_told_as_one_and_over_when_they_pass(told: Alerts, receiver: Receiver) -> None:
    wrong["closes:2026-01-03"] = "2026-01-03 does not close."
    told.run("close", "2026-01-03")
    told.run("close", "2026-01-02", "2026-01-05")
    told.tick()
    assert sorted(receiver.titles()) == [
        "began: The check closes of statement for 2026-01-02..2026-01-05 failed.",
        "began: The check closes of statement for 2026-01-03 failed.",
    ]
    told.run("close", "2026-01-04")
    assert "2 told and not over" in told.tick()
    wrong.clear()
    told.run("close", "2026-01-03")
    told.tick()
    assert receiver.titles() == ["over: The check closes of statement for 2026-01-03 passes again."]
    told.run("close", "2026-01-01", "2026-01-06")
    told.tick()
    assert receiver.titles() == ["over: The check closes of statement for 2026-01-02..2026-01-05 passes again."]
    assert "0 told and not over" in told.tick()


def test_a_failed_run_is_told_without_what_a_foreign_error_says(told: Alerts, receiver: Receiver) -> None:
    told.tick()
    wrong["job"] = RuntimeError("postgres://user:hunter2@h/")
    assert not told.run("plain_job").success
    told.tick()
    (alert,) = receiver.plain()
    assert alert.text == "An unexpected RuntimeError; the run's log has the rest."
    assert receiver.titles() == ["began: A run of plain_job failed."]
    assert not told.run("plain_job").success
    assert "Nothing" in told.tick(), "it has begun already"
    wrong.clear()
    assert told.run("plain_job").success
    told.tick()
    assert receiver.titles() == ["over: A run of plain_job has succeeded since."]


def test_a_failed_run_is_told_with_what_our_error_says(told: Alerts, receiver: Receiver) -> None:
    told.tick()
    wrong["job"] = StackError("MongoDB does not run.", "Run `orders up`.")
    told.run("plain_job")
    told.tick()
    assert receiver.plain()[0].text == "MongoDB does not run. Run `orders up`."


def test_a_run_of_chosen_assets_is_told_by_their_names(told: Alerts, receiver: Receiver) -> None:
    told.tick()
    job, nothing = "__ASSET_JOB", frozenset[Any]()
    chosen = (frozenset({dg.AssetKey("statement")}), nothing), (nothing, frozenset({whole.check_key}))
    for assets, checks in chosen:
        run = dg.DagsterRun(
            job, asset_selection=assets, asset_check_selection=checks, status=dg.DagsterRunStatus.STARTED
        )
        told.instance.report_run_failed(told.instance.add_run(run))
    told.tick()
    assert sorted(receiver.titles()) == [
        "began: A run of collection:whole failed.",
        "began: A run of statement failed.",
    ]


def test_a_run_that_crashed_is_told_though_no_hook_could_run(told: Alerts, receiver: Receiver) -> None:
    told.tick()
    job = LOCATION.resolve_job_def("hooked_job")
    run = told.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    told.instance.report_run_failed(run)  # what run monitoring does
    told.tick()
    assert receiver.plain()[0].text == "It ended without a word: its process died or could not start."
    assert receiver.titles() == ["began: A run of hooked_job failed."]


def test_the_hook_tells_at_once_and_the_sensor_only_that_it_is_over(told: Alerts, receiver: Receiver) -> None:
    told.tick()
    wrong["job"] = StackError("MongoDB does not run.", "Run `orders up`.")
    told.run("hooked_job")
    assert receiver.plain()[0].text == "MongoDB does not run. Run `orders up`."
    assert receiver.titles() == ["began: A run of hooked_job failed."]
    told.run("hooked_job")
    assert receiver.titles() == [], "it has begun already"
    assert "1 told and not over" in told.tick()
    wrong.clear()
    told.run("hooked_job")
    told.tick()
    assert receiver.titles() == ["over: A run of hooked_job has succeeded since."]


def test_what_the_hook_could_not_tell_the_sensor_tells(told: Alerts, receiver: Receiver) -> None:
    told.tick()
    receiver.status = 500
    wrong["job"] = StackError("MongoDB does not run.", "Run `orders up`.")
    assert not told.run("hooked_job").success
    receiver.status = 200
    told.tick()
    assert receiver.titles() == ["began: A run of hooked_job failed."]


@pytest.mark.parametrize("url", ["", "ftp://h/", None])
def test_a_hook_without_a_webhook_changes_nothing(
    told: Alerts, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    if url is None:
        monkeypatch.delenv("ORDERS_ALERTS__WEBHOOK_URL")
    else:
        monkeypatch.setenv("ORDERS_ALERTS__WEBHOOK_URL", url)
    wrong["job"] = StackError("MongoDB does not run.", "Run `orders up`.")
    result = told.run("hooked_job")
    hooked = [event.event_type_value for event in result.all_events if event.event_type_value.startswith("HOOK")]
    assert hooked == ["HOOK_COMPLETED"]
    assert receiver.paths == []


def test_an_open_breaker_is_told_until_it_is_closed(told: Alerts, receiver: Receiver, tmp_path: Path) -> None:
    def found(state: Any, reason: str, fix: str = "") -> None:
        (tmp_path / "run").mkdir(exist_ok=True)
        report = rounds.Report(state=state, reason=reason, fix=fix, at_ms=1)
        rounds.report_file(tmp_path).write_bytes(msgspec.json.encode(report))

    found("backing_off", "It ended 4 times.")
    told.tick()
    found("failed", "The matcher ended 5 times in a row.", "Read the end of its log.")
    told.tick()
    (alert,) = receiver.plain()
    assert (alert.kind, alert.text) == ("breaker_open", "The matcher ended 5 times in a row.")
    assert alert.fix == "Read the end of its log."
    found("failed", "The matcher ended 6 times in a row.")
    told.tick()
    rounds.forget_report(tmp_path)
    told.tick()
    assert receiver.titles() == ["began: The matcher is down and is no longer restarted."]
    found("starting", "It is starting.")
    told.tick()
    assert receiver.titles() == ["over: The matcher is supervised again."]


@pytest.mark.services
def test_the_breaker_that_the_supervisor_opens_is_told(
    told: Alerts, receiver: Receiver, matcher: SmallMatcher, platform: Platform
) -> None:
    def supervise() -> None:
        with dg.build_sensor_context(told.instance, resources={"matcher": matcher}) as context:
            matcher_supervisor(context)

    me = rounds.identity(platform.settings)
    for epoch in range(1, 6):
        life = records.Start(
            epoch=epoch, attempt=epoch, at_ms=epoch, reason="", lived_s=1.0, end="died",
            holder=me.holder, code_version=me.code_version, settings_hash=me.settings_hash,
        )  # fmt: skip
        records.add_start(platform.store, life)
    supervise()
    told.tick()
    (alert,) = receiver.plain()
    assert (alert.kind, alert.state) == ("breaker_open", "began")
    assert "ended 5 times in a row" in alert.text
    assert "`orders matcher start`" in alert.fix
    receiver.bodies.clear()
    records.set_desired(platform.store, state="running", reset_breaker=True)
    supervise()
    told.tick()
    assert receiver.titles() == ["over: The matcher is supervised again."]


@pytest.mark.services
def test_a_late_statement_is_told_until_a_final_one_is_kept(
    told: Alerts, receiver: Receiver, database: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_MONGO__URI", database[0])
    monkeypatch.setenv("ORDERS_MONGO__DATABASE", database[1])
    monkeypatch.setenv("ORDERS_ALERTS__STATEMENT_DEADLINE", "0s")
    today = datetime.now(UTC).date()
    late = today - timedelta(days=2)
    began = datetime.combine(late, datetime.min.time(), UTC)
    told.cursor = msgspec.json.encode(Ledger(since_ms=int(began.timestamp() * 1000))).decode()
    store = connect(*database)

    def keep(days_after: int, **figures: Any) -> None:
        made = make([], day_of(late + timedelta(days=days_after), "UTC"), Rules())
        statements.keep(store, as_json(msgspec.structs.replace(made, **figures)), 1, None)

    try:
        schema.migrate(store)
        # The day before's is told to be late too, unless it is there; and today's, should midnight pass meanwhile.
        for each in (-1, 1, 2):
            keep(each)
        told.tick()
        assert receiver.titles() == [f"began: The statement of {late} is late."]
        keep(0, provisional=True)
        assert "1 told and not over" in told.tick()
        monkeypatch.setenv("ORDERS_MONGO__URI", "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=300")
        assert "1 told and not over" in told.tick(), "who can't look does not say that it is over"
        monkeypatch.setenv("ORDERS_MONGO__URI", database[0])
        keep(0, revision=2, replaces=1, verdict="incomplete")
        told.tick()
        assert receiver.titles() == [f"over: The statement of {late} is kept."]
    finally:
        store.close()


def test_while_mongodb_is_away_the_rest_is_told(
    told: Alerts, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_MONGO__URI", "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=300")
    told.cursor = msgspec.json.encode(Ledger(since_ms=0)).decode()
    wrong["whole"] = "Order ord-7 holds an event twice."
    told.check()
    told.tick()
    assert receiver.titles() == ["began: The check whole of collection failed."]


@pytest.mark.parametrize("ill", [{"status": 500}, {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}])
def test_what_a_receiver_does_not_take_is_told_when_it_does(
    told: Alerts, receiver: Receiver, ill: dict[str, Any]
) -> None:
    for name, value in ill.items():
        setattr(receiver, name, value)
    wrong["whole"] = "Order ord-7 holds an event twice."
    told.check()
    assert f"1 wait: the receiver {'answered 500' if ill['status'] == 500 else 'redirects (302)'}" in told.tick()
    wrong.clear()
    told.check()
    assert "2 wait" in told.tick()
    receiver.status = 200
    told.tick()
    told.tick()
    began, over = receiver.plain()
    assert (began.state, over.state) == ("began", "over")
    assert over.id == f"{began.id}-over"


def test_a_receiver_that_was_away_gets_it_all_when_it_is_back(
    told: Alerts, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as gone:
        port = int(gone.url.split(":")[2].partition("/")[0])
    monkeypatch.setenv("ORDERS_ALERTS__WEBHOOK_URL", gone.url)
    wrong["whole"] = "Order ord-7 holds an event twice."
    told.check()
    assert "can't be reached" in told.tick()
    with receiving(port) as back:
        assert "Told 1" in told.tick()
        assert back.titles() == ["began: The check whole of collection failed."]


def test_a_receiver_that_wants_peace_gets_it(told: Alerts, receiver: Receiver) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": "3000"}
    wrong["whole"] = "Order ord-7 holds an event twice."
    told.check()
    assert "answered 429" in told.tick()
    assert "wants" in told.tick()
    assert len(receiver.paths) == 1
    assert told.cursor is not None
    waited = msgspec.json.decode(told.cursor, type=Ledger)
    assert waited.not_before_ms > time.time() * 1000
    told.cursor = msgspec.json.encode(msgspec.structs.replace(waited, not_before_ms=1)).decode()
    receiver.status = 200
    told.tick()
    assert receiver.titles() == ["began: The check whole of collection failed."]


def test_slack_gets_its_shape(told: Alerts, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_ALERTS__FORMAT", "slack")
    wrong["whole"] = "Order <ord-7> & others."
    told.check()
    told.tick()
    (message,) = receiver.slack()
    assert message.text == "orders_platform: The check whole of collection failed."
    assert receiver.paths == [PATH]


@pytest.mark.parametrize("cursor", ["", "{}", '{"since_ms": "x"}', "other"])
def test_a_lost_or_foreign_cursor_costs_a_message_told_twice_under_the_same_id(
    told: Alerts, receiver: Receiver, cursor: str
) -> None:
    wrong["whole"] = "Order ord-7 holds an event twice."
    told.check()
    told.tick()
    told.cursor = cursor
    told.tick()
    first, again = receiver.plain()
    assert first.id == again.id


def test_without_a_webhook_it_says_so_and_forgets_nothing(told: Alerts, monkeypatch: pytest.MonkeyPatch) -> None:
    told.cursor = msgspec.json.encode(Ledger(since_ms=7)).decode()
    monkeypatch.delenv("ORDERS_ALERTS__WEBHOOK_URL")
    assert told.tick() == NOT_SET
    assert told.cursor == msgspec.json.encode(Ledger(since_ms=7)).decode()


def test_the_address_may_stand_in_a_file_or_be_given_to_the_resource(
    told: Alerts, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ORDERS_ALERTS__WEBHOOK_URL")
    (tmp_path / "hook").write_text(f"{receiver.url}\n")
    monkeypatch.setenv("ORDERS_ALERTS__WEBHOOK_URL_FILE", str(tmp_path / "hook"))
    wrong["whole"] = "Order ord-7 holds an event twice."
    told.check()
    assert "Told 1" in told.tick()
    monkeypatch.delenv("ORDERS_ALERTS__WEBHOOK_URL_FILE")
    monkeypatch.setenv("ELSEWHERE", receiver.url)
    told.resource = WebhookResource(url=dg.EnvVar("ELSEWHERE"))
    wrong.clear()
    told.check()
    assert "Told 1" in told.tick()
    assert len(receiver.paths) == 2


@pytest.mark.parametrize("ill", [None, {"status": 500}, {"status": 302}, "gone", "user:pw@", "file"])
def test_the_address_is_in_no_log_tick_cursor_or_configuration(
    told: Alerts,
    receiver: Receiver,
    ill: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    if isinstance(ill, dict):
        receiver.status, receiver.headers = ill["status"], {"Location": f"http://127.0.0.1:1{PATH}"}
    elif ill == "gone":
        monkeypatch.setenv("ORDERS_ALERTS__WEBHOOK_URL", f"http://127.0.0.1:1{PATH}")
    elif ill == "file":
        monkeypatch.setenv("ORDERS_ALERTS__WEBHOOK_URL", f"file://{PATH}")
    elif ill is not None:
        monkeypatch.setenv("ORDERS_ALERTS__WEBHOOK_URL", f"https://{ill}h{PATH}")
    wrong.update(whole="Order ord-7 holds an event twice.", job=StackError("It is down.", "Wait."))
    told.check()
    run = told.run("hooked_job")
    reasons = [told.tick(), told.tick()]
    logged = [entry.to_json() for entry in told.instance.all_logs(run.run_id)]
    snapshot = LOCATION.get_repository_def().get_top_level_resources()["webhook"]
    shown = [*reasons, str(told.cursor), *logged, caplog.text, *capfd.readouterr(), repr(snapshot), repr(told.resource)]
    assert any("hooked_job" in each for each in logged)
    assert not [each for each in shown if CANARY in each]
    assert (ill is None) == ("Told" in reasons[0])
    assert os.environ["ORDERS_ALERTS__WEBHOOK_URL"].endswith(PATH)
