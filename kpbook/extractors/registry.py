"""Name -> extractor: what the zoo, the sweep and a reader's notebook build from.

A family is a module with a function ``build(name, *, seed=0, **options)``; it is imported when the
first of its names is built. What it returns has ``name`` and ``config``, so that
``build(e.name, seed=..., **e.config)`` gives the architecture of an extractor ``e`` again.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any

from torch import nn

from kpbook._checks import complain

_HERE = "kpbook.extractors"
#: Beginning of a name -> the module of its family.
FAMILIES: dict[str, str] = {
    **dict.fromkeys(
        ("dsae", "basic", "basic-kp32", "keynet", "rarity"), f"{_HERE}.autoencoder.names"
    ),
    **dict.fromkeys(("transporter", "pixel-transporter", "jakab"), f"{_HERE}.transporter.names"),
}


def names() -> list[str]:
    """Architectures; switches such as ``-quarter`` or ``-vel`` follow: :func:`build`."""
    return list(FAMILIES)


def add(name: str, module: str) -> None:
    """Let ``build`` find an architecture of your own, and with it sweep, zoo and notebooks.

    Args:
        name: Beginning of the names, such as ``"mine"``.
        module: Dotted name of the module that has ``build``; a sweep's file names it under
            ``plugins``, so that every process of the sweep calls ``add``, too.

    Raises:
        ValueError: If another module has the name.
    """
    if FAMILIES.setdefault(name, module) != module:
        raise ValueError(complain("name", repr(name), f"one that {FAMILIES[name]} does not have"))


def family(name: str) -> Any:
    """Return the module that builds a name.

    Raises:
        ValueError: If no family has the name; the message lists those that there are.
    """
    for beginning in sorted(FAMILIES, key=len, reverse=True):
        if name == beginning or str(name).startswith(f"{beginning}-"):
            return importlib.import_module(FAMILIES[beginning])
    close = difflib.get_close_matches(str(name).partition("-")[0], FAMILIES, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else ""
    known = f"one of {', '.join(FAMILIES)}, and switches such as -quarter"
    raise ValueError(complain("architecture", repr(name), known, hint))


def parse(
    name: str, architectures: Iterable[str], switches: Iterable[str]
) -> tuple[str, list[str]]:
    """Split a name into its architecture, the longest that fits, and its switches, in order.

    Raises:
        ValueError: If there is no such architecture or switch; the message lists both.
    """
    for base in sorted(architectures, key=len, reverse=True):
        rest = str(name).removeprefix(base).split("-")
        given = [s for s in switches if s in rest[1:]]
        if str(name).startswith(base) and rest == ["", *given]:
            return base, given
    known = f"one of {', '.join(architectures)}, then any of -{', -'.join(switches)} in this order"
    raise ValueError(complain("architecture", repr(name), known))


def plain(value: Any) -> Any:
    """An option as it reads back from JSON: what a ``config`` holds."""
    if getattr(value, "shape", None) == ():  # of NumPy or torch
        return value.item()
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def build(name: str, *, seed: int = 0, **options: Any) -> nn.Module:
    """Build an untrained extractor, such as :func:`kpbook.extractors.autoencoder.build`.

    Raises:
        ValueError: If the name or an option is unknown; the message lists those that exist.
    """
    network: nn.Module = family(name).build(name, seed=seed, **options)
    return network
