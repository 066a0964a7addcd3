"""The checks of the platform, as functions: what is asked, what counts as right, and whom it names if it is not.

Dagster shows them, `orders check` runs them; neither adds a judgement of its own. A check that can't be answered
because a service is away has failed, and says so.
"""

import random
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from orders_platform import events
from orders_platform.errors import OrdersError
from orders_platform.settings import Settings
from orders_platform.store import audit
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store
from orders_platform.store.recount import drifts
from orders_platform.store.told import Told
from orders_platform.streams.offsets import begin_offsets, end_offsets
from orders_platform.streams.read import read_range
from orders_platform.supervision.rounds import Sight, read_report
from orders_platform.supervision.supervisor_lock import find_supervisor

SAMPLE = 200
"""Orders of a look between others, and messages of each partition."""
ASKED_SAMPLE = 2_000
"""The same where somebody asks, who can wait for some seconds: all of a small shop."""
LAG_MAX_MS = 60_000
SWEEP_LATE_MAX_MS = 60_000
ORPHAN_AGE_MAX_MS = 3_600_000
"""After the deadline of an order that never came: producers may be late, but not by that much."""
DEAD_LETTERS_SHARE_MAX = 0.05
DEAD_LETTERS_SPAN_MS = 3_600_000
SUPERVISOR_SILENT_MAX_S = 60.0
TIMEOUT_S = 5.0


class Result(msgspec.Struct, frozen=True):
    """What a check found: in a sentence, and in figures. `grave` failures are errors, others warnings."""

    passed: bool
    text: str
    figures: dict[str, Any] = {}
    grave: bool = True


class Subject(msgspec.Struct):
    """What one run of checks looks at. `sample` bounds the orders, and the messages a partition; None: all of them."""

    settings: Settings
    store: Store
    bootstrap_servers: str
    sight: Sight
    sample: int | None = SAMPLE
    _audited: audit.Audit | None = None

    def audited(self) -> audit.Audit:
        """Fold orders again, once for all checks that ask about it."""
        if self._audited is None:
            self._audited = audit.audit(self.store, self.settings.matching.rules(), self.sample)
        return self._audited


class Check(msgspec.Struct, frozen=True):
    """A check, what it promises, and how it is answered."""

    name: str
    promise: str
    ask: Callable[[Subject], Result]


def answer(check: Check, subject: Subject) -> Result:
    """Ask one check. A service that is away is a failure, not an error."""
    try:
        return check.ask(subject)
    except OrdersError as error:
        return Result(False, str(error))


def _messages_conserved(subject: Subject) -> Result:
    kafka = subject.settings.kafka
    beat = subject.sight.facts.heartbeat
    if subject.settings.matcher.starting_offsets != "earliest":
        return Result(True, "Not asked: the matcher began at the end of the topics.")
    if beat is None or not beat.offsets:
        return Result(True, "Nothing has been committed yet.")
    client = kafka.client_properties()
    begins = begin_offsets(subject.bootstrap_servers, client, kafka.topics, timeout_s=TIMEOUT_S)
    ends = {
        topic: {at: max(begin, beat.offsets.get(topic, {}).get(str(at), begin)) for at, begin in partitions.items()}
        for topic, partitions in begins.items()
    }
    if subject.sample is not None:
        for topic, partitions in begins.items():
            for at, begin in partitions.items():
                # No secret hangs on it: a sample must only not be the same each time.
                drawn = random.randint(begin, max(begin, ends[topic][at] - subject.sample))  # noqa: S311
                partitions[at], ends[topic][at] = drawn, min(ends[topic][at], drawn + subject.sample)
    told = Told(begins, ends) if subject.sample is None else None
    looked_at, lost = 0, []
    for batch in read_range(subject.bootstrap_servers, client, begins, ends, timeout_s=TIMEOUT_S):
        decoded = [
            (record.topic, record.partition, record.offset, None if isinstance(event, events.Rejection) else event)
            for record, event in zip(batch, events.decode_many([record.value for record in batch]), strict=True)
        ]
        looked_at += len(batch)
        lost += audit.missing(subject.store, decoded)
        for topic, partition, offset, event in decoded:
            if told is not None and event is not None:
                told.note(topic, partition, offset, event)
    named = [_where(each) for each in lost[: audit.NAMED_MAX]]
    invented = [] if told is None else _invented(subject, told)[: audit.NAMED_MAX]
    figures = {"messages": looked_at, "missing": len(lost), "where": named, "invented": invented}
    wrong = []
    if lost:
        wrong.append(
            f"{len(lost)} of {looked_at} committed messages are in no order and no dead letter: {_named(named)}."
        )
    if invented:
        wrong.append(f"Orders with events that no message told: {_named(invented)}.")
    if wrong:
        return Result(False, " ".join(wrong), figures)
    return Result(True, f"Each of {looked_at} committed messages is in an order or a dead letter.", figures)


def _invented(subject: Subject, told: Told) -> list[str]:
    """Return the orders that hold an event which is not what Kafka's message at its place told."""
    doubtful = list(told.doubtful(subject.store))
    kafka = subject.settings.kafka
    # Asked afterwards, as messages go on to come and to be matched meanwhile.
    ends = end_offsets(subject.bootstrap_servers, kafka.client_properties(), kafka.topics, timeout_s=TIMEOUT_S)
    return sorted(
        {each.order_id for each in doubtful if not each.beyond or each.offset >= ends[each.topic][each.partition]}
    )


def _where(lost: audit.Lost) -> str:
    where = f"{lost.topic}:{lost.partition}:{lost.offset}"
    return where if lost.order_id is None else f"{where} (order {lost.order_id})"


def _figures_follow(subject: Subject) -> Result:
    found = subject.audited()
    figures = {"orders": found.orders, "events": found.events, "altered": found.altered}
    if found.altered:
        return Result(
            False, f"Figures or verdicts that don't follow from their events: {_named(found.altered)}.", figures
        )
    if found.judged_otherwise:
        text = (
            f"Today's rules would judge otherwise: {_named(found.judged_otherwise)}. "
            "After a change of rules, run `orders replay --from earliest`."
        )
        return Result(False, text, figures | {"judged_otherwise": found.judged_otherwise}, grave=False)
    return Result(True, f"The figures of {found.orders} orders follow from their {found.events} events.", figures)


def _no_event_twice(subject: Subject) -> Result:
    found = subject.audited()
    figures = {"orders": found.orders, "repeated": found.repeated}
    if found.repeated:
        return Result(False, f"Orders that hold an event twice or count wrongly: {_named(found.repeated)}.", figures)
    return Result(True, f"None of {found.events} events in {found.orders} orders is there twice.", figures)


def _documents_valid(subject: Subject) -> Result:
    looked_at, broken = 0, []
    for name in ("orders", "dead_letters"):
        count, ids = audit.violations(subject.store, name, subject.sample)
        looked_at += count
        broken += ids
    figures = {"documents": looked_at, "broken": broken}
    if broken:
        return Result(False, f"Documents that break the schema: {_named(broken)}.", figures)
    return Result(True, f"{looked_at} documents keep the schema.", figures)


def _totals_hold(subject: Subject) -> Result:
    orders, _ = audit.totals(subject.store)
    if subject.sample is not None and orders > subject.sample:
        return Result(True, "Not asked of a sample: `orders check --whole` counts all orders.", {"orders": orders})
    wrong = [each.told() for each in drifts(subject.store)]
    figures = {"orders": orders, "wrong": wrong[: audit.NAMED_MAX]}
    if wrong:
        named = "; ".join(wrong[: audit.NAMED_MAX])
        return Result(False, f"Totals that must grow by so much: {named}. Run `orders recount`.", figures)
    return Result(True, f"The running totals are those of {orders} stored orders.", figures)


def _no_money_without_order(subject: Subject) -> Result:
    now_ms = records.server_time_ms(subject.store)
    count, oldest = audit.orphans(subject.store, now_ms - ORPHAN_AGE_MAX_MS)
    figures = {"orders": count, "oldest": [order.order_id for order in oldest]}
    if count:
        named = _named([f"{order.order_id} ({order.captured_minor} {order.currency} minor)" for order in oldest[:5]])
        return Result(False, f"{count} payments came without an order, the oldest: {named}.", figures, grave=False)
    return Result(True, "No payment has been without its order for longer than an hour.", figures)


def _dead_letter_share(subject: Subject) -> Result:
    now_ms = records.server_time_ms(subject.store)
    batches = records.read_batches(subject.store, now_ms - DEAD_LETTERS_SPAN_MS)
    messages, letters = sum(batch.messages for batch in batches), sum(batch.dead_letters for batch in batches)
    share = letters / messages if messages else 0.0
    figures = {"messages": messages, "dead_letters": letters, "share": round(share, 6)}
    text = f"{letters} of the {messages} messages of the last hour were rejected ({share:.2%})."
    return Result(share <= DEAD_LETTERS_SHARE_MAX, text, figures, grave=False)


def _lag(subject: Subject) -> Result:
    behind, beat = subject.sight.behind, subject.sight.facts.heartbeat
    if behind is None:
        return Result(False, "It can't be said how far behind the matcher is: Kafka or MongoDB did not answer.")
    if behind == 0:
        return Result(True, "Everything published is matched.", {"events_behind": 0, "lag_s": 0.0})
    oldest_ms = _oldest_waiting_ms(subject, {} if beat is None else beat.offsets)
    now_ms = records.server_time_ms(subject.store)
    lag_ms = 0 if oldest_ms is None else max(0, now_ms - oldest_ms)
    text = f"{behind} messages wait, the oldest for {lag_ms / 1000:.1f} s."
    return Result(lag_ms <= LAG_MAX_MS, text, {"events_behind": behind, "lag_s": lag_ms / 1000})


def _oldest_waiting_ms(subject: Subject, offsets: records.Offsets) -> int | None:
    """Return the broker's time of the oldest message that is not committed: the first of some partition."""
    kafka = subject.settings.kafka
    client = kafka.client_properties()
    firsts = begin_offsets(subject.bootstrap_servers, client, kafka.topics, timeout_s=TIMEOUT_S)
    lasts = end_offsets(subject.bootstrap_servers, client, kafka.topics, timeout_s=TIMEOUT_S)
    earliest = subject.settings.matcher.starting_offsets == "earliest"
    ends: dict[str, dict[int, int]] = {}
    for topic, partitions in firsts.items():
        for at, first in partitions.items():
            done = offsets.get(topic, {}).get(str(at), first if earliest else lasts[topic][at])
            partitions[at] = max(first, done)
            ends.setdefault(topic, {})[at] = min(partitions[at] + 1, lasts[topic][at])
    batches = read_range(subject.bootstrap_servers, client, firsts, ends, timeout_s=TIMEOUT_S)
    return min((record.time_ms for batch in batches for record in batch), default=None)


def _deadlines_swept(subject: Subject) -> Result:
    now_ms = records.server_time_ms(subject.store)
    count, oldest = audit.overdue(subject.store, now_ms - SWEEP_LATE_MAX_MS)
    figures = {"overdue": count, "oldest": oldest}
    if count:
        text = f"{count} orders wait though their deadline passed more than a minute ago: {_named(oldest)}."
        return Result(False, text, figures)
    return Result(True, "No order waits past its deadline.", figures)


def _matcher_at_work(subject: Subject) -> Result:
    sight = subject.sight
    figures = {"state": sight.state, "events_behind": -1 if sight.behind is None else sight.behind}
    state = sight.state.replace("_", " ") if sight.facts.running or sight.state != "starting" else "not running"
    text = f"The matcher is {state}. {sight.action.reason}"
    return Result(state in ("running", "starting"), text, figures, grave=state != "stopped")


def _supervisor_at_work(subject: Subject) -> Result:
    home = subject.settings.home
    if (found := find_supervisor(home)) is not None:
        return Result(True, f"{found.name} keeps the matcher.", {"pid": found.pid})
    # With a Dagster that is not the home's own, such as `dagster dev`, there is nobody but the sensor.
    report = read_report(home)
    if report is None or time.time() - report.at_ms / 1000 > SUPERVISOR_SILENT_MAX_S:
        return Result(False, "Nobody would restart the matcher: run `orders up`.")
    return Result(True, "A sensor keeps the matcher.")


def nothing_expired(topic: str) -> Callable[[Subject], Result]:
    """Return what asks whether Kafka still keeps everything of `topic` (its setting's name) not yet matched."""

    def ask(subject: Subject) -> Result:
        kafka = subject.settings.kafka
        name = getattr(kafka, topic)
        client = kafka.client_properties()
        firsts = begin_offsets(subject.bootstrap_servers, client, [name], timeout_s=TIMEOUT_S)[name]
        lasts = end_offsets(subject.bootstrap_servers, client, [name], timeout_s=TIMEOUT_S)[name]
        beat = subject.sight.facts.heartbeat
        done = {} if beat is None else beat.offsets.get(name, {})
        wrong = [
            f"{name}:{at} (committed {done[str(at)]}, kept {first} to {lasts[at]})"
            for at, first in firsts.items()
            if str(at) in done and not first <= done[str(at)] <= lasts[at]
        ]
        figures = {"partitions": len(firsts), "kept": sum(lasts[at] - first for at, first in firsts.items())}
        if wrong:
            text = f"Kafka deleted messages before they were matched, or the topic was made anew: {_named(wrong)}."
            return Result(False, text, figures)
        return Result(True, "Kafka keeps everything that is not yet matched.", figures)

    return ask


COLLECTION = (
    Check("messages_conserved", "Every committed message is in an order or a dead letter.", _messages_conserved),
    Check("figures_follow_from_events", "Folding an order's events again gives what is stored.", _figures_follow),
    Check("no_event_twice", "No order holds or counts an event twice.", _no_event_twice),
    Check("documents_valid", "Every document keeps the collection's schema.", _documents_valid),
    Check("totals_hold", "The running totals are those of the stored orders.", _totals_hold),
    Check("no_money_without_order", "No payment is without its order for over an hour.", _no_money_without_order),
    Check("dead_letter_share", "At most 5 % of the last hour's messages were rejected.", _dead_letter_share),
    Check("lag", "No message waits for longer than a minute.", _lag),
    Check("deadlines_swept", "No order waits past its deadline for longer than a minute.", _deadlines_swept),
    Check("matcher_at_work", "The matcher runs.", _matcher_at_work),
    Check("supervisor_at_work", "Somebody restarts the matcher when it dies.", _supervisor_at_work),
)
NOTHING_EXPIRED = "Kafka keeps every message until it is matched."


def _named(names: Iterable[str]) -> str:
    return ", ".join(names)
