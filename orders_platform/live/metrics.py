"""The numbers for Prometheus, by its conventions: base units, `_total` for what only grows, bounded labels.

Counters are those of the driver that runs: they begin at zero with each life, which Prometheus' `rate` takes care of.
Amounts stay in minor units, as everywhere: a currency's own decimals are for whoever draws.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from orders_platform.live.numbers import Counted, Numbers
from orders_platform.matcher.bucket import WAIT_BOUNDS_MS
from orders_platform.reports.money import digits_of
from orders_platform.store.matcher_records import Heartbeat

SILENT_AFTER_MS = 10_000
"""A matcher that gave no sign of life for so long is not up."""
DOCUMENTS = ("inserted", "updated", "unchanged")
NONE, OTHER = "none", "other"
CURRENCIES_MAX = 50
"""So many currencies have a label of their own."""


class Seen(msgspec.Struct, frozen=True):
    """What the exporter knows: the numbers (None: nothing is known now), how many messages wait in Kafka, and the end
    of the last business day that has a final statement (seconds since 1970)."""

    numbers: Numbers | None = None
    behind: int | None = None
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
        if seen.behind is not None:
            yield _gauge("orders_matcher_messages_behind", "Messages in Kafka that are not matched.", seen.behind)
        if numbers is None:
            return
        yield _gauge("orders_matcher_wanted", "Whether a person wants the matcher to run.", int(numbers.wanted))
        if numbers.last_look is not None:
            yield _gauge(
                "orders_supervisor_last_look_timestamp_seconds",
                "When a supervisor last looked at the matcher.",
                numbers.last_look.looked_at_ms / 1000,
            )
        # One that never ran is down, too.
        up = numbers.heartbeat is not None and _is_up(numbers, numbers.heartbeat)
        yield _gauge("orders_matcher_up", "Whether the matcher's stream runs and gave a sign of life lately.", int(up))
        if numbers.heartbeat is not None:
            yield from _of_matcher(numbers, numbers.heartbeat)
        yield from _of_orders(numbers)
        if numbers.counted.at_ms:
            yield from _of_counted(numbers.counted)


def _is_up(numbers: Numbers, beat: Heartbeat) -> bool:
    return beat.state == "running" and (numbers.silent_ms or 0) < SILENT_AFTER_MS


def _of_matcher(numbers: Numbers, beat: Heartbeat) -> Iterator[Metric]:
    silent_ms = numbers.silent_ms or 0
    yield _gauge("orders_matcher_heartbeat_age_seconds", "Since the matcher's last sign of life.", silent_ms / 1000)
    yield _gauge("orders_matcher_epoch", "The matcher's life, counted from the first.", beat.epoch)
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
        yield _gauge(
            "orders_matcher_last_batch_duration_seconds", "Length of the last batch.", beat.last["duration_ms"] / 1000
        )
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
    for count, bound in zip(waits, [*(floatToGoString(ms / 1000) for ms in WAIT_BOUNDS_MS), "+Inf"], strict=True):
        total += count
        buckets.append((bound, total))
    told = "From the broker's receipt of a message to its document's durable write."
    family = HistogramMetricFamily("orders_matcher_message_wait_seconds", told)
    family.add_metric([], buckets, waited_ms / 1000)
    return family


def _of_orders(numbers: Numbers) -> Iterator[Metric]:
    label = _labels(numbers)
    orders: Counter[tuple[str, ...]] = Counter()
    due: Counter[tuple[str, ...]] = Counter()
    for row in numbers.orders:
        currency = label(row["currency"])
        status = row["status"] or NONE  # what a document has that was damaged
        orders[row["outcome"] or NONE, status, currency] += row["orders"]
        due[status, currency] += row["due_minor"]
    breaks: Counter[tuple[str, ...]] = Counter()
    at_risk: Counter[tuple[str, ...]] = Counter()
    for row in numbers.at_risk:
        key = (row["kind"] or NONE, label(row["currency"]))
        breaks[key] += row["breaks"]
        at_risk[key] += row["at_risk_minor"]
    once = Counter({(label(currency or None),): amount for currency, amount in numbers.at_risk_minor().items()})
    units = {(currency,): 10 ** digits_of(currency) for _, currency in due if currency not in (NONE, OTHER)}
    yield _family("orders_stored", "Stored orders.", ("outcome", "status", "currency"), orders)
    yield _family("orders_due_minor", "Due for stored orders, minor units.", ("status", "currency"), _money(due))
    yield _family("orders_breaks", "Breaks as of now.", ("kind", "currency"), breaks)
    yield _family("orders_at_risk_minor", "At risk in breaks, minor units.", ("kind", "currency"), _money(at_risk))
    told = "At risk in orders, in each what its largest break puts at risk, minor units."
    yield _family("orders_money_at_risk_minor", told, ("currency",), _money(once))
    told = "Minor units in one unit of the currency: amounts divided by it are as people write them."
    yield _family("orders_currency_minor_per_major", told, ("currency",), units)


def _labels(numbers: Numbers) -> Callable[[str | None], str]:
    """Return what gives a currency its label. Producers may send any three letters: the rarest share one."""
    orders: Counter[str | None] = Counter()
    for row in numbers.orders:
        orders[row["currency"]] += row["orders"]
    known = {currency for currency, _ in orders.most_common(CURRENCIES_MAX)}
    return lambda currency: NONE if currency is None else currency if currency in known else OTHER


def _money(amounts: Counter[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    """Return amounts without those of several currencies together, which say nothing."""
    return {key: amount_minor for key, amount_minor in amounts.items() if key[-1] != OTHER}


def _family(name: str, told: str, labels: Sequence[str], values: Mapping[tuple[str, ...], int]) -> Metric:
    family = GaugeMetricFamily(name, told, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family


def _of_counted(counted: Counted) -> Iterator[Metric]:
    yield _gauge("orders_counted_timestamp_seconds", "When dead letters and starts were counted.", counted.at_ms / 1000)
    yield _gauge("orders_matcher_restarts", "Starts of the last 24 hours that nobody asked for.", counted.restarts)
    letters = {(reason or NONE,): count for reason, count in counted.dead_letters.items()}
    yield _family("orders_dead_letters", "Stored dead letters.", ("reason",), letters)


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(name, told, value=value)
