r"""PandaPush as an environment whose state is keypoints: frames in, observations out.

An observation is a dictionary, as hindsight experience replay (HER, Andrychowicz et al., 2017)
asks. Its two goals are vectors of the same form, ``(5,)``:

====== ============================ ==========================
        ``achieved_goal``            ``desired_goal``
====== ============================ ==========================
0 to 2 true place of the cube, m     true place of the goal, m
3, 4   place of the cube **as seen** place of the target **as seen**
====== ============================ ==========================

*As seen* is what the state tells: the cube's keypoint, mapped to the table, say. A policy reads
columns 3 and 4 alone (:func:`policy_input`); the true places are there for the reward. When HER
exchanges a goal for one that was achieved later in the episode, it exchanges both: the policy
then reads where the cube *was seen*, and the reward compares where the cube *was*, or, with a
reward from keypoints, where it was seen. So a relabelled reward comes from the same source as the
one that the environment gave, and a policy on keypoints never reads a true place.

With ``points="all"`` nobody says which keypoint is what: goals end after column 2, no policy reads
them, and there is nothing that HER could exchange. The target's keypoint is part of the state
then, as in Cramer et al. (2024).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from kpbook._checks import check_array, complain, require
from kpbook.control.options import Options
from kpbook.control.places import FARTHEST_M, Fit, check_finder, find
from kpbook.detect import check_ready
from kpbook.grid import as_size
from kpbook.images import to_float

try:
    from gymnasium import spaces
except ImportError:
    require("gymnasium", extra="world", purpose="kpbook.control")
    raise

NEAR_M = 0.05  # panda-gym's: the cube has met the goal when it is nearer than this
CARRIED_M = 0.06  # a hidden cube whose middle is nearer to the hand goes with it
_OFF_IMAGE = 2.0  # image coordinates of a true point are cut off here; a keypoint reaches 1.1
_COLUMNS = {"simulator": slice(0, 3), "true": slice(0, 2), "keypoints": slice(3, 5)}
_SHARES = ("physics", "drawing", "network")


@dataclass
class Clock:
    """CPU seconds by what they were spent on.

    Attributes:
        seconds: Name -> seconds.
    """

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_SHARES, 0.0))
    _since: float = field(default_factory=time.process_time)

    def start(self) -> None:
        """Count from now on."""
        self._since = time.process_time()

    def stop(self, name: str) -> None:
        """Book the time since :meth:`start`, or since the last ``stop``, to ``name``."""
        now = time.process_time()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


class Observer:
    """Turns a batch of worlds into observations; their frames go through the network at once.

    Args:
        options: What is seen.
        world: One of the worlds, or one with the same settings.
        slots: Number of worlds: the observer remembers a little about each.
        extractor: Of the world's image size; for ``state="keypoints"``.
        fit: From :func:`kpbook.control.places.calibrate`; where keypoints are those of objects.

    Attributes:
        observation_space: Of one observation, with bounds that it does not leave.
        scale: What a policy multiplies each number of :func:`policy_input` with.
        clock: What drawing and the network cost.

    Raises:
        TypeError: If extractor or fit are missing.
        ValueError: If the extractor does not fit the world, or the fit the extractor.
    """

    def __init__(
        self,
        options: Options,
        world: Any,
        slots: int = 1,
        extractor: Any = None,
        fit: Fit | None = None,
    ) -> None:
        self.options, self.extractor, self.fit = options, extractor, fit
        self.clock = Clock()
        self._check(world)
        tops, scales = zip(*self._parts(world), strict=True)
        high = np.concatenate(tops).astype(np.float32)
        places = world.observation_space["achieved_goal"]
        limit = np.repeat(self._limit, 2 if options.goals else 0)
        goal = spaces.Box(
            np.concatenate([places.low, -limit]).astype(np.float32),
            np.concatenate([places.high, limit]).astype(np.float32),
            dtype=np.float32,
        )
        self.observation_space = spaces.Dict(
            {
                "observation": spaces.Box(-high, high, dtype=np.float32),
                "achieved_goal": goal,
                "desired_goal": goal,
            }
        )
        self._ends = {
            "observation": (-high, high),
            "achieved_goal": (goal.low, goal.high),
            "desired_goal": (goal.low, goal.high),
        }
        of_goal = [1.0 if self._in_image else 1 / options.unit_m] * (2 * options.goals)
        self.scale = np.concatenate([*scales, of_goal, of_goal * options.relative])
        #: Points of the last observation, and after them the hand.
        self.memory = np.zeros((slots, self._count() + 1, 2))

    def observe(
        self,
        worlds: Sequence[Any],
        states: Sequence[Mapping[str, np.ndarray]],
        slots: Sequence[int],
        first: Sequence[bool],
    ) -> dict[str, np.ndarray]:
        """Observe worlds that have just been reset or stepped.

        Args:
            worlds: B of them.
            states: What their ``reset`` or ``step`` returned.
            slots: Which place in the memory each has.
            first: Whether it is the first observation of an episode.

        Returns:
            ``observation``, ``achieved_goal`` and ``desired_goal``, float32 ``(B, ...)``.
        """
        o = self.options
        rows, new = np.asarray(slots), np.asarray(first, dtype=bool)
        state = {key: np.stack([s[key] for s in states]) for key in states[0]}
        points = self._points(worlds, state, rows, new)  # (B, P, 2)
        before = np.where(new[:, None, None], points, self.memory[rows, :-1])
        hand = state["observation"][:, :6]
        at = self._of_hand(points, hand)
        self.memory[rows] = np.concatenate([points, at[:, None]], axis=1)
        if o.state == "full":
            parts = [state["observation"]]
        elif o.points == "all":
            parts = [points.reshape(len(points), -1), *([hand] if o.hand else [])]
        else:
            parts = [points[:, 0], hand if o.hand else points[:, 2]]
        if o.relative:
            parts.append(points[:, 0] - at)
        if o.velocity:
            parts.append((points - before).reshape(len(points), -1))
        made = {"observation": np.concatenate(parts, axis=1)}
        for k, key in enumerate(("achieved_goal", "desired_goal")):
            seen = points[:, k] if o.goals else np.empty((len(points), 0))
            made[key] = np.concatenate([state[key], seen], axis=1)
        return {
            key: np.clip(value, *self._ends[key]).astype(np.float32) for key, value in made.items()
        }

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> np.ndarray:
        """Return 0 where the goal is met and -1 elsewhere, float32 ``(...)``, as ``options`` say.

        Args:
            achieved_goal: ``(..., 5)``, from any environments with the same options, or ``(5,)``.
            desired_goal: As ``achieved_goal``; one of the two may be a single goal.
            info: Not looked at.

        Raises:
            TypeError: If goals are no arrays.
            ValueError: If goals have another number of columns, or two batches do not match.
        """
        met = self.met(achieved_goal, desired_goal, self.options.reward)
        return met.astype(np.float32) - np.float32(1)

    def met(self, achieved_goal: Any, desired_goal: Any, source: str) -> np.ndarray:
        """Say where the two are nearer than 5 cm, bool ``(...)``, by a source of the reward."""
        width = len(self._ends["achieved_goal"][0])
        goals = {"achieved_goal": achieved_goal, "desired_goal": desired_goal}
        for name, goal in goals.items():
            hint = "True place, then the place as seen; see kpbook.control.observe."
            check_array(goal, name=name, hint=hint)
            if goal.ndim == 0 or goal.shape[-1] != width:
                got = f"shape {tuple(goal.shape)}"
                raise ValueError(complain(name, got, f"(..., {width})", hint))
        a, b = (np.asarray(goal)[..., _COLUMNS[source]] for goal in goals.values())
        try:
            off = np.asarray(a, dtype=np.float64) - b
        except ValueError:
            got = f"{a.shape[:-1]} and {b.shape[:-1]} goals"
            expected = "as many of one as of the other, or one"
            hint = "Usual cause: two batches of different size were mixed."
            raise ValueError(complain("compute_reward", got, expected, hint)) from None
        return np.asarray(np.linalg.norm(off, axis=-1) < NEAR_M)

    # -- inside ------------------------------------------------------------------------------

    def _check(self, world: Any) -> None:
        o = self.options
        if not hasattr(world, "compute_reward"):
            got = f"{type(world).__name__}, which has no goals"
            expected = "a world with achieved_goal, desired_goal and compute_reward"
            raise TypeError(complain("world", got, expected, "kpbook.world.PushWorld has them."))
        if o.state != "keypoints":
            return
        if self.extractor is None:
            raise TypeError(complain("extractor", None, "one for state='keypoints'"))
        check_finder(self.extractor, world)
        if o.mapped and self.fit is None:
            hint = "kpbook.control.places.calibrate makes it."
            raise TypeError(complain("fit", None, "a Fit for points='objects'", hint))

    @property
    def _limit(self) -> float:
        """Bound of a point's coordinates."""
        if self.options.mapped:
            return FARTHEST_M
        return _OFF_IMAGE if self._in_image else 10.0

    @property
    def _in_image(self) -> bool:
        """Whether points are image coordinates, not metres."""
        return self.options.points == "all" or self.options.state == "true-image"

    def _count(self) -> int:
        """Number of points."""
        if self.options.state != "keypoints" or self.options.points == "objects":
            return 3
        size = as_size(self.extractor.image_size, name="image_size")
        return int(self._all_keypoints(np.zeros((1, *size, 3), np.uint8)).shape[1])

    def _parts(self, world: Any) -> list[tuple[np.ndarray, np.ndarray]]:
        """Bounds of the parts of what :meth:`observe` calls ``observation``, and what scales them.

        The places of the hand are metres in every state, those of the points in some.
        """
        o, limit, P = self.options, self._limit, self._count()
        box, per_m = world.observation_space["observation"].high, 1 / o.unit_m
        unit = 1.0 if self._in_image else per_m
        hand = box[:6], np.repeat([per_m, 1.0], 3)  # place and velocity
        if o.state == "full":
            parts = [(box, np.repeat([per_m, 1.0, per_m, 1.0], [3, 3, 3, 9]))]
        elif o.points == "all":
            parts = [_alike(2 * P, limit, unit), *([hand] if o.hand else [])]
        else:
            parts = [_alike(2, limit, unit), hand if o.hand else _alike(2, limit, unit)]
        if o.relative:
            parts.append(_alike(2, limit + 10, unit))
        if o.velocity:
            parts.append(_alike(2 * P, 2 * limit, unit))
        return parts

    def _points(
        self, worlds: Sequence[Any], state: Mapping[str, np.ndarray], rows: Any, new: np.ndarray
    ) -> np.ndarray:
        """Points as the options say, ``(B, P, 2)``."""
        o = self.options
        if o.state in ("full", "true") and o.points == "objects":
            cube, goal, hand = (
                state[key][:, :2] for key in ("achieved_goal", "desired_goal", "observation")
            )
            return np.stack([cube, goal, hand], axis=1).astype(np.float64)
        if o.state != "keypoints":
            truth = np.stack([world.truth()[:3] for world in worlds])
            # Behind the camera there is no image: as far off as can be.
            inside = np.nan_to_num(truth, nan=_OFF_IMAGE).clip(-_OFF_IMAGE, _OFF_IMAGE)
            return np.asarray(inside)
        self.clock.start()
        pictures = np.stack([world.frame() for world in worlds])
        self.clock.stop("drawing")
        if self.fit is None or o.points == "all":
            points = self._all_keypoints(pictures)
        else:
            found, widths = find(self.extractor, pictures)
            points = self.fit.place(found)
            if o.hidden != "found":
                unsure = widths[:, self.fit.keypoint] > self.fit.spread
                kept = unsure & ~new[:, None]
                hand = state["observation"][:, :6]
                points = self._kept(points, kept, self.memory[rows], hand)
        self.clock.stop("network")
        return points

    def _kept(
        self, points: np.ndarray, kept: np.ndarray, before: np.ndarray, hand: np.ndarray
    ) -> np.ndarray:
        """Points ``(B, 3, 2)``, of which some ``(B, 3)`` are those of before."""
        points = np.where(kept[..., None], before[:, :-1], points)
        if self.options.hidden == "carried":
            cube, then, now = before[:, 0], before[:, -1], self._of_hand(points, hand)
            carried = kept[:, 0] & (np.linalg.norm(cube - then, axis=-1) < CARRIED_M)
            points[:, 0] += np.where(carried[:, None], now - then, 0)
        return points

    @torch.no_grad()
    def _all_keypoints(self, pictures: np.ndarray) -> np.ndarray:
        """Every keypoint in image coordinates, ``(B, N, 2)``."""
        images = to_float(pictures, check_ready(self.extractor, name="extractor"))
        return np.asarray(self.extractor(images).cpu().double().numpy())

    def _of_hand(self, points: np.ndarray, hand: np.ndarray) -> np.ndarray:
        """Where the hand is, in the coordinates of the points, ``(B, 2)``."""
        measured = self.options.hand and self.options.state != "true-image"
        return np.asarray(hand[:, :2] if measured else points[:, 2])


def policy_input(observation: Any, relative: bool) -> list[Any]:
    """What a policy may read of observations, tensors or arrays ``(B, ...)``; to be joined.

    The observation itself; and where goals hold places as seen, the desired one and, with
    ``relative``, what is left from the achieved one to it. It has to be computed here, not by the
    environment: HER exchanges the desired goal. A policy multiplies them by
    :attr:`Observer.scale`.
    """
    parts = [observation["observation"]]
    desired, achieved = observation["desired_goal"][..., 3:], observation["achieved_goal"][..., 3:]
    if desired.shape[-1]:
        parts += [desired, desired - achieved] if relative else [desired]
    return parts


def _alike(count: int, limit: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The same bound and the same scale for some numbers."""
    return np.full(count, limit), np.full(count, scale)
