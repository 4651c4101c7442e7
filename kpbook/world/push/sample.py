"""Make the sample of recorded episodes that ships with the package.

``python -m kpbook.world.push.sample`` writes ``kpbook/data/push_sample.kpe`` again, byte for byte
with the versions that its ``Episodes.origin`` names. With a PATH it writes
elsewhere.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kpbook.episodes import Episodes, record
from kpbook.world.push.world import PushWorld

EPISODES, STEPS, SEED = 300, 20, 1
POLICIES = ("random_walk", "random_walk", "push")


def make(episodes: int = EPISODES, workers: int = 1, progress: bool = False) -> Episodes:
    """Record the sample, or the first of its episodes."""
    world = PushWorld(image_size=64, camera="cramer2024", look="fast")
    return record(
        world,
        episodes=episodes,
        steps=STEPS,
        seed=SEED,
        policy=POLICIES,
        workers=workers,
        progress=progress,
    )


if __name__ == "__main__":
    home = Path(__file__).parents[2] / "data" / "push_sample.kpe"
    make(progress=True).save(sys.argv[1] if len(sys.argv) > 1 else home, compression=6)
