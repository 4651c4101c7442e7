"""Name -> world: what a sweep's file means by ``world: push``."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from kpbook._checks import check_choice, complain

#: Name -> ``module:class``; the module loads at the first use.
WORLDS: dict[str, str] = {
    "push": "kpbook.world.push.world:PushWorld",
    "atari": "kpbook.world.atari.world:AtariWorld",
}


def add(name: str, where: str) -> None:
    """Let ``make`` find a world of your own.

    Args:
        name: What a file calls it.
        where: ``"module:class"``.

    Raises:
        ValueError: If ``where`` has no such form, or another world has the name.
    """
    if len(where.split(":")) != 2:
        raise ValueError(complain("where", repr(where), "'module:class'"))
    if WORLDS.setdefault(name, where) != where:
        raise ValueError(complain("name", repr(name), f"one that {WORLDS[name]} does not have"))


def options(name: str) -> list[str] | None:
    """Names of what a world takes; ``None`` where its simulator is not installed.

    Raises:
        ValueError: If there is no such world.
    """
    try:
        made = inspect.signature(_class(name))
    except ImportError:  # making it says what to install
        return None
    return list(made.parameters)


def make(name: str, **options: Any) -> Any:
    """Make a world.

    Raises:
        ImportError: If its simulator is missing.
        ValueError: If there is no such world, or it refuses an option.
    """
    return _class(name)(**options)


def _class(name: str) -> Any:
    module, _, made = WORLDS[check_choice(name, WORLDS, name="world")].partition(":")
    return getattr(importlib.import_module(module), made)
