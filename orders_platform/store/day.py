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
from typing import Any, NamedTuple, cast

from bson.datetime_ms import DatetimeMS
from pymongo import ASCENDING
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern

from orders_platform.events import CHARGEBACK_OPENED, ORDER_CANCELLED, ORDER_PLACED, PAYMENT_CAPTURED, REFUND_ISSUED
from orders_platform.matching import MAX_EVENTS, Document
from orders_platform.store import documents
from orders_platform.store.client import FAST_CODEC, Store
from orders_platform.store.documents import Arrival
from orders_platform.store.failures import translated
from orders_platform.store.plan import LATE_MS

EVENT_TIMES = "event_times"
UNSETTLED = "unsettled"
LATE = "late"
_SCAN = [("$natural", ASCENDING)]
UNSETTLED_OUTCOMES = ["break", "pending"]
_BATCH = 1_000


class StoredOrder(NamedTuple):
    """One order as stored: its figures, the clock they were folded with, its events, and when each was merged (cluster
    time; None: before that was kept)."""

    document: Document
    clock_ms: int
    arrivals: list[Arrival]
    merged_ms: list[int | None]


class QuietTotals(NamedTuple):
    """Quiet orders of one status and currency: how many, and due less captured plus refunded, where not cancelled."""

    status: str
    currency: str
    orders: int
    position_minor: int


class Reading:
    """Reads of one snapshot; `unreadable` are the ids of the orders that came up and that somebody has written past the
    schema.

    All methods raise StoreError when MongoDB could not be reached, or went away on the way.
    """

    def __init__(self, store: Store, session: ClientSession) -> None:
        self._store = store
        self._session = session
        self.unreadable: list[str] = []
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

    def as_of_ms(self) -> int:
        """Return the snapshot's cluster time, in whole seconds: what was committed later is not in it."""
        with translated():
            reply = self._store.database.command(
                {"find": self._matcher.name, "filter": {"_id": "schema"}, "limit": 1}, session=self._session
            )
        return reply["cursor"]["atClusterTime"].time * 1000

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

    def moving(self, start_ms: int, end_ms: int) -> Iterator[StoredOrder]:
        """Yield the orders with an event on or after the start, and one before the end."""
        start, end = DatetimeMS(start_ms), DatetimeMS(end_ms)
        wanted = {"$and": [{"events.occurred_at": {"$gte": start}}, {"events.occurred_at": {"$lt": end}}]}
        return self._found(wanted, EVENT_TIMES)

    def unsettled(self, start_ms: int) -> Iterator[StoredOrder]:
        """Yield the orders that break or wait, all of whose events lie before the start."""
        wanted = {"outcome": {"$in": UNSETTLED_OUTCOMES}} | _all_before(start_ms)
        return self._found(wanted, UNSETTLED)

    def settled(
        self, start_ms: int, tolerance_minor: int, late_since_ms: int | None
    ) -> tuple[list[QuietTotals], list[str]]:
        """Return the totals of the quiet orders, and the ids of the odd ones; those with an event that was merged late
        and since are taken for odd, unless it is None."""
        plain = _plain(tolerance_minor)
        # First, as MongoDB does not subtract what is no number.
        numbers = [{"$isNumber": f"${name}"} for name in ("due_minor", "captured_minor", "refunded_minor")]
        plain = {"$and": [*numbers, {"$isArray": "$events"}, plain]}
        if late_since_ms is not None:
            plain = {"$and": [{"$not": {"$gte": ["$late_at", DatetimeMS(late_since_ms)]}}, plain]}
        totals = {"$cond": [plain, {"currency": "$currency", "status": "$status"}, {"odd": "$_id"}]}
        billed = {"$cond": [{"$eq": ["$status", "cancelled"]}, 0, "$due_minor"]}
        position = {"$add": [{"$subtract": [billed, "$captured_minor"]}, "$refunded_minor"]}
        position = {"$cond": [{"$and": numbers}, position, 0]}
        pipeline = [
            {"$match": {"outcome": {"$nin": UNSETTLED_OUTCOMES}} | _all_before(start_ms)},
            {"$group": {"_id": totals, "orders": {"$sum": 1}, "position": {"$sum": position}}},
        ]
        quiet: list[QuietTotals] = []
        odd: list[str] = []
        with translated():
            cursor = self._orders.aggregate(pipeline, allowDiskUse=True, hint={"$natural": 1}, session=self._session)
            for found in cursor:
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

    def _found(self, wanted: Mapping[str, Any], index: str | list[tuple[str, int]]) -> Iterator[StoredOrder]:
        with translated():
            for found in self._orders.find(wanted, hint=index, batch_size=_BATCH, session=self._session):
                try:
                    order = StoredOrder(
                        documents.folded(found),
                        documents.clock_ms(found),
                        documents.arrivals(found),
                        documents.merged_ms(found),
                    )
                except documents.UNREADABLE:
                    self.unreadable.append(str(found["_id"]))
                else:
                    yield order


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


def _number(item: tuple[str, Any]) -> int:
    return int(item[0])


def _late_since(time_ms: int) -> dict[str, Any]:
    return {"late_at": {"$gte": DatetimeMS(time_ms)}}


def _none_of(seen: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"$nor": list(seen)} if seen else {}


def _all_before(time_ms: int) -> dict[str, Any]:
    return {"events.occurred_at": {"$not": {"$gte": DatetimeMS(time_ms)}}}


def _plain(tolerance_minor: int) -> dict[str, Any]:
    """Return the expression for: the figures follow from the events by addition, and the status from the figures by
    these rules, whatever the clock says. What it does not hold for is folded here, so it need only never err."""
    is_cancelled = {"$gt": ["$cancelled_at", None]}
    is_refunded = {"$gt": ["$refunded_minor", 0]}
    left = {"$subtract": ["$captured_minor", "$refunded_minor"]}
    enough = {"$gte": ["$captured_minor", {"$subtract": ["$due_minor", tolerance_minor]}]}
    status = {
        "$switch": {
            "branches": [
                {"case": is_cancelled, "then": {"$cond": [{"$lte": [left, 0]}, "cancelled", "refund_due"]}},
                {"case": {"$and": [is_refunded, {"$lte": [left, 0]}]}, "then": "refunded"},
                {"case": {"$not": enough}, "then": "too little"},
                {"case": is_refunded, "then": "partially_refunded"},
            ],
            "default": "matched",
        }
    }
    return {
        "$and": [
            {"$gt": ["$due_minor", None]},
            {"$eq": ["$charged_back_minor", 0]},
            {"$eq": ["$net_minor", left]},
            {"$lte": ["$captured_minor", {"$add": ["$due_minor", tolerance_minor]}]},
            {"$eq": ["$status", status]},
            # A break is never quiet, whatever the document says of its outcome.
            {"$eq": ["$outcome", "ok"]},
            {"$gte": [left, 0]},
            {"$lt": ["$event_count", MAX_EVENTS]},
            {"$eq": ["$event_count", {"$size": "$events"}]},
            {"$eq": [is_cancelled, {"$in": [ORDER_CANCELLED, "$events.type"]}]},
            {"$not": [{"$in": [CHARGEBACK_OPENED, "$events.type"]}]},
            {"$setIsSubset": ["$events.currency", ["$currency"]]},
            *[
                {"$eq": [f"${figure}", {"$sum": {"$map": {"input": "$events", "in": _amount_of(kind)}}}]}
                for kind, figure in (
                    (ORDER_PLACED, "due_minor"),
                    (PAYMENT_CAPTURED, "captured_minor"),
                    (REFUND_ISSUED, "refunded_minor"),
                )
            ],
        ]
    }


def _amount_of(kind: str) -> dict[str, Any]:
    return {"$cond": [{"$eq": ["$$this.type", kind]}, "$$this.amount_minor", 0]}
