"""What we added to the papers' networks, so that small objects are found within a minute.

Beside what the autoencoders' recipe has, too (:mod:`kpbook.extractors.blocks`): weights by rare
colours, the whitened difference from the median frame, and its gate.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from kpbook.grid import cell_coordinates


class Places(nn.Module):
    """Two more channels that say where a pixel is: alike objects differ by where they are.

    Source: Liu et al. (2018), CoordConv.

    Args:
        size: Pixels of the square image.
    """

    where: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        places = cell_coordinates(size).movedim(-1, 0)  # (2, H, W)
        self.register_buffer("where", places, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` to ``(B, C + 2, H, W)``."""
        B = images.shape[0]  # len() would be one number in a trace
        where = self.where.expand(B, -1, -1, -1)
        return torch.cat([images, where], dim=1)


class Candidates(nn.Module):
    """The last layer of the keypoint encoder: more keypoints to begin with than remain.

    Two of N keypoints often settle on one object, and then nothing draws either of them to
    another: moving a little changes no picture. Among many candidates each object has some. After
    a number of steps those N remain that draw best together, chosen one by one.

    Args:
        channels: Of the features.
        keypoints: N, how many remain.
        candidates: M, how many there are at first.
        choose_after: Steps of training before the choice.
    """

    chosen: Tensor
    taken: Tensor

    def __init__(self, channels: int, keypoints: int, candidates: int, choose_after: int) -> None:
        super().__init__()
        self.keypoints, self.candidates, self.choose_after = keypoints, candidates, choose_after
        self.scores = nn.Conv2d(channels, candidates, 1)
        self.register_buffer("chosen", torch.arange(keypoints))
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))
        self.trial: Tensor | None = None  # candidates that are tried, instead of those chosen

    @property
    def current(self) -> Tensor:
        """Which candidates there are scores of, ``(N,)``; in the first steps of training all."""
        if self.trial is not None:
            return self.trial
        undecided = self.training and self.candidates > self.keypoints
        if undecided and int(self.taken) <= self.choose_after:
            return torch.arange(self.candidates, device=self.chosen.device)
        return self.chosen

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(B, C, h, w)`` to scores of the current candidates, ``(B, N, h, w)``."""
        which = self.current
        weight, bias = self.scores.weight[which], self.scores.bias
        return functional.conv2d(features, weight, None if bias is None else bias[which])

    def in_places(self, maps: Tensor) -> Tensor:
        """Maps of the current candidates, ``(B, N, h, w)``, to M channels; 0 for the others."""
        B, _, h, w = maps.shape
        return maps.new_zeros(B, self.candidates, h, w).index_copy(1, self.current, maps)

    def count(self) -> bool:
        """Say that a step of training begins; return whether it is time to choose."""
        self.taken += 1
        return self.candidates > self.keypoints and int(self.taken) == self.choose_after + 1

    @torch.no_grad()
    def choose(self, loss: Callable[[], Tensor]) -> None:
        """Keep the candidates that draw best together.

        Args:
            loss: Returns the loss of one batch with the current candidates.
        """
        kept: list[int] = []
        try:
            for _ in range(self.keypoints):
                losses = {}
                for one in set(range(self.candidates)) - set(kept):
                    self.trial = torch.tensor([*kept, one], device=self.chosen.device)
                    losses[one] = float(loss())
                kept.append(min(losses, key=lambda one: losses[one]))
        finally:  # an interrupted choice is made again
            self.trial = None
        self.chosen.copy_(torch.tensor(sorted(kept)))
