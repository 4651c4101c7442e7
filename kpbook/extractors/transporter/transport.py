r"""Feature transport: take away where the keypoints were, put down where they are.

Source: Kulkarni et al. (2019), eq. (1), and its code, which applies it keypoint by keypoint;
built step by step in chapter 5.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kpbook._checks import check_floating, check_shape, check_tensor, complain


def transport(source: Tensor, target: Tensor, source_maps: Tensor, target_maps: Tensor) -> Tensor:
    r"""Return the source's features, with the target's around the target's keypoints.

    For the keypoints :math:`n = 1 \ldots N` in turn, from :math:`\hat\Phi_0 = \Phi(x_s)` on:

    .. math::
        \hat\Phi_n = (1 - \mathcal{H}_n^s)(1 - \mathcal{H}_n^t)\, \hat\Phi_{n-1}
            + \mathcal{H}_n^t\, \Phi(x_t)

    Source: Kulkarni et al. (2019), eq. (1), which writes one map for all keypoints; this is how
    their code joins them. All steps together blend the two with two weights per cell
    (:func:`weights`), which is what is computed.

    Args:
        source: :math:`\Phi(x_s)`, ``(B, C, h, w)``.
        target: :math:`\Phi(x_t)`, same shape.
        source_maps: Gaussian maps of the source's keypoints, ``(B, N, h, w)``, peak 1.
        target_maps: The same of the target's.

    Returns:
        ``(B, C, h, w)``.

    Raises:
        TypeError: If one of them is no tensor of floating-point numbers.
        ValueError: If shapes do not fit.
    """
    for name, x in (
        ("source", source),
        ("target", target),
        ("source_maps", source_maps),
        ("target_maps", target_maps),
    ):
        check_tensor(x, name=name)
        check_floating(x, name=name)
    B, _, h, w = check_shape(source, "B C h w", name="source", hint="Feature maps.")
    if target.shape != source.shape:
        hint = "One encoder sees both frames."
        raise ValueError(
            complain("target", f"shape {tuple(target.shape)}", f"{tuple(source.shape)}", hint)
        )
    hint = "One map per keypoint, of the features' size."
    (N,) = check_shape(source_maps, f"{B} N {h} {w}", name="source_maps", hint=hint)
    check_shape(target_maps, f"{B} {N} {h} {w}", name="target_maps", hint=hint)
    return blend(source, target, *weights(source_maps, target_maps))


def weights(source_maps: Tensor, target_maps: Tensor) -> tuple[Tensor, Tensor]:
    r"""What all steps keep of the source and bring from the target, each ``(B, 1, h, w)``.

    .. math::
        A = \prod_n (1 - \mathcal{H}_n^s)(1 - \mathcal{H}_n^t), \qquad
        W = \sum_n \mathcal{H}_n^t \prod_{m > n} (1 - \mathcal{H}_m^s)(1 - \mathcal{H}_m^t)
    """
    kept = (1 - source_maps) * (1 - target_maps)
    A, W = torch.ones_like(kept[:, :1]), torch.zeros_like(kept[:, :1])
    for keep, put in zip(kept.split(1, 1), target_maps.split(1, 1), strict=True):
        A, W = keep * A, keep * W + put
    return A, W


def blend(source: Tensor, target: Tensor, kept: Tensor, brought: Tensor) -> Tensor:
    """``kept * source + brought * target``."""
    return kept * source + brought * target
