"""Checks of the exercises of chapter 4, the tracking metric."""

import functools

import numpy as np

from kpbook.episodes import Episodes
from kpbook.judge import judge
from kpbook.metric import regression_error, tracking_error


@functools.cache
def held_out():
    """The 60 episodes of the chapter."""
    return Episodes.sample().split((240, 60), seed=0)[1]


def centred(x, episode):
    """``x`` without each episode's mean."""
    means = np.stack([x[episode == e].mean(0) for e in np.unique(episode)])
    return x - means[np.unique(episode, return_inverse=True)[1]]


def check_best_map(answer):
    """Exercise 4.1: "correct", or what is wrong."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(50, 2)) * [0.2, 0.5] + [0.3, -0.1]
    A, b = np.array([[0.5, -0.8], [0.3, 1.2]]), np.array([0.4, -0.2])
    y = z @ A.T + b + 0.01 * rng.normal(size=z.shape)
    got_A, got_b = answer(z, y)
    if got_A is ...:
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


def check_follows(answer):
    """Exercise 4.3: "correct", or what is wrong."""
    rng = np.random.default_rng(0)
    episode = np.repeat(range(8), 25)
    places = (rng.integers(-8, 9, (8, 2)) / 8)[
        episode
    ]  # eighths: their mean is exact
    motion = 0.3 * rng.normal(size=(200, 2)) * np.linspace(0.2, 2, 200)[:, None]
    y = places + motion
    turn = np.array([[0.2, -1.0], [0.9, 0.1]])
    cases = [
        (
            (y @ turn + 1, y, episode),
            1.0,
            "a keypoint that follows through an affine map",
        )
    ]
    cases += [
        (
            (places, y, episode),
            0.0,
            "a keypoint that stands still in each episode",
        )
    ]
    cases += [
        (
            (motion, y, episode),
            1.0,
            "a keypoint that follows from another place in each episode",
        )
    ]
    noisy = motion + 0.3 * rng.normal(size=(200, 2))
    a, b = centred(noisy, episode), centred(y, episode)
    rest = b - a @ np.linalg.lstsq(a, b, rcond=None)[0]
    cases += [
        (
            (noisy, y, episode),
            1 - np.square(rest).sum() / np.square(b).sum(),
            "a noisy keypoint",
        )
    ]
    if answer(*cases[0][0]) is ...:
        return "not written yet: return one number"
    for arguments, right, words in cases:
        got = float(answer(*arguments))
        if not np.isclose(got, right, atol=1e-6):
            return f"{words}: {got:.3f}, expected {right:.3f}"
    still = float(answer(y, places, episode))
    if not np.isnan(still):
        return (
            f"an object that never moves: {still:.3f}, expected NaN; there is "
            "nothing to follow"
        )
    return "correct"


def check_precision_and_recall(answer):
    """Exercise 4.4: "correct", or what is wrong."""
    line = lambda *xs: np.array([[x, 0.0] for x in xs])  # noqa: E731
    corner = np.array([[1.0, 0.0], [1.0, 1.0]])
    cases = {
        "the smallest total distance has one pair fewer": (
            line(0, 1),
            corner,
            1.125,
            1,
            1,
        ),
        "two hits and one point too many": (
            line(0, 1, 2),
            line(0, 1),
            0.1,
            2 / 3,
            1,
        ),
        "one point near two objects: it can have one": (
            line(0),
            line(0.05, -0.05),
            0.1,
            1,
            0.5,
        ),
        "the nearest pair first leaves an object alone": (
            line(0.5, 0.9),
            line(0, 0.55),
            0.6,
            1,
            1,
        ),
        "a far object has no match": (
            line(0, 0.3),
            line(0.3, 5),
            0.1,
            0.5,
            0.5,
        ),
        "at the radius counts": (line(0.25), line(0), 0.25, 1, 1),
        "a chain: three pairs at the radius": (
            line(1, 2, 3),
            line(0, 1, 2),
            1.0,
            1,
            1,
        ),
    }
    if answer(line(0), line(0), 1.0)[0] is ...:
        return "not written yet: return precision and recall"
    for words, (points, objects, radius, *right) in cases.items():
        try:
            got = tuple(float(v) for v in answer(points, objects, radius))
        except (
            ValueError
        ) as error:  # scipy refuses infinite costs without another way
            return (
                f"{words}: {error}; forbidden pairs need a large cost, not an "
                "infinite one"
            )
        if np.allclose(got, right):
            continue
        if np.allclose(got[::-1], right):
            return f"{words}: precision and recall have changed places"
        says = (
            "{}: precision {:.2f} and recall {:.2f}, expected precision "
            "{:.2f} and recall {:.2f}"
        )
        return says.format(words, *got, *right)
    return "correct"


def check_fool(answer):
    """Exercise 4.5: "correct", or what is wrong."""
    episodes = held_out()
    truth, episode = episodes.flat().truth, episodes.flat().episode
    first, second = episode < 30, episode >= 30
    points, column = answer(truth.copy())
    if points is ...:
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
