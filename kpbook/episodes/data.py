"""The recording itself: arrays that belong together, selected, split, saved and loaded."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from kpbook import _store
from kpbook._arrays import as_flags, as_float64, as_stored, plain
from kpbook._checks import check_finite, check_integer, check_uint8, check_unmasked, complain
from kpbook.cameras import Camera, from_lists, to_lists
from kpbook.episodes.pictures import BYTES, COLOUR_LAST, own_fields
from kpbook.episodes.samplers import Samplers
from kpbook.grid import to_pixels

_SAMPLE = Path(__file__).parents[1] / "data" / "push_sample.kpe"
_PER_EPISODE = ("images", "truth", "visible", "actions", "rewards", "terminated", "seeds")
_NAMES = ("policies", "objects", "views")


class Flat(NamedTuple):
    """All frames of one view in a row, M = E * T; what the metrics take."""

    images: np.ndarray  # uint8 (M, H, W, 3)
    truth: np.ndarray  # float64 (M, K, 2)
    visible: np.ndarray  # bool (M, K)
    episode: np.ndarray  # int64 (M,)


@dataclass(frozen=True, eq=False)
class Episodes(Samplers):
    """Episodes of equal length and everything known about their frames.

    ``len`` is the number of episodes; ``episodes[3]``, ``episodes[:10]`` and a list or mask of
    episodes give ``Episodes`` again. What it is made of is copied.

    Attributes:
        images: Frames, uint8 ``(E, T, V, H, W, 3)``.
        truth: Image coordinates of the objects, float64 ``(E, T, V, K, 2)``; may lie outside.
        visible: Whether a point is inside the image and not hidden, bool ``(E, T, V, K)``.
        actions: The action that led to the frame, float32 ``(E, T, A)``.
        rewards: float32 ``(E, T)``.
        terminated: Whether the goal is met in the frame, bool ``(E, T)``.
        seeds: ``world.reset(seed=...)`` of each episode, int64 ``(E,)``; -1 if there is none.
        policies: Name of the policy of each episode.
        objects: Names along K.
        views: Names along V.
        cameras: One per view, or none if unknown.
        look: How the world was drawn.
        origin: Settings, seed and versions that made a recording, in plain types; else empty.
        extras: Whatever else is known of each frame, name -> numbers or flags ``(E, T, ...)``:
            ``"positions"``, depth, masks, states, another view. ``"start"``, bool ``(E, T)``,
            marks the first frame of each game where several lie in one episode; nothing that is
            drawn crosses one.
    """

    images: np.ndarray
    truth: np.ndarray
    visible: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    seeds: np.ndarray
    policies: tuple[str, ...]
    objects: tuple[str, ...]
    views: tuple[str, ...]
    cameras: tuple[Camera, ...]
    look: str
    origin: Mapping[str, Any]
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = self._copied() | {name: tuple(getattr(self, name)) for name in _NAMES}
        own |= {"cameras": tuple(self.cameras), "origin": copy.deepcopy(dict(self.origin))}
        for name, value in own.items():
            object.__setattr__(self, name, value)
        self._check()

    def _copied(self) -> dict[str, Any]:
        """Arrays of our own, of the promised types."""
        check_uint8(self.images, name="images", hint=BYTES)
        numbers = {
            name: as_float64(getattr(self, name), name=name, expected="numbers").astype(dtype)
            for name, dtype in (
                ("truth", np.float64),
                ("actions", np.float32),
                ("rewards", np.float32),
            )
        }
        flags = {n: as_flags(getattr(self, n), name=n) for n in ("visible", "terminated")}
        return {
            "images": np.array(plain(self.images)),
            **numbers,
            **flags,
            "seeds": _whole(self.seeds),
            "extras": {n: as_stored(x, name=f"extras[{n!r}]") for n, x in self.extras.items()},
        }

    @classmethod
    def _made(cls, **values: Any) -> Self:
        """Episodes of arrays that are ours already: checked, not copied."""
        made = object.__new__(cls)
        for name in (f.name for f in fields(cls)):
            object.__setattr__(made, name, values.pop(name))
        if values:
            raise TypeError(f"no fields of Episodes: {sorted(values)}")
        made._check()
        return made

    def _but(self, **values: Any) -> Self:
        """The same episodes with other values, which are ours already."""
        return self._made(**{f.name: getattr(self, f.name) for f in fields(self)} | values)

    def _check(self) -> None:
        if self.images.ndim != 6 or self.images.shape[-1] != 3 or 0 in self.images.shape:
            got = f"shape {self.images.shape}"
            raise ValueError(complain("images", got, "(E, T, V, H, W, 3)", COLOUR_LAST))
        E, T, V = self.images.shape[:3]
        K, A = len(self.objects), self.actions.shape[-1] if self.actions.ndim else 0
        shapes: dict[str, tuple[int, ...]] = {
            "truth": (E, T, V, K, 2),
            "visible": (E, T, V, K),
            "actions": (E, T, A),
            "rewards": (E, T),
            "terminated": (E, T),
            "seeds": (E,),
        }
        hint = f"There are {E} episodes, {T} frames, {V} views and {K} objects."
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                got = f"shape {getattr(self, name).shape}"
                raise ValueError(complain(name, got, str(shape), hint))
        check_finite(self.truth, name="truth", hint="A point behind the camera has no image.")
        counts = {"policies": (E,), "views": (V,), "cameras": (V, 0)}
        for name, allowed in counts.items():
            if len(getattr(self, name)) not in allowed:
                raise ValueError(
                    complain(name, f"{len(getattr(self, name))} of them", f"{allowed[0]}")
                )
        self._check_extras(E, T, K, hint)

    def _check_extras(self, E: int, T: int, K: int, hint: str) -> None:
        known = {"positions": ((E, T, K, 3), "f"), "start": ((E, T), "b")}
        for name, array in self.extras.items():
            if name in _PER_EPISODE:
                raise ValueError(complain("extras", repr(name), "a name of its own", ""))
            shape, kind = known.get(name, ((E, T, *array.shape[2:]), array.dtype.kind))
            if array.shape != shape or array.dtype.kind != kind:
                got = f"shape {array.shape} of dtype {array.dtype}"
                expected = f"{shape}" if name in known else f"({E}, {T}, ...)"
                word = {"f": " of floats", "b": " of bools"}.get(kind, "") if name in known else ""
                raise ValueError(complain(f"extras[{name!r}]", got, expected + word, hint))

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
    def positions(self) -> np.ndarray:
        """Places of the objects, float64 ``(E, T, K, 3)`` metres; NaN if unknown."""
        unknown = (*self.images.shape[:2], len(self.objects), 3)
        return self.extras["positions"] if "positions" in self.extras else np.full(unknown, np.nan)

    @property
    def truth_px(self) -> np.ndarray:
        """The truth in pixels, ``(E, T, V, K, 2)``: an integer is the centre of a pixel."""
        if not self.objects:
            return self.truth
        return to_pixels(self.truth, self.image_size)

    @property
    def games(self) -> np.ndarray:
        """Number of each frame's game, int64 ``(E, T)``; where none restarts, of its episode."""
        E, T = self.images.shape[:2]
        start = np.zeros((E, T), dtype=bool) | self.extras.get("start", False)
        start[:, 0] = True
        numbers: np.ndarray = start.ravel().cumsum().reshape(E, T) - 1
        return numbers

    def __iter__(self) -> Iterator[Episodes]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Episodes:
        check_unmasked(key, name="episodes[...]")
        index = np.arange(len(self))[key]  # raises IndexError past the end
        index = np.atleast_1d(index)
        if not len(index):
            got = f"{key!r}, which selects no episode"
            raise ValueError(complain("episodes", got, f"some of the {len(self)} episodes"))
        return self._but(
            policies=tuple(self.policies[i] for i in index),
            extras={name: array[index] for name, array in self.extras.items()},
            **{name: getattr(self, name)[index] for name in _PER_EPISODE},
        )

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
        seed = check_integer(seed, name="seed", minimum=0)
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

    def flat(self, view: int = 0) -> Flat:
        """Return all frames of one view in a row, episode by episode.

        Games of one episode are told apart by :attr:`games`, not by anything in it.
        """
        view = self._check_view(view)
        E, T, _, H, W, _ = self.images.shape
        return Flat(
            images=self.images[:, :, view].reshape(E * T, H, W, 3),
            truth=self.truth[:, :, view].reshape(E * T, -1, 2),
            visible=self.visible[:, :, view].reshape(E * T, -1),
            episode=np.repeat(np.arange(E), T),
        )

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
        arrays = {name: getattr(self, name) for name in _PER_EPISODE}
        return _store.write(path, description, {**arrays, **self.extras}, compression)

    @classmethod
    def load(cls, path: str | Path) -> Episodes:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            IsADirectoryError: If it is a folder.
            ValueError: If it is cut short, changed, of another version or another kind.
        """

        def make(description: dict[str, Any], arrays: dict[str, Any]) -> Episodes:
            names = {name: tuple(description[name]) for name in _NAMES}
            rest = {name: description[name] for name in ("look", "origin")}
            own = {name: arrays.pop(name) for name in _PER_EPISODE}
            cameras = from_lists(description["cameras"])
            return cls._made(cameras=cameras, extras=arrays, **names, **rest, **own)

        return _store.read_as(path, "episodes", make)

    @classmethod
    def sample(cls) -> Episodes:
        """Return the recording that ships with the package; needs no simulator.

        :mod:`kpbook.world.push.sample` made it: PandaPush at 64 px through the camera of Cramer et
        al. (2024), two episodes in three with their random walk, the third with the pushing policy.
        """
        sample = cls.load(_SAMPLE)
        return sample._but(views=("cramer2024",))  # it was written when that was called "paper"

    @classmethod
    def from_frames(
        cls,
        frames: Any,
        truth: np.ndarray | None = None,
        visible: np.ndarray | None = None,
        objects: Sequence[str] | None = None,
    ) -> Self:
        """Make episodes of one view from your own pictures.

        Args:
            frames: uint8 ``(T, H, W, 3)``, one episode, or ``(E, T, H, W, 3)``; or a list of
                pictures ``(H, W, 3)`` or picture files in order; or a folder of files, in
                natural order: 9.png before 10.png, upper case as lower; or one file. In a list
                or a folder each file gives one picture, its first. A file given alone may be a
                film: an animated GIF, PNG or WebP, or a TIFF of several pages.
                For a video, read it first: ``imageio.v3.imread("video.mp4")``.
                Pictures are turned as their EXIF orientation says; what is transparent is laid
                over white; grey of 16 bits is divided by 257 and rounded. Other files, and
                arrays, of more than 8 bits a colour have no one scale and are refused.
            truth: Image coordinates ``(T, K, 2)`` or ``(E, T, K, 2)``, if you know them;
                :func:`kpbook.grid.from_pixels` converts pixels.
            visible: bool ``(T, K)`` or ``(E, T, K)``; everything inside the image without it.
            objects: Names along K.

        All of it is copied.

        Raises:
            FileNotFoundError: If a file is missing.
            TypeError: If pictures have more than 8 bits a colour or are no pictures, or
                ``visible`` holds anything but True and False.
            ValueError: If there are none, a file is broken, shapes do not fit, sizes differ, the
                truth holds a NaN or an array is masked.
        """
        return cls._made(**own_fields(frames, truth, visible, objects))


def _whole(seeds: Any) -> np.ndarray:
    """A copy as int64."""
    numbers = as_stored(seeds, name="seeds")
    if numbers.dtype.kind not in "iu":
        raise TypeError(complain("seeds", f"dtype {numbers.dtype}", "whole numbers, -1 for none"))
    if (numbers > np.iinfo(np.int64).max).any():
        raise ValueError(complain("seeds", int(numbers.max()), "below 2**63"))
    return numbers.astype(np.int64)
