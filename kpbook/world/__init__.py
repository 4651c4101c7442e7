"""Where frames come from: simulated worlds with known truth, and policies that act in them.

The simulator's packages load with the first name that needs them: ``available``, ``SCENES`` and
what can be chosen work without.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from kpbook.world.push.objects import SCENES
from kpbook.world.push.orbits import CAMERAS

if TYPE_CHECKING:
    from kpbook.world.push.world import LOOKS, MASK_NAMES, OBJECTS, RENDERERS, PushWorld

__all__ = [
    "CAMERAS",
    "LOOKS",
    "MASK_NAMES",
    "OBJECTS",
    "RENDERERS",
    "SCENES",
    "PushWorld",
    "available",
]


def available() -> bool:
    """Say whether the simulator is installed; pip has no pybullet for Python 3.12 and later."""
    packages = ("gymnasium", "panda_gym", "pybullet")
    return all(importlib.util.find_spec(package) is not None for package in packages)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kpbook.world.push import world

    return getattr(world, name)
