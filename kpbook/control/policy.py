"""What a policy of stable-baselines3 reads of an observation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kpbook._checks import require
from kpbook.control.observe import policy_input

try:
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
except ImportError:
    require("stable_baselines3", extra="control", purpose="kpbook.control.policy")
    raise


class Reading(BaseFeaturesExtractor):
    """Joins what :func:`~kpbook.control.observe.policy_input` lets a policy read.

    Args:
        observation_space: Of the environment.
        relative: Add the goal's place relative to the cube's.
        scale: Multiplies each number, :attr:`kpbook.control.observe.Observer.scale`.
    """

    scale: Tensor

    def __init__(self, observation_space: Any, relative: bool, scale: Any) -> None:
        self.relative = relative
        sample = {
            key: torch.zeros(1, *space.shape) for key, space in observation_space.spaces.items()
        }
        width = sum(part.shape[-1] for part in policy_input(sample, relative))
        super().__init__(observation_space, features_dim=width)
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32))

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Observations ``(B, ...)`` to ``(B, features_dim)``."""
        read: Tensor = torch.cat(policy_input(observations, self.relative), dim=-1)
        return read * self.scale
