"""Least squares from all keypoints together to every object; values are checked elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kpbook.metric._frames import Frames
from kpbook.metric._maps import about_mean, groups, rounding


def regress(
    scored: Frames, fit: Frames, intercept: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predict every object on the scored frames, ``(T, K, 2)``.

    Also return their means on the frames of the fit, ``(K, 2)``, and which scored frames count for
    each, bool ``(T, K)``: none for an object that has no more fit frames than unknowns.
    """
    T, K, _ = scored.y.shape
    prediction, constant = np.full(scored.y.shape, np.nan), np.full((K, 2), np.nan)
    counts = np.zeros((T, K), dtype=bool)
    for objects, use, may in _usable(fit):
        part = scored._replace(z=scored.z[:, use]), fit._replace(z=fit.z[:, use], seen=may)
        guess, mean, enough = _fit(*part, intercept)
        counted = scored.seen_with(use) & enough
        prediction[:, objects], constant[objects] = guess[:, objects], mean[objects]
        counts[:, objects] = counted[:, objects]
    return prediction, constant, counts


def _usable(fit: Frames) -> Iterator[tuple[slice | np.ndarray, slice | np.ndarray, np.ndarray]]:
    """Objects, the keypoints that are found in half of their fit frames, and the frames to fit on.

    A frame without one of those keypoints cannot be used, since all of them speak together.
    """
    if fit.found is None:
        yield slice(None), slice(None), fit.seen
        return
    often = 2 * (fit.found.T.astype(int) @ fit.seen) >= fit.seen.sum(axis=0)  # (N, K)
    for k, use in enumerate(often.T):
        if use.any():
            yield np.array([k]), use, fit.seen_with(use)


def _fit(scored: Frames, fit: Frames, intercept: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prediction ``(T, K, 2)``, mean ``(K, 2)`` and whether there were enough frames, ``(K,)``."""
    prediction = np.full(scored.y.shape, np.nan)
    constant = np.full(scored.y.shape[1:], np.nan)
    unknowns = 2 * fit.z.shape[1] + intercept
    for objects, rows in groups(fit.seen, at_least=unknowns + 1):
        x, x_mean = about_mean(fit.z[rows])
        y, y_mean = about_mean(fit.y[rows][:, objects])
        constant[objects] = y_mean
        noise = rounding(x_mean**2 + np.square(x).mean(axis=0), fit.z_eps)
        if not intercept:
            x, x_mean = fit.z[rows].astype(np.float64), np.zeros_like(x_mean)
            y, y_mean = fit.y[rows][:, objects].astype(np.float64), np.zeros_like(y_mean)
        A = _smallest_solution(x.reshape(len(x), -1), y.reshape(len(y), -1), noise.ravel())
        moved = (scored.z - x_mean).reshape(len(prediction), -1) @ A
        prediction[:, objects] = moved.reshape(len(moved), -1, 2) + y_mean
    return prediction, constant, np.isfinite(constant[:, 0])


def _smallest_solution(x: np.ndarray, y: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Coefficients ``(M, C)`` that fit ``(F, C)`` from ``(F, M)`` best, the smallest of those.

    ``noise`` is the root mean square that rounding leaves in each column, ``(M,)``.
    """
    # A column that only rounds is still. A direction that rounding alone can have is none: noise
    # is so many roundings that one column's bounds what a thousand columns round to together.
    moves = np.square(x).sum(axis=0) > len(x) * noise**2
    u, s, vt = np.linalg.svd(x * moves, full_matrices=False)
    floor = np.sqrt(len(x)) * (noise * moves).max()
    rank = int((s > max(floor, s[0] * max(x.shape) * np.finfo(np.float64).eps)).sum())
    return np.asarray(vt[:rank].T @ ((u[:, :rank].T @ y) / s[:rank, None]))
