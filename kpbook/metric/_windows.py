"""Windows of an episode, and who is matched with whom in each; values are checked elsewhere."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distance of points ``(..., 2)`` that broadcast, float64."""
    dx, dy = (np.subtract(a[..., i], b[..., i], dtype=np.float64) for i in (0, 1))
    return np.asarray(np.hypot(dx, dy))


def in_episodes(label: np.ndarray, T: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Order that puts episodes one after another; each frame's place in its own, and its length.

    ``label`` is ``(T,)``, or empty if all frames are one episode.
    """
    if not label.size:
        label = np.zeros(T, dtype=int)
    order, sizes = np.argsort(label, kind="stable"), np.bincount(label)
    first = np.cumsum(sizes) - sizes
    return order, np.arange(T) - np.repeat(first, sizes), np.repeat(sizes, sizes)


def count(
    distance: np.ndarray, near: np.ndarray, present: np.ndarray, found: np.ndarray
) -> tuple[float, ...]:
    """Match each window ``(W, N, K)``, whose absent pairs lie infinitely far away, and count.

    ``present`` is how many objects each window has, ``found`` how many keypoints, ``(W,)``.

    Returns:
        Windows, matches, detections, objects, the most possible matches, the detections that
        would then count, the keypoints that have a point, and the summed distance of the matches.
    """
    W, _, K = distance.shape
    pairs = _assign(distance, near)
    hit = np.isfinite(pairs)
    matched, most = hit.sum(axis=-1), np.minimum(found, present)
    detections, fewest = (found - np.minimum(found - m, K - present) for m in (matched, most))
    sums = (x.sum() for x in (matched, detections, present, most, fewest, found, pairs[hit]))
    return (W, *sums)


def _assign(distance: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Distances of the pairs of each window ``(W, N, K)``, one to one, ``(W, min(N, K))``.

    A pair that is no match has distance infinity.
    """
    allowed = distance <= near
    # A forbidden pair costs more than all allowed pairs of any assignment together, at most one
    # for each object. So one match more is cheaper than any distances, and those decide the rest.
    longest = distance[allowed].max(initial=0)
    cost = np.where(allowed, distance, 1 + longest * distance.shape[2])
    n, k = np.array([linear_sum_assignment(window) for window in cost]).transpose(1, 0, 2)
    w = np.arange(len(cost))[:, None]
    return np.where(allowed[w, n, k], distance[w, n, k], np.inf)
