"""One recorded run at checkpoints: keypoints, heat maps, drawings, errors.

:func:`kpbook.sweep.film.take` made it, and asks the run's record whether it is the same run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kpbook import _store

#: A drawing is stored at this size, and in steps of this many of 255 levels: a fifth of the bytes.
DRAWN, LEVEL = 32, 4
_SAMPLE = Path(__file__).parents[1] / "data" / "training_film.kpe"


@dataclass(frozen=True, eq=False)
class TrainingFilm(_store.Stored):
    """A training run at C checkpoints, looked at on F frames with K objects.

    The affine maps are fitted on the first half of the validation episodes and scored on the
    second, as validation does; the frames are of the second half.

    Attributes:
        run: Name of the run record.
        objects: Names of the objects.
        steps: Steps taken, int64 ``(C,)``; 0 is the untrained network.
        seen: Images seen, int64 ``(C,)``.
        error: Tracking error, float64 ``(C, K)``.
        r2: The same as R², float64 ``(C, K)``.
        keypoint: The metric's choice, int64 ``(C, K)``.
        linear: Linear part of its map, float64 ``(C, K, 2, 2)``.
        offset: Shift of its map, float64 ``(C, K, 2)``.
        frames: uint8 ``(F, H, W, 3)``.
        truth: Image coordinates, float64 ``(F, K, 2)``.
        points: All keypoints, image coordinates, float32 ``(C, F, N, 2)``.
        heat: Square root of each object's keypoint's heat map, its peak at 255, uint8
            ``(C, F, K, h, w)``.
        drawn: The reconstruction, resized and rounded, uint8 ``(C, F, 32, 32, 3)``.
    """

    _kind = "replay"  # as files of earlier versions say
    _arrays = (
        "steps", "seen", "error", "r2", "keypoint", "linear", "offset", "frames", "truth", "points",
        "heat", "drawn",
    )  # fmt: skip

    run: str
    objects: tuple[str, ...]
    steps: np.ndarray
    seen: np.ndarray
    error: np.ndarray
    r2: np.ndarray
    keypoint: np.ndarray
    linear: np.ndarray
    offset: np.ndarray
    frames: np.ndarray
    truth: np.ndarray
    points: np.ndarray
    heat: np.ndarray
    drawn: np.ndarray

    def __len__(self) -> int:
        return len(self.steps)

    def _description(self) -> dict[str, Any]:
        return {"run": self.run, "objects": list(self.objects)}

    @classmethod
    def _from_parts(cls, description: dict[str, Any], arrays: dict[str, Any]) -> TrainingFilm:
        return cls(description["run"], tuple(description["objects"]), **arrays)

    @classmethod
    def sample(cls) -> TrainingFilm:
        """Return the film that ships with the package."""
        return cls.load(_SAMPLE)
