"""Parts that several extractors share: stacks of convolutions, their geometry, pixel weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from kpbook import cores
from kpbook._checks import check_floating, check_shape, check_tensor, complain
from kpbook.grid import as_size, map_geometry
from kpbook.images import layout_hint, to_float
from kpbook.losses import colour_rarity, rarity_weight

_SIZE_HINT = "The network was built for this size; kpbook.images.resize changes images."
_FLOAT_HINT = "kpbook.images.to_float converts bytes (..., H, W, 3)."
NOTICEABLE = 0.12  # difference from the median frame, summed over colours: 30 of 765 levels
_BINS = 8
_RAREST = 1e-4  # share of the pixels below which a colour is noise: 0.4 pixels a frame of 64
_TARGET = 64
_LIMIT = 8.0  # of a whitened difference, in standard deviations
_FLOOR = 1e-4  # added to the variance of a difference: one level of 255 is 1.5e-5
_LARGEST_LOG = 20.0  # a width below e^-20 would underflow to 0 when squared, and divide by it


def conv(
    channels_in: int,
    channels_out: int,
    kernel: int = 3,
    stride: int = 1,
    padding: int | None = None,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
) -> list[nn.Module]:
    """Convolution without bias, normalisation, ReLU. Padding keeps the size by default."""
    padding = kernel // 2 if padding is None else padding
    return [
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding, bias=False),
        norm(channels_out),
        nn.ReLU(inplace=True),
    ]


def twice() -> nn.Module:
    """Twice as many pixels each way, bilinear; pixel edges stay in place."""
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)


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


def check_input(images: Tensor, size: int | tuple[int, int], dtype: torch.dtype) -> None:
    """Raise unless ``images`` is ``(B, 3, H, W)`` of the network's size and ``dtype``.

    No look at the values: a GPU would wait for it. A trace has no plain sizes.
    """
    if torch.jit.is_tracing():  # type: ignore[no-untyped-call, attr-defined]
        return
    H, W = as_size(size)
    # Bytes first: their layout and range are wrong, too, and one call mends all three.
    if getattr(images, "dtype", None) in (torch.uint8, np.dtype(np.uint8)):
        got = f"uint8 {tuple(images.shape)}"
        expected = f"float (B, 3, {H}, {W}) in [0, 1]"
        raise TypeError(complain("images", got, expected, _FLOAT_HINT))
    check_tensor(images, name="images")
    check_floating(images, name="images", hint=_FLOAT_HINT)
    hint = layout_hint(images, _SIZE_HINT)
    check_shape(images, f"B 3 {H} {W}", name="images", hint=hint)
    if images.dtype != dtype and not torch.is_autocast_enabled(images.device.type):
        hint = f"images.to({dtype}) changes them."
        raise TypeError(complain("images", images.dtype, f"{dtype}, as the weights", hint))


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
        start: First value(s), a number or ``(N,)``.
        learned: Whether training changes it.
    """

    def __init__(self, start: float | Tensor, learned: bool = True) -> None:
        super().__init__()
        log = torch.as_tensor(start, dtype=torch.get_default_dtype()).log()
        self.log = nn.Parameter(log, requires_grad=learned)

    def forward(self) -> Tensor:
        """The number(s)."""
        return self.log.clamp(-_LARGEST_LOG, _LARGEST_LOG).exp()


def median_frame(frames: np.ndarray) -> np.ndarray:
    """Median of uint8 frames ``(F, H, W, 3)``, at most 2,000 of them, float32 in [0, 1]."""
    some = frames[:: max(1, len(frames) // 2000)]
    median: np.ndarray = (np.median(some, axis=0) / 255).astype(np.float32)
    return median


class PixelWeight(nn.Module):
    """How much each pixel counts: an equal share, one by rare colour, one by motion; mean 1.

    Args:
        rarity: Share by :func:`kpbook.losses.rarity_weight`, as a multiple of the equal share.
        motion: Share of pixels that differ from the median frame.
        size: Pixels of the square target.
    """

    table: Tensor
    scene: Tensor
    moving: Tensor

    def __init__(self, rarity: float, motion: float, size: int = _TARGET) -> None:
        super().__init__()
        self.rarity, self.motion = rarity, motion
        self.register_buffer("table", torch.ones(_BINS**3))
        self.register_buffer("scene", torch.zeros(3, size, size))
        self.register_buffer("moving", torch.ones(()))

    def prepare(self, frames: np.ndarray) -> None:
        """Count colours and moving pixels in uint8 frames ``(F, H, W, 3)``."""
        self.table.copy_(colour_rarity(frames, bins=_BINS, floor=_RAREST))
        scene = torch.from_numpy(median_frame(frames)).movedim(-1, 0)
        size = self.scene.shape[-1]
        self.scene.copy_(cores.resize(scene[None], (size, size))[0])
        some = to_float(frames[:: max(1, len(frames) // 500)])
        self.moving.copy_(_moves(some, scene).float().mean().clamp_min(1e-3))

    def forward(self, images: Tensor) -> Tensor:
        """Target images ``(B, 3, h, w)`` to weights ``(B, 1, h, w)``."""
        weight = images.new_ones(())
        if self.rarity:
            weight = weight + self.rarity * rarity_weight(images, self.table)
        if self.motion:
            weight = weight + self.motion * _moves(images, self.scene) / self.moving
        return weight / (1 + self.rarity + self.motion)


class Difference(nn.Module):
    r"""What sets a frame apart from the median frame; needs a camera that stands still.

    The difference :math:`d` is whitened, :math:`C^{-1/2} d` with :math:`C = \overline{d d^T}` over
    the pixels of the training frames, so that a hue that is rare in the scene counts as much as
    the brightness of a large grey arm. The gate is :math:`g \tanh(\|d\|_1 / s)` of the largest
    difference in a cell.

    Args:
        size: Pixels of the square image.
        map_size: Cells of the map that the gate opens.
        whiten: Whether to whiten; else the frame is passed on as it is.
        gate: :math:`g`, in units of the softmax's exponent.

    Raises:
        ValueError: If the cells do not tile the image and there is a gate.
    """

    scene: Tensor
    whitening: Tensor

    def __init__(self, size: int, map_size: tuple[int, int], whiten: bool, gate: float) -> None:
        super().__init__()
        self.whiten, self.gate, self.cell = whiten, gate, size // map_size[0]
        if gate and self.cell * map_size[0] != size:
            hint = "Leave the gate at 0 for this architecture."
            raise ValueError(
                complain(
                    "gate", f"a map of {map_size} for {size} px", "cells that tile the image", hint
                )
            )
        self.register_buffer("scene", torch.zeros(3, size, size))
        self.register_buffer("whitening", torch.eye(3))

    def prepare(self, frames: np.ndarray) -> None:
        """Find the median frame and the whitening from uint8 frames ``(F, H, W, 3)``."""
        scene = median_frame(frames)
        some = frames[:: max(1, len(frames) // 500)]
        d = (some / 255 - scene).reshape(-1, 3)
        spread, axes = np.linalg.eigh(d.T @ d / len(d) + _FLOOR * np.eye(3))
        self.whitening.copy_(torch.from_numpy((axes / np.sqrt(spread)) @ axes.T))
        self.scene.copy_(torch.from_numpy(scene).movedim(-1, 0))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | float]:
        """Images ``(B, 3, H, W)`` to what the encoder sees, same shape, and the gate."""
        d = images - self.scene
        gate: Tensor | float = 0.0
        if self.gate:
            largest = functional.max_pool2d(d.abs().sum(1, keepdim=True), self.cell)
            gate = self.gate * (largest / NOTICEABLE).tanh()
        if not self.whiten:
            return images, gate
        seen = torch.einsum("ij,bjhw->bihw", self.whitening, d)
        return seen.clamp(-_LIMIT, _LIMIT), gate


def _moves(images: Tensor, scene: Tensor) -> Tensor:
    return (images - scene).abs().sum(1, keepdim=True) > NOTICEABLE
