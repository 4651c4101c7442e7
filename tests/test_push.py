"""The push world: repeatable, true to panda-gym, drawn where the truth says, and fast."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import importlib
import itertools
import pickle
import re
import subprocess
import sys
import time
from pathlib import Path

import conftest
import numpy as np
import pytest
import torch

from kpbook import tables
from kpbook.cameras import Camera, intrinsics_from_fov, triangulate
from kpbook.episodes import Episodes
from kpbook.grid import from_pixels, to_pixels
from kpbook.world import CAMERAS, OBJECTS, PushWorld
from kpbook.world.push import drawing, egl

pytestmark = pytest.mark.world
RESULTS = Path(__file__).parents[1] / "book" / "results"
CONTACT = 4  # a seed whose pushed cube moves by more than 10 cm


@pytest.fixture(scope="module")
def world(simulator):
    yield (world := PushWorld())
    world.close()


@pytest.fixture(scope="module")
def big(simulator):
    yield (world := PushWorld(image_size=(240, 320), camera=["cramer2024", "front", "side", "top"]))
    world.close()


def play(world, seed: int, steps: int = 20, policy: str = "push"):
    """Observations of an episode, and its frames if the world draws."""
    observation, _ = world.reset(seed=seed)
    act = PushWorld.policies[policy](world, np.random.default_rng([seed, 1]))
    observations, frames = [observation], []
    for _ in range(steps):
        observation, *_ = world.step(act(observation))
        observations.append(observation)
        if isinstance(world, PushWorld):
            frames.append(world.frame())
    return observations, frames


def digest(world, seed: int) -> str:
    observations, frames = play(world, seed)
    data = [o[key].tobytes() for o in observations for key in sorted(o)]
    return hashlib.sha256(b"".join(data + [f.tobytes() for f in frames])).hexdigest()


# -- the environment ---------------------------------------------------------------------------


@pytest.mark.slow
def test_gymnasiums_checker_has_nothing_to_say():
    """Warnings are errors here; panda-gym's own environment fails this."""
    import gymnasium
    from gymnasium.utils.env_checker import check_env

    check_env(gymnasium.make("kpbook/Push-v0", image_size=16, max_steps=30).unwrapped)


def test_a_fresh_world_moves_bit_for_bit_as_panda_gym(world):
    """Through a push: contacts, rewards and termination included."""
    import gymnasium
    import panda_gym

    assert panda_gym
    stock = gymnasium.make("PandaPush-v3", renderer="Tiny").unwrapped
    ours, theirs = world.reset(seed=CONTACT)[0], stock.reset(seed=CONTACT)[0]
    act = world.policy("push", np.random.default_rng(0))
    for _ in range(20):
        for key in theirs:
            np.testing.assert_array_equal(ours[key], theirs[key])
        action = act(ours)
        ours, *mine = world.step(action)
        theirs, *yours = stock.step(action)
        assert mine[:3] == yours[:3]
    assert np.linalg.norm(ours["achieved_goal"] - theirs["achieved_goal"]) == 0
    stock.close()


@pytest.mark.slow
def test_an_episode_is_the_same_first_after_others_and_in_another_process(world):
    """The episode has contacts; panda-gym's reset fails here by centimetres."""
    observations, _ = play(world, CONTACT)
    moved = observations[-1]["achieved_goal"] - observations[0]["achieved_goal"]
    assert np.linalg.norm(moved) > 0.1
    fresh = PushWorld()
    first = digest(fresh, CONTACT)
    fresh.close()
    assert digest(world, CONTACT) == first
    code = f"import test_push as t; print(t.digest(t.PushWorld(), {CONTACT}))"
    run = [sys.executable, "-c", code]
    other = subprocess.run(run, cwd=Path(__file__).parent, capture_output=True, text=True)
    assert first in other.stdout, other.stderr


def test_panda_gyms_reset_is_not_repeatable_which_is_why_ours_rebuilds():
    """If this fails, panda-gym was mended, and the performance page has to change."""
    import gymnasium
    import panda_gym

    assert panda_gym
    stock = gymnasium.make("PandaPush-v3", renderer="Tiny").unwrapped
    first, again = (play(stock, CONTACT)[0][-1]["observation"] for _ in range(2))
    stock.close()
    assert not np.array_equal(first, again)


@pytest.mark.slow
def test_both_looks_move_bit_for_bit_alike(world):
    """Collision meshes are drawn, not simulated anew: same inertias, joints and contacts."""
    full = PushWorld(look="full", image_size=8)
    for seed in (CONTACT, CONTACT + 1):
        for a, b in zip(play(world, seed)[0], play(full, seed)[0], strict=True):
            for key in a:
                np.testing.assert_array_equal(a[key], b[key])
    full.close()


def test_reset_without_a_seed_goes_on_with_the_worlds_own_generator(world):
    goals = []
    for _ in range(2):
        world.reset(seed=3)
        goals.append([world.reset()[0]["desired_goal"] for _ in range(2)])
    np.testing.assert_array_equal(goals[0], goals[1])
    assert not np.array_equal(goals[0][0], goals[0][1])


def test_observations_stay_within_the_space(world):
    for seed in range(4):
        assert all(world.observation_space.contains(o) for o in play(world, seed)[0])


def test_an_episode_ends_at_the_goal_and_only_there(world):
    world.reset(seed=0, options={"cube": (0.0, 0.0), "target": (0.1, 0.1)})
    _, reward, terminated, truncated, info = world.step(np.zeros(3))
    assert (reward, terminated, truncated, info["is_success"]) == (-1.0, False, False, False)
    world.reset(seed=0, options={"cube": (0.1, 0.1), "target": (0.1, 0.1)})
    _, reward, terminated, _, info = world.step(np.zeros(3))
    assert (reward, terminated, info["is_success"]) == (0.0, True, True)


def test_max_steps_truncates_and_dense_reward_is_minus_the_distance():
    short = PushWorld(max_steps=2, reward="dense", image_size=8)
    short.reset(seed=0, options={"cube": (0.0, 0.0), "target": (0.03, 0.04)})
    assert [short.step(np.zeros(3))[3] for _ in range(2)] == [False, True]
    assert short.step(np.zeros(3))[1] == pytest.approx(-0.05, abs=1e-3)
    short.reset(seed=0)
    assert not short.step(np.zeros(3))[3]
    short.close()


def test_a_pickled_world_comes_back_with_the_same_settings(world):
    camera = Camera.orbit((0, 0, 0), 0.9, 10, -50)
    there = PushWorld(image_size=(20, 30), camera=["side", camera], look="full")
    back = pickle.loads(pickle.dumps(there))
    assert back.description() == there.description()
    assert list(back.cameras) == ["side", "view1"]
    there.close()
    back.close()


# -- what is drawn -----------------------------------------------------------------------------


CORNERS = np.array(list(itertools.product([-0.02, 0.02], repeat=3)))
SPOTS = [(-0.12, -0.14), (-0.17, 0.13), (0.13, -0.13)]


def pixel_centres(size) -> np.ndarray:
    """Pixel coordinates (x, y) of every pixel, (H, W, 2)."""
    return np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), axis=-1)


def inside_outline(pixels: np.ndarray, size, margin: float) -> np.ndarray:
    """Pixels whose centre lies at least ``margin`` px within the convex hull of some points."""
    from scipy.spatial import ConvexHull

    sides = ConvexHull(pixels).equations  # outward normal and offset of each side
    distance = pixel_centres(size) @ sides[:, :2].T + sides[:, 2]
    return (distance <= -margin).all(axis=-1)


@pytest.mark.parametrize("view", ["cramer2024", "front", "side", "top"])
def test_the_cube_covers_exactly_the_pixels_whose_centres_its_projection_covers(big, view):
    """catches: half a pixel, by which pybullet's CPU renderer is off; swapped axes; the lens"""
    size, seen = big.image_size, 0
    for x, y in SPOTS:
        big.reset(seed=0, options={"cube": (x, y), "target": (0.14, 0.14)})
        pixels = to_pixels(big.camera(view).project(np.add(CORNERS, [x, y, 0.02]))[0], size)
        mask = big.mask(view)
        cube, arm = mask == 1, mask >= 3
        assert not (cube & ~inside_outline(pixels, size, -0.02)).any()
        assert not (inside_outline(pixels, size, 0.02) & ~cube & ~arm).any()
        seen += cube.sum()
    assert seen > 250


@pytest.mark.parametrize(
    ("name", "index"), [("panda_link4", 3), ("panda_link5", 4), ("panda_hand", 8)]
)
def test_a_link_is_where_pybullet_says_after_recomputing(big, name, index):  # catches: another link
    big.reset(seed=2)
    big.step(np.array([1, -1, 1]))
    ours = big.link(name)
    state = big._client.getLinkState(big._sim.body("panda"), index, computeForwardKinematics=1)
    np.testing.assert_allclose(ours, state[4], atol=1e-7)  # pybullet rounds


def test_a_link_that_the_robot_lacks(big):
    with pytest.raises(ValueError, match=r"link: got 'forearm', expected .*'panda_link5'"):
        big.link("forearm")


def test_the_recorded_arm_is_that_of_the_sample(
    tmp_path,
):  # catches: other episodes, x and y swapped
    from kpbook.world.push import arm

    sample = Episodes.sample()[:2]
    rows = tables.read(RESULTS / "arm.csv")
    assert len(rows) == arm.EPISODES * sample.truth.shape[1]
    again = arm.positions(sample)
    for e, t in ((0, 0), (0, 19), (1, 7)):
        row = rows[20 * e + t]
        assert (row["episode"], row["frame"]) == (e, t)
        for link, place in zip(arm.LINKS, again[e, t], strict=True):
            np.testing.assert_allclose([row[f"{link}_x"], row[f"{link}_y"]], place, atol=1e-4)
    moved = dataclasses.replace(sample[:1], truth=sample[:1].truth + 0.01)
    with pytest.raises(RuntimeError, match="episode 0, frame 0: got an object elsewhere"):
        arm.positions(moved)


def test_the_robot_is_drawn_where_the_end_effectors_chain_says(big):
    """After fast moves, when pybullet's own answer lags; catches: truth from the lagging state"""
    import pybullet_data

    meshes = Path(pybullet_data.getDataPath()) / "franka_panda" / "meshes" / "collision"
    lines = (meshes / "hand.obj").read_text().splitlines()
    vertices = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], float)
    robot, gl = big._sim.body("panda"), big._client
    for action in ([1, 1, -1], [-1, 0, 1], [0, -1, 0]):
        big.reset(seed=1)
        for _ in range(3):
            big.step(np.array(action))
        ours = big.positions()[2]
        camera = Camera.look_at(np.add(ours, [0.35, -0.2, 0.15]), ours, 60, (400, 500))
        bodies = big._drawer.shoot(gl, camera)[2]
        lagging = gl.getLinkState(robot, 11)[0]
        exact = gl.getLinkState(robot, 11, computeForwardKinematics=1)[0]
        np.testing.assert_allclose(ours, exact, atol=1e-9)
        assert np.linalg.norm(ours - lagging) > 5e-4
        p_WH, q_WH = gl.getLinkState(robot, 8, computeForwardKinematics=1)[4:6]
        R_WH = np.reshape(gl.getMatrixFromQuaternion(q_WH), (3, 3))
        pixels = to_pixels(camera.project(vertices @ R_WH.T + p_WH)[0], (400, 500))
        hand = (bodies >> 24) - 1 == 8
        assert not (hand & ~inside_outline(pixels, (400, 500), -0.1)).any()
        columns = np.nonzero(hand.any(axis=0))[0]
        assert columns.min() - pixels[:, 0].min() < 1
        assert pixels[:, 0].max() - columns.max() < 1


def test_looking_at_truth_does_not_change_what_happens_next(world):
    """catches: asking pybullet to recompute the hand's pose, which moves the next action's start"""
    last = []
    for look in (False, True):
        world.reset(seed=CONTACT)
        for _ in range(6):
            observation, *_ = world.step(np.array([1.0, -1.0, -1.0]))
            if look:
                world.truth(), world.visible(), world.depth()
        last.append(observation["observation"])
    np.testing.assert_array_equal(*last)


@pytest.mark.parametrize("view", ["cramer2024", "side", "top"])
def test_depth_unprojects_to_the_surfaces_that_are_there(big, view):
    """catches: device depth for metres, depth along the ray, depth shifted against the picture"""
    x, y = SPOTS[0]
    big.reset(seed=0, options={"cube": (x, y), "target": (0.14, 0.14)})
    camera, mask, depth_m = big.camera(view), big.mask(view), big.depth(view)
    p_W = camera.unproject(
        from_pixels(pixel_centres(big.image_size), big.image_size), depth_m.clip(0, 10)
    )
    to_centre = np.abs(p_W[mask == 1] - [x, y, 0.02]).max(axis=-1)
    np.testing.assert_allclose(to_centre, 0.02, atol=2e-4)
    np.testing.assert_allclose(p_W[mask == 2][:, 2], 0.0001, atol=1.2e-4)  # top and sides
    table = (
        (mask == 0) & (np.abs(p_W[..., :2] - [-0.1, 0]) < 0.3).all(axis=-1) & (p_W[..., 2] > -0.2)
    )
    np.testing.assert_allclose(p_W[table][:, 2], 0, atol=2e-5)
    assert table.sum() > 1000


def test_where_nothing_is_drawn_depth_is_infinite_and_the_picture_white(big):
    big.reset(seed=0)
    up = Camera.look_at((0, 0, 1), (0.5, 0.1, 2), image_size=20)
    assert np.isinf(big.depth(up)).all()
    assert (big.frame(up) == 255).all()
    assert (big.mask(up) == 0).all()


def test_laying_the_robot_over_a_stored_room_gives_what_drawing_all_at_once_gives(big):
    whole = PushWorld(image_size=(240, 320), camera=["cramer2024", "front", "side", "top"])
    whole._drawer.room_apart = False  # the next reset draws floor and table every time
    for world in (big, whole):
        world.reset(seed=CONTACT)
    for _ in range(4):
        for world in (big, whole):
            world.step(np.array([0.5, 0.3, -1.0]))
        for view in big.cameras:
            np.testing.assert_array_equal(big.frame(view), whole.frame(view))
            np.testing.assert_array_equal(big.depth(view), whole.depth(view))
            np.testing.assert_array_equal(big.mask(view), whole.mask(view))
    whole.close()


def test_the_fast_look_tells_the_hand_from_the_arm_and_cube_and_target_by_colour(big):
    big.reset(seed=1)
    big.step(np.array([0.0, 0.0, -1.0]))
    frame, mask = big.frame("side").astype(int), big.mask("side")
    mean = {i: frame[mask == i].mean(axis=0) for i in (1, 2, 3, 4)}
    assert mean[1][1] > 1.5 * mean[1][[0, 2]].max()  # green
    assert mean[2][2] > 3 * mean[2][:2].max()  # blue
    assert np.ptp(mean[3]) < 2  # greys
    assert np.ptp(mean[4]) < 2
    assert mean[3][0] - mean[4][0] > 50  # the hand is darker than the arm
    assert mean[4][0] - frame[mask == 0].min() > 10  # and lighter than the floor


def test_full_look_draws_shadows_and_other_meshes_over_the_same_truth():
    fast, full = (PushWorld(look=look) for look in ("fast", "full"))
    for world in (fast, full):
        world.reset(seed=2)
    assert (fast.frame() != full.frame()).mean() > 0.2
    np.testing.assert_array_equal(fast.truth(), full.truth())
    fast.close()
    full.close()


def test_one_drawing_serves_a_state_and_a_view(world, monkeypatch):
    shots = []
    shoot = drawing.Drawer.shoot
    monkeypatch.setattr(drawing.Drawer, "shoot", lambda *a: shots.append(1) or shoot(*a))
    world.reset(seed=0)
    first = world.frame().copy()
    world.frame()[:] = 0  # a reader may scribble on what it got
    np.testing.assert_array_equal(world.frame(), first)
    world.depth(), world.mask(), world.visible(), world.render(), world.frame("cramer2024")
    assert len(shots) == 1
    world.step(np.ones(3))
    assert not np.array_equal(world.frame(), first)
    assert len(shots) == 2


# -- truth and visibility ----------------------------------------------------------------------


def test_truth_is_the_projection_of_the_positions_in_every_view(big):
    big.reset(seed=5)
    positions = big.positions()
    np.testing.assert_array_equal(positions[1, 2], 0)  # the drawn target lies on the table
    seen = np.stack([big.truth(view) for view in big.cameras])
    assert seen.shape == (4, len(OBJECTS), 2)
    np.testing.assert_allclose(triangulate(seen, list(big.cameras.values())), positions, atol=1e-9)


def test_visible_is_what_its_definition_says_point_by_point(simulator):
    """Coarse and not square, so that points fall beside their bodies and off each edge."""
    world = PushWorld(image_size=(16, 30), camera=["cramer2024", "top", "front"])
    counts = dict.fromkeys(["own", "beside", "hidden", "off"], 0)
    for seed in range(12):
        world.reset(seed=seed)
        for step in range(6):
            world.step(np.array([np.cos(seed), np.sin(seed), (-1) ** seed * 0.9 - 0.01 * step]))
            for view, camera in world.cameras.items():
                depths, mask = world.depth(view), world.mask(view)
                points, point_depths = camera.project(world.positions())
                for k, (x, y) in enumerate(to_pixels(points, (16, 30))):
                    case = "off"
                    if -0.5 < x < 29.5 and -0.5 < y < 15.5:
                        row, column = round(y), round(x)
                        own = mask[row, column] == (1, 2, 4)[k]
                        nearer = point_depths[k] - depths[row, column]
                        case = "own" if own else "hidden" if nearer > 0.002 else "beside"
                    counts[case] += 1
                    assert world.visible(view)[k] == (case in ("own", "beside")), (seed, view, k)
    assert min(counts.values()) > 5, counts
    world.close()


def test_a_target_under_the_cube_is_hidden_and_the_cube_is_not(world):
    world.reset(seed=0, options={"cube": (0.1, -0.1), "target": (0.1, -0.1)})
    np.testing.assert_array_equal(world.visible()[:2], [True, False])
    world.reset(seed=0, options={"cube": (-0.1, -0.1), "target": (0.1, -0.1)})
    np.testing.assert_array_equal(world.visible()[:2], [True, True])


def test_a_cube_behind_the_hand_is_hidden(big):
    big.reset(seed=0)
    hand = big.positions()[2]
    big.reset(seed=0, options={"cube": (0.0, 0.1), "target": (0.1, -0.1)})
    through = Camera.look_at(2 * hand - [0.0, 0.1, 0.02], [0.0, 0.1, 0.02], image_size=64)
    np.testing.assert_array_equal(big.visible(through)[[0, 2]], [False, True])


def test_the_end_effector_is_hidden_by_the_arm_from_above_and_seen_from_the_side(big):
    big.reset(seed=0)
    assert not big.visible("top")[2]
    assert big.visible("side")[2]


def test_truth_off_the_image_is_kept_and_not_visible(world):
    world.reset(seed=0)
    for _ in range(12):
        world.step(np.array([0.0, 0.0, 1.0]))
    assert world.truth()[2, 1] < -64 / 63
    assert not world.visible()[2]


def test_what_is_behind_the_camera_is_nan_and_not_visible(world):
    world.reset(seed=0)
    away = Camera.look_at((0.5, 0, 0.3), (1.5, 0, 0.3))
    assert np.isnan(world.truth(away)).all()
    assert not world.visible(away).any()


# -- views -------------------------------------------------------------------------------------


def test_views_come_by_name_by_camera_and_in_lists(world):
    mine = Camera.orbit((0, 0, 0), 1.0, 30, -40, image_size=(10, 20))
    several = PushWorld(image_size=(48, 32), camera=["front", mine])
    several.reset(seed=0)
    assert list(several.cameras) == ["front", "view1"]
    assert several.frame().shape == several.frame("top").shape == (48, 32, 3)
    np.testing.assert_array_equal(several.frame(), several.frame("front"))
    assert several.frame(mine).shape == (10, 20, 3)  # a camera of one's own keeps its size
    assert several.camera("view1") == mine.resized((48, 32))
    assert several.mask("view1").dtype == np.int64
    assert several.depth().dtype == np.float64
    several.close()


@pytest.mark.parametrize("size", [(96, 160), (160, 96)])
@pytest.mark.parametrize("name", CAMERAS)
def test_a_named_camera_has_square_pixels_at_any_size_and_projects_as_pybullet(size, name):
    """catches: stretching the square lens to the frame, in the world's own views and in others"""
    import pybullet

    H, W = size
    worlds = [PushWorld(image_size=size, camera=one) for one in (name, "panda-gym")]
    for world in worlds:
        camera = world.camera(name)
        f = H / (2 * np.tan(np.deg2rad(30)))
        K = [[f, 0, (W - 1) / 2], [0, f, (H - 1) / 2], [0, 0, 1]]
        np.testing.assert_allclose(camera.intrinsics, K, rtol=1e-12)
        lens = pybullet.computeProjectionMatrixFOV(60, W / H, drawing.NEAR_M, drawing.FAR_M)
        ours = drawing._projection_matrix(camera, corner_samples=False)
        np.testing.assert_allclose(ours, lens, atol=1e-6)
        np.testing.assert_array_equal(camera.X_WC, CAMERAS[name].X_WC)
        np.testing.assert_array_equal(CAMERAS[name].intrinsics, intrinsics_from_fov(60, 64))
    old = {"cramer2024": "paper"}.get(name, name)  # the keys of old caches
    written = worlds[0].description()["cameras"][old][0]
    np.testing.assert_allclose(written, K, rtol=1e-12)
    for world in worlds:
        world.close()


def test_the_shipped_files_were_drawn_through_the_lenses_of_today(world):
    from kpbook.episodes import Episodes
    from kpbook.recordings.push_moment import Moment

    assert Episodes.sample().cameras[0] == world.camera("cramer2024")
    scene = Moment.sample()
    square = PushWorld(image_size=128, camera=scene.views)
    assert tuple(square.cameras.values()) == scene.cameras
    square.close()


def test_a_pose_alone_is_a_camera_with_the_named_cameras_lens(world):
    pose = CAMERAS["side"].X_WC
    several = PushWorld(image_size=(20, 30), camera=[pose, "side", CAMERAS["top"].X_WC.copy()])
    assert list(several.cameras) == ["view0", "side", "view2"]
    assert several.camera("view0") == several.camera("side") == several.camera(pose)
    assert several.camera("view2") == several.camera("top") != several.camera("view0")
    several.reset(seed=0)
    np.testing.assert_array_equal(several.frame(pose), several.frame("side"))
    back = pickle.loads(pickle.dumps(several))
    assert back.description() == several.description()
    one = PushWorld(image_size=(20, 30), camera=torch.from_numpy(pose.copy()))
    assert one.camera() == several.camera("side")
    for each in (several, back, one):
        each.close()


def test_the_papers_camera_stands_where_the_paper_put_it():
    np.testing.assert_allclose(CAMERAS["cramer2024"].X_WC[:3, 3], [0.405, -0.505, 0.402], atol=1e-3)


def test_every_named_camera_sees_cube_and_target_in_most_episodes(big):
    share = []
    for seed in range(10):
        big.reset(seed=seed)
        share.append([np.abs(big.truth(name)[:2]).max() < 1 for name in CAMERAS])
    assert np.mean(share, axis=0).min() > 0.9


# -- policies ----------------------------------------------------------------------------------


def travels(world, policy: str, episodes: int) -> np.ndarray:
    """How far the cube goes and how much nearer to the target, metres, (episodes, 2)."""
    far = []
    for seed in range(episodes):
        observation, _ = world.reset(seed=seed)
        act, observations = world.policy(policy, np.random.default_rng([seed, 1])), [observation]
        for _ in range(20):
            observations.append(world.step(act(observations[-1]))[0])
        first, last = observations[0]["achieved_goal"], observations[-1]["achieved_goal"]
        goal = observations[0]["desired_goal"]
        nearer = np.linalg.norm(first - goal) - np.linalg.norm(last - goal)
        far.append((np.linalg.norm(last - first), nearer))
    return np.array(far)


@pytest.mark.slow
def test_pushing_moves_the_cube_towards_the_target_and_a_random_walk_rarely_touches_it(world):
    push, walk = travels(world, "push", 30), travels(world, "random_walk", 30)
    assert (push[:, 0] > 0.04).mean() >= 0.9
    assert (push[:, 1] > 0.01).mean() >= 0.75
    assert (walk[:, 0] > 0.01).mean() <= 0.2


def test_the_random_walk_starts_uniform_and_takes_unit_steps(world):
    """catches: uniform actions, or a walk of the hand instead of the action"""
    runs = []
    for seed in range(400):
        act = world.policy("random_walk", np.random.default_rng(seed))
        runs.append([act({}) for _ in range(3)])
    first, steps = np.array(runs)[:, 0], np.diff(np.array(runs), axis=1)
    assert np.abs(runs).max() <= 1
    assert first.std() == pytest.approx(3**-0.5, abs=0.03)
    kept = np.corrcoef(first.ravel(), np.array(runs)[:, 1].ravel())[0, 1]
    assert 0.3 < kept < 0.7  # the action is kept and moved, not drawn anew
    free = steps[np.abs(np.array(runs)[:, 1:]) < 1]  # not clipped
    assert 0.4 < free.std() < 0.9
    assert np.abs(np.array(runs)[:, 1:] == 1).mean() > 0.1  # clipping heaps up at the ends


# -- speed and messages ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("size", "times"), [(64, 15), (128, 6)])
def test_a_frame_is_many_times_faster_than_panda_gyms(size, times):
    """Best of several, both in one run: the machine may be busy."""
    import gymnasium
    import panda_gym

    assert panda_gym
    stock = gymnasium.make(
        "PandaPush-v3", renderer="Tiny", render_width=size, render_height=size
    ).unwrapped
    ours = PushWorld(image_size=size)
    stock.reset(seed=0), ours.reset(seed=0), ours.frame()

    def seconds(draw, repeats):
        start = time.perf_counter()
        for _ in range(repeats):
            draw()
        return (time.perf_counter() - start) / repeats

    def redraw():
        ours._forget()
        ours.frame()

    theirs = min(seconds(stock.render, 2) for _ in range(4))
    mine = min(seconds(redraw, 10) for _ in range(8))
    stock.close()
    ours.close()
    assert theirs / mine >= times, f"{theirs / mine:.1f} times"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"camera": "fornt"}, "camera: got 'fornt', expected one of 'cramer2024'.*mean 'front'"),
        ({"camera": ["front", "front"]}, "camera: got 'front' twice"),
        ({"camera": []}, "camera: got an empty list"),
        ({"look": "quick"}, "look: got 'quick', expected one of 'fast', 'full'"),
        ({"renderer": "opengl"}, "renderer: got 'opengl', expected one of 'tiny', 'egl'"),
        ({"reward": "none"}, "reward: got 'none'"),
        ({"render_mode": "human"}, "render_mode: got 'human', expected one of 'rgb_array'"),
        ({"max_steps": 0}, "max_steps: got 0, expected at least 1"),
        ({"image_size": 0}, "image_size: got 0"),
        ({"camera": np.eye(3)}, r"X_WC: got shape \(3, 3\)"),
    ],
)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        PushWorld(**options)


def test_wrong_names_later_are_named_too(world):
    with pytest.raises(ValueError, match="camera: got 'fron', expected one of 'cramer2024'"):
        world.frame("fron")
    with pytest.raises(ValueError, match="policy: got 'pull', expected one of 'random_walk'"):
        world.policy("pull", np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"options: got 'cubes'.*Did you mean 'cube'"):
        world.reset(options={"cubes": (0, 0)})
    with pytest.raises(
        ValueError, match=r"options\['cube'\]: got \(0, 0, 0\), expected \(x, y\) in metres"
    ):
        world.reset(options={"cube": (0, 0, 0)})


@pytest.mark.parametrize("camera", [None, 3, [["cramer2024"]], {"cramer2024": 1}], ids=repr)
def test_what_is_no_camera_is_named(world, camera):
    with pytest.raises(TypeError, match=r"camera: got .*a name, a Camera or a pose.*2024, front"):
        PushWorld(camera=camera)
    if camera is not None:
        with pytest.raises(TypeError, match=r"camera: got .*a name, a Camera or a pose"):
            world.frame(camera)


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        ([np.nan] * 3, ValueError, "action: got 3 of 3 values NaN"),
        ([0, np.inf, 0], ValueError, "action: got 1 of 3 values NaN or inf"),
        (np.zeros(2), ValueError, r"action: got shape \(2,\), expected \(3,\), finite numbers in"),
        (np.zeros((1, 3)), ValueError, r"action: got shape \(1, 3\), expected \(3,\)"),
        (0.5, ValueError, r"action: got shape \(\), expected \(3,\)"),
        (None, TypeError, r"action: got None, expected \(3,\), finite numbers in \[-1, 1\]"),
        ("up", TypeError, "action: got 'up'"),
        ([1, [2], 3], TypeError, "action: got a list that holds no array"),
    ],
)
def test_a_wrong_action_is_named_and_moves_nothing(world, action, error, message):
    world.reset(seed=0)
    before = world.positions()
    with pytest.raises(error, match=message):
        world.step(action)
    np.testing.assert_array_equal(world.positions(), before)
    assert world._steps == 0


def test_actions_are_taken_from_lists_and_tensors_and_clipped_as_panda_gym_does(world):
    ends = []
    for action in ([1, -1, 1], np.array([2.0, -1.5, 1.0]), torch.tensor([1.0, -1.0, 1.0])):
        world.reset(seed=0)
        ends.append(world.step(action)[0]["observation"])
    np.testing.assert_array_equal(ends[1:], ends[:1] * 2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cube": "ab"}, TypeError, r"options\['cube'\]: got 'ab', expected \(x, y\) in metres"),
        ({"target": None}, TypeError, r"options\['target'\]: got None"),
        ({"target": (np.nan, 0)}, ValueError, r"options\['target'\]: got \(nan, 0\)"),
        (["cube"], TypeError, r"options: got \['cube'\], expected a dictionary"),
        ("cube", TypeError, "options: got 'cube', expected a dictionary"),
    ],
)
def test_wrong_options_are_named_and_leave_the_episode_alone(world, options, error, message):
    world.reset(seed=0)
    before = world.positions()
    with pytest.raises(error, match=message):
        world.reset(seed=1, options=options)
    np.testing.assert_array_equal(world.positions(), before)


def test_a_closed_world_says_so(simulator):
    world = PushWorld(image_size=8)
    world.reset(seed=0)
    world.frame(), world.positions()
    world.close()
    world.close()
    calls = [
        lambda: world.reset(seed=0),
        lambda: world.step(np.zeros(3)),
        *(lambda name=name: getattr(world, name)()
          for name in ("frame", "render", "depth", "mask", "truth", "visible", "positions")),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(RuntimeError, match="the world is closed; make a new one"):
            call()
    back = pickle.loads(pickle.dumps(world))  # the settings live on
    back.reset(seed=0)
    back.close()


def test_a_copy_is_a_fresh_world_with_the_same_settings_as_documented(world):
    world.reset(seed=0)
    world.step(np.ones(3))
    twin = copy.copy(world)
    assert twin._steps == 0
    assert twin.description() == world.description()
    twin.close()
    assert "not in the same state" in PushWorld.__doc__


def test_without_pybullet_the_message_says_where_to_get_it_and_what_works_without(monkeypatch):
    monkeypatch.setitem(sys.modules, "pybullet", None)
    with pytest.raises(ImportError, match=r"3\.10 and 3\.11 only.*conda-forge.*Episodes\.sample"):
        PushWorld()


def test_without_gymnasium_it_says_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.delitem(sys.modules, "kpbook.world.push.world")
    with pytest.raises(ImportError, match=r"gymnasium: .*3\.11 only.*conda-forge.*Episodes\.sam"):
        importlib.import_module("kpbook.world.push.world")


def test_egl_that_cannot_load_is_an_error_and_does_not_end_the_process(monkeypatch, tmp_path):
    monkeypatch.setattr(egl.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"renderer: got 'egl' but no eglRenderer.*'tiny'"):
        PushWorld(renderer="egl")
    fake = type("Spec", (), {"origin": str(tmp_path / "missing.so")})
    monkeypatch.setattr(egl.importlib.util, "find_spec", lambda name: fake)
    with pytest.raises(RuntimeError, match="renderer: got 'egl' but the plug-in failed"):
        PushWorld(renderer="egl")


EGL = """
import numpy as np
from kpbook.world import PushWorld
world = PushWorld(renderer="egl", image_size=48)
pictures = []
for _ in range(3):
    world.reset(seed=0)
    pictures.append(world.frame())
assert (pictures[0] == pictures[2]).all() and (pictures[1] == pictures[2]).all(), "unsteady"
try:
    PushWorld(renderer="egl")
except RuntimeError as error:
    assert "renderer: got 'egl' while another world" in str(error), error
else:
    raise SystemExit("a second world was let in")
world._forget()
assert (world.frame() == pictures[0]).all(), "disturbed"
green = (pictures[0][..., 1] > 1.3 * pictures[0][..., [0, 2]].max(axis=-1)).mean()
assert 0 < green < 0.1 and (world.mask() == 1).any()
world.close()
world.close()
world = PushWorld(renderer="egl", image_size=48)
world.reset(seed=0)
assert (world.frame() == pictures[0]).all(), "another picture in the next world"
del world
PushWorld(renderer="egl", image_size=8)
"""


@pytest.mark.slow
def test_egl_draws_steadily_in_silence_and_in_one_world_at_a_time():
    """catches: raw first drawings, a second context, the driver's greeting and farewell"""
    try:
        world = PushWorld(renderer="egl", image_size=8)
    except RuntimeError as error:
        # Graphics drivers are the machine's, not ours to install; any other fault is ours.
        if not re.search("no eglRenderer|the plug-in failed", str(error)):
            raise
        conftest.left_out(f"no EGL on this machine: {error}")
    world.close()
    run = subprocess.run([sys.executable, "-c", EGL], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_a_second_egl_world_is_refused_until_the_first_is_closed(monkeypatch):
    """With a stand-in for the plug-in, so that it runs where there is no EGL."""
    spec = type("Spec", (), {"origin": "stand-in"})
    monkeypatch.setattr(egl.importlib.util, "find_spec", lambda name: spec)
    fine = type("Done", (), {"returncode": 0})
    monkeypatch.setattr(egl.subprocess, "run", lambda *a, **k: fine)
    client = type("Client", (), {"loadPlugin": lambda *a: 0})()
    closed = []
    sim = type("Sim", (), {"physics_client": client, "close": lambda self: closed.append(1)})()
    first, second = (type("World", (), {})() for _ in range(2))
    free = egl.load(first, sim)
    with pytest.raises(RuntimeError, match=r"renderer: got 'egl' while another.*close\(\)"):
        egl.load(second, sim)
    free()
    egl.load(second, sim)()
    assert len(closed) == 2


# -- names, NumPy's numbers, and what is the caller's -------------------------------------------


def test_the_old_spelling_of_camera_and_scene_means_the_same(world):
    """catches: another key for old caches, or a name that is not taken somewhere"""
    from kpbook.world import SCENES

    old, new = PushWorld(16, "paper", scene="paper"), PushWorld(16, "cramer2024")
    assert old.description() == new.description() == PushWorld(16).description()
    assert list(old.description()["cameras"]) == ["paper"]
    assert old.views == tuple(old.cameras) == ("cramer2024",)
    assert CAMERAS["paper"] == CAMERAS["cramer2024"]
    assert SCENES["paper"] == SCENES["cramer2024"]
    assert "paper" in SCENES
    assert "paper" not in list(SCENES)
    old.reset(seed=0), new.reset(seed=0)
    for each in (old, new):
        np.testing.assert_array_equal(each.frame("paper"), new.frame("cramer2024"))
        np.testing.assert_array_equal(each.truth("paper"), new.truth())
    with pytest.raises(ValueError, match="camera: got 'cramer2024' twice"):
        PushWorld(16, ["paper", "cramer2024"])
    old.close(), new.close()


def test_a_cache_of_the_old_spelling_is_read(tmp_path):
    from kpbook.episodes import record

    options = {"episodes": 1, "steps": 2, "cache": tmp_path, "progress": False}
    for camera in ("paper", "cramer2024"):
        world = PushWorld(16, camera)
        assert record(world, **options).views == ("cramer2024",)
        world.close()
    assert len(list(tmp_path.iterdir())) == 1


def test_numpys_whole_numbers_are_taken_everywhere(world):
    from kpbook.episodes import record

    plain = PushWorld(16, max_steps=5)
    for kind in (np.int64, np.uint32, np.uint8, np.array):
        other = PushWorld(image_size=kind(16), max_steps=kind(5))
        assert other.description() == plain.description()
        assert [type(n) for n in other.image_size] == [int, int]
        counts = {"episodes": kind(2), "steps": kind(2), "seed": kind(3), "workers": kind(1)}
        recording = record(other, **counts, progress=False)
        assert recording.origin == record(plain, episodes=2, steps=2, seed=3).origin
        other.reset(seed=kind(7)), plain.reset(seed=7)
        np.testing.assert_array_equal(other.frame(), plain.frame())
        pickle.loads(pickle.dumps(other)).close()
        other.close()
    plain.reset(seed=recording.seeds[0])
    plain.close()


def test_a_seed_that_is_no_whole_number_is_named(world):
    for seed in (1.5, "1", True, np.array([1, 2])):
        with pytest.raises(TypeError, match=r"seed: got .*expected a whole number"):
            world.reset(seed=seed)
    with pytest.raises(ValueError, match="seed: got -1, expected at least 0"):
        world.reset(seed=-1)


def test_a_world_keeps_nothing_of_the_callers():
    """catches: a pose or list that changes after the world was made, and with it the workers"""
    pose, cameras = CAMERAS["side"].X_WC.copy(), ["top"]
    colours = {"cube": [1.0, 0.0, 0.0]}
    cameras.append(pose)
    world = PushWorld(16, cameras, scene=colours)
    before = world.description()
    pose[:3, 3] += 1
    cameras.pop(0)
    colours["cube"][0] = 0.0
    back = pickle.loads(pickle.dumps(world))
    assert world.description() == back.description() == before
    world.close(), back.close()
