"""The files of a day beside each other: the page to print, its breaks as CSV and Parquet."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from orders_platform.local.home import prepare, write_atomically, writing
from orders_platform.reports.making import Made
from orders_platform.reports.render import html
from orders_platform.reports.statement import Statement

PAGE = "statement.html"
BREAKS = {"csv": "breaks.csv", "parquet": "breaks.parquet"}
MEDIA = {
    PAGE: "text/html; charset=utf-8",
    BREAKS["csv"]: "text/csv; charset=utf-8",
    BREAKS["parquet"]: "application/vnd.apache.parquet",
}
"""What a day's folder holds."""


def folder(home: Path, when: str) -> Path:
    """Return where a day's files are."""
    return home / "statements" / when


def address(when: str, name: str = PAGE) -> str:
    """Return where the webserver of `orders up` shows a file, as seen from its own pages."""
    return f"/statements/{when}" if name == PAGE else f"/statements/{when}/{name}"


def found(home: Path, when: str, name: str) -> Path | None:
    """Return the file that an address names, or None if there is no such day, name or file."""
    try:
        is_day = date.fromisoformat(when).isoformat() == when
    except ValueError:
        return None
    file = folder(home, when) / name
    return file if is_day and name in MEDIA and file.is_file() else None


def write_page(home: Path, made: Made, earlier: list[tuple[str, float | None]]) -> Path:
    """Write a statement as the page to print; return where it is.

    Raises:
        StackError: the home can't be written.
    """
    return _write(home, made.statement.date, {PAGE: html(made.statement, made.changes, earlier)})[PAGE]


def write_breaks(home: Path, statement: Statement) -> Mapping[str, Path]:
    """Write a statement's breaks as CSV and Parquet; return where each is.

    Raises:
        StackError: the home can't be written.
    """
    # Here, and not above: every run that starts a matcher loads the code location, and Arrow costs a tenth of that.
    from orders_platform.reports.tables import breaks_csv, breaks_parquet

    tables = {BREAKS["csv"]: breaks_csv(statement), BREAKS["parquet"]: breaks_parquet(statement)}
    return _write(home, statement.date, tables)


def _write(home: Path, when: str, contents: Mapping[str, bytes]) -> dict[str, Path]:
    prepare(home)
    where = folder(home, when)
    with writing(home):
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in contents.items():
            write_atomically(where / name, content)
    return {name: where / name for name in contents}
