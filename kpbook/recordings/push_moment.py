"""One moment of PandaPush from several cameras: pictures, depth, masks and the true points.

Chapter 2 works on one moment. :func:`kpbook.world.push.moment.take` asks the simulator for it;
:meth:`Moment.sample` reads the same from a file that ships with the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kpbook import _store
from kpbook.cameras import Camera, from_lists, to_lists

#: Edge of the cube, metres.
CUBE_M = 0.04
_OLD_NAMES = {"paper": "cramer2024"}  # of views, in files of earlier versions
_SAMPLE = Path(__file__).parents[1] / "data" / "push_scene.kpe"


@dataclass(frozen=True, eq=False)
class Moment(_store.Stored):
    """What V cameras see of the same moment, and what is true of it.

    Attributes:
        views: Names of the cameras.
        cameras: One per view.
        objects: Names along K.
        frames: uint8 ``(V, H, W, 3)``, the fast look.
        full: uint8 ``(V, H, W, 3)``, the full look: visual meshes and shadows.
        depth_m: float32 ``(V, H, W)``, metres along the camera's axis; ``inf``: nothing there.
        mask: uint8 ``(V, H, W)``, indices of ``kpbook.world.MASK_NAMES``.
        truth: Image coordinates of the objects, float64 ``(V, K, 2)``.
        visible: bool ``(V, K)``.
        positions: Places of the objects, float64 ``(K, 3)``, metres.
        gl_view: pybullet's own matrix from world to camera axes for the first camera, that of
            Cramer et al. (2024), float64 ``(4, 4)``; OpenGL axes: y up, z backward.
        gl_projection: pybullet's own projection matrix for its lens, ``(4, 4)``.
    """

    _kind = "scene"  # as files of earlier versions say
    _arrays = (
        "frames", "full", "depth_m", "mask", "truth", "visible", "positions", "gl_view",
        "gl_projection",
    )  # fmt: skip

    views: tuple[str, ...]
    cameras: tuple[Camera, ...]
    objects: tuple[str, ...]
    frames: np.ndarray
    full: np.ndarray
    depth_m: np.ndarray
    mask: np.ndarray
    truth: np.ndarray
    visible: np.ndarray
    positions: np.ndarray
    gl_view: np.ndarray
    gl_projection: np.ndarray

    def _description(self) -> dict[str, Any]:
        cameras = to_lists(self.cameras)
        return {"views": self.views, "objects": self.objects, "cameras": cameras}

    @classmethod
    def _from_parts(cls, description: dict[str, Any], arrays: dict[str, Any]) -> Moment:
        views = tuple(_OLD_NAMES.get(name, name) for name in description["views"])
        cameras, objects = from_lists(description["cameras"]), tuple(description["objects"])
        return cls(views=views, cameras=cameras, objects=objects, **arrays)

    @classmethod
    def sample(cls) -> Moment:
        """Return the moment that ships with the package."""
        return cls.load(_SAMPLE)
