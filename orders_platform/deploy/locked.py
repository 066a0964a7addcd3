"""Which of the lock's packages a part of the platform needs: the closure of its requirements, with their hashes."""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

import msgspec
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from orders_platform.errors import MissingDependency

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Target(msgspec.Struct, frozen=True):
    """Where packages are to run: Linux on x86-64, with glibc, and this Python."""

    python: str
    """Such as `3.12`."""

    def markers(self) -> dict[str, str]:
        """Return what environment markers are evaluated against."""
        given = default_environment() | {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": "x86_64",
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
            "extra": "",
        }
        return {name: str(value) for name, value in given.items()}


class Locked(msgspec.Struct, frozen=True, order=True):
    """One package of the lock."""

    name: str
    version: str
    sha256: tuple[str, ...]
    """Of each file that may be taken."""

    def requirement(self) -> str:
        """Return it as a line that an installer takes with `--require-hashes`."""
        return " \\\n    ".join((f"{self.name}=={self.version}", *(f"--hash=sha256:{value}" for value in self.sha256)))


def read_lock(lock: Path, target: Target) -> dict[str, Locked]:
    """Return what a lock pins for `target`, by canonical name.

    Raises:
        MissingDependency: the lock can't be read.
    """
    try:
        text = lock.read_text()
    except OSError as error:
        raise MissingDependency(f"The lock {lock} can't be read.", "Restore it from the repository.") from error
    markers = target.markers()
    found: dict[str, Locked] = {}
    for entry in re.sub(r"\\\n", " ", text).splitlines():
        stated = entry.partition("--hash")[0].strip()
        if not stated or stated.startswith("#"):
            continue
        wanted = Requirement(stated)
        if wanted.marker is None or wanted.marker.evaluate(markers):
            name = canonicalize_name(wanted.name)
            version = str(wanted.specifier).removeprefix("==")
            found[name] = Locked(name, version, tuple(sorted(_HASH.findall(entry))))
    return found


def closure(
    roots: Iterable[str], locked: Mapping[str, Locked], target: Target, *, without: Iterable[str] = ()
) -> list[Locked]:
    """Return `roots` and all that they need on `target`, sorted, as the installed packages' metadata say.

    `roots` are requirements such as `pydantic` or `dagster-gcp[dataproc]`. What is named in `without`, and what only
    that needs, is left out.

    Raises:
        MissingDependency: something needed is not in the lock.
    """
    markers = target.markers()
    left_out = {canonicalize_name(name) for name in without}
    waiting = [Requirement(root) for root in roots]
    seen: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in left_out:
            continue
        for extra in ("", *sorted(wanted.extras)):
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting.extend(_needs(name, markers | {"extra": extra}))
    names = {name for name, _ in seen}
    if missing := sorted(names - set(locked)):
        raise MissingDependency(
            f"The lock has no {', '.join(missing)}, which the engine needs.",
            "Write locks/python.txt anew with the command in its head.",
        )
    return sorted(locked[name] for name in names)


def _needs(name: str, markers: dict[str, str]) -> Iterator[Requirement]:
    try:
        stated = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        # Needed on the target and not here: what it needs itself is in the lock, but nobody here can say what.
        raise MissingDependency(
            f"{name} is not installed here, so what it needs is unknown.",
            f"Run this with Python {markers['python_version']}, which has it.",
        ) from None
    for line in stated:
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate(markers):
            yield wanted
