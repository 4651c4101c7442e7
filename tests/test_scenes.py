"""Scenes: other colours, a second cube, a cube in the arm's grey; and the paper's, unchanged."""

from __future__ import annotations

import hashlib
import itertools
import json
import pickle

import numpy as np
import pytest
from test_push import CORNERS, inside_outline

from kpbook.cameras import Camera
from kpbook.episodes import Episodes, record
from kpbook.grid import to_pixels
from kpbook.recordings.push_moment import CUBE_M
from kpbook.world import SCENES, PushWorld
from kpbook.world.push.objects import choose

pytestmark = pytest.mark.world
SIZE = (90, 120)


@pytest.fixture(scope="module")
def paper(simulator):
    yield (world := PushWorld(SIZE))
    world.close()


@pytest.fixture(scope="module")
def two(simulator):
    yield (world := PushWorld(SIZE, ["cramer2024", "side"], scene="two-cubes"))
    world.close()


def play(world, seed: int, steps: int = 8, policy: str = "push") -> list[dict[str, np.ndarray]]:
    observations = [world.reset(seed=seed)[0]]
    act = world.policy(policy, np.random.default_rng([seed, 1]))
    for _ in range(steps):
        observations.append(world.step(act(observations[-1]))[0])
    return observations


# -- the paper's scene is what it was ----------------------------------------------------------


def test_the_shipped_samples_frames_and_settings_are_todays(paper):
    """catches: a default scene that draws, moves or is keyed otherwise than before scenes came."""
    sample = Episodes.sample()[[0, 2]]  # a random walk and a push
    world = PushWorld(image_size=64)
    for episode in sample:
        world.reset(seed=int(episode.seeds[0]))
        for action, frame in zip(episode.actions[0, :4], episode.images[0, :4, 0], strict=True):
            world.step(action)
            np.testing.assert_array_equal(world.frame(), frame)
    written = {k: v for k, v in sample.origin["world"].items() if k != "versions"}
    assert {k: v for k, v in world.description().items() if k != "versions"} == written
    world.close()


def test_a_scene_is_part_of_the_key_unless_its_colours_are_the_papers(paper):
    spelled = PushWorld(SIZE, scene={"cube": (0.1, 0.9, 0.1), "target": [0.1, 0.1, 0.9]})
    assert spelled.description() == paper.description()
    keys = {json.dumps(spelled.description())}
    for scene in (*SCENES, {"cube": (1, 0, 0)}, {"target": (1, 0, 0)}, {"second_cube": (1, 0, 0)}):
        world = PushWorld(SIZE, scene=scene)
        keys.add(json.dumps(world.description()))
        world.close()
    assert len(keys) == 1 + 3 + 3  # "cramer2024" is no new one
    spelled.close()


# -- colours -----------------------------------------------------------------------------------


def test_other_colours_move_nothing_and_reach_only_their_own_pixels(paper):
    world, coloured = PushWorld(SIZE, scene="other-colours"), 0
    for seed in (0, 1):
        for a, b in zip(play(paper, seed, 3), play(world, seed, 3), strict=True):
            for key in a:
                np.testing.assert_array_equal(a[key], b[key])
        np.testing.assert_array_equal(world.mask(), paper.mask())
        np.testing.assert_array_equal(world.truth(), paper.truth())
        boxes = np.isin(paper.mask(), (1, 2))
        np.testing.assert_array_equal((world.frame() != paper.frame()).any(axis=-1), boxes)
        coloured += boxes.sum()
    assert coloured > 50
    world.close()


@pytest.mark.parametrize("look", ["fast", "full"])
def test_a_colour_is_red_green_and_blue_of_its_own_object(look, simulator):
    """catches: colours swapped between objects, blue first, a look that ignores them"""
    rgb = {"cube": (0.9, 0.3, 0.6), "target": (0.2, 0.8, 0.5), "second_cube": (0.4, 0.6, 1.0)}
    world = PushWorld(SIZE, "side", look=look, scene=rgb)
    world.reset(seed=0, options={"cube": (0, 0), "second_cube": (0.1, 0.1), "target": (0.1, -0.1)})
    frame, mask = world.frame().astype(float), world.mask()
    for name, body in (("cube", 1), ("target", 2), ("second_cube", 5)):
        shown = frame[mask == body].mean(axis=0)  # light scales all three alike
        expected = np.divide(rgb[name], max(rgb[name]))
        np.testing.assert_allclose(shown / shown.max(), expected, atol=0.02)
    world.close()


@pytest.mark.parametrize("look", ["fast", "full"])
def test_the_grey_cubes_sides_have_the_colour_that_most_of_the_arm_has(look, simulator):
    """catches: a grey that the arm does not have, or that of the other look"""
    world = PushWorld(48, look=look, scene="grey-cube")
    arm, cube = [], []
    for seed in range(5):
        world.reset(seed=seed)
        arm.append(world.frame()[world.mask() == 3])
        cube.append(world.frame()[world.mask() == 1])
    most = []
    for pixels in (np.concatenate(arm), np.concatenate(cube)):
        colours, counts = np.unique(pixels, axis=0, return_counts=True)
        most.append(colours[counts.argmax()])
    np.testing.assert_array_equal(*most)
    world.close()


# -- the second cube ---------------------------------------------------------------------------


def test_the_second_cube_comes_last_and_the_others_stay_where_they_were(paper, two):
    assert two.objects == ("cube", "target", "end_effector", "second_cube")
    assert paper.objects == PushWorld.objects == two.objects[:3]
    starts = []
    for seed in range(15):
        paper.reset(seed=seed), two.reset(seed=seed)
        positions = two.positions()
        assert positions.shape == (4, 3)
        np.testing.assert_array_equal(positions[:3], paper.positions())
        assert np.abs(positions[3] - positions[1]).max() > 1e-3  # not the target's numbers again
        starts.append(positions[[0, 3]])
    first, second = np.stack(starts, axis=1)[..., :2]
    assert np.abs(second - first).max(axis=-1).min() > CUBE_M
    assert np.abs(second).max() <= 0.15
    assert np.ptp(second, axis=0).min() > 0.15  # they are spread out


def test_what_is_drawn_without_a_seed_is_the_same_beside_a_second_cube(paper, two):
    """catches: the second cube's draws taken from the stream that gives the next episode"""
    goals = []
    for world in (paper, two):
        world.reset(seed=3)
        goals.append([world.reset()[0]["desired_goal"] for _ in range(2)])
    np.testing.assert_array_equal(*goals)
    second = [two.reset(seed=3) and two.positions()[3], two.reset() and two.positions()[3]]
    assert np.abs(second[0] - second[1]).max() > 1e-3


def test_an_episode_of_two_cubes_is_repeatable_bit_for_bit(two):
    def digest() -> str:
        data = [o[key] for o in play(two, 4, steps=15) for key in sorted(o)]
        return hashlib.sha256(b"".join(x.tobytes() for x in (*data, two.frame()))).hexdigest()

    first = digest()
    play(two, 5)
    assert digest() == first


def test_cubes_push_one_another_and_stay_two(two):
    """catches: a ghost for a second cube, or one that is nailed to the table"""
    two.reset(
        seed=0, options={"cube": (-0.05, 0.0), "second_cube": (0.0, 0.0), "target": (0.15, 0)}
    )
    act = two.policy("push", np.random.default_rng(0))
    observation = two._observation()
    for _ in range(25):
        observation, *_ = two.step(act(observation))
    first, second = two.positions()[[0, 3]]
    assert first[0] > -0.02
    assert second[0] > 0.03
    assert second[2] == pytest.approx(0.02, abs=2e-3)
    assert np.linalg.norm(second - first) > 0.9 * CUBE_M


@pytest.mark.parametrize("view", ["cramer2024", "side"])
def test_the_second_cubes_truth_mask_and_depth_are_its_own(two, view):
    """As the first cube's in test_push, with the first cube elsewhere."""
    camera, seen = two.camera(view), 0
    for i in range(4):
        middle = np.array([0.12, -0.12 + 0.05 * i, 0.02])
        options = {"cube": (-0.1, 0.13), "second_cube": middle[:2], "target": (-0.1, -0.14)}
        two.reset(seed=0, options=options)
        pixels = to_pixels(camera.project(middle + CORNERS)[0], SIZE)
        mask, depth_m = two.mask(view), two.depth(view)
        own = mask == 5
        assert not (own & ~inside_outline(pixels, SIZE, -0.02)).any()
        assert not (inside_outline(pixels, SIZE, 0.02) & ~own & (mask < 3)).any()
        points, nearness = camera.project(middle)
        np.testing.assert_allclose(two.truth(view)[3], points, atol=1e-3)
        assert two.visible(view)[3]
        assert np.abs(depth_m[own] - nearness).max() < 0.02 * 3**0.5 + 1e-3
        seen += own.sum()
    assert seen > 100


@pytest.mark.parametrize("order", [(0, 3), (3, 0)])
def test_a_cube_behind_the_other_is_hidden_and_the_one_in_front_is_not(two, order):
    """catches: a second cube whose pixels count as the first's, or as free"""
    places = {0: "cube", 3: "second_cube"}
    front, back = order
    options = {places[front]: (0.06, 0.0), places[back]: (0.0, 0.0), "target": (0.1, 0.1)}
    two.reset(seed=0, options=options)
    camera = Camera.look_at((0.4, 0.0, 0.03), (0.0, 0.0, 0.02), image_size=SIZE)
    seen = two.visible(camera)
    assert (seen[front], seen[back]) == (True, False)
    column, row = np.floor(to_pixels(two.truth(camera)[back], SIZE) + 0.5).astype(int)
    assert two.mask(camera)[row, column] == (1, None, None, 5)[front]


# -- where scenes have to pass -----------------------------------------------------------------


def test_a_scene_survives_pickling_and_gives_the_same_frames(two):
    back = pickle.loads(pickle.dumps(two))
    assert back.description() == two.description()
    assert back.objects == two.objects
    for world in (two, back):
        world.reset(seed=7)
    np.testing.assert_array_equal(back.frame(), two.frame())
    back.close()


@pytest.mark.slow
def test_workers_and_cache_give_the_recording_of_two_cubes(tmp_path):
    world = PushWorld(image_size=(20, 24), camera=["cramer2024", "top"], scene="two-cubes")
    options = {"episodes": 3, "steps": 2, "policy": ["random_walk", "push"], "progress": False}
    alone = record(world, **options, cache=tmp_path)
    assert alone.truth.shape == (3, 2, 2, 4, 2)
    assert alone.objects[3] == "second_cube"
    for other in (record(world, **options, workers=2), record(world, **options, cache=tmp_path)):
        for name in ("images", "truth", "visible", "positions"):
            np.testing.assert_array_equal(getattr(other, name), getattr(alone, name))
    plain = PushWorld(image_size=(20, 24), camera=["cramer2024", "top"])
    assert record(plain, **options, cache=tmp_path).truth.shape[3] == 3
    world.close(), plain.close()


@pytest.mark.slow
def test_gymnasiums_checker_has_nothing_to_say_about_two_cubes():
    import gymnasium
    from gymnasium.utils.env_checker import check_env

    made = gymnasium.make("kpbook/Push-v0", image_size=16, max_steps=30, scene="two-cubes")
    check_env(made.unwrapped)


# -- messages ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scene", "error", "message"),
    [
        ("two-cube", ValueError, r"scene: got 'two-cube', expected one of .*'two-cubes'\?"),
        (None, TypeError, r"scene: got None, expected a name or colours.*Names are cramer2024"),
        ((1, 0, 0), TypeError, r"scene: got \(1, 0, 0\), expected a name or colours by object"),
        ({"cubes": (1, 0, 0)}, ValueError, "scene: got 'cubes', expected one of 'cube'.*mean 'cub"),
        ({"end_effector": (1, 0, 0)}, ValueError, "'end_effector'.*The arm keeps its colours"),
        ({"cube": (0, 128, 255)}, ValueError, r"scene\['cube'\]: .* 0 to 255.* \[0, 1\].*is 1\.0"),
        ({"cube": (-0.1, 0, 0)}, ValueError, r"scene\['cube'\]: got values from -0\.1 to 0"),
        ({"target": (0, np.nan, 0)}, ValueError, r"scene\['target'\]: got 1 of 3 values NaN"),
        ({"target": (0, 0, 1, 1)}, ValueError, r"scene\['target'\]: got shape \(4,\), expected th"),
        ({"second_cube": None}, TypeError, r"scene\['second_cube'\]: got None, expected three num"),
        ({"cube": "red"}, ValueError, r"scene\['cube'\]: got 'red', expected one of 'arm-grey'"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_wrong_scene_is_named(scene, error, message, simulator):
    with pytest.raises(error, match=message):
        PushWorld(scene=scene)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"second_cube": (0, 0)}, "got 'second_cube' alone, expected 'cube' beside it"),
        ({"second_cube": (0.02, 0), "cube": (0.05, 0)}, r"got cubes 0\.03 m apart, expected at le"),
        ({"third_cube": (0, 0)}, "got 'third_cube', expected one of 'cube', 'target', 'second_cub"),
    ],
)
def test_places_that_do_not_go_together_are_named_and_leave_the_episode_alone(
    two, options, message
):
    two.reset(seed=0)
    before = two.positions()
    with pytest.raises(ValueError, match=message):
        two.reset(seed=1, options=options)
    np.testing.assert_array_equal(two.positions(), before)


def test_a_world_of_one_cube_says_where_there_are_two(paper):
    with pytest.raises(ValueError, match=r"got 'second_cube', expected one of .*'two-cubes' has o"):
        paper.reset(options={"cube": (0, 0), "second_cube": (0.1, 0)})


def test_every_named_scene_can_be_chosen_and_keeps_the_papers_order():
    for name, look in itertools.product(SCENES, ("fast", "full")):
        assert tuple(choose(name, look))[:2] == ("cube", "target")
    given = {"second_cube": (1, 0, 0), "target": (0, 0, 0)}
    assert tuple(choose(given, "fast")) == ("cube", "target", "second_cube")
