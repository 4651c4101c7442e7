"""Arm poses without cube and target: the ground on which a live figure draws its own.

``python -m kpbook.world.poses`` writes ``kpbook/data/push_poses.kpe``: what the paper's camera sees
of the robot and the room at the neutral pose and along random walks, with the depth of every
pixel, so that whatever is drawn afterwards is hidden where the arm stands before it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kpbook import _store
from kpbook.cameras import Camera, from_lists, to_lists
from kpbook.world import objects

SEED, WALKS, EVERY, STEPS, IMAGE_SIZE = 11, 4, 5, 20, 64
_SAMPLE = Path(__file__).parents[1] / "data" / "push_poses.kpe"
#: The example: cube (x, y) and yaw, target (x, y); metres and radians, at the first pose.
PLACES = (0.03, -0.07, 0.4, -0.07, -0.17)


@dataclass(frozen=True, eq=False)
class Poses(_store.Stored):
    """What a camera sees of P poses of the arm in an otherwise empty scene.

    Attributes:
        camera: The camera.
        frames: uint8 ``(P, H, W, 3)``, the fast look.
        depth_m: float32 ``(P, H, W)``, metres along the camera's axis; ``inf``: nothing there.
        hand: Image coordinates of the point between the fingertips, float64 ``(P, 2)``.
        seeds: Of the reset that leads to each pose, int64 ``(P,)``.
        actions: The actions after it, float32 ``(P, T, 3)``; NaN where there are fewer.
        example: The first pose with cube and target, as the simulator draws them, uint8
            ``(H, W, 3)``.
        places: Where they are in it, as :data:`PLACES`, float64 ``(5,)``.
    """

    _kind = "poses"
    _arrays = ("frames", "depth_m", "hand", "seeds", "actions", "example", "places")

    camera: Camera
    frames: np.ndarray
    depth_m: np.ndarray
    hand: np.ndarray
    seeds: np.ndarray
    actions: np.ndarray
    example: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)

    @classmethod
    def take(cls) -> Poses:
        """Move the arm and draw it without cube and target.

        Raises:
            ImportError: If the simulator is missing.
        """
        from kpbook.world.push import PushWorld

        world = PushWorld(image_size=IMAGE_SIZE, camera="paper", look="fast")
        rows: list[dict[str, Any]] = []
        for walk in range(WALKS):
            rng = np.random.default_rng([SEED, walk])
            world.reset(seed=SEED + walk)
            act = PushWorld.policies["random_walk"](world, rng)
            actions = np.full((STEPS, 3), np.nan, np.float32)
            for t in range(STEPS + 1):
                if (t and t % EVERY == 0) or (t == 0 and walk == 0):
                    rows.append({**_empty(world), "seeds": SEED + walk, "actions": actions.copy()})
                if t < STEPS:
                    actions[t] = act({})
                    world.step(actions[t])
        arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        camera, example = world.camera(), _with_places(world)
        world.close()
        return cls(camera, **arrays, example=example, places=np.array(PLACES))

    def _description(self) -> dict[str, Any]:
        return {"cameras": to_lists([self.camera])}

    @classmethod
    def _from_parts(cls, description: dict[str, Any], arrays: dict[str, Any]) -> Poses:
        (camera,) = from_lists(description["cameras"])
        return cls(camera, **arrays)

    @classmethod
    def sample(cls) -> Poses:
        """Return the poses that ship with the package: ``Poses.take()``, recorded."""
        return cls.load(_SAMPLE)


def _with_places(world: Any) -> np.ndarray:
    """The first pose with cube and target at :data:`PLACES`."""
    world.reset(seed=SEED)
    x, y, yaw, *target = PLACES
    gl, sim = world._client, world._sim
    turned = gl.getQuaternionFromEuler([0, 0, yaw])
    gl.resetBasePositionAndOrientation(sim.body("object"), [x, y, objects.CUBE_M / 2], turned)
    gl.resetBasePositionAndOrientation(sim.body("target"), [*target, 0], [0, 0, 0, 1])
    world._forget()
    return np.asarray(world.frame())


def _empty(world: Any) -> dict[str, np.ndarray]:
    """Frame, depth and hand of a PushWorld; cube and target are not drawn until its next reset."""
    for body in ("object", "target"):  # without opacity the CPU renderer skips a body
        world._client.changeVisualShape(world._sim.body(body), -1, rgbaColor=[1, 1, 1, 0])
    world._forget()
    return {
        "frames": world.frame(),
        "depth_m": world.depth().astype(np.float32),
        "hand": world.truth()[2],
    }


if __name__ == "__main__":
    Poses.take().save(sys.argv[1] if len(sys.argv) > 1 else _SAMPLE)
