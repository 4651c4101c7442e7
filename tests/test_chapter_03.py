"""Chapter 3 and its recipe's page: what they teach is what kpbook does; checks judge."""

import copy
import math
import os
import subprocess
import sys
from pathlib import Path

import notebooks
import numpy as np
import pytest
import torch
from scipy.stats import rankdata, spearmanr
from torch import nn
from torch.nn import functional

import kpbook
from kpbook import grid, losses
from kpbook.episodes import Episodes
from kpbook.extractors.autoencoder.recipe import SpatialPrior
from kpbook.extractors.blocks import Difference, PixelWeight, Positive, median_frame
from kpbook.extractors.registry import build
from kpbook.images import to_float

CHAPTER = "03_spatial_autoencoders"
MODULES = {
    "math": math,
    "np": np,
    "torch": torch,
    "nn": nn,
    "functional": functional,
    "kpbook": kpbook,
    "rankdata": rankdata,
    "build": build,
    "Episodes": Episodes,
    "to_float": to_float,
}
RECIPE = "recipe"


def taught():
    """What the chapter defines: its taught cells, the book's versions, and the folded bootstrap."""
    scope = CHECKS | BLANKS
    for source in notebooks.code_with_tag(CHAPTER, "taught", "book", "setup"):
        if not source.startswith(("# @title Imports", "# @title Read the recorded")):
            exec(compile(source, CHAPTER, "exec"), scope)
    return scope


CHECKS = notebooks.exercises(CHAPTER, **MODULES)
BLANKS = notebooks.namespace(CHAPTER, "exercise", **MODULES)
TAUGHT = taught()
PARTS = notebooks.namespace(RECIPE, "taught", **MODULES, brick=TAUGHT["brick"])
SOLUTIONS = notebooks.solutions(CHAPTER)


def some(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# -- what is taught is what the package does -----------------------------------------------------


def same_weights(ours, mine):
    """Copy the package's weights into the page's network; ``strict`` notices another layer."""
    mine.encoder.load_state_dict(ours.encoder.state_dict())
    weights = [w for key, w in ours.decoder.state_dict().items() if "sigma" not in key]
    mine.decoder.load_state_dict(dict(zip(mine.decoder.state_dict(), weights, strict=True)))
    return mine


def settled(network, images):
    """Give batch normalisation statistics that are not 0 and 1."""
    network.train()
    with torch.no_grad():
        network.reconstruct(images)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("dsae-quarter", 64, {"width": 0.25, "small": True}),
        ("basic-quarter", 64, {"width": 0.25, "small": True}),
        ("keynet-quarter", 64, {"width": 0.25, "small": True}),
        ("basic-kp32-quarter", 64, {"width": 0.25, "small": True, "N": 32}),
        pytest.param("dsae", 256, {}, marks=pytest.mark.slow),
        pytest.param("basic", 256, {}, marks=pytest.mark.slow),
        pytest.param("keynet", 256, {}, marks=pytest.mark.slow),
    ],
)
def test_the_networks_that_are_taught_are_the_package_s(name, size, options):
    images = some(2, 3, size, size).float().sigmoid()
    ours = settled(build(name, coordinates="paper", seed=3), images)
    mine = same_weights(ours, TAUGHT[f"make_{name.split('-')[0]}"](**options)).eval()
    with torch.no_grad():
        torch.testing.assert_close(mine.points(images), ours(images))
        torch.testing.assert_close(mine(images), ours.reconstruct(images))
    parts = [sum(w.numel() for w in part.parameters()) for part in (mine.encoder, mine.decoder)]
    widths = sum(w.numel() for key, w in ours.decoder.named_parameters() if "sigma" in key)
    assert sum(parts) == (
        sum(w.numel() for w in ours.encoder.parameters())
        + sum(w.numel() for w in ours.decoder.parameters())
        - widths
    )


def test_a_network_with_another_layer_is_noticed():  # the comparison above can fail
    ours = build("dsae-quarter", coordinates="paper").eval()
    mine = same_weights(ours, TAUGHT["make_dsae"](width=0.25, small=True)).eval()
    mine.encoder[-1] = nn.Identity()  # DSAE without its last ReLU
    images = some(1, 3, 64, 64).float().sigmoid()
    assert not torch.allclose(mine.points(images), ours(images), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 3, 1, 2), (2, 5, 3, 2)])
def test_the_velocity_loss_that_is_taught_is_the_package_s(shape):
    points = some(*shape)
    torch.testing.assert_close(TAUGHT["acceleration_loss"](points), losses.acceleration(points))


@pytest.mark.parametrize("floor", [0.0, 0.02])
@pytest.mark.parametrize("bins", [2, 8])
def test_the_rarity_that_is_taught_is_the_package_s(bins, floor):
    frames = np.random.default_rng(0).integers(0, 256, (4, 5, 7, 3), dtype=np.uint8)
    frames[:, :2] = 200
    table = TAUGHT["rarity_table"](frames, bins, floor)
    ours = losses.colour_rarity(frames, bins, floor)
    np.testing.assert_allclose(table, ours.numpy(), rtol=1e-6)
    weight = losses.rarity_weight(to_float(frames), ours)[:, 0]
    np.testing.assert_allclose(table[TAUGHT["colour_index"](frames, bins)], weight, rtol=1e-6)


def test_whitening_gate_and_weight_that_are_taught_are_the_package_s():
    frames = Episodes.sample()[:3].flat().images  # 60: fewer than the package would thin out
    x, scene = to_float(frames), torch.from_numpy(median_frame(frames)).movedim(-1, 0)
    difference = Difference(64, (32, 32), whiten=True, gate=10.0)
    difference.prepare(frames)
    seen, opened = difference(x)
    u = torch.einsum("ij,bjhw->bihw", PARTS["whitening"](x, scene), x - scene)
    torch.testing.assert_close(u.clamp(-8, 8), seen, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(PARTS["gate"](x, scene, 10.0), opened)
    pixels = PixelWeight(2.0, 3.0)
    pixels.prepare(frames)
    torch.testing.assert_close(TAUGHT["pixel_weight"](frames, scene, 2.0, 3.0), pixels(x)[:, 0])


def test_the_two_looks_that_are_taught_are_the_package_s():
    ours = build("rarity", seed=3).encoder.train()
    images = some(4, 3, 64, 64).float()
    ours(images)  # statistics that are not 0 and 1
    mine = PARTS["TwoLooks"]().eval()
    mine.load_state_dict(ours.eval().state_dict())
    with torch.no_grad():
        torch.testing.assert_close(mine(images), ours(images))
        mine.far[-1] = nn.Upsample(scale_factor=2)  # the comparison can fail
        assert not torch.allclose(mine(images), ours(images), atol=1e-3)


def test_the_prior_that_is_taught_is_the_package_s():
    ours = SpatialPrior(4, (6, 8), strength=1.0)
    maps = some(5, 4, 48).mul(3).softmax(-1).unflatten(-1, (6, 8)).float()
    for _ in range(200):
        ours.observe(maps)
    torch.testing.assert_close(PARTS["log_prior"](ours.usual), ours())
    assert ours().std() > 0.1


def test_the_width_that_is_taught_is_the_package_s_and_stays_positive():
    mine, ours = TAUGHT["Width"](), Positive(0.1 / 2**0.5)
    for width in (mine, ours):
        step = torch.optim.SGD(width.parameters(), lr=100.0)
        (width() * 1.0).backward()
        step.step()
    torch.testing.assert_close(mine(), ours())
    assert mine() > 0


def test_the_background_that_is_taught_is_the_package_s():
    episodes = Episodes.sample()[:3]
    ours = build("basic-quarter", background="median", coordinates="paper").eval()
    ours.prepare(episodes)
    images = to_float(episodes.flat().images)
    plain = same_weights(ours, TAUGHT["make_basic"](width=0.25, small=True)).eval()
    mine = TAUGHT["WithBackground"](plain, images[:59])  # odd: the median is a frame's own value
    ours.background.data = mine.background.data.clone()
    with torch.no_grad():
        torch.testing.assert_close(mine(images[::20]), ours.reconstruct(images[::20]))


def test_training_a_little_lowers_the_loss():
    torch.manual_seed(0)
    network = TAUGHT["make_dsae"](width=0.25, small=True)
    curve = TAUGHT["train_a_little"](network, some(4, 3, 64, 64).float().sigmoid(), 6)
    assert curve[-1] < curve[0]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_rank_correlation_is_spearman_s_also_with_ties(seed):
    x, y = np.random.default_rng(seed).integers(0, 9, (2, 30))
    ours = TAUGHT["rank_correlation"](x, y)
    assert ours == pytest.approx(spearmanr(x, y).statistic)
    low, high = TAUGHT["bootstrap"](x, y, draws=400)
    assert low < ours < high


def test_the_bootstrap_redraws_each_network_s_runs_among_its_own():
    x, network = np.arange(12.0), ["a"] * 6 + ["b"] * 6
    y = np.r_[np.zeros(6), np.ones(6)]  # all that is ordered is the order of the networks
    low, high = TAUGHT["bootstrap"](x, y, network, draws=200)
    free = TAUGHT["bootstrap"](x, y, draws=200)
    assert low > 0.8  # both networks are in each draw, six runs each
    assert free[0] < low
    assert free[0] <= high


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    rng, hits = np.random.default_rng(5), 0
    for _ in range(60):
        x, y = rng.normal(size=(2, 25))
        low, high = TAUGHT["bootstrap"](x, y, draws=200)
        hits += low <= 0 <= high
    assert 50 <= hits <= 60


# -- exercises -----------------------------------------------------------------------------------

MAKES = ["acceleration_loss", "rarity_table"]  # written by the reader before the book shows them
EXERCISES = ["basic_cell_to_pixel", "score_needed", "velocity_loss", "rarity", "my_switch"]


@pytest.mark.parametrize("name", MAKES + EXERCISES)
def test_a_blank_is_noticed(name):
    scope = TAUGHT | notebooks.namespace(CHAPTER, "exercise", **TAUGHT)
    assert CHECKS[f"check_{name}"](scope[name]).startswith("not written yet")


@pytest.mark.parametrize("name", MAKES)
def test_the_book_s_version_is_accepted(name):
    assert CHECKS[f"check_{name}"](TAUGHT[name]) == "correct"
    assert TAUGHT[name].from_book  # the blank was not taken for an answer


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda z: z.diff(dim=1).square().mean(), "this penalises speed"),
        (lambda z: z.diff(n=3, dim=1).square().mean(), "one difference too many"),
        (lambda z: z.diff(n=2, dim=0).square().mean(), "differences between snippets"),
        (lambda z: z.diff(n=2, dim=2).square().mean(), "differences between keypoints"),
        (lambda z: z.diff(n=2, dim=1).abs().mean(), "square them"),
        (lambda z: z.diff(n=2, dim=1).square().sum(), "a sum: take the mean"),
        (lambda z: z.diff(n=2, dim=1).square().sum(-1).mean(), "a sum over x and y"),
        (lambda z: z.diff(n=2, dim=1).square().mean().sqrt(), "a root"),
        (lambda z: z.diff(dim=1).square().diff(dim=1).mean(), "after both differences"),
        (lambda z: (z[:, 2:] - z[:, :-2]).square().mean(), "subtract neighbours"),
        (lambda z: z.diff(n=2, dim=1).square().mean((0, 1, 3)), "shape (4,), expected"),
        (lambda z: 1.0, "a float, expected a tensor of one number"),
        (lambda z: None, "nothing came back"),
        (lambda z: z.diff(n=2, dim=1).mean().square(), "square first, then take the mean"),
        (lambda z: z.diff(n=2, dim=1).square().sum(2).mean(), "a sum over the keypoints"),
        (lambda z: z.mean(), "two differences, then a mean"),
    ],
)
def test_wrong_acceleration_losses_are_told_apart(wrong, message):
    assert message in CHECKS["check_acceleration_loss"](wrong)


def table(change):
    """A wrong table of rarity: ``change`` gets share and floor of each colour."""

    def rarity_table(frames, bins=8, floor=1e-4):
        index = TAUGHT["colour_index"](frames, bins)
        share = np.bincount(index.ravel(), minlength=bins**3) / index.size
        with np.errstate(divide="ignore", invalid="ignore"):
            return change(share, floor)

    return rarity_table


def normal(weight, share):
    return weight / np.nansum(np.where(share > 0, share * weight, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, f: 1 / np.maximum(p, f), "Z is missing"),
        (lambda p, f: 1 / np.maximum(p, f) / (1 / np.maximum(p, f)).mean(), "mean over colours"),
        (
            lambda p, f: 1 / np.maximum(p, f) / (1 / np.maximum(p, f))[p > 0].mean(),
            "mean over the colours that occur",
        ),
        (lambda p, f: 1 / np.maximum(p, f) / (1 / np.maximum(p, f)).sum(), "weights' sum is 1"),
        (lambda p, f: normal(np.maximum(p, f), p), "common colours weigh more"),
        (lambda p, f: normal(1 / p, p), "no floor"),
        (lambda p, f: normal(1 / (p + f), p), "the floor is added"),
        (lambda p, f: normal(1 / np.minimum(p, f), p), "the smaller of share and floor"),
        (lambda p, f: 1 / p / (p @ (1 / p)), "infinite or nan"),
        (lambda p, f: None, "nothing came back"),
        (lambda p, f: p[:5], "shape (5,), expected (64,)"),
        (lambda p, f: np.ones_like(p), "not the weights of eq. (3.6)"),
    ],
)
def test_wrong_tables_of_rarity_are_told_apart(change, message):
    assert message in CHECKS["check_rarity_table"](table(change))


def test_what_never_occurs_may_weigh_anything():
    """Both ways to floor a colour without pixels are right: no pixel has it."""
    right = table(lambda p, f: normal(1 / np.maximum(p, f), p))
    assert CHECKS["check_rarity_table"](right) == "correct"


def test_the_recipe_s_page_has_the_chapter_s_brick():
    """One source: the brick of section 3.2, word for word but for its comment."""

    def brick_of(notebook, *tags):
        code = next(c for c in notebooks.code_with_tag(notebook, *tags) if "def brick" in c)
        lines = code[code.index("def brick") :].splitlines()
        return [line for line in lines if not line.strip().startswith("#")]

    assert brick_of(RECIPE, "setup") == brick_of(CHAPTER, "taught")


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_is_accepted(name):
    scope = dict(MODULES)
    exec(SOLUTIONS[name], scope)
    assert CHECKS[f"check_{name}"](scope[name]) == "correct"


def test_the_cell_s_pixel_is_the_one_that_a_lit_pixel_finds():
    """Oracle: of all cells, which one reacts most to a bump around its pixel?"""
    network = build("basic", width=1 / 16)
    pools = nn.Sequential(*(m for m in network.encoder if isinstance(m, nn.MaxPool2d)))
    ramp = torch.arange(256.0)[None, None, None].expand(1, 1, 256, 256)
    largest = pools(ramp)[0, 0, 16]  # the last pixel of each cell's window
    scope = dict(MODULES)
    exec(SOLUTIONS["basic_cell_to_pixel"], scope)
    inner = [scope["basic_cell_to_pixel"](i) + 3.5 for i in range(1, 32)]
    assert largest[1:32].tolist() == inner
    assert (network.stride, network.offset) == (8, -3.5)
    assert grid.map_geometry([(2, 2, 1)] * 3) == (8, -3.5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda i: 8 * i, "a padded pooling is not centred"),
        (lambda i: 8 * i + 3.5, "the wrong way"),
        (lambda i: i * 255 / 32, "map coordinates read as the image's"),
        (lambda i: 8 * i - 1.5, "in its own input"),
        (lambda i: 8 * i - 7, "takes half of it back"),
        (lambda i: 6 * i - 3.5, "three strides of 2 make 8"),
        (lambda i: 8 * i - 2, "cell 0 is not at pixel -2"),
        (lambda i: None, "nothing came back"),
    ],
)
def test_wrong_cells_are_told_apart(wrong, message):
    assert message in CHECKS["check_basic_cell_to_pixel"](wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda m, n, p, t: math.log(p / (1 - p) * (m - n) / n) / t, "must be multiplied by it"),
        (lambda m, n, p, t: math.log(p / (1 - p) * (m - n) / n), "the temperature is missing"),
        (lambda m, n, p, t: 0.0, "negative scores do not vanish"),
        (lambda m, n, p, t: t * math.log(p / (1 - p) * m / n), "counted as background, too"),
        (lambda m, n, p, t: t * math.log(p / (1 - p) * (m - n)), "divide by their number"),
        (lambda m, n, p, t: t * math.log(p * (m - n) / n), "share / (1 - share)"),
        (lambda m, n, p, t: 3.0, "got 3.000, expected"),
        (lambda m, n, p, t: None, "nothing came back"),
    ],
)
def test_wrong_scores_are_told_apart(wrong, message):
    assert message in CHECKS["check_score_needed"](wrong)


def test_the_score_that_is_needed_gives_the_share_behind_a_relu():
    scope = dict(MODULES)
    exec(SOLUTIONS["score_needed"], scope)
    scores = torch.full((13, 17), -3.0, dtype=torch.float64)
    scores[2:4, 5:8] = scope["score_needed"](13 * 17, 6, 0.4, 0.7)
    p = kpbook.spatial_softmax(scores.relu(), 0.7)
    assert p[2:4, 5:8].sum().item() == pytest.approx(0.4)


def weighted(second, weight):
    return (second.square().mean((0, 1, 3)) * weight / weight.sum()).sum()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda z, w: weighted(z.diff(dim=1), w), "this penalises speed"),
        (lambda z, w: weighted(z.diff(n=3, dim=1), w), "a third difference"),
        (lambda z, w: weighted(z.diff(n=2, dim=0), w), "time is axis 1"),
        (
            lambda z, w: (z.diff(n=2, dim=1).abs().mean((0, 1, 3)) * w / w.sum()).sum(),
            "square them",
        ),
        (lambda z, w: 2 * weighted(z.diff(n=2, dim=1), w), "not their mean"),
        (lambda z, w: weighted(z.diff(n=2, dim=1), w) * w.sum(), "do not sum to 1"),
        (lambda z, w: z.diff(n=2, dim=1).square().mean(), "the weights are missing"),
        (lambda z, w: weighted(z[:, 2:] - z[:, :-2], w), "neighbours only"),
        (
            lambda z, w: z.diff(n=2, dim=1).square().mean((0, 1, 3)),
            "expected a tensor of one number: take the mean",
        ),
        (lambda z, w: torch.zeros((), dtype=torch.float64), "got 0.0000, expected"),
        (lambda z, w: weighted(z.diff(n=2, dim=1), w) / 4, "no mean over them"),
        (lambda z, w: 1.0, "a float, expected a tensor of one number"),
        (lambda z, w: None, "nothing came back"),
    ],
)
def test_wrong_velocity_losses_are_told_apart(wrong, message):
    assert message in CHECKS["check_velocity_loss"](wrong)


def shares(labels):
    return np.bincount(labels.ravel())[labels] / labels.size


def by_row(labels, power):
    p = np.stack([shares(row) for row in labels]) ** -power
    return p / p.mean()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda a, q: shares(a) ** q / (shares(a) ** q).mean(), "common labels weigh more"),
        (lambda a, q: shares(a) ** -q, "the mean is not 1"),
        (lambda a, q: shares(a) ** -q / (shares(a) ** -q).sum(), "the sum is 1"),
        (lambda a, q: 1 / shares(a) / (1 / shares(a)).mean(), "the power is ignored"),
        (by_row, "rarity is over all frames"),
        (lambda a, q: (1 - shares(a)) / (1 - shares(a)).mean(), "1 - p is nearly 1"),
        (
            lambda a, q: shares(a) ** -q / np.mean(np.unique(shares(a)) ** -q),
            "the mean over labels is 1",
        ),
        (lambda a, q: shares(a)[0], "shape (5,), expected (2, 5)"),
        (lambda a, q: np.ones(a.shape), "first pixel: got 1.0000"),
        (lambda a, q: (shares(a) * a.size) ** -q, "counts, not shares"),
        (lambda a, q: None, "nothing came back"),
        (
            lambda a, q: shares(a) ** -(q or 1) / (shares(a) ** -(q or 1)).mean(),
            "with power 0 all weights must be 1",
        ),
    ],
)
def test_wrong_rarities_are_told_apart(wrong, message):
    assert message in CHECKS["check_rarity"](wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("median", "a dict, please"),
        ({"background": "zero"}, "black until it has learned"),
        ({"velocity": 0.1}, "acts on training only"),
        ({"rarity": 2.0}, "not what is drawn"),
        ({"learn_sigma": "shared"}, "the drawing is still wrong"),
        ({"keypoints": 8}, "the keypoints moved"),
        ({"temperature": 0.1}, "the keypoints moved"),
        ({"background": "mean"}, "build refuses it: background: got 'mean'"),
        ({"speed": 1}, "build refuses it"),
    ],
)
def test_wrong_switches_are_told_apart(options, message):
    assert message in CHECKS["check_my_switch"](lambda: copy.deepcopy(options))


@pytest.mark.slow
def test_an_interval_over_networks_does_not_depend_on_the_hash_of_their_names():
    """catches: a set of words, whose order is another one in each process"""
    script = (
        "import math, numpy as np, notebooks\n"
        "from scipy.stats import rankdata\n"
        "code = notebooks.code_with_tag('03_spatial_autoencoders', 'taught', 'setup')\n"
        "for part in ('def rank_correlation', 'def bootstrap'):\n"
        "    exec(next(c for c in code if part in c))\n"
        "x, y = np.random.default_rng(0).normal(size=(2, 12))\n"
        "print(bootstrap(x, y, list('abcabcabcabb'), 50))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3", "4")
    }
    assert len(said) == 1
