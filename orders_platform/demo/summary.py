"""The demo's summary, drawn for people."""

from collections import Counter
from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from orders_platform.demo.course import Course
from orders_platform.reports.money import money

BAR_WIDTH = 32
DIFFERENCES_SHOWN = 10
_COLOURS = {"ok": "green", "pending": "yellow", "break": "red"}


def _amounts(amounts_minor: Mapping[str, int]) -> str:
    shown = [money(amount, currency, code=True) for currency, amount in sorted(amounts_minor.items()) if amount]
    return ", ".join(shown) or "-"


def summary(course: Course) -> RenderableType:
    """Return everything that the demo found, the verdict last."""
    verdict = course.verdict
    parts: list[RenderableType] = [
        _outcomes(verdict.outcomes, verdict.orders),
        Text(),
        _breaks(course),
        Text(),
        _survived(course),
        Text(),
        _verdict(course),
    ]
    return Group(*parts)


def _outcomes(outcomes: Counter[str], orders: int) -> Table:
    drawn = Table(box=None, pad_edge=False, show_header=False, title="Orders", title_justify="left", title_style="bold")
    for column in ("left", "right", "right", "left"):
        drawn.add_column(justify=column)  # pyright: ignore[reportArgumentType]
    words = {"ok": "add up", "break": "break", "pending": "wait"}
    for outcome, word in words.items():
        share = outcomes[outcome] / orders if orders else 0.0
        bar = Text("█" * round(share * BAR_WIDTH), style=_COLOURS[outcome])
        drawn.add_row(word, f"{outcomes[outcome]:,}", f"{share:.1%}", bar)
    return drawn


def _breaks(course: Course) -> Table:
    drawn = Table(box=None, pad_edge=False, title="Breaks by kind", title_justify="left", title_style="bold")
    drawn.add_column("kind")
    drawn.add_column("orders", justify="right")
    drawn.add_column("at risk")
    for kind, count in course.verdict.breaks.most_common():
        drawn.add_row(kind, f"{count:,}", _amounts(course.verdict.at_risk_minor[kind]))
    return drawn


def _survived(course: Course) -> Table:
    drawn = Table(box=None, pad_edge=False, show_header=False, title="Injected, and survived", title_justify="left",
                  title_style="bold")  # fmt: skip
    letters = ", ".join(f"{reason} {count}" for reason, count in sorted(course.verdict.dead_letters.items()))
    rows = (
        ("messages", f"{course.messages:,}, all matched after {course.matched_s:.1f} s, the kill included"),
        ("billed", _amounts(course.verdict.billed_minor)),
        ("delivered twice", f"{course.duplicates:,}: none counted twice"),
        ("poison", f"{course.poison:,} set aside: {letters}"),
        ("kill -9", f"the matcher (pid {course.killed_pid}) was killed; Dagster's sensor had another at work after "
                    f"{course.back_after_s:.1f} s"),
        ("latency", f"{course.latency.median_s:.2f} s from the broker to a durable document for the oldest message of "
                    f"a typical batch, {course.latency.slowest_s:.2f} s of the slowest of {course.latency.batches}, "
                    "which may have waited for the new matcher"),
    )  # fmt: skip
    for name, said in rows:
        drawn.add_row(name, said)
    return drawn


def _verdict(course: Course) -> Panel:
    verdict = course.verdict
    if not verdict.differences:
        return Panel(
            f"Every one of {verdict.orders:,} documents and {sum(verdict.dead_letters.values()):,} dead letters is as "
            "the truth says.",
            style="green",
            expand=False,
        )
    told = verdict.differences[:DIFFERENCES_SHOWN]
    more = len(verdict.differences) - len(told)
    lines = [f"{len(verdict.differences):,} differences from the truth:", *told, *([f"and {more:,} more"] * bool(more))]
    return Panel("\n".join(lines), style="red", expand=False)
