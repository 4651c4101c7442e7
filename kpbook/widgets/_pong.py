"""The field of Pong, drawn from where things are; pong_scene.mjs draws the same in the page.

Places are ``[player y, enemy y, ball x, ball y]``, without the last two where there is no ball:
the middles, in pixels of the emulator's field, from its upper left corner. Paddles keep their
columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from kpbook.episodes import Episodes
from kpbook.grid import from_pixels, to_pixels
from kpbook.world.atari.games import GAMES, SCREEN

_PONG = GAMES["pong"]
#: Rows and columns of the emulator's field.
FIELD = _PONG.rows[1] - _PONG.rows[0], SCREEN[1]


@dataclass(frozen=True)
class Field:
    """The field as a picture of some size.

    Attributes:
        size: Pixels of the picture, ``(H, W)``.
        columns: Where player and enemy are from the left.
    """

    size: tuple[int, int]
    columns: tuple[float, float]

    @classmethod
    def of(cls, recording: Episodes) -> Field:
        """Return the field as it was recorded."""
        player, enemy, _ = _pixels(recording[:1])[0, 0, :, 0].tolist()
        return cls(recording.image_size, (player, enemy))

    def picture(self, places: list[float]) -> np.ndarray:
        """Return what :class:`kpbook.world.atari.world.AtariWorld` draws, uint8 ``(H, W, 3)``.

        Each pixel is the mean of what it covers. Where something moved, the recorded picture has
        it twice: it is the larger of two frames.
        """
        field = np.empty((*FIELD, 3))
        field[:] = _court()
        for box, thing in zip(self._boxes(places).astype(int), _PONG.things, strict=False):
            left, top, right, bottom = box
            field[top : bottom + 1, left : right + 1] = thing.colours[0]
        for axis, pixels in enumerate(self.size):
            cells = field.repeat(pixels // math.gcd(pixels, field.shape[axis]), axis)
            shape = (*cells.shape[:axis], pixels, -1, *cells.shape[axis + 1 :])
            field = cells.reshape(shape).mean(axis + 1)
        return np.floor(field + 0.5).astype(np.uint8)

    def points(self, places: list[float]) -> np.ndarray:
        """Return image coordinates of the middle of each thing's part in the field, ``(K, 2)``."""
        boxes = self._boxes(places)
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        scale = np.array(self.size[::-1]) / FIELD[::-1]
        return from_pixels((middles + 0.5) * scale - 0.5, self.size)

    def described(self) -> dict[str, Any]:
        """Return it for the page."""
        things = zip(_PONG.things, (*self.columns, None), strict=True)
        return {
            "size": list(self.size),
            "field": list(FIELD),
            "court": list(_court()),
            "things": [
                {"name": one.name, "size": list(one.size), "colour": list(one.colours[0]), "x": x}
                for one, x in things
            ],
        }

    def _boxes(self, places: list[float]) -> np.ndarray:
        """Left, top, right, bottom of each thing's part in the field, as ``Game.boxes``."""
        middles = [*zip(self.columns, places, strict=False), *([places[2:]] if places[2:] else [])]
        sizes = np.array([thing.size for thing in _PONG.things[: len(middles)]])
        low, high = np.array(middles) - (sizes - 1) / 2, np.array(middles) + (sizes - 1) / 2
        return np.hstack([low.clip(0, None), high.clip(-1, np.array(FIELD[::-1]) - 1)])


def whole(places: list[float]) -> list[float]:
    """Return where things can be: all sizes are even, so middles lie between two pixels."""
    return [min(math.floor(place), min(FIELD) - 2) + 0.5 for place in places]


def walk(recording: Episodes, steps: int, gap: int) -> list[list[float]]:
    """Return the places of a frame and of each of the ``steps`` after it.

    It begins where all three things then go far, and are well apart at first and after ``gap``
    steps; nothing is missing or cut off on the way.
    """
    best, found = 0.0, []
    half = (np.array([thing.size for thing in _PONG.things]) - 1) / 2
    last = np.array(FIELD[::-1]) - 1
    pixels, games = _pixels(recording), recording.games
    seen = np.asarray(recording.visible[:, :, 0].all(-1))
    for e, t in np.argwhere(games[:, steps:] == games[:, :-steps]):
        way = pixels[e, t : t + steps + 1]
        cut = (way < half) | (way > last - half)
        if cut.any() or not seen[e, t : t + steps + 1].all():
            continue
        moved = np.linalg.norm(way[-1] - way[0], axis=-1)
        apart = np.linalg.norm(way[[0, gap], :2] - way[[0, gap], 2:], axis=-1)
        if (score := min(moved.min(), apart.min())) > best:
            best, found = score, [whole([*row[:2, 1], *row[2]]) for row in way]
    return found


def _court() -> tuple[int, int, int]:
    """The colour behind everything, which may shine through a paddle."""
    return _PONG.things[0].over[0]


def _pixels(recording: Episodes) -> np.ndarray:
    """True points in pixels of the emulator's field, ``(E, T, K, 2)``."""
    scale = np.array(FIELD[::-1]) / recording.image_size[::-1]
    middles = to_pixels(recording.truth[:, :, 0], recording.image_size) + 0.5
    return np.asarray(middles * scale - 0.5)
