"""`orders report`, `orders breaks` and `orders resolve`: the day's statement, and what people do about its breaks."""

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orders_platform.cli import output
from orders_platform.cli.context import pass_settings
from orders_platform.cli.params import DURATION
from orders_platform.errors import OrdersError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orders_platform.reports.making import Made
    from orders_platform.settings import Settings
    from orders_platform.store.breaks import BreakRecord
    from orders_platform.store.client import Store

PROBLEM = 1
HISTORY_DAYS = 14
_DAY_MS = 86_400_000
_ANSWER_S = 20.0  # MongoDB may take six times as long to add up a large collection


@click.command()
@click.argument("when", metavar="DATE", type=click.DateTime(["%Y-%m-%d"]))
@click.option("--json", "as_json", is_flag=True, help="Print the statement as one JSON document.")
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write the page to print there.")
@click.option(
    "--force",
    is_flag=True,
    help="Count all orders, and make a revision although the kept one was made with other settings.",
)
@click.pass_context
@pass_settings
def report(
    ctx: click.Context, settings: "Settings", when: datetime, as_json: bool, page: Path | None, force: bool
) -> None:
    """Make the statement of DATE, a business day such as 2026-01-05, and keep it.

    A day that is made again is kept again, as its next revision, if it says something else. The exit status is 1 if
    the statement is incomplete.
    """
    from orders_platform.cli.connected import store_of
    from orders_platform.reports import making
    from orders_platform.reports.statement import INCOMPLETE
    from orders_platform.reports.statement import as_json as keys_of
    from orders_platform.reports.summary import markdown

    what = f"Making the statement of {when:%Y-%m-%d}"
    with store_of(settings, timeout_s=_ANSWER_S) as store, output.activity(what) as shown:
        made = _make(settings, store, when.date(), shown, force=force)
        earlier = making.earlier_match_rates(store, when.date(), HISTORY_DAYS - 1) if page else []
    if page is not None:
        _write(page, made, earlier)
    if as_json:
        output.result_json(keys_of(made.statement))
    else:
        output.result(markdown(made.statement, made.changes).rstrip("\n"))
        output.say(f"Kept as revision {made.statement.revision}." if made.is_new else "Nothing new: kept before.")
        if made.counted_anew:
            output.say(f"All orders were counted: {made.counted_anew}.")
    if made.statement.verdict == INCOMPLETE:
        ctx.exit(PROBLEM)


def _make(settings: "Settings", store: "Store", when: date, shown: "Callable[[str], None]", *, force: bool) -> "Made":
    from orders_platform.reports.days import day_of
    from orders_platform.store import schema
    from orders_platform.supervision.statements import Told, make_statements

    def progress(counted: int, parts: int) -> None:
        shown(f"Spark has counted {counted:,} of {parts:,} parts of the orders")

    schema.migrate(store)
    day = day_of(when, settings.reports.time_zone)
    (made,) = make_statements(store, settings, [day], Told(output.say, progress), force=force)
    return made


def _write(page: Path, made: "Made", earlier: "list[tuple[str, float | None]]") -> None:
    from orders_platform.cli.files import replaced
    from orders_platform.reports.render import html

    with replaced(page) as file:
        file.write(html(made.statement, made.changes, earlier))
    output.say(f"The page is in {page}.")


@click.command()
@click.option("--status", "kind", help="Only breaks of this kind, such as unpaid or duplicate_payment.")
@click.option("--min-amount", "min_amount_minor", type=click.IntRange(0), help="At risk at least, in minor units.")
@click.option("--older-than", "age_ms", type=DURATION, help="Open for longer than this, such as 3d.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@pass_settings
def breaks(
    settings: "Settings", kind: str | None, min_amount_minor: int | None, age_ms: int | None, as_json: bool
) -> None:
    """List the open breaks with their age and the amount at risk, as of the last day that has a statement."""
    from orders_platform.cli.connected import store_of
    from orders_platform.store.breaks import all_breaks
    from orders_platform.store.statements import last_date

    _check_kind(kind)
    with store_of(settings) as store:
        date_known = last_date(store)
        if date_known is None:
            raise OrdersError("No statement has been made yet.", "Run `orders report DATE` for a day first.")
        found = [
            each
            for each in all_breaks(store, only_open=True, kind=kind, min_amount_minor=min_amount_minor)
            if age_ms is None or age_days(each) * _DAY_MS > age_ms
        ]
    if as_json:
        output.result_json([as_keys(each) for each in found])
        return
    output.show(output.table(*_COLUMNS, rows=_cells(found), right=("at risk", "days")))
    output.say(f"{len(found):,} open breaks as of {date_known}.")


@click.command()
@click.argument("break_id")
@click.option("--note", required=True, help="What was decided, and why.")
@click.option("--by", required=True, help="Who decided.")
@pass_settings
def resolve(settings: "Settings", break_id: str, note: str, by: str) -> None:
    """Record a person's decision on BREAK_ID. Decisions are kept, one after the other; the break itself stays until
    the order's events say otherwise."""
    if not note.strip() or not by.strip():
        raise click.UsageError("A decision needs a note that says what was decided, and a name.")
    from orders_platform.cli.connected import store_of
    from orders_platform.store.breaks import decide

    with store_of(settings) as store:
        decided = decide(store, break_id, note, by)
    output.say(f"{break_id}: decision {len(decided.decisions)} is kept.")


_COLUMNS = ("id", "at risk", "since", "days", "decisions")


def age_days(each: "BreakRecord") -> int:
    """Return how many days a break had been there when it was last seen."""
    return (date.fromisoformat(each.last_seen_on) - date.fromisoformat(each.opened_on)).days


def as_keys(each: "BreakRecord") -> dict[str, Any]:
    """Return a break in the keys of `orders breaks --json`."""
    from orders_platform.times import format_ms

    keys = {name: value for name, value in each._asdict().items() if name != "decisions"}
    decisions = [{"at": format_ms(one["at_ms"]), "by": one["by"], "note": one["note"]} for one in each.decisions]
    return keys | {"age_days": age_days(each), "decisions": decisions}


def _cells(found: "list[BreakRecord]") -> "Iterator[tuple[str, ...]]":
    from rich.markup import escape

    from orders_platform.reports.money import money

    for each in found:
        said = "; ".join(f"{one['by']}: {one['note']}" for one in each.decisions)
        at_risk = money(each.at_risk_minor, each.currency, code=True)
        yield escape(each.id), at_risk, each.opened_on, str(age_days(each)), escape(said)


def _check_kind(kind: str | None) -> None:
    from orders_platform.matching.status import BREAK_REASONS, BREAK_STATUSES

    if kind is not None and kind not in BREAK_STATUSES | BREAK_REASONS:
        raise click.UsageError(
            f"{kind!r} is no kind of break; they are {', '.join(sorted(BREAK_STATUSES | BREAK_REASONS))}."
        )


commands: list[click.Command] = [report, breaks, resolve]
