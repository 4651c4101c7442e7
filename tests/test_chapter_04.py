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
TAUGHT = notebooks.taught(CHAPTER, **MODULES)
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
    trimmed = notebooks.namespace("many_runs", "taught", np=np)["trimmed"]
    assert trimmed(scores) == pytest.approx(trim_mean(scores, 0.25, axis=None))
    assert metric.iqm(scores) == pytest.approx(trimmed(scores))


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

EXERCISES = ["best_map", "r2_needed", "follows_steps", "switches", "fool"]
WRITTEN = ["fit_pair", "within"]  # by the reader, before the book shows its own


def solution(name):
    scope = {**MODULES, "centred": TAUGHT["centred"]}
    exec(SOLUTIONS[name], scope)
    return scope[name]


@pytest.mark.parametrize("name", EXERCISES + WRITTEN)
def test_a_blank_is_noticed(name):
    assert CHECKS[f"check_{name}"](CHECKS[name]).startswith("not written yet")


@pytest.mark.parametrize("name", [*EXERCISES, *WRITTEN])
def test_a_return_that_is_missing_is_noticed(name):
    assert "returns nothing" in CHECKS[f"check_{name}"](lambda *a: None)


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_is_accepted(name):
    assert CHECKS[f"check_{name}"](solution(name)) == "correct"


@pytest.mark.parametrize("name", WRITTEN)
def test_the_book_s_version_is_accepted(name):
    assert CHECKS[f"check_{name}"](TAUGHT[name]) == "correct"


def fit_pair_with(z, y, transpose=False, shift=True, error=np.mean):
    """Least squares with one thing changed."""
    design = np.column_stack([z, np.ones(len(z))]) if shift else z
    solved, *_ = np.linalg.lstsq(design, y, rcond=None)
    A, b = solved[:2].T, solved[2] if shift else np.zeros(2)
    left = np.square(y - z @ A.T - b).sum(-1)
    return A.T if transpose else A, b, error(left)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda z, y: fit_pair_with(z, y, transpose=True), "A is transposed"),
        (lambda z, y: fit_pair_with(z, y, shift=False), "a map through the origin"),
        (lambda z, y: fit_pair_with(z, y, error=np.sum), "a sum over the frames"),
        (lambda z, y: fit_pair_with(z, y, error=lambda x: x.mean() / 2), "over x and y, too"),
        (lambda z, y: fit_pair_with(z, y, error=lambda x: np.sqrt(x.mean())), "root is taken"),
        (lambda z, y: fit_pair_with(z, y, error=lambda x: np.sqrt(x).mean()), "mean distance"),
        (
            lambda z, y: (*fit_pair_with(z, y)[:2], np.square(y - z).sum(-1).mean()),
            "the distance before the map",
        ),
        (lambda z, y: (*fit_pair_with(z, y)[:2], 0.7), "not what they leave"),
        (lambda z, y: (np.eye(2), np.zeros(2), 0.0), "not those of the least squared"),
        (lambda z, y: (np.eye(2), np.zeros(2), np.zeros(3)), "the error (3,), expected (2, 2)"),
        (lambda z, y: (*fit_pair_with(z, y)[:2], ...), "not written yet"),
        (lambda z, y: None, "it returns nothing"),
        (lambda z, y: fit_pair_with(z, y)[2], "expected 3 things"),
    ],
)
def test_wrong_fits_are_told_apart(wrong, message):
    assert message in CHECKS["check_fit_pair"](wrong)


def within_with(z, y, episode, centre_z=True, centre_y=True, fit=True, mean=np.mean):
    a = TAUGHT["centred"](z, episode) if centre_z else z - z.mean(0)
    b = TAUGHT["centred"](y, episode) if centre_y else y - y.mean(0)
    linear = np.linalg.lstsq(a, b, rcond=None)[0] if fit else np.eye(2)
    return mean(np.square(b - a @ linear).sum(-1)), mean(np.square(b).sum(-1))


def raw_fit(z, y, episode):
    return TAUGHT["fit_pair"](z, y)[2]


def turned_fit(z, y, episode):
    a, b = TAUGHT["centred"](z, episode), TAUGHT["centred"](y, episode)
    return np.square(b - a @ np.linalg.lstsq(a, b, rcond=None)[0].T).sum(-1).mean()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda *a: within_with(*a)[::-1], "have changed places"),
        (lambda *a: within_with(*a, centre_y=False), "centre the object in each episode"),
        (lambda *a: within_with(*a, centre_z=False), "the keypoint is not centred"),
        (lambda *a: within_with(*a, fit=False), "no linear part is fitted"),
        (lambda *a: within_with(*a, mean=np.sum), "a sum over the frames"),
        (lambda *a: within_with(*a, mean=lambda x: x.mean() / 2), "over x and y, too"),
        (lambda *a: (0.5, 0.5), "the motion is not the mean square"),
        (lambda *a: (0.5, within_with(*a)[1]), "not that of the best map"),
        (lambda *a: (1 - np.divide(*within_with(*a)), within_with(*a)[1]), "that is R²"),
        (lambda z, y, e: (within_with(z, y, e)[0], within_with(y, z, e)[1]), "the object's"),
        (lambda *a: (raw_fit(*a), within_with(*a)[1]), "centre both first"),
        (lambda *a: (turned_fit(*a), within_with(*a)[1]), "apply X as it is"),
        (lambda *a: None, "it returns nothing"),
        (lambda *a: within_with(*a)[0], "expected 2 things"),
        (lambda *a: (np.zeros(2), np.zeros(2)), "expected two numbers"),
        (lambda *a: (0.5, ...), "not written yet"),
    ],
)
def test_wrong_errors_within_episodes_are_told_apart(wrong, message):
    assert message in CHECKS["check_within"](wrong)


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


def steps_with(z, y, episode, inside=True, shift=False, about=0.0, still=np.nan, fit=True):
    """R² of steps with one thing changed."""
    keep = np.diff(episode) == 0 if inside else np.ones(len(episode) - 1, dtype=bool)
    dz, dy = np.diff(z, axis=0)[keep], np.diff(y, axis=0)[keep]
    motion = np.square(dy - (dy.mean(0) if about else 0)).sum()
    if np.square(dy).sum() == 0:
        return still
    design = np.column_stack([dz, np.ones(len(dz))]) if shift else dz
    guess = design @ np.linalg.lstsq(design, dy, rcond=None)[0] if fit else dz
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - np.square(dy - guess).sum() / motion


def centred_share(z, y, episode):
    error, still = TAUGHT["within"](z, y, episode)
    return 1 - error / still if still else np.nan


def mean_of_episodes(z, y, episode):
    each = [steps_with(z[episode == e], y[episode == e], episode[episode == e]) for e in range(8)]
    return np.mean(each)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda *a: steps_with(*a, inside=False), "only steps within an episode"),
        (lambda *a: steps_with(*a, shift=True), "a step too many in each frame"),
        (lambda *a: steps_with(*a, about=1), "a guess that nothing moves is wrong about it"),
        (lambda *a: steps_with(*a, fit=False), "follows through an affine map"),
        (lambda *a: steps_with(*a, still=1.0), "never moves: 1.000, expected NaN"),
        (centred_share, "a keypoint that drifts"),
        (mean_of_episodes, "a keypoint that drifts"),
        (lambda *a: np.ones(2), "an array of shape (2,), expected one number"),
    ],
)
def test_wrong_steps_are_told_apart(wrong, message):
    assert message in CHECKS["check_follows_steps"](wrong)


def test_a_drift_and_a_tremble_part_the_two_exercises():
    """What the solution's last sentence says."""
    rng, episode = np.random.default_rng(0), np.repeat(range(4), 50)
    y = np.cumsum(0.1 * rng.normal(size=(200, 2)), axis=0)
    drifts = y + 0.1 * np.arange(200)[:, None]
    trembles = y + 0.1 * rng.normal(size=y.shape)
    steps = solution("follows_steps")
    assert steps(drifts, y, episode) > centred_share(drifts, y, episode)
    assert steps(trembles, y, episode) < centred_share(trembles, y, episode)


def pairs_at_once(apart, radius, far):
    cost = np.where(apart <= radius, apart, far)
    return [(n, k) for n, k in zip(*linear_sum_assignment(cost), strict=True)]


def right_pairs(apart, radius):
    found = pairs_at_once(apart, radius, apart.size * radius + 1)
    return [(n, k) for n, k in found if apart[n, k] <= radius]


def greedy_pairs(apart, radius):
    apart, found = apart.copy(), []
    while apart.min() <= radius:
        n, k = np.unravel_index(apart.argmin(), apart.shape)
        found.append((n, k))
        apart[n], apart[:, k] = np.inf, np.inf
    return found


def nearest_pairs(apart, radius):
    return [(apart[:, k].argmin(), k) for k in range(apart.shape[1]) if apart[:, k].min() <= radius]


def cheapest_pairs(apart, radius):
    found = zip(*linear_sum_assignment(apart), strict=True)
    return [(n, k) for n, k in found if apart[n, k] <= radius]


def pairs_with_cheap_far_ones(apart, radius):
    return [(n, k) for n, k in pairs_at_once(apart, radius, 2 * radius) if apart[n, k] <= radius]


def pairs_with_infinite_far_ones(apart, radius):
    return pairs_at_once(apart, radius, np.inf)


def pairs_without_a_radius(apart, radius):
    return list(zip(*linear_sum_assignment(apart), strict=True))


def any_most_pairs(apart, radius):
    """As many as possible, but not the nearest."""
    found = zip(*linear_sum_assignment(np.where(apart <= radius, -apart, 1e3)), strict=True)
    return [(n, k) for n, k in found if apart[n, k] <= radius]


def switches_with(points, truth, radius, pairs=right_pairs, forget=False, first=False):
    last, count = {}, 0
    for z, y in zip(points, truth, strict=True):
        apart = np.linalg.norm(z[:, None] - y[None], axis=-1)
        now = {k: n for n, k in pairs(apart, radius)}
        count += sum(last.get(k, -1 if first else n) != n for k, n in now.items())
        last = now if forget else last | now
    return count


def test_the_pairs_that_are_right_are_accepted():
    assert CHECKS["check_switches"](switches_with) == "correct"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"first": True}, "the first partner is no switch: 2 switches, expected 0"),
        ({"forget": True}, "another partner after a gap is one: 0 switches"),
        ({"forget": True, "first": True}, "the first partner is no switch"),
        ({"pairs": greedy_pairs}, "the nearest pair first leaves an object alone"),
        ({"pairs": nearest_pairs}, "the nearest pair first leaves an object alone"),
        ({"pairs": cheapest_pairs}, "the smallest total distance has one pair fewer"),
        ({"pairs": pairs_with_cheap_far_ones}, "the most pairs come first"),
        ({"pairs": pairs_with_infinite_far_ones}, "a large cost, not an infinite one"),
        ({"pairs": pairs_without_a_radius}, "a keypoint beyond the radius is no partner"),
        ({"pairs": any_most_pairs}, "of as many pairs, the nearest"),
    ],
)
def test_wrong_switches_are_told_apart(wrong, message):
    assert message in CHECKS["check_switches"](lambda *a: switches_with(*a, **wrong))


def test_a_radius_that_is_not_reached_is_noticed():
    def smaller(points, truth, radius):
        return switches_with(points, truth, 0.99 * radius)

    assert "at the radius counts" in CHECKS["check_switches"](smaller)


def test_a_count_of_half_the_switches_is_noticed():
    def halved(*given):
        return switches_with(*given) // 2

    assert "change places once: 1 switches, expected 2" in CHECKS["check_switches"](halved)


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
