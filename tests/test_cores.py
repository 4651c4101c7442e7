"""The unchecked arithmetic: exact in half precision, and never a look at a value."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kpbook import cores, entropy, expectation, gaussian_maps, soft_argmax, spatial_softmax
from kpbook.episodes import Episodes
from kpbook.extractors import registry

HALF = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
PIXEL = 2 / 63  # of an image 64 pixels wide, in image coordinates


@HALF
def test_an_even_map_of_256_cells_a_side_has_entropy_one(dtype):
    """Catches: a sum of 65,536 half-precision terms, each below the smallest normal number."""
    even = torch.full((1, 1, 256, 256), 1 / 256**2, dtype=dtype)
    assert entropy(even).item() == pytest.approx(1.0, abs=1e-6)


@HALF
def test_keypoints_of_half_precision_scores_are_those_of_the_same_scores(dtype):
    """Catches: coordinates that are rounded to 16 bits, up to 0.25 px of 64."""
    scores = 4 * torch.randn(8, 16, 64, 64, generator=torch.Generator().manual_seed(0))
    scores = scores.to(dtype)
    for z, exact in (
        (soft_argmax(scores), soft_argmax(scores.float())),
        (expectation(spatial_softmax(scores)), expectation(spatial_softmax(scores.float()))),
        (cores.soft_argmax(scores), cores.soft_argmax(scores.double()).float()),
    ):
        assert z.dtype == torch.float32
        assert (z - exact).abs().max().item() < 0.01 * PIXEL


@HALF
@pytest.mark.parametrize("separable", [False, True])
def test_autocast_leaves_the_bottleneck_in_float32(dtype, separable):
    scores = 4 * torch.randn(4, 8, 64, 64, generator=torch.Generator().manual_seed(1))
    z = cores.soft_argmax(scores, separable=separable)
    maps = gaussian_maps(z, (64, 64), 0.1)
    with torch.autocast("cpu", dtype=dtype):
        z_auto = cores.soft_argmax(scores, separable=separable)
        maps_auto = gaussian_maps(z, (64, 64), 0.1)
        rows = cores.separable_softmax(scores.to(dtype))
        public = soft_argmax(scores, separable=separable)
    assert (z_auto - z).abs().max().item() < 0.01 * PIXEL
    assert torch.equal(public, z_auto)
    assert torch.equal(maps_auto, maps)
    assert rows.dtype == torch.float32


class Looks(TorchDispatchMode):
    """Counts what makes a GPU wait: a value that is read."""

    count = 0

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        if op.overloadpacket in (
            torch.ops.aten._local_scalar_dense,
            torch.ops.aten.nonzero,
            torch.ops.aten.is_nonzero,
            torch.ops.aten.equal,
        ):
            self.count += 1
        return op(*args, **(kwargs or {}))


def test_a_look_is_counted():
    with Looks() as looks:
        math.isfinite(torch.ones(3).sum().item())
    assert looks.count == 1


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dsae-quarter", {}),
        ("basic-quarter", {}),
        ("keynet-quarter-vel-std-bg", {}),
        ("rarity", {}),
        ("transporter-small", {"gap": (1, 9)}),
        ("jakab-small-recipe", {"gap": (1, 9), "candidates": 0}),  # they count their steps
    ],
)
def test_a_training_step_reads_no_value(name, options):
    """Three waits a step on a GPU, once: the checks of images, of widths and of weights."""
    extractor = registry.build(name, batch_size=2, **options)
    episodes = Episodes.sample()[:2]
    extractor.prepare(episodes)
    batch = extractor.batch(episodes, torch.Generator().manual_seed(0))
    images = episodes.frames(2, torch.Generator().manual_seed(1))
    with Looks() as looks:
        extractor.loss(batch)["loss"].backward()
        extractor(images)
    assert looks.count == 0
