"""Agents in files: networks, settings and what maps keypoints to the table, as safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kpbook._checks import check_array, complain, require
from kpbook.control import configurations, weights
from kpbook.control.configurations import Configuration
from kpbook.control.places import Fit
from kpbook.training import checkpoints

_ACTION = 3
_DATA = Path(__file__).parents[1] / "data" / "agents"
_ENDING = ".agent.safetensors"


@dataclass(frozen=True)
class Agent:
    """A trained agent.

    Attributes:
        policy: stable-baselines3's SAC policy, in eval mode: ``policy.actor``, ``policy.critic``.
        configuration: What it was trained with; ``configuration.options`` say what it sees.
        fit: What maps keypoints to the table, or ``None``.
        name: Of the run.
    """

    policy: Any
    configuration: Configuration
    fit: Fit | None
    name: str

    def predict(
        self, observation: Mapping[str, np.ndarray], deterministic: bool = True
    ) -> tuple[np.ndarray, None]:
        """Return actions in [-1, 1] for observations ``(B, ...)``, ``(B, 3)``, and ``None``.

        The second is where stable-baselines3 returns the state of a recurrent policy: an agent
        and a model can stand for one another (:func:`kpbook.control.sac.success`).
        """
        actions, _ = self.policy.predict(dict(observation), deterministic=deterministic)
        return np.asarray(actions), None

    @torch.no_grad()
    def value(self, observation: Mapping[str, np.ndarray], actions: np.ndarray) -> np.ndarray:
        """Return what the critics expect, the smaller of the two, ``(B,)``, in rewards.

        Args:
            observation: ``(B, ...)`` each.
            actions: ``(B, 3)``.

        Raises:
            TypeError: If ``actions`` is no array.
            ValueError: If it has another shape.
        """
        check_array(actions, name="actions", hint="predict returns some.")
        batch = len(observation["observation"])
        if actions.shape != (batch, _ACTION):
            got = f"shape {tuple(actions.shape)}"
            raise ValueError(complain("actions", got, f"({batch}, {_ACTION}), one a row"))
        seen, _ = self.policy.obs_to_tensor(dict(observation))
        both = self.policy.critic(seen, torch.as_tensor(actions, dtype=torch.float32))
        return np.asarray(torch.cat(both, dim=1).min(dim=1).values.numpy())


def save(
    path: str | Path, model: Any, configuration: Configuration, fit: Fit | None, name: str
) -> None:
    """Write an agent's networks with all that is needed to act with them again.

    Args:
        path: ``something.agent.safetensors``; an older file is replaced in one step.
        model: stable-baselines3's SAC.
        configuration: What it was trained with.
        fit: What maps keypoints to the table, or ``None``.
        name: Of the run.
    """
    tensors = {
        key: value.detach().cpu().contiguous() for key, value in model.policy.state_dict().items()
    }
    notes = {
        "run": name,
        "settings": configuration.plain(),
        "widths": {key: box.shape[0] for key, box in model.observation_space.spaces.items()},
        "fit": None if fit is None else {key: value.tolist() for key, value in vars(fit).items()},
    }
    checkpoints.write(Path(path), checkpoints.State(tensors, notes))


def load(path: str | Path) -> Agent:
    """Return the agent that :func:`save` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If stable-baselines3 is missing.
        ValueError: If the file is cut off, changed, or not written by :func:`save`.
    """
    require("stable_baselines3", extra="control", purpose="kpbook.control.agents")
    from gymnasium import spaces
    from stable_baselines3.sac.policies import MultiInputPolicy

    from kpbook.control.policy import Reading

    tensors, notes = weights.stored(path)
    made = configurations.from_plain(notes["settings"])
    box: dict[str, spaces.Space[Any]] = {
        key: spaces.Box(-np.inf, np.inf, (width,), np.float32)
        for key, width in notes["widths"].items()
    }
    scale = tensors["actor.features_extractor.scale"]
    policy = MultiInputPolicy(
        spaces.Dict(box),
        spaces.Box(-1, 1, (_ACTION,), np.float32),
        lambda _: made.learning_rate,
        net_arch=[made.width, made.width],
        features_extractor_class=Reading,
        features_extractor_kwargs={"relative": made.options.relative, "scale": scale},
    )
    policy.load_state_dict(tensors)
    policy.set_training_mode(False)
    return Agent(policy, made, weights.fit_of(notes), notes["run"])


def shipped() -> dict[str, Path]:
    """Return the files of the agents that ship with the package, by name; beside each its record.

    ``"true"`` saw the true places; any other name is that of the network of :mod:`kpbook.zoo`
    through which an agent saw.
    """
    files = sorted(_DATA.glob(f"*{_ENDING}"))
    return {file.name.removesuffix(_ENDING): file for file in files}
