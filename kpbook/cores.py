"""The arithmetic of the bottleneck without a look at the values: what a network calls.

Public functions such as :func:`kpbook.soft_argmax` check values, and a GPU has to wait for each
such look; ``torch.export`` and ``vmap`` cannot look at all. In a ``forward`` of your own call these
instead. Shapes are the caller's; formulas and sources stand at the checked function of the same
name, in :mod:`kpbook.heatmaps`, :mod:`kpbook.losses` and :mod:`kpbook.images`.

Numbers of 16 bits, also those that autocast makes, are computed with in float32, and float32 is
returned: a coordinate in float16 has steps of 0.03 pixels of 64, and in bfloat16 of a quarter.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from kpbook.grid import axis_coordinates

F = TypeVar("F", bound=Callable[..., Tensor])
_HALF = (torch.float16, torch.bfloat16)


def wide(x: Tensor) -> Tensor:
    """Numbers of 16 bits as float32; others as they are."""
    return x.float() if x.dtype in _HALF else x


def in_float32(core: F) -> F:
    """Let a function of tensors compute in float32 or wider, whatever autocast would make of it."""

    @functools.wraps(core)
    def exact(x: Tensor, *args: Any, **options: Any) -> Tensor:
        kind = x.device.type
        if kind == "meta" or not torch.is_autocast_enabled(kind):  # the usual case: no context
            return core(wide(x), *args, **options)
        with torch.autocast(kind, enabled=False):
            return core(wide(x), *args, **options)

    return exact  # type: ignore[return-value]


@in_float32
def softmax(logits: Tensor, temperature: Tensor | None = None) -> Tensor:
    """Scores ``(..., H, W)`` to heat maps; the temperature ``(...)`` is ``None`` for 1."""
    scores = logits if temperature is None else logits / wide(temperature)[..., None, None]
    return torch.softmax(scores.flatten(-2), dim=-1).view(logits.shape)


@in_float32
def separable_softmax(logits: Tensor, temperature: Tensor | None = None) -> Tensor:
    """Scores ``(..., H, W)`` to heat maps that are products of a row and a column."""
    along_x, along_y = _marginals(logits, temperature)
    return along_y.softmax(-1)[..., :, None] * along_x.softmax(-1)[..., None, :]


@in_float32
def expectation(heatmaps: Tensor) -> Tensor:
    """Heat maps ``(..., H, W)`` to their mean positions ``(..., 2)``, map coordinates."""
    # Through the marginals: two sums that read the maps once each, and a gradient that is an
    # expanded view. A product with all cell coordinates is as fast forward but not backward.
    H, W = (int(n) for n in heatmaps.shape[-2:])  # torch.jit.trace makes tensors of sizes
    x = heatmaps.sum(-2) @ axis_coordinates(W, like=heatmaps)
    y = heatmaps.sum(-1) @ axis_coordinates(H, like=heatmaps)
    return torch.stack([x, y], dim=-1)


@in_float32
def soft_argmax(
    logits: Tensor, temperature: Tensor | None = None, separable: bool = False
) -> Tensor:
    """Scores ``(..., H, W)`` to keypoints ``(..., 2)``, map coordinates."""
    if not separable:
        return expectation(softmax(logits, temperature))
    H, W = logits.shape[-2:]
    along_x, along_y = _marginals(logits, temperature)
    x = along_x.softmax(-1) @ axis_coordinates(W, like=logits)
    y = along_y.softmax(-1) @ axis_coordinates(H, like=logits)
    return torch.stack([x, y], dim=-1)


def _marginals(logits: Tensor, temperature: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean scores of columns ``(..., W)`` and of rows ``(..., H)``, over the temperature."""
    H, W = (int(n) for n in logits.shape[-2:])  # torch.jit.trace makes tensors of sizes
    along_x, along_y = logits.sum(-2) / H, logits.sum(-1) / W  # faster than .mean on a CPU
    if temperature is None:
        return along_x, along_y
    tau = wide(temperature)[..., None]  # with the maximum at 0 the quotient cannot overflow
    along_x, along_y = (
        (along - along.detach().amax(-1, keepdim=True)) / tau for along in (along_x, along_y)
    )
    return along_x, along_y


@in_float32
def gaussian_maps(points: Tensor, size: tuple[int, int], sigma: Tensor) -> Tensor:
    """Points ``(..., 2)`` and widths ``(...)`` to bumps of peak 1, ``(..., *size)``."""
    H, W = size  # a Gaussian is a product of its two axes
    # Divided before squaring: the square of a small sigma underflows.
    dx = (axis_coordinates(W, like=points) - points[..., :1]) / wide(sigma)[..., None]
    dy = (axis_coordinates(H, like=points) - points[..., 1:]) / wide(sigma)[..., None]
    gx, gy = (-0.5 * dx**2).exp(), (-0.5 * dy**2).exp()
    return gy[..., :, None] * gx[..., None, :]


@in_float32
def reconstruction(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error of images ``(B, C, H, W)``, with a weight per pixel ``(B, 1, H, W)``."""
    squared = (prediction - target).square()
    return squared.mean() if weight is None else (weight * squared).mean()


@in_float32
def acceleration(points: Tensor) -> Tensor:
    """Mean squared second difference of snippets of points ``(..., T, N, 2)``."""
    return points.diff(n=2, dim=-3).square().mean()


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images ``(B, 3, H, W)`` in [0, 1] to ``(B, 3, *size)``: :func:`kpbook.images.resize`."""
    resized = functional.interpolate(
        images.float(), size, mode="bilinear", align_corners=False, antialias=True
    )
    return resized.clamp(0, 1).to(images.dtype)
