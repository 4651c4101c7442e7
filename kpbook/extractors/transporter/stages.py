"""Every stage of a transport at once: what the live figure of chapter 5 shows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from kpbook._checks import complain
from kpbook.extractors.blocks import channels_last
from kpbook.extractors.transporter.model import Transporter
from kpbook.extractors.transporter.transport import blend, weights
from kpbook.images import to_float

_FRAMES = 64  # more do not turn the axes


class Stages(nn.Module):
    """A transport, stage by stage, its features as pictures.

    A picture shows features by their first three principal axes over some frames, as red, green
    and blue; zero is grey, and the largest value in those frames has the full colour.
    :func:`kpbook.export.to_onnx` takes it.

    Args:
        network: A Transporter; it is used, not copied.
        frames: uint8 ``(F, H, W, 3)``, for the axes; some 64 of them are looked at.

    Attributes:
        inputs: Name of each argument -> its shape without B.
        outputs: The same of what is returned.

    Raises:
        TypeError: If the network is no Transporter: nothing is transported in it.
    """

    axes: Tensor

    def __init__(self, network: Transporter, frames: np.ndarray) -> None:
        super().__init__()
        if not isinstance(network, Transporter):
            hint = "kpbook.extractors.transporter.build makes one."
            raise TypeError(complain("network", type(network).__name__, "a Transporter", hint))
        self.network, self.name = network, network.name
        self.register_buffer("axes", _axes(network, frames))
        N, size, cells = network.keypoints, network.image_size, network.map_size
        image = (3, size, size)
        self.inputs = {"source": image, "target": image, "moved": (N,)}
        self.outputs = {
            "source_keypoints": (N, 2),
            "target_keypoints": (N, 2),
            "suppressed": (3, *cells),
            "transported": (3, *cells),
            "reconstruction": image,
            "errors": (2, 2),
        }

    @property
    def image_size(self) -> int:
        """Pixels of the square images."""
        return self.network.image_size

    def forward(self, source: Tensor, target: Tensor, moved: Tensor) -> tuple[Tensor, ...]:
        """Return what :attr:`outputs` names.

        Args:
            source: Images ``(B, 3, H, W)`` in [0, 1].
            target: What is drawn, same shape.
            moved: ``(B, N)``, 1 for a keypoint whose features are moved, 0 for one that is left
                out.

        Returns:
            Keypoints of both in image coordinates; the source's features where they are kept, and
            what goes into the refinement network, as pictures; the drawing; and squared errors:
            of the drawing and of the source in its place, each weighted as in training and plain.
        """
        network = self.network
        both = torch.cat([source, target])
        here, there = (moved[..., None, None] * maps for maps in _halves(network.gaussians(both)))
        features, brought = _halves(network.features(channels_last(both)))
        kept, put = weights(here, there)
        transported = blend(features, brought, kept, put)
        drawn: Tensor = network.refine(transported)
        pictures = (self._picture(part) for part in (kept * features, transported))
        weight = network.weight(target).expand_as(target)
        squared = (torch.stack([drawn, source], dim=1) - target[:, None]).square()
        errors = torch.stack([weight[:, None] * squared, squared], dim=2).mean((-3, -2, -1))
        return *_halves(network(both)), *pictures, drawn, errors

    def _picture(self, features: Tensor) -> Tensor:
        axes = self.axes.to(features)  # the network may have moved meanwhile
        picture = 0.5 + 0.5 * torch.einsum("dc,bchw->bdhw", axes, features)
        return picture.clamp(0, 1)


def _halves(both: Tensor) -> tuple[Tensor, Tensor]:
    source, target = both.unflatten(0, (2, -1)).unbind(0)
    return source, target


@torch.no_grad()
def _axes(network: Transporter, frames: np.ndarray) -> Tensor:
    """Principal axes of the features, ``(3, C)``, divided by the largest value along each.

    An axis has two directions; of its numbers, the one that is largest in size is positive.
    """
    some = to_float(np.ascontiguousarray(frames[:: max(1, len(frames) // _FRAMES)]))
    features = network.features(channels_last(some.to(network.sigma.device)))
    cells = features.movedim(1, -1).flatten(0, -2).double()
    _, vectors = torch.linalg.eigh(torch.cov(cells.T))
    axes: Tensor = vectors.T.flip(0)[:3]  # eigh orders from the smallest variance on
    axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    largest = (cells @ axes.T).abs().max(0).values.clamp_min(1e-12)
    axes = axes / largest[:, None]
    return axes.float()
