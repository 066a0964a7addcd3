"""The page's bridges: a waterfall beside its figures for the largest currencies, a row for each of the others."""

from html import escape

from orders_platform.reports import charts
from orders_platform.reports.bridge import LINES, Bridge
from orders_platform.reports.markup import (
    PRINT,
    SCREEN,
    Cell,
    Row,
    body,
    command,
    head,
    number,
    paragraph,
    table,
    two_ways,
)
from orders_platform.reports.money import money, short
from orders_platform.reports.statement import Statement
from orders_platform.reports.words import LINE_NAMES, at_risk_by_currency, fraction

DRAWN = 6
PRINTED_OTHERS = 14
_TOTALS = ("opening_minor", "closing_minor")


def by_size(s: Statement) -> list[str]:
    """Return the currencies, those that do not close first, then those with the largest figures in minor units: across
    currencies these come nearest to comparing."""

    def size(currency: str) -> tuple[bool, int, str]:
        bridge = s.currencies[currency]
        moved = sum(abs(getattr(bridge, line)) for line, _ in LINES)
        largest = abs(bridge.opening_minor) + abs(bridge.closing_minor) + moved
        return not bridge.residual_minor, -largest, currency

    return sorted(s.currencies, key=size)


def bridges(s: Statement) -> str:
    """Return the bridges of all currencies."""
    if not s.currencies:
        return paragraph("No money has ever moved.")
    ranked = by_size(s)
    drawn, others = ranked[:DRAWN], ranked[DRAWN:]
    at_risk = at_risk_by_currency([*s.breaks.new, *s.breaks.persisting])
    waterfalls = "".join(_waterfall(s, currency, at_risk[currency]) for currency in drawn)
    many = "one" if len(drawn) == 1 else "two" if len(drawn) in (2, 4) else "three"
    return f'<div class="bridges {many}">{waterfalls}</div>' + (_others(s, others, at_risk) if others else "")


def _waterfall(s: Statement, currency: str, at_risk_minor: int) -> str:
    bridge = s.currencies[currency]
    rows = [
        Row(
            (Cell(words), Cell(picture, "picture", is_markup=True), number(_amount(bridge, name, sign, currency))),
            "sum" if name in _TOTALS else "wrong" if name == "residual_minor" and bridge.residual_minor else "",
        )
        for (name, words, sign), picture in zip(LINE_NAMES, charts.steps(bridge), strict=True)
    ]
    heads = (Cell("line"), Cell("step"), number("amount"))
    about = f"{fraction(_matched(s, currency))} matched by amount, {money(at_risk_minor, currency)} at risk"
    return (
        f'<table class="bridge"><caption><b><span class="unseen">Bridge in </span>{escape(currency)}</b> '
        f"<small>{about}</small></caption>{head(heads, 'unseen')}{body(rows)}</table>"
    )


def _others(s: Statement, others: list[str], at_risk: dict[str, int]) -> str:
    heads = (
        Cell("also"),
        *(number(words) for _, words, _ in LINE_NAMES),
        number("matched"),
        number("at risk"),
    )
    rows = [
        Row(
            (
                Cell(currency),
                *(_both(s.currencies[currency], name, sign, currency) for name, _, sign in LINE_NAMES),
                number(fraction(_matched(s, currency))),
                number(money(at_risk[currency], currency)),
            ),
            SCREEN if place >= PRINTED_OTHERS else "",
        )
        for place, currency in enumerate(others)
    ]
    left = len(others) - PRINTED_OTHERS
    more = command(f"{left} more:", f"orders report {s.date} --json", f"note {PRINT}") if left > 0 else ""
    return table("Bridges of the other currencies", heads, rows, "others") + more


def _amount(bridge: Bridge, name: str, sign: int, currency: str) -> str:
    amount_minor = sign * getattr(bridge, name)
    if name in _TOTALS or name == "residual_minor":
        return money(amount_minor, currency)
    plus = "+" if amount_minor > 0 else ""
    return plus + money(amount_minor, currency) if amount_minor else "-"


def _both(bridge: Bridge, name: str, sign: int, currency: str) -> Cell:
    """Return a figure for a narrow column: on the sheet a line is in whole units, but no total is."""
    exact = _amount(bridge, name, sign, currency)
    if name in _TOTALS or name == "residual_minor":
        return number(exact)
    return two_ways(exact, short(sign * getattr(bridge, name), currency), "n")


def _matched(s: Statement, currency: str) -> float | None:
    return (s.match_rate_by_amount or {}).get(currency)
