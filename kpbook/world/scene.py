"""One moment of PandaPush from several cameras: pictures, depth, masks and the true points.

Chapter 2 works on one scene. :meth:`Scene.take` asks the simulator for it; :meth:`Scene.sample`
reads the same scene from a file that ships with the package, for readers who have no simulator.
``python -m kpbook.world.scene`` writes that file again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kpbook import _store
from kpbook.cameras import Camera, from_lists, to_lists
from kpbook.world.quiet import quiet

VIEWS, IMAGE_SIZE, SEED = ("paper", "front", "side"), 128, 5
_SAMPLE = Path(__file__).parents[1] / "data" / "push_scene.kpe"


@dataclass(frozen=True, eq=False)
class Scene(_store.Stored):
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
        gl_view: pybullet's own matrix from world to camera axes for the paper's camera, float64
            ``(4, 4)``; OpenGL axes: y up, z backward.
        gl_projection: pybullet's own projection matrix for the paper's lens, ``(4, 4)``.
    """

    _kind = "scene"
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

    @classmethod
    def take(
        cls, seed: int = SEED, views: Sequence[str] = VIEWS, image_size: int = IMAGE_SIZE
    ) -> Scene:
        """Reset the simulator with ``seed`` and draw what every camera sees.

        Args:
            seed: Of :meth:`kpbook.world.PushWorld.reset`.
            views: Names of cameras, see :data:`kpbook.world.CAMERAS`.
            image_size: Pixels along each side.

        Raises:
            ImportError: If the simulator is missing.
        """
        from kpbook.world.push import PushWorld

        world = PushWorld(image_size, camera=views)
        full = PushWorld(image_size, camera=views, look="full")
        for each in (world, full):
            each.reset(seed=seed)
        gl_view, gl_projection = _gl_matrices()
        scene = cls(
            views=tuple(world.cameras),
            cameras=tuple(world.cameras.values()),
            objects=world.objects,
            frames=np.stack([world.frame(view) for view in views]),
            full=np.stack([full.frame(view) for view in views]),
            depth_m=np.stack([world.depth(view) for view in views]).astype(np.float32),
            mask=np.stack([world.mask(view) for view in views]).astype(np.uint8),
            truth=np.stack([world.truth(view) for view in views]),
            visible=np.stack([world.visible(view) for view in views]),
            positions=world.positions(),
            gl_view=gl_view,
            gl_projection=gl_projection,
        )
        world.close()
        full.close()
        return scene

    def _description(self) -> dict[str, Any]:
        cameras = to_lists(self.cameras)
        return {"views": self.views, "objects": self.objects, "cameras": cameras}

    @classmethod
    def _from_parts(cls, description: dict[str, Any], arrays: dict[str, Any]) -> Scene:
        names: dict[str, Any] = {key: tuple(description[key]) for key in ("views", "objects")}
        return cls(cameras=from_lists(description["cameras"]), **names, **arrays)

    @classmethod
    def sample(cls) -> Scene:
        """Return the scene that ships with the package: ``Scene.take()``, recorded."""
        return cls.load(_SAMPLE)


def _gl_matrices() -> tuple[np.ndarray, np.ndarray]:
    """Ask pybullet, not :mod:`kpbook.cameras`, for the paper's camera: an independent witness."""
    with quiet():
        import pybullet

    view = pybullet.computeViewMatrixFromYawPitchRoll(
        cameraTargetPosition=(0, -0.1, 0), distance=0.7, yaw=45, pitch=-35, roll=0, upAxisIndex=2
    )
    lens = pybullet.computeProjectionMatrixFOV(fov=60, aspect=1, nearVal=0.1, farVal=100)
    by_columns = [np.array(m, dtype=np.float64).reshape(4, 4) for m in (view, lens)]
    return by_columns[0].T, by_columns[1].T


if __name__ == "__main__":
    Scene.take().save(sys.argv[1] if len(sys.argv) > 1 else _SAMPLE)
