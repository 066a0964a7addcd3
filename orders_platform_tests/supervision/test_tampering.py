"""Who notices what somebody changed in a stored document: a table of what was changed, in which orders the day's
statement names it, and which checks do. Nothing may be changed without anybody naming the order."""

import copy
import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, NamedTuple

import bson
import pytest
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from orders_platform.matcher.bucket import Messages, match
from orders_platform.matcher.hot import Bounds, HotOrders
from orders_platform.matching import Rules, fold
from orders_platform.reports.days import day_of
from orders_platform.reports.making import Broker, make_day
from orders_platform.settings import Settings
from orders_platform.store import audit, documents
from orders_platform.store.client import CODEC, Store
from orders_platform.streams.offsets import begin_offsets, end_offsets
from orders_platform.streams.publish import Publisher
from orders_platform.streams.read import read_range
from orders_platform.supervision import checks, rounds
from orders_platform.supervision.decide import Policy
from orders_platform.supervision.observe import Memory
from orders_platform_tests import matcher_words, oracle
from orders_platform_tests.adversary import OPENING_MS
from orders_platform_tests.reports.shops import DAY_MS, HOUR_MS
from orders_platform_tests.supervision.conftest import settings

__all__ = ["settings"]
pytestmark = pytest.mark.services
DAY = date(2026, 1, 5)
ZERO_MS = OPENING_MS - 10 * HOUR_MS  # the day begins
BEFORE_MS = ZERO_MS - 5 * DAY_MS
Found = dict[str, Any]


def content(kind: str, at_ms: int, amount: int | None = None, **fields: Any) -> oracle.Content:
    money = {} if amount is None else {"amount_minor": amount, "currency": "EUR"}
    return {"event_id": f"{kind}-{at_ms}", "type": kind, "occurred_at": at_ms} | money | fields


def bought(at_ms: int, paid: int = 100, *more: oracle.Content) -> list[oracle.Content]:
    """An order of 100 with a payment, told in this order."""
    order = content("order_placed", at_ms, 100, customer_id="c")
    return [order, content("payment_captured", at_ms + 60_000, paid, payment_id="p"), *more]


PLACES = {
    "settled": bought(BEFORE_MS),
    "refunded": bought(BEFORE_MS, 100, content("refund_issued", BEFORE_MS + DAY_MS, 40, refund_id="r")),
    "over-refunded": bought(BEFORE_MS, 100, content("refund_issued", BEFORE_MS + DAY_MS, 140, refund_id="r")),
    "cancelled": bought(
        BEFORE_MS,
        100,
        content("order_cancelled", BEFORE_MS + HOUR_MS),
        content("refund_issued", BEFORE_MS + DAY_MS, 100, refund_id="r"),
    ),
    "charge-back won": bought(
        BEFORE_MS,
        100,
        content("chargeback_opened", BEFORE_MS + DAY_MS, 100, chargeback_id="b"),
        content("chargeback_reversed", BEFORE_MS + 2 * DAY_MS, chargeback_id="b"),
    ),
    "open break": bought(BEFORE_MS, 60),
    "of the day": bought(ZERO_MS + HOUR_MS),
    "waiting": bought(ZERO_MS + DAY_MS - 600_000, 60),
}


def at(*path: Any, value: Any = None, change: Callable[[Any], Any] | None = None) -> Callable[[Found], object]:
    def tamper(found: Found) -> None:
        place = found
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value if change is None else change(place[path[-1]])

    return tamper


def more(value: Any) -> Any:
    return Int64(int(value or 0) + 1)


def earlier(value: Any) -> Any:
    return DatetimeMS(int(value or 0) - DAY_MS // 2)


def forged(tamper: Callable[[Found], object]) -> Callable[[Found], object]:
    """Change something, and make everything fit that follows from it."""

    def forge(found: Found) -> None:
        tamper(found)
        events = [arrival.event for arrival in documents.arrivals(found)]
        folded = fold(found["_id"], events, documents.clock_ms(found), Rules())
        found.update(bson.decode(documents._document(documents.figures(folded)).raw, CODEC))

    return forge


def add_event(found: Found) -> None:
    other = copy.deepcopy(found["events"][1]) | {"event_id": "of-nobody", "payment_id": "q", "offset": Int64(10**6)}
    found["events"].append(other)


FOLDED = {"over-refunded", "charge-back won", "open break", "of the day", "waiting"}
"""Where the day's statement folds an order in any case; the others may only be added up in MongoDB."""
EVERYWHERE = set(PLACES)
MESSAGES, FIGURES, TWICE, VALID = (
    "messages_conserved",
    "figures_follow_from_events",
    "no_event_twice",
    "documents_valid",
)


class Tampering(NamedTuple):
    """What is done to a document, in which places the day's statement names its order at least, and which checks do."""

    act: Callable[[Found], object]
    statement: set[str]
    checks: set[str]


def _of_event(number: int, name: str, **how: Any) -> Callable[[Found], object]:
    return at("events", number, name, **how)


TAMPERINGS = {
    # what a stored event says
    "amount of the payment": Tampering(_of_event(1, "amount_minor", change=more), EVERYWHERE, {MESSAGES, FIGURES}),
    "amount of the order": Tampering(_of_event(0, "amount_minor", change=more), EVERYWHERE, {MESSAGES, FIGURES}),
    "currency of the payment": Tampering(_of_event(1, "currency", value="USD"), EVERYWHERE, {MESSAGES, FIGURES}),
    "type of the payment": Tampering(_of_event(1, "type", value="payment_failed"), EVERYWHERE, {MESSAGES, FIGURES}),
    "time of the payment": Tampering(_of_event(1, "occurred_at", change=earlier), FOLDED, {MESSAGES, FIGURES}),
    "time of the order": Tampering(_of_event(0, "occurred_at", change=earlier), set(), {MESSAGES}),
    "id of the payment": Tampering(_of_event(1, "payment_id", value="x"), set(), {MESSAGES}),
    "id of the event": Tampering(_of_event(1, "event_id", value="x"), set(), {MESSAGES}),
    "time as text": Tampering(_of_event(0, "occurred_at", value="yesterday"), FOLDED, {MESSAGES, FIGURES}),
    # which events there are
    "payment removed": Tampering(lambda found: found["events"].pop(1), EVERYWHERE, {MESSAGES, FIGURES, TWICE}),
    "order removed": Tampering(lambda found: found["events"].pop(0), EVERYWHERE, {MESSAGES, FIGURES, TWICE}),
    "no events": Tampering(at("events", value=[]), EVERYWHERE, {MESSAGES, FIGURES, VALID}),
    "event of nobody": Tampering(add_event, EVERYWHERE, {MESSAGES, FIGURES, TWICE}),
    "payment twice": Tampering(lambda found: found["events"].append(found["events"][1]), EVERYWHERE, {TWICE}),
    # figures
    "captured": Tampering(at("captured_minor", change=more), EVERYWHERE, {FIGURES}),
    "due": Tampering(at("due_minor", change=more), EVERYWHERE, {FIGURES}),
    "refunded": Tampering(at("refunded_minor", change=more), EVERYWHERE, {FIGURES}),
    "charged back": Tampering(at("charged_back_minor", change=more), EVERYWHERE, {FIGURES}),
    "net": Tampering(at("net_minor", change=more), EVERYWHERE, {FIGURES}),
    "all amounts": Tampering(
        lambda found: found.update(due_minor=Int64(7), captured_minor=Int64(7), net_minor=Int64(7)),
        EVERYWHERE,
        {FIGURES},
    ),
    "due as text": Tampering(at("due_minor", value="much"), EVERYWHERE, {FIGURES, VALID}),
    "currency": Tampering(at("currency", value="USD"), EVERYWHERE, {FIGURES}),
    "event count": Tampering(at("event_count", change=more), EVERYWHERE, {TWICE}),
    "customer": Tampering(at("customer_id", value="x"), FOLDED, {FIGURES}),
    "cancelled at": Tampering(at("cancelled_at", change=earlier), EVERYWHERE - {"cancelled"}, {FIGURES}),
    # verdicts
    "status": Tampering(
        lambda found: found.update(status="refunded" if found["status"] != "refunded" else "matched"),
        EVERYWHERE,
        {FIGURES},
    ),
    "outcome": Tampering(
        lambda found: found.update(outcome="break" if found["outcome"] == "ok" else "ok"), EVERYWHERE, {FIGURES}
    ),
    "reasons": Tampering(
        lambda found: found.update(reasons=[] if found["reasons"] else ["payment_late"]), FOLDED, {FIGURES}
    ),
    "made to look well": Tampering(
        lambda found: found.update(status="matched", outcome="ok", reasons=["tolerance_used"]),
        EVERYWHERE - {"settled"},
        {FIGURES},
    ),
    "settled at": Tampering(at("settled_at", change=earlier), FOLDED, {FIGURES}),
    "deadline": Tampering(at("deadline_at", change=earlier), FOLDED, {FIGURES}),
    "no status": Tampering(lambda found: found.pop("status"), EVERYWHERE, {MESSAGES, FIGURES, VALID}),
    # a document whose figures follow from its events, which are others than Kafka's
    "forged amount": Tampering(forged(at("events", 1, "amount_minor", change=more)), set(), {MESSAGES}),
    "forged event": Tampering(forged(add_event), set(), {MESSAGES}),
    "forged event at another's place": Tampering(
        forged(lambda found: found["events"].append(found["events"][1] | {"payment_id": "q", "event_id": "of-nobody"})),
        set(),
        {MESSAGES},
    ),
    "forged removal": Tampering(forged(lambda found: found["events"].pop(1)), set(), {MESSAGES}),
}
REMOVED = "document removed"


def name_of(place: str, tampering: str) -> str:
    return f"{place}.{tampering}".replace(" ", "_").replace("'", "")


def publish(kafka: Any, order_id: str, its: list[oracle.Content], publisher: Publisher) -> None:
    for each in its:
        told = each | {"order_id": order_id, "event_id": f"{order_id}-{each['event_id']}"}
        publisher.send(kafka.orders_topic, order_id.encode(), oracle.canonical(told))


@pytest.fixture
def shop(settings: Settings, store: Store) -> Settings:
    """An order for each place and tampering, published and matched."""
    kafka = settings.kafka
    servers = kafka.bootstrap_servers or ""
    with Publisher(servers, {}) as publisher:
        for place, its in PLACES.items():
            for tampering in (*TAMPERINGS, REMOVED):
                publish(kafka, name_of(place, tampering), its, publisher)
    match_all(settings, store, settings.matching.rules())
    return settings


def match_all(settings: Settings, store: Store, rules: Rules) -> None:
    servers, topics = settings.kafka.bootstrap_servers or "", settings.kafka.topics
    begins, ends = begin_offsets(servers, {}, topics), end_offsets(servers, {}, topics)
    for records in read_range(servers, {}, begins, ends):
        columns = Messages(*zip(*[(r.value, r.topic, r.partition, r.offset, r.time_ms) for r in records], strict=True))
        match(columns, HotOrders(None, Bounds(0, 0)), ZERO_MS + DAY_MS, store, rules)
    matcher_words.has_read(store, matcher_words.as_offsets(ends))


@pytest.fixture
def ask(settings: Settings) -> Iterator[Callable[[], dict[str, checks.Result]]]:
    """Ask the checks about everything that is stored."""
    connections = rounds.Connections(settings)

    def asked() -> dict[str, checks.Result]:
        me = rounds.identity(settings)
        sight = rounds.make_round(settings, connections, me, Memory(), rounds.SteadyClock(), Policy())
        store, _, servers = connections.get()
        subject = checks.Subject(settings, store, servers, sight, None)
        wanted = (MESSAGES, FIGURES, TWICE, VALID)
        return {check.name: checks.answer(check, subject) for check in checks.COLLECTION if check.name in wanted}

    yield asked
    connections.close()


def suspects(settings: Settings, store: Store) -> list[str]:
    broker = Broker(settings.kafka.bootstrap_servers or "", {}, settings.kafka.topics)
    return make_day(store, broker, day_of(DAY, "UTC"), settings.matching.rules()).statement.coverage.suspects


def test_whatever_is_changed_is_named(
    shop: Settings, store: Store, ask: Callable[[], dict[str, checks.Result]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "NAMED_MAX", 10_000)
    assert suspects(shop, store) == []
    assert all(result.passed for result in ask().values())
    changed = {(place, name) for place in PLACES for name in TAMPERINGS if tamper(store, place, name)}
    assert len(changed) == len(PLACES) * len(TAMPERINGS)
    suspected = set(suspects(shop, store))
    unnoticed = {(place, name) for place, name in changed if place in TAMPERINGS[name].statement} - {
        (place, name) for place, name in changed if name_of(place, name) in suspected
    }
    assert unnoticed == set()
    named: dict[str, set[str]] = {}
    for name, result in ask().items():
        assert not result.passed
        assert result.grave
        named[name] = set(re.sub(r"\(order |[),]|\.($| )", " ", result.text).split())
    found = {each: {who for who, names in named.items() if name_of(*each) in names} for each in changed}
    assert found == {(place, name): TAMPERINGS[name].checks for place, name in changed}


def test_a_document_that_is_gone_is_missed(
    shop: Settings, store: Store, ask: Callable[[], dict[str, checks.Result]]
) -> None:
    order_id = name_of("settled", REMOVED)
    store.orders.delete_one({"_id": order_id})
    result = ask()[MESSAGES]
    assert (result.passed, result.grave, f"(order {order_id})" in result.text) == (False, True, True)


def test_an_order_of_nobody_is_named(shop: Settings, store: Store, ask: Callable[[], dict[str, checks.Result]]) -> None:
    found = store.orders.find_one({"_id": name_of("settled", REMOVED)})
    assert found is not None
    store.orders.insert_one(found | {"_id": "of-nobody", "order_id": "of-nobody"})
    results = ask()
    assert [name for name, result in results.items() if not result.passed] == [MESSAGES]
    assert "told: of-nobody." in results[MESSAGES].text


def test_what_other_settings_of_matching_judged_is_no_tampering(
    settings: Settings, store: Store, ask: Callable[[], dict[str, checks.Result]]
) -> None:
    with Publisher(settings.kafka.bootstrap_servers or "", {}) as publisher:
        for place, its in PLACES.items():
            publish(settings.kafka, place.replace(" ", "-"), its, publisher)
    match_all(settings, store, Rules(50, 7 * DAY_MS))
    assert suspects(settings, store) == []
    result = ask()[FIGURES]
    assert (result.passed, result.grave, "open-break" in result.text) == (False, False, True)


def tamper(store: Store, place: str, name: str) -> bool:
    """Do it, past the validator; return whether it changed anything."""
    found = store.orders.find_one({"_id": name_of(place, name)})
    assert found is not None
    before = copy.deepcopy(found)
    TAMPERINGS[name].act(found)
    store.orders.replace_one({"_id": found["_id"]}, found, bypass_document_validation=True)
    return found != before
