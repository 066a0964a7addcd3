"""A day's statement: a pure function of the orders' events, the day and the settings (daily statements, version 1)."""

from typing import Any

import msgspec

from orders_platform.reports.breaks import Break
from orders_platform.reports.bridge import Bridge

INCOMPLETE, BREAKS, CLEAN = "incomplete", "breaks", "clean"
Offsets = dict[str, dict[str, int]]


class Coverage(msgspec.Struct, frozen=True):
    """What a statement rests on.

    `events` and `sha256` are of the contents that occurred on the day, the hash over their sorted canonical JSON, a
    line each. `unread` counts by topic and partition what the broker received before the day's end and the matcher has
    not matched yet. `suspects` are orders whose stored figures are not what their stored events say, or whose bridge
    does not close.
    """

    offsets: Offsets
    events: int
    sha256: str
    unread: Offsets
    suspects: list[str]


class BreakLists(msgspec.Struct, frozen=True):
    """Breaks, each list sorted by id: there at the day's end only, at both edges, at its start only."""

    new: list[Break]
    persisting: list[Break]
    resolved: list[Break]


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What `orders report --json` prints; `revision` and `replaces` are given when it is kept."""

    date: str
    time_zone: str
    revision: int = 1
    replaces: int | None = None
    provisional: bool
    verdict: str
    settings: dict[str, int]
    currencies: dict[str, Bridge]
    orders_by_status: dict[str, dict[str, int]]
    match_rate: float | None
    match_rate_by_amount: dict[str, float | None] | None
    payment_delay_s: dict[str, float | None]
    breaks: BreakLists
    dead_letters: dict[str, int]
    coverage: Coverage


def as_json(statement: Statement) -> dict[str, Any]:
    """Return the statement in the keys and the order of `orders report --json`."""
    return msgspec.to_builtins(statement)
