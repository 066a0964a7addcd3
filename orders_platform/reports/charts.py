"""Inline SVG: the bridge of one currency, and the match rate of some days. Numbers only, so nothing needs escaping."""

from collections.abc import Sequence

from orders_platform.reports.bridge import LINES, Bridge
from orders_platform.reports.money import money

_WIDTH, _HEIGHT, _TOP, _FOOT = 460, 150, 16, 26
_TOTAL, _UP, _DOWN, _INK, _GRID = "#46586b", "#9a5b00", "#2a7a4b", "#1b2430", "#c9d1d9"
_SHORT = ("opening", "placed", "canc.", "capt.", "refund.", "ch.back", "won", "corr.", "closing")
_RATES_WIDTH, _RATES_HEIGHT = 460, 120


def waterfall(currency: str, bridge: Bridge) -> str:
    """Return the bridge as steps from the opening position to the closing one, in whole units of its currency."""
    steps = [(0, bridge.opening_minor)]
    at = bridge.opening_minor
    for line, sign in LINES:
        to = at + sign * getattr(bridge, line)
        steps.append((at, to))
        at = to
    steps.append((0, bridge.closing_minor))
    low, high = min(0, *map(min, steps)), max(0, *map(max, steps))
    scale = (_HEIGHT - _TOP - _FOOT) / (high - low or 1)

    def y(amount_minor: int) -> float:
        return _TOP + (high - amount_minor) * scale

    wide = _WIDTH / len(steps)
    drawn = [f'<line x1="0" x2="{_WIDTH}" y1="{y(0):.1f}" y2="{y(0):.1f}" stroke="{_GRID}"/>']
    for place, ((start, end), name) in enumerate(zip(steps, _SHORT, strict=True)):
        is_total = place in (0, len(steps) - 1)
        colour = _TOTAL if is_total else _UP if end > start else _DOWN
        x = place * wide
        top, bottom = y(max(start, end)), y(min(start, end))
        drawn.append(
            f'<rect x="{x + 4:.1f}" y="{top:.1f}" width="{wide - 8:.1f}" height="{max(bottom - top, 1):.1f}" '
            f'fill="{colour}"/>'
        )
        drawn.append(_text(x + wide / 2, top - 3, money(end if is_total else end - start, currency, whole=True), 10))
        drawn.append(_text(x + wide / 2, _HEIGHT - 6, name, 11))
        if not is_total or place == 0:
            drawn.append(
                f'<line x1="{x + wide - 4:.1f}" x2="{x + wide + 4:.1f}" y1="{y(end):.1f}" y2="{y(end):.1f}" '
                f'stroke="{_INK}" stroke-width="0.6"/>'
            )
    return _svg(_WIDTH, _HEIGHT, drawn, f"Bridge in {currency}")


def rates(days: Sequence[tuple[str, float | None]]) -> str:
    """Return match rates by day as columns, from 0 to 100 per cent; a day without one stays empty."""
    tall = _RATES_HEIGHT - _TOP - _FOOT
    wide = _RATES_WIDTH / max(len(days), 1)
    drawn = []
    for part in (0.0, 0.5, 1.0):
        y = _TOP + tall * (1 - part)
        drawn.append(f'<line x1="0" x2="{_RATES_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_GRID}"/>')
    for place, (date, rate) in enumerate(days):
        x = place * wide
        drawn.append(_text(x + wide / 2, _RATES_HEIGHT - 8, f"{int(date[8:])}.{int(date[5:7])}.", 10.5))
        if rate is None:
            continue
        high = max(tall * rate, 1)
        drawn.append(
            f'<rect x="{x + 3:.1f}" y="{_TOP + tall - high:.1f}" width="{wide - 6:.1f}" height="{high:.1f}" '
            f'fill="{_TOTAL}"/>'
        )
        drawn.append(_text(x + wide / 2, _TOP + tall - high - 3, f"{rate:.0%}", 10))
    return _svg(_RATES_WIDTH, _RATES_HEIGHT, drawn, "Match rate by day")


def _text(x: float, y: float, text: str, size: float) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="middle" fill="{_INK}">{text}</text>'


def _svg(width: int, height: int, drawn: Sequence[str], title: str) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}">{"".join(drawn)}</svg>'
