"""Checks of the exercises of chapter 3, spatial autoencoders."""

import math

import numpy as np
import torch

from kpbook.episodes import Episodes
from kpbook.extractors.registry import build
from kpbook.images import to_float

NOTHING = "nothing came back: is there a `return`?"


def no_number(got):
    """What is wrong with a loss that is not a tensor of one number, or None."""
    if got is ...:
        return "not written yet: return one number"
    if got is None:
        return NOTHING
    if not isinstance(got, torch.Tensor):
        return (
            f"a {type(got).__name__}, expected a tensor of one number: "
            "gradients need it, so no .item() and no numpy"
        )
    if got.ndim:
        return (
            f"shape {tuple(got.shape)}, expected a tensor of one number: "
            "take the mean"
        )
    return None


def check_acceleration_loss(answer):
    """The velocity loss, eq. (3.3): "correct", or what is wrong."""
    rng = torch.Generator().manual_seed(3)
    points = torch.randn(3, 6, 4, 2, generator=rng, dtype=torch.float64)
    got = answer(points)
    if wrong := no_number(got):
        return wrong
    second = points.diff(n=2, dim=1)
    right = second.square().mean()
    slips = {
        "correct": right,
        "this penalises speed: take the difference of the differences, too": (
            points.diff(dim=1).square().mean()
        ),
        "one difference too many": points.diff(n=3, dim=1).square().mean(),
        "time is axis 1; these are differences between snippets": (
            points.diff(n=2, dim=0).square().mean()
        ),
        "these are differences between keypoints: time is axis 1": (
            points.diff(n=2, dim=2).square().mean()
        ),
        "absolute values: square them": second.abs().mean(),
        "a sum: take the mean": second.square().sum(),
        "a sum over x and y: take the mean over the coordinates, too": (
            2 * right
        ),
        "a sum over the keypoints: take the mean over them, too": 4 * right,
        "square first, then take the mean: differences of both signs cancel": (
            second.mean().square()
        ),
        "a root: eq. (3.3) has none": right.sqrt(),
        "the square comes after both differences": (
            (points[:, 1:] - points[:, :-1]).square().diff(dim=1).mean()
        ),
        "every other frame: subtract neighbours": (
            (points[:, 2:] - points[:, :-2]).square().mean()
        ),
    }
    for message, value in slips.items():
        if torch.isclose(got, value):
            return message
    return "a number, but not that of eq. (3.3): two differences, then a mean"


def check_rarity_table(answer):
    """The weights of colours, eq. (3.6): "correct", or what is wrong."""
    frames = np.full((1, 10, 20, 3), 250, np.uint8)
    frames[0, :4, :, 1] = 10  # 80 pixels of 200
    frames[0, 0, :16, 2] = 10  # 16 of them
    frames[0, 0, 0] = 0  # one: below the floor
    floor, size = 0.02, 4**3
    got = answer(frames, 4, floor)
    if got is ...:
        return "not written yet: return one weight for each colour"
    if got is None:
        return NOTHING
    if np.shape(got) != (size,):
        return f"shape {np.shape(got)}, expected ({size},): a weight a colour"
    channels = np.moveaxis(frames.astype(int) * 4 // 256, -1, 0)
    colour = (channels[0] * 4 + channels[1]) * 4 + channels[2]
    share = np.bincount(colour.ravel(), minlength=size) / colour.size
    met = share > 0
    if not np.isfinite(np.asarray(got)[met]).all():
        return (
            "infinite or nan: most colours never occur, and 1 / 0 is no "
            "weight; the floor prevents that"
        )
    floored = np.maximum(share, floor)
    weight = 1 / floored

    def normal(weight):
        return weight / (share @ weight)

    slips = {
        "correct": normal(weight),
        "Z is missing: the mean over *pixels* must be 1": weight,
        "the weights' mean over colours is 1; over pixels it must be: "
        "weight each by its share": weight / weight.mean(),
        "the mean over the colours that occur is 1; over pixels it must be": (
            weight / weight[met].mean()
        ),
        "the weights' sum is 1: use their mean over pixels": (
            weight / weight.sum()
        ),
        "common colours weigh more: divide by the share": normal(floored),
        "no floor: a colour of one pixel weighs as much as an object": normal(
            1 / np.where(met, share, 1)
        ),
        "the floor is added: it is a maximum": normal(1 / (share + floor)),
        "the smaller of share and floor: take the larger": normal(
            1 / np.minimum(np.where(met, share, 1), floor)
        ),
    }
    for message, value in slips.items():
        if np.allclose(np.asarray(got)[met], value[met]):
            return message
    return "not the weights of eq. (3.6): check Z, then the floor"


def check_basic_cell_to_pixel(answer):
    """Exercise 3.1: "correct", or what is wrong."""
    got = [answer(i) for i in (0, 1, 32)]
    if ... in got:
        return "not written yet: return the pixel of cell i"
    if None in got:
        return NOTHING
    right = [8 * i - 3.5 for i in (0, 1, 32)]
    if np.allclose(got, right):
        return "correct"
    slips = {
        "a padded pooling is not centred: each one moves its cells": [
            0,
            8,
            256,
        ],
        "the wrong way: padding moves the first cell out of the image": [
            3.5,
            11.5,
            259.5,
        ],
        "stretched to the borders: these are map coordinates read as the "
        "image's": [
            0,
            255 / 32,
            255,
        ],
        "each pooling's half pixel counts in its own input: 0.5 times 1, 2 "
        "and 4": [
            -1.5,
            6.5,
            254.5,
        ],
        "the padding is a whole pixel, but the kernel's centre takes half of "
        "it back": [
            -7,
            1,
            249,
        ],
    }
    for message, wrong in slips.items():
        if np.allclose(got, wrong):
            return message
    if not np.isclose(got[1] - got[0], 8):
        return (
            f"neighbours are {got[1] - got[0]} pixels apart: three strides of "
            "2 make 8"
        )
    return (
        f"neighbours are right, but cell 0 is not at pixel {got[0]}: follow it "
        "through the three poolings, one after the other"
    )


def check_score_needed(answer):
    """Exercise 3.2: "correct", or what is wrong."""
    got = answer(117 * 117, 25, 0.7, 2.0)
    if got is ...:
        return "not written yet: return one number"
    if got is None:
        return NOTHING
    odds, ratio = 0.7 / 0.3, (117 * 117 - 25) / 25
    right = 2.0 * math.log(odds * ratio)
    slips = {
        "correct": right,
        "the temperature divides the score, so the score must be multiplied "
        "by it": right / 4,
        "the temperature is missing": right / 2,
        "negative scores do not vanish: the ReLU lifts them to 0, and each "
        "weighs 1": 0.0,
        "the object's own cells are counted as background, too": 2
        * math.log(odds * 117 * 117 / 25),
        "many cells share the object's part: divide by their number": 2
        * math.log(odds * 13664),
        "the share is a part of the whole, not of the background: use share / "
        "(1 - share)": 2.0 * math.log(0.7 * ratio),
    }
    for message, value in slips.items():
        if np.isclose(got, value):
            return message
    return f"got {got:.3f}, expected {right:.3f}"


def check_velocity_loss(answer):
    """Exercise 3.3: "correct", or what is wrong."""
    rng = torch.Generator().manual_seed(0)
    points = torch.randn(3, 5, 4, 2, generator=rng, dtype=torch.float64)
    weight = torch.tensor([1.0, 2.0, 0.0, 5.0], dtype=torch.float64)
    got = answer(points, weight)
    if wrong := no_number(got):
        return wrong
    part = weight / weight.sum()

    def of(second):  # (B, T', N, 2), squared, mean over all but the keypoints
        return (second.square().mean((0, 1, 3)) * part).sum()

    second = points.diff(n=2, dim=1)
    slips = {
        "correct": of(second),
        "this penalises speed: a first difference; the velocity loss is a "
        "second one": of(points.diff(dim=1)),
        "a third difference": of(points.diff(n=3, dim=1)),
        "differences between snippets: time is axis 1": of(
            points.diff(n=2, dim=0)
        ),
        "absolute values: square them": (
            second.abs().mean((0, 1, 3)) * part
        ).sum(),
        "a sum over the coordinates, not their mean": 2 * of(second),
        "weights that do not sum to 1": of(second) * weight.sum(),
        "the weights are missing": second.square().mean(),
        "the parts already sum to 1: add the keypoints up, no mean over them": (
            of(second) / 4
        ),
        "every other frame: neighbours only": of(
            points[:, 2:] - points[:, :-2]
        ),
    }
    for message, value in slips.items():
        if torch.isclose(got, value):
            return message
    return f"got {got.item():.4f}, expected {of(second).item():.4f}"


def check_rarity(answer):
    """Exercise 3.4: "correct", or what is wrong."""
    labels = np.array([[0, 0, 0, 0, 3], [0, 0, 1, 1, 0]])
    got = answer(labels, 0.5)
    if got is ...:
        return "not written yet: return an array"
    if got is None:
        return NOTHING
    if np.shape(got) != labels.shape:
        return (
            f"shape {np.shape(got)}, expected {labels.shape}: one weight for "
            "each pixel"
        )
    p = np.array([0.7, 0.2, 0, 0.1])[labels]
    if np.allclose(got, p**-0.5 / (p**-0.5).mean()):
        flat = answer(labels, 0.0)
        return (
            "correct"
            if np.allclose(flat, 1)
            else "with power 0 all weights must be 1"
        )
    rows = np.stack([[(row == k).mean() for k in row] for row in labels])
    slips = {
        "common labels weigh more: the power is negative": p**0.5
        / (p**0.5).mean(),
        "the mean is not 1: divide by it": p**-0.5,
        "counts, not shares, and the mean is not 1: divide by it": (
            (10 * p) ** -0.5
        ),
        "the sum is 1, not the mean": p**-0.5 / (p**-0.5).sum(),
        "the power is ignored": p**-1 / (p**-1).mean(),
        "counted in each row alone: rarity is over all frames": rows**-0.5
        / (rows**-0.5).mean(),
        "1 - p is nearly 1 for everything rare": (1 - p) / (1 - p).mean(),
        "the mean over labels is 1, not that over pixels": p**-0.5
        / np.mean([0.7**-0.5, 0.2**-0.5, 0.1**-0.5]),
    }
    for message, value in slips.items():
        if np.allclose(got, value):
            return message
    return f"first pixel: got {np.ravel(got)[0]:.4f}"


def check_my_switch(answer):
    """Exercise 3.5: "correct", or what is wrong."""
    options = answer()
    if not options:
        return "not written yet: return a dict with one option of build"
    if not isinstance(options, dict):
        return 'a dict, please: {"name of the option": its value}'
    some = Episodes.sample()[:40]
    x = to_float(some.flat().images[::20])
    try:
        made = build("basic-quarter", **options).eval()
    except (TypeError, ValueError) as error:
        return f"build refuses it: {error}"
    made.prepare(some)
    with torch.no_grad():
        loss = (made.reconstruct(x) - x).square().mean().item()
        plain = build("basic-quarter").eval()(x)
        same = made.keypoints == 16 and torch.allclose(made(x), plain)
    if not same:
        return (
            "the keypoints moved: this option changes the encoder, not the "
            "decoder"
        )
    if "velocity" in options:
        return "the velocity loss acts on training only: nothing was trained"
    if options.get("background") == "zero":
        return (
            "a background of zeros is black until it has learned: a loss of "
            f"{loss:.3f}"
        )
    if "rarity" in options or "motion" in options:
        return (
            "a weight changes what is minimised, not what is drawn: a loss "
            f"of {loss:.3f}"
        )
    return (
        "correct"
        if loss < 0.1
        else f"a loss of {loss:.3f}: the drawing is still wrong"
    )
