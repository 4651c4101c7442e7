"""What is known of each game: which rows are the field, and where RAM keeps what moves.

A 2600 has 128 bytes of RAM. Games keep the objects' places there, counted from some corner of
their own, so a rule is a byte and a distance for each axis. The bytes of Pong, Ms Pac-Man and
Frostbite were found by correlating all 128 with the places of the objects' colours in random
play; the distances make the point the middle of the object as drawn. ``tests/test_atari.py``
finds both again from pictures alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kpbook._checks import complain

#: Rows and columns of the screen.
SCREEN = (210, 160)
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Axis:
    """Where an object is along one axis, in pixels of the screen: ``ram[byte] + shift``.

    Attributes:
        byte: Of the RAM, 0 to 127; ``None`` for what stays at ``shift``.
        shift: From what the byte holds to the middle of the object.
        modulo: What leaves at this coordinate comes in again at 0; ``None``: nothing does.
    """

    byte: int | None
    shift: float
    modulo: int | None = None

    def __call__(self, ram: np.ndarray) -> float:
        """Pixels, an integer is the centre of a pixel."""
        place = self.shift if self.byte is None else float(ram[self.byte]) + self.shift
        return place if self.modulo is None else place % self.modulo


@dataclass(frozen=True)
class Thing:
    """An object of a game.

    Attributes:
        name: As in ``Episodes.objects``.
        x: Where its middle is, from the left.
        y: From above.
        size: Width and height in pixels of the screen.
        colours: What it is drawn in.
        over: Colours that may shine through it: of a thing that flickers, the maximum of two
            frames is the brighter of its own colour and of what is behind it.
    """

    name: str
    x: Axis
    y: Axis
    size: tuple[int, int]
    colours: tuple[Colour, ...]
    over: tuple[Colour, ...] = ()

    @property
    def palette(self) -> np.ndarray:
        """All colours in which it may appear, uint8 ``(C, 3)``."""
        mixed = [tuple(map(max, own, behind)) for own in self.colours for behind in self.over]
        return np.array([*self.colours, *(c for c in mixed if c not in self.over)], dtype=np.uint8)


@dataclass(frozen=True)
class Game:
    """One game.

    Attributes:
        rom: As ale-py calls it.
        rows: First row of the field and first row below it; scores and lives are outside.
        things: Objects that have a rule; empty for a game of which we know none.
        late: Whether a frame shows what the RAM held before it, not after.
    """

    rom: str
    rows: tuple[int, int]
    things: tuple[Thing, ...] = ()
    late: bool = False

    def boxes(self, ram: np.ndarray) -> np.ndarray:
        """Left, top, right, bottom of each object's part in the field, pixels, ``(K, 4)``.

        The outer centres of its pixels, so that a thing of one pixel has left = right. What is
        outside the field has left > right or top > bottom.
        """
        boxes = np.empty((len(self.things), 4))
        (first, end), width = self.rows, SCREEN[1]
        for box, thing in zip(boxes, self.things, strict=True):
            x, y = thing.x(ram), thing.y(ram)
            w, h = ((n - 1) / 2 for n in thing.size)
            box[:] = max(x - w, 0), max(y - h, first), min(x + w, width - 1), min(y + h, end - 1)
        return boxes


_SEA: Colour = (0, 28, 136)
_COURT: Colour = (144, 72, 17)


def _paddle(name: str, x: Axis, y: Axis, colour: Colour) -> Thing:
    return Thing(name, x, y, (4, 16), (colour,), (_COURT,))


def _ghost(name: str, x: int, y: int, colour: Colour) -> Thing:
    dots = ((228, 111, 111),)
    return Thing(name, Axis(x, -8.5), Axis(y, 5.5), (8, 10), (colour,), (_SEA, *dots))


def _floes(row: int, byte: int, y: float) -> list[Thing]:
    # Three in a row, 24 wide and 32 apart; the byte is the first one's.
    white, blue = (214, 214, 214), (84, 138, 210)
    return [
        Thing(
            f"floe_{row}{i}", Axis(byte, 3.5 + 32 * i, 160), Axis(None, y), (24, 7), (white, blue)
        )
        for i in range(3)
    ]


def _animal(lane: int, byte: int, y: float) -> Thing:
    kinds = ((132, 144, 252), (110, 156, 66), (213, 130, 74), (210, 210, 64))
    return Thing(f"animal_{lane}", Axis(byte, 3.5), Axis(None, y), (8, 7), kinds)


GAMES: dict[str, Game] = {
    "pong": Game(
        "pong",
        (34, 194),
        (
            _paddle("player", Axis(46, -46.5), Axis(51, -6), (92, 186, 92)),
            _paddle("enemy", Axis(45, -46.5), Axis(50, -7.5), (213, 130, 74)),
            Thing("ball", Axis(49, -48.5), Axis(54, -12.5), (2, 4), ((236, 236, 236),)),
        ),
    ),
    "ms_pacman": Game(
        "ms_pacman",
        (1, 171),
        (
            _ghost("pacman", 10, 16, (210, 164, 74)),
            _ghost("blinky", 9, 15, (200, 72, 72)),
            _ghost("pinky", 8, 14, (198, 89, 179)),
            _ghost("inky", 7, 13, (84, 184, 153)),
            _ghost("sue", 6, 12, (180, 122, 48)),
        ),
        late=True,
    ),
    "frostbite": Game(
        "frostbite",
        (42, 186),
        (
            Thing(
                "player",
                Axis(102, 3.5),
                Axis(100, 37.5),
                (8, 18),
                ((162, 98, 33), (198, 108, 58), (162, 162, 42)),
                (_SEA, (142, 142, 142), (192, 192, 192), (84, 138, 210), (214, 214, 214)),
            ),
            *_floes(1, 34, 99),
            *_floes(2, 33, 125),
            *_floes(3, 32, 151),
            *_floes(4, 31, 177),
            _animal(1, 87, 85),
            _animal(2, 86, 111),
            _animal(3, 85, 137),
            _animal(4, 84, 163),
        ),
    ),
    "seaquest": Game("seaquest", (46, 186)),
    "montezuma_revenge": Game("montezuma_revenge", (47, 188)),
    "breakout": Game("breakout", (32, 196)),
}


def things_of(game: str) -> tuple[Thing, ...]:
    """Return the objects of a game that have a rule.

    Raises:
        ValueError: If the game has none; the message lists those that have.
    """
    if not GAMES[game].things:
        known = ", ".join(name for name, one in GAMES.items() if one.things)
        hint = "Its frames can be recorded all the same; they have no truth."
        expected = f"a game whose RAM we can read: {known}"
        raise ValueError(complain("game", repr(game), expected, hint))
    return GAMES[game].things
