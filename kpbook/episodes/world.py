"""What a world has to offer to be recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

#: From an observation to an action.
Policy = Callable[[Any], Any]
PolicyMaker = Callable[[Any, np.random.Generator], Policy]


class World(Protocol):
    """What :func:`kpbook.episodes.record` asks of a world; :class:`kpbook.world.PushWorld` is one.

    With several workers it is pickled and must unpickle as a fresh world of the same settings.
    What it returns is copied: it may use one buffer for all frames. It may also offer

    * ``cameras``, name -> :class:`~kpbook.cameras.Camera`, if it knows a camera of every view;
    * ``positions()``, the objects' places, ``(K, 3)`` metres;
    * ``extras()``, name -> array: whatever else is known of the frame (depth, masks, states), in
      the same shapes every time;
    * ``ends_early = True``, if nothing can follow the end of a game. Then an episode is a window
      of fixed length: after ``terminated`` or ``truncated`` a new game is drawn in it, and
      ``extras["start"]`` marks the first frame of each. Without it an episode goes on.

    A world without ``objects`` needs neither ``truth`` nor ``visible``.
    """

    @property
    def look(self) -> str:
        """How the world is drawn."""

    @property
    def objects(self) -> Sequence[str]:
        """Names along K; may be empty."""

    @property
    def views(self) -> Sequence[str]:
        """Names along V; at least one."""

    def reset(self, *, seed: int) -> tuple[Any, dict[str, Any]]:
        """Start the episode that belongs to ``seed``; the same one every time."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act, as in Gymnasium."""

    def frame(self, view: str) -> np.ndarray:
        """Return the picture, uint8 ``(H, W, 3)``."""

    def truth(self, view: str) -> np.ndarray:
        """Return the objects' image coordinates, ``(K, 2)``."""

    def visible(self, view: str) -> np.ndarray:
        """Say which objects can be seen, bool ``(K,)``."""

    def policy(self, name: str, rng: np.random.Generator) -> Policy:
        """Return a policy for one episode; raise ``ValueError`` if the name is unknown."""

    def description(self) -> dict[str, Any]:
        """Return all that shapes the bytes, in plain types."""
