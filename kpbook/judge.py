"""Any keypoint detector against labelled episodes, by every metric of chapter 4 at once.

What is judged may be a trained extractor, any function from images to keypoints, an array, or a
file that another program wrote (:mod:`kpbook.points`). The protocol is the same for all: the affine
maps are fitted, and each object's keypoint is chosen, on the first half of the episodes; the second
half is scored.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kpbook import tables
from kpbook._checks import check_choice, check_positive, check_scalar, complain
from kpbook.detect import Detector, check_episodes, keypoints, points_of
from kpbook.episodes import Episodes, Flat
from kpbook.metric import (
    THRESHOLD_OF,
    PrecisionRecall,
    RegressionResult,
    TrackingResult,
    pck,
    precision_recall,
    regression_error,
    tracking_error,
)
from kpbook.metric._frames import as_lengths
from kpbook.points import Points, read_points

__all__ = [
    "LENGTHS",
    "PROTOCOL",
    "R2_TRACKED",
    "RADIUS",
    "Detector",
    "Points",
    "Verdict",
    "by_halves",
    "judge",
    "keypoints",
    "read_points",
]

#: Counted up by every change that moves a number of a verdict, so that recorded ones are renewed.
PROTOCOL = 2
#: R² of a tracked object that has no threshold: what the paper's thresholds amount to for its own.
R2_TRACKED = 0.71
#: Radius of PCK, precision and recall, image coordinates: Kulkarni et al. (2019) for their blocks.
RADIUS = 0.15
#: Windows of precision and recall, in frames; those longer than all games are left out.
LENGTHS = (1, 5, 20)


@dataclass(frozen=True, eq=False, repr=False)
class Verdict:
    """What every metric says of one detector; shown in a notebook as a table.

    Attributes:
        name: What it is called in tables.
        objects: Names of the K objects.
        tracked: Whether each object's error is at most its threshold, bool ``(K,)``.
        tracking: Fitted on the first half of the episodes, scored on the second.
        same_frames: Fitted and scored on the second half, as the paper's code does.
        in_view: As ``tracking``, without the frames in which the object is hidden or outside.
        regression: From all keypoints at once.
        on_object: PCK of the chosen keypoints as they are, over frames in view, ``(K,)``.
        after_map: PCK of the same after their affine maps, ``(K,)``.
        matching: Precision and recall over windows, of objects in view.
        outside: Share of the scored frames in which the object is outside the image, ``(K,)``.
        hidden: Share in which it is inside, but something stands before it, ``(K,)``.
        image_size: (H, W) in pixels.
        found: Share of the keypoints of the scored frames that have a point. Below 1 the tables
            have a column "found"; of each object's keypoint it is ``tracking.found``, ``(K,)``.
    """

    name: str
    objects: tuple[str, ...]
    tracked: np.ndarray
    tracking: TrackingResult
    same_frames: TrackingResult
    in_view: TrackingResult
    regression: RegressionResult
    on_object: np.ndarray
    after_map: np.ndarray
    matching: PrecisionRecall
    outside: np.ndarray
    hidden: np.ndarray
    image_size: tuple[int, int]
    found: float = 1.0

    def rows(self) -> list[dict[str, Any]]:
        """One row per object; a number that does not exist is ``None``."""
        columns = {
            "error": self.tracking.error,
            "R²": self.tracking.r2,
            "px": self.tracking.rms_px(self.image_size),
            "R², same frames": self.same_frames.r2,
            "R², in view": self.in_view.r2,
            "R² within episodes": self.tracking.within_r2,
            "R² within, in view": self.in_view.within_r2,
            "R², all keypoints": self.regression.r2,
            "PCK": self.on_object,
            "PCK after the map": self.after_map,
            "outside": self.outside,
            "hidden": self.hidden,
        }
        if self.found < 1:
            columns["found"] = self.tracking.found
        return [
            {
                "object": obj,
                "keypoint": int(self.tracking.keypoint[k]),
                "tracked": "yes" if self.tracked[k] else "no",
                **{name: _number(column[k]) for name, column in columns.items()},
            }
            for k, obj in enumerate(self.objects)
        ]

    def row(self) -> dict[str, Any]:
        """One row for a table of detectors: shares, and means over the objects that have them."""
        columns = {
            "R²": self.tracking.r2,
            "R² within episodes": self.tracking.within_r2,
            "R², all keypoints": self.regression.r2,
            "PCK": self.on_object,
            "PCK after the map": self.after_map,
        }
        means = {name: _mean(column) for name, column in columns.items()}
        m, last = self.matching, len(self.matching.lengths) - 1
        windows = {
            f"{what} over {m.lengths[i]}": _number(getattr(m, what)[i])
            for i in dict.fromkeys((0, last))
            for what in ("precision", "recall")
        }
        tracked = f"{self.tracked.sum()} of {len(self.objects)}"
        found = {"found": self.found} if self.found < 1 else {}
        return {"detector": self.name, "tracked": tracked, **means, **windows, **found}

    def __repr__(self) -> str:
        return f"{self.name}\n{tables.show(self.rows())}"

    def _repr_html_(self) -> str:
        return tables.show(self.rows(), caption=self.name)._repr_html_()


def judge(
    detector: Detector | Points | np.ndarray | torch.Tensor | Sequence[Any] | str | Path,
    episodes: Episodes,
    *,
    name: str = "",
    thresholds: Mapping[str, float] | None = None,
    radius: float = RADIUS,
    lengths: Sequence[int] = LENGTHS,
    view: int = 0,
) -> Verdict:
    """Judge a detector on labelled episodes, at least four of them, that it was not trained on.

    Args:
        detector: A function from images, float32 ``(B, 3, H, W)`` in [0, 1], to keypoints
            ``(B, N, 2)``; or keypoints of all frames in a row, ``(M, N, 2)``, as array, tensor,
            nested lists or :class:`~kpbook.points.Points`; or the path of a file with them, of any
            format of :mod:`kpbook.points`. Order (x, y), image coordinates; a file's pixels are
            taken for those of the episodes' images, so call :func:`read_points` for others. Frames
            without a point are left out for that keypoint, as the metrics say, and counted.
        episodes: Frames with truth.
        name: What it is called in tables.
        thresholds: Object -> largest error of a tracked object; without it those of
            :data:`kpbook.metric.THRESHOLD_OF`, which belong to the paper's recording. An object
            that has none is tracked from an R² of :data:`R2_TRACKED` on, so ``{}`` asks that of
            all. One that never moves is not tracked.
        radius: Of PCK, precision and recall.
        lengths: Windows of precision and recall, in frames; none spans two games.
        view: Which camera.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If the detector or an option is of another kind.
        ValueError: If there is no truth, there are fewer than four episodes, shapes do not fit, a
            keypoint is NaN or infinite, the detector is a torch module in training mode, all
            windows are longer than the games, or an option is out of range.

    Warns:
        UserWarning: If coordinates look like pixels, or as if they came in the order (y, x), or
            most of a file's points lie outside the images.
    """
    check_episodes(episodes)
    for obj in thresholds or ():
        check_choice(obj, episodes.objects, name="thresholds")
    if len(episodes) < 4 or not episodes.objects:
        got = f"{len(episodes)} episodes with {len(episodes.objects)} objects"
        hint = "Half of them fit the maps, the other half is scored."
        raise ValueError(complain("episodes", got, "at least 4 with truth", hint))
    flat, games = episodes.flat(view), episodes.games.ravel()
    second = second_half(flat)
    steps = _windows(lengths, int(np.bincount(games[second]).max()))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        points, found = points_of(detector, episodes, view)
    _pass_on(caught)
    size = episodes.image_size
    there = None if found is None else found[second]
    masks: dict[str, Any] = {} if found is None else {"found": there, "fit_found": found[~second]}
    z, y, seen, label = (x[second] for x in (points, flat.truth, flat.visible, flat.episode))
    fit = points[~second], flat.truth[~second]
    fit_seen = flat.visible[~second]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = by_halves(points, flat, found)
        one_game = {"visible": seen, "episode": games[second], "found": there}
        matching = precision_recall(z, y, radius, steps, **one_game)
    _pass_on(caught)
    chosen = None if there is None else result.chosen_found(there)
    in_view = {"visible": seen, "fit_visible": fit_seen, **masks}
    scored = {"visible": seen, "found": chosen}
    inside = (np.abs(y) < np.array([n / max(n - 1, 1) for n in size[::-1]])).all(axis=-1)
    mu = THRESHOLD_OF if thresholds is None else thresholds
    with warnings.catch_warnings():  # the two calls above have said it
        warnings.simplefilter("ignore", UserWarning)
        return Verdict(
            name=name or _name(detector),
            objects=episodes.objects,
            tracked=_tracked(result, episodes.objects, mu),
            tracking=result,
            same_frames=tracking_error(z, y, found=there),
            in_view=tracking_error(z, y, *fit, episode=label, **in_view),
            regression=regression_error(z, y, *fit, **masks),
            on_object=pck(result.chosen(z), y, radius, **scored),
            after_map=pck(result.predict(z), y, radius, **scored),
            matching=matching,
            outside=1 - inside.mean(axis=0),
            hidden=(inside & ~seen).mean(axis=0),
            image_size=size,
            found=1.0 if there is None else float(there.mean()),
        )


def _pass_on(caught: Sequence[warnings.WarningMessage]) -> None:
    """Warn once of each, at the line of the caller's caller."""
    for text, kind in {str(said.message): said.category for said in caught}.items():
        warnings.warn(text, kind, stacklevel=3)


def by_halves(
    points: Any, flat: Flat, found: np.ndarray | None = None, *, seen_only: bool = False
) -> TrackingResult:
    """Tracking error of keypoints ``(M, N, 2)`` of the frames of ``flat``; ``found`` says which.

    The affine maps are fitted on the first half of the episodes and scored on the second: the
    frames of an episode are too alike to stand on both sides. With ``seen_only`` an object counts
    in the frames in which it is seen: one that has left the game is nowhere.
    """
    second = second_half(flat)
    fit = points[~second], flat.truth[~second]
    masks: dict[str, Any] = (
        {} if found is None else {"found": found[second], "fit_found": found[~second]}
    )
    if seen_only:
        masks |= {"visible": flat.visible[second], "fit_visible": flat.visible[~second]}
    scored = points[second], flat.truth[second]
    return tracking_error(*scored, *fit, episode=flat.episode[second], **masks)


def second_half(flat: Flat) -> np.ndarray:
    """Return which frames are scored, bool ``(T,)``: those of the second half of the episodes."""
    return np.asarray(flat.episode >= (flat.episode[-1] + 1) // 2)


def _windows(lengths: Sequence[int], T: int) -> list[int]:
    """Lengths that fit into a game of T frames."""
    sizes = as_lengths(lengths)
    some = [n for n in sizes if n <= T]
    if not some:
        expected = f"at least one of at most {T}, the frames of the longest game"
        raise ValueError(complain("lengths", tuple(sizes), expected))
    return some


def _tracked(
    result: TrackingResult, objects: Sequence[str], thresholds: Mapping[str, float]
) -> np.ndarray:
    for obj, mu in thresholds.items():
        name, hint = f"thresholds[{obj!r}]", "A mean squared distance."
        check_positive(check_scalar(mu, name=name, hint=hint), name=name, hint=hint)
    each = zip(objects, result.error, result.r2, strict=True)
    # Without an R² the object stood still: following it is not what was seen.
    good = [e <= thresholds[k] if k in thresholds else r2 >= R2_TRACKED for k, e, r2 in each]
    tracked: np.ndarray = np.array(good, dtype=bool) & np.isfinite(result.r2)
    return tracked


def _name(detector: Any) -> str:
    if isinstance(detector, str | Path):
        return Path(detector).stem
    return str(getattr(detector, "name", "") or getattr(detector, "__name__", "keypoints"))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None
