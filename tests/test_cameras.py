"""Projection, its inverse and triangulation, against laws, hand-made cases and pybullet."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kpbook.cameras import Camera, intrinsics_from_fov, triangulate
from kpbook.grid import device_to_image, image_to_device, to_pixels

SIZE = (48, 80)  # H != W catches swapped axes
PLACES = st.tuples(*[st.floats(-0.3, 0.3)] * 3)
ORBITS = st.tuples(st.floats(-180, 180), st.floats(-90, 90), st.floats(0.6, 3), st.floats(20, 100))


def orbit(yaw: float, pitch: float, distance: float, fov: float, size=SIZE) -> Camera:
    return Camera.orbit((0.1, -0.1, 0.05), distance, yaw, pitch, fov, size)


def test_a_point_falls_where_pencil_and_paper_put_it():
    """f = 3 / (2 tan 45) = 1.5; depth 2; u = 1.5 * 1/2 + 2, v = 1.5 * -0.5/2 + 1."""
    camera = Camera.look_at((0, -2, 0), (0, 0, 0), fov_y_deg=90, image_size=(3, 5))
    points, depth_m = camera.project([1.0, 0.0, 0.5])
    np.testing.assert_allclose(to_pixels(points, (3, 5)), [2.75, 0.625], atol=1e-12)
    np.testing.assert_allclose(depth_m, 2.0)


def test_the_field_of_view_reaches_the_edges_not_the_centres_of_the_border_pixels():
    """catches: f from H - 1"""
    camera = Camera.look_at((0, 0, 0), (1, 0, 0), fov_y_deg=70, image_size=SIZE)
    top = np.tan(np.deg2rad(35))
    points, _ = camera.project([[1.0, 0.0, top], [1.0, 0.0, -top]])
    np.testing.assert_allclose(points[:, 1], [-48 / 47, 48 / 47])


def test_depth_is_along_the_axis_not_along_the_ray():
    camera = Camera.look_at((0, 0, 0), (1, 0, 0), image_size=SIZE)
    assert camera.project([2.0, 1.0, 0.5])[1] == pytest.approx(2.0)


@given(ORBITS)
def test_the_target_of_an_orbit_is_in_the_middle_at_its_distance(angles):
    points, depth_m = orbit(*angles).project([0.1, -0.1, 0.05])
    np.testing.assert_allclose(points, 0, atol=1e-9)
    np.testing.assert_allclose(depth_m, angles[2])


@given(ORBITS, PLACES)
def test_look_at_and_orbit_agree_where_up_is_not_the_line_of_sight(angles, target):
    yaw, pitch, distance, fov = angles
    camera = Camera.orbit(target, distance, yaw, pitch * 0.99, fov, SIZE)
    same = Camera.look_at(camera.X_WC[:3, 3], target, fov, SIZE)
    np.testing.assert_allclose(same.X_WC, camera.X_WC, atol=1e-9)


@given(ORBITS, PLACES)
def test_unproject_undoes_project(angles, place):
    camera = orbit(*angles)
    points, depth_m = camera.project(place)
    if depth_m > 1e-3:
        np.testing.assert_allclose(camera.unproject(points, depth_m), place, atol=1e-9)


@given(ORBITS, st.floats(-2, 2), st.floats(-2, 2), st.floats(0.01, 50))
def test_project_undoes_unproject(angles, x, y, depth):
    camera = orbit(*angles)
    points, depth_m = camera.project(camera.unproject([x, y], depth))
    np.testing.assert_allclose(points, [x, y], atol=1e-8)
    np.testing.assert_allclose(depth_m, depth, rtol=1e-9)


@pytest.mark.world
@pytest.mark.parametrize("angles", [(45, -35, 0.7, 60), (-120, 20, 2, 35), (0, -90, 0.8, 90)])
def test_orbit_projects_as_pybullets_matrices_do(angles):
    """catches: a flipped axis, y up, a lens from W, centres for edges"""
    import pybullet

    yaw, pitch, distance, fov = angles
    view = pybullet.computeViewMatrixFromYawPitchRoll((0.1, -0.1, 0.05), distance, yaw, pitch, 0, 2)
    lens = pybullet.computeProjectionMatrixFOV(fov, SIZE[1] / SIZE[0], 0.1, 100)
    view, lens = (np.reshape(m, (4, 4)).T for m in (view, lens))
    p_W = np.random.default_rng(0).uniform(-0.2, 0.2, (50, 3))
    clip = np.c_[p_W, np.ones(50)] @ view.T @ lens.T
    device = clip[:, :2] / clip[:, 3:]
    points, depth_m = orbit(*angles).project(p_W)
    np.testing.assert_allclose(points, device_to_image(device, SIZE), atol=2e-5)
    np.testing.assert_allclose(depth_m, clip[:, 3], rtol=1e-5)


def test_a_point_behind_the_camera_has_no_image():
    camera = Camera.look_at((0, 0, 0), (1, 0, 0), image_size=SIZE)
    points, depth_m = camera.project([[-1.0, 0.2, 0.0], [0.0, 0.2, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_array_equal(np.isnan(points), [[True] * 2, [True] * 2, [False] * 2])
    np.testing.assert_allclose(depth_m, [-1, 0, 1], atol=1e-12)


@given(ORBITS, PLACES, st.integers(2, 200), st.integers(2, 200))
def test_resizing_leaves_device_coordinates(angles, place, H, W):
    """catches: scaling cx without the half pixel"""
    camera = orbit(*angles)
    points, depth_m = camera.project(place)
    if depth_m > 1e-3:
        other = camera.resized((H, W)).project(place)[0]
        expected = image_to_device(points, SIZE)
        np.testing.assert_allclose(image_to_device(other, (H, W)), expected, atol=1e-9)


def test_resizing_a_lens_with_the_same_shape_is_the_lens_of_the_new_size():
    camera = Camera.look_at((0, 0, 0), (1, 0, 0), 50, (48, 80)).resized((96, 160))
    np.testing.assert_allclose(camera.intrinsics, intrinsics_from_fov(50, (96, 160)))


@pytest.mark.parametrize("views", [2, 3, 5])
@pytest.mark.parametrize("shape", [(), (7,), (3, 4)])
def test_triangulation_is_exact_for_exact_points(views, shape):
    rng = np.random.default_rng(views)
    cameras = [orbit(360 * v / 5, -40 + 7 * v, 1.0, 60, (40 + v, 90)) for v in range(views)]
    p_W = rng.uniform(-0.2, 0.2, (*shape, 3))
    points = np.stack([camera.project(p_W)[0] for camera in cameras])
    np.testing.assert_allclose(triangulate(points, cameras), p_W, atol=1e-12)


def test_triangulating_points_that_are_a_tenth_of_a_pixel_off_is_off_by_millimetres():
    """A pixel at 1 m is 2 tan(30 deg) / 64 = 18 mm; a tenth of that, on each of three axes."""
    rng = np.random.default_rng(0)
    cameras = [orbit(yaw, -35, 1.0, 60, 64) for yaw in (0, 90)]
    p_W = rng.uniform(-0.1, 0.1, (500, 3))
    points = np.stack([camera.project(p_W)[0] for camera in cameras])
    noisy = points + rng.normal(0, 0.1 * 2 / 63, points.shape)
    error = np.linalg.norm(triangulate(noisy, cameras) - p_W, axis=-1)
    assert 0.001 < np.median(error) < 0.005


def test_cameras_are_equal_by_value_and_cannot_be_changed():
    a, b, c = orbit(1, 2, 1, 60), orbit(1, 2, 1, 60), orbit(1, 2.5, 1, 60)
    assert a == b
    assert hash(a) == hash(b)
    assert a != c
    assert a != a.resized(64)
    with pytest.raises(ValueError, match="read-only"):
        a.X_WC[0, 3] = 1.0


def unproject(points, depth_m) -> np.ndarray:
    return orbit(0, 0, 1, 60).unproject(np.zeros(points), np.ones(depth_m))


def test_depths_belong_to_points_one_by_one():
    """catches: every depth with every point"""
    camera = orbit(30, -20, 1, 60)
    rng = np.random.default_rng(0)
    points, depth_m = rng.uniform(-1, 1, (2, 4, 3, 2)), rng.uniform(1, 2, (2, 4, 3))
    p_W = camera.unproject(points, depth_m)
    for i in np.ndindex(2, 4, 3):
        np.testing.assert_allclose(p_W[i], camera.unproject(points[i], depth_m[i]), atol=1e-12)
    np.testing.assert_array_equal(
        camera.unproject(points, depth_m[0]), camera.unproject(points, depth_m[[0, 0]])
    )
    np.testing.assert_array_equal(
        camera.unproject(points, 1), camera.unproject(points, np.ones((2, 4, 3)))
    )


def test_parallel_rays_have_no_point_and_others_beside_them_keep_theirs():
    """catches: a division by zero; rounding's 1e16 metres for an answer"""
    left, right = (
        Camera.look_at((x, 0.3, 0.2), (x, 1.3, 0.7), image_size=SIZE) for x in (-0.1, 0.2)
    )
    far = np.array([0.3, -0.2])  # the same direction from both
    p_W = np.array([0.05, 1.5, 0.5])
    near = [camera.project(p_W)[0] for camera in (left, right)]
    found = triangulate([[far, near[0]], [far, near[1]]], [left, right])
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], p_W, atol=1e-12)
    assert np.isnan(triangulate([[0.0, 0.0], [0.0, 0.0]], [left, right])).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_tensors_are_taken_where_arrays_are(dtype):
    """Warnings are errors here; catches: NumPy asked to read a tensor, with a gradient at that"""
    camera = orbit(10, -20, 1, 60)
    K, X = (torch.from_numpy(m.copy()) for m in (camera.intrinsics, camera.X_WC))
    assert Camera(K, X, SIZE) == camera
    place = [0.125, 0.25, 0.5]
    p_W = torch.tensor([place] * 2, dtype=dtype, requires_grad=True)
    points, depth_m = camera.project(p_W)
    np.testing.assert_array_equal(points, camera.project([place] * 2)[0])
    back = camera.unproject(torch.from_numpy(points), torch.from_numpy(depth_m))
    np.testing.assert_allclose(back[0], place)
    np.testing.assert_array_equal(camera.project([list(p_W)])[0][0], points)
    assert Camera.look_at(p_W[0], torch.zeros(3)) == Camera.look_at(place, [0, 0, 0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda c: triangulate(np.zeros((2, 2)), ["paper", "top"]), "cameras: got 'paper', exp"),
        (lambda c: triangulate(np.zeros((2, 2)), [c, 3]), "cameras: got 3, expected a list of C"),
        (lambda c: triangulate(np.zeros((2, 2)), "paper"), "cameras: got 'paper'"),
        (lambda c: triangulate(np.zeros((2, 2)), c), r"cameras: got Camera\("),
        (lambda c: triangulate(None, [c, c]), "points: got None"),
        (lambda c: c.project(None), r"p_W: got None, expected numbers \(..., 3\)"),
        (lambda c: c.project([[1, 2, 3], [1, 2]]), "p_W: got a list that holds no array"),
        (lambda c: c.unproject([0, 0], "far"), "depth_m: got 'far', expected a number or one"),
        (lambda c: c.unproject([0, 0], None), "depth_m: got None"),
        (lambda c: Camera("K", np.eye(4), 4), r"intrinsics: got 'K', expected a matrix \(3, 3\)"),
        (lambda c: Camera.look_at("here", (0, 0, 0)), "eye: got 'here'"),
    ],
)
def test_what_holds_no_numbers_is_named(make, message):
    with pytest.raises(TypeError, match=message):
        make(orbit(0, 0, 1, 60))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Camera(np.eye(2), np.eye(4), (4, 4)), r"intrinsics: got shape \(2, 2\)"),
        (lambda: Camera(-np.eye(3), np.eye(4), (4, 4)), "intrinsics: .*positive focal lengths"),
        (lambda: Camera(np.eye(3), np.diag([1, 1, -1, 1]), (4, 4)), "X_WC: .*a rotation"),
        (lambda: Camera(np.eye(3), np.eye(4) * 2, (4, 4)), "X_WC: .*OpenCV|X_WC: .*columns"),
        (lambda: Camera(np.eye(3), np.eye(4), (4, 0)), "image_size: got 0"),
        (lambda: Camera([[1, 0.1, 0], [0, 1, 0], [0, 0, 1]], np.eye(4), (4, 4)), "no skew"),
        (lambda: Camera.look_at((1, 1, 1), (1, 1, 1)), "eye: .*other than the target"),
        (lambda: Camera.look_at((0, 0, 1), (0, 0, 0)), "up: .*line of sight.*orbit"),
        (lambda: Camera.look_at((0, 0), (0, 0, 0)), r"eye: got shape \(2,\)"),
        (lambda: Camera.look_at((0, 0, np.nan), (0, 0, 0)), "eye: got 1 of 3 values NaN"),
        (lambda: Camera.orbit((0, 0, 0), 0, 0, 0), "distance: got 0"),
        (lambda: Camera.orbit((0, 0, 0), 1, 0, 0, 180), "fov_y_deg: .*degrees"),
        (lambda: orbit(0, 0, 1, 60).project([1.0, 2.0]), r"p_W: got shape \(2,\).*metres"),
        (lambda: orbit(0, 0, 1, 60).unproject([0.0, 0.0], -1.0), "depth_m: got -1.0"),
        (lambda: orbit(0, 0, 1, 60).unproject([0.0], 1.0), r"points: got shape \(1,\)"),
        (lambda: triangulate(np.zeros((1, 2)), [orbit(0, 0, 1, 60)]), "cameras: got 1 camera"),
        (lambda: triangulate(np.zeros((3, 2)), [orbit(0, 0, 1, 60)] * 2), r"points: got shape"),
        (lambda: triangulate(np.zeros((2, 2)), [orbit(0, 0, 1, 60)] * 2), "all in one place"),
        (lambda: unproject((4, 2), (3,)), r"depth_m: got shape \(3,\), expected a number.*\(4,\)"),
        (lambda: unproject((4, 2), (4, 1)), r"depth_m: got shape \(4, 1\), expected .*\(4,\)"),
        (lambda: unproject((2,), (5,)), r"depth_m: got shape \(5,\), expected .*\(\)"),
        (lambda: unproject((0, 2), (0,)), r"points: got shape \(0, 2\), .* with no empty axis"),
        (lambda: orbit(0, 0, 1, 60).project(np.zeros((0, 3))), r"p_W: got shape \(0, 3\),.*empty"),
    ],
)
def test_wrong_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
