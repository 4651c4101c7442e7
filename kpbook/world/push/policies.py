"""Policies that record episodes: callables ``observation -> action``, made anew per episode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Policy = Callable[[dict[str, np.ndarray]], np.ndarray]
_REACH = 0.05  # metres of hand displacement for an action of 1, panda-gym
_BEHIND = 0.07  # metres from the cube's middle to the hand before a push
_ABOVE, _LOW = 0.09, 0.015  # metres: height of the hand over the cube, and while it pushes
_BRAKE = 0.004  # metres per step squared / metre: how fast a cube may go to slide to a stop


def random_walk(world: Any, rng: np.random.Generator) -> Policy:
    """The policy of Cramer et al.: the action itself walks. Moves the hand much, the cube rarely.

    The first action is uniform in [-1, 1]; each later one adds N(0, 1) per axis and is clipped.
    Source: recording script of Cramer et al. (2024).
    """
    size = world.action_space.shape
    action: np.ndarray | None = None

    def act(observation: dict[str, np.ndarray]) -> np.ndarray:
        nonlocal action
        if action is None:
            action = rng.uniform(-1, 1, size)
        else:
            action = np.clip(action + rng.normal(0, 1, size), -1, 1)
        return action.astype(np.float32)

    return act


def push(world: Any, rng: np.random.Generator) -> Policy:
    """Push the cube towards the target: go behind it, lower the hand, drive through it, brake.

    Every episode draws its own aim (up to 10 degrees off) and speed, and every action some
    noise, so that the cube takes many ways and does not always end on the target.
    """
    aim = rng.uniform(-1, 1) * np.deg2rad(10)
    haste = rng.uniform(0.8, 1.2)
    turn = np.array([[np.cos(aim), np.sin(aim)], [-np.sin(aim), np.cos(aim)]])

    def act(observation: dict[str, np.ndarray]) -> np.ndarray:
        hand, cube = observation["observation"][:3].astype(np.float64), observation["achieved_goal"]
        way = observation["desired_goal"][:2] - cube[:2].astype(np.float64)
        left = max(float(np.linalg.norm(way)), 1e-6)
        ahead = way / left @ turn
        behind = cube[:2] - _BEHIND * ahead
        lag = cube[:2] - hand[:2]
        along = float(lag @ ahead)  # metres that the hand is behind the cube
        across = lag - along * ahead
        ready = 0.02 < along < 0.12 and float(np.linalg.norm(across)) < 0.02
        if ready and hand[2] < 0.05:
            speed = min(_REACH, haste * np.sqrt(_BRAKE * left))
            move = np.array([*(speed * ahead + 0.8 * across), _LOW - hand[2]])
        elif ready:
            move = np.array([*(behind - hand[:2]), _LOW - hand[2]])
        else:
            move = np.array([*(behind - hand[:2]), _ABOVE - hand[2]])
        return np.clip(move / _REACH + rng.normal(0, 0.1, 3), -1, 1).astype(np.float32)

    return act


POLICIES: dict[str, Callable[[Any, np.random.Generator], Policy]] = {
    "random_walk": random_walk,
    "push": push,
}
