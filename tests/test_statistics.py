"""IQM and intervals against scipy, closed forms, exact coverage and invariances."""

import functools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from kpbook.metric import statistics

R, K = 24, 3
Z = 1.959963984540054  # of the normal distribution at 95 %


def scores_of(shape=(R, K), seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# -- the mean of the middle ----------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 72])
def test_iqm_is_scipys_trimmed_mean(n):  # catches: quantiles, a rounded quarter
    x = scores_of(n)
    expected = scipy.stats.trim_mean(x, proportiontocut=0.25, axis=None)
    assert statistics.iqm(x) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(
    ("scores", "iqm", "between"),
    [
        ([0, 1, 2, 30], 1.5, 1.5),  # 4 m: one dropped at each end by both
        ([0, 1, 2, 3, 40], 2.0, 2.0),  # 4 m + 1: the quartiles are numbers, and included
        ([0, 1, 2, 3, 5, 20], 2.75, 2.5),  # 4 m + 2: 1, 2, 3, 5 against 2, 3
        ([0, 1, 2, 3, 5, 8, 90], 3.8, 10 / 3),  # 4 m + 3: 1, 2, 3, 5, 8 against 2, 3, 5
        ([1, 2, 9], 4.0, 2.0),
        ([0] * 3 + [1] * 5, 0.75, 0.625),  # ties: 0, 1, 1, 1 against all
        ([0] * 2 + [1] * 6, 1.0, 1.0),
    ],
)
def test_the_two_means_of_the_middle_by_hand(scores, iqm, between):
    backwards = scores[::-1]
    assert statistics.iqm(backwards) == pytest.approx(iqm, rel=1e-15)
    assert statistics.mean_between_quartiles(backwards) == pytest.approx(between, rel=1e-15)


@pytest.mark.parametrize("n", range(3, 20))
def test_how_many_different_numbers_each_of_them_drops(n):
    """A number counts if moving it, and keeping the order, moves the mean."""
    x = np.arange(n, dtype=np.float64)
    moved = x + 0.125 * np.eye(n)
    for mean, dropped in (
        (statistics.iqm, n // 4),
        (statistics.mean_between_quartiles, math.ceil((n - 1) / 4)),
    ):
        counts = mean(moved, axis=1) != mean(x)
        expected = (np.arange(n) >= dropped) & (np.arange(n) < n - dropped)
        np.testing.assert_array_equal(counts, expected)


def test_numbers_of_all_runs_and_tasks_are_pooled():  # catches: the mean of each task's IQM
    scores = [[0, 10], [1, 11], [2, 12], [90, 99]]
    assert statistics.iqm(scores) == 8.75  # of 2, 10, 11, 12
    assert statistics.iqm(scores) == statistics.iqm(np.ravel(scores))
    assert statistics.iqm(scores, axis=0).tolist() == [1.5, 11.5]


@pytest.mark.parametrize("mean", [statistics.iqm, statistics.mean_between_quartiles])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_an_axis_is_reduced_alone(mean, axis):
    x = scores_of((5, 6, 7))
    expected = np.apply_along_axis(mean, axis, x)
    np.testing.assert_allclose(mean(x, axis=axis), expected, rtol=1e-13)


whole = st.integers(-50, 50)  # whole numbers: ties stay ties when they are shifted and scaled
many = st.lists(whole, min_size=3, max_size=30)


@given(x=many, scale=whole, shift=whole)
def test_the_means_of_the_middle_move_with_the_numbers(x, scale, shift):
    for mean in (statistics.iqm, statistics.mean_between_quartiles):
        expected = scale * mean(x) + shift
        assert mean(scale * np.array(x) + shift) == pytest.approx(expected, abs=1e-9)


@given(x=many, data=st.data())
def test_the_means_of_the_middle_know_no_order_and_no_far_number(x, data):
    shuffled = data.draw(st.permutations(x))
    for mean in (statistics.iqm, statistics.mean_between_quartiles):
        found = mean(x)
        assert mean(shuffled) == pytest.approx(found, abs=1e-12)
        assert min(x) <= found <= max(x)
        if len(x) > 3 and x.count(max(x)) == 1:
            far = [1e9 if number == max(x) else number for number in x]
            assert mean(far) == pytest.approx(found, abs=1e-12)


# -- the bootstrap -------------------------------------------------------------------------------


@pytest.mark.parametrize("statistic", [np.mean, np.median, np.std])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_one_number_a_run_gives_scipys_percentile_bootstrap(statistic, level):
    x = scores_of(R)
    options = {"n_resamples": 2_000, "method": "percentile", "confidence_level": level}
    generator = np.random.default_rng(7)
    expected = scipy.stats.bootstrap((x,), statistic, random_state=generator, **options)
    found = statistics.bootstrap_interval(x, statistic, level=level, draws=2_000, seed=7)
    assert found == pytest.approx(tuple(expected.confidence_interval), rel=1e-12)


@pytest.mark.parametrize(("level", "hits"), [(0.6, 17), (0.9, 14), (0.97, 18)])
@pytest.mark.parametrize("seed", [0, 1])
def test_hits_and_misses_have_binomial_ends(level, hits, seed):
    """The bootstrap of a share is a binomial distribution, whatever the generator draws.

    With these hits the ends lie six standard errors of 20,000 draws away from the next share.
    """
    ends = scipy.stats.binom.ppf([(1 - level) / 2, (1 + level) / 2], R, hits / R) / R
    tracked = np.arange(R) < hits
    found = statistics.bootstrap_interval(tracked, level=level, draws=20_000, seed=seed)
    assert found == pytest.approx(tuple(ends), rel=1e-12)


def by_loops(scores, statistic, draws, seed):
    """Oracle: draw runs one sample at a time, sort the values, and read off the middle 95 %."""
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        chosen = rng.integers(len(scores), size=len(scores))
        values.append(statistic(np.array([scores[r] for r in chosen])))
    values.sort()
    between = np.arange(draws) / (draws - 1)
    return np.interp(0.025, between, values), np.interp(0.975, between, values)


def spread_of_tasks(sample):
    """Knows the shape of the scores: how far the tasks' means lie apart."""
    assert sample.shape == (R, K)
    return np.ptp(sample.mean(axis=0))


@pytest.mark.parametrize(
    "statistic", [np.mean, spread_of_tasks, max, statistics.iqm, statistics.mean_between_quartiles]
)
def test_whole_runs_are_drawn(statistic):  # catches: cells drawn apart, another task's shape
    scores = scores_of(R if statistic is max else (R, K))
    expected = by_loops(scores, statistic, draws=150, seed=3)
    found = statistics.bootstrap_interval(scores, statistic, draws=150, seed=3)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("statistic", [np.mean, statistics.iqm])
def test_copies_of_a_number_within_a_run_make_nothing_surer(statistic):
    """K equal columns say as much as one. Cells drawn apart look sqrt(K) times as sure."""
    one = scores_of(R)
    copies = np.tile(one[:, None], (1, K))
    low, high = statistics.bootstrap_interval(copies, np.mean)
    assert (low, high) == pytest.approx(statistics.bootstrap_interval(one, np.mean), rel=1e-12)
    apart = np.subtract(*statistics.bootstrap_interval(copies.ravel(), np.mean))
    assert (low - high) / apart == pytest.approx(math.sqrt(K), rel=0.03)
    wide = np.subtract(*statistics.bootstrap_interval(copies, statistic))
    assert wide / np.subtract(*statistics.bootstrap_interval(copies.ravel(), statistic)) > 1.5


def test_a_statistic_with_an_axis_is_only_faster():
    scores = scores_of((R, K, 2))
    for statistic in (np.mean, statistics.iqm):
        fast = statistics.bootstrap_interval(scores, statistic, draws=200)
        slow = statistics.bootstrap_interval(scores, lambda x, f=statistic: f(x), draws=200)
        assert fast == pytest.approx(slow, rel=1e-12)


@pytest.mark.parametrize("statistic", [np.mean, spread_of_tasks])
def test_samples_are_drawn_in_blocks(monkeypatch, statistic):
    scores = scores_of()
    expected = statistics.bootstrap_interval(scores, statistic, draws=300)
    monkeypatch.setattr(statistics, "_BLOCK", 77 * scores.size)
    assert statistics.bootstrap_interval(scores, statistic, draws=300) == expected
    monkeypatch.setattr(statistics, "_BLOCK", 1)
    assert statistics.bootstrap_interval(scores, statistic, draws=300) == expected


@given(
    x=st.lists(st.floats(0.01, 5), min_size=1, max_size=12),
    scale=st.floats(-9, 9),
    shift=st.floats(-9, 9),
)
def test_an_interval_moves_with_the_scores_and_holds_a_symmetric_centre(x, scale, shift):
    scores = np.array(x + [-number for number in x])
    low, high = statistics.bootstrap_interval(scores, draws=400)
    assert low <= 0 <= high
    ends = sorted((scale * low + shift, scale * high + shift))
    found = statistics.bootstrap_interval(scale * scores + shift, draws=400)
    assert found == pytest.approx(ends, abs=1e-9)


@given(level=st.floats(0.01, 0.98), more=st.floats(0, 0.01))
def test_a_higher_level_is_wider(level, more):
    low, high = statistics.bootstrap_interval(scores_of(7), level=level, draws=100)
    lower, higher = statistics.bootstrap_interval(scores_of(7), level=level + more, draws=100)
    assert lower <= low <= high <= higher


def test_the_order_of_tasks_within_a_run_does_not_matter():
    scores = scores_of()
    shuffled = np.random.default_rng(1).permuted(scores, axis=1)
    expected = statistics.bootstrap_interval(scores, draws=200)
    assert statistics.bootstrap_interval(shuffled, draws=200) == pytest.approx(expected, rel=1e-12)


def test_runs_that_agree_give_no_width():
    assert statistics.bootstrap_interval(np.ones((R, K))) == (1.0, 1.0)
    assert statistics.wilson(R, R)[0] < 0.87


def test_a_seed_decides_and_no_global_generator_is_touched():
    scores = scores_of()
    torch_before = torch.get_rng_state()
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - to see that nobody drew from it
    first = statistics.bootstrap_interval(scores)
    assert statistics.bootstrap_interval(scores, seed=0) == first
    assert statistics.bootstrap_interval(scores, seed=1) != first
    kind_after, keys_after, *rest_after = np.random.get_state()  # noqa: NPY002
    assert (kind, rest) == (kind_after, rest_after)
    np.testing.assert_array_equal(keys, keys_after)
    assert torch.equal(torch_before, torch.get_rng_state())


def test_what_was_given_is_left_alone_and_may_be_a_tensor():
    scores = scores_of()
    before = scores.copy()
    scores.flags.writeable = False

    def greedy(sample):
        sample.sort(axis=0)
        return sample[-1].sum()

    statistics.bootstrap_interval(scores, greedy, draws=100)
    statistics.iqm(scores)
    np.testing.assert_array_equal(scores, before)
    tensor = torch.tensor(scores, requires_grad=True)
    assert statistics.iqm(tensor) == statistics.iqm(scores)
    assert statistics.bootstrap_interval(tensor) == statistics.bootstrap_interval(scores)


# -- Wilson's interval ---------------------------------------------------------------------------

shares = [(0, 6), (5, 6), (10, 20), (23, 24), (24, 24), (1, 1), (70_000, 100_000)]


@pytest.mark.parametrize(("hits", "n"), shares)
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_wilsons_ends_are_the_roots_of_its_quadratic(hits, n, level):
    """(p - hits/n)^2 = z^2 p (1 - p) / n, sorted by powers of p."""
    z, share = scipy.stats.norm.isf((1 - level) / 2), hits / n
    roots = np.roots([1 + z**2 / n, -2 * share - z**2 / n, share**2])
    found = statistics.wilson(hits, n, level)
    assert found == pytest.approx(tuple(sorted(roots)), rel=1e-9, abs=1e-12)


@given(data=st.data(), n=st.integers(1, 300), level=st.floats(0.01, 0.999))
def test_wilson_agrees_with_scipy_and_is_a_mirror(data, n, level):
    hits = data.draw(st.integers(0, n))
    low, high = statistics.wilson(hits, n, level)
    expected = scipy.stats.binomtest(hits, n).proportion_ci(level, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-15)
    assert statistics.wilson(n - hits, n, level) == pytest.approx((1 - high, 1 - low), abs=1e-12)
    assert 0 <= low <= hits / n <= high <= 1
    assert low < high


@pytest.mark.parametrize("n", [1, 3, 6, 24, 1_000])
def test_wilson_has_a_width_where_all_trials_agree(n):
    low, high = statistics.wilson(0, n)
    assert low == 0
    assert high == pytest.approx(Z**2 / (n + Z**2), rel=1e-12)
    assert statistics.wilson(np.int64(n), n) == pytest.approx((1 - high, 1))
    assert statistics.wilson(n, n)[1] == 1


# -- how often an interval holds the truth -------------------------------------------------------


def coverage(intervals, n, shares):
    """Exact: the binomial probability of every number of hits whose interval holds the share."""
    hits, p = np.arange(n + 1), shares[:, None]
    low, high = np.array([intervals(int(k), n) for k in hits]).T
    return (scipy.stats.binom.pmf(hits, n, p) * ((low <= p) & (p <= high))).sum(axis=1)


def test_wilson_holds_the_truth_about_as_often_as_it_says():
    """Exact, no simulation: 95.3 % over all shares at 24 runs, and at worst 84 % near 0 and 1.

    The bootstrap of the same hits holds 86.6 %, and hardly ever a share close to 0 or 1.
    """
    p = (np.arange(2_000) + 0.5) / 2_000
    ours = coverage(statistics.wilson, R, p)
    assert 0.95 < ours.mean() < 0.955
    assert ours.min() > 0.83
    assert np.mean(ours > 0.92) > 0.98

    def bootstrap(hits, n):
        return statistics.bootstrap_interval(np.arange(n) < hits)

    theirs = coverage(bootstrap, R, p)
    assert 0.855 < theirs.mean() < 0.875
    assert theirs.min() < 0.02
    low_level = coverage(functools.partial(statistics.wilson, level=0.8), R, p)
    assert 0.79 < low_level.mean() < 0.81


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "said"), [(24, 0.93), (10, 0.90), (6, 0.87), (3, 0.75)])
def test_the_bootstrap_holds_the_truth_as_often_as_its_docstring_says(runs, said):
    """It takes 1.96 deviations of the drawn means, Student's interval more, of the true means.

    So of normal scores it covers what Student's distribution has within 1.96 sqrt((R - 1) / R).
    """
    cases = 2_000
    rng = np.random.default_rng(runs)
    run = rng.normal(size=(cases, runs, 1))
    scores = run + rng.normal(size=(cases, runs, K))  # the tasks of a run hang together
    ends = [statistics.bootstrap_interval(x, draws=1_000, seed=i) for i, x in enumerate(scores)]
    low, high = np.array(ends).T
    held = np.mean((low <= 0) & (high >= 0))
    law = 1 - 2 * scipy.stats.t.sf(Z * math.sqrt((runs - 1) / runs), runs - 1)
    three_errors = 3 * math.sqrt(law * (1 - law) / cases)
    assert held == pytest.approx(law, abs=three_errors)
    assert held < 0.95
    assert law == pytest.approx(said, abs=0.005)
    assert f"{said * 100:.0f} %" in " ".join(statistics.bootstrap_interval.__doc__.split())


# -- bad input -----------------------------------------------------------------------------------

SCORES = scores_of()
HOLE = np.where(np.arange(R) == 5, np.nan, 0)[:, None] + SCORES
BAD = {
    "no runs": (lambda: statistics.bootstrap_interval([]), "scores: .* with no empty axis"),
    "a number": (
        lambda: statistics.bootstrap_interval(0.5),
        "scores: got 1 run, expected at least 2. The first axis are the runs",
    ),
    "one run": (
        lambda: statistics.bootstrap_interval(SCORES[:1]),
        "scores: got 1 run, expected at least 2.",
    ),
    "NaN": (
        lambda: statistics.bootstrap_interval(HOLE),
        r"scores: got 3 of 72 values NaN .* first at \(5, 0\).*Decide what a run without",
    ),
    "NaN in the middle": (lambda: statistics.iqm(HOLE), "scores: got 3 of 72 values NaN"),
    "infinite": (lambda: statistics.iqm([0, 1, np.inf]), "scores: got 1 of 3 values NaN or infin"),
    "nothing": (lambda: statistics.iqm([]), "scores: .* with no empty axis"),
    "no such axis": (lambda: statistics.iqm(SCORES, axis=2), "axis: got 2, expected less than 2"),
    "no axis there": (lambda: statistics.iqm(SCORES, axis=-3), "axis: got -3, expected at least"),
    "two numbers": (
        lambda: statistics.mean_between_quartiles([0, 1]),
        "scores: got 2, expected at least 3 numbers. Of two different numbers",
    ),
    "percent": (
        lambda: statistics.bootstrap_interval(SCORES, level=95),
        r"level: got 95, expected values in \[0, 1\]. 0.95 gives a 95 % interval",
    ),
    "level 1": (
        lambda: statistics.bootstrap_interval(SCORES, level=1),
        "level: got 1, expected more than 0 and less than 1",
    ),
    "level 0": (lambda: statistics.wilson(1, 2, level=0.0), "level: got 0.0, expected more than"),
    "no draws": (
        lambda: statistics.bootstrap_interval(SCORES, draws=0),
        "draws: got 0, expected at least 100. 10,000 are usual.",
    ),
    "seed": (lambda: statistics.bootstrap_interval(SCORES, seed=-1), "seed: got -1"),
    "a number a task": (
        lambda: statistics.bootstrap_interval(SCORES, lambda x: x.mean(axis=0)),
        r"statistic: got shape \(10000, 3\), expected \(10000,\). It has to return one number",
    ),
    "a number for all samples": (
        lambda: statistics.bootstrap_interval(SCORES, lambda x, axis: x.mean()),
        r"statistic: got shape \(\), expected \(10000,\)",
    ),
    "undefined": (
        lambda: statistics.bootstrap_interval(SCORES, lambda x: np.nan, draws=100),
        "statistic: got 100 of 100 values NaN .* the same run many times",
    ),
    "no trials": (lambda: statistics.wilson(0, 0), "trials: got 0, expected at least 1"),
    "swapped": (lambda: statistics.wilson(24, 6), "hits: got 24, expected at most 6. Hits first"),
    "negative": (lambda: statistics.wilson(-1, 6), "hits: got -1, expected at least 0"),
    "masked": (lambda: statistics.iqm(np.ma.masked_less(SCORES, 1)), "scores: got a masked array"),
    "masked runs": (
        lambda: statistics.bootstrap_interval(list(np.ma.masked_less(SCORES, 1))),
        "scores: got a masked array",
    ),
    "one masked": (lambda: statistics.iqm([0.1, np.ma.masked]), "scores: got a masked array"),
    "a level of all": (
        lambda: statistics.wilson(3, 6, np.float32(1)),
        "level: got 1.0, expected mo",
    ),
    "no level": (lambda: statistics.wilson(3, 6, np.nan), "level: got nan, expected values in"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_gets_one_message(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics.iqm("0.5"), "scores: got '0.5', expected numbers"),
        (lambda: statistics.iqm([[1, 2], [3]]), "scores: got a list that holds no array"),
        (lambda: statistics.iqm(SCORES, axis=(0, 1)), r"axis: got \(0, 1\), .*One axis of the sc"),
        (lambda: statistics.mean_between_quartiles(SCORES, axis=0.0), "axis: got 0.0, expected a"),
        (lambda: statistics.wilson(0.5, 6), "hits: got 0.5, expected a whole number.*not a share"),
        (lambda: statistics.wilson(3, 6.0), "trials: got 6.0, expected a whole number"),
        (lambda: statistics.wilson(True, 6), "hits: got True, expected a whole number"),
        (lambda: statistics.wilson(3, 6, level="95 %"), "level: got '95 %', expected a number"),
        (
            lambda: statistics.wilson(3, 6, level=[0.9, 0.95]),
            r"level: got \[0.9, 0.95\], expected a",
        ),
        (
            lambda: statistics.wilson(3, 6, level=np.array([0.95])),
            "level: got array.*, expected a n",
        ),
        (lambda: statistics.wilson(3, 6, level=()), r"level: got \(\), expected a number"),
        (lambda: statistics.bootstrap_interval(SCORES, level=np.array([])), "level: got array"),
        (
            lambda: statistics.bootstrap_interval(SCORES, level=None),
            "level: got None, expected a n",
        ),
        (
            lambda: statistics.bootstrap_interval(SCORES, level=True),
            "level: got True, expected a n",
        ),
        (
            lambda: statistics.bootstrap_interval(SCORES, "mean"),
            "statistic: got a str, expected a f",
        ),
        (lambda: statistics.bootstrap_interval(SCORES, draws=1e4), "draws: got 10000.0, expected"),
        (lambda: statistics.bootstrap_interval(SCORES, str, draws=100), "statistic: got a list"),
    ],
)
def test_input_of_another_kind_is_a_type_error(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize("seed", [np.array(3), np.int8(3)], ids=repr)
def test_a_seed_may_be_numpys(seed):
    x = np.arange(6.0)
    ends = [statistics.bootstrap_interval(x, seed=s) for s in (seed, 3)]
    assert ends[0] == ends[1]


#: What rliable 1.2.0 says, ``get_interval_estimates`` of ``aggregate_iqm``, 20,000 samples:
#: scores of runs, interquartile mean, interval. (It does not import with pandas 3, so it is no
#: dependency of the tests.)
RLIABLE = [
    ([0.597, 0.407, 0.716, 0.598, 0.547], 0.5806666666666667, (0.4536667, 0.6766667)),
    ([0.783, 0.866, 0.809, 0.632, 0.468, 0.3], 0.673, (0.426, 0.82325)),
    (
        [0.491, 0.793, 0.881, 0.891, 0.363, 0.482, 0.743, 0.862, 0.662, 0.856],
        0.7345,
        (0.56, 0.8523333),
    ),
]


@pytest.mark.parametrize(("scores", "middle", "interval"), RLIABLE)
def test_the_interval_of_the_interquartile_mean_is_rliables(scores, middle, interval):
    assert statistics.iqm(scores) == pytest.approx(middle, rel=1e-12)
    ours = statistics.bootstrap_interval(scores, statistics.iqm, draws=20_000)
    assert ours == pytest.approx(interval, abs=0.01)  # both draw at random
