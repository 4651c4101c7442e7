"""All that decides how an agent's training goes on, as tensors and plain notes, and back."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kpbook.training.checkpoints import State
from kpbook.training.guards import own_randomness

_BUFFER = ("actions", "rewards", "dones", "timeouts", "ep_start", "ep_length")
_COUNTS = ("num_timesteps", "_n_updates", "_episode_num")


@contextlib.contextmanager
def all_randomness(seed: int) -> Iterator[None]:
    """Give torch, NumPy and Python's global generators back as they were.

    stable-baselines3 seeds all three and draws from the first two.
    """
    numpy, python = np.random.get_state(), random.getstate()  # noqa: NPY002  # its generator
    try:
        with own_randomness(seed, torch.device("cpu")):
            yield
    finally:
        np.random.set_state(numpy)  # noqa: NPY002
        random.setstate(python)


def take(model: Any, env: Any) -> State:
    """Copy the state of a model and its environment between two steps.

    Args:
        model: stable-baselines3's SAC.
        env: The :class:`kpbook.control.vector.PushVec` that it trains in.
    """
    arrays: dict[str, np.ndarray] = {}
    tensors = {f"policy/{name}": value for name, value in model.policy.state_dict().items()}
    for name, optimizer in _optimizers(model).items():
        for i, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}/{i}/{key}": value for key, value in moments.items()}
    if model.ent_coef_optimizer is not None:
        tensors["entropy"] = model.log_ent_coef
    buffer = model.replay_buffer
    rows = buffer.buffer_size if buffer.full else buffer.pos
    arrays |= {f"buffer/{name}": value[:rows] for name, value in _stored(buffer).items()}
    if hasattr(buffer, "_current_ep_start"):
        arrays["episodes"] = buffer._current_ep_start
    arrays |= {f"seen/{key}": value for key, value in model._last_obs.items()}
    place, actions = env.place()
    arrays |= {f"env/{name}": value for name, value in actions.items()}
    _, words, pos, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    arrays["generator/numpy"] = np.asarray(words).astype(np.int64)
    tensors["generator/torch"] = torch.get_rng_state()
    tensors |= {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
    notes = {
        "counts": {name: getattr(model, name) for name in _COUNTS},
        "buffer": {"pos": buffer.pos, "full": buffer.full},
        "env": place,
        "numpy": [pos, has_gauss, cached],
        "actions": model.action_space.np_random.bit_generator.state,
    }
    return State({name: _copy(value) for name, value in tensors.items()}, notes)


def put(state: State, model: Any, env: Any) -> None:
    """Bring a new model of the same settings, and its environment, into a state."""
    tensors, notes = state
    arrays = {name: value.numpy() for name, value in tensors.items()}
    model.policy.load_state_dict(_under(tensors, "policy/"))
    if model.ent_coef_optimizer is not None:
        with torch.no_grad():
            model.log_ent_coef.copy_(tensors["entropy"])
    for name, optimizer in _optimizers(model).items():
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(tensors, f"{name}/").items():
            i, _, what = key.partition("/")
            moments.setdefault(int(i), {})[what] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    buffer = model.replay_buffer
    for name, value in _stored(buffer).items():
        saved = arrays[f"buffer/{name}"]
        value[: len(saved)] = saved
    if hasattr(buffer, "_current_ep_start"):
        buffer._current_ep_start[:] = arrays["episodes"]
    buffer.pos, buffer.full = notes["buffer"]["pos"], notes["buffer"]["full"]
    for name in _COUNTS:
        setattr(model, name, notes["counts"][name])
    env.restore(notes["env"], _under(arrays, "env/"))
    model._last_obs = {key: value.copy() for key, value in _under(arrays, "seen/").items()}
    model._last_episode_starts = np.zeros(env.num_envs, dtype=bool)
    words = arrays["generator/numpy"].astype(np.uint32)
    np.random.set_state(("MT19937", words, *notes["numpy"]))  # noqa: NPY002
    torch.set_rng_state(tensors["generator/torch"])
    model.action_space.np_random.bit_generator.state = notes["actions"]


def _optimizers(model: Any) -> dict[str, torch.optim.Optimizer]:
    found = {"adam-actor": model.actor.optimizer, "adam-critic": model.critic.optimizer}
    if model.ent_coef_optimizer is not None:
        found["adam-entropy"] = model.ent_coef_optimizer
    return found


def _stored(buffer: Any) -> dict[str, np.ndarray]:
    """Arrays of a replay buffer whose first axis are its rows."""
    arrays = {name: getattr(buffer, name) for name in _BUFFER if hasattr(buffer, name)}
    for part in ("observations", "next_observations"):
        arrays |= {f"{part}/{key}": value for key, value in getattr(buffer, part).items()}
    return arrays


def _under(named: dict[str, Any], front: str) -> dict[str, Any]:
    return {n.removeprefix(front): x for n, x in named.items() if n.startswith(front)}


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()
