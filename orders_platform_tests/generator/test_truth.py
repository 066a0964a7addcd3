"""What the stories state of their orders, against the core and against the oracle that knows neither."""

import json
from typing import Any

import pytest

from orders_platform import events, matching
from orders_platform.generator import GeneratorOptions, Stream
from orders_platform.generator.archetypes import ARCHETYPES
from orders_platform.generator.poison import POISON
from orders_platform.matching import Rules
from orders_platform_tests import oracle

START_MS = events.decode(
    b'{"event_id":"e","type":"order_cancelled","order_id":"o","occurred_at":"2026-01-05T00:00:00Z"}'
).occurred_at_ms  # type: ignore[union-attr]
SETTINGS = [Rules(), Rules(0, 1000), Rules(7, 7_200_000), Rules(2_500, 3 * 86_400_000), Rules(1, 1_800_000)]
REASONS = {kind.name: kind.reason for kind in POISON}


def every_story(rules: Rules) -> dict[str, float]:
    """Return equal shares of all stories that these settings have."""
    names = [name for name, archetype in ARCHETYPES.items() if rules.tolerance_minor or not archetype.needs_tolerance]
    return dict.fromkeys(names, 100 / len(names))


def told(options: GeneratorOptions) -> tuple[list[bytes], list[dict[str, Any]], Stream]:
    """Return the accepted messages' bytes, the expected documents in their order, and the stream."""
    truth: list[dict[str, Any]] = []
    stream = Stream(options, lambda expected: truth.append(json.loads(expected.json_line(stream.clock))))
    accepted = [message.value for message in stream if message.poison is None]
    return [value for value in accepted if value is not None], truth, stream


@pytest.mark.parametrize("seed", range(10))
def test_truth_equals_core_and_oracle(seed: int) -> None:
    rules = SETTINGS[seed % len(SETTINGS)]
    options = GeneratorOptions(start_ms=START_MS, orders=1500, seed=seed, shares=every_story(rules), rules=rules)
    values, truth, stream = told(options)
    assert stream.counts.by_archetype.keys() == every_story(rules).keys()

    for clock_ms in (stream.counts.decided_from_ms, stream.counts.decided_from_ms + 10**10):
        assert by_core(values, clock_ms, rules) == truth
    documents, refusals = oracle.fold_lines(
        values,
        clock_ms=stream.counts.decided_from_ms,
        tolerance=rules.tolerance_minor,
        window_ms=rules.payment_window_ms,
    )
    assert refusals == []
    assert documents == truth


def test_a_millisecond_earlier_an_order_is_still_open() -> None:
    options = GeneratorOptions(start_ms=START_MS, orders=300, shares={"never_paid": 100})
    values, truth, stream = told(options)
    early = by_core(values, stream.counts.decided_from_ms - 1, options.rules)
    assert [now["status"] for now, then in zip(early, truth, strict=True) if now != then] == ["awaiting_payment"]


def test_truth_has_the_keys_of_fold_in_their_order() -> None:
    values, truth, stream = told(GeneratorOptions(start_ms=START_MS, orders=50))
    assert {tuple(expected) for expected in truth} == {
        tuple(document) for document in by_core(values, stream.counts.decided_from_ms, Rules())
    }


def test_truth_is_sorted_by_order_id() -> None:
    _, truth, _ = told(GeneratorOptions(start_ms=START_MS, orders=2000))
    ids = [expected["order_id"] for expected in truth]
    assert ids == sorted(ids)
    assert len(ids) == 2000


@pytest.mark.parametrize("kind", POISON, ids=lambda kind: kind.name)
def test_every_poison_is_rejected_whatever_message_it_is_made_from(kind: Any) -> None:
    options = GeneratorOptions(start_ms=START_MS, orders=400, shares=every_story(Rules()))
    spoilt = [kind.spoil(value) for value in told(options)[0]]
    assert {events.decode(raw).reason for raw in spoilt} == {kind.reason}
    assert {refused.reason for raw in spoilt if isinstance(refused := oracle.decode(raw), oracle.Refused)} == {
        kind.reason
    }
    if kind.fits_a_line:
        assert all(raw.strip() and b"\n" not in raw for raw in spoilt)


def test_dead_letters_are_counted_by_reason() -> None:
    options = GeneratorOptions(start_ms=START_MS, orders=1500, poison=30)
    stream = Stream(options)
    found: dict[str, int] = {}
    for message in stream:
        decoded = events.decode(message.value)
        if isinstance(decoded, events.Rejection):
            found[decoded.reason] = found.get(decoded.reason, 0) + 1
    assert found == stream.counts.dead_letters
    assert set(found) == set(REASONS.values())
    assert sum(found.values()) == stream.counts.poison


def by_core(values: list[bytes], clock_ms: int, rules: Rules) -> list[dict[str, Any]]:
    orders: dict[str, dict[events.Event, None]] = {}
    for event in events.decode_many(values):
        assert isinstance(event, events.Event)
        orders.setdefault(event.order_id, {})[event] = None
    return [
        matching.document_json(matching.fold(order_id, orders[order_id], clock_ms, rules))
        for order_id in sorted(orders)
    ]
