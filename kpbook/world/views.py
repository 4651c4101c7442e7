"""The scene of chapter 2, sharper and also from above: what a live figure draws its lines over.

``python -m kpbook.world.views`` writes ``kpbook/data/push_views.kpe``: the same moment of PandaPush
as :meth:`kpbook.world.scene.Scene.sample`, seen by the cameras of :data:`VIEWS`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from kpbook.world.objects import CUBE_M
from kpbook.world.scene import SEED, Scene

IMAGE_SIZE = 256
_SAMPLE = Path(__file__).parents[1] / "data" / "push_views.kpe"
#: The table's lid, which lies at z = 0: lowest and highest x and y, metres.
TABLE = ((-0.85, 0.25), (-0.35, 0.35))
#: The cameras that took the pictures.
VIEWS = ("paper", "front", "side", "top")


def take() -> Scene:
    """Ask the simulator for the scene of chapter 2 from every camera of :data:`VIEWS`.

    Raises:
        ImportError: If the simulator is missing.
    """
    return Scene.take(SEED, VIEWS, IMAGE_SIZE)


def sample() -> Scene:
    """Return the scene that ships with the package: :func:`take`, recorded."""
    return Scene.load(_SAMPLE)


def cube_corners(centre: np.ndarray) -> np.ndarray:
    """Return the corners ``(8, 3)`` of a cube that stands as after a reset, metres.

    Corner ``k`` lies on the far side along x, y, z where bit 0, 1, 2 of ``k`` is set.
    """
    bits = np.arange(8)[:, None] >> np.arange(3) & 1  # (8, 3)
    corners: np.ndarray = np.asarray(centre, dtype=np.float64) + CUBE_M * (bits - 0.5)
    return corners


if __name__ == "__main__":
    take().save(sys.argv[1] if len(sys.argv) > 1 else _SAMPLE)
