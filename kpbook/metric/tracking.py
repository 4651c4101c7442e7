r"""Does some keypoint follow the object? Tracking error and tracking capability.

For every pair of an object k and a keypoint n, an affine map from the keypoint to the object is
fitted by least squares. The object's keypoint is the one whose map fits best, and the object's
error is that map's mean squared distance over T frames:

.. math::
    e_k = \min_n \frac{1}{T} \sum_t \lVert A_{nk} z_{tn} + b_{nk} - y_{tk} \rVert^2

Source: Cramer et al. (2024), eq. (1), as a mean over frames. Their text prints a sum; their code,
and their thresholds, belong to the mean. Beyond the paper: the map is fitted, and the keypoint
chosen, on frames of its own; hidden frames, and frames without a point, are left out; R² and the
within-episode error stand beside the error.

All pairs are solved at once by centred 2x2 normal equations in float64; a keypoint that moves along
a line by the pseudo-inverse.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kpbook._arrays import as_flags, as_float64
from kpbook._checks import check_choice, check_positive, check_shape, complain
from kpbook.grid import Size, to_pixels
from kpbook.metric._frames import Frames, as_points, as_scored_and_fit, warn_of_pixels
from kpbook.metric._maps import UNKNOWNS, Maps, about_each_mean, fit_linear, fit_pairs, groups
from kpbook.metric._scores import mean_square, rounding_of, score, time_last

#: Object -> largest error of a tracked object. Source: Cramer et al. (2024), section 5.1; the
#: second cube is ours, and has the cube's.
THRESHOLD_OF: Mapping[str, float] = {
    "cube": 0.015, "second_cube": 0.015, "target": 0.015, "end_effector": 0.1,
}  # fmt: skip
#: Those of the paper's own objects, in its order: cube, target, end effector.
THRESHOLDS = tuple(THRESHOLD_OF[obj] for obj in ("cube", "target", "end_effector"))
#: What may lie between a keypoint and an object; "scale" is one factor per axis, and a shift.
TRANSFORMS = ("affine", "scale", "identity")
#: Over frames. The thresholds belong to the mean.
REDUCTIONS = ("mean", "sum")
# Frames from which a map's axes mean something; three are fitted exactly by any keypoint.
_ENOUGH = 20
_SWAPPED_HINT = (
    "If they are (y, x), points[..., ::-1] turns them; an affine map hides it, a drawing does not. "
    "A camera turned by 90 degrees gives the same. "
    "Test: mirror an image from left to right; x must change its sign."
)


@dataclass(frozen=True, eq=False)
class TrackingResult:
    """How well each of K objects is tracked, and by which of N keypoints.

    All numbers are float64, lengths in image coordinates (-1 to +1). An object that is seen in too
    few frames to fit it, or in none to score it, has error NaN and keypoint -1: it is not tracked.
    So has one without a keypoint that is found often enough. "Mean" is what ``reduction="mean"``
    gives. A frame counts for an object if it is seen and its keypoint found there.

    An affine map has 3 free numbers per coordinate, so 3 frames are always fitted exactly: it takes
    at least 4. Scale takes 3, and identity 2, for the constant that R² compares it with.

    Attributes:
        error: Mean over the frames that count of the squared distance between the object and its
            keypoint's prediction, ``(K,)``.
        keypoint: Index of the keypoint that fits the object best on the fit frames, ``(K,)``.
        r2: 1 - error / baseline, ``(K,)``: 1 is perfect, 0 no better than a constant, and worse
            than that is negative. NaN for an object that never moves.
        within: Error of the same keypoint after both were centred in each episode, with the
            linear part fitted anew, ``(K,)``: does it follow motion, or only know where things
            lie? NaN without ``episode``, for an object that moves in no episode, and if the frames
            that the linear part is fitted on, less one for each episode, are no more than its free
            numbers per coordinate: 2 affine, 1 scale, 0 identity.
        baseline: Error of the constant that was fitted on the fit frames, ``(K,)``.
        within_baseline: Error of not moving at all within an episode, ``(K,)``.
        error_xy: The two coordinates' parts of the error, ``(K, 2)``.
        seen: Share of the scored frames in which the object is seen, ``(K,)``.
        found: Of those, the share in which its keypoint has a point, ``(K,)``: 1 where nothing is
            missing, 0 without a keypoint, NaN for an object that is never seen.
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
    found: np.ndarray = field(repr=False)
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

        An object without a keypoint is predicted nowhere: NaN.
        """
        moved = np.einsum("koi,tki->tko", self.linear, self.chosen(points))
        return np.asarray(moved + self.offset)

    def chosen(self, points: Any) -> np.ndarray:
        """The chosen keypoints of ``(T, N, 2)``, one per object and before the map, ``(T, K, 2)``.

        An object without a keypoint has none: NaN, where an index of -1 takes the last.
        """
        hint = "The same keypoints as in the fit."
        z = as_points(points, f"T {len(self.fit_error)} 2", name="points", hint=hint)
        return np.where((self.keypoint < 0)[:, None], np.nan, z[:, self.keypoint])

    def chosen_found(self, found: Any) -> np.ndarray:
        """Where the chosen keypoints of ``found (T, N)`` have a point, bool ``(T, K)``.

        An object without a keypoint has none.
        """
        hint = "The same keypoints as in the fit."
        there = as_flags(found, name="found", hint=hint)
        check_shape(there, f"T {len(self.fit_error)}", name="found", hint=hint)
        return there[:, self.keypoint] & (self.keypoint >= 0)


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
    found: Any = None,
    fit_found: Any = None,
    reduction: str = "mean",
) -> TrackingResult:
    r"""Judge N keypoints by the K objects that they should follow.

    Without ``fit_points`` the maps are fitted on the frames that they are scored on, as the
    paper's code does. Give other episodes there to judge a map on frames that it has not seen.

    Where many maps fit equally well, A is the one of the smallest norm, in the keypoints' own
    units; the shift does not count. So a keypoint that never moves predicts the object's mean, and
    one that moves along a line says nothing across it.

    A keypoint that is not found in a frame has no point there; the frame counts neither in its fits
    nor in its score, and the result says how many were left (``found``). One that is found in less
    than half of the fit frames in which an object is seen cannot be that object's keypoint: else
    one that answers in easy frames only would win.

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
            is fitted on the fit frames, without it on the scored ones. Give it only if the object
            moves well in those: where it hardly moves, the noise of the keypoint outweighs the
            motion, the map shrinks towards 0, and a keypoint that follows is called one that
            does not.
        found: bool ``(T, N)``: where it is false, the keypoint has no point, and whatever stands
            there is ignored. Without ``fit_points`` that holds for the fit too.
        fit_found: bool ``(F, N)``, as ``found``; without it all fit frames have all points.
        reduction: ``"mean"`` over the frames in which the object is seen, as in the paper's code
            and for its thresholds; or ``"sum"``, as eq. (1) is printed. It applies to ``error``,
            ``within``, their baselines and ``fit_error``; R² and pixels are the same for both.

    Raises:
        TypeError: If an argument does not hold numbers, or a mask is not boolean.
        ValueError: If shapes or lengths do not fit, a number is NaN or infinite, there are fewer
            than two frames to fit on, or one of the fit's arguments misses another.

    Warns:
        UserWarning: If most of the truth lies far outside the image, as pixels do; or if at least
            two objects (of one, that one) are tracked, R² of 0.8 and more, all by maps of 20
            frames or more that exchange the axes, as for keypoints in the order (y, x).
    """
    check_choice(transform, TRANSFORMS, name="transform")
    check_choice(reduction, REDUCTIONS, name="reduction")
    scored, fit = as_scored_and_fit(
        points,
        truth,
        fit_points,
        fit_truth,
        visible=visible,
        fit_visible=fit_visible,
        episode=episode,
        fit_episode=fit_episode,
        found=found,
        fit_found=fit_found,
    )
    truths = ("truth", scored.y, scored.seen), ("fit_truth", fit.y, fit.seen)
    # A fitted map takes keypoints in any unit.
    units = [("points", scored.z, scored.found)] if transform == "identity" else []
    warn_of_pixels(*truths, *units)
    result = _judge(scored, fit, transform)
    free = result if transform == "affine" else _judge(fit, fit, "affine")
    if len(fit.z) >= _ENOUGH and _swaps_axes(free):
        got = "keypoints whose maps exchange the axes for every object that is tracked"
        expected = "the order (x, y)"
        warnings.warn(complain("points", got, expected, _SWAPPED_HINT), stacklevel=2)
    return result if reduction == "mean" else _summed(result, scored, fit)


def tracking_capability(errors: Any, thresholds: Any) -> tuple[float, np.ndarray]:
    """Return the share of runs that track, over all objects and for each.

    An object is tracked in a run if its error is at most its threshold; NaN (never seen) is not
    tracked. Source: Cramer et al. (2024), section 4; their thresholds are :data:`THRESHOLDS`.

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


def _swaps_axes(result: TrackingResult) -> bool:
    clear = result.r2 > 0.8  # NaN is not clear
    size = np.abs(result.linear[clear])
    straight = size[:, 0, 0] + size[:, 1, 1]
    crossed = size[:, 0, 1] + size[:, 1, 0]
    return clear.sum() >= min(2, len(clear)) and bool((crossed > 3 * straight).all())


# -- judging -----------------------------------------------------------------------------------


def _judge(scored: Frames, fit: Frames, transform: str) -> TrackingResult:
    """Fit all pairs, choose each object's keypoint, and score that one."""
    maps = fit_pairs(fit, transform)
    keypoint = _choose(maps, fit)
    counts = scored.counts_for(keypoint)
    keypoint[~counts.any(axis=0)] = -1
    K = len(keypoint)
    linear, offset = np.full((K, 2, 2), np.nan), np.full((K, 2), np.nan)
    r2, within, baseline, within_baseline = np.full((4, K), np.nan)
    error_xy = np.full((K, 2), np.nan)
    for objects, rows in groups(counts):
        k = np.arange(K)[objects]
        k = k[keypoint[k] >= 0]
        n = keypoint[k]
        A, b = linear[k], offset[k] = maps.linear[n, k], maps.offset[n, k]
        z, y = time_last(scored.z[rows][:, n]), time_last(scored.y[rows][:, k])
        prediction = A @ z + b[..., None]
        error_xy[k], baseline[k], r2[k] = score(y, prediction, maps.constant[n, k], scored.y_eps)
    if scored.episode.size:
        for i in np.flatnonzero(keypoint >= 0).tolist():
            pair = int(keypoint[i]), i
            within[i], within_baseline[i] = _within(scored, fit, *pair, transform)
    return TrackingResult(
        error=error_xy.sum(axis=-1),
        keypoint=keypoint,
        r2=r2,
        within=within,
        baseline=baseline,
        within_baseline=within_baseline,
        error_xy=error_xy,
        seen=scored.seen.mean(axis=0),
        found=_found(scored, keypoint),
        fit_error=maps.error,
        linear=linear,
        offset=offset,
    )


def _choose(maps: Maps, fit: Frames) -> np.ndarray:
    """Keypoint of each object, ``(K,)``: the best fit of those that may be it; -1 without any."""
    may = np.isfinite(maps.error) & (2 * maps.frames >= fit.seen.sum(axis=0))
    best = np.where(may, maps.error, np.inf).argmin(axis=0)
    return np.where(may.any(axis=0), best, -1)


def _found(scored: Frames, keypoint: np.ndarray) -> np.ndarray:
    counted = (scored.counts_for(keypoint) & (keypoint >= 0)).sum(axis=0)
    seen = scored.seen.sum(axis=0)
    return np.asarray(counted / np.where(seen > 0, seen, np.nan))


def _summed(result: TrackingResult, scored: Frames, fit: Frames) -> TrackingResult:
    """Means over frames times their number."""
    T = scored.counts_for(result.keypoint).sum(axis=0)
    F = fit.seen.sum(axis=0)
    if fit.found is not None:  # each pair has its own frames
        F = fit.found.T.astype(int) @ fit.seen
    names = ("error", "within", "baseline", "within_baseline")
    sums = {name: T * getattr(result, name) for name in names}
    return replace(result, **sums, fit_error=F * result.fit_error)


def _within(scored: Frames, fit: Frames, n: int, k: int, transform: str) -> tuple[float, float]:
    """Error of keypoint n for object k about each episode's mean, and of not moving at all."""
    z, y = _pair_in_episodes(scored, n, k)
    still = float(mean_square(y).sum())
    if still <= rounding_of(_pair(scored, n, k)[1], scored.y_eps):
        return np.nan, still
    source = fit if fit.episode.size else scored
    counts = source.counts_of(n, k)
    motions = counts.sum() - np.unique(source.episode[counts]).size  # each mean takes one
    if motions < UNKNOWNS[transform]:  # the shift is no longer free: as many are fitted exactly
        return np.nan, still
    size = mean_square(_pair(source, n, k)[0])
    z_fit, y_fit = (x.T[:, None] for x in _pair_in_episodes(source, n, k))
    A, *_ = fit_linear(z_fit, y_fit, slice(None), transform, eps=source.z_eps, size=size[None])
    return float(mean_square(y - A[0, 0] @ z).sum()), still


def _pair(frames: Frames, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Keypoint n and object k, each ``(2, M)``, in the frames that count for both."""
    counts = frames.counts_of(n, k)
    rows = slice(None) if counts.all() else counts
    z, y = frames.z[rows, n].T, frames.y[rows, k].T
    return z.astype(np.float64), y.astype(np.float64)


def _pair_in_episodes(frames: Frames, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The pair with each episode's mean taken away."""
    label = frames.episode[frames.counts_of(n, k)]
    z, y = _pair(frames, n, k)
    return about_each_mean(z, label), about_each_mean(y, label)
