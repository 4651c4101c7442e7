"""The soft-argmax playground: drag blobs on a map of logits and see what each read-out says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor

from kpbook import heatmaps
from kpbook._checks import check_range, complain
from kpbook.grid import as_size, to_pixels
from kpbook.widgets._base import PALETTE, LiveFigure, still_picture
from kpbook.widgets._join import front_end
from kpbook.widgets._traits import Choice, Custom, Flag, Number, Positive, Whole

_PROMPT = (
    "Try: drag blob 1 to a corner and raise the background logit to 0. "
    "Notice: the joint estimate leaves the blob, towards the centre; the mode stays."
)
_NEAR = 3  # a cell belongs to a blob up to this many standard deviations
_INPUTS = ("blobs", "temperature", "background", "noise", "shift", "relu", "seed", "sigma", "size")
#: Range of each number; the sliders of ``soft_argmax_state.mjs`` end there too.
LIMITS = {
    "height": (-10.0, 12.0),
    "temperature": (0.05, 20.0),
    "noise": (0.0, 4.0),
    "background": (-10.0, 8.0),
    "shift": (-10.0, 10.0),
}


def _blobs(blobs: Any) -> list[dict[str, float]]:
    if not isinstance(blobs, list | tuple) or not all(isinstance(blob, dict) for blob in blobs):
        raise TypeError(complain("blobs", repr(blobs), "a list of dicts"))
    if len(blobs) not in (1, 2):
        raise ValueError(complain("blobs", f"{len(blobs)} of them", "1 or 2"))
    for k, blob in enumerate(blobs):
        if set(blob) != {"x", "y", "height"}:
            raise ValueError(complain(f"blobs[{k}]", sorted(blob), "the keys x, y and height"))
        for name, value in blob.items():
            low, high = LIMITS.get(name, (-1, 1))
            check_range(value, low, high, name=f"blobs[{k}][{name!r}]")
    return [{name: float(value) for name, value in blob.items()} for blob in blobs]


class SoftArgmaxPlayground(LiveFigure):
    """One or two blobs on a map of logits, read out by three kinds of arg-max.

    Every trait but ``estimates`` may be set from Python and is set by the reader's gestures.
    The map: ``background``, blobs that rise from it to their ``height``, seeded ``noise``,
    ``shift`` added to every logit, and at last a ReLU if ``relu`` is on.

    Attributes:
        blobs: One or two dicts ``{"x", "y", "height"}``: the centre in map coordinates, and the
            logit at it. The first blob is the object: its centre is the truth.
        temperature: Divides the logits, from 0.05 to 20.
        background: Logit of a cell far from any blob.
        noise: Standard deviation of the noise, in logits.
        shift: A constant added to every logit. Softmax does not see it, the ReLU does.
        relu: Set negative logits to 0 before the softmax.
        seed: Of the noise; the same numbers in Python and in the browser.
        sigma: Standard deviation of a blob, in cells.
        size: Cells of the map, ``[H, W]``.
        show: What the shade means: ``"probability"`` or ``"logits"``.
        prompt: The sentence above the figure.
        estimates: What the figure shows: ``truth``, ``joint``, ``separable``, ``mode`` (each
            ``[x, y]``, map coordinates), ``error_cells``, ``presence``, ``spread``, ``mass``.

    Example:
        >>> figure = SoftArgmaxPlayground(noise=0.0, background=-10.0)
        >>> [round(v, 2) for v in figure.estimates["joint"]]
        [0.55, -0.4]
    """

    _esm = front_end("soft_argmax.mjs")

    blobs = Custom(_blobs, [{"x": 0.55, "y": -0.4, "height": 6.0}])
    temperature = Number(*LIMITS["temperature"], 1.0)
    background = Number(*LIMITS["background"], -4.0)
    noise = Number(*LIMITS["noise"], 0.3)
    shift = Number(*LIMITS["shift"], 0.0)
    relu = Flag(False)
    seed = Whole(0, 2**32 - 1, hint="The noise has 32 bits of state.")
    sigma = Positive(2.2, hint="A standard deviation in cells.")
    size = Custom(lambda size: list(as_size(size)), [24, 32])
    show = Choice(("probability", "logits"), "probability")
    prompt = traitlets.Unicode(_PROMPT).tag(sync=True)
    estimates = traitlets.Dict().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.estimates = self.read_out()
        self.observe(self._read_out_again, list(_INPUTS))

    def logits(self) -> Tensor:
        """Return the map that the figure shows, ``(H, W)``, float64.

        The arithmetic of ``soft_argmax_state.mjs``; a test holds the two together.
        """
        H, W = self.size
        logits = np.full((H, W), self.background + self.shift)
        for blob in self.blobs:
            gy, gx = (np.exp(-0.5 * (d / self.sigma) ** 2) for d in self._offsets(blob))
            logits += (blob["height"] - self.background) * gy * gx
        logits += self.noise * gaussian_noise(H * W, self.seed).reshape(H, W)
        return torch.from_numpy(np.maximum(logits, 0) if self.relu else logits)

    def read_out(self) -> dict[str, Any]:
        """Return what ``estimates`` holds, computed here by :mod:`kpbook.heatmaps`."""
        logits, (H, W) = self.logits(), self.size
        truth = [self.blobs[0]["x"], self.blobs[0]["y"]]
        points = {
            "joint": heatmaps.soft_argmax(logits, self.temperature),
            "separable": heatmaps.soft_argmax(logits, self.temperature, separable=True),
            "mode": heatmaps.mode(logits),
        }
        cells = torch.tensor([W - 1, H - 1]) / 2
        errors = {
            name: float(((point - torch.tensor(truth)) * cells).norm())
            for name, point in points.items()
        }
        heatmap = heatmaps.spatial_softmax(logits, self.temperature)
        return {
            "truth": truth,
            **{name: point.tolist() for name, point in points.items()},
            "error_cells": errors,
            "presence": float(heatmaps.presence(logits)),
            "spread": float(heatmaps.spread(heatmap)),
            "mass": self._mass(heatmap.numpy()),
        }

    def _read_out_again(self, _change: Any) -> None:
        # A reader's gesture brings its estimates along; a change made in Python does not.
        self.estimates = self.read_out()

    def _offsets(self, blob: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Cells from a blob's centre to each row ``(H, 1)`` and to each column ``(1, W)``."""
        H, W = self.size
        column, row = to_pixels(np.array([blob["x"], blob["y"]]), (H, W))
        return np.arange(H)[:, None] - row, np.arange(W)[None] - column

    def _mass(self, heatmap: np.ndarray) -> dict[str, Any]:
        """Shares of the probability near each blob, and the rest."""
        distance = np.stack([np.hypot(*self._offsets(blob)) for blob in self.blobs])
        owner, near = distance.argmin(0), distance.min(0) <= _NEAR * self.sigma
        shares = [float(heatmap[near & (owner == k)].sum()) for k in range(len(self.blobs))]
        return {"blobs": shares, "elsewhere": max(0.0, 1 - sum(shares))}

    def still(self) -> str:
        """Return the current view as a small HTML figure with its text, without any script."""
        H, W = self.size
        e = self.estimates
        words = (
            "A still picture of a live figure that needs JavaScript: the probability of each "
            f"cell of a {H} x {W} map at temperature {self.temperature:g}. Estimates: "
            + ", ".join(
                f"{name} x {e[name][0]:.2f}, y {e[name][1]:.2f}"
                f" ({e['error_cells'][name]:.1f} cells from blob 1)"
                for name in ("joint", "separable", "mode")
            )
            + "."
        )
        heatmap = heatmaps.spatial_softmax(self.logits(), self.temperature).numpy()
        shade = (255 - 215 * np.sqrt(heatmap / heatmap.max())).astype(np.uint8)
        shapes = {  # as in the figure, with the indices of their colours
            "mode": ("M-.9 0L0-.9.9 0 0 .9Z", 1),
            "separable": ("M-.5-.5H.5V.5H-.5Z", 2),
            "joint": ("M-.3 0A.3 .3 0 1 1 .3 0 .3 .3 0 1 1-.3 0Z", 0),
        }
        marks = ""
        for name, (path, colour) in shapes.items():
            x, y = to_pixels(np.array(e[name]), (H, W)) + 0.5
            marks += (
                f'<path d="{path}" transform="translate({x:.2f} {y:.2f})" fill="none" '
                f'stroke="{PALETTE[colour]}" stroke-width=".22"/>'
            )
        return still_picture(self.still_id, shade, marks, words)


def mulberry32(seed: int, n: int) -> np.ndarray:
    """Return ``n`` uniform numbers in [0, 1), the same as ``mulberry32`` in ``maps.mjs``."""
    state = (seed + 0x6D2B79F5 * np.arange(1, n + 1, dtype=np.uint64)) & np.uint64(0xFFFFFFFF)
    t = state.astype(np.uint32)  # products below wrap at 32 bits, as Math.imul does
    t = (t ^ (t >> np.uint32(15))) * (t | np.uint32(1))
    t ^= t + (t ^ (t >> np.uint32(7))) * (t | np.uint32(61))
    uniform: np.ndarray = (t ^ (t >> np.uint32(14))).astype(np.float64) / 2**32
    return uniform


def gaussian_noise(n: int, seed: int) -> np.ndarray:
    """Return ``n`` standard normal numbers, the same as ``gaussianNoise`` in ``maps.mjs``."""
    u = mulberry32(seed, 2 * n).reshape(n, 2)
    normal: np.ndarray = np.sqrt(-2 * np.log(1 - u[:, 0])) * np.cos(2 * math.pi * u[:, 1])
    return normal
