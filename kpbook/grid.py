r"""The coordinate convention, and the only place that makes a grid from -1 to +1.

Everywhere in this project a point is **(x, y)**, x to the right and y **down**, and -1 and +1 are
the **centres** of the border cells::

    pixel      0       1       2       3         integer = centre of a pixel, W = 4
             |---+---|---+---|---+---|---+---|
    x           -1     -1/3    +1/3     +1       2 * pixel / (W - 1) - 1
    edge     -4/3                          +4/3  the image ends at W / (W - 1)

Three kinds of coordinates use that ruler:

* **image coordinates**: the cells are the image's pixels. Keypoints and truth.
* **map coordinates**: the cells are a feature map's. What a soft-argmax returns. Strides and
  missing padding shift and shrink them; :func:`map_to_image` undoes that.
* **device coordinates**: a projection's; -1 and +1 are the image's *edges*, y up.

All functions take torch tensors or NumPy arrays and return the same kind; sizes are ``(H, W)`` or
one integer for a square.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from kpbook._checks import check_finite, check_integer, check_positive, check_shape, complain

ArrayT = TypeVar("ArrayT", Tensor, np.ndarray)
Size = int | tuple[int, int]
_LAYER_HINT = "A layer is (kernel, stride, padding) in pixels."


def as_size(size: Size, *, name: str = "size") -> tuple[int, int]:
    """Return ``(H, W)`` from an integer (a square) or a pair; raise on anything else."""
    if isinstance(size, tuple | list | torch.Size):
        if len(size) != 2:
            raise ValueError(complain(name, size, "an integer or (H, W)"))
        H, W = size
    else:
        H = W = size
    return (
        check_integer(H, name=name, minimum=1, hint="Sizes are (height, width) in cells."),
        check_integer(W, name=name, minimum=1, hint="Sizes are (height, width) in cells."),
    )


def axis_coordinates(n: int, *, like: Tensor | None = None) -> Tensor:
    """Return the coordinates of ``n`` cell centres along one axis, shape ``(n,)``, in [-1, 1].

    A single cell sits at 0: the only value that a mirror image leaves in place.

    Args:
        n: Number of cells, at least 1.
        like: Take dtype and device from this tensor; float32 on the CPU without it.
    """
    n = check_integer(n, name="n", minimum=1, hint="An axis needs at least one cell.")
    dtype, device = (None, None) if like is None else (like.dtype, like.device)
    ends = (-1, 1) if n > 1 else (0, 0)
    return torch.linspace(*ends, n, dtype=dtype, device=device)


def cell_coordinates(size: Size, *, like: Tensor | None = None) -> Tensor:
    """Return the centre (x, y) of every cell, shape ``(H, W, 2)``."""
    H, W = as_size(size)
    x = axis_coordinates(W, like=like).expand(H, W)
    y = axis_coordinates(H, like=like)[:, None].expand(H, W)
    return torch.stack([x, y], dim=-1)


def to_pixels(points: ArrayT, size: Size) -> ArrayT:
    """Image coordinates ``(..., 2)`` to pixels: 0 is the centre of the first pixel."""
    return _affine(points, _span(size) / 2, _span(size) / 2)


def from_pixels(pixels: ArrayT, size: Size) -> ArrayT:
    """Pixels ``(..., 2)``, order (x, y), to image coordinates."""
    span = _span(size)
    if (span == 0).any():
        raise ValueError(complain("size", size, "at least 2 pixels along each axis"))
    return _affine(pixels, 2 / span, np.array([-1.0, -1.0]))


def device_to_image(points: ArrayT, size: Size) -> ArrayT:
    """Device coordinates ``(..., 2)`` (edges at -1 and +1, y up) to image coordinates."""
    scale = _edge(size)
    return _affine(points, scale * [1, -1], np.zeros(2))


def image_to_device(points: ArrayT, size: Size) -> ArrayT:
    """Image coordinates ``(..., 2)`` to device coordinates (edges at -1 and +1, y up)."""
    return _affine(points, 1 / (_edge(size) * [1, -1]), np.zeros(2))


def map_geometry(layers: Iterable[tuple[int, int, int]]) -> tuple[float, float]:
    """Return ``(stride, offset)`` of a stack of convolutions or poolings.

    Cell ``i`` of the resulting map is centred on pixel ``offset + stride * i`` of the input.

    Args:
        layers: ``(kernel, stride, padding)`` of each layer, first to last.

    Example:
        >>> map_geometry([(3, 2, 0), (3, 1, 0), (3, 1, 0), (3, 1, 0)])  # FPAC: 84 px -> 35 cells
        (2.0, 7.0)
    """
    stride, offset = 1.0, 0.0
    for kernel, step, padding in layers:
        check_integer(kernel, name="kernel", minimum=1, hint=_LAYER_HINT)
        check_integer(step, name="stride", minimum=1, hint=_LAYER_HINT)
        check_integer(padding, name="padding", minimum=0, hint=_LAYER_HINT)
        offset += stride * ((kernel - 1) / 2 - padding)
        stride *= step
    return stride, offset


def map_to_image(
    points: ArrayT, map_size: Size, image_size: Size, stride: float, offset: float
) -> ArrayT:
    """Map coordinates ``(..., 2)`` to image coordinates.

    Args:
        points: What a soft-argmax over the map returned.
        map_size: Cells of the map, ``(H, W)``.
        image_size: Pixels of the image, ``(H, W)``.
        stride: Pixels from one cell to the next, see :func:`map_geometry`.
        offset: Pixel on which cell 0 is centred, see :func:`map_geometry`.
    """
    check_positive(stride, name="stride", hint="Pixels from one cell to the next.")
    scale, shift = _map_scale_shift(map_size, image_size, stride, offset)
    return _affine(points, scale, shift)


def image_to_map(
    points: ArrayT, map_size: Size, image_size: Size, stride: float, offset: float
) -> ArrayT:
    """Image coordinates ``(..., 2)`` to map coordinates; the inverse of :func:`map_to_image`."""
    check_positive(stride, name="stride", hint="Pixels from one cell to the next.")
    scale, shift = _map_scale_shift(map_size, image_size, stride, offset)
    if (scale == 0).any():
        raise ValueError(complain("map_size", map_size, "at least 2 cells along each axis"))
    return _affine(points, 1 / scale, -shift / scale)


def _map_scale_shift(
    map_size: Size, image_size: Size, stride: float, offset: float
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift, each ``(x, y)``, of map -> image coordinates."""
    check_finite(np.float64(offset), name="offset", hint="Pixel on which cell 0 is centred.")
    cells, pixels = _span(map_size), _span(image_size)
    if (pixels == 0).any():
        raise ValueError(complain("image_size", image_size, "at least 2 pixels along each axis"))
    centre = 2 * (offset + stride * cells / 2) / pixels - 1  # where map coordinate 0 falls
    return stride * cells / pixels, centre


def _span(size: Size) -> np.ndarray:
    """Cells between the first and the last centre, ``(W - 1, H - 1)``: order (x, y)."""
    H, W = as_size(size)
    return np.array([W - 1, H - 1], dtype=np.float64)


def _edge(size: Size) -> np.ndarray:
    """Image coordinate of the right and the lower edge, ``(x, y)``."""
    span = _span(size)
    if (span == 0).any():
        raise ValueError(complain("size", size, "at least 2 pixels along each axis"))
    edge: np.ndarray = (span + 1) / span
    return edge


def _affine(points: ArrayT, scale: np.ndarray, shift: np.ndarray) -> ArrayT:
    """``points * scale + shift`` per coordinate, in the kind and dtype of ``points``."""
    check_shape(points, "... 2", name="points", hint="Points are (x, y) along the last axis.")
    result: Any
    if isinstance(points, Tensor):
        dtype = points.dtype if points.dtype.is_floating_point else torch.float32
        wide = points.to(torch.promote_types(dtype, torch.float32))  # 16 bits round the scale, too
        result = (wide * wide.new_tensor(scale) + wide.new_tensor(shift)).to(dtype)
    else:
        dtype = points.dtype if np.issubdtype(points.dtype, np.floating) else np.float64
        result = (points * scale + shift).astype(dtype)
    return result  # type: ignore[no-any-return]
