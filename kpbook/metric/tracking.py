r"""Does some keypoint follow the object? Tracking error and tracking capability.

For every pair of an object k and a keypoint n, an affine map from the keypoint to the object is
fitted by least squares. The object's keypoint is the one whose map fits best, and the object's
error is that map's mean squared distance over T frames:

.. math::
    e_k = \min_n \frac{1}{T} \sum_t \lVert A_{nk} z_{tn} + b_{nk} - y_{tk} \rVert^2

Source: Cramer et al. (2024), eq. (1), as a mean over frames. Their text prints a sum; their code,
and their thresholds, belong to the mean. Beyond the paper: the map is fitted, and the keypoint
chosen, on frames of its own; hidden frames are left out; R² and the within-episode error stand
beside the error.

All pairs are solved at once by centred 2x2 normal equations in float64.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kpbook._arrays import as_float64
from kpbook._checks import check_choice, check_positive, check_shape, complain
from kpbook.grid import Size, to_pixels
from kpbook.metric._frames import Frames, as_frames, as_points
from kpbook.metric._maps import about_each_mean, fit_linear, fit_maps, rounding

#: The paper's largest error of a tracked object: cube, target, end effector.
THRESHOLDS = (0.015, 0.015, 0.1)
#: What may lie between a keypoint and an object; "scale" is one factor per axis, and a shift.
TRANSFORMS = ("affine", "scale", "identity")
#: Truth beyond this in more than half of the points is not in image coordinates. An object that
#: leaves the image reaches about 3 for a few frames; pixels lie beyond 4 nearly everywhere.
FAR = 4.0


@dataclass(frozen=True, eq=False)
class TrackingResult:
    """How well each of K objects is tracked, and by which of N keypoints.

    All numbers are float64, lengths in image coordinates (-1 to +1). An object that is seen in no
    frame has error NaN and keypoint -1.

    Attributes:
        error: Mean over the frames in which the object is seen of the squared distance between
            the object and its keypoint's prediction, ``(K,)``.
        keypoint: Index of the keypoint that fits the object best on the fit frames, ``(K,)``.
        r2: 1 - error / baseline, ``(K,)``: 1 is perfect, 0 no better than a constant, and worse
            than that is negative. NaN for an object that never moves.
        within: Error of the same keypoint after both were centred in each episode, with the
            linear part fitted anew, ``(K,)``: does it follow motion, or only know where things
            lie? NaN without ``episode``, and for an object that moves in no episode.
        baseline: Error of the constant that was fitted on the fit frames, ``(K,)``.
        within_baseline: Error of not moving at all within an episode, ``(K,)``.
        error_xy: The two coordinates' parts of the error, ``(K, 2)``.
        seen: Share of the scored frames in which the object is seen, ``(K,)``.
        fit_error: Error of every pair on the fit frames, ``(N, K)``.
        linear: Matrix A of each object's map, ``(K, 2, 2)``.
        offset: Shift b of each object's map, ``(K, 2)``.
    """

    error: np.ndarray
    keypoint: np.ndarray
    r2: np.ndarray
    within: np.ndarray
    baseline: np.ndarray
    within_baseline: np.ndarray
    error_xy: np.ndarray = field(repr=False)
    seen: np.ndarray = field(repr=False)
    fit_error: np.ndarray = field(repr=False)
    linear: np.ndarray = field(repr=False)
    offset: np.ndarray = field(repr=False)

    @property
    def within_r2(self) -> np.ndarray:
        """1 - within / within_baseline, ``(K,)``: the share of the motion that is followed."""
        return np.asarray(1 - self.within / self.within_baseline)

    def rms_px(self, size: Size) -> np.ndarray:
        """Root of the mean squared distance in pixels of an image ``(H, W)``, ``(K,)``."""
        pixel: np.ndarray = to_pixels(np.ones(2), size) - to_pixels(np.zeros(2), size)
        return np.asarray(np.sqrt(self.error_xy @ pixel**2))

    def predict(self, points: Any) -> np.ndarray:
        """Where the chosen keypoints of ``(T, N, 2)`` say the objects are, ``(T, K, 2)``.

        An object that is seen in no frame is predicted nowhere: NaN.
        """
        hint = "The same keypoints as in the fit."
        z = as_points(points, f"T {len(self.fit_error)} 2", name="points", hint=hint)
        moved = np.einsum("koi,tki->tko", self.linear, z[:, self.keypoint])
        return np.asarray(moved + self.offset)


def tracking_error(
    points: Any,
    truth: Any,
    fit_points: Any = None,
    fit_truth: Any = None,
    transform: str = "affine",
    visible: Any = None,
    episode: Any = None,
    *,
    fit_visible: Any = None,
    fit_episode: Any = None,
) -> TrackingResult:
    r"""Judge N keypoints by the K objects that they should follow.

    Without ``fit_points`` the maps are fitted on the frames that they are scored on, as the
    paper's code does. Give other episodes there to judge a map on frames that it has not seen.

    A singular fit has the pseudo-inverse's answer: a keypoint that never moves predicts the
    object's mean; and three frames, or fewer, are always fitted exactly by an affine map.

    Args:
        points: Keypoints, ``(T, N, 2)``, order (x, y); array or tensor.
        truth: Objects, ``(T, K, 2)``, image coordinates; they may lie outside the image.
        fit_points: Keypoints of the fit frames, ``(F, N, 2)``.
        fit_truth: Objects of the fit frames, ``(F, K, 2)``.
        transform: ``"affine"``, ``"scale"`` (one factor per axis, and a shift) or
            ``"identity"`` (nothing is fitted; keypoints must be in image coordinates).
        visible: bool ``(T, K)``: where it is false, the frame does not count for the object.
            Without ``fit_points`` that holds for the fit too.
        episode: Label of each frame's episode, ``(T,)``; asks for the within-episode error.
        fit_visible: bool ``(F, K)``, as ``visible``; without it every fit frame counts.
        fit_episode: Label of each fit frame's episode, ``(F,)``. With it the within-episode map
            is fitted on the fit frames, without it on the scored ones.

    Raises:
        TypeError: If an argument does not hold numbers, or a mask is not boolean.
        ValueError: If shapes or lengths do not fit, a number is NaN or infinite, there are fewer
            than two frames to fit on, or one of the fit's arguments misses another.

    Warns:
        UserWarning: If most of the truth lies far outside the image, as pixels do.
    """
    check_choice(transform, TRANSFORMS, name="transform")
    scored = as_frames(points, truth, visible, episode, prefix="")
    N, K = scored.z.shape[1], scored.y.shape[1]
    if fit_points is None and fit_truth is None:
        _check_absent("fit_points", fit_visible=fit_visible, fit_episode=fit_episode)
        fit = scored
    elif fit_points is None or fit_truth is None:
        missing = "fit_points" if fit_points is None else "fit_truth"
        raise ValueError(complain(missing, "None", "both fit_points and fit_truth, or neither"))
    else:
        if episode is None:
            _check_absent("episode", fit_episode=fit_episode)
        fit = as_frames(
            fit_points, fit_truth, fit_visible, fit_episode, prefix="fit_", sizes=(N, K)
        )
    if len(fit.z) < 2:
        name = "points" if fit is scored else "fit_points"
        hint = "One frame is fitted exactly by a constant. Frames come first: (T, N, 2)."
        raise ValueError(complain(name, "1 frame", "at least 2 to fit on", hint))
    _warn_of_pixels(scored, fit, transform)
    return _judge(scored, fit, transform)


def tracking_capability(errors: Any, thresholds: Any) -> tuple[float, np.ndarray]:
    """Return the share of runs that track, over all objects and for each.

    An object is tracked in a run if its error is at most its threshold; NaN (never seen) is not
    tracked. Source: Cramer et al. (2024), section IV; their thresholds are :data:`THRESHOLDS`.

    Args:
        errors: Tracking error of every run and object, ``(R, K)``, at least 0 or NaN.
        thresholds: Largest error of a tracked object, ``(K,)``, greater than 0.

    Returns:
        Mean over the objects, and the share of the R runs for each object, ``(K,)``.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the shapes do not fit, an error is negative or a threshold not positive.
    """
    hint = "One row per run: np.stack([result.error for result in results])."
    e = as_float64(errors, name="errors", expected="(R, K) numbers", hint=hint)
    _, K = check_shape(e, "R K", name="errors", hint=hint)
    if (e < 0).any():
        hint = "Errors are means of squares."
        raise ValueError(complain("errors", float(np.nanmin(e)), "at least 0, or NaN", hint))
    hint = "One threshold per object, in the order of errors."
    mu = as_float64(thresholds, name="thresholds", expected=f"({K},) numbers", hint=hint)
    check_shape(mu, f"{K}", name="thresholds", hint=hint)
    check_positive(mu, name="thresholds", hint="A mean squared distance in image coordinates.")
    each = (e <= mu).mean(axis=0)
    return float(each.mean()), each


def _check_absent(needed: str, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            got = f"a {type(value).__name__}"
            raise ValueError(complain(name, got, f"nothing without {needed}"))


def _warn_of_pixels(scored: Frames, fit: Frames, transform: str) -> None:
    """Warn once, of the first argument that holds no image coordinates."""
    suspects = [("truth", scored.y, scored.seen)]
    if fit is not scored:
        suspects.append(("fit_truth", fit.y, fit.seen))
    if transform == "identity":  # a fitted map takes keypoints in any unit
        suspects.append(("points", scored.z, np.ones(scored.z.shape[:2], dtype=bool)))
    for name, positions, counts in suspects:
        if max(positions.max(), -positions.min()) <= FAR:
            continue  # the usual case, quickly
        far = (np.abs(positions) > FAR).any(axis=-1)[counts]
        if far.size and far.mean() > 0.5:
            got = f"{far.mean():.0%} of the points beyond {FAR:g}"
            expected = "image coordinates, -1 to +1 inside the image"
            hint = "If these are pixels, kpbook.grid.from_pixels(pixels, (H, W)) converts them."
            warnings.warn(complain(name, got, expected, hint), stacklevel=3)
            return


# -- judging -----------------------------------------------------------------------------------


def _judge(scored: Frames, fit: Frames, transform: str) -> TrackingResult:
    """Fit all pairs, choose each object's keypoint, and score that one."""
    maps = fit_maps(fit.z, fit.y, fit.seen, transform, eps=fit.z_eps)
    K = scored.y.shape[1]
    keypoint, linear = np.full(K, -1), np.full((K, 2, 2), np.nan)
    r2, within, baseline, within_baseline = np.full((4, K), np.nan)
    error_xy, offset = np.full((2, K, 2), np.nan)
    for k in np.flatnonzero(scored.seen.any(axis=0) & fit.seen.any(axis=0)).tolist():
        n = keypoint[k] = int(maps.error[:, k].argmin())
        linear[k], offset[k] = maps.linear[n, k], maps.offset[n, k]
        z, y = _pair(scored, n, k)
        error_xy[k] = _mean_square(y - (linear[k] @ z + offset[k][:, None]))
        baseline[k] = _mean_square(y - maps.constant[k][:, None]).sum()
        if baseline[k] > _rounding_of(y, scored.y_eps):
            r2[k] = 1 - error_xy[k].sum() / baseline[k]
        if scored.episode.size:
            within[k], within_baseline[k] = _within(scored, fit, n, k, transform)
    return TrackingResult(
        error=error_xy.sum(axis=-1),
        keypoint=keypoint,
        r2=r2,
        within=within,
        baseline=baseline,
        within_baseline=within_baseline,
        error_xy=error_xy,
        seen=scored.seen.mean(axis=0),
        fit_error=maps.error,
        linear=linear,
        offset=offset,
    )


def _within(scored: Frames, fit: Frames, n: int, k: int, transform: str) -> tuple[float, float]:
    """Error of keypoint n for object k about each episode's mean, and of not moving at all."""
    z, y = _pair_in_episodes(scored, n, k)
    still = float(_mean_square(y).sum())
    if still <= _rounding_of(_pair(scored, n, k)[1], scored.y_eps):
        return np.nan, still
    source = fit if fit.episode.size else scored
    size = _mean_square(_pair(source, n, k)[0])
    z_fit, y_fit = (x.T[:, None] for x in _pair_in_episodes(source, n, k))
    A, *_ = fit_linear(z_fit, y_fit, slice(None), transform, eps=source.z_eps, size=size[None])
    return float(_mean_square(y - A[0, 0] @ z).sum()), still


def _pair(frames: Frames, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Keypoint n and object k, each ``(2, M)``, in the frames that count for k."""
    seen = frames.seen[:, k]
    rows = slice(None) if seen.all() else seen
    z, y = frames.z[rows, n].T, frames.y[rows, k].T
    return z.astype(np.float64), y.astype(np.float64)


def _pair_in_episodes(frames: Frames, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The pair with each episode's mean taken away."""
    label = frames.episode[frames.seen[:, k]]
    z, y = _pair(frames, n, k)
    return about_each_mean(z, label), about_each_mean(y, label)


def _mean_square(x: np.ndarray) -> np.ndarray:
    """Per coordinate of ``(2, M)``."""
    return np.asarray(np.square(np.ascontiguousarray(x)).mean(axis=-1))


def _rounding_of(y: np.ndarray, eps: float) -> float:
    """Mean squared distance that rounding alone gives to an object ``(2, M)``."""
    return float(np.square(rounding(_mean_square(y), eps)).sum())
