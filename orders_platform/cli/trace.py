"""One order, told to a person."""

from rich.markup import escape
from rich.table import Table

from orders_platform.cli import output
from orders_platform.live.story import Trace
from orders_platform.matching import Document
from orders_platform.matching.explain import Step
from orders_platform.times import format_ms

_MARKS = {True: "[green]yes[/]", False: "[dim]no[/]"}


def draw(traced: Trace) -> None:
    """Print the trace for a person."""
    stored, explained = traced.stored, traced.explained
    document = stored.document
    style = output.STYLES[document.outcome]
    reasons = f": {', '.join(document.reasons)}" if document.reasons else ""
    out = output.console(stderr=False)
    out.print(f"[bold]{document.order_id}[/]  [{style}]{document.status}[/]  ({document.outcome}{reasons})")
    out.print(
        f"version {stored.version}, first seen {format_ms(stored.first_seen_at_ms)}, "
        f"updated {format_ms(stored.updated_at_ms)}, clock {format_ms(stored.clock_ms)}\n"
    )
    out.print(_events(traced))
    unit = f"minor units of {document.currency}" if document.currency else "no money has moved"
    out.print(f"\n[bold]Figures[/] ({unit})")
    out.print(_figures(document))
    passed = "passed" if explained.deadline_passed else "not passed"
    out.print(f"deadline {format_ms(document.deadline_at_ms)} ({passed}){_times(document)}")
    out.print("\n[bold]Rules[/]: the first that holds gives the status")
    out.print(_rules(explained.steps))
    out.print("\n[bold]What would settle it[/]")
    for remedy in explained.remedies:
        out.print(f"  {escape(remedy.what)}")
    if not explained.remedies:
        out.print("  nothing: it is settled")
    if traced.differs:
        now = explained.document
        again = ", ".join((now.status, now.outcome, *now.reasons))
        output.say(f"\nThe settings of now would say: {again}. `orders matcher restart` takes them.")


def _events(traced: Trace) -> Table:
    drawn = output.table("occurred at", "event, its id", "amount", "counts", "why, first delivery", right=("amount",))
    drawn.columns[0].no_wrap = True
    for note in traced.explained.notes:
        event, arrival = note.event, traced.deliveries[note.event]
        amount = "" if event.amount_minor is None else f"{event.amount_minor} {event.currency}"
        drawn.add_row(
            format_ms(event.occurred_at_ms),
            f"{event.type}\n[dim]{event.event_id}[/]",
            amount,
            _MARKS[note.counts],
            f"{escape(note.why)}\n[dim]{arrival.topic}:{arrival.partition}:{arrival.offset}[/]",
        )
    return drawn


def _figures(document: Document) -> Table:
    names = ("due", "captured", "refunded", "charged back", "net")
    drawn = output.table(*names, right=names)
    drawn.add_row(
        "-" if document.due_minor is None else str(document.due_minor),
        *map(str, (document.captured_minor, document.refunded_minor, document.charged_back_minor, document.net_minor)),
    )
    return drawn


def _times(document: Document) -> str:
    named = (("cancelled", document.cancelled_at_ms), ("settled", document.settled_at_ms))
    return "".join(f", {name} {format_ms(time_ms)}" for name, time_ms in named if time_ms is not None)


def _rules(steps: list[Step]) -> Table:
    drawn = output.table("rule", "condition", "holds", "why", right=("rule",))
    for step in steps:
        if step.holds is not None:
            drawn.add_row(str(step.rule), step.condition, _MARKS[step.holds], escape(step.why))
    return drawn
