"""Images between bytes and floats, and their sizes: here and nowhere else.

Stored frames are ``uint8 (..., H, W, 3)``; networks take ``float32 (..., 3, H, W)`` in [0, 1].
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kpbook import cores
from kpbook._checks import (
    check_finite,
    check_floating,
    check_integer,
    check_range,
    check_shape,
    check_tensor,
    check_uint8,
)
from kpbook.grid import Size, as_size

_FLOAT_HINT = "Networks take (..., 3, H, W) in [0, 1]; kpbook.images.to_float makes it."


def to_float(images: Tensor | np.ndarray, device: Any = None) -> Tensor:
    """Frames ``uint8 (..., H, W, 3)`` to network input ``float32 (..., 3, H, W)`` in [0, 1].

    Args:
        images: Frames as stored, a tensor or an array.
        device: Where the result lives; the bytes travel, not the floats.

    Raises:
        TypeError: If the frames are not bytes.
        ValueError: If the last axis is not the three colours.
    """
    hint = "Frames are stored as bytes, 0 to 255; 16 bits: (x / 257).round()."
    check_uint8(images, name="images", hint=hint)
    check_shape(images, "... H W 3", name="images", hint="Frames are stored colour-last.")
    if isinstance(images, np.ndarray):  # torch warns about one that it could not write
        images = torch.from_numpy(np.require(images, requirements=["C", "W"]))
    return images.to(device).movedim(-1, -3).float().div_(255)


def to_uint8(images: Tensor) -> np.ndarray:
    """Network images ``float (..., 3, H, W)`` to frames ``uint8 (..., H, W, 3)``.

    Values are rounded; a reconstruction that leaves [0, 1] is clipped.
    """
    check_tensor(images, name="images")
    check_floating(images, name="images", hint=_FLOAT_HINT)
    check_shape(images, "... 3 H W", name="images", hint=_FLOAT_HINT)
    check_finite(images, name="images", hint="A network that diverged draws NaN.")
    bytes_ = images.detach().cpu().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.ascontiguousarray(bytes_.movedim(-3, -1).numpy())


def check_images(images: Any, size: Size | None = None, *, name: str = "images") -> int:
    """Return the batch size of network input ``float (B, 3, H, W)`` in [0, 1], or raise.

    Args:
        images: What a caller is about to feed a network.
        size: The ``(H, W)`` that the network was built for; any size without it.
        name: What the caller calls them.
    """
    check_tensor(images, name=name)
    check_floating(images, name=name, hint=_FLOAT_HINT)
    if size is None:
        B, *_ = check_shape(images, "B 3 H W", name=name, hint=_FLOAT_HINT)
    else:
        H, W = as_size(size)
        hint = "The network was built for this size; kpbook.images.resize changes images."
        pattern = f"B 3 {H} {W}"
        (B,) = check_shape(images, pattern, name=name, hint=layout_hint(images, hint))
    check_range(images, 0, 1, name=name, hint="Divide bytes by 255: kpbook.images.to_float.")
    return B


def layout_hint(images: Tensor, hint: str) -> str:
    """Return what to say about network input of a wrong shape: ``hint``, or that colour is last."""
    last = images.dim() == 4 and images.shape[-1] == 3 != images.shape[1]
    return "Colour comes first: images.movedim(-1, 1)." if last else hint


def resize(images: Tensor, size: Size) -> Tensor:
    """Resize network images ``(B, 3, H, W)`` to ``size``, averaging where it shrinks them.

    Bilinear with anti-aliasing; pixel *edges* stay in place, so a point's device coordinates
    do not change (its image coordinates do, slightly: :mod:`kpbook.grid`).
    """
    check_images(images)
    return cores.resize(images, as_size(size))


def crop(images: Tensor, top: int, left: int, size: Size) -> Tensor:
    """Cut the window of ``size`` whose first pixel is (row ``top``, column ``left``)."""
    check_tensor(images, name="images")
    H, W = check_shape(images, "... H W", name="images", hint=_FLOAT_HINT)
    h, w = as_size(size)
    top = check_integer(top, name="top", minimum=0, hint="Rows from the upper edge.")
    left = check_integer(left, name="left", minimum=0, hint="Columns from the left edge.")
    check_range(top, 0, H - h, name="top", hint=f"A window of {h} rows must fit into {H}.")
    check_range(left, 0, W - w, name="left", hint=f"A window of {w} columns must fit into {W}.")
    return images[..., top : top + h, left : left + w]
