"""Chapter 1: what it teaches is what kpbook does, and its exercises know right from wrong."""

import notebooks
import pytest
import torch
from torch import nn

import kpbook
from kpbook import grid, tables

CHAPTER = "01_soft_argmax"
MODULES = {"torch": torch, "nn": nn, "kpbook": kpbook, "grid": grid, "tables": tables}
SCOPE = notebooks.namespace(CHAPTER, "taught", **MODULES)
CHECKS = notebooks.exercises(CHAPTER, **MODULES)


def logits(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("tau", [0.3, 1.0, 4.0])
@pytest.mark.parametrize(
    ("taught", "ours"),
    [
        ("softmax_of_maps", kpbook.spatial_softmax),
        ("soft_argmax_of_maps", kpbook.soft_argmax),
        ("separable_of_maps", lambda a, t: kpbook.soft_argmax(a, t, separable=True)),
    ],
)
def test_what_is_taught_is_what_the_package_does(taught, ours, tau):
    a = logits(2, 3, 5, 7)
    torch.testing.assert_close(SCOPE[taught](a, tau), ours(a, tau))


def test_loops_do_the_same():
    a = logits(5, 7)
    p = SCOPE["softmax_by_loops"](a, 0.4)
    torch.testing.assert_close(p, kpbook.spatial_softmax(a, 0.4))
    torch.testing.assert_close(SCOPE["mean_by_loops"](p), kpbook.expectation(p))


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


@pytest.mark.parametrize("name", ["soft_argmax_line", "cell_to_pixel", "local_soft_argmax"])
def test_the_blank_is_noticed_and_the_solution_is_accepted(name):
    check = CHECKS[f"check_{name}"]
    assert check(CHECKS[name]).startswith("not written yet")
    scope = dict(MODULES)
    exec(SOLUTIONS[name], scope)
    assert check(scope[name]) == "correct"


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
    ],
)
def test_wrong_local_means_are_told_apart(wrong, message):
    assert message in CHECKS["check_local_soft_argmax"](wrong)
