"""Several worlds in lockstep in one process; all their frames go through the network at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kpbook._checks import check_integer, check_seed, require
from kpbook.control.env import Episode, outcome
from kpbook.control.observe import Observer
from kpbook.control.options import Options
from kpbook.control.places import Fit

try:
    from stable_baselines3.common.vec_env import VecEnv
except ImportError:
    require("stable_baselines3", extra="control", purpose="kpbook.control.vector")
    raise


class PushVec(VecEnv):
    """stable-baselines3's vectorised environment over several PushWorlds.

    Episode ``i`` of world ``w`` is drawn from ``(seed, w, i)`` alone. So where an environment
    stands is said by the number of its episode and the actions in it, and :meth:`restore` plays
    them again: to the bit, which no copy of the simulator's state gives.

    Args:
        make: Returns a :class:`kpbook.world.PushWorld`.
        count: How many.
        options: What is seen and rewarded.
        seed: Of the episodes.
        extractor: For ``state="keypoints"``.
        fit: For keypoints of objects.

    Attributes:
        observer: Turns worlds into observations; its clock says what they cost.
        simulated: Simulator steps so far.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        count: int,
        options: Options,
        seed: int = 0,
        extractor: Any = None,
        fit: Fit | None = None,
    ) -> None:
        count = check_integer(count, name="count", minimum=1)
        self._seed = check_seed(seed)
        self.worlds = [make() for _ in range(count)]
        self.observer = Observer(options, self.worlds[0], count, extractor, fit)
        clock = self.observer.clock
        self._episodes = [Episode(world, options, clock) for world in self.worlds]
        self._numbers = [-1] * count
        self._actions: list[list[np.ndarray]] = [[] for _ in self.worlds]
        self._next: np.ndarray = np.zeros((count, 3), np.float32)
        self.simulated = 0
        super().__init__(count, self.observer.observation_space, self.worlds[0].action_space)

    def reset(self) -> dict[str, np.ndarray]:
        """Begin the next episode in every world."""
        everyone = range(self.num_envs)
        for w in everyone:
            self._begin(w, self._numbers[w] + 1)
        return self._observe(everyone, first=True)

    def restart(self) -> dict[str, np.ndarray]:
        """Begin the first episode in every world."""
        self._numbers = [-1] * self.num_envs
        return self.reset()

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions ``(n, 3)`` of the next step."""
        self._next = np.array(actions, dtype=np.float32)

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step all worlds; where an episode ends, the next one begins."""
        everyone = range(self.num_envs)
        for w, episode in enumerate(self._episodes):
            before = episode.steps
            episode.act(self._next[w])
            self._actions[w].append(self._next[w])
            self.simulated += episode.steps - before
        seen = self._observe(everyone, first=False)
        rewards = self.observer.compute_reward(seen["achieved_goal"], seen["desired_goal"], {})
        met = (rewards == 0) & self.observer.options.ends
        over = np.array([episode.over for episode in self._episodes])
        infos: list[dict[str, Any]] = []
        for w in everyone:
            own = {key: value[w] for key, value in seen.items()}
            info: dict[str, Any] = dict(outcome(self.observer, own))
            info["TimeLimit.truncated"] = bool(over[w] and not met[w])
            if over[w] or met[w]:
                info["terminal_observation"] = {key: value.copy() for key, value in own.items()}
            infos.append(info)
        ended = np.flatnonzero(met | over).tolist()
        for w in ended:
            self._begin(w, self._numbers[w] + 1)
        if ended:
            for key, value in self._observe(ended, first=True).items():
                seen[key][ended] = value
        return seen, rewards, met | over, infos

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> np.ndarray:
        """See :meth:`kpbook.control.observe.Observer.compute_reward`."""
        return self.observer.compute_reward(achieved_goal, desired_goal, info)

    def close(self) -> None:
        """Close all worlds."""
        for world in self.worlds:
            world.close()

    # -- where it stands ---------------------------------------------------------------------

    def place(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what :meth:`restore` takes: plain notes, and arrays by name."""
        notes = {"numbers": list(self._numbers), "simulated": self.simulated}
        arrays: dict[str, np.ndarray] = {"memory": self.observer.memory.copy()}
        for w, actions in enumerate(self._actions):
            arrays[f"actions{w}"] = np.array(actions, np.float32).reshape(-1, 3)
        return notes, arrays

    def restore(self, notes: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Go to where :meth:`place` was called: play the actions of each episode again."""
        for w, number in enumerate(notes["numbers"]):
            self._begin(w, number)
            for action in arrays[f"actions{w}"]:
                self._episodes[w].act(action)
                self._actions[w].append(action)
        self.simulated = notes["simulated"]
        self.observer.memory[:] = arrays["memory"]

    def _begin(self, w: int, number: int) -> None:
        self._numbers[w], self._actions[w] = number, []
        seed = np.random.default_rng([self._seed, w, number]).integers(2**31)
        self._episodes[w].begin(int(seed))

    def _observe(self, some: Sequence[int], first: bool) -> dict[str, np.ndarray]:
        worlds = [self.worlds[w] for w in some]
        states = [self._episodes[w].state for w in some]
        return self.observer.observe(worlds, states, some, [first] * len(some))

    # -- what stable-baselines3 asks for -------------------------------------------------------

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Frames of all worlds."""
        return [world.frame() for world in self.worlds]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Attributes of the worlds."""
        return [getattr(self.worlds[w], attr_name) for w in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of worlds."""
        for w in self._get_indices(indices):
            setattr(self.worlds[w], attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call our own method, of which HER asks for ``compute_reward``, once for each world."""
        method = getattr(self, method_name)
        return [method(*method_args, **method_kwargs) for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """No world is wrapped."""
        return [False for _ in self._get_indices(indices)]
