"""A world without cameras and with early ends, through everything that episodes offer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_world import ToyGame, ToyWorld, games

from kpbook.episodes import Episodes, record
from kpbook.episodes.playing import next_game


def read(batch: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(seed mod 251, step) painted into each picture."""
    pixels = (batch[..., :2, 0, 0] * 255).round().long().numpy()
    return pixels[..., 0], pixels[..., 1]


def test_windows_are_rectangular_and_a_new_game_starts_where_one_ended():
    e = games()
    assert e.images.shape == (6, 9, 1, 3, 5, 3)
    assert (e.views, e.cameras, e.objects) == (("screen",), (), ())
    assert (e.truth.shape, e.actions.shape) == ((6, 9, 1, 0, 2), (6, 9, 1))
    assert e.positions.shape == (6, 9, 0, 3)
    step, start = e.images[:, :, 0, 0, 0, 1], e.extras["start"]
    np.testing.assert_array_equal(start, step == 1)
    assert start[:, 0].all()
    assert start[:, 1:].any(axis=1).all()
    # catches: one buffer for all frames, kept instead of copied
    np.testing.assert_array_equal(np.where(start[:, 1:], 1, step[:, :-1] + 1), step[:, 1:])
    np.testing.assert_array_equal(e.extras["ram"], e.images[:, :, 0, 0, 0, :2])


def test_every_game_can_be_played_again_from_the_episodes_seed():
    e, world = games(), ToyGame()
    for i in range(len(e)):
        seed, act = int(e.seeds[i]), None
        for t in range(e.images.shape[1]):
            if e.extras["start"][i, t]:
                seed = next_game(seed) if t else seed
                observation, _ = world.reset(seed=seed)
                act = world.policy("press", np.random.default_rng([seed, 1]))
            action = act(observation)
            observation, *_ = world.step(action)
            assert e.actions[i, t, 0] == action
            np.testing.assert_array_equal(world.frame("screen"), e.images[i, t, 0])


def test_an_episode_depends_on_seed_and_index_alone():
    a, b = games(episodes=4, seed=3), games(episodes=2, seed=np.int64(3))
    np.testing.assert_array_equal(a.images[:2], b.images)
    assert not np.array_equal(a.seeds, games(episodes=4, seed=4).seeds)


@pytest.mark.slow
def test_workers_give_the_same_bytes():
    a, b = games(), games(workers=2)
    np.testing.assert_array_equal(a.images, b.images)
    np.testing.assert_array_equal(a.extras["ram"], b.extras["ram"])


def test_nothing_that_is_drawn_crosses_a_restart(rng):
    e = games(episodes=12)
    seed, step = read(e.snippets(3, 400, rng))
    assert (np.diff(step, axis=1) == 1).all()
    assert (seed == seed[:, :1]).all()
    first, second = (read(b) for b in e.pairs((1, 3), 400, rng))
    gaps = second[1] - first[1]
    assert (first[0] == second[0]).all()
    np.testing.assert_allclose(np.bincount(gaps, minlength=4)[1:] / 400, 1 / 3, atol=0.1)


def test_every_place_with_room_is_equally_likely(rng):  # catches: short games drawn too often
    e = games(episodes=3)
    start = e.extras["start"]
    fits = {(i, t) for i in range(3) for t in range(8) if not start[i, t + 1]}
    at = e.places(200 * len(fits), rng, 2)
    drawn, counts = np.unique(np.stack([at.episode, at.time]), axis=1, return_counts=True)
    assert {tuple(place) for place in drawn.T.tolist()} == fits
    assert counts.min() > 130
    assert counts.max() < 270  # 200 each, five standard deviations


def test_a_span_that_no_game_lasts_is_named(rng):
    with pytest.raises(ValueError, match="span: got 5 frames in a row, expected at most 4, the lo"):
        games().snippets(5, 2, rng)


def test_saving_selecting_and_splitting_keep_extras_in_step(tmp_path):
    e = games()
    back = Episodes.load(e.save(tmp_path / "games.kpe"))
    for part, rows in ((back, slice(None)), (back[2:4], slice(2, 4)), (back[[4, 0]], [4, 0])):
        assert set(part.extras) == {"ram", "start"}
        for name, array in part.extras.items():
            assert array.dtype == e.extras[name].dtype
            np.testing.assert_array_equal(array, e.extras[name][rows])
    a, b = e.split((4, 2))
    assert (len(a.extras["ram"]), len(b.extras["ram"])) == (4, 2)
    for part in (a, b):
        np.testing.assert_array_equal(part.extras["ram"], part.images[:, :, 0, 0, 0, :2])
    assert e.flat().images.shape == (54, 3, 5, 3)


def test_games_are_numbered_through_all_windows():
    e = games()
    seed = e.images[:, :, 0, 0, 0, 0].astype(int).ravel()
    numbers = e.games
    assert (numbers.shape, numbers.dtype) == ((6, 9), np.int64)
    assert set(numbers.ravel().tolist()) == set(range(int(e.extras["start"].sum())))
    for number in range(numbers.max() + 1):  # catches: one number on both sides of a restart
        assert len(set(seed[numbers.ravel() == number])) == 1
    assert (np.diff(numbers.ravel()) >= 0).all()
    assert (np.diff(numbers[:, 0]) > 0).all()
    part = e[[4, 1]]  # counted anew, from 0
    steps = part.extras["start"].ravel().cumsum() - 1
    np.testing.assert_array_equal(part.games.ravel(), steps)


def test_where_nothing_restarts_a_game_is_an_episode():
    e = record(ToyWorld(), episodes=3, steps=4, policy="walk", progress=False)
    np.testing.assert_array_equal(e.games, [[0] * 4, [1] * 4, [2] * 4])
    np.testing.assert_array_equal(e.games.ravel(), e.flat().episode)
    late = Episodes(
        **{name: getattr(e, name) for name in Episodes.__dataclass_fields__ if name != "extras"},
        extras={"start": np.zeros((3, 4), bool)},  # its first frame is not said to be one
    )
    np.testing.assert_array_equal(late.games, e.games)


def test_a_cached_recording_is_read_again(tmp_path):
    first = games(cache=tmp_path)
    again = games(cache=tmp_path)
    np.testing.assert_array_equal(again.extras["start"], first.extras["start"])
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_taken_at_a_place_belongs_to_it(rng):
    e = record(ToyWorld(2), episodes=4, steps=5, policy="walk", progress=False)
    at = e.places(30, rng, 3)
    i, t = at.episode.numpy(), at.time.numpy()
    for name in ("actions", "rewards", "terminated", "positions"):
        np.testing.assert_array_equal(e.take(at, name), getattr(e, name)[i, t])
    np.testing.assert_array_equal(e.take(at, "truth", view=1), e.truth[i, t, 1])
    np.testing.assert_array_equal(e.take(at, "truth", view=None), e.truth[i, t])
    run = e.take(at.run(3), "actions")
    np.testing.assert_array_equal(run[:, 2], e.actions[i, t + 2])
    assert e.take(at.later(2)).shape == (30, 3, 3, 5)
    with pytest.raises(ValueError, match=r"places: got times from .* to .*, expected 0 to 4"):
        e.take(at.later(-5))
    with pytest.raises(ValueError, match=r"what: got 'seeds', expected one of 'images'"):
        e.take(at, "seeds")


@pytest.mark.parametrize(
    ("extras", "error", "message"),
    [
        ({"depth": np.zeros((7, 5))}, ValueError, r"extras\['depth'\]: got shape \(7, 5\)"),
        ({"depth": np.zeros(6)}, ValueError, r"expected \(6, 9, \.\.\.\)"),
        ({"start": np.zeros((6, 9))}, ValueError, r"extras\['start'\].*of bools"),
        ({"truth": np.zeros((6, 9))}, ValueError, "extras: got 'truth'"),
        ({"words": np.full((6, 9), "a")}, TypeError, r"extras\['words'\]: got dtype <U1"),
        ({"m": np.ma.masked_all((6, 9))}, ValueError, r"extras\['m'\]: got a masked array"),
    ],
)
def test_extras_that_do_not_fit_are_named(extras, error, message):
    e = games()
    fields = {name: getattr(e, name) for name in Episodes.__dataclass_fields__}
    with pytest.raises(error, match=message):
        Episodes(**{**fields, "extras": extras})


def test_a_world_without_the_flag_goes_on_at_its_ends():
    e = record(ToyWorld(), episodes=2, steps=6, policy="walk", progress=False)
    assert "start" not in e.extras
    np.testing.assert_array_equal(e.images[0, :, 0, 0, 0, 1], [1, 2, 3, 4, 5, 6])


def test_a_flag_of_a_world_is_a_bool():
    world = ToyGame()
    world.ends_early = "False"
    with pytest.raises(TypeError, match=r"world\.ends_early: got 'False', expected True or False"):
        record(world, episodes=1, policy="press", progress=False)
