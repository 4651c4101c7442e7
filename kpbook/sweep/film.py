"""One recorded run trained again, and kept at checkpoints: keypoints, heat maps, drawings, errors.

``python -m kpbook.sweep.film book/results/recipe/rarity-s3.json`` takes the settings of a run
record, repeats that run, looks at it more often than the record did, and writes
``kpbook/data/training_film.kpe``. Looking draws no random number, so the run is the same: its
errors at the steps of the record must be those of the record, or nothing is written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kpbook import runs
from kpbook._checks import complain
from kpbook.episodes import Episodes, Flat
from kpbook.extractors import registry
from kpbook.images import resize, to_float, to_uint8
from kpbook.judge import by_halves, keypoints, second_half
from kpbook.recordings.training_film import DRAWN, LEVEL, TrainingFilm
from kpbook.sweep.data import parts_of
from kpbook.training.guards import own_randomness
from kpbook.training.run import Run
from kpbook.training.settings import digest

#: Steps that are kept: dense while errors fall, and all at which the record looked.
STEPS = (
    0, 5, 10, 15, 20, 30, 40, 50, 65, 80, 105, 135, 150, 165, 180, 225, 270, 300, 345, 405, 540,
    675, 810, 945, 1080, 1215, 1350,
)  # fmt: skip
#: Relative difference of an error from the record's. The same machine repeats a run bit for bit;
#: one that rounds otherwise soon trains another network.
TOLERANCE = 1e-6
_FRAMES = 4
_INSIDE, _APART = 0.85, 0.2  # image coordinates: so that marks lie in the picture, side by side


def take(record: str | Path, steps: Sequence[int] = STEPS) -> TrainingFilm:
    """Repeat a recorded run up to the last of ``steps``, and keep it at each of them.

    Its episodes are read from the sweep's cache beside the record, or recorded there.

    Raises:
        FileNotFoundError: If there is no such record.
        ImportError: If the episodes must be recorded and the simulator is missing.
        ValueError: If the episodes, or the errors of the run, are not those of the record.
    """
    path = Path(record)
    recorded = runs.load(path)
    train, validation = _episodes(recorded, path.parent / ".work")
    flat, objects = validation.flat(), validation.objects
    chosen = _frames(flat, objects)
    frames = flat.images[chosen]
    rows = []
    for step, extractor in _again(recorded, train, steps):
        result = by_halves(keypoints(extractor, validation), flat)
        row = {name: getattr(result, name) for name in ("error", "r2", "keypoint")}
        row |= {"linear": result.linear, "offset": result.offset}
        _check_same(recorded, step, dict(zip(objects, result.error, strict=True)))
        rows.append(row | _look(extractor, frames, result.keypoint))
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    per_batch = recorded.config["extractor"]["images_per_batch"]
    return TrainingFilm(
        run=recorded.name,
        objects=tuple(objects),
        steps=np.array(steps),
        seen=per_batch * np.array(steps),
        frames=frames,
        truth=flat.truth[chosen].astype(np.float64),
        **stacked,
    )


def _episodes(recorded: runs.RunRecord, cache: Path) -> tuple[Episodes, Episodes]:
    """Training and validation episodes of a record."""
    parts = parts_of(recorded.config["settings"], cache)
    if [digest(part) for part in parts] != [recorded.config[k] for k in ("episodes", "validate")]:
        raise ValueError(complain("episodes", "others", f"those of {recorded.name}"))
    return parts


def _again(
    recorded: runs.RunRecord, train: Episodes, steps: Sequence[int]
) -> Iterator[tuple[int, Any]]:
    """The run's extractor, in eval mode, after each of ``steps``."""
    config = {k: v for k, v in recorded.config.items() if k not in ("settings", "digest")}
    settings = recorded.config["settings"]
    extractor: Any = registry.build(
        settings["architecture"], seed=recorded.seed or 0, **settings["overrides"]
    )
    cpu = torch.device("cpu")
    with own_randomness(config["seed"], cpu), torch.enable_grad():
        extractor.prepare(train)
        run = Run(extractor, train, cpu, config, (0.0, 0.0))
        for step in steps:
            extractor.train()
            while run.step < step:
                run.advance()
            yield step, extractor.eval()


def _check_same(recorded: runs.RunRecord, step: int, error: dict[str, float]) -> None:
    for row in recorded.results:
        for obj, value in error.items() if row["step"] == step else ():
            told = row[f"error/{obj}"]
            if not abs(value - told) <= TOLERANCE * told:
                hint = "Another machine rounds otherwise; so does another number of threads."
                got = f"an error of {value!r} for {obj} after step {step}"
                raise ValueError(complain(recorded.name, got, f"{told!r}, as recorded", hint))


def _frames(flat: Flat, objects: Sequence[str]) -> np.ndarray:
    """Frames of the scored half in which all objects are seen, apart, with cubes far apart.

    First that in which the hand is nearest to the cube; then, one after the other, that whose cube
    is farthest from all cubes so far.
    """
    gaps = np.linalg.norm(flat.truth[:, :, None] - flat.truth[:, None], axis=-1)
    apart = (gaps + 2 * np.eye(len(objects)) >= _APART).all(axis=(1, 2))
    inside = (np.abs(flat.truth) <= _INSIDE).all(axis=(1, 2)) & flat.visible.all(axis=1)
    usable = np.flatnonzero(second_half(flat) & inside & apart)
    cube, hand = (objects.index(name) for name in ("cube", "end_effector"))
    chosen = [int(usable[gaps[usable, cube, hand].argmin()])]
    places = flat.truth[usable, cube]
    while len(chosen) < _FRAMES:
        away = np.linalg.norm(places[:, None] - flat.truth[chosen, cube], axis=-1)
        chosen.append(int(usable[away.min(axis=1).argmax()]))
    return np.array(chosen)


@torch.no_grad()
def _look(extractor: Any, frames: np.ndarray, keypoint: np.ndarray) -> dict[str, np.ndarray]:
    """What the network makes of the frames, as it is stored."""
    images = to_float(frames)
    heat = extractor.heatmaps(images)[:, keypoint]
    heat = (heat / heat.amax((-2, -1), keepdim=True)).sqrt()
    drawn = to_uint8(resize(extractor.reconstruct(images).clamp(0, 1), (DRAWN, DRAWN)))
    return {
        "points": extractor(images).numpy(),
        "heat": (255 * heat).round().to(torch.uint8).numpy(),
        "drawn": (LEVEL * (drawn / LEVEL).round()).clip(0, 255).astype(np.uint8),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    home = Path(__file__).parents[1] / "data" / "training_film.kpe"
    take(sys.argv[1]).save(sys.argv[2] if len(sys.argv) > 2 else home)
