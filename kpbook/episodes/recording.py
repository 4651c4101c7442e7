"""Recording: episodes of any world, by any number of workers, kept in a cache."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kpbook._checks import check_flag, check_integer, complain
from kpbook.episodes import cache as kept
from kpbook.episodes.data import Episodes
from kpbook.episodes.playing import Job, label, play_all, stacked, views_of
from kpbook.episodes.world import PolicyMaker, World


def record(
    world: World,
    *,
    episodes: int,
    steps: int = 20,
    seed: int = 0,
    policy: str | PolicyMaker | Sequence[str | PolicyMaker] = "random_walk",
    workers: int = 1,
    cache: str | Path | None = None,
    progress: bool = True,
) -> Episodes:
    """Record episodes; the same arguments give the same bytes with any number of workers.

    Episode ``i`` is drawn from ``(seed, i)`` alone: its place in the list and the process that
    plays it do not matter. ``Episodes.seeds`` holds what its ``world.reset`` got; its policy's
    generator is ``numpy.random.default_rng([that seed, 1])``. Of a world that ``ends_early``,
    episodes are windows of ``steps`` frames: after the end of a game the next is drawn from the
    seed of the one before (:func:`kpbook.episodes.playing.next_game`), with a policy of its own,
    and ``extras["start"]`` marks the first frame of each game.

    Args:
        world: Where the frames come from; all of its ``views`` are recorded. What it returns is
            copied.
        episodes: How many, at least 1.
        steps: Frames per episode, at least 1; the frame of the reset is not among them.
        seed: A whole number, at least 0.
        policy: A name that the world knows, a function ``(world, rng) -> policy``, or a list
            of those, taken in turn: ``["random_walk", "random_walk", "push"]`` pushes in every
            third episode.
        workers: Processes. Each loads the package (about two seconds), so few episodes are
            faster with 1. A script that asks for more needs ``if __name__ == "__main__":``.
        cache: Folder that keeps recordings; one with the same settings and versions is read
            instead of made. A broken file is reported and recorded anew. It is made if it is
            missing, and checked before the first episode.
        progress: Show a progress bar.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: If a number is too small or a policy unknown, a policy without a name
            should be cached, or ``cache`` is no folder that can be written to.
    """
    _check_world(world)
    episodes = check_integer(episodes, name="episodes", minimum=1)
    steps = check_integer(steps, name="steps", minimum=1)
    seed = check_integer(seed, name="seed", minimum=0)
    hint = "1 records in this process."
    workers = check_integer(workers, name="workers", minimum=1, hint=hint)
    progress = check_flag(progress, name="progress")
    makers = _check_policies(world, policy)
    job = Job(makers, steps, seed)
    origin = job.origin(world, episodes)
    path = None
    if cache is not None:
        path = kept.path_of(cache, makers, origin)
        found = kept.read(path, origin)
        if found is not None:
            return found._but(views=views_of(world))  # it may have been made under an old spelling
        kept.prepare(path.parent)
    arrays = stacked(play_all(world, job, episodes, workers, progress))
    names = ("images", "truth", "visible", "actions", "rewards", "terminated", "seeds")
    recorded = Episodes._made(
        **{name: arrays.pop(name) for name in names},
        policies=tuple(label(makers[i % len(makers)]) for i in range(episodes)),
        objects=tuple(getattr(world, "objects", ())),
        views=views_of(world),
        cameras=tuple(getattr(world, "cameras", {}).values()),
        look=getattr(world, "look", ""),
        origin=origin,
        extras=arrays,
    )
    if path is not None:
        try:
            recorded.save(path)
        except OSError as error:  # a full disk, say: what was recorded is worth more
            warnings.warn(f"The recording was not cached: {error}", stacklevel=2)
    return recorded


def _check_world(world: Any) -> None:
    needed = ["reset", "step", "frame", "description"]
    if len(getattr(world, "objects", ())):
        needed += ["truth", "visible"]
    missing = [part for part in needed if not hasattr(world, part)]
    if not (hasattr(world, "views") or hasattr(world, "cameras")):
        missing.append("views")
    if missing:
        got = f"{type(world).__name__}, which has no {', '.join(missing)}"
        raise TypeError(complain("world", got, "a world such as kpbook.world.PushWorld()"))
    if not views_of(world):
        raise ValueError(complain("world", "no views", "at least one"))
    check_flag(getattr(world, "ends_early", False), name="world.ends_early")


def _check_policies(world: Any, policy: Any) -> list[Any]:
    """Policies, or makers of them, in a list of our own."""
    makers: list[Any] = list(policy) if isinstance(policy, list | tuple) else [policy]
    if not makers:
        raise ValueError(complain("policy", "an empty list", "at least one policy"))
    for maker in makers:
        if isinstance(maker, str):
            world.policy(maker, np.random.default_rng(0))  # raises if it is unknown
        elif not callable(maker):
            expected = "a name or a function (world, rng) -> policy, or a list of those"
            raise TypeError(complain("policy", repr(maker), expected))
    return makers
