"""The tests' own reading of the daily statements: written from statements.md and the tests' oracle of the matching
rules alone. It imports nothing of the product, looks at every order at both edges and back day by day. What it found
of an order it remembers for as long as no event of it is added, as months of days ask the same again."""

import hashlib
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
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


@lru_cache(maxsize=4096)
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

    @cached_property
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

    @cached_property
    def breaks(self) -> set[str]:
        """The kinds of the breaks that the document has."""
        if self.document is None or self.document["outcome"] != "break":
            return set()
        return ({self.document["status"]} & oracle.BREAKING_STATUSES) | (
            set(self.document["reasons"]) & oracle.BREAKING_REASONS
        )


class Order:
    """One order's events, and what they come to as of any edge.

    Between two edges an order is the same if the same events have occurred and its deadline has passed at both or at
    neither, for time does nothing else (matching.md, section 4).
    """

    def __init__(self, contents: Iterable[Content], zone: str, tolerance: int, window: int) -> None:
        distinct = {oracle.canonical(content): content for content in contents}
        self.by_time = sorted(distinct.items(), key=lambda item: item[1]["occurred_at"])
        self._times = [content["occurred_at"] for _, content in self.by_time]
        self._zone = zone
        self._rules = (tolerance, window)
        self._deadlines: dict[int, int] = {}
        self._known: dict[tuple[int, bool], AsOf] = {}
        self._opened: dict[tuple[str, date], date] = {}

    def as_of(self, edge: int) -> AsOf:
        """What it is as of an edge; the same object for as long as nothing moves."""
        occurred = bisect_left(self._times, edge)
        passed = occurred > 0 and self._deadline(occurred) < edge
        found = self._known.get((occurred, passed))
        if found is None:
            contents = [content for _, content in self.by_time]
            found = self._known[occurred, passed] = AsOf(contents, edge, *self._rules)
        return found

    def on(self, start: int, end: int) -> list[bytes]:
        """The canonical contents of what occurred in [start, end)."""
        return [line for line, _ in self.by_time[bisect_left(self._times, start) : bisect_left(self._times, end)]]

    def opened(self, kind: str, seen: date) -> date:
        """Since when a break that is there at the end of `seen` is there: day after day back to the first without."""
        first, back = seen, []
        while (kind, first) not in self._opened:
            if kind not in self.as_of(midnight(first, self._zone)).breaks:
                self._opened[kind, first] = first
                break
            back.append(first)
            first -= timedelta(days=1)
        opened = self._opened[kind, first]
        self._opened |= {(kind, day): opened for day in back}
        return opened

    def _deadline(self, occurred: int) -> int:
        found = self._deadlines.get(occurred)
        if found is None:
            contents = [content for _, content in self.by_time[:occurred]]
            found = self._deadlines[occurred] = oracle.assess(contents, None, *self._rules)["deadline_at"]
        return found


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
    for currency, worth in before.position.items():
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


def at_risk_minor(kind: str, document: dict[str, Any]) -> int:
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


def _break(kind: str, order_id: str, seen: date, day: date, zone: str, order: Order) -> Any:
    found = order.as_of(midnight(seen + timedelta(days=1), zone))
    assert found.document is not None
    opened = order.opened(kind, seen)
    return {
        "id": f"{order_id}:{kind}",
        "kind": kind,
        "order_id": order_id,
        "currency": found.document["currency"],
        "at_risk_minor": at_risk_minor(kind, found.document),
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
    return statement_of({name: Order(its, zone, tolerance, window) for name, its in orders.items()}, day, zone)


def statement_of(orders: dict[str, Order], day: date, zone: str) -> dict[str, Any]:
    """Return the same of orders that are known already."""
    start, end = midnight(day, zone), midnight(day + timedelta(days=1), zone)
    currencies: dict[str, Money] = defaultdict(lambda: defaultdict(int))
    statuses: dict[str, dict[str, int]] = {"opening": defaultdict(int), "closing": defaultdict(int)}
    breaks: dict[str, list[Any]] = {"new": [], "persisting": [], "resolved": []}
    placed: list[tuple[str, int, bool]] = []
    delays: list[float] = []
    covered: list[bytes] = []
    for order_id, order in orders.items():
        before, after = order.as_of(start), order.as_of(end)
        for name, edge in (("opening", before), ("closing", after)):
            for currency, amount in edge.position.items():
                currencies[currency][f"{name}_minor"] += amount
            if edge.document is not None:
                statuses[name][edge.document["status"]] += 1
        yesterday = day - timedelta(days=1)
        for kind in after.breaks:
            name = "persisting" if kind in before.breaks else "new"
            breaks[name].append(_break(kind, order_id, day, day, zone, order))
        for kind in before.breaks - after.breaks:
            breaks["resolved"].append(_break(kind, order_id, yesterday, day, zone, order))
        if before is after:
            continue
        covered += order.on(start, end)
        for line, amounts in _lines(before, after, start).items():
            for currency, amount in amounts.items():
                currencies[currency][line] += amount
        if after.placed and after.placed["occurred_at"] >= start and after.document:
            matched = after.document["status"] == "matched"
            placed.append((after.placed["currency"], after.placed["amount_minor"], matched))
            if matched:
                delays.append(max(0, after.document["settled_at"] - after.placed["occurred_at"]) / 1000)
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


def unlike(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return where two statements of the oracle differ."""
    return sorted(_differences(one, other, ""))


def _differences(got: Any, expected: Any, place: str) -> Iterable[str]:
    if isinstance(got, dict) and isinstance(expected, dict):
        for key in got.keys() | expected.keys():
            yield from _differences(got.get(key, 0), expected.get(key, 0), f"{place}.{key}")
    elif isinstance(got, dict) or isinstance(expected, dict):
        yield from _differences(got or {}, expected or {}, place) if got or expected else ()
    elif got != expected:
        yield f"{place}: {got!r} is told, {expected!r} expected"
