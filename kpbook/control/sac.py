"""SAC with hindsight experience replay, stable-baselines3's, on keypoints of PandaPush."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from kpbook import runs
from kpbook._checks import (
    check_flag,
    check_integer,
    check_range,
    check_scalar,
    check_seed,
    complain,
    require,
)
from kpbook.control import snapshot
from kpbook.control.configurations import Configuration
from kpbook.control.options import Options
from kpbook.control.places import Fit, calibrate
from kpbook.training.checkpoints import Shelf, State, fingerprint
from kpbook.training.guards import Interrupts, warn
from kpbook.training.settings import plain

_TIMES = ("seconds", "cpu_seconds", "train_cpu_seconds")
_POINTS = 10  # of the curve, if ``every`` is not given
_EVALUATED = 5  # worlds in lockstep of an evaluation
_OTHER = 1_000_003  # between the seeds of training and of evaluation


@dataclass(frozen=True)
class Trained:
    """What :func:`train` returns.

    Attributes:
        model: stable-baselines3's SAC; ``model.predict(observation, deterministic=True)`` acts.
        curve: One row per evaluation: ``step`` (simulator steps), ``success`` and, of keypoints
            mapped to the table, ``success_by_keypoints`` (shares of the evaluation's episodes),
            ``seconds`` and ``cpu_seconds`` of everything, ``train_cpu_seconds`` without
            evaluation.
        record: The run record; its last row adds ``steps_per_cpu_second`` and the shares of
            ``physics``, ``drawing``, ``network``, ``update`` and the rest in training.
        fit: What maps keypoints to the table, or ``None``.
        stopped: ``None``, or ``"interrupted"`` if Ctrl-C ended the run before its last step.
    """

    model: Any
    curve: list[dict[str, Any]]
    record: runs.RunRecord
    fit: Fit | None = None
    stopped: str | None = None


def train(
    make: Callable[[], Any],
    configuration: Configuration,
    *,
    steps: int,
    seed: int = 0,
    extractor: Any = None,
    every: int | None = None,
    episodes: int = 50,
    folder: str | Path | None = None,
    name: str = "agent",
    resume: bool = True,
    checkpoint_every: float = 60.0,
    progress: bool = True,
    config: Mapping[str, Any] | None = None,
) -> Trained:
    """Train an agent to push the cube.

    The same arguments give the same agent on the same machine with the same number of threads,
    also where the run was killed and resumed: a checkpoint holds networks, moments, replay buffer,
    generators, and the actions of the episodes that are under way.

    Args:
        make: Returns a new :class:`kpbook.world.PushWorld`.
        configuration: From :func:`kpbook.control.configurations.configuration`.
        steps: Of the simulator, at least 1; the run ends with the first round of actions that
            reaches them.
        seed: Of networks, batches, episodes and calibration.
        extractor: For ``state="keypoints"``; in eval mode.
        every: Simulator steps between evaluations; about ten in all without it. The last step has
            one.
        episodes: Of an evaluation, with actions that are not drawn, in worlds of its own; they
            end when the cube is at the goal *by the simulator*, whatever the agent is rewarded for.
        folder: Where checkpoints go.
        name: Of the run, also of its files.
        resume: Go on from a checkpoint in ``folder``. ``False`` deletes what it finds there.
        checkpoint_every: Seconds between checkpoints; 0 is after every round of actions.
        progress: Show a progress bar.
        config: Further settings for the run record, in plain types; others are another run.

    Raises:
        ImportError: If stable-baselines3 or the simulator is missing.
        TypeError: If an argument is of another kind.
        ValueError: If a number is out of range, the extractor does not fit, or the checkpoint
            belongs to a run of other settings.
    """
    require("stable_baselines3", extra="control", purpose="kpbook.control.sac")
    began = time.perf_counter(), time.process_time()
    steps = check_integer(steps, name="steps", minimum=1, hint="Of the simulator.")
    seed = check_seed(seed)
    every = max(1, math.ceil(steps / _POINTS)) if every is None else every
    every = check_integer(every, name="every", minimum=1)
    episodes = check_integer(episodes, name="episodes", minimum=1)
    checkpoint_every = check_scalar(checkpoint_every, name="checkpoint_every", hint="In seconds.")
    check_range(checkpoint_every, 0, math.inf, name="checkpoint_every", hint="In seconds.")
    for option, flag in (("resume", resume), ("progress", progress)):
        check_flag(flag, name=option)
    if not isinstance(configuration, Configuration):
        hint = "kpbook.control.configurations.configuration('cpu') returns one."
        got = type(configuration).__name__
        raise TypeError(complain("configuration", got, "a Configuration", hint))
    shelf = None if folder is None else Shelf(folder, name)
    settings = {
        "steps": steps,
        "seed": seed,
        "every": every,
        "episodes": episodes,
        "configuration": configuration.plain(),
        "extractor": _identity(extractor),
        "config": plain(config or {}, name="config"),
    }
    with snapshot.all_randomness(seed), Interrupts() as interrupts:
        run = _Run(make, configuration, settings, extractor, began)
        try:
            if shelf and not resume:
                shelf.clear()
            kept = shelf.newest(settings) if shelf else None
            if kept:
                run.restore(kept)
            stopped = _loop(run, shelf, checkpoint_every, progress, interrupts)
        finally:
            run.close()
    return Trained(run.model, run.curve, _record(run, name, stopped), run.fit, stopped)


def _loop(
    run: _Run, shelf: Shelf | None, pause: float, progress: bool, interrupts: Interrupts
) -> str | None:
    """Train until the last step, or Ctrl-C; return why it stopped before."""
    last, written = time.monotonic(), False
    total = run.settings["steps"]
    with tqdm(total=total, initial=run.step, unit="step", disable=not progress) as bar:
        while not run.done and not interrupts.asked:
            before = run.step
            run.advance()
            bar.update(run.step - before)
            if run.row_is_due:
                row = run.evaluate()
                bar.set_postfix_str(f"success {row['success']:.2f}")
            written = False
            if shelf and time.monotonic() - last >= pause:
                shelf.put(run.snapshot())
                last, written = time.monotonic(), True
    if shelf and not written:
        shelf.put(run.snapshot())
    if run.done:
        return None
    where = "Its checkpoint stays." if shelf else "It had no folder for a checkpoint."
    warn(f"Interrupted after {run.step} of {total} steps. {where}")
    return "interrupted"


@dataclass
class _Run:
    """An agent on its way."""

    make: Callable[[], Any]
    configuration: Configuration
    settings: dict[str, Any]
    extractor: Any
    began: tuple[float, float]
    curve: list[dict[str, Any]] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_TIMES, 0.0))

    def __post_init__(self) -> None:
        from kpbook.control.vector import PushVec

        self._wall, self._cpu = self.began
        options, seed = self.configuration.options, self.settings["seed"]
        self.fit: Fit | None = None
        if options.mapped:
            world = self.make()
            self.fit = calibrate(self.extractor, world, seed=seed)
            world.close()
        seeing = self.extractor, self.fit
        self.env = PushVec(self.make, self.configuration.envs, options, seed, *seeing)
        judged = Options(**{**options.plain(), "reward": "simulator", "ends": True})
        count = min(_EVALUATED, self.settings["episodes"])
        self._judge = PushVec(self.make, count, judged, seed + _OTHER, *seeing)
        self.model = _build(self.configuration, self.env, self.settings)
        self._begun = False

    @property
    def step(self) -> int:
        """Simulator steps taken."""
        return self.env.simulated

    @property
    def done(self) -> bool:
        """Whether the last step has been taken, and evaluated."""
        return self.step >= self.settings["steps"] and not self.row_is_due

    @property
    def row_is_due(self) -> bool:
        """Whether the curve lacks a row of the present step."""
        last = self.curve[-1]["step"] if self.curve else 0
        every = self.settings["every"]
        ends = self.step >= self.settings["steps"] and last != self.step
        return ends or self.step // every > last // every

    def advance(self) -> None:
        """Let every world act once, and update the networks."""
        model, clock, cpu = self.model, self.env.observer.clock, time.process_time()
        if not self._begun:
            model._setup_learn(self.settings["steps"], None, reset_num_timesteps=False)
            self._callback = _silent(model)
            self._begun = True
        model.collect_rollouts(
            self.env,
            callback=self._callback,
            train_freq=model.train_freq,
            replay_buffer=model.replay_buffer,
            learning_starts=model.learning_starts,
            log_interval=None,
        )
        clock.start()
        if model.num_timesteps > model.learning_starts:
            model.train(self.configuration.updates_each, self.configuration.batch_size)
        clock.stop("update")
        self.times["train_cpu_seconds"] += time.process_time() - cpu

    def evaluate(self) -> dict[str, Any]:
        """Act without drawing actions, and add a row to the curve."""
        shares = success(self.model, self._judge, self.settings["episodes"])
        self._tick()
        self.curve.append({"step": self.step, **shares, **self.times})
        return self.curve[-1]

    def snapshot(self) -> State:
        """Copy everything that decides how the run goes on."""
        self._tick()
        state = snapshot.take(self.model, self.env)
        notes = {
            "settings": self.settings,
            "step": self.step,
            "curve": self.curve,
            "times": dict(self.times),
            "clock": dict(self.env.observer.clock.seconds),
        }
        return State(state.tensors, {**state.notes, **notes})

    def restore(self, state: State) -> None:
        """Go back to a state."""
        snapshot.put(state, self.model, self.env)
        self.curve, self.times = list(state.notes["curve"]), dict(state.notes["times"])
        self.env.observer.clock.seconds = dict(state.notes["clock"])

    def close(self) -> None:
        """Close all worlds."""
        self.env.close()
        self._judge.close()

    def _tick(self) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.times["seconds"] += wall - self._wall
        self.times["cpu_seconds"] += cpu - self._cpu
        self._wall, self._cpu = wall, cpu


def success(model: Any, env: Any, episodes: int) -> dict[str, float]:
    """Let an agent act, without drawing actions, in the first episodes of each world.

    Args:
        model: With ``predict(observation, deterministic=True)``.
        env: A :class:`kpbook.control.vector.PushVec`.
        episodes: How many, dealt out over the worlds.

    Returns:
        ``success``, the share of episodes in which the cube met the goal by the simulator; and
        where keypoints are mapped to the table ``success_by_keypoints``, the share in which the
        keypoints said so at any time.
    """
    quota = np.array([(episodes + w) // env.num_envs for w in range(env.num_envs)])
    played = np.zeros(env.num_envs, dtype=int)
    said = np.zeros((2, env.num_envs), dtype=bool)  # in the present episode
    total = np.zeros(2, dtype=int)
    seen = env.restart()
    while (played < quota).any():
        actions, _ = model.predict(seen, deterministic=True)
        seen, _, ended, infos = env.step(actions)
        for w, info in enumerate(infos):
            said[:, w] |= info["is_success"], info.get("keypoints_success", False)
            if ended[w]:
                total += said[:, w] & (played[w] < quota[w])
                played[w] += 1
                said[:, w] = False
    shares = {"success": float(total[0] / episodes)}
    if env.observer.options.mapped:
        shares["success_by_keypoints"] = float(total[1] / episodes)
    return shares


def _build(configuration: Configuration, env: Any, settings: Mapping[str, Any]) -> Any:
    """stable-baselines3's SAC, with the settings of a configuration."""
    from stable_baselines3 import SAC, HerReplayBuffer
    from stable_baselines3.common.logger import Logger

    from kpbook.control.policy import Reading

    c, repeat = configuration, configuration.options.repeat
    her: dict[str, Any] = {}
    if c.her:
        her = {
            "replay_buffer_class": HerReplayBuffer,
            "replay_buffer_kwargs": {"n_sampled_goal": c.her, "goal_selection_strategy": "future"},
        }
    most = settings["steps"] + c.envs * (repeat + 1)  # actions that end an episode may be shorter
    model = SAC(
        "MultiInputPolicy",
        env,
        learning_rate=c.learning_rate,
        buffer_size=min(c.buffer, most),
        learning_starts=c.warm_up // repeat,
        batch_size=c.batch_size,
        tau=c.tau,
        gamma=c.gamma,
        train_freq=1,
        gradient_steps=c.updates_each,
        policy_kwargs={
            "net_arch": [c.width, c.width],
            "features_extractor_class": Reading,
            "features_extractor_kwargs": {
                "relative": c.options.relative,
                "scale": env.observer.scale,
            },
        },
        seed=settings["seed"],
        device="cpu",
        **her,
    )
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def _silent(model: Any) -> Any:
    from stable_baselines3.common.callbacks import CallbackList

    callback = CallbackList([])
    callback.init_callback(model)
    return callback


def _identity(extractor: Any) -> dict[str, Any] | None:
    """What tells one extractor from another."""
    if extractor is None:
        return None
    weights = extractor.state_dict() if isinstance(extractor, torch.nn.Module) else {}
    name = str(getattr(extractor, "name", type(extractor).__name__))
    return {"name": name, "weights": fingerprint(weights)}


def _record(run: _Run, name: str, stopped: str | None) -> runs.RunRecord:
    settings = run.settings
    rows = [dict(row) for row in run.curve]
    if rows:
        spent, cpu = run.env.observer.clock.seconds, run.times["train_cpu_seconds"]
        shares = {f"share/{key}": value / cpu for key, value in spent.items()}
        rest = {"share/rest": 1 - sum(shares.values())}
        rows[-1] |= {"steps_per_cpu_second": run.step / cpu, **shares, **rest}
        rows[-1] |= {"stopped": stopped} if stopped else {}
    return runs.RunRecord(
        name=name,
        command=f"kpbook.control.sac.train(PushWorld, configuration, steps={settings['steps']}, "
        f"seed={settings['seed']})",
        results=rows,
        config=settings,
        seed=settings["seed"],
        device=runs.describe_device(),
        seconds=run.times["seconds"],
        versions=runs.describe_versions("stable-baselines3", "gymnasium"),
    )
