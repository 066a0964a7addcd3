"""The live server as a process: its JSON, its stream, its metrics, an order's story, and what it does in trouble."""

import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orders_platform.live.metrics import CURRENCIES_MAX, OTHER, NumbersCollector, Seen
from orders_platform.live.numbers import Counted, Numbers, Rates
from orders_platform.local import mongod, processes
from orders_platform.matcher.bucket import WAIT_BOUNDS_MS, Counts
from orders_platform.reports.days import date_at, day_of
from orders_platform.store import dead_letters, matcher_records, schema, statements, views
from orders_platform.store.client import Store, connect
from orders_platform.store.dead_letters import DeadLetter
from orders_platform.store.merge import merge
from orders_platform.streams.publish import Publisher
from orders_platform_tests import matcher_words
from orders_platform_tests.adversary import DEADLINE_MS
from orders_platform_tests.conftest import RunningStack
from orders_platform_tests.live.serving import Server
from orders_platform_tests.store.deliveries import RULES, change, paid, placed

pytestmark = pytest.mark.services
Serve = Callable[..., Server]


def works(store: Store, messages: int = 3) -> None:
    """Leave in the store what a matcher at work leaves."""
    matcher_records.take_epoch(store, "test", 60, 0)
    matcher_words.begins(store, 1)
    waits = [0] * (len(WAIT_BOUNDS_MS) + 1)
    waits[3] = messages
    counts = Counts(messages=messages, events=messages - 1, dead_letters=1, inserted=2, waits=waits, waited_ms=2_000)
    matcher_records.record_batch(store, 1, 0, {}, batch=counts, totals=counts, duration_ms=250)
    matcher_records.write_heartbeat(store, 1, "running", deadline_swept_to_ms=1_000)
    matcher_records.note_look(store, "host:/home")


def shop(store: Store) -> None:
    merge(store, [change(placed("m"), paid("m")), change(placed("u", amount_minor=250))], DEADLINE_MS + 1, RULES)
    merge(store, [change(placed("yen", amount_minor=7, currency="JPY"))], DEADLINE_MS + 1, RULES)
    dead_letters.write(store, [DeadLetter("orders", 0, 1, "not_json", None, b"", None)])


def samples(server: Server) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the metrics by name and labels, as Prometheus' own format is read."""
    text = server.get("/metrics")[1].decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_json_and_metrics_say_what_the_store_and_kafka_hold(
    store: Store, serve: Serve, stack: RunningStack, topics: tuple[str, str, str]
) -> None:
    works(store)
    shop(store)
    with Publisher(stack.bootstrap_servers, {}) as publisher:
        for _ in range(7):
            publisher.send(topics[1], None, b"{}")
    server = serve()
    server.until(lambda: server.numbers().get("dead_letters") == {"not_json": 1})
    server.until(lambda: server.numbers()["matcher"]["behind"] == 7)
    told = server.numbers()
    assert (told["stale"], told["trouble"], told["dagster"], told["charts"]) == (False, "", None, None)
    assert told["orders"] == views.rows(store, "v_status_totals")
    assert told["at_risk"] == views.rows(store, "v_value_at_risk")
    assert (told["matched_minor"], told["at_risk_minor"]) == ({"EUR": 100}, {"EUR": 250, "JPY": 7})
    assert told["digits"] == {"EUR": 2, "JPY": 0}
    assert {each["order_id"] for each in told["newest_breaks"]} == {"u", "yen"}
    assert (told["matcher"]["state"], told["matcher"]["wanted"], told["matcher"]["messages"]) == ("running", True, 3)
    assert [row["messages"] for row in told["minutes"]] == [3]
    assert told["counted_at"] <= told["at"]
    found = samples(server)

    def value(name: str, **labels: str) -> float:
        return found[name, frozenset(labels.items())]

    assert value("orders_store_up") == value("orders_matcher_up") == 1
    assert value("orders_matcher_messages_behind") == 7
    assert value("orders_matcher_messages_total") == 3
    assert value("orders_matcher_dead_letters_total") == 1
    assert value("orders_matcher_documents_total", change="inserted") == 2
    assert value("orders_matcher_last_batch_duration_seconds") == 0.25
    assert value("orders_matcher_message_wait_seconds_bucket", le="0.5") == 0
    assert value("orders_matcher_message_wait_seconds_bucket", le="1.0") == 3
    assert value("orders_matcher_message_wait_seconds_count") == 3
    assert value("orders_matcher_message_wait_seconds_sum") == 2
    assert value("orders_stored", outcome="break", status="unpaid", currency="JPY") == 1
    assert value("orders_at_risk_minor", kind="unpaid", currency="EUR") == 250
    assert value("orders_money_at_risk_minor", currency="EUR") == 250
    assert value("orders_matcher_wanted") == 1
    assert value("orders_breaks", kind="unpaid", currency="EUR") == 1
    assert value("orders_due_minor", status="matched", currency="EUR") == 100
    assert value("orders_dead_letters", reason="not_json") == 1
    assert value("orders_currency_minor_per_major", currency="JPY") == 1
    assert abs(value("orders_supervisor_last_look_timestamp_seconds") - time.time()) < 60


def test_the_stream_goes_on_telling(store: Store, serve: Serve) -> None:
    server = serve()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", "/events")
    stream = connection.getresponse()
    assert stream.headers["content-type"].startswith("text/event-stream")

    def next_event() -> dict[str, object]:
        line = stream.readline()
        while not line.startswith(b"data: "):
            line = stream.readline()
        return json.loads(line.removeprefix(b"data: "))

    assert next_event()["orders"] == []
    merge(store, [change(paid("late"))], DEADLINE_MS + 1, RULES)
    deadline_s = time.monotonic() + 20
    while not next_event()["orders"]:
        assert time.monotonic() < deadline_s
    connection.close()


def test_an_orders_story_and_an_order_that_is_not_there(store: Store, serve: Serve) -> None:
    shop(store)
    server = serve()
    status, body = server.get("/api/order.json?id=u")
    told = json.loads(body)
    assert (status, told["document"]["status"]) == (200, "unpaid")
    assert [event["type"] for event in told["events"]] == ["order_placed"]
    for name in ("nobody", "", "%24ne", "%00"):
        status, body = server.get(f"/api/order.json?id={name}")
        assert status == 404
        assert "There is no order" in json.loads(body)["error"]


def test_the_day_so_far_is_what_its_statement_would_say(store: Store, serve: Serve) -> None:
    now_ms = int(matcher_records.server_time_ms(store))
    today = day_of(date_at(now_ms, "UTC"), "UTC")
    at_ms = today.start_ms + (now_ms - today.start_ms) // 2
    merge(
        store, [change(placed("a", occurred_at=at_ms, amount_minor=900), paid("a", occurred_at=at_ms))], now_ms, RULES
    )
    server = serve()
    server.until(lambda: server.numbers().get("day") is not None)
    day = server.numbers()["day"]
    assert day["date"] == today.date.isoformat()
    bridge = day["currencies"]["EUR"]
    assert (bridge["placed_minor"], bridge["captured_minor"], bridge["closing_minor"]) == (900, 100, 800)
    assert bridge["residual_minor"] == 0
    assert statements.last_date(store) is None, "looking keeps nothing"


def test_what_a_person_wants_and_what_kafka_does_not_say_is_told(store: Store, serve: Serve) -> None:
    works(store)
    matcher_records.set_desired(store, state="stopped")
    server = serve(ORDERS_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    server.until(lambda: "Kafka" in server.numbers()["trouble"])
    told = server.numbers()
    assert (told["stale"], told["matcher"]["wanted"], told["matcher"]["behind"]) == (False, False, None)
    found = samples(server)
    assert found["orders_matcher_wanted", frozenset()] == 0
    assert ("orders_matcher_messages_behind", frozenset()) not in found


def test_the_rarest_currencies_share_a_label_and_their_amounts_are_not_added() -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    orders = [
        {
            "status": "matched",
            "outcome": "ok",
            "currency": f"X{one}{other}",
            "orders": 9,
            "due_minor": 5,
            "at_risk_minor": 0,
        }
        for one in letters
        for other in letters
    ]
    orders.append(orders[0] | {"currency": "EUR", "orders": 1_000})
    numbers = Numbers(0, None, None, True, None, Rates(), orders, [], [], Counted())
    families = {family.name: family for family in NumbersCollector(lambda: Seen(numbers)).collect()}
    stored = {sample.labels["currency"]: sample.value for sample in families["orders_stored"].samples}
    assert len(stored) == CURRENCIES_MAX + 1
    assert (stored["EUR"], sum(stored.values())) == (1_000, 1_000 + 9 * 26 * 26)
    assert OTHER not in {sample.labels["currency"] for sample in families["orders_due_minor"].samples}


def test_a_damaged_document_has_labels_like_any_other() -> None:
    damaged = {"status": None, "outcome": None, "currency": None, "orders": 1, "due_minor": 0, "at_risk_minor": 0}
    orders = [damaged, damaged | {"status": "matched", "outcome": "ok", "currency": "EUR"}]
    at_risk = [{"kind": None, "currency": None, "breaks": 1, "at_risk_minor": 0}]
    numbers = Numbers(0, None, None, True, None, Rates(), orders, at_risk, [], Counted())
    families = {family.name: family for family in NumbersCollector(lambda: Seen(numbers)).collect()}
    stored = [tuple(sample.labels.values()) for sample in families["orders_stored"].samples]
    assert sorted(stored) == [("none", "none", "none"), ("ok", "matched", "EUR")]
    assert [sample.labels["kind"] for sample in families["orders_breaks"].samples] == ["none"]


def test_a_matcher_that_never_ran_is_wanted_and_not_up(store: Store, serve: Serve) -> None:
    found = samples(serve())
    assert found["orders_matcher_wanted", frozenset()] == 1
    assert found["orders_matcher_up", frozenset()] == 0
    del store


def test_who_asks_is_who_is_connected_whatever_a_header_says(store: Store, serve: Serve) -> None:
    server = serve(FORWARDED_ALLOW_IPS="*")
    for said in ("10.1.2.3", "unknown", "127.0.0.1"):
        assert server.get("/api/numbers.json", **{"X-Forwarded-For": said})[0] == 200
    assert server.get("/api/numbers.json", Host="shop.example")[0] == 403
    del store


def test_health_is_what_orders_status_says(serve: Serve, store: Store) -> None:
    server = serve()
    status, body = server.get("/healthz")
    told = json.loads(body)
    assert status == 503, "no matcher runs"
    states = {part["name"]: part["state"] for part in told["components"]}
    assert states["mongo"] == states["kafka"] == "running"
    assert states["matcher"] != "running"
    assert server.get("/healthz", Host="evil.example")[0] == 403
    del store


@pytest.fixture
def mongo_home(tmp_path: Path) -> Iterator[Path]:
    """The home of a mongod of the test's own, with a migrated database `live`."""
    home = tmp_path / "mongo"
    process = mongod.start(home)
    try:
        with closing(connect(mongod.uri(home), "live")) as store:
            schema.migrate(store)
            works(store)
        yield home
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
        mongod.stop(home)
        processes.reap(process)


def test_a_mongodb_that_hangs_is_told_and_over_when_it_is_back(serve: Serve, mongo_home: Path) -> None:
    server = serve(ORDERS_MONGO__URI=mongod.uri(mongo_home), ORDERS_MONGO__DATABASE="live")
    assert samples(server)["orders_store_up", frozenset()] == 1
    process = processes.find(mongo_home, mongod.NAME)
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    server.until(lambda: server.numbers()["stale"])
    assert server.numbers()["stale_s"] > 4
    found = samples(server)
    assert found["orders_store_up", frozenset()] == 0
    assert ("orders_matcher_up", frozenset()) not in found, "what is not known is not told"
    os.kill(process.pid, signal.SIGCONT)
    server.until(lambda: not server.numbers()["stale"])
    assert samples(server)["orders_store_up", frozenset()] == 1


def test_a_mongodb_that_is_gone_is_told_and_found_again(serve: Serve, mongo_home: Path) -> None:
    server = serve(ORDERS_MONGO__URI=mongod.uri(mongo_home), ORDERS_MONGO__DATABASE="live")
    mongod.stop(mongo_home)
    server.until(lambda: server.numbers()["trouble"] and server.numbers()["stale"])
    assert server.get("/")[0] == 200
    mongod.start(mongo_home)
    server.until(lambda: not server.numbers()["stale"] and not server.numbers()["trouble"])
