"""Evidence that `orders fold` equals the oracle on many random adversarial lines, and how fast it is.

    python -m orders_platform_tests.evidence_fold [--lines 100000] [--seed 1]

Two files are written and folded: one of adversarial lines (every reason code, many ways to write the same event,
redelivery, conflicts, orders past the bound of 500), one of clean canonical lines. Every document and rejection is
compared. Exit status 0 where all are equal, 1 where not.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from orders_platform_tests import adversary, oracle

COMMAND = [sys.executable, "-m", "orders_platform.cli.main", "fold"]
ROOT = Path(__file__).parents[1]


class Folded(NamedTuple):
    """One run of `orders fold`: its exit status, what it printed, and its wall and processor time in seconds."""

    status: int
    output: bytes
    errors: bytes
    wall_s: float
    cpu_s: float

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The documents printed, one a line."""
        return [json.loads(line) for line in self.output.splitlines()]

    @property
    def rejections(self) -> list[dict[str, Any]]:
        """The rejections printed to standard error, one a line."""
        return [json.loads(line) for line in self.errors.splitlines()]


def fold(arguments: Sequence[str | Path], home: Path, given: bytes = b"") -> Folded:
    """Run `orders fold` in a process of its own, with `given` as its standard input and `home` as its ORDERS_HOME."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORDERS_")}
    environment["ORDERS_HOME"] = str(home)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, env=environment, input=given, capture_output=True, check=False, timeout=600
    )
    wall_s, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Folded(done.returncode, done.stdout, done.stderr, wall_s, cpu_s)


def differences(
    folded: Folded, lines: Sequence[bytes], clock_ms: int | None, tolerance: int, window_ms: int
) -> Iterator[str]:
    """Yield where a run differs from the oracle's documents, rejections, order of keys and exit status."""
    documents, rejections = oracle.fold_lines(lines, clock_ms, tolerance, window_ms)
    status = 3 if rejections else 0
    if folded.status != status:
        yield f"the exit status should be {status}, is {folded.status}"
        if folded.status not in {0, 3}:
            yield f"standard error: {folded.errors[-2000:].decode('utf-8', 'replace')}"
            return
    yield from _pairs("document", "order_id", documents, folded.documents)
    yield from _pairs("rejection", "line", rejections, folded.rejections)


def _pairs(what: str, key: str, expected: list[dict[str, Any]], got: list[dict[str, Any]]) -> Iterator[str]:
    names = [each[key] for each in got]
    if names != sorted(names):
        yield f"the {what}s are not sorted by {key}"
    should, actual = ({each[key]: each for each in side} for side in (expected, got))
    if len(actual) != len(got):
        yield f"some {key} has more than one {what}"
    for name in sorted(should.keys() | actual.keys()):
        one, other = should.get(name), actual.get(name)
        if one is None or other is None:
            yield f"{what} {name} should be {one}, is {other}"
        elif one != other:
            wrong = {part: (one.get(part), other.get(part)) for part in one | other if one.get(part) != other.get(part)}
            yield f"{what} {name} should be otherwise in (expected, got): {wrong}"
        elif list(one) != list(other):
            yield f"the keys of {what} {name} should stand in the order {list(one)}, stand in {list(other)}"


def settings_for(random: Random) -> tuple[list[str], int | None, int, int]:
    """Return the options of one run, and the clock, tolerance and window that they stand for."""
    clock_ms = random.choice(adversary.CLOCKS_MS)
    tolerance, window_ms = random.choice(adversary.TOLERANCES), random.choice(adversary.WINDOWS_MS)
    options = ["--tolerance", str(tolerance), "--payment-window", f"{window_ms}ms"]
    if clock_ms is not None:
        options += ["--now", str(oracle.time_text(clock_ms))]
    return options, clock_ms, tolerance, window_ms


def main() -> int:
    """Write the files, fold them, print speed and verdict; return the exit status."""
    parser = argparse.ArgumentParser(description="Compare `orders fold` with the oracle on random adversarial lines.")
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    random = Random(asked.seed)
    orders = max(1, asked.lines // 6)
    kinds = {
        "adversarial": adversary.lines(random, asked.lines, orders, hot_orders=2),
        "clean": [
            oracle.canonical(adversary.content(random, f"order-{random.randrange(orders)}")) for _ in range(asked.lines)
        ],
    }
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        home, path = Path(folder) / "home", Path(folder) / "events.jsonl"
        path.write_bytes(b"")
        nothing = fold([path], home)
        print(f"nothing: start and stop take {nothing.wall_s:.2f} s wall, {nothing.cpu_s:.2f} s CPU")
        for name, lines in kinds.items():
            path.write_bytes(b"".join(line + b"\n" for line in lines))
            options, clock_ms, tolerance, window_ms = settings_for(random)
            folded = fold([*options, path], home)
            wrong = list(differences(folded, lines, clock_ms, tolerance, window_ms))
            found += len(wrong)
            print(f"{name}: {len(lines):,} lines, {path.stat().st_size / 1e6:.1f} MB, options {' '.join(options)}")
            print(f"  {len(folded.documents):,} documents and {len(folded.rejections):,} rejections")
            print(f"  {folded.wall_s:.2f} s wall, {len(lines) / folded.wall_s:,.0f} events/s from file to output")
            print(f"  {folded.cpu_s:.2f} s CPU, {len(lines) / folded.cpu_s:,.0f} events/s of one core")
            for difference in wrong[:20]:
                print(f"  {difference}")
    verdict = "every document and rejection equals the oracle's" if not found else f"{found} differences"
    print(f"seed {asked.seed}: {verdict}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
