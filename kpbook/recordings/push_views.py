"""The moment of chapter 2, sharper and also from above: what a live figure draws its lines over.

:func:`kpbook.world.push.moment.take_views` made it: the same moment of PandaPush as
:meth:`~kpbook.recordings.push_moment.Moment.sample`, seen by the cameras of :data:`VIEWS`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kpbook.recordings.push_moment import CUBE_M, Moment

IMAGE_SIZE = 256
_SAMPLE = Path(__file__).parents[1] / "data" / "push_views.kpe"
#: The table's lid, which lies at z = 0: lowest and highest x and y, metres.
TABLE = ((-0.85, 0.25), (-0.35, 0.35))
#: The cameras that took the pictures.
VIEWS = ("cramer2024", "front", "side", "top")


def sample() -> Moment:
    """Return the recording that ships with the package."""
    return Moment.load(_SAMPLE)


def cube_corners(centre: np.ndarray) -> np.ndarray:
    """Return the corners ``(8, 3)`` of a cube that stands as after a reset, metres.

    Corner ``k`` lies on the far side along x, y, z where bit 0, 1, 2 of ``k`` is set.
    """
    bits = np.arange(8)[:, None] >> np.arange(3) & 1  # (8, 3)
    corners: np.ndarray = np.asarray(centre, dtype=np.float64) + CUBE_M * (bits - 0.5)
    return corners
