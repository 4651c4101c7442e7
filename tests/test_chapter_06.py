"""Chapter 6: what it teaches is what kpbook does, and its checks tell wrong answers apart."""

import notebooks
import numpy as np
import pytest
from scipy.stats import spearmanr, trim_mean

from kpbook.control.options import Options
from kpbook.metric import bootstrap_interval, iqm

CHAPTER = "06_keypoints_as_state"
MODULES = {"np": np}
TAUGHT = notebooks.taught(CHAPTER, **MODULES)
CHECKS = notebooks.exercises(CHAPTER, **MODULES)
SOLUTIONS = notebooks.solutions(CHAPTER)
EXERCISES = ["value", "exchange", "held", "rank_correlation", "iqm_interval"]
WRITTEN = ["sparse_reward", "exchanged"]  # by the reader, before the book shows its own


def solution(name):
    scope = {**MODULES, "sparse_reward": TAUGHT["sparse_reward"]}
    exec(SOLUTIONS[name], scope)
    return scope[name]


# -- what is taught is right -----------------------------------------------------------------------


def test_a_table_learns_what_a_closed_form_says():
    """Goals two fields away, and the one move that leads there: two steps, one of them free."""
    q = np.full((20, 20, 4), -10.0)
    for _ in range(200):
        for x in range(8):
            places = np.array([[x, 0], [x + 1, 0], [x + 2, 0]])
            for t in range(2):
                TAUGHT["learn"](q, places[t], 0, places[t + 1], places[2])
    assert q[1, 0, 0] == pytest.approx(0)
    assert q[2, 0, 0] == pytest.approx(-1)  # one step before the one that arrives
    assert q[2, 0, 0] == pytest.approx(solution("value")(1, TAUGHT["GAMMA"]))


def test_a_game_stays_on_the_board_and_follows_the_table():
    q = np.zeros((20, 20, 4))
    q[..., 2] = 1  # down is best everywhere
    places, moves, goal = TAUGHT["play"](q, np.random.default_rng(0), chance=0)
    assert (places.shape, moves.shape, goal.shape) == ((21, 2), (20,), (2,))
    assert (moves == 2).all()
    assert places[-1, 1] == 9
    assert (places >= 0).all()
    assert (places <= 9).all()


@pytest.mark.parametrize("k", [1, 3])
def test_exchanged_goals_were_reached_later_in_the_episode(k):
    places = np.random.default_rng(0).integers(10, size=(21, 2))
    now, goals = TAUGHT["exchanged"](places, k, np.random.default_rng(1))
    assert now.tolist() == [t for t in range(20) for _ in range(k)]
    for t, goal in zip(now, goals, strict=True):
        assert (places[t + 1 :] == goal).all(-1).any()


def test_rank_correlation_is_scipy_s_and_the_interval_is_ours():
    rng = np.random.default_rng(0)
    for _ in range(5):
        x, y = rng.integers(5, size=(2, 30))
        expected = spearmanr(x, y).statistic
        assert solution("rank_correlation")(x, y) == pytest.approx(expected)
    scores = rng.random(8)
    found = solution("iqm_interval")(scores, 10_000, rng)
    assert found == pytest.approx(bootstrap_interval(scores, iqm), abs=0.02)


@pytest.mark.world  # for gymnasium
def test_a_cube_is_carried_as_the_package_carries_it():
    from kpbook.control.observe import Observer

    rng = np.random.default_rng(0)
    cube, hand = 0.03 * rng.normal(size=(2, 40, 2)).cumsum(axis=1)
    unsure = rng.random(40) < 0.6
    observer = object.__new__(Observer)
    observer.options = Options(state="keypoints", hidden="carried")
    ours = [np.stack([cube[0], cube[0], hand[0]])]
    for t in range(1, 40):
        before = np.concatenate([ours[-1], hand[t - 1][None]])[None]
        found = np.stack([cube[t], cube[t], hand[t]])[None]
        kept = np.array([[unsure[t], False, False]])
        measured = np.concatenate([hand[t], np.zeros(4)])[None]
        ours.append(observer._kept(found, kept, before, measured)[0])
    taught = TAUGHT["carried"](cube, unsure, hand)
    np.testing.assert_allclose(taught, np.stack(ours)[:, 0], atol=1e-12)
    steps = np.linalg.norm(np.diff(taught - hand, axis=0), axis=-1)
    assert 2 < (steps < 1e-9).sum() < unsure.sum()  # carried in some frames, still in others
    held = solution("held")(cube, np.where(unsure, 2.0, 0.0), 1.0)
    np.testing.assert_array_equal(TAUGHT["carried"](cube, unsure, hand, near=0), held)


# -- exercises -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXERCISES + WRITTEN)
def test_a_blank_is_noticed(name):
    assert CHECKS[f"check_{name}"](CHECKS[name]).startswith("not written yet")


@pytest.mark.parametrize("name", EXERCISES + WRITTEN)
def test_a_return_that_is_missing_is_noticed(name):
    assert "returns nothing" in CHECKS[f"check_{name}"](lambda *a: None)


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_is_accepted(name):
    assert CHECKS[f"check_{name}"](solution(name)) == "correct"


@pytest.mark.parametrize("name", WRITTEN)
def test_the_book_s_version_is_accepted(name):
    assert CHECKS[f"check_{name}"](TAUGHT[name]) == "correct"


def off(a, b):
    return np.linalg.norm(a - b, axis=-1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda a, b: np.where(off(a, b) < 0.05, -1, 0), "signs are turned"),
        (lambda a, b: np.where(off(a, b) < 0.05, 1, 0), "1 and 0 instead of 0 and -1"),
        (lambda a, b: -off(a, b), "that reward is dense"),
        (lambda a, b: np.where(off(a, b) < 5, 0, -1), "5 is not 5 cm"),
        (lambda a, b: np.where(np.abs(a - b) < 0.05, 0, -1), "shape (4, 3), expected (4,)"),
        (lambda a, b: np.atleast_1d(np.where(off(a, b) < 0.05, 0, -1)), "expected a number"),
        (lambda a, b: 0 * off(a, b) + 0.5, "cm apart"),
    ],
)
def test_wrong_rewards_are_told_apart(wrong, message):
    assert message in CHECKS["check_sparse_reward"](wrong)


def drawn(places, k, rng, low=1, high=0, steps=None):
    now = np.arange(len(places) - 1).repeat(k) if steps is None else steps
    return now, places[rng.integers(np.maximum(now + low, 0), len(places) + high)]


def last_one(places, k, rng):
    now = np.arange(len(places) - 1).repeat(k)
    return now, places[np.full(len(now), len(places) - 1)]


def torn(places, k, rng):
    now, goals = drawn(places, k, rng)
    return now, np.stack([goals[:, 0], rng.permutation(goals[:, 1])], axis=1)


def near_ones(places, k, rng):
    now = np.arange(len(places) - 1).repeat(k)
    most = np.minimum(now + 2, len(places) - 1)
    return now, places[np.where(rng.random(len(now)) < 0.1, len(places) - 1, most)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda p, k, r: drawn(p, k, r, low=-9), "some goals come from the past"),
        (lambda p, k, r: drawn(p, k, r, low=0), "come from the present one"),
        (lambda p, k, r: drawn(p[:-1], k, r, steps=np.arange(5).repeat(k)), "shapes (2000,)"),
        (lambda p, k, r: drawn(p, k, r, steps=np.tile(np.arange(3), 2 * k)), "has to come k times"),
        (last_one, "every goal is the last place"),
        (torn, "the two coordinates come from one frame"),
        (near_ones, "not alike"),
        (lambda p, k, r: p, "expected two arrays"),
    ],
)
def test_wrong_exchanges_are_told_apart(wrong, message):
    assert message in CHECKS["check_exchanged"](wrong)


def test_an_end_that_is_left_out_is_noticed():
    def wrong(places, k, rng):
        now = np.arange(len(places) - 1).repeat(k)
        return now, places[rng.integers(now + 1, np.maximum(len(places) - 1, now + 2))]

    # Step 5 has one later place only; here all the others never draw it.
    assert "not alike" in CHECKS["check_exchanged"](wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda n, g: -(1 - g ** (n + 1)) / (1 - g), "one step too many"),
        (lambda n, g: (1 - g**n) / (1 - g), "a sign is turned"),
        (lambda n, g: -float(n), "not discounted"),
        (lambda n, g: -(g**n), "a single reward"),
        (lambda n, g: -1 / (1 - g), "never arriving"),
        (lambda n, g: -1 / n, "divides by zero"),
        (lambda n, g: np.ones(2), "an array of shape (2,)"),
        (lambda n, g: 3.0, "give 3.0000, expected -1.7500"),
    ],
)
def test_wrong_values_are_told_apart(wrong, message):
    assert message in CHECKS["check_value"](wrong)


def exchange_with(achieved, t, later, goal=None, arrived=None, columns=slice(0, 3)):
    """The right exchange with one thing changed."""
    wanted = achieved[later]
    place = achieved[t + 1] if arrived is None else achieved[t + arrived]
    reward = 0.0 if off(place[columns], wanted[columns]) < 0.05 else -1.0
    return (wanted if goal is None else goal(achieved, t, later)), reward


def mixed(achieved, first, second):
    return np.concatenate([achieved[first, :3], achieved[second, 3:]])


def in_place(achieved, t, later):
    achieved[t] = achieved[later]
    return exchange_with(achieved, t, later)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda *a: exchange_with(*a, arrived=0), "frame t + 1"),
        (lambda *a: exchange_with(*a, columns=slice(3, 5)), "praises what was not achieved"),
        (lambda *a: exchange_with(*a, columns=slice(0, 5)), "all five numbers"),
        (lambda a, t, n: (a[n], 0.0), "always 0"),
        (lambda a, t, n: (a[n], -1.0), "never 0"),
        (lambda a, t, n: (a[n], 1.0), "not the reward"),
        (lambda *a: exchange_with(*a, goal=lambda x, t, n: x[n - 1]), "one frame earlier"),
        (lambda *a: exchange_with(*a, goal=lambda x, t, n: mixed(x, n, t)), "as seen* has to be"),
        (lambda *a: exchange_with(*a, goal=lambda x, t, n: mixed(x, t, n)), "true place has to be"),
        (lambda *a: exchange_with(*a, goal=lambda x, t, n: x[0]), "not what was achieved"),
        (lambda a, t, n: (a[n, :3], 0.0), "a goal of shape (3,), expected (5,)"),
        (lambda a, t, n: a[n], "expected two things"),
        (in_place, "written into `achieved`"),
    ],
)
def test_wrong_exchanged_goals_are_told_apart(wrong, message):
    assert message in CHECKS["check_exchange"](wrong)


def looped(points, widths, limit, keep=lambda w, m: w <= m, before=False):
    out = points.copy()
    for t in range(1, len(points)):
        if not keep(widths[t], limit):
            out[t] = points[t - 1] if before else out[t - 1]
    return out


def later_one(points, widths, limit):
    out = points.copy()
    for t in range(len(points) - 2, -1, -1):
        if widths[t] > limit:
            out[t] = out[t + 1]
    return out


def in_points(points, widths, limit):
    points[1] = points[0]
    return points


def nothing_at_first(points, widths, limit):
    sure = np.flatnonzero(widths <= limit)
    return np.array(
        [points[sure[sure <= t][-1]] if (sure <= t).any() else points[t] for t in range(8)]
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda *a: looped(*a, before=True), "may be unsure itself"),
        (lambda *a: looped(*a, keep=lambda w, m: w < m), "exactly the limit is still sure"),
        (lambda *a: looped(*a, keep=lambda w, m: w > m), "the unsure ones are kept"),
        (later_one, "has not seen it yet"),
        (lambda p, w, m: p, "nothing is held"),
        (in_points, "written into `points`"),
        (lambda p, w, m: p[:3], "shape (3, 2), expected (8, 2)"),
        (lambda p, w, m: 0 * p, "not the last place"),
        (nothing_at_first, "there is nothing to hold"),
    ],
)
def test_wrong_holds_are_told_apart(wrong, message):
    assert message in CHECKS["check_held"](wrong)


def by(x, y, rank):
    return np.corrcoef(rank(x), rank(y))[0, 1]


def twice_sorted(values):
    return values.argsort(kind="stable").argsort(kind="stable")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x, y: by(x, y, np.asarray), "of the numbers, not of their ranks"),
        (lambda x, y: by(x, y, twice_sorted), "equal numbers must have equal ranks"),
        (lambda x, y: by(x, y, lambda v: v.argsort(kind="stable")), "who stands at each rank"),
        (lambda x, y: by(x, y, lambda v: (v[:, None] > v).sum(1)), "the smallest of their ranks"),
        (lambda x, y: 0.25, "got 0.2500, expected"),
        (lambda x, y: np.ones(2), "an array of shape (2,)"),
    ],
)
def test_wrong_rank_correlations_are_told_apart(wrong, message):
    assert message in CHECKS["check_rank_correlation"](wrong)


def ends(drawn, level=95, middle=lambda d: trim_mean(d, 0.25, axis=1)):
    low, high = np.percentile(middle(drawn), [50 - level / 2, 50 + level / 2])
    return float(low), float(high)


def sampled(scores, draws, rng):
    return rng.choice(scores, (draws, len(scores)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda *a: ends(sampled(*a), middle=lambda d: d.mean(1)), "interval of the mean"),
        (lambda *a: ends(sampled(*a), middle=lambda d: np.median(d, 1)), "interval of the median"),
        (lambda *a: ends(sampled(*a), level=90), "leave 90 % between"),
        (lambda s, n, r: (trim_mean(s, 0.25),) * 2, "drawn without replacement"),
        (lambda s, n, r: tuple(np.percentile(s, [2.5, 97.5])), "not of their mean"),
        (lambda *a: ends(sampled(*a))[::-1], "the ends are mixed up"),
        (lambda *a: 0.5, "expected two numbers"),
        (lambda *a: (0.1, 0.2), "0.100 to 0.200, expected about"),
    ],
)
def test_wrong_intervals_are_told_apart(wrong, message):
    assert message in CHECKS["check_iqm_interval"](wrong)
