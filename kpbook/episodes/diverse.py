"""Pairs of frames that are unlike one another: what a random policy mostly sees is the same."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from kpbook._checks import check_integer, check_range, check_seed, complain
from kpbook.episodes.data import Episodes
from kpbook.images import resize, to_float

_GREY = (0.299, 0.587, 0.114)  # Rec. 601
_SIDE = 64
_LONGEST = 100  # steps of a trajectory, as in the paper
_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Diverse:
    """What :func:`diverse_pairs` returns.

    Attributes:
        pairs: One episode of two frames for each pair; train on it with a gap of 1.
        nearest: Distance of each pair to its nearest neighbour among them, ``(P,)``: root mean
            square difference of the small grey copies, in [0, 1].
        nearest_before: The same of the pairs that were taken unconditionally.
        replaced: How many pairs took the place of another.
        offered: How many tried to.
    """

    pairs: Episodes
    nearest: np.ndarray
    nearest_before: np.ndarray
    replaced: int
    offered: int


def diverse_pairs(
    episodes: Episodes, pairs: int, *, offers: int, seed: int = 0, chance: float = 0.05
) -> Diverse:
    """Choose pairs of frames that are far from their nearest neighbours.

    A pair is a frame of the first half and one of the second half of a trajectory of at most 100
    frames of one game. The buffer is filled with the first ``pairs`` of them. Then a new pair
    takes the place of one drawn at random from the buffer if the new one is farther from its
    nearest neighbour in it; and otherwise with probability ``chance``. Rewards play no part.
    Source: Kulkarni et al. (2019), appendix B; distances are theirs, L2 of 64 x 64 grey copies.

    Args:
        episodes: Long ones, of a random policy. One view is used.
        pairs: Size of the buffer, at least 2.
        offers: How many further pairs are offered to it.
        seed: Of all draws.
        chance: Probability that a pair that is not farther is taken all the same.

    Raises:
        ValueError: If a number is out of range, or no game has two frames.
    """
    pairs = check_integer(pairs, name="pairs", minimum=2)
    offers = check_integer(offers, name="offers", minimum=0)
    check_range(chance, 0, 1, name="chance", hint="The paper's is 0.05.")
    rng = np.random.default_rng(check_seed(seed))
    runs = _trajectories(episodes)
    where = [_draw(runs, rng) for _ in range(pairs + offers)]
    places = np.array(where)  # (pairs + offers, 3): episode, earlier, later
    small = _small(episodes)
    chosen = np.arange(pairs)
    buffer = _looks(small, places[chosen])
    before = _nearest(buffer, buffer, own=np.arange(pairs))
    replaced = 0
    for first in range(pairs, pairs + offers, _AT_ONCE):
        new = np.arange(first, min(first + _AT_ONCE, pairs + offers))
        old = rng.choice(pairs, size=len(new), replace=len(new) > pairs)
        looks = _looks(small, places[new])
        farther = _nearest(looks, buffer) > _nearest(buffer[old], buffer, own=old)
        taken = farther | (rng.random(len(new)) < chance)
        chosen[old[taken]], buffer[old[taken]] = new[taken], looks[taken]
        replaced += int(taken.sum())
    kept = places[chosen]
    return Diverse(
        pairs=_as_episodes(episodes, kept),
        nearest=_nearest(buffer, buffer, own=np.arange(pairs)),
        nearest_before=before,
        replaced=replaced,
        offered=offers,
    )


def _trajectories(episodes: Episodes) -> list[tuple[int, int, int]]:
    """Episode, first frame and end of each trajectory: pieces of games, at most 100 frames long."""
    found = []
    for e, games in enumerate(episodes.games):
        edges = [0, *(np.flatnonzero(np.diff(games)) + 1), len(games)]
        for start, end in itertools.pairwise(edges):
            for a in range(start, end, _LONGEST):
                if min(a + _LONGEST, end) - a > 1:
                    found.append((e, int(a), int(min(a + _LONGEST, end))))
    if not found:
        raise ValueError(complain("episodes", "games of one frame", "games of at least two"))
    return found


def _draw(runs: list[tuple[int, int, int]], rng: np.random.Generator) -> tuple[int, int, int]:
    e, a, b = runs[rng.integers(len(runs))]
    middle = (a + b) // 2
    return e, int(rng.integers(a, middle)), int(rng.integers(middle, b))


def _small(episodes: Episodes) -> np.ndarray:
    """Grey copies of all frames, float32 ``(E, T, side²)``, divided by the root of their length.

    So the L2 distance of two is the root mean square difference of their pixels. What all have in
    common is taken off: it would leave rounding where distances are differences of squares.
    """
    E, T = episodes.images.shape[:2]
    H, W = episodes.image_size
    side = (min(_SIDE, H), min(_SIDE, W))
    grey = np.empty((E, T, side[0] * side[1]), dtype=np.float32)
    weight = torch.tensor(_GREY)[:, None, None]
    for e in range(E):
        frames = resize(to_float(episodes.images[e, :, 0]), side)
        grey[e] = (frames * weight).sum(1).flatten(1).numpy()
    grey -= grey.mean(axis=(0, 1))
    grey /= np.sqrt(grey.shape[-1])
    return grey


def _looks(small: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Both frames of each pair in one row, ``(P, 2 * side²)``."""
    e, early, late = places.T
    both: np.ndarray = np.concatenate([small[e, early], small[e, late]], axis=1)
    return both * np.float32(0.5**0.5)


def _nearest(looks: np.ndarray, buffer: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
    """Distance of each row to the nearest row of the buffer, not counting ``own``, its place."""
    squared = (looks**2).sum(1)[:, None] + (buffer**2).sum(1) - 2 * looks @ buffer.T
    if own is not None:
        squared[np.arange(len(own)), own] = np.inf
    nearest: np.ndarray = np.sqrt(squared.min(axis=1).clip(min=0))
    return nearest


def _as_episodes(episodes: Episodes, places: np.ndarray) -> Episodes:
    """One episode of two frames for each pair, with all that is known of them but the start."""
    e, times = places[:, 0], places[:, 1:]
    at = (e[:, None], times)
    return Episodes(
        images=episodes.images[at],
        truth=episodes.truth[at],
        visible=episodes.visible[at],
        actions=episodes.actions[at],
        rewards=episodes.rewards[at],
        terminated=episodes.terminated[at],
        seeds=episodes.seeds[e],
        policies=tuple(episodes.policies[i] for i in e),
        objects=episodes.objects,
        views=episodes.views,
        cameras=episodes.cameras,
        look=episodes.look,
        origin=episodes.origin,
        extras={n: x[at] for n, x in episodes.extras.items() if n != "start"},
    )
