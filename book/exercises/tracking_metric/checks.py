"""Checks of the exercises of chapter 4, the tracking metric."""

import functools

import numpy as np

from kpbook.episodes import Episodes
from kpbook.judge import judge
from kpbook.metric import regression_error, tracking_error

NOTHING = "it returns nothing: its last line must be a `return`"


@functools.cache
def held_out():
    """The 60 episodes of the chapter."""
    return Episodes.sample().split((240, 60), seed=0)[1]


def centred(x, episode):
    """``x`` without each episode's mean."""
    means = np.stack([x[episode == e].mean(0) for e in np.unique(episode)])
    return x - means[np.unique(episode, return_inverse=True)[1]]


def _not_several(got, number, what):
    """A message where ``got`` is not a tuple of ``number`` things, or None."""
    if got is None:
        return NOTHING
    if not isinstance(got, (tuple, list)) or len(got) != number:
        return f"expected {number} things, with commas between: {what}"
    return None


def check_fit_pair(answer):
    """Section 4.2: "correct", or what is wrong."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(60, 2)) * [0.4, 0.2] + [0.2, -0.3]
    A, b = np.array([[0.3, 0.9], [-0.6, 0.4]]), np.array([-0.5, 0.3])
    y = z @ A.T + b + 0.05 * rng.normal(size=z.shape)
    got = answer(z, y)
    if wrong := _not_several(got, 3, "A, b and the error"):
        return wrong
    if any(part is ... for part in got):
        return "not written yet: return A, b and the error"
    got_A, got_b, error = (np.asarray(part, float) for part in got)
    if (got_A.shape, got_b.shape, error.shape) != ((2, 2), (2,), ()):
        return (
            f"A has shape {got_A.shape}, b {got_b.shape} and the error "
            f"{error.shape}, expected (2, 2), (2,) and one number"
        )
    solved, *_ = np.linalg.lstsq(
        np.column_stack([z, np.ones(60)]), y, rcond=None
    )
    right_A, right_b = solved[:2].T, solved[2]
    left = np.square(y - z @ right_A.T - right_b).sum(-1)
    origin = np.linalg.lstsq(z, y, rcond=None)[0].T
    close = functools.partial(np.allclose, atol=1e-6)
    if close(got_A.T, right_A):
        return "A is transposed: lstsq solves z @ X = y, and A is X.T"
    if close(got_A, origin):
        return "b has no column in the design: a map through the origin"
    if not (close(got_A, right_A) and close(got_b, right_b)):
        return "A and b are not those of the least squared distance"
    slips = {
        "correct": left.mean(),
        "the error is a sum over the frames, expected their mean": left.sum(),
        "the error is a mean over x and y, too: a squared distance is "
        "their sum": left.mean() / 2,
        "the root is taken: the error is the mean of the squares": np.sqrt(
            left.mean()
        ),
        "that is the mean distance: square it before the mean": np.sqrt(
            left
        ).mean(),
        "that is the distance before the map": np.square(y - z).sum(-1).mean(),
    }
    for message, value in slips.items():
        if np.isclose(error, value):
            return message
    return "A and b are right; the error is not what they leave"


def check_within(answer):
    """Section 4.6: "correct", or what is wrong."""
    rng = np.random.default_rng(2)
    episode = np.repeat([3, 0, 7, 5], 15)
    places = rng.uniform(-1, 1, (8, 2))[episode]
    y = places + 0.2 * rng.normal(size=(60, 2))
    turn = np.array([[0.6, 0.5], [-0.7, 0.3]])
    z = y @ turn + rng.uniform(-1, 1, (8, 2))[episode]
    z = z + 0.1 * rng.normal(size=z.shape)
    got = answer(z, y, episode)
    if wrong := _not_several(got, 2, "what is left, and the motion"):
        return wrong
    if any(part is ... for part in got):
        return "not written yet: return what is left, and the motion"
    left, motion = (np.asarray(part, float) for part in got)
    if left.shape or motion.shape:
        return f"shapes {left.shape} and {motion.shape}, expected two numbers"

    def rest(a, b):
        fit = a @ np.linalg.lstsq(a, b, rcond=None)[0]
        return np.square(b - fit).sum(-1).mean()

    a, b = centred(z, episode), centred(y, episode)
    right, moves = rest(a, b), np.square(b).sum(-1).mean()
    all_of_it = np.square(y - y.mean(0)).sum(-1).mean()
    if np.isclose(left, right) and np.isclose(motion, moves):
        return "correct"
    if np.isclose(left, moves) and np.isclose(motion, right):
        return "the two numbers have changed places"
    if np.isclose(motion, all_of_it):
        return (
            "the motion is counted from the mean of all frames: centre the "
            "object in each episode"
        )
    if np.isclose(left, 60 * right) or np.isclose(motion, 60 * moves):
        return "a sum over the frames, expected the mean"
    if np.isclose(left, right / 2) or np.isclose(motion, moves / 2):
        return "a mean over x and y, too: a squared distance is their sum"
    if np.isclose(left, np.square(b - a).sum(-1).mean()):
        return "no linear part is fitted: the map may turn and scale"
    if np.isclose(left, rest(z - z.mean(0), b)) or np.isclose(left, rest(z, b)):
        return "the keypoint is not centred in each episode"
    if not np.isclose(motion, moves):
        if np.isclose(motion, np.square(a).sum(-1).mean()):
            return "that is the keypoint's motion, expected the object's"
        return "the motion is not the mean square of the centred object"
    linear, *_ = np.linalg.lstsq(a, b, rcond=None)
    if np.isclose(left, 1 - right / moves):
        return "that is R²: return the squared distance that is left"
    if np.isclose(left, np.square(b - a @ linear.T).sum(-1).mean()):
        return "lstsq solves z @ X = y: apply X as it is, not transposed"
    ones = np.ones((60, 1))
    raw = rest(z, y), rest(np.c_[z, ones], y)
    if np.isclose(left, raw).any():
        return "keypoint and object are fitted as they are: centre both first"
    return "the motion is right; what is left is not that of the best map"


def check_best_map(answer):
    """Exercise 4.1: "correct", or what is wrong."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(50, 2)) * [0.2, 0.5] + [0.3, -0.1]
    A, b = np.array([[0.5, -0.8], [0.3, 1.2]]), np.array([0.4, -0.2])
    y = z @ A.T + b + 0.01 * rng.normal(size=z.shape)
    got = answer(z, y)
    if wrong := _not_several(got, 2, "A and b"):
        return wrong
    got_A, got_b = got
    if got_A is ... or got_b is ...:
        return "not written yet: return A and b"
    got_A, got_b = np.asarray(got_A, float), np.asarray(got_b, float)
    if got_A.shape != (2, 2) or got_b.shape != (2,):
        return (
            f"A has shape {got_A.shape} and b {got_b.shape}, expected (2, 2) "
            "and (2,)"
        )
    solved, *_ = np.linalg.lstsq(
        np.column_stack([z, np.ones(50)]), y, rcond=None
    )
    right_A, right_b = solved[:2].T, solved[2]
    if np.allclose(got_A, right_A, atol=1e-6) and np.allclose(
        got_b, right_b, atol=1e-6
    ):
        return "correct"
    if np.allclose(got_A.T, right_A, atol=1e-6):
        return "A is transposed: rows of A belong to the coordinates of y"
    if np.allclose(got_A, right_A, atol=1e-6):
        return (
            f"A is right; b is {got_b.round(2)}, expected mean(y) - A mean(z)"
        )
    raw = np.linalg.solve(z.T @ z, z.T @ y).T
    if np.allclose(got_A, raw, atol=1e-6):
        return (
            "fitted without taking the means away: that is a map through the "
            "origin"
        )
    if np.allclose(got_A, np.diag(np.diag(got_A))):
        return "each axis fitted alone: x may depend on y"
    return (
        f"A is {got_A.round(3).tolist()}, expected {right_A.round(3).tolist()}"
    )


def check_r2_needed(answer):
    """Exercise 4.2: "correct", or what is wrong."""
    truth = np.array([[0.0, 0.0], [0.4, 0.0], [0.4, 0.2], [0.0, 0.2]])
    got = answer(0.01, truth)
    if got is None:
        return NOTHING
    if got is ...:
        return "not written yet: return one number"
    if (
        np.isclose(got, 0.8).all()
        and not np.isclose(answer(0.02, truth), 0.6).all()
    ):
        return "right for one threshold only: it has to depend on mu"
    if (
        np.isclose(got, 0.8).all()
        and not np.isclose(answer(0.01, 2 * truth), 0.95).all()
    ):
        return "right for one trajectory only: it has to depend on truth"
    if np.ndim(got):
        return (
            f"an array of shape {np.shape(got)}, expected one number: both "
            "axes together"
        )
    slips = {
        "correct": 1 - 0.01 / 0.05,
        "that is the share that may be lost, not the R² that is needed": 0.01
        / 0.05,
        "only the x axis has been counted": 1 - 0.01 / 0.04,
        "the mean over both axes: the squared distance is their sum": 1
        - 0.01 / 0.025,
        "x and y pooled into one list: each has a mean of its own": 1
        - 0.01 / 0.0275,
        "distance from the origin: the constant that does best is the mean": 1
        - 0.01 / 0.1,
        "divided by T - 1: the error is a plain mean over frames": 1
        - 0.01 / (0.05 * 4 / 3),
    }
    for message, value in slips.items():
        if np.isclose(got, value):
            return message
    return f"got {got:.3f}, expected {slips['correct']:.3f}"


def check_follows_steps(answer):
    """Exercise 4.3: "correct", or what is wrong."""
    rng = np.random.default_rng(0)
    episode = np.repeat([4, 1, 7, 2, 0, 3, 5, 6], 25)
    places = rng.uniform(-1, 1, (8, 2))[episode]
    walk = np.cumsum(0.1 * rng.normal(size=(200, 2)) + 0.05, axis=0)
    y = places + walk
    turn = np.array([[0.2, -1.0], [0.9, 0.1]])
    elsewhere = rng.uniform(-1, 1, (8, 2))[episode]
    drift = walk + 0.08 * np.arange(200)[:, None]
    straight = places + 0.03 * np.arange(200)[:, None] * [1, 2]
    noisy = y + 0.05 * rng.normal(size=(200, 2))

    def right(z, y):
        inside = np.diff(episode) == 0
        dz, dy = np.diff(z, axis=0)[inside], np.diff(y, axis=0)[inside]
        rest = dy - dz @ np.linalg.lstsq(dz, dy, rcond=None)[0]
        return 1 - np.square(rest).sum() / np.square(dy).sum()

    cases = {
        "a keypoint that follows through an affine map": (y @ turn + 1, y),
        "an object with one and the same step: a guess that nothing moves "
        "is wrong about it": (straight @ turn, straight),
        "a keypoint that follows from another place in each episode: only "
        "steps within an episode are motion": (elsewhere + walk @ turn, y),
        "a keypoint that drifts: a step too many in each frame is an error, "
        "no shift": (drift, y),
        "a noisy keypoint": (noisy, y),
        "a keypoint that stands still": (places, y),
    }
    got = answer(y, y, episode)
    if got is None:
        return NOTHING
    if got is ...:
        return "not written yet: return one number"
    for words, (z, obj) in cases.items():
        got = np.asarray(answer(z, obj, episode), float)
        if got.shape:
            return f"an array of shape {got.shape}, expected one number"
        if not np.isclose(got, right(z, obj), atol=1e-6):
            return f"{words}: {got:.3f}, expected {right(z, obj):.3f}"
    still = float(answer(y, places, episode))
    if not np.isnan(still):
        return (
            f"an object that never moves: {still:.3f}, expected NaN; there is "
            "nothing to follow"
        )
    return "correct"


def check_switches(answer):
    """Exercise 4.4: "correct", or what is wrong."""

    def line(*xs):
        return [[x, 0.0] for x in xs]

    corner = [[1.0, 0.0], [1.0, 1.0]]
    tie = line(0, 0.55)
    chain = line(0, 1, 2)
    # words: keypoints of each frame, objects of each frame, radius, switches
    cases = {
        "the first partner is no switch": (
            [line(0, 1), line(0, 1)],
            [line(0, 1), line(0, 1)],
            0.1,
            0,
        ),
        "two keypoints change places once": (
            [line(0, 1), line(1, 0), line(1, 0)],
            [line(0, 1)] * 3,
            0.1,
            2,
        ),
        "a partner that comes back after a gap is no switch": (
            [line(0, 5), line(3, 5), line(0, 5)],
            [line(0)] * 3,
            0.1,
            0,
        ),
        "another partner after a gap is one": (
            [line(0, 5), line(3, 5), line(5, 0)],
            [line(0)] * 3,
            0.1,
            1,
        ),
        "a keypoint beyond the radius is no partner": (
            [line(0, 5), line(3, 0.5), line(0, 5)],
            [line(0)] * 3,
            0.1,
            0,
        ),
        "of as many pairs, the nearest": (
            [line(0, 1), line(0.3, 0.7)],
            [line(0, 1), line(0.4, 0.6)],
            0.5,
            0,
        ),
        "the nearest pair first leaves an object alone": (
            [tie, line(0.5, 0.9)],
            [tie, tie],
            0.6,
            0,
        ),
        "the smallest total distance has one pair fewer": (
            [corner, line(0, 1)],
            [corner, corner],
            1.125,
            0,
        ),
        "at the radius counts, and the most pairs come first": (
            [chain, line(1, 2, 3)],
            [chain, chain],
            1.0,
            0,
        ),
    }
    first = next(iter(cases.values()))
    got = answer(np.array(first[0]), np.array(first[1]), first[2])
    if got is None:
        return NOTHING
    if got is ...:
        return "not written yet: return one number"
    for words, (points, objects, radius, right) in cases.items():
        try:
            got = answer(np.array(points), np.array(objects), radius)
        except ValueError as error:  # scipy refuses a row that is infinite
            return (
                f"{words}: {error}; forbidden pairs need a large cost, not an "
                "infinite one"
            )
        if got != right:
            return f"{words}: {got} switches, expected {right}"
    return "correct"


def check_fool(answer):
    """Exercise 4.5: "correct", or what is wrong."""
    episodes = held_out()
    truth, episode = episodes.flat().truth, episodes.flat().episode
    first, second = episode < 30, episode >= 30
    got = answer(truth.copy())
    if wrong := _not_several(got, 2, "the keypoints and a column's name"):
        return wrong
    points, column = got
    if points is ... or column is ...:
        return (
            "not written yet: return keypoints (T, N, 2) and the name of a "
            "column"
        )
    points = np.asarray(points, float)
    N = points.shape[1] if points.ndim > 1 else 0
    if points.shape != (len(truth), N, 2):
        return f"shape {points.shape}, expected ({len(truth)}, N, 2)"
    if N > 6:
        return f"{N} keypoints, at most 6"
    if not np.abs(points).max() <= 1:  # NaN too
        return (
            f"coordinates up to {np.abs(points).max():.2f}: a keypoint stays "
            "in [-1, 1]"
        )
    parts = points[second], truth[second], points[first], truth[first]
    together, alone = regression_error(*parts).r2, tracking_error(*parts).r2
    if together.min() < 0.99:
        return (
            f"together they reach R² {together.min():.2f} for the worst "
            "object, 0.99 needed"
        )
    if alone.max() >= 0.7:
        worst = episodes.objects[int(alone.argmax())]
        return (
            f"one keypoint alone reaches R² {alone.max():.2f} for {worst}; "
            "below 0.7 needed"
        )
    numbers = {
        k: v
        for k, v in judge(points, episodes).row().items()
        if isinstance(v, float)
    }
    if column not in numbers:
        return (
            f"{column!r} is no column with a number; there are "
            f"{', '.join(numbers)}"
        )
    if numbers[column] >= 0.7:
        return f"{column} says {numbers[column]:.2f}: it has been fooled, too"
    return "correct"
