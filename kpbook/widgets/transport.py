"""Transport: two frames of Pong, and the Transporter's way from one to the other."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
import traitlets

from kpbook._checks import complain
from kpbook.episodes import Episodes
from kpbook.extractors.transporter.stages import Stages
from kpbook.grid import to_pixels
from kpbook.images import to_float
from kpbook.recordings.atari import TRAIN, sample
from kpbook.widgets._base import PALETTE, ring, still_picture
from kpbook.widgets._join import front_end
from kpbook.widgets._networks import LABELS, NetworkFigure, evaluated, extractors_for
from kpbook.widgets._pong import FIELD, Field, walk, whole
from kpbook.widgets._traits import Numbers, Whole

NETWORK = "transporter-pong"
GAPS = 20  # longest gap, in steps: that of the paper's pairs
RADIUS = 0.2  # a keypoint that is nearer is on the object: Kulkarni et al. (2019), section 4.1
_GAP = 10
_PICTURES = ("suppressed", "transported", "reconstruction")
_PROMPT = (
    "Try: drag the ball in the target, then let one keypoint alone move its features. "
    "Notice: features leave where the source's keypoints are and arrive where the target's are; "
    "what no keypoint moves is drawn where it was."
)
_PLACES = (
    "[player y, enemy y, ball x, ball y], or without the last two, in pixels of the emulator's "
    "field; [] is as recorded."
)


class _Places(Numbers):
    """Where the paddles are, and the ball if there is one; or nothing."""

    def shape(self, figure: Any) -> str:
        return "n"

    def check(self, value: Any, figure: Any) -> Any:
        places = super().check(value, figure) if np.size(value) else []
        if len(places) not in (0, 2, 4):
            got = f"{len(places)} numbers"
            raise ValueError(complain(str(self.name), got, "4, 2 or none", self.hint))
        return places


class Transport(NetworkFigure):
    """Two frames of Pong with paddles and ball to drag, and what a Transporter makes of them.

    It starts with two frames of a held-out window, drawn from where things were. In a live
    notebook the kernel's own network answers, so one that has just been trained can be tried:
    ``Transport(network)``.

    Args:
        network: A Transporter for 64-pixel frames of Pong, or the name of a shipped one.
        **traits: As below.

    Attributes:
        source: Where things are in the source, ``[player y, enemy y, ball x, ball y]``, or
            without the last two if there is no ball: pixels of the emulator's field, 160 x 160,
            from its upper left corner. ``[]`` is as recorded.
        target: The same of the target; ``[]`` is as recorded, ``gap`` steps after the source.
        gap: Steps from source to target, 1 to 20.
        keypoint: Whose features are moved; -1 for those of all.
        engine: As of :class:`~kpbook.widgets._networks.NetworkFigure`.
        address: The same.
    """

    _esm = front_end("transport.mjs")

    source = _Places(4, 0, FIELD[0] - 1, [], hint=_PLACES)
    target = _Places(4, 0, FIELD[0] - 1, [], hint=_PLACES)
    gap = Whole(1, GAPS, _GAP, hint="Steps from source to target.")
    keypoint = Whole(
        -1, lambda figure: figure._stages.network.keypoints - 1, -1, hint="-1 moves those of all."
    )
    prompt = traitlets.Unicode(_PROMPT).tag(sync=True)
    scene = traitlets.Dict().tag(sync=True)
    drawn = traitlets.Bytes().tag(sync=True)  # the first answer's pictures

    def __init__(self, network: Any = NETWORK, **traits: Any) -> None:
        recording = sample()
        self._field = Field.of(recording)
        self._recorded = walk(recording[TRAIN:], GAPS, _GAP)
        ((name, extractor),) = extractors_for([network], self._field.size).items()
        self._stages = stages_of(extractor, recording)
        self._extractors = {name: self._stages}
        super().__init__(**traits)
        found = self._look()
        points = np.stack([found["source_keypoints"], found["target_keypoints"]])
        self.networks = [
            {
                "name": name,
                "label": LABELS.get(name, name),
                "file": f"{name}-stages.onnx",
                "keypoints": points.shape[1],
                "channels": self._stages.axes.shape[1],
                "first": points.astype(float).round(6).tolist(),
                "errors": found["errors"].astype(float).tolist(),
            }
        ]
        self.scene = {
            **self._field.described(),
            "map": list(found["suppressed"].shape[1:]),
            "recorded": self._recorded,
            "radius": RADIUS,
            "first": {key: getattr(self, key) for key in ("source", "target", "gap", "keypoint")},
        }
        pixels = [np.round(255 * found[name].clip(0, 1)).astype(np.uint8) for name in _PICTURES]
        self.drawn = zlib.compress(b"".join(part.tobytes() for part in pixels), 9)

    def look(self, network: Any, **inputs: torch.Tensor) -> dict[str, np.ndarray]:
        """Return every stage for one pair: what ``network.outputs`` names."""

        def ask(*given: torch.Tensor) -> dict[str, torch.Tensor]:
            return dict(zip(network.outputs, network(*given), strict=True))

        return evaluated(network.network, ask, *(inputs[name] for name in network.inputs))

    def still(self) -> str:
        """Return the current pair as a small HTML figure with its text, without any script."""
        found, pair = self._look(), self._pair()
        gap = np.full((self._field.size[0], 2, 3), 255, np.uint8)
        source, target = (self._field.picture(places) for places in pair)
        marks, words = "", []
        for k, frame in enumerate(("source", "target")):
            away = []
            truth = self._field.points(pair[k])
            for n, z in enumerate(found[f"{frame}_keypoints"]):
                u, v = to_pixels(z, self._field.size) + 0.5
                right = k * (source.shape[1] + gap.shape[1])
                marks += ring(right + u, v, 3, PALETTE[n % len(PALETTE)], 0.8)
                far = np.linalg.norm(truth - z, axis=-1)
                away.append(f"keypoint {n} is {far.min():.2f} from the {self._name(far.argmin())}")
            words.append(f"In the {frame} {', '.join(away)}.")
        (drawing, _), (copy, _) = found["errors"]
        apart = "" if self.source or self.target else f", {self.gap} steps apart"
        said = (
            "A still picture of a live figure that needs JavaScript: two frames of Pong, source "
            f"and target{apart}, with the Transporter's keypoints as rings. "
            f"{' '.join(words)} Distances are in image coordinates. The target, drawn from "
            f"transported features, has an error of {drawing:.2g}; the source in its place would "
            f"have {copy:.2g}."
        )
        return still_picture(self.still_id, np.hstack([source, gap, target]), marks, said)

    def _name(self, k: int) -> str:
        return str(self._field.described()["things"][k]["name"])

    def _pair(self) -> tuple[list[float], list[float]]:
        """Places in both frames, as they are drawn."""
        source, target = self.source or self._recorded[0], self.target or self._recorded[self.gap]
        return whole(source), whole(target)

    def _look(self) -> dict[str, np.ndarray]:
        """What torch finds for the current pair."""
        frames = to_float(np.stack([self._field.picture(places) for places in self._pair()]))
        N = self._stages.network.keypoints
        moved = torch.tensor([[float(self.keypoint in (-1, n)) for n in range(N)]])
        return self.look(self._stages, source=frames[:1], target=frames[1:], moved=moved)


def stages_of(network: Any, recording: Episodes) -> Stages:
    """Return the figure's view of a network, its colours from the windows to learn from."""
    return Stages(network, recording[:TRAIN].flat().images)
