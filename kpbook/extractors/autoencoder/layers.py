"""The papers' layers: an architecture is a function from its size to encoder and decoder.

Source: DSAE of Finn et al. (2016); KeyNet of Jakab et al. (2018), as an autoencoder; Basic of
Cramer et al. (2024), layers from their code. ``small`` moves strides, so that the map of a
64-pixel image still has about 32 x 32 cells.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kpbook import cores
from kpbook._checks import complain
from kpbook.extractors.blocks import Positive, channels_last, conv, twice

#: The papers leave the half out of a Gaussian's exponent: their width of 0.1 is this one of ours.
PAPER_SIGMA = 0.1 / 2**0.5
TARGET_SIZE = 64  # pixels of what is drawn


class Parts(NamedTuple):
    """An encoder, images to scores, and a decoder, map coordinates to images."""

    encoder: nn.Module
    decoder: nn.Module


def dsae(width: float, keypoints: int, small: bool, sigma: float, learn_sigma: str) -> Parts:
    """Finn et al. (2016), layers of Cramer's code; ReLU in front of the softmax, as there.

    The small one is padded: without padding its map would reach only two thirds of the image.
    """
    if learn_sigma != "no":
        hint = "DSAE's decoder is linear and draws no Gaussian; take keynet or basic."
        raise ValueError(complain("learn_sigma", repr(learn_sigma), "'no' for dsae", hint))
    a, b = int(64 * width), int(32 * width)
    same = None if small else 0
    layers = [*conv(3, a, 7, 2, padding=same), *conv(a, b, 5, padding=same)]
    return Parts(
        nn.Sequential(*layers, *conv(b, keypoints, 5, padding=same)),
        LinearDecoder(keypoints, TARGET_SIZE),
    )


def basic(width: float, keypoints: int, small: bool, sigma: float, learn_sigma: str) -> Parts:
    """Cramer et al. (2024), Basic: three blocks that end in a pooling with a padding of 1.

    In the small one only the first block pools.
    """
    layers: list[nn.Module] = []
    before = 3
    for block, channels in enumerate(int(c * width) for c in (32, 64, 128)):
        layers += [*conv(before, channels), nn.Conv2d(channels, channels, 3, padding=1, bias=False)]
        if block == 0 or not small:
            layers += [nn.MaxPool2d(2, 2, padding=1)]
        layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        before = channels
    encoder = nn.Sequential(*layers, nn.Conv2d(before, keypoints, 1))
    a, b, c = (int(n * width) for n in (64, 32, 16))
    stack = nn.Sequential(*conv(keypoints, a), *conv(a, b), *conv(b, c), nn.Conv2d(c, 3, 1))
    return Parts(encoder, GaussianDecoder(stack, 64, keypoints, sigma, learn_sigma))


def keynet(width: float, keypoints: int, small: bool, sigma: float, learn_sigma: str) -> Parts:
    """Jakab et al. (2018) as in Cramer's code: no source image, one 2-D softmax.

    The small one has stride 2 in its second block only; at the paper's strides its map would have
    8 x 8 cells, each larger than the cube.
    """
    a, b, c, d = (int(n * width) for n in (32, 64, 128, 256))
    late = 1 if small else 2
    encoder = nn.Sequential(
        *conv(3, a, 7), *conv(a, a),
        *conv(a, b, stride=2), *conv(b, b),
        *conv(b, c, stride=late), *conv(c, c),
        *conv(c, d, stride=late), *conv(d, d),
        nn.Conv2d(d, keypoints, 1),
    )  # fmt: skip
    decoder = nn.Sequential(
        *conv(keypoints, d), *conv(d, d), twice(),
        *conv(d, c), *conv(c, c), twice(),
        *conv(c, b), *conv(b, b),
        nn.Conv2d(b, 3, 1),
    )  # fmt: skip
    return Parts(encoder, GaussianDecoder(decoder, 16, keypoints, sigma, learn_sigma))


class GaussianDecoder(nn.Module):
    r"""Draw each keypoint as a Gaussian map and turn the maps into an image.

    Source: Jakab et al. (2018); Cramer et al. (2024). Their :math:`e^{-d^2/\sigma^2}` with
    :math:`\sigma = 0.1` is our :math:`e^{-d^2/2\sigma^2}` with 0.0707.

    Args:
        stack: Layers from ``(B, N, *map_size)`` to ``(B, 3, h, w)``.
        map_size: Cells of the Gaussian maps.
        keypoints: N.
        sigma: Width at the start, map coordinates.
        learned: ``"no"``, ``"shared"`` (one number, as in the paper) or ``"each"`` (one per
            keypoint).
    """

    def __init__(
        self, stack: nn.Sequential, map_size: int, keypoints: int, sigma: float, learned: str
    ) -> None:
        super().__init__()
        self.stack, self.map_size = stack, (map_size, map_size)
        shape = (keypoints,) if learned == "each" else ()
        self.sigma = Positive(torch.full(shape, sigma), learned != "no")

    def forward(self, points: Tensor) -> Tensor:
        """Map coordinates ``(B, N, 2)`` to images ``(B, 3, h, w)``."""
        maps = cores.gaussian_maps(points, self.map_size, self.sigma().expand(points.shape[1]))
        # Points and maps are float32 in a network of 16 bits, too; its layers are not.
        image: Tensor = self.stack(channels_last(maps.to(self.sigma.log.dtype)))
        return image


class LinearDecoder(nn.Module):
    """One linear layer from all coordinates to all pixels. Source: Finn et al. (2016)."""

    def __init__(self, keypoints: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.layer = nn.Linear(2 * keypoints, 3 * size * size)

    def forward(self, points: Tensor) -> Tensor:
        """Map coordinates ``(B, N, 2)`` to images ``(B, 3, size, size)``."""
        image: Tensor = self.layer(points.to(self.layer.weight.dtype).flatten(1)).unflatten(
            -1, (3, self.size, self.size)
        )
        return image
