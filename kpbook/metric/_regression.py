"""Least squares from all keypoints together to every object; values are checked elsewhere."""

from __future__ import annotations

import numpy as np

from kpbook.metric._frames import Frames
from kpbook.metric._maps import about_mean, groups, rounding


def regress(scored: Frames, fit: Frames, intercept: bool) -> tuple[np.ndarray, np.ndarray]:
    """Predict every object on the scored frames, ``(T, K, 2)``; also their means, ``(K, 2)``."""
    prediction = np.full(scored.y.shape, np.nan)
    constant = np.full(scored.y.shape[1:], np.nan)
    for objects, rows in groups(fit.seen):
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
    return prediction, constant


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
