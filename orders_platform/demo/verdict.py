"""Holding the store against the truth, and what the store says of the money."""

import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from orders_platform.matching import Document, document_json
from orders_platform.matching.breaks import at_risk_minor, break_kinds
from orders_platform.store import matcher_records, queries
from orders_platform.store.client import Store
from orders_platform.streams.offsets import Positions


class Verdict(msgspec.Struct):
    """What the store holds of the stream's orders, and every difference from the truth."""

    orders: int = 0
    differences: list[str] = []
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    statuses: Counter[str] = msgspec.field(default_factory=Counter)
    breaks: Counter[str] = msgspec.field(default_factory=Counter)
    at_risk_minor: dict[str, Counter[str]] = {}  # kind -> currency -> minor units
    billed_minor: Counter[str] = msgspec.field(default_factory=Counter)  # by currency
    dead_letters: Counter[str] = msgspec.field(default_factory=Counter)


class Latency(msgspec.Struct):
    """From the broker's receipt of the oldest message of a batch to its durable documents, over batches, in seconds."""

    batches: int
    median_s: float
    slowest_s: float


def judge(
    store: Store,
    truth: Mapping[str, Mapping[str, Any]],
    poison: Mapping[str, int],
    start: Positions,
    ends: Positions,
) -> Verdict:
    """Compare every document of the stream, and the dead letters between two positions, with what must be there."""
    verdict = Verdict()
    missing = dict(truth)
    for document in queries.all_orders(store):
        expected = missing.pop(document.order_id, None)
        if expected is None:
            continue  # an order of an earlier stream
        _add(verdict, document)
        stored = document_json(document)
        if stored != expected:
            wrong = sorted(key for key in expected if stored[key] != expected[key])
            verdict.differences.append(
                f"{document.order_id}: " + ", ".join(f"{key} is {stored[key]}, not {expected[key]}" for key in wrong)
            )
    verdict.differences += [f"{order_id}: has no document" for order_id in missing]
    for letter in queries.export_dead_letters(store):
        if start[letter.topic][letter.partition] <= letter.offset < ends[letter.topic][letter.partition]:
            verdict.dead_letters[letter.reason] += 1
    for reason in sorted(poison.keys() | verdict.dead_letters.keys()):
        if verdict.dead_letters[reason] != poison.get(reason, 0):
            verdict.differences.append(
                f"dead letters {reason}: {verdict.dead_letters[reason]}, not {poison.get(reason, 0)}"
            )
    return verdict


def latency_between(store: Store, since_ms: int) -> Latency:
    """Return how long the oldest message of each batch since then (MongoDB's clock) waited to be durable."""
    waits_s = [
        (batch.committed_at_ms - batch.oldest_time_ms) / 1000
        for batch in matcher_records.read_batches(store, since_ms)
        if batch.oldest_time_ms is not None
    ]
    return Latency(len(waits_s), statistics.median(waits_s or [0.0]), max(waits_s, default=0.0))


def _add(verdict: Verdict, document: Document) -> None:
    verdict.orders += 1
    verdict.outcomes[document.outcome] += 1
    verdict.statuses[document.status] += 1
    currency = document.currency or ""
    verdict.billed_minor[currency] += document.due_minor or 0
    for kind in break_kinds(document):
        verdict.breaks[kind] += 1
        verdict.at_risk_minor.setdefault(kind, Counter())[currency] += at_risk_minor(kind, document)
