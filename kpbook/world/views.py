"""The scene of chapter 2, sharper and also from above: what a live figure draws its lines over.

``python -m kpbook.world.views`` writes ``kpbook/data/push_views.kpe``: the same moment of PandaPush
as :meth:`kpbook.world.scene.Scene.sample`, seen by the cameras of :data:`ORBITS`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from kpbook.cameras import Camera
from kpbook.grid import Size
from kpbook.world.objects import CUBE_M
from kpbook.world.scene import SEED, Scene

IMAGE_SIZE = 256
_SAMPLE = Path(__file__).parents[1] / "data" / "push_views.kpe"
#: The table's lid, which lies at z = 0: lowest and highest x and y, metres.
TABLE = ((-0.85, 0.25), (-0.35, 0.35))


class Orbit(NamedTuple):
    """A camera by panda-gym's numbers, without roll: the arguments of ``Camera.orbit``."""

    target: tuple[float, float, float]  # metres
    distance: float  # metres
    yaw: float  # degrees
    pitch: float  # degrees
    fov: float = 60.0  # degrees between the upper and the lower edge

    def camera(self, image_size: Size) -> Camera:
        """Return the camera that these numbers describe."""
        return Camera.orbit(*self, image_size=image_size)


#: Cameras of :data:`kpbook.world.CAMERAS`, by the numbers that they are made of.
ORBITS: Mapping[str, Orbit] = MappingProxyType(
    {
        "paper": Orbit((0, -0.1, 0), 0.7, 45, -35),
        "front": Orbit((-0.05, 0, 0.05), 0.75, 90, -35),
        "side": Orbit((-0.05, 0, 0.05), 0.75, 0, -35),
        "top": Orbit((0, 0, 0), 0.75, 0, -90),
    }
)


def take() -> Scene:
    """Ask the simulator for the scene of chapter 2 from every camera of :data:`ORBITS`.

    Raises:
        ImportError: If the simulator is missing.
    """
    return Scene.take(SEED, tuple(ORBITS), IMAGE_SIZE)


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
