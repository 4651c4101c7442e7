"""Make the poses of the arm that ship with the package.

``python -m kpbook.world.push.poses`` writes ``push_poses.kpe`` and ``push_poses_sharp.kpe`` into
``kpbook/data``, or into a folder.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

from kpbook.grid import from_pixels
from kpbook.recordings.push_moment import CUBE_M
from kpbook.recordings.push_poses import SHARP, SMALL, Poses
from kpbook.world.push.world import PushWorld

SEED, WALKS, EVERY, STEPS = 11, 4, 5, 20
GROUND_M = 0.002  # no higher than this is the table, which hides nothing that lies on it
#: The example: cube (x, y) and yaw, target (x, y); metres and radians, at the first pose.
PLACES = (0.03, -0.07, 0.4, -0.07, -0.17)


def take(image_size: int = SMALL) -> Poses:
    """Move the arm and draw it without cube and target.

    Raises:
        ImportError: If the simulator is missing.
    """
    world = PushWorld(image_size=image_size, camera="cramer2024", look="fast")
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
    return Poses(camera, **arrays, example=example, places=np.array(PLACES))


def take_sharp() -> Poses:
    """The same poses for the eye: depth to the millimetre, of what stands above the table."""
    poses = take(SHARP)
    v, u = np.mgrid[:SHARP, :SHARP]
    points = from_pixels(np.stack([u, v], axis=-1), SHARP)
    height = [
        poses.camera.unproject(points, np.where(np.isfinite(depth), depth, 1.0))[..., 2]
        for depth in poses.depth_m
    ]
    stands = np.isfinite(poses.depth_m) & (np.array(height) > GROUND_M)
    return dataclasses.replace(poses, depth_m=np.where(stands, poses.depth_m.round(3), np.inf))


def _with_places(world: Any) -> np.ndarray:
    """The first pose with cube and target at :data:`PLACES`."""
    world.reset(seed=SEED)
    x, y, yaw, *target = PLACES
    gl, sim = world._client, world._sim
    turned = gl.getQuaternionFromEuler([0, 0, yaw])
    gl.resetBasePositionAndOrientation(sim.body("object"), [x, y, CUBE_M / 2], turned)
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
        "hand_m": world.positions()[2],
    }


if __name__ == "__main__":
    home = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "data"
    take().save(home / "push_poses.kpe")
    take_sharp().save(home / "push_poses_sharp.kpe")
