r"""Keypoints from pairs of frames: the later one is drawn from the earlier one and its keypoints.

.. math::
    \hat x_t = \text{refine}\big(\hat\Phi(x_s, x_t)\big), \qquad
    \mathcal{L} = \operatorname{mean} (\hat x_t - x_t)^2

What goes into the refinement network is what sets the three networks here apart: transported
features, transported pixels, or the source's features beside the target's maps. Source: Kulkarni
et al. (2019), section 3.1; built step by step in chapter 5.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kpbook import cores
from kpbook._checks import (
    check_flag,
    check_integer,
    check_positive,
    check_range,
    check_shape,
    complain,
)
from kpbook.detect import check_fits
from kpbook.episodes import Episodes
from kpbook.extractors.blocks import (
    Difference,
    PixelWeight,
    as_channels_last,
    channels_last,
    check_input,
    geometry,
)
from kpbook.extractors.transporter.recipe import Candidates, Places
from kpbook.extractors.transporter.transport import blend, weights
from kpbook.grid import map_to_image


class FramePairs(nn.Module):
    """What the networks share: keypoints, pairs of frames, and the loss of a drawn frame.

    Use :func:`~kpbook.extractors.transporter.build`; the classes take the parts.

    Args:
        encoder: Layers from ``(B, 3, *image_size)`` to scores ``(B, N, h, w)``; the last one is
            :class:`~kpbook.extractors.transporter.recipe.Candidates`.
        features: Layers from images to features ``(B, C, h, w)``, of the same map size.
        refine: Layers from what is made of the features to images ``(B, 3, *image_size)``.
        keypoints: N.
        image_size: Pixels of the square image.
        temperature: Divides the scores. The paper has none, which is 1.
        separable: Whether rows and columns have a softmax each, as in the paper, or the map has
            one.
        sigma: Width of the Gaussian maps, map coordinates.
        whiten: Show the encoder the whitened difference from the median frame
            (:class:`~kpbook.extractors.blocks.Difference`) instead of the frame.
        gate: Added to the scores, after the temperature, of cells that differ from the median
            frame; 0 to leave it out.
        places: Show the encoder, too, where each pixel is
            (:class:`~kpbook.extractors.transporter.recipe.Places`).
        gap: Shortest and longest number of steps between the frames of a pair.
        rarity: Share of the pixel weights that goes by rare colour, as a multiple of the equal
            share; 0 is the paper's plain mean.
        motion: The same for pixels that differ from the median frame.
        batch_size: Pairs in a batch.
        name: Name in :mod:`kpbook.extractors.registry`.
        config: Options for ``build`` that give the same network again.

    Raises:
        TypeError: If an option is of another kind.
        ValueError: If an option is out of range.
    """

    #: Beginnings of the names of weights that no keypoint depends on.
    only_draws = ("features.", "refine.", "weight.")
    temperature: Tensor
    sigma: Tensor

    def __init__(
        self,
        encoder: nn.Sequential,
        features: nn.Module,
        refine: nn.Module,
        *,
        keypoints: int,
        image_size: int,
        temperature: float = 1.0,
        separable: bool = True,
        sigma: float,
        whiten: bool = False,
        gate: float = 0.0,
        places: bool = False,
        gap: tuple[int, int] = (1, 20),
        rarity: float = 0.0,
        motion: float = 0.0,
        batch_size: int = 64,
        name: str = "",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_positive(temperature, name="temperature", hint="It divides the scores.")
        check_positive(sigma, name="sigma", hint="In map coordinates.")
        for name_of, flag in {"whiten": whiten, "places": places}.items():
            check_flag(flag, name=name_of)
        for option, strength in {"rarity": rarity, "motion": motion, "gate": gate}.items():
            check_range(strength, 0, 1e3, name=option, hint="0 leaves it out.")
        self.separable = check_flag(separable, name="separable")
        self.batch_size = check_integer(batch_size, name="batch_size", minimum=1, hint="Pairs.")
        self.encoder, self.features, self.refine = encoder, features, refine
        self.keypoints, self.image_size = keypoints, image_size
        self.gap = _gap(gap)
        self.weight = PixelWeight(rarity, motion, image_size)
        self.name, self.config = name, copy.deepcopy(dict(config or {}))
        self.map_size, self.stride, self.offset = geometry(encoder, (image_size, image_size))
        self.register_buffer("temperature", torch.tensor(float(temperature)))
        self.register_buffer("sigma", torch.tensor(float(sigma)))
        self.difference = Difference(image_size, self.map_size, whiten, gate)
        self.places = Places(image_size) if places else nn.Identity()
        as_channels_last(self)

    @property
    def knows_places(self) -> bool:
        """Whether keypoints depend on a median frame, or on where things are."""
        seen = self.difference.whiten or bool(self.difference.gate)
        return seen or isinstance(self.places, Places)

    @property
    def candidates(self) -> Candidates:
        """The last layer of the keypoint encoder."""
        last: Any = self.encoder[-1]
        head: Candidates = last
        return head

    # -- images to keypoints -----------------------------------------------------------------

    def forward(self, images: Tensor) -> Tensor:
        """Images ``float (B, 3, H, W)`` in [0, 1] to keypoints ``(B, N, 2)``, image coordinates.

        Raises:
            TypeError: If the images are of another type than the weights, float32.
            ValueError: If their size is another than the network's.
        """
        points, size = self.points(images), self.image_size
        return map_to_image(points, self.map_size, size, self.stride, self.offset)

    def points(self, images: Tensor) -> Tensor:
        """The same in map coordinates."""
        return cores.soft_argmax(self._scores(images), separable=self.separable)

    def heatmaps(self, images: Tensor) -> Tensor:
        """Images to heat maps ``(B, N, h, w)``; of a separable softmax, a row times a column."""
        softmax = cores.separable_softmax if self.separable else cores.softmax
        return softmax(self._scores(images))

    def gaussians(self, images: Tensor) -> Tensor:
        """Images to Gaussian maps around their keypoints, ``(B, N, h, w)``."""
        maps = cores.gaussian_maps(self.points(images), self.map_size, self.sigma)
        return maps.to(self.sigma.dtype)  # float32 so far, also from weights of 16 bits

    def predict(self, source: Tensor, target: Tensor) -> Tensor:
        """Draw the target from the source and the target's keypoints, ``(B, 3, H, W)``."""
        raise NotImplementedError

    def _scores(self, images: Tensor) -> Tensor:
        check_input(images, self.image_size, self.sigma.dtype)
        seen, gate = self.difference(images)
        scores: Tensor = self.encoder(channels_last(self.places(seen))) / self.temperature + gate
        return scores

    # -- learning ----------------------------------------------------------------------------

    @property
    def images_per_batch(self) -> int:
        """Frames that a step sees."""
        return 2 * self.batch_size

    def prepare(self, episodes: Episodes) -> None:
        """Look at the frames once, before the first step: rare colours, median frame, whitening.

        Raises:
            ValueError: If frames have another size.
        """
        check_fits(self, episodes, name="episodes")
        frames = episodes.flat().images
        self.weight.prepare(frames)
        self.difference.prepare(frames)

    def batch(self, episodes: Episodes, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw pairs: ``source`` and, ``gap`` steps later in the same game, ``target``.

        Raises:
            ValueError: If no game is as long as the gap, or frames have another size.
        """
        check_fits(self, episodes, name="episodes")
        source, target = episodes.pairs(self.gap, self.batch_size, generator)
        return {"source": source, "target": target}

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses of a batch: ``loss`` is minimised, ``reconstruction`` is the plain mean.

        Args:
            batch: ``source`` and ``target``, ``(B, 3, H, W)``, as :meth:`batch` draws them.

        Raises:
            ValueError: If the two have other shapes.
        """
        source, target = batch["source"], batch["target"]
        B, H, W = check_shape(target, "B 3 H W", name="batch['target']")
        check_shape(source, f"{B} 3 {H} {W}", name="batch['source']", hint="One for each target.")
        if self.training and self.candidates.count():
            self.eval()  # trials leave no trace in the norms
            try:
                self.candidates.choose(lambda: self._loss(source, target)["loss"])
            finally:
                self.train()
        return self._loss(source, target)

    def _loss(self, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        squared = (self.predict(source, target) - target).square()
        loss = (self.weight(target) * squared).mean()
        return {"loss": loss, "reconstruction": squared.detach().mean()}


def _gap(gap: Any) -> tuple[int, int]:
    """Shortest and longest, whole numbers; how long the games are is known later."""
    expected, hint = "(shortest, longest), 1 <= shortest <= longest", "Steps between two frames."
    if not isinstance(gap, list | tuple) or len(gap) != 2:
        raise ValueError(complain("gap", repr(gap), expected, hint))
    hint_0 = "Steps; at 0 both frames are the same, and nothing has to be found."
    low, high = (check_integer(n, name="gap", minimum=1, hint=hint_0) for n in gap)
    if low > high:
        raise ValueError(complain("gap", gap, expected, hint))
    return low, high


class Transporter(FramePairs):
    """Features leave where the source's keypoints are, and come from the target where its are.

    No gradient goes through what comes from the source, neither its features nor its keypoints:
    both are the target's of another pair. Source: Kulkarni et al. (2019) and its code.

    Args:
        *parts: As of :class:`FramePairs`.
        stop_gradient: ``False`` lets it through, as a control.
        **options: As of :class:`FramePairs`.
    """

    def __init__(self, *parts: Any, stop_gradient: bool = True, **options: Any) -> None:
        super().__init__(*parts, **options)
        self.stop_gradient = check_flag(stop_gradient, name="stop_gradient")

    def predict(self, source: Tensor, target: Tensor) -> Tensor:
        """Draw the target, ``(B, 3, H, W)``, from transported features."""
        drawn: Tensor = self.refine(self.transported(source, target))
        return drawn

    def transported(self, source: Tensor, target: Tensor) -> Tensor:
        """What goes into the refinement network, ``(B, C, h, w)``."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.stop_gradient):
            here, features = self.gaussians(source), self.features(channels_last(source))
        there = self.gaussians(target)
        brought: Tensor = self.features(channels_last(target))
        return blend(features, brought, *weights(here, there))


class ConditionalGenerator(FramePairs):
    """KeyNet: the source's features, beside the target's maps. Nothing is moved.

    Source: Jakab et al. (2018); as the baseline of Kulkarni et al. (2019), with their layers.
    """

    def predict(self, source: Tensor, target: Tensor) -> Tensor:
        """Draw the target, ``(B, 3, H, W)``, from both."""
        both = torch.cat(
            [
                self.features(channels_last(source)),
                self.candidates.in_places(self.gaussians(target)),
            ],
            dim=1,
        )
        drawn: Tensor = self.refine(both)
        return drawn
