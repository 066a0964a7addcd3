"""A statement in short, as Markdown that also reads well in a terminal."""

from collections import Counter
from collections.abc import Sequence

from orders_platform.reports.money import money
from orders_platform.reports.revisions import Changes
from orders_platform.reports.statement import Statement
from orders_platform.reports.words import (
    LINE_NAMES,
    VERDICTS,
    at_risk,
    figure,
    fraction,
    incomplete_because,
    seconds,
    told_changes,
)

CHANGES_TOLD = 25


def markdown(statement: Statement, changed: Changes | None) -> str:
    """Return the summary: verdict, bridge, breaks by kind, match rate, and what a revision changed."""
    s = statement
    provisional = ", provisional" if s.provisional else ""
    parts = [
        f"# {s.date}: {VERDICTS[s.verdict]}",
        f"Business day in {s.time_zone}, revision {s.revision}{provisional}.",
        *incomplete_because(s),
        _bridge(s),
        _breaks(s),
        f"Of the orders placed on the day {fraction(s.match_rate)} were matched at its end; from order to settlement: "
        f"median {seconds(s.payment_delay_s['p50'])}, 95 of 100 within {seconds(s.payment_delay_s['p95'])}.",
    ]
    if s.dead_letters:
        letters = ", ".join(f"{reason} {count}" for reason, count in s.dead_letters.items())
        parts.append(f"Rejected messages: {letters}.")
    if changed is not None:
        lines = list(told_changes(changed))
        told = "\n".join(f"- {line}" for line in lines[:CHANGES_TOLD])
        left = len(lines) - CHANGES_TOLD
        more = (
            f"\n- and {left:,} more, which the page of `orders report {s.date} --html FILE` tells" if left > 0 else ""
        )
        parts.append(f"Revision {s.revision} replaces {s.replaces}:\n\n{told}{more}")
    return "\n\n".join(filter(None, parts)) + "\n"


def _bridge(s: Statement) -> str:
    if not s.currencies:
        return "No money has ever moved."
    rows = [
        (words, *(money(sign * getattr(bridge, name), code) for code, bridge in s.currencies.items()))
        for name, words, sign in LINE_NAMES
    ]
    return _table(("", *s.currencies), rows)


def _breaks(s: Statement) -> str:
    there = [*s.breaks.new, *s.breaks.persisting]
    numbers = (("new", s.breaks.new), ("persisting", s.breaks.persisting), ("resolved", s.breaks.resolved))
    words = f"Breaks: {', '.join(f'{len(listed):,} {name}' for name, listed in numbers)}."
    if not there:
        return words
    new = Counter(each.kind for each in s.breaks.new)
    rows = [
        (
            kind,
            figure(new[kind]),
            figure(count),
            "; ".join(at_risk(each for each in there if each.kind == kind)) or "-",
        )
        for kind, count in sorted(Counter(each.kind for each in there).items())
    ]
    return f"{words}\n\n{_table(('kind', 'new', 'open', 'at risk'), rows)}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns, all but the first and an `at risk` to the right."""
    widths = [max(len(row[at]) for row in (heads, *rows)) for at in range(len(heads))]
    left = {at for at, head in enumerate(heads) if at == 0 or head == "at risk"}

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(wide) if at in left else cell.rjust(wide)
            for at, (cell, wide) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * wide if at in left else "-" * (wide - 1) + ":" for at, wide in enumerate(widths)]
    return "\n".join([line(heads), line(rule), *map(line, rows)])
