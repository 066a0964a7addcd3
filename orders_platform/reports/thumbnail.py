"""A bridge as a picture of a few hundred bytes, for places that show no larger one: the same steps as the page's
waterfall, without words."""

from base64 import b64encode

from orders_platform.reports.bridge import LINES, Bridge

_STEP, _HEIGHT = 24, 60
_TOTAL, _UP, _DOWN = "#46586b", "#9a5b00", "#2a7a4b"
MAX_CHARACTERS = 999
"""What Dagster shows within a table; a longer text is put behind a button."""


def waterfall(bridge: Bridge) -> str:
    """Return the bridge as SVG: opening, the lines, closing; more owed goes up, less goes down."""
    steps = [(0, bridge.opening_minor, _TOTAL)]
    at = bridge.opening_minor
    for line, sign in LINES:
        to = at + sign * getattr(bridge, line)
        steps.append((at, to, _UP if to > at else _DOWN))
        at = to
    steps.append((0, bridge.closing_minor, _TOTAL))
    edges = [edge for start, end, _ in steps for edge in (start, end)]
    low, high = min(edges), max(edges)
    scale = _HEIGHT / (high - low or 1)
    paths: dict[str, str] = {}
    for place, (start, end, colour) in enumerate(steps):
        top, tall = round((high - max(start, end)) * scale), max(1, round(abs(end - start) * scale))
        box = f"M{place * _STEP + 3} {min(top, _HEIGHT - 1)}h18v{tall}h-18z"
        paths[colour] = paths.get(colour, "") + box
    drawn = "".join(f'<path fill="{colour}" d="{path}"/>' for colour, path in paths.items())
    size = f'width="{len(steps) * _STEP}" height="{_HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{drawn}</svg>'


def as_markdown(currency: str, bridge: Bridge) -> str:
    """Return the picture as Markdown with the picture in it, of at most `MAX_CHARACTERS`."""
    data = b64encode(waterfall(bridge).encode()).decode()
    return f"![bridge in {currency}](data:image/svg+xml;base64,{data})"
