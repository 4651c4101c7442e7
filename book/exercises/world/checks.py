"""Checks of the exercises of chapter 2, the world."""

import numpy as np

from kpbook.cameras import Camera
from kpbook.episodes import Episodes
from kpbook.grid import from_pixels, to_pixels

NOTHING = "it returns nothing: its last line must be a `return`"


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


def check_project_all(answer):
    """Section 2.2, written by the reader: "correct", or what is wrong."""
    cam = Camera.look_at(
        (0.5, -0.4, 0.3), (0, 0.1, 0), fov_y_deg=50, image_size=(48, 64)
    )
    p_W = np.array([[0.1, 0.0, 0.05], [-0.2, 0.1, 0.0], [0.0, -0.2, 0.1]])
    got = answer(p_W, cam)
    if got is ...:
        return "not written yet: return the points and their depths"
    if got is None:
        return NOTHING
    if not isinstance(got, tuple) or len(got) != 2:
        return "return two arrays: the points (M, 2) and their depths (M,)"
    points, depth = (np.asarray(part) for part in got)
    if points.shape != (3, 2) or depth.shape != (3,):
        return (
            f"shapes {points.shape} and {depth.shape} for three points, "
            "expected (3, 2) and (3,)"
        )
    right, right_depth = cam.project(p_W)
    if not np.allclose(points, right, equal_nan=True):
        return _slip_of_projection(points, p_W, cam, right)
    if not np.allclose(depth, right_depth):
        return "the points are right; the depth is p_C's third number"
    eye, ahead = cam.X_WC[:3, 3], cam.X_WC[:3, 2]
    behind = np.asarray(answer(np.stack([eye - ahead, p_W[0]]), cam)[0])
    if not np.isnan(behind[0]).all():
        return "a point behind the camera got a place in the image, not NaN"
    if not np.allclose(behind[1], right[0]):
        return "one point behind the camera spoils the others"
    return "correct"


def _slip_of_projection(points, p_W, cam, right):
    """What was done to points that are not where they should be."""
    R, t, M = cam.X_WC[:3, :3], cam.X_WC[:3, 3], cam.intrinsics
    f, c = M[[0, 1], [0, 1]], M[:2, 2]
    p_C = (p_W - t) @ R
    posed, moved, turned, seen, unmoved, rows = (
        p / p[:, 2:]
        for p in (
            p_W @ R.T + t,
            p_W - t,
            (p_W - t) @ R.T,
            p_C,
            p_W @ R,
            p_W @ R.T - R.T @ t,
        )
    )
    slips = {
        "the pose is used, not its inverse: C beside W": posed[:, :2] * f + c,
        "only moved, not turned: R is missing": moved[:, :2] * f + c,
        "only turned, not moved: t is missing": unmoved[:, :2] * f + c,
        "turned the wrong way: points are rows": turned[:, :2] * f + c,
        "turned the wrong way: a row needs X_CW's transpose": rows[:, :2] * f
        + c,
        "no division by depth": p_C[:, :2] * f + c,
        "no division by depth, M's last column included": (p_C @ M.T)[:, :2],
        "the centre (c_x, c_y) is not added": seen[:, :2] * f,
    }
    for message, uv in slips.items():
        # behind the camera such a point may already be NaN
        there = np.isfinite(points).all(-1)
        if not there.any():
            break
        if np.allclose(points[there], from_pixels(uv, cam.image_size)[there]):
            return message
    if np.isnan(points).all():
        return "all three are NaN: which of X_WC and X_CW takes W to C?"
    if np.allclose(points, right[:, ::-1]):
        return "x and y are swapped"
    if np.allclose(points, to_pixels(right, cam.image_size)):
        return "these are pixels: eq. (2.4) is missing"
    uv = to_pixels(right, cam.image_size)
    H, W = cam.image_size
    if np.allclose(points, 2 * uv / [H - 1, W - 1] - 1):
        return "W and H are exchanged: u goes with W, the columns"
    if np.allclose(points, 2 * uv / [W, H] - 1):
        return "divided by W and H: eq. (2.4) has W - 1 and H - 1"
    return (
        f"first point: got {np.round(points[0], 3)}, expected "
        f"{np.round(right[0], 3)}"
    )


def check_equations_of_view(answer):
    """Section 2.4, written by the reader: "correct", or what is wrong."""
    cam = Camera.look_at(
        (0.5, -0.4, 0.3), (0, 0.1, 0), fov_y_deg=50, image_size=(48, 64)
    )
    p_W = np.array([0.1, -0.05, 0.08])
    point = cam.project(p_W)[0]
    got = answer(point, cam)
    if got is ...:
        return "not written yet: return the two rows, (2, 4)"
    if got is None:
        return NOTHING
    if np.shape(got) == (2, 3):
        return "three numbers a row: P1, P2 and P3 have four, with t's"
    if np.shape(got) != (2, 4):
        return f"shape {np.shape(got)}, expected two rows of four, (2, 4)"
    got = np.asarray(got)
    u, v = to_pixels(point, cam.image_size)
    x, y, _ = np.linalg.inv(cam.intrinsics) @ [u, v, 1]

    def rows(P, x, y):
        return np.stack([x * P[2] - P[0], y * P[2] - P[1]])

    def same(these):  # either row may have the other sign
        return all(
            any(np.allclose(mine, sign * row) for sign in (1, -1))
            for mine, row in zip(got, these, strict=True)
        )

    right = rows(cam.X_CW, x, y)
    slips = {
        "correct": (right, right[::-1]),
        "P1, P2 and P3 are rows of X_CW, not of the pose": (
            rows(cam.X_WC, x, y),
        ),
        "that is the point in [-1, 1]: undo the lens": (
            rows(cam.X_CW, *point),
        ),
        "those are pixels: undo the lens": (rows(cam.X_CW, u, v),),
        "x_n goes with P1, y_n with P2": (
            rows(cam.X_CW, y, x),
            rows(cam.X_CW, y, x)[::-1],
        ),
        "P1, P2 and P3 are rows of X_CW, not columns": (
            rows(cam.X_CW.T, x, y),
        ),
    }
    for message, candidates in slips.items():
        if any(same(these) for these in candidates):
            return message
    p = np.append(p_W, 1)
    if np.allclose(got @ p, 0) and np.linalg.matrix_rank(got) == 2:
        return (
            "these vanish at the point, but have other lengths than eq. "
            "(2.8)'s: with noise, views would count unequally"
        )
    return "at the point itself the rows give ({:.3f}, {:.3f}), not 0".format(
        *(got @ p)
    )


def check_cut_out(answer):
    """Exercise 2.2: "correct", or what is wrong."""
    cam = Camera.look_at(
        (0.5, -0.4, 0.3), (0, 0.1, 0), fov_y_deg=50, image_size=(48, 64)
    )
    top, left, H, W = 10, 23, 20, 30
    got = answer(cam, top, left, H, W)
    if got is ...:
        return "not written yet: replace the blank"
    if got is None:
        return NOTHING
    if not isinstance(got, Camera):
        return "return a Camera"
    if got.image_size != (H, W):
        return f"the cut-out is {H} rows by {W} columns, not {got.image_size}"
    if not np.allclose(got.X_WC, cam.X_WC):
        return "the camera stays where it is: X_WC is the old one"
    M, old = got.intrinsics, cam.intrinsics
    if not np.allclose(M[:2, :2], old[:2, :2]):
        return "the lens stays what it is: f is the old one, in pixels"
    moved = M[:2, 2] - old[:2, 2]
    slips = {
        "correct": (-left, -top),
        "added: column `left` would be column 2 * left": (left, top),
        "row and column are swapped: u is the column": (-top, -left),
        "nothing moved: column `left` must become column 0": (0, 0),
        "the middle of the cut-out is not on the camera's axis": (
            (W - 1) / 2 - old[0, 2],
            (H - 1) / 2 - old[1, 2],
        ),
    }
    for message, by in slips.items():
        if np.allclose(moved, by):
            return message
    return "(c_x, c_y) moved by ({:g}, {:g})".format(*moved)


def check_depth_to_points(answer):
    """Exercise 2.3: "correct", or what is wrong."""
    cam = Camera.look_at(
        (0.5, -0.4, 0.3), (0, 0.1, 0), fov_y_deg=50, image_size=(6, 8)
    )
    depth = np.random.default_rng(0).uniform(0.5, 1.5, size=(6, 8))
    got = answer(depth, cam)
    if got is ...:
        return "not written yet: return an array (H, W, 3)"
    if got is None:
        return NOTHING
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
    R, t = cam.X_WC[:3, :3], cam.X_WC[:3, 3]
    if np.allclose(got, axes @ R + t):
        return "turned the wrong way: a row needs the rotation's transpose"
    if np.allclose(got, axes @ R.T):
        return "turned, but not moved: the camera's place is missing"
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
    if got is None:
        return NOTHING
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
        "x and y share one mean here: a variance for each, then their sum": (
            means.var() / y.var()
        ),
        "by E - 1 above, by ET - 1 below: the parts no longer add up": unbiased,
    }
    for message, value in slips.items():
        if np.isclose(got, value):
            return message
    return f"got {float(got):.4f}, expected {right:.4f}"
