"""Run records: what was run, how, and what came out; and the tables made from them.

A number that took longer than a page may take is recorded once, as JSON, with everything that is
needed to run it again. The book reads the record; it never repeats the number by hand.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import html
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import kpbook
from kpbook import tier as tiers
from kpbook._checks import complain
from kpbook._files import write_atomically


@dataclass(frozen=True)
class RunRecord:
    """One run.

    Attributes:
        name: Short identifier, also the file's stem.
        command: What a reader types to run it again.
        results: One row per result, each a mapping from column to value.
        config: Settings that the command line does not show.
        seed: Seed of the run, ``None`` if nothing random decides.
        tier: ``smoke``, ``laptop`` or ``paper``.
        device: Machine and number of threads, or the GPU.
        seconds: Wall time.
        versions: Versions of Python, kpbook and the packages that matter.
        date: UTC, ISO 8601, to the second.
    """

    name: str
    command: str
    results: list[dict[str, Any]]
    seconds: float
    config: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    tier: str = field(default_factory=tiers.name)
    device: str = field(default_factory=lambda: describe_device())
    versions: dict[str, str] = field(default_factory=lambda: describe_versions())
    date: str = field(default_factory=lambda: _now())

    def save(self, folder: str | Path) -> Path:
        """Write ``folder/<name>.json`` in one step and return its path.

        Raises:
            ValueError: If the name is no file name, or a number is NaN or infinite.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            hint = "It becomes a file's name."
            raise ValueError(
                complain("name", repr(self.name), "letters, digits, '.', '_' and '-'", hint)
            )
        try:
            text = json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False, default=_plain)
        except ValueError as error:
            hint = "Store None for a value that is missing."
            raise ValueError(complain(self.name, str(error), "finite numbers", hint)) from None
        return write_atomically(Path(folder) / f"{self.name}.json", (text + "\n").encode())


def load(path: str | Path) -> RunRecord:
    """Read one run record.

    Raises:
        FileNotFoundError: If there is none; the message lists the records beside it.
        ValueError: If the file is not a run record, or is cut off.
    """
    path = Path(path)
    if not path.is_file():
        beside = sorted(p.stem for p in path.parent.glob("*.json"))
        found = f"Records in that folder: {', '.join(beside) or 'none'}."
        raise FileNotFoundError(complain("path", str(path), "a run record", found))
    hint = "Restore it from git, or run its command again."
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(complain(str(path), f"no JSON ({error})", "a run record", hint)) from None
    known = {f.name: f for f in dataclasses.fields(RunRecord)}
    keys = set(content) if isinstance(content, dict) else set()
    if keys != set(known):
        off = ", ".join(sorted(keys ^ set(known)))
        raise ValueError(complain(str(path), f"fields that differ in {off}", "a run record", hint))
    return RunRecord(**content)


def read_csv(path: str | Path) -> list[dict[str, Any]]:
    """Read a table that a sweep wrote: numbers as numbers, an empty cell as ``None``.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a row is longer or shorter than the head.
    """
    path = Path(path)
    if not path.is_file():
        hint = "python -m kpbook.sweep writes runs.csv and curves.csv."
        raise FileNotFoundError(complain(str(path), "no such file", "a table", hint))
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file)) or [[]]
    for line, row in enumerate(rows, start=2):
        if len(row) != len(head):
            got = f"{len(row)} cells in line {line}"
            raise ValueError(complain(str(path), got, f"{len(head)}, as in its head"))
    return [dict(zip(head, map(_number_or_word, row), strict=True)) for row in rows]


def _number_or_word(cell: str) -> int | float | str | None:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(cell)
    return cell or None


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


def table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None, caption: str = ""
) -> Table:
    """Return a table of ``rows``; floats are shown with three significant digits.

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
    return Table(list(rows), names, caption)


def describe_device(device: str = "cpu", threads: int | None = None) -> str:
    """Name the processor and its threads (torch's number without it), or the GPU."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    threads = threads or torch.get_num_threads()
    return f"CPU {_processor()}, {threads} thread{'s' if threads > 1 else ''}"


def describe_versions(*packages: str) -> dict[str, str]:
    """Versions of Python, kpbook, torch, numpy and further installed ``packages``."""
    from importlib.metadata import version

    more = {name: version(name) for name in packages}
    return {
        "python": platform.python_version(),
        "kpbook": kpbook.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        **more,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()} ({os.cpu_count()} cores)"
    return f"{platform.processor() or platform.machine()} ({os.cpu_count()} cores)"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _plain(value: Any) -> Any:
    """Arrays and their scalars as JSON knows them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(complain("results", type(value).__name__, "numbers, words, lists and dicts"))


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
