"""Keypoints of a recording, and in which frames there are any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kpbook._arrays import as_flags, as_float64
from kpbook._checks import check_finite, check_shape, complain


@dataclass(frozen=True, eq=False)
class Points:
    """Keypoints of M frames, some of which have no point.

    A frame without a point is no place: :func:`kpbook.judge.judge` and the metrics (``found=``)
    leave it out, and say how many were left. What is given is copied.

    Attributes:
        points: ``(M, N, 2)`` float64, order (x, y), image coordinates; 0 where nothing was found.
        found: bool ``(M, N)``; all true if it is not given.
        names: Of the N keypoints; "0", "1", … if they are not given.

    Raises:
        TypeError: If ``points`` does not hold numbers, or ``found`` anything but True and False.
        ValueError: If the shapes do not fit, or a point that was found is NaN or infinite.
    """

    points: np.ndarray
    found: np.ndarray = None  # type: ignore[assignment]  # see __post_init__
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        hint = "Frames, keypoints, (x, y)."
        z = as_float64(self.points, name="points", expected="(M, N, 2) numbers", hint=hint)
        M, N = check_shape(z, "M N 2", name="points", hint=hint)
        there = np.ones((M, N), dtype=bool)
        if self.found is not None:
            there = as_flags(self.found, name="found", hint="True where there is a point.")
            check_shape(there, f"{M} {N}", name="found", hint="One for each point.")
        z[~there] = 0
        check_finite(z, name="points", hint="Say where nothing was found with found, not with NaN.")
        object.__setattr__(self, "points", z)
        object.__setattr__(self, "found", there)
        object.__setattr__(self, "names", _as_names(self.names, N))

    def __len__(self) -> int:
        return len(self.points)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The points as an array, if none is missing."""
        if not self.found.all():
            got = f"{(~self.found).mean():.1%} of the points missing"
            hint = "Pass .points and found=.found, or the Points themselves where they are taken."
            raise ValueError(complain("Points", got, "a point in every frame", hint))
        return np.array(self.points, dtype=dtype)

    def __repr__(self) -> str:
        M, N = self.found.shape
        names = ", ".join(self.names[:4]) + (", …" if N > 4 else "")
        return f"Points({M} frames, {N} keypoints: {names}; {self.found.mean():.1%} found)"


def _as_names(names: Sequence[str], N: int) -> tuple[str, ...]:
    if isinstance(names, str) or len(names) not in (0, N):
        raise ValueError(complain("names", repr(names), f"{N} names, one for each keypoint"))
    return tuple(str(name) for name in names) or tuple(str(n) for n in range(N))
