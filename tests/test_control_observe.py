"""What an agent sees: bounds, batches, held keypoints, rewards of any goals, the two contracts."""

from __future__ import annotations

import dataclasses
import warnings

import conftest
import numpy as np
import pytest
import torch
from torch import nn

from kpbook.control import places
from kpbook.control.observe import Observer, policy_input
from kpbook.control.options import STATES, Options
from kpbook.grid import axis_coordinates
from kpbook.heatmaps import gaussian_maps

pytestmark = pytest.mark.world
conftest.need_world()

from kpbook.control.env import PushEnv  # noqa: E402
from kpbook.world import PushWorld  # noqa: E402

PLANE = Options(state="keypoints")
#: Every combination of options that changes what is seen.
SEEN = {
    "full": Options(state="full"),
    "true": Options(velocity=True),
    "true, no hand": Options(hand=False),
    "image": Options(state="true-image"),
    "image, all": Options(state="true-image", points="all", relative=False),
    "keypoints": Options(state="keypoints", hidden="held", velocity=True),
    "keypoints, no hand": Options(
        state="keypoints", hand=False, reward="keypoints", hidden="carried"
    ),
    "keypoints, all": Options(state="keypoints", points="all", relative=False),
}
seen = pytest.mark.parametrize("options", SEEN.values(), ids=SEEN)


class Colours(nn.Module):
    """Keypoints at the middle of the green and of the blue pixels, and one that stays.

    The green one's map is wide where no green is seen.
    """

    def __init__(self, size: int = 64):
        super().__init__()
        self.image_size = size

    def heatmaps(self, images):
        green = (images[:, 1] - images[:, ::2].amax(1)).clamp_min(0)
        blue = (images[:, 2] - images[:, :2].amax(1)).clamp_min(0)
        still = gaussian_maps(torch.zeros(1, 2), self.image_size, 0.1).expand(len(images), -1, -1)
        maps = torch.stack([green, blue, still], 1).square() + 1e-9
        return maps / maps.sum((-2, -1), keepdim=True)

    def forward(self, images):
        maps = self.heatmaps(images)
        x = axis_coordinates(self.image_size, like=maps)
        return torch.stack([(maps.sum(-2) * x).sum(-1), (maps.sum(-1) * x).sum(-1)], -1)


@pytest.fixture(scope="module")
def world():
    world = PushWorld()
    yield world
    world.close()


@pytest.fixture(scope="module")
def fit(world):
    return places.calibrate(Colours().eval(), world, frames=60)


def env_of(options, world, fit):
    return PushEnv(world, options, Colours().eval(), fit)


# -- which keypoint is which ----------------------------------------------------------------------


def test_the_fit_finds_the_keypoint_of_each_colour(fit):  # catches: swapped objects, swapped x, y
    assert fit.keypoint[:2].tolist() == [0, 1]
    assert (fit.error_m[:2] < 0.02).all()
    assert fit.spread[0] < 0.2


def test_places_are_metres_on_the_table_and_do_not_run_away(world, fit):
    errors = []
    for seed in range(20):
        world.reset(seed=seed)
        points, _ = places.find(Colours().eval(), world.frame()[None])
        errors.append(np.linalg.norm(fit.place(points)[0] - world.positions()[:, :2], axis=1))
    assert (np.median(errors, axis=0)[:2] < 0.02).all()
    far = fit.place(np.full((1, 3, 2), 50.0))
    assert np.abs(far).max() == places.FARTHEST_M


def test_the_fit_is_the_same_for_the_same_seed(world):
    one, again, other = (
        places.calibrate(Colours().eval(), world, frames=20, seed=seed) for seed in (4, 4, 5)
    )
    assert np.array_equal(one.weights, again.weights)
    assert not np.array_equal(one.weights, other.weights)


# -- observations ---------------------------------------------------------------------------------


@seen
def test_an_environment_keeps_both_contracts(options, world, fit):
    """Gymnasium's and stable-baselines3's checkers: spaces, bounds, seeds, rewards of goals."""
    conftest.need_agents()
    from gymnasium.utils.env_checker import check_env
    from stable_baselines3.common.env_checker import check_env as check_for_agents

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(env_of(options, world, fit), skip_render_check=True)
        check_for_agents(env_of(options, world, fit))


@seen
def test_observations_stay_within_their_bounds(options, world, fit):
    env = env_of(options, world, fit)
    env.action_space.seed(0)
    for seed in range(2):
        observation, _ = env.reset(seed=seed)
        assert env.observation_space.contains(observation)
        for _ in range(8):
            observation, *_ = env.step(env.action_space.sample())
            assert env.observation_space.contains(observation)


@seen
def test_the_same_seed_gives_the_same_episode(options, world, fit):
    def play(seed):
        env = env_of(options, world, fit)
        first, _ = env.reset(seed=seed)
        last, reward, *_ = env.step(np.array([1, 0.5, -1], np.float32))
        return [*first.values(), *last.values(), reward]

    for a, b in zip(play(4), play(4), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(play(4)[0], play(5)[0])


@seen
def test_a_batch_sees_what_each_world_alone_sees(options, world, fit):  # catches: mixed rows
    worlds = [world, PushWorld()]
    states = [w.reset(seed=8 + i)[0] for i, w in enumerate(worlds)]
    extractor = Colours().eval()
    together = Observer(options, world, 2, extractor, fit)
    batch = together.observe(worlds, states, [1, 0], [True, True])
    for i, (w, state) in enumerate(zip(worlds, states, strict=True)):
        alone = Observer(options, w, 1, extractor, fit).observe([w], [state], [0], [True])
        for key, value in alone.items():
            np.testing.assert_allclose(batch[key][i], value[0], atol=1e-5)
    worlds[1].close()


def test_true_points_are_where_the_objects_are(world):
    env = PushEnv(world, Options())
    observation, _ = env.reset(seed=3)
    cube, target, _ = world.positions()
    np.testing.assert_allclose(observation["observation"][:2], cube[:2], atol=1e-6)
    np.testing.assert_allclose(observation["achieved_goal"][3:], cube[:2], atol=1e-6)
    np.testing.assert_allclose(observation["desired_goal"][3:], target[:2], atol=1e-6)
    hand = observation["observation"][2:4]
    np.testing.assert_allclose(observation["observation"][-2:], cube[:2] - hand, atol=1e-6)


def test_a_fit_prefers_a_keypoint_that_is_right_when_the_object_is_found(world, monkeypatch):
    """Keypoint 0 is 15 mm off everywhere; keypoint 1 is right, but for one frame in 15."""
    rng = np.random.default_rng(0)
    places_m = rng.uniform(-0.15, 0.15, (300, 3, 2))
    seen_ = np.ones((300, 3), bool)
    angle = rng.uniform(0, 2 * np.pi, 300)
    points = np.stack([places_m[:, 0]] * 2, axis=1) / 0.3
    points[:, 0] += 0.015 / 0.3 * np.stack([np.cos(angle), np.sin(angle)], -1)
    lost = rng.permutation(300) < 20
    points[lost, 1] = rng.uniform(-1, 1, (20, 2))
    widths = np.where(lost[:, None], 0.9, 0.1) * [1, 1]
    labelled = np.arange(300), places_m, seen_
    monkeypatch.setattr(places, "_labelled", lambda *_: labelled)
    monkeypatch.setattr(places, "find", lambda _, rows: (points[rows], widths[rows]))
    fit = places.calibrate(Colours().eval(), world)
    assert fit.keypoint[0] == 1  # catches: least squares over all frames, which prefers 0
    assert fit.error_m[0] < 1e-6
    assert fit.spread[0] == 0.1
    np.testing.assert_allclose(fit.place(points)[~lost, 0], places_m[~lost, 0], atol=1e-9)


def test_velocity_is_a_difference_and_nothing_at_first(world):
    env = PushEnv(world, Options(velocity=True, relative=False, hand=False))
    first, _ = env.reset(seed=3)
    second, *_ = env.step(np.array([0, 0, -1.0], np.float32))
    assert (first["observation"][4:] == 0).all()
    moved = second["observation"][:2] - first["observation"][:2]
    np.testing.assert_allclose(second["observation"][4:6], moved, atol=1e-6)


def test_an_action_lasts_and_an_episode_ends(world):
    env = PushEnv(world, Options(repeat=3, steps=9))
    env.reset(seed=0)
    up = np.array([0, 0, 1.0], np.float32)
    ends = [env.step(up)[3] for _ in range(3)]
    assert ends == [False, False, True]
    assert world._steps == 9


def test_an_episode_starts_unsolved_unless_it_is_asked_to(world):
    env = PushEnv(world, Options())
    for seed in range(25):  # of these seeds, some lie at the goal at once
        assert not env.reset(seed=seed)[1]["is_success"]
    at_goal = {"cube": (0.0, 0.0), "target": (0.0, 0.0)}
    assert env.reset(seed=0, options=at_goal)[1]["is_success"]


@pytest.mark.parametrize("ends", [True, False])
def test_at_the_goal_an_episode_goes_on_unless_it_ends_there(world, ends):
    env = PushEnv(world, Options(ends=ends, repeat=3, steps=9))
    env.reset(seed=0, options={"cube": (0.0, 0.0), "target": (0.0, 0.0)})
    _, reward, terminated, truncated, info = env.step(np.array([0, 0, 1.0], np.float32))
    assert (reward, bool(terminated), bool(truncated)) == (0, ends, False)
    assert info["is_success"]
    assert world._steps == (1 if ends else 3)  # an action lasts no longer than the episode


# -- hidden keypoints -----------------------------------------------------------------------------


def in_the_dark(fit, hidden):
    """An observer, and worlds of black frames, in which no cube is seen."""

    class Dark:
        image_size = (64, 64)

        def __init__(self, world, dark):
            self.world, self.dark = world, dark
            self.observation_space = world.observation_space
            self.compute_reward = world.compute_reward

        def frame(self):
            return self.world.frame() * (0 if self.dark else 1)

    options = dataclasses.replace(PLANE, hidden=hidden)
    return Dark, lambda world: Observer(options, world, 2, Colours().eval(), fit)


def test_a_keypoint_is_held_where_it_was_last_sure(world, fit):
    for hidden in ("found", "held", "carried"):  # the hand rests
        Dark, make = in_the_dark(fit, hidden)
        observer = make(world)
        state, _ = world.reset(seed=3)
        both = [state, state]
        lit = observer.observe([world, world], both, [0, 1], [True, True])["achieved_goal"][:, 3:]
        worlds = [Dark(world, True), Dark(world, False)]
        dark = observer.observe(worlds, both, [0, 1], [False, False])["achieved_goal"][:, 3:]
        np.testing.assert_allclose(dark[1], lit[1], atol=1e-6)
        assert (np.abs(dark[0] - lit[0]).max() < 1e-6) == (hidden != "found")
        # ... and not into the next episode
        new = observer.observe(worlds, both, [0, 1], [True, True])["achieved_goal"][:, 3:]
        assert np.abs(new[0] - lit[0]).max() > 1e-3


@pytest.mark.parametrize("hand", [True, False])
def test_a_hidden_cube_is_carried_by_a_hand_that_is_near(world, fit, hand):
    Dark, _ = in_the_dark(fit, "carried")
    options = dataclasses.replace(PLANE, hidden="carried", hand=hand)
    observer = Observer(options, world, 3, Colours().eval(), fit)
    state, _ = world.reset(seed=3)
    observer.observe([world] * 3, [state] * 3, [0, 1, 2], [True] * 3)
    cube, target, *_ = before = np.array([[0.1, 0.0], [-0.1, 0.1], [0.0, 0.0], [0.0, 0.0]])
    observer.memory[:] = before
    for slot, away in enumerate((0.05, 0.07, 0.05)):  # the hand was so far from the cube
        observer.memory[slot, -1] = cube - [away, 0]
    now = cube - [0.03, 0.01]
    moved = {key: value.copy() for key, value in state.items()}
    moved["observation"][:2] = now
    worlds = [Dark(world, True), Dark(world, True), world]
    seen = observer.observe(worlds, [moved] * 3, [0, 1, 2], [False] * 3)
    if hand:
        places_m = seen["achieved_goal"][:, 3:]
        np.testing.assert_allclose(places_m[0], np.add(cube, (0.02, -0.01)), atol=1e-6)
        np.testing.assert_allclose(places_m[1], cube, atol=1e-6)  # 7 cm: it stays
        assert np.abs(places_m[2] - places_m[0]).max() > 1e-3  # it is seen, and found
    for slot in (0, 1):  # catches: the target is carried, too
        np.testing.assert_allclose(seen["desired_goal"][slot, 3:], target, atol=1e-6)
    hands = observer.memory[:, -1]
    np.testing.assert_allclose(hands, [now] * 3 if hand else observer.memory[:, 2], atol=1e-9)


# -- rewards --------------------------------------------------------------------------------------


def goals(true_off, seen_off):
    a = np.array([0.0, 0, 0.02, 0, 0], np.float32)
    return a, a + np.array([true_off, 0, 0, seen_off, 0], np.float32)


@pytest.mark.parametrize(
    ("reward", "expected"),
    [("simulator", [0, -1, 0, -1]), ("true", [0, -1, 0, -1]), ("keypoints", [0, 0, -1, -1])],
)
def test_a_reward_looks_at_its_own_source(world, fit, reward, expected):
    env = env_of(dataclasses.replace(PLANE, reward=reward), world, fit)
    pairs = [goals(0.04, 0.04), goals(0.06, 0.04), goals(0.04, 0.06), goals(0.06, 0.06)]
    a, b = (np.stack(part) for part in zip(*pairs, strict=True))
    assert env.compute_reward(a, b, {}).tolist() == expected
    assert [float(env.compute_reward(x, y, {})) for x, y in pairs] == expected
    assert env.compute_reward(a[0], b, [{}] * 4).tolist() == expected  # one goal for all
    assert env.compute_reward(a[:, None], b[None], {}).shape == (4, 4)


def test_the_simulator_counts_the_height_and_true_points_do_not(world):
    lifted = np.array([0, 0, 0.1, 0, 0]), np.array([0, 0, 0.02, 0, 0])
    rewards = [
        float(PushEnv(world, Options(reward=reward)).compute_reward(*lifted, {}))
        for reward in ("simulator", "true")
    ]
    assert rewards == [-1, 0]


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((4, 5)), np.zeros((3, 5)), "two batches of different size were mixed"),
        (np.zeros((4, 3)), np.zeros((4, 5)), r"achieved_goal: got shape \(4, 3\), expected"),
        (np.zeros((4, 5)), np.float64(0), r"desired_goal: got "),
        ([[0.0] * 5], np.zeros((1, 5)), "achieved_goal: got list"),
    ],
)
def test_goals_that_do_not_match_are_named(world, a, b, message):
    with pytest.raises((TypeError, ValueError), match=message):
        PushEnv(world, Options()).compute_reward(a, b, {})


def test_a_policy_on_keypoints_reads_no_true_place(world, fit):  # catches: a leak through goals
    env = env_of(dataclasses.replace(PLANE, hand=False), world, fit)
    observation, _ = env.reset(seed=1)
    other = {key: value.copy() for key, value in observation.items()}
    for key in ("achieved_goal", "desired_goal"):
        other[key][:3] += 1
    for a, b in zip(policy_input(observation, True), policy_input(other, True), strict=True):
        np.testing.assert_array_equal(a, b)
    left = policy_input(observation, True)[-1]
    seen_goals = (observation[key][3:] for key in ("desired_goal", "achieved_goal"))
    np.testing.assert_array_equal(left, np.subtract(*seen_goals))


# -- what does not fit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": "all"}, f"one of {', '.join(repr(s) for s in STATES)}"),
        ({"state": "full", "hand": False}, "hand=False, expected True"),
        ({"hidden": "held"}, "hidden='held', expected 'found' without keypoints"),
        ({"hidden": "hold"}, "hidden: got 'hold'.*Did you mean 'held'"),
        ({"points": "all"}, "relative=True, expected False with points='all'"),
        ({"reward": "keypoints"}, "another reward without state='keypoints'"),
        ({"repeat": 3}, "50 steps with actions of 3, expected a multiple"),
        ({"repeat": 0}, "repeat: got 0"),
        ({"unit_m": 0.0}, "unit_m: got 0.0"),
        ({"hand": 1}, "hand: got 1, expected True or False"),
    ],
)
def test_options_that_make_no_sense_are_named(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Options(**changes)


def test_what_does_not_fit_the_world_is_named(world, fit):
    with pytest.raises(ValueError, match=r"frames of \(64, 64\) pixels, expected \(32, 32\)"):
        PushEnv(world, PLANE, Colours(32).eval(), fit)
    with pytest.raises(TypeError, match="extractor: got None"):
        PushEnv(world, PLANE)
    with pytest.raises(TypeError, match=r"fit: got None.*calibrate makes it"):
        PushEnv(world, PLANE, Colours().eval())
    with pytest.raises(ValueError, match="training mode"):
        places.calibrate(Colours(), world)
    with pytest.raises(ValueError, match="frames: got 5, expected at least 20"):
        places.calibrate(Colours().eval(), world, frames=5)

    class NoGoals:
        image_size = (64, 64)

    with pytest.raises(TypeError, match="NoGoals, which has no goals"):
        PushEnv(NoGoals(), Options())
