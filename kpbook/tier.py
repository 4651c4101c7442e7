"""The three sizes of every experiment: ``smoke``, ``laptop`` and ``paper``.

A notebook asks for its sizes here and never branches otherwise. The environment variable
``KPBOOK_TIER`` chooses; ``smoke`` is what CI runs, on two CPU cores, in at most 90 s a notebook.
"""

from __future__ import annotations

import os
from typing import TypeVar

from kpbook._checks import check_choice

NAMES = ("smoke", "laptop", "paper")
T = TypeVar("T")


def name() -> str:
    """Return the tier that ``KPBOOK_TIER`` names, ``"smoke"`` without it.

    Raises:
        ValueError: If the variable holds another word; the message lists the tiers.
    """
    value = os.environ.get("KPBOOK_TIER", "smoke")
    return check_choice(value, NAMES, name="KPBOOK_TIER", hint="Set or unset the variable.")


def pick(*, smoke: T, laptop: T, paper: T) -> T:
    """Return the value that belongs to the current tier.

    Example:
        >>> pick(smoke=2, laptop=20, paper=200)  # with KPBOOK_TIER unset
        2
    """
    return {"smoke": smoke, "laptop": laptop, "paper": paper}[name()]
