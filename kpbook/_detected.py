"""Keypoints of all frames in a row from whoever finds them: a function, an array, a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kpbook._arrays import as_float64
from kpbook._checks import check_finite, check_integer, check_shape, complain
from kpbook.episodes import Episodes, Flat
from kpbook.images import to_float
from kpbook.points import Points, read_points

Detector = Callable[[torch.Tensor], Any]

_BATCH = 64


def keypoints(
    detector: Detector, episodes: Episodes, *, view: int = 0, batch: int = _BATCH
) -> np.ndarray:
    """Keypoints of all frames in a row, ``(M, N, 2)``, in the precision that they came in.

    Args:
        detector: A function from images, float32 ``(B, 3, H, W)`` in [0, 1], to keypoints
            ``(B, N, 2)``. A torch module gets its images where its weights are.
        episodes: Frames.
        view: Which camera.
        batch: Images at a time.

    Raises:
        TypeError: If the detector does not return numbers.
        ValueError: If it does not return ``(B, N, 2)`` for B images, N changes, or it is a torch
            module in training mode.
    """
    check_integer(batch, name="batch", minimum=1, hint="Images at a time.")
    return _run(detector, episodes.flat(view).images, batch)


def as_keypoints(detector: Any, flat: Flat) -> tuple[np.ndarray, np.ndarray | None]:
    """Keypoints ``(M, N, 2)`` of all frames, and where there are any, bool ``(M, N)``, if not all.

    The detector is as in :func:`kpbook.judge.judge`.
    """
    M, found = len(flat.images), None
    hint = "Keypoints of all frames in a row, in the order of episodes.flat()."
    if isinstance(detector, str | Path):
        H, W = flat.images.shape[1:3]
        detector = read_points(detector, M, image_size=(H, W))
    if isinstance(detector, Points):
        points, found = detector.points, None if detector.found.all() else detector.found
    elif isinstance(detector, np.ndarray | torch.Tensor | list | tuple):
        points = _as_array(detector, name="detector", expected=f"({M}, N, 2) numbers", hint=hint)
    elif callable(detector):
        points = _run(detector, flat.images, _BATCH)
    else:
        expected = "a function from images to keypoints, an array, Points, or the path of a file"
        raise TypeError(complain("detector", type(detector).__name__, expected))
    check_shape(points, f"{M} N 2", name="detector", hint=hint)
    hint = "Where nothing was found, say so: kpbook.points.Points(points, found)."
    check_finite(points, name="detector", hint=hint)
    return points, found


@torch.no_grad()
def _run(detector: Detector, images: np.ndarray, batch: int) -> np.ndarray:
    device: Any = "cpu"
    if isinstance(detector, torch.nn.Module):
        if any(part.training for part in detector.modules()):
            got, expected = "a torch module in training mode", "one in evaluation mode"
            hint = "Call .eval() on it first: dropout and batch normalisation differ."
            raise ValueError(complain("detector", got, expected, hint))
        device = next((w.device for w in detector.parameters()), device)
    hint = "One row of keypoints per image, each (x, y)."
    parts: list[np.ndarray] = []
    for start in range(0, len(images), batch):
        some = images[start : start + batch]
        name, N = "detector(images)", parts[0].shape[1] if parts else "N"
        expected = f"({len(some)}, {N}, 2) numbers"
        part = _as_array(detector(to_float(some, device)), name=name, expected=expected, hint=hint)
        check_shape(part, f"{len(some)} {N} 2", name=name, hint=hint)
        parts.append(part)
    return np.concatenate(parts)


def _as_array(x: Any, *, name: str, expected: str, hint: str) -> np.ndarray:
    """Numbers in their own precision, which says how far rounding goes; else in float64."""
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        x = (x.float() if x.dtype == torch.bfloat16 else x).numpy()  # NumPy has none
    if isinstance(x, np.ndarray) and x.dtype in (np.float16, np.float32, np.float64):
        return x
    return as_float64(x, name=name, expected=expected, hint=hint)
