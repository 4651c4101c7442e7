"""Chapter 1: what it teaches is what kpbook does, and its exercises know right from wrong."""

import notebooks
import pytest
import torch
from exercises import quest
from torch import nn

import kpbook
from kpbook import grid, tables

CHAPTER = "01_soft_argmax"
MODULES = {"torch": torch, "nn": nn, "kpbook": kpbook, "grid": grid, "tables": tables}
SCOPE = notebooks.taught(CHAPTER, **MODULES)
CHECKS = notebooks.exercises(CHAPTER, **MODULES)


def logits(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("tau", [0.3, 1.0, 4.0])
@pytest.mark.parametrize(
    ("taught", "ours"),
    [
        ("softmax_of_maps", kpbook.spatial_softmax),
        ("separable_of_maps", lambda a, t: kpbook.soft_argmax(a, t, separable=True)),
    ],
)
def test_what_is_taught_is_what_the_package_does(taught, ours, tau):
    a = logits(2, 3, 5, 7)
    torch.testing.assert_close(SCOPE[taught](a, tau), ours(a, tau))


def test_loops_do_the_same():
    a = logits(5, 7)
    torch.testing.assert_close(SCOPE["soft_argmax_by_loops"](a, 0.4), kpbook.soft_argmax(a, 0.4))


@pytest.mark.parametrize(
    ("taught", "ours"),
    [
        ("mean_of_maps", kpbook.expectation),
        ("spread_of_maps", kpbook.spread),
        ("entropy_of_maps", kpbook.entropy),
    ],
)
def test_measures_of_a_heat_map_are_the_package_s(taught, ours):
    p = kpbook.spatial_softmax(logits(2, 3, 5, 7))
    torch.testing.assert_close(SCOPE[taught](p), ours(p))


def test_the_gradient_that_is_taught_is_autograd_s():
    a = logits(5, 7).requires_grad_()
    (grad,) = torch.autograd.grad(kpbook.soft_argmax(a, 0.4)[0], a)
    torch.testing.assert_close(SCOPE["gradient_of_x"](a, 0.4), grad)


def test_the_gaussian_that_is_taught_is_the_package_s():
    z = torch.tensor([[0.2, -0.7], [1.3, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(
        SCOPE["gaussian_of_points"](z, (6, 9), 0.2), kpbook.gaussian_maps(z, (6, 9), 0.2)
    )


def test_the_geometry_that_is_taught_is_the_package_s():
    x = torch.tensor([[-0.3, 0.8]], dtype=torch.float64)
    torch.testing.assert_close(
        SCOPE["to_image_coordinates"](x, 12, 108, 8.0, 9.5),
        grid.map_to_image(x, 12, 108, 8.0, 9.5),
    )


SOLUTIONS = notebooks.solutions(CHAPTER)


@pytest.mark.parametrize(
    "name", ["soft_argmax_line", "cell_to_pixel", "local_soft_argmax", "find_cube"]
)
def test_the_blank_is_noticed_and_the_solution_is_accepted(name):
    check = CHECKS[f"check_{name}"]
    assert check(CHECKS[name]).startswith("not written yet")
    scope = dict(MODULES)
    exec(SOLUTIONS[name], scope)
    assert check(scope[name]) == "correct"


@pytest.mark.parametrize("name", ["mean_of_maps", "gaussian_of_points"])
def test_what_the_reader_makes_starts_blank_and_the_books_version_is_accepted(name):
    check = CHECKS[f"check_{name}"]
    assert check(CHECKS[name]).startswith("not written yet")
    assert check(SCOPE[name]) == "correct"


def line(rows, scale, shift=True):
    x = torch.linspace(-1, 1, rows.shape[-1], dtype=rows.dtype)
    low = rows.amax(-1, keepdim=True) if shift else 0
    weight = ((rows - low) * scale).exp()
    return (weight * x).sum(-1) / weight.sum(-1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda a, t: line(a, 1 / t, shift=False), "NaN for scores of 1000"),
        (lambda a, t: line(a, t), "the temperature multiplies"),
        (lambda a, t: 2 * a.argmax(-1).double() / 3 - 1, "this is the peak"),
        (lambda a, t: line(a.flatten(), 1 / t), "sum over the last axis only"),
        (lambda a, t: (line(a, 1 / t) + 1) / 2, "expected"),
        (lambda a, t: ... * a, "blank 1 is still"),
        (lambda a, t: None, "it returns nothing"),
        (lambda a, t: a - a.amax(-1), "keepdim=True"),
        (
            lambda a, t: line(a, 1 / t) * ((a - a.amax(-1, keepdim=True)) / t).exp().sum(-1),
            "do not sum to 1 yet",
        ),
    ],
)
def test_wrong_lines_are_told_apart(wrong, message):
    assert message in CHECKS["check_soft_argmax_line"](wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda i: 2 * i + 4, "neighbours are 2 pixels apart"),
        (lambda i: 4 * i + 1, "cell 0 at pixel 1: each layer adds"),
        (lambda i: 4 * i, "cell 0 at pixel 0: each layer adds"),
        (lambda i: None, "it returns nothing"),
    ],
)
def test_wrong_cells_are_told_apart(wrong, message):
    assert message in CHECKS["check_cell_to_pixel"](wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda a, r: kpbook.soft_argmax(a), "the far blob still pulls"),
        (lambda a, r: kpbook.mode(a), "this is the mode"),
        (lambda a, r: torch.tensor([-0.5, -0.5625]), "x and y are swapped"),
        (lambda a, r: kpbook.spatial_softmax(a), "shape (9, 17)"),
        (lambda a, r: torch.zeros(2), "got [0.0, 0.0], expected"),
        (lambda a, r: kpbook.soft_argmax(a[:5, 1:6]), "a place in the window"),
        (
            lambda a, r: kpbook.soft_argmax(torch.nn.functional.pad(a[:5, 1:6], (1, 11, 0, 4))),
            "a score of 0 outside",
        ),
        (lambda a, r: None, "it returns nothing"),
    ],
)
def test_wrong_local_means_are_told_apart(wrong, message):
    assert message in CHECKS["check_local_soft_argmax"](wrong)


def test_the_solution_of_the_rising_background_is_what_the_figure_shows():
    """Exercise 1.1: half-way at a background of about 1.5, and 2 more for a blob of 8."""

    def x(background, height):
        column, row = 1.6 / 2 * 31, 23 / 2  # the figure's blob: 2.2 cells wide
        dx, dy = (torch.arange(n) - at for n, at in ((32, column), (24, row)))
        bump = torch.exp(-0.5 * (dy[:, None] ** 2 + dx**2) / 2.2**2)
        return kpbook.soft_argmax(background + (height - background) * bump)[0].item()

    assert x(1.5, 6) == pytest.approx(0.3, abs=0.02)
    assert x(1.0, 6) > 0.32 > 0.29 > x(1.7, 6)
    assert x(3.5, 8) == pytest.approx(x(1.5, 6), abs=1e-5)


def mean(p, order=(0, 1), to=lambda c: c, stack=-1):
    """The mean positions, with one mistake each."""
    H, W = p.shape[-2:]
    x = p.sum(-2) @ to(torch.linspace(-1, 1, W, dtype=p.dtype))
    y = p.sum(-1) @ to(torch.linspace(-1, 1, H, dtype=p.dtype))
    return torch.stack([(x, y)[k] for k in order], dim=stack)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda p: mean(p, (1, 0)), "x and y are swapped"),
        (lambda p: mean(p, stack=0), "stacked along the wrong axis"),
        (lambda p: mean(p.sum(0)), "shape (2,), expected (2, 2)"),
        (lambda p: (mean(p)[..., 0], mean(p)[..., 1]), "got a tuple"),
        (kpbook.mode, "this is the peak"),
        (lambda p: mean(p, to=lambda c: (c + 1) / 2), "coordinates from 0 to 1"),
        (
            lambda p: mean(p, to=lambda c: torch.arange(len(c), dtype=c.dtype)),
            "this counts cells",
        ),
        (lambda p: mean(p) / torch.tensor([3, 5]), "divided once too often"),
        (lambda p: p.sum(-1) @ torch.ones(5, dtype=p.dtype), "sum(-2) sums over the rows"),
        (lambda p: -mean(p), "not its mean position"),
        (lambda p: None, "it returns nothing"),
    ],
)
def test_wrong_means_are_told_apart(wrong, message):
    assert message in CHECKS["check_mean_of_maps"](wrong)


def bump(z, size, half=0.5, power=2, root=1, sign=-1):
    cells = grid.cell_coordinates(size, like=z)
    distance2 = (cells - z[..., None, None, :]).square().sum(-1)
    return lambda sigma: torch.exp(sign * half * distance2**root / sigma**power)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda z, n, s: bump(z, n, half=1)(s), "the half is missing"),
        (lambda z, n, s: bump(z, n)(s).log(), "the exponential is missing"),
        (lambda z, n, s: bump(z, n, sign=1)(s), "the sign is wrong"),
        (lambda z, n, s: bump(z, n, power=1)(s), "sigma is not squared"),
        (
            lambda z, n, s: bump(z, n)(s) / bump(z, n)(s).sum((-2, -1), keepdim=True),
            "here the peak is 1",
        ),
        (lambda z, n, s: bump(z.flip(-1), n)(s), "x and y are swapped"),
        (lambda z, n, s: bump(z, n, root=0.5)(s), "the distance is not squared"),
        (lambda z, n, s: grid.cell_coordinates(n, like=z) - z, "subtract z from cells first"),
        (lambda z, n, s: bump(z[0], n)(s), "shape (5, 7), expected (2, 5, 7)"),
        (lambda z, n, s: bump(z, n)(2 * s), "compare with eq. (1.10)"),
        (lambda z, n, s: bump(z, n, power=-2)(s), "sigma multiplies"),
        (lambda z, n, s: None, "it returns nothing"),
    ],
)
def test_wrong_gaussians_are_told_apart(wrong, message):
    assert message in CHECKS["check_gaussian_of_points"](wrong)


def green(images):
    red, green, blue = images.unbind(1)
    return green - torch.maximum(red, blue)


def well(images):
    return kpbook.soft_argmax((green(images) > 0.1).float(), 0.05)


def ratio(images):
    mask = (green(images) > 0.1).float()
    return kpbook.soft_argmax(mask, 0.05) / mask.amax((-2, -1))[:, None]


def blue(images):
    return well(images.flip(1).roll(1, 1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x: well(x)[:, 0], "expected (858, 2): one (x, y) for each frame"),
        (ratio, "points are not finite: some frames have no green"),
        (lambda x: well(x) + x.mean() * len(x) / 9e9, "correct"),  # a rounding is no crime
        (lambda x: well(x) + 0.01 * len(x) / 858, "depends on the other frames of the batch"),
        (lambda x: 31.5 * (well(x) + 1), "these are pixels"),
        (lambda x: (well(x) + 1) / 2, "coordinates from 0 to 1"),
        (lambda x: well(x).flip(-1), "x and y are swapped"),
        (lambda x: well(x) * torch.tensor([1, -1]), "y points up"),
        (blue, "this finds the target, which is blue"),
        (lambda x: torch.zeros(len(x), 2), "it never moves, and misses by"),
        (lambda x: kpbook.mode(green(x)), "this is the peak"),
        (lambda x: kpbook.soft_argmax(green(x), 0.02), "do all pixels of the cube count alike?"),
        (lambda x: kpbook.soft_argmax(x[:, 1], 0.02), "is white green, too?"),
        (lambda x: kpbook.soft_argmax(green(x)), "Is the softmax cold enough"),
    ],
)
def test_wrong_detectors_are_told_apart(wrong, message):
    assert message in CHECKS["check_find_cube"](wrong)


def test_the_quest_saves_the_solution_and_nothing_that_fails(tmp_path):
    place, check = tmp_path / "my_find_cube.py", CHECKS["check_find_cube"]
    assert quest.save(CHECKS["find_cube"], check, place).startswith("not saved: not written yet")
    assert quest.load(place) is None

    cell = tmp_path / "cell.py"  # a function whose source Python can find, as in a notebook
    cell.write_text(f"import kpbook, torch\n{SOLUTIONS['find_cube']}")
    solution = {}
    exec(compile(cell.read_text(), str(cell), "exec"), solution)
    assert quest.save(solution["find_cube"], check, place).startswith("saved")
    assert check(quest.load(place)) == "correct"
