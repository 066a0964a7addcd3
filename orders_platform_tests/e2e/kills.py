"""Evidence: whatever is published, in whatever order, through two kills of the matcher, every document equals `fold`
of its events, and the dead letters are exactly the poison.

    python -m orders_platform_tests.e2e.kills --events 20000 --seeds 1 2 3
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orders_platform_tests.e2e.platform import Platform, passing_platform
from orders_platform_tests.poison import POISON

DUPLICATE_SHARE = 0.05
TOPICS = ("orders", "payments", "adjustments")


class Result(NamedTuple):
    """What one seed showed."""

    orders: int
    published: int
    poison: int
    back_after_s: list[float]
    wrong: list[str]


def run(platform: Platform, seed: int, events: int) -> Result:
    """Publish a shuffled stream in three parts, kill the matcher after each but the last, and compare everything."""
    chance = random.Random(seed)
    home = platform.home
    stream = home / f"stream-{seed}.jsonl"
    platform.orders("seed", "--orders", str(events // 2), "--seed", str(seed), "--poison", "0", "--output", str(stream))
    lines = stream.read_bytes().splitlines()[:events]
    stream.write_bytes(b"\n".join(lines) + b"\n")
    sent = lines + chance.sample(lines, int(len(lines) * DUPLICATE_SHARE))
    chance.shuffle(sent)
    poison = [(chance.choice(TOPICS), kind) for kind in POISON if b"\n" not in (kind.raw or b"")]
    third = len(sent) // 3
    back_after_s: list[float] = []
    for part in range(3):
        portion = sent[part * third : (part + 1) * third if part < 2 else len(sent)]
        platform.orders("publish", "-", expect=0, stdin=b"\n".join(portion) + b"\n")
        for topic in TOPICS:
            its = [kind.raw or b"" for where, kind in poison[part::3] if where == topic]
            platform.orders("publish", "--topic", topic, "-", stdin=b"".join(raw + b"\n" for raw in its))
        if part < 2:
            time.sleep(chance.uniform(0, 1))
            epoch = platform.matcher()["epoch"]
            back_after_s.append(platform.wait_for_the_next(platform.kill_matcher(), epoch))
    platform.orders("wait", "--timeout", "300")
    return Result(len({json.loads(line)["order_id"] for line in lines}), len(sent), len(poison), back_after_s,
                  differences(platform, stream, [kind for _, kind in poison]))  # fmt: skip


def differences(platform: Platform, stream: Path, poison: Sequence[Any]) -> list[str]:
    """Return what the stored documents and dead letters have that they should not have, or lack."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    expected = platform.orders("fold", "--now", now, str(stream)).splitlines()
    stored = platform.orders("export").splitlines()
    wrong = [f"document: {line[:300]!r}" for line in sorted(set(expected) ^ set(stored))]
    letters = platform.lines("export", "--collection", "dead_letters")
    found = sorted((letter["reason"], letter["field"] or "") for letter in letters)
    wanted = sorted((kind.reason, kind.field or "") for kind in poison)
    if found != wanted:
        wrong.append(f"dead letters: {len(found)} found, {len(wanted)} expected: {set(found) ^ set(wanted)}")
    return wrong


def main() -> int:
    """Run the seeds, each on a fresh platform, and print what they showed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=20_000)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    chosen = arguments.parse_args()
    bad = 0
    for seed in chosen.seeds:
        with passing_platform() as platform:
            started_s = time.monotonic()
            platform.orders("up", "--no-dagster")
            up_s = time.monotonic() - started_s
            result = run(platform, seed, chosen.events)
        bad += len(result.wrong)
        back = ", ".join(f"{seconds:.1f}" for seconds in result.back_after_s)
        print(f"seed {seed}: {result.orders} orders, {result.published} messages, {result.poison} poison; up in "
              f"{up_s:.1f} s; back at work {back} s after kills; {len(result.wrong)} differences")  # fmt: skip
        for line in result.wrong[:10]:
            print("   ", line)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
