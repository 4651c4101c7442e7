"""Bytes, floats and sizes of images."""

import numpy as np
import pytest
import torch

from kpbook import images


def test_bytes_to_floats_moves_colour_and_scales():  # catches: reshape for movedim, /256
    frames = np.zeros((2, 4, 5, 3), dtype=np.uint8)
    frames[1, 2, 3] = [255, 51, 0]
    x = images.to_float(frames)
    assert x.shape == (2, 3, 4, 5)
    assert x.dtype == torch.float32
    torch.testing.assert_close(x[1, :, 2, 3], torch.tensor([1.0, 0.2, 0.0]))


def test_every_byte_survives_the_way_to_floats_and_back():
    frames = np.arange(256 * 3, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)
    np.testing.assert_array_equal(images.to_uint8(images.to_float(frames)), frames)


def test_a_reconstruction_outside_the_range_is_clipped():
    x = torch.tensor([-0.5, 1.5, 0.5]).view(3, 1, 1)
    assert images.to_uint8(x).tolist() == [[[0, 255, 128]]]


def test_the_frames_are_not_changed():  # catches: in-place division on a view
    frames = torch.full((2, 2, 3), 255, dtype=torch.uint8)
    images.to_float(frames)
    assert (frames == 255).all()


def test_resize_averages_where_it_shrinks():
    x = torch.zeros(1, 3, 8, 8)
    x[..., 4:] = 1.0
    small = images.resize(x, (4, 2))
    assert small.shape == (1, 3, 4, 2)
    assert small.mean().item() == pytest.approx(0.5, abs=1e-6)
    assert small[0, 0, 0, 0] < small[0, 0, 0, 1]


def test_resize_keeps_half_precision():
    assert images.resize(torch.ones(1, 3, 8, 8, dtype=torch.float16), 4).dtype == torch.float16


def test_crop_counts_rows_then_columns():
    x = torch.arange(3 * 5 * 7).view(1, 3, 5, 7)
    torch.testing.assert_close(images.crop(x, 2, 3, (3, 4)), x[..., 2:5, 3:7])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: images.to_float(torch.zeros(4, 4, 3)), TypeError, "dtype torch.float32.*uint8"),
        (
            lambda: images.to_float(torch.zeros(3, 4, 4, dtype=torch.uint8)),
            ValueError,
            "stored colour-last",
        ),
        (
            lambda: images.to_uint8(torch.zeros(4, 4, 3)),
            ValueError,
            r"expected \(\.\.\., 3, H, W\)",
        ),
        (
            lambda: images.check_images(torch.full((1, 3, 4, 4), 255.0)),
            ValueError,
            "Divide bytes by 255",
        ),
        (
            lambda: images.check_images(torch.zeros(1, 3, 4, 4, dtype=torch.uint8)),
            TypeError,
            "images: got dtype torch.uint8, expected a floating-point dtype.*to_float",
        ),
        (
            lambda: images.check_images(torch.zeros(1, 3, 32, 32), 64),
            ValueError,
            r"expected \(B, 3, 64, 64\)\. The network was built for this size",
        ),
        (lambda: images.check_images(torch.zeros(0, 3, 4, 4)), ValueError, "no empty axis"),
        (
            lambda: images.check_images(torch.zeros(2, 64, 64, 3), 64),
            ValueError,
            r"expected \(B, 3, 64, 64\)\. Colour comes first: images\.movedim\(-1, 1\)",
        ),
        (lambda: images.to_uint8(np.zeros((3, 4, 4))), TypeError, "images: got ndarray"),
        (lambda: images.to_uint8(torch.full((3, 4, 4), np.nan)), ValueError, "diverged draws NaN"),
        (lambda: images.resize(np.zeros((1, 3, 4, 4)), 2), TypeError, "images: got ndarray"),
        (lambda: images.crop(torch.zeros(3, 4, 4), 0.5, 0, 3), TypeError, "top: got 0.5"),
        (lambda: images.crop(torch.zeros(3, 4, 4), 2, 0, 3), ValueError, "top: .*must fit into 4"),
        (lambda: images.resize(torch.zeros(3, 4, 4), 2), ValueError, r"expected \(B, 3, H, W\)"),
    ],
)
def test_bad_images_get_one_message(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32, bool])
def test_frames_of_other_types_are_refused(dtype):  # catches: 16 bits that wrap around
    with pytest.raises(TypeError, match=r"images: got dtype .*expected uint8.*257"):
        images.to_float(np.zeros((4, 5, 3), dtype))


def test_masked_frames_are_refused():
    frames = np.ma.array(np.zeros((4, 5, 3), np.uint8), mask=True)
    with pytest.raises(ValueError, match="images: got a masked array"):
        images.to_float(frames)


def test_frames_that_cannot_be_written_to_are_read():  # catches: torch's warning, an error here
    frames = np.zeros((4, 5, 3), np.uint8)
    frames.setflags(write=False)
    assert images.to_float(frames).shape == (3, 4, 5)
    assert images.to_float(frames[::-1, ::-1]).shape == (3, 4, 5)


def test_half_precision_survives_the_way_to_bytes():
    every = torch.arange(256) / 255
    for dtype in (torch.float16, torch.float64):
        bytes_ = images.to_uint8(every.to(dtype).expand(3, 1, 256))
        np.testing.assert_array_equal(bytes_[0, :, 0], np.arange(256))


def test_a_crop_takes_numpys_small_integers():  # catches: 250 + 10 that overflows
    x = torch.rand(1, 3, 300, 20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(images.crop(x, np.uint8(250), np.uint8(2), 10), x[..., 250:260, 2:12])
