"""What came out of a sweep, as two tables, and one line a job."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kpbook import runs
from kpbook._files import write_atomically
from kpbook.sweep.plan import Job

_PER_OBJECT = ("error", "r2", "keypoint")


def write(jobs: Sequence[Job], out: Path) -> bool:
    """Write ``runs.csv`` and ``curves.csv`` of all jobs that have finished, each in one step.

    They are made of the run records alone. Without any, nothing is written.

    Returns:
        Whether there was a finished job.
    """
    final: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for job in jobs:
        record = job.finished(out)
        if record is None:
            continue
        head = {"run": job.run, "seed": job.seed}
        final += [{**head, **row} for row in final_rows(record)]
        curves += [{**head, **row} for row in record.results]
    if final:
        save_csv(final, out / "runs.csv")
        save_csv(curves, out / "curves.csv")
    return bool(final)


def final_rows(record: runs.RunRecord) -> list[dict[str, Any]]:
    """One row per object: its scores at the end of the run, and the run's own numbers."""
    last = record.results[-1]
    own = {k: v for k, v in last.items() if k.partition("/")[2] not in objects(last)}
    shared = {"architecture": record.config["settings"]["architecture"], **own}
    return [
        {"object": name, **{part: last.get(f"{part}/{name}") for part in _PER_OBJECT}, **shared}
        for name in objects(last)
    ]


def objects(row: Mapping[str, Any]) -> list[str]:
    """Names of the objects that a row of a curve scores."""
    return [key.partition("/")[2] for key in row if key.startswith("error/")]


def summary(record: runs.RunRecord) -> str:
    """The end of a run in one line."""
    last = record.results[-1]
    parts = [
        f"{name} {_short(last[f'error/{name}'])} (R² {_short(last[f'r2/{name}'])})"
        for name in objects(last)
    ]
    return f"{record.seconds:5.0f} s  " + "  ".join(parts)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def save_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a table in one step: columns as they first appear, numbers with six digits."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    write_atomically(path, text.getvalue().encode())
