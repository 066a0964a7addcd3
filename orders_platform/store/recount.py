"""The running totals held against the stored orders, and put right where somebody wrote past the matcher."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from bson.int64 import Int64
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from orders_platform.errors import RetryableStoreError
from orders_platform.store import views
from orders_platform.store.client import DURABLE, Store, within
from orders_platform.store.counters import BREAKS, ORDERS, increment
from orders_platform.store.failures import DUPLICATE_KEY, SNAPSHOT_UNAVAILABLE, WRITE_CONFLICT, translated

WRITER = "recount"
_MARK = {"_id": WRITER}
COUNT_S = 600.0
"""How long a count may take: some fifty million orders. By default MongoDB keeps a moment readable for half of it."""
_ATTEMPTS = 10
_PAUSE_S = 0.5
_KINDS = (
    ("orders", "v_status_totals", "counted_orders", ("status", "outcome", "currency"), ORDERS),
    ("breaks", "v_value_at_risk", "counted_breaks", ("kind", "currency"), BREAKS),
)


class Drift(NamedTuple):
    """A total that is not what the stored orders come to: whose (`orders` or `breaks`), its key, and by how much each
    figure must grow to be right."""

    of: str
    key: dict[str, str | None]
    by: dict[str, int]

    def told(self) -> str:
        """Return it in words."""
        key = " ".join(text or "-" for text in self.key.values())
        return f"{self.of} {key}: " + ", ".join(f"{name} {amount:+}" for name, amount in self.by.items() if amount)


def drifts(store: Store) -> list[Drift]:
    """Count all stored orders, and return the totals that differ, both as of one moment. A document that somebody wrote
    past the schema counts as nothing, here as in the totals.

    Raises:
        StoreError: MongoDB could not be reached, or no longer keeps the moment when the counting began.
    """
    with within(COUNT_S):
        return _look(store)[0]


def recount(store: Store) -> list[Drift]:
    """Count all stored orders and put the totals right, while matchers go on; return what was wrong.

    Raises:
        StoreError: as `drifts`; or somebody else kept recounting.
    """
    with within(COUNT_S):
        for _ in range(_ATTEMPTS):
            found, times = _look(store)
            if _correct(store, found, times):
                return found
    raise RetryableStoreError("Somebody else keeps recounting.", "Try again.")


def count_what_was_there(store: Store) -> list[Drift]:
    """Recount, unless somebody did since this database has running totals: it may have orders from before.

    Raises:
        StoreError: as `recount`.
    """
    with translated():
        counted = store.counters.find_one(_MARK) is not None
    return [] if counted else recount(store)


def _look(store: Store) -> tuple[list[Drift], int]:
    """Return what differs, and how often the totals had been put right, as of one moment."""
    for attempt in range(_ATTEMPTS):
        try:
            with translated(), store.client.start_session(snapshot=True) as session:
                mark = store.counters.with_options(read_concern=ReadConcern()).find_one(_MARK, session=session)
                found = [drift for kind in _KINDS for drift in _compare(store, session, *kind)]
                return found, 0 if mark is None else int(mark["times"])
        except RetryableStoreError as error:
            # A collection that was made just now has no snapshot yet.
            cause = error.__cause__
            unavailable = isinstance(cause, OperationFailure) and cause.code == SNAPSHOT_UNAVAILABLE
            if not unavailable or attempt == _ATTEMPTS - 1:
                raise
        time.sleep(_PAUSE_S)
    raise AssertionError("the last attempt returns or raises")


def _compare(
    store: Store,
    session: ClientSession,
    of: str,
    total: str,
    counted: str,
    keys: tuple[str, ...],
    names: tuple[str, ...],
) -> list[Drift]:
    there, right = (_added_up(views.rows(store, name, session=session), keys, names) for name in (total, counted))
    by = {key: {name: right[key][name] - there[key][name] for name in names} for key in there.keys() | right.keys()}
    wrong = sorted((key for key, amounts in by.items() if any(amounts.values())), key=str)
    return [Drift(of, dict(zip(keys, key, strict=True)), by[key]) for key in wrong]


def _added_up(
    rows: Iterable[Mapping[str, Any]], keys: tuple[str, ...], names: tuple[str, ...]
) -> defaultdict[tuple[str | None, ...], Counter[str]]:
    added: defaultdict[tuple[str | None, ...], Counter[str]] = defaultdict(Counter)
    for row in rows:
        key = tuple(row.get(name) for name in keys)
        added[key].update({name: row[name] for name in names})
    return added


def _correct(store: Store, found: list[Drift], times: int) -> bool:
    """Add what is missing, unless somebody else did since we looked: then say so."""
    mark = {"$set": {"times": Int64(times + 1)}, "$currentDate": {"at": True}}
    rows = [increment(WRITER, each.of, each.key, tuple(each.by), tuple(each.by.values())) for each in found]
    with translated(writing=True), store.session() as session:
        try:
            with session.start_transaction(ReadConcern("snapshot"), DURABLE, ReadPreference.PRIMARY):
                unchanged = _MARK | {"times": Int64(times)}
                done = store.counters.update_one(unchanged, mark, upsert=times == 0, session=session)
                if done.matched_count == 0 and done.upserted_id is None:
                    return False
                if rows:
                    store.database.command({"update": store.counters.name, "updates": rows}, session=session)
        except OperationFailure as error:
            if error.code in {DUPLICATE_KEY, WRITE_CONFLICT}:
                return False
            raise
    return True
