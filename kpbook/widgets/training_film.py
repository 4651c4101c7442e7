"""Training, replayed: one recorded run, checkpoint by checkpoint."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import traitlets

from kpbook.grid import to_pixels
from kpbook.metric import THRESHOLD_OF
from kpbook.recordings.training_film import TrainingFilm as Film
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

    checkpoint = Whole(0, lambda figure: len(figure._film) - 1, hint=_FROM_0)
    frame = Whole(0, lambda figure: len(figure._film.frames) - 1, 1, hint=_FROM_0)  # 1: far to go
    object = Choice(lambda figure: _names(figure._film), "cube")
    prompt = traitlets.Unicode(_PROMPT).tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    packed = traitlets.Bytes().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._film = film = Film.sample()
        super().__init__(about=_described(film), packed=_packed(film), **traits)

    def still(self) -> str:
        """Return the current view as a small HTML figure with its text, without any script."""
        film, c, f = self._film, self.checkpoint, self.frame
        marks, parts = "", []
        for k, name in enumerate(_names(film)):
            z = film.points[c, f, film.keypoint[c, k]].astype(np.float64)
            said = film.linear[c, k] @ z + film.offset[c, k]
            (u, v), (x, y) = to_pixels(np.stack([said, film.truth[f, k]]), _size(film)) + 0.5
            colour = PALETTE[k % len(PALETTE)]
            line = f'd="M{u:.2f} {v:.2f}L{x:.2f} {y:.2f}" stroke="{colour}" stroke-width=".4"'
            marks += f"<path {line}/>" + ring(u, v, 1.6, colour, 0.6)
            tracked = "tracked" if film.error[c, k] <= THRESHOLD_OF[_key(name)] else "not tracked"
            parts.append(f"{name} {film.error[c, k]:.2g} ({tracked})")
        words = (
            "A still picture of a live figure that needs JavaScript: a training run after "
            f"{film.steps[c]} of {film.steps[-1]} steps. Lines lead from where each object's "
            f"keypoint says that it is, a ring, to where it is. Errors: {', '.join(parts)}."
        )
        return still_picture(self.still_id, film.frames[f], marks, words, width_em=24)


def _names(film: Film) -> list[str]:
    """Objects as they are written in a figure."""
    return [name.replace("_", " ") for name in film.objects]


def _key(name: str) -> str:
    return name.replace(" ", "_")


def _size(film: Film) -> tuple[int, int]:
    H, W = film.frames.shape[1:3]
    return int(H), int(W)


def _described(film: Film) -> dict[str, Any]:
    """All numbers but those that are packed, as JSON takes them."""
    (H, W), (h, w) = _size(film), film.heat.shape[-2:]
    return {
        "run": film.run,
        "objects": _names(film),
        "threshold": [THRESHOLD_OF[name] for name in film.objects],
        "steps": film.steps.tolist(),
        "images": film.seen.tolist(),
        **{k: getattr(film, k).tolist() for k in ("error", "keypoint", "linear", "offset")},
        "truth": film.truth.tolist(),
        "labels": _labels(film),
        "frames": len(film.frames),
        "points": film.points.shape[2],
        **{"H": H, "W": W, "h": h, "w": w, "drawn": film.drawn.shape[2]},
    }


def _labels(film: Film) -> list[str]:
    """What tells the frames apart: how far the hand is from the cube, in pixels."""
    pixels = to_pixels(film.truth, _size(film))
    cube, hand = (pixels[:, film.objects.index(name)] for name in ("cube", "end_effector"))
    away = np.linalg.norm(cube - hand, axis=-1)
    return [f"{f + 1}: hand {d:.0f} pixels from the cube" for f, d in enumerate(away)]


def _packed(film: Film) -> bytes:
    """Keypoints as float32, then bytes, in the order of ``_PACKED``, compressed."""
    parts = [film.points.astype("<f4"), *(getattr(film, name) for name in _PACKED[1:])]
    return zlib.compress(b"".join(part.tobytes() for part in parts), 9)
