"""Diverse pairs: who is offered, who replaces whom, and distances against scipy's."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from toy_world import ToyGame

from kpbook.episodes import Episodes, diverse, record
from kpbook.images import resize, to_float
from kpbook.recordings import atari


@pytest.fixture(scope="module")
def games():
    """Two windows of Pong by a random player, 400 frames each."""
    return atari.sample()[:2]


def place(pairs):
    """Where both frames of each pair lie, as the test's recordings paint it, ``(P, 2)``."""
    return pairs.images[:, :, 0, 0, 0].astype(int)


def numbered(episodes=4, steps=250, restart=None):
    """Frames of noise whose first pixel says episode, frame in hundreds, and rest."""
    rng = np.random.default_rng(0)
    frames = rng.integers(256, size=(episodes, steps, 8, 8, 3), dtype=np.uint8)
    e, t = np.mgrid[:episodes, :steps]
    frames[:, :, 0, 0] = np.stack([e, t // 100, t % 100], axis=-1)
    made = Episodes.from_frames(frames)
    if restart is None:
        return made
    return dataclasses.replace(made, extras={"start": np.isin(t, [0, *restart])})


def where(pairs):
    """Episode (P, 2) and frame (P, 2) of a choice from :func:`numbered`."""
    e, hundreds, rest = np.moveaxis(place(pairs), -1, 0)
    return e, 100 * hundreds + rest


def keys(chosen):
    return list(zip(*(x.tolist() for pair in where(chosen.pairs) for x in pair.T), strict=True))


# -- what is offered ---------------------------------------------------------------------------


def test_a_pair_is_of_both_halves_of_a_trajectory_of_one_game():
    """Games of 30 and 220 frames: trajectories of 30, 100, 100 and 20."""
    chosen = diverse.diverse_pairs(numbered(restart=[30]), 800, offers=0)
    assert chosen.pairs.images.shape == (800, 2, 1, 8, 8, 3)
    episode, time = where(chosen.pairs)
    assert (episode[:, 0] == episode[:, 1]).all()
    edges = np.array([0, 30, 130, 230, 250])
    piece = np.searchsorted(edges, time, side="right") - 1
    assert (piece[:, 0] == piece[:, 1]).all()
    middle = (edges[piece[:, 0]] + edges[piece[:, 0] + 1]) // 2
    assert (time[:, 0] < middle).all()
    assert (time[:, 1] >= middle).all()
    assert set(np.unique(piece)) == {0, 1, 2, 3}
    share = np.bincount(piece[:, 0]) / 800
    np.testing.assert_allclose(share, 0.25, atol=0.06)  # every trajectory is as likely


def test_every_frame_of_a_half_is_offered():
    chosen = diverse.diverse_pairs(numbered(1, 10), 400, offers=0)
    _, time = where(chosen.pairs)
    assert set(time[:, 0].tolist()) == set(range(5))
    assert set(time[:, 1].tolist()) == set(range(5, 10))


def test_games_of_one_frame_offer_nothing():
    e = record(ToyGame(1, 1), episodes=2, steps=5, policy="press", progress=False)
    with pytest.raises(
        ValueError, match="episodes: got games of one frame, expected games of at l"
    ):
        diverse.diverse_pairs(e, 2, offers=0)
    some = record(ToyGame(1, 2), episodes=4, steps=9, policy="press", progress=False)
    chosen = diverse.diverse_pairs(some, 5, offers=5)  # what is left are the games of two
    step = place(chosen.pairs)[..., 1]
    assert (step == [1, 2]).all()


# -- who is kept -------------------------------------------------------------------------------


def grey(pairs):
    """Oracle: both frames' grey copies in one row; L2 over the root of the length is the RMS."""
    E, T = pairs.images.shape[:2]
    frames = resize(to_float(pairs.images.reshape(E * T, *pairs.images.shape[-3:])), (64, 64))
    small = 0.299 * frames[:, 0] + 0.587 * frames[:, 1] + 0.114 * frames[:, 2]
    rows = small.flatten(1).double().numpy().reshape(E, -1)
    return rows / np.sqrt(rows.shape[1])


def nearest(pairs):
    distance = cdist(grey(pairs), grey(pairs))
    np.fill_diagonal(distance, np.inf)
    return distance.min(axis=1)


def test_distances_are_those_of_scipy(games):
    """Catches: a pair that is its own neighbour, one frame of two, a sum for a mean."""
    before = diverse.diverse_pairs(games, 60, offers=0, seed=2)
    np.testing.assert_allclose(before.nearest, nearest(before.pairs), atol=3e-5)
    np.testing.assert_array_equal(before.nearest, before.nearest_before)
    after = diverse.diverse_pairs(games, 60, offers=300, seed=2)
    np.testing.assert_allclose(after.nearest, nearest(after.pairs), atol=3e-5)
    np.testing.assert_array_equal(after.nearest_before, before.nearest)
    assert (before.replaced, before.offered) == (0, 0)
    assert after.offered == 300
    assert 0 < after.replaced < 300


def test_pictures_larger_than_64_pixels_are_looked_at_small():
    rng = np.random.default_rng(1)
    frames = rng.integers(256, size=(2, 20, 96, 80, 3), dtype=np.uint8)
    chosen = diverse.diverse_pairs(Episodes.from_frames(frames), 12, offers=20)
    np.testing.assert_allclose(chosen.nearest, nearest(chosen.pairs), atol=3e-5)
    assert chosen.pairs.image_size == (96, 80)


def by_hand(games, pairs, offers, seed, chance):
    """Oracle: one offer after the other, as the paper's appendix has it, distances by scipy."""
    rng = np.random.default_rng(seed)
    runs = diverse._trajectories(games)
    places = np.array([diverse._draw(runs, rng) for _ in range(pairs + offers)])
    looks = grey(diverse._as_episodes(games, places))
    buffer = list(range(pairs))
    for new in range(pairs, pairs + offers):
        old = int(rng.choice(pairs, size=1, replace=False)[0])
        others = [buffer[i] for i in range(pairs) if i != old]
        far = cdist(looks[[new]], looks[buffer]).min()
        was = cdist(looks[[buffer[old]]], looks[others]).min()
        lucky = rng.random(1)[0] < chance
        if far > was or lucky:
            buffer[old] = new
    return places[buffer]


@pytest.mark.parametrize("chance", [0.0, 0.3])
def test_one_offer_after_the_other_is_the_papers_procedure(games, monkeypatch, chance):
    """Catches: nearer pairs kept, the old one compared with itself, chances forgotten."""
    monkeypatch.setattr(diverse, "_AT_ONCE", 1)
    chosen = diverse.diverse_pairs(games, 20, offers=80, seed=4, chance=chance)
    expected = diverse._as_episodes(games, by_hand(games, 20, 80, 4, chance))
    np.testing.assert_array_equal(chosen.pairs.images, expected.images)
    np.testing.assert_array_equal(chosen.pairs.truth, expected.truth)


@pytest.mark.parametrize("seed", range(3))
def test_without_chance_the_smallest_distance_never_falls(games, monkeypatch, seed):
    """A new pair is farther from all than the one that it replaces, so from those that stay.

    One offer at a time: pairs of one round do not know one another.
    """
    monkeypatch.setattr(diverse, "_AT_ONCE", 1)
    chosen = diverse.diverse_pairs(games, 25, offers=40, seed=seed, chance=0.0)
    assert chosen.nearest.min() >= chosen.nearest_before.min() - 1e-6
    assert chosen.replaced > 0


def test_it_makes_pairs_more_different(games):
    chosen = diverse.diverse_pairs(games, 100, offers=1000, seed=0)
    assert np.median(chosen.nearest) > 1.1 * np.median(chosen.nearest_before)


def test_chance_one_takes_every_offer_in_turn():
    """A round of as many offers as there are pairs leaves none of the old ones."""
    taken = diverse.diverse_pairs(numbered(), 64, offers=64, seed=3, chance=1.0)
    both = diverse.diverse_pairs(numbered(), 128, offers=0, seed=3)
    assert (taken.replaced, taken.offered) == (64, 64)
    assert sorted(keys(taken)) == sorted(keys(both)[64:])


def test_more_offers_at_once_than_pairs():  # catches: a choice without return from too few
    chosen = diverse.diverse_pairs(numbered(), 5, offers=200, chance=0.5)
    assert len(chosen.pairs) == 5
    assert 0 < chosen.replaced <= 200


# -- what comes out ----------------------------------------------------------------------------


def test_the_seed_decides_and_nothing_else():
    e = numbered()
    one, same, other = (diverse.diverse_pairs(e, 40, offers=90, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.pairs.images, same.pairs.images)
    np.testing.assert_array_equal(one.nearest, same.nearest)
    assert keys(one) != keys(other)


def test_rewards_play_no_part(games):
    rich = dataclasses.replace(games, rewards=games.rewards * 0 + 7, terminated=~games.terminated)
    one, other = (diverse.diverse_pairs(e, 30, offers=60) for e in (games, rich))
    np.testing.assert_array_equal(one.pairs.images, other.pairs.images)
    assert (other.pairs.rewards == 7).all()


def test_what_is_known_of_the_frames_comes_with_them(games):
    step = np.arange(800).reshape(2, 400)
    known = dataclasses.replace(games, extras={**games.extras, "step": step})
    chosen = diverse.diverse_pairs(known, 30, offers=60).pairs
    at = np.unravel_index(chosen.extras["step"], (2, 400))
    assert set(chosen.extras) == {"step"}  # no restart lies within a pair
    for name in ("images", "truth", "visible", "actions", "rewards", "terminated"):
        np.testing.assert_array_equal(getattr(chosen, name), getattr(games, name)[at])
    np.testing.assert_array_equal(chosen.seeds, games.seeds[at[0][:, 0]])
    assert (chosen.objects, chosen.views, chosen.look) == (games.objects, games.views, games.look)
    assert (np.diff(chosen.games, axis=1) == 0).all()
    early, late = chosen.pairs(1, 8, torch.Generator())
    assert early.shape == late.shape == (8, 3, 64, 64)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"pairs": 1}, ValueError, "pairs: got 1, expected at least 2"),
        ({"pairs": 2.5}, TypeError, "pairs: got 2.5"),
        ({"offers": -1}, ValueError, "offers: got -1, expected at least 0"),
        ({"chance": 1.5}, ValueError, r"chance: got 1.5, expected values in \[0, 1\]. The paper's"),
        ({"seed": -3}, ValueError, "seed: got -3"),
    ],
)
def test_numbers_out_of_range_are_named(options, error, match):
    with pytest.raises(error, match=match):
        diverse.diverse_pairs(numbered(), **{"pairs": 4, "offers": 2, **options})
