"""Parts that several extractors share: stacks of convolutions, their geometry, Gaussian layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from kpbook._checks import (
    check_finite,
    check_floating,
    check_range,
    check_shape,
    check_tensor,
    complain,
)
from kpbook.grid import as_size, map_geometry
from kpbook.heatmaps import _gaussian_maps

_SIZE_HINT = "The network was built for this size; kpbook.images.resize changes images."
_FLOAT_HINT = "kpbook.images.to_float converts bytes (..., H, W, 3)."
_LARGEST_LOG = 20.0  # a width below e^-20 would underflow to 0 when squared, and divide by it


def conv(
    channels_in: int,
    channels_out: int,
    kernel: int = 3,
    stride: int = 1,
    padding: int | None = None,
) -> list[nn.Module]:
    """Convolution without bias, batch normalisation, ReLU. Padding keeps the size by default."""
    padding = kernel // 2 if padding is None else padding
    return [
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    ]


def windows(stack: Iterable[nn.Module]) -> Iterator[tuple[int, int, int]]:
    """Kernel, stride and padding of each convolution and pooling of a stack, in order."""
    for layer in stack:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            window = (layer.kernel_size, layer.stride, layer.padding)
            k, s, p = (x[0] if isinstance(x, tuple) else x for x in window)
            yield int(k), int(s), int(p)


def geometry(
    stack: Iterable[nn.Module], size: tuple[int, int]
) -> tuple[tuple[int, int], float, float]:
    """Size of the map that a stack makes of an image of ``size``, its stride and its offset.

    Raises:
        ValueError: If the image is too small for the stack.
    """
    layers = list(windows(stack))
    cells = list(size)
    for kernel, stride, padding in layers:
        cells = [(n + 2 * padding - kernel) // stride + 1 for n in cells]
    if min(cells) < 2:
        got = f"{size}: its map would have {max(0, min(cells))} cells"
        raise ValueError(complain("image_size", got, "a map of at least 2 x 2 cells"))
    return (cells[0], cells[1]), *map_geometry(layers)


def check_input(images: Tensor, size: int | tuple[int, int]) -> None:
    """Raise unless ``images`` is ``float (B, 3, H, W)`` in [0, 1] of the network's size.

    The look at the values is left out while a network is exported, traced or mapped: there are
    none yet. A trace has no plain sizes either.
    """
    if torch.jit.is_tracing():  # type: ignore[no-untyped-call, attr-defined]
        return
    H, W = as_size(size)
    check_tensor(images, name="images")
    check_shape(images, f"B 3 {H} {W}", name="images", hint=_SIZE_HINT)
    check_floating(images, name="images", hint=_FLOAT_HINT)
    if not (torch.compiler.is_compiling() or _is_mapped(images)):
        check_finite(images, name="images")
        check_range(images, -0.1, 1.1, name="images", hint="Divide bytes by 255: images.to_float.")


def _is_mapped(x: Tensor) -> bool:
    """Whether ``x`` stands for others, inside ``torch.func.vmap`` and the like."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(x))


def channels_last(maps: Tensor) -> Tensor:
    """``(B, C, H, W)`` laid out as :func:`as_channels_last` lays weights; no layout in a vmap."""
    return maps if _is_mapped(maps) else maps.contiguous(memory_format=torch.channels_last)


def as_channels_last(network: nn.Module) -> None:
    """Lay the weights of convolutions out with the channels last: a third faster on a CPU."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Positive(nn.Module):
    """A learned number, or one per keypoint, that stays above 0: stored as its logarithm.

    However far a step throws the logarithm, the number stays within e^-20 (2e-9) and e^20.

    Args:
        start: First value.
        shape: ``()`` for one number, ``(N,)`` for one per keypoint.
        learned: Whether training changes it.
    """

    def __init__(self, start: float, shape: tuple[int, ...] = (), learned: bool = True) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.full(shape, math.log(start)), requires_grad=learned)

    def forward(self) -> Tensor:
        """The number(s)."""
        return self.log.clamp(-_LARGEST_LOG, _LARGEST_LOG).exp()


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
        self.sigma = Positive(sigma, (keypoints,) if learned == "each" else (), learned != "no")

    def forward(self, points: Tensor) -> Tensor:
        """Map coordinates ``(B, N, 2)`` to images ``(B, 3, h, w)``."""
        maps = _gaussian_maps(points, self.map_size, self.sigma().expand(points.shape[1]))
        image: Tensor = self.stack(channels_last(maps))
        return image


class LinearDecoder(nn.Module):
    """One linear layer from all coordinates to all pixels. Source: Finn et al. (2016)."""

    def __init__(self, keypoints: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.layer = nn.Linear(2 * keypoints, 3 * size * size)

    def forward(self, points: Tensor) -> Tensor:
        """Map coordinates ``(B, N, 2)`` to images ``(B, 3, size, size)``."""
        image: Tensor = self.layer(points.flatten(1)).unflatten(-1, (3, self.size, self.size))
        return image
