"""The coordinate convention, held to hand-computed positions and to its own inverse laws."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kpbook import grid

sizes = st.tuples(st.integers(2, 300), st.integers(2, 300))
coordinates = st.tuples(st.floats(-3, 3), st.floats(-3, 3))


def test_border_cells_are_at_minus_one_and_plus_one():  # catches: cell corners, [0, 1]
    torch.testing.assert_close(grid.axis_coordinates(5), torch.tensor([-1, -0.5, 0, 0.5, 1]))


def test_one_cell_sits_in_the_middle():
    assert grid.axis_coordinates(1).tolist() == [0.0]


def test_cells_are_x_then_y_and_y_grows_downwards():  # catches: (y, x), y up
    cells = grid.cell_coordinates((3, 5))
    assert cells.shape == (3, 5, 2)
    assert cells[2, 0].tolist() == [-1.0, 1.0]
    assert cells[0, 4].tolist() == [1.0, -1.0]


def test_pixel_zero_is_the_centre_of_the_first_pixel():  # catches: H and W swapped, edges
    corners = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]])
    expected = torch.tensor([[0.0, 0.0], [6.0, 4.0], [3.0, 2.0]])
    torch.testing.assert_close(grid.to_pixels(corners, (5, 7)), expected)


@given(size=sizes, point=coordinates)
def test_pixels_and_back(size, point):
    p = np.array(point)
    np.testing.assert_allclose(grid.from_pixels(grid.to_pixels(p, size), size), p, atol=1e-12)


@given(size=sizes, point=coordinates)
def test_device_and_back(size, point):
    p = np.array(point)
    np.testing.assert_allclose(
        grid.device_to_image(grid.image_to_device(p, size), size), p, atol=1e-12
    )


def test_device_coordinates_have_the_edges_at_one_and_y_up():
    top_left_pixel = np.array([-1 + 1 / 8, 1 - 1 / 4])  # half a pixel inside, 8 wide and 4 high
    np.testing.assert_allclose(grid.device_to_image(top_left_pixel, (4, 8)), [-1, -1], atol=1e-12)
    np.testing.assert_allclose(grid.device_to_image(np.array([1.0, -1.0]), (4, 8)), [8 / 7, 4 / 3])


@pytest.mark.parametrize(
    ("layers", "image", "cells", "first", "last"),
    [
        # The nominal reach of three published encoders, computed cell by cell on paper.
        ([(7, 1, 3), (3, 2, 1), (3, 2, 1), (3, 2, 1)], 64, 8, 0.0, 56.0),
        ([(3, 2, 0), (3, 1, 0), (3, 1, 0), (3, 1, 0)], 84, 35, 7.0, 75.0),
        ([(4, 2, 0), (3, 2, 0), (4, 2, 0)], 108, 12, 9.5, 97.5),
    ],
    ids=["KeyNet", "FPAC", "Keypoint3D"],
)
def test_a_map_s_border_cells_land_on_the_right_pixels(layers, image, cells, first, last):
    stride, offset = grid.map_geometry(layers)
    ends = torch.tensor([[-1.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
    pixels = grid.to_pixels(grid.map_to_image(ends, cells, image, stride, offset), image)
    torch.testing.assert_close(pixels, torch.tensor([[first] * 2, [last] * 2]).double())


@pytest.mark.parametrize("layers", [[(5, 2, 2), (3, 1, 1)], [(3, 2, 0), (4, 3, 1)]])
def test_map_geometry_is_where_the_gradient_of_a_cell_is_centred(layers):
    # Oracle: with weights of 1, the pixels that a cell sees are symmetric about its centre.
    image = torch.zeros(1, 1, 61, 61, dtype=torch.float64, requires_grad=True)
    x = image
    for kernel, step, padding in layers:
        x = torch.nn.functional.conv2d(
            x, torch.ones(1, 1, kernel, kernel).double(), stride=step, padding=padding
        )
    x[0, 0, 4, 5].backward()
    weight = image.grad[0, 0]
    seen = torch.arange(61.0, dtype=torch.float64)
    stride, offset = grid.map_geometry(layers)
    assert (weight.sum(0) @ seen / weight.sum()).item() == pytest.approx(offset + 5 * stride)
    assert (weight.sum(1) @ seen / weight.sum()).item() == pytest.approx(offset + 4 * stride)


@given(point=coordinates, stride=st.floats(0.5, 9), offset=st.floats(-4, 9))
def test_map_and_image_and_back(point, stride, offset):
    p = np.array(point)
    there = grid.map_to_image(p, (5, 9), (64, 80), stride, offset)
    np.testing.assert_allclose(
        grid.image_to_map(there, (5, 9), (64, 80), stride, offset), p, atol=1e-9
    )


def test_kind_and_dtype_are_kept():
    assert grid.to_pixels(torch.zeros(3, 2), 64).dtype == torch.float32
    assert grid.to_pixels(np.zeros((3, 2), dtype=np.float32), 64).dtype == np.float32
    assert grid.from_pixels(torch.zeros(3, 2, dtype=torch.int64), 64).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: grid.to_pixels(torch.zeros(3), 64),
            r"points: got shape \(3,\), expected \(\.\.\.",
        ),
        (lambda: grid.from_pixels(torch.zeros(1, 2), 1), "at least 2 pixels along each axis"),
        (
            lambda: grid.as_size((3, 4, 5)),
            r"size: got \(3, 4, 5\), expected an integer or \(H, W\)",
        ),
        (lambda: grid.as_size(0), "size: got 0, expected at least 1"),
        (lambda: grid.axis_coordinates(0), "An axis needs at least one cell"),
        (
            lambda: grid.map_to_image(torch.zeros(1, 2), 8, 64, 0, 0),
            "stride: got 0.0, expected > 0. Pixels from one cell to the next",
        ),
        (
            lambda: grid.map_to_image(torch.zeros(1, 2), 8, 64, 8, float("nan")),
            "offset: got 1 of 1 values NaN",
        ),
        (lambda: grid.map_geometry([(3, 0, 1)]), "stride: got 0, expected at least 1"),
        (lambda: grid.image_to_map(torch.zeros(1, 2), 1, 64, 2, 0), "at least 2 cells"),
    ],
)
def test_bad_input_gets_one_message(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_size_of_words_is_a_type_error():
    with pytest.raises(TypeError, match="size: got '64', expected a whole number"):
        grid.as_size("64")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_points_of_half_precision_are_rounded_once(dtype):  # catches: the scale rounded, too
    points = torch.linspace(-1, 1, 101, dtype=torch.float64)[:, None].expand(-1, 2).to(dtype)
    size, wide = (480, 640), points.double()
    for there in (
        lambda z: grid.to_pixels(z, size),
        lambda z: grid.device_to_image(z, size),
        lambda z: grid.map_to_image(z, 8, size, 8, 3.5),
    ):
        moved = there(points)
        assert moved.dtype == dtype
        torch.testing.assert_close(moved, there(wide).float().to(dtype), rtol=0, atol=0)
