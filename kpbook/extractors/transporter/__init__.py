"""Keypoints from pairs of frames: the Transporter, its control and its baseline; chapter 5.

``transport`` holds the paper's equation (1), ``layers`` its stacks, ``model`` the networks,
``stages`` all that they compute on the way, and ``names`` turns a name into a network.
"""

from kpbook.extractors.transporter.model import ConditionalGenerator, FramePairs, Transporter
from kpbook.extractors.transporter.names import build
from kpbook.extractors.transporter.stages import Stages
from kpbook.extractors.transporter.transport import transport

__all__ = ["ConditionalGenerator", "FramePairs", "Stages", "Transporter", "build", "transport"]
