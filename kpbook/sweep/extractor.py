"""The usual kind of job: an extractor is trained, scored on held-out episodes and kept.

Of a world that knows no objects there is nothing to score: such a run has its losses alone.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kpbook import runs, training, zoo
from kpbook._checks import check_integer, check_positive, check_scalar, complain
from kpbook.detect import device_of, keypoints
from kpbook.episodes import Episodes
from kpbook.extractors import registry
from kpbook.extractors.base import Draws, offers
from kpbook.images import resize, to_float
from kpbook.judge import by_halves
from kpbook.metric import precision_recall
from kpbook.sweep.data import check_data, check_keys, episodes_of, parts_of
from kpbook.sweep.plan import Job

#: Options of ``fit`` that a sweep decides by itself.
_OWN = {"extractor", "episodes", "steps", "seed", "validate", "folder", "name", "resume", "config"}
FIT_OPTIONS = sorted(set(inspect.signature(training.fit).parameters) - _OWN - {"progress"})
EITHER = ("images", "steps")
KEYS = ("architecture", "overrides", "data", "split", "matching", *EITHER, *FIT_OPTIONS)
NEEDS = ("architecture", "data", "split")
_BATCH = 64


def settings(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """All that shapes a run: architecture, overrides, steps, data, split, fit."""
    check_data(entry["data"], entry["split"], where)
    steps, built = _steps(entry, where)
    return {
        "architecture": entry["architecture"],
        "overrides": entry.get("overrides") or {},
        "built": built,  # with the defaults of today: others make another run
        "steps": steps,
        "data": entry["data"],
        "split": {"seed": 0, **entry["split"]},
        "fit": {key: entry[key] for key in FIT_OPTIONS if key in entry},
        **({"matching": _matching(entry["matching"], where)} if "matching" in entry else {}),
    }


def prepare(jobs: Sequence[Job], cache: Path, workers: int) -> None:
    """Record the episodes of all jobs, each recording once."""
    for job in {str(job.settings["data"]): job for job in jobs}.values():
        episodes_of(job.settings, cache, workers)


def train(job: Job, out: Path) -> tuple[runs.RunRecord, Callable[[runs.RunRecord], None]]:
    """Train one job, or go on with it; what it keeps are its weights, whole and the encoder's."""
    settings = job.settings
    training_set, validation = parts_of(settings, out / ".work")
    fit = training.fit(
        registry.build(settings["architecture"], seed=job.seed, **settings["overrides"]),
        training_set,
        steps=settings["steps"],
        seed=job.seed,
        validate=validation if validation.objects else None,
        folder=job.work(out),
        name=job.name,
        progress=False,
        **settings["fit"],
    )
    if fit.stopped:
        raise SystemExit(f"{job.name} was {fit.stopped}; its checkpoint stays.")
    seen_only = settings["fit"].get("seen_only", False)
    fit.record.results[-1] |= evaluate(fit.extractor, validation, seen_only=seen_only)
    if "matching" in settings:
        fit.record.results[-1] |= match(fit.extractor, validation, **settings["matching"])

    def keep(record: runs.RunRecord) -> None:
        zoo.save(fit.extractor, out / f"{job.name}.safetensors", record)
        zoo.save(fit.extractor, job.encoder(out), record, encoder_only=True)

    return fit.record, keep


def extractor_of(job: Job, out: Path, device: str = "cpu") -> Any:
    """The extractor that a finished job has left, in eval mode."""
    return zoo.load_file(job.encoder(out), device)


def evaluate(
    extractor: Any, validation: Episodes, *, draws: bool = True, seen_only: bool = False
) -> dict[str, Any]:
    """Score an extractor on the second half of the episodes; the map is fitted on the first.

    Args:
        extractor: From frames to keypoints, in eval mode.
        validation: Episodes, at least 2; without truth only the reconstruction is scored.
        draws: Whether the extractor can draw. ``False`` for weights of an encoder alone.
        seen_only: Judge an object only in frames in which it is seen.

    Returns:
        For each object ``error/<object>`` ([-1, 1]² units), ``r2/<object>`` and
        ``keypoint/<object>``, and ``reconstruction_error``, the mean squared error per colour
        value over all validation frames, at the size of the reconstruction, if it draws. A number
        that does not exist is ``None``.
    """
    row: dict[str, Any] = {}
    if draws and offers(extractor, Draws):
        row["reconstruction_error"] = _reconstruction_error(extractor, validation)
    if not validation.objects:
        return row
    result = by_halves(keypoints(extractor, validation), validation.flat(), seen_only=seen_only)
    for k, name in enumerate(validation.objects):
        for part in ("error", "r2"):
            value = float(getattr(result, part)[k])
            row[f"{part}/{name}"] = value if math.isfinite(value) else None
        row[f"keypoint/{name}"] = int(result.keypoint[k])
    return row


def match(
    extractor: Any, validation: Episodes, radius: float, lengths: Sequence[int]
) -> dict[str, Any]:
    """Match keypoints and seen objects over windows that lie in one game each.

    Args:
        extractor: From frames to keypoints, in eval mode.
        validation: Episodes; without truth nothing is matched.
        radius: Of :func:`kpbook.metric.precision_recall`.
        lengths: Frames of the windows; those longer than the longest game are left out.

    Returns:
        For each length ``precision over <length>`` and ``recall over <length>``, as in
        ``metrics.csv``. A number that does not exist is ``None``.
    """
    flat, games = validation.flat(), validation.games.ravel()
    some = [n for n in lengths if n <= np.bincount(games).max()]
    if not some or not validation.objects:
        return {}
    points = keypoints(extractor, validation)
    m = precision_recall(points, flat.truth, radius, some, visible=flat.visible, episode=games)
    columns = (("precision", m.precision), ("recall", m.recall))
    return {
        f"{what} over {length}": float(values[i]) if math.isfinite(values[i]) else None
        for i, length in enumerate(some)
        for what, values in columns
    }


def _matching(options: Any, where: str) -> dict[str, Any]:
    """Radius and lengths, known to make sense."""
    where = f"{where}: matching"
    check_keys(options, ("radius", "lengths"), where=where)
    for key in ("radius", "lengths"):
        if key not in options:
            raise ValueError(complain(where, f"no {key!r}", "a radius and lengths"))
    radius = check_scalar(options["radius"], name=f"{where}: radius")
    check_positive(radius, name=f"{where}: radius", hint="Image coordinates.")
    lengths = options["lengths"]
    if not isinstance(lengths, list) or not lengths:
        raise TypeError(complain(f"{where}: lengths", repr(lengths), "a list, such as [1, 50]"))
    sizes = [check_integer(n, name=f"{where}: lengths", minimum=1) for n in lengths]
    return {"radius": radius, "lengths": sizes}


def _steps(entry: Mapping[str, Any], where: str) -> tuple[int, dict[str, Any]]:
    """Number of batches, and all options of the network; building it shows what is wrong."""
    given = set(EITHER) & set(entry)
    if len(given) != 1:
        got = " and ".join(sorted(given)) or "neither"
        raise ValueError(complain(where, got, "one of 'images' and 'steps', the run's length"))
    overrides = entry.get("overrides") or {}
    if not isinstance(overrides, dict) or "seed" in overrides:
        hint = "'seeds' decides the first weights, too."
        expected = "options of the architecture by name"
        raise TypeError(complain(f"{where}: overrides", repr(overrides), expected, hint))
    if not isinstance(entry["architecture"], str):
        got = repr(entry["architecture"])
        raise TypeError(complain(f"{where}: architecture", got, "a name"))
    try:
        extractor: Any = registry.build(entry["architecture"], **overrides)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}") from error
    (key,) = given
    count = check_integer(entry[key], name=f"{where}: {key}", minimum=1)
    if key == "images":
        if not hasattr(extractor, "images_per_batch"):
            got = f"images, with {entry['architecture']!r}, which has no images_per_batch"
            raise ValueError(complain(where, got, "'steps'"))
        count = math.ceil(count / int(extractor.images_per_batch))
    return count, _built(entry["architecture"], extractor.config)


def _built(architecture: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a network; ``small`` only where it is not what the name says.

    It came after runs had been recorded, which are to keep their digest.
    """
    family = registry.family(architecture)
    named = family.options_of(architecture) if hasattr(family, "options_of") else {}
    return {k: v for k, v in config.items() if k != "small" or v != named.get("small")}


@torch.no_grad()
def _reconstruction_error(extractor: Any, validation: Episodes) -> float:
    """Mean squared error per colour value over all frames."""
    frames, device = validation.flat().images, device_of(extractor)
    errors = []
    for start in range(0, len(frames), _BATCH):
        images = to_float(frames[start : start + _BATCH], device)
        drawn = extractor.reconstruct(images)
        target = resize(images, drawn.shape[-2:])
        errors.append((drawn - target).square().mean((1, 2, 3)).cpu())
    return float(torch.cat(errors).double().mean())
