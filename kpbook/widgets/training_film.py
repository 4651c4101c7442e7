"""Training, replayed: one recorded run, checkpoint by checkpoint."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import traitlets

from kpbook.grid import to_pixels
from kpbook.metric import THRESHOLD_OF
from kpbook.recordings.training_film import TrainingFilm as Replay
from kpbook.widgets._base import PALETTE, LiveFigure, ring, still_picture
from kpbook.widgets._join import front_end
from kpbook.widgets._traits import Choice, Whole

_PROMPT = (
    "Try: guess which object is found first and which last, then drag the ring above the chart to "
    "the right, or press Play. Notice: each error falls at a time of its own; in the end the marks "
    "of cube and target lie on their crosses, and the end effector's only near its own."
)
_PACKED = ("points", "frames", "heat", "drawn")
_FROM_0 = "There are {count}, from 0 on."


class TrainingFilm(LiveFigure):
    """The recipe's median run, from the untrained network to the shipped one.

    All that it shows was recorded by :mod:`kpbook.sweep.film`; nothing is computed anew.

    Attributes:
        checkpoint: Which of the recorded checkpoints; 0 is the untrained network.
        frame: Which of the recorded frames.
        object: Whose keypoint's heat map is shown: ``"cube"``, ``"target"`` or
            ``"end effector"``.
    """

    _esm = front_end("training_film.mjs")

    checkpoint = Whole(0, lambda film: len(film._replay) - 1, hint=_FROM_0)
    frame = Whole(0, lambda film: len(film._replay.frames) - 1, 1, hint=_FROM_0)  # 1: far to go
    object = Choice(lambda film: _names(film._replay), "cube")
    prompt = traitlets.Unicode(_PROMPT).tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    packed = traitlets.Bytes().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._replay = replay = Replay.sample()
        super().__init__(about=_described(replay), packed=_packed(replay), **traits)

    def still(self) -> str:
        """Return the current view as a small HTML figure with its text, without any script."""
        replay, c, f = self._replay, self.checkpoint, self.frame
        marks, parts = "", []
        for k, name in enumerate(_names(replay)):
            z = replay.points[c, f, replay.keypoint[c, k]].astype(np.float64)
            said = replay.linear[c, k] @ z + replay.offset[c, k]
            (u, v), (x, y) = to_pixels(np.stack([said, replay.truth[f, k]]), _size(replay)) + 0.5
            colour = PALETTE[k % len(PALETTE)]
            line = f'd="M{u:.2f} {v:.2f}L{x:.2f} {y:.2f}" stroke="{colour}" stroke-width=".4"'
            marks += f"<path {line}/>" + ring(u, v, 1.6, colour, 0.6)
            tracked = "tracked" if replay.error[c, k] <= THRESHOLD_OF[_key(name)] else "not tracked"
            parts.append(f"{name} {replay.error[c, k]:.2g} ({tracked})")
        words = (
            "A still picture of a live figure that needs JavaScript: a training run after "
            f"{replay.steps[c]} of {replay.steps[-1]} steps. Lines lead from where each object's "
            f"keypoint says that it is, a ring, to where it is. Errors: {', '.join(parts)}."
        )
        return still_picture(self.still_id, replay.frames[f], marks, words, width_em=24)


def _names(replay: Replay) -> list[str]:
    """Objects as they are written in a figure."""
    return [name.replace("_", " ") for name in replay.objects]


def _key(name: str) -> str:
    return name.replace(" ", "_")


def _size(replay: Replay) -> tuple[int, int]:
    H, W = replay.frames.shape[1:3]
    return int(H), int(W)


def _described(replay: Replay) -> dict[str, Any]:
    """All numbers but those that are packed, as JSON takes them."""
    (H, W), (h, w) = _size(replay), replay.heat.shape[-2:]
    return {
        "run": replay.run,
        "objects": _names(replay),
        "threshold": [THRESHOLD_OF[name] for name in replay.objects],
        "steps": replay.steps.tolist(),
        "images": replay.seen.tolist(),
        **{k: getattr(replay, k).tolist() for k in ("error", "keypoint", "linear", "offset")},
        "truth": replay.truth.tolist(),
        "labels": _labels(replay),
        "frames": len(replay.frames),
        "points": replay.points.shape[2],
        **{"H": H, "W": W, "h": h, "w": w, "drawn": replay.drawn.shape[2]},
    }


def _labels(replay: Replay) -> list[str]:
    """What tells the frames apart: how far the hand is from the cube, in pixels."""
    pixels = to_pixels(replay.truth, _size(replay))
    cube, hand = (pixels[:, replay.objects.index(name)] for name in ("cube", "end_effector"))
    away = np.linalg.norm(cube - hand, axis=-1)
    return [f"{f + 1}: hand {d:.0f} pixels from the cube" for f, d in enumerate(away)]


def _packed(replay: Replay) -> bytes:
    """Keypoints as float32, then bytes, in the order of ``_PACKED``, compressed."""
    parts = [replay.points.astype("<f4"), *(getattr(replay, name) for name in _PACKED[1:])]
    return zlib.compress(b"".join(part.tobytes() for part in parts), 9)
