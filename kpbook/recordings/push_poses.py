"""Arm poses without cube and target: the ground on which a live figure draws its own.

:func:`kpbook.world.push.poses.take` made them: what the camera of Cramer et al. (2024) sees of the
robot and the room at the neutral pose and along random walks, with the depth of every pixel, so
that whatever is drawn afterwards is hidden where the arm stands before it. They ship twice: as
networks see them, and sharper, for the eye.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kpbook import _store
from kpbook.cameras import Camera, from_lists, to_lists

SMALL, SHARP = 64, 256  # pixels a side: for networks, for the eye
_DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True, eq=False)
class Poses(_store.Stored):
    """What a camera sees of P poses of the arm in an otherwise empty scene.

    Attributes:
        camera: The camera.
        frames: uint8 ``(P, H, W, 3)``, the fast look.
        depth_m: float32 ``(P, H, W)``, metres along the camera's axis; ``inf``: nothing there.
        hand: Image coordinates of the point between the fingertips, float64 ``(P, 2)``.
        hand_m: Where that point is, metres, float64 ``(P, 3)``.
        seeds: Of the reset that leads to each pose, int64 ``(P,)``.
        actions: The actions after it, float32 ``(P, T, 3)``; NaN where there are fewer.
        example: The first pose with cube and target, as the simulator draws them, uint8
            ``(H, W, 3)``.
        places: Where they are in it: cube (x, y) and yaw, target (x, y), metres and radians,
            float64 ``(5,)``.
    """

    _kind = "poses"
    _arrays = ("frames", "depth_m", "hand", "hand_m", "seeds", "actions", "example", "places")

    camera: Camera
    frames: np.ndarray
    depth_m: np.ndarray
    hand: np.ndarray
    hand_m: np.ndarray
    seeds: np.ndarray
    actions: np.ndarray
    example: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)

    def _description(self) -> dict[str, Any]:
        return {"cameras": to_lists([self.camera])}

    @classmethod
    def _from_parts(cls, description: dict[str, Any], arrays: dict[str, Any]) -> Poses:
        (camera,) = from_lists(description["cameras"])
        return cls(camera, **arrays)

    @classmethod
    def sample(cls) -> Poses:
        """Return the poses that ship with the package, as networks see them."""
        return cls.load(_DATA / "push_poses.kpe")

    @classmethod
    def sharp(cls) -> Poses:
        """Return the same poses for the eye.

        Depth is to the millimetre, and ``inf`` also where the ground is, which hides nothing.
        """
        return cls.load(_DATA / "push_poses_sharp.kpe")
