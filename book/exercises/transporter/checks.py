"""Checks of the exercises of chapter 5, the Transporter."""

import functools

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from kpbook import gaussian_maps
from kpbook.extractors.transporter import transport

NOTHING = "it returns nothing: its last line must be a `return`"
BLANK = "not written yet"


def check_transported(answer):
    """Section 5.2: "correct", or what is wrong."""
    torch.manual_seed(0)
    source, target = torch.rand(2, 2, 5, 4, 6)  # (2, 5, 4, 6) each
    # Three keypoints a frame, near one another: their order shows.
    points = torch.rand(2, 2, 3, 2) - 0.5
    here, there = (gaussian_maps(p, (4, 6), 0.4) for p in points)
    before = source.clone()
    got = answer(source, target, here, there)
    if got is None:
        return NOTHING
    if got is ...:
        return f"{BLANK}: return the features that are left, and brought"
    if not torch.equal(source, before):
        return "it has written into `source`: make a new tensor instead"
    got = torch.as_tensor(got)
    if got.shape != source.shape:
        return f"shape {tuple(got.shape)}, expected {tuple(source.shape)}"
    for message, value in _transports(source, target, here, there).items():
        if torch.allclose(got, value, atol=1e-5):
            return message
    return "not eq. (5.1), one keypoint after the other"


def _transports(source, target, here, there):
    """What each slip would give."""

    def steps(old, new, a, b, keep=lambda a, b: (1 - a) * (1 - b)):
        for n in range(a.shape[1]):
            h, t = a[:, n : n + 1], b[:, n : n + 1]
            old = keep(h, t) * old + t * new
        return old

    def at_once(merge):
        a, b = merge(here), merge(there)
        return (1 - a) * (1 - b) * source + b * target

    last = here[:, -1:], there[:, -1:]
    one_map = "one map for all keypoints, {}: the paper's eq. (1) could be read"
    one_map += " so, but its code takes the keypoints one after the other"
    return {
        "correct": transport(source, target, here, there),
        "the two maps are mixed up: what is brought comes from where the "
        "keypoint is in the target": steps(source, target, there, here),
        "the two frames are mixed up": steps(target, source, here, there),
        "the source is not suppressed where its keypoint was: the object "
        "stays there, too": steps(
            source, target, here, there, lambda a, b: 1 - b
        ),
        "the source is not suppressed where the keypoint is now: two "
        "features lie on one another there": steps(
            source, target, here, there, lambda a, b: 1 - a
        ),
        "nothing is suppressed": steps(
            source, target, here, there, lambda a, b: 1
        ),
        "what is brought are the source's own features": steps(
            source, source, here, there
        ),
        "each step begins with `source` again, so only the last keypoint is "
        "transported": steps(source, target, *last),
        "the last keypoint comes first": steps(
            source, target, here.flip(1), there.flip(1)
        ),
        one_map.format("their sum"): at_once(lambda x: x.sum(1, keepdim=True)),
        one_map.format("their largest"): at_once(
            lambda x: x.amax(1, keepdim=True)
        ),
    }


def check_count(answer):
    """Section 5.5: "correct", or what is wrong."""
    inf = np.inf
    # words: distances (N, K), radius, what is right
    cases = {
        "two pairs and a keypoint too many": (
            [[0.1, 0.9], [0.8, 0.1], [0.9, 0.9]],
            0.2,
            (2, 3, 2),
        ),
        "one keypoint near two objects is matched with one of them": (
            [[0.10, 0.12], [0.9, 0.9]],
            0.2,
            (1, 2, 2),
        ),
        "a distance of exactly the radius is a match": (
            [[0.2, 0.9], [0.9, 0.1]],
            0.2,
            (2, 2, 2),
        ),
        "the nearest pair first leaves an object alone": (
            [[0.01, 0.19], [0.15, 0.9]],
            0.2,
            (2, 2, 2),
        ),
        "a pair fewer is never better, however near the others are": (
            [[0.0, 2.0, 9.0], [9.0, 0.0, 2.0], [2.1, 9.0, 5.0]],
            2.1,
            (3, 3, 3),
        ),
        "an object that is absent is not in the truth, and a keypoint that "
        "is left over is not held against the network": (
            [[0.1, inf], [0.9, inf]],
            0.2,
            (1, 1, 1),
        ),
        "only keypoints without a partner may be excused": (
            [[0.1, inf, inf], [0.9, inf, inf]],
            0.2,
            (1, 1, 1),
        ),
        "one absent object excuses one keypoint, not all of them": (
            [[0.1, inf], [0.9, inf], [0.9, inf]],
            0.2,
            (1, 2, 1),
        ),
        "nothing is there, and nothing is held against the network": (
            [[inf, inf], [inf, inf]],
            0.2,
            (0, 0, 0),
        ),
        "nothing is matched: all keypoints count": (
            [[0.9, 0.9], [0.9, 0.9]],
            0.2,
            (0, 2, 2),
        ),
    }
    names = "matched", "detections", "objects"
    first = next(iter(cases.values()))
    got = answer(np.array(first[0]), first[1])
    if got is None:
        return NOTHING
    if not isinstance(got, (tuple, list)) or len(got) != 3:
        return (
            "expected 3 numbers, with commas between: matched, detections, "
            "objects"
        )
    if any(part is ... for part in got):
        return f"{BLANK}: return matched, detections and objects"
    for words, (distance, radius, right) in cases.items():
        try:
            got = answer(np.array(distance), radius)
        except ValueError as error:  # scipy refuses a matrix without a solution
            return (
                f"{words}: {error}; forbidden pairs need a large cost, not an "
                "infinite one"
            )
        for name, a, b in zip(names, got, right, strict=True):
            if int(a) != b:
                return f"{words}: {name} {int(a)}, expected {b}"
    return "correct"


def check_hole_radius(answer):
    """Exercise 5.1: "correct", or what is wrong."""
    got = answer(0.5, 0.1)
    if got is None:
        return NOTHING
    if got is ...:
        return f"{BLANK}: return a distance"
    if np.ndim(got):
        return f"an array of shape {np.shape(got)}, expected one number"
    slips = {
        "correct": lambda p, s: s * np.sqrt(-2 * np.log(1 - p)),
        "that is where the *map* has this value; what is kept is one minus "
        "it": lambda p, s: s * np.sqrt(-2 * np.log(p)),
        "the half in the exponent is missing: that is the paper's sigma, not "
        "ours": lambda p, s: s * np.sqrt(-np.log(1 - p)),
        "sigma stands there squared: a distance grows as sigma does": (
            lambda p, s: s**2 * np.sqrt(-2 * np.log(1 - p))
        ),
        "that is the square of the distance": lambda p, s: (
            -2 * s**2 * np.log(1 - p)
        ),
        "the logarithm is natural, that of `np.log`": lambda p, s: (
            s * np.sqrt(-2 * np.log10(1 - p))
        ),
        "linear in the share: the map is a Gaussian": lambda p, s: s * p,
    }
    # Not at one half, where the map and what is kept are the same.
    pairs = [(0.9, 0.1), (0.2, 0.3)]
    for message, of in slips.items():
        if all(np.isclose(answer(p, s), of(p, s)) for p, s in pairs):
            return message
    p, s = pairs[0]
    return f"got {answer(p, s):.4f} for {p} and {s}, expected " + (
        f"{slips['correct'](p, s):.4f}"
    )


class Tiny(nn.Module):
    """A network of three numbers, so that each path of a gradient shows."""

    def __init__(self):
        super().__init__()
        self.colour = nn.Parameter(torch.tensor(0.7))
        self.place = nn.Parameter(torch.tensor(0.4))
        self.ink = nn.Parameter(torch.tensor(1.3))

    def features(self, images):
        """Images to features of the same shape."""
        return self.colour * images

    def gaussians(self, images):
        """Images ``(B, 3, H, W)`` to two maps each, ``(B, 2, H, W)``."""
        size = images.shape[-2:]
        x = self.place * images.mean((2, 3))[:, :2] + 0.1  # (B, 2)
        return gaussian_maps(torch.stack([x, -x], dim=1), size, 0.5)

    def refine(self, features):
        """Features to images of the same shape."""
        return self.ink * features


def check_pair_loss(answer):
    """Exercise 5.2: "correct", or what is wrong."""
    torch.manual_seed(1)
    source, target = torch.rand(2, 4, 3, 6, 6)
    network = Tiny()
    got = answer(network, source, target)
    if got is None:
        return NOTHING
    if got is ...:
        return f"{BLANK}: return one number"
    if got.shape:
        return f"shape {tuple(got.shape)}, expected one number"
    values = {
        "correct": _loss(network, source, target),
        "the two frames are mixed up": _loss(network, target, source),
        "a sum, expected the mean over pairs, colours and pixels": _loss(
            network, source, target
        )
        * target.numel(),
        "compared with the source: what is drawn is the target": (
            _drawn(network, source, target) - source
        )
        .square()
        .mean(),
        "the difference is not squared": (
            _drawn(network, source, target) - target
        )
        .abs()
        .mean(),
    }
    near = functools.partial(torch.allclose, atol=1e-6)
    message = next((m for m, v in values.items() if near(got, v)), "")
    if not message:
        return f"the loss is {got.item():.4f}, expected " + (
            f"{values['correct'].item():.4f}"
        )
    if message != "correct":
        return message
    if not got.requires_grad:
        return "nothing learns: the target's passes need their gradient"
    slope = _slopes(network, got)
    flows = {
        "correct": ("features", "maps"),
        "the gradient goes through the source's features and keypoints, "
        "too": (),
        "the source's features are stopped, its keypoints are not": (
            "features",
        ),
        "the source's keypoints are stopped, its features are not": ("maps",),
    }
    for message, stopped in flows.items():
        loss = _loss(network, source, target, stopped)
        if near(slope, _slopes(network, loss)):
            return message
    loss = _loss(network, source, target, ("features", "maps"), wrong=True)
    if near(slope, _slopes(network, loss)):
        return "the wrong frame is stopped: the target is what is learned from"
    return "the loss is right; its gradient is not"


def _drawn(network, source, target, stopped=(), wrong=False):
    old, new = (network.features(x) for x in (source, target))
    here, there = (network.gaussians(x) for x in (source, target))
    if "features" in stopped:
        old, new = (old, new.detach()) if wrong else (old.detach(), new)
    if "maps" in stopped:
        here, there = (
            (here, there.detach()) if wrong else (here.detach(), there)
        )
    return network.refine(transport(old, new, here, there))


def _loss(network, source, target, stopped=(), wrong=False):
    drawn = _drawn(network, source, target, stopped, wrong)
    return (drawn - target).square().mean()


def _slopes(network, loss):
    weights = [network.colour, network.place, network.ink]
    found = torch.autograd.grad(
        loss, weights, retain_graph=True, allow_unused=True
    )
    return torch.stack([torch.zeros(()) if g is None else g for g in found])


def check_draw_pairs(answer):
    """Exercise 5.3: "correct", or what is wrong."""
    game = np.repeat([0, 1, 2], [30, 7, 41])
    low, high, count = 2, 6, 20_000
    got = answer(game, (low, high), count, np.random.default_rng(0))
    if got is None:
        return NOTHING
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        return "expected two arrays: the earlier frames and the later ones"
    if any(part is ... for part in got):
        return f"{BLANK}: return the earlier frames and the later ones"
    early, late = (np.asarray(part) for part in got)
    if early.shape != (count,) or late.shape != (count,):
        return f"shapes {early.shape} and {late.shape}, expected ({count},)"
    if early.dtype.kind not in "iu" or late.dtype.kind not in "iu":
        return "numbers of frames are whole numbers"
    if min(early.min(), late.min()) < 0 or late.max() >= len(game):
        return f"frames {early.min()} to {late.max()}, there are {len(game)}"
    again = answer(game, (low, high), count, np.random.default_rng(0))
    if not np.array_equal(early, again[0]):
        return "the same generator gives other pairs: draw with `rng` only"
    gaps = late - early
    if (gaps < 0).all():
        return "the source comes after the target: exchange the two"
    if (gaps == 0).any():
        return "some pairs have a gap of 0: nothing moves between their frames"
    if gaps.min() < low or gaps.max() > high:
        return (
            f"gaps from {gaps.min()} to {gaps.max()}, expected {low} to {high}"
        )
    if gaps.max() < high:
        return (
            f"no gap of {high}: the longest is included, and "
            "`rng.integers` leaves its end out"
        )
    crossing = (game[early] != game[late]).mean()
    if crossing:
        return (
            f"{crossing:.0%} of the pairs begin in one game and end in "
            "another: their frames have nothing to do with one another"
        )
    shares = np.bincount(gaps, minlength=high + 1)[low:] / count
    if np.abs(shares - 1 / len(shares)).max() > 0.02:
        said = ", ".join(f"{share:.2f}" for share in shares)
        return (
            f"shares of the gaps {said}, expected the same of each: draw "
            "the gap first, then a place where it fits"
        )
    for step in range(low, high + 1):
        fits = np.flatnonzero(game[step:] == game[:-step])
        drawn = early[gaps == step]
        if missing := set(fits.tolist()) - set(drawn.tolist()):
            return f"frame {min(missing)} never begins a pair of gap {step}"
        counts = np.bincount(drawn, minlength=len(game))[fits]
        if counts.max() > 2.5 * counts.mean():
            return "some places are drawn far more often than others"
    return "correct"


def check_radius_needed(answer):
    """Exercise 5.4: "correct", or what is wrong."""
    cases = {
        "each keypoint near an object of its own": (
            [[0.1, 0.9], [0.8, 0.3]],
            0.3,
        ),
        "one keypoint is the nearest of two objects, and can serve one": (
            [[0.1, 0.2], [0.5, 0.7]],
            0.5,
        ),
        "the smallest *sum* of distances has a pair that is farther off": (
            [[0.0, 0.6], [0.6, 1.0]],
            0.6,
        ),
        "the nearest pair first leaves a far one for the other": (
            [[0.1, 0.2], [0.3, 0.9]],
            0.3,
        ),
        "more keypoints than objects": (
            [[0.5, 0.9], [0.4, 0.8], [0.7, 0.3], [0.2, 0.35]],
            0.3,
        ),
        "three objects": (
            [[0.2, 0.5, 0.9], [0.5, 0.4, 0.6], [0.3, 0.9, 0.8]],
            0.6,
        ),
    }
    got = answer(np.array(next(iter(cases.values()))[0]))
    if got is None:
        return NOTHING
    if got is ...:
        return f"{BLANK}: return one number"
    if np.ndim(got):
        return f"an array of shape {np.shape(got)}, expected one number"
    for words, (distance, right) in cases.items():
        got = float(answer(np.array(distance)))
        if not np.isclose(got, right, atol=1e-6):
            return f"{words}: {got:.2f}, expected {right:.2f}"
    rng = np.random.default_rng(0)
    for _ in range(20):
        distance = rng.uniform(size=(5, 4))
        right, got = _bottleneck(distance), float(answer(distance.copy()))
        if not np.isclose(got, right, atol=1e-6):
            return (
                f"five random keypoints, four objects: {got:.3f}, "
                f"expected {right:.3f}"
            )
    return "correct"


def _bottleneck(distance):
    for radius in np.unique(distance):
        near = distance <= radius
        n, k = linear_sum_assignment(~near)
        if near[n, k].sum() == distance.shape[1]:
            return radius
    return np.inf


def check_camera_step(answer):
    """Exercise 5.5: "correct", or what is wrong."""
    rng = np.random.default_rng(0)
    wall = rng.uniform(size=(44, 48, 3))

    def frame(dx, dy, x):
        # the camera moved so that what is seen moves by (dx, dy) pixels
        picture = wall[6 - dy : 38 - dy, 6 - dx : 42 - dx].copy()
        picture[12:20, x : x + 9] = 1.0  # a large thing that goes its own way
        return picture

    got = answer(frame(0, 0, 4), frame(2, -1, 20))
    if got is None:
        return NOTHING
    if not isinstance(got, (tuple, list, np.ndarray)) or len(got) != 2:
        return "expected two whole numbers: dx, dy"
    if any(part is ... for part in got):
        return f"{BLANK}: return dx and dy"
    for dx, dy in [(2, -1), (0, 0), (-3, 2), (1, 3), (0, -2)]:
        source, target = frame(0, 0, 4), frame(dx, dy, 20)
        before = source.copy(), target.copy()
        got = tuple(int(part) for part in answer(source, target))
        if not all(map(np.array_equal, before, (source, target))):
            return "it has written into a frame: work on a copy"
        if got == (dx, dy):
            continue
        said = f"the picture moved by ({dx}, {dy}): got {got}"
        if got == (-dx, -dy):
            return (
                f"{said}; the signs are those of the camera's own way, "
                "or source and target have changed places"
            )
        if got == (dy, dx):
            return f"{said}; x and y have changed places"
        if got == (0, 0):
            return f"{said}; a step of 0 always? Try every step of up to 3"
        return (
            f"{said}; the right step leaves the smallest difference "
            "of all 49, where both frames show something"
        )
    steady = answer(frame(0, 0, 20), frame(0, 0, 4))
    if tuple(int(part) for part in steady) != (0, 0):
        return (
            "a camera that stands still, and a thing that moves far: got "
            f"{tuple(steady)}, expected (0, 0)"
        )
    return "correct"
