"""What came out of a sweep, as two tables, and one line a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kpbook import runs, tables
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
        tables.write(final, out / "runs.csv")
        tables.write(curves, out / "curves.csv")
    return bool(final)


def final_rows(record: runs.RunRecord) -> list[dict[str, Any]]:
    """One row per object: its scores at the end of the run, and the run's own numbers.

    A record that scores no object, an agent's say, gives one row, whose object is ``None``.
    """
    last = record.results[-1] if record.results else {}
    own = {k: v for k, v in last.items() if k.partition("/")[2] not in objects(last)}
    settings = record.config.get("settings", {})
    shared = {key: settings[key] for key in ("architecture",) if key in settings} | own
    return [
        {"object": name, **{part: last.get(f"{part}/{name}") for part in _PER_OBJECT}, **shared}
        for name in objects(last)
    ] or [{"object": None, **shared}]


def objects(row: Mapping[str, Any]) -> list[str]:
    """Names of the objects that a row of a curve scores."""
    return [key.partition("/")[2] for key in row if key.startswith("error/")]


def summary(record: runs.RunRecord) -> str:
    """The end of a run in one line: its objects' scores, or its own numbers where it has none."""
    last = record.results[-1] if record.results else {}
    parts = [
        f"{name} {tables.short(last[f'error/{name}'])} (R² {tables.short(last.get(f'r2/{name}'))})"
        for name in objects(last)
    ] or [f"{k} {tables.short(v)}" for k, v in last.items() if isinstance(v, int | float)]
    return f"{record.seconds:5.0f} s  " + "  ".join(parts[:6])
