"""What lies on PandaPush's table and in which colours: a scene.

A scene is a name of :data:`SCENES`, or a dictionary of colours by object; what it does not name
is that of Cramer et al. (2024). Needs no simulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from kpbook._arrays import as_float64
from kpbook._checks import check_choice, check_finite, check_range, complain
from kpbook.recordings.push_moment import CUBE_M
from kpbook.world.push.names import CRAMER, OldNames, canonical

Colours = dict[str, tuple[float, float, float]]  # red, green, blue in [0, 1], by object
COLOURED = ("cube", "target", "second_cube")
_CRAMER: Mapping[str, Any] = MappingProxyType({"cube": (0.1, 0.9, 0.1), "target": (0.1, 0.1, 0.9)})
# Before light falls on it, the grey that more of the arm's pixels have than any other: links 1 and
# 3 in the fast look (SHADES in kpbook.world.push.simulation), the white links in the full one.
ARM_GREY: Mapping[str, float] = MappingProxyType({"fast": 0.97, "full": 1.0})
_ARM_GREY = "arm-grey"  # as a colour: the grey of the look that is drawn
SCENES: Mapping[str, Mapping[str, Any]] = OldNames(
    {
        CRAMER: _CRAMER,
        "other-colours": {"cube": (0.9, 0.1, 0.1), "target": (0.9, 0.8, 0.1)},  # red, yellow
        "two-cubes": {**_CRAMER, "second_cube": (0.9, 0.1, 0.1)},
        "grey-cube": {**_CRAMER, "cube": _ARM_GREY},
    }
)
_APART_M = 0.06  # between the middles of drawn cubes along x or y: 2 cm of table show
_REACH_M = 0.15  # panda-gym draws cubes and goals in [-0.15, 0.15] along x and y


def choose(scene: Any, look: str) -> Colours:
    """Return the colours of the objects that are in a scene.

    Raises:
        TypeError: If ``scene`` is neither a name nor a dictionary, or a colour no numbers.
        ValueError: If a name is unknown or a colour is not three numbers in [0, 1].
    """
    scene = canonical(scene)
    if isinstance(scene, str):
        scene = SCENES[check_choice(scene, SCENES, name="scene", hint="Or pass colours by object.")]
    if not isinstance(scene, Mapping):
        expected = "a name or colours by object such as {'cube': (0.9, 0.1, 0.1)}"
        hint = f"Names are {', '.join(SCENES)}."
        raise TypeError(complain("scene", repr(scene), expected, hint))
    for name in scene:
        check_choice(name, COLOURED, name="scene", hint="The arm keeps its colours.")
    return {name: _colour(value, name, look) for name, value in {**_CRAMER, **scene}.items()}


def _colour(value: Any, owner: str, look: str) -> tuple[float, float, float]:
    name, hint = f"scene[{owner!r}]", "Red, green and blue; 255 of a picture is 1.0 here."
    if isinstance(value, str):
        check_choice(value, [_ARM_GREY], name=name, hint="Or three numbers in [0, 1].")
        value = [ARM_GREY[look]] * 3
    expected = f"three numbers in [0, 1] or {_ARM_GREY!r}"
    rgb = as_float64(value, name=name, expected=expected, hint=hint)
    if rgb.shape != (3,):
        raise ValueError(complain(name, f"shape {rgb.shape}", expected, hint))
    check_finite(rgb, name=name, hint=hint)
    check_range(rgb, 0, 1, name=name, hint=hint)
    red, green, blue = rgb.tolist()
    return red, green, blue


def check_places(options: Any, scene: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the options of a reset as ``(x, y)`` by name.

    Raises:
        TypeError: If they are no dictionary, or a place holds no numbers.
        ValueError: If the scene has no such object, a place is not two finite numbers, or the
            second cube would stand in the first.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        expected = "a dictionary such as {'cube': (0.1, 0.0)}"
        raise TypeError(complain("options", repr(options), expected))
    places = {}
    for name, xy in options.items():
        lacking = "Only a scene such as 'two-cubes' has one." if name == "second_cube" else ""
        check_choice(name, scene, name="options", hint=lacking)
        expected, hint = "(x, y) in metres on the table", "The table's top is z = 0."
        place = as_float64(xy, name=f"options[{name!r}]", expected=expected, hint=hint)
        if place.shape != (2,) or not np.isfinite(place).all():
            raise ValueError(complain(f"options[{name!r}]", xy, expected, hint))
        places[name] = place
    if "second_cube" in places:
        _check_apart(places)
    return places


def _check_apart(places: Mapping[str, np.ndarray]) -> None:
    if "cube" not in places:
        hint = "Drawn, the first could stand in the second."
        raise ValueError(complain("options", "'second_cube' alone", "'cube' beside it", hint))
    gap = float(np.abs(places["second_cube"] - places["cube"]).max())
    if gap < CUBE_M:
        expected = f"at least {CUBE_M} m along x or y, a cube's edge"
        hint = "Without 'second_cube' it is drawn beside the first."
        raise ValueError(complain("options", f"cubes {gap:g} m apart", expected, hint))


def draw_beside(cube: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw where the second cube starts: uniform where panda-gym puts cubes, 2 cm off the first.

    Args:
        cube: ``(x, y)`` of the first cube's middle, metres.
        generator: That of the episode. It is not advanced: what it gives next is the same in
            a scene of one cube.
    """
    bits: Any = generator.bit_generator  # PCG64, as gymnasium makes it
    own = np.random.Generator(bits.jumped())  # 2**127 draws ahead: numbers of its own
    while True:
        place = own.uniform(-_REACH_M, _REACH_M, 2)
        if np.abs(place - cube).max() >= _APART_M:
            return place
