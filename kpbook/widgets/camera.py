"""Camera: move a camera round the table and follow a point into its image, step by step."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import traitlets

from kpbook.cameras import Camera
from kpbook.grid import to_pixels
from kpbook.recordings import push_views as views
from kpbook.widgets._base import PALETTE, LiveFigure, ring, still_picture
from kpbook.widgets._join import front_end
from kpbook.widgets._traits import Choice, Flag, Number, Numbers
from kpbook.world.push.orbits import ORBITS, Orbit

IMAGE_SIZE = 128  # pixels that M and (u, v) are counted in: the scene of chapter 2
#: Range of each number; the sliders end there. A target's three numbers share one.
LIMITS = {
    "target": (-1.0, 1.0),  # metres
    "distance": (0.1, 2.0),  # metres
    "yaw": (-180.0, 180.0),  # degrees, as the next two
    "pitch": (-90.0, 0.0),
    "fov": (10.0, 120.0),
}
#: How far from a recorded camera its picture is still shown: half a step of each slider.
TOLERANCE = {"distance": 0.005, "yaw": 0.5, "pitch": 0.5, "fov": 0.5}
_GRID_M, _AXIS_M = 0.1, 0.1  # between the table's lines; length of a drawn axis
#: The cameras with a recorded picture.
PRESETS = {name: ORBITS[name] for name in views.VIEWS}
_LABELS = {"cramer2024": "the paper's camera"}  # the others by their names
_PROMPT = (
    "Try: narrow the field of view, then raise the distance until the cube has its old size. "
    "Notice: the lens changes M alone, the distance one number of X_CW; from far away, parallel "
    "edges look parallel."
)


class CameraFigure(LiveFigure):
    """A camera on an orbit round the table, what it sees, and every step of the projection.

    The camera has panda-gym's parameters, without roll: see :meth:`kpbook.cameras.Camera.orbit`.
    Where it stands as one of :data:`PRESETS`, the recorded picture lies behind the lines. A point
    at or behind the camera has no image, and the figure says so.

    Attributes:
        target: The point in the middle of the image, ``[x, y, z]`` metres.
        distance: Of the camera from it, 0.1 to 2 metres.
        yaw: Degrees, -180 to 180: 0 stands at -y, 90 at +x.
        pitch: Degrees, -90 (looks straight down) to 0 (level).
        fov: Degrees between the image's upper and lower edge, 10 to 120.
        point: Which point is followed: ``"cube"``, ``"target"``, ``"end_effector"``, ``"origin"``
            or a corner of the cube, ``"corner0"`` to ``"corner7"``.
        picture: Show the recorded picture where there is one.
        prompt: The sentence above the figure.

    Example:
        >>> figure = CameraFigure(fov=90.0)
        >>> figure.camera().intrinsics.round(1).tolist()
        [[64.0, 0.0, 63.5], [0.0, 64.0, 63.5], [0.0, 0.0, 1.0]]
    """

    _esm = front_end("camera.mjs")

    target = Numbers(3, *LIMITS["target"], hint="Metres, order (x, y, z).")
    distance = Number(*LIMITS["distance"], hint="Metres from the target.")
    yaw = Number(*LIMITS["yaw"], hint="Degrees: 0 stands at -y, 90 at +x.")
    pitch = Number(*LIMITS["pitch"], hint="Degrees: 0 is level, -90 looks straight down.")
    fov = Number(*LIMITS["fov"], hint="Degrees between the image's upper and lower edge.")
    point = Choice(lambda figure: figure._points, "cube")
    picture = Flag(True)
    prompt = traitlets.Unicode(_PROMPT).tag(sync=True)
    scene = traitlets.Dict().tag(sync=True)
    frames = traitlets.Bytes().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._views = recorded = views.sample()
        self._points = _points(recorded.objects, recorded.positions)
        first = PRESETS["cramer2024"]._asdict() | {"target": list(PRESETS["cramer2024"].target)}
        super().__init__(
            scene=_scene(self._points, recorded.objects, recorded.frames.shape[1:3]),
            frames=zlib.compress(recorded.frames.tobytes(), 9),
            **(first | traits),
        )

    def camera(self) -> Camera:
        """Return the camera that the figure shows, for an image of 128 by 128 pixels."""
        return self._orbit().camera(IMAGE_SIZE)

    def _orbit(self) -> Orbit:
        return Orbit(tuple(self.target), self.distance, self.yaw, self.pitch, self.fov)

    def _recorded(self) -> str | None:
        """Name of the recorded camera that stands where this one stands, or None."""
        here = self._orbit()
        for name, there in PRESETS.items():
            apart = {n: abs(getattr(here, n) - getattr(there, n)) for n in TOLERANCE}
            apart["yaw"] = min(apart["yaw"], 360 - apart["yaw"])
            moved = np.abs(np.subtract(here.target, there.target)).max()
            near = moved <= TOLERANCE["distance"] + 1e-9
            if near and all(apart[n] <= most + 1e-9 for n, most in TOLERANCE.items()):
                return name
        return None

    def _pixels(self, image_size: tuple[int, int]) -> dict[str, np.ndarray]:
        """Name -> pixel ``(2,)`` of each point; NaN where it has no image."""
        camera = self._orbit().camera(image_size)
        image, _ = camera.project(np.stack(list(self._points.values())))
        return dict(zip(self._points, to_pixels(image, image_size), strict=True))

    def still(self) -> str:
        """Return the current view as a small HTML figure with its text, without any script."""
        H, W = self._views.frames.shape[1:3]
        name = self._recorded() if self.picture else None
        image = np.full((H, W), 238, np.uint8)
        if name is not None:
            image = self._views.frames[self._views.views.index(name)]
        at = self._pixels((H, W))
        counted = self._pixels((IMAGE_SIZE, IMAGE_SIZE))
        marks, said = _cube_lines([at[f"corner{k}"] for k in range(8)]), []
        for obj, colour in zip(self._views.objects, PALETTE, strict=False):
            words = _words(obj)
            if np.isnan(at[obj]).any():
                said.append(f"the {words} behind the camera, without an image")
                continue
            said.append("the {} on pixel ({:.1f}, {:.1f})".format(words, *counted[obj]))
            u, v = at[obj] + 0.5
            marks += ring(u, v, 5, colour, 2)
        words = (
            "A still picture of a live figure that needs JavaScript: a camera "
            f"{self.distance:g} m from the point ({', '.join(f'{v:g}' for v in self.target)}), yaw "
            f"{self.yaw:g}°, pitch {self.pitch:g}°, field of view {self.fov:g}°. Its image of "
            f"{IMAGE_SIZE} by {IMAGE_SIZE} pixels has {', '.join(said)}."
        )
        return still_picture(self.still_id, image, marks, words, width_em=24)


def _points(objects: tuple[str, ...], positions: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> place ``(3,)`` of everything that can be followed, metres."""
    corners = views.cube_corners(positions[objects.index("cube")])
    return {
        **dict(zip(objects, positions, strict=True)),
        "origin": np.zeros(3),
        **{f"corner{k}": corner for k, corner in enumerate(corners)},
    }


def _cube_lines(corners: list[np.ndarray]) -> str:
    """The cube's edges as SVG; those with an end behind the camera are left out."""
    path = ""
    for k in range(8):
        for other in (k | 1, k | 2, k | 4):
            ends = np.concatenate([corners[k], corners[other]]) + 0.5
            if other != k and np.isfinite(ends).all():
                path += "M{:.2f} {:.2f}L{:.2f} {:.2f}".format(*ends)
    return f'<path d="{path}" fill="none" stroke="{PALETTE[0]}" stroke-width="1"/>'


def _words(name: str) -> str:
    return name.replace("_", " ")


def _scene(
    points: dict[str, np.ndarray], objects: tuple[str, ...], frame_size: tuple[int, ...]
) -> dict[str, Any]:
    """All that the page has to know of the world, of the sliders and of the recorded views."""
    labels = {"cube": "cube: its centre", "origin": "the world's origin"}
    labels |= {f"corner{k}": f"corner {k + 1} of the cube" for k in range(8)}
    return {
        "H": IMAGE_SIZE,
        "W": IMAGE_SIZE,
        "frame_size": [int(n) for n in frame_size],
        "points": [
            {
                "name": name,
                "label": labels.get(name, _words(name)),
                "words": _words(name),
                "p_W": place.tolist(),
                "mark": objects.index(name) if name in objects else None,  # and its colour
            }
            for name, place in points.items()
        ],
        "presets": [
            {
                "name": name,
                "label": _LABELS.get(name, name),
                **orbit._asdict(),
                "target": list(orbit.target),
            }
            for name, orbit in PRESETS.items()
        ],
        "limits": {name: list(ends) for name, ends in LIMITS.items()},
        "tolerance": TOLERANCE,
        "table": [list(ends) for ends in views.TABLE],
        "grid": _GRID_M,
        "axis": _AXIS_M,
    }
