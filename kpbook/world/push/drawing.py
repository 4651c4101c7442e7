"""Pictures, depth and masks of PandaPush as a camera sees it; the lens in OpenGL's terms."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from kpbook.cameras import Camera
from kpbook.world.push.simulation import HAND_LINKS, Simulation, create_room

NEAR_M, FAR_M = 0.1, 100.0  # nothing nearer or farther is drawn


class Image(NamedTuple):
    """What one drawing of a view gives."""

    frame: np.ndarray  # uint8 (H, W, 3)
    depth_m: np.ndarray  # float64 (H, W), inf where nothing is drawn
    mask: np.ndarray  # int64 (H, W)


class Drawer:
    """Draws a simulation in a look, with a renderer, both named as in PushWorld."""

    def __init__(self, sim: Simulation, look: str, renderer: str) -> None:
        self._sim, self._look, self._renderer = sim, look, renderer
        # Without shadows the room looks the same in every frame: drawn once, then laid behind.
        self.room_apart = look == "fast" and renderer == "tiny"
        self._rooms: dict[Camera, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def draw(self, camera: Camera) -> Image:
        """Draw the scene as it is now."""
        rgb, device_depth, bodies = self.shoot(self._sim.physics_client, camera)
        mask = self._mask(bodies)
        if self.room_apart:
            room_rgb, room_depth, room_bodies = self._room(camera)
            behind = room_depth < device_depth
            rgb = np.where(behind[..., None], room_rgb, rgb)
            device_depth = np.where(behind, room_depth, device_depth)
            bodies = np.where(behind, room_bodies, bodies)
            mask[behind] = 0
        depth_m = FAR_M * NEAR_M / (FAR_M - (FAR_M - NEAR_M) * device_depth.astype(np.float64))
        depth_m[bodies < 0] = np.inf
        return Image(np.ascontiguousarray(rgb), depth_m, mask)

    def _room(self, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw floor and table alone, once per camera, in a simulation of their own."""
        if camera not in self._rooms:
            empty = Simulation("")
            empty.clear()
            create_room(empty)
            self._rooms[camera] = self.shoot(empty.physics_client, camera)
            empty.close()
        return self._rooms[camera]

    def shoot(self, gl: Any, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Let pybullet draw: colours ``(H, W, 3)``, device depth and body of each pixel."""
        H, W = camera.image_size
        tiny = self._renderer == "tiny"
        _, _, rgba, depth, bodies = gl.getCameraImage(
            W,
            H,
            _view_matrix(camera),
            _projection_matrix(camera, corner_samples=tiny),
            shadow=int(self._look == "full"),
            renderer=gl.ER_TINY_RENDERER if tiny else gl.ER_BULLET_HARDWARE_OPENGL,
            flags=gl.ER_SEGMENTATION_MASK_OBJECT_AND_LINKINDEX,
        )
        return (
            _as_array(rgba, np.uint8).reshape(H, W, 4)[..., :3],
            _as_array(depth, np.float32).reshape(H, W),
            _as_array(bodies, np.int32).reshape(H, W),
        )

    def _mask(self, bodies: np.ndarray) -> np.ndarray:
        """Turn pybullet's ``body + (link + 1) * 2**24`` into our ids."""
        body, link = bodies & 0xFFFFFF, (bodies >> 24) - 1
        robot = body == self._sim.body("panda")
        hand = robot & (link >= HAND_LINKS[0])
        mask: np.ndarray = 3 * robot.astype(np.int64) + hand
        for number, name in ((1, "object"), (2, "target"), (5, "second_cube")):
            if self._sim.has(name):
                mask[body == self._sim.body(name)] = number
        mask[bodies < 0] = 0
        return mask


@functools.lru_cache(maxsize=64)
def _view_matrix(camera: Camera) -> tuple[float, ...]:
    """OpenGL's world-to-camera matrix, column by column: y up, z backward."""
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    return tuple((flip @ camera.X_CW).T.ravel().tolist())


@functools.lru_cache(maxsize=64)
def _projection_matrix(camera: Camera, corner_samples: bool) -> tuple[float, ...]:
    """OpenGL's projection of a camera, column by column.

    pybullet's CPU renderer takes the colour of a pixel at its lower left corner instead of its
    centre: everything appears half a pixel to the right and half a pixel higher. With
    ``corner_samples`` the principal point is moved so that the picture lies where
    :mod:`kpbook.grid` says.
    """
    H, W = camera.image_size
    K = camera.intrinsics
    cx, cy = K[0, 2], K[1, 2]
    if corner_samples:
        cx, cy = cx - 0.5, cy + 0.5
    P = np.zeros((4, 4))
    P[0, 0], P[1, 1] = 2 * K[0, 0] / W, 2 * K[1, 1] / H
    P[0, 2], P[1, 2] = 1 - 2 * (cx + 0.5) / W, 2 * (cy + 0.5) / H - 1
    P[2, 2] = -(FAR_M + NEAR_M) / (FAR_M - NEAR_M)
    P[2, 3] = -2 * FAR_M * NEAR_M / (FAR_M - NEAR_M)
    P[3, 2] = -1
    return tuple(P.T.ravel().tolist())


def _as_array(x: Any, dtype: type[np.generic]) -> np.ndarray:
    """A pybullet built without NumPy gives tuples; ``bytes`` is the fast way for colours."""
    if dtype is np.uint8 and not isinstance(x, np.ndarray):
        return np.frombuffer(bytes(x), dtype=np.uint8)
    return np.asarray(x, dtype=dtype)
