"""Chapter 2: what it teaches is what kpbook does, it runs without a simulator, its checks judge."""

import subprocess
import sys

import notebooks
import numpy as np
import pytest
import torch

from kpbook.cameras import Camera, intrinsics_from_fov, triangulate
from kpbook.episodes import Episodes
from kpbook.grid import from_pixels, to_pixels
from kpbook.recordings.push_moment import Moment
from kpbook.world.quiet import quiet

CHAPTER = "02_world"
MODULES = {
    "np": np,
    "Camera": Camera,
    "Episodes": Episodes,
    "from_pixels": from_pixels,
    "to_pixels": to_pixels,
}
TAUGHT = notebooks.taught(CHAPTER, **MODULES)
CHECKS = notebooks.exercises(CHAPTER, **MODULES)
SOLUTIONS = notebooks.solutions(CHAPTER)


def some_cameras(count=4):
    """Cameras that differ in everything, image height and width too, around the origin."""
    rng = np.random.default_rng(3)
    return [
        Camera.look_at(
            rng.uniform(0.5, 1.0, 3) * rng.choice([-1, 1], 3),
            rng.uniform(-0.1, 0.1, 3),
            fov_y_deg=rng.uniform(30, 80),
            image_size=(int(rng.integers(30, 60)), int(rng.integers(70, 99))),
        )
        for _ in range(count)
    ]


CAMERAS = some_cameras()
POINTS = np.random.default_rng(4).uniform(-0.2, 0.2, size=(5, 7, 3))


# -- what is taught is what the package does -----------------------------------------------------


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_projection_that_is_taught_is_the_package_s(camera):
    points, depth_m = TAUGHT["project_all"](POINTS, camera)
    expected, expected_m = camera.project(POINTS)
    np.testing.assert_allclose(points, expected, atol=1e-12)
    np.testing.assert_allclose(depth_m, expected_m, atol=1e-12)


def test_the_loops_do_the_same():
    point, depth_m = TAUGHT["project_one"](POINTS[0, 0], CAMERAS[0])
    expected, expected_m = CAMERAS[0].project(POINTS[0, 0])
    np.testing.assert_allclose([*point, depth_m], [*expected, expected_m], atol=1e-12)


def test_both_projections_say_nan_behind_the_camera():
    eye, ahead = CAMERAS[0].X_WC[:3, 3], CAMERAS[0].X_WC[:3, 2]
    for project in (CAMERAS[0].project, lambda p: TAUGHT["project_all"](p, CAMERAS[0])):
        assert np.isnan(project(np.stack([eye - 0.1 * ahead]))[0]).all()


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_inverse_that_is_taught_is_the_package_s(camera):
    np.testing.assert_allclose(TAUGHT["inverse_pose"](camera.X_WC), camera.X_CW, atol=1e-12)


@pytest.mark.parametrize(("fov", "H", "W"), [(60, 64, 64), (35, 48, 64), (100, 7, 5)])
def test_the_lens_that_is_taught_is_the_package_s(fov, H, W):
    expected = intrinsics_from_fov(fov, (H, W))
    np.testing.assert_allclose(TAUGHT["intrinsics_of_lens"](fov, H, W), expected)


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_un_projection_that_is_taught_is_the_package_s(camera):
    points = np.random.default_rng(5).uniform(-1.2, 1.2, size=(6, 2))
    depth_m = np.linspace(0.1, 3, 6)
    ours = TAUGHT["unproject_all"](points, depth_m, camera)
    np.testing.assert_allclose(ours, camera.unproject(points, depth_m), atol=1e-12)


@pytest.mark.parametrize("views", [2, 3, 4])
def test_the_triangulation_that_is_taught_is_the_package_s_also_with_noise(views):
    cameras, rng = CAMERAS[:views], np.random.default_rng(6)
    seen = np.stack([camera.project(POINTS[0, 0])[0] for camera in cameras])
    seen = seen + rng.normal(0, 0.01, seen.shape)
    ours = TAUGHT["triangulate_one"](seen, cameras)
    np.testing.assert_allclose(ours, triangulate(seen, cameras), atol=1e-9)


def test_two_views_find_the_midpoint_of_two_rays():
    """A closed form: halfway between the closest points of two rays, eye + s * direction."""
    cameras, p_W = CAMERAS[:2], POINTS[0, 0]
    seen = [camera.project(p_W)[0] for camera in cameras]
    eyes = np.stack([camera.X_WC[:3, 3] for camera in cameras])
    views = zip(seen, cameras, strict=True)
    rays = np.stack([TAUGHT["unproject_all"](z, 1.0, camera) for z, camera in views]) - eyes
    s, *_ = np.linalg.lstsq(np.stack([rays[0], -rays[1]], axis=1), eyes[1] - eyes[0], rcond=None)
    midpoint = (eyes + s[:, None] * rays).mean(axis=0)
    np.testing.assert_allclose(TAUGHT["triangulate_one"](seen, cameras), midpoint, atol=1e-9)
    np.testing.assert_allclose(midpoint, p_W, atol=1e-9)


def test_the_device_depth_that_is_taught_is_the_one_of_pybullets_matrix():
    depth_m = np.array([0.1, 0.3, 0.75, 4.0, 100.0])
    clip = np.stack([np.zeros(5), np.zeros(5), -depth_m, np.ones(5)]).T
    clip = clip @ Moment.sample().gl_projection.T
    device = (clip[:, 2] / clip[:, 3] + 1) / 2
    np.testing.assert_allclose(TAUGHT["device_from_metres"](depth_m), device, atol=1e-5)
    back = TAUGHT["metres_from_device"](TAUGHT["device_from_metres"](depth_m))
    np.testing.assert_allclose(back, depth_m, rtol=1e-9)


def test_the_parts_of_the_variance_add_up_for_each_object():
    y = np.random.default_rng(7).normal(size=(5, 4, 3, 2)) * [[1, 2], [3, 4], [5, 6]]
    between, within = TAUGHT["variance_parts"](y)
    np.testing.assert_allclose(between + within, y.var(axis=(0, 1)).sum(-1))
    np.testing.assert_allclose(between[1], y[:, :, 1].mean(1).var(0).sum())


# -- what 2.6 and 2.7 say of the recordings; chapter 4.6 measures it on its own data --------------


def walks_and_their_truth():
    sample = Episodes.sample()
    walks = sample[np.array([name != "push" for name in sample.policies])]
    return walks, walks.truth[:, :, 0]


@pytest.mark.slow
def test_a_split_by_frames_flatters_a_network_that_only_remembers():
    """The truth of the most similar training frame: nothing learned of where things are."""
    walks = walks_and_their_truth()[0][:100]
    images, truth, _, episode = walks.flat()
    flat = torch.from_numpy(images).flatten(1).float()
    held_out = set(walks.split((0.8, 0.2), seed=0)[1].seeds.tolist())
    miss = []
    for test in (
        np.random.default_rng(0).random(len(images)) < 0.2,
        np.isin(walks.seeds[episode], list(held_out)),
    ):
        nearest = torch.cdist(flat[test], flat[~test]).argmin(1).numpy()
        off = 31.5 * (truth[~test][nearest] - truth[test])  # (M, K, 2) in pixels
        miss.append(np.sqrt((off**2).sum(-1).mean(0)))
    by_frame, by_episode = miss
    assert by_episode[1] > 1.3 * by_frame[1]  # the target's, which never moves in an episode


def test_a_keypoint_that_is_blind_to_motion_counts_as_tracking_the_cube():
    """Sequences of 10 frames, as the paper scores: it knows where the cube is on average."""
    sequences = walks_and_their_truth()[1].reshape(-1, 10, 3, 2)  # two from each episode
    between, within = TAUGHT["variance_parts"](sequences)
    assert within[0] < 0.015  # the paper's threshold
    assert between[0] / (between + within)[0] > 0.95
    miss = np.linalg.norm(sequences - sequences.mean(1, keepdims=True), axis=-1)[..., 0]
    assert 31.5 * miss.max() > 10  # pixels of 64, in its worst frame


# -- the page without a simulator ----------------------------------------------------------------

WITHOUT_SIMULATOR = """
import os, sys
for package in ("pybullet", "panda_gym", "gymnasium"):
    sys.modules[package] = None  # importing it fails, as where it is not installed
sys.path.insert(0, sys.argv[1])
import matplotlib
matplotlib.use("agg")
import notebooks
os.chdir(notebooks.BOOK)
scope = {"__name__": "__main__"}
for cell in notebooks.cells("02_world"):
    if cell["cell_type"] == "code":
        exec(compile(cell["source"], cell["id"], "exec"), scope)
"""


@pytest.mark.slow
def test_the_chapter_runs_where_there_is_no_simulator_and_says_so():
    command = [sys.executable, "-c", WITHOUT_SIMULATOR, str(notebooks.BOOK.parent / "tests")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "No simulator here: the shipped scene and the shipped sample are used" in done.stdout
    assert "Left out" not in done.stdout


@pytest.mark.world
def test_the_shipped_scene_is_the_one_that_the_simulator_draws():
    from kpbook.world.push import moment  # needs the simulator

    shipped, drawn = Moment.sample(), moment.take()
    assert (shipped.views, shipped.objects) == (drawn.views, drawn.objects)
    assert shipped.cameras == drawn.cameras
    # Another machine's C library may round a pixel at an edge otherwise.
    for name in ("frames", "full", "mask", "visible"):
        assert (getattr(shipped, name) != getattr(drawn, name)).mean() < 1e-3, name
    same_depth = np.isclose(shipped.depth_m, drawn.depth_m, rtol=1e-5)
    assert (~same_depth & np.isfinite(drawn.depth_m)).mean() < 1e-3
    for name in ("truth", "positions", "gl_view", "gl_projection"):
        np.testing.assert_allclose(getattr(shipped, name), getattr(drawn, name), atol=1e-6)


def test_a_scene_reads_back_as_it_was_written_and_other_files_are_refused(tmp_path):
    scene = Moment.sample()
    again = Moment.load(scene.save(tmp_path / "scene.kpe"))
    assert again.cameras == scene.cameras
    for name in ("frames", "full", "depth_m", "mask", "truth", "visible", "positions"):
        np.testing.assert_array_equal(getattr(again, name), getattr(scene, name))
    episodes = Episodes.sample()[:1].save(tmp_path / "episodes.kpe")
    with pytest.raises(ValueError, match="a file of 'episodes', expected a file of 'scene'"):
        Moment.load(episodes)


def test_quiet_stops_what_compiled_code_prints_and_lets_errors_through(capfd):
    import os

    os.write(1, b"before ")
    with quiet():
        os.write(1, b"chatter")
        os.write(2, b"chatter")
    with pytest.raises(KeyError), quiet():
        raise KeyError
    os.write(1, b"after")
    assert capfd.readouterr() == ("before after", "")


# -- exercises -----------------------------------------------------------------------------------


BLANKS = ["project_all", "equations_of_view", "cut_out", "depth_to_points", "between_share"]


@pytest.mark.parametrize("name", BLANKS)
def test_a_blank_is_noticed(name):
    assert CHECKS[f"check_{name}"](CHECKS[name]).startswith("not written yet")


@pytest.mark.parametrize("name", ["my_camera", "cut_out", "depth_to_points", "between_share"])
def test_the_solution_is_accepted(name):
    scope = dict(MODULES)
    exec(SOLUTIONS[name], scope)
    assert CHECKS[f"check_{name}"](scope[name]) == "correct"


@pytest.mark.parametrize("name", ["project_all", "equations_of_view"])
def test_the_book_s_own_version_is_accepted(name):
    assert CHECKS[f"check_{name}"](TAUGHT[name]) == "correct"
    assert TAUGHT[name] is not CHECKS[name]


def orbit(target, distance, size=64, **lens):
    return lambda: Camera.orbit(target, distance, 45, -35, image_size=size, **lens)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (CHECKS["my_camera"], "the end effector is still outside in 7.9%"),
        (orbit((0, -0.1, 0), 1.3), "the cube is only 1.7 px wide"),
        (orbit((0, -0.05, 0.15), 0.8, size=128), "keep 64 by 64"),
        (orbit((0, 0, 0.1), 0.05), "behind the camera"),
        (lambda: np.eye(4), "return a Camera"),
        (orbit((0, 0, 0.6), 0.7), "cube or target is outside"),
    ],
)
def test_wrong_cameras_are_told_apart(wrong, message):
    assert message in CHECKS["check_my_camera"](wrong)


def projected(p_C, camera, wrong=None):
    """Points in some axes through the lens, with one mistake: image coordinates and depth."""
    M, Z = camera.intrinsics, p_C[:, 2]
    uv = p_C[:, :2] if wrong == "division" else p_C[:, :2] / Z[:, None]
    uv = uv * M[0, 0] + (0 if wrong == "centre" else M[:2, 2])
    return uv if wrong == "pixels" else from_pixels(uv, camera.image_size), Z


def in_camera(p_W, camera):
    return (p_W - camera.X_WC[:3, 3]) @ camera.X_WC[:3, :3]


def after(change):
    """The right projection, with a change of its points and depths."""
    return lambda p, c: change(*c.project(p))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda p, c: projected(p @ c.X_WC[:3, :3].T + c.X_WC[:3, 3], c),
            "the pose is used, not its inverse",
        ),
        (lambda p, c: projected(p - c.X_WC[:3, 3], c), "only moved, not turned"),
        (
            lambda p, c: projected((p - c.X_WC[:3, 3]) @ c.X_WC[:3, :3].T, c),
            "turned the wrong way",
        ),
        (lambda p, c: projected(p @ c.X_WC[:3, :3], c), "only turned, not moved"),
        (
            lambda p, c: projected(p @ c.X_CW[:3, :3] + c.X_CW[:3, 3], c),
            "a row needs X_CW's transpose",
        ),
        (
            lambda p, c: (
                from_pixels((in_camera(p, c) @ c.intrinsics.T)[:, :2], c.image_size),
                in_camera(p, c)[:, 2],
            ),
            "M's last column included",
        ),
        (lambda p, c: None, "it returns nothing"),
        (
            after(lambda z, Z: (2 * to_pixels(z, (48, 64)) / [47, 63] - 1, Z)),
            "W and H are exchanged",
        ),
        (after(lambda z, Z: (2 * to_pixels(z, (48, 64)) / [64, 48] - 1, Z)), "divided by W and H"),
        (lambda p, c: projected(in_camera(p, c), c, "division"), "no division by depth"),
        (lambda p, c: projected(in_camera(p, c), c, "centre"), "(c_x, c_y) is not added"),
        (lambda p, c: projected(in_camera(p, c), c, "pixels"), "these are pixels"),
        (lambda p, c: projected(in_camera(p, c), c), "behind the camera got a place"),
        (after(lambda z, Z: (z * np.where((Z > 0).all(), 1, np.nan), Z)), "spoils the others"),
        (after(lambda z, Z: (z[:, ::-1], Z)), "x and y are swapped"),
        (after(lambda z, Z: (z + 0.01, Z)), "first point: got"),
        (after(lambda z, Z: (z * np.nan, Z)), "all three are NaN"),
        (after(lambda z, Z: (z, 2 * Z)), "the depth is p_C's third number"),
        (after(lambda z, Z: (np.c_[z, Z], Z)), "shapes (3, 3) and (3,)"),
        (after(lambda z, Z: z), "return two arrays"),
    ],
)
def test_wrong_projections_are_told_apart(wrong, message):
    assert message in CHECKS["check_project_all"](wrong)


def two_rows(x, y, P):
    return np.stack([x * P[2] - P[0], y * P[2] - P[1]])


def undone(point, camera):
    """The point's direction (x_n, y_n), with the lens undone."""
    return TAUGHT["normalised_points"](point, camera)[:2]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda z, c: two_rows(*undone(z, c), c.X_WC), "not of the pose"),
        (lambda z, c: two_rows(*z, c.X_CW), "the point in [-1, 1]"),
        (lambda z, c: two_rows(*to_pixels(z, c.image_size), c.X_CW), "those are pixels"),
        (lambda z, c: two_rows(*undone(z, c)[::-1], c.X_CW), "x_n goes with P1"),
        (lambda z, c: two_rows(*undone(z, c), c.X_CW[[1, 0, 2]]), "x_n goes with P1"),
        (lambda z, c: two_rows(*undone(z, c), c.X_CW.T), "not columns"),
        (lambda z, c: None, "it returns nothing"),
        (lambda z, c: two_rows(*undone(z, c), c.X_CW[:, :3]), "P1, P2 and P3 have four"),
        (lambda z, c: two_rows(*undone(z, c), c.X_CW)[0], "shape (4,)"),
        (lambda z, c: 2 * two_rows(*undone(z, c), c.X_CW), "have other lengths"),
        (lambda z, c: np.zeros((2, 4)), "at the point itself the rows give (0.000, 0.000)"),
        (lambda z, c: two_rows(*undone(z, c), c.X_CW) + 1, "at the point itself"),
    ],
)
def test_wrong_equations_are_told_apart(wrong, message):
    assert message in CHECKS["check_equations_of_view"](wrong)


def test_the_rows_may_have_the_other_sign_and_order():
    other = lambda z, c: -two_rows(*undone(z, c), c.X_CW)[::-1]  # noqa: E731 - as readers write it
    assert CHECKS["check_equations_of_view"](other) == "correct"


def cut(camera, size, by, f=1.0, X_WC=None):
    intrinsics = camera.intrinsics * [[f, 1, 1], [1, f, 1], [1, 1, 1]]
    intrinsics[:2, 2] += by
    return Camera(intrinsics, camera.X_WC if X_WC is None else X_WC, size)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda c, t, x, H, W: cut(c, (H, W), (x, t)), "added: column"),
        (lambda c, t, x, H, W: cut(c, (H, W), (-t, -x)), "row and column are swapped"),
        (lambda c, t, x, H, W: cut(c, (H, W), (0, 0)), "nothing moved"),
        (
            lambda c, t, x, H, W: Camera(
                c.intrinsics * [[1, 1, 0], [1, 1, 0], [1, 1, 1]]
                + [[0, 0, (W - 1) / 2], [0, 0, (H - 1) / 2], [0, 0, 0]],
                c.X_WC,
                (H, W),
            ),
            "not on the camera's axis",
        ),
        (lambda c, t, x, H, W: cut(c, (H, W), (-x, -t), f=0.5), "the lens stays"),
        (lambda c, t, x, H, W: cut(c, (H, W), (-x, -t), X_WC=np.eye(4)), "stays where it is"),
        (lambda c, t, x, H, W: cut(c, (W, H), (-x, -t)), "20 rows by 30 columns"),
        (lambda c, t, x, H, W: cut(c, (H, W), (1, 2)), "moved by (1, 2)"),
        (lambda c, t, x, H, W: c.intrinsics, "return a Camera"),
    ],
)
def test_wrong_cut_outs_are_told_apart(wrong, message):
    assert message in CHECKS["check_cut_out"](wrong)


def test_a_cut_out_s_camera_sees_what_the_camera_saw():
    scope = dict(MODULES)
    exec(SOLUTIONS["cut_out"], scope)
    part = scope["cut_out"](CAMERAS[0], 3, 9, 20, 25)
    before = to_pixels(CAMERAS[0].project(POINTS)[0], CAMERAS[0].image_size)
    after = to_pixels(part.project(POINTS)[0], (20, 25))
    np.testing.assert_allclose(after, before - [9, 3], atol=1e-9)


def lifted(depth_m, camera, swapped=False, ray=False, world=True):
    """A depth image un-projected, with one mistake."""
    row, column = np.mgrid[: depth_m.shape[0], : depth_m.shape[1]]
    u, v = (row, column) if swapped else (column, row)
    p_C = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(camera.intrinsics).T
    if ray:
        p_C = p_C / np.linalg.norm(p_C, axis=-1, keepdims=True)
    p_C = p_C * depth_m[..., None]
    return p_C @ camera.X_WC[:3, :3].T + camera.X_WC[:3, 3] if world else p_C


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda d, c: lifted(d, c, swapped=True), "row and column are swapped"),
        (lambda d, c: lifted(d, c, ray=True), "not along the ray"),
        (lambda d, c: lifted(d, c, world=False), "these are the camera's axes"),
        (lambda d, c: lifted(d, c).reshape(-1, 3), "shape (48, 3)"),
        (lambda d, c: lifted(2 * d, c), "first pixel: got"),
        (lambda d, c: lifted(d, c) - c.X_WC[:3, 3], "turned, but not moved"),
        (
            lambda d, c: lifted(d, c, world=False) @ c.X_WC[:3, :3] + c.X_WC[:3, 3],
            "turned the wrong way",
        ),
        (lambda d, c: None, "it returns nothing"),
    ],
)
def test_wrong_point_clouds_are_told_apart(wrong, message):
    assert message in CHECKS["check_depth_to_points"](wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda y: 1 - y.mean(1).var(0).sum() / y.var((0, 1)).sum(), "the share within"),
        (lambda y: y.mean(0).var(0).sum() / y.var((0, 1)).sum(), "one for each time step"),
        (lambda y: (y.mean(1).var(0) / y.var((0, 1))).mean(), "the mean of two shares"),
        (
            lambda y: y.mean(1).var(0, ddof=1).sum() / y.reshape(-1, 2).var(0, ddof=1).sum(),
            "the parts no longer add up",
        ),
        (lambda y: y.mean(1).var(0) / y.var((0, 1)), "expected one number"),
        (lambda y: y.mean(1).var(0).sum() / max(y.var((0, 1)).sum(), 1e-12), "expected NaN"),
        (lambda y: 0.5, "got 0.5000, expected"),
        (lambda y: y.mean(1).var() / y.var(), "x and y share one mean"),
        (lambda y: None, "it returns nothing"),
    ],
)
def test_wrong_shares_are_told_apart(wrong, message):
    assert message in CHECKS["check_between_share"](wrong)
