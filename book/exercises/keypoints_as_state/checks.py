"""Checks of the exercises of chapter 6, acting on keypoints."""

import numpy as np
from scipy.stats import rankdata, spearmanr, trim_mean

NOTHING = "it returns nothing: its last line must be a `return`"
BLANK = "not written yet"
NEAR = 0.05  # metres


def _blank(got, what):
    """What to say where there is no answer yet; "" else."""
    if got is None:
        return NOTHING
    if got is ... or (isinstance(got, tuple) and any(g is ... for g in got)):
        return f"{BLANK}: return {what}"
    return ""


def check_sparse_reward(answer):
    """Section 6.1: "correct", or what is wrong."""
    rng = np.random.default_rng(0)
    # Off by 0, 3, 6 and 20 cm, in a direction of its own each.
    way = rng.normal(size=(4, 3))
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    desired = rng.normal(0, 0.1, (4, 3))
    achieved = desired + way * np.array([[0], [0.03], [0.06], [0.2]])
    got = answer(achieved, desired)
    if said := _blank(got, "one reward for each row"):
        return said
    got = np.asarray(got)
    if got.shape != (4,):
        return f"shape {got.shape}, expected (4,): one reward for each row"
    one = np.asarray(answer(achieved[0], desired[0]))
    if one.shape:
        return f"one pair of places gives shape {one.shape}, expected a number"
    off = np.linalg.norm(achieved - desired, axis=-1)
    slips = {
        "correct": np.where(off < NEAR, 0, -1),
        "the signs are turned: near is 0, far is -1": np.where(
            off < NEAR, -1, 0
        ),
        "1 and 0 instead of 0 and -1: then there is no hurry, but a goal that "
        "is never met costs nothing": np.where(off < NEAR, 1, 0),
        "that reward is dense: it tells the distance": -off,
        "5 is not 5 cm: places are metres": np.where(off < 5, 0, -1),
    }
    for message, value in slips.items():
        if np.allclose(got, value):
            return message
    return f"{got} for places that are {np.round(100 * off)} cm apart"


def check_exchanged(answer):
    """Section 6.2: "correct", or what is wrong."""
    places = np.arange(7)[:, None] * [1, 10]  # (7, 2): six steps
    k = 400
    got = answer(places, k, np.random.default_rng(0))
    if said := _blank(got, "the steps and their new goals"):
        return said
    if not isinstance(got, tuple) or len(got) != 2:
        return "expected two arrays, with a comma between: now, goals"
    now, goals = (np.asarray(part) for part in got)
    if now.shape != (6 * k,) or goals.shape != (6 * k, 2):
        return (
            f"shapes {now.shape} and {goals.shape}, expected {(6 * k,)} and "
            f"{(6 * k, 2)}: k goals for each of the {len(places) - 1} steps"
        )
    if set(np.bincount(now, minlength=7).tolist()) != {0, k}:
        return "each of the steps 0 to T - 1 has to come k times"
    if not (goals[:, 1] == 10 * goals[:, 0]).all():
        return "a goal is one place: the two coordinates come from one frame"
    later = goals[:, 0]
    if (later <= now).any():
        words = "the present one" if (later >= now).all() else "the past"
        return (
            f"some goals come from {words}: what step t achieves is "
            "`places[t + 1]`, so a goal that it may lead to is that or later"
        )
    if not (later == 6).any():
        return "the last place never is a goal: `integers` leaves out its end"
    if (later == 6).all():
        return "every goal is the last place: draw among all later ones"
    first = later[now == 0]
    counts = np.bincount(first, minlength=7)[1:]
    if counts.min() < k / 6 / 2:
        return f"of step 0 the goals 1 to 6 come {counts} times: not alike"
    return "correct"


def check_value(answer):
    """Exercise 6.1: "correct", or what is wrong."""
    got = answer(3, 0.5)
    if said := _blank(got, "a number"):
        return said
    if np.ndim(got):
        return f"an array of shape {np.shape(got)}, expected one number"
    pairs = [(0, 0.9), (1, 0.9), (3, 0.5), (12, 0.95)]

    def total(n, gamma):
        return -sum(gamma**i for i in range(n))

    slips = {
        "correct": total,
        "one step too many: the step that arrives costs nothing": (
            lambda n, g: total(n + 1, g)
        ),
        "a sign is turned: every step costs 1": lambda n, g: -total(n, g),
        "not discounted": lambda n, g: -float(n),
        "that is the value of a single reward of -1 after n steps": (
            lambda n, g: -(g**n)
        ),
        "that is the value of never arriving": lambda n, g: -1 / (1 - g),
    }
    for message, of in slips.items():
        try:
            given = [float(answer(*pair)) for pair in pairs]
        except ZeroDivisionError:
            return "it divides by zero for n = 0: the cube is at the goal soon"
        if np.allclose(given, [of(*pair) for pair in pairs]):
            return message
    got, want = float(answer(3, 0.5)), total(3, 0.5)
    return f"3 steps and gamma 0.5 give {got:.4f}, expected {want:.4f}"


def check_exchange(answer):
    """Exercise 6.2: "correct", or what is wrong."""
    rng = np.random.default_rng(1)
    true = np.cumsum(rng.normal(0, 0.03, (30, 3)), axis=0)
    seen = true[:, :2] + rng.normal(0, 0.04, (30, 2))
    achieved = np.concatenate([true, seen], axis=1)
    before = achieved.copy()
    got = answer(achieved, 3, 8)
    if said := _blank(got, "the goal and the reward"):
        return said
    if not isinstance(got, tuple) or len(got) != 2:
        return "expected two things, with a comma between: goal, reward"
    if np.shape(got[0]) != (5,):
        return f"a goal of shape {np.shape(got[0])}, expected (5,)"
    if not np.array_equal(achieved, before):
        return "it has written into `achieved`: the episode is still needed"
    pairs = [(t, n) for t in range(29) for n in range(t + 1, 30)]
    rewards = np.array([float(answer(achieved, *pair)[1]) for pair in pairs])
    goals = np.array([answer(achieved, *pair)[0] for pair in pairs])
    steps, later = np.array(pairs).T

    def reward(arrived, goal, columns):
        off = np.linalg.norm((arrived - goal)[:, columns], axis=-1)
        return np.where(off < NEAR, 0, -1)

    wanted = achieved[later]
    if np.array_equal(goals, achieved[later - 1]):
        return "the goal is of one frame earlier than `later`"
    if np.array_equal(goals[:, :3], wanted[:, :3]):
        if not np.array_equal(goals[:, 3:], wanted[:, 3:]):
            return (
                "the place *as seen* has to be exchanged too: the policy "
                "reads that, and nothing else"
            )
    elif np.array_equal(goals[:, 3:], wanted[:, 3:]):
        return "the true place has to be exchanged too: the reward needs it"
    else:
        return "the goal is not what was achieved in frame `later`"
    slips = {
        "correct": reward(achieved[steps + 1], wanted, slice(0, 3)),
        "the reward is that of the place before the step: it belongs to the "
        "place where the step arrives, frame t + 1": reward(
            achieved[steps], wanted, slice(0, 3)
        ),
        "the reward looks at the place as seen: where that errs, it praises "
        "what was not achieved": reward(
            achieved[steps + 1], wanted, slice(3, 5)
        ),
        "the reward looks at all five numbers: two places at once": reward(
            achieved[steps + 1], wanted, slice(0, 5)
        ),
        "the reward is always 0: step t need not arrive at once": np.zeros(
            len(pairs)
        ),
        "the reward is never 0: it has to be worked out anew": -np.ones(
            len(pairs)
        ),
    }
    for message, value in slips.items():
        if np.array_equal(rewards, value):
            return message
    return "not the reward for being within 5 cm of the new goal"


def check_held(answer):
    """Exercise 6.3: "correct", or what is wrong."""
    rng = np.random.default_rng(2)
    points = rng.uniform(-1, 1, (8, 2))
    widths = np.array([0.1, 0.5, 0.6, 0.1, 0.3, 0.9, 0.9, 0.1])
    limit = 0.3
    given = points.copy()
    got = answer(points, widths, limit)
    if said := _blank(got, "the points, `(T, 2)`"):
        return said
    if not np.array_equal(points, given):
        return "it has written into `points`: make a copy first"
    if np.shape(got) != (8, 2):
        return f"shape {np.shape(got)}, expected (8, 2)"
    kept = [0, 0, 0, 3, 4, 4, 4, 7]
    before = [0, 0, 1, 3, 4, 4, 5, 7]
    strict = [0, 0, 0, 3, 3, 3, 3, 7]
    slips = {
        "correct": given[kept],
        "it takes the frame before, which may be unsure itself: the second "
        "frame in a row that is unsure shows it": given[before],
        "a width of exactly the limit is still sure": given[strict],
        "it waits for the next sure frame: a robot has not seen it yet": given[
            [0, 3, 3, 3, 4, 7, 7, 7]
        ],
        "the unsure ones are kept and the sure ones are not": given[
            [0, 1, 2, 2, 2, 5, 6, 6]
        ],
        "nothing is held": given,
    }
    said = [m for m, value in slips.items() if np.allclose(got, value)]
    if said != ["correct"]:
        return (said or ["not the last place at which it was sure"])[0]
    unsure = answer(points, np.r_[0.9, widths[1:]], limit)
    if not np.allclose(np.asarray(unsure)[:3], given[0]):
        return (
            "where the first frame is unsure there is nothing to hold: take "
            "what it says, until a sure one comes"
        )
    return "correct"


def check_rank_correlation(answer):
    """Exercise 6.4: "correct", or what is wrong."""
    x = np.array([0.3, 0.9, 0.9, 5.0, 0.1, 0.2, 0.4])
    y = np.array([0.4, 0.7, 0.4, 0.8, 0.1, 0.0, 0.9])
    got = answer(x, y)
    if said := _blank(got, "a number"):
        return said
    if np.ndim(got):
        return f"an array of shape {np.shape(got)}, expected one number"

    def order(values):  # 0, 1, ... without a look at ties
        return values.argsort(kind="stable").argsort(kind="stable")

    def pearson(a, b):
        return np.corrcoef(a, b)[0, 1]

    n = len(x)
    squares = np.square(rankdata(x) - rankdata(y)).sum()
    slips = {
        "correct": spearmanr(x, y).statistic,
        "that is the correlation of the numbers, not of their ranks": pearson(
            x, y
        ),
        "equal numbers must have equal ranks: the mean of those they take "
        "up": pearson(order(x), order(y)),
        "`argsort` says who stands at each rank, not which rank each has": (
            pearson(x.argsort(kind="stable"), y.argsort(kind="stable"))
        ),
        "the short formula with the squared differences holds without ties "
        "only": 1 - 6 * squares / (n * (n**2 - 1)),
        "equal numbers have the smallest of their ranks, not the mean": (
            pearson(rankdata(x, "min"), rankdata(y, "min"))
        ),
    }
    for message, value in slips.items():
        if np.isclose(got, value):
            return message
    return f"got {float(got):.4f}, expected {slips['correct']:.4f}"


def check_iqm_interval(answer):
    """Exercise 6.5: "correct", or what is wrong."""
    scores = np.array(
        [0.02, 0.11, 0.33, 0.48, 0.55, 0.61, 0.66, 0.69, 0.72, 0.77, 0.81, 0.84]
    )
    draws = 20_000
    got = answer(scores, draws, np.random.default_rng(0))
    if said := _blank(got, "the two ends"):
        return said
    if not isinstance(got, tuple) or len(got) != 2:
        return "expected two numbers, with a comma between: low, high"
    rng = np.random.default_rng(1)
    drawn = rng.choice(scores, (draws, len(scores)))
    middle = trim_mean(drawn, 0.25, axis=1)
    shuffled = rng.permuted(np.tile(scores, (draws, 1)), axis=1)

    def ends(values, level=95):
        rest = (100 - level) / 2
        return np.percentile(values, [rest, 100 - rest])

    spread = drawn.std(axis=1).mean()
    slips = {
        "correct": ends(middle),
        "that is the interval of the mean: drop a quarter at each end "
        "first": ends(drawn.mean(axis=1)),
        "that is the interval of the median": ends(np.median(drawn, axis=1)),
        "5 % at each end leave 90 % between": ends(middle, 90),
        "drawn without replacement every sample is the same": ends(
            trim_mean(shuffled, 0.25, axis=1)
        ),
        "those are the ends of the scores, not of their mean": ends(scores),
        "twice the scores' spread is no interval of their mean": (
            np.array([-2, 2]) * spread + trim_mean(scores, 0.25)
        ),
    }
    low, high = (float(part) for part in got)
    if low > high:
        return "the ends are mixed up: the lower one comes first"
    for message, value in slips.items():
        if np.allclose((low, high), value, atol=0.007):
            return message
    want = slips["correct"]
    return (
        f"{low:.3f} to {high:.3f}, expected about {want[0]:.3f} to "
        f"{want[1]:.3f}"
    )
