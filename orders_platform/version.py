"""Which code this is, so that a supervisor sees when a running matcher is an older one."""

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from orders_platform import __version__

_MATCHER_CODE = ("events.py", "event_rules.py", "times.py", "matching", "store", "matcher", "streams")


@cache
def code_version() -> str:
    """Return the package's version and a short hash of the source files that a matcher runs.

    It is the same in a checkout, in a wheel and in a zip file: a supervisor and a driver elsewhere compare theirs.
    """
    return f"{__version__}+{_digest(files('orders_platform'), files('spark'))}"


def _digest(package: Traversable, engine: Traversable) -> str:
    digest = hashlib.sha256()
    for place in (*(package / name for name in _MATCHER_CODE), engine):
        for file in _sources(place):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _sources(place: Traversable) -> Iterator[Traversable]:
    """Yield the Python files of a place, in an order that is the same on a disk and in an archive."""
    if place.is_dir():
        for child in sorted(place.iterdir(), key=lambda child: child.name):
            yield from _sources(child)
    elif place.name.endswith(".py"):
        yield place
