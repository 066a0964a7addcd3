"""A statement and its breaks as the metadata that Dagster shows and plots."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import dagster as dg

from orders_platform.defs.reports.files import address
from orders_platform.reports import thumbnail
from orders_platform.reports.making import Made
from orders_platform.reports.money import money
from orders_platform.reports.revisions import content_sha256
from orders_platform.reports.statement import Break, Statement
from orders_platform.reports.summary import markdown
from orders_platform.reports.words import LINE_NAMES, at_risk, at_risk_by_currency

LARGEST = 20
Shown = dict[str, dg.MetadataValue]


def statement_metadata(made: Made, page: Path) -> Shown:
    """Return what a statement says: in figures, which Dagster plots over the days, in a table and in words."""
    s = made.statement
    there = [*s.breaks.new, *s.breaks.persisting]
    shown: Shown = {
        "page": dg.MetadataValue.url(address(s.date)),
        "verdict": dg.MetadataValue.text(s.verdict),
        "provisional": dg.MetadataValue.bool(s.provisional),
        "revision": dg.MetadataValue.int(s.revision),
        "bridge": _bridge(s),
    }
    for currency, bridge in s.currencies.items():
        picture = thumbnail.as_markdown(currency, bridge)
        if len(picture) <= thumbnail.MAX_CHARACTERS:
            shown[f"bridge_{currency}"] = dg.MetadataValue.md(picture)
    for currency, bridge in s.currencies.items():
        shown[f"closing_{currency}_minor"] = dg.MetadataValue.int(bridge.closing_minor)
        shown[f"residual_{currency}_minor"] = dg.MetadataValue.int(bridge.residual_minor)
    if s.match_rate is not None:
        shown["match_rate"] = dg.MetadataValue.float(s.match_rate)
    shown |= {
        "events": dg.MetadataValue.int(s.coverage.events),
        "breaks_new": dg.MetadataValue.int(len(s.breaks.new)),
        "breaks_open": dg.MetadataValue.int(len(there)),
        "breaks_resolved": dg.MetadataValue.int(len(s.breaks.resolved)),
    }
    shown |= _at_risk(s, there)
    shown |= {
        "summary": dg.MetadataValue.md(markdown(s, made.changes)),
        "file": dg.MetadataValue.path(page),
        "sha256": dg.MetadataValue.text(content_sha256(s)),
    }
    return shown


def breaks_metadata(statement: Statement, files: Mapping[str, Path]) -> Shown:
    """Return a day's open breaks by kind, the largest of them, and where the files are."""
    there = [*statement.breaks.new, *statement.breaks.persisting]
    shown: Shown = {
        "dagster/row_count": dg.MetadataValue.int(len(there)),
        "new": dg.MetadataValue.int(len(statement.breaks.new)),
        "resolved": dg.MetadataValue.int(len(statement.breaks.resolved)),
        "oldest_days": dg.MetadataValue.int(max((each.age_days for each in there), default=0)),
    }
    shown |= _at_risk(statement, there)
    if there:
        shown |= {"by_kind": _by_kind(statement, there), "largest": _largest(there)}
    for name, path in files.items():
        shown[name] = dg.MetadataValue.url(address(statement.date, name))
        shown[f"file_{name}"] = dg.MetadataValue.path(path)
    return shown


def _bridge(statement: Statement) -> dg.MetadataValue:
    records = [
        dg.TableRecord(
            {"line": words}
            | {code: money(sign * getattr(each, name), code) for code, each in statement.currencies.items()}
        )
        for name, words, sign in LINE_NAMES
    ]
    return _table(records, ["line", *statement.currencies])


def _by_kind(statement: Statement, there: list[Break]) -> dg.MetadataValue:
    open_, new = Counter(each.kind for each in there), Counter(each.kind for each in statement.breaks.new)
    records = []
    for kind in sorted(open_):
        its = [each for each in there if each.kind == kind]
        sums = "; ".join(at_risk(its)) or "-"
        oldest = max(each.age_days for each in its)
        records.append(
            dg.TableRecord({"kind": kind, "open": open_[kind], "new": new[kind], "oldest": oldest, "at risk": sums})
        )
    return _table(records, ["kind", "open", "new", "oldest", "at risk"])


def _largest(there: list[Break]) -> dg.MetadataValue:
    """Show the largest of each currency in turn: amounts of different currencies don't compare."""
    ranks: Counter[str] = Counter()
    ranked = []
    for each in sorted(there, key=lambda one: (-one.at_risk_minor, one.id)):
        ranked.append((ranks[each.currency or ""], each.currency or "", each))
        ranks[each.currency or ""] += 1
    records = [
        dg.TableRecord(
            {
                "id": each.id,
                "at risk": money(each.at_risk_minor, each.currency, code=True),
                "since": each.opened_on.isoformat(),
                "days": each.age_days,
            }
        )
        for _, _, each in sorted(ranked, key=lambda one: one[:2])[:LARGEST]
    ]
    return _table(records, ["id", "at risk", "since", "days"])


def _at_risk(statement: Statement, there: Iterable[Break]) -> Shown:
    """Return the minor units at risk in each currency that the statement has, so that a plot also shows none."""
    sums = at_risk_by_currency(there)
    return {
        f"at_risk_{code}_minor": dg.MetadataValue.int(sums[code])
        for code in sorted(sums.keys() | statement.currencies.keys())
    }


def _table(records: list[dg.TableRecord], names: Iterable[str]) -> dg.MetadataValue:
    """Return a table; what is a number in the first row is one in all."""
    first = records[0].data
    columns = [dg.TableColumn(name, "int" if isinstance(first[name], int) else "string") for name in names]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))
