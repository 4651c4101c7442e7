"""Tables: shown in a notebook, written and read as CSV."""

from __future__ import annotations

import contextlib
import csv
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kpbook._checks import complain
from kpbook._files import write_atomically


@dataclass(frozen=True)
class Table:
    """Rows and columns that a notebook shows as a table."""

    rows: Sequence[Mapping[str, Any]]
    columns: Sequence[str]
    caption: str = ""

    def __repr__(self) -> str:
        cells = [list(self.columns), *[[_text(r.get(c)) for c in self.columns] for r in self.rows]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{html.escape(c)}</th>' for c in self.columns)
        body = "".join(
            "<tr>"
            + "".join(_cell(row.get(c), first=c == self.columns[0]) for c in self.columns)
            + "</tr>"
            for row in self.rows
        )
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        # A wide table scrolls by itself; the page does not. tabindex: keyboards scroll it too.
        label = html.escape(self.caption or "Table")
        return (
            f'<div class="kp-table" tabindex="0" role="group" aria-label="{label}" '
            f'style="overflow-x:auto"><table class="table">{caption}<thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )


def show(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None, caption: str = ""
) -> Table:
    """Return a table of a copy of ``rows``; floats are shown with three significant digits.

    Args:
        rows: Mappings from column to value; a missing value shows as a hyphen.
        columns: Which columns, in this order; those of the first row without it.
        caption: One line above the table.

    Raises:
        ValueError: If there are no rows, or a column is in no row.
    """
    if not rows:
        raise ValueError(complain("rows", "none", "at least one row"))
    names = list(columns) if columns is not None else list(rows[0])
    unknown = [c for c in names if all(c not in row for row in rows)]
    if unknown:
        raise ValueError(complain("columns", unknown, f"names among {sorted(rows[0])}"))
    return Table([dict(row) for row in rows], names, caption)


def read(path: str | Path) -> list[dict[str, Any]]:
    """Read a table that :func:`write` wrote: numbers as numbers, an empty cell as ``None``.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a row is longer or shorter than the head, a column's name is there twice, a
            quote is out of place, or the file is no text.
    """
    path = Path(path)
    if not path.is_file():
        hint = "python -m kpbook.sweep writes runs.csv and curves.csv."
        raise FileNotFoundError(complain(str(path), "no such file", "a table", hint))
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets begin with a mark
    except UnicodeDecodeError as error:
        raise ValueError(complain(str(path), f"no CSV ({error})", "a table in UTF-8")) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        got = f"a NUL character in line {line}"
        raise ValueError(complain(str(path), got, "a table in UTF-8"))
    reader, line = csv.reader(io.StringIO(text), strict=True), 1
    lines = {}  # the line in which a row begins -> the row: a cell in quotes may have many
    try:
        for row in reader:
            lines[line], line = row, reader.line_num + 1
    except csv.Error as error:
        got = f"no CSV (line {line}: {error})"
        raise ValueError(complain(str(path), got, "a table in UTF-8")) from error
    head = lines.pop(1, [])
    twice = [name for name in head if head.count(name) > 1]
    if twice:
        raise ValueError(complain(str(path), f"{twice[0]!r} twice", "a name of its own each"))
    for line, row in lines.items():
        if len(row) != len(head):
            got = f"{len(row)} cells in line {line}"
            raise ValueError(complain(str(path), got, f"{len(head)}, as in its head"))
    return [dict(zip(head, map(_number_or_word, row), strict=True)) for row in lines.values()]


def write(rows: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """Write a table in one step: columns as they first appear, numbers with six digits."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    return write_atomically(path, text.getvalue().encode())


def short(value: float | None) -> str:
    """A number with three significant digits, a hyphen for none."""
    return "-" if value is None else f"{value:.3g}"


def _number_or_word(cell: str) -> int | float | str | None:
    if cell.isascii() and "_" not in cell:  # Python would take 1_000, too
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                return kind(cell)
    return cell or None


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        # Three significant digits, but never 1.23e+03: readers compare these by eye.
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")
    return str(value)


def _cell(value: Any, *, first: bool) -> str:
    text = html.escape(_text(value))
    if first:
        return f'<th scope="row">{text}</th>'
    align = ' style="text-align:right"' if isinstance(value, int | float) else ""
    return f"<td{align}>{text}</td>"
