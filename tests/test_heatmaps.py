"""The bottleneck against sums over cells, closed forms, finite differences, kornia and dsntnn."""

import math

import dsntnn
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.geometry import subpix
from torch.func import vmap

from kpbook import cores
from kpbook import heatmaps as hm

SHAPES = [(3, 5), (7, 4), (1, 6), (5, 1)]  # H != W catches: swapped x and y


def maps(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def position(index, n):
    """Coordinate of a cell's centre, written without kpbook.grid."""
    return 2 * index / (n - 1) - 1 if n > 1 else 0.0


def by_loops(logits, tau=1.0):
    """Oracle: chapter 1, eqs. (1.1) to (1.3), as sums over cells of one map."""
    H, W = logits.shape
    weight = [[math.exp(logits[i, j] / tau) for j in range(W)] for i in range(H)]
    total = sum(map(sum, weight))
    cells = [(i, j) for i in range(H) for j in range(W)]
    x = sum(weight[i][j] / total * position(j, W) for i, j in cells)
    y = sum(weight[i][j] / total * position(i, H) for i, j in cells)
    return torch.tensor([x, y], dtype=logits.dtype)


def by_loops_separable(logits, tau=1.0):
    """Oracle: chapter 1, eq. (1.6): mean logit of each column (row), then a softmax of those."""
    H, W = logits.shape
    columns = [math.exp(sum(logits[i, j] for i in range(H)) / H / tau) for j in range(W)]
    rows = [math.exp(sum(logits[i, j] for j in range(W)) / W / tau) for i in range(H)]
    x = sum(c / sum(columns) * position(j, W) for j, c in enumerate(columns))
    y = sum(r / sum(rows) * position(i, H) for i, r in enumerate(rows))
    return torch.tensor([x, y], dtype=logits.dtype)


@pytest.mark.parametrize("tau", [0.5, 1.0, 3.0])  # catches: multiplied temperature
@pytest.mark.parametrize("shape", SHAPES)
def test_joint_matches_the_sums(shape, tau):
    logits = maps(*shape)
    torch.testing.assert_close(hm.soft_argmax(logits, tau), by_loops(logits, tau))


@pytest.mark.parametrize("tau", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_separable_matches_the_sums(shape, tau):  # catches: the marginal of the joint softmax
    logits = maps(*shape)
    torch.testing.assert_close(
        hm.soft_argmax(logits, tau, separable=True), by_loops_separable(logits, tau)
    )


@pytest.mark.parametrize("tau", [None, 0.5, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_separable_heat_map_is_a_row_times_a_column(shape, tau):
    """Oracle: mean scores of each row and column, their softmax, cell by cell."""
    logits = maps(*shape)
    H, W = shape
    columns = [math.exp(float(logits[:, j].mean()) / (tau or 1)) for j in range(W)]
    rows = [math.exp(float(logits[i].mean()) / (tau or 1)) for i in range(H)]
    expected = [[r * c / sum(rows) / sum(columns) for c in columns] for r in rows]
    temperature = None if tau is None else torch.tensor(tau, dtype=torch.float64)
    found = cores.separable_softmax(logits, temperature)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(found.sum(), torch.tensor(1.0, dtype=torch.float64))
    z = hm.expectation(found)  # its mean is the separable soft-argmax
    torch.testing.assert_close(z, cores.soft_argmax(logits, temperature, separable=True))


def test_separable_heat_maps_have_their_own_temperatures():
    logits, tau = maps(2, 3, 4, 5), torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64)
    each = [cores.separable_softmax(logits[:, n], tau[n]) for n in range(3)]
    torch.testing.assert_close(cores.separable_softmax(logits, tau), torch.stack(each, 1))
    cold = cores.separable_softmax(logits, torch.tensor(1e-300, dtype=torch.float64))
    assert cold.isfinite().all()  # catches: a quotient that overflows
    torch.testing.assert_close(cold.amax((-2, -1)), torch.ones(2, 3, dtype=torch.float64))


def test_joint_agrees_with_kornia():  # whose temperature divides since version 0.9
    logits = maps(2, 3, 6, 5)
    theirs = subpix.spatial_expectation2d(subpix.spatial_softmax2d(logits, 0.4))
    torch.testing.assert_close(hm.soft_argmax(logits, 0.4), theirs)


def test_joint_agrees_with_dsntnn_whose_borders_are_cell_edges():
    H, W = 6, 5
    logits = maps(2, 3, H, W)
    theirs = dsntnn.dsnt(dsntnn.flat_softmax(logits))  # border centres at +-(n - 1) / n
    scale = torch.tensor([W / (W - 1), H / (H - 1)], dtype=torch.float64)
    torch.testing.assert_close(hm.soft_argmax(logits), theirs * scale)


def test_two_equal_blobs_give_the_empty_point_between_them():  # catches: arg-max
    logits = torch.full((5, 9), -50.0)
    logits[2, 0] = logits[2, 6] = 0.0
    for tau in (1.0, 0.1):
        torch.testing.assert_close(hm.soft_argmax(logits, tau), torch.tensor([-0.25, 0.0]))


def test_probabilities_for_logits_land_near_the_centre():  # the misuse that the docstring names
    corner = torch.zeros(9, 9)
    corner[0, 0] = 1.0
    assert hm.soft_argmax(corner).abs().max() < 0.05
    torch.testing.assert_close(hm.expectation(corner), torch.tensor([-1.0, -1.0]))


@pytest.mark.parametrize("separable", [False, True])
@given(seed=st.integers(0, 2**31), shift=st.floats(-1e3, 1e3))
def test_a_constant_changes_nothing(separable, seed, shift):
    logits = maps(2, 5, 7, seed=seed)
    torch.testing.assert_close(
        hm.soft_argmax(logits + shift, separable=separable),
        hm.soft_argmax(logits, separable=separable),
        atol=1e-9,
        rtol=0,
    )


@pytest.mark.parametrize("separable", [False, True])
@given(seed=st.integers(0, 2**31), tau=st.floats(0.05, 20))
def test_mirrors_transposes_and_the_hull(separable, seed, tau):
    logits = maps(3, 4, 6, seed=seed)
    z = hm.soft_argmax(logits, tau, separable)
    mirrored = hm.soft_argmax(logits.flip(-1), tau, separable)
    torch.testing.assert_close(mirrored, z * torch.tensor([-1.0, 1.0], dtype=z.dtype))
    turned = hm.soft_argmax(logits.mT.contiguous(), tau, separable)
    torch.testing.assert_close(turned, z.flip(-1))
    assert z.abs().max() <= 1


@given(seed=st.integers(0, 2**31))
def test_temperature_goes_from_the_mode_to_the_centre(seed):
    logits = maps(5, 7, seed=seed)
    torch.testing.assert_close(hm.soft_argmax(logits, 1e-6), hm.mode(logits), atol=1e-6, rtol=0)
    assert hm.soft_argmax(logits, 1e6).abs().max() < 1e-5


@pytest.mark.parametrize("separable", [False, True])
def test_each_keypoint_can_have_its_own_temperature(separable):
    logits, tau = maps(2, 3, 4, 5), torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64)
    each = [hm.soft_argmax(logits[:, n], float(tau[n]), separable) for n in range(3)]
    torch.testing.assert_close(hm.soft_argmax(logits, tau, separable), torch.stack(each, 1))


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("tau", [0.7, 1.0])
def test_gradients_match_finite_differences(separable, tau):
    logits = maps(2, 3, 4).requires_grad_()
    tau_t = torch.tensor(tau, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, t: hm.soft_argmax(a, t, separable), (logits, tau_t))


def test_gradient_is_probability_times_distance_from_the_keypoint():  # chapter 1, eq. (1.5)
    logits, tau = maps(4, 5).requires_grad_(), 0.6
    z = hm.soft_argmax(logits, tau)
    (grad,) = torch.autograd.grad(z[0], logits)
    p = hm.spatial_softmax(logits, tau)
    x = torch.tensor([position(j, 5) for j in range(5)], dtype=torch.float64)
    torch.testing.assert_close(grad, p * (x - z[0]) / tau)


def test_large_logits_and_tiny_temperatures_do_not_overflow():  # catches: exp without the maximum
    logits = torch.tensor([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(hm.soft_argmax(logits), torch.tensor([-1.0, -1.0]))
    for tau in (1e-30, 1e-300):
        torch.testing.assert_close(hm.soft_argmax(logits, tau), torch.tensor([-1.0, -1.0]))


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize(
    ("dtype", "tau"), [(torch.float16, 1e-4), (torch.float16, 1e-8), (torch.float32, 1e-40)]
)
def test_the_coldest_softmax_is_the_arg_max_in_every_dtype(dtype, tau, separable):
    logits = (maps(3, 8, 6) * 5).to(dtype)
    expected = hm.soft_argmax(logits.double(), 1e-9, separable)
    assert (hm.soft_argmax(logits, tau, separable).double() - expected).abs().max() < 2e-3


def test_a_numpy_temperature_is_as_good_as_a_tensor():
    logits = maps(3, 4, 5)
    torch.testing.assert_close(
        hm.soft_argmax(logits, np.array([0.5, 1.0, 2.0])),
        hm.soft_argmax(logits, torch.tensor([0.5, 1.0, 2.0])),
    )


def test_cells_may_be_masked_with_minus_infinity():
    logits = torch.zeros(3, 5)
    logits[:, 1:] = -math.inf
    torch.testing.assert_close(hm.soft_argmax(logits), torch.tensor([-1.0, 0.0]))


def test_the_core_runs_under_vmap_and_export():
    logits = maps(2, 3, 4, 5)
    torch.testing.assert_close(vmap(cores.soft_argmax)(logits), hm.soft_argmax(logits))

    class Module(torch.nn.Module):
        def forward(self, logits):
            return cores.soft_argmax(logits)

    exported = torch.export.export(Module(), (logits,)).module()
    torch.testing.assert_close(exported(logits), hm.soft_argmax(logits))


def test_softmax_sums_to_one_over_both_axes():  # catches: softmax over one axis or channels
    p = hm.spatial_softmax(maps(2, 3, 4, 5), 0.2)
    torch.testing.assert_close(p.sum((-2, -1)), torch.ones(2, 3, dtype=torch.float64))
    assert p.sum(-1).std() > 0.01


def test_mode_is_the_highest_cell():
    logits = torch.zeros(2, 3, 5)
    logits[0, 2, 1] = 1.0
    logits[1, 0, 4] = 1.0
    torch.testing.assert_close(hm.mode(logits), torch.tensor([[-0.5, 1.0], [1.0, -1.0]]))


def test_presence_has_the_two_forms_that_the_paper_prints():
    logits = torch.tensor([[4.0, 0.0], [0.0, 0.0]])
    assert hm.presence(logits).item() == pytest.approx(math.tanh(1.0))
    assert hm.presence(logits, form="listing").item() == pytest.approx(math.tanh(4.0) / 4)


@pytest.mark.parametrize("size", [(41, 61), (61, 41)])
def test_spread_of_a_gaussian_is_root_two_sigma(size):
    maps_ = hm.gaussian_maps(torch.tensor([0.1, -0.2], dtype=torch.float64), size, 0.1)
    p = maps_ / maps_.sum()
    assert hm.spread(p).item() == pytest.approx(math.sqrt(2) * 0.1, rel=1e-3)


def test_spread_does_not_cancel_on_a_sharp_map():  # catches: E[x^2] - E[x]^2
    logits = torch.full((35, 35), -20.0)
    logits[34, 34] = 0.0
    logits[34, 33] = -12.0
    p = hm.spatial_softmax(logits)
    exact = hm.spread(p.double() / p.double().sum())
    assert hm.spread(p).item() == pytest.approx(exact.item(), rel=1e-3)


@pytest.mark.parametrize("measure", [hm.spread, hm.entropy])
def test_measures_of_a_sharp_map_have_a_finite_gradient(measure):  # catches: sqrt, log at 0
    logits = (maps(6, 6, dtype=torch.float32) * 200).requires_grad_()
    heatmap = hm.spatial_softmax(logits)
    assert (heatmap == 0).any()
    measure(heatmap).backward()
    assert torch.isfinite(logits.grad).all()
    one_cell = torch.zeros(4, 5)
    one_cell[1, 2] = 1.0
    one_cell.requires_grad_()
    value = measure(one_cell)
    value.backward()
    assert value.item() == 0
    assert not math.copysign(1, value.item()) < 0  # no "-0.0" in a table
    assert torch.isfinite(one_cell.grad).all()


def test_entropy_goes_from_one_cell_to_uniform():
    assert hm.entropy(torch.full((3, 5), 1 / 15)).item() == pytest.approx(1.0)
    single = torch.zeros(3, 5)
    single[1, 1] = 1.0
    assert hm.entropy(single).item() == 0.0
    two = torch.zeros(4, 4)
    two[0, 0] = two[3, 3] = 0.5
    assert hm.entropy(two).item() == pytest.approx(math.log(2) / math.log(16))


@pytest.mark.parametrize("size", [(5, 9), (9, 5)])
def test_gaussian_is_half_the_squared_distance_over_variance(size):  # catches: no 1/2, sigma^2
    points = torch.tensor([[0.3, -0.6], [1.4, 0.0]], dtype=torch.float64)
    drawn = hm.gaussian_maps(points, size, 0.25)
    H, W = size
    assert drawn.shape == (2, H, W)
    for n, (x, y) in enumerate(points.tolist()):
        for i in range(H):
            for j in range(W):
                d2 = (position(j, W) - x) ** 2 + (position(i, H) - y) ** 2
                assert drawn[n, i, j].item() == pytest.approx(math.exp(-d2 / (2 * 0.25**2)))


def test_gaussian_matches_kornia_up_to_its_sum():
    point = torch.tensor([[0.2, -0.4]], dtype=torch.float64)
    theirs = subpix.render_gaussian2d(point, torch.tensor([[0.3, 0.3]]).double(), (9, 7))
    ours = hm.gaussian_maps(point, (9, 7), 0.3)
    torch.testing.assert_close(ours / ours.sum(), theirs, atol=1e-7, rtol=0)  # theirs adds 1e-8


def test_gaussian_peak_is_one_on_a_cell_and_below_between_cells():
    on, between = torch.tensor([0.0, 0.0]), torch.tensor([0.125, 0.125])
    assert hm.gaussian_maps(on, 9, 0.1).max().item() == 1.0
    expected = math.exp(-2 * 0.125**2 / (2 * 0.1**2))
    assert hm.gaussian_maps(between, 9, 0.1).max().item() == pytest.approx(expected)


@pytest.mark.parametrize(("dtype", "sigma"), [(torch.float32, 1e-23), (torch.float16, 1e-4)])
def test_a_tiny_sigma_draws_one_cell(dtype, sigma):  # catches: its square, which underflows
    drawn = hm.gaussian_maps(torch.zeros(2, dtype=dtype), 5, sigma)
    assert drawn[2, 2] == 1
    assert drawn.sum() == 1


def test_each_gaussian_can_have_its_own_sigma():
    points, sigma = torch.zeros(2, 3, 2), torch.tensor([0.1, 0.2, 0.3])
    together = hm.gaussian_maps(points, 8, sigma)
    for n in range(3):
        torch.testing.assert_close(
            together[:, n], hm.gaussian_maps(points[:, n], 8, float(sigma[n]))
        )


def test_gaussian_gradients_match_finite_differences():
    points = torch.tensor([[0.31, -0.22]], dtype=torch.float64, requires_grad=True)
    sigma = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z, s: hm.gaussian_maps(z, (4, 5), s), (points, sigma))


@given(x=st.floats(-0.8, 0.8), y=st.floats(-0.8, 0.8))
def test_drawing_a_point_and_taking_its_mean_returns_the_point(x, y):
    point = torch.tensor([x, y], dtype=torch.float64)
    drawn = hm.gaussian_maps(point, (61, 81), 0.05)
    torch.testing.assert_close(hm.expectation(drawn / drawn.sum()), point, atol=1e-3, rtol=0)


GOOD = torch.zeros(2, 3, 4, 5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: hm.soft_argmax(torch.zeros(5)),
            ValueError,
            r"logits: got shape \(5,\), expected \(",
        ),
        (lambda: hm.soft_argmax(torch.zeros(0, 4, 5)), ValueError, "no empty axis"),
        (lambda: hm.soft_argmax(torch.zeros(4, 0)), ValueError, "no empty axis"),
        (lambda: hm.soft_argmax([[1.0]]), TypeError, "logits: got list, expected a torch.Tensor"),
        (lambda: hm.soft_argmax(GOOD.numpy()), TypeError, "torch.from_numpy"),
        (lambda: hm.soft_argmax(GOOD.long()), TypeError, r"dtype torch.int64.*Use \.float\(\)"),
        (
            lambda: hm.soft_argmax(GOOD, 0.0),
            ValueError,
            "temperature: got 0.0, expected > 0. .*divided",
        ),
        (lambda: hm.soft_argmax(GOOD, -1), ValueError, "To sharpen|to sharpen"),
        (lambda: hm.soft_argmax(GOOD, math.nan), ValueError, "temperature: got nan"),
        (lambda: hm.soft_argmax(GOOD, torch.ones(4)), ValueError, r"broadcasts over \(2, 3\)"),
        (lambda: hm.soft_argmax(GOOD, torch.ones(7, 2, 3)), ValueError, "temperature: got shape"),
        (
            lambda: hm.soft_argmax(GOOD * math.nan),
            ValueError,
            "no softmax in 6 of 6 maps, the first",
        ),
        (lambda: hm.soft_argmax(GOOD - math.inf), ValueError, "-inf in every cell"),
        (lambda: hm.spatial_softmax(GOOD + math.inf), ValueError, "logits: got no softmax"),
        (
            lambda: hm.expectation(GOOD + 1),
            ValueError,
            "sum of each heat map: got .*scores go into",
        ),
        (lambda: hm.expectation(GOOD - 1), ValueError, "heatmaps: got values from -1"),
        (lambda: hm.spread(GOOD), ValueError, "sum of each heat map: got values from 0 to 0"),
        (lambda: hm.entropy(GOOD * math.nan), ValueError, "heatmaps: got 6 of 6 values NaN"),
        (lambda: hm.mode(GOOD * math.nan), ValueError, "NaN has no order"),
        (lambda: hm.presence(GOOD * math.nan), ValueError, "has no mean"),
        (lambda: hm.presence(GOOD * math.nan, form="listing"), ValueError, "6 of 6 maps"),
        (
            lambda: hm.soft_argmax(GOOD, "2.0"),
            TypeError,
            "temperature: got '2.0', expected a number",
        ),
        (lambda: hm.soft_argmax(GOOD, None), TypeError, "temperature: got None"),
        (lambda: hm.soft_argmax(GOOD, True), TypeError, "temperature: got True"),
        (
            lambda: hm.soft_argmax(GOOD.index_fill(2, torch.tensor(1), -math.inf), separable=True),
            ValueError,
            "use a large negative number or the joint form",
        ),
        (lambda: hm.presence(GOOD, form="code"), ValueError, "'equation', 'listing'"),
        (lambda: hm.gaussian_maps(torch.zeros(3), 4, 0.1), ValueError, r"points: got shape \(3,\)"),
        (
            lambda: hm.gaussian_maps(torch.zeros(1, 2), 4, 0.0),
            ValueError,
            "sigma: got 0.0, expected > 0",
        ),
        (lambda: hm.gaussian_maps(torch.zeros(1, 2), (4, 0), 0.1), ValueError, "size: got 0"),
        (
            lambda: hm.gaussian_maps(torch.zeros(1, 2) * math.nan, 4, 0.1),
            ValueError,
            "points: got 2 of",
        ),
        (lambda: hm.gaussian_maps(torch.zeros(1, 2).int(), 4, 0.1), TypeError, "not cell indices"),
    ],
)
def test_bad_input_gets_one_message(call, error, message):
    with pytest.raises(error, match=message):
        call()


class _ReadOut(torch.nn.Module):
    def forward(self, logits):
        return hm.soft_argmax(logits, 0.5), hm.soft_argmax(logits, separable=True)


@pytest.mark.slow
def test_a_network_that_calls_the_soft_argmax_can_be_exported():  # catches: a branch on values
    logits = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    program = torch.export.export(_ReadOut(), (logits,))
    for got, expected in zip(program.module()(logits * 2), _ReadOut()(logits * 2), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("separable", ["False", 0, None, torch.tensor([True])], ids=repr)
def test_separable_is_a_bool(separable):  # catches: "False" taken for true
    with pytest.raises(TypeError, match=r"separable: got .*expected True or False"):
        hm.soft_argmax(torch.zeros(3, 4), separable=separable)
