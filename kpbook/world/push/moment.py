"""Make the moments of PandaPush that ship with the package.

``python -m kpbook.world.push.moment`` writes ``kpbook/data/push_scene.kpe``, the moment of chapter
2, and ``push_views.kpe``, the same one sharper and also from above. A folder may be named.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kpbook.recordings import push_views
from kpbook.recordings.push_moment import Moment
from kpbook.world.push.world import PushWorld
from kpbook.world.quiet import quiet

VIEWS, IMAGE_SIZE, SEED = ("cramer2024", "front", "side"), 128, 5


def take(seed: int = SEED, views: Sequence[str] = VIEWS, image_size: int = IMAGE_SIZE) -> Moment:
    """Reset the simulator with ``seed`` and draw what every camera sees.

    Args:
        seed: Of :meth:`kpbook.world.PushWorld.reset`.
        views: Names of cameras, see :data:`kpbook.world.CAMERAS`.
        image_size: Pixels along each side.

    Raises:
        ImportError: If the simulator is missing.
    """
    world = PushWorld(image_size, camera=views)
    full = PushWorld(image_size, camera=views, look="full")
    for each in (world, full):
        each.reset(seed=seed)
    gl_view, gl_projection = _gl_matrices()
    moment = Moment(
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
    return moment


def take_views() -> Moment:
    """Ask the simulator for the same moment from every camera of :data:`push_views.VIEWS`."""
    return take(SEED, push_views.VIEWS, push_views.IMAGE_SIZE)


def _gl_matrices() -> tuple[np.ndarray, np.ndarray]:
    """Ask pybullet, not :mod:`kpbook.cameras`, for ``cramer2024``: an independent witness."""
    with quiet():
        import pybullet

    view = pybullet.computeViewMatrixFromYawPitchRoll(
        cameraTargetPosition=(0, -0.1, 0), distance=0.7, yaw=45, pitch=-35, roll=0, upAxisIndex=2
    )
    lens = pybullet.computeProjectionMatrixFOV(fov=60, aspect=1, nearVal=0.1, farVal=100)
    by_columns = [np.array(m, dtype=np.float64).reshape(4, 4) for m in (view, lens)]
    return by_columns[0].T, by_columns[1].T


if __name__ == "__main__":
    home = Path(__file__).parents[2] / "data"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else home
    take().save(folder / "push_scene.kpe")
    take_views().save(folder / "push_views.kpe")
