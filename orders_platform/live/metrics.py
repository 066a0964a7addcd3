"""The numbers for Prometheus, by its conventions: base units, `_total` for what only grows, bounded labels.

Counters are those of the driver that runs: they begin at zero with each life, which Prometheus' `rate` takes care of.
Amounts stay in minor units, as everywhere: a currency's own decimals are for whoever draws.
"""

from collections.abc import Callable, Iterator

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from orders_platform.live.numbers import Numbers
from orders_platform.matcher.bucket import WAIT_BOUNDS_MS
from orders_platform.reports.money import digits_of
from orders_platform.store.matcher_records import Heartbeat

SILENT_AFTER_MS = 10_000
"""A matcher that gave no sign of life for so long is not up."""
DOCUMENTS = ("inserted", "updated", "unchanged")
NO_CURRENCY = "none"


class Seen(msgspec.Struct, frozen=True):
    """What the exporter knows: the numbers (None: nothing is known now), and the end of the last business day that has
    a final statement (seconds since 1970)."""

    numbers: Numbers | None = None
    last_statement_s: float | None = None


class NumbersCollector(Collector):
    """Gives what is known at each scrape; nothing is read for it."""

    def __init__(self, seen: Callable[[], Seen]) -> None:
        """Collect from what `seen` returns."""
        self._seen = seen

    def describe(self) -> list[Metric]:
        """Return nothing: what there is follows from what was seen."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric that there is a value for."""
        seen = self._seen()
        numbers = seen.numbers
        yield _gauge("orders_store_up", "Whether MongoDB answered at the last look.", 0 if numbers is None else 1)
        if seen.last_statement_s is not None:
            yield _gauge(
                "orders_statement_last_day_end_timestamp_seconds",
                "End of the last business day that has a final statement.",
                seen.last_statement_s,
            )
        if numbers is None:
            return
        if numbers.last_look is not None:
            yield _gauge(
                "orders_supervisor_last_look_timestamp_seconds",
                "When a supervisor last looked at the matcher.",
                numbers.last_look.looked_at_ms / 1000,
            )
        if numbers.heartbeat is not None:
            yield from _of_matcher(numbers, numbers.heartbeat)
        if numbers.counted.at_ms:
            yield from _of_orders(numbers)


def _of_matcher(numbers: Numbers, beat: Heartbeat) -> Iterator[Metric]:
    silent_ms = numbers.silent_ms or 0
    up = beat.state == "running" and silent_ms < SILENT_AFTER_MS
    yield _gauge("orders_matcher_up", "Whether the matcher's stream runs and gave a sign of life lately.", int(up))
    yield _gauge("orders_matcher_heartbeat_age_seconds", "Since the matcher's last sign of life.", silent_ms / 1000)
    yield _gauge("orders_matcher_epoch", "The matcher's life, counted from the first.", beat.epoch)
    yield _gauge("orders_matcher_restarts", "Starts of the last 24 hours after the first.", numbers.counted.restarts)
    if beat.events_behind is not None:
        yield _gauge("orders_matcher_messages_behind", "Messages in Kafka that are not matched.", beat.events_behind)
    if beat.committed_at_ms is not None:
        at_s = beat.committed_at_ms / 1000
        yield _gauge("orders_matcher_last_commit_timestamp_seconds", "When a batch was last committed.", at_s)
    if beat.deadline_swept_to_ms is not None:
        yield _gauge(
            "orders_matcher_deadlines_swept_timestamp_seconds",
            "Up to when deadlines that passed are in the documents.",
            beat.deadline_swept_to_ms / 1000,
        )
    if "duration_ms" in beat.last:
        yield _gauge("orders_matcher_last_batch_seconds", "Length of the last batch.", beat.last["duration_ms"] / 1000)
    its = beat.counts
    for name, told in (
        ("messages", "Messages that were read."),
        ("events", "Messages that were accepted."),
        ("conflicts", "Merges that were done again, as another writer was faster."),
    ):
        yield CounterMetricFamily(f"orders_matcher_{name}", told, value=its.get(name, 0))
    rejected = CounterMetricFamily("orders_matcher_dead_letters", "Messages that were rejected.")
    rejected.add_metric([], its.get("dead_letters", 0))
    yield rejected
    documents = CounterMetricFamily("orders_matcher_documents", "Documents by what became of them.", labels=["change"])
    for change in DOCUMENTS:
        documents.add_metric([change], its.get(change, 0))
    yield documents
    if waits := its.get("waits"):
        yield _histogram(waits, its.get("waited_ms", 0))


def _histogram(waits: list[int], waited_ms: int) -> Metric:
    total, buckets = 0, []
    for count, bound in zip(waits, [*(f"{ms / 1000:g}" for ms in WAIT_BOUNDS_MS), "+Inf"], strict=True):
        total += count
        buckets.append((bound, total))
    told = "From the broker's receipt of a message to its document's durable write."
    family = HistogramMetricFamily("orders_matcher_message_wait_seconds", told)
    family.add_metric([], buckets, waited_ms / 1000)
    return family


def _of_orders(numbers: Numbers) -> Iterator[Metric]:
    orders = GaugeMetricFamily("orders_stored", "Stored orders.", labels=["outcome", "status", "currency"])
    due = GaugeMetricFamily("orders_due_minor", "What they come to, minor units.", labels=["status", "currency"])
    due_minor: dict[tuple[str, str], int] = {}
    for row in numbers.orders:
        currency = row["currency"] or NO_CURRENCY
        orders.add_metric([row["outcome"], row["status"], currency], row["orders"])
        key = (row["status"], currency)
        due_minor[key] = due_minor.get(key, 0) + row["due_minor"]
    for (status, currency), amount_minor in due_minor.items():
        due.add_metric([status, currency], amount_minor)
    breaks = GaugeMetricFamily("orders_breaks", "Breaks as of now.", labels=["kind", "currency"])
    at_risk = GaugeMetricFamily("orders_at_risk_minor", "At risk in them, minor units.", labels=["kind", "currency"])
    for row in numbers.at_risk:
        labels = [row["kind"], row["currency"] or NO_CURRENCY]
        breaks.add_metric(labels, row["breaks"])
        at_risk.add_metric(labels, row["at_risk_minor"])
    letters = GaugeMetricFamily("orders_dead_letters", "Stored dead letters.", labels=["reason"])
    for reason, count in sorted(numbers.counted.dead_letters.items()):
        letters.add_metric([reason], count)
    told = "Minor units in one unit of the currency: amounts divided by it are as people write them."
    units = GaugeMetricFamily("orders_currency_minor_per_major", told, labels=["currency"])
    for currency in sorted({currency for _, currency in due_minor} - {NO_CURRENCY}):
        units.add_metric([currency], 10 ** digits_of(currency))
    yield from (orders, due, breaks, at_risk, letters, units)


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(name, told, value=value)
