"""What the extractors minimise: pure functions of predictions and targets; derived in chapter 3."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from kpbook import cores
from kpbook._checks import (
    check_floating,
    check_integer,
    check_range,
    check_shape,
    check_tensor,
    check_uint8,
    complain,
)

_FLOAT_HINT = "kpbook.images.to_float converts bytes."
_BINS_HINT = "Bins per colour channel; 8 gives 512 colours."


def reconstruction(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""Return the mean squared error of an image, weighted per pixel if wanted.

    .. math:: L = \frac{1}{B\,C\,H\,W} \sum w_{bij}\,(\hat x_{bcij} - x_{bcij})^2

    Source: Cramer et al. (2024), who write a sum and compute this mean; the weight is ours.

    Args:
        prediction: Drawn images ``float (B, C, H, W)``, any range: no network clips its output.
        target: Images of the same shape.
        weight: ``(B, 1, H, W)``, not negative, with mean about 1; 1 everywhere without it.

    Returns:
        One number, squared units of the images.

    Raises:
        TypeError: If one of them is no tensor of floating-point numbers.
        ValueError: If the shapes differ, or a weight is negative.
    """
    B, _, H, W = _check_floats(prediction, "B C H W", name="prediction")
    check_tensor(target, name="target")
    check_floating(target, name="target", hint=_FLOAT_HINT)
    if prediction.shape != target.shape:
        hint = "A broadcast would average over pairs that do not belong together."
        got, expected = f"shape {tuple(target.shape)}", f"{tuple(prediction.shape)}"
        raise ValueError(complain("target", got, expected, hint))
    if weight is not None:
        _check_floats(weight, f"{B} 1 {H} {W}", name="weight", hint="One number per pixel.")
        hint = "A loss below 0 would be won by drawing worse."
        check_range(weight, 0, math.inf, name="weight", hint=hint)
    return cores.reconstruction(prediction, target, weight)


def _check_floats(x: Tensor, pattern: str, *, name: str, hint: str = "") -> tuple[int, ...]:
    check_tensor(x, name=name)
    check_floating(x, name=name, hint=_FLOAT_HINT)
    return check_shape(x, pattern, name=name, hint=hint)


def acceleration(points: Tensor) -> Tensor:
    r"""Return the mean squared second difference of keypoints: the papers' "velocity loss".

    .. math:: L = \operatorname{mean}\big((z_{t+1} - z_t) - (z_t - z_{t-1})\big)^2

    It costs nothing to move fast; it costs to change speed. Source: Finn et al. (2016), who call
    it slowness; Cramer et al. (2024), velocity loss.

    Args:
        points: Snippets of at least three frames in a row, ``(..., T, N, 2)``.

    Returns:
        One number, squared units of the points.

    Raises:
        TypeError: If ``points`` is no tensor of floating-point numbers.
        ValueError: If a snippet has fewer than three frames.
    """
    check_tensor(points, name="points")
    check_floating(points, name="points", hint="points.float() converts.")
    *_, T, _ = check_shape(points, "... T N 2", name="points", hint="Snippets of frames in a row.")
    if T < 3:
        hint = "A second difference needs three frames; velocity needs snippets of 3."
        raise ValueError(complain("points", f"{T} frames", "at least 3 in a row", hint))
    return cores.acceleration(points)


def colour_rarity(frames: np.ndarray, bins: int = 8, floor: float = 0.0) -> Tensor:
    r"""Return the weight of each colour: one over how often it occurs, with mean 1 over pixels.

    .. math:: w(c) \propto \frac{1}{\max(p(c), p_0)}

    so every colour that occurs has the same share of the loss, however few its pixels, down to the
    floor :math:`p_0`: the few mixed pixels at an edge would otherwise weigh as much as an object,
    and throw the training about. A colour that does not occur has the largest weight of those that
    do. The idea takes for granted that what matters has a rare colour; it names no colour and no
    object.

    Args:
        frames: uint8 ``(..., H, W, 3)``.
        bins: Cells per channel, 2 to 64: a colour is one of ``bins³`` cells.
        floor: :math:`p_0`, share of the pixels, at least 0 and below 1.

    Returns:
        ``(bins³,)``, float32, on the CPU; index red, green, blue, blue fastest.

    Raises:
        TypeError: If the frames are not bytes.
        ValueError: If they are no colour images, or ``bins`` is out of range.
    """
    check_uint8(frames, name="frames")
    check_shape(frames, "... H W 3", name="frames", hint="Colour last, as in Episodes.")
    bins = check_integer(bins, name="bins", minimum=2, hint=_BINS_HINT)
    check_range(bins, 2, 64, name="bins", hint=_BINS_HINT)
    check_range(floor, 0, 0.99, name="floor", hint="A share of the pixels, such as 1e-4.")
    cell = np.arange(256) * bins >> 8  # of each byte
    counts = np.zeros(bins**3, dtype=np.int64)
    for frame in np.asarray(frames).reshape(
        -1, *frames.shape[-3:]
    ):  # one by one: indices are wider than bytes
        red, green, blue = np.moveaxis(cell[frame], -1, 0)
        index = (red * bins + green) * bins + blue
        counts += np.bincount(index.ravel(), minlength=bins**3)
    present = counts > 0
    share = counts / counts.sum()
    weight = 1 / np.maximum(share, max(floor, share[present].min()))  # absent as the rarest
    return torch.from_numpy(weight / (share @ weight)).float()


def rarity_weight(images: Tensor, table: Tensor) -> Tensor:
    """Return the weight of each pixel by the rarity of its colour; its mean is about 1.

    Args:
        images: ``float (B, 3, H, W)`` in [0, 1].
        table: What :func:`colour_rarity` returned, on the images' device.

    Returns:
        ``(B, 1, H, W)``, without a gradient.

    Raises:
        TypeError: If one of them is no tensor, or the images are no floating-point numbers.
        ValueError: If the images have no three colours, or the table is no cube of bins.
    """
    _check_floats(images, "B 3 H W", name="images")
    check_tensor(table, name="table")
    check_shape(table, "entries", name="table", hint="bins³ of them, from colour_rarity.")
    bins = round(len(table) ** (1 / 3))
    if bins**3 != len(table):
        raise ValueError(complain("table", f"{len(table)} entries", "bins³, from colour_rarity"))
    cell = (images.detach().clamp(0, 1) * 255).round().long() * bins >> 8
    index = (cell[:, 0] * bins + cell[:, 1]) * bins + cell[:, 2]
    return table[index][:, None]
