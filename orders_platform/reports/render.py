"""A statement as one self-contained HTML page, which prints on one A4 sheet whatever the day was like."""

from collections.abc import Sequence
from datetime import date
from html import escape

from orders_platform.reports import charts
from orders_platform.reports.markup import PRINT, SCREEN, Cell, Row, number, paragraph, section, table
from orders_platform.reports.page_breaks import LARGEST, largest, listing, matrix
from orders_platform.reports.page_bridges import DRAWN, PRINTED_OTHERS, bridges
from orders_platform.reports.page_style import STYLE, density
from orders_platform.reports.revisions import Changes
from orders_platform.reports.statement import BREAKS, Statement
from orders_platform.reports.words import (
    VERDICTS,
    figure,
    fraction,
    in_a_sentence,
    incomplete_because,
    seconds,
    told_changes,
)

PRINTED_LINES = 4
"""How many reasons, changes or kinds of rejected messages a sheet tells; the screen tells all."""
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_CLASSES = {BREAKS: "breaks-open"}


def html(statement: Statement, changed: Changes | None, earlier: Sequence[tuple[str, float | None]]) -> bytes:
    """Return the page. `earlier`: the match rates of days before, by date, the oldest first."""
    s = statement
    title = f"Statement of {s.date}"
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style>"
    )
    parts = [
        _header(s),
        _tiles(s, earlier),
        section("What customers owe: from opening to closing", bridges(s)),
        section("Open breaks by kind and age", matrix(s)),
        '<div class="parts">',
        section("Match rate by day", charts.rates([*earlier, (s.date, s.match_rate)]) + _rejected(s)),
        section("Orders by status", _statuses(s)),
        section("Largest open breaks", largest(s)),
        "</div>",
        _changes(changed),
        listing(s),
        _footer(s),
    ]
    body = "\n".join(filter(None, parts))
    size = density(_rows(s, changed), len(s.currencies))
    page = f'<html lang="en"><head>{head}</head>\n<body class="{size}">\n{body}\n</body></html>\n'
    return f"<!doctype html>\n{page}".encode()


def _rows(s: Statement, changed: Changes | None) -> int:
    """Return how many rows of tables stand one below the other on the sheet."""
    others = min(len(s.currencies) - DRAWN, PRINTED_OTHERS)
    drawn = min(len(s.currencies), DRAWN)
    waterfalls = 11 * -(-drawn // (2 if drawn in (2, 4) else 3))
    kinds = len({each.kind for each in (*s.breaks.new, *s.breaks.persisting)})
    statuses = len(s.orders_by_status["opening"].keys() | s.orders_by_status["closing"].keys())
    reasons = min(len(incomplete_because(s)), PRINTED_LINES + 1)
    moved = 0 if changed is None else 2 + min(len(list(told_changes(changed))), PRINTED_LINES)
    return (
        waterfalls
        + (others + 2 if others > 0 else 0)
        + (kinds + 3 if kinds else 0)
        + max(statuses + 1, LARGEST + 2, 9 + min(len(s.dead_letters), PRINTED_LINES + 1))
        + reasons * 2
        + moved
    )


def _header(s: Statement) -> str:
    weekday = _WEEKDAYS[date.fromisoformat(s.date).weekday()]
    replaces = f", which replaces revision {s.replaces}" if s.replaces else ""
    kind = _CLASSES.get(s.verdict, s.verdict)
    early = '<span class="stamp note">provisional</span>' if s.provisional else ""
    ends = " The day has not ended: it is told as if nothing more happened." if s.provisional else ""
    reasons = _bounded(incomplete_because(s), "incomplete clamp")
    return (
        f'<header><div class="head"><h1>Statement of {weekday}, {s.date}</h1>'
        f'<span class="stamp {kind}">{escape(VERDICTS[s.verdict])}</span>{early}</div>'
        f"<p><b>{escape(in_a_sentence(s))}</b>{ends}</p>{reasons}"
        f'<p class="note">Business day in {escape(s.time_zone)}, revision {s.revision}{replaces}. '
        f"Payments may be {s.settings['tolerance_minor']} minor units off and take "
        f"{s.settings['payment_window_ms'] / 60_000:g} minutes.</p></header>"
    )


def _bounded(lines: Sequence[str], kind: str) -> str:
    """Return a paragraph for each line; a sheet has the first few, and how many it leaves out."""
    told = "".join(
        paragraph(line, f"{kind} {SCREEN}" if place >= PRINTED_LINES else kind) for place, line in enumerate(lines)
    )
    left = len(lines) - PRINTED_LINES
    return told + (paragraph(f"and {left:,} more, which the screen shows", f"{PRINT} note") if left > 0 else "")


def _tiles(s: Statement, earlier: Sequence[tuple[str, float | None]]) -> str:
    lists = s.breaks
    before = next((rate for _, rate in reversed(earlier) if rate is not None), None)
    known = sum(s.orders_by_status["closing"].values())
    tiles = (
        (
            "open breaks",
            f"{len(lists.new) + len(lists.persisting):,}",
            f"{len(lists.new):,} new, {len(lists.resolved):,} resolved",
        ),
        (
            "matched of the day",
            fraction(s.match_rate),
            "" if before is None else f"the day before {before:.1%}",
        ),
        (
            "from order to settlement",
            seconds(s.payment_delay_s["p50"]),
            f"95 of 100 within {seconds(s.payment_delay_s['p95'])}",
        ),
        (
            "rejected messages",
            f"{sum(s.dead_letters.values()):,}",
            f"for {len(s.dead_letters)} reasons" if s.dead_letters else "",
        ),
        ("orders at the end", f"{known:,}", f"{s.coverage.events:,} events of the day"),
    )
    drawn = "".join(
        f'<div><dt>{escape(name)}</dt><dd class="big">{escape(value)}</dd><dd class="note">{escape(about)}</dd></div>'
        for name, value, about in tiles
    )
    return f'<dl class="tiles">{drawn}</dl>'


def _rejected(s: Statement) -> str:
    if not s.dead_letters:
        return paragraph("No message was rejected.", "note")
    ordered = sorted(s.dead_letters.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = [
        Row((Cell(reason), number(f"{count:,}")), SCREEN if place >= PRINTED_LINES else "")
        for place, (reason, count) in enumerate(ordered)
    ]
    rest = sum(count for _, count in ordered[PRINTED_LINES:])
    if rest:
        rows.append(Row((Cell("other reasons"), number(f"{rest:,}")), PRINT))
    return table("Rejected messages by reason", (Cell("rejected because of"), number("messages")), rows)


def _statuses(s: Statement) -> str:
    opening, closing = s.orders_by_status["opening"], s.orders_by_status["closing"]
    rows = [
        Row((Cell(status), number(figure(opening.get(status, 0))), number(figure(closing.get(status, 0)))))
        for status in sorted(opening.keys() | closing.keys())
    ]
    if not rows:
        return paragraph("There were none.")
    return table("Orders by status", (Cell("status"), number("start"), number("end")), rows)


def _changes(changed: Changes | None) -> str:
    if changed is None:
        return ""
    return section("What this revision changed", _bounded(list(told_changes(changed)), "clamp"))


def _footer(s: Statement) -> str:
    read = ", ".join(
        f"{topic}:{at} to {offset}"
        for topic, partitions in s.coverage.offsets.items()
        for at, offset in partitions.items()
    )
    return (
        f"<footer><p>closing = opening + placed - cancelled - captured + refunded + charged back - charge-backs won + "
        f"corrections; what is below 0 is the customers' money.</p>"
        f'<p class="clamp">Covers {s.coverage.events:,} events of the day, SHA-256 {s.coverage.sha256}; '
        f"read: {escape(read) or 'nothing'}.</p></footer>"
    )
