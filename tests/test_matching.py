"""Regression, PCK, precision and recall against lstsq, all permutations, closed forms and laws."""

import itertools
import time
import tracemalloc
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kpbook.metric import matching, tracking

T, N, K = 60, 5, 3


def scene(frames=T, keypoints=N, objects=K, noise=0.1, seed=0):
    """Keypoints at random; each object follows all of them through a map of its own, and noise."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-0.9, 0.9, (frames, keypoints, 2))
    maps = np.random.default_rng(99).uniform(-0.3, 0.3, (objects, 2, keypoints, 2))
    truth = np.einsum("koni,tni->tko", maps, points) + 0.1
    return points, truth + noise * rng.standard_normal(truth.shape)


# -- regression from all keypoints -------------------------------------------------------------


def columns(z, intercept=True):
    flat = z.reshape(len(z), -1)
    return np.column_stack([flat, np.ones(len(z))]) if intercept else flat


def by_lstsq(points, truth, fit_points, fit_truth, intercept=True):
    """Oracle: ``lstsq`` for every object and coordinate."""
    errors = []
    for k in range(truth.shape[1]):
        error = 0.0
        for c in range(2):
            A = np.linalg.lstsq(columns(fit_points, intercept), fit_truth[:, k, c], rcond=None)[0]
            error += np.mean((columns(points, intercept) @ A - truth[:, k, c]) ** 2)
        errors.append(error)
    return np.array(errors)


@pytest.mark.parametrize("intercept", [True, False])
def test_regression_matches_lstsq(intercept):  # catches: one keypoint, a shift nobody asked for
    points, truth = scene()
    result = matching.regression_error(points, truth, intercept=intercept)
    error = by_lstsq(points, truth, points, truth, intercept)
    np.testing.assert_allclose(result.error, error, rtol=1e-12)
    np.testing.assert_allclose(result.baseline, truth.var(axis=0).sum(axis=-1), rtol=1e-12)
    np.testing.assert_allclose(result.r2, 1 - error / result.baseline, rtol=1e-12)
    assert result.seen.tolist() == [1] * K


@pytest.mark.parametrize("intercept", [True, False])
def test_regression_is_scored_on_frames_that_were_not_fitted(intercept):
    fit, (points, truth) = scene(seed=1), scene(frames=40, seed=2)
    result = matching.regression_error(points, truth, *fit, intercept=intercept)
    np.testing.assert_allclose(result.error, by_lstsq(points, truth, *fit, intercept), rtol=1e-12)
    away = ((truth - fit[1].mean(axis=0)) ** 2).sum(axis=-1).mean(axis=0)
    np.testing.assert_allclose(result.baseline, away, rtol=1e-12)
    np.testing.assert_allclose(result.r2, 1 - result.error / away, rtol=1e-12)


@pytest.mark.parametrize("fitted", ["everywhere", "on a line", "still", "along x", "twice"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_keypoint_is_judged_as_by_the_tracking_error(fitted, dtype):
    """Both fit the same map, also where it is singular and the smallest has to be chosen."""
    fit, (points, truth) = scene(keypoints=1, seed=1), scene(frames=40, keypoints=1, seed=2)
    visible = np.random.default_rng(1).random((40, K)) < 0.6
    fit_visible = np.ones((T, K), dtype=bool)
    if fitted == "on a line":
        fit[0][..., 1] = 0.1 - 5 * fit[0][..., 0]
    elif fitted == "still":
        fit[0][:] = [0.3, -0.7]
    elif fitted == "along x":
        fit[0][..., 1] = 0.3
    elif fitted == "twice":
        fit_visible[:, 1], fit_visible[[5, 9], 1] = False, True
    fit = fit[0].astype(dtype), fit[1]
    masks = {"visible": visible, "fit_visible": fit_visible}
    ours = matching.regression_error(points, truth, *fit, **masks)
    theirs = tracking.tracking_error(points, truth, *fit, **masks)
    for name in ("error", "r2", "baseline", "seen"):
        np.testing.assert_allclose(
            getattr(ours, name),
            getattr(theirs, name),
            rtol=1e-12 if dtype == np.float64 else 1e-6,
            atol=1e-12,
        )


def test_regression_knows_what_no_single_keypoint_does():
    points, _ = scene()
    truth = points[:, [0]] + points[:, [3]] - points[:, [4]]
    assert matching.regression_error(points, truth).r2[0] == pytest.approx(1, abs=1e-12)
    assert tracking.tracking_error(points, truth).r2[0] < 0.5


@given(seed=st.integers(0, 999))
def test_regression_is_never_worse_than_the_best_keypoint_where_it_was_fitted(seed):
    rng = np.random.default_rng(seed)
    keypoints = rng.integers(1, 6)
    shape = rng.integers(2 * keypoints + 2, 30), keypoints
    points, truth = rng.uniform(-1, 1, (*shape, 2)), rng.uniform(-1, 1, (shape[0], K, 2))
    each = [by_lstsq(points[:, [n]], truth, points[:, [n]], truth) for n in range(shape[1])]
    assert (matching.regression_error(points, truth).error <= np.min(each, axis=0) + 1e-12).all()


@given(shift=st.tuples(st.floats(-9, 9), st.floats(-9, 9)), e=st.integers(-9, 6))
def test_shift_unit_and_order_of_the_keypoints_do_not_matter(shift, e):
    fit, (points, truth) = scene(seed=1), scene(frames=40, seed=2)
    expected = matching.regression_error(points, truth, *fit)
    order = np.random.default_rng(0).permutation(N)
    moved, fit_moved = (((z + shift) * 10.0**e)[:, order] for z in (points, fit[0]))
    result = matching.regression_error(moved, truth, fit_moved, fit[1])
    np.testing.assert_allclose(result.error, expected.error, rtol=1e-8)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("where", ["frames", "visible", "fit_visible"])
def test_as_many_frames_as_unknowns_say_nothing(where, intercept):  # catches: an exact fit
    for frames in (2, 7, 2 * N + intercept, 2 * N + intercept + 1):
        points, truth = scene(frames if where == "frames" else T, noise=1)
        fit = (points, truth) if where == "fit_visible" else ()
        mask = np.zeros(truth.shape[:2], dtype=bool)
        mask[:frames] = True
        masks = {} if where == "frames" else {where: mask}
        result = matching.regression_error(points, truth, *fit, intercept=intercept, **masks)
        few = frames <= 2 * N + intercept
        for numbers in (result.error, result.r2, result.baseline):
            assert np.isnan(numbers).tolist() == [few] * K
        assert few or (result.error > 1e-9).all()
        assert result.found.tolist() == [not few] * K


@pytest.mark.parametrize("frames", [12, T])
def test_a_singular_fit_has_the_smallest_coefficients(frames):
    """Dead and copied keypoints: ``lstsq`` on centred columns, as others scale them."""

    def singular(points):
        points = points.copy()
        points[:, 1] = [0.3, -0.2]
        points[:, 4] = 0.5 * points[:, 0] + 0.1
        return points

    (points, truth), (fit_points, fit_truth) = scene(seed=2), scene(frames, seed=1)
    points, fit_points = singular(points), singular(fit_points)
    result = matching.regression_error(points, truth, fit_points, fit_truth)
    mean = fit_points.mean(axis=0)
    x, new = (columns(z - mean, intercept=False) for z in (fit_points, points))
    y_mean = fit_truth.reshape(frames, -1).mean(axis=0)
    A = np.linalg.lstsq(x, fit_truth.reshape(frames, -1) - y_mean, rcond=1e-10)[0]
    gap = (new @ A + y_mean).reshape(truth.shape) - truth
    np.testing.assert_allclose(result.error, (gap**2).sum(axis=-1).mean(axis=0), rtol=1e-10)


@pytest.mark.parametrize("jitter", [0, 1e-8], ids=["constant", "rounding"])
def test_dead_keypoints_predict_the_mean(jitter):  # catches: fitting rounding errors
    _, truth = scene()
    rng = np.random.default_rng(0)
    dead = (0.7 + jitter * rng.standard_normal((T, N, 2))).astype(np.float32)
    later = np.full((T, N, 2), 0.9, dtype=np.float32)
    result = matching.regression_error(later, truth, dead, truth)
    np.testing.assert_allclose(result.error, truth.var(axis=0).sum(axis=-1), rtol=1e-12)
    np.testing.assert_allclose(result.r2, 0, atol=1e-12)


def test_a_copy_that_differs_by_rounding_adds_nothing():
    fit, (points, truth) = scene(keypoints=1, seed=1), scene(keypoints=1, seed=2)

    def with_copy(z):
        return np.concatenate([z, 0.37 * z + 0.11], axis=1).astype(np.float32)

    alone = matching.regression_error(points, truth, *fit)
    result = matching.regression_error(with_copy(points), truth, with_copy(fit[0]), fit[1])
    np.testing.assert_allclose(result.error, alone.error, rtol=1e-6)


def test_hidden_frames_leave_the_regression_of_that_object_only():
    fit, (points, truth) = scene(seed=1), scene(frames=40, seed=2)
    rng = np.random.default_rng(1)
    visible, fit_visible = rng.random((40, K)) < 0.5, rng.random((T, K)) < 0.6
    fit_visible[:, 2] = fit_visible[:, 0]  # two objects share their frames
    wild = np.where(visible[..., None], truth, 3.0), np.where(fit_visible[..., None], fit[1], -3.0)
    result = matching.regression_error(
        points, wild[0], fit[0], wild[1], visible=visible, fit_visible=fit_visible
    )
    for k in range(K):
        a, b = visible[:, k], fit_visible[:, k]
        error = by_lstsq(points[a], truth[a][:, [k]], fit[0][b], fit[1][b][:, [k]])
        assert result.error[k] == pytest.approx(error[0], rel=1e-10)
    np.testing.assert_allclose(result.seen, visible.mean(axis=0))


@pytest.mark.parametrize("where", ["visible", "fit_visible"])
def test_an_object_that_is_never_seen_has_no_regression(where):
    points, truth = scene()
    mask = np.ones((T, K), dtype=bool)
    mask[:, 1] = False
    fit = (points, truth) if where == "fit_visible" else ()
    result = matching.regression_error(points, truth, *fit, **{where: mask})
    for numbers in (result.error, result.r2, result.baseline):
        assert np.isnan(numbers).tolist() == [False, True, False]


def test_an_object_that_never_moves_has_no_r2():
    points, truth = scene()
    truth[:, 1] = [0.1, 0.7]
    result = matching.regression_error(points, truth)
    assert np.isnan(result.r2).tolist() == [False, True, False]
    assert result.error[1] == pytest.approx(0, abs=1e-30)


def test_a_frame_without_one_of_the_keypoints_leaves_the_regression():
    fit, (points, truth) = scene(seed=1), scene(frames=40, seed=2)
    rng = np.random.default_rng(1)
    found, fit_found = rng.random((40, N)) < 0.95, rng.random((T, N)) < 0.95
    found[:, 2] = fit_found[:, 2] = False  # never there: left out, and not every frame
    fit_found[:9, 2] = True
    visible = rng.random((40, K)) < 0.8
    result = matching.regression_error(
        np.where(found[..., None], points, np.nan), truth, *fit,
        visible=visible, found=found, fit_found=fit_found,
    )  # fmt: skip
    use = [0, 1, 3, 4]
    b = fit_found[:, use].all(axis=1)
    for k in range(K):
        a = visible[:, k] & found[:, use].all(axis=1)
        z = points[a][:, use], truth[a][:, [k]], fit[0][b][:, use], fit[1][b][:, [k]]
        assert result.error[k] == pytest.approx(by_lstsq(*z)[0], rel=1e-10)
        assert result.found[k] == pytest.approx(a.sum() / visible[:, k].sum())
    none = matching.regression_error(points, truth, found=np.zeros((40, N), dtype=bool))
    assert np.isnan(none.error).all()
    assert none.found.tolist() == [0] * K


# -- PCK ---------------------------------------------------------------------------------------


def test_pck_counts_the_frames_within_the_radius():
    truth = np.random.default_rng(0).uniform(-1, 1, (4, 2, 2)).round(1)
    off = np.array([[0, 0.3], [0.1, 0.3], [0.2, 0.3], [0.4, 0.3]])
    predicted = truth + np.stack([off, -off], axis=-1)
    np.testing.assert_allclose(matching.pck(predicted, truth, 0.25 * 2**0.5), [3 / 4, 0])
    np.testing.assert_allclose(matching.pck(predicted, truth, [0.05, 0.5]), [1 / 4, 1])
    np.testing.assert_allclose(matching.pck(torch.tensor(predicted), truth.tolist(), 1), [1, 1])


def test_a_point_at_the_radius_is_correct():
    truth = np.zeros((2, 1, 2))
    predicted = np.array([[[0.375, -0.5]], [[0.375, -0.501]]])  # 3-4-5: 0.625, without rounding
    assert matching.pck(predicted, truth, 0.625).tolist() == [0.5]


def test_pck_leaves_hidden_frames_out():
    truth = np.zeros((4, 3, 2))
    predicted = truth.copy()
    predicted[2] = 0.5
    visible = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]], dtype=bool)
    np.testing.assert_array_equal(
        matching.pck(predicted, truth, 0.1, visible=visible), [2 / 3, 1 / 2, np.nan]
    )


def test_pck_leaves_frames_without_a_point_out():
    truth = np.zeros((4, 2, 2))
    predicted = np.array([[0, 0], [0, 9], [9, 0], [np.nan, 0]])[..., None] * [1.0, 1.0]
    found = np.array([[1, 1], [1, 0], [1, 1], [0, 1]], dtype=bool)
    np.testing.assert_allclose(matching.pck(predicted, truth, 0.1, found=found), [2 / 3, 1])
    none = np.zeros((4, 2), dtype=bool)
    assert np.isnan(matching.pck(predicted, truth, 0.1, found=none)).all()


def test_pck_before_and_after_the_map_tells_an_offset_from_a_failure():
    rng = np.random.default_rng(0)
    truth = rng.uniform(-0.5, 0.5, (T, 2, 2))
    points = np.stack([truth[:, 0] * 0.8 + 0.3, rng.uniform(-0.5, 0.5, (T, 2))], axis=1)
    result = tracking.tracking_error(points, truth)
    raw = matching.pck(points[:, result.keypoint], truth, 0.1)
    mapped = matching.pck(result.predict(points), truth, 0.1)
    assert raw[0] < 0.1
    assert mapped[0] == 1
    assert max(raw[1], mapped[1]) < 0.2


def test_an_object_that_is_predicted_nowhere_has_no_pck():
    points, truth = scene()
    mask = np.ones((T, K), dtype=bool)
    mask[:, 1] = False
    result = tracking.tracking_error(points, truth, points, truth, fit_visible=mask)
    share = matching.pck(result.predict(points), truth, 0.3)
    assert np.isnan(share).tolist() == [False, True, False]


# -- precision and recall: the oracle ----------------------------------------------------------


def best_matches(distance, radius):
    """Most matches, and the smallest sum of distances with as many, over all assignments."""
    n, k = distance.shape
    small, large = range(min(n, k)), range(max(n, k))
    best = (0, 0.0)
    for order in itertools.permutations(large, len(small)):
        pairs = zip(order, small, strict=True) if n >= k else zip(small, order, strict=True)
        near = [distance[a, b] for a, b in pairs if distance[a, b] <= radius[b]]
        best = max(best, (len(near), -sum(near)))
    return best[0], -best[1]


def by_permutations(points, truth, radius, length, visible, episode):
    """Oracle: window by window, pair by pair, every assignment; the six sums and the distance."""
    keypoints, objects = points.shape[1], truth.shape[1]
    windows = matched = detections = present = most = most_detections = 0
    total = 0.0
    for label in np.unique(episode):
        frames = [t for t in range(len(points)) if episode[t] == label]
        for first in range(0, len(frames) - length + 1, length):
            window = frames[first : first + length]
            there = [k for k in range(objects) if visible[window, k].any()]
            distance = np.array(
                [
                    [
                        np.mean(
                            [np.linalg.norm(points[t, n] - truth[t, k]) for t in window
                             if visible[t, k]]
                        )
                        for k in there
                    ]
                    for n in range(keypoints)
                ]
            )  # fmt: skip
            hits, apart = best_matches(distance, np.asarray(radius)[there]) if there else (0, 0)
            absent = objects - len(there)
            windows, matched, present = windows + 1, matched + hits, present + len(there)
            detections += keypoints - min(keypoints - hits, absent)
            possible = min(keypoints, len(there))
            most += possible
            most_detections += keypoints - min(keypoints - possible, absent)
            total += apart
    return windows, matched, detections, present, most, most_detections, total


def ratio(a, b):
    return a / b if b else np.nan


@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.2, 0.7, 1.0]))
@settings(max_examples=60)
def test_matches_every_assignment_of_every_window(seed, share):
    # Catches: greedy pairs, far pairs that compete, windows across episodes, hidden frames.
    rng = np.random.default_rng(seed)
    frames, n, k = rng.integers(1, 13), rng.integers(1, 5), rng.integers(1, 4)
    points, truth = rng.uniform(-1, 1, (frames, n, 2)), rng.uniform(-1, 1, (frames, k, 2))
    radius = rng.uniform(0.2, 1.6, k)
    visible = rng.random((frames, k)) < share
    episode = rng.integers(0, 3, frames)
    lengths = range(1, np.bincount(episode).max() + 1)
    result = matching.precision_recall(
        points, truth, radius, lengths, visible=visible, episode=episode
    )
    assert result.lengths.tolist() == list(lengths)
    for i, length in enumerate(lengths):
        windows, matched, detections, objects, most, fewest, total = by_permutations(
            points, truth, radius, length, visible, episode
        )
        assert result.windows[i] == windows
        assert result.matched[i] == matched
        assert result.detections[i] == detections
        assert result.objects[i] == objects
        np.testing.assert_allclose(result.precision[i], ratio(matched, detections))
        np.testing.assert_allclose(result.recall[i], ratio(matched, objects))
        np.testing.assert_allclose(result.ceiling[i], ratio(most, fewest))
        np.testing.assert_allclose(result.distance[i], ratio(total, matched), rtol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 4])
def test_lost_keypoints_are_no_detections(length):
    truth = still((-0.5, 0.0), (0.5, 0.0), frames=4)
    points = np.concatenate([truth, still((0.0, 0.9), frames=4)], axis=1)
    found = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 0, 0]], dtype=bool)
    holes = np.where(found[..., None], points, np.nan)
    result = matching.precision_recall(holes, truth, 0.1, [length], found=found)
    there = 2 * found.reshape(-1, length, 3).sum(axis=1) >= length
    assert result.matched[0] == there[:, :2].sum()
    assert result.detections[0] == there.sum()
    assert result.recall[0] == there[:, :2].mean()
    assert result.found[0] == there.mean()
    assert result.distance[0] == pytest.approx(0)
    assert matching.precision_recall(points, truth, 0.1, [length]).found[0] == 1


def test_a_distance_is_over_frames_with_both():  # catches: a lost point at the centre that counts
    truth, points = still((0.9, 0.0), frames=4), still((0.95, 0.0), frames=4)
    found, visible = np.array([[True, True, False, True], [True, False, True, True]])[..., None]
    result = matching.precision_recall(points, truth, 0.1, [4], visible=visible, found=found)
    assert result.distance[0] == pytest.approx(0.05)
    never = matching.precision_recall(points, truth, 0.1, [4], visible=visible, found=~visible)
    assert (never.matched[0], never.detections[0]) == (0, 0)  # in a quarter of the frames
    apart = np.array([[True], [True], [False], [False]])
    never = matching.precision_recall(points, truth, 0.1, [4], visible=apart, found=~apart)
    assert (never.matched[0], never.detections[0]) == (0, 1)  # in no frame with the object


# -- precision and recall: closed forms --------------------------------------------------------


def still(*places, frames=1):
    """Points that stand still, ``(frames, ..., 2)``."""
    return np.tile(np.array(places, dtype=float), (frames, 1, 1))


def test_perfect_keypoints_reach_the_ceiling():
    _, truth = scene(noise=0)
    far = still((3.0, 3.0), (3.0, -3.0), frames=T)
    for extra, ceiling in ((far[:, :0], 1), (far[:, :1], 3 / 4), (far, 3 / 5)):
        points = np.concatenate([extra, truth], axis=1)
        result = matching.precision_recall(points, truth, 0.01, (1, 7, T))
        np.testing.assert_allclose(result.recall, 1)
        np.testing.assert_allclose(result.precision, ceiling, rtol=1e-15)
        np.testing.assert_allclose(result.ceiling, ceiling, rtol=1e-15)
        np.testing.assert_allclose(result.distance, 0, atol=1e-15)
        assert result.windows.tolist() == [T, T // 7, 1]


def test_fewer_keypoints_than_objects_may_be_precise_and_miss_the_rest():
    _, truth = scene(noise=0)
    result = matching.precision_recall(truth[:, [2, 0]], truth, 0.01)
    assert (result.precision[0], result.ceiling[0]) == (1, 1)
    assert result.recall[0] == pytest.approx(2 / 3)


def test_one_match_more_is_worth_any_distance():  # catches: far pairs that compete, greedy pairs
    # Keypoint 0 lies on object 0, but object 1 is within reach of keypoint 0 only.
    truth = still((0.0, 0.0), (0.3, 0.0))
    points = still((0.0, 0.0), (-0.0375, 0.2976))  # 0.3 from object 0, 0.45 from object 1
    result = matching.precision_recall(points, truth, 0.31)
    assert result.matched[0] == 2
    assert result.distance[0] == pytest.approx(0.3, abs=1e-3)
    assert matching.precision_recall(points, truth, 0.29).matched[0] == 1


@pytest.mark.parametrize("radius", [0.5, 1e308])  # catches: a cost that grows with the radius
def test_of_equally_many_matches_the_nearest_are_taken(radius):
    truth = still((0.0, 0.0), (0.2, 0.0), (0.0, 0.0))
    points = still((0.2, 1e-9), (0.0, 1e-9), (0.9, 0.9))
    visible = np.array([[True, True, False]])
    result = matching.precision_recall(points, truth, radius, visible=visible)
    assert result.matched[0] == 2
    assert result.distance[0] == pytest.approx(1e-9, rel=1e-6)


def test_the_distance_is_a_mean_of_distances():  # catches: the distance of the mean positions
    angle = np.arange(8) * np.pi / 4
    circle = 0.5 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)[:, None]
    centre = np.zeros((8, 1, 2))
    assert matching.precision_recall(circle, centre, 0.49, (8,)).matched[0] == 0
    assert matching.precision_recall(circle, centre, 0.51, (8,)).distance[0] == pytest.approx(0.5)


def test_a_swap_is_seen_by_long_windows_only():
    truth = still((-0.5, 0.0), (0.5, 0.0), frames=20)
    points = truth.copy()
    points[10:] = points[10:, ::-1]
    result = matching.precision_recall(points, truth, 0.1, (1, 10, 20))
    assert result.recall.tolist() == [1, 1, 0]
    # Between two episodes a swap is none: a keypoint owes nothing across them.
    result = matching.precision_recall(points, truth, 0.1, [10], episode=np.arange(20) // 10)
    assert result.recall.tolist() == [1]
    # Episodes of 15 and 5: the window that holds the swap ends with its episode.
    result = matching.precision_recall(points, truth, 0.1, [5], episode=np.arange(20) // 15)
    assert result.recall.tolist() == [1]
    assert matching.precision_recall(points, truth, 0.1, [7]).recall.tolist() == [0.5]


def test_a_rest_shorter_than_the_window_is_left_out():
    _, truth = scene(17, noise=0)
    points = truth.copy()
    points[[9, 10, 16]] += 5  # the rests of episodes of 11 and 6 frames, after windows of 3 and 4
    episode = np.repeat([1, 0], [11, 6])
    result = matching.precision_recall(points, truth, 0.1, (3, 5, 11), episode=episode)
    assert result.windows.tolist() == [3 + 2, 2 + 1, 1]
    assert result.objects.tolist() == [15, 9, 3]
    assert result.matched.tolist() == [4 * 3, 2 * 3, 0]


def test_frames_of_an_episode_need_not_stand_together():
    points, truth = scene(noise=0.5)
    visible = np.random.default_rng(0).random((T, K)) < 0.8
    label = np.repeat([0, 1, 2], [31, 9, 20])
    expected = matching.precision_recall(points, truth, 0.6, (1, 4), visible=visible, episode=label)
    names = np.array(["a", "b", "c"])
    order = np.argsort(np.r_[np.arange(31), np.arange(9), np.arange(20)], kind="stable")
    mixed = matching.precision_recall(
        points[order], truth[order], 0.6, (1, 4),
        visible=torch.tensor(visible[order]), episode=names[label[order]],
    )  # fmt: skip
    assert mixed.matched.tolist() == expected.matched.tolist()
    assert mixed.detections.tolist() == expected.detections.tolist()


def test_absent_frames_do_not_count_in_the_distance():
    truth = still((0.0, 0.0), frames=4)
    points = still((0.2, 0.0), frames=4)
    points[1:3] += 2
    visible = np.array([True, False, False, True])[:, None]
    result = matching.precision_recall(points, truth, 0.3, [4], visible=visible)
    assert result.distance[0] == pytest.approx(0.2)  # catches: divided by all four frames
    assert (result.recall[0], result.precision[0]) == (1, 1)


ABSENT = {  # keypoints on objects, keypoints elsewhere -> precision, recall; object 2 is absent
    "the absent object's keypoint is excused": (2, 1, 1, 1),
    "a second stray keypoint is not": (2, 2, 2 / 3, 1),
    "a missed object": (1, 2, 1 / 2, 1 / 2),
    "no keypoint to excuse": (2, 0, 1, 1),
    "nothing found": (0, 2, 0, 0),
    "nothing to count": (0, 1, np.nan, 0),
}


@pytest.mark.parametrize(("on", "elsewhere", "precision", "recall"), ABSENT.values(), ids=ABSENT)
def test_an_absent_object_leaves_the_truth_and_excuses_one_keypoint(
    on, elsewhere, precision, recall
):
    truth = still((-0.5, 0.0), (0.5, 0.0), (0.0, 0.9), frames=2)
    points = still(*[(-0.5, 0.0), (0.5, 0.0)][:on], *[(0.0, 0.9)] * elsewhere, frames=2)
    visible = np.array([[True, True, False]] * 2)
    result = matching.precision_recall(points, truth, 0.1, (1, 2), visible=visible)
    np.testing.assert_allclose(result.precision, precision)
    np.testing.assert_allclose(result.recall, recall)
    assert result.objects.tolist() == [4, 2]


def test_nothing_to_find_has_no_recall_and_no_precision():
    points, truth = scene()
    nothing = np.zeros((T, K), dtype=bool)
    result = matching.precision_recall(points[:, :K], truth, 0.1, visible=nothing)
    assert np.isnan([result.recall, result.precision, result.ceiling, result.distance]).all()
    result = matching.precision_recall(points, truth, 0.1, visible=nothing)
    assert np.isnan(result.recall[0])
    assert (result.precision[0], result.ceiling[0]) == (0, 0)
    assert result.detections[0] == T * (N - K)


# -- precision and recall: laws ----------------------------------------------------------------


def judge(points, truth, radius=0.5, **options):
    return matching.precision_recall(points, truth, radius, (1, 3, 8), **options)


def test_the_order_of_keypoints_and_objects_does_not_matter():
    points, truth = scene(noise=0.3)
    visible = np.random.default_rng(0).random((T, K)) < 0.8
    radius = np.array([0.3, 0.5, 0.7])
    expected = judge(points, truth, radius, visible=visible)
    mixed = judge(
        points[:, ::-1], truth[:, [1, 2, 0]], radius[[1, 2, 0]], visible=visible[:, [1, 2, 0]]
    )
    for name in ("matched", "detections", "objects"):
        assert getattr(mixed, name).tolist() == getattr(expected, name).tolist()
    np.testing.assert_allclose(mixed.distance, expected.distance, rtol=1e-12)


def test_a_far_keypoint_lowers_precision_by_n_over_n_plus_1():
    points, truth = scene(noise=0.3)
    expected = judge(points, truth)
    more = judge(np.concatenate([still((9.0, 9.0), frames=T), points], axis=1), truth)
    assert (expected.precision > 0).all()
    np.testing.assert_allclose(more.precision, expected.precision * N / (N + 1), rtol=1e-12)
    assert more.recall.tolist() == expected.recall.tolist()


@given(seed=st.integers(0, 999))
@settings(max_examples=30)
def test_a_larger_radius_finds_no_less_and_no_precision_passes_the_ceiling(seed):
    rng = np.random.default_rng(seed)
    points, truth = scene(20, keypoints=rng.integers(1, 6), noise=0.3, seed=seed)
    visible = rng.random((20, K)) < rng.choice([0.2, 0.8])
    visible[0] = True
    before = judge(points, truth, 0.05, visible=visible)
    for radius in (0.2, 0.4, 0.9, 3.0):
        result = judge(points, truth, radius, visible=visible)
        assert (result.recall >= before.recall).all()
        assert (result.matched >= before.matched).all()
        assert not (result.precision < before.precision).any()
        assert not (result.precision > result.ceiling).any()
        before = result


def test_what_was_given_is_left_alone_and_may_be_of_any_kind():
    points, truth = scene()
    visible = truth[..., 0] > -0.5
    before = points.copy(), truth.copy()
    points.flags.writeable = truth.flags.writeable = False
    expected = judge(points, truth, visible=visible)
    matching.regression_error(points, truth, visible=visible)
    matching.pck(points[:, :K], truth, 0.1, visible=visible)
    np.testing.assert_array_equal(points, before[0])
    np.testing.assert_array_equal(truth, before[1])
    lengths = torch.tensor([1, 3, 8])
    given_ = torch.tensor(before[0]), before[1].tolist(), torch.tensor(0.5), lengths
    result = matching.precision_recall(*given_, visible=torch.tensor(visible))
    assert result.matched.tolist() == expected.matched.tolist()
    low = judge(before[0].astype(np.float32), truth, visible=visible)
    np.testing.assert_allclose(low.distance, expected.distance, rtol=1e-6)


# -- bad input ---------------------------------------------------------------------------------

POINTS, TRUTH = scene()
NAN = np.where(np.arange(T) == 7, np.nan, 0)[:, None, None] + TRUTH
ALL = np.ones((T, K), dtype=bool)
regress, pck, recall = matching.regression_error, matching.pck, matching.precision_recall

BAD = {
    "regression: lengths": (regress, (POINTS[:-1], TRUTH), {}, r"truth: got shape \(60, 3, 2\)"),
    "regression: no keypoints": (regress, (POINTS[:, :0], TRUTH), {}, "points: .* no empty axis"),
    "regression: no objects": (regress, (POINTS, TRUTH[:, :0]), {}, "truth: .* no empty axis"),
    "regression: NaN": (regress, (POINTS, NAN), {}, "truth: got 6 of 360 values NaN"),
    "regression: one frame": (regress, (POINTS[:1], TRUTH[:1]), {}, "points: got 1 frame"),
    "regression: half a fit": (
        regress, (POINTS, TRUTH, POINTS), {}, "fit_truth: got None, expected both fit_points",
    ),
    "regression: other keypoints": (
        regress, (POINTS, TRUTH, POINTS[:, 1:], TRUTH), {}, r"fit_points: got shape \(60, 4, 2\)",
    ),
    "regression: lonely mask": (
        regress, (POINTS, TRUTH), {"fit_visible": ALL}, "fit_visible: .* nothing without fit_poi",
    ),
    "pck: keypoints, not predictions": (
        pck, (POINTS, TRUTH, 0.1), {},
        r"predicted: got shape \(60, 5, 2\), expected \(60, 3, 2\)\. One point .* result\.chosen",
    ),
    "pck: lengths": (pck, (TRUTH[:-1], TRUTH, 0.1), {}, r"predicted: got shape \(59, 3, 2\)"),
    "pck: no objects": (pck, (TRUTH[:, :0], TRUTH[:, :0], 0.1), {}, "truth: .* no empty axis"),
    "pck: NaN in the truth": (pck, (TRUTH, NAN, 0.1), {}, "truth: got 6 of 360 values NaN"),
    "pck: NaN in some frames": (
        pck, (NAN, TRUTH, 0.1), {}, "predicted: got 6 of 360 values NaN.* first at .7, 0, 0",
    ),
    "pck: mask": (
        pck, (TRUTH, TRUTH, 0.1), {"visible": ALL[1:]}, r"visible: got shape \(59, 3\)",
    ),
    "pck: no radius": (pck, (TRUTH, TRUTH, 0), {}, "radius: got 0.0, expected > 0. Image coord"),
    "pck: radii": (
        pck, (TRUTH, TRUTH, [0.1, 0.1]), {},
        r"radius: got shape \(2,\), expected \(3,\).* One number for all objects, or one for each",
    ),
    "recall: lengths": (recall, (POINTS, TRUTH[1:], 0.1), {}, r"truth: got shape \(59, 3, 2\)"),
    "recall: no keypoints": (recall, (POINTS[:, :0], TRUTH, 0.1), {}, "points: .* no empty axis"),
    "recall: no objects": (recall, (POINTS, TRUTH[:, :0], 0.1), {}, "truth: .* no empty axis"),
    "recall: NaN": (recall, (POINTS, NAN, 0.1), {"visible": ~np.isnan(NAN[..., 0])}, "with visib"),
    "recall: radius": (recall, (POINTS, TRUTH, [0.1, -0.1, 0.1]), {}, "radius: got -0.1, expected"),
    "recall: radius NaN": (recall, (POINTS, TRUTH, np.nan), {}, "radius: got nan, expected > 0"),
    "recall: radius infinite": (recall, (POINTS, TRUTH, np.inf), {}, "radius: .* finite"),
    "recall: radii": (recall, (POINTS, TRUTH, np.ones((3, 1))), {}, r"radius: got shape \(3, 1\)"),
    "regression: masked": (regress, (np.ma.masked_less(POINTS, 0), TRUTH), {}, "points: got a mas"),
    "pck: masked": (pck, (np.ma.masked_less(TRUTH, 0), TRUTH, 0.1), {}, "predicted: got a masked"),
    "pck: masked radius": (pck, (TRUTH, TRUTH, np.ma.masked_less([0, 1, 1], 1)), {}, "radius: got"),
    "pck: lost": (pck, (NAN, TRUTH, 0.1), {"found": ALL}, "predicted: got 6 .*with found"),
    "recall: masked": (recall, (POINTS, np.ma.masked_less(TRUTH, 0), 0.1), {}, "truth: got a mask"),
    "recall: list of masked": (
        recall, (list(np.ma.masked_less(POINTS, 0)), TRUTH, 0.1), {}, "points: got a masked",
    ),
    "recall: found": (recall, (POINTS, TRUTH, 0.1), {"found": ALL}, r"found: got shape \(60, 3\)"),
    "recall: labels": (
        recall, (POINTS, TRUTH, 0.1), {"episode": np.arange(T - 1)}, r"episode: got shape \(59,\)",
    ),
    "recall: no length": (recall, (POINTS, TRUTH, 0.1, ()), {}, "lengths: got none, expected at"),
    "recall: length 0": (
        recall, (POINTS, TRUTH, 0.1, (5, 0)), {}, r"lengths\[1\]: got 0, expected at least 1",
    ),
    "recall: too long": (
        recall, (POINTS, TRUTH, 0.1, (5, 61)), {},
        r"lengths\[1\]: got 61, expected at most 60, the frames of the longest episode. A window",
    ),
    "recall: longer than every episode": (
        recall, (POINTS, TRUTH, 0.1, [26, 1]), {"episode": np.repeat([0, 1, 2], [20, 25, 15])},
        r"lengths\[0\]: got 26, expected at most 25, the frames of the longest episode",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("function", "given_", "options", "message"), BAD.values(), ids=BAD)
def test_bad_input_gets_one_message(function, given_, options, message):
    with pytest.raises(ValueError, match=message):
        function(*given_, **options)


@pytest.mark.parametrize(
    ("function", "given_", "options", "message"),
    [
        (regress, (None, TRUTH), {}, r"points: got None, expected numbers of shape \(T, N, 2\)"),
        (
            regress,
            (POINTS, TRUTH),
            {"visible": ALL * 1},
            "visible: got dtype int64, expected True and False .dtype bool",
        ),
        (pck, ("p.csv", TRUTH, 0.1), {}, r"predicted: got 'p.csv', expected \(60, 3, 2\) numbers"),
        (pck, (TRUTH, TRUTH, "wide"), {}, r"radius: got 'wide', expected a number or \(3,\) num"),
        (pck, (TRUTH, TRUTH, None), {}, "radius: got None"),
        (recall, (POINTS, TRUTH, 0.1), {"visible": ALL * 1.0}, "visible: got dtype float64"),
        (recall, (POINTS, TRUTH, 0.1), {"visible": "False"}, "visible: got a str of others"),
        (recall, (POINTS, TRUTH, 0.1), {"found": POINTS[..., 0]}, "found: got dtype float64"),
        (regress, (POINTS, TRUTH), {"found": POINTS[..., 0]}, "found: got dtype float64"),
        (pck, (TRUTH, TRUTH, 0.1), {"visible": ALL * np.nan}, "visible: got dtype float64"),
        (pck, (TRUTH, TRUTH, 0.1), {"found": [["False"] * 3] * T}, "found: got a list of others"),
        (recall, (POINTS, TRUTH, 0.1, b"12"), {}, "lengths: got b'12', expected a sequence"),
        (recall, (POINTS, TRUTH, 0.1, 5), {}, "lengths: got 5, expected a sequence of whole num"),
        (recall, (POINTS, TRUTH, 0.1, "15"), {}, "lengths: got '15', expected a sequence"),
        (recall, (POINTS, TRUTH, 0.1, (1, 2.0)), {}, r"lengths\[1\]: got 2.0, expected a whole"),
        (recall, (POINTS, TRUTH, 0.1, np.array([1.5])), {}, r"lengths\[0\]: got 1.5, expected a"),
    ],
)
def test_input_of_another_kind_is_a_type_error(function, given_, options, message):
    with pytest.raises(TypeError, match=message):
        function(*given_, **options)


def test_pixels_are_warned_of():
    def px(x):
        return (np.clip(x, -1, 1) + 1) / 2 * 63

    with pytest.warns(UserWarning, match=r"truth: got \d+% of the points beyond 4.*from_pixels"):
        matching.regression_error(POINTS, px(TRUTH))
    with pytest.warns(UserWarning, match="fit_truth: got"):
        matching.regression_error(POINTS, TRUTH, POINTS, px(TRUTH))
    with pytest.warns(UserWarning, match="points: got"):
        matching.regression_error(px(POINTS), TRUTH, intercept=False)
    with pytest.warns(UserWarning, match="predicted: got"):
        matching.pck(px(TRUTH), TRUTH, 0.1)
    with pytest.warns(UserWarning, match="truth: got"):
        matching.pck(TRUTH, px(TRUTH), 0.1)
    with pytest.warns(UserWarning, match="points: got") as caught:
        matching.precision_recall(px(POINTS), TRUTH, 0.1)
    assert caught[0].filename == __file__  # the line that gave the pixels
    with pytest.warns(UserWarning, match="truth: got"):
        matching.precision_recall(POINTS, px(TRUTH), 0.1)


def test_a_fitted_shift_takes_keypoints_in_any_unit_and_hidden_truth_may_lie_anywhere():
    points, truth, visible = (POINTS + 1) / 2 * 63, TRUTH.copy(), ALL.copy()
    visible[:, 1], truth[:, 1] = False, 99.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matching.regression_error(points, truth, visible=visible)
        matching.precision_recall(POINTS, truth, 0.1, visible=visible)
        matching.pck(TRUTH, truth, 0.1, visible=visible)


# -- cost --------------------------------------------------------------------------------------


def wide(frames):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (frames, 32, 2)), rng.uniform(-1, 1, (frames, K, 2))


def peak_of(call):
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_grows_no_faster_than_the_frames():
    few, many = wide(500), wide(2_000)
    for call in (
        lambda data: matching.precision_recall(*data, 0.2, (2, 10)),
        lambda data: matching.regression_error(*data),
    ):
        assert peak_of(lambda: call(many)) < 4.4 * peak_of(lambda: call(few))  # noqa: B023


@pytest.mark.slow
def test_precision_and_recall_cost_a_few_times_what_the_distances_cost():
    """All of them, by NumPy, in the same run; 2,000 frames are about 0.02 s on a quiet machine."""
    points, truth = wide(2_000)

    def distances():
        return np.linalg.norm(points[:, :, None] - truth[:, None], axis=-1)

    def seconds(what):
        start = time.perf_counter()
        what()
        return time.perf_counter() - start

    lengths = (1, 2, 5, 10, 20)
    ours = [
        seconds(lambda: matching.precision_recall(points, truth, 0.2, lengths)) for _ in range(5)
    ]
    assert min(ours) < 8 * min(seconds(distances) for _ in range(5))


def test_numpy_numbers_and_half_precision_are_numbers():
    radius = np.float16(0.25)
    half = POINTS.astype(np.float16)
    expected = matching.precision_recall(half.astype(float), TRUTH, 0.25, (1, 3))
    for lengths in (np.array([1, 3]), (np.int64(1), np.uint8(3)), torch.tensor([1, 3])):
        found = matching.precision_recall(torch.from_numpy(half), TRUTH, radius, lengths)
        assert found.matched.tolist() == expected.matched.tolist()
    exact = TRUTH.astype(np.float16)
    shares = matching.pck(exact, exact, np.int64(1))
    assert shares.tolist() == [1] * K


def test_results_keep_nothing_of_the_callers():
    z, y, lengths = POINTS.copy(), TRUTH.copy(), np.array([1, 3])
    seen, label = np.ones((T, K), dtype=bool), np.arange(T) // 10
    results = [
        matching.precision_recall(z, y, 0.5, lengths, visible=seen, episode=label),
        matching.regression_error(z, y, visible=seen),
    ]
    before = [{name: x.copy() for name, x in vars(result).items()} for result in results]
    for x in (z, y, lengths, seen, label):
        x[:] = 0
    for result, was in zip(results, before, strict=True):
        for name, x in was.items():
            np.testing.assert_array_equal(getattr(result, name), x)


@pytest.mark.parametrize("intercept", ["no", 0, None], ids=repr)
def test_intercept_is_a_bool(intercept):
    z = np.random.default_rng(0).uniform(-1, 1, (9, 1, 2))
    with pytest.raises(TypeError, match=r"intercept: got .*expected True or False"):
        matching.regression_error(z, z, intercept=intercept)
