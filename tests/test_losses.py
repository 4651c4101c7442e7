"""The losses against sums over pixels, parabolas, and what rarity promises of every colour."""

import itertools

import numpy as np
import pytest
import torch

from kpbook import images, losses

BINS = [2, 3, 7, 8, 64]


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def frames(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


# -- reconstruction ----------------------------------------------------------------------------


def by_loops(prediction, target, weight):
    """Oracle: the sum of the docstring, one pixel at a time."""
    B, C, H, W = prediction.shape
    total = 0.0
    for b, c, i, j in itertools.product(range(B), range(C), range(H), range(W)):
        total += weight[b, 0, i, j] * (prediction[b, c, i, j] - target[b, c, i, j]) ** 2
    return total / (B * C * H * W)


def test_reconstruction_is_the_mean_over_pixels():  # catches: a sum, a weight of another image
    x, y, w = noise(2, 3, 4, 5), noise(2, 3, 4, 5, seed=1), noise(2, 1, 4, 5, seed=2).exp()
    torch.testing.assert_close(losses.reconstruction(x, y, w), by_loops(x, y, w))
    torch.testing.assert_close(losses.reconstruction(x, y), by_loops(x, y, torch.ones(2, 1, 4, 5)))


def test_a_weight_of_one_equals_none_and_a_weight_scales():
    x, y = noise(2, 3, 4, 5), noise(2, 3, 4, 5, seed=1)
    one = torch.ones(2, 1, 4, 5, dtype=x.dtype)
    plain = losses.reconstruction(x, y)
    torch.testing.assert_close(losses.reconstruction(x, y, one), plain)
    torch.testing.assert_close(losses.reconstruction(x, y, 3 * one), 3 * plain)
    torch.testing.assert_close(losses.reconstruction(y, x, one), plain)


def test_only_the_weighted_pixel_has_a_gradient():
    x, y, w = noise(2, 3, 4, 5).requires_grad_(), noise(2, 3, 4, 5, seed=1), torch.zeros(2, 1, 4, 5)
    w[1, 0, 2, 3] = 1.0
    losses.reconstruction(x, y, w).backward()
    assert x.grad.nonzero()[:, [0, 2, 3]].unique(dim=0).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("shapes", "match"),
    [
        (((3, 4, 5), (3, 4, 5)), r"prediction: got shape \(3, 4, 5\), expected \(B, C, H, W\)"),
        (((2, 3, 4, 5), (1, 3, 4, 5)), r"target: got .*\(1, 3, 4, 5\), .*\(2, 3, 4, 5\). A broad"),
        (((2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 4, 5)), r"weight: got .*expected \(2, 1, 4, 5\)"),
        (((2, 3, 4, 5), (2, 3, 4, 5), (4, 5)), r"weight: got shape \(4, 5\).*One number per pix"),
    ],
)
def test_reconstruction_compares_no_strangers(shapes, match):
    with pytest.raises(ValueError, match=match):
        losses.reconstruction(*(torch.zeros(s) for s in shapes))


IMAGE, WEIGHT = torch.zeros(2, 3, 4, 5), torch.ones(2, 1, 4, 5)


@pytest.mark.parametrize(
    ("error", "change", "match"),
    [
        (TypeError, {"target": IMAGE.byte()}, r"target: got dtype torch\.uint8.*to_float"),
        (TypeError, {"prediction": IMAGE.long()}, r"prediction: got dtype torch\.int64"),
        (TypeError, {"target": IMAGE.numpy()}, "target: got ndarray, expected a torch.Tensor"),
        (TypeError, {"prediction": IMAGE.numpy()}, "prediction: got ndarray, expected a torch.T"),
        (TypeError, {"weight": WEIGHT.numpy()}, "weight: got ndarray, expected a torch.Tensor"),
        (TypeError, {"weight": WEIGHT.byte()}, r"weight: got dtype torch\.uint8"),
        (TypeError, {"weight": 3.0}, "weight: got float, expected a torch.Tensor"),
        (ValueError, {"weight": -WEIGHT}, r"weight: got values from -1 to -1, .*\[0, inf\].*loss"),
        (ValueError, {"weight": WEIGHT / 0 * 0}, r"weight: got values from nan to nan"),
    ],
)
def test_reconstruction_takes_floats_and_weights_that_are_not_negative(error, change, match):
    """Catches: bytes up to 255 against a picture up to 1; a loss that falls below 0."""
    arguments = {"prediction": IMAGE, "target": IMAGE, "weight": WEIGHT, **change}
    with pytest.raises(error, match=match):
        losses.reconstruction(**arguments)


def test_a_network_in_half_precision_still_meets_its_target():
    x, y = noise(2, 3, 4, 5).half(), noise(2, 3, 4, 5, seed=1).float()
    torch.testing.assert_close(losses.reconstruction(x, y), (x - y).square().mean())


# -- acceleration ------------------------------------------------------------------------------


def test_constant_velocity_costs_nothing():  # catches: a first difference
    t = torch.arange(6, dtype=torch.float64)[:, None, None]
    assert losses.acceleration(noise(1, 4, 2) + noise(1, 4, 2, seed=1) * t) < 1e-28


def test_a_parabola_costs_its_acceleration_squared():  # catches: a sum over the coordinates
    t = torch.arange(5, dtype=torch.float64)[:, None, None]
    a = torch.tensor([[0.3, -0.1], [0.2, 0.4]], dtype=t.dtype)
    path = noise(1, 2, 2) + noise(1, 2, 2, seed=1) * t + a * t**2 / 2
    expected = torch.tensor((0.09 + 0.01 + 0.04 + 0.16) / 4, dtype=t.dtype)
    torch.testing.assert_close(losses.acceleration(path), expected)


def test_acceleration_matches_the_sums():  # catches: the axis of keypoints or snippets
    z = noise(3, 4, 5, 2)
    terms = [
        (z[b, t + 1, n, c] - 2 * z[b, t, n, c] + z[b, t - 1, n, c]) ** 2
        for b, t, n, c in itertools.product(range(3), range(1, 3), range(5), range(2))
    ]
    torch.testing.assert_close(losses.acceleration(z), sum(terms) / len(terms))


def test_acceleration_sees_neither_time_reversed_nor_the_course_of_the_observer():
    z, t = noise(3, 4, 5, 2), torch.arange(4, dtype=torch.float64)[:, None, None]
    cost = losses.acceleration(z)
    torch.testing.assert_close(losses.acceleration(z.flip(1)), cost)
    torch.testing.assert_close(losses.acceleration(z + 0.7 - 0.2 * t), cost)
    torch.testing.assert_close(losses.acceleration(3 * z), 9 * cost)


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((2, 2, 5, 2), "points: got 2 frames, expected at least 3 in a row. A second difference"),
        ((4, 5, 3), r"points: got shape \(4, 5, 3\), expected \(..., T, N, 2\). Snippets"),
        ((5, 2), r"points: got shape \(5, 2\), expected \(..., T, N, 2\)"),
    ],
)
def test_acceleration_needs_three_frames(shape, match):
    with pytest.raises(ValueError, match=match):
        losses.acceleration(torch.zeros(shape))


@pytest.mark.parametrize(
    ("points", "match"),
    [
        (torch.zeros(3, 5, 2).long(), r"points: got dtype torch\.int64, expected a floating-point"),
        (np.zeros((3, 5, 2)), "points: got ndarray, expected a torch.Tensor. torch.from_numpy"),
    ],
)
def test_acceleration_takes_floating_tensors(points, match):
    with pytest.raises(TypeError, match=match):
        losses.acceleration(points)


# -- rarity ------------------------------------------------------------------------------------


def cells(pictures, bins):
    """Oracle: cell of each pixel, red slowest, by whole division."""
    r, g, b = (pictures[..., c].astype(int) * bins // 256 for c in range(3))
    return r * bins * bins + g * bins + b


@pytest.mark.parametrize("bins", BINS)
def test_every_colour_that_occurs_has_the_same_share(bins):  # catches: weight not by frequency
    pictures = frames(2, 5, 6, 7)
    pictures[0, :4] = [200, 30, 90]  # one colour takes a third of all pixels
    table = losses.colour_rarity(pictures, bins=bins).double().numpy()
    where = cells(pictures, bins)
    present = np.unique(where)
    shares = [table[where[where == cell]].sum() for cell in present]
    np.testing.assert_allclose(shares, where.size / len(present), rtol=1e-6)
    np.testing.assert_allclose(table[where].mean(), 1.0, rtol=1e-6)
    absent = np.setdiff1d(np.arange(bins**3), present)
    np.testing.assert_array_equal(table[absent], table[present].max())


def test_below_the_floor_rarity_no_longer_counts():
    picture = np.zeros((10, 20, 3), np.uint8)
    picture[0, :10], picture[0, 10:13], picture[0, 13] = [255, 0, 0], [0, 255, 0], [0, 0, 255]
    table = losses.colour_rarity(picture, bins=2, floor=0.05)  # black 0.93; 0.05, 0.015, 0.005
    black, red, green, blue = table[[0, 4, 2, 1]].tolist()
    assert red == green == blue == table[7]  # as a colour that does not occur
    assert red / black == pytest.approx(0.93 / 0.05, rel=1e-5)
    assert 0.93 * black + 0.07 * red == pytest.approx(1.0, rel=1e-5)
    free = losses.colour_rarity(picture, bins=2)
    torch.testing.assert_close(losses.colour_rarity(picture, bins=2, floor=0.005), free)


def test_one_colour_has_weight_one():
    table = losses.colour_rarity(np.full((4, 5, 3), 77, np.uint8))
    torch.testing.assert_close(table, torch.ones(512))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_colours_that_change_their_names_change_their_places(order):  # catches: swapped channels
    pictures, bins = frames(3, 6, 7), 4
    table = losses.colour_rarity(pictures, bins=bins).view(bins, bins, bins)
    renamed = losses.colour_rarity(pictures[..., list(order)], bins=bins)
    torch.testing.assert_close(renamed.view(bins, bins, bins), table.permute(order))


def test_the_table_knows_neither_order_nor_shape_of_frames():
    pictures = frames(4, 6, 7)
    table = losses.colour_rarity(pictures)
    torch.testing.assert_close(losses.colour_rarity(pictures[::-1].reshape(2, 2, 6, 7, 3)), table)
    assert table.dtype == torch.float32
    assert table.shape == (512,)


@pytest.mark.parametrize("bins", BINS)
def test_bytes_and_floats_fall_into_the_same_cell(bins):  # catches: v * bins, which rounds
    values = np.arange(256, dtype=np.uint8)
    pictures = np.stack([values, values[::-1], np.roll(values, 100)], axis=-1)[None, None]
    places = torch.arange(bins**3, dtype=torch.float64)
    for dtype in (torch.float16, torch.float32, torch.float64):
        floats = images.to_float(pictures).to(dtype)
        found = losses.rarity_weight(floats, places)
        np.testing.assert_array_equal(found[:, 0].numpy(), cells(pictures, bins))


def test_the_weight_of_a_pixel_is_its_colours_and_its_mean_is_one():
    pictures = frames(3, 6, 7)
    table = losses.colour_rarity(pictures)
    floats = images.to_float(pictures).requires_grad_()
    weight = losses.rarity_weight(floats, table)
    assert weight.shape == (3, 1, 6, 7)
    assert not weight.requires_grad
    torch.testing.assert_close(weight.mean(), torch.tensor(1.0))
    expected = table.numpy()[cells(pictures, 8)]
    np.testing.assert_allclose(weight[:, 0].numpy(), expected, rtol=1e-6)


def test_a_value_between_two_bytes_has_the_nearer_ones_cell():  # as after a resize
    table = torch.arange(512.0)
    blue = torch.tensor([31.4, 31.6]) / 255  # the first cell of eight ends with byte 31
    picture = torch.zeros(1, 3, 1, 2)
    picture[0, 2, 0] = blue
    assert losses.rarity_weight(picture, table).flatten().tolist() == [0.0, 1.0]


def test_a_floor_caps_the_weight_of_the_rarest_colours():  # 90 %, 9 %, 1 % of the pixels
    pictures = np.repeat(np.uint8([10, 100, 250]), [90, 9, 1])[:, None].repeat(3, 1)
    pictures = pictures.reshape(1, 10, 10, 3)
    grey = lambda level: (8 * 8 + 8 + 1) * level  # noqa: E731
    table = losses.colour_rarity(pictures, floor=0.05).double().numpy()
    raw = np.array([1 / 0.9, 1 / 0.09, 1 / 0.05])
    mean = raw @ [0.9, 0.09, 0.01]
    np.testing.assert_allclose(table[[grey(0), grey(3), grey(7)]], raw / mean, rtol=1e-6)
    np.testing.assert_allclose(table[grey(5)], raw[2] / mean, rtol=1e-6)  # absent
    without = losses.colour_rarity(pictures).double().numpy()
    np.testing.assert_allclose(without[[grey(0), grey(3), grey(7)]] * [0.9, 0.09, 0.01], 1 / 3)


def test_what_leaves_the_range_has_the_nearest_colour():
    table = torch.rand(512, generator=torch.Generator().manual_seed(0))
    outside = torch.tensor([-0.2, 1.3, 0.5])[None, :, None, None]
    inside = torch.tensor([0.0, 1.0, 0.5])[None, :, None, None]
    torch.testing.assert_close(
        losses.rarity_weight(outside, table), losses.rarity_weight(inside, table)
    )


@pytest.mark.parametrize(
    ("error", "call", "match"),
    [
        (TypeError, lambda: losses.colour_rarity(np.zeros((4, 5, 3))), "frames: .*float64.*uint8"),
        (ValueError, lambda: losses.colour_rarity(frames(4)), r"frames: .*\(..., H, W, 3\).*last"),
        (ValueError, lambda: losses.colour_rarity(frames(4, 5), bins=1), "bins: got 1.*per colour"),
        (ValueError, lambda: losses.colour_rarity(frames(4, 5), bins=65), r"bins: .*in \[2, 64\]"),
        (TypeError, lambda: losses.colour_rarity(frames(4, 5), bins=8.0), "bins: got 8.0, .*whole"),
        (ValueError, lambda: losses.colour_rarity(frames(4, 5), floor=1.0), "floor: .*share of"),
        (ValueError, lambda: losses.colour_rarity(frames(4, 5), floor=1), "floor: got 1.*A share"),
        (
            TypeError,
            lambda: losses.rarity_weight(torch.zeros(2, 3, 4, 5).byte(), torch.ones(8)),
            "images: got dtype torch.uint8.*to_float",
        ),
        (
            ValueError,
            lambda: losses.rarity_weight(torch.zeros(2, 1, 4, 5), torch.ones(8)),
            r"images: got shape \(2, 1, 4, 5\), expected \(B, 3, H, W\)",
        ),
        (
            ValueError,
            lambda: losses.rarity_weight(torch.zeros(2, 3, 4, 5), torch.ones(4, 2)),
            r"table: got shape \(4, 2\), expected \(entries,\)",
        ),
        (
            TypeError,
            lambda: losses.rarity_weight(np.zeros((2, 3, 4, 5)), torch.ones(8)),
            "images: got ndarray, expected a torch.Tensor",
        ),
        (
            TypeError,
            lambda: losses.rarity_weight(torch.zeros(2, 3, 4, 5), np.ones(8)),
            "table: got ndarray, expected a torch.Tensor",
        ),
        (
            ValueError,
            lambda: losses.rarity_weight(torch.zeros(2, 3, 4, 5), torch.ones(9)),
            "table: got 9 entries, expected bins³, from colour_rarity",
        ),
    ],
)
def test_rarity_says_what_it_cannot_take(error, call, match):
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_small_accelerations_of_half_precision_are_exact(dtype):  # catches: squares that underflow
    points = torch.tensor([0.0, 1e-4, 0.0])[:, None, None].expand(3, 1, 2).to(dtype)
    expected = points.double().diff(n=2, dim=0).square().mean()
    torch.testing.assert_close(losses.acceleration(points).double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("bins", [np.uint8(8), np.int8(8), torch.tensor(8)], ids=repr)
def test_bins_may_be_numpys(bins):  # catches: 8 bits that overflow at 8 cubed
    frames = noise(2, 6, 7, 3).mul(255).to(torch.uint8).numpy()
    assert torch.equal(losses.colour_rarity(frames, bins), losses.colour_rarity(frames, 8))
