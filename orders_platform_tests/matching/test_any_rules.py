"""A verdict by any settings of matching is told from one by none."""

from random import Random

import msgspec
import pytest

from orders_platform.events import Event, decode
from orders_platform.matching import Document, Rules, fold
from orders_platform.matching.any_rules import is_some_verdict
from orders_platform_tests import adversary, oracle

CLOCK_MS = adversary.DEADLINE_MS + 1


def events(random: Random) -> list[Event]:
    found = {}
    for _ in range(random.randint(1, 9)):
        event = decode(oracle.canonical(adversary.content(random, "o", event_ids=30)))
        assert isinstance(event, Event)
        found[event] = None
    return list(found)


@pytest.mark.parametrize("seed", range(4))
def test_what_some_settings_say_is_known_as_such(seed: int) -> None:
    random = Random(seed)
    for _ in range(400):
        its, clock_ms = events(random), random.choice(adversary.CLOCKS_MS) or 0
        tolerance = random.choice([*adversary.TOLERANCES, random.randrange(400)])
        document = fold("o", its, clock_ms, Rules(tolerance, random.choice(adversary.WINDOWS_MS)))
        assert is_some_verdict(document, its, clock_ms), (document, its)


def paid(amount: int, **changes: object) -> tuple[Document, list[Event]]:
    its = [Event("a", "order_placed", "o", 0, 100, "EUR"), Event("b", "payment_captured", "o", 1, amount, "EUR", "p")]
    return msgspec.structs.replace(fold("o", its, CLOCK_MS, Rules()), **changes), its


@pytest.mark.parametrize(
    ("amount", "changes"),
    [
        (100, {"status": "underpaid"}),
        (100, {"outcome": "break"}),
        (100, {"reasons": ("tolerance_used",)}),
        (100, {"settled_at_ms": 5}),
        (100, {"deadline_at_ms": -1}),
        (60, {"status": "matched"}),
        (60, {"status": "matched", "outcome": "ok"}),
        (60, {"status": "matched", "outcome": "ok", "reasons": ("tolerance_used",)}),
        (60, {"status": "partially_paid", "outcome": "ok"}),
        (160, {"status": "matched", "outcome": "ok"}),
    ],
)
def test_what_no_settings_say_is_known_as_such(amount: int, changes: dict[str, object]) -> None:
    document, its = paid(amount, **changes)
    assert not is_some_verdict(document, its, CLOCK_MS)


def test_where_the_tolerance_begins_and_ends() -> None:
    document, its = paid(60, status="matched", outcome="ok", reasons=("tolerance_used",), settled_at_ms=1)
    assert is_some_verdict(document, its, CLOCK_MS)
