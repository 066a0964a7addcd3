"""What is worth telling, and in which words.

A message leaves the house. So it says names of checks and jobs, days, order ids and what our own errors say, and
nothing else: what a foreign exception says may hold anything.
"""

import re
from typing import Literal

import msgspec

Kind = Literal["check_failed", "breaker_open", "statement_late", "run_failed"]
TITLE_MAX, TEXT_MAX, FIX_MAX = 120, 320, 120
"""In characters. Slack takes 3,000 in one section, after each of `&<>` has become up to five."""
_NOT_PRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")


class Days(msgspec.Struct, frozen=True):
    """What a run was about: the days from the first to the last, as ISO dates."""

    first: str
    last: str

    def __str__(self) -> str:
        return self.first if self.first == self.last else f"{self.first}..{self.last}"

    def cover(self, other: "Days") -> bool:
        """Say whether all of the other days are among these."""
        return self.first <= other.first and other.last <= self.last


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong for as long as it lasts.

    `key` stays the same meanwhile. `evidence` is what was seen of it when it began, for who gets the message twice.
    `over` says, in a sentence, that it is wrong no more.
    """

    key: str
    kind: Kind
    title: str
    text: str
    fix: str
    over: str
    evidence: str


def check_failed(asset: str, check: str, days: Days | None, text: str, evidence: str) -> Cause:
    """Return the cause of a check that failed, for the days that it was about, if it was about days."""
    of = f"{check} of {asset}" + _for(days)
    if days is None:
        fix = f"`orders check --select {check}` asks again; docs/operations.md says what to do."
    else:
        fix = f"Materialize {asset} again in Dagster{_for(days)} when it is mended: docs/operations.md."
    return _cause(
        "check_failed",
        check_key(asset, check, days),
        title=f"The check {of} failed.",
        text=text,
        fix=fix,
        over=f"The check {of} passes again.",
        evidence=evidence,
    )


def breaker_open(reason: str, fix: str) -> Cause:
    """Return the cause of a matcher that only a person can bring back, in the supervisor's words."""
    return _cause(
        "breaker_open",
        BREAKER,
        title="The matcher is down and is no longer restarted.",
        text=reason,
        fix=fix,
        over="The matcher is supervised again.",
        evidence=reason,
    )


def statement_late(date: str, time_zone: str, deadline: str) -> Cause:
    """Return the cause of a day whose statement is not kept though `deadline`, a duration, has passed since its end."""
    return _cause(
        "statement_late",
        statement_key(date),
        title=f"The statement of {date} is late.",
        text=f"{date} ({time_zone}) has been over for more than {deadline}, and no final statement of it is kept.",
        fix=f"`orders report {date}` makes it, or says what is missing.",
        over=f"The statement of {date} is kept.",
        evidence=date,
    )


def run_failed(job: str, days: Days | None, text: str, run_id: str) -> Cause:
    """Return the cause of a job whose latest run failed."""
    of = job + _for(days)
    return _cause(
        "run_failed",
        run_key(job, days),
        title=f"A run of {of} failed.",
        text=text,
        fix=f"Dagster shows the run {run_id}.",
        over=f"A run of {of} has succeeded since.",
        evidence=run_id,
    )


BREAKER = "breaker_open:matcher"


def check_key(asset: str, check: str, days: Days | None) -> str:
    """Return the key of a check's failure."""
    return f"check_failed:{asset}:{check}" + ("" if days is None else f":{days}")


def is_ended(key: str, asset: str, check: str, passed: Days | None) -> bool:
    """Say whether the cause of a key is over when this check has passed for these days."""
    if passed is None:
        return key == check_key(asset, check, None)
    prefix = f"{check_key(asset, check, None)}:"
    first, dots, last = key.removeprefix(prefix).partition("..")
    return key.startswith(prefix) and passed.cover(Days(first, last if dots else first))


def statement_key(date: str) -> str:
    """Return the key of a late statement."""
    return f"statement_late:{date}"


def run_key(job: str, days: Days | None) -> str:
    """Return the key of a job's failed run."""
    return f"run_failed:{job}" + ("" if days is None else f":{days}")


def _cause(kind: Kind, key: str, *, title: str, text: str, fix: str, over: str, evidence: str) -> Cause:
    return Cause(
        key=key,
        kind=kind,
        title=_line(title, TITLE_MAX),
        text=_line(text, TEXT_MAX),
        fix=_line(fix, FIX_MAX),
        over=_line(over, TITLE_MAX),
        evidence=evidence,
    )


def _for(days: Days | None) -> str:
    return "" if days is None else f" for {days}"


def _line(text: str, longest: int) -> str:
    text = _NOT_PRINTABLE.sub(" ", text).strip()
    return text if len(text) <= longest else text[: longest - 1] + "…"
