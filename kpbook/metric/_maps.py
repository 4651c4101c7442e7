"""Least-squares maps from every keypoint to every object at once; values are checked elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from kpbook.metric._frames import Frames

# Motion below so many roundings of a coordinate's own size is none. Relative to its size and to
# the dtype that it came in: a fixed length would call small motions still. What comes in 16 bits
# was summed in more and rounded once; 16 of those roundings would be a tenth of the image.
_ROUNDINGS, _ROUNDINGS_OF_16_BITS = 16, 1
# Below this 1 - r**2 the normal equations lose more than nine digits; the singular values of the
# keypoint's own columns do not.
_COLLINEAR = 1e-6
# Keypoints times frames that are centred at a time: 1 MB. A copy of all of them costs more time
# than the fit.
_BLOCK = 64_000

#: Free numbers of a fit per coordinate; identity fits nothing, but the constant of R² is one.
UNKNOWNS = {"affine": 3, "scale": 2, "identity": 1}

Rows = slice | np.ndarray  # all frames, or bool (T,)


class Maps(NamedTuple):
    """Maps y = A z + b of N keypoints to K objects; NaN where there are too few frames."""

    linear: np.ndarray  # A, (N, K, 2, 2)
    offset: np.ndarray  # b, (N, K, 2)
    error: np.ndarray  # mean squared distance on the frames of the fit, (N, K)
    constant: np.ndarray  # mean of each object, (N, K, 2): over the frames of the pair
    frames: np.ndarray  # how many frames each pair was fitted on, (N, K)


def fit_pairs(frames: Frames, transform: str) -> Maps:
    """Fit all pairs, each on the frames in which its object is seen and its keypoint found."""
    if frames.found is None:
        return fit_maps(frames.z, frames.y, frames.seen, transform, eps=frames.z_eps)
    maps = _no_maps(frames.z.shape[1], frames.y.shape[1])
    for keypoints, rows in groups(frames.found):
        both = frames.seen if isinstance(rows, slice) else frames.seen & rows[:, None]
        part = fit_maps(frames.z[:, keypoints], frames.y, both, transform, eps=frames.z_eps)
        for whole, some in zip(maps, part, strict=True):
            whole[keypoints] = some
    return maps


def fit_maps(z: np.ndarray, y: np.ndarray, seen: np.ndarray, transform: str, *, eps: float) -> Maps:
    """Fit all pairs.

    Args:
        z: Keypoints ``(T, N, 2)``.
        y: Objects ``(T, K, 2)``.
        seen: bool ``(T, K)``; only these frames count for an object.
        transform: ``"affine"``, ``"scale"`` or ``"identity"``.
        eps: Relative rounding of ``z`` as it was given.
    """
    maps = _no_maps(z.shape[1], y.shape[1])
    maps.frames[:] = seen.sum(axis=0)
    for objects, rows in groups(seen, at_least=UNKNOWNS[transform] + 1):
        ys, y_mean = about_mean(y[rows][:, objects])
        A, z_mean, explained = fit_linear(z, ys, rows, transform, eps=eps)
        shift = y_mean - (A @ z_mean[:, None, :, None])[..., 0]
        b = np.zeros_like(shift) if transform == "identity" else shift
        # A perfect fit leaves a difference of equal numbers, which may round to below 0.
        rest = (np.einsum("tki,tki->k", ys, ys) - explained).clip(min=0)
        maps.linear[:, objects], maps.offset[:, objects] = A, b
        maps.error[:, objects] = rest / len(ys) + np.square(shift - b).sum(axis=-1)
        maps.constant[:, objects] = y_mean
    return maps


def _no_maps(N: int, K: int) -> Maps:
    shapes = (N, K, 2, 2), (N, K, 2), (N, K), (N, K, 2)
    linear, offset, error, constant = (np.full(shape, np.nan) for shape in shapes)
    return Maps(linear, offset, error, constant, np.zeros((N, K), dtype=int))


def fit_linear(
    z: np.ndarray,
    y: np.ndarray,
    rows: Rows,
    transform: str,
    *,
    eps: float,
    size: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit A from the keypoints ``z[rows]`` to objects ``(T, K, 2)`` of mean 0.

    Of all A that fit equally well it is the one of the smallest norm, in the units of ``z``.
    ``size`` is the mean square of each coordinate before its mean was taken away, ``(N, 2)``, if
    ``z`` comes without it: rounding is a share of that.

    Returns:
        A, ``(N, K, 2, 2)``; the keypoints' means, ``(N, 2)``; and the sum of squares that A
        explains about the means, ``|y|**2 - |y - A z|**2``, ``(N, K)``.
    """
    mean, zy, zz, xy = _moments(z, y, rows)
    yz = zy.reshape(len(mean), 2, -1, 2).transpose(0, 2, 3, 1)  # (N, K, out, in)
    if transform == "identity":
        A = np.broadcast_to(np.eye(2), yz.shape)
        return A, mean, 2 * np.trace(yz, axis1=2, axis2=3) - zz.sum(axis=-1)[:, None]
    # Columns of length 1, so that no choice of units looks singular. A still column becomes 0,
    # and so do its coefficients: the smallest.
    noise = rounding(mean**2 + zz / len(y) if size is None else size, eps)
    moves = zz > len(y) * noise**2
    unit = np.where(moves, 1 / np.sqrt(np.where(moves, zz, 1)), 0)
    yu = yz * unit[:, None, None]
    if transform == "scale":
        A = yu * np.eye(2)
        return A * unit[:, None, None], mean, (A * yu).sum(axis=(2, 3))
    r = xy * unit.prod(axis=-1)
    singular = 1 - r**2 < _COLLINEAR
    adjugate = np.stack([np.ones_like(r), -r, -r, np.ones_like(r)], axis=-1).reshape(-1, 1, 2, 2)
    A = yu @ (adjugate / np.where(singular, 1, 1 - r**2)[:, None, None, None])
    explained = (A * yu).sum(axis=(2, 3))
    A *= unit[:, None, None]
    for n in np.flatnonzero(singular):
        x = about_mean(z[rows, n])[0]
        cutoff = 2 * (noise[n] * unit[n]).max() * np.sqrt(len(y))
        A[n], explained[n] = _along_a_line(x, unit[n], y, cutoff)
    return A, mean, explained


def _moments(z: np.ndarray, y: np.ndarray, rows: Rows) -> list[np.ndarray]:
    """Mean ``(N, 2)``, z·y ``(2 N, 2 K)``, z·z per axis ``(N, 2)`` and x·y ``(N,)``, centred."""
    flat = y.reshape(len(y), -1)
    step = max(1, _BLOCK // len(y))
    parts = []
    for first in range(0, z.shape[1], step):
        part, mean = about_mean(z[rows, first : first + step])
        zz = np.einsum("tni,tni->ni", part, part)
        xy = np.einsum("tn,tn->n", part[..., 0], part[..., 1])
        parts.append((mean, part.reshape(len(y), -1).T @ flat, zz, xy))
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _along_a_line(
    x: np.ndarray, unit: np.ndarray, y: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and what they explain, for a keypoint ``(T, 2)`` that hardly leaves a line.

    Whether it leaves it is asked of columns of length 1, the smallest solution in those of ``x``.
    """
    u, s, vt = np.linalg.svd(x * unit, full_matrices=False)
    flat = y.reshape(len(y), -1)
    along = u.T @ flat / np.where(s > 0, s, np.inf)[:, None]  # exactly on the line: nothing across
    if s[1] > s[0] * max(cutoff, len(x) * np.finfo(np.float64).eps):
        coefficients = unit[:, None] * (vt.T @ along)  # (in, K * out)
    else:  # x is s[0] * u[:, 0] times this direction: y follows along it, and not across
        direction = vt[0] / unit
        coefficients = np.outer(direction, along[0]) / (direction @ direction)
    rest = np.square(flat - x @ coefficients).reshape(y.shape).sum(axis=(0, 2))
    return coefficients.T.reshape(-1, 2, 2), np.square(y).sum(axis=(0, 2)) - rest


def rounding(mean_square: np.ndarray, eps: float) -> np.ndarray:
    """How far numbers of a mean square move by rounding: a root mean square."""
    roundings = _ROUNDINGS if eps < np.finfo(np.float16).eps else _ROUNDINGS_OF_16_BITS
    return np.asarray(roundings * eps * np.sqrt(mean_square))


def about_each_mean(x: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Take each episode's mean from ``(2, T)``; ``label`` is ``(T,)``."""
    _, first, index = np.unique(label, return_index=True, return_inverse=True)
    x = x - x[:, first[index]]  # first exactly: what stands still becomes 0
    sums = np.stack([np.bincount(index, weights=row) for row in x])
    return np.asarray(x - (sums / np.bincount(index))[:, index])


def about_mean(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre ``(T, ..., 2)``; also return the mean."""
    T, start = len(x), x[0]
    x = np.subtract(x, start, dtype=np.float64)  # first exactly: what stands still becomes 0
    sums = np.ones(T) @ x.reshape(T, -1)  # ten times as fast as x.mean(axis=0)
    mean = sums.reshape(start.shape) / T
    x -= mean
    return x, start + mean


def groups(seen: np.ndarray, at_least: int = 1) -> Iterator[tuple[slice | np.ndarray, Rows]]:
    """Objects that share their frames, and those frames; not those seen in fewer than so many."""
    if seen.all():
        if len(seen) >= at_least:
            yield slice(None), slice(None)
        return
    shared: dict[bytes, list[int]] = {}
    for k, frames in enumerate(seen.T):
        shared.setdefault(frames.tobytes(), []).append(k)
    for objects in shared.values():
        frames = seen[:, objects[0]]
        if frames.sum() >= at_least:
            yield np.array(objects), frames
