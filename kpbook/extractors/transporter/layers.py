"""Layers of the three networks; the papers' and ours.

Source: Kulkarni et al. (2019), appendix A; what it leaves open is as in its code.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from kpbook.extractors.blocks import conv, twice

Norm = Callable[[int], nn.Module]


def instance_norm(channels: int) -> nn.Module:
    """Every channel of every image to mean 0 and variance 1, then a learned scale and shift."""
    return nn.InstanceNorm2d(channels, affine=True)


NORMS: dict[str, Norm] = {"instance": instance_norm, "batch": nn.BatchNorm2d}


def encoder(small: bool, width: float, norm: Norm, channels: int = 3) -> tuple[nn.Sequential, int]:
    """Image to features, and how many of them; the paper's six layers end at a quarter of its size.

    The small one has three layers and ends at half of it: a ball of 64-pixel Pong has one or two
    pixels.
    """
    a, b, c = (int(n * width) for n in (32, 64, 128))
    if small:
        layers = [*conv(channels, a // 2, 5, 2, norm=norm), *conv(a // 2, a, norm=norm)]
        return nn.Sequential(*layers, *conv(a, a, norm=norm)), a
    layers = [*conv(channels, a, 7, norm=norm), *conv(a, a, norm=norm)]
    for before, after in ((a, b), (b, c)):
        layers += [*conv(before, after, stride=2, norm=norm), *conv(after, after, norm=norm)]
    return nn.Sequential(*layers), c


def refiner(small: bool, width: float, channels: int, norm: Norm) -> nn.Sequential:
    """Features to an image: the encoder backwards, without an activation at its end."""
    a, b, c = (int(n * width) for n in (32, 64, 128))
    if small:
        layers = [*conv(channels, a, norm=norm), *conv(a, a, norm=norm)]
        return nn.Sequential(*layers, nn.Conv2d(a, 12, 3, padding=1), nn.PixelShuffle(2))
    layers = [*conv(channels, c, norm=norm), *conv(c, b, norm=norm), twice()]
    layers += [*conv(b, b, norm=norm), *conv(b, a, norm=norm), twice()]
    return nn.Sequential(*layers, *conv(a, a, norm=norm), nn.Conv2d(a, 3, 3, padding=1))
