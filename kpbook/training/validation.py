"""What a run is judged by while it learns: tracking and the loss on episodes that it never sees."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kpbook._checks import complain
from kpbook.detect import check_fits, found, in_image
from kpbook.episodes import Episodes
from kpbook.extractors.base import Extractor, lacks
from kpbook.judge import by_halves
from kpbook.metric import TrackingResult
from kpbook.metric._frames import FAR

#: Images in one forward pass, and batches behind the validation loss. Fixed, so that the numbers
#: of two runs compare.
_IMAGES, _BATCHES, _SEED = 64, 4, 20240527


class Validation:
    """Tracking error, R² and loss of an extractor on labelled episodes.

    The affine map of each pair of keypoint and object is fitted on the first half of the episodes
    and scored on the second half: an episode's frames are too alike to stand on both sides.

    Args:
        episodes: At least two, with truth; their first view is used.
        extractor: What will be judged; its image size must be that of the frames.
        trained_on: The training episodes; their objects must be the same, if they name any.
        seen_only: Judge an object only in frames in which it is seen.

    Raises:
        TypeError: If ``episodes`` is no ``Episodes``, or the extractor gives no keypoints.
        ValueError: If there is no truth or one in pixels, one episode only, or sizes or objects
            differ.
    """

    def __init__(
        self, episodes: Episodes, extractor: Any, trained_on: Episodes, seen_only: bool = False
    ) -> None:
        missing = lacks(extractor, Extractor)
        if missing:
            got = f"{type(extractor).__name__}, which has no {', '.join(missing)}"
            hint = "Leave validate out to train without; or see kpbook.extractors.Extractor."
            raise TypeError(complain("extractor", got, "one that validate can judge", hint))
        check_fits(extractor, episodes, name="validate")
        if not episodes.objects:
            hint = "R² needs to know where things are; leave validate out to train without."
            raise ValueError(complain("validate", "episodes without truth", "truth", hint))
        if trained_on.objects and trained_on.objects != episodes.objects:
            hint = "Episodes.split deals one recording out to training and validation."
            got = f"objects {episodes.objects}"
            raise ValueError(complain("validate", got, f"{trained_on.objects}", hint))
        if len(episodes) < 2:
            hint = "One half fits the affine map, the other half is scored."
            raise ValueError(complain("validate", "1 episode", "at least 2", hint))
        far = (np.abs(episodes.truth) > FAR).any(axis=-1).mean()
        if far > 0.5:
            hint = "If these are pixels, kpbook.grid.from_pixels(pixels, (H, W)) converts them."
            got = f"truth with {far:.0%} of the points beyond {FAR:g}"
            expected = "image coordinates, -1 to +1 inside the image"
            raise ValueError(complain("validate", got, expected, hint))
        self.episodes, self._flat, self._seen_only = episodes, episodes.flat(), seen_only
        self._judge(self._flat.truth)  # complains now, not after an hour

    def row(self, extractor: Any, device: torch.device) -> dict[str, float | None]:
        """Return ``validation/<loss part>``, ``error/<object>`` and ``r2/<object>``.

        The extractor is in eval mode meanwhile. A value that is not finite becomes ``None``.

        Raises:
            FloatingPointError: If a keypoint is NaN or infinite.
        """
        extractor.eval()
        with torch.no_grad():
            row = self._losses(extractor, device) | self._tracking(extractor)
        extractor.train()
        return row

    def first_batch(self, extractor: Any) -> Any:
        """Draw the first validation batch: frames that do not fit complain now, not later."""
        return extractor.batch(self.episodes, torch.Generator().manual_seed(_SEED))

    def _losses(self, extractor: Any, device: torch.device) -> dict[str, float | None]:
        generator = torch.Generator().manual_seed(_SEED)
        sums: dict[str, float] = {}
        for _ in range(_BATCHES):
            batch = to_device(extractor.batch(self.episodes, generator), device)
            for part, value in scalars(extractor.loss(batch)).items():
                sums[part] = sums.get(part, 0.0) + value
        return {f"validation/{part}": finite(total / _BATCHES) for part, total in sums.items()}

    def _tracking(self, extractor: Any) -> dict[str, float | None]:
        points = found(extractor, self.episodes, batch=_IMAGES).astype(np.float64)
        if not np.isfinite(points).all():
            got = f"{int((~np.isfinite(points)).sum())} values that are NaN or infinite"
            raise FloatingPointError(complain("keypoints of validate", got, "finite numbers"))
        result = self._judge(in_image(points, self.episodes))
        rows: dict[str, float | None] = {}
        for column, values in (("error", result.error), ("r2", result.r2)):
            for name, value in zip(self.episodes.objects, values, strict=True):
                rows[f"{column}/{name}"] = finite(float(value))
        return rows

    def _judge(self, points: Any) -> TrackingResult:
        return by_halves(points, self._flat, seen_only=self._seen_only)


def to_device(batch: Any, device: torch.device) -> Any:
    """Move the tensors of a batch, also inside dicts, tuples and lists; leave the rest as it is."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        parts = [to_device(part, device) for part in batch]
        kind: Any = type(batch)
        return kind(*parts) if hasattr(batch, "_fields") else kind(parts)  # of a named tuple
    return batch


def scalars(parts: Any) -> dict[str, float]:
    """Return the values of a loss's parts; a GPU is asked once for all of them.

    Raises:
        TypeError: If ``parts`` is no dict of tensors with an entry "loss".
        ValueError: If one of them is no scalar.
    """
    hint = "The entry 'loss' is minimised, the others are reported."
    if not isinstance(parts, dict) or not isinstance(parts.get("loss"), Tensor):
        got = f"{type(parts).__name__} with {list(parts) if isinstance(parts, dict) else 'no keys'}"
        raise TypeError(complain("extractor.loss", got, "a dict with a tensor 'loss'", hint))
    for key, value in parts.items():
        if not isinstance(value, Tensor) or value.numel() != 1:
            got = f"{key!r} of {tuple(value.shape) if isinstance(value, Tensor) else type(value)}"
            raise ValueError(complain("extractor.loss", got, "scalar tensors", hint))
    together = torch.stack([value.detach().float().reshape(()) for value in parts.values()])
    return dict(zip(parts, together.tolist(), strict=True))


def finite(value: float) -> float | None:
    """JSON, and so a run record, knows neither NaN nor infinity."""
    return value if math.isfinite(value) else None
