"""What surrounds a process: its home, its settings file, its variables; without the import of the settings' models."""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PREFIX = "ORDERS_"
RESERVED = frozenset(
    {
        "ORDERS_HOME",
        "ORDERS_CONFIG",
        "ORDERS_CACHE",
        "ORDERS_IVY_SETTINGS",
        "ORDERS_DEBUG",
        "ORDERS_GOOGLE_ENDPOINT",
        "ORDERS_PROCESS",
        "ORDERS_SETTINGS_DIGEST",
        "ORDERS_MATCHER_EPOCH",
        "ORDERS_MATCHER_RUN",
        "ORDERS_MATCHER_START_OFFSETS",
    }
)
"""Variables that are no settings: places, debugging, marks of our processes, and what a driver is handed."""

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"([0-9]{1,15})(ms|s|m|h|d)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_LONGEST_MS = 36_525 * _UNITS_MS["d"]  # a century: with the latest event time it stays far below 2^63


def home_of(environ: Mapping[str, str], root: Path | None = None) -> Path:
    """Return where all state of this platform lives: `ORDERS_HOME`, else `.orders` beside the launcher."""
    given = environ.get("ORDERS_HOME")
    return Path(given).expanduser().absolute() if given else (root or ROOT) / ".orders"


def settings_file(environ: Mapping[str, str], root: Path | None = None) -> Path | None:
    """Return the file that `ORDERS_CONFIG` names, there or not, else `orders.toml` beside the launcher."""
    given = environ.get("ORDERS_CONFIG")
    if given:
        return Path(given).expanduser().absolute()
    beside = (root or ROOT) / "orders.toml"
    return beside if beside.exists() else None


def setting_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that mean settings, known or not."""
    return {name: text for name, text in environ.items() if name.startswith(PREFIX) and name not in RESERVED}


def nothing_is_set(environ: Mapping[str, str] | None = None, root: Path | None = None) -> bool:
    """Tell whether the built-in defaults hold because neither a file nor a variable says anything."""
    environ = os.environ if environ is None else environ
    return not setting_variables(environ) and settings_file(environ, root) is None


def duration(text: str) -> timedelta:
    """Return a duration such as `500ms`, `90s`, `30m`, `2h`, `1d` or `1h30m`.

    Raises:
        ValueError: `text` has another form or is longer than a century.
    """
    if _DURATION.fullmatch(text) is None:
        raise ValueError("a duration is whole numbers with units: 500ms, 90s, 30m, 2h, 1d, 1h30m")
    total_ms = sum(int(number) * _UNITS_MS[unit] for number, unit in _PART.findall(text))
    if total_ms > _LONGEST_MS:
        raise ValueError("a duration may be a century at most")
    return timedelta(milliseconds=total_ms)


def duration_text(span: timedelta) -> str:
    """Return a duration in the form that `duration` reads, in the largest units that say it exactly."""
    rest_ms = span // timedelta(milliseconds=1)
    parts: list[str] = []
    for unit, unit_ms in reversed(_UNITS_MS.items()):
        count, rest_ms = divmod(rest_ms, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
