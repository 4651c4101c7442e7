"""Make the samples of Atari games that ship with the package.

``python -m kpbook.world.atari.sample`` writes ``kpbook/data/<game>_sample.kpe`` again, byte for
byte with the versions that their ``Episodes.origin`` names; given names of games, theirs alone.
"""

from __future__ import annotations

import sys

from kpbook.episodes import Episodes, record
from kpbook.recordings.atari import SHIPPED, path_of
from kpbook.world.atari.world import AtariWorld

SEED = 7


def make(
    game: str, episodes: int | None = None, workers: int = 1, progress: bool = False
) -> Episodes:
    """Record the sample of a game, or the first of its windows."""
    windows, steps = SHIPPED[game]
    return record(
        AtariWorld(game, image_size=64),
        episodes=windows if episodes is None else episodes,
        steps=steps,
        seed=SEED,
        policy="random",
        workers=workers,
        progress=progress,
    )


if __name__ == "__main__":
    for name in sys.argv[1:] or SHIPPED:
        make(name, progress=True).save(path_of(name), compression=9)
