"""Batches: draw places, that is, episodes and times; then take what is asked for there."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from kpbook._checks import check_choice, check_integer, complain
from kpbook.images import to_float

_BY_VIEW = ("images", "truth", "visible")
_BY_TIME = (*_BY_VIEW, "actions", "rewards", "terminated")


class Places(NamedTuple):
    """Where in a recording: indices of episodes and frames, int64, ``(B,)`` or ``(B, L)``."""

    episode: Tensor
    time: Tensor

    def later(self, steps: int | Tensor) -> Places:
        """Return the places that many steps later in the same episodes."""
        return Places(self.episode, self.time + steps)

    def run(self, length: int) -> Places:
        """Return ``length`` places in a row from each of ``(B,)``: ``(B, length)``."""
        return Places(self.episode[:, None], self.time[:, None] + torch.arange(length))


class Samplers:
    """The part of :class:`~kpbook.episodes.Episodes` that draws."""

    images: np.ndarray
    views: tuple[str, ...]
    extras: Mapping[str, np.ndarray]

    def places(self, batch: int, generator: torch.Generator, span: int | Tensor = 1) -> Places:
        """Draw where to take something from; every place that has room is equally likely.

        Args:
            batch: How many, B.
            generator: Where the randomness comes from: ``torch.Generator().manual_seed(0)``.
            span: Frames that must follow one another from the place on, itself included; one
                number or one for each place ``(B,)``. They lie in one episode, and where
                ``extras["start"]`` marks restarts, in one game.

        Raises:
            ValueError: If nothing in the recording is that long.
        """
        E, T = self.images.shape[:2]
        shape, spans = (_size(batch),), torch.as_tensor(span)
        if not 1 <= int(spans.min()) <= int(spans.max()) <= T:
            raise ValueError(complain("span", span, f"1 to {T}, the frames of an episode"))
        episode = torch.randint(E, shape, generator=_own(generator))
        share = torch.rand(shape, generator=generator, dtype=torch.float64)
        if "start" not in self.extras:
            return Places(episode, (share * (T + 1 - spans)).long())
        return self._within_games((episode + share) / E, spans.expand(shape))

    def take(
        self,
        places: Places,
        what: str = "images",
        view: int | None = 0,
        device: Any = None,
    ) -> Tensor:
        """Return what was recorded at places, as a tensor with their axes in front.

        Args:
            places: From :meth:`places`, perhaps :meth:`Places.later` or :meth:`Places.run`.
            what: ``"images"``, float32 ``(..., 3, H, W)`` in [0, 1]; or, as they are stored,
                ``"truth"``, ``"visible"``, ``"actions"``, ``"rewards"``, ``"terminated"`` or a
                name of ``extras``. The action at a place is the one that led there.
            view: Index of the view of images, truth and visible; ``None`` returns all of them,
                with the axis V after those of the places.
            device: Where the result lives.

        Raises:
            ValueError: If nothing is called so, or a place is not in the recording.
        """
        T = self.images.shape[1]
        if int(places.time.min()) < 0 or int(places.time.max()) >= T:
            got = f"times from {int(places.time.min())} to {int(places.time.max())}"
            raise ValueError(complain("places", got, f"0 to {T - 1}", "Ask for a longer span."))
        check_choice(what, dict.fromkeys([*_BY_TIME, "positions", *self.extras]), name="what")
        stored = self.extras[what] if what in self.extras else getattr(self, what)
        index: tuple[Any, ...] = (places.episode.numpy(), places.time.numpy())
        if what in _BY_VIEW and view is not None:
            index = (*index, self._check_view(view))
        taken = stored[index]
        return to_float(taken, device) if what == "images" else torch.from_numpy(taken).to(device)

    def frames(
        self, batch: int, generator: torch.Generator, view: int | None = 0, device: Any = None
    ) -> Tensor:
        """Draw frames, float32 ``(B, 3, H, W)`` in [0, 1]; every frame is equally likely.

        Args:
            batch: How many, B.
            generator: Where the randomness comes from: ``torch.Generator().manual_seed(0)``.
            view: Index of the view; ``None`` returns all of them, ``(B, V, 3, H, W)``.
            device: Where the batch lives.
        """
        return self.take(self.places(batch, generator), "images", view, device)

    def snippets(
        self,
        length: int,
        batch: int,
        generator: torch.Generator,
        view: int | None = 0,
        device: Any = None,
    ) -> Tensor:
        """Draw runs of ``length`` frames in a row, ``(B, length, 3, H, W)`` in [0, 1].

        Arguments as in :meth:`frames`; a snippet never crosses from one episode to the next.
        """
        length, T = check_integer(length, name="length", minimum=1), self.images.shape[1]
        if length > T:
            hint = "Record longer episodes or ask for shorter snippets."
            raise ValueError(complain("length", length, f"at most the {T} frames of one", hint))
        return self.take(self.places(batch, generator, length).run(length), "images", view, device)

    def pairs(
        self,
        gap: int | tuple[int, int],
        batch: int,
        generator: torch.Generator,
        view: int | None = 0,
        device: Any = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw earlier and later frames of one episode, each ``(B, 3, H, W)`` in [0, 1].

        Args:
            gap: Steps between the two, or ``(shortest, longest)``, drawn uniformly per pair.
            batch: How many pairs, B.
            generator: Where the randomness comes from.
            view: Index of the view; ``None`` returns all of them.
            device: Where the batch lives.
        """
        steps = self._gaps(gap, batch, generator)
        first = self.places(batch, generator, steps + 1)
        early, late = (self.take(at, "images", view, device) for at in (first, first.later(steps)))
        return early, late

    def _gaps(self, gap: int | tuple[int, int], batch: int, generator: torch.Generator) -> Tensor:
        """Steps between the two frames of each pair, int64 ``(B,)``."""
        T = self.images.shape[1]
        expected = f"1 <= shortest <= longest <= {T - 1}, for episodes of {T} frames"
        ends = tuple(gap) if isinstance(gap, list | tuple) else (gap, gap)
        if len(ends) != 2:
            raise ValueError(complain("gap", gap, expected, "One number, or two."))
        low, high = (
            check_integer(end, name="gap", minimum=1, hint="Steps; at 0 both frames are the same.")
            for end in ends
        )
        if not low <= high < T:
            raise ValueError(complain("gap", gap, expected))
        return torch.randint(low, high + 1, (_size(batch),), generator=_own(generator))

    def _within_games(self, share: Tensor, spans: Tensor) -> Places:
        """Places with room for ``spans`` frames before a restart, by shares in [0, 1)."""
        order, counts = self._by_room
        if not (counts[spans] > 0).all():
            got = f"{int(spans[counts[spans] == 0][0])} frames in a row"
            longest = int(counts.nonzero()[-1])
            raise ValueError(complain("span", got, f"at most {longest}, the longest game"))
        T = self.images.shape[1]
        last = counts[spans] - 1
        chosen = order[(share * (last + 1)).long().minimum(last)]
        return Places(chosen // T, chosen % T)

    @functools.cached_property
    def _by_room(self) -> tuple[Tensor, Tensor]:
        """All places, those with most frames left in their game first; how many have n or more."""
        start = torch.from_numpy(self.extras["start"])
        room = torch.ones(start.shape, dtype=torch.int64)
        for t in range(start.shape[1] - 2, -1, -1):
            room[:, t] = torch.where(start[:, t + 1], 1, room[:, t + 1] + 1)
        counts = torch.bincount(room.flatten(), minlength=start.shape[1] + 1)
        order = torch.argsort(room.flatten(), descending=True, stable=True)
        return order, counts.flip(0).cumsum(0).flip(0)

    def _check_view(self, view: int) -> int:
        view = check_integer(view, name="view", minimum=0)
        if view >= len(self.views):
            raise ValueError(complain("view", view, f"below {len(self.views)}: {self.views}"))
        return view


def _size(batch: int) -> int:
    return check_integer(batch, name="batch", minimum=1, hint="How many to draw.")


def _own(generator: torch.Generator) -> torch.Generator:
    if not isinstance(generator, torch.Generator):
        hint = "Make one with torch.Generator().manual_seed(0)."
        raise TypeError(complain("generator", repr(generator), "a torch.Generator", hint))
    return generator
