"""A view of the matcher at work, drawn anew each second: rates, lag, statuses, newest breaks."""

import time
from collections import Counter
from contextlib import suppress
from typing import Any

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape

from orders_platform.cli import output
from orders_platform.errors import StoreError
from orders_platform.live.numbers import Looker, Numbers
from orders_platform.store.client import Store
from orders_platform.times import format_ms

_REFRESH_S = 1.0
_BREAKS = 10
_SILENT_MS = 10_000
_NONE = "-"  # of a damaged document


def draw(numbers: Numbers) -> RenderableType:
    """Return one drawing."""
    dead_letters = numbers.counted.dead_letters
    parts: list[RenderableType] = [_matcher(numbers), ""]
    statuses = output.table("status", "outcome", "orders", right=("orders",))
    orders: Counter[tuple[str, str]] = Counter()
    for row in numbers.orders:
        orders[row["outcome"] or _NONE, row["status"] or _NONE] += row["orders"]
    for (outcome, status), count in sorted(orders.items()):
        statuses.add_row(status, f"[{output.STYLES.get(outcome, 'red')}]{outcome}[/]", f"{count:,}")
    tables = [statuses]
    if dead_letters:
        letters = output.table("dead letters", "messages", right=("messages",))
        for reason, count in sorted(dead_letters.items()):
            letters.add_row(reason, f"{count:,}")
        tables.append(letters)
    parts.append(Columns(tables, padding=(0, 6)))
    if numbers.newest_breaks:
        newest = output.table("newest breaks", "status", "reasons", "due", "net", "", "since", right=("due", "net"))
        newest.columns[0].no_wrap = newest.columns[1].no_wrap = True
        for each in numbers.newest_breaks[:_BREAKS]:
            due = "-" if each.due_minor is None else f"{each.due_minor:,}"
            newest.add_row(
                escape(each.order_id),
                f"[red]{each.status}[/]",
                " ".join(each.reasons),
                due,
                f"{each.net_minor:,}",
                each.currency or "",
                format_ms(each.broke_at_ms),
            )
        parts += ["", newest]
    return Group(*parts)


def _matcher(numbers: Numbers) -> str:
    beat, messages_per_s = numbers.heartbeat, numbers.rates.messages_per_s
    if beat is None:
        return "[yellow]No matcher has ever run here.[/] Start one with `orders up`."
    silent_ms = numbers.silent_ms or 0
    state = f"[red]silent for {silent_ms // 1000} s[/]" if silent_ms > _SILENT_MS else f"[green]{beat.state}[/]"
    behind = "?" if beat.events_behind is None else f"{beat.events_behind:,}"
    rate = "-" if messages_per_s is None else f"{messages_per_s:,.0f}/s"
    last: dict[str, Any] = beat.last
    batch = "none yet" if beat.batch_id is None else f"{beat.batch_id} ({last.get('duration_ms', 0):,} ms)"
    half_ms, most_ms = numbers.rates.wait_p50_ms, numbers.rates.wait_p99_ms
    waited = (
        "-" if half_ms is None or most_ms is None else f"{half_ms / 1000:.1f} s, 99 % within {most_ms / 1000:.1f} s"
    )
    return (
        f"matcher {state}  epoch {beat.epoch}  last batch {batch}  [bold]{rate}[/]  "
        f"behind [bold]{behind}[/]  from Kafka to the document {waited}  "
        f"messages since start {beat.counts.get('messages', 0):,}"
    )


def run(store: Store, *, once: bool) -> None:
    """Draw until interrupted, or one frame where there is no terminal or `once` is asked for.

    MongoDB going away for a while is shown, not raised, once a first frame was drawn.

    Raises:
        StoreError: MongoDB could not be reached at the start.
    """
    store.ping()  # what can't be reached need not be counted
    looker = Looker()
    uncounted = _count(looker, store)
    numbers = looker.look(store)
    out = output.console(stderr=False)
    if once or not out.is_terminal:
        out.print(_frame(numbers, uncounted))
        return
    # Ctrl-C is how one leaves, so it is no failure.
    with suppress(KeyboardInterrupt), Live(console=out, screen=True, auto_refresh=False) as live:
        trouble = ""
        while True:
            live.update(_frame(numbers, uncounted, trouble), refresh=True)
            time.sleep(_REFRESH_S)
            try:
                numbers, trouble = looker.look(store), ""
                if looker.is_due():
                    uncounted = _count(looker, store)
            except StoreError as error:
                trouble = _red(error.what)


def _frame(numbers: Numbers, *troubles: str) -> RenderableType:
    return Group(draw(numbers), *filter(None, troubles))


def _count(looker: Looker, store: Store) -> str:
    """Count what is counted row by row; return why it can't be, which is no reason not to show the rest."""
    try:
        looker.count(store)
    except StoreError as error:
        return _red(f"Dead letters can't be counted. {error}")
    return ""


def _red(text: str) -> str:
    return f"[red]{escape(text)}[/]"
