"""Checks of the exercises of chapter 1, soft-argmax."""

import torch

import kpbook
from kpbook import grid


def check_soft_argmax_line(answer):
    """Exercise 1.2: "correct", or what is wrong."""
    rows = torch.tensor(
        [[0.0, 1.0, 3.0, -2.0], [1000.0, 0.0, 0.0, 1000.0]], dtype=torch.float64
    )
    got = answer(rows, 0.5)
    if got is ...:
        return "not written yet: replace both blanks"
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
    return f"got {got.tolist()}, expected {right.tolist()}"
