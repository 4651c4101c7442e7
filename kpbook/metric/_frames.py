"""Keypoints, truth and masks as they were given, checked once and laid out for the metric."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch

from kpbook._arrays import as_float64
from kpbook._checks import check_finite, check_integer, check_shape, complain

#: Positions beyond this in more than half of the points are not in image coordinates. An object
#: that leaves the image reaches about 3 for a few frames; pixels lie beyond 4 nearly everywhere.
FAR = 4.0
# Squares of larger numbers, summed over frames, do not fit into float64.
_LARGEST = 1e100


class Frames(NamedTuple):
    """Frames to fit or score on."""

    z: np.ndarray  # keypoints (T, N, 2), float32 or float64
    y: np.ndarray  # objects (T, K, 2), float32 or float64
    seen: np.ndarray  # bool (T, K)
    episode: np.ndarray  # number of the episode (T,); empty if no labels were given
    z_eps: float  # relative rounding of z and y as they were given
    y_eps: float


def as_frames(
    points: Any,
    truth: Any,
    visible: Any,
    episode: Any,
    *,
    prefix: str,
    sizes: tuple[int, int] | None = None,
) -> Frames:
    """Check what was given, once."""
    n, k = sizes or ("N", "K")
    same = " The same number as in points and truth." if sizes else ""
    hint = "Frames, keypoints, (x, y)." + same
    z = as_points(points, f"T {n} 2", name=f"{prefix}points", hint=hint)
    hint = f"One row per frame of {prefix}points. Episodes.flat() has truth in this shape."
    y = as_points(truth, f"{len(z)} {k} 2", name=f"{prefix}truth", hint=hint + same)
    seen = as_mask(visible, y.shape[:2], name=f"{prefix}visible")
    label = _labels(episode, len(z), name=f"{prefix}episode")
    return Frames(z, y, seen, label, _eps(points), _eps(truth))


def as_scored_and_fit(
    points: Any,
    truth: Any,
    fit_points: Any,
    fit_truth: Any,
    *,
    visible: Any,
    fit_visible: Any,
    episode: Any = None,
    fit_episode: Any = None,
) -> tuple[Frames, Frames]:
    """Check the frames to score on and those to fit on: the same object if there are no others."""
    scored = as_frames(points, truth, visible, episode, prefix="")
    if fit_points is None and fit_truth is None:
        _check_absent("fit_points", fit_visible=fit_visible, fit_episode=fit_episode)
        fit = scored
    elif fit_points is None or fit_truth is None:
        missing = "fit_points" if fit_points is None else "fit_truth"
        raise ValueError(complain(missing, "None", "both fit_points and fit_truth, or neither"))
    else:
        if episode is None:
            _check_absent("episode", fit_episode=fit_episode)
        sizes = scored.z.shape[1], scored.y.shape[1]
        fit = as_frames(fit_points, fit_truth, fit_visible, fit_episode, prefix="fit_", sizes=sizes)
    if len(fit.z) < 2:
        name = "points" if fit is scored else "fit_points"
        hint = "One frame is fitted exactly by a constant. Frames come first: (T, N, 2)."
        raise ValueError(complain(name, "1 frame", "at least 2 to fit on", hint))
    return scored, fit


def _check_absent(needed: str, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            got = f"a {type(value).__name__}"
            raise ValueError(complain(name, got, f"nothing without {needed}"))


def warn_of_pixels(*suspects: tuple[str, np.ndarray, np.ndarray | None]) -> None:
    """Warn the caller's caller once, of the first argument that holds no image coordinates.

    Args:
        suspects: Name, positions ``(T, M, 2)`` and which of them count, bool ``(T, M)``.
    """
    for name, positions, counts in suspects:
        if max(positions.max(), -positions.min()) <= FAR:
            continue  # the usual case, quickly
        far = (np.abs(positions) > FAR).any(axis=-1)
        far = far.ravel() if counts is None else far[counts]
        if far.size and far.mean() > 0.5:
            got = f"{far.mean():.0%} of the points beyond {FAR:g}"
            expected = "image coordinates, -1 to +1 inside the image"
            hint = "If these are pixels, kpbook.grid.from_pixels(pixels, (H, W)) converts them."
            warnings.warn(complain(name, got, expected, hint), stacklevel=3)
            return


def as_points(x: Any, pattern: str, *, name: str, hint: str) -> np.ndarray:
    """Return finite numbers of a shape; float32 and float64 as they are, without a copy."""
    if isinstance(x, torch.Tensor) and x.dtype in (torch.float32, torch.float64):
        x = x.detach().cpu().numpy()
    if not isinstance(x, np.ndarray) or x.dtype not in (np.float32, np.float64):
        expected = f"numbers of shape ({', '.join(pattern.split())})"
        x = as_float64(x, name=name, expected=expected, hint=hint)
    check_shape(x, pattern, name=name, hint=hint)
    values: np.ndarray = np.ascontiguousarray(x)  # torch looks for NaN; it takes no mirrored axis
    with np.errstate(all="ignore"):
        small = np.vdot(values, values) < _LARGEST**2  # one quick number rules all of it out
    if not small:
        check_finite(values, name=name, hint="Leave hidden frames out with visible, not with NaN.")
        largest = float(np.abs(values).max())
        if largest > _LARGEST:
            expected = f"numbers up to {_LARGEST:g}"
            raise ValueError(
                complain(name, f"{largest:.3g}", expected, "Their squares are summed.")
            )
    return values


def _eps(x: Any) -> float:
    """Rounding of the numbers as they were given; lists and integers are read as float64."""
    if isinstance(x, torch.Tensor) and x.dtype.is_floating_point:
        return torch.finfo(x.dtype).eps
    if isinstance(x, np.ndarray) and np.issubdtype(x.dtype, np.floating):
        return float(np.finfo(x.dtype).eps)
    return float(np.finfo(np.float64).eps)


def as_mask(visible: Any, shape: tuple[int, ...], *, name: str) -> np.ndarray:
    if visible is None:
        return np.ones(shape, dtype=bool)
    seen = _array(visible)
    hint = "True where the frame counts for the object."
    if seen.dtype != np.bool_:
        raise TypeError(complain(name, f"dtype {seen.dtype}", "bool", hint))
    check_shape(seen, " ".join(map(str, shape)), name=name, hint=hint)
    return seen


def as_lengths(lengths: Any) -> list[int]:
    """Return lengths of windows as a list, at least one, each at least 1."""
    hint = "Frames of a window, such as (1, 10, 100)."
    numbers = lengths.tolist() if hasattr(lengths, "tolist") else lengths
    if isinstance(numbers, str) or not isinstance(numbers, Iterable):
        raise TypeError(complain("lengths", repr(numbers), "a sequence of whole numbers", hint))
    sizes = [
        check_integer(x, name=f"lengths[{i}]", minimum=1, hint=hint) for i, x in enumerate(numbers)
    ]
    if not sizes:
        raise ValueError(complain("lengths", "none", "at least one", hint))
    return sizes


def _labels(episode: Any, T: int, *, name: str) -> np.ndarray:
    if episode is None:
        return np.empty(0)
    labels = _array(episode)
    hint = "One label per frame: Episodes.flat().episode, or numpy.repeat(range(E), T)."
    check_shape(labels, f"{T}", name=name, hint=hint)
    if labels.dtype.kind == "f":
        check_finite(labels, name=name, hint=hint)
    return np.unique(labels, return_inverse=True)[1]


def _array(x: Any) -> np.ndarray:
    return np.asarray(x.detach().cpu() if isinstance(x, torch.Tensor) else x)
