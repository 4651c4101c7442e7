"""One PushWorld as a gymnasium environment that returns keypoint observations."""

from __future__ import annotations

from typing import Any

import numpy as np

from kpbook._checks import require
from kpbook.control.observe import Clock, Observer
from kpbook.control.options import Options
from kpbook.control.places import Fit

try:
    import gymnasium
except ImportError:
    require("gymnasium", extra="world", purpose="kpbook.control")
    raise


class Episode:
    """An episode that starts unsolved and in which an action lasts several steps.

    Args:
        world: A :class:`kpbook.world.PushWorld`.
        options: ``repeat`` and ``steps`` count here.
        clock: What physics costs is booked there.

    Attributes:
        state: What the world returned last.
        steps: Simulator steps so far.
    """

    def __init__(self, world: Any, options: Options, clock: Clock) -> None:
        self.world, self.options, self.clock = world, options, clock
        self.state: dict[str, np.ndarray] = {}
        self.steps = 0

    def begin(self, seed: int | None, options: dict[str, Any] | None = None) -> None:
        """Reset the world, again and again while the cube already lies at the goal."""
        self.clock.start()
        self.state, info = self.world.reset(seed=seed, options=options)
        while info["is_success"] and not options:
            self.state, info = self.world.reset()
        self.steps = 0
        self.clock.stop("physics")

    def act(self, action: np.ndarray) -> None:
        """Repeat an action; where ``options.ends``, no longer than until the goal is met."""
        self.clock.start()
        for _ in range(self.options.repeat):
            self.state, _, met, _, _ = self.world.step(action)
            self.steps += 1
            if met and self.options.ends:
                break
        self.clock.stop("physics")

    @property
    def over(self) -> bool:
        """Whether its time is up."""
        left = self.options.steps - self.steps
        return left < self.options.repeat


class PushEnv(gymnasium.Env[Any, np.ndarray]):
    """A world whose observations are keypoints, as :class:`~kpbook.control.options.Options` say.

    Args:
        world: A :class:`kpbook.world.PushWorld`; ``close`` closes it.
        options: What is seen and rewarded.
        extractor: For ``state="keypoints"``.
        fit: For keypoints of objects.

    ``info`` holds ``is_success``, by the simulator, and where keypoints are mapped to the table
    ``keypoints_success``. Where ``options.ends``, an episode terminates when the goal is met by the
    source of the reward.

    Raises:
        TypeError: If extractor or fit are missing, or the world has no goals.
        ValueError: If the extractor does not fit the world.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012  # gymnasium's

    def __init__(
        self, world: Any, options: Options, extractor: Any = None, fit: Fit | None = None
    ) -> None:
        self.world, self.render_mode = world, "rgb_array"
        self._observer = Observer(options, world, 1, extractor, fit)
        self._episode = Episode(world, options, self._observer.clock)
        self.observation_space = self._observer.observation_space
        self.action_space = world.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin an episode that is not solved yet; ``options`` place cube and target.

        Where ``options`` say that they lie together, so it is.
        """
        super().reset(seed=seed)
        self._episode.begin(seed, options)
        observation = self._observe(first=True)
        return observation, outcome(self._observer, observation)

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Repeat an action ``(3,)`` in [-1, 1], and look."""
        self._episode.act(action)
        observation = self._observe(first=False)
        goals = observation["achieved_goal"], observation["desired_goal"]
        reward = float(self.compute_reward(*goals, {}))
        info = outcome(self._observer, observation)
        terminated = self._episode.options.ends and reward == 0
        return observation, reward, terminated, self._episode.over, info

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> np.ndarray:
        """See :meth:`kpbook.control.observe.Observer.compute_reward`."""
        return self._observer.compute_reward(achieved_goal, desired_goal, info)

    def render(self) -> np.ndarray:
        """Return the frame, uint8 ``(H, W, 3)``."""
        return np.asarray(self.world.frame())

    def close(self) -> None:
        """Close the world."""
        self.world.close()

    def _observe(self, first: bool) -> dict[str, np.ndarray]:
        batch = self._observer.observe([self.world], [self._episode.state], [0], [first])
        return {key: value[0] for key, value in batch.items()}


def outcome(observer: Observer, observation: dict[str, np.ndarray]) -> dict[str, bool]:
    """What an environment says beside an observation: success by the simulator and by keypoints."""
    goals = observation["achieved_goal"], observation["desired_goal"]
    info = {"is_success": bool(observer.met(*goals, "simulator"))}
    if observer.options.mapped:
        info["keypoints_success"] = bool(observer.met(*goals, "keypoints"))
    return info
