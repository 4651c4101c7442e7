r"""Heat map -> keypoint -> heat map.

Scores of cells (``logits``) become a distribution over cells (``heatmaps``), a distribution
becomes a point, and a point becomes a Gaussian map again. Points are **(x, y)** in map
coordinates, x right, y down, -1 and +1 at the centres of the border cells (:mod:`kpbook.grid`).

These functions check values. A network calls those of :mod:`kpbook.cores`: the same arithmetic
without the checks, for which a GPU waits and which would break ``torch.export`` and ``vmap``.
Numbers of 16 bits are computed with, and returned, in float32.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kpbook import cores
from kpbook._checks import (
    check_choice,
    check_finite,
    check_flag,
    check_floating,
    check_positive,
    check_range,
    check_shape,
    check_tensor,
    complain,
    traced,
)
from kpbook.grid import Size, as_size, axis_coordinates, cell_coordinates

_LOGITS_HINT = "One map per keypoint: scores, not probabilities."
_TEMPERATURE_HINT = "The logits are divided by it; to sharpen, go towards 0, not below."
_NAN_HINT = "A single NaN or +inf, or -inf in every cell, leaves a map without a mean position."
_SEPARABLE_HINT = (
    "A single NaN or +inf, or -inf in a whole row and column, leaves nothing to average; to mask "
    "cells, use a large negative number or the joint form."
)


def spatial_softmax(logits: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
    r"""Return the distribution over cells of each map.

    .. math:: p_{ij} = e^{a_{ij}/\tau} \Big/ \sum_{i'j'} e^{a_{i'j'}/\tau}

    Source: spatial softmax of Finn et al. (2016); chapter 1, eq. (1.1).

    Args:
        logits: Scores :math:`a`, shape ``(..., H, W)``, any real values.
        temperature: :math:`\tau > 0`, in units of the logits, which are *divided* by it. A
            tensor broadcasts over ``...``: ``(N,)`` gives each keypoint its own.

    Returns:
        Heat maps ``(..., H, W)``, at least 0, each summing to 1.

    Raises:
        TypeError: If ``logits`` is not a floating-point tensor.
        ValueError: If it has fewer than two axes or an empty one, a map has no softmax (NaN,
            +inf, all -inf), or a temperature is not positive.
    """
    logits, tau = _checked(logits, temperature)
    heatmaps = cores.softmax(logits, tau)
    if not _is_finite(heatmaps[..., 0, 0]):  # a map without a softmax is NaN in every cell
        heatmaps = cores.softmax(_highest_at_zero(logits), tau)
        _check_found(heatmaps[..., 0, :1], _NAN_HINT)
    return heatmaps


def expectation(heatmaps: Tensor) -> Tensor:
    r"""Return the mean position of each heat map, :math:`z = \sum_{ij} p_{ij}\,(x_j, y_i)`.

    Source: Finn et al. (2016); chapter 1, eq. (1.2).

    Args:
        heatmaps: Distributions ``(..., H, W)``, each at least 0 and summing to 1.

    Returns:
        Points ``(..., 2)``, order (x, y), map coordinates.

    Raises:
        TypeError: If ``heatmaps`` is not a floating-point tensor.
        ValueError: If a map is negative somewhere or does not sum to 1: then its "mean" can
            lie outside the map. Scores want :func:`soft_argmax`.
    """
    _check_heatmaps(heatmaps)
    return cores.expectation(heatmaps)


def soft_argmax(
    logits: Tensor, temperature: float | Tensor = 1.0, separable: bool = False
) -> Tensor:
    r"""Return the mean position of each map under its spatial softmax.

    Joint (default): the softmax runs over all cells, then :math:`z = \sum_{ij} p_{ij}(x_j, y_i)`.
    Separable: each coordinate has its own softmax, over the *mean logit* :math:`\bar a` along the
    other axis, :math:`x = \sum_j x_j \operatorname{softmax}_j(\bar a_j / \tau)`.
    That is not the marginal of the joint softmax: it averages logits, not probabilities.

    Source: joint, Finn et al. (2016); separable, Boney et al. (2021), eq. (3) with
    :math:`\beta = \tau`; chapter 1, eqs. (1.3) and (1.6).

    Args:
        logits: Scores :math:`a`, shape ``(..., H, W)``, any real values. Not probabilities: a
            map that already sums to one lands near the centre.
        temperature: :math:`\tau > 0`, in units of the logits, which are *divided* by it
            (kornia before 0.9 multiplied). A tensor broadcasts over ``...``: ``(N,)`` gives each
            keypoint its own.
        separable: Choose the separable form.

    Returns:
        Points ``(..., 2)``, order **(x, y)**, map coordinates: x right, y down, -1 and +1 at
        the centres of the map's border cells (:mod:`kpbook.grid`).

    Raises:
        TypeError: If ``logits`` is not a floating-point tensor, or ``separable`` no bool.
        ValueError: If it has fewer than two axes or an empty one, a map has no mean position
            (NaN, +inf, all -inf), or a temperature is not positive.

    Note:
        This is a mean, not a peak: two equal blobs give the empty point between them.

    Example:
        >>> logits = torch.full((5, 9), -50.0)
        >>> logits[2, 0] = logits[2, 6] = 0.0
        >>> soft_argmax(logits)
        tensor([-0.2500,  0.0000])
    """
    logits, tau = _checked(logits, temperature)
    separable = check_flag(separable, name="separable")
    points = cores.soft_argmax(logits, tau, separable)
    # Looked for on the small output, not on the maps: that would be a pass over the memory.
    if not _is_finite(points):
        points = cores.soft_argmax(_highest_at_zero(logits), tau, separable)
        _check_found(points, _SEPARABLE_HINT if separable else _NAN_HINT)
    return points


def mode(logits: Tensor) -> Tensor:
    """Return the cell with the highest score of each map: the arg-max, which has no gradient.

    Args:
        logits: Scores, or any increasing function of them, ``(..., H, W)``.

    Returns:
        Points ``(..., 2)``, order (x, y), map coordinates, always at a cell's centre. Equal
        scores: the first in reading order.
    """
    H, W = _check_maps(logits, "logits", _LOGITS_HINT)
    best, cell = logits.detach().flatten(-2).max(dim=-1)  # max propagates NaN, so best shows it
    if torch.isnan(best).any():
        raise ValueError(complain("logits", "NaN in a map", "numbers", "NaN has no order."))
    return cell_coordinates((H, W), like=cores.wide(logits)).reshape(-1, 2)[cell]


def presence(logits: Tensor, form: str = "equation") -> Tensor:
    r"""Return a scalar in (-1, 1) that can say whether the feature is there at all.

    The paper prints two forms that differ. ``"equation"`` is its eq. (2),
    :math:`m = \tanh(\operatorname{mean} a)`; ``"listing"`` is its Listing 1,
    :math:`m = \operatorname{mean}(\tanh a)`, which saturates cell by cell.

    Source: Boney et al. (2021), eq. (2) and Listing 1; chapter 1, eq. (1.7).

    Args:
        logits: Scores ``(..., H, W)``.
        form: ``"equation"`` or ``"listing"``.

    Returns:
        ``(...)``.
    """
    _check_maps(logits, "logits", _LOGITS_HINT)
    check_choice(form, ("equation", "listing"), name="form")
    logits = cores.wide(logits)
    tanh_last = form == "equation"
    present = logits.mean((-2, -1)).tanh() if tanh_last else logits.tanh().mean((-2, -1))
    _check_found(present[..., None], "A NaN, or +inf beside -inf, has no mean.")
    return present


def spread(heatmaps: Tensor) -> Tensor:
    r"""Return the root-mean-square distance of each heat map's mass from its keypoint.

    .. math:: s = \Big(\sum_{ij} p_{ij}\, \lVert c_{ij} - z \rVert^2\Big)^{1/2}

    Source: chapter 1, eq. (1.8). For an isotropic Gaussian well inside the map it is
    :math:`\sqrt2\,\sigma`; a uniform map has about 0.82.

    Args:
        heatmaps: Distributions ``(..., H, W)``, as :func:`spatial_softmax` returns them.

    Returns:
        ``(...)``, map units, 0 for a single cell.
    """
    H, W = _check_heatmaps(heatmaps)
    heatmaps = cores.wide(heatmaps)
    x, y = axis_coordinates(W, like=heatmaps), axis_coordinates(H, like=heatmaps)
    px, py = heatmaps.sum(-2), heatmaps.sum(-1)
    # Centred before squaring: E[x^2] - E[x]^2 would cancel to noise on a sharp map.
    dx = x - (px * x).sum(-1, keepdim=True)
    dy = y - (py * y).sum(-1, keepdim=True)
    variance = (px * dx**2).sum(-1) + (py * dy**2).sum(-1)
    # A map of one cell has a spread of 0 and there, instead of NaN, a gradient of 0.
    root = variance.clamp_min(torch.finfo(variance.dtype).tiny).sqrt()
    return torch.where(variance > 0, root, torch.zeros_like(root))


def entropy(heatmaps: Tensor) -> Tensor:
    r"""Return the entropy of each heat map, as a share of the largest possible.

    .. math:: h = -\sum_{ij} p_{ij} \log p_{ij} \,/ \log(HW)

    Source: chapter 1, eq. (1.9).

    Args:
        heatmaps: Distributions ``(..., H, W)``, as :func:`spatial_softmax` returns them.

    Returns:
        ``(...)``, from 0 (one cell) to 1 (uniform). A map of one cell has 0.
    """
    H, W = _check_heatmaps(heatmaps)
    heatmaps = cores.wide(heatmaps)
    # Clamped inside the logarithm: an empty cell adds 0 and has a finite gradient.
    tiny = torch.finfo(heatmaps.dtype).tiny
    nats = 0.0 - (heatmaps * heatmaps.clamp_min(tiny).log()).sum((-2, -1))
    return nats / torch.log(nats.new_tensor(max(H * W, 2)))


def gaussian_maps(points: Tensor, size: Size, sigma: float | Tensor) -> Tensor:
    r"""Draw each point as a Gaussian bump of peak 1.

    .. math:: g_{ij} = \exp\big(-\lVert c_{ij} - z \rVert^2 / 2\sigma^2\big)

    Source: Jakab et al. (2018), eq. (2); chapter 1, eq. (1.10). The released codes of SAE-RL,
    IMM, Transporter and FPAC leave out the ½: their :math:`\sigma = 0.1` is our 0.0707.

    Args:
        points: Points ``(..., 2)``, order (x, y), in the coordinates of the map to be drawn.
            May lie outside it.
        size: Cells of the map, ``(H, W)`` or one integer for a square.
        sigma: Standard deviation > 0 along both axes, in the units of ``points``. A tensor
            broadcasts over ``...``: ``(N,)`` gives each keypoint its own.

    Returns:
        Maps ``(..., H, W)`` in [0, 1]. The peak is 1 at the point itself; a coarse map samples
        only cell centres, so its largest value can be well below 1.

    Raises:
        TypeError: If ``points`` is not a floating-point tensor.
        ValueError: If ``points`` has no last axis of 2 or holds NaN, or sigma is not positive.
    """
    check_tensor(points, name="points")
    check_shape(points, "... 2", name="points", hint="Points are (x, y) along the last axis.")
    check_floating(points, name="points", hint="Points are coordinates, not cell indices.")
    check_finite(points, name="points")
    check_positive(sigma, name="sigma", hint="A standard deviation in units of the points.")
    points = cores.wide(points)
    sigma_t = torch.as_tensor(sigma, dtype=points.dtype, device=points.device)
    _check_broadcast(sigma_t, points.shape[:-1], "sigma")
    return cores.gaussian_maps(points, as_size(size), sigma_t)


def _checked(logits: Tensor, temperature: float | Tensor) -> tuple[Tensor, Tensor | None]:
    """Check both; return the logits and the temperature as a tensor, or ``None`` where it is 1."""
    _check_maps(logits, "logits", _LOGITS_HINT)
    check_positive(temperature, name="temperature", hint=_TEMPERATURE_HINT)
    logits = cores.wide(logits)
    if isinstance(temperature, float | int) and temperature == 1:
        return logits, None
    tau = torch.as_tensor(temperature, dtype=logits.dtype, device=logits.device)
    _check_broadcast(tau, logits.shape[:-2], "temperature")
    return logits, tau.clamp(min=torch.finfo(tau.dtype).tiny)  # 1e-300 is 0 in float32


def _highest_at_zero(logits: Tensor) -> Tensor:
    """Subtract each map's maximum: a softmax does not see it, and a quotient cannot overflow.

    Two more passes over the memory, so only for maps that need it.
    """
    return logits - logits.detach().amax((-2, -1), keepdim=True)


def _is_finite(values: Tensor) -> bool:
    return traced(values) or math.isfinite(values.sum().item())


def _check_found(values: Tensor, hint: str) -> None:
    """Raise if ``values`` ``(..., n)``, made from maps ``(...)``, are not finite."""
    if _is_finite(values):
        return
    bad = ~torch.isfinite(values).all(-1)
    first = tuple(bad.nonzero()[0].tolist())
    got = f"no softmax in {int(bad.sum())} of {bad.numel()} maps, the first at {first}"
    raise ValueError(complain("logits", got, "finite scores", hint))


def _check_maps(maps: Tensor, name: str, hint: str) -> tuple[int, ...]:
    check_tensor(maps, name=name)
    sizes = check_shape(maps, "... H W", name=name, hint=hint)
    check_floating(maps, name=name, hint="Use .float().")
    return sizes


def _check_heatmaps(heatmaps: Tensor) -> tuple[int, ...]:
    hint = "Heat maps are what spatial_softmax returns; scores go into soft_argmax."
    sizes = _check_maps(heatmaps, "heatmaps", hint)
    total = cores.wide(heatmaps.detach()).sum((-2, -1))
    check_finite(total, name="heatmaps", hint=hint)
    check_range(heatmaps, 0, 1.01, name="heatmaps", hint=hint)
    check_range(total, 0.99, 1.01, name="sum of each heat map", hint=hint)
    return sizes


def _check_broadcast(value: Tensor, front: torch.Size, name: str) -> None:
    """Raise unless ``value`` broadcasts over ``front`` without making it larger."""
    try:
        fits = torch.broadcast_shapes(value.shape, front) == front
    except RuntimeError:
        fits = False
    if not fits:
        hint = "One number for all, or (N,) for one each."
        expected = f"a shape that broadcasts over {tuple(front)}"
        raise ValueError(complain(name, f"shape {tuple(value.shape)}", expected, hint))
