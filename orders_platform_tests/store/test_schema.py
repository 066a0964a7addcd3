"""Validators and indexes on a real MongoDB."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from pymongo.errors import WriteError

from orders_platform.errors import FatalStoreError
from orders_platform.store import dead_letters, queries, schema
from orders_platform.store.client import Store, connect
from orders_platform.store.dead_letters import DeadLetter
from orders_platform.store.merge import merge
from orders_platform_tests.adversary import OPENING_MS
from orders_platform_tests.store.deliveries import RULES, change, placed, snapshot

pytestmark = pytest.mark.services


def _without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.pop(name)


def _with(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.update(fields)


DAMAGES = [
    *[_without(name) for name in ("order_id", "status", "outcome", "version", "clock", "events", "deadline_at")],
    *[_without(name) for name in ("currency", "due_minor", "captured_minor", "updated_at", "first_seen_at")],
    _with(status="paid"),
    _with(outcome="fine"),
    _with(due_minor=Int64(-1)),
    _with(due_minor=1),  # 32 bits
    _with(captured_minor=1.5),
    _with(captured_minor=None),
    _with(net_minor="12"),
    _with(version=Int64(0)),
    _with(event_count=Int64(0)),
    _with(deadline_at=None),
    _with(deadline_at=OPENING_MS),
    _with(updated_at="2026-01-05"),
    _with(reasons="late"),
    _with(events=[]),
    _with(events=[{}] * 501),
    _with(events={}),
    _with(customer_id=7),
]


@pytest.mark.parametrize("number", range(len(DAMAGES)))
def test_the_validator_refuses_a_damaged_order(store: Store, number: int) -> None:
    merge(store, [change(placed("o"))], OPENING_MS, RULES)
    document = snapshot(store)[0]
    DAMAGES[number](document)
    with pytest.raises(WriteError) as raised:
        store.orders.replace_one({"_id": "o"}, document)
    assert raised.value.code == 121
    document["_id"] = "another"
    with pytest.raises(WriteError):
        store.orders.insert_one(document)


def test_the_validator_refuses_a_damaged_dead_letter(store: Store) -> None:
    dead_letters.write(store, [DeadLetter("orders", 0, 1, "not_json", None, b"", None)])
    document = next(store.dead_letters.find())
    for damage in ({"reason": "bad_mood"}, {"offset": "1"}, {"raw": "text"}, {"broker_time": 5}, {"size": 3}):
        with pytest.raises(WriteError):
            store.dead_letters.insert_one(document | {"_id": "another"} | damage)
    store.dead_letters.insert_one(document | {"_id": "another", "broker_time": DatetimeMS(5)})


def test_migrating_again_or_at_once_is_harmless(database: tuple[str, str]) -> None:
    store = connect(*database)
    with ThreadPoolExecutor(8) as pool:
        for migrated in [pool.submit(schema.migrate, store) for _ in range(16)]:
            migrated.result()
    before = {name: store.database[name].index_information() for name in ("orders", "dead_letters", "matcher")}
    stamped_since = store.matcher.find_one({"_id": "schema"})
    schema.migrate(store)
    assert before == {name: store.database[name].index_information() for name in before}
    assert store.matcher.find_one({"_id": "schema"}) == stamped_since
    recorded = store.matcher.find_one({"_id": "schema"}, {"stamped_since": 0})
    assert recorded == {"_id": "schema", "version": schema.VERSION}
    store.close()


def test_a_missing_or_weaker_validator_is_mended_while_others_write(store: Store) -> None:
    merge(store, [change(placed("o"))], OPENING_MS, RULES)
    store.database.command({"collMod": "orders", "validator": {}, "validationAction": "warn"})
    schema.migrate(store)
    options = next(iter(store.database.list_collections(filter={"name": "orders"})))["options"]
    assert options["validationAction"] == "error"
    assert options["validator"]["$jsonSchema"]["required"]


def test_a_database_of_a_later_version_is_left_alone(store: Store) -> None:
    store.matcher.update_one({"_id": "schema"}, {"$set": {"version": Int64(schema.VERSION + 1)}})
    with pytest.raises(FatalStoreError, match="later version"):
        schema.migrate(store)


def test_the_sweep_and_the_dead_letters_are_read_by_index(store: Store) -> None:
    merge(store, [change(placed(f"o-{number}")) for number in range(100)], OPENING_MS, RULES)
    wanted = {"status": {"$in": sorted(queries.PENDING_STATUSES)}, "deadline_at": {"$lt": DatetimeMS(0)}}
    plan = store.orders.find(wanted, sort=[("deadline_at", 1)]).explain()["executionStats"]
    assert (plan["totalDocsExamined"], plan["totalKeysExamined"]) == (0, 0)
    plan = store.dead_letters.find(sort=[("topic", 1), ("partition", 1), ("offset", 1)]).explain()
    assert "SORT" not in str(plan["queryPlanner"]["winningPlan"])


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_database_of_an_earlier_version_is_brought_here(database: tuple[str, str], version: int) -> None:
    store = connect(*database)
    store.orders.insert_one({"_id": "o"})
    store.matcher.insert_one({"_id": "schema", "version": Int64(version)})
    schema.migrate(store)
    assert {"event_times", "unsettled", "late", "waiting_by_deadline"} <= set(store.orders.index_information())
    recorded = store.matcher.find_one({"_id": "schema"})
    assert recorded is not None
    assert (recorded["version"], int(recorded["stamped_since"]) > OPENING_MS) == (schema.VERSION, True)
    store.close()


def test_a_statements_reads_go_by_index(store: Store) -> None:
    merge(store, [change(placed(f"o-{number}")) for number in range(100)], OPENING_MS, RULES)
    merge(store, [change(placed("late", occurred_at=OPENING_MS + 86_400_000))], OPENING_MS, RULES)
    later = DatetimeMS(OPENING_MS + 1)
    for wanted, index, examined in (
        ({"events.occurred_at": {"$gte": later}}, "event_times", 1),
        ({"outcome": {"$in": ["break", "pending"]}}, "unsettled", 101),
    ):
        plan = store.orders.find(wanted, hint=index).explain()["executionStats"]
        assert plan["totalDocsExamined"] == examined


def test_the_validator_refuses_a_damaged_break_or_statement(store: Store) -> None:
    for damaged in ({"_id": "o:unpaid", "kind": "unpaid"}, {"_id": "o:sad", "kind": "sad", "order_id": "o"}):
        with pytest.raises(WriteError):
            store.breaks.insert_one(damaged)
    with pytest.raises(WriteError):
        store.statements.insert_one({"_id": "2026-01-05:1", "date": "2026-01-05", "verdict": "clean"})
