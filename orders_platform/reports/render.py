"""A statement as one self-contained HTML page that prints on one sheet."""

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from orders_platform.reports.charts import rates, waterfall
from orders_platform.reports.money import money
from orders_platform.reports.revisions import Changes
from orders_platform.reports.statement import Break, Statement
from orders_platform.reports.words import (
    AGES,
    LINE_NAMES,
    VERDICTS,
    age_of,
    at_risk,
    figure,
    fraction,
    incomplete_because,
    seconds,
    told_changes,
)

LARGEST_BREAKS = 12
_STYLE = """
@page{size:A4;margin:11mm}
*{box-sizing:border-box}
body{font:13px/1.4 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:#1b2430;margin:0 auto;padding:20px;
max-width:1000px;background:#fff}
header{display:flex;justify-content:space-between;align-items:baseline;border-bottom:2px solid #1b2430;
margin-bottom:10px;padding-bottom:6px}
h1{font-size:20px;margin:0}h2{font-size:14px;margin:14px 0 4px}p{margin:4px 0}
.verdict{font-weight:600;padding:2px 10px;border-radius:10px;color:#fff}
.clean{background:#2a7a4b}.breaks{background:#9a5b00}.incomplete{background:#b3261e}
.note{color:#5a6675}.grid{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:2px 24px}
.small{grid-template-columns:repeat(3,minmax(0,1fr))}section h2{margin-top:6px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-weight:600;text-align:left;border-bottom:1px solid #9aa5b1}td,th{padding:2px 8px 2px 0;vertical-align:top}
td.n,th.n{text-align:right}tr.sum td{border-top:1px solid #9aa5b1;font-weight:600}
td.id{overflow-wrap:anywhere}.parts section:first-child{grid-column:1/-1}
.parts section:first-child td:first-child{white-space:nowrap}
svg{width:100%;height:auto;display:block}footer{margin-top:12px;color:#5a6675;font-size:11px;overflow-wrap:anywhere}
@media print{body{padding:0;font-size:10.5px;max-width:none}h2{margin-top:8px}
section,tr{break-inside:avoid}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""


def html(statement: Statement, changed: Changes | None, earlier: Sequence[tuple[str, float | None]]) -> bytes:
    """Return the page. `earlier`: the match rates of days before, by date, the oldest first."""
    s = statement
    title = f"Statement of {s.date}"
    parts = [
        f"<header><h1>{title}{' (provisional)' if s.provisional else ''}</h1>",
        f'<span class="verdict {s.verdict}">{escape(VERDICTS[s.verdict])}</span></header>',
        f'<p class="note">Business day in {escape(s.time_zone)}, revision {s.revision}'
        f"{f', which replaces revision {s.replaces}' if s.replaces else ''}. "
        f"Payments may be {s.settings['tolerance_minor']} minor units off and take "
        f"{s.settings['payment_window_ms'] / 60_000:g} minutes.</p>",
        *(f"<p><b>{escape(reason)}</b></p>" for reason in incomplete_because(s)),
        "<h2>What customers owe: from opening to closing</h2>",
        _bridges(s),
        '<div class="grid parts">',
        _section("Open breaks by kind and age", _breaks(s)),
        _section("Match rate", _matching(s, earlier)),
        _section("Largest open breaks", _largest([*s.breaks.new, *s.breaks.persisting])),
        _section("Orders by status", _statuses(s)),
        "</div>",
        _changes(changed),
        _footer(s),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    page = f'<!doctype html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n<body>\n'
    return (page + "\n".join(filter(None, parts)) + "\n</body></html>\n").encode()


def _bridges(s: Statement) -> str:
    if not s.currencies:
        return "<p>No money has ever moved.</p>"
    charts = "".join(
        f"<section><h2>{escape(currency)}</h2>{waterfall(currency, bridge)}</section>"
        for currency, bridge in s.currencies.items()
    )
    heads = "".join(f'<th class="n">{escape(currency)}</th>' for currency in s.currencies)
    rows = "".join(
        f"<tr{' class=sum' if name in ('opening_minor', 'closing_minor') else ''}><td>{words}</td>"
        + "".join(
            f'<td class="n">{money(getattr(each, name) * sign, code)}</td>' for code, each in s.currencies.items()
        )
        + "</tr>"
        for name, words, sign in LINE_NAMES
    )
    small = " small" if len(s.currencies) > 4 else ""
    return f'<div class="grid{small}">{charts}</div><table><tr><th></th>{heads}</tr>{rows}</table>'


def _breaks(s: Statement) -> str:
    there = [*s.breaks.new, *s.breaks.persisting]
    counted = Counter((each.kind, age_of(each.age_days)) for each in there)
    rows = [
        (
            kind,
            *(figure(counted[kind, age]) for age in AGES),
            "; ".join(at_risk(each for each in there if each.kind == kind)),
        )
        for kind in sorted({each.kind for each in there})
    ]
    words = f"<p>{len(s.breaks.new)} new, {len(s.breaks.persisting)} persisting, {len(s.breaks.resolved)} resolved.</p>"
    return words + (_table(("kind", *AGES, "at risk"), rows, numbers=range(1, len(AGES) + 1)) if rows else "")


def _matching(s: Statement, earlier: Sequence[tuple[str, float | None]]) -> str:
    by_amount = ", ".join(f"{code} {fraction(rate)}" for code, rate in (s.match_rate_by_amount or {}).items())
    return (
        f"<p>Of the orders placed on the day {fraction(s.match_rate)} were matched at its end"
        f"{f'; by amount {escape(by_amount)}' if by_amount else ''}.</p>"
        f"<p>From order to settlement: median {seconds(s.payment_delay_s['p50'])}, "
        f"95 of 100 within {seconds(s.payment_delay_s['p95'])}.</p>" + rates([*earlier, (s.date, s.match_rate)])
    )


def _largest(there: list[Break]) -> str:
    """The largest of each currency in turn: amounts of different currencies don't compare."""
    by_currency: dict[str, list[Break]] = {}
    for each in sorted(there, key=lambda one: (-one.at_risk_minor, one.id)):
        if each.at_risk_minor > 0:
            by_currency.setdefault(each.currency or "", []).append(each)
    ranked = [
        each
        for rank in range(LARGEST_BREAKS)
        for _, listed in sorted(by_currency.items())
        for each in listed[rank : rank + 1]
    ]
    rows = [
        (each.order_id, each.kind, each.opened_on.isoformat(), money(each.at_risk_minor, each.currency, code=True))
        for each in ranked[:LARGEST_BREAKS]
    ]
    return _table(("order", "kind", "since", "at risk"), rows, numbers=(3,)) if rows else "<p>None.</p>"


def _statuses(s: Statement) -> str:
    opening, closing = s.orders_by_status["opening"], s.orders_by_status["closing"]
    rows = [
        (status, figure(opening.get(status, 0)), figure(closing.get(status, 0)))
        for status in sorted(opening.keys() | closing.keys())
    ]
    letters = ", ".join(f"{reason} {count}" for reason, count in s.dead_letters.items())
    rejected = f"<p>Rejected messages: {escape(letters)}.</p>" if letters else ""
    return _table(("status", "at the start", "at the end"), rows, numbers=(1, 2)) + rejected


def _changes(changed: Changes | None) -> str:
    if changed is None:
        return ""
    return _section("What this revision changed", "".join(f"<p>{escape(line)}</p>" for line in told_changes(changed)))


def _footer(s: Statement) -> str:
    read = ", ".join(
        f"{topic}:{at} to {offset}"
        for topic, partitions in s.coverage.offsets.items()
        for at, offset in partitions.items()
    )
    return (
        f"<footer>Covers {s.coverage.events:,} events of the day, SHA-256 {s.coverage.sha256}; "
        f"read: {escape(read) or 'nothing'}.</footer>"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int]) -> str:
    right = set(numbers)

    def cells(tag: str, texts: Sequence[str]) -> str:
        kinds = (' class="n"' if at in right else ' class="id"' for at in range(len(texts)))
        return "".join(f"<{tag}{kind}>{escape(text)}</{tag}>" for kind, text in zip(kinds, texts, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><tr>{cells('th', heads)}</tr>{body}</table>"
