"""Checks of the exercises of chapter 1, soft-argmax."""

import torch

import kpbook
from kpbook import grid
from kpbook.episodes import Episodes
from kpbook.images import to_float

FIND_WITHIN = 1.0  # px of 64: exercise 1.5's limit
NOTHING = "it returns nothing: its last line must be a `return`"


def check_mean_of_maps(answer):
    """Section 1.2: "correct", or what is wrong."""
    rng = torch.Generator().manual_seed(2)
    heatmaps = torch.rand(2, 3, 5, generator=rng, dtype=torch.float64) ** 4
    heatmaps = heatmaps / heatmaps.sum((-2, -1), keepdim=True)
    try:
        got = answer(heatmaps)
    except RuntimeError as error:
        return (
            f"{error}: sum(-2) sums over the rows and leaves one number for "
            "each column, (..., W)"
        )
    if got is ...:
        return "not written yet: return x and y"
    if got is None:
        return NOTHING
    if not isinstance(got, torch.Tensor):
        return f"got a {type(got).__name__}: stack x and y into one tensor"
    if tuple(got.shape) != (2, 2):
        return (
            f"two maps give shape {tuple(got.shape)}, expected (2, 2): sum "
            "over the last two axes only, and stack x and y in the last one"
        )
    right = kpbook.expectation(heatmaps)
    if torch.allclose(got, right):
        return "correct"
    if torch.allclose(got, right.flip(-1)):
        return "x and y are swapped: x is the mean of the columns"
    if torch.allclose(got, right.mT):
        return "stacked along the wrong axis: each *row* is one point"
    if torch.allclose(got, kpbook.mode(heatmaps)):
        return "this is the peak; the keypoint is the mean"
    if torch.allclose(got, (right + 1) / 2):
        return "coordinates from 0 to 1: they go from -1 to 1"
    if torch.allclose(2 * got / (torch.tensor([5, 3]) - 1) - 1, right):
        return "this counts cells: columns and rows go from -1 to 1"
    if torch.allclose(got * torch.tensor([3, 5]), right) or torch.allclose(
        got * torch.tensor([5, 3]), right
    ):
        return "divided once too often: the probabilities sum to 1 already"
    return f"of the first map got {got[0].tolist()}: not its mean position"


def check_gaussian_of_points(answer):
    """Section 1.8: "correct", or what is wrong."""
    points = torch.tensor([[0.0, -0.5], [0.3, 0.2]], dtype=torch.float64)
    size, sigma = (5, 7), 0.3
    try:
        got = answer(points, size, sigma)
    except RuntimeError as error:
        return f"{error}: subtract z from cells first, both end in (x, y)"
    if got is ...:
        return "not written yet: return the maps, (..., H, W)"
    if got is None:
        return NOTHING
    if tuple(got.shape) != (2, 5, 7):
        return (
            f"two points on 5 by 7 cells give shape {tuple(got.shape)}, "
            "expected (2, 5, 7): sum the squares over x and y, the last axis"
        )
    right = kpbook.gaussian_maps(points, size, sigma)
    if torch.allclose(got, right):
        return "correct"
    if torch.allclose(got, right**2):
        return "the half is missing: this is drawn with sigma / sqrt(2)"
    if torch.allclose(got, right.log()):
        return "the exponential is missing"
    if torch.allclose(got * right, torch.ones_like(got)):
        return "the sign is wrong: it grows with the distance"
    if torch.allclose(got, kpbook.gaussian_maps(points, size, sigma**0.5)):
        return "sigma is not squared"
    if torch.allclose(got, right / right.sum((-2, -1), keepdim=True)):
        return "it sums to 1; here the peak is 1, and nothing is divided"
    if torch.allclose(got, kpbook.gaussian_maps(points.flip(-1), size, sigma)):
        return "x and y are swapped: cells and points are (x, y)"
    if torch.allclose(got, right ** (sigma**4)):
        return "sigma multiplies: / 2 * sigma**2 needs parentheses"
    distance = (-2 * sigma**2 * right.log()).sqrt()
    if torch.allclose(got, torch.exp(-distance / (2 * sigma**2))):
        return "the distance is not squared"
    return "compare with eq. (1.10): squares of x and y, their sum, 2 sigma^2"


def check_soft_argmax_line(answer):
    """Exercise 1.2: "correct", or what is wrong."""
    rows = torch.tensor(
        [[0.0, 1.0, 3.0, -2.0], [1000.0, 0.0, 0.0, 1000.0]], dtype=torch.float64
    )
    try:
        got = answer(rows, 0.5)
    except TypeError as error:
        if "ellipsis" not in str(error):
            raise
        return "not written yet: blank 1 is still ..."
    except RuntimeError as error:
        return f"{error}: keepdim=True keeps a row's largest score beside it"
    if got is ...:
        return "not written yet: replace both blanks"
    if got is None:
        return NOTHING
    if tuple(got.shape) != (2,):
        return (
            f"two rows give shape {tuple(got.shape)}, expected (2,): sum over "
            "the last axis only"
        )
    if got.isnan().any():
        return (
            "NaN for scores of 1000: subtract each row's maximum before the "
            "exponential"
        )
    right = kpbook.soft_argmax(rows[:, None], 0.5)[:, 0]
    if torch.allclose(got, kpbook.soft_argmax(rows[:, None], 2.0)[:, 0]):
        return "the temperature multiplies; it should divide"
    if torch.allclose(got[0], kpbook.mode(rows[:1])[0]):
        return "this is the peak; the soft-argmax is the mean"
    total = ((rows - rows.amax(-1, keepdim=True)) / 0.5).exp().sum(-1)
    if torch.allclose(got, right * total):
        return "the weights do not sum to 1 yet: divide by their sum"
    return (
        "correct"
        if torch.allclose(got, right)
        else f"got {got.tolist()}, expected {right.tolist()}"
    )


def check_cell_to_pixel(answer):
    """Exercise 1.3: "correct", or what is wrong."""
    got = [answer(i) for i in range(3)]
    if ... in got:
        return "not written yet: return the pixel of cell i"
    if None in got:
        return NOTHING
    stride, offset = grid.map_geometry([(5, 2, 2), (3, 2, 1), (3, 1, 0)])
    if got == [offset + stride * i for i in range(3)]:
        return "correct"
    if got[1] - got[0] != stride:
        return (
            f"neighbours are {got[1] - got[0]} pixels apart: the total stride "
            "is a product"
        )
    return (
        f"cell 0 at pixel {got[0]}: each layer adds (kernel - 1) / 2 - "
        "padding, in its own pixels"
    )


def check_local_soft_argmax(answer):
    """Exercise 1.4: "correct", or what is wrong."""
    logits = torch.full((9, 17), -50.0)
    logits[2, 3], logits[2, 4], logits[6, 15] = 2.0, 2.0, 1.9
    got = answer(logits, 2)
    if got is ...:
        return "not written yet: return a point (x, y)"
    if got is None:
        return NOTHING
    if tuple(got.shape) != (2,):
        return f"shape {tuple(got.shape)}, expected (2,)"
    right = torch.tensor([2 * 3.5 / 16 - 1, 2 * 2 / 8 - 1])
    if torch.allclose(got, right, atol=1e-4):
        return "correct"
    if torch.allclose(got, right.flip(-1), atol=1e-4):
        return "x and y are swapped: return (x, y)"
    if torch.allclose(got, kpbook.soft_argmax(logits), atol=1e-4):
        return "the far blob still pulls: mask what is outside the window"
    if torch.allclose(got, kpbook.mode(logits), atol=1e-4):
        return "this is the mode: average over the window around it"
    if torch.allclose(got, kpbook.soft_argmax(logits[:5, 1:6]), atol=1e-4):
        return "this is a place in the window: count cells of the whole map"
    zeros = torch.zeros_like(logits)
    zeros[:5, 1:6] = logits[:5, 1:6]
    if torch.allclose(got, kpbook.soft_argmax(zeros), atol=1e-4):
        return "a score of 0 outside still weighs: e^0 is 1"
    return f"got {got.tolist()}, expected {right.tolist()}"


def check_find_cube(answer):
    """Exercise 1.5: "correct", or what is wrong."""
    images, truth, visible = Episodes.sample().flat()[:3]
    some = slice(None, None, 7)
    frames, seen = to_float(images[some]), torch.from_numpy(visible[some, 0])
    cube, target = torch.from_numpy(truth[some, :2]).unbind(1)
    with torch.no_grad():
        got = answer(frames)
    if got is ...:
        return "not written yet: return a point for each frame"
    if got is None:
        return NOTHING
    if not isinstance(got, torch.Tensor) or tuple(got.shape) != tuple(
        cube.shape
    ):
        shape = tuple(getattr(got, "shape", ()))
        return (
            f"{len(frames)} frames give shape {shape}, expected "
            f"{tuple(cube.shape)}: one (x, y) for each frame"
        )
    if not got.isfinite().all():
        lost = int((~got.isfinite()).any(-1).sum())
        return (
            f"{lost} points are not finite: some frames have no green, and 0 "
            "divided by 0 is not a number"
        )
    with torch.no_grad():
        alone = answer(frames[:1])
    if not torch.allclose(alone[0], got[0], atol=1e-4):
        return (
            "a frame's point depends on the other frames of the batch: use the "
            "maximum or sum of each map, not of all"
        )

    def px(points, goal=cube):
        miss = 31.5 * (points - goal)[seen]
        return miss.square().sum(-1).mean().sqrt().item()

    error = px(got)
    if error < FIND_WITHIN:
        return "correct"
    misread = {
        "these are pixels: return image coordinates, from -1 to 1 "
        "(grid.from_pixels)": got / 31.5 - 1,
        "coordinates from 0 to 1: they go from -1 to 1": 2 * got - 1,
        "x and y are swapped: return (x, y)": got.flip(-1),
        "y points up: it goes down, like the rows": got * torch.tensor([1, -1]),
    }
    for message, points in misread.items():
        if px(points) < 2.5:
            return message
    if px(got, target) < 2.5:
        return "this finds the target, which is blue: the cube is green"
    if got.std(0).max() < 1e-4:
        return f"it never moves, and misses by {error:.1f} px"
    if torch.allclose(got, kpbook.mode(_greenness(frames)), atol=1e-4):
        return (
            f"misses by {error:.2f} px, more than {FIND_WITHIN:g}: this is the "
            "peak, the first of several green pixels"
        )
    offset = 31.5 * (got - cube)[seen].mean(0)
    if error < 2.5:
        return (
            f"misses by {error:.2f} px, more than {FIND_WITHIN:g}; on average "
            f"by ({offset[0]:+.2f}, {offset[1]:+.2f}): do all pixels of the "
            "cube count alike?"
        )
    return (
        f"misses by {error:.1f} px: is white green, too? Is the softmax cold "
        "enough to forget thousands of other pixels?"
    )


def _greenness(images):
    red, green, blue = images.unbind(1)
    return green - torch.maximum(red, blue)
