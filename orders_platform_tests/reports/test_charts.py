"""The pictures are the figures: bars as long as their amounts, each beginning where the one before ends."""

import re
from itertools import pairwise
from random import Random

import pytest

from orders_platform.reports import charts
from orders_platform.reports.bridge import LINES, Bridge
from orders_platform_tests.reports import pages


def bar(picture: str) -> tuple[str, float, float] | None:
    found = re.search(r'<rect class="(\w+)" x="([\d.]+)" y="1.5" width="([\d.]+)"', picture)
    return None if found is None else (found[1], float(found[2]), float(found[2]) + float(found[3]))


@pytest.mark.parametrize("seed", range(8))
def test_a_waterfall_is_its_bridge(seed: int) -> None:
    bridge = pages.bridge(Random(seed), 1_000_000)
    signed = [sign * getattr(bridge, line) for line, sign in LINES]
    drawn = [bar(picture) for picture in charts.steps(bridge)]
    assert drawn.pop() is None  # it closes
    amounts = [bridge.opening_minor, *signed, bridge.closing_minor]
    units = max(abs(amount) / (each[2] - each[1]) for amount, each in zip(amounts, drawn, strict=True) if each)
    for amount, each in zip(amounts, drawn, strict=True):
        assert each is None if amount == 0 else each and each[2] - each[1] == pytest.approx(abs(amount) / units, abs=1)
    kinds = ["total", *("up" if amount > 0 else "down" for amount in signed), "total"]
    assert [each[0] for each in drawn if each] == kinds
    assert all(0 <= each[1] <= each[2] <= 100.01 for each in drawn if each)


@pytest.mark.parametrize("seed", range(8))
def test_each_step_begins_where_the_one_before_ends(seed: int) -> None:
    pictures = charts.steps(pages.bridge(Random(seed), 1_000_000))[:-1]
    for one, other in pairwise(pictures):
        ends, begins = re.search(r"M([\d.]+) 6V12", one), re.search(r"M([\d.]+) 0V6", other)
        assert ends and begins and ends[1] == begins[1]


def test_what_is_unexplained_is_drawn() -> None:
    bridge = Bridge(opening_minor=100, placed_minor=300, closing_minor=500, residual_minor=100)
    assert bar(charts.steps(bridge)[-1]) == ("wrong", 80.0, 100.0)


def test_a_bridge_of_nothing_has_no_bars() -> None:
    assert [bar(picture) for picture in charts.steps(Bridge())] == [None] * 10


def test_the_line_breaks_off_where_a_day_has_no_rate() -> None:
    drawn = charts.rates([("2026-01-01", 0.5), ("2026-01-02", 0.75), ("2026-01-03", None), ("2026-01-04", 1.0)])
    assert re.findall(r'class="line" d="M[^"]*"', drawn) == [
        'class="line" d="M36.0 79.7L101.3 43.8"',
        'class="line" d="M232.0 8.0"',
    ]
    assert re.findall(r"<title>([^<]*)</title>", drawn) == [
        "2026-01-01: 50.0%",
        "2026-01-02: 75.0%",
        "2026-01-04: 100.0%",
    ]


@pytest.mark.parametrize("rate", [None, 0.0, 1.0])
def test_a_single_day_has_a_picture_too(rate: float | None) -> None:
    assert charts.rates([("2026-01-01", rate)]).count("<circle") == (rate is not None)
