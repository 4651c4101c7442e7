"""Atari games as a random player sees them: windows of recorded games, with the true points.

:mod:`kpbook.world.atari.sample` made them; nobody needs an emulator to read them. They begin with
other seeds than the recordings that shipped networks were trained on.
"""

from __future__ import annotations

from pathlib import Path

from kpbook._checks import check_choice
from kpbook.episodes import Episodes

_DATA = Path(__file__).parents[1] / "data"
#: What ships: game -> windows and frames of each.
SHIPPED = {"pong": (24, 400), "frostbite": (4, 100), "ms_pacman": (4, 100)}
#: How the chapter deals Pong's windows out: to learn from, to judge on.
TRAIN, HELD_OUT = 16, 8


def sample(game: str = "pong") -> Episodes:
    """Return a recording that ships with the package, at 64 px.

    Args:
        game: One of :data:`SHIPPED`. Pong's objects are ``player``, ``enemy`` and ``ball``; those
            of the others are named in :mod:`kpbook.world.atari.games`. What is not ``visible`` is
            absent.

    Raises:
        ValueError: If no recording of the game ships.
    """
    hint = "kpbook.episodes.record makes others, of kpbook.world.AtariWorld."
    return Episodes.load(path_of(check_choice(game, SHIPPED, name="game", hint=hint)))


def path_of(game: str) -> Path:
    """Return where the recording of a game lies."""
    return _DATA / f"{game}_sample.kpe"
