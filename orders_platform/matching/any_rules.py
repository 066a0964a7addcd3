"""Whether a verdict could come from other settings of matching: after a change of these, stored verdicts are others."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from orders_platform.events import Event
from orders_platform.matching.figures import Rules
from orders_platform.matching.fold import Document, fold
from orders_platform.matching.winners import choose


def is_some_verdict(document: Document, events: Sequence[Event], clock_ms: int) -> bool:
    """Return whether there are settings of matching by which folding `events`, at least one, gives a document's status,
    outcome, reasons, deadline and time of settlement.

    The figures must be those of the events.
    """
    overflow = "overflow" in document.reasons
    base_ms = fold(document.order_id, events, clock_ms, Rules(0, 0), overflow).deadline_at_ms
    window_ms = document.deadline_at_ms - base_ms
    return window_ms >= 0 and any(
        _verdict(fold(document.order_id, events, clock_ms, Rules(tolerance_minor, window_ms), overflow))
        == _verdict(document)
        for tolerance_minor in _tolerances(document, events)
    )


def _tolerances(document: Document, events: Iterable[Event]) -> Iterator[int]:
    """Yield one tolerance of each span within which all verdicts are the same: it is only ever compared with how far
    an amount is from what is due."""
    due = document.due_minor or 0
    payments = [each.amount_minor or 0 for each in choose(events).payments if each.currency == document.currency]
    amounts = {0, document.captured_minor, document.captured_minor - document.refunded_minor}
    bounds = {abs(amount - due) for amount in amounts.union(payments, accumulate(payments))}
    yield from sorted({0}.union(bounds, (bound - 1 for bound in bounds if bound > 0)))


def _verdict(document: Document) -> tuple[object, ...]:
    d = document
    return d.status, d.outcome, d.reasons, d.deadline_at_ms, d.settled_at_ms
