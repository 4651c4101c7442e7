"""The run record of a training run."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kpbook import runs
from kpbook.training.guards import warn
from kpbook.training.run import Run


def record_of(run: Run, name: str, stopped: str | None) -> runs.RunRecord:
    """Return the record of a run: its curve, its settings, and how fast it was."""
    run.tick()
    options = {k: v for k, v in run.settings.items() if k not in ("extractor", "config")}
    words = ", ".join(
        f"{key}={options[key]!r}"
        for key in ("steps", "seed", "learning_rate", "weight_decay", "schedule", "every")
    )
    rows = [dict(row) for row in run.curve]
    if rows:
        rows[-1] |= _rates(rows[-1]) | ({"stopped": stopped} if stopped else {})
    kind = run.settings["extractor"]["name"]
    return runs.RunRecord(
        name=name,
        command=f"kpbook.training.fit({kind}, episodes, {words})",
        results=rows,
        config=run.settings,
        seed=run.settings["seed"],
        device=runs.describe_device(str(run.device)),
        seconds=run.times["seconds"],
    )


def _rates(row: Mapping[str, Any]) -> dict[str, float]:
    """Images a second of training, by the wall clock and by that of the processor.

    On a machine that others use too, only the second one says something about the work.
    """
    return {
        "images_per_second": row["images"] / row["train_seconds"],
        "images_per_cpu_second": row["images"] / row["train_cpu_seconds"],
    }


def saved(record: runs.RunRecord, folder: Path) -> runs.RunRecord:
    """Save a record, unless that of the same finished run is there: it knows date and machine."""
    path = folder / f"{record.name}.json"
    if path.is_file():
        with contextlib.suppress(ValueError):  # damaged: written anew
            found = runs.load(path)
            if (found.config, found.results) == (record.config, record.results):
                return found
    try:
        record.save(folder)
    except OSError as error:
        warn(f"The run record was not written: {error}.")
    return record
