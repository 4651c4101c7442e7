"""Recorded runs as the book reads them: what was asked for, what is there, how sure it is."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kpbook import runs, tables
from kpbook._checks import check_integer, complain
from kpbook._files import read_yaml
from kpbook.metric import bootstrap_interval, tracking_capability, wilson


@dataclass(frozen=True)
class Sweep:
    """The runs that a sweep's file asks for, and those that have been recorded.

    Attributes:
        name: Stem of its file.
        planned: Run -> number of seeds asked for.
        rows: Rows of ``runs.csv``: one per run, seed and object; of a run that scores no object
            one per seed, whose object is ``None``.
        tiers: Run -> tiers of its records.
        metrics: Rows of ``metrics.csv``, which ``python -m kpbook.sweep.metrics`` writes: one per
            run, seed and object, by every metric.
        history: Rows of ``curves.csv``: one per run, seed and look at a run under way.
    """

    name: str
    planned: Mapping[str, int]
    rows: Sequence[Mapping[str, Any]]
    tiers: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[Mapping[str, Any]] = ()
    history: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def read(cls, name: str, folder: str | Path = "results") -> Sweep:
        """Read ``folder/<name>.yml`` and those tables of ``folder/<name>/`` that are there."""
        path = Path(folder) / name
        files = [path / f"{table}.csv" for table in ("runs", "metrics", "curves")]
        rows, metrics, history = (tables.read(file) if file.is_file() else [] for file in files)
        planned = planned_seeds(path.with_suffix(".yml"))
        found = {run: sorted(path.glob(f"{run}-s[0-9]*.json")) for run in planned}
        tiers = {r: ", ".join(sorted({runs.load(p).tier for p in ps})) for r, ps in found.items()}
        return cls(name, planned, rows, tiers, metrics, history)

    def seeds(self, run: str) -> int:
        """Number of seeds that have been recorded."""
        return len({row["seed"] for row in self.rows if row["run"] == run})

    def complete(self, run: str) -> bool:
        """Whether every seed that the file asks for has been recorded."""
        return 0 < self.planned.get(run, 0) <= self.seeds(run)

    def objects(self, run: str) -> list[str]:
        """Objects that the run was scored on, in their order; none of an agent, say."""
        named = dict.fromkeys(row["object"] for row in self.rows if row["run"] == run)
        return [obj for obj in named if obj is not None]

    def column(self, run: str, column: str, obj: str | None = None) -> np.ndarray:
        """One number per seed, by seed; NaN for an empty cell. Without ``obj``, of the first."""
        obj = obj or next(iter(self.objects(run)), None)
        mine = [r for r in self.rows if (r["run"], r["object"]) == (run, obj)]
        cells = [row.get(column) for row in sorted(mine, key=lambda row: row["seed"])]
        return np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)

    def curves(self, run: str, column: str, x: str = "images") -> tuple[list[Any], list[Any]]:
        """Return how a column of ``curves.csv`` went.

        Returns:
            Values of ``x`` at each look, and one list of values for each seed recorded, in the
            order of seeds; both empty if there is none.
        """
        rows = [row for row in self.history if row["run"] == run]
        lines: dict[Any, list[Any]] = {seed: [] for seed in sorted({r["seed"] for r in rows})}
        for row in rows:
            lines[row["seed"]].append(row[column])
        return sorted({row[x] for row in rows}), list(lines.values())

    def jobs(self) -> list[dict[str, Any]]:
        """One entry for each run and seed, in the order of the table.

        Its ``run``, ``seed`` and ``loss`` (reconstruction error), and by object its tracking
        errors ``e`` and ``r2``.
        """
        found: dict[tuple[Any, Any], dict[str, Any]] = {}
        for row in self.rows:
            key = row["run"], row["seed"]
            new = {"run": key[0], "seed": key[1], "loss": row.get("reconstruction_error")}
            job = found.setdefault(key, new | {"e": {}, "r2": {}})
            if row["object"] is not None:
                job["e"][row["object"]], job["r2"][row["object"]] = row["error"], row["r2"]
        return list(found.values())

    def transfer(self, scene: str, folder: str | Path = "results") -> Sweep:
        """The same weights on the frames of another scene, without another step of training.

        Reads ``folder/transfer-<scene>.json``, which ``python -m kpbook.sweep.transfer`` writes.

        Returns:
            A sweep called ``scene``, of the same runs and seeds; without rows if nothing has been
            recorded.

        Raises:
            ValueError: If the record is of another sweep's weights.
        """
        path = Path(folder) / f"transfer-{scene}.json"
        if not path.is_file():
            return Sweep(scene, self.planned, ())
        record = runs.load(path)
        trained = record.config.get("trained")
        if trained != self.name:
            got, expected = f"weights of {trained!r}", f"those of {self.name!r}"
            raise ValueError(complain(str(path), got, expected))
        rows: list[dict[str, Any]] = []
        for row in record.results:
            scored: dict[str, dict[str, Any]] = {}
            for key, value in row.items():
                column, slash, obj = key.partition("/")
                if slash:
                    scored.setdefault(obj, {})[column] = value
            job = {"run": row["run"], "seed": row["seed"]}
            rows += [{**job, "object": obj, **columns} for obj, columns in scored.items()]
        return Sweep(scene, self.planned, rows)

    def summary(self, thresholds: Mapping[str, float]) -> list[dict[str, Any]]:
        """One row for each recorded run: medians over seeds, and capability with its interval.

        Raises:
            ValueError: If an object has no threshold.
        """
        rows = []
        for run in dict.fromkeys(row["run"] for row in self.rows):
            loss = float(np.median(self.column(run, "reconstruction_error")))
            line: dict[str, Any] = {"run": run, "seeds": self.seeds(run)}
            line["loss"] = None if np.isnan(loss) else loss
            for obj in self.objects(run):
                r2 = float(np.median(self.column(run, "r2", obj)))
                line[f"R² {obj.replace('_', ' ')}"] = r2
            found = self.capability(run, thresholds)
            if found is not None:
                low, high = found.interval
                line |= {"capability": found.mean, "95 % interval": f"{low:.3f} to {high:.3f}"}
            rows.append(line)
        return rows

    def capability(self, run: str, thresholds: Mapping[str, float]) -> Capability | None:
        """Tracking capability over the recorded seeds; ``None`` without seeds or objects.

        Raises:
            ValueError: If an object has no threshold.
        """
        objects = self.objects(run)
        if not objects:
            return None
        unknown = [obj for obj in objects if obj not in thresholds]
        if unknown:
            got = f"no threshold for {', '.join(unknown)}"
            raise ValueError(complain(f"{self.name}: {run}", got, "one for each object"))
        errors = {obj: self.column(run, "error", obj) for obj in objects}
        return Capability.of(errors, thresholds)


@dataclass(frozen=True)
class Capability:
    """Tracking capability over seeds, with 95 % intervals.

    Attributes:
        mean: Share of objects tracked, over runs and objects.
        interval: Of the mean: percentiles of a bootstrap over whole runs, since the objects of
            one run hang together. It has no width if every run tracks equally much, or if there
            is only one; look at ``each_interval`` then.
        each: Object -> share of the runs that track it.
        each_interval: Object -> Wilson's interval of that share.
        seeds: Number of runs.
    """

    mean: float
    interval: tuple[float, float]
    each: Mapping[str, float]
    each_interval: Mapping[str, tuple[float, float]]
    seeds: int

    @classmethod
    def of(
        cls, errors: Mapping[str, np.ndarray], thresholds: Mapping[str, float], seed: int = 0
    ) -> Capability:
        """Judge errors ``(R,)`` of each object; at most its threshold is tracked."""
        mu = np.array([thresholds[obj] for obj in errors])
        e = np.stack(list(errors.values()), axis=1)  # (R, K)
        mean, each = tracking_capability(e, mu)
        shares = (e <= mu).mean(axis=1)  # of each run
        hits = dict(zip(errors, (e <= mu).sum(axis=0).tolist(), strict=True))
        return cls(
            mean=mean,
            interval=bootstrap_interval(shares, seed=seed) if len(e) > 1 else (mean, mean),
            each=dict(zip(errors, each.tolist(), strict=True)),
            each_interval={obj: wilson(hit, len(e)) for obj, hit in hits.items()},
            seeds=len(e),
        )


def planned_seeds(path: str | Path) -> dict[str, int]:
    """Run -> number of seeds that a sweep's YAML file asks for; nothing if there is no file.

    Raises:
        TypeError: If a number of seeds is none.
        ValueError: If it is no YAML, or has no list of runs with names.
    """
    path = Path(path)
    if not path.is_file():
        return {}
    content = read_yaml(path, purpose="the ledger")
    entries = content.get("runs") if isinstance(content, dict) else None
    named = isinstance(entries, list) and all(isinstance(e, dict) and "name" in e for e in entries)
    defaults = (content.get("defaults") or {}) if named else None
    if not isinstance(defaults, dict):
        expected = "a mapping with `runs`, a list of mappings with a `name`, and `defaults`"
        raise ValueError(complain(str(path), f"{content!r:.80}", expected))
    usual = defaults.get("seeds", 1)
    asked = {run["name"]: run.get("seeds", usual) for run in content["runs"]}
    numbers = {run: len(n) if isinstance(n, list) else n for run, n in asked.items()}
    for run, n in numbers.items():
        check_integer(n, name=f"{path}: {run}: seeds", minimum=0)
    return numbers


def last_quarter(curves: Sequence[Mapping[str, Any]], run: str) -> float | None:
    """Median over seeds and objects of an error at the end over that at 3/4 of the run.

    1 says that training longer would not have helped soon; ``None`` if there are no curves.
    """
    ratios = []
    mine = sorted((r for r in curves if r["run"] == run), key=lambda r: (r["seed"], r["step"]))
    for _, group in itertools.groupby(mine, key=lambda row: row["seed"]):
        seed = list(group)
        end = seed[-1]
        before = min(seed, key=lambda row: abs(row["step"] - 0.75 * end["step"]))
        errors = [key for key in end if key.startswith("error/") and end[key] is not None]
        ratios += [end[key] / before[key] for key in errors if before[key]]
    return float(np.median(ratios)) if ratios else None


def medians(
    rows: Sequence[Mapping[str, Any]], by: Sequence[str], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """One row per group: how many seeds it has, and the median of each column.

    Args:
        rows: As in ``metrics.csv``.
        by: Columns whose values make a group; groups stay in the order in which they appear.
        columns: What the median is taken of. Empty cells are left out; ``None`` if all are empty.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in by), []).append(row)
    table = []
    for key, mine in groups.items():
        line = dict(zip(by, key, strict=True)) | {"seeds": len({row["seed"] for row in mine})}
        for column in columns:
            known = [row[column] for row in mine if row[column] is not None]
            line[column] = float(np.median(known)) if known else None
        table.append(line)
    return table
