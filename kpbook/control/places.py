"""Which keypoint is the cube, and where on the table it is: a fit on a few labelled frames.

An agent with a goal needs to know which of its keypoints is the cube and which the target, and a
distance in metres between them. A handful of labelled frames says both: each keypoint is mapped
to the table by a quadratic polynomial, and the one that is least off is the object's.

Least off *where the object is found at all*: the worst tenth of the frames is left out, of the fit
as of the choice. An object half under the hand is not where its best keypoint says. A plain least
squares fit pays for such frames above all others, and so prefers a keypoint that is never right to
one that is right whenever it can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kpbook import cores
from kpbook._checks import check_integer, check_seed, check_shape, complain
from kpbook.detect import check_ready, check_size
from kpbook.heatmaps import spread
from kpbook.images import to_float

OBJECTS = ("cube", "target", "end_effector")
#: A place further than this from the middle of the table, metres along an axis, is cut off.
FARTHEST_M = 0.5
_TERMS = 6  # of a quadratic polynomial of two variables
_EVERY = 10  # steps between two frames of an episode
_EPISODE = 50
_KEPT = 0.9  # of the frames in which an object is seen, those that are fitted best
_ROUNDS = 5  # of fitting, and choosing the frames that are kept


@dataclass(frozen=True)
class Fit:
    """Which keypoint is which object, and the map from it to the table.

    Attributes:
        keypoint: For cube, target and hand the number of its keypoint, int ``(3,)``.
        weights: Of 1, x, y, x², xy, y², for the two coordinates on the table, ``(3, 6, 2)``,
            metres.
        error_m: Median distance from the true place over all frames in which the object is seen,
            ``(3,)`` metres.
        spread: 95 % quantile of the spread of the keypoint's heat map in the frames that the fit
            keeps, ``(3,)`` map units: a wider map is unusual for an object that is found.
    """

    keypoint: np.ndarray
    weights: np.ndarray
    error_m: np.ndarray
    spread: np.ndarray

    def place(self, points: np.ndarray) -> np.ndarray:
        """Map keypoints ``(B, N, 2)`` to places of the objects, ``(B, 3, 2)`` metres.

        They are cut off at :data:`FARTHEST_M`: a polynomial goes astray far from where it was
        fitted.
        """
        check_shape(points, "B N 2", name="points")
        return self.place_of(points[:, self.keypoint])

    def place_of(self, chosen: np.ndarray) -> np.ndarray:
        """The same from the keypoints of cube, target and hand alone, ``(B, 3, 2)``."""
        check_shape(chosen, "B 3 2", name="chosen", hint="points[:, fit.keypoint] has these.")
        places = np.einsum("bkt,ktd->bkd", _polynomial(chosen), self.weights)
        return np.asarray(np.clip(places, -FARTHEST_M, FARTHEST_M))


def calibrate(extractor: Any, world: Any, *, frames: int = 300, seed: int = 0) -> Fit:
    """Fit keypoints to places on the table, from frames in which the objects are seen.

    The frames are every tenth of episodes of 50 steps, half of which push the cube. The hand is
    above the table; its place is the point below it, which a picture alone does not tell, so
    that its fit is worse.

    Args:
        extractor: Of one view, with keypoints in the image plane.
        world: A :class:`kpbook.world.PushWorld` of the extractor's image size.
        frames: Labelled frames, at least 20.
        seed: Of the episodes.

    Raises:
        TypeError: If ``frames`` or ``seed`` is no whole number.
        ValueError: If the extractor does not fit, is in training mode, or an object is seen in
            too few frames.
    """
    check_finder(extractor, world)
    frames = check_integer(frames, name="frames", minimum=20, hint="300 are enough.")
    seed = check_seed(seed)
    pictures, places, seen = _labelled(world, frames, seed)
    found = [find(extractor, pictures[i : i + 50]) for i in range(0, frames, 50)]
    points, widths = (np.concatenate(part) for part in zip(*found, strict=True))
    terms = _polynomial(points).swapaxes(0, 1)  # (N, M, 6)
    keypoint, weights, error_m, spreads = [], [], [], []
    for k, name in enumerate(OBJECTS):
        rows = seen[:, k]
        if rows.sum() <= 2 * _TERMS:
            got = f"{int(rows.sum())} frames in which the {name} is seen"
            raise ValueError(complain("frames", got, f"more than {2 * _TERMS}", "Take more."))
        fits = [_trimmed(x[rows], places[rows, k]) for x in terms]
        best = min(range(len(fits)), key=lambda n: _left(*fits[n][1:]))
        fitted, off_m, kept = fits[best]
        keypoint.append(best)
        weights.append(fitted)
        error_m.append(np.median(off_m))
        spreads.append(np.quantile(widths[rows, best][kept], 0.95))
    return Fit(np.array(keypoint), np.stack(weights), np.array(error_m), np.array(spreads))


def check_finder(extractor: Any, world: Any) -> None:
    """Raise ``ValueError`` unless the extractor looks at one image of the world's size."""
    views, dimensions = getattr(extractor, "views", 1), getattr(extractor, "dimensions", 2)
    if (views, dimensions) != (1, 2):
        got = f"{views} views and keypoints of {dimensions} numbers"
        raise ValueError(complain("extractor", got, "one view and (x, y)"))
    check_ready(extractor, name="extractor")
    check_size(extractor, world.image_size, name="world")


@torch.no_grad()
def find(extractor: Any, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints in map coordinates, ``(B, N, 2)``, and the spread of their maps, ``(B, N)``.

    One pass through the network gives both. Map and image coordinates differ by a scale and a
    shift, which the fit takes in.
    """
    device = check_ready(extractor, name="extractor")
    maps = extractor.heatmaps(to_float(pictures, device))
    points = cores.expectation(maps)
    return points.cpu().double().numpy(), spread(maps).cpu().double().numpy()


def _labelled(world: Any, frames: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures, places ``(M, 3, 2)`` metres, and which objects are seen, bool ``(M, 3)``."""
    rng = np.random.default_rng([seed, 0])
    pictures: list[np.ndarray] = []
    places: list[np.ndarray] = []
    seen: list[np.ndarray] = []
    episode = 0
    while len(pictures) < frames:
        state, _ = world.reset(seed=int(rng.integers(2**31)))
        policy = world.policy(("push", "random_walk")[episode % 2], rng)
        episode += 1
        for step in range(_EPISODE):
            if step % _EVERY == 0 and len(pictures) < frames:
                pictures.append(world.frame())
                places.append(world.positions()[:3, :2])
                seen.append(world.visible()[:3])
            state, _, terminated, _, _ = world.step(policy(state))
            if terminated:
                break
    return np.stack(pictures), np.stack(places), np.stack(seen)


def _polynomial(points: np.ndarray) -> np.ndarray:
    """1, x, y, x², xy and y² of points ``(..., 2)``, ``(..., 6)``."""
    x, y = points[..., 0], points[..., 1]
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def _trimmed(terms: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit ``(M, 6)`` terms to ``(M, 2)`` places, again and again to those it fits best.

    Returns:
        Weights ``(6, 2)``, how far each frame is off ``(M,)``, and which are kept, bool ``(M,)``.
    """
    kept = np.ones(len(terms), dtype=bool)
    for _ in range(_ROUNDS):
        weights = np.linalg.lstsq(terms[kept], places[kept], rcond=None)[0]
        off_m = np.linalg.norm(terms @ weights - places, axis=-1)
        kept = off_m <= np.quantile(off_m, _KEPT)
    return weights, off_m, kept


def _left(off_m: np.ndarray, kept: np.ndarray) -> float:
    """Mean square over the frames that are kept."""
    return float(np.square(off_m[kept]).mean())
