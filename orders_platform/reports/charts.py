"""Inline SVG: a bridge's steps, each for the row of its figure, and the match rate of some days. Drawn in classes, so
that the page's style gives the colours of light and dark. Numbers and dates only, so nothing needs escaping."""

from collections.abc import Sequence
from itertools import groupby

from orders_platform.reports.bridge import LINES, Bridge

_TALL = 12  # of a step, in its own units; the page stretches it to the row
_RATES_WIDTH, _RATES_HEIGHT = 240, 112
_LEFT, _RIGHT, _TOP, _FOOT = 36, 8, 8, 18


def steps(bridge: Bridge) -> list[str]:
    """Return the waterfall from opening to closing and the residual, one picture for each row of `LINE_NAMES`."""
    at = bridge.opening_minor
    moves = [(0, at, "total")]
    for line, sign in LINES:
        to = at + sign * getattr(bridge, line)
        moves.append((at, to, "up" if to > at else "down"))
        at = to
    moves.append((0, bridge.closing_minor, "total"))
    low = min(0, *(min(start, end) for start, end, _ in moves))
    high = max(0, *(max(start, end) for start, end, _ in moves))
    scale = 100 / (high - low or 1)

    def x(amount_minor: int) -> float:
        return (amount_minor - low) * scale

    drawn = []
    for place, (start, end, kind) in enumerate(moves):
        is_last = place == len(moves) - 1
        into, out = (x(at) if is_last else x(start)), x(end)
        links = [f"M{into:.2f} 0V6"] * (place > 0) + [f"M{out:.2f} 6V{_TALL}"] * (not is_last)
        drawn.append(_step(x(0), links, x(min(start, end)), x(max(start, end)), kind))
    left, right = sorted((x(at), x(bridge.closing_minor)))
    drawn.append(_step(x(0), [], left, right, "wrong"))
    return drawn


def _step(zero: float, links: Sequence[str], left: float, right: float, kind: str) -> str:
    bar = f'<rect class="{kind}" x="{left:.2f}" y="1.5" width="{right - left:.2f}" height="9"/>' if right > left else ""
    lines = f'<path class="link" d="{"".join(links)}"/>' if links else ""
    return (
        f'<svg class="step" viewBox="0 0 100 {_TALL}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="axis" d="M{zero:.2f} 0V{_TALL}"/>{lines}{bar}</svg>'
    )


def rates(days: Sequence[tuple[str, float | None]]) -> str:
    """Return match rates by day as a line, which breaks off where a day has none; the last is written beside it."""
    known = [rate for _, rate in days if rate is not None]
    floor = max(0, int(min(known, default=0.0) * 10) - 1) / 10
    tall = _RATES_HEIGHT - _TOP - _FOOT
    wide = (_RATES_WIDTH - _LEFT - _RIGHT) / max(len(days) - 1, 1)

    def y(rate: float) -> float:
        return _TOP + tall * (1 - rate) / (1 - floor)

    drawn = []
    for level in (floor, (1 + floor) / 2, 1.0):
        drawn.append(f'<path class="axis" d="M{_LEFT} {y(level):.1f}H{_RATES_WIDTH}"/>')
        drawn.append(_text(_LEFT - 5, y(level) + 3.5, f"{level:.0%}", "end"))
    points = [(_LEFT + place * wide, rate, date) for place, (date, rate) in enumerate(days)]
    for there, run in groupby(points, key=lambda point: point[1] is not None):
        if there:
            line = "L".join(f"{x:.1f} {y(rate or 0):.1f}" for x, rate, _ in run)
            drawn.append(f'<path class="line" d="M{line}"/>')
    for x, rate, date in points:
        if rate is not None:
            said = f"<title>{date}: {rate:.1%}</title>"
            drawn.append(f'<circle class="dot" cx="{x:.1f}" cy="{y(rate):.1f}" r="3">{said}</circle>')
    for place in sorted({0, len(points) // 2, len(points) - 1}):
        x, _, date = points[place]
        anchor = "start" if place == 0 and len(points) > 1 else "end" if place else "middle"
        drawn.append(_text(x + (_RIGHT if anchor == "end" else 0), _RATES_HEIGHT - 4, date[5:], anchor))
    title = f"Match rate of {len(known)} days, from {points[0][2]} to {points[-1][2]}"
    return (
        f'<svg class="rates" viewBox="0 0 {_RATES_WIDTH} {_RATES_HEIGHT}" role="img" aria-label="{title}">'
        f"{''.join(drawn)}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
