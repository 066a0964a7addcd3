"""The committed dashboard, as tests look at it."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "orders.json"
_CHOSEN = {"$instance": ".+", "$currency": ".+", "$__rate_interval": "20s"}
"""What Grafana puts in the place of its variables where all is chosen; rates need some scrapes at 5 s."""


def board() -> dict[str, Any]:
    """Return the dashboard."""
    return json.loads(FILE.read_text())


def panels() -> list[dict[str, Any]]:
    """Return its panels, rows left out."""
    return [each for each in board()["panels"] if each["type"] != "row"]


def panel_queries() -> list[tuple[str, str]]:
    """Return each query with its panel's title, as Prometheus takes it."""
    found = []
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, chosen in _CHOSEN.items():
                expression = expression.replace(variable, chosen)
            found.append((panel["title"], expression))
    return found
