"""A statement's breaks as CSV and Parquet."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orders_platform.reports.statement import Statement

SCHEMA = pa.schema(
    [
        pa.field("state", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("order_id", pa.string(), nullable=False),
        pa.field("currency", pa.string()),
        pa.field("at_risk_minor", pa.int64(), nullable=False),
        pa.field("opened_on", pa.date32(), nullable=False),
        pa.field("age_days", pa.int64(), nullable=False),
        pa.field("foreign_minor", pa.map_(pa.string(), pa.int64()), nullable=False),
    ]
)
"""One row a break; `state` is new, persisting or resolved."""


def breaks_csv(statement: Statement) -> bytes:
    """Return the breaks as CSV; foreign amounts as `USD=-100|CHF=5`."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, SCHEMA.names, lineterminator="\n")
    writer.writeheader()
    for row in _rows(statement):
        foreign = "|".join(f"{currency}={amount}" for currency, amount in row["foreign_minor"].items())
        writer.writerow(row | {"foreign_minor": foreign})
    return text.getvalue().encode()


def breaks_parquet(statement: Statement) -> bytes:
    """Return the breaks as a Parquet file."""
    rows = [row | {"foreign_minor": list(row["foreign_minor"].items())} for row in _rows(statement)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), sink, compression="zstd")
    return sink.getvalue()


def _rows(statement: Statement) -> Iterator[dict[str, Any]]:
    lists = statement.breaks
    for state, listed in (("new", lists.new), ("persisting", lists.persisting), ("resolved", lists.resolved)):
        for each in listed:
            yield {"state": state} | {name: getattr(each, name) for name in each.__struct_fields__}
