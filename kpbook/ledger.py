"""What a paper states beside what our recorded runs give, and when we call that reproduced.

A sweep's file says which runs there are to be, its ``runs.csv`` what has been recorded. The papers'
numbers stand in ``book/results/paper.yml``; a status follows from both by :func:`status`, a rule
that is fixed before a run has finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kpbook._checks import check_choice, complain
from kpbook._files import read_yaml
from kpbook.recorded import Sweep

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced at this scale"
NOT_RECORDED = "not recorded yet"
FIGURE = "figure only"
OURS = "ours only"
#: Entries of ``stated`` that are no number: the paper shows a figure; the paper does not say.
WORDS = {"figure": FIGURE, "nothing": OURS}
MEASURES = ("capability", "mean", "median")


@dataclass(frozen=True)
class Entry:
    """One statement of a paper, and the run of ours that answers it.

    Attributes:
        what: The quantity, in words.
        sweep: Stem of the sweep's file.
        run: Its run.
        stated: The paper's number, ``"figure"`` if it only draws it, or ``"nothing"``.
        where: Section or figure of the paper.
        measure: ``"capability"``, or ``"mean"`` or ``"median"`` over seeds of ``column``.
        object: Object that it is about; all, or for a column any, without it.
        column: Column of ``runs.csv``.
        minus: Run whose value is subtracted.
        tolerance: Largest difference that counts as reproduced; the paper's without it.
        deviations: Keys of the paper's ``deviations``.
    """

    what: str
    sweep: str
    run: str
    stated: float | str
    where: str = ""
    measure: str = "capability"
    object: str | None = None
    column: str | None = None
    minus: str | None = None
    tolerance: float | None = None
    deviations: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_choice(self.measure, MEASURES, name=f"{self.what}: measure")
        if isinstance(self.stated, str):
            check_choice(self.stated, WORDS, name=f"{self.what}: stated", hint="Or a number.")
        if self.stated != "nothing" and not self.where:
            raise ValueError(complain(f"{self.what}: where", "''", "a section or a figure"))
        if (self.column is None) != (self.measure == "capability"):
            got = f"column {self.column!r} with measure {self.measure!r}"
            raise ValueError(
                complain(self.what, got, "a column for mean and median, and only them")
            )

    def value(self, sweep: Sweep, thresholds: Mapping[str, float]) -> float | None:
        """Our number, over the seeds recorded so far; ``None`` if there are none."""
        ours = self._of(self.run, sweep, thresholds)
        if self.minus is None or ours is None:
            return ours
        other = self._of(self.minus, sweep, thresholds)
        return None if other is None else ours - other

    def _of(self, run: str, sweep: Sweep, thresholds: Mapping[str, float]) -> float | None:
        if not sweep.seeds(run):
            return None
        if self.column is None:
            capability = sweep.capability(run, thresholds)
            if capability is None:
                got = f"the capability of {run!r}, which scores no object"
                raise ValueError(complain(self.what, got, "a column, with mean or median"))
            if self.object is None:
                return capability.mean
            return capability.each[check_choice(self.object, capability.each, name=self.what)]
        values = sweep.column(run, self.column, self.object)
        if np.isnan(values).all():
            of = f" for {self.object!r}" if self.object else ""
            got = f"column {self.column!r}, in which no seed of {run!r} has a number{of}"
            raise ValueError(complain(self.what, got, "a column of runs.csv"))
        return float(np.mean(values) if self.measure == "mean" else np.median(values))

    def complete(self, sweep: Sweep) -> bool:
        """Whether all that it compares has been recorded."""
        return all(sweep.complete(run) for run in (self.run, self.minus) if run)


@dataclass(frozen=True)
class Paper:
    """What one paper states.

    Attributes:
        key: Its key in the bibliography.
        title: Authors and year.
        tolerance: Largest difference from a stated number that counts as reproduced.
        thresholds: Object -> largest error of a tracked object.
        deviations: Letter -> how our runs differ from the paper's.
        settings: Rows of what it states about its runs, beside ours.
        entries: Its statements.
    """

    key: str
    title: str
    tolerance: float
    thresholds: Mapping[str, float]
    deviations: Mapping[str, str]
    settings: Sequence[Mapping[str, Any]]
    entries: Sequence[Entry]

    def __post_init__(self) -> None:
        for entry in self.entries:
            for key in entry.deviations:
                check_choice(key, self.deviations, name=f"{entry.what}: deviations")


def papers(path: str | Path) -> list[Paper]:
    """Read ``paper.yml``: the papers in its order.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If a key is unknown or missing.
        ValueError: If it is no YAML, a paper has no list of entries, or a measure, a deviation or
            what is stated makes no sense.
    """
    content = read_yaml(path, purpose="the ledger")
    if not isinstance(content, dict):
        raise ValueError(complain(str(path), f"{content!r:.80}", "papers, each under its key"))
    for key, paper in content.items():
        entries = paper.get("entries") if isinstance(paper, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            expected = "a mapping with a list of `entries`, each a mapping"
            raise ValueError(complain(f"{path}: {key}", f"{paper!r:.80}", expected))
    return [
        Paper(key=key, **{**paper, "entries": [Entry(**entry) for entry in paper["entries"]]})
        for key, paper in content.items()
    ]


def status(stated: float | str, ours: float | None, complete: bool, tolerance: float) -> str:
    """Say what came of a statement.

    Nothing is judged before every seed that the sweep's file asks for has been recorded. A number
    is reproduced if ours differs from it by at most ``tolerance``, to either side: a better number
    is another one, too.
    """
    if not complete or ours is None:
        return NOT_RECORDED
    if isinstance(stated, str):
        return WORDS[stated]
    return REPRODUCED if round(abs(ours - stated), 9) <= tolerance else NOT_REPRODUCED


def read_sweeps(entries: Sequence[Entry], folder: str | Path = "results") -> dict[str, Sweep]:
    """Read the sweeps that entries name."""
    return {name: Sweep.read(name, folder) for name in dict.fromkeys(e.sweep for e in entries)}


def rows(paper: Paper, sweeps: Mapping[str, Sweep]) -> list[dict[str, Any]]:
    """One row of the ledger per entry."""
    lines = []
    for entry in paper.entries:
        sweep = sweeps[entry.sweep]
        ours = entry.value(sweep, paper.thresholds)
        said = entry.stated if isinstance(entry.stated, str) else f"{entry.stated:g}"
        tolerance = paper.tolerance if entry.tolerance is None else entry.tolerance
        lines.append(
            {
                "quantity": entry.what,
                "paper": {"figure": FIGURE, "nothing": None}.get(said, said),
                "where": entry.where or None,
                "ours": None if ours is None else f"{ours:.3f}{_interval(entry, sweep, paper)}",
                "seeds": f"{sweep.seeds(entry.run)} of {sweep.planned.get(entry.run, 0)}",
                "tier": sweep.tiers.get(entry.run) or None,
                "deviation": "".join(entry.deviations) or None,
                "status": status(entry.stated, ours, entry.complete(sweep), tolerance),
            }
        )
    return lines


def _interval(entry: Entry, sweep: Sweep, paper: Paper) -> str:
    """The 95 % interval of a capability; none for a difference, a column or a single seed."""
    if entry.minus or entry.column:
        return ""
    found = sweep.capability(entry.run, paper.thresholds)
    if found is None or found.seeds == 1:
        return ""
    low, high = found.each_interval[entry.object] if entry.object else found.interval
    return f" ({low:.2f} to {high:.2f})"


def settings(paper: Paper, sweeps: Mapping[str, Sweep]) -> list[dict[str, Any]]:
    """What a paper states about its runs, beside ours; one row each."""
    lines = []
    for row in paper.settings:
        ours = str(row["ours"]) if "ours" in row else _counted(sweeps[row["sweep"]], row["column"])
        lines.append(
            {"setting": row["what"], "paper": row["stated"], "where": row["where"], "ours": ours}
        )
    return lines


def _counted(sweep: Sweep, column: str) -> str:
    """Smallest and largest number of a column, or of seeds asked for, over a sweep's runs."""
    if column == "seeds":
        numbers = sorted(sweep.planned.values())
    else:
        numbers = sorted(row[column] for row in sweep.rows if row.get(column) is not None)
    if not numbers:
        return NOT_RECORDED
    low, high = f"{numbers[0]:,}", f"{numbers[-1]:,}"
    return low if low == high else f"{low} to {high}"


def lost(paper: Paper, sweep: Sweep, run: str) -> str:
    """Objects that a run does not track with every seed: how many do, and the median R²."""
    if not sweep.seeds(run):
        return NOT_RECORDED
    if sweep.objects(run) and not paper.thresholds:
        return "no thresholds"
    found = sweep.capability(run, paper.thresholds)
    if found is None:
        return "no objects"
    parts = [
        f"{obj} {round(share * found.seeds)} of {found.seeds} "
        f"(R² {np.median(sweep.column(run, 'r2', obj)):.2f})"
        for obj, share in found.each.items()
        if share < 1
    ]
    return "; ".join(parts) or "none"
