"""Squared error and R² of predictions; one home, so that every metric means the same by them."""

from __future__ import annotations

import numpy as np

from kpbook.metric._maps import rounding


def score(
    y: np.ndarray, prediction: np.ndarray, constant: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Judge predictions ``(K, 2, M)`` of objects ``(K, 2, M)`` over M frames.

    Args:
        y: Objects, float64.
        prediction: Where each is said to be.
        constant: What not looking would say, ``(K, 2)``.
        eps: Relative rounding of ``y`` as it was given.

    Returns:
        Mean squared error per coordinate, ``(K, 2)``; error of the constant, ``(K,)``; and
        1 - error / error of the constant, ``(K,)``, NaN for an object that never moves.
    """
    error_xy = mean_square(y - prediction)
    baseline = mean_square(y - constant[..., None]).sum(axis=-1)
    moves = baseline > rounding_of(y, eps)
    ratio = error_xy.sum(axis=-1) / np.where(moves, baseline, np.nan)
    return error_xy, baseline, 1 - ratio


def time_last(x: np.ndarray) -> np.ndarray:
    """``(M, K, 2)`` to ``(K, 2, M)``: NumPy is fast along the last axis, and slow if that is 2."""
    return np.ascontiguousarray(x.transpose(1, 2, 0), dtype=np.float64)


def mean_square(x: np.ndarray) -> np.ndarray:
    """Per coordinate of ``(..., 2, M)``."""
    return np.asarray(np.square(np.ascontiguousarray(x)).mean(axis=-1))


def rounding_of(y: np.ndarray, eps: float) -> np.ndarray:
    """Mean squared distance that rounding alone gives to objects ``(..., 2, M)``."""
    return np.asarray(np.square(rounding(mean_square(y), eps)).sum(axis=-1))
