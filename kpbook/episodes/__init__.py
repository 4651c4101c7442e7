"""Recorded episodes: frames with the true points, split by episode, drawn in batches.

:func:`record` drives any :class:`World`; :class:`Episodes` holds what came out and needs no
simulator. ``Episodes.sample()`` is a recording that ships with the package, and
``Episodes.from_frames`` takes a reader's own pictures.

Axes are E episodes, T frames, V views, K objects, A numbers of an action. A recorded frame is the
one *after* a step. Deviation from Cramer et al. (2024), who drop the rest: an episode goes on when
the goal is met, so that arrays are rectangular; ``terminated`` marks the frames at the goal.
"""

from kpbook.episodes.data import Episodes, Flat
from kpbook.episodes.diverse import Diverse, diverse_pairs
from kpbook.episodes.recording import record
from kpbook.episodes.samplers import Places
from kpbook.episodes.world import Policy, PolicyMaker, World

__all__ = [
    "Diverse",
    "Episodes",
    "Flat",
    "Places",
    "Policy",
    "PolicyMaker",
    "World",
    "diverse_pairs",
    "record",
]
