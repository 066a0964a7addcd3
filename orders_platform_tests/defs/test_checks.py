"""Each check passes on what the platform wrote, and fails on data that is wrong in its way."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from orders_platform.defs.run_checks import Outcome, run_checks, to_junit
from orders_platform.errors import UsageError
from orders_platform.local.home import prepare
from orders_platform.matcher.bucket import Messages, match
from orders_platform.matcher.hot import Bounds, HotOrders
from orders_platform.store import matcher_records as records
from orders_platform.streams.offsets import begin_offsets, end_offsets
from orders_platform.streams.publish import Publisher
from orders_platform.streams.read import read_range
from orders_platform.supervision import checks, rounds
from orders_platform.supervision.checks import ASKED_SAMPLE, SAMPLE
from orders_platform.supervision.supervisor_lock import only_supervisor
from orders_platform_tests.defs.conftest import SmallMatcher
from orders_platform_tests.supervision.conftest import Platform

pytestmark = pytest.mark.services
MATCHED = ("o-1", "o-2", "o-3")


def _event(order_id: str, kind: str, **fields: Any) -> bytes:
    event = {"event_id": f"{kind}-{order_id}", "type": kind, "order_id": order_id, "amount_minor": 4200}
    return json.dumps(event | {"occurred_at": "2026-01-05T10:00:00Z", "currency": "EUR"} | fields).encode()


@pytest.fixture
def matched(platform: Platform, matcher: SmallMatcher) -> Iterator[Platform]:
    """A home whose topics are matched, with a small driver at work and a supervisor that keeps it."""
    settings = platform.settings
    with Publisher(platform.servers, {}) as publisher:
        for order_id in MATCHED:
            publisher.send(settings.kafka.orders_topic, order_id.encode(), _event(order_id, "order_placed"))
            paid = _event(order_id, "payment_captured", payment_id=f"p-{order_id}")
            publisher.send(settings.kafka.payments_topic, order_id.encode(), paid)
        publisher.send(settings.kafka.orders_topic, None, b"poison")
    _match(platform)
    platform.supervise()
    with only_supervisor(settings.home):
        platform.until(platform.committed)
        yield platform


def _match(platform: Platform) -> None:
    """Put what is in the topics through the matcher's own function."""
    topics = platform.settings.kafka.topics
    begins, ends = begin_offsets(platform.servers, {}, topics), end_offsets(platform.servers, {}, topics)
    for batch in read_range(platform.servers, {}, begins, ends):
        columns = Messages(
            [record.value for record in batch],
            [record.topic for record in batch],
            [record.partition for record in batch],
            [record.offset for record in batch],
            [record.time_ms for record in batch],
        )
        now_ms = time.time_ns() // 1_000_000
        match(columns, HotOrders(None, Bounds(0, 0)), now_ms, platform.store, platform.settings.matching.rules())


def outcome(name: str, whole: bool = False) -> Outcome:
    (found,) = run_checks(frozenset({name}), whole)
    return found


def test_everything_passes_on_what_the_platform_wrote(matched: Platform) -> None:
    found = run_checks(None, False)
    assert {each.state for each in found} == {"passed"}, found
    assert len(found) == 14 + 6, "of the topics and the collection; of statements and breaks, of which there are none"
    assert {each.state for each in run_checks(None, True)} == {"passed"}


def _lose_a_document(platform: Platform) -> None:
    platform.store.orders.delete_one({"_id": "o-2"})


def _lose_a_dead_letter(platform: Platform) -> None:
    platform.store.dead_letters.delete_many({})


def _alter_an_amount(platform: Platform) -> None:
    platform.store.orders.update_one({"_id": "o-2"}, {"$set": {"captured_minor": Int64(1)}})


def _alter_a_status(platform: Platform) -> None:
    platform.store.orders.update_one({"_id": "o-2"}, {"$set": {"status": "cancelled"}})


def _repeat_an_event(platform: Platform) -> None:
    events = platform.store.orders.find_one({"_id": "o-2"})["events"]  # type: ignore[index]
    platform.store.orders.update_one({"_id": "o-2"}, {"$push": {"events": events[0]}})


def _break_the_schema(platform: Platform) -> None:
    wrong = {"$set": {"due_minor": "much"}}
    platform.store.database.command(
        {"update": "orders", "updates": [{"q": {"_id": "o-2"}, "u": wrong}], "bypassDocumentValidation": True}
    )


def _pay_without_an_order(platform: Platform) -> None:
    with Publisher(platform.servers, {}) as publisher:
        paid = _event("o-9", "payment_captured", payment_id="p-9")
        publisher.send(platform.settings.kafka.payments_topic, None, paid)
    _match(platform)


def _reject_much(platform: Platform) -> None:
    epoch = platform.epoch()
    batch = {"messages": 100, "dead_letters": 6}
    records.record_batch(platform.store, epoch, 99, {}, batch=batch, totals={}, duration_ms=1)


def _wait_past_a_deadline(platform: Platform) -> None:
    late = {"status": "awaiting_payment", "outcome": "pending", "deadline_at": DatetimeMS(1)}
    platform.store.orders.update_one({"_id": "o-2"}, {"$set": late})


@pytest.mark.parametrize(
    ("check", "spoil", "state", "named"),
    [
        ("messages_conserved", _lose_a_document, "failed", "2 of 7"),
        ("messages_conserved", _lose_a_dead_letter, "failed", "1 of 7"),
        ("figures_follow_from_events", _alter_an_amount, "failed", "o-2"),
        ("figures_follow_from_events", _alter_a_status, "failed", "o-2"),
        ("no_event_twice", _repeat_an_event, "failed", "o-2"),
        ("documents_valid", _break_the_schema, "failed", "o-2"),
        ("totals_hold", _alter_a_status, "failed", "orders recount"),
        ("no_money_without_order", _pay_without_an_order, "warning", "o-9"),
        ("dead_letter_share", _reject_much, "warning", "6 of the"),
        ("deadlines_swept", _wait_past_a_deadline, "failed", "o-2"),
    ],
)
@pytest.mark.parametrize("whole", [False, True], ids=["sample", "whole"])
def test_data_that_is_wrong_is_told_with_its_order(
    matched: Platform, check: str, spoil: Callable[[Platform], None], state: str, named: str, whole: bool
) -> None:
    spoil(matched)
    found = outcome(check, whole)
    assert (found.state, named in found.text) == (state, True), found


def test_a_matcher_that_does_not_keep_up_lags(matched: Platform) -> None:
    _stop_committing(matched)
    before = records.read_heartbeat(matched.store)
    assert before is not None
    # A message that the broker has had for two minutes.
    first = begin_offsets(matched.servers, {}, matched.settings.kafka.topics)
    old = {topic: {str(at): offset for at, offset in at_begins.items()} for topic, at_begins in first.items()}
    matched.store.matcher.update_one({"_id": "heartbeat"}, {"$set": {"offsets": old}})
    assert outcome("lag").state == "passed", "they wait, but not for long"
    import orders_platform.supervision.checks as checks

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(checks, "LAG_MAX_MS", 1)
        assert outcome("lag").state == "failed"


def test_messages_that_kafka_deleted_before_they_were_matched_are_missed(matched: Platform) -> None:
    _stop_committing(matched)
    topic = matched.settings.kafka.orders_topic
    matched.store.matcher.update_one({"_id": "heartbeat"}, {"$set": {f"offsets.{topic}.0": Int64(999)}})
    found = outcome("orders_topic")
    assert found.state == "failed"
    assert f"{topic}:0" in found.text
    assert outcome("payments_topic").state == "passed"


def test_a_matcher_that_is_gone_is_a_failure_and_one_that_was_stopped_a_warning(matched: Platform) -> None:
    _stop_committing(matched)
    assert outcome("matcher_at_work").state == "failed"
    records.set_desired(matched.store, state="stopped")
    assert outcome("matcher_at_work").state == "warning"


def test_nobody_who_would_restart_it_is_a_failure(
    platform: Platform, matcher: SmallMatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outcome("supervisor_at_work").state == "failed"
    prepare(platform.settings.home)
    rounds.write_trouble(platform.settings.home, "nothing")
    assert outcome("supervisor_at_work").state == "passed", "a sensor that just looked is somebody"
    monkeypatch.setattr(checks, "SUPERVISOR_SILENT_MAX_S", -1.0)
    assert outcome("supervisor_at_work").state == "failed"


def test_without_a_service_checks_fail_and_say_so(
    platform: Platform, matcher: SmallMatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9")
    found = outcome("lag")
    assert found.state == "failed"
    assert "Kafka" in found.text


def test_whoever_asks_has_more_looked_at_than_the_sensor(matched: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    import orders_platform.defs.matching.checks as asked

    monkeypatch.setattr(asked, "ASKED_SAMPLE", 2)
    assert "figures of 2 orders" in outcome("figures_follow_from_events").text
    assert "figures of 3 orders" in outcome("figures_follow_from_events", whole=True).text
    assert SAMPLE < ASKED_SAMPLE


def test_an_unknown_check_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="no check 'lagg'"):
        run_checks(frozenset({"lagg"}), False)


def test_junit_tells_failures_from_warnings() -> None:
    suite = Xml.fromstring(
        to_junit(
            [
                Outcome("a", "x", "passed", "fine"),
                Outcome("a", "y", "failed", "o-1 <&"),
                Outcome("b", "z", "warning", "w"),
            ]
        )
    )
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    assert [case.find("failure") is not None for case in suite] == [False, True, False]
    failure = suite[1].find("failure")
    assert failure is not None
    assert failure.get("message") == "o-1 <&"


def _stop_committing(platform: Platform) -> None:
    platform.leave()
    running = platform.backend.find()
    assert running is not None
    platform.backend.stop(running, drain=False)
