"""Keypoints for Control: the package behind the course.

Frames go in at one end, keypoints come out in one convention (:mod:`kpbook.grid`), and
everything else is a consumer of keypoints. Importing it loads no simulator, no widget and no
plotting library.
"""

from kpbook.heatmaps import (
    entropy,
    expectation,
    gaussian_maps,
    mode,
    presence,
    soft_argmax,
    spatial_softmax,
    spread,
)

__version__ = "0.1.0"
__all__ = [
    "entropy",
    "expectation",
    "gaussian_maps",
    "mode",
    "presence",
    "soft_argmax",
    "spatial_softmax",
    "spread",
]
