"""Trained weights on frames that they were not trained on, without another step of training.

``python -m kpbook.sweep.transfer recipe.yml scenes.yml full-look`` takes the weights that the sweep
``recipe.yml`` has left, records the episodes of the run ``full-look`` of ``scenes.yml``, and scores
each seed on that run's validation episodes. The affine map is fitted anew, on their first half:
what is asked is whether a keypoint still follows its object, not whether it lies where it lay.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from kpbook import runs, tables, zoo
from kpbook._checks import complain
from kpbook.sweep import kinds, plan
from kpbook.sweep.data import RECORD_OPTIONS, WORLD, parts_of
from kpbook.sweep.extractor import evaluate


def transfer(
    trained: Path, scenes: Path, run: str, out: Path | None = None, device: str = "cpu"
) -> runs.RunRecord:
    """Score all finished jobs of one sweep on the validation episodes of a run of another.

    Args:
        trained: YAML file of the sweep whose weights are taken.
        scenes: YAML file of the sweep that describes the frames.
        run: Which of its runs.
        out: Folder that holds the sweeps' folders; that of ``trained`` without it.
        device: Where the networks run.

    Returns:
        A record with one row per job: ``run``, ``seed``, and for each object what
        :func:`kpbook.sweep.extractor.evaluate` says.

    Raises:
        FileNotFoundError: If a file is missing, weights of a finished job among them, or no job
            has finished.
        ValueError: If there is no such run, or its frames have another size than the weights'.
    """
    began = time.perf_counter()
    jobs, there = (
        [job for job in plan.read(path) if job.kind == kinds.USUAL] for path in (trained, scenes)
    )
    chosen = [job for job in there if job.run == run]
    if not chosen:
        names = ", ".join(dict.fromkeys(job.run for job in there))
        raise ValueError(complain("run", repr(run), f"one of {names}"))
    settings = chosen[0].settings
    if any(_mixes(job.settings, settings) for job in jobs):
        hint = "Else a network could be scored on episodes that it was trained on."
        got = "the episodes of the training, counted or split in another way"
        expected = f"those of {trained}, or episodes of another seed"
        raise ValueError(complain(f"{scenes}: {run}", got, expected, hint))
    out = out or trained.parent
    weights = out / trained.stem
    finished = [job for job in jobs if job.finished(weights)]
    if not finished:
        hint = f"python -m kpbook.sweep {trained} trains them."
        raise FileNotFoundError(complain(str(weights), "no finished run", "at least one", hint))
    plan.check_encoders(finished, weights)
    cache = out / scenes.stem / ".work"
    cache.mkdir(parents=True, exist_ok=True)
    _, validation = parts_of(settings, cache)
    seen_only = settings["fit"].get("seen_only", False)
    rows: list[dict[str, Any]] = []
    for job in finished:
        extractor = zoo.load_file(job.encoder(weights), device)
        score = evaluate(extractor, validation, draws=False, seen_only=seen_only)
        rows.append({"run": job.run, "seed": job.seed, **score})
    return runs.RunRecord(
        name=f"transfer-{run}",
        command=f"python -m kpbook.sweep.transfer {plan.typed(trained)} {plan.typed(scenes)} {run}",
        results=rows,
        seconds=time.perf_counter() - began,
        device=runs.describe_device(device, threads=torch.get_num_threads()),
        config={"trained": trained.stem, "data": settings["data"], "split": settings["split"]},
        versions=runs.describe_versions(),
    )


def _mixes(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether validation episodes of one may be training episodes of the other."""
    a, b = (one["data"], other["data"])
    if "sample" in (a, b):
        return not (a == b and one["split"] == other["split"])
    if any(
        a.get(key, usual) != b.get(key, usual) for key, usual in (("seed", 0), ("world", WORLD))
    ):
        return False  # an episode is drawn from this seed and its number
    alike = all(a.get(key) == b.get(key) for key in RECORD_OPTIONS)
    return not (alike and one["split"] == other["split"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Score, print and record; return 0, or 2 if the arguments make no sense."""
    parser = argparse.ArgumentParser(prog="python -m kpbook.sweep.transfer", description=__doc__)
    parser.add_argument("trained", type=Path, help="YAML file of the sweep that has been run")
    parser.add_argument("scenes", type=Path, help="YAML file of the sweep that describes frames")
    parser.add_argument("run", nargs="+", help="which of its runs; each makes a record")
    parser.add_argument("--out", type=Path, help="folder of the sweeps' folders, and of the record")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args(arguments)
    out = options.out or options.trained.parent
    try:
        for run in options.run:
            record = transfer(options.trained, options.scenes, run, out, options.device)
            print(tables.show(record.results))
            print(f"recorded in {record.save(out)}")
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
