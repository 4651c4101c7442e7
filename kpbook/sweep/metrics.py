"""Every metric of chapter 4 over the finished runs of a sweep.

``python -m kpbook.sweep.metrics book/results/recipe.yml`` takes the weights that the sweep has
left, runs them on its validation episodes and writes ``book/results/recipe/metrics.csv``, one row
per run, seed and object, and ``metrics.json``, the record of how. A row is kept as long as the
run's settings, its weights and the judge's protocol are what they were, so it may be called again
whenever runs have been added. Weights that git leaves out need not be there for a row to stay.

Of agents, it judges the extractors on whose keypoints they act, each once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from kpbook import runs, tables
from kpbook._checks import complain
from kpbook.judge import LENGTHS, PROTOCOL, R2_TRACKED, RADIUS, judge
from kpbook.metric import THRESHOLD_OF
from kpbook.sweep import kinds, plan
from kpbook.sweep.data import parts_of
from kpbook.sweep.plan import Job
from kpbook.training.checkpoints import fingerprint


def judge_all(config: Path, out: Path | None = None, device: str = "cpu") -> runs.RunRecord:
    """Judge all finished jobs of a sweep and write its ``metrics.csv``.

    Args:
        config: YAML file of the sweep.
        out: Folder of its runs; the one of the same name beside the file without it.
        device: Where the networks run.

    Returns:
        The record of this call: how many runs were judged, how many rows were kept.

    Raises:
        FileNotFoundError: If the file is missing, no job has finished, or the weights of one that
            has to be judged are not there; no table is changed then.
    """
    began = time.perf_counter()
    out = out or config.parent / config.stem
    asked = [job for job in plan.read(config) if _can_be_judged(job)]
    finished = [job for job in asked if job.finished(out)]
    if not finished:
        hint = f"python -m kpbook.sweep {config} trains them."
        raise FileNotFoundError(complain(str(out), "no finished run", "at least one", hint))
    path = out / "metrics.csv"
    before = tables.read(path) if path.is_file() else []
    kept = {job.name: _kept(job, out, before) for job in finished}
    rows = [row for job in finished for row in kept[job.name]]
    new = [job for job in finished if not kept[job.name]]
    plan.check_encoders([job for job in new if job.kind == kinds.USUAL], out)
    verdicts: dict[str, list[dict[str, Any]]] = {}
    for job in new:
        rows += _rows(job, out, device, verdicts)
    order = {(job.run, job.seed): i for i, job in enumerate(finished)}
    rows.sort(key=lambda row: order[row["run"], row["seed"]])  # stable: objects stay in order
    tables.write(rows, path)
    record = runs.RunRecord(
        name="metrics",
        command=f"python -m kpbook.sweep.metrics {plan.typed(config)}",
        results=[{"runs": len(finished), "judged now": len(new)}],
        seconds=time.perf_counter() - began,
        device=runs.describe_device(device, threads=torch.get_num_threads()),
        config={"sweep": config.stem, **_options()},
        versions=runs.describe_versions(),
    )
    record.save(out)
    return record


def _can_be_judged(job: Job) -> bool:
    return "data" in job.settings and hasattr(kinds.of(job.kind), "extractor_of")


def _kept(job: Job, out: Path, before: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a job that still hold; none if it has to be judged.

    Weights that are not there cannot have changed; whether the judge has, the last record says.
    """
    rows = [row for row in before if (row["run"], row["seed"]) == (job.run, job.seed)]
    if job.kind != kinds.USUAL or job.encoder(out).is_file():
        key = _key(job, out)
        return [row for row in rows if (row["run"], row["seed"], row["settings"]) == key]
    record = out / "metrics.json"
    last = runs.load(record).config if record.is_file() else {}
    options = json.loads(json.dumps(_options()))  # as it reads back
    return rows if {key: last.get(key) for key in options} == options else []


def _options() -> dict[str, Any]:
    """What shapes a verdict beside weights and episodes."""
    return {
        "protocol": PROTOCOL,
        "radius": RADIUS,
        "lengths": list(LENGTHS),
        "thresholds": dict(THRESHOLD_OF),
        "r2_tracked": R2_TRACKED,
    }


def _key(job: Job, out: Path) -> tuple[str, int, str]:
    """Run, seed, and a digest of all that shapes its rows."""
    weights = _weights(job, out)
    text = json.dumps([job.digest, weights, _options()])
    # A digest alone may read back from the table as a number.
    return job.run, job.seed, f"sha256-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _weights(job: Job, out: Path) -> str:
    """What tells one extractor's weights from another's."""
    if job.kind == kinds.USUAL:
        return hashlib.sha256(job.encoder(out).read_bytes()).hexdigest()
    return fingerprint(kinds.of(job.kind).extractor_of(job, out).state_dict())


def _rows(
    job: Job, out: Path, device: str, verdicts: dict[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Rows of a job; ``verdicts`` remembers what has been judged, by weights and data."""
    same = json.dumps([_weights(job, out), job.settings["data"], job.settings["split"]])
    if same not in verdicts:
        verdicts[same] = _judged(job, out, device)
    about = dict(zip(("run", "seed", "settings"), _key(job, out), strict=True))
    return [{**about, **row} for row in verdicts[same]]


def _judged(job: Job, out: Path, device: str) -> list[dict[str, Any]]:
    extractor = kinds.of(job.kind).extractor_of(job, out, device)
    cache = out / ".work"
    cache.mkdir(parents=True, exist_ok=True)
    _, validation = parts_of(job.settings, cache)
    verdict = judge(extractor, validation, name=job.run, radius=RADIUS, lengths=LENGTHS)
    m = verdict.matching
    windows = {
        f"{what} over {length}": float(getattr(m, what)[i])
        for i, length in enumerate(m.lengths.tolist())
        for what in ("precision", "recall")
    }
    return [{**row, **windows} for row in verdict.rows()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge and write; return 0, or 2 if the arguments make no sense."""
    parser = argparse.ArgumentParser(prog="python -m kpbook.sweep.metrics", description=__doc__)
    parser.add_argument("config", type=Path, help="YAML file of the sweep that has been run")
    parser.add_argument("--out", type=Path, help="folder of its runs")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args(arguments)
    try:
        record = judge_all(options.config, options.out, options.device)
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(tables.show(record.results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
