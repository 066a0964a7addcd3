"""Rows of a collection as JSON lines, CSV or Parquet, streamed: no more than a few thousand are ever held."""

import csv
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from orders_platform.cli import output
from orders_platform.errors import UsageError
from orders_platform.matching import Document, document_json
from orders_platform.reports.days import date_at
from orders_platform.store import breaks, queries
from orders_platform.store.client import Store

_BLOCK = 5_000
_TIME = pa.timestamp("ms", tz="UTC")
_SCHEMAS = {
    "orders": pa.schema(
        [
            pa.field("order_id", pa.string(), nullable=False),
            pa.field("status", pa.string(), nullable=False),
            pa.field("outcome", pa.string(), nullable=False),
            pa.field("reasons", pa.list_(pa.string()), nullable=False),
            pa.field("currency", pa.string()),
            pa.field("due_minor", pa.int64()),
            pa.field("captured_minor", pa.int64(), nullable=False),
            pa.field("refunded_minor", pa.int64(), nullable=False),
            pa.field("charged_back_minor", pa.int64(), nullable=False),
            pa.field("net_minor", pa.int64(), nullable=False),
            pa.field("deadline_at", _TIME, nullable=False),
            pa.field("cancelled_at", _TIME),
            pa.field("settled_at", _TIME),
            pa.field("event_count", pa.int64(), nullable=False),
        ]
    ),
    "breaks": pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("order_id", pa.string(), nullable=False),
            pa.field("currency", pa.string()),
            pa.field("at_risk_minor", pa.int64(), nullable=False),
            pa.field("opened_on", pa.string(), nullable=False),
            pa.field("last_seen_on", pa.string(), nullable=False),
            pa.field("resolved_on", pa.string()),
            pa.field("decisions", pa.int64(), nullable=False),
        ]
    ),
    "dead_letters": pa.schema(
        [
            pa.field("topic", pa.string(), nullable=False),
            pa.field("partition", pa.int64(), nullable=False),
            pa.field("offset", pa.int64(), nullable=False),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("field", pa.string()),
        ]
    ),
}

Rows = Iterable[Mapping[str, Any]]
Sink = BinaryIO | output.Bulk
_Item = TypeVar("_Item")


def export(store: Store, collection: str, kind: str, since_ms: int | None, time_zone: str, place: Path | None) -> int:
    """Write a collection to `place`, or to standard output, and return the number of rows.

    Orders and dead letters that were last written at `since_ms` or later, breaks that were there, or went, on its
    business day or later; all of them where it is None. A file appears whole under its name, or not at all.

    Raises:
        StoreError: MongoDB could not be reached, or went away on the way.
        UsageError: the file can't be written.
    """
    counted = _Counted(_rows(store, collection, since_ms, time_zone, as_time=kind == "parquet"))
    if place is None:
        _WRITERS[kind](counted, collection, output.Bulk(sys.stdout))
    else:
        with _whole(place) as sink:
            _WRITERS[kind](counted, collection, sink)
    return counted.count


class _Counted:
    """Rows, counted as they pass."""

    def __init__(self, rows: Rows) -> None:
        self.count = 0
        self._rows = rows

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for row in self._rows:
            self.count += 1
            yield row


def _rows(store: Store, collection: str, since_ms: int | None, time_zone: str, *, as_time: bool) -> Rows:
    if collection == "orders":
        return map(_typed if as_time else document_json, queries.all_orders(store, since_ms))
    if collection == "breaks":
        since = None if since_ms is None else date_at(since_ms, time_zone).isoformat()
        return map(_break, breaks.all_breaks(store, since=since))
    names = _SCHEMAS["dead_letters"].names
    return ({name: getattr(letter, name) for name in names} for letter in queries.export_dead_letters(store, since_ms))


def _break(record: breaks.BreakRecord) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in _SCHEMAS["breaks"].names}
    return row | {"decisions": len(record.decisions)}


def _typed(document: Document) -> dict[str, Any]:
    """Return the keys of `orders fold` with times as integers: Parquet has a type for them."""
    row = document_json(document)
    for name in ("deadline_at", "cancelled_at", "settled_at"):
        row[name] = getattr(document, f"{name}_ms")
    return row


def _blocks(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    source = iter(items)
    while block := list(islice(source, _BLOCK)):
        yield block


def _write_jsonl(rows: Rows, collection: str, sink: Sink) -> None:
    encode_lines = msgspec.json.Encoder().encode_lines
    for block in _blocks(rows):
        sink.write(encode_lines(block))


def _write_csv(rows: Rows, collection: str, sink: Sink) -> None:
    header: list[list[str]] = [_SCHEMAS[collection].names]
    lines = ([_cell(value) for value in row.values()] for row in rows)
    for block in _blocks(chain(header, lines)):
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(block)
        sink.write(text.getvalue().encode())


def _cell(value: Any) -> Any:
    return "|".join(value) if isinstance(value, list) else value


def _write_parquet(rows: Rows, collection: str, sink: Sink) -> None:
    schema = _SCHEMAS[collection]
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for block in _blocks(rows):
            writer.write_batch(pa.RecordBatch.from_pylist(block, schema=schema))


_WRITERS: dict[str, Callable[[Rows, str, Sink], None]] = {
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
}


@contextmanager
def _whole(place: Path) -> Iterator[BinaryIO]:
    unfinished = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as sink:
            yield sink
        unfinished.replace(place)
    except OSError as error:
        raise UsageError(f"{place} can't be written: {error.strerror}.", "Choose another file with -o.") from error
    finally:
        unfinished.unlink(missing_ok=True)
