"""A world that needs no simulator: numbers painted into tiny pictures. Workers import it."""

from __future__ import annotations

import numpy as np

from kpbook._checks import check_choice
from kpbook.cameras import Camera
from kpbook.episodes import Episodes, record


class ToyWorld:
    """A dot walks; its pictures hold (seed, step, view), so a test can read where one came from."""

    look = "toy"
    objects = ("dot", "corner")
    image_size = (3, 5)

    def __init__(self, views: int = 1, nan: bool = False) -> None:
        self.cameras = {f"v{i}": Camera.orbit((0, 0, 0), 1, 10 * i, 0) for i in range(views)}
        self.views = tuple(self.cameras)
        self.nan = nan
        self.resets = 0

    def reset(self, *, seed):
        self.rng, self.seed, self.t, self.resets = (
            np.random.default_rng(seed),
            seed,
            0,
            self.resets + 1,
        )
        self.place = self.rng.uniform(-1, 1, 2)
        return {"place": self.place}, {}

    def step(self, action):
        self.t += 1
        self.place = self.place + 0.1 * np.asarray(action)[:2]
        return {"place": self.place}, -float(self.t), self.t >= 4, False, {}

    def frame(self, camera):
        picture = np.zeros((3, 5, 3), np.uint8)
        picture[0, 0] = [self.seed % 251, self.t, list(self.cameras).index(camera)]
        picture[1:] = np.random.default_rng([self.seed, self.t]).integers(256, size=(2, 5, 3))
        return picture

    def truth(self, camera):
        return np.array([self.place + (np.nan if self.nan else 0.0), [1.0, 1.0]])

    def visible(self, camera):
        return (np.abs(self.truth(camera)) <= [1.25, 1.5]).all(axis=-1)

    def positions(self):
        return np.array([[*self.place, 0.0], [1.0, 1.0, 0.0]])

    def policy(self, name, rng):
        check_choice(name, ["walk", "stay"], name="policy")
        return walk(self, rng) if name == "walk" else lambda observation: np.zeros(2)

    def description(self):
        return {"world": "toy", "views": list(self.cameras), "nan": self.nan}


def walk(world, rng):
    return lambda observation: rng.normal(size=2)


def drift(world, rng):
    return lambda observation: np.ones(2)


class ToyGame:
    """Pictures alone, no camera, no objects, and a game that is over after some frames.

    A picture holds (seed, step, step): a test can read from which game it came. One buffer serves
    all pictures, as an emulator's does.
    """

    look = "toy game"
    objects = ()
    views = ("screen",)
    ends_early = True

    def __init__(self, shortest: int = 1, longest: int = 4) -> None:
        self.lengths = shortest, longest
        self.buffer = np.zeros((3, 5, 3), np.uint8)

    def reset(self, *, seed):
        low, high = self.lengths
        self.seed, self.t = seed, 0
        self.length = int(np.random.default_rng(seed).integers(low, high + 1))
        return {}, {}

    def step(self, action):
        if self.t >= self.length:
            raise RuntimeError("the game is over")
        self.t += 1
        over = self.t == self.length
        return {}, 1.0, over and self.seed % 2 == 0, over and self.seed % 2 == 1, {}

    def frame(self, view):
        self.buffer[0, 0] = [self.seed % 251, self.t, self.t]
        return self.buffer

    def extras(self):
        return {"ram": np.array([self.seed % 251, self.t], np.uint8)}

    def policy(self, name, rng):
        check_choice(name, ["press"], name="policy")
        return lambda observation: int(rng.integers(18))

    def description(self):
        return {"world": "toy game", "lengths": list(self.lengths)}


def games(episodes=6, steps=9, **options) -> Episodes:
    """A recording of :class:`ToyGame`: windows in which several games follow one another."""
    options = {"policy": "press", "progress": False, **options}
    return record(ToyGame(), episodes=episodes, steps=steps, **options)
