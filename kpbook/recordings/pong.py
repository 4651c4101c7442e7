"""Pong as a random player sees it: windows of recorded games, with the true points.

:mod:`kpbook.world.atari.sample` made it; nobody needs an emulator to read it.
"""

from __future__ import annotations

from pathlib import Path

from kpbook.episodes import Episodes

_DATA = Path(__file__).parents[1] / "data" / "pong_sample.kpe"
#: How the chapter deals the windows out: to learn from, to judge on.
TRAIN, HELD_OUT = 16, 8


def sample() -> Episodes:
    """Return the recording that ships with the package: 24 windows of 400 frames at 64 px.

    Objects are ``player``, ``enemy`` and ``ball``; what is not ``visible`` is absent.
    """
    return Episodes.load(_DATA)
