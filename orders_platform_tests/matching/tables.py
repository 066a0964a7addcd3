"""Reads the scenario tables (scenarios/README.md) and says where an implementation differs from them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from orders_platform_tests.oracle import DEFAULT_WINDOW_MS, Content, time_ms

FOLDER = Path(__file__).parent / "scenarios"
_DAY = datetime(2026, 1, 5, tzinfo=UTC)
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_TYPES = {
    "order": "order_placed",
    "cancel": "order_cancelled",
    "payment": "payment_captured",
    "failed": "payment_failed",
    "refund": "refund_issued",
    "chargeback": "chargeback_opened",
    "reversal": "chargeback_reversed",
}
_MONEY = {name: f"{name}_minor" for name in ("due", "captured", "refunded", "charged_back", "net")}
_TIMES = {"deadline": "deadline_at", "cancelled": "cancelled_at", "settled": "settled_at"}
_OWN_IDS = {
    "payment": "payment_id",
    "failed": "payment_id",
    "refund": "refund_id",
    "chargeback": "chargeback_id",
    "reversal": "chargeback_id",
}


@dataclass
class Expectation:
    """What the document must say at one clock (None: no deadline has passed); keys as in the document."""

    line: int
    clock_ms: int | None
    document: dict[str, Any]


@dataclass
class Scenario:
    """One block of a table: an order's events in order of arrival, and what is expected of them."""

    file: str
    title: str
    tolerance: int = 0
    window_ms: int = DEFAULT_WINDOW_MS
    arrivals: list[Content] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.file}: {self.title}"


Engine = Callable[[list[Content], int | None, int, int], dict[str, Any]]
"""(arrivals, clock_ms, tolerance, window_ms) -> document in the keys of `orders fold`, with `rule` and `refused`."""


def read_all() -> list[Scenario]:
    """Return the scenarios of every table."""
    return [scenario for path in sorted(FOLDER.glob("*.txt")) for scenario in read(path.stem, path.read_text("utf-8"))]


def read(name: str, text: str) -> list[Scenario]:
    """Return the scenarios of one table.

    Raises:
        ValueError: a line can't be understood; the text names it.
    """
    scenarios: list[Scenario] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            if line.startswith("== "):
                scenarios.append(Scenario(name, line[3:]))
            else:
                _read_line(scenarios[-1], line, number)
        except (ValueError, KeyError, IndexError, ArithmeticError) as error:
            raise ValueError(f"{name}.txt, line {number}, can't be understood: {line!r} ({error!r})") from error
    return scenarios


def problems(scenario: Scenario, engine: Engine, arrivals: list[Content] | None = None) -> Iterator[str]:
    """Yield each difference between what a scenario expects and what `engine` makes of its events."""
    for expected in scenario.expectations:
        given = scenario.arrivals if arrivals is None else arrivals
        got = engine(given, expected.clock_ms, scenario.tolerance, scenario.window_ms)
        for key, value in expected.document.items():
            if got[key] != value:
                where = f"{scenario.file}.txt, line {expected.line} ({scenario.title})"
                yield f"{where}: {key} should be {value!r}, is {got[key]!r}"


def _read_line(scenario: Scenario, line: str, number: int) -> None:
    first, *rest = line.split()
    if first == "=>":
        scenario.expectations.append(_expectation(line[2:], number))
    elif first == "tolerance":
        scenario.tolerance = _minor(rest[0])
    elif first == "window":
        amount = rest[0].rstrip("mshd")
        scenario.window_ms = int(amount) * _MILLISECONDS[rest[0].removeprefix(amount)]
    elif first == "again":
        scenario.arrivals.append(scenario.arrivals[-1])
    else:
        scenario.arrivals.extend(_events(first, rest, len(scenario.arrivals) + 1))


def _events(time: str, words: list[str], number: int) -> Iterator[Content]:
    count = int(words.pop()[1:]) if re.fullmatch(r"x\d+", words[-1]) else 1
    for index in range(1, count + 1):
        left = [word.replace("*", str(index)) for word in words]
        noun = left.pop(0)
        event: Content = {"event_id": f"e{number + index - 1:03d}", "type": _TYPES[noun], "order_id": "order"}
        event["occurred_at"] = _time(time)
        if noun in _OWN_IDS:
            event[_OWN_IDS[noun]] = left.pop(0)
        if noun in {"order", "payment", "refund", "chargeback"}:
            event["amount_minor"], event["currency"] = _minor(left.pop(0)), left.pop(0)
        while left:
            what, value = left.pop(0), left.pop(0)
            event[{"of": "payment_id", "by": "method", "id": "event_id"}[what]] = value
        yield event


def _expectation(text: str, number: int) -> Expectation:
    clock, status, rule, outcome, reasons, *more = [part.strip() for part in text.split("|")]
    document: dict[str, Any] = {"status": status, "rule": int(rule), "outcome": outcome}
    document["reasons"] = [] if reasons == "-" else [reason.strip() for reason in reasons.split(",")]
    for figure in more[0].split(",") if more else []:
        name, value = figure.split()
        if name in _MONEY:
            document[_MONEY[name]] = None if value == "-" else _minor(value)
        elif name in _TIMES:
            document[_TIMES[name]] = None if value == "-" else _printed(value)
        elif name == "currency":
            document["currency"] = None if value == "-" else value
        else:
            document[{"events": "event_count", "refused": "refused"}[name]] = int(value)
    return Expectation(number, None if clock == "never" else _time(clock), document)


def _minor(money: str) -> int:
    minor = Decimal(money) * 100
    if minor != int(minor):
        raise ValueError("more than two decimals")
    return int(minor)


def _time(text: str) -> int:
    if "T" in text:
        return time_ms(text)
    hours, minutes, seconds = (text + ":00" if text.count(":") == 1 else text).split(":")
    since = timedelta(hours=int(hours), minutes=int(minutes), milliseconds=int(Decimal(seconds) * 1000))
    return (_DAY + since - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _printed(text: str) -> str:
    """Return a time as `orders fold` prints it."""
    if "T" in text:
        return text if "." in text else text.replace("Z", ".000Z")
    return (_DAY + timedelta(milliseconds=_time(text) - _time("00:00"))).isoformat(timespec="milliseconds")[:-6] + "Z"
