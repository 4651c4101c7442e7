"""Spatial autoencoders; built step by step in chapter 3.

``layers`` holds the papers' stacks, ``model`` the network and the papers' switches, ``recipe``
what we added, and ``names`` turns a name into a network.
"""

from kpbook.extractors.autoencoder.layers import PAPER_SIGMA
from kpbook.extractors.autoencoder.model import SpatialAutoencoder
from kpbook.extractors.autoencoder.names import ARCHITECTURES, SWITCHES, build
from kpbook.extractors.autoencoder.recipe import Recipe

__all__ = ["ARCHITECTURES", "PAPER_SIGMA", "SWITCHES", "Recipe", "SpatialAutoencoder", "build"]
