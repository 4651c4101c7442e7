r"""A spatial autoencoder: an image through a few points and back; built step by step in chapter 3.

.. math:: x \to a = \text{encoder}(x) \to z = \text{soft-argmax}(a) \to \hat x = \text{decoder}(z)

Source: DSAE of Finn et al. (2016); KeyNet of Jakab et al. (2018), as an autoencoder; the velocity
loss, the learned width and the background of Cramer et al. (2024), from their code.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kpbook import cores
from kpbook._checks import (
    check_choice,
    check_flag,
    check_integer,
    check_positive,
    check_range,
    check_shape,
    complain,
)
from kpbook.detect import check_fits
from kpbook.episodes import Episodes
from kpbook.extractors.autoencoder.layers import TARGET_SIZE
from kpbook.extractors.blocks import (
    Positive,
    as_channels_last,
    channels_last,
    check_input,
    geometry,
)
from kpbook.grid import map_to_image
from kpbook.losses import acceleration, reconstruction

#: What an extractor returns: the course's image coordinates, or map coordinates, as the papers'
#: codes. "paper" is how the latter were called before.
COORDINATES = ("image", "map", "paper")
_SNIPPET_HINT = "Frames in a row; the velocity loss is a second difference and needs three."


class SpatialAutoencoder(nn.Module):
    """Encoder, soft-argmax, decoder, and the switches that Cramer et al. (2024) study.

    Use :func:`~kpbook.extractors.autoencoder.build`; this class takes the parts.

    Args:
        encoder: Layers from ``(B, 3, *image_size)`` to scores ``(B, N, h, w)``; one that is no
            ``nn.Sequential`` says in ``.geometry`` which layers decide where its cells lie.
        decoder: From map coordinates ``(B, N, 2)`` to images ``(B, 3, target, target)``.
        keypoints: N.
        image_size: Pixels of the square image.
        temperature: Divides the scores. Two numbers, coolest and warmest, give each keypoint its
            own, evenly spaced on a logarithmic scale.
        learn_temperature: Whether training changes it (DSAE: yes; the other codes: no).
        velocity: Weight of :func:`kpbook.losses.acceleration`, 0 to leave it out.
        background: An image that is added to what the decoder draws, and learned: ``"no"``, or
            from ``"zero"`` on, as in the paper.
        input_noise: Standard deviation of the noise on the encoder's input, units of the image.
        snippet: Frames in a row that a batch holds of each place; 3 for the velocity loss.
        batch_size: Snippets in a batch.
        coordinates: ``"image"``, the course's, or ``"map"``: as in the papers' codes.
        name: Name in :mod:`kpbook.extractors.registry`.
        config: Options for ``build`` that give the same network again.

    Raises:
        ValueError: If an option is unknown or out of range.
    """

    BACKGROUND: tuple[str, ...] = ("no", "zero")
    #: Beginnings of the names of weights that no keypoint depends on.
    only_draws = ("decoder.", "background", "weight.")

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        keypoints: int,
        image_size: int,
        temperature: float | tuple[float, float] = 1.0,
        learn_temperature: bool = False,
        velocity: float = 0.0,
        background: str = "no",
        input_noise: float = 0.001,
        snippet: int = 3,
        batch_size: int = 32,
        coordinates: str = "image",
        name: str = "",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_choice(coordinates, COORDINATES, name="coordinates")
        check_choice(background, self.BACKGROUND, name="background")
        start = _temperatures(temperature, keypoints)
        check_flag(learn_temperature, name="learn_temperature")
        check_range(velocity, 0, 1e6, name="velocity", hint="Weight of a loss; the paper's: 0.1.")
        check_range(input_noise, 0, 1, name="input_noise", hint="Standard deviation; 0.001.")
        snippet = check_integer(
            snippet, name="snippet", minimum=3 if velocity else 1, hint=_SNIPPET_HINT
        )
        batch_size = check_integer(
            batch_size, name="batch_size", minimum=1, hint="Snippets in a batch."
        )
        self.encoder, self.decoder = encoder, decoder
        self.keypoints, self.image_size = keypoints, image_size
        self.coordinates = "image" if coordinates == "image" else "map"
        self.velocity, self.input_noise = velocity, input_noise
        self.snippet, self.batch_size = snippet, batch_size
        self.name, self.config = name, copy.deepcopy(dict(config or {}))
        layers: Any = getattr(encoder, "geometry", encoder)
        self.map_size, self.stride, self.offset = geometry(layers, (image_size, image_size))
        self.temperature = Positive(start, learned=learn_temperature)
        empty = torch.zeros(3, TARGET_SIZE, TARGET_SIZE)
        self.background = None if background == "no" else nn.Parameter(empty)
        as_channels_last(self)

    # -- images to keypoints, and back -------------------------------------------------------

    def forward(self, images: Tensor) -> Tensor:
        """Images ``float (B, 3, H, W)`` in [0, 1] to keypoints ``(B, N, 2)``, image coordinates.

        Raises:
            TypeError: If the images are of another type than the weights, float32.
            ValueError: If their size is another than the network's. Their values are not looked
                at: numbers outside [0, 1] give keypoints without a meaning.
        """
        points = cores.expectation(self.heatmaps(images))
        if self.coordinates != "image":
            return points
        size = self.image_size
        return map_to_image(points, self.map_size, size, self.stride, self.offset)

    def heatmaps(self, images: Tensor) -> Tensor:
        """Images ``float (B, 3, H, W)`` in [0, 1] to heat maps ``(B, N, h, w)``."""
        check_input(images, self.image_size, self.temperature.log.dtype)
        return cores.softmax(self.scores(images))

    def scores(self, images: Tensor) -> Tensor:
        """Images to what goes into the softmax, over the temperature, ``(B, N, h, w)``."""
        tau = self.temperature().expand(self.keypoints)
        scores: Tensor = self.encoder(channels_last(images)) / tau[:, None, None]
        return scores

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images ``float (B, 3, H, W)`` to their pictures ``(B, 3, 64, 64)``, not clipped."""
        return self.draw(cores.expectation(self.heatmaps(images)))

    def draw(self, points: Tensor) -> Tensor:
        """Map coordinates ``(B, N, 2)``, as the decoder takes them, to ``(B, 3, 64, 64)``."""
        image: Tensor = self.decoder(points)
        return image if self.background is None else image + self.background

    # -- learning ----------------------------------------------------------------------------

    @property
    def images_per_batch(self) -> int:
        """Frames that a step sees."""
        return self.batch_size * self.snippet

    def prepare(self, episodes: Episodes) -> None:
        """Look at the frames once, before the first step: here only at their size."""
        check_fits(self, episodes, name="episodes")

    def batch(self, episodes: Episodes, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw snippets: clean images, and with noise what the encoder sees, ``(B, S, 3, H, W)``.

        Raises:
            ValueError: If episodes are shorter than a snippet, or frames have another size.
        """
        check_fits(self, episodes, name="episodes")
        clean = episodes.snippets(self.snippet, self.batch_size, generator)
        noise = self.input_noise * torch.randn(clean.shape, generator=generator)
        return {"images": (clean + noise).clamp(0, 1), "target": clean}

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses of a batch: ``loss`` is minimised, the other entries are its parts.

        Source: Cramer et al. (2024), reconstruction plus weighted velocity loss.

        Args:
            batch: ``images`` and ``target``, B snippets of S frames, ``(B, S, 3, H, W)``, as
                :meth:`batch` draws them. The velocity loss goes by this S.

        Raises:
            ValueError: If there are no snippets, or the target is of other frames.
        """
        hint = "B snippets of S frames in a row, as batch(episodes, generator) draws them."
        B, S, *_ = check_shape(batch["images"], "B S 3 H W", name="batch['images']", hint=hint)
        images, target = batch["images"].flatten(0, 1), batch["target"].flatten(0, 1)
        if target.shape[-1] != TARGET_SIZE:
            target = cores.resize(target, (TARGET_SIZE, TARGET_SIZE))
        points = cores.expectation(self._observed(images))
        parts = self._drawing_loss(self.draw(points), target)
        *_, loss = parts.values()
        if self.velocity:
            parts["velocity"] = acceleration(points.unflatten(0, (B, S)))
            loss = loss + self.velocity * parts["velocity"]
        return {"loss": loss, **parts}

    def _observed(self, images: Tensor) -> Tensor:
        """Heat maps of a training step."""
        return self.heatmaps(images)

    def _drawing_loss(self, drawn: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Errors of a drawing by name; the last one is minimised."""
        return {"reconstruction": reconstruction(drawn, target)}


def _temperatures(temperature: Any, keypoints: int) -> Tensor:
    """One temperature, ``()``, or one per keypoint, ``(N,)``."""
    ends = temperature if isinstance(temperature, list | tuple) else (temperature,)
    for end in ends:
        check_positive(end, name="temperature", hint="It divides the scores.")
    if len(ends) == 1:
        return torch.tensor(float(ends[0]))
    if len(ends) != 2:
        raise ValueError(complain("temperature", temperature, "one number, or coolest and warmest"))
    low, high = (math.log10(end) for end in ends)
    return torch.logspace(low, high, keypoints)
