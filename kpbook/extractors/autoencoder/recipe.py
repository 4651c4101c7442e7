"""The recipe: what we added to the paper's network, so that small objects are found on a CPU.

Every addition is a part of its own; a strength of 0 leaves it out. They take for granted a camera
that stands still and objects of rare colours, and name no object and no colour.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kpbook import cores
from kpbook._checks import check_flag, check_range
from kpbook.episodes import Episodes
from kpbook.extractors.autoencoder.layers import TARGET_SIZE, GaussianDecoder, Parts
from kpbook.extractors.autoencoder.model import SpatialAutoencoder
from kpbook.extractors.blocks import Difference, PixelWeight, conv, median_frame, twice

_MOMENTUM = 0.01  # of the running mean of heat maps: the last few hundred steps
_NEVER = 0.01  # share of a place where a keypoint has never been: 4.6 in the softmax's exponent


class Recipe(SpatialAutoencoder):
    """A spatial autoencoder with our additions.

    Built step by step in chapter 3, section 3.7, and on its page, ``book/recipe.ipynb``.

    Args:
        encoder: As for :class:`SpatialAutoencoder`.
        decoder: As there.
        rarity: Share of the pixel weights that goes by :func:`kpbook.losses.rarity_weight`, as a
            multiple of the equal share; 0 to leave it out.
        motion: The same for pixels that differ from the median frame.
        whiten: Show the encoder the whitened difference from the median frame
            (:class:`Difference`) instead of the frame.
        gate: Added to the scores, after the temperature, of cells that differ from the median
            frame; 0 to leave it out.
        prior: In evaluation, strength of :class:`SpatialPrior`, which training observes; 0 to
            leave it out.
        background: As there, or ``"median"``: learned from the median of the frames on.
        **options: As there.

    Raises:
        TypeError: If ``whiten`` is no bool.
        ValueError: If an option is unknown or out of range.
    """

    BACKGROUND = (*SpatialAutoencoder.BACKGROUND, "median")

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        rarity: float = 0.0,
        motion: float = 0.0,
        whiten: bool = False,
        gate: float = 0.0,
        prior: float = 0.0,
        background: str = "no",
        **options: Any,
    ) -> None:
        strengths = {"rarity": rarity, "motion": motion, "gate": gate, "prior": prior}
        for option, strength in strengths.items():
            check_range(strength, 0, 1e3, name=option, hint="0 leaves it out.")
        check_flag(whiten, name="whiten")
        super().__init__(encoder, decoder, background=background, **options)
        self.start, size = background, self.map_size
        self.weight = PixelWeight(rarity, motion) if rarity or motion else None
        seen = whiten or gate
        self.difference = Difference(self.image_size, size, whiten, gate) if seen else None
        self.prior = SpatialPrior(self.keypoints, size, prior) if prior else None

    @property
    def knows_places(self) -> bool:
        """Whether keypoints depend on a median frame or on where they usually are."""
        return self.prior is not None or self.difference is not None

    def scores(self, images: Tensor) -> Tensor:
        """The network's scores of what differs from the median frame, with gate and prior."""
        if self.difference is None:
            scores = super().scores(images)
        else:
            seen, gate = self.difference(images)
            scores = super().scores(seen) + gate
        return scores if self.prior is None or self.training else scores + self.prior()

    def prepare(self, episodes: Episodes) -> None:
        """Look at the frames once: median frame, whitening, table of rare colours."""
        super().prepare(episodes)
        frames = episodes.flat().images
        if self.start == "median" and self.background is not None:
            scene = torch.from_numpy(median_frame(frames)).movedim(-1, 0)[None]
            with torch.no_grad():
                self.background.copy_(cores.resize(scene, (TARGET_SIZE, TARGET_SIZE))[0])
        for part in (self.weight, self.difference):
            if part is not None:
                part.prepare(frames)
        if self.prior is not None:
            self.prior.forget()  # what it was trained on before may be another scene

    def _observed(self, images: Tensor) -> Tensor:
        maps = super()._observed(images)
        if self.prior is not None and self.training:
            self.prior.observe(maps.detach())
        return maps

    def _drawing_loss(self, drawn: Tensor, target: Tensor) -> dict[str, Tensor]:
        parts = super()._drawing_loss(drawn, target)
        if self.weight is not None:
            parts["weighted"] = cores.reconstruction(drawn, target, self.weight(target))
        return parts


class SpatialPrior(nn.Module):
    r"""Where each keypoint has been seen; says where it may be while its object is hidden.

    A keypoint whose object is hidden finds no peak: its map spreads over whatever else the frame
    shows, the whole arm, say, and its mean lies where the object can never be. The logarithm of a
    prior is what Bayes' rule adds to the scores:

    .. math:: \alpha \log\big(\min(1,\, h w\, \bar p_n) + \epsilon\big)

    with :math:`\bar p_n` the running mean of the keypoint's heat maps, blurred over 3 x 3 cells.
    Maps count by the square of their largest probability, so the sure ones do. Every place that is
    visited as often as the average one has the same value; only rare ones are held against a map.

    Args:
        keypoints: N.
        map_size: Cells of the heat maps.
        strength: :math:`\alpha`.
    """

    usual: Tensor

    def __init__(self, keypoints: int, map_size: tuple[int, int], strength: float) -> None:
        super().__init__()
        self.strength, self.cells = strength, map_size[0] * map_size[1]
        self.register_buffer("usual", torch.full((keypoints, *map_size), 1 / self.cells))

    def forget(self) -> None:
        """Start anew: every place is as usual as any other."""
        self.usual.fill_(1 / self.cells)

    @torch.no_grad()
    def observe(self, maps: Tensor) -> None:
        """Take heat maps ``(B, N, h, w)`` into the running mean."""
        sure = maps.amax((-2, -1), keepdim=True).square()
        self.usual.lerp_((sure * maps).mean(0), _MOMENTUM)

    def forward(self) -> Tensor:
        """What is added to the scores, ``(N, h, w)``; at most about 0."""
        times = self.cells * self.usual / self.usual.sum((-2, -1), keepdim=True)
        near = functional.avg_pool2d(times[None], 3, 1, 1, count_include_pad=False)[0]
        return self.strength * (near.clamp(max=1) + _NEVER).log()


class TwoScales(nn.Module):
    """Look closely at 32 x 32 cells and widely at 16 x 16, and score cells by both.

    Args:
        near: Channels of the close look.
        far: Channels of the wide look.
        keypoints: N.
    """

    def __init__(self, near: int, far: int, keypoints: int) -> None:
        super().__init__()
        self.near = nn.Sequential(*conv(3, near, 5, 2), *conv(near, near))
        # A kernel of 4: one of 3 would put the wide look half a cell beside the close one.
        half = conv(near, far, 4, stride=2, padding=1)
        self.far = nn.Sequential(*half, *conv(far, far), *conv(far, far), twice())
        self.score = nn.Sequential(*conv(near + far, far, 1), nn.Conv2d(far, keypoints, 1))

    @property
    def geometry(self) -> nn.Sequential:
        """The layers that decide where the cells of the map lie."""
        return self.near

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` to scores ``(B, N, H/2, W/2)``."""
        near = self.near(images)
        scores: Tensor = self.score(torch.cat([near, self.far(near)], dim=1))
        return scores


def rarity(width: float, keypoints: int, small: bool, sigma: float, learn_sigma: str) -> Parts:
    """Ours: two scales in, three narrow layers out."""
    near, draw, far = (int(n * width) for n in (16, 16, 32))
    stack = nn.Sequential(
        *conv(keypoints, draw),
        *conv(draw, draw),
        nn.Conv2d(draw, 12, 3, padding=1),
        nn.PixelShuffle(2),
    )
    encoder = TwoScales(near, far, keypoints)
    return Parts(encoder, GaussianDecoder(stack, 32, keypoints, sigma, learn_sigma))
