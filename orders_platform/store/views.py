"""The views for dashboards, each a file beside this one: a collection, what it says, and the pipeline over it.

Whoever draws charts reads the view; our own page and statements run the same pipeline, behind a filter where they know
what they look for. A view is no copy: it costs what its pipeline costs, each time (docs/dashboards.md).
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from bson import json_util
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern

from orders_platform.store.client import Store
from orders_platform.store.failures import translated

NAMES = ("v_breaks_by_age", "v_match_rate_by_minute", "v_status_totals", "v_throughput", "v_value_at_risk")


class View(msgspec.Struct, frozen=True):
    """A view: the collection that it is on, what its rows say, and its pipeline."""

    on: str
    says: str
    pipeline: list[dict[str, Any]]


@cache
def view(name: str) -> View:
    """Return a view as its file has it."""
    return View(**json_util.loads((files("orders_platform.store") / "views" / f"{name}.json").read_text()))


def rows(
    store: Store, name: str, behind: Sequence[Mapping[str, Any]] = (), *, session: ClientSession | None = None
) -> list[dict[str, Any]]:
    """Return a view's rows, of what is left by the stages that come first: plain integers, times as UTC milliseconds.
    With a session of a snapshot, as of its moment.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    its = view(name)
    collection = store.database[its.on]
    if session is not None:  # a snapshot has its own read concern, and takes no other
        collection = collection.with_options(read_concern=ReadConcern())
    with translated():
        found = list(collection.aggregate([*behind, *its.pipeline], session=session, allowDiskUse=True))
    return [{key: _plain(value) for key, value in row.items()} for row in found]


def minutes_since(store: Store, since_ms: int) -> list[dict[str, Any]]:
    """Return what the matcher did in each minute since a time (MongoDB's clock), by index.

    Raises:
        StoreError: MongoDB could not be reached.
    """
    return rows(store, "v_throughput", [{"$match": {"committed_at": {"$gte": DatetimeMS(since_ms)}}}])


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal128):
        return int(value.to_decimal())
    return int(value) if isinstance(value, Int64 | DatetimeMS) else value
