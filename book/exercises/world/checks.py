"""Checks of the exercises of chapter 2, the world."""

import numpy as np

from kpbook.cameras import Camera
from kpbook.episodes import Episodes
from kpbook.grid import from_pixels, to_pixels


def check_my_camera(answer):
    """Exercise 2.1: "correct", or what is wrong."""
    cam = answer()
    if not isinstance(cam, Camera):
        return "return a Camera, for example Camera.orbit(...)"
    if cam.image_size != (64, 64):
        return f"the image is {cam.image_size}; keep 64 by 64"
    walks = Episodes.sample()
    places = walks.positions[
        np.array(walks.policies) == "random_walk"
    ]  # (E, T, K, 3)
    image_points, depth = cam.project(places)
    if (depth <= 0).any():
        return "some objects are behind the camera: where does it look?"
    uv = to_pixels(image_points, 64)
    lost = 1 - ((uv > -0.5) & (uv < 63.5)).all(-1).mean((0, 1))  # (K,)
    wide = float(np.median(0.04 * cam.intrinsics[0, 0] / depth[..., 0]))
    if lost[:2].max() >= 0.02:
        return f"cube or target is outside in {lost[:2].max():.1%} of frames"
    if lost[2] >= 0.01:
        return f"the end effector is still outside in {lost[2]:.1%} of frames"
    if wide < 2.4:
        return (
            f"the cube is only {wide:.1f} px wide: too far away, or too wide "
            "a lens"
        )
    return "correct"


def check_my_project(answer):
    """Exercise 2.2: "correct", or what is wrong."""
    cam = Camera.look_at(
        (0.5, -0.4, 0.3), (0, 0.1, 0), fov_y_deg=50, image_size=(48, 64)
    )
    p_W = np.array([[0.1, 0.0, 0.05], [-0.2, 0.1, 0.0], [0.0, -0.2, 0.1]])
    got = answer(p_W, cam.intrinsics, cam.X_WC, cam.image_size)
    if got is ...:
        return "not written yet: replace both blanks"
    if np.shape(got) != (3, 2):
        return f"shape {np.shape(got)}, expected (3, 2)"
    right = cam.project(p_W)[0]
    if np.allclose(got, right):
        return "correct"
    R, t, M = cam.X_WC[:3, :3], cam.X_WC[:3, 3], cam.intrinsics
    f, c = M[[0, 1], [0, 1]], M[:2, 2]
    p_C = (p_W - t) @ R
    posed, moved, seen = (p / p[:, 2:] for p in (p_W @ R.T + t, p_W - t, p_C))
    slips = {
        "the pose is used, not its inverse: C beside W": posed[:, :2] * f + c,
        "only moved, not turned: R is missing": moved[:, :2] * f + c,
        "no division by depth": p_C[:, :2] * f + c,
        "the centre (c_x, c_y) is not added": seen[:, :2] * f,
    }
    for message, uv in slips.items():
        if np.allclose(got, from_pixels(uv, cam.image_size)):
            return message
    if np.allclose(got, right[:, ::-1]):
        return "x and y are swapped"
    return (
        f"first point: got {np.round(got[0], 3)}, expected "
        f"{np.round(right[0], 3)}"
    )


def check_depth_to_points(answer):
    """Exercise 2.3: "correct", or what is wrong."""
    cam = Camera.look_at(
        (0.5, -0.4, 0.3), (0, 0.1, 0), fov_y_deg=50, image_size=(6, 8)
    )
    depth = np.random.default_rng(0).uniform(0.5, 1.5, size=(6, 8))
    got = answer(depth, cam)
    if got is ...:
        return "not written yet: return an array (H, W, 3)"
    if np.shape(got) != (6, 8, 3):
        return f"shape {np.shape(got)}, expected (6, 8, 3)"
    row, column = np.mgrid[:6, :8].astype(float)
    uv = np.stack([column, row], axis=-1)
    right = cam.unproject(from_pixels(uv, (6, 8)), depth)
    if np.allclose(got, right):
        return "correct"
    axes = (right - cam.X_WC[:3, 3]) @ cam.X_WC[
        :3, :3
    ]  # the same points in camera axes
    length = np.linalg.norm(axes, axis=-1) / depth
    if np.allclose(got, axes):
        return "these are the camera's axes; multiply by X_WC"
    along_ray = (axes / length[..., None]) @ cam.X_WC[:3, :3].T + cam.X_WC[
        :3, 3
    ]
    if np.allclose(got, along_ray):
        return "depth is along the camera's axis, not along the ray"
    if np.allclose(
        got, cam.unproject(from_pixels(uv[..., ::-1], (6, 8)), depth)
    ):
        return "row and column are swapped: u is the column"
    return (
        f"first pixel: got {np.round(got[0, 0], 3)}, expected "
        f"{np.round(right[0, 0], 3)}"
    )


def check_between_share(answer):
    """Exercise 2.4: "correct", or what is wrong."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(5, 1, 2)) * [1.0, 0.1] + rng.normal(size=(5, 4, 2)) * [
        0.2,
        0.6,
    ]
    got = answer(y)
    if got is ...:
        return "not written yet: return one number"
    if np.shape(got) != ():
        return (
            f"shape {np.shape(got)}, expected one number: add up both "
            "coordinates"
        )
    means, total = y.mean(axis=1), y.var(axis=(0, 1))
    right = means.var(axis=0).sum() / total.sum()
    if np.isclose(got, right):
        still = answer(np.zeros((5, 4, 2)))
        return (
            "correct"
            if np.isnan(still)
            else f"nothing moves: got {still}, expected NaN"
        )
    over_time = y.mean(axis=0).var(axis=0).sum() / total.sum()
    two_shares = (means.var(axis=0) / total).mean()
    unbiased = (
        means.var(axis=0, ddof=1).sum()
        / y.reshape(-1, 2).var(axis=0, ddof=1).sum()
    )
    slips = {
        "this is the share within episodes": 1 - right,
        "these are means over episodes, one for each time step": over_time,
        "the mean of two shares: add the variances first": two_shares,
        "by E - 1 above, by ET - 1 below: the parts no longer add up": unbiased,
    }
    for message, value in slips.items():
        if np.isclose(got, value):
            return message
    return f"got {float(got):.4f}, expected {right:.4f}"
