"""Episodes played, here or by workers: from a seed and an index to arrays."""

from __future__ import annotations

import atexit
import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import pickle
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from kpbook._arrays import as_flags, as_float64, as_stored
from kpbook._checks import check_flag, check_uint8, complain
from kpbook._files import jsonable
from kpbook.episodes.pictures import BYTES, COLOUR_LAST
from kpbook.episodes.world import PolicyMaker


class Job(NamedTuple):
    """What a worker has to know."""

    makers: list[Any]
    steps: int
    seed: int

    def origin(self, world: Any, episodes: int) -> dict[str, Any]:
        """All that shapes the bytes of a recording, as it reads back from JSON."""
        settings = {
            "world": world.description(),
            "policy": [label(maker) for maker in self.makers],
            "episodes": episodes,
            "steps": self.steps,
            "seed": self.seed,
        }
        return dict(json.loads(json.dumps(settings, default=jsonable)))

    def play(self, world: Any, i: int) -> dict[str, np.ndarray]:
        """Play episode ``i`` and return its arrays, without the axis E."""
        first = seed = int(np.random.SeedSequence([self.seed, i]).generate_state(1)[0])
        windows = bool(getattr(world, "ends_early", False))
        rows: list[dict[str, np.ndarray]] = []
        over = True
        for _ in range(self.steps):
            start = over
            if over:
                seed = next_game(seed) if rows else first
                policy, observation = self._begin(world, i, seed)
            action = policy(observation)
            kept = _action(action)  # before the world may write into it
            observation, reward, terminated, truncated, _ = world.step(action)
            over = windows and bool(terminated or truncated)
            row = {
                **_seen(world),
                "actions": kept,
                "rewards": _reward(reward),
                "terminated": np.array(check_flag(terminated, name="world.step()[2], terminated")),
                **_extras(world),
            }
            rows.append({**row, "start": np.array(start)} if windows else row)
        return {**stacked(rows), "seeds": np.array(first)}

    def _begin(self, world: Any, i: int, seed: int) -> tuple[Any, Any]:
        """A policy and the first observation of a game."""
        rng = np.random.default_rng([seed, 1])
        maker = self.makers[i % len(self.makers)]
        observation, _ = world.reset(seed=seed)
        policy = world.policy(maker, rng) if isinstance(maker, str) else maker(world, rng)
        return policy, observation


def next_game(seed: int) -> int:
    """The seed of the game that follows the game of ``seed`` in one episode."""
    return int(np.random.SeedSequence([seed, 2]).generate_state(1)[0])


def views_of(world: Any) -> tuple[str, ...]:
    """Names of a world's views; without any, of its cameras."""
    return tuple(world.views if hasattr(world, "views") else world.cameras)


def label(maker: str | PolicyMaker) -> str:
    """Name of a policy."""
    return maker if isinstance(maker, str) else getattr(maker, "__name__", type(maker).__name__)


def stacked(rows: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays of many rows as one each, or an error that names what changed its shape."""
    for name, first in rows[0].items():
        for row in rows:
            if row.get(name, np.empty(0)).shape != first.shape or row.keys() != rows[0].keys():
                got = f"another shape of {name!r} than {first.shape}, or other names"
                raise ValueError(complain("world", got, "the same in every frame"))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _seen(world: Any) -> dict[str, np.ndarray]:
    """Copies of what every view shows: the world may use its buffers again."""
    views, K = views_of(world), len(getattr(world, "objects", ()))
    images = [_frame(world, view) for view in views]
    if len({image.shape for image in images}) > 1:
        got = f"views of sizes {[image.shape[:2] for image in images]}"
        raise ValueError(complain("world", got, "frames of one size in all views"))
    truth, visible = np.zeros((len(views), 0, 2)), np.zeros((len(views), 0), dtype=bool)
    if K:
        expected = f"image coordinates ({K}, 2)"
        found = [as_float64(world.truth(v), name="truth", expected=expected) for v in views]
        truth = np.stack(found)
        visible = np.stack([as_flags(world.visible(v), name="visible") for v in views])
    return {"images": np.stack(images), "truth": truth, "visible": visible}


def _frame(world: Any, view: str) -> np.ndarray:
    frame, name = world.frame(view), f"world.frame({view!r})"
    check_uint8(frame, name=name, hint=BYTES)
    if frame.ndim != 3 or frame.shape[-1] != 3 or 0 in frame.shape:
        raise ValueError(complain(name, f"shape {tuple(frame.shape)}", "(H, W, 3)", COLOUR_LAST))
    return np.array(frame)


def _reward(reward: Any) -> np.ndarray:
    name = "world.step()[1], reward"
    number = as_float64(reward, name=name, expected="one number")
    if number.size != 1:
        raise ValueError(complain(name, f"shape {number.shape}", "one number"))
    return number.reshape(()).astype(np.float32)


def _action(action: Any) -> np.ndarray:
    expected, hint = "numbers (A,)", "It is what the policy returned."
    numbers = as_float64(action, name="action", expected=expected, hint=hint)
    return np.atleast_1d(numbers).astype(np.float32)


def _extras(world: Any) -> dict[str, np.ndarray]:
    """Copies of whatever else the world knows of the frame."""
    known = dict(world.extras()) if hasattr(world, "extras") else {}
    if hasattr(world, "positions"):
        known["positions"] = as_float64(world.positions(), name="positions", expected="metres")
    return {n: as_stored(x, name=f"world.extras()[{n!r}]") for n, x in known.items()}


_worker: tuple[Any, Job] | None = None


def _start_worker(order: bytes) -> None:
    global _worker
    _worker = pickle.loads(order)  # bytes: the process would keep the world itself for ever
    atexit.register(_forget)  # compiled code complains of what is left at the end
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _forget() -> None:
    global _worker
    _worker = None


def _end_with_parent() -> None:
    """Leave when the recording process was killed: the queue of a dead parent never ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _play_in_worker(i: int) -> dict[str, np.ndarray]:
    if _worker is None:
        raise RuntimeError("a worker was not started")
    world, job = _worker
    return job.play(world, i)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that start meanwhile use one thread each, or they wait for one another."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({} if value is None else {name: value})


def play_all(
    world: Any, job: Job, episodes: int, workers: int, progress: bool
) -> list[dict[str, np.ndarray]]:
    """Return the arrays of each episode, in order."""
    bar = {"total": episodes, "unit": "episode", "disable": not progress}
    if workers == 1:
        return list(tqdm((job.play(world, i) for i in range(episodes)), **bar))
    try:
        order = pickle.dumps((world, job))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        hint = "Define the policy at the top level of a module, or record with workers=1."
        raise ValueError(complain("workers", f"{workers}, but {error}", "1", hint)) from error
    pool = ProcessPoolExecutor(
        min(workers, episodes),
        mp_context=multiprocessing.get_context("spawn"),  # pybullet does not survive a fork
        initializer=_start_worker,
        initargs=(order,),
    )
    try:
        with _one_thread_each(), pool:
            return list(tqdm(pool.map(_play_in_worker, range(episodes)), **bar))
    except BrokenProcessPool as error:
        hint = (
            "A script needs `if __name__ == '__main__':` around the call; policies defined in a "
            "notebook cannot travel; or the machine ran out of memory. workers=1 always works."
        )
        raise RuntimeError(complain("workers", "a worker that died", "it to live", hint)) from error
