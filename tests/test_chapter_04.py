"""Chapter 4: what it teaches is what kpbook does, and its checks tell wrong answers apart."""

import notebooks
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import trim_mean

from kpbook import metric
from kpbook.episodes import Episodes
from kpbook.metric import THRESHOLDS, regression_error, tracking_capability, tracking_error

CHAPTER = "04_tracking_metric"
MODULES = {
    "np": np,
    "linear_sum_assignment": linear_sum_assignment,
    "regression_error": regression_error,
    "tracking_error": tracking_error,
}
TAUGHT = notebooks.namespace(CHAPTER, "taught", **MODULES)
HELD_OUT = Episodes.sample()[:60]
_flat = HELD_OUT.flat()
CHECKS = notebooks.exercises(CHAPTER, **MODULES)
SOLUTIONS = notebooks.solutions(CHAPTER)


def scene(T=80, N=5, K=3, seed=0):
    """Keypoints at random; object k follows keypoint k + 1, with noise."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (T, N, 2))
    turns = rng.uniform(-1, 1, (K, 2, 2))
    truth = np.einsum("kij,tkj->tki", turns, points[:, 1 : K + 1]) + 0.2
    return points, truth + 0.1 * rng.normal(size=truth.shape)


# -- what is taught is what the package does -----------------------------------------------------


def test_the_naive_error_is_the_same_in_loops_and_at_once():
    points, truth = scene(T=7)
    loops, at_once = TAUGHT["naive_error"], TAUGHT["naive_error_at_once"]
    np.testing.assert_allclose(loops(points, truth), at_once(points, truth))
    shifted = points[:, :3] + np.array([0.3, -0.4])
    assert np.diag(at_once(shifted, points[:, :3])) == pytest.approx([0.25] * 3)


@pytest.mark.parametrize("name", ["errors_by_loops", "errors_at_once"])
def test_the_errors_that_are_taught_are_the_package_s(name):
    points, truth = scene()
    points[:, 4] = 0.3  # a keypoint that never moves
    ours = metric.tracking_error(points, truth)
    np.testing.assert_allclose(TAUGHT[name](points, truth), ours.fit_error, atol=1e-12)
    error, keypoint = TAUGHT["tracking"](points, truth)
    np.testing.assert_allclose(error, ours.error, atol=1e-12)
    assert keypoint.tolist() == ours.keypoint.tolist() == [1, 2, 3]


def test_the_pair_that_is_fitted_is_exact_for_an_affine_copy():
    points, _ = scene()
    A, b = np.array([[0.5, -0.2], [0.7, 0.1]]), np.array([0.3, -0.6])
    got_A, got_b, error = TAUGHT["fit_pair"](points[:, 0], points[:, 0] @ A.T + b)
    np.testing.assert_allclose(got_A, A)
    np.testing.assert_allclose(got_b, b)
    assert error < 1e-25


def test_the_capability_that_is_taught_is_the_package_s():
    errors = np.array([[0.015, 0.2, np.nan], [0.1, 0.001, 0.1], [0.0, 0.0, 0.2]])
    overall, each = TAUGHT["capability"](errors, THRESHOLDS)
    expected = tracking_capability(errors, THRESHOLDS)
    assert overall == pytest.approx(expected[0])
    np.testing.assert_array_equal(each, expected[1])


@pytest.mark.parametrize("n", [3, 4, 7, 24])
def test_the_trimmed_mean_that_is_taught_is_rliable_s(n):
    scores = np.random.default_rng(n).normal(size=n)
    assert TAUGHT["trimmed"](scores) == pytest.approx(trim_mean(scores, 0.25, axis=None))
    assert metric.iqm(scores) == pytest.approx(TAUGHT["trimmed"](scores))


def test_the_error_within_episodes_that_is_taught_is_the_package_s():
    points, truth = scene(T=60)
    episode = np.repeat([4, 1, 2], 20)
    ours = metric.tracking_error(points, truth, episode=episode)
    for k, n in enumerate(ours.keypoint):
        error, still = TAUGHT["within"](points[:, n], truth[:, k], episode)
        assert (error, still) == pytest.approx((ours.within[k], ours.within_baseline[k]))


def test_the_regression_that_is_taught_is_the_package_s():
    (points, truth), fit = scene(seed=1), scene(seed=0)
    ours = metric.regression_error(points, truth, *fit).r2
    np.testing.assert_allclose(TAUGHT["regression"](points, truth, *fit), ours)


def test_the_pck_that_is_taught_is_the_package_s():
    points, truth = scene()
    visible = np.random.default_rng(2).uniform(size=truth.shape[:2]) > 0.3
    near = points[:, 1:4] * 0.5
    ours = metric.pck(near, truth, 0.5, visible=visible)
    np.testing.assert_allclose(TAUGHT["correct"](near, truth, 0.5, visible), ours)
    assert 0 < ours.min() < ours.max() < 1


@pytest.mark.parametrize("length", [1, 3, 20])
def test_the_recall_that_is_taught_is_the_package_s(length):
    _, truth = scene(T=60)
    points = np.concatenate([truth + 0.3 * scene(T=60, seed=4)[0][:, :3], truth[:, :1]], axis=1)
    episode = np.repeat(range(3), 20)
    ours = metric.precision_recall(points, truth, 0.2, (length,), episode=episode)
    assert TAUGHT["recall"](points, truth, 0.2, length) == pytest.approx(ours.recall[0])
    assert 0 < ours.recall[0] < 1


# -- exercises -----------------------------------------------------------------------------------

EXERCISES = ["best_map", "r2_needed", "follows", "precision_and_recall", "fool"]


def solution(name):
    scope = {**MODULES, "centred": TAUGHT["centred"]}
    exec(SOLUTIONS[name], scope)
    return scope[name]


@pytest.mark.parametrize("name", EXERCISES)
def test_a_blank_is_noticed(name):
    assert CHECKS[f"check_{name}"](CHECKS[name]).startswith("not written yet")


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_is_accepted(name):
    assert CHECKS[f"check_{name}"](solution(name)) == "correct"


def of_least_squares(z, y):
    solved, *_ = np.linalg.lstsq(np.column_stack([z, np.ones(len(z))]), y, rcond=None)
    return solved[:2].T, solved[2]


def diagonal(z, y):
    A, _ = of_least_squares(z, y)
    return np.diag(np.diag(A)), y.mean(0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda z, y: (of_least_squares(z, y)[0].T, of_least_squares(z, y)[1]), "transposed"),
        (lambda z, y: (of_least_squares(z, y)[0], y.mean(0) - z.mean(0)), "A is right; b is"),
        (lambda z, y: (np.linalg.solve(z.T @ z, z.T @ y).T, np.zeros(2)), "through the origin"),
        (diagonal, "each axis fitted alone"),
        (lambda z, y: (np.eye(3), np.zeros(2)), "A has shape (3, 3)"),
        (lambda z, y: (np.ones((2, 2)), np.zeros(2)), "A is [[1.0, 1.0], [1.0, 1.0]], expected"),
        (
            lambda z, y: (0.96 * of_least_squares(z, y)[0], of_least_squares(z, y)[1]),
            "A is [[0.4",
        ),
    ],
)
def test_wrong_maps_are_told_apart(wrong, message):
    assert message in CHECKS["check_best_map"](wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda mu, y: mu / np.square(y - y.mean(0)).sum(-1).mean(), "that may be lost"),
        (lambda mu, y: 1 - mu / y[:, 0].var(), "only the x axis"),
        (lambda mu, y: 1 - mu / y.var(), "pooled into one list"),
        (lambda mu, y: 1 - mu / y.var(0).mean(), "the mean over both axes"),
        (lambda mu, y: 1 - mu / np.square(y).sum(-1).mean(), "distance from the origin"),
        (lambda mu, y: 1 - mu / y.var(0, ddof=1).sum(), "divided by T - 1"),
        (lambda mu, y: 1 - mu / y.var(0), "an array of shape (2,)"),
        (lambda mu, y: 0.71, "got 0.710, expected 0.800"),
        (lambda mu, y: 0.8, "right for one threshold only"),
        (lambda mu, y: 1 - mu / 0.05, "right for one trajectory only"),
    ],
)
def test_wrong_needs_are_told_apart(wrong, message):
    assert message in CHECKS["check_r2_needed"](wrong)


def follows_with(z, y, episode, centre_z=True, centre_y=True, still=np.nan):
    a = TAUGHT["centred"](z, episode) if centre_z else z - z.mean(0)
    b = TAUGHT["centred"](y, episode) if centre_y else y - y.mean(0)
    if np.square(b).sum() == 0:
        return still
    linear, *_ = np.linalg.lstsq(a, b, rcond=None)
    return 1 - np.square(b - a @ linear).sum() / np.square(b).sum()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"centre_z": False, "centre_y": False}, "stands still in each episode: "),
        ({"centre_y": False}, "follows through an affine map: 0."),
        ({"centre_z": False}, "follows through an affine map: 0."),
        ({"still": 1.0}, "an object that never moves: 1.000, expected NaN"),
    ],
)
def test_wrong_following_is_told_apart(options, message):
    assert message in CHECKS["check_follows"](lambda *a: follows_with(*a, **options))


def test_following_without_a_map_is_noticed():
    def plain(z, y, episode):
        a, b = (TAUGHT["centred"](x, episode) for x in (z, y))
        return 1 - np.square(b - a).sum() / np.square(b).sum()

    assert "through an affine map" in CHECKS["check_follows"](plain)


def test_a_mean_of_the_episodes_shares_is_noticed():
    def mean_of_shares(z, y, episode):
        each = [
            follows_with(z[episode == e], y[episode == e], episode[episode == e])
            for e in set(episode.tolist())
        ]
        return np.mean(each)

    assert "a noisy keypoint: " in CHECKS["check_follows"](mean_of_shares)


def apart(points, truth):
    return np.linalg.norm(points[:, None] - truth[None], axis=-1)


def each_to_its_nearest(points, truth, radius):
    d = apart(points, truth)
    return (d.min(1) <= radius).mean(), (d.min(0) <= radius).mean()


def greedy(points, truth, radius):
    d, pairs = apart(points, truth), 0
    while d.size and d.min() <= radius:
        n, k = np.unravel_index(d.argmin(), d.shape)
        d = np.delete(np.delete(d, n, 0), k, 1)
        pairs += 1
    return pairs / len(points), pairs / len(truth)


def without_a_radius(points, truth, radius):
    pairs = min(len(points), len(truth))
    return pairs / len(points), pairs / len(truth)


def cheapest_first(points, truth, radius):
    d = apart(points, truth)
    pairs = (d[linear_sum_assignment(d)] <= radius).sum()
    return pairs / len(points), pairs / len(truth)


def with_far_cost(points, truth, radius, far):
    d = apart(points, truth)
    cost = np.where(d <= radius, d, far)
    pairs = (d <= radius)[linear_sum_assignment(cost)].sum()
    return pairs / len(points), pairs / len(truth)


def cheap_far_pairs(points, truth, radius):
    return with_far_cost(points, truth, radius, 2 * radius)


def infinite_far_pairs(points, truth, radius):
    return with_far_cost(points, truth, radius, np.inf)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (each_to_its_nearest, "one point near two objects"),
        (greedy, "the smallest total distance has one pair fewer: precision 0.50"),
        (cheapest_first, "the smallest total distance has one pair fewer: precision 0.50"),
        (cheap_far_pairs, "a chain: three pairs at the radius"),
        (infinite_far_pairs, "need a large cost, not an infinite one"),
        (without_a_radius, "a far object has no match"),
        (lambda *a: solution("precision_and_recall")(*a)[::-1], "have changed places"),
        (lambda p, t, r: solution("precision_and_recall")(p, t, 0.99 * r), "at the radius counts"),
        (lambda p, t, r: (1.0, 1.0), "two hits and one point too many: precision 1.00"),
    ],
)
def test_wrong_pairs_are_told_apart(wrong, message):
    assert message in CHECKS["check_precision_and_recall"](wrong)


def hidden(y, scale=0.1, seed=0):
    noise = np.random.default_rng(seed).uniform(-0.6, 0.6, y.shape)
    return np.concatenate([noise, noise + scale * y], axis=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda y: (0.3 * y, "R²"), "one keypoint alone reaches R² 1.00"),
        (lambda y: (np.zeros_like(y), "R²"), "together they reach R²"),
        (lambda y: (y[:, :, 0], "R²"), "shape (1200, 3), expected (1200, N, 2)"),
        (lambda y: (np.repeat(y, 3, axis=1), "R²"), "9 keypoints, at most 6"),
        (lambda y: (10 * hidden(y), "R²"), "a keypoint stays in [-1, 1]"),
        (lambda y: (np.full(y.shape, np.nan), "R²"), "coordinates up to nan"),
        (lambda y: (hidden(y)[:, :3], "R²"), "together they reach R²"),
        (lambda y: (hidden(y), "R², all keypoints"), "it has been fooled, too"),
        (lambda y: (hidden(y), "loss"), "'loss' is no column with a number; there are R²"),
        (lambda y: (hidden(y), "tracked"), "'tracked' is no column with a number"),
    ],
)
def test_what_fools_nobody_is_noticed(wrong, message):
    assert message in CHECKS["check_fool"](wrong)


@pytest.mark.parametrize(
    "column", ["R²", "R² within episodes", "PCK", "recall over 1", "recall over 20"]
)
def test_every_other_column_tells_on_the_solution(column):
    assert CHECKS["check_fool"](lambda y: (hidden(y), column)) == "correct"
