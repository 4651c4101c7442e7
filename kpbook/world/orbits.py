"""Where the named cameras of PandaPush stand, in panda-gym's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from kpbook.cameras import Camera
from kpbook.grid import Size


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


#: Name -> where that camera stands.
ORBITS: Mapping[str, Orbit] = MappingProxyType(
    {
        # Cramer et al. (2024), "panda-close"
        "paper": Orbit((0, -0.1, 0), 0.7, 45, -35),
        "front": Orbit((-0.05, 0, 0.05), 0.75, 90, -35),
        "side": Orbit((-0.05, 0, 0.05), 0.75, 0, -35),
        "top": Orbit((0, 0, 0), 0.75, 0, -90),
        # what panda-gym's own render() shows
        "panda-gym": Orbit((0, 0, 0), 1.4, 45, -30),
    }
)
