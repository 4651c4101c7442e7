"""An agent's networks as plain arrays: they act without stable-baselines3 and the simulator.

A live figure draws what an agent would do where neither is installed. It needs no episode for
that: only what the agent reads first, when nothing has moved yet (:func:`first_reading`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from kpbook._checks import check_shape, complain
from kpbook.control import configurations
from kpbook.control.configurations import Configuration
from kpbook.control.options import Options
from kpbook.control.places import Fit
from kpbook.training import checkpoints

#: Weight ``(in, out)`` and bias ``(out,)`` of each linear layer; ReLU lies between them.
Layers: TypeAlias = Sequence[tuple[np.ndarray, np.ndarray]]
_HEAD = ("actor.latent_pi.", "actor.mu.")
_CRITICS = ("critic.qf0.", "critic.qf1.")


@dataclass(frozen=True, eq=False)
class Networks:
    """Actor and critics of an agent, and what it was trained with.

    Attributes:
        name: Of the run.
        configuration: Settings of the run; ``configuration.options`` say what it sees.
        fit: What maps keypoints to the table, or ``None``.
        scale: Multiplies what is read, float32 ``(F,)``.
        actor: Its layers, float32; tanh of the last one's output is the action.
        critics: The layers of both critics; they read an action, too.
    """

    name: str
    configuration: Configuration
    fit: Fit | None
    scale: np.ndarray
    actor: Layers
    critics: Sequence[Layers]

    def act(self, read: np.ndarray) -> np.ndarray:
        """Return the actor's own actions ``(B, 3)`` in [-1, 1] for readings ``(B, F)``.

        Readings are those of :func:`first_reading`, not scaled yet.
        """
        check_shape(read, f"B {len(self.scale)}", name="read", hint="first_reading makes it.")
        return np.asarray(np.tanh(_through(self.actor, read * self.scale)))

    def value(self, read: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Return what the critics expect, the smaller of the two, ``(B,)``, in rewards."""
        check_shape(actions, f"{len(read)} 3", name="actions", hint="act returns some.")
        seen = np.concatenate([read * self.scale, actions], axis=1)
        both = [_through(critic, seen)[:, 0] for critic in self.critics]
        return np.asarray(np.min(both, axis=0))


def of(agent: Any) -> Networks:
    """Return the networks of a :class:`kpbook.control.agents.Agent`, or of the file of one.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If ``agent`` is neither.
        ValueError: If the file is cut off, changed, or not that of an agent.
    """
    if isinstance(agent, str | Path):
        tensors, notes = stored(agent)
        made = configurations.from_plain(notes["settings"])
        return _from_tensors(tensors, notes["run"], made, fit_of(notes))
    if not hasattr(agent, "policy"):
        expected = "an Agent of kpbook.control.agents, or the path of its file"
        raise TypeError(complain("agent", repr(agent), expected))
    return _from_tensors(agent.policy.state_dict(), agent.name, agent.configuration, agent.fit)


def first_reading(options: Options, points: np.ndarray, hand_m: np.ndarray) -> np.ndarray:
    """What a policy reads when an episode begins, and nothing has moved, ``(B, F)``.

    It is :func:`kpbook.control.observe.policy_input` of an observer's first observation, not
    scaled yet. The hand is at rest: its velocity is 0.

    Args:
        options: With points of objects, on the table.
        points: Places of cube, target and hand as seen, ``(B, 3, 2)`` metres.
        hand_m: Where the hand is measured, ``(B, 3)`` metres.

    Raises:
        ValueError: If ``options`` have other points, or a shape does not fit.
    """
    if options.points != "objects" or options.state not in ("true", "keypoints"):
        got = f"state={options.state!r} with points={options.points!r}"
        raise ValueError(complain("options", got, "points of objects on the table"))
    check_shape(points, "B 3 2", name="points", hint="Cube, target and hand.")
    check_shape(hand_m, f"{len(points)} 3", name="hand_m", hint="In metres.")
    cube, target, seen = points[:, 0], points[:, 1], points[:, 2]
    still = np.zeros((len(points), 3))
    parts = [cube, *([hand_m, still] if options.hand else [seen])]
    if options.relative:
        parts.append(cube - (hand_m[:, :2] if options.hand else seen))
    if options.velocity:
        parts += [still, still]  # of three points, two numbers each
    parts += [target, target - cube] if options.relative else [target]
    return np.concatenate(parts, axis=1)


def stored(path: str | Path) -> checkpoints.State:
    """Return what a file of :func:`kpbook.control.agents.save` holds.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is cut off, changed, or not that of an agent.
    """
    path = Path(path)
    if not path.is_file():
        hint = "python -m kpbook.sweep writes one for each agent that it trains."
        raise FileNotFoundError(complain(str(path), "no such file", "an agent", hint))
    state = checkpoints.read(path)
    if "widths" not in state.notes:
        got = "a checkpoint of a run"
        raise ValueError(complain(str(path), got, "an agent of kpbook.control.agents.save"))
    return state


def fit_of(notes: Mapping[str, Any]) -> Fit | None:
    """Return the fit that the notes of an agent's file hold, or ``None``."""
    fit = notes["fit"]
    return None if fit is None else Fit(**{key: np.array(value) for key, value in fit.items()})


def _from_tensors(
    tensors: Mapping[str, torch.Tensor], name: str, made: Configuration, fit: Fit | None
) -> Networks:
    scale = tensors["actor.features_extractor.scale"].cpu().numpy()
    critics = [_layers(tensors, front) for front in _CRITICS]
    return Networks(name, made, fit, scale, _layers(tensors, *_HEAD), critics)


def _layers(tensors: Mapping[str, torch.Tensor], *fronts: str) -> Layers:
    """The linear layers whose names begin so, from first to last."""
    numpy = {key: tensor.detach().cpu().numpy() for key, tensor in tensors.items()}
    names = [
        key.removesuffix(".weight")
        for front in fronts
        for key in sorted(numpy)
        if key.startswith(front) and key.endswith(".weight")
    ]
    return [(numpy[f"{name}.weight"].T, numpy[f"{name}.bias"]) for name in names]


def _through(layers: Layers, x: np.ndarray) -> np.ndarray:
    for k, (weight, bias) in enumerate(layers):
        x = x @ weight + bias
        if k < len(layers) - 1:
            x = np.maximum(x, 0)
    return x
