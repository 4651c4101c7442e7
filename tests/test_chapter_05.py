"""Chapter 5: what it teaches is what kpbook does, and its checks tell wrong answers apart."""

import notebooks
import numpy as np
import pytest
import torch
from exercises.transporter.checks import Tiny
from scipy.optimize import linear_sum_assignment
from torch import nn

import kpbook
from kpbook.extractors.blocks import Difference, PixelWeight
from kpbook.extractors.registry import build
from kpbook.extractors.transporter import transport
from kpbook.metric import precision_recall

CHAPTER = "05_transporter"
MODULES = {
    "np": np,
    "torch": torch,
    "nn": nn,
    "kpbook": kpbook,
    "linear_sum_assignment": linear_sum_assignment,
    "Difference": Difference,
    "PixelWeight": PixelWeight,
    "WIDTH": 0.15,
}
TAUGHT = notebooks.taught(CHAPTER, **MODULES)
CHECKS = notebooks.exercises(CHAPTER, **MODULES)
SOLUTIONS = notebooks.solutions(CHAPTER)


def features_and_maps(B=2, C=5, N=3, size=(4, 6), seed=0):
    """Two frames' features and maps; no two sizes are equal."""
    rng = torch.Generator().manual_seed(seed)
    features = torch.rand(2, B, C, *size, generator=rng)
    points = torch.rand(2, B, N, 2, generator=rng) - 0.5
    return (*features, *kpbook.gaussian_maps(points, size, 0.4))


# -- what is taught is what the package does -----------------------------------------------------


@pytest.mark.parametrize("N", [1, 3])
def test_the_transport_that_is_taught_is_the_package_s(N):
    given = features_and_maps(N=N)
    expected = transport(*given)
    torch.testing.assert_close(TAUGHT["transported"](*given), expected)
    for b, one in enumerate(expected):
        by_loops = TAUGHT["transport_by_loops"](*(x[b] for x in given))
        torch.testing.assert_close(by_loops, one)


def pair_of_networks(seed=3):
    """The page's and the package's, with the same weights and the same median frame."""
    ours = build("transporter-small-recipe", keypoints=3, seed=seed)
    frames = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    mine = TAUGHT["Transporter"]()
    weights = {k.replace("9.scores.", "9."): v for k, v in ours.state_dict().items()}
    mine.load_state_dict({k: weights[k] for k in mine.state_dict()})
    for network in (mine, ours):
        network.difference.prepare(frames)
        network.weight.prepare(frames)
    return mine, ours


def two_frames(B=2, dtype=torch.float32):
    return torch.rand(2, B, 3, 64, 64, generator=torch.Generator().manual_seed(1), dtype=dtype)


def test_the_network_that_is_taught_draws_and_points_as_the_package_s():
    # in double precision: norms of nearly flat features magnify what a processor rounds
    mine, ours = (network.double() for network in pair_of_networks())
    source, target = two_frames(dtype=torch.float64)
    torch.testing.assert_close(mine.points(target), ours.points(target))  # of all candidates
    drawn = mine(source, target), ours.predict(source, target)
    torch.testing.assert_close(*drawn, atol=1e-6, rtol=0)  # the package's sigma is a float32
    mine.kept = ours.eval().candidates.chosen.tolist()
    drawn = mine(source, target), ours.predict(source, target)
    torch.testing.assert_close(*drawn, atol=1e-6, rtol=0)  # the package's sigma is a float32


def test_the_candidates_that_are_kept_are_the_package_s():
    mine, ours = pair_of_networks()
    source, target = two_frames(B=4)
    expected = TAUGHT["loss_of"](mine, source, target)
    loss = ours._loss(source, target)["loss"]
    torch.testing.assert_close(expected, loss)
    ours.eval().candidates.choose(lambda: ours._loss(source, target)["loss"])
    TAUGHT["choose"](mine, source, target, 3)
    assert sorted(mine.kept) == ours.candidates.chosen.tolist()
    assert mine.points(target).shape == (4, 3, 2)


def test_no_gradient_of_the_network_that_is_taught_comes_through_the_source():
    network = TAUGHT["Transporter"](2)
    source, target = (x.requires_grad_() for x in two_frames())
    slopes = torch.autograd.grad(network(source, target).sum(), [source, target], allow_unused=True)
    assert slopes[0] is None
    assert slopes[1].abs().max() > 0


def test_training_as_it_is_taught_lowers_the_loss():
    class Pairs:
        def pairs(self, gap, batch, dice):
            frames = torch.zeros(2, batch, 3, 64, 64)
            for pair in frames.unbind(1):
                for frame, x in zip(pair, torch.randint(0, 56, (2,), generator=dice), strict=True):
                    frame[1, 20:28, x : x + 8] = 1.0
            return frames.unbind(0)

    torch.manual_seed(0)
    network = TAUGHT["Transporter"](5)
    pictures = Pairs().pairs((1, 20), 16, torch.Generator())[0]
    frames = (255 * pictures.movedim(1, -1)).numpy().astype(np.uint8)
    network.difference.prepare(frames)
    network.weight.prepare(frames)
    curve = TAUGHT["learn"](network, Pairs(), steps=30, N=1, choose_after=10, batch=8)
    assert len(curve) == 30
    assert curve[-1] < 0.5 * curve[0]
    assert len(network.kept) == 1


@pytest.mark.parametrize("name", ["jakab-small-recipe", "pixel-transporter-small-recipe"])
def test_the_baselines_that_are_taught_are_the_package_s(name):
    network = build(name, keypoints=2).eval()
    draw = "drawn_by_generator" if name.startswith("jakab") else "drawn_by_pixels"
    source, target = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network.predict(source, target)
        torch.testing.assert_close(TAUGHT[draw](network, source, target), expected)


@pytest.mark.parametrize("N", [1, 2, 5])
@pytest.mark.parametrize("length", [1, 4, 10])
def test_the_precision_and_recall_that_are_taught_are_the_package_s(N, length):
    rng = np.random.default_rng(N)
    truth = rng.uniform(-1, 1, (60, 3, 2))
    points = np.concatenate([truth + 0.3 * rng.normal(size=truth.shape), 2 * truth], axis=1)[:, :N]
    visible = np.repeat(rng.uniform(size=(30, 3)) < 0.5, 2, axis=0)
    game = np.repeat([4, 4, 7], 20)
    ours = precision_recall(points, truth, 0.4, (length,), visible=visible, episode=game)
    taught = TAUGHT["precision_and_recall"](points, truth, visible, game, 0.4, length)
    assert taught == pytest.approx((ours.precision[0], ours.recall[0]))
    assert 0 < ours.recall[0] < 1


# -- exercises -----------------------------------------------------------------------------------

EXERCISES = ["hole_radius", "pair_loss", "draw_pairs", "radius_needed", "camera_step"]
WRITTEN = ["transported", "count"]  # by the reader, before the book shows its own


def solution(name):
    scope = {**MODULES, "transported": TAUGHT["transported"]}
    exec(SOLUTIONS[name], scope)
    return scope[name]


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


def right(source, target, here, there):
    return TAUGHT["transported"](source, target, here, there)


def in_place(source, target, here, there):
    for n in range(here.shape[1]):
        h, t = here[:, n : n + 1], there[:, n : n + 1]
        source.mul_((1 - h) * (1 - t)).add_(t * target)
    return source


def without(source, target, here, there, keep):
    for h, t in zip(here.split(1, 1), there.split(1, 1), strict=True):
        source = keep(h, t) * source + t * target
    return source


def anew(source, target, here, there):
    for h, t in zip(here.split(1, 1), there.split(1, 1), strict=True):
        moved = (1 - h) * (1 - t) * source + t * target
    return moved


def merged(source, target, here, there, merge):
    return right(source, target, merge(here), merge(there))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda s, t, a, b: right(s, t, b, a), "two maps are mixed up"),
        (lambda s, t, a, b: right(t, s, a, b), "two frames are mixed up"),
        (lambda s, t, a, b: right(s, s, a, b), "the source's own features"),
        (lambda *x: without(*x, lambda h, t: 1 - t), "the object stays there, too"),
        (lambda *x: without(*x, lambda h, t: 1 - h), "two features lie on one another"),
        (lambda *x: without(*x, lambda h, t: 1), "nothing is suppressed"),
        (anew, "only the last keypoint"),
        (lambda s, t, a, b: right(s, t, a.flip(1), b.flip(1)), "the last keypoint comes first"),
        (lambda *x: merged(*x, lambda m: m.sum(1, keepdim=True)), "their sum"),
        (lambda *x: merged(*x, lambda m: m.amax(1, keepdim=True)), "their largest"),
        (in_place, "written into `source`"),
        (lambda s, t, a, b: s[0], "shape (5, 4, 6), expected (2, 5, 4, 6)"),
        (lambda s, t, a, b: s, "not eq. (5.1)"),
    ],
)
def test_wrong_transports_are_told_apart(wrong, message):
    assert message in CHECKS["check_transported"](wrong)


def pairs_of(distance, radius, cost=None):
    """Which pairs are matched, by an assignment of ``cost``."""
    near = distance <= radius
    far = 1 + distance.shape[1] * radius
    cost = np.where(near, distance, far) if cost is None else cost
    n, k = linear_sum_assignment(cost)
    return near[n, k].sum()


def greedy(distance, radius):
    distance, found = distance.copy(), 0
    while distance.min() <= radius:
        n, k = np.unravel_index(distance.argmin(), distance.shape)
        distance[n], distance[:, k] = np.inf, np.inf
        found += 1
    return found


def cheapest(distance, radius):
    return pairs_of(distance, radius, np.where(np.isinf(distance), 1e6, distance))


def count_with(distance, radius, pairs=pairs_of, present=True, excused="some", below=False):
    """The right count with one thing changed."""
    N, K = distance.shape
    matched = pairs(distance, radius - 1e-9 if below else radius)
    objects = int(np.isfinite(distance).all(0).sum())
    absent = K - objects
    free = {
        "some": min(N - matched, absent),
        "none": 0,
        "all": N - matched if absent else 0,
        "too many": absent,
    }
    return matched, N - free[excused], objects if present else K


def test_the_count_that_is_right_is_accepted():
    assert CHECKS["check_count"](count_with) == "correct"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pairs": greedy}, "the nearest pair first leaves an object alone: matched 1"),
        ({"pairs": cheapest}, "a pair fewer is never better"),
        (
            {"pairs": lambda d, r: (d.min(0) <= r).sum()},
            "matched with one of them: matched 2, expected 1",
        ),
        ({"pairs": lambda d, r: pairs_of(d, r, np.where(d <= r, d, np.inf))}, "an infinite one"),
        ({"present": False}, "an object that is absent is not in the truth"),
        ({"excused": "none"}, "is not held against the network: detections 2, expected 1"),
        ({"excused": "all"}, "one absent object excuses one keypoint"),
        ({"excused": "too many"}, "only keypoints without a partner may be excused"),
        ({"below": True}, "exactly the radius is a match"),
    ],
)
def test_wrong_counts_are_told_apart(wrong, message):
    assert message in CHECKS["check_count"](lambda *a: count_with(*a, **wrong))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda d, r: 3, "expected 3 numbers"),
        (lambda d, r: (2, ..., 2), "not written yet"),
    ],
)
def test_counts_that_are_no_three_numbers_are_noticed(wrong, message):
    assert message in CHECKS["check_count"](wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda p, s: s * np.sqrt(-2 * np.log(p)), "where the *map* has this value"),
        (lambda p, s: s * np.sqrt(-np.log(1 - p)), "the half in the exponent is missing"),
        (lambda p, s: s**2 * np.sqrt(-2 * np.log(1 - p)), "sigma stands there squared"),
        (lambda p, s: -2 * s**2 * np.log(1 - p), "the square of the distance"),
        (lambda p, s: s * np.sqrt(-2 * np.log10(1 - p)), "the logarithm is natural"),
        (lambda p, s: s * p, "linear in the share"),
        (lambda p, s: 0.7, "got 0.7000 for 0.9 and 0.1, expected 0.2146"),
        (lambda p, s: np.ones(2), "an array of shape (2,)"),
    ],
)
def test_wrong_holes_are_told_apart(wrong, message):
    assert message in CHECKS["check_hole_radius"](wrong)


def pair_loss_with(network, source, target, stop=("old", "here"), swap=False, end=torch.mean):
    """The right loss with one thing changed."""
    old, here = network.features(source), network.gaussians(source)
    new, there = network.features(target), network.gaussians(target)
    parts = {"old": old, "new": new, "here": here, "there": there}
    parts |= {name: parts[name].detach() for name in stop}
    drawn = network.refine(right(*(parts[name] for name in ("old", "new", "here", "there"))))
    return end((drawn - (source if swap else target)).square())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"stop": ()}, "the source's features and keypoints, too"),
        ({"stop": ("old",)}, "features are stopped, its keypoints are not"),
        ({"stop": ("here",)}, "keypoints are stopped, its features are not"),
        ({"stop": ("new", "there")}, "the wrong frame is stopped"),
        ({"stop": ("old", "here", "there")}, "its gradient is not"),
        ({"swap": True}, "compared with the source"),
        ({"end": torch.sum}, "a sum, expected the mean"),
        ({"end": lambda x: x.sqrt().mean()}, "not squared"),
        ({"end": lambda x: 2 * x.mean()}, "the loss is"),
        ({"end": lambda x: x}, "expected one number"),
    ],
)
def test_wrong_losses_of_a_pair_are_told_apart(wrong, message):
    assert message in CHECKS["check_pair_loss"](lambda *a: pair_loss_with(*a, **wrong))


def test_frames_that_are_mixed_up_and_a_loss_without_gradient_are_noticed():
    check = CHECKS["check_pair_loss"]
    assert "two frames are mixed up" in check(lambda n, s, t: pair_loss_with(n, t, s))
    assert "nothing learns" in check(lambda *a: pair_loss_with(*a).detach())


def test_every_path_of_the_tiny_network_s_gradient_shows():
    """Else two of the slips above would look the same."""
    frames = torch.rand(2, 4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    network, found = Tiny(), []
    for stop in ((), ("old",), ("here",), ("old", "here"), ("new", "there")):
        network.zero_grad()
        pair_loss_with(network, *frames, stop=stop).backward()
        found.append([w.grad.item() for w in network.parameters()])
    assert len({tuple(np.round(row, 5)) for row in found}) == len(found)


def pairs_with(
    game, gap, count, rng, low=0, high=1, fits=True, swap=False, biased=False, even=False
):
    """The right pairs with one thing changed."""
    if biased:  # the place first, then a gap that fits
        early = rng.integers(0, len(game) - gap[0], count)
        most = np.array([np.flatnonzero(game == game[e])[-1] - e for e in early])
        early = np.where(most < gap[0], np.flatnonzero(game == game[early[0]])[0], early)
        most = np.array([np.flatnonzero(game == game[e])[-1] - e for e in early])
        steps = rng.integers(gap[0], np.minimum(most, gap[1]) + 1)
        return early, early + steps
    steps = rng.integers(gap[0] + low, gap[1] + high, count)
    early = np.empty(count, dtype=int)
    for step in np.unique(steps):
        places = np.arange(len(game) - step)
        if fits:
            places = places[game[step:] == game[: len(game) - step]]
        places = places[places % 2 == 0] if even else places
        early[steps == step] = rng.choice(places, (steps == step).sum())
    return (early + steps, early) if swap else (early, early + steps)


def not_by_the_generator(game, gap, count, rng):
    return pairs_with(game, gap, count, np.random.default_rng())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda *a: pairs_with(*a, low=-2), "a gap of 0: nothing moves"),
        (lambda *a: pairs_with(*a, high=0), "no gap of 6"),
        (lambda *a: pairs_with(*a, high=3), "gaps from 2 to 8, expected 2 to 6"),
        (lambda *a: pairs_with(*a, fits=False), "begin in one game and end in another"),
        (lambda *a: pairs_with(*a, swap=True), "the source comes after the target"),
        (lambda *a: pairs_with(*a, biased=True), "draw the gap first"),
        (not_by_the_generator, "draw with `rng` only"),
        (lambda *a: pairs_with(*a)[0], "expected two arrays"),
        (lambda *a: tuple(x[:5] for x in pairs_with(*a)), "expected (20000,)"),
        (lambda *a: tuple(x / 1 for x in pairs_with(*a)), "whole numbers"),
        (lambda *a: tuple(x + 60 for x in pairs_with(*a)), "there are 78"),
        (lambda *a: pairs_with(*a, even=True), "frame 1 never begins a pair of gap 2"),
    ],
)
def test_wrong_pairs_are_told_apart(wrong, message):
    assert message in CHECKS["check_draw_pairs"](wrong)


def greedy_radius(distance):
    distance, worst = distance.copy(), 0.0
    for _ in range(distance.shape[1]):
        worst = max(worst, distance.min())
        n, k = np.unravel_index(distance.argmin(), distance.shape)
        distance[n], distance[:, k] = np.inf, np.inf
    return worst


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda d: d.min(0).max(), "can serve one: 0.20, expected 0.50"),
        (lambda d: d[linear_sum_assignment(d)].max(), "the smallest *sum* of distances"),
        (greedy_radius, "can serve one: 0.70"),
        (lambda d: d[linear_sum_assignment(d)].mean(), "near an object of its own: 0.20"),
        (lambda d: d.max(), "near an object of its own: 0.90, expected 0.30"),
        (lambda d: d.min(0), "an array of shape (2,)"),
    ],
)
def test_wrong_radii_are_told_apart(wrong, message):
    assert message in CHECKS["check_radius_needed"](wrong)


def camera_with(source, target, order=(0, 1), sign=1, reach=3, into=False, measure=np.mean):
    left = {}
    if into:
        source[0] = 0
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            moved = np.roll(source, (sign * dy, sign * dx), axis=order)
            left[dx, dy] = measure(np.abs(target - moved)[3:-3, 3:-3])
    return min(left, key=left.get)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sign": -1}, "the signs are those of the camera's own way"),
        ({"order": (1, 0)}, "x and y have changed places"),
        ({"reach": 0}, "a step of 0 always?"),
        ({"reach": 2}, "the picture moved by (-3, 2)"),
        ({"into": True}, "written into a frame"),
    ],
)
def test_wrong_steps_of_the_camera_are_told_apart(wrong, message):
    assert message in CHECKS["check_camera_step"](lambda *a: camera_with(*a, **wrong))


def test_the_way_of_what_is_brightest_is_no_camera_s_way():
    def brightest(frame):
        return frame.mean(-1) >= 1.0

    def of_the_thing(source, target):
        way = [np.argwhere(brightest(x)).mean(0) for x in (source, target)]
        dy, dx = (way[1] - way[0]).round().astype(int)
        return dx, dy

    said = CHECKS["check_camera_step"](of_the_thing)
    assert "the picture moved by (2, -1): got (18, -1)" in said or "got (16, 0)" in said
    assert "expected two" in CHECKS["check_camera_step"](lambda s, t: 1)
