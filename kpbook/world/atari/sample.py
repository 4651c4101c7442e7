"""Make the sample of Pong that ships with the package.

``python -m kpbook.world.atari.sample`` writes ``kpbook/data/pong_sample.kpe`` again, byte for byte
with the versions that its ``Episodes.origin`` names. With a PATH it writes elsewhere.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kpbook.episodes import Episodes, record
from kpbook.recordings.pong import HELD_OUT, TRAIN
from kpbook.world.atari.world import AtariWorld

STEPS, SEED = 400, 7


def make(episodes: int = TRAIN + HELD_OUT, workers: int = 1, progress: bool = False) -> Episodes:
    """Record the sample, or the first of its windows."""
    return record(
        AtariWorld("pong", image_size=64),
        episodes=episodes,
        steps=STEPS,
        seed=SEED,
        policy="random",
        workers=workers,
        progress=progress,
    )


if __name__ == "__main__":
    home = Path(__file__).parents[2] / "data" / "pong_sample.kpe"
    make(progress=True).save(sys.argv[1] if len(sys.argv) > 1 else home, compression=9)
