"""Where frames come from: simulated worlds with known truth, and policies that act in them.

A simulator's packages load with the first name that needs them: ``available``, ``SCENES``,
``GAMES`` and what can be chosen work without.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from kpbook._checks import check_choice
from kpbook.world.atari.games import GAMES
from kpbook.world.push.objects import SCENES
from kpbook.world.push.orbits import CAMERAS

if TYPE_CHECKING:
    from kpbook.world.atari.world import AtariWorld
    from kpbook.world.push.world import LOOKS, MASK_NAMES, OBJECTS, RENDERERS, PushWorld

__all__ = [
    "CAMERAS",
    "GAMES",
    "LOOKS",
    "MASK_NAMES",
    "OBJECTS",
    "RENDERERS",
    "SCENES",
    "AtariWorld",
    "PushWorld",
    "available",
]

_PACKAGES = {"push": ("gymnasium", "panda_gym", "pybullet"), "atari": ("gymnasium", "ale_py")}


def available(world: str = "push") -> bool:
    """Say whether a world's simulator is installed.

    Args:
        world: ``"push"``, for which pip has no pybullet on Python 3.12 and later; or ``"atari"``.

    Raises:
        ValueError: If there is no such world.
    """
    packages = _PACKAGES[check_choice(world, _PACKAGES, name="world")]
    return all(importlib.util.find_spec(package) is not None for package in packages)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    family = "atari" if name == "AtariWorld" else "push"
    return getattr(importlib.import_module(f"{__name__}.{family}.world"), name)
