"""Where parts of the arm lie in the images of a recording, by acting it out again.

``python -m kpbook.world.push.arm book/results/arm.csv`` plays the first episodes of the shipped
sample once more, from their seeds and actions, and writes one row per frame: ``episode,frame``
and the image coordinates ``<link>_x,<link>_y`` of each link's origin. Positions of links are no
objects to be tracked: chapter 4 asks whether a keypoint on one of them passes for the hand.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kpbook._checks import complain
from kpbook._files import write_atomically
from kpbook.episodes import Episodes
from kpbook.world.push.world import PushWorld

#: Elbow; wrist, where the forearm ends; the last joint before the hand.
LINKS = ("panda_link4", "panda_link5", "panda_link7")
EPISODES = 60


def positions(recording: Episodes, links: Sequence[str] = LINKS) -> np.ndarray:
    """Play episodes again and return the links' image coordinates, ``(E, T, L, 2)``.

    Args:
        recording: Episodes that :func:`kpbook.episodes.record` made in a one-view PushWorld.
        links: Names as in :meth:`PushWorld.link`.

    Raises:
        RuntimeError: If an object is not where it was recorded: other versions of the simulator.
    """
    camera = recording.cameras[0]
    H, W = recording.image_size
    world = PushWorld(image_size=(H, W), camera=camera, look=recording.look)
    places = np.empty((*recording.truth.shape[:2], len(links), 2))
    for e, seed in enumerate(recording.seeds):
        world.reset(seed=int(seed))
        for t, action in enumerate(recording.actions[e]):
            world.step(action)
            if not np.allclose(world.truth(), recording.truth[e, t, 0], atol=1e-5):
                made_with = recording.origin["world"]["versions"]
                hint = f"The recording was made with {made_with}; install these."
                got, expected = "an object elsewhere", "all where they were recorded"
                raise RuntimeError(complain(f"episode {e}, frame {t}", got, expected, hint))
            places[e, t] = camera.project(np.stack([world.link(link) for link in links]))[0]
    return places


def main() -> None:
    """Write the table of the sample's first episodes."""
    path = Path(sys.argv[1])
    places = positions(Episodes.sample()[:EPISODES])
    header = ["episode", "frame", *(f"{link}_{c}" for link in LINKS for c in "xy")]
    lines = [",".join(header)]
    for e, t in np.ndindex(places.shape[:2]):
        lines.append(",".join([str(e), str(t), *(f"{c:.5f}" for c in places[e, t].ravel())]))
    write_atomically(path, ("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    main()
