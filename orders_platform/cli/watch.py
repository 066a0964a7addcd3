"""A view of the matcher at work, drawn anew each second: rates, lag, statuses, newest breaks."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape

from orders_platform.cli import output
from orders_platform.errors import StoreError
from orders_platform.matching import Document
from orders_platform.store import queries
from orders_platform.store.client import Store
from orders_platform.store.matcher_records import Heartbeat, read_heartbeat, server_time_ms
from orders_platform.times import format_ms

_REFRESH_S = 1.0
_WINDOW_S = 10.0  # rates are means over this long
_BREAKS = 10
_SHARE = 10  # going through a large collection takes a while: it may take no more than a tenth of the time
_SILENT_MS = 10_000


_Counted = tuple[dict[tuple[str, str], int], dict[str, int], list[tuple[Document, int]]]


class Frame(msgspec.Struct, frozen=True):
    """What one drawing shows. Rates are per second; None where two looks are not enough to tell."""

    heartbeat: Heartbeat | None
    silent_ms: int | None
    messages_rate: float | None
    statuses: dict[tuple[str, str], int]
    dead_letters: dict[str, int]
    breaks: list[tuple[Document, int]]


class Watcher:
    """Looks at the store and remembers what rates need."""

    def __init__(self, store: Store, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock_s = clock_s
        self._totals: deque[tuple[float, int, int]] = deque()  # when, epoch, messages of this driver so far
        self._counted: _Counted = ({}, {}, [])
        self._count_again_s = 0.0

    def look(self) -> Frame:
        """Return what is to be seen now.

        Raises:
            StoreError: MongoDB could not be reached.
        """
        heartbeat = read_heartbeat(self._store)
        silent_ms = None if heartbeat is None else max(0, server_time_ms(self._store) - heartbeat.alive_at_ms)
        started_s = self._clock_s()
        if started_s >= self._count_again_s:
            self._counted = (
                queries.counts(self._store),
                queries.dead_letter_counts(self._store),
                queries.newest_breaks(self._store, _BREAKS),
            )
            ended_s = self._clock_s()
            self._count_again_s = ended_s + _SHARE * (ended_s - started_s)
        return Frame(heartbeat, silent_ms, self._rate(heartbeat), *self._counted)

    def _rate(self, heartbeat: Heartbeat | None) -> float | None:
        if heartbeat is None:
            return None
        now_s, seen = self._clock_s(), self._totals
        if seen and seen[-1][1] != heartbeat.epoch:
            seen.clear()  # another driver counts from zero
        seen.append((now_s, heartbeat.epoch, heartbeat.counts.get("messages", 0)))
        while len(seen) > 2 and seen[1][0] <= now_s - _WINDOW_S:
            seen.popleft()
        elapsed_s = now_s - seen[0][0]
        return (seen[-1][2] - seen[0][2]) / elapsed_s if elapsed_s > 0 else None


def draw(frame: Frame) -> RenderableType:
    """Return one drawing."""
    parts: list[RenderableType] = [_matcher(frame), ""]
    statuses = output.table("status", "outcome", "orders", right=("orders",))
    for (outcome, status), count in sorted(frame.statuses.items()):
        statuses.add_row(status, f"[{output.STYLES[outcome]}]{outcome}[/]", f"{count:,}")
    tables = [statuses]
    if frame.dead_letters:
        letters = output.table("dead letters", "messages", right=("messages",))
        for reason, count in sorted(frame.dead_letters.items()):
            letters.add_row(reason, f"{count:,}")
        tables.append(letters)
    parts.append(Columns(tables, padding=(0, 6)))
    if frame.breaks:
        newest = output.table("newest breaks", "status", "reasons", "due", "net", "", "updated", right=("due", "net"))
        newest.columns[0].no_wrap = newest.columns[1].no_wrap = True
        for document, updated_ms in frame.breaks:
            due = "-" if document.due_minor is None else f"{document.due_minor:,}"
            newest.add_row(
                escape(document.order_id),
                f"[red]{document.status}[/]",
                " ".join(document.reasons),
                due,
                f"{document.net_minor:,}",
                document.currency or "",
                format_ms(updated_ms),
            )
        parts += ["", newest]
    return Group(*parts)


def _matcher(frame: Frame) -> str:
    beat = frame.heartbeat
    if beat is None:
        return "[yellow]No matcher has ever run here.[/] Start one with `orders up`."
    silent_ms = frame.silent_ms or 0
    state = f"[red]silent for {silent_ms // 1000} s[/]" if silent_ms > _SILENT_MS else f"[green]{beat.state}[/]"
    behind = "?" if beat.events_behind is None else f"{beat.events_behind:,}"
    rate = "-" if frame.messages_rate is None else f"{frame.messages_rate:,.0f}/s"
    last: dict[str, Any] = beat.last
    batch = "none yet" if beat.batch_id is None else f"{beat.batch_id} ({last.get('duration_ms', 0):,} ms)"
    oldest_ms = last.get("oldest_time_ms")
    waited = (
        ""
        if oldest_ms is None or beat.committed_at_ms is None
        else f"{(beat.committed_at_ms - oldest_ms) / 1000:.1f} s"
    )
    return (
        f"matcher {state}  epoch {beat.epoch}  last batch {batch}  [bold]{rate}[/]  "
        f"behind [bold]{behind}[/]  oldest of the last batch waited {waited or '-'}  "
        f"messages since start {beat.counts.get('messages', 0):,}"
    )


def run(store: Store, *, once: bool) -> None:
    """Draw until interrupted, or one frame where there is no terminal or `once` is asked for.

    MongoDB going away for a while is shown, not raised, once a first frame was drawn.

    Raises:
        StoreError: MongoDB could not be reached at the start.
    """
    watcher = Watcher(store)
    frame = watcher.look()
    out = output.console(stderr=False)
    if once or not out.is_terminal:
        out.print(draw(frame))
        return
    # Ctrl-C is how one leaves, so it is no failure.
    with suppress(KeyboardInterrupt), Live(draw(frame), console=out, screen=True, auto_refresh=False) as live:
        while True:
            live.refresh()
            time.sleep(_REFRESH_S)
            try:
                frame, trouble = watcher.look(), ""
            except StoreError as error:
                trouble = f"[red]{escape(error.what)}[/]"
            live.update(Group(draw(frame), trouble))
