r"""Pinhole cameras: from metres to image coordinates and back.

A camera is two matrices. ``X_WC`` is its pose in the world (columns: the camera's x, y, z axes and
its position), with OpenCV's axes: x right, y down, **z forward**. ``intrinsics`` is

.. math::
    K = \begin{pmatrix} f & 0 & c_x \\ 0 & f & c_y \\ 0 & 0 & 1 \end{pmatrix}, \qquad
    f = \frac{H}{2 \tan(\text{fov}_y / 2)}, \quad c_x = \frac{W - 1}{2}, \quad c_y = \frac{H - 1}{2}

in pixels, where an integer is the *centre* of a pixel. A point with camera coordinates
:math:`(X, Y, Z)` falls on pixel :math:`(f X / Z + c_x,\; f Y / Z + c_y)`; :math:`Z` is its depth.
Everything here is NumPy in float64 and needs no simulator.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kpbook._arrays import as_float64
from kpbook._checks import check_finite, check_positive, check_range, check_shape, complain
from kpbook.grid import Size, as_size, from_pixels, to_pixels

_AXES = "X_WC holds the camera's x (right), y (down) and z (forward) axes as columns."
_PARALLEL = 1e-9  # 1 / metres: rounding alone leaves about 1e-16
_RIGID = 1e-6  # how far a rotation may be from orthonormal: well above float32's rounding


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera without distortion.

    Attributes:
        intrinsics: ``(3, 3)``, in pixels; an integer is the centre of a pixel.
        X_WC: Pose of the camera in the world, ``(4, 4)``, metres; OpenCV axes.
        image_size: ``(H, W)`` in pixels.
    """

    intrinsics: np.ndarray
    X_WC: np.ndarray
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        K = _matrix(self.intrinsics, 3, name="intrinsics")
        X_WC = _matrix(self.X_WC, 4, name="X_WC")
        if not (K[0, 0] > 0 and K[1, 1] > 0 and np.array_equal(K[2], [0, 0, 1])):
            hint = "Focal lengths are in pixels."
            expected = "positive focal lengths and the last row (0, 0, 1)"
            raise ValueError(complain("intrinsics", K.tolist(), expected, hint))
        if K[0, 1] or K[1, 0]:
            raise ValueError(complain("intrinsics", K.tolist(), "no skew: K[0, 1] = K[1, 0] = 0"))
        R = X_WC[:3, :3]
        rigid = np.allclose(R @ R.T, np.eye(3), atol=_RIGID) and np.linalg.det(R) > 0
        if not (rigid and np.array_equal(X_WC[3], [0, 0, 0, 1])):
            expected = "a rotation (right-handed), a position and the last row (0, 0, 0, 1)"
            raise ValueError(complain("X_WC", X_WC.tolist(), expected, _AXES))
        object.__setattr__(self, "intrinsics", K)
        object.__setattr__(self, "X_WC", X_WC)
        object.__setattr__(self, "image_size", as_size(self.image_size, name="image_size"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Camera) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[bytes, bytes, tuple[int, int]]:
        return self.intrinsics.tobytes(), self.X_WC.tobytes(), self.image_size

    @classmethod
    def look_at(
        cls,
        eye: Any,
        target: Any,
        fov_y_deg: float = 60.0,
        image_size: Size = 64,
        up: Any = (0.0, 0.0, 1.0),
    ) -> Camera:
        """Return the camera at ``eye`` that has ``target`` in the middle of its image.

        Args:
            eye: Position of the camera, ``(3,)``, metres.
            target: The point to look at, ``(3,)``, metres.
            fov_y_deg: Angle between the image's upper and lower **edge**, degrees, 0 to 180.
            image_size: ``(H, W)`` or one integer for a square.
            up: The direction that is up in the image, ``(3,)``; not along the line of sight.

        Raises:
            ValueError: If ``eye`` is the target, or ``up`` lies along the line of sight.
        """
        eye, target, up = (
            _vector(v, name=n) for v, n in ((eye, "eye"), (target, "target"), (up, "up"))
        )
        z = target - eye
        if np.linalg.norm(z) == 0:
            raise ValueError(complain("eye", eye.tolist(), "a place other than the target"))
        z = z / np.linalg.norm(z)
        x = np.cross(z, up)
        if np.linalg.norm(x) < 1e-9 * np.linalg.norm(up) or not up.any():
            hint = "For a camera that looks straight down, give up=(0, 1, 0), say, or use orbit."
            expected = "a direction off the line of sight"
            raise ValueError(complain("up", up.tolist(), expected, hint))
        x = x / np.linalg.norm(x)
        X_WC = np.eye(4)
        X_WC[:3] = np.column_stack([x, np.cross(z, x), z, eye])
        return cls(intrinsics_from_fov(fov_y_deg, image_size), X_WC, as_size(image_size))

    @classmethod
    def orbit(
        cls,
        target: Any,
        distance: float,
        yaw_deg: float,
        pitch_deg: float,
        fov_y_deg: float = 60.0,
        image_size: Size = 64,
    ) -> Camera:
        """Return a camera on a sphere around ``target``, with pybullet's angles (z up, no roll).

        Args:
            target: Middle of the image, ``(3,)``, metres.
            distance: From the target, metres.
            yaw_deg: 0 stands at -y and looks along +y; 90 stands at +x and looks along -x.
            pitch_deg: 0 is level, -90 looks straight down.
            fov_y_deg: Angle between the image's upper and lower edge, degrees.
            image_size: ``(H, W)`` or one integer for a square.
        """
        check_positive(distance, name="distance", hint="Metres from the target.")
        yaw, pitch = np.deg2rad(_vector([yaw_deg, pitch_deg, 0.0], name="angles")[:2])
        sy, cy, sp, cp = np.sin(yaw), np.cos(yaw), np.sin(pitch), np.cos(pitch)
        right = np.array([cy, sy, 0.0])
        forward = np.array([-sy * cp, cy * cp, sp])
        X_WC = np.eye(4)
        eye = _vector(target, name="target") - distance * forward
        X_WC[:3] = np.column_stack([right, np.cross(forward, right), forward, eye])
        return cls(intrinsics_from_fov(fov_y_deg, image_size), X_WC, as_size(image_size))

    @property
    def X_CW(self) -> np.ndarray:
        """The world in the camera's frame, ``(4, 4)``: the inverse of ``X_WC``."""
        R, eye = self.X_WC[:3, :3], self.X_WC[:3, 3]
        X_CW = np.eye(4)
        X_CW[:3, :3], X_CW[:3, 3] = R.T, -R.T @ eye
        return X_CW

    def project(self, p_W: Any) -> tuple[np.ndarray, np.ndarray]:
        """Project points; the inverse of :meth:`unproject`.

        Args:
            p_W: Points in the world, ``(..., 3)``, metres.

        Returns:
            Image coordinates ``(..., 2)``, order (x, y), which may lie outside the image, and
            ``depth_m`` ``(...)``: metres along the camera's z axis. A point at or behind the
            camera (depth <= 0) has no image: its coordinates are NaN.
        """
        p_W = _points(p_W, 3, name="p_W", hint="World points are (x, y, z) in metres.")
        p_C = p_W @ self.X_CW[:3, :3].T + self.X_CW[:3, 3]
        depth_m = p_C[..., 2]
        in_front = np.where(depth_m > 0, depth_m, np.nan)
        f, c = self.intrinsics[[0, 1], [0, 1]], self.intrinsics[:2, 2]
        pixels = p_C[..., :2] / in_front[..., None] * f + c
        return from_pixels(pixels, self.image_size), depth_m

    def unproject(self, points: Any, depth_m: Any) -> np.ndarray:
        """Return the world points ``(..., 3)`` at image coordinates and depths; exact.

        Args:
            points: Image coordinates ``(..., 2)``.
            depth_m: Metres along the camera's z axis (not along the ray), a number or one per
                point, ``(...)``; missing axes in front are repeated.
        """
        points = _points(points, 2, name="points", hint="Image coordinates are (x, y).")
        front, hint = points.shape[:-1], "Depth is metres in front of the camera."
        expected = f"a number or one depth per point, {front}"
        depth_m = as_float64(depth_m, name="depth_m", expected=expected, hint=hint)
        if depth_m.ndim > len(front) or depth_m.shape != front[len(front) - depth_m.ndim :]:
            raise ValueError(complain("depth_m", f"shape {depth_m.shape}", expected, hint))
        check_positive(depth_m, name="depth_m", hint=hint)
        f, c = self.intrinsics[[0, 1], [0, 1]], self.intrinsics[:2, 2]
        rays = np.ones((*points.shape[:-1], 3))
        rays[..., :2] = (to_pixels(points, self.image_size) - c) / f
        p_C = rays * depth_m[..., None]
        p_W: np.ndarray = p_C @ self.X_WC[:3, :3].T + self.X_WC[:3, 3]
        return p_W

    def resized(self, image_size: Size) -> Camera:
        """Return the same camera with another number of pixels; the image's *edges* stay."""
        H, W = as_size(image_size, name="image_size")
        scale = np.array([W / self.image_size[1], H / self.image_size[0]])
        K = self.intrinsics.copy()
        K[[0, 1], [0, 1]] *= scale
        K[:2, 2] = (K[:2, 2] + 0.5) * scale - 0.5  # + 0.5: measured from the edge, not the centre
        return Camera(K, self.X_WC, (H, W))


def intrinsics_from_fov(fov_y_deg: float, image_size: Size) -> np.ndarray:
    """Return ``K`` ``(3, 3)`` of a lens with the given vertical field of view, in the middle.

    Args:
        fov_y_deg: Angle between the image's upper and lower edge, degrees, 0 to 180.
        image_size: ``(H, W)`` or one integer for a square. Pixels are square.
    """
    H, W = as_size(image_size, name="image_size")
    check_range(fov_y_deg, 1e-3, 180 - 1e-3, name="fov_y_deg", hint="The angle is in degrees.")
    f = H / (2 * np.tan(np.deg2rad(fov_y_deg) / 2))
    return np.array([[f, 0, (W - 1) / 2], [0, f, (H - 1) / 2], [0, 0, 1]])


def to_lists(cameras: Sequence[Camera]) -> list[Any]:
    """Return cameras in plain types, to be stored."""
    return [[c.intrinsics.tolist(), c.X_WC.tolist(), list(c.image_size)] for c in cameras]


def from_lists(cameras: Sequence[Any]) -> tuple[Camera, ...]:
    """Return the cameras of :func:`to_lists`."""
    return tuple(Camera(K, X_WC, tuple(size)) for K, X_WC, size in cameras)


def triangulate(points: Any, cameras: Sequence[Camera]) -> np.ndarray:
    r"""Return the world points that several cameras see at given image coordinates.

    Each view gives two linear equations, :math:`(x_n P_3 - P_1) \tilde p = 0` and
    :math:`(y_n P_3 - P_2) \tilde p = 0`, with :math:`(x_n, y_n)` on the plane at unit depth
    and :math:`P` the rows of ``X_CW``. The answer is the right singular vector of the smallest
    singular value (the direct linear transform; Hartley and Zisserman, §12.2). It is exact
    for exact points; with noise it minimises an algebraic error, not the error in pixels.

    Args:
        points: Image coordinates per view, ``(V, ..., 2)``, in the order of ``cameras``.
        cameras: At least two, not all in one place.

    Returns:
        World points ``(..., 3)``, metres; NaN where the rays are parallel, that is, meet more
        than a million kilometres away.
    """
    cameras = _check_cameras(cameras)
    if len(cameras) < 2:
        hint = "One view gives a ray, not a point; with a depth, use Camera.unproject."
        raise ValueError(complain("cameras", f"{len(cameras)} camera(s)", "at least 2", hint))
    points = _points(points, 2, name="points", hint="One row of image coordinates per camera.")
    if points.ndim < 2 or len(points) != len(cameras):
        expected = f"({len(cameras)}, ..., 2)"
        raise ValueError(
            complain("points", f"shape {points.shape}", expected, "One row per camera.")
        )
    eyes = np.stack([camera.X_WC[:3, 3] for camera in cameras])
    if np.ptp(eyes, axis=0).max() < 1e-9:
        hint = "Rays from one place meet only there."
        raise ValueError(complain("cameras", "cameras all in one place", "a baseline", hint))

    rows = []
    for seen, camera in zip(points, cameras, strict=True):
        K, P = camera.intrinsics, camera.X_CW[:3]
        unit = (to_pixels(seen, camera.image_size) - K[:2, 2]) / K[[0, 1], [0, 1]]
        rows.append(unit[..., None] * P[2] - P[:2])  # (..., 2, 4)
    p = np.linalg.svd(np.concatenate(rows, axis=-2))[2][..., -1, :]
    # p has length 1: its last number is 1 / distance from the origin, for points far away.
    scale = np.where(np.abs(p[..., 3:]) > _PARALLEL, p[..., 3:], np.nan)
    p_W: np.ndarray = p[..., :3] / scale
    return p_W


def _check_cameras(cameras: Any) -> list[Camera]:
    several = isinstance(cameras, Iterable) and not isinstance(cameras, str)
    chosen = list(cameras) if several else [cameras]
    for one in chosen:
        if not (several and isinstance(one, Camera)):
            hint = "PushWorld.camera(name) gives the camera of a name."
            raise TypeError(complain("cameras", repr(one), "a list of Camera, one per view", hint))
    return chosen


def _matrix(x: Any, n: int, *, name: str) -> np.ndarray:
    """A read-only float64 copy, so that a camera cannot change under a cached image."""
    matrix = as_float64(x, name=name, expected=f"a matrix ({n}, {n})")
    check_shape(matrix, f"{n} {n}", name=name)
    check_finite(matrix, name=name)
    matrix.setflags(write=False)
    return matrix


def _points(x: Any, n: int, *, name: str, hint: str) -> np.ndarray:
    points = as_float64(x, name=name, expected=f"numbers (..., {n})", hint=hint)
    if points.ndim == 0 or points.shape[-1] != n or not points.size:
        empty = "" if points.size else " with no empty axis"
        raise ValueError(complain(name, f"shape {points.shape}", f"(..., {n}){empty}", hint))
    check_finite(points, name=name)
    return points


def _vector(x: Any, *, name: str) -> np.ndarray:
    hint = "Metres, order (x, y, z)."
    vector = as_float64(x, name=name, expected="three numbers (3,)", hint=hint)
    check_shape(vector, "3", name=name, hint=hint)
    check_finite(vector, name=name)
    return vector
