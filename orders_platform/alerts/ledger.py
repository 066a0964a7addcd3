"""What was told, what is still to be told: each cause once when it begins and once when it is over.

A pure value, carried from tick to tick. Whatever can't be delivered stays in it; what finds no room is not lost either,
as long as it lasts: it is taken when there is room again.
"""

import hashlib
from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

from orders_platform.alerts.causes import Cause, Kind

WAITING_MAX = 40
"""Notices of one message: Slack takes 50 blocks."""
TOLD_MAX = 300
"""Causes at once: a quarter of a year of days, three of each. Dagster keeps the ledger with every tick."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to tell. Who gets a notice twice knows it by its `id`."""

    id: str
    state: Literal["began", "over"]
    kind: Kind
    key: str
    at_ms: int
    title: str
    text: str = ""
    fix: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A cause that is not over, and that people know of, or will by what waits."""

    id: str
    key: str
    kind: Kind
    over: str


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Where telling stands."""

    since_ms: int
    """When it began: a day that ended earlier is not asked for its statement."""
    told: tuple[Told, ...] = ()
    waiting: tuple[Notice, ...] = ()
    not_before_ms: int = 0
    """The receiver wants nothing before."""

    def keys(self, kind: Kind) -> list[str]:
        """Return the keys of the causes of a kind that are not over."""
        return [told.key for told in self.told if told.kind == kind]


def take(
    ledger: Ledger, present: Iterable[Cause], over: Collection[str], now_ms: int, known: Collection[str] = ()
) -> Ledger:
    """Return the ledger with what is to be told now.

    `present` is what is wrong, `over` the keys of what is known to be wrong no more: what is in neither could not be
    seen this time. `known` are keys of causes that somebody else has already told.
    """
    told = {each.key: each for each in ledger.told}
    waiting, present = list(ledger.waiting), list(present)
    there = {cause.key for cause in present}
    for key in [key for key in told if key in over and key not in there]:
        if len(waiting) < WAITING_MAX:
            each = told.pop(key)
            waiting.append(
                Notice(id=f"{each.id}-over", state="over", kind=each.kind, key=key, at_ms=now_ms, title=each.over)
            )
    for cause in present:
        if cause.key in told or len(told) >= TOLD_MAX or (len(waiting) >= WAITING_MAX and cause.key not in known):
            continue
        told[cause.key] = Told(id=id_of(cause), key=cause.key, kind=cause.kind, over=cause.over)
        if cause.key not in known:
            waiting.append(began(cause, now_ms))
    return msgspec.structs.replace(ledger, told=tuple(told.values()), waiting=tuple(waiting))


def delivered(ledger: Ledger) -> Ledger:
    """Return the ledger after all that waited has arrived."""
    return msgspec.structs.replace(ledger, waiting=(), not_before_ms=0)


def began(cause: Cause, now_ms: int) -> Notice:
    """Return the notice that a cause begins with."""
    return Notice(
        id=id_of(cause),
        state="began",
        kind=cause.kind,
        key=cause.key,
        at_ms=now_ms,
        title=cause.title,
        text=cause.text,
        fix=cause.fix,
    )


def id_of(cause: Cause) -> str:
    """Return the same for the same occurrence of the same cause, also after the ledger was lost."""
    return hashlib.sha256(f"{cause.key}\n{cause.evidence}".encode()).hexdigest()[:16]
