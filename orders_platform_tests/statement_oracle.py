"""The tests' own reading of the daily statements: written from statements.md and the tests' oracle of the matching
rules alone. It imports nothing of the product, looks at every order at both edges and back day by day, and is as slow
as that."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from orders_platform_tests import oracle
from orders_platform_tests.oracle import Content

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LINES = {
    "placed_minor": +1,
    "cancelled_minor": -1,
    "captured_minor": -1,
    "refunded_minor": +1,
    "charged_back_minor": +1,
    "chargebacks_reversed_minor": -1,
    "corrections_minor": +1,
}
BY_TYPE = {
    "order_placed": "placed_minor",
    "payment_captured": "captured_minor",
    "refund_issued": "refunded_minor",
    "chargeback_opened": "charged_back_minor",
}
Money = dict[str, int]


def midnight(day: date, zone: str) -> int:
    """Return when a business day begins."""
    local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    return (local.astimezone(UTC) - EPOCH) // timedelta(milliseconds=1)


class AsOf:
    """One order as of an edge: what counts then, and what it is worth."""

    def __init__(self, contents: Iterable[Content], edge: int, tolerance: int, window: int) -> None:
        self.contents = [content for content in contents if content["occurred_at"] < edge]
        self.counting = oracle.winners(self.contents)[0] if self.contents else []
        self.document = oracle.assess(self.contents, edge, tolerance, window) if self.contents else None
        self.placed = next((event for event in self.counting if event["type"] == "order_placed"), None)
        cancelled = any(event["type"] == "order_cancelled" for event in self.counting)
        self.cancelled = self.placed if cancelled else None
        won = {event["chargeback_id"] for event in self.counting if event["type"] == "chargeback_reversed"}
        self.won = {
            event["chargeback_id"]: event
            for event in self.counting
            if event["type"] == "chargeback_opened" and event["chargeback_id"] in won
        }

    def position(self) -> Money:
        """billed - captured + refunded + charged back and not reversed."""
        owed: Money = defaultdict(int)
        for event in self.counting:
            if event["type"] in BY_TYPE:
                owed[event["currency"]] += LINES[BY_TYPE[event["type"]]] * event["amount_minor"]
        for undone in [self.cancelled, *self.won.values()]:
            if undone is not None:
                owed[undone["currency"]] -= undone["amount_minor"]
        return owed

    def breaks(self) -> set[str]:
        """The kinds of the breaks that the document has."""
        if self.document is None or self.document["outcome"] != "break":
            return set()
        return ({self.document["status"]} & oracle.BREAKING_STATUSES) | (
            set(self.document["reasons"]) & oracle.BREAKING_REASONS
        )


def _lines(before: AsOf, after: AsOf, start: int) -> dict[str, Money]:
    lines: dict[str, Money] = {line: defaultdict(int) for line in LINES}
    corrections = lines["corrections_minor"]
    for event in after.counting:
        if event["type"] in BY_TYPE:
            amount, currency, line = event["amount_minor"], event["currency"], BY_TYPE[event["type"]]
            if event["occurred_at"] >= start:
                lines[line][currency] += amount
            else:
                corrections[currency] += LINES[line] * amount
    for currency, worth in before.position().items():
        corrections[currency] -= worth
    if after.cancelled is not None:
        if before.cancelled is None:
            lines["cancelled_minor"][after.cancelled["currency"]] += after.cancelled["amount_minor"]
        else:
            corrections[after.cancelled["currency"]] -= after.cancelled["amount_minor"]
    for chargeback_id, event in after.won.items():
        if chargeback_id in before.won:
            corrections[event["currency"]] -= event["amount_minor"]
        else:
            lines["chargebacks_reversed_minor"][event["currency"]] += event["amount_minor"]
    return lines


def _at_risk(kind: str, document: dict[str, Any]) -> int:
    due, net = document["due_minor"] or 0, document["net_minor"]
    if kind in {"unpaid", "underpaid"}:
        return due - net
    if kind in {"orphan", "refund_due", "money_without_payment"}:
        return abs(net)
    if kind in {"overpaid", "duplicate_payment"}:
        return net - due
    if kind in {"charged_back", "refund_and_chargeback"}:
        return document["charged_back_minor"]
    if kind == "over_refunded":
        return document["refunded_minor"] - document["captured_minor"]
    return abs(due - net) if kind == "currency_mismatch" else 0


def _foreign(found: AsOf) -> Money:
    assert found.document is not None
    amounts: Money = defaultdict(int)
    for event in found.counting:
        if event["type"] not in BY_TYPE or event["type"] == "order_placed":
            continue
        if event["currency"] != found.document["currency"]:
            sign = 1 if event["type"] == "payment_captured" else -1
            is_won = event["type"] == "chargeback_opened" and event["chargeback_id"] in found.won
            amounts[event["currency"]] += 0 if is_won else sign * event["amount_minor"]
    return dict(amounts)


def _break(kind: str, order_id: str, seen: date, day: date, zone: str, contents: list[Content], rules: Any) -> Any:
    found = AsOf(contents, midnight(seen + timedelta(days=1), zone), *rules)
    assert found.document is not None
    opened = seen
    while kind in AsOf(contents, midnight(opened, zone), *rules).breaks():
        opened -= timedelta(days=1)
    return {
        "id": f"{order_id}:{kind}",
        "kind": kind,
        "order_id": order_id,
        "currency": found.document["currency"],
        "at_risk_minor": _at_risk(kind, found.document),
        "opened_on": opened.isoformat(),
        "age_days": (day - opened).days,
        "foreign_minor": _foreign(found) if kind == "currency_mismatch" else {},
    }


def _percentile(seconds: list[float], percent: int) -> float | None:
    return sorted(seconds)[math.ceil(len(seconds) * percent / 100) - 1] if seconds else None


def statement(
    orders: dict[str, list[Content]],
    day: date,
    zone: str = "UTC",
    tolerance: int = 0,
    window: int = oracle.DEFAULT_WINDOW_MS,
) -> dict[str, Any]:
    """Return everything that statements.md says of a day, but what needs a broker or a store."""
    start, end, rules = midnight(day, zone), midnight(day + timedelta(days=1), zone), (tolerance, window)
    currencies: dict[str, Money] = defaultdict(lambda: defaultdict(int))
    statuses: dict[str, dict[str, int]] = {"opening": defaultdict(int), "closing": defaultdict(int)}
    breaks: dict[str, list[Any]] = {"new": [], "persisting": [], "resolved": []}
    placed: list[tuple[str, int, bool]] = []
    delays: list[float] = []
    covered: set[bytes] = set()
    for order_id, given in orders.items():
        contents = list({oracle.canonical(content): content for content in given}.values())
        before, after = AsOf(contents, start, *rules), AsOf(contents, end, *rules)
        covered |= {oracle.canonical(each) for each in contents if start <= each["occurred_at"] < end}
        for name, edge in (("opening", before), ("closing", after)):
            for currency, amount in edge.position().items():
                currencies[currency][f"{name}_minor"] += amount
            if edge.document is not None:
                statuses[name][edge.document["status"]] += 1
        for line, amounts in _lines(before, after, start).items():
            for currency, amount in amounts.items():
                currencies[currency][line] += amount
        if after.placed and after.placed["occurred_at"] >= start and after.document:
            matched = after.document["status"] == "matched"
            placed.append((after.placed["currency"], after.placed["amount_minor"], matched))
            if matched:
                delays.append(max(0, after.document["settled_at"] - after.placed["occurred_at"]) / 1000)
        yesterday = day - timedelta(days=1)
        for kind in after.breaks():
            name = "persisting" if kind in before.breaks() else "new"
            breaks[name].append(_break(kind, order_id, day, day, zone, contents, rules))
        for kind in before.breaks() - after.breaks():
            breaks["resolved"].append(_break(kind, order_id, yesterday, day, zone, contents, rules))
    for bridge in currencies.values():
        moved = sum(sign * bridge[line] for line, sign in LINES.items())
        bridge["residual_minor"] = bridge["closing_minor"] - bridge["opening_minor"] - moved
    by_amount = {}
    for currency in sorted({each for each, _, _ in placed}):
        whole = sum(amount for each, amount, _ in placed if each == currency)
        part = sum(amount for each, amount, matched in placed if each == currency and matched)
        by_amount[currency] = round(part / whole, 6) if whole else None
    return {
        "date": day.isoformat(),
        "currencies": {currency: dict(bridge) for currency, bridge in currencies.items()},
        "orders_by_status": {name: dict(counts) for name, counts in statuses.items()},
        "match_rate": round(sum(matched for _, _, matched in placed) / len(placed), 6) if placed else None,
        "match_rate_by_amount": by_amount or None,
        "payment_delay_s": {"p50": _percentile(delays, 50), "p95": _percentile(delays, 95)},
        "breaks": {name: sorted(listed, key=lambda each: each["id"]) for name, listed in breaks.items()},
        "events": len(covered),
        "sha256": hashlib.sha256(b"".join(line + b"\n" for line in sorted(covered))).hexdigest(),
    }


def differences(told: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return where a statement, in its JSON keys, differs from the oracle's; figures that are 0 may be left out."""
    got = {key: told[key] for key in expected if key in told}
    got |= {"events": told["coverage"]["events"], "sha256": told["coverage"]["sha256"]}
    return sorted(_differences(got, expected, ""))


def _differences(got: Any, expected: Any, place: str) -> Iterable[str]:
    if isinstance(got, dict) and isinstance(expected, dict):
        for key in got.keys() | expected.keys():
            yield from _differences(got.get(key, 0), expected.get(key, 0), f"{place}.{key}")
    elif isinstance(got, dict) or isinstance(expected, dict):
        yield from _differences(got or {}, expected or {}, place) if got or expected else ()
    elif got != expected:
        yield f"{place}: {got!r} is told, {expected!r} expected"
