"""Which code this is, so that a supervisor sees when a running matcher is an older one."""

import hashlib
from functools import cache
from pathlib import Path

from orders_platform import __version__

_PACKAGE = Path(__file__).resolve().parent
_MATCHER_CODE = ("events.py", "event_rules.py", "times.py", "matching", "store", "matcher", "streams", "../spark")


@cache
def code_version() -> str:
    """Return the package's version and a short hash of the source files that a matcher runs."""
    digest = hashlib.sha256()
    for name in _MATCHER_CODE:
        place = _PACKAGE / name
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(file.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"
