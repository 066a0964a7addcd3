"""Merging into a real MongoDB: what is stored equals the oracle's fold of everything delivered, however it came."""

from random import Random
from typing import Any

import pytest

from orders_platform.errors import FatalStoreError
from orders_platform.matching import MAX_EVENTS, Rules
from orders_platform.store import documents, queries, schema
from orders_platform.store import merge as merging
from orders_platform.store.client import Store
from orders_platform.store.merge import Change, Known, merge
from orders_platform_tests import oracle
from orders_platform_tests.adversary import DEADLINE_MS, OPENING_MS
from orders_platform_tests.store.deliveries import (
    RULES,
    Adversity,
    arrived,
    change,
    event_of,
    exported,
    paid,
    placed,
    snapshot,
)

pytestmark = pytest.mark.services

CLOCK_MS = OPENING_MS + 60_000


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_portions_with_any_belief_give_the_fold_of_all(store: Store, seed: int) -> None:
    adversity = Adversity(seed, orders=150)
    random = Random(seed)
    beliefs: dict[str, list[Known | None]] = {}
    writes = 0
    for batch in adversity.batches(40):
        changes = [Change(order_id, random.choice(beliefs.get(order_id, [None])), its) for order_id, its in batch]
        merged = merge(store, changes, random.choice([OPENING_MS, CLOCK_MS, DEADLINE_MS + 1]), RULES)
        assert merged.refused == []
        assert merged.inserted + merged.updated + merged.unchanged == len(changes)
        writes += merged.inserted + merged.updated
        for order_id, known in merged.known.items():
            beliefs.setdefault(order_id, [None]).append(known)
    merge(store, [Change(order_id, None, []) for order_id in beliefs], DEADLINE_MS + 1, RULES)
    assert exported(store) == adversity.expected(DEADLINE_MS + 1)
    assert writes <= sum(document["version"] for document in snapshot(store)) <= writes + len(beliefs)


@pytest.mark.parametrize("believed", [True, False])
def test_a_replay_changes_no_document(store: Store, believed: bool) -> None:
    adversity = Adversity(4, orders=100)
    known: dict[str, Known] = {}
    for batch in adversity.batches(1000):
        known |= merge(store, [Change(order_id, None, its) for order_id, its in batch], CLOCK_MS, RULES).known
    before = snapshot(store)
    for batch in adversity.batches(30):
        changes = [Change(order_id, known[order_id] if believed else None, its) for order_id, its in batch]
        merged = merge(store, changes, CLOCK_MS + 1, RULES)
        assert (merged.inserted, merged.updated, merged.unchanged) == (0, 0, len(changes))
        if not believed:
            assert all(merged.known[order_id] == known[order_id] for order_id, _ in batch)
    assert snapshot(store) == before


def test_a_document_says_what_a_person_can_read(store: Store) -> None:
    order, payment = placed("o-1", customer_id="c-1"), paid("o-1", method="card")
    merge(store, [Change("o-1", None, arrived(order, topic="orders", start=7))], CLOCK_MS, RULES)
    merge(store, [Change("o-1", None, arrived(payment, order, start=3))], CLOCK_MS + 5, RULES)
    stored = snapshot(store)[0]
    assert [*stored] == [
        *("_id", "order_id", "status", "outcome", "reasons", "currency", "due_minor", "captured_minor"),
        *("refunded_minor", "charged_back_minor", "net_minor", "event_count", "deadline_at", "cancelled_at"),
        *("settled_at", "customer_id", "version", "clock", "first_seen_at", "updated_at", "late_at", "events"),
    ]
    assert (stored["version"], int(stored["clock"]), stored["customer_id"]) == (2, CLOCK_MS + 5, "c-1")
    assert stored["first_seen_at"] <= stored["updated_at"]
    merged_at = [event.pop("merged_at") for event in stored["events"]]
    assert OPENING_MS < int(merged_at[0]) <= int(merged_at[1]) == int(stored["late_at"])
    assert [{**event, "occurred_at": int(event["occurred_at"])} for event in stored["events"]] == [
        {
            "event_id": "o-1-placed",
            "type": "order_placed",
            "occurred_at": OPENING_MS,
            "amount_minor": 100,
            "currency": "EUR",
            "customer_id": "c-1",
            "topic": "orders",
            "partition": 0,
            "offset": 7,
        },
        {
            "event_id": "o-1-paid-1",
            "type": "payment_captured",
            "occurred_at": OPENING_MS + 1,
            "amount_minor": 100,
            "currency": "EUR",
            "payment_id": "o-1-p1",
            "method": "card",
            "topic": "payments",
            "partition": 0,
            "offset": 3,
        },
    ]
    kinds = {
        kind["k"]: kind["t"]
        for kind in store.orders.aggregate(
            [
                {"$project": {"pairs": {"$objectToArray": "$$ROOT"}}},
                {"$unwind": "$pairs"},
                {"$project": {"_id": 0, "k": "$pairs.k", "t": {"$type": "$pairs.v"}}},
            ]
        )
    }
    assert {kinds[name] for name in kinds if name.endswith("_minor") or name in {"version", "event_count"}} == {"long"}
    assert {kinds[name] for name in kinds if name.endswith("_at") or name == "clock"} == {"date", "null"}


def test_a_version_moved_by_another_writer_is_read_and_merged(store: Store) -> None:
    stale = merge(store, [change(placed("o"))], CLOCK_MS, RULES).known["o"]
    merge(store, [change(paid("o", 1), known=stale)], CLOCK_MS, RULES)
    merged = merge(store, [change(paid("o", 2), known=stale)], CLOCK_MS, RULES)
    assert (merged.updated, merged.conflicts, merged.known["o"].version) == (1, 1, 3)
    assert list(merged.known["o"].view.events) == [placed("o"), paid("o", 1), paid("o", 2)]
    assert exported(store)[0]["reasons"] == ["duplicate_payment"]


def test_believing_without_comparing_would_be_noticed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The switch: without the comparison of versions the same steps store figures that leave an event out."""
    read = merging._read

    def believe(*given: Any) -> dict[str, Any]:
        return read(*given) | {change.order_id: change.known.version for change in given[1] if change.known}

    monkeypatch.setattr(merging, "_read", believe)
    stale = merge(store, [change(placed("o"))], CLOCK_MS, RULES).known["o"]
    merge(store, [change(paid("o", 1), known=stale)], CLOCK_MS, RULES)
    merge(store, [change(paid("o", 2), known=stale)], CLOCK_MS, RULES)
    assert exported(store)[0]["reasons"] == []


def test_a_document_that_vanished_is_stored_again(store: Store) -> None:
    known = merge(store, [change(placed("o"))], CLOCK_MS, RULES).known["o"]
    store.orders.delete_one({"_id": "o"})
    merged = merge(store, [change(paid("o"), known=known)], CLOCK_MS, RULES)
    assert (merged.inserted, merged.known["o"].version) == (1, 1)
    assert [event["event_id"] for event in snapshot(store)[0]["events"]] == ["o-placed", "o-paid-1"]
    assert exported(store)[0]["status"] == "matched"
    store.orders.delete_many({})
    assert merge(store, [Change("o", None, [])], CLOCK_MS, RULES).known == {}


def test_a_document_that_vanished_keeps_its_flag(store: Store) -> None:
    events = [paid("o", number) for number in range(MAX_EVENTS + 1)]
    known = merge(store, [change(*events)], CLOCK_MS, RULES).known["o"]
    store.orders.delete_one({"_id": "o"})
    again = merge(store, [change(events[0], known=known)], CLOCK_MS, RULES)
    assert (again.inserted, again.refused, again.known["o"].view) == (1, [], known.view)
    assert "overflow" in exported(store)[0]["reasons"]


def test_text_that_looks_like_a_query_is_only_text(store: Store) -> None:
    texts = ["$method", "$$NOW", "a.b", "$set", "\0$ne\0", "{$gt: 1}", "😀" * 64, ""]
    order_ids = [f"o.{number}:x_y-z" for number in range(len(texts))]
    for step in (1, 2):  # inserted, then updated
        changes = [
            change(paid(order_id, step, method=text, reason=text), known=None)
            for order_id, text in zip(order_ids, texts, strict=True)
        ]
        merge(store, changes, CLOCK_MS, RULES)
    merge(
        store,
        [change(placed(order_id, customer_id=text)) for order_id, text in zip(order_ids, texts, strict=True)],
        CLOCK_MS,
        RULES,
    )
    for document, text in zip(snapshot(store), texts, strict=True):
        assert [event.get("method") for event in document["events"]] == [text, text, None]
        assert [event.get("reason") for event in document["events"]] == [text, text, None]
        assert document["customer_id"] == document["events"][2]["customer_id"] == text
    merged = merge(
        store,
        [change(paid(order_id, 1, method=text, reason=text)) for order_id, text in zip(order_ids, texts, strict=True)],
        CLOCK_MS,
        RULES,
    )
    assert merged.unchanged == len(texts)


def test_the_bound_of_events_holds_across_merges_and_is_flagged(store: Store) -> None:
    first = [paid("o", number) for number in range(300)]
    second = [paid("o", number) for number in range(250, 600)]
    known = merge(store, [change(*first)], CLOCK_MS, RULES).known["o"]
    merged = merge(store, [change(*second, start=1000)], CLOCK_MS, RULES)
    assert [arrival.event for arrival in merged.refused] == second[-100:]
    assert [arrival.offset for arrival in merged.refused] == list(range(1250, 1350))
    before = snapshot(store)
    assert before[0]["event_count"] == len(before[0]["events"]) == MAX_EVENTS
    assert exported(store)[0]["outcome"] == "break"
    assert "overflow" in exported(store)[0]["reasons"]
    for belief in (known, merged.known["o"], None):  # again, whatever is believed
        again = merge(store, [change(*second, known=belief)], CLOCK_MS, RULES)
        assert (len(again.refused), again.unchanged) == (100, 1)
    assert snapshot(store) == before


def test_the_flag_alone_is_worth_a_write(store: Store) -> None:
    known = merge(store, [change(*[paid("o", number) for number in range(MAX_EVENTS)])], CLOCK_MS, RULES).known["o"]
    assert "overflow" not in exported(store)[0]["reasons"]
    merged = merge(store, [change(placed("o"), known=known)], CLOCK_MS, RULES)
    assert (merged.updated, len(merged.refused), merged.known["o"].view.overflow) == (1, 1, True)
    assert "overflow" in exported(store)[0]["reasons"]


def test_huge_orders_do_not_keep_their_neighbours_waiting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "😀" * 64
    long = "x" * 100
    huge = [
        [
            paid(f"huge-{order}", number, payment_id=f"{long}{number}", method=text, reason=text)
            for number in range(MAX_EVENTS)
        ]
        for order in range(30)
    ]
    monkeypatch.setattr(merging, "COMMAND_BYTES", 1 << 20)
    changes = [change(*events) for events in huge] + [change(placed(f"o-{number}")) for number in range(3000)]
    merged = merge(store, changes, CLOCK_MS, RULES)
    assert (merged.inserted, merged.refused) == (3030, [])
    changes = [change(placed(f"huge-{order}"), known=merged.known[f"huge-{order}"]) for order in range(30)]
    changes += [change(paid(f"o-{number}"), known=merged.known[f"o-{number}"]) for number in range(3000)]
    merged = merge(store, changes, CLOCK_MS, RULES)
    assert (merged.updated, len(merged.refused)) == (3030, 30)
    rows = {row["order_id"]: row["status"] for row in exported(store)}
    assert [rows[f"o-{number}"] for number in range(3000)] == ["matched"] * 3000


@pytest.mark.parametrize("believed", [True, False])
def test_large_stored_orders_are_read_a_few_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch, believed: bool
) -> None:
    changes = [change(*[paid(f"o-{number}", at) for at in range(100)]) for number in range(20)]
    stale = merge(store, changes, CLOCK_MS, RULES).known
    merge(store, [change(paid(f"o-{number}", 100)) for number in range(20)], CLOCK_MS, RULES)
    monkeypatch.setattr(merging, "READ_EVENTS", 300)
    reads: list[int] = []
    original = merging.plan

    def counting(part: Any, found: dict[str, Any], *given: Any) -> Any:
        reads.append(len(found))
        return original(part, found, *given)

    monkeypatch.setattr(merging, "plan", counting)
    known = stale if believed else {}
    changes = [change(placed(f"o-{number}"), known=known.get(f"o-{number}")) for number in range(20)]
    assert merge(store, changes, CLOCK_MS, RULES).updated == 20
    assert max(reads) <= 3
    assert sum(reads) == 20
    assert {row["event_count"] for row in exported(store)} == {102}


def test_chunks_are_bounded_in_orders_and_events_and_lose_nothing() -> None:
    changes = [change(*[paid(f"o-{number}", at) for at in range(number % 40 + 1)]) for number in range(900)]
    whole = [change(*[paid("whole", at) for at in range(30)])]
    merging_bounds = list(merging._chunks(changes + whole))
    assert [each for chunk in merging_bounds for each in chunk] == changes + whole
    for chunk in merging_bounds:
        assert len(chunk) <= merging.CHUNK_ORDERS
        assert len(chunk) == 1 or sum(len(each.arrivals) for each in chunk) <= merging.CHUNK_EVENTS
    assert [len(chunk) for chunk in merging._chunks(changes * 5)] != [4500]
    assert list(merging._chunks([])) == []


def test_time_moves_only_what_waits_and_never_back(store: Store) -> None:
    known = merge(store, [change(placed("waits")), change(placed("paid"), paid("paid"))], CLOCK_MS, RULES).known
    assert queries.due(store, DEADLINE_MS, 10) == []
    due = queries.due(store, DEADLINE_MS + 1, 10)
    assert due == [("waits", known["waits"])]
    merged = merge(store, [Change(order_id, it, []) for order_id, it in due], DEADLINE_MS + 1, RULES)
    assert (merged.updated, merged.known["waits"].open) == (1, False)
    assert queries.due(store, DEADLINE_MS + 1, 10) == []
    assert {row["order_id"]: row["status"] for row in exported(store)} == {"paid": "matched", "waits": "unpaid"}
    before = snapshot(store)
    for belief in (*due[:1], ("waits", merged.known["waits"]), ("waits", None)):
        assert merge(store, [Change("waits", belief[1], [])], CLOCK_MS, RULES).unchanged == 1
    assert snapshot(store) == before
    merge(store, [change(paid("waits", amount_minor=1))], CLOCK_MS, RULES)
    assert exported(store)[1]["status"] == "underpaid"
    assert int(snapshot(store)[1]["clock"]) == DEADLINE_MS + 1


def test_other_rules_are_applied_by_a_replay_and_by_the_sweep(store: Store) -> None:
    cheap = Rules(tolerance_minor=100)
    patient = Rules(payment_window_ms=RULES.payment_window_ms * 2)
    known = merge(store, [change(placed("a")), change(placed("b"))], CLOCK_MS, RULES).known
    for rules, status, times in ((patient, "awaiting_payment", 1), (cheap, "matched", 0)):
        due = queries.due(store, DEADLINE_MS + 1 + times, 10)
        merged = merge(store, [Change(order_id, it, []) for order_id, it in due], DEADLINE_MS + 1, rules)
        assert merged.updated == 2 * times
        assert queries.due(store, DEADLINE_MS + 1, 10) == []
        merged = merge(store, [change(placed("a"), known=known["a"]), change(placed("b"))], DEADLINE_MS + 1, rules)
        known = merged.known
        assert merged.updated == 2 - 2 * times
        assert [row["status"] for row in exported(store)] == [status] * 2
        assert merge(store, [change(placed("a"), known=known["a"])], DEADLINE_MS + 1, rules).unchanged == 1


def test_times_at_both_ends_of_the_contract(store: Store) -> None:
    early, late = placed("early", occurred_at=0), placed("late", occurred_at=oracle.LAST_MS)
    merge(store, [change(early), change(late)], 0, RULES)
    assert [row["deadline_at"] for row in exported(store)] == [
        "1970-01-01T00:30:00.000Z",
        oracle.time_text(oracle.LAST_MS + RULES.payment_window_ms),
    ]
    merged = merge(store, [change(early), change(late)], 0, RULES)
    assert merged.unchanged == 2
    known = merge(store, [Change("late", None, [])], oracle.LAST_MS, RULES).known["late"]
    assert known.view.events == {late: None}


def test_amounts_at_both_ends_of_the_contract(store: Store) -> None:
    most = oracle.LARGEST_AMOUNT
    merge(
        store, [change(placed("o", amount_minor=0), *[paid("o", at, amount_minor=most) for at in range(499)])], 0, RULES
    )
    assert exported(store)[0]["net_minor"] == most * 499


def test_a_merge_of_nothing_asks_nothing(store: Store) -> None:
    store.close()
    assert merge(store, [], CLOCK_MS, RULES).known == {}


def test_a_document_that_the_validator_refuses_is_fatal_and_writes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "fingerprint", lambda figures: b"")
    original = documents.figures
    monkeypatch.setattr(
        documents, "figures", lambda document: original(document).replace(b"awaiting_payment", b"awaiting_PAYMENT")
    )
    with pytest.raises(FatalStoreError, match="121"):
        merge(store, [change(paid("o-0"), placed("o-0")), change(placed("o-1"))], CLOCK_MS, RULES)
    assert snapshot(store) == []
    schema.migrate(store)
    monkeypatch.undo()
    assert (
        merge(
            store,
            [change(event_of({"event_id": "e", "type": "order_cancelled", "order_id": "o", "occurred_at": 1}))],
            0,
            RULES,
        ).inserted
        == 1
    )
