"""Where the named cameras of PandaPush stand, in panda-gym's numbers; cameras by name or pose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kpbook._checks import check_choice, complain
from kpbook.cameras import Camera, intrinsics_from_fov
from kpbook.grid import Size
from kpbook.world.push.names import OldNames, canonical

View = Any  # a name, a Camera, or a pose X_WC
FOV_Y_DEG = 60.0  # every named camera and every pose: the default of Camera.orbit


class Orbit(NamedTuple):
    """A camera by panda-gym's numbers, without roll: the arguments of ``Camera.orbit``."""

    target: tuple[float, float, float]  # metres
    distance: float  # metres
    yaw: float  # degrees
    pitch: float  # degrees
    fov: float = 60.0  # degrees between the upper and the lower edge

    def camera(self, image_size: Size) -> Camera:
        """Return the camera that these numbers describe."""
        return Camera.orbit(*self, image_size=image_size)


#: Name -> where that camera stands.
ORBITS: Mapping[str, Orbit] = OldNames(
    {
        # Cramer et al. (2024), "panda-close"
        "cramer2024": Orbit((0, -0.1, 0), 0.7, 45, -35),
        "front": Orbit((-0.05, 0, 0.05), 0.75, 90, -35),
        "side": Orbit((-0.05, 0, 0.05), 0.75, 0, -35),
        "top": Orbit((0, 0, 0), 0.75, 0, -90),
        # what panda-gym's own render() shows
        "panda-gym": Orbit((0, 0, 0), 1.4, 45, -30),
    }
)
#: The same cameras, for 64 pixels a side.
CAMERAS: Mapping[str, Camera] = OldNames({n: Camera.orbit(*orbit) for n, orbit in ORBITS.items()})


def choose_cameras(camera: Any, image_size: tuple[int, int]) -> dict[str, Camera]:
    """Return the cameras that are asked for, by name, in the order given."""
    several = isinstance(camera, list | tuple)
    chosen = list(camera) if several else [camera]
    if not chosen:
        raise ValueError(complain("camera", "an empty list", "at least one camera"))
    cameras: dict[str, Camera] = {}
    for i, one in enumerate(chosen):
        one = canonical(one)
        name = one if isinstance(one, str) else f"view{i}"
        if name in cameras:
            raise ValueError(complain("camera", f"{name!r} twice", "different views"))
        if isinstance(one, Camera):
            cameras[name] = one.resized(image_size)
        else:
            if isinstance(one, str):
                check_choice(one, CAMERAS, name="camera", hint="Or pass a Camera or a pose.")
            cameras[name] = with_our_lens(one, image_size)
    return cameras


def with_our_lens(view: Any, image_size: tuple[int, int]) -> Camera:
    """Return the camera of a known name or of a pose."""
    if isinstance(view, str):
        X_WC = CAMERAS[view].X_WC
    elif hasattr(view, "shape"):
        X_WC = view
    else:
        expected = "a name, a Camera or a pose X_WC, an array (4, 4)"
        hint = f"Names are {', '.join(CAMERAS)}."
        raise TypeError(complain("camera", repr(view), expected, hint))
    return Camera(intrinsics_from_fov(FOV_Y_DEG, image_size), X_WC, image_size)
