"""Keypoints, truth and masks as they were given, checked once and laid out for the metric."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch

from kpbook._arrays import as_flags, as_float64
from kpbook._checks import check_finite, check_integer, check_shape, check_unmasked, complain

#: Positions beyond this in more than half of the points are not in image coordinates. An object
#: that leaves the image reaches about 3 for a few frames; pixels lie beyond 4 nearly everywhere.
FAR = 4.0
# Squares of larger numbers, summed over frames, do not fit into float64.
_LARGEST = 1e100
_FOUND_HINT = "True where the keypoint has a point."


class Frames(NamedTuple):
    """Frames to fit or score on."""

    z: np.ndarray  # keypoints (T, N, 2), float32 or float64
    y: np.ndarray  # objects (T, K, 2), float32 or float64
    seen: np.ndarray  # bool (T, K)
    episode: np.ndarray  # number of the episode (T,); empty if no labels were given
    z_eps: float  # relative rounding of z and y as they were given
    y_eps: float
    found: np.ndarray | None  # bool (T, N): where keypoints have a point; None is everywhere

    def counts_of(self, n: int, k: int) -> np.ndarray:
        """Where object k is seen and keypoint n found, bool ``(T,)``."""
        return self.seen[:, k] if self.found is None else self.seen[:, k] & self.found[:, n]

    def seen_with(self, keypoints: slice | np.ndarray) -> np.ndarray:
        """Where each object is seen and all these keypoints are found, bool ``(T, K)``."""
        if self.found is None:
            return self.seen
        return np.where(self.found[:, keypoints].all(axis=1, keepdims=True), self.seen, False)

    def counts_for(self, keypoint: np.ndarray) -> np.ndarray:
        """Where each object is seen and its keypoint ``(K,)`` found, bool ``(T, K)``.

        An object without a keypoint, -1, counts where it is seen.
        """
        if self.found is None:
            return self.seen
        return self.seen & (self.found[:, keypoint] | (keypoint < 0))


def as_frames(
    points: Any,
    truth: Any,
    visible: Any,
    episode: Any,
    found: Any = None,
    *,
    prefix: str,
    sizes: tuple[int, int] | None = None,
) -> Frames:
    """Check what was given, once."""
    n, k = sizes or ("N", "K")
    same = " The same number as in points and truth." if sizes else ""
    hint = "Frames, keypoints, (x, y)." + same
    name, there = f"{prefix}points", None
    if found is None:
        z = as_points(points, f"T {n} 2", name=name, hint=hint)
    else:
        z, there = as_found(points, found, f"T {n} 2", prefix=prefix, hint=hint)
    hint = f"One row per frame of {prefix}points. Episodes.flat() has truth in this shape."
    y = as_points(truth, f"{len(z)} {k} 2", name=f"{prefix}truth", hint=hint + same)
    seen = as_mask(visible, y.shape[:2], name=f"{prefix}visible")
    label = _labels(episode, len(z), name=f"{prefix}episode")
    return Frames(z, y, seen, label, _eps(points), _eps(truth), there)


def as_found(
    points: Any, found: Any, pattern: str, *, prefix: str = "", hint: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Return points with 0 where there are none, and where there are some, bool ``(T, N)``."""
    name, expected = f"{prefix}points", f"numbers of shape ({', '.join(pattern.split())})"
    z = as_float64(points, name=name, expected=expected, hint=hint)
    check_shape(z, pattern, name=name, hint=hint)
    there = as_mask(found, z.shape[:2], name=f"{prefix}found", hint=_FOUND_HINT)
    z[~there] = 0  # whatever the place of a lost point holds, NaN too
    return as_points(z, pattern, name=name, hint=hint), there


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
    found: Any = None,
    fit_found: Any = None,
) -> tuple[Frames, Frames]:
    """Check the frames to score on and those to fit on: the same object if there are no others."""
    scored = as_frames(points, truth, visible, episode, found, prefix="")
    given = {"fit_visible": fit_visible, "fit_episode": fit_episode, "fit_found": fit_found}
    if fit_points is None and fit_truth is None:
        _check_absent("fit_points", **given)
        fit = scored
    elif fit_points is None or fit_truth is None:
        missing = "fit_points" if fit_points is None else "fit_truth"
        raise ValueError(complain(missing, "None", "both fit_points and fit_truth, or neither"))
    else:
        if episode is None:
            _check_absent("episode", fit_episode=fit_episode)
        sizes = scored.z.shape[1], scored.y.shape[1]
        masks = fit_visible, fit_episode, fit_found
        fit = as_frames(fit_points, fit_truth, *masks, prefix="fit_", sizes=sizes)
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
        hint = "Leave hidden frames out with visible, not with NaN"
        hint += ", and frames without a point with found." if "points" in name else "."
        check_finite(values, name=name, hint=hint)
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


def as_mask(
    flags: Any,
    shape: tuple[int, ...],
    *,
    name: str,
    hint: str = "True where the frame counts for the object.",
) -> np.ndarray:
    """Return flags of a shape; all true if there are none."""
    if flags is None:
        return np.ones(shape, dtype=bool)
    mask = as_flags(flags, name=name, hint=hint)
    check_shape(mask, " ".join(map(str, shape)), name=name, hint=hint)
    return mask


def as_lengths(lengths: Any) -> list[int]:
    """Return lengths of windows as a list, at least one, each at least 1."""
    hint = "Frames of a window, such as (1, 10, 100)."
    numbers = lengths.tolist() if hasattr(lengths, "tolist") else lengths
    if isinstance(numbers, str | bytes) or not isinstance(numbers, Iterable):
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
    hint = "One label per frame: Episodes.flat().episode, or numpy.repeat(range(E), T)."
    check_unmasked(episode, name=name)
    try:
        labels = np.asarray(
            episode.detach().cpu() if isinstance(episode, torch.Tensor) else episode
        )
        numbers = np.unique(labels, return_inverse=True)[1]
    except (TypeError, ValueError):  # rows of different lengths, or kinds that have no order
        got = f"a {type(episode).__name__} that holds no array of one kind"
        raise TypeError(complain(name, got, f"({T},) numbers or names", hint)) from None
    check_shape(labels, f"{T}", name=name, hint=hint)
    if labels.dtype.kind == "f":
        check_finite(labels, name=name, hint=hint)
    return numbers
