"""The matcher's one function on a real mongod: every message ends in a document or in the dead letters, once."""

import random
from collections.abc import Sequence

import pytest

from orders_platform.events import Event, decode_many, to_json
from orders_platform.matcher.bucket import Counts, Messages, add, match
from orders_platform.matcher.hot import Bounds, HotOrders
from orders_platform.matching import MAX_EVENTS, Rules, document_json, fold
from orders_platform.store import queries
from orders_platform.store.client import Store
from orders_platform_tests.poison import POISON

pytestmark = pytest.mark.services

NOW_MS = 1_800_000_000_000
RULES = Rules()
WIDE = Bounds(10_000, 8 << 20)


def order(order_id: str, minutes: int = 0) -> Event:
    return Event(f"o-{order_id}", "order_placed", order_id, NOW_MS - 60_000 * (600 - minutes), 1_000, "EUR")


def payment(order_id: str, number: int = 0, amount_minor: int = 1_000) -> Event:
    at_ms = NOW_MS - 60_000 * 590 + number
    return Event(f"p-{order_id}-{number}", "payment_captured", order_id, at_ms, amount_minor, "EUR", f"pay-{number}")


def messages(values: Sequence[bytes | None], first_offset: int = 0) -> Messages:
    count = len(values)
    return Messages(
        values, ["orders"] * count, [1] * count, range(first_offset, first_offset + count), [NOW_MS] * count
    )


def stored(store: Store) -> list[dict[str, object]]:
    return list(queries.export_orders(store))


def expected(events: Sequence[Event]) -> list[dict[str, object]]:
    orders: dict[str, dict[Event, None]] = {}
    for event in events:
        orders.setdefault(event.order_id, {})[event] = None
    return [document_json(fold(order_id, orders[order_id], NOW_MS, RULES)) for order_id in sorted(orders)]


def test_a_stream_in_any_order_and_any_batches_gives_the_same_documents(store: Store) -> None:
    events = [event for n in range(200) for event in (order(f"a{n}"), payment(f"a{n}", amount_minor=1_000 - n % 3))]
    chance = random.Random(7)
    sent = events + chance.sample(events, 60)
    chance.shuffle(sent)
    blob, total, at = None, Counts(), 0
    while at < len(sent):
        size = chance.randint(1, 90)
        hot = HotOrders(blob, Bounds(20, 1 << 20))  # small: most orders are found in the store, not here
        total = add(total, match(messages([to_json(e) for e in sent[at : at + size]], at), hot, NOW_MS, store, RULES))
        blob, at = hot.pack(), at + size
    assert stored(store) == expected(events)
    assert (total.messages, total.events, total.dead_letters, total.inserted) == (len(sent), len(sent), 0, 200)


def test_a_replay_changes_no_document_with_or_without_the_cache(store: Store) -> None:
    events = [event for n in range(50) for event in (order(f"a{n}"), payment(f"a{n}"))]
    values = [to_json(event) for event in events]
    hot = HotOrders(None, WIDE)
    match(messages(values), hot, NOW_MS, store, RULES)
    before = list(store.orders.find(sort=[("_id", 1)]))
    for cache in (hot, HotOrders(hot.pack(), WIDE), HotOrders(None, WIDE)):
        counts = match(messages(values), cache, NOW_MS + 1, store, RULES)
        assert (counts.unchanged, counts.inserted, counts.updated) == (50, 0, 0)
    assert list(store.orders.find(sort=[("_id", 1)])) == before


def test_every_poison_kind_is_dead_lettered_once_between_good_neighbours(store: Store) -> None:
    good = [order(f"g{n}") for n in range(len(POISON))]
    values = [value for event, kind in zip(good, POISON, strict=True) for value in (to_json(event), kind.raw)]
    for _ in range(2):
        counts = match(messages(values), HotOrders(None, WIDE), NOW_MS, store, RULES)
        assert (counts.events, counts.dead_letters) == (len(POISON), len(POISON))
    assert stored(store) == expected(good)
    letters = {letter.offset: letter for letter in queries.export_dead_letters(store)}
    assert {at: (letter.reason, letter.field) for at, letter in letters.items()} == {
        2 * n + 1: (kind.reason, kind.field) for n, kind in enumerate(POISON)
    }


def test_an_order_beyond_its_bound_does_not_harm_its_neighbours(store: Store) -> None:
    flood = [payment("flood", number, 1) for number in range(MAX_EVENTS + 25)]
    values = [to_json(event) for event in (order("quiet"), *flood, payment("quiet"))]
    counts = match(messages(values), HotOrders(None, WIDE), NOW_MS, store, RULES)
    assert counts.dead_letters == 25
    documents = {document["order_id"]: document for document in stored(store)}
    assert documents["quiet"]["status"] == "matched"
    assert documents["flood"]["event_count"] == MAX_EVENTS
    assert documents["flood"]["outcome"] == "break"
    assert "overflow" in str(documents["flood"]["reasons"])
    offsets = [letter.offset for letter in queries.export_dead_letters(store)]
    assert offsets == list(range(MAX_EVENTS + 1, MAX_EVENTS + 26))


def test_a_stale_cache_is_found_out(store: Store) -> None:
    first, stale = HotOrders(None, WIDE), HotOrders(None, WIDE)
    match(messages([to_json(order("a"))]), stale, NOW_MS, store, RULES)
    match(messages([to_json(payment("a", 1, 400))], 1), first, NOW_MS, store, RULES)
    counts = match(messages([to_json(payment("a", 2, 600))], 2), stale, NOW_MS, store, RULES)
    assert counts.conflicts == 1
    assert stored(store) == expected([order("a"), payment("a", 1, 400), payment("a", 2, 600)])


def test_a_value_of_null_is_a_dead_letter(store: Store) -> None:
    match(messages([None]), HotOrders(None, WIDE), NOW_MS, store, RULES)
    assert [letter.reason for letter in queries.export_dead_letters(store)] == ["not_json"]


def test_decoding_in_bulk_is_decoding_one_by_one() -> None:
    values = [kind.raw for kind in POISON] + [to_json(order("a")), None]
    assert decode_many(values) == [decode_many([value])[0] for value in values]
