"""Training, replayed: one recorded run, checkpoint by checkpoint."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import traitlets

from kpbook._checks import check_choice, check_integer, check_range
from kpbook.grid import to_pixels
from kpbook.metric import THRESHOLD_OF
from kpbook.recordings.training_film import TrainingFilm as Replay
from kpbook.widgets._base import LiveFigure, front_end, still_picture

_PROMPT = (
    "Try: guess which object is found first and which last, then drag the ring above the chart to "
    "the right, or press Play. Notice: each error falls at a time of its own; in the end the marks "
    "of cube and target lie on their crosses, and the end effector's only near its own."
)
_PACKED = ("points", "frames", "heat", "drawn")
_COLOURS = {"cube": "#d55e00", "target": "#0072b2", "end effector": "#00805f"}


class TrainingReplay(LiveFigure):
    """The recipe's median run, from the untrained network to the shipped one.

    All that it shows was recorded by :mod:`kpbook.sweep.film`; nothing is computed anew.

    Attributes:
        checkpoint: Which of the recorded checkpoints; 0 is the untrained network.
        frame: Which of the recorded frames.
        object: Whose keypoint's heat map is shown: ``"cube"``, ``"target"`` or
            ``"end effector"``.
    """

    _esm = front_end("replay.mjs")

    checkpoint = traitlets.Int(0).tag(sync=True)
    frame = traitlets.Int(1).tag(sync=True)  # the network has far to go in it
    object = traitlets.Unicode("cube").tag(sync=True)
    prompt = traitlets.Unicode(_PROMPT).tag(sync=True)
    replay = traitlets.Dict().tag(sync=True)
    packed = traitlets.Bytes().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._replay = replay = Replay.sample()
        super().__init__(replay=_described(replay), packed=_packed(replay), **traits)

    @traitlets.validate("checkpoint", "frame")
    def _check_index(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        count = len(self._replay) if name == "checkpoint" else len(self._replay.frames)
        index = check_integer(value, name=name, minimum=0)
        check_range(index, 0, count - 1, name=name, hint=f"There are {count}, from 0 on.")
        return index

    @traitlets.validate("object")
    def _check_object(self, proposal: Any) -> str:
        return check_choice(proposal["value"], _names(self._replay), name="object")

    def still(self) -> str:
        """Return the current view as a small HTML figure with its text, without any script."""
        replay, c, f = self._replay, self.checkpoint, self.frame
        marks, parts = "", []
        for k, name in enumerate(_names(replay)):
            z = replay.points[c, f, replay.keypoint[c, k]].astype(np.float64)
            said = replay.linear[c, k] @ z + replay.offset[c, k]
            (u, v), (x, y) = to_pixels(np.stack([said, replay.truth[f, k]]), _size(replay)) + 0.5
            marks += (
                f'<path d="M{u:.2f} {v:.2f}L{x:.2f} {y:.2f}" stroke="{_COLOURS[name]}" '
                f'stroke-width=".4"/><circle cx="{u:.2f}" cy="{v:.2f}" r="1.6" fill="none" '
                f'stroke="{_COLOURS[name]}" stroke-width=".6"/>'
            )
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
