"""Recorded episodes: frames with the true points, split by episode, drawn in batches.

:func:`record` drives any :class:`World`; :class:`Episodes` holds what came out and needs no
simulator. ``Episodes.sample()`` is a recording that ships with the package, and
``Episodes.from_frames`` takes a reader's own pictures.

Axes are E episodes, T frames, V views, K objects, A numbers of an action. A recorded frame is the
one *after* a step. Deviation from Cramer et al. (2024), who drop the rest: an episode goes on when
the goal is met, so that arrays are rectangular; ``terminated`` marks the frames at the goal.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import multiprocessing.connection
import os
import pickle
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from kpbook import _store
from kpbook._arrays import as_float64
from kpbook._checks import check_finite, check_integer, check_uint8, complain
from kpbook.cameras import Camera, from_lists, to_lists
from kpbook.grid import to_pixels
from kpbook.images import to_float

Policy = Callable[[Any], np.ndarray]
PolicyMaker = Callable[[Any, np.random.Generator], Policy]
_SAMPLE = Path(__file__).parent / "data" / "push_sample.kpe"
_BYTES = "Frames are bytes, 0 to 255; kpbook.images.to_uint8 converts floats (..., 3, H, W)."
_COLOUR_LAST = "Colour comes last, in the order red, green, blue."
_PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_PER_EPISODE = ("images", "truth", "visible", "actions", "rewards", "terminated", "seeds")


class World(Protocol):
    """What :func:`record` asks of a world; :class:`kpbook.world.PushWorld` is one.

    With several workers it is pickled and must unpickle as a fresh world of the same settings.
    """

    @property
    def look(self) -> str:
        """How the robot is drawn."""

    @property
    def objects(self) -> Sequence[str]:
        """Names along K."""

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """The views by name."""

    def reset(self, *, seed: int) -> tuple[Any, dict[str, Any]]:
        """Start the episode that belongs to ``seed``; the same one every time."""

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act, as in Gymnasium."""

    def frame(self, camera: str) -> np.ndarray:
        """Return the picture, uint8 ``(H, W, 3)``."""

    def truth(self, camera: str) -> np.ndarray:
        """Return the objects' image coordinates, ``(K, 2)``."""

    def visible(self, camera: str) -> np.ndarray:
        """Say which objects can be seen, bool ``(K,)``."""

    def positions(self) -> np.ndarray:
        """Return the objects' places, ``(K, 3)`` metres."""

    def policy(self, name: str, rng: np.random.Generator) -> Policy:
        """Return a policy for one episode; raise ``ValueError`` if the name is unknown."""

    def description(self) -> dict[str, Any]:
        """Return all that shapes the bytes, in plain types."""


class Flat(NamedTuple):
    """All frames of one view in a row, M = E * T; what the metrics take."""

    images: np.ndarray  # uint8 (M, H, W, 3)
    truth: np.ndarray  # float64 (M, K, 2)
    visible: np.ndarray  # bool (M, K)
    episode: np.ndarray  # int64 (M,)


@dataclass(frozen=True, eq=False)
class Episodes:
    """Episodes of equal length and everything known about their frames.

    ``len`` is the number of episodes; ``episodes[3]``, ``episodes[:10]`` and a list or mask of
    episodes give ``Episodes`` again.

    Attributes:
        images: Frames, uint8 ``(E, T, V, H, W, 3)``.
        truth: Image coordinates of the objects, float64 ``(E, T, V, K, 2)``; may lie outside.
        visible: Whether a point is inside the image and not hidden, bool ``(E, T, V, K)``.
        actions: The action that led to the frame, float32 ``(E, T, A)``.
        rewards: float32 ``(E, T)``.
        terminated: Whether the goal is met in the frame, bool ``(E, T)``.
        seeds: ``world.reset(seed=...)`` of each episode, int64 ``(E,)``; -1 if there is none.
        positions: Places of the objects, float64 ``(E, T, K, 3)`` metres; NaN if unknown.
        policies: Name of the policy of each episode.
        objects: Names along K.
        views: Names along V.
        cameras: One per view, or none if unknown.
        look: How the world was drawn.
        origin: Settings, seed and versions that made a recording, in plain types; else empty.
    """

    images: np.ndarray
    truth: np.ndarray
    visible: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    seeds: np.ndarray
    positions: np.ndarray
    policies: tuple[str, ...]
    objects: tuple[str, ...]
    views: tuple[str, ...]
    cameras: tuple[Camera, ...]
    look: str
    origin: Mapping[str, Any]

    def __post_init__(self) -> None:
        check_uint8(self.images, name="images", hint=_BYTES)
        if self.images.ndim != 6 or self.images.shape[-1] != 3 or 0 in self.images.shape:
            got = f"shape {self.images.shape}"
            raise ValueError(complain("images", got, "(E, T, V, H, W, 3)", _COLOUR_LAST))
        E, T, V = self.images.shape[:3]
        K, A = len(self.objects), self.actions.shape[-1]
        shapes: dict[str, tuple[int, ...]] = {
            "truth": (E, T, V, K, 2),
            "visible": (E, T, V, K),
            "actions": (E, T, A),
            "rewards": (E, T),
            "terminated": (E, T),
            "seeds": (E,),
            "positions": (E, T, K, 3),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                got = f"shape {getattr(self, name).shape}"
                hint = f"There are {E} episodes, {T} frames, {V} views and {K} objects."
                raise ValueError(complain(name, got, str(shape), hint))
        check_finite(self.truth, name="truth", hint="A point behind the camera has no image.")
        counts = {"policies": (E,), "views": (V,), "cameras": (V, 0)}
        for name, allowed in counts.items():
            if len(getattr(self, name)) not in allowed:
                raise ValueError(
                    complain(name, f"{len(getattr(self, name))} of them", f"{allowed[0]}")
                )

    # -- size and selection ------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        E, T, V, H, W, _ = self.images.shape
        return f"Episodes({E} episodes x {T} frames, {V} view(s) of {H} x {W} px, {self.objects})"

    @property
    def image_size(self) -> tuple[int, int]:
        """``(H, W)`` in pixels."""
        return self.images.shape[3], self.images.shape[4]

    @property
    def truth_px(self) -> np.ndarray:
        """The truth in pixels, ``(E, T, V, K, 2)``: an integer is the centre of a pixel."""
        if not self.objects:
            return self.truth
        return to_pixels(self.truth, self.image_size)

    def __iter__(self) -> Iterator[Episodes]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Episodes:
        index = np.arange(len(self))[key]  # raises IndexError past the end
        index = np.atleast_1d(index)
        if not len(index):
            got = f"{key!r}, which selects no episode"
            raise ValueError(complain("episodes", got, f"some of the {len(self)} episodes"))
        arrays = {name: getattr(self, name)[index] for name in (*_PER_EPISODE, "positions")}
        return replace(self, policies=tuple(self.policies[i] for i in index), **arrays)

    def split(self, parts: Sequence[float] | Sequence[int], seed: int = 0) -> tuple[Episodes, ...]:
        """Deal the episodes out to disjoint parts, at random; frames of one stay together.

        Args:
            parts: Shares that add up to at most 1, such as ``(0.8, 0.2)``, or whole numbers of
                episodes, such as ``(250, 50)``.
            seed: Of the shuffle.

        Raises:
            TypeError: If ``parts`` is no list of numbers.
            ValueError: If a part would be empty, or there are too few episodes.
        """
        E, hint = len(self), "Such as (0.8, 0.2) or (250, 50)."
        check_integer(seed, name="seed", minimum=0)
        expected = f"positive shares that add up to at most 1, or counts up to {E} in all"
        sizes = as_float64(parts, name="parts", expected=expected, hint=hint)
        if sizes.ndim != 1:
            raise TypeError(complain("parts", repr(parts), expected, hint))
        whole = all(isinstance(p, int | np.integer) for p in parts)
        if not sizes.size or not (sizes > 0).all() or sizes.sum() > (E if whole else 1 + 1e-9):
            raise ValueError(complain("parts", tuple(parts), expected, hint))
        edges = np.cumsum([0, *parts])
        edges = edges.astype(int) if whole else np.floor(edges * E + 0.5).astype(int)
        if (np.diff(edges) < 1).any():
            hint = "A split never cuts an episode: its frames are nearly the same picture."
            got = f"{tuple(parts)} of {E} episode(s), which leaves a part empty"
            raise ValueError(complain("parts", got, "at least one episode each", hint))
        order = np.random.default_rng(seed).permutation(E)
        return tuple(self[np.sort(order[a:b])] for a, b in itertools.pairwise(edges))

    # -- batches -----------------------------------------------------------------------------

    def flat(self, view: int = 0) -> Flat:
        """Return all frames of one view in a row, episode by episode."""
        view = self._check_view(view)
        E, T, _, H, W, _ = self.images.shape
        return Flat(
            images=self.images[:, :, view].reshape(E * T, H, W, 3),
            truth=self.truth[:, :, view].reshape(E * T, -1, 2),
            visible=self.visible[:, :, view].reshape(E * T, -1),
            episode=np.repeat(np.arange(E), T),
        )

    def frames(
        self, batch: int, generator: torch.Generator, view: int | None = 0, device: Any = None
    ) -> Tensor:
        """Draw frames, float32 ``(B, 3, H, W)`` in [0, 1]; every frame is equally likely.

        Args:
            batch: How many, B.
            generator: Where the randomness comes from: ``torch.Generator().manual_seed(0)``.
            view: Index of the view; ``None`` returns all of them, ``(B, V, 3, H, W)``.
            device: Where the batch lives.
        """
        return self.snippets(1, batch, generator, view, device)[:, 0]

    def snippets(
        self,
        length: int,
        batch: int,
        generator: torch.Generator,
        view: int | None = 0,
        device: Any = None,
    ) -> Tensor:
        """Draw runs of ``length`` frames in a row, ``(B, length, 3, H, W)`` in [0, 1].

        Arguments as in :meth:`frames`; a snippet never crosses from one episode to the next.
        """
        T = self.images.shape[1]
        check_integer(length, name="length", minimum=1)
        if length > T:
            hint = "Record longer episodes or ask for shorter snippets."
            raise ValueError(complain("length", length, f"at most the {T} frames of one", hint))
        starts = self._draw(batch, T - length + 1, generator)
        return self._batch(starts, torch.arange(length), view, device)

    def pairs(
        self,
        gap: int | tuple[int, int],
        batch: int,
        generator: torch.Generator,
        view: int | None = 0,
        device: Any = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw earlier and later frames of one episode, each ``(B, 3, H, W)`` in [0, 1].

        Args:
            gap: Steps between the two, or ``(shortest, longest)``, drawn uniformly per pair.
            batch: How many pairs, B.
            generator: Where the randomness comes from.
            view: Index of the view; ``None`` returns all of them.
            device: Where the batch lives.
        """
        T = self.images.shape[1]
        expected = f"1 <= shortest <= longest <= {T - 1}, for episodes of {T} frames"
        ends = tuple(gap) if isinstance(gap, list | tuple) else (gap, gap)
        if len(ends) != 2:
            raise ValueError(complain("gap", gap, expected, "One number, or two."))
        low, high = (
            check_integer(end, name="gap", minimum=1, hint="Steps; at 0 both frames are the same.")
            for end in ends
        )
        if not low <= high < T:
            raise ValueError(complain("gap", gap, expected))
        steps = torch.randint(low, high + 1, (_size(batch),), generator=_own(generator))
        episode, start = self._draw(batch, T - steps, generator)
        return (
            self._batch((episode, start), torch.arange(1), view, device)[:, 0],
            self._batch((episode, start + steps), torch.arange(1), view, device)[:, 0],
        )

    def _draw(
        self, batch: int, choices: int | Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Episodes and first frames; ``choices`` is the number of possible first frames."""
        shape = (_size(batch),)
        episode = torch.randint(len(self), shape, generator=_own(generator))
        share = torch.rand(shape, generator=generator, dtype=torch.float64)
        return episode, (share * choices).long()

    def _batch(
        self, first: tuple[Tensor, Tensor], steps: Tensor, view: int | None, device: Any
    ) -> Tensor:
        episode, start = first[0][:, None].numpy(), (first[1][:, None] + steps).numpy()
        if view is None:
            return to_float(self.images[episode, start], device)
        return to_float(self.images[episode, start, self._check_view(view)], device)

    def _check_view(self, view: int) -> int:
        check_integer(view, name="view", minimum=0)
        if view >= len(self.views):
            raise ValueError(complain("view", view, f"below {len(self.views)}: {self.views}"))
        return view

    # -- files -------------------------------------------------------------------------------

    def save(self, path: str | Path, compression: int = 2) -> Path:
        """Write one file with a checksum (:mod:`kpbook._store`), whole or not at all.

        Args:
            path: Where to; an older file is replaced.
            compression: xz's level, 0 (quick) to 9 (small).
        """
        description = {
            "kind": "episodes",
            "policies": self.policies,
            "objects": self.objects,
            "views": self.views,
            "cameras": to_lists(self.cameras),
            "look": self.look,
            "origin": self.origin,
        }
        arrays = {name: getattr(self, name) for name in (*_PER_EPISODE, "positions")}
        return _store.write(path, description, arrays, compression)

    @classmethod
    def load(cls, path: str | Path) -> Episodes:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            IsADirectoryError: If it is a folder.
            ValueError: If it is cut short, changed, of another version or another kind.
        """

        def make(description: dict[str, Any], arrays: dict[str, Any]) -> Episodes:
            names: dict[str, Any] = {
                name: tuple(description[name]) for name in ("policies", "objects", "views")
            }
            rest = {name: description[name] for name in ("look", "origin")}
            return cls(cameras=from_lists(description["cameras"]), **names, **rest, **arrays)

        return _store.read_as(path, "episodes", make)

    @classmethod
    def sample(cls) -> Episodes:
        """Return the recording that ships with the package; needs no simulator.

        :mod:`kpbook.world.sample` made it: PandaPush at 64 px through the paper's camera, two
        episodes in three with the paper's random walk, the third with the pushing policy.
        """
        return cls.load(_SAMPLE)

    @classmethod
    def from_frames(
        cls,
        frames: Any,
        truth: np.ndarray | None = None,
        visible: np.ndarray | None = None,
        objects: Sequence[str] | None = None,
    ) -> Episodes:
        """Make episodes of one view from your own pictures.

        Args:
            frames: uint8 ``(T, H, W, 3)``, one episode, or ``(E, T, H, W, 3)``; or a list of
                pictures ``(H, W, 3)`` or picture files in order, a folder of files (sorted by
                name), or an animated GIF.
                For a video, read it first: ``imageio.v3.imread("video.mp4")``.
            truth: Image coordinates ``(T, K, 2)`` or ``(E, T, K, 2)``, if you know them;
                :func:`kpbook.grid.from_pixels` converts pixels.
            visible: bool ``(T, K)`` or ``(E, T, K)``; everything inside the image without it.
            objects: Names along K.

        Raises:
            TypeError: If the pictures are not bytes, or there are none.
            ValueError: If shapes do not fit, sizes differ or the truth holds a NaN.
        """
        images = np.asarray(_plain(frames) if hasattr(frames, "shape") else _read_pictures(frames))
        check_uint8(images, name="frames", hint=_BYTES)
        if images.ndim not in (4, 5) or images.shape[-1] != 3 or 0 in images.shape:
            got = f"shape {images.shape}"
            expected = "(T, H, W, 3) or (E, T, H, W, 3), nothing empty"
            raise ValueError(complain("frames", got, expected, _COLOUR_LAST))
        one = images.ndim == 4
        images = images[None] if one else images
        E, T, H, W, _ = images.shape
        if truth is None:
            points = np.zeros((E, T, 0, 2))
        else:
            expected = "image coordinates (T, K, 2) or (E, T, K, 2)"
            points = as_float64(truth, name="truth", expected=expected)
            points = points[None] if one else points
            if points.ndim != 4 or points.shape[:2] != (E, T) or points.shape[3] != 2:
                expected = "(T, K, 2)" if one else "(E, T, K, 2)"
                hint = f"There are {E} episode(s) of {T} frames."
                raise ValueError(complain("truth", f"shape {np.shape(truth)}", expected, hint))
        K = points.shape[2]
        edges = [W / max(W - 1, 1), H / max(H - 1, 1)]
        seen: np.ndarray = np.all(np.abs(points) <= edges, axis=-1)
        if visible is not None:
            seen = np.asarray(_plain(visible), dtype=bool)
            seen = seen[None] if one else seen
        return cls(
            images=images[:, :, None],
            truth=points[:, :, None],
            visible=seen[:, :, None],
            actions=np.zeros((E, T, 0), dtype=np.float32),
            rewards=np.zeros((E, T), dtype=np.float32),
            terminated=np.zeros((E, T), dtype=bool),
            seeds=np.full(E, -1),
            positions=np.full((E, T, K, 3), np.nan),
            policies=("unknown",) * E,
            objects=tuple(objects or (f"object {k}" for k in range(K))),
            views=("yours",),
            cameras=(),
            look="yours",
            origin={},
        )


def _size(batch: int) -> int:
    return check_integer(batch, name="batch", minimum=1, hint="How many to draw.")


def _own(generator: torch.Generator) -> torch.Generator:
    if not isinstance(generator, torch.Generator):
        hint = "Make one with torch.Generator().manual_seed(0)."
        raise TypeError(complain("generator", repr(generator), "a torch.Generator", hint))
    return generator


# -- recording -------------------------------------------------------------------------------


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
    generator is ``numpy.random.default_rng([that seed, 1])``.

    Args:
        world: Where the frames come from; all of its ``cameras`` are recorded.
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
    missing = [part for part in ("reset", "step", "frame", "truth") if not hasattr(world, part)]
    if missing:
        got = f"{type(world).__name__}, which has no {', '.join(missing)}"
        raise TypeError(complain("world", got, "a world such as kpbook.world.PushWorld()"))
    check_integer(episodes, name="episodes", minimum=1)
    check_integer(steps, name="steps", minimum=1)
    check_integer(seed, name="seed", minimum=0)
    check_integer(workers, name="workers", minimum=1, hint="1 records in this process.")
    makers: list[Any] = list(policy) if isinstance(policy, list | tuple) else [policy]
    if not makers:
        raise ValueError(complain("policy", "an empty list", "at least one policy"))
    for maker in makers:
        if isinstance(maker, str):
            world.policy(maker, np.random.default_rng(0))  # raises if it is unknown
        elif not callable(maker):
            expected = "a name or a function (world, rng) -> policy, or a list of those"
            raise TypeError(complain("policy", repr(maker), expected))

    job = _Job(makers, steps, seed)
    origin = job.origin(world, episodes)
    path = None
    if cache is not None:
        path = _cache_path(cache, makers, origin)
        found = _read_cache(path, origin)
        if found is not None:
            return found
        _prepare_cache(path.parent)
    parts = _play_all(world, job, episodes, workers, progress)
    recorded = Episodes(
        **{name: np.stack([part[name] for part in parts]) for name in parts[0]},
        policies=tuple(_label(makers[i % len(makers)]) for i in range(episodes)),
        objects=tuple(world.objects),
        views=tuple(world.cameras),
        cameras=tuple(world.cameras.values()),
        look=world.look,
        origin=origin,
    )
    if path is not None:
        try:
            recorded.save(path)
        except OSError as error:  # a full disk, say: what was recorded is worth more
            warnings.warn(f"The recording was not cached: {error}", stacklevel=2)
    return recorded


class _Job(NamedTuple):
    """What a worker has to know."""

    makers: list[Any]
    steps: int
    seed: int

    def origin(self, world: World, episodes: int) -> dict[str, Any]:
        """All that shapes the bytes of a recording, as it reads back from JSON."""
        settings = {
            "world": world.description(),
            "policy": [_label(maker) for maker in self.makers],
            "episodes": episodes,
            "steps": self.steps,
            "seed": self.seed,
        }
        return dict(json.loads(json.dumps(settings)))

    def play(self, world: World, i: int) -> dict[str, np.ndarray]:
        """Play episode ``i`` and return its arrays, without the axis E."""
        start = int(np.random.SeedSequence([self.seed, i]).generate_state(1)[0])
        rng = np.random.default_rng([start, 1])
        maker = self.makers[i % len(self.makers)]
        observation, _ = world.reset(seed=start)
        policy = world.policy(maker, rng) if isinstance(maker, str) else maker(world, rng)
        rows = []
        for _ in range(self.steps):
            action = policy(observation)
            observation, reward, terminated, _, _ = world.step(action)
            rows.append(
                {
                    "images": np.stack([world.frame(view) for view in world.cameras]),
                    "truth": np.stack([world.truth(view) for view in world.cameras]),
                    "visible": np.stack([world.visible(view) for view in world.cameras]),
                    "actions": np.asarray(action, dtype=np.float32),
                    "rewards": np.array(reward, dtype=np.float32),
                    "terminated": np.array(terminated, dtype=bool),
                    "positions": world.positions(),
                }
            )
        arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        return {**arrays, "seeds": np.array(start)}


_worker: tuple[World, _Job] | None = None


def _start_worker(world: World, job: _Job) -> None:
    global _worker
    _worker = world, job
    threading.Thread(target=_end_with_parent, daemon=True).start()


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


def _play_all(
    world: World, job: _Job, episodes: int, workers: int, progress: bool
) -> list[dict[str, np.ndarray]]:
    bar = {"total": episodes, "unit": "episode", "disable": not progress}
    if workers == 1:
        return list(tqdm((job.play(world, i) for i in range(episodes)), **bar))
    try:
        pickle.dumps((world, job))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        hint = "Define the policy at the top level of a module, or record with workers=1."
        raise ValueError(complain("workers", f"{workers}, but {error}", "1", hint)) from error
    pool = ProcessPoolExecutor(
        min(workers, episodes),
        mp_context=multiprocessing.get_context("spawn"),  # pybullet does not survive a fork
        initializer=_start_worker,
        initargs=(world, job),
    )
    try:
        with pool:
            return list(tqdm(pool.map(_play_in_worker, range(episodes)), **bar))
    except BrokenProcessPool as error:
        hint = (
            "A script needs `if __name__ == '__main__':` around the call; policies defined in a "
            "notebook cannot travel; or the machine ran out of memory. workers=1 always works."
        )
        raise RuntimeError(complain("workers", "a worker that died", "it to live", hint)) from error


def _cache_path(folder: Any, makers: Sequence[Any], origin: Mapping[str, Any]) -> Path:
    if not isinstance(folder, str | Path):
        raise TypeError(complain("cache", repr(folder), "a folder's name, str or pathlib.Path"))
    for maker in makers:
        if not isinstance(maker, str):
            hint = "Nothing tells two versions of a function apart; leave cache out."
            raise ValueError(complain("cache", f"policy {maker!r}", "policies by name", hint))
    digest = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()
    path = Path(folder) / f"episodes-{digest[:16]}.kpe"
    if path.is_dir():
        hint = "Move it away, or cache in another folder."
        raise ValueError(complain("cache", f"a folder at {path}", "a file or nothing there", hint))
    return path


def _prepare_cache(folder: Path) -> None:
    """Make the folder, or raise now and not after hours of recording."""
    hint = "Name a folder; it is made if it is missing."
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        got = f"{folder}, which cannot be a folder ({error.strerror})"
        raise ValueError(complain("cache", got, "a folder", hint)) from error
    if not os.access(folder, os.W_OK):
        raise ValueError(complain("cache", f"{folder}, which is read-only", "a folder", hint))


def _read_cache(path: Path, origin: Mapping[str, Any]) -> Episodes | None:
    """Return a cached recording, or ``None`` if there is none that can be trusted."""
    if not path.exists():
        return None
    try:
        episodes = Episodes.load(path)
        if episodes.origin != origin:
            raise ValueError(complain(str(path), "a recording of other settings", "this one's"))
    except (ValueError, OSError) as error:
        warnings.warn(f"{error} It is recorded anew.", stacklevel=3)
        return None
    return episodes


def _label(maker: str | PolicyMaker) -> str:
    return maker if isinstance(maker, str) else getattr(maker, "__name__", type(maker).__name__)


# -- a reader's own pictures -----------------------------------------------------------------


def _plain(x: Any) -> Any:
    """A tensor as an array; anything else as it is."""
    return x.detach().cpu().numpy() if isinstance(x, Tensor) else x


def _read_pictures(source: Any) -> np.ndarray:
    """Read picture files, uint8 ``(T, H, W, 3)``."""
    from PIL import Image, ImageSequence, UnidentifiedImageError

    if isinstance(source, str | Path):
        place = Path(source)
        if place.is_dir():
            source = sorted(p for p in place.iterdir() if p.suffix.lower() in _PICTURES)
        else:
            source = [place]
    expected = "pictures: an array, a file, a folder, or a list of files or arrays (H, W, 3)"
    if not isinstance(source, Iterable):
        raise TypeError(complain("frames", repr(source), expected))
    files = [_plain(file) for file in source]
    if not files:
        raise ValueError(complain("frames", "no pictures", f"files of {sorted(_PICTURES)}"))
    pictures: list[np.ndarray] = []
    for file in files:
        if isinstance(file, np.ndarray):
            pictures.append(file)
            continue
        if not isinstance(file, str | Path):
            raise TypeError(complain("frames", f"a list that holds {file!r}", expected))
        try:
            with Image.open(file) as image:
                pages = [page.convert("RGB") for page in ImageSequence.Iterator(image)]
        except UnidentifiedImageError:
            hint = 'For a video, pass imageio.v3.imread("video.mp4").'
            raise ValueError(complain("frames", str(file), "a picture file", hint)) from None
        pictures += [np.asarray(page) for page in pages]
    for file, picture in zip(files, pictures, strict=False):
        if picture.shape != pictures[0].shape:
            got = f"{picture.shape[:2]} in {file if not isinstance(file, np.ndarray) else 'one'}"
            expected = f"pictures of one size, {pictures[0].shape[:2]}"
            raise ValueError(complain("frames", got, expected, "Resize or crop them first."))
    return np.stack(pictures)
