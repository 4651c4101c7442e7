"""Keypoints for Control: the package behind the course.

Frames go in at one end, keypoints come out in one convention (:mod:`kpbook.grid`), and
everything else is a consumer of keypoints. Importing it loads no simulator, no widget and no
plotting library.
"""

import importlib
from types import ModuleType
from typing import Any

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
#: Loaded at their first use as ``kpbook.<name>``.
_MODULES = (
    "bench", "cameras", "claims", "cores", "detect", "episodes", "export", "extractors", "images",
    "judge", "ledger", "losses", "metric", "plot", "points", "recorded", "recordings", "runs",
    "sweep", "tables", "tier", "training", "widgets", "world", "zoo",
)  # fmt: skip
__all__ = [
    "entropy",
    "expectation",
    "gaussian_maps",
    "load",
    "mode",
    "presence",
    "soft_argmax",
    "spatial_softmax",
    "spread",
]


def load(name: str, device: Any = None) -> Any:
    """Return a shipped extractor, trained and in eval mode: :func:`kpbook.zoo.load`."""
    return importlib.import_module("kpbook.zoo").load(name, device)


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return importlib.import_module(f"kpbook.{name}")
    raise AttributeError(f"module 'kpbook' has no attribute {name!r}")
