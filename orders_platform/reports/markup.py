"""Pieces of a page. Every text is escaped here, so whatever an event calls its order stays text."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

SCREEN = "screen"
"""Class of what the screen shows and the sheet leaves out."""
PRINT = "print"
"""Class of what only the sheet says."""


class Cell(NamedTuple):
    """A cell of a table: its text, or markup of our own, and its classes."""

    text: str
    kind: str = ""
    is_markup: bool = False


class Row(NamedTuple):
    """A row of a table; the first cell names it."""

    cells: Sequence[Cell]
    kind: str = ""


def number(text: str, kind: str = "") -> Cell:
    """Return a cell that is aligned to the right."""
    return Cell(text, f"n {kind}".strip())


def two_ways(on_screen: str, on_paper: str, kind: str = "") -> Cell:
    """Return a cell that says one text on the screen and another on the sheet, where room is short."""
    if on_screen == on_paper:
        return Cell(on_screen, kind)
    spans = (
        f'<span class="{medium}">{escape(text)}</span>' for medium, text in ((SCREEN, on_screen), (PRINT, on_paper))
    )
    return Cell("".join(spans), kind, is_markup=True)


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph."""
    return f"<p{_class(kind)}>{escape(text)}</p>"


def command(told: str, line: str, kind: str = "note") -> str:
    """Return a paragraph that ends with a command to type."""
    return f"<p{_class(kind)}>{escape(told)} <code>{escape(line)}</code></p>"


def section(title: str, body: str, kind: str = "") -> str:
    """Return a section; `body` is markup."""
    return f"<section{_class(kind)}><h2>{escape(title)}</h2>{body}</section>"


def table(
    caption: str, heads: Sequence[Cell], rows: Iterable[Row], kind: str = "", groups: Sequence[tuple[str, int]] = ()
) -> str:
    """Return a table that scrolls by itself where the screen is narrow. Its caption is for those who can't see what
    stands above it; `groups` are words above so many columns each."""
    name = escape(caption, quote=True)
    drawn = (
        f'<table{_class(kind)}><caption class="unseen">{name}</caption>{head(heads, groups=groups)}{body(rows)}</table>'
    )
    return f'<div class="wide" role="region" aria-label="{name}" tabindex="0">{drawn}</div>'


def head(heads: Sequence[Cell], kind: str = "", groups: Sequence[tuple[str, int]] = ()) -> str:
    """Return a table's head."""
    above = "".join(
        f'<th scope="colgroup" colspan="{columns}">{escape(words)}</th>' if words else f'<td colspan="{columns}"></td>'
        for words, columns in groups
    )
    cells = "".join(f'<th scope="col"{_class(each.kind)}>{escape(each.text)}</th>' for each in heads)
    first = f'<tr class="groups">{above}</tr>' if above else ""
    return f"<thead{_class(kind)}>{first}<tr>{cells}</tr></thead>"


def body(rows: Iterable[Row]) -> str:
    """Return a table's body."""
    return f"<tbody>{''.join(map(_row, rows))}</tbody>"


def _row(row: Row) -> str:
    first, *others = row.cells
    cells = "".join(f"<td{_class(each.kind)}>{_text(each)}</td>" for each in others)
    return f'<tr{_class(row.kind)}><th scope="row"{_class(first.kind)}>{_text(first)}</th>{cells}</tr>'


def _text(cell: Cell) -> str:
    return cell.text if cell.is_markup else escape(cell.text)


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
