"""What would the agent do? A scene to rearrange, and a trained agent's next action in it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import traitlets

from kpbook._checks import complain
from kpbook.control import agents as files
from kpbook.control import places, weights
from kpbook.control.weights import Layers, Networks
from kpbook.grid import to_pixels
from kpbook.images import to_float
from kpbook.recordings.push_moment import CUBE_M
from kpbook.recordings.push_poses import Poses
from kpbook.widgets._base import PALETTE, ring, still_picture
from kpbook.widgets._join import front_end
from kpbook.widgets._networks import LABELS, MENU, extractors_for
from kpbook.widgets.find_cube import CubeScene, _look

TRUE = "true"  # what the agent that needs no network is called
TRUE_LABEL = "True places"
STEP_M = 0.05  # what an action of 1 moves the hand in one simulator step: panda-gym's
ARROW = "#ffb000"
_PROMPT = (
    "Try: let the arm take pose 11, drag the cube behind the hand, and choose what the agent sees "
    "with. Notice: with a network that tracks, the arrow turns as the cube moves, as long as the "
    "cube is seen; with one that does not, it hardly turns."
)


class WhatWouldItDo(CubeScene):
    """A scene with cube, target and arm, and what trained agents would do in it.

    An arrow shows the action of an episode's first step, and a map what the agent's critics
    expect of other places of the hand. The arm rests in a recorded pose: its velocity is 0.

    Args:
        *agents: Pairs ``(network, agent)``. A network is the name of a shipped one, an extractor
            for 64-pixel frames of the paper's camera, or ``None`` for an agent that reads true
            places; an agent is a :class:`kpbook.control.agents.Agent` or the path of its file.
            Without any, those that ship.
        **traits: As below.

    Attributes:
        cube: And all others of :class:`~kpbook.widgets.find_cube.CubeScene`.
        engine: As of :class:`~kpbook.widgets._networks.NetworkFigure`.
        address: The same.

    Raises:
        TypeError: If ``agents`` are no pairs, or an agent is of another kind.
        ValueError: If an agent does not go with its network, reads other things than places of
            objects on the table, or none is given and none ships.
    """

    _esm = front_end("what_would_it_do.mjs")

    prompt = traitlets.Unicode(_PROMPT).tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)  # of all agents, one after the other

    def __init__(self, *agents: Any, **traits: Any) -> None:
        pairs = _pairs(agents or _shipped())
        self._extractors = _named([network for network, _ in pairs])
        self._agents = {
            name: weights.of(agent)
            for name, (_, agent) in zip(self._extractors, pairs, strict=True)
        }
        for name, agent in self._agents.items():
            _check(name, self._extractors[name], agent)
        super().__init__(**traits)
        self.scene = self.scene | {"hands": self._poses.hand_m.tolist(), "step": STEP_M}
        self.weights = _packed([self._agents[name] for name in self._names])
        if self._extractors[self.network] is not None:
            found = _look(self._extractors[self.network], to_float(self._poses.example[None]))
            keypoint = self._about()["agent"]["keypoint"][0]
            self._keep_drawn(keypoint, {"heatmaps": found["heatmaps"]})

    def _describe(self, name: str, poses: Poses) -> dict[str, Any]:
        extractor, agent = self._extractors[name], self._agents[name]
        options = agent.configuration.options
        read: dict[str, Any] = {"first": [], "seen": None}
        if extractor is not None:
            images = to_float(poses.example[None])
            first = _look(extractor, images)["keypoints"]
            found, _ = places.find(extractor, poses.example[None])
            read["first"] = first.astype(float).round(6).tolist()
            read["seen"] = found[0, _fit(agent).keypoint].round(6).tolist()
        return {
            "name": name,
            "label": TRUE_LABEL if extractor is None else LABELS.get(name, name),
            "file": None if extractor is None else f"{name}.onnx",
            **read,
            "agent": {
                "hand": options.hand,
                "relative": options.relative,
                "velocity": options.velocity,
                "repeat": options.repeat,
                "scale": agent.scale.astype(float).round(6).tolist(),
                "keypoint": [] if extractor is None else _fit(agent).keypoint.tolist(),
                "weights": [] if extractor is None else _fit(agent).weights.tolist(),
                "farthest": places.FARTHEST_M,
                "networks": [_sizes(layers) for layers in (agent.actor, *agent.critics)],
            },
        }

    def look(self, network: Any, **inputs: torch.Tensor) -> dict[str, np.ndarray]:
        """Return keypoints and heat maps of ``images``, one of them."""
        found = super().look(network, **inputs)
        return {name: found[name] for name in ("keypoints", "heatmaps")}

    def first_action(self) -> dict[str, np.ndarray]:
        """Return what the chosen agent makes of the first view.

        Returns:
            ``places`` of cube, target and hand as seen, ``(3, 2)`` metres, the ``hand`` as the
            agent knows it, ``(2,)``, the ``action``, ``(3,)``, the hand's movement ``moved``,
            ``(3,)`` metres, and the ``value``, ``()``.
        """
        agent, about, poses = self._agents[self.network], self._about(), self._poses
        hand = poses.hand_m[:1]
        x, y, _, *target = poses.places
        points = np.array([[[x, y], target, hand[0, :2]]])
        if about["seen"] is not None:
            points = _fit(agent).place_of(np.array([about["seen"]]))
        options = agent.configuration.options
        read = weights.first_reading(options, points, hand)
        action = agent.act(read)
        return {
            "places": points[0],
            "hand": hand[0, :2] if options.hand else points[0, 2],
            "action": action[0],
            "moved": STEP_M * options.repeat * action[0],
            "value": agent.value(read, action)[0],
        }

    def still(self) -> str:
        """Return the chosen agent's first view as a small HTML figure, without any script."""
        found, poses = self.first_action(), self._poses
        seen, hand, moved = found["places"], poses.hand_m[0], found["moved"]
        side = self._sharp.example.shape[:2]
        known, tip = [*found["hand"], hand[2]], [*(hand[:2] + moved[:2]), hand[2]]
        shown = [[*seen[0], CUBE_M / 2], [*seen[1], 0.0], known, hand, tip]
        points, _ = self._sharp.camera.project(np.array(shown))
        at = to_pixels(points, side) + 0.5
        marks = "".join(ring(u, v, 7, PALETTE[k], 2) for k, (u, v) in enumerate(at[:3]))
        marks += _arrow(at[3], at[4])
        x, y, _, *target = poses.places
        off = np.linalg.norm(seen[:2] - [[x, y], target], axis=1)
        parts = [
            f"the {name} at {_cm(a)} and {_cm(b)} cm from the table's middle, {_cm(d)} cm off"
            for name, (a, b), d in zip(("cube", "target"), seen, off, strict=False)
        ]
        words = (
            "A still picture of a live figure that needs JavaScript: a scene with a cube, a target "
            f"and a robot's arm. With {self._about()['label']}, an agent sees {' and '.join(parts)}"
            f". It would move the hand {_cm(np.linalg.norm(moved))} cm: "
            f"{_cm(np.linalg.norm(moved[:2]))} cm along the table, as the arrow shows, and "
            f"{_cm(abs(moved[2]))} cm {'up' if moved[2] > 0 else 'down'}."
        )
        return still_picture(self.still_id, self._sharp.example, marks, words, width_em=24)


def _pairs(agents: Sequence[Any]) -> list[tuple[Any, Any]]:
    hint = "WhatWouldItDo(('rarity', 'one.agent.safetensors'), (None, agent))."
    if not agents:
        got = "none, and none ships"
        raise ValueError(complain("agents", got, "pairs of a network and an agent", hint))
    for one in agents:
        if not isinstance(one, tuple | list) or len(one) != 2:
            raise TypeError(complain("agents", repr(one), "a pair of a network and an agent", hint))
    return [(network, agent) for network, agent in agents]


def _shipped() -> list[tuple[str | None, Any]]:
    """Those that ship, in the order of the other figures' menu, the true places last."""
    found = files.shipped()
    order = [*(name for name in MENU if name in found), *found]
    names = [name for name in dict.fromkeys(order) if name != TRUE]
    names += [TRUE] if TRUE in found else []
    return [(None if name == TRUE else name, found[name]) for name in names]


def _named(networks: Sequence[Any]) -> dict[str, Any]:
    """Name -> extractor, or ``None`` for true places; of several with one name some are numbered.

    Raises:
        ValueError: If a network takes images of another size, or a name is unknown.
    """
    seeing = [network for network in networks if network is not None]
    found = extractors_for(seeing, Poses.sample().camera.image_size) if seeing else {}
    rest, blind = iter(found.items()), 0
    named: dict[str, Any] = {}
    for network in networks:
        if network is None:
            blind += 1
            named[TRUE if blind == 1 else f"{TRUE} ({blind})"] = None
        else:
            name, extractor = next(rest)
            named[name] = extractor
    return named


def _check(name: str, extractor: Any, agent: Networks) -> None:
    """Raise ``ValueError`` unless an agent reads what its network, or none, gives."""
    options = agent.configuration.options
    wanted = "true" if extractor is None else "keypoints"
    if (options.state, options.points) != (wanted, "objects"):
        got = f"state={options.state!r} and points={options.points!r} for {name}"
        expected = f"state={wanted!r} and points='objects'"
        raise ValueError(complain("agents", got, expected, "None goes with true places."))
    if extractor is None:
        return
    with torch.no_grad():
        count = extractor(to_float(Poses.sample().example[None])).shape[1]
    if agent.fit is None or agent.fit.keypoint.max() >= count:
        got = "no fit" if agent.fit is None else f"a fit to keypoint {agent.fit.keypoint.max()}"
        hint = "Usual cause: the agent was trained with another network."
        raise ValueError(complain("agents", f"{got} for {name}", f"one to {count} points", hint))


def _fit(agent: Networks) -> places.Fit:
    if agent.fit is None:  # _check has looked
        raise ValueError(complain("agent", "no fit", "one"))
    return agent.fit


def _sizes(layers: Layers) -> list[int]:
    """Numbers that go in, between and out."""
    return [layers[0][0].shape[0], *(len(bias) for _, bias in layers)]


def _packed(agents: Sequence[Networks]) -> bytes:
    """Weights and biases of all agents, actor first, float16, compressed.

    All low bytes come first, then all high ones, which alone are worth compressing.
    """
    parts = [
        part.ravel()
        for agent in agents
        for layers in (agent.actor, *agent.critics)
        for layer in layers
        for part in layer
    ]
    halves = np.concatenate(parts).astype("<f2").view(np.uint8).reshape(-1, 2)
    return zlib.compress(halves.T.tobytes(), 9)


def _arrow(start: np.ndarray, end: np.ndarray) -> str:
    """An arrow as SVG, in pixels."""
    way = end - start
    along = way / max(float(np.linalg.norm(way)), 1e-9)
    across = along[::-1] * [-1, 1]
    corners = [end, end - 7 * along + 4 * across, end - 7 * along - 4 * across]
    head = " ".join(f"{u:.1f},{v:.1f}" for u, v in corners)
    line = f'x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
    return f'<g fill="{ARROW}" stroke="{ARROW}"><line {line} stroke-width="3"/>' + (
        f'<polygon points="{head}"/></g>'
    )


def _cm(metres: Any) -> str:
    text = f"{100 * float(metres):.1f}"
    return ("0.0" if text == "-0.0" else text).replace("-", "\u2212")
