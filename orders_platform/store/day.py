"""What a day's statement reads, all of it as of one moment: a snapshot, so that a running matcher moves nothing.

Orders fall in four parts, and only three of them are brought here:

- those with an event on or after the day's start, by the index on the events' times;
- those that break or wait, by a partial index: their state may move with the clock alone, and open breaks are listed;
- the odd ones among the rest, where the stored figures do not follow from the stored events by mere addition (an
  agreeing redelivery, a charge-back, refunded overpayment, other rules of matching, a document somebody changed);
- the quiet rest, settled before the day: MongoDB adds them up and sends totals.

The last two take one pass of MongoDB over the orders, in which it adds up the events of each quiet one as well. Where
the totals of the day before are known, all that is read instead are the orders of the day, and those whose events came
late: `touching`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple, cast

from bson.datetime_ms import DatetimeMS
from bson.timestamp import Timestamp
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern

from orders_platform.matching import Document
from orders_platform.store import documents
from orders_platform.store.client import FAST_CODEC, Store
from orders_platform.store.documents import Arrival
from orders_platform.store.failures import translated
from orders_platform.store.plan import LATE_MS
from orders_platform.store.quiet import totals_or_odd

EVENT_TIMES = "event_times"
UNSETTLED = "unsettled"
LATE = "late"
_SCAN = {"$natural": 1}
UNSETTLED_OUTCOMES = ["break", "pending"]
_BATCH = 1_000
_SAMPLED_PER_PART = 50


class StoredOrder(NamedTuple):
    """One order as stored: its figures, the clock they were folded with, its events, and when each was merged (cluster
    time; None: before that was kept)."""

    document: Document
    clock_ms: int
    arrivals: list[Arrival]
    merged_ms: list[int | None]


class Moment(NamedTuple):
    """A cluster time."""

    time_s: int
    increment: int


class IdRange(NamedTuple):
    """The orders whose ids are from `low` on and below `high`; None: no bound."""

    low: str | None
    high: str | None

    def condition(self) -> dict[str, Any]:
        """Return what a filter says of an id. What is no text, which only somebody else can have written, is below."""
        above = {} if self.low is None else {"$gte": self.low}
        if self.high is None:
            return above or {"$exists": True}
        return above | {"$lt": self.high} if above else {"$not": {"$gte": self.high}}


class Unreadable(NamedTuple):
    """An order that somebody has written past the schema, and when its first event occurred, if it says so."""

    order_id: str
    first_ms: int | None


class QuietTotals(NamedTuple):
    """Quiet orders of one status and currency: how many, and due less captured plus refunded, where not cancelled."""

    status: str
    currency: str
    orders: int
    position_minor: int


class Reading:
    """Reads of one snapshot; `unreadable` are the orders that came up and that somebody has written past the schema.

    All methods raise StoreError when MongoDB could not be reached, or went away on the way.
    """

    def __init__(
        self, store: Store, session: ClientSession | None, at: Moment | None = None, within: IdRange | None = None
    ) -> None:
        """Read by a session of a snapshot, or without one as of a moment; `within` limits which orders are found."""
        self._store = store
        self._session = session
        self._concern = {} if at is None else {"readConcern": {"level": "snapshot", "atClusterTime": Timestamp(*at)}}
        self._within: dict[str, Any] = {} if within is None else {"_id": within.condition()}
        self.unreadable: list[Unreadable] = []
        # A snapshot has its own read concern, and takes no other.
        self._orders = store.orders.with_options(FAST_CODEC, read_concern=ReadConcern())
        self._dead_letters = store.dead_letters.with_options(read_concern=ReadConcern())
        self._matcher = store.matcher.with_options(read_concern=ReadConcern())

    def offsets(self) -> dict[str, dict[str, int]]:
        """Return the next offset that the matcher reads, by topic and partition."""
        with translated():
            found = self._matcher.find_one({"_id": "heartbeat"}, {"offsets": 1}, session=self._session)
        offsets = {} if found is None else found.get("offsets", {})
        return {
            topic: {at: int(offset) for at, offset in sorted(partitions.items(), key=_number)}
            for topic, partitions in sorted(offsets.items())
        }

    def as_of(self) -> "Moment":
        """Return the snapshot's cluster time: what was committed later is not in it."""
        with translated():
            reply = self._store.database.command(
                {"find": self._matcher.name, "filter": {"_id": "schema"}, "limit": 1}, session=self._session
            )
        time = reply["cursor"]["atClusterTime"]
        return Moment(time.time, time.inc)

    def as_of_ms(self) -> int:
        """Return the snapshot's cluster time in whole seconds."""
        return self.as_of().time_s * 1000

    def all_is_stamped(self) -> bool:
        """Return whether the matcher that runs says of each event when it merged it: an earlier program's does not."""
        with translated():
            wanted = {"_id": {"$in": ["heartbeat", "schema"]}}
            found = {each["_id"]: each for each in self._matcher.find(wanted, session=self._session)}
        if "heartbeat" not in found:
            return True
        return int(found["heartbeat"]["started_at"]) >= int(found["schema"]["stamped_since"])

    def stored(self) -> int:
        """Return about how many orders are stored."""
        with translated():
            return self._store.orders.estimated_document_count()

    def late(self, since_ms: int, most: int) -> int:
        """Return how many orders have had a late event merged since, but no more than `most`."""
        with translated():
            return self._orders.count_documents(_late_since(since_ms), limit=most, hint=LATE, session=self._session)

    def dead_letters(self, start_ms: int, end_ms: int) -> dict[str, int]:
        """Return how many messages that the broker received in [start, end) were rejected, by reason."""
        pipeline = [
            {"$match": {"broker_time": {"$gte": DatetimeMS(start_ms), "$lt": DatetimeMS(end_ms)}}},
            {"$group": {"_id": "$reason", "letters": {"$sum": 1}}},
        ]
        with translated():
            groups = list(self._dead_letters.aggregate(pipeline, session=self._session))
        return {group["_id"]: int(group["letters"]) for group in groups}

    def mattering(self, start_ms: int, end_ms: int) -> Iterator[StoredOrder]:
        """Yield the orders with an event on or after the start and one before the end; and those that break or wait,
        all of whose events lie before the start."""
        start, end = DatetimeMS(start_ms), DatetimeMS(end_ms)
        moving = {"$and": [{"events.occurred_at": {"$gte": start}}, {"events.occurred_at": {"$lt": end}}]}
        unsettled = {"outcome": {"$in": UNSETTLED_OUTCOMES}} | _all_before(start_ms)
        if self._within:
            yield from self._found({"$or": [moving, unsettled]} | self._within, "_id_")
        else:
            yield from self._found(moving, EVENT_TIMES)
            yield from self._found(unsettled, UNSETTLED)

    def settled(
        self, start_ms: int, tolerance_minor: int, late_since_ms: int | None
    ) -> tuple[list[QuietTotals], list[str]]:
        """Return the totals of the quiet orders, and the ids of the odd ones; those with an event that was merged late
        and since are taken for odd, unless it is None."""
        settled = {"outcome": {"$nin": UNSETTLED_OUTCOMES}} | _all_before(start_ms) | self._within
        command = {
            "aggregate": self._store.orders.name,
            "pipeline": [{"$match": settled}, totals_or_odd(tolerance_minor, late_since_ms)],
            "cursor": {},
            "allowDiskUse": True,
            "hint": {"_id": 1} if self._within else {"$natural": 1},
        }
        quiet: list[QuietTotals] = []
        odd: list[str] = []
        with translated():
            for found in self._cursor(command):
                if "odd" in found["_id"]:
                    odd.append(found["_id"]["odd"])
                else:
                    of = found["_id"]
                    quiet.append(QuietTotals(of["status"], of["currency"], found["orders"], int(found["position"])))
        return quiet, odd

    def named(self, order_ids: list[str]) -> Iterator[StoredOrder]:
        """Yield the orders of these ids."""
        for at in range(0, len(order_ids), _BATCH):
            yield from self._found({"_id": {"$in": order_ids[at : at + _BATCH]}}, "_id_")

    def touching(self, spans_ms: Sequence[tuple[int, int]], late_since_ms: int) -> Iterator[StoredOrder]:
        """Yield the orders with an event that occurred in one of the spans, their ends not included, or with a late one
        that was merged since; each once."""
        seen: list[dict[str, Any]] = []
        for start_ms, end_ms in spans_ms:
            within = {"$elemMatch": {"occurred_at": {"$gte": DatetimeMS(start_ms), "$lt": DatetimeMS(end_ms)}}}
            yield from self._found({"events": within} | _none_of(seen), EVENT_TIMES)
            seen.append({"events": within})
        yield from self._found(_late_since(late_since_ms) | _none_of(seen), LATE)

    def touched(self, since_ms: int, before_ms: int) -> Iterator[StoredOrder]:
        """Yield the orders that may have an event from before a time that was merged since another."""
        with translated():
            schema = self._matcher.find_one({"_id": "schema"}, session=self._session)
        if schema is None or since_ms < int(schema["stamped_since"]):
            # An earlier program may have merged it, and it kept no such times: go through all that was written since.
            since = {"updated_at": {"$gte": DatetimeMS(since_ms)}}
            return self._found(since | {"events.occurred_at": {"$lt": DatetimeMS(before_ms)}}, _SCAN)
        return self.touching([(min(since_ms - LATE_MS, before_ms), before_ms)], since_ms)

    def _found(self, wanted: Mapping[str, Any], index: str | dict[str, int]) -> Iterator[StoredOrder]:
        command = {"find": self._store.orders.name, "filter": wanted, "hint": index, "batchSize": _BATCH}
        with translated():
            for found in self._cursor(command):
                try:
                    order = StoredOrder(
                        documents.folded(found),
                        documents.clock_ms(found),
                        documents.arrivals(found),
                        documents.merged_ms(found),
                    )
                except documents.UNREADABLE:
                    self.unreadable.append(Unreadable(str(found["_id"]), _first_ms(found)))
                else:
                    yield order

    def _cursor(self, command: dict[str, Any]) -> Iterator[dict[str, Any]]:
        cursor = self._store.database.cursor_command(
            command | self._concern, codec_options=FAST_CODEC, session=self._session
        )
        return iter(cursor.batch_size(_BATCH))


def time_of_reading_ms(store: Store) -> int:
    """Return MongoDB's clock (UTC ms), before anything is read. It is written, too, which brings the cluster time up to
    it: nothing that is merged from now on says that it was merged in an earlier second.

    Raises:
        StoreError: MongoDB refused or could not be reached.
    """
    with translated(writing=True):
        found = store.matcher.find_one_and_update(
            {"_id": "reading"}, [{"$set": {"at": "$$NOW"}}], upsert=True, return_document=True
        )
    return int(cast("dict[str, Any]", found)["at"])


@contextmanager
def reading(store: Store) -> Iterator[Reading]:
    """Give a snapshot to read from.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    with translated():
        session = store.client.start_session(snapshot=True)
    with session:
        yield Reading(store, session)


def id_ranges(store: Store, parts: int) -> list[IdRange]:
    """Return ranges of ids that all orders fall in, about as many in each as in another.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    sample = [{"$sample": {"size": parts * _SAMPLED_PER_PART}}, {"$project": {"_id": 1}}]
    with translated():
        ids = sorted(
            {each["_id"] for each in store.orders.aggregate(sample, allowDiskUse=True) if isinstance(each["_id"], str)}
        )
    bounds = [ids[len(ids) * part // parts] for part in range(1, parts)] if len(ids) >= parts else []
    return [IdRange(*ends) for ends in pairwise([None, *bounds, None])]


def _first_ms(found: Mapping[str, Any]) -> int | None:
    events = found.get("events")
    times = [each.get("occurred_at") for each in events if isinstance(each, dict)] if isinstance(events, list) else []
    known_ms = [documents.time_ms(time) for time in times if isinstance(time, datetime | DatetimeMS)]
    return min(known_ms, default=None)


def _number(item: tuple[str, Any]) -> int:
    return int(item[0])


def _late_since(time_ms: int) -> dict[str, Any]:
    return {"late_at": {"$gte": DatetimeMS(time_ms)}}


def _none_of(seen: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"$nor": list(seen)} if seen else {}


def _all_before(time_ms: int) -> dict[str, Any]:
    return {"events.occurred_at": {"$not": {"$gte": DatetimeMS(time_ms)}}}
