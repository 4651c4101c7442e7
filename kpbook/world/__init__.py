"""Where frames come from: simulated worlds with known truth, and policies that act in them."""

from kpbook.world.push import CAMERAS, LOOKS, MASK_NAMES, OBJECTS, RENDERERS, PushWorld

__all__ = ["CAMERAS", "LOOKS", "MASK_NAMES", "OBJECTS", "RENDERERS", "PushWorld"]
