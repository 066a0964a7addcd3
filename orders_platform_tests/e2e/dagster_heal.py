"""Evidence: under Dagster a killed matcher is healed, an idle one left alone, one that is stopped replaced once.

python -m orders_platform_tests.e2e.dagster_heal --kills 5 --idle-minutes 10
"""

import argparse
import os
import signal
import statistics
import sys
import time
from contextlib import suppress
from typing import Any

from orders_platform_tests.e2e.platform import Platform, passing_platform
from orders_platform_tests.e2e.recovery import durable_after, place

QUIET_S = 30.0
"""How long to look for what a deposed matcher might still do."""


def kills(platform: Platform, count: int) -> list[float]:
    """Kill the matcher, send an order, and return how long each order took from the kill to its durable document."""
    healed_s = []
    for number in range(1, count + 1):
        killed_s = platform.kill_matcher()
        place(platform, f"probe-{number}")
        healed_s.append(durable_after(platform, f"probe-{number}", killed_s))
        say(f"kill {number} of {count}: the order sent then is durable after {healed_s[-1]:.1f} s")
        platform.orders("wait")
    return healed_s


def idle(platform: Platform, minutes: float) -> list[tuple[Any, Any]]:
    """Let nothing happen, and return each pid and epoch that was seen."""
    seen, until_s = [], time.monotonic() + 60 * minutes
    while time.monotonic() < until_s:
        matcher = platform.matcher()
        if (matcher["pid"], matcher["epoch"]) not in seen:
            seen.append((matcher["pid"], matcher["epoch"]))
        say(f"idle, {until_s - time.monotonic():.0f} s to go: pid {matcher['pid']}, epoch {matcher['epoch']}")
        time.sleep(min(30.0, max(0.0, until_s - time.monotonic())))
    return seen


def stop_in_its_tracks(platform: Platform) -> tuple[float, int, bool]:
    """SIGSTOP the matcher with messages waiting, SIGCONT it when it is replaced.

    Return after how long what waited was durable, how many times it was replaced, and whether documents stayed.
    """
    before = platform.matcher()
    os.kill(before["pid"], signal.SIGSTOP)
    stopped_s = time.monotonic()
    place(platform, "probe-stopped")
    say("stopped, with a message waiting")
    healed_s = durable_after(platform, "probe-stopped", stopped_s)
    platform.orders("wait")
    documents = platform.orders("export")
    with suppress(ProcessLookupError):
        os.kill(before["pid"], signal.SIGCONT)
    say(f"replaced after {healed_s:.1f} s; the old one may go on now")
    time.sleep(QUIET_S)
    return healed_s, platform.matcher()["epoch"] - before["epoch"], platform.orders("export") == documents


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}  (load {os.getloadavg()[0]:.1f})", flush=True)


def main() -> int:
    """Run the three, print what they showed, and fail if a promise is broken."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--kills", type=int, default=5)
    arguments.add_argument("--idle-minutes", type=float, default=10.0)
    chosen = arguments.parse_args()
    with passing_platform() as platform:
        started_s = time.monotonic()
        platform.orders("up")
        say(f"up after {time.monotonic() - started_s:.1f} s")
        place(platform, "probe-0")
        durable_after(platform, "probe-0", time.monotonic())
        healed_s = kills(platform, chosen.kills)
        seen = idle(platform, chosen.idle_minutes)
        stalled_s, replaced, same = stop_in_its_tracks(platform)
    say(
        f"healed after {', '.join(f'{each:.1f}' for each in healed_s)} s, median {statistics.median(healed_s):.1f} s; "
        f"idle for {chosen.idle_minutes:g} min: {len(seen)} matcher; stopped: replaced {replaced} time(s), durable "
        f"after {stalled_s:.1f} s, documents {'unchanged' if same else 'CHANGED'} by the old one"
    )
    return 0 if statistics.median(healed_s) < 30 and len(seen) == 1 and replaced == 1 and same else 1


if __name__ == "__main__":
    sys.exit(main())
