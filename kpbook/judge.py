"""Any keypoint detector against labelled episodes, by every metric of chapter 4 at once.

What is judged may be a trained extractor, any function from images to keypoints, an array, or a
CSV file that another program wrote. The protocol is the same for all: the affine maps are fitted,
and each object's keypoint is chosen, on the first half of the episodes; the second half is scored.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kpbook import runs
from kpbook._checks import (
    check_choice,
    check_finite,
    check_integer,
    check_positive,
    check_shape,
    complain,
)
from kpbook.episodes import Episodes, Flat
from kpbook.images import to_float
from kpbook.metric import (
    PrecisionRecall,
    RegressionResult,
    TrackingResult,
    pck,
    precision_recall,
    regression_error,
    tracking_error,
)

#: Largest error of a tracked object. Source: Cramer et al. (2024), section 5.1.
THRESHOLDS: Mapping[str, float] = {
    "cube": 0.015, "second_cube": 0.015, "target": 0.015, "end_effector": 0.1,
}  # fmt: skip
#: R² of a tracked object that has no threshold: what the paper's thresholds amount to for its own.
R2_TRACKED = 0.71
#: Radius of PCK, precision and recall, image coordinates: Kulkarni et al. (2019) for their blocks.
RADIUS = 0.15
#: Windows of precision and recall, in frames; those longer than the episodes are left out.
LENGTHS = (1, 5, 20)

Detector = Callable[[torch.Tensor], Any]


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
        return {"detector": self.name, "tracked": tracked, **means, **windows}

    def __repr__(self) -> str:
        return f"{self.name}\n{runs.table(self.rows())}"

    def _repr_html_(self) -> str:
        return runs.table(self.rows(), caption=self.name)._repr_html_()


def judge(
    detector: Detector | np.ndarray | torch.Tensor | str | Path,
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
            ``(B, N, 2)``; or keypoints of all frames in a row, ``(M, N, 2)``; or the path of a CSV
            file with them (:func:`read_points`). Order (x, y), image coordinates.
        episodes: Frames with truth.
        name: What it is called in tables.
        thresholds: Object -> largest error of a tracked object; :data:`THRESHOLDS`, which belong
            to the paper's recording, without it. An object that has none is tracked from an R² of
            :data:`R2_TRACKED` on, so ``{}`` asks that of all.
        radius: Of PCK, precision and recall.
        lengths: Windows of precision and recall, in frames.
        view: Which camera.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If the detector is none of these.
        ValueError: If there is no truth, there are fewer than four episodes, shapes do not fit, a
            keypoint is NaN or infinite, or an option is out of range.

    Warns:
        UserWarning: If coordinates look like pixels, or as if they came in the order (y, x).
    """
    for obj in thresholds or ():
        check_choice(obj, episodes.objects, name="thresholds")
    if len(episodes) < 4 or not episodes.objects:
        got = f"{len(episodes)} episodes with {len(episodes.objects)} objects"
        hint = "Half of them fit the maps, the other half is scored."
        raise ValueError(complain("episodes", got, "at least 4 with truth", hint))
    flat = episodes.flat(view)
    points = _as_keypoints(detector, flat)
    size = episodes.image_size
    second = flat.episode >= len(episodes) // 2
    z, y, seen, label = (x[second] for x in (points, flat.truth, flat.visible, flat.episode))
    fit = points[~second], flat.truth[~second]
    fit_seen = flat.visible[~second]
    result = tracking_error(z, y, *fit, episode=label)
    steps = [n for n in lengths if n <= episodes.truth.shape[1]]
    matching = precision_recall(z, y, radius, steps, visible=seen, episode=label)
    inside = (np.abs(y) < np.array([n / (n - 1) for n in size[::-1]])).all(axis=-1)
    mu = THRESHOLDS if thresholds is None else thresholds
    with warnings.catch_warnings():  # the two calls above have said it
        warnings.simplefilter("ignore", UserWarning)
        return Verdict(
            name=name or _name(detector),
            objects=episodes.objects,
            tracked=_tracked(result, episodes.objects, mu),
            tracking=result,
            same_frames=tracking_error(z, y),
            in_view=tracking_error(z, y, *fit, visible=seen, fit_visible=fit_seen, episode=label),
            regression=regression_error(z, y, *fit),
            on_object=pck(z[:, result.keypoint], y, radius, visible=seen),
            after_map=pck(result.predict(z), y, radius, visible=seen),
            matching=matching,
            outside=1 - inside.mean(axis=0),
            hidden=(inside & ~seen).mean(axis=0),
            image_size=size,
        )


@torch.no_grad()
def keypoints(
    detector: Detector, episodes: Episodes, *, view: int = 0, batch: int = 64
) -> np.ndarray:
    """Keypoints of all frames in a row, float32 or float64 ``(M, N, 2)``.

    Args:
        detector: As in :func:`judge`. A torch module gets its images where its weights are.
        episodes: Frames.
        view: Which camera.
        batch: Images at a time.

    Raises:
        TypeError: If the detector does not return numbers.
        ValueError: If it does not return ``(B, N, 2)`` for B images, or N changes.
    """
    check_integer(batch, name="batch", minimum=1, hint="Images at a time.")
    return _run(detector, episodes.flat(view).images, batch)


def read_points(path: str | Path, frames: int) -> np.ndarray:
    """Read keypoints of all frames from a CSV file, float64 ``(M, N, 2)``.

    The header is ``x0,y0,x1,y1,...``; then comes one row per frame, in the order of
    ``episodes.flat()``: all frames of the first episode, then of the second.

    Args:
        path: The file.
        frames: How many frames there are, M.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If header, columns or rows do not fit, or a cell is not a number; the message
            names the line.
    """
    path = Path(path)
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    N = len(header) // 2
    if not N or header != [f"{axis}{n}" for n in range(N) for axis in "xy"]:
        got = f"header {','.join(header)[:60]!r}"
        hint = "Two columns for each keypoint, x to the right and y down, -1 to +1."
        raise ValueError(complain(path.name, got, "'x0,y0,x1,y1,...'", hint))
    rows = [row for row in rows if row]
    if len(rows) != frames:
        hint = "One row per frame, in the order of episodes.flat()."
        raise ValueError(complain(path.name, f"{len(rows)} rows", f"{frames}", hint))
    values = np.empty((frames, 2 * N))
    for i, row in enumerate(rows):
        try:
            values[i] = [float(cell) for cell in row]
        except ValueError:
            got = f"{','.join(row)[:60]!r}"
            expected = f"{2 * N} numbers"
            raise ValueError(complain(f"{path.name}, row {i + 1}", got, expected)) from None
    return values.reshape(frames, N, 2)


def _as_keypoints(detector: Any, flat: Flat) -> np.ndarray:
    M = len(flat.images)
    if isinstance(detector, str | Path):
        points = read_points(detector, M)
    elif isinstance(detector, np.ndarray | torch.Tensor):
        points = np.asarray(detector.detach().cpu() if torch.is_tensor(detector) else detector)
    elif callable(detector):
        with torch.no_grad():
            points = _run(detector, flat.images, 64)
    else:
        expected = "a function from images to keypoints, an array, or the path of a CSV file"
        raise TypeError(complain("detector", type(detector).__name__, expected))
    hint = "Keypoints of all frames in a row, in the order of episodes.flat()."
    check_shape(points, f"{M} N 2", name="detector", hint=hint)
    check_finite(points, name="detector", hint="A keypoint has a place in every frame.")
    return points


def _run(detector: Detector, images: np.ndarray, batch: int) -> np.ndarray:
    weights = detector.parameters() if isinstance(detector, torch.nn.Module) else iter(())
    device = next((w.device for w in weights), "cpu")
    hint = "One row of keypoints per image, each (x, y)."
    parts: list[np.ndarray] = []
    for start in range(0, len(images), batch):
        some = images[start : start + batch]
        part = detector(to_float(some, device))
        part = part.detach().cpu().numpy() if torch.is_tensor(part) else np.asarray(part)
        N = parts[0].shape[1] if parts else "N"
        check_shape(part, f"{len(some)} {N} 2", name="detector(images)", hint=hint)
        parts.append(part)
    return np.concatenate(parts)


def _tracked(
    result: TrackingResult, objects: Sequence[str], thresholds: Mapping[str, float]
) -> np.ndarray:
    for obj, mu in thresholds.items():
        check_positive(mu, name=f"thresholds[{obj!r}]", hint="A mean squared distance.")
    each = zip(objects, result.error, result.r2, strict=True)
    return np.array(
        [e <= thresholds[k] if k in thresholds else r2 >= R2_TRACKED for k, e, r2 in each]
    )


def _name(detector: Any) -> str:
    if isinstance(detector, str | Path):
        return Path(detector).stem
    return str(getattr(detector, "name", "") or getattr(detector, "__name__", "keypoints"))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None
