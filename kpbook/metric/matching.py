r"""The tracking error's rivals: regression from all keypoints, PCK, precision and recall.

They ask other questions. The regression: do the keypoints *together* say where the object is, even
if none of them lies on it? PCK: how often does one point lie near the object? Precision and recall:
do keypoints and objects pair up over a stretch of time, one to one?

Sources: Jakab et al. (2018) for the regression; Yang and Ramanan (2013) for PCK, whose radius is a
share of a person's size; Kulkarni et al. (2019), section 4.1 and appendix A, for precision and
recall. That paper's evaluation was not released, and its text says nothing of the precision of a
frame without some object; what we do there is defined in :func:`precision_recall`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kpbook._arrays import as_float64
from kpbook._checks import check_finite, check_flag, check_positive, check_shape, complain
from kpbook.metric._frames import (
    as_frames,
    as_lengths,
    as_mask,
    as_points,
    as_scored_and_fit,
    warn_of_pixels,
)
from kpbook.metric._maps import groups
from kpbook.metric._regression import regress
from kpbook.metric._scores import score, time_last
from kpbook.metric._windows import count, distance, in_episodes


@dataclass(frozen=True, eq=False)
class RegressionResult:
    """How well all keypoints together say where each of K objects is.

    All numbers are float64, as those of the same name in
    :class:`~kpbook.metric.tracking.TrackingResult`. An object that is seen in no frame, or in no
    more fit frames than it has unknowns, has NaN.

    Attributes:
        error: Mean over the frames that count of the squared distance between the object and its
            prediction, ``(K,)``.
        r2: 1 - error / baseline, ``(K,)``; NaN for an object that never moves.
        baseline: Error of the constant that was fitted on the fit frames, ``(K,)``.
        seen: Share of the scored frames in which the object is seen, ``(K,)``.
        found: Of those, the share in which all keypoints have a point, ``(K,)``: 1 where nothing is
            missing, 0 for an object that could not be fitted, NaN for one that is never seen.
    """

    error: np.ndarray
    r2: np.ndarray
    baseline: np.ndarray
    seen: np.ndarray
    found: np.ndarray


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Pairs of keypoints and objects over windows of L lengths; each array is ``(L,)``.

    Attributes:
        lengths: Frames of a window, int64.
        precision: matched / detections; NaN if no detection counts.
        recall: matched / objects; NaN if no window has an object.
        ceiling: The largest precision that N keypoints allow: every object is matched that can
            be. It is min(1, K / N) where no object is absent; NaN as precision.
        distance: Mean distance of the matched pairs, image coordinates; NaN without a match.
        windows: How many windows there are, int64.
        matched: Matched pairs over all windows, int64.
        detections: Detections that count, over all windows, int64.
        objects: Objects that are present, over all windows, int64.
        found: Share of all keypoints and windows in which the keypoint has a point often enough
            to be a detection; 1 where nothing is missing.
    """

    lengths: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    ceiling: np.ndarray
    distance: np.ndarray
    windows: np.ndarray
    matched: np.ndarray
    detections: np.ndarray
    objects: np.ndarray
    found: np.ndarray


def regression_error(
    points: Any,
    truth: Any,
    fit_points: Any = None,
    fit_truth: Any = None,
    *,
    intercept: bool = True,
    visible: Any = None,
    fit_visible: Any = None,
    found: Any = None,
    fit_found: Any = None,
) -> RegressionResult:
    r"""Judge N keypoints by what all of them together say about each of K objects.

    .. math::
        \hat y_{tk} = \sum_n A_{nk} z_{tn} + b_k

    by least squares on the fit frames. Source: Jakab et al. (2018), evaluation; their code has no
    :math:`b_k` unless a flag adds it, so ``intercept=False`` is their default, not ours.

    This measures information, not localisation: keypoints that lie nowhere near an object may
    still say together where it is. An object has 2 N + 1 unknowns per coordinate, 2 N without an
    intercept. With no more frames to fit on than that, the fit is exact whatever the keypoints do:
    the error is NaN then. So fit on many frames, and score on others. Where many solutions fit
    equally well (keypoints that never move, or move together), A is the one of the smallest norm.

    A keypoint that is found in less than half of the fit frames in which an object is seen is left
    out for that object. Of the others all have to be found: a frame without one of them counts
    neither in the fit nor in the score.

    Args:
        points: Keypoints, ``(T, N, 2)``, order (x, y); array or tensor.
        truth: Objects, ``(T, K, 2)``, image coordinates; they may lie outside the image.
        fit_points: Keypoints of the fit frames, ``(F, N, 2)``. Without them, the fit is judged on
            the frames that it was made on.
        fit_truth: Objects of the fit frames, ``(F, K, 2)``.
        intercept: Fit the shift :math:`b_k`. Without it, the image's centre is mapped to itself.
        visible: bool ``(T, K)``: where it is false, the frame does not count for the object.
            Without ``fit_points`` that holds for the fit too.
        fit_visible: bool ``(F, K)``, as ``visible``; without it every fit frame counts.
        found: bool ``(T, N)``: where it is false, the keypoint has no point, and whatever stands
            there is ignored. Without ``fit_points`` that holds for the fit too.
        fit_found: bool ``(F, N)``, as ``found``; without it all fit frames have all points.

    Raises:
        TypeError: If an argument does not hold numbers, or a mask is not boolean.
        ValueError: If shapes or lengths do not fit, a number is NaN or infinite, there are fewer
            than two frames to fit on, or one of the fit's arguments misses another.

    Warns:
        UserWarning: If most of the truth, or of the keypoints without an intercept, lies far
            outside the image, as pixels do.
    """
    intercept = check_flag(intercept, name="intercept")
    masks = {"visible": visible, "fit_visible": fit_visible, "found": found, "fit_found": fit_found}
    scored, fit = as_scored_and_fit(points, truth, fit_points, fit_truth, **masks)
    suspects = [("truth", scored.y, scored.seen), ("fit_truth", fit.y, fit.seen)]
    warn_of_pixels(*suspects, *([] if intercept else [("points", scored.z, scored.found)]))
    prediction, constant, counts = regress(scored, fit, intercept)
    K = len(constant)
    error, r2, baseline = np.full((3, K), np.nan)
    for objects, rows in groups(counts):
        k = np.arange(K)[objects]
        y, guess = time_last(scored.y[rows][:, k]), time_last(prediction[rows][:, k])
        error_xy, baseline[k], r2[k] = score(y, guess, constant[k], scored.y_eps)
        error[k] = error_xy.sum(axis=-1)
    answered = _share(counts.sum(axis=0), scored.seen.sum(axis=0))
    return RegressionResult(error, r2, baseline, scored.seen.mean(axis=0), answered)


def pck(
    predicted: Any, truth: Any, radius: Any, *, visible: Any = None, found: Any = None
) -> np.ndarray:
    """Return the share of frames in which each object's point lies within a radius, ``(K,)``.

    PCK is the percentage of correct keypoints, here a share. Give it
    ``result.chosen(points)``, the keypoints that :func:`~kpbook.metric.tracking.tracking_error`
    chose, to ask whether they lie *on* the object; or ``result.predict(points)`` to ask the same
    after the affine map. Only the second is high: the keypoint follows the object from an offset,
    or on another ruler. Both are low: it does not follow it.

    Args:
        predicted: One point per object, ``(T, K, 2)``, image coordinates. An object whose points
            are all NaN is predicted nowhere, as by ``result`` if it was never seen there.
        truth: Objects, ``(T, K, 2)``, image coordinates.
        radius: Largest distance that is correct, > 0, image coordinates: one number, or ``(K,)``.
        visible: bool ``(T, K)``: where it is false, the frame does not count for the object.
        found: bool ``(T, K)``: where it is false, the object's keypoint has no point, and the
            frame does not count either: ``result.chosen_found(found)``.

    Returns:
        Shares from 0 to 1, float64; NaN for an object that is never seen or predicted nowhere.

    Raises:
        TypeError: If an argument does not hold numbers, or the mask is not boolean.
        ValueError: If shapes do not fit, a number is NaN or infinite, or a radius is not positive.

    Warns:
        UserWarning: If most of the points or of the truth lie far outside the image.
    """
    hint = "Frames, objects, (x, y). Episodes.flat() has truth in this shape."
    y = as_points(truth, "T K 2", name="truth", hint=hint)
    T, K, _ = y.shape
    hint = "One point per object: result.chosen(points) or result.predict(points)."
    p = as_float64(predicted, name="predicted", expected=f"({T}, {K}, 2) numbers", hint=hint)
    check_shape(p, f"{T} {K} 2", name="predicted", hint=hint)
    there = as_mask(found, (T, K), name="found", hint="True where the object's keypoint is found.")
    nowhere = np.isnan(p).all(axis=(0, 2))
    p[~there | nowhere] = 0
    check_finite(p, name="predicted", hint="Leave frames without a point out with found.")
    seen = as_mask(visible, (T, K), name="visible") & there & ~nowhere
    near = _as_radius(radius, K)
    warn_of_pixels(("truth", y, seen), ("predicted", p, seen))
    return _share(((distance(p, y) <= near) & seen).sum(axis=0), seen.sum(axis=0))


def precision_recall(
    points: Any,
    truth: Any,
    radius: Any,
    lengths: Iterable[int] = (1,),
    *,
    visible: Any = None,
    episode: Any = None,
    found: Any = None,
) -> PrecisionRecall:
    """Match keypoints to objects over windows of time, and count.

    An episode is cut into windows of each length that follow each other and do not overlap; a
    rest that is shorter is left out. In a window, the distance of a keypoint and an object is the
    mean of their distances over the frames in which the object is present. Pairs farther apart
    than the radius are no match. Of the others, as many as possible are matched one to one, and
    among those choices the one of the smallest total distance is taken. Matches are counted over
    all windows. Source: Kulkarni et al. (2019), section 4.1, with lengths from 1 to 200.

    Absent objects, of which the paper says nothing: an object that is absent for the whole window
    leaves the truth, and as many unmatched keypoints as there are absent objects are not counted
    as detections, since a network cannot switch off the keypoint of what has left.

    Keypoints that are not found: a keypoint is a detection of a window if it has a point in at
    least half of its frames, and its distance to an object is the mean over those in which the
    object is present, too. One that is not is matched with nothing.

    The paper gives a network as many keypoints as there are objects. With more of them, precision
    is at most K / N however good they are, so read it beside ``ceiling``.

    Args:
        points: Keypoints, ``(T, N, 2)``, order (x, y), image coordinates; array or tensor.
        truth: Objects, ``(T, K, 2)``, image coordinates.
        radius: Largest distance of a match, > 0, image coordinates: one number, or ``(K,)``. The
            paper takes the objects' mean extent: 0.2 for pong, 0.15 for stacked blocks.
        lengths: Frames of a window, L whole numbers of at least 1.
        visible: bool ``(T, K)``: where it is false, the object is absent.
        episode: Label of each frame's episode, ``(T,)``; its frames count in the order in which
            they come. Without it all frames are one episode.
        found: bool ``(T, N)``: where it is false, the keypoint has no point, and whatever stands
            there is ignored.

    Raises:
        TypeError: If an argument does not hold numbers, the mask is not boolean, or a length is
            not a whole number.
        ValueError: If shapes do not fit, a number is NaN or infinite, a radius is not positive,
            or a length is below 1 or beyond the longest episode.

    Warns:
        UserWarning: If most of the truth or of the keypoints lie far outside the image.
    """
    frames = as_frames(points, truth, visible, episode, found, prefix="")
    (T, N, _), K = frames.z.shape, frames.y.shape[1]
    near = _as_radius(radius, K)
    order, place, size = in_episodes(frames.episode, T)
    sizes = as_lengths(lengths)
    if max(sizes) > (longest := int(size.max())):
        got, name = max(sizes), f"lengths[{sizes.index(max(sizes))}]"
        expected = f"at most {longest}, the frames of the longest episode"
        raise ValueError(complain(name, got, expected, "A window lies inside one episode."))
    warn_of_pixels(("truth", frames.y, frames.seen), ("points", frames.z, frames.found))
    present, there = frames.seen[order], np.ones((T, 1), dtype=bool)
    if frames.found is not None:
        there = frames.found[order]
    both = present[:, None] & there[..., None]  # (T, N, K), or (T, 1, K) with all keypoints
    apart = distance(frames.z[order, :, None], frames.y[order, None])  # (T, N, K)
    apart *= both  # what is absent adds nothing to a sum
    counts = []
    for length in sizes:
        whole = place < size - size % length
        time = both[whole].reshape(-1, length, *both.shape[1:]).sum(axis=1)
        total = apart[whole].reshape(-1, length, N, K).sum(axis=1)
        often = 2 * there[whole].reshape(-1, length, there.shape[1]).sum(axis=1) >= length
        usable = (time > 0) & often[..., None]
        mean = np.where(usable, total / np.maximum(time, 1), np.inf)  # (windows, N, K)
        objects = present[whole].reshape(-1, length, K).any(axis=1).sum(axis=-1)
        detections = np.broadcast_to(often, mean.shape[:2]).sum(axis=-1)
        counts.append((*count(mean, near, objects, detections), mean.shape[0] * N))
    return _summary(np.array(sizes), np.array(counts).T)


# -- numbers in and out -------------------------------------------------------------------------


def _summary(lengths: np.ndarray, counts: np.ndarray) -> PrecisionRecall:
    *whole, distance, places = counts
    windows, matched, detections, objects, most, fewest, found = (x.astype(np.int64) for x in whole)
    return PrecisionRecall(
        lengths=lengths,
        precision=_share(matched, detections),
        recall=_share(matched, objects),
        ceiling=_share(most, fewest),
        distance=_share(distance, matched),
        windows=windows,
        matched=matched,
        detections=detections,
        objects=objects,
        found=_share(found, places),
    )


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, NaN where there is nothing to share."""
    return np.asarray(part / np.where(whole > 0, whole, np.nan))


def _as_radius(radius: Any, K: int) -> np.ndarray:
    hint = "Image coordinates: the image is 2 wide. One number for all objects, or one for each."
    r = as_float64(radius, name="radius", expected=f"a number or ({K},) numbers", hint=hint)
    if r.ndim:
        check_shape(r, f"{K}", name="radius", hint=hint)
    check_positive(r, name="radius", hint=hint)
    return np.broadcast_to(r, (K,))
