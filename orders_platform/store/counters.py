"""Running totals of the stored orders: what the live page, metrics and views read instead of the whole collection.

Each merge adds what its orders count as now and takes out what they counted as before, in the transaction that writes
them. So the totals are those of the stored orders at every moment, whoever is killed when. Every writer has rows of its
own, so no two wait for each other; a total is the sum of the rows. Why so, and what it costs:
docs/decisions/0009-counters.md.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import bson
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument

from orders_platform.matching.breaks import Counted, at_risk_minor, break_kinds
from orders_platform.store.client import Store
from orders_platform.store.failures import translated

ORDERS = ("orders", "due_minor", "captured_minor", "refunded_minor", "charged_back_minor", "net_minor", "at_risk_minor")
"""What is added up of orders, by status, outcome and currency. At risk in an order is what its largest break puts at
risk: an order that breaks in two ways has its money once."""
BREAKS = ("breaks", "at_risk_minor")
"""What is added up of breaks, by kind and currency."""
NEWEST = 20
"""How many of the orders that broke last each writer remembers."""
_BREAK = "break"
_DECIMAL_OF_0 = 0x3040 << 112
_DECIMAL_SIGN = 1 << 127


class Turned(NamedTuple):
    """An order that broke, and when (UTC milliseconds, by the clock of who merged it)."""

    order_id: str
    at_ms: int


class Deltas:
    """What one transaction does to the totals."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.orders: defaultdict[tuple[str, str, str | None], list[int]] = defaultdict(lambda: [0] * len(ORDERS))
        self.breaks: defaultdict[tuple[str, str | None], list[int]] = defaultdict(lambda: [0] * len(BREAKS))
        self.broken: list[str] = []

    def replace(self, order_id: str, before: Counted | None, now: Counted) -> None:
        """Count an order as it is now, and no longer as it was before (None: it was not stored)."""
        self._add(now, 1)
        if before is not None:
            self._add(before, -1)
        if now.outcome == _BREAK and (before is None or before.outcome != _BREAK):
            self.broken.append(order_id)

    def _add(self, its: Counted, sign: int) -> None:
        row = self.orders[its.status, its.outcome, its.currency]
        row[0] += sign
        row[1] += sign * (its.due_minor or 0)
        row[2] += sign * its.captured_minor
        row[3] += sign * its.refunded_minor
        row[4] += sign * its.charged_back_minor
        row[5] += sign * its.net_minor
        if its.outcome == _BREAK:
            largest_minor = 0
            for kind in break_kinds(its):
                risk_minor = at_risk_minor(kind, its)
                largest_minor = max(largest_minor, risk_minor)
                of_kind = self.breaks[kind, its.currency]
                of_kind[0] += sign
                of_kind[1] += sign * risk_minor
            row[6] += sign * largest_minor

    def statements(self, writer: str, now_ms: int) -> list[RawBSONDocument]:
        """Return the statements of an `update` command that add to the rows of a writer."""
        made = [
            increment(writer, "orders", {"status": status, "outcome": outcome, "currency": currency}, ORDERS, row)
            for (status, outcome, currency), row in self.orders.items()
            if any(row)
        ]
        made += [
            increment(writer, "breaks", {"kind": kind, "currency": currency}, BREAKS, row)
            for (kind, currency), row in self.breaks.items()
            if any(row)
        ]
        if self.broken:
            at = DatetimeMS(now_ms)
            newest = [{"order_id": order_id, "at": at} for order_id in self.broken[-NEWEST:]]
            pushed = {"$push": {"newest": {"$each": newest, "$slice": -NEWEST}}}
            made.append(_upsert(f"{writer} newest", pushed, {"writer": writer, "of": "newest"}))
        return made


def newest_broken(store: Store) -> list[Turned]:
    """Return the orders that broke last by each writer, newest first; some may have been settled since.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    with translated():
        rows = list(store.counters.find({"of": "newest"}, {"newest": 1}))
    last_ms: dict[str, int] = {}
    for row in rows:
        for each in row["newest"]:
            last_ms[each["order_id"]] = max(int(each["at"]), last_ms.get(each["order_id"], 0))
    newest_first = sorted(last_ms.items(), key=lambda each: (-each[1], each[0]))
    return [Turned(*each) for each in newest_first]


def increment(
    writer: str, of: str, key: Mapping[str, str | None], names: Sequence[str], by: Sequence[int]
) -> RawBSONDocument:
    """Return the statement that adds to a row of a writer: to its figures of these names, of orders or breaks with this
    key."""
    figures = zip(names, by, strict=True)
    added = {"$inc": {name: _money(its) if name.endswith("_minor") else Int64(its) for name, its in figures if its}}
    row_id = " ".join((writer, of, *(text or "-" for text in key.values())))
    return _upsert(row_id, added, {"writer": writer, "of": of, **key})


def _money(amount_minor: int) -> Decimal128:
    """Return an amount as it is added up: orders that fit 64 bits each come to more, a decimal holds 34 digits.

    Its bits are set as the type lays them out (BSON's binary integer decimal, exponent 0): by way of text it takes five
    times as long.
    """
    bits = _DECIMAL_OF_0 | abs(amount_minor) | (_DECIMAL_SIGN if amount_minor < 0 else 0)
    return Decimal128.from_bid(bits.to_bytes(16, "little"))


def _upsert(row_id: str, change: dict[str, Any], first: dict[str, Any]) -> RawBSONDocument:
    statement = {"q": {"_id": row_id}, "u": change | {"$setOnInsert": first}, "upsert": True}
    return RawBSONDocument(bson.encode(statement))
