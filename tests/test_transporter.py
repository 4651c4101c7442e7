"""The Transporter: equation (1) against its loop, gradients, layers, names, and learning."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import multiprocessing
import os
import signal
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from toy_world import ToyGame

from kpbook import detect, grid, images, zoo
from kpbook.episodes import Episodes, record
from kpbook.extractors import check_extractor, registry, transporter
from kpbook.heatmaps import gaussian_maps
from kpbook.metric import precision_recall
from kpbook.recordings import atari
from kpbook.training import fit

equation = importlib.import_module("kpbook.extractors.transporter.transport")

ARCHITECTURES = ("transporter", "pixel-transporter", "jakab")
each = pytest.mark.parametrize("name", ARCHITECTURES)
TINY = {"image_size": 16, "width": 0.25, "batch_size": 3, "keypoints": 2, "gap": (1, 3)}
GREY = np.random.default_rng(9).integers(60, 200, (8, 8, 1)).repeat(3, 2)


def discs(episodes, frames=12, size=32, seed=0):
    """A red and a blue disc that drift and bounce over a patchwork of greys that stands still."""
    rng = np.random.default_rng(seed)
    low, high = size / 8, 7 * size / 8 - 1
    place = rng.uniform(low, high, (episodes, 1, 2, 2)) - low
    speed = rng.uniform(-size / 12, size / 12, (episodes, 1, 2, 2))
    path = place + speed * np.arange(frames)[:, None, None]
    path = high - np.abs(path % (2 * (high - low)) - (high - low))  # reflected at the border
    ground = GREY.repeat(size // 8, 0).repeat(size // 8, 1).astype(np.uint8)
    pictures = np.broadcast_to(ground, (episodes, frames, size, size, 3)).copy()
    y, x = np.mgrid[:size, :size]
    for k, colour in enumerate(((220, 40, 40), (40, 90, 220))):
        d2 = (x - path[:, :, k, 0, None, None]) ** 2 + (y - path[:, :, k, 1, None, None]) ** 2
        pictures[d2 <= (size / 12) ** 2] = colour
    return Episodes.from_frames(pictures, truth=grid.from_pixels(path, size), objects=("r", "b"))


def tiny(name, **options):
    """A network of 16-pixel images with a few channels, in training mode."""
    return transporter.build(name, **{**TINY, **options})


def pair(seed=0, count=2, size=16):
    """Source and target frames, ``(count, 3, size, size)``."""
    frames = torch.rand(2, count, 3, size, size, generator=torch.Generator().manual_seed(seed))
    return frames[0], frames[1]


def numbers(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def same_weights(one, other):
    """Raise unless two networks have the same weights."""
    torch.testing.assert_close(dict(one.state_dict()), dict(other.state_dict()), rtol=0, atol=0)


# -- equation (1) ------------------------------------------------------------------------------


def by_loops(source, target, here, there):
    """Oracle: chapter 5's loop: keypoint after keypoint, cell by cell, for every channel."""
    now, new, s, t = (x.numpy().copy() for x in (source, target, here, there))
    for n in range(s.shape[1]):
        for b, c, i, j in np.ndindex(now.shape):
            kept = (1 - s[b, n, i, j]) * (1 - t[b, n, i, j])
            now[b, c, i, j] = kept * now[b, c, i, j] + t[b, n, i, j] * new[b, c, i, j]
    return torch.from_numpy(now)


def some_maps():
    """Features (2, 3, 5, 7) of two frames and four keypoints' maps, all sizes different."""
    features = numbers(2, 2, 3, 5, 7)
    return *features, *numbers(2, 2, 4, 5, 7, seed=1)


def test_transport_is_the_loop_of_the_equation():
    # Catches: source for target, (1 - H_t) left out, keypoints all at once, the other order.
    torch.testing.assert_close(transporter.transport(*some_maps()), by_loops(*some_maps()))


def test_the_two_weights_are_their_closed_form():
    """As the docstring has them: a product, and a sum of products over later keypoints."""
    _, _, s, t = some_maps()
    A, W = equation.weights(s, t)
    assert A.shape == W.shape == (2, 1, 5, 7)
    kept = (1 - s) * (1 - t)
    torch.testing.assert_close(A, kept.prod(1, keepdim=True))
    terms = [t[:, n] * kept[:, n + 1 :].prod(1) for n in range(4)]
    torch.testing.assert_close(W[:, 0], sum(terms))


def test_what_has_no_keypoint_stays_and_what_both_frames_share_is_not_changed():
    source, target, s, t = some_maps()
    none = torch.zeros_like(s)
    torch.testing.assert_close(transporter.transport(source, target, none, none), source)
    torch.testing.assert_close(transporter.transport(source, source, none, t), source)  # A + W = 1


def test_features_leave_the_source_s_keypoint_and_arrive_at_the_target_s():
    """A map's peak is 1: there nothing is kept, and at the target's all is brought."""
    source, target = numbers(2, 1, 3, 9, 9) + 1
    left, right = torch.tensor([[[-0.75, 0.0]]]), torch.tensor([[[0.75, 0.0]]])
    here, there = (gaussian_maps(at.double(), (9, 9), 0.1) for at in (left, right))
    moved = transporter.transport(source, target, here, there)
    assert moved[0, :, 4, 1].abs().max() < 1e-9  # column 1 is at -0.75
    torch.testing.assert_close(moved[0, :, 4, 7], target[0, :, 4, 7])
    torch.testing.assert_close(moved[0, :, 0, :], source[0, :, 0, :], atol=1e-6, rtol=0)


def test_the_order_of_keypoints_matters_where_a_source_lies_on_another_s_target():
    source, target, s, t = some_maps()
    moved = transporter.transport(source, target, s, t)
    turned = transporter.transport(source, target, s.flip(1), t.flip(1))
    assert (moved - turned).abs().max() > 0.01
    apart = torch.zeros(1, 2, 5, 7, dtype=torch.float64)
    apart[0, 0, :2], apart[0, 1, 3:] = s[0, 0, :2], s[0, 1, 3:]  # no cell has both
    torch.testing.assert_close(
        transporter.transport(source[:1], target[:1], apart, apart),
        transporter.transport(source[:1], target[:1], apart.flip(1), apart.flip(1)),
    )


@pytest.mark.parametrize(
    ("spoil", "error", "match"),
    [
        (
            {1: numbers(2, 3, 5, 6)},
            ValueError,
            r"target: got shape \(2, 3, 5, 6\), expected \(2, 3",
        ),
        ({2: numbers(2, 5, 7)}, ValueError, r"source_maps: got .*\(2, N, 5, 7\). One map per keyp"),
        ({2: numbers(2, 4, 7, 5)}, ValueError, r"source_maps: got shape \(2, 4, 7, 5\)"),
        ({3: numbers(2, 3, 5, 7)}, ValueError, r"target_maps: got .* expected \(2, 4, 5, 7\)"),
        (
            {0: numbers(3, 5, 7)},
            ValueError,
            r"source: got shape \(3, 5, 7\), expected \(B, C, h, w",
        ),
        ({0: numbers(2, 3, 5, 7).numpy()}, TypeError, "source: got ndarray, expected a torch.Tens"),
        ({3: torch.ones(2, 4, 5, 7).long()}, TypeError, "target_maps: got dtype torch.int64"),
    ],
)
def test_maps_that_do_not_fit_are_named(spoil, error, match):
    given = [spoil.get(i, x) for i, x in enumerate(some_maps())]
    with pytest.raises(error, match=match):
        transporter.transport(*given)


# -- what is drawn from what -------------------------------------------------------------------


@each
def test_the_target_is_drawn_at_its_size(name):
    for small in ("", "-small"):
        e = transporter.build(f"{name}{small}", **{**TINY, "image_size": 32})
        assert e.predict(*pair(size=32)).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("name", ["transporter-small", "pixel-transporter-small"])
def test_what_is_transported_are_the_features_of_both_frames(name):
    """Catches: frames swapped, maps of one frame for both, another encoder for the second."""
    e, (source, target) = tiny(name, temperature=0.1), pair()
    e.refine = nn.Identity()
    maps = [gaussian_maps(e.points(x), e.map_size, float(e.sigma)) for x in (source, target)]
    expected = by_loops(*(x.detach() for x in (e.features(source), e.features(target), *maps)))
    torch.testing.assert_close(e.predict(source, target).detach(), expected)


def test_the_features_of_pixel_transport_are_the_pixels():
    e, (source, _) = tiny("pixel-transporter-small"), pair()
    features = e.features(source)
    assert features.shape == (2, 12, 8, 8)
    for c, i, j in np.ndindex(3, 2, 2):
        assert torch.equal(features[:, 4 * c + 2 * i + j], source[:, c, i::2, j::2])
    assert not list(e.features.parameters())
    assert transporter.build("pixel-transporter").features(torch.rand(1, 3, 128, 128)).shape == (
        1, 48, 32, 32,
    )  # fmt: skip


def test_the_conditional_generator_sees_source_features_and_target_maps():
    e, (source, target) = tiny("jakab-small", temperature=0.1), pair()
    e.refine = nn.Identity()
    drawn = e.predict(source, target)
    torch.testing.assert_close(drawn[:, :-2], e.features(source))
    maps = gaussian_maps(e.points(target), e.map_size, float(e.sigma))
    torch.testing.assert_close(drawn[:, -2:], maps)


def test_gaussians_are_those_of_the_paper():  # catches: their sigma taken for ours
    e, (source, _) = tiny("transporter-small"), pair()
    z = e.points(source).detach()
    place = np.linspace(-1, 1, 8)
    for b, n in np.ndindex(2, 2):
        x, y = z[b, n].tolist()
        d2 = (place[None] - x) ** 2 + (place[:, None] - y) ** 2
        np.testing.assert_allclose(
            e.gaussians(source)[b, n].detach(), np.exp(-d2 / 0.1**2), atol=1e-5
        )


def test_the_loss_is_weighted_and_the_plain_one_is_reported():
    e, (source, target) = tiny("transporter-small", rarity=3.0), pair()
    e.weight.table.copy_(torch.linspace(0.5, 4, 512))
    parts = e.loss({"source": source, "target": target})
    off = (e.predict(source, target) - target).square()
    torch.testing.assert_close(parts["reconstruction"], off.mean())
    torch.testing.assert_close(parts["loss"], (e.weight(target) * off).mean())
    assert not torch.isclose(parts["loss"], parts["reconstruction"])
    plain = tiny("transporter-small").loss({"source": source, "target": target})
    torch.testing.assert_close(plain["loss"], plain["reconstruction"])


# -- what we added -----------------------------------------------------------------------------


def test_the_encoder_may_see_where_each_pixel_is():
    e, (source, _) = tiny("transporter-small", places=True), pair()
    seen = e.places(source)
    assert torch.equal(seen[:, :3], source)
    at = torch.linspace(-1, 1, 16)
    torch.testing.assert_close(seen[:, 3], at.expand(2, 16, 16))  # x along columns
    torch.testing.assert_close(seen[:, 4], at[:, None].expand(2, 16, 16))
    assert (e.encoder[0].in_channels, e.features[0].in_channels) == (5, 3)
    assert e.knows_places
    assert not tiny("transporter-small").knows_places


CHOICE = {"candidates": 5, "choose_after": 3, "keypoints": 2, "temperature": 0.1}


def step(e, count=1, seed=0):
    """So many steps of training, without one of the weights."""
    source, target = pair(seed)
    for _ in range(count):
        e.train().loss({"source": source, "target": target})


def with_candidates(e, which):
    """A network of the same weights that has only these keypoints, and nothing to choose."""
    other = tiny("transporter-small", **{**CHOICE, "keypoints": len(which), "candidates": 0})
    weights = e.state_dict() | {k: v for k, v in other.state_dict().items() if "chosen" in k}
    last = max(int(k.split(".")[1]) for k in weights if k.startswith("encoder."))
    for part in ("weight", "bias"):
        key = f"encoder.{last}.scores.{part}"
        weights[key] = e.state_dict()[key][which]
    other.load_state_dict(weights)
    return other


def test_training_begins_with_all_candidates_and_goes_on_with_those_chosen():
    e, (source, _) = tiny("transporter-small", **CHOICE), pair()
    assert e.eval()(source).shape == (2, 2, 2)  # an extractor has N at all times
    for expected in (5, 5, 5, 2, 2):  # three steps, then the choice
        step(e)
        assert e.points(source).shape == (2, expected, 2)
    chosen = e.candidates.chosen.tolist()
    assert len(set(chosen)) == 2
    torch.testing.assert_close(e.points(source), with_candidates(e, chosen).points(source))
    torch.testing.assert_close(e.eval().points(source), with_candidates(e, chosen).points(source))
    e.train().predict(*pair()).sum().backward()  # nothing is learned of the others
    moved = e.candidates.scores.weight.grad.abs().amax((1, 2, 3)) > 0
    assert moved.nonzero().flatten().tolist() == chosen


def test_those_are_chosen_that_draw_best_together():
    """Oracle: networks that have nothing but the keypoints that are tried."""
    e = tiny("transporter-small", **CHOICE, seed=7)
    source, target = pair(seed=3)
    kept = []
    for _ in range(2):
        errors = {}
        for one in set(range(5)) - set(kept):
            alone = with_candidates(e, [*kept, one]).eval()
            with torch.no_grad():
                errors[one] = float(alone.loss({"source": source, "target": target})["loss"])
        kept.append(min(errors, key=errors.get))
    step(e, 4, seed=3)
    assert e.candidates.chosen.tolist() == sorted(kept)
    before = e.candidates.chosen.clone()
    step(e, 4, seed=4)  # once for all
    assert torch.equal(e.candidates.chosen, before)


def test_trials_leave_no_trace_and_a_validation_is_no_step():
    e = tiny("transporter-small", **CHOICE, norm="batch")
    source, target = pair()
    step(e, 4)
    for layer in e.encoder:
        if isinstance(layer, nn.BatchNorm2d):
            assert int(layer.num_batches_tracked) == 8  # two frames a step
    e.eval().loss({"source": source, "target": target})
    assert int(e.candidates.taken) == 4


def test_an_interrupted_choice_is_made_again():
    e, (source, _) = tiny("transporter-small", **CHOICE), pair()
    step(e, 3)
    state = {name: x.clone() for name, x in e.state_dict().items()}
    hook = e.refine.register_forward_hook(lambda *_: exec("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        step(e)
    hook.remove()
    assert e.training
    e.load_state_dict(state)  # as `fit` undoes the broken step
    assert e.points(source).shape == (2, 5, 2)
    step(e)
    other = tiny("transporter-small", **CHOICE)
    step(other, 4)
    assert torch.equal(e.candidates.chosen, other.candidates.chosen)


def test_the_generator_knows_which_candidate_a_map_belongs_to():
    e, (source, target) = tiny("jakab-small", **CHOICE), pair()
    assert e.refine[0].in_channels == 8 + 5
    step(e, 4)
    e.refine = nn.Identity()
    drawn, maps = e.predict(source, target)[:, 8:], e.gaussians(target)
    left_out = sorted(set(range(5)) - set(e.candidates.chosen.tolist()))
    torch.testing.assert_close(drawn[:, e.candidates.chosen], maps)
    assert not drawn[:, left_out].any()


# -- gradients ---------------------------------------------------------------------------------


def gradient_at_source(e, freeze=""):
    """Largest gradient of what is drawn at the source's pixels, one way to them left out."""
    source, target = pair()
    source.requires_grad_()
    if freeze == "features":
        e.features.register_forward_hook(lambda _, __, out: out.detach())
    if freeze == "points":
        e.encoder.register_forward_hook(lambda _, __, out: out.detach())
    e.predict(source, target).square().mean().backward()
    return 0.0 if source.grad is None else float(source.grad.abs().max())


@pytest.mark.parametrize("name", ["transporter-small", "pixel-transporter-small"])
def test_no_gradient_goes_through_the_source_unless_asked(name):
    """Catches: only one of features and keypoints stopped, or a control that stops one."""
    assert gradient_at_source(tiny(name, temperature=0.1)) == 0
    for freeze in ("features", "points"):
        control = tiny(name, temperature=0.1, stop_gradient=False)
        assert gradient_at_source(control, freeze) > 1e-9, freeze


def test_the_loss_learns_from_the_target_as_if_the_source_were_constant():
    e, (source, target) = tiny("transporter-small", temperature=0.1), pair()
    weights = [*e.encoder.parameters(), *e.features.parameters()]
    stopped = torch.autograd.grad(e.loss({"source": source, "target": target})["loss"], weights)
    with torch.no_grad():
        here, features = e.gaussians(source), e.features(source)
    moved = transporter.transport(features, e.features(target), here, e.gaussians(target))
    loss = (e.refine(moved) - target).square().mean()
    for mine, constant in zip(stopped, torch.autograd.grad(loss, weights), strict=True):
        torch.testing.assert_close(mine, constant)
    assert any(grad.abs().max() > 0 for grad in stopped)


def test_a_control_is_the_same_network_with_another_gradient():
    e, control = tiny("transporter-small"), tiny("transporter-small", stop_gradient=False)
    same_weights(e, control)
    source, target = pair()
    torch.testing.assert_close(e.predict(source, target), control.predict(source, target))


def test_the_jakab_generator_learns_from_the_source_s_features():
    e = tiny("jakab-small", temperature=0.1)
    assert gradient_at_source(e) > 1e-9
    assert gradient_at_source(tiny("jakab-small", temperature=0.1), "features") == 0


# -- the contract ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frames():
    """Four frames of the sample of Pong, as networks see them."""
    return images.to_float(atari.sample().flat().images[300::2400][:4])


@each
def test_an_untrained_network_keeps_the_contract(name, frames):
    e = transporter.build(f"{name}-small").eval()
    with pytest.warns(UserWarning, match="the shift was not checked. An untrained network"):
        assert check_extractor(e, frames)[-1] == "gradient"
    e = transporter.build(f"{name}-small-recipe").eval()
    assert e.knows_places
    assert check_extractor(e, frames)[-1] == "gradient"


@pytest.mark.parametrize("separable", [False, True])
def test_keypoints_are_the_means_of_heat_maps_that_sum_to_one(separable):
    e, (source, _) = tiny("transporter-small", separable=separable, temperature=0.05), pair()
    maps = e.heatmaps(source)
    torch.testing.assert_close(maps.sum((-2, -1)), torch.ones(2, 2))
    at = torch.linspace(-1, 1, 8)
    z = torch.stack([maps.sum(-2) @ at, maps.sum(-1) @ at], -1)
    torch.testing.assert_close(e.points(source), z)
    pixel = e.offset + e.stride * (z + 1) / 2 * 7
    torch.testing.assert_close(e(source), 2 * pixel / 15 - 1)
    if separable:
        rank = torch.linalg.matrix_rank(maps.detach().double(), rtol=1e-4)
        assert (rank == 1).all()


def test_temperature_divides_the_scores_and_the_gate_is_added_after_it():
    episodes = discs(4, size=16)
    e = tiny("transporter-small", separable=False, temperature=0.5, gate=3.0)
    e.prepare(episodes)
    source = images.to_float(episodes.flat().images[:2])
    _, gate = e.difference(source)
    assert gate.std() > 0.1
    scores = e.encoder(source) / 0.5 + gate
    expected = torch.softmax(scores.flatten(-2), -1).view(scores.shape)
    torch.testing.assert_close(e.heatmaps(source), expected)


@pytest.mark.parametrize("scale", ["", "-small"])
def test_sharp_keypoints_move_with_the_image(scale):  # catches: a wrong stride or offset
    # Weights that hand red, green and blue on: the keypoints are the brightest red and green.
    e = transporter.build(
        f"transporter{scale}", image_size=64, width=0.25, temperature=1e-2, separable=False
    )
    for i, layer in enumerate(e.encoder):
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.InstanceNorm2d):  # an image that is moved has other means
            e.encoder[i] = nn.Identity()
    few = images.to_float(discs(6, 1, 64).flat().images)
    assert check_extractor(e.eval(), few)[-1] == "shift"


@each
def test_other_ways_to_run(name, frames):
    e = transporter.build(f"{name}-small-recipe", width=0.25).eval()
    z, drawn = e(frames), e.predict(frames, frames.flip(0))
    mapped = torch.func.vmap(lambda image: e(image[None])[0])(frames)
    torch.testing.assert_close(mapped, z, atol=1e-5, rtol=0)
    with warnings.catch_warnings():  # what it says of sizes holds: they are the network's
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(e, (frames[:2],))
    torch.testing.assert_close(traced(frames), z, atol=1e-5, rtol=0)
    half, some = e.to(torch.bfloat16), frames.to(torch.bfloat16)
    assert half(some).dtype == torch.float32
    off = half.predict(some, some.flip(0)).float() - drawn
    assert off.abs().median() < 0.02


# -- pairs -------------------------------------------------------------------------------------


def marked(episodes=5, steps=24):
    """Frames whose colour says game and step; games of 4 to 9 frames follow one another."""
    games = record(ToyGame(4, 9), episodes=episodes, steps=steps, policy="press", progress=False)
    colour = games.images[:, :, :, :1, :1]
    return dataclasses.replace(
        games, images=np.broadcast_to(colour, (*colour.shape[:3], 16, 16, 3))
    )


def test_pairs_lie_in_one_game_and_the_target_is_later():
    e, generator = tiny("transporter-small", batch_size=200, gap=(2, 3)), torch.Generator()
    batch = e.batch(marked(), generator.manual_seed(0))
    (g1, t1), (g2, t2) = (
        (255 * batch[key][:, :2, 0, 0]).round().long().T for key in ("source", "target")
    )
    assert torch.equal(g1, g2)
    assert set((t2 - t1).tolist()) == {2, 3}
    assert e.images_per_batch == 400
    again = e.batch(marked(), generator.manual_seed(0))
    torch.testing.assert_close(again, batch, rtol=0, atol=0)


def test_a_gap_longer_than_every_game_is_named():
    e = tiny("transporter-small", gap=(9, 12))
    with pytest.raises(
        ValueError, match=r"span: got 1\d frames in a row, expected at most 9, the lo"
    ):
        e.batch(marked(), torch.Generator())
    with pytest.raises(ValueError, match=r"gap: got \(1, 20\), expected 1 <= shortest <= longest"):
        tiny("transporter-small", gap=(1, 20)).batch(discs(2, size=16), torch.Generator())


@pytest.mark.parametrize(
    ("gap", "error", "match"),
    [
        ((0, 3), ValueError, "gap: got 0, expected at least 1. Steps; at 0 both frames are the sa"),
        ((5, 3), ValueError, r"gap: got \[5, 3\], expected \(shortest, longest\), 1 <= shortest"),
        (4, ValueError, r"gap: got 4, expected \(shortest, longest\)"),
        ((1, 2, 3), ValueError, r"gap: got \[1, 2, 3\]"),
        ((1.5, 2), TypeError, "gap: got 1.5, expected a whole number"),
    ],
)
def test_a_gap_that_is_none_is_refused_before_anything_runs(gap, error, match):
    with pytest.raises(error, match=match):
        tiny("transporter-small", gap=gap)


@pytest.mark.parametrize("method", ["prepare", "batch"])
def test_frames_of_another_size_are_refused(method):
    e, others = tiny("jakab-small"), discs(2, size=32)
    call = {"prepare": e.prepare, "batch": lambda x: e.batch(x, torch.Generator())}[method]
    with pytest.raises(ValueError, match=r"frames of \(32, 32\) pixels, expected \(16, 16\)"):
        call(others)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        ({"source": torch.rand(1, 3, 16, 16)}, r"batch\['source'\]: got .*One for each target"),
        ({"target": torch.rand(2, 16, 16)}, r"batch\['target'\]: got shape \(2, 16, 16\)"),
        (dict.fromkeys(("source", "target"), torch.rand(2, 3, 8, 8)), r"images: got .*\(B, 3, 16,"),
    ],
)
def test_a_batch_of_other_shapes_is_named(spoil, match):
    source, target = pair()
    with pytest.raises(ValueError, match=match):
        tiny("transporter-small").loss({"source": source, "target": target, **spoil})


@pytest.mark.parametrize("size", [16, 32])
def test_pixels_that_move_can_weigh_more_at_every_size(size):  # catches: a scene of 64 pixels
    episodes = discs(4, size=size)
    e = transporter.build("transporter-small", **{**TINY, "image_size": size, "motion": 4.0})
    e.prepare(episodes)
    parts = e.loss(e.batch(episodes, torch.Generator().manual_seed(0)))
    assert parts["loss"] != parts["reconstruction"]


# -- layers ------------------------------------------------------------------------------------


def convolutions(stack):
    return [
        (m.kernel_size[0], m.stride[0], m.out_channels)
        for m in stack.modules()
        if isinstance(m, nn.Conv2d)
    ]


def test_layers_of_the_papers_sizes_are_those_of_its_appendix():
    """Appendix A: six layers, 7 x 7 and then 3 x 3, filters doubled after every two, strides."""
    e = transporter.build("transporter")
    six = [(7, 1, 32), (3, 1, 32), (3, 2, 64), (3, 1, 64), (3, 2, 128), (3, 1, 128)]
    assert convolutions(e.features) == six
    assert convolutions(e.encoder) == [*six, (1, 1, 4)]
    kinds = [type(m) for m in e.features]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 6
    filters = [n for _, _, n in convolutions(e.refine)]
    assert filters == [128, 64, 64, 32, 32, 3]  # the encoder's inputs, backwards
    ups = [m for m in e.refine if isinstance(m, nn.Upsample)]
    assert [(m.scale_factor, m.mode) for m in ups] == [(2, "bilinear")] * 2
    assert isinstance(e.refine[-1], nn.Conv2d)  # colours: no activation
    assert (e.image_size, e.map_size, e.stride, e.offset) == (128, (32, 32), 4, 0)
    assert (e.batch_size, e.gap, e.separable, float(e.temperature)) == (64, (1, 20), True, 1)
    assert float(e.sigma) == pytest.approx(0.1 / 2**0.5)
    assert not e.knows_places
    assert e.candidates.candidates == e.candidates.keypoints == 4
    assert (e.weight.rarity, e.weight.motion) == (0, 0)


def test_three_architectures_have_the_same_encoders():
    e, pixels, jakab = (transporter.build(f"{name}-small") for name in ARCHITECTURES)
    for other in (pixels, jakab):
        same_weights(e.encoder, other.encoder)
    same_weights(e.features, jakab.features)
    inputs = [x.refine[0].in_channels for x in (e, pixels, jakab)]
    assert inputs == [32, 12, 32 + 4]


def test_the_small_one_ends_at_half_the_size():
    e = transporter.build("transporter-small")
    assert convolutions(e.features) == [(5, 2, 16), (3, 1, 32), (3, 1, 32)]
    assert (e.image_size, e.map_size, e.stride, e.offset) == (64, (32, 32), 2, 0)
    assert any(isinstance(m, nn.InstanceNorm2d) for m in e.encoder)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in e.modules())


def test_width_is_the_share_of_the_channels():
    half = transporter.build("transporter", width=0.5)
    assert [n for _, _, n in convolutions(half.features)] == [16, 16, 32, 32, 64, 64]
    assert half.refine[-1].out_channels == 3


# -- names and options -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("transporter-small-recipe", {"keypoints": 3}),
        ("transporter-small", {"stop_gradient": False, "gap": (3, 3), "sigma": 0.2}),
        ("pixel-transporter-recipe", {"image_size": 32, "width": 0.25, "motion": 2.0}),
        ("jakab-small", {"norm": "batch", "batch_size": 5, "separable": False}),
        ("transporter-small", {"keypoints": np.int64(3), "sigma": torch.tensor(0.25)}),
    ],
)
def test_name_and_config_give_the_network_again(name, options):
    first = transporter.build(name, seed=3, **options)
    config = json.loads(json.dumps(first.config))  # as a file of weights has it
    assert config == first.config
    again = registry.build(first.name, seed=3, **config)
    assert again.config == first.config
    same_weights(first, again)
    for option in ("keypoints", "image_size", "gap", "separable", "batch_size", "name"):
        assert getattr(again, option) == getattr(first, option)
    assert type(again) is type(first)
    for option, value in options.items():
        assert first.config[option] == (list(value) if option == "gap" else value)


@each
def test_the_seed_gives_the_weights_and_leaves_the_callers_generator(name):
    before = torch.get_rng_state()
    first = tiny(f"{name}-small", seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        same_weights(first, tiny(f"{name}-small", seed=3))
    other = tiny(f"{name}-small", seed=4)
    assert not torch.equal(first.encoder[0].weight, other.encoder[0].weight)


def test_the_registry_knows_the_family():
    assert set(ARCHITECTURES) <= set(registry.names())
    assert type(registry.build("jakab-small")) is transporter.ConditionalGenerator
    for name in ("transporter-small", "pixel-transporter-small-recipe"):
        assert type(registry.build(name)) is transporter.Transporter


@pytest.mark.parametrize(
    "name", ["transporter-", "transporter-recipe-small", "jakab-big", "pixel-transporter-small-x"]
)
def test_a_switch_out_of_place_lists_what_exists(name):
    known = (
        "one of transporter, pixel-transporter, jakab, then any of -small, -recipe in this order"
    )
    with pytest.raises(ValueError, match=f"architecture: got {name!r}, expected {known}"):
        registry.build(name)


@pytest.mark.parametrize("name", ["transproter", "pixel", "Jakab", None])
def test_an_unknown_name_lists_what_exists(name):
    with pytest.raises(
        ValueError, match=r"architecture: got .*, transporter, pixel-transporter, ja"
    ):
        registry.build(name)


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("transporter", {"colour": 1}, "option of transporter: got 'colour', expected one of "),
        ("transporter", {"keypoint": 1}, "Did you mean 'keypoints'"),
        ("jakab-small", {"stop_gradient": False}, "option of jakab-small: got 'stop_gradient'"),
        ("transporter", {"keypoints": 0}, "keypoints: got 0, expected at least 1. N, points per"),
        ("transporter", {"image_size": 66}, "image_size: got 66, expected a multiple of 4 for tr"),
        ("transporter-small", {"image_size": 33}, "got 33, expected a multiple of 2 for transpor"),
        ("transporter", {"image_size": 8}, "image_size: got 8, expected at least 16"),
        ("transporter", {"width": 0.01}, r"width: got 0.01, expected values in \[0.0625, 4\]. Sh"),
        ("transporter", {"norm": "layer"}, "norm: got 'layer', expected one of 'instance', 'batc"),
        ("transporter", {"sigma": 0}, "sigma: got 0.*, expected > 0. In map coordinates"),
        ("transporter", {"temperature": -1}, "temperature: got -1.*, expected > 0. It divides"),
        ("transporter", {"rarity": -1}, r"rarity: got -1, expected values in \[0, 1000\]. 0 leav"),
        ("transporter", {"gate": -1}, "gate: got -1"),
        ("transporter", {"candidates": 3}, "candidates: got 3, expected 0, or at least 4, the ke"),
        ("transporter", {"candidates": -1}, "candidates: got -1, expected at least 0"),
        ("transporter", {"choose_after": 0}, "choose_after: got 0, expected at least 1. Steps be"),
        ("transporter", {"batch_size": 0}, "batch_size: got 0, expected at least 1. Pairs"),
        ("transporter", {"seed": -1}, "seed: got -1, expected at least 0"),
    ],
)
def test_an_option_out_of_place_is_named(name, options, match):
    with pytest.raises(ValueError, match=match):
        registry.build(name, **options)


@pytest.mark.parametrize("option", ["small", "separable", "whiten", "places", "stop_gradient"])
def test_a_flag_is_a_bool(option):  # catches: "False" taken for true
    with pytest.raises(TypeError, match=f"{option}: got 'False', expected True or False"):
        registry.build("transporter-small", **{option: "False"})


# -- kept and trained --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [f"{name}-small-recipe" for name in ARCHITECTURES])
def test_weights_are_kept_whole_or_without_what_only_draws(name, tmp_path):
    e = tiny(name, seed=5)
    e.prepare(discs(4, size=16))
    e.eval()
    source, target = pair()
    whole = zoo.load_file(zoo.save(e, tmp_path / "whole.safetensors"))
    same_weights(whole, e)
    assert torch.equal(whole.predict(source, target), e.predict(source, target))
    part = zoo.save(e, tmp_path / "part.safetensors", encoder_only=True)
    assert part.stat().st_size < 0.6 * (tmp_path / "whole.safetensors").stat().st_size
    alone = zoo.load_file(part)
    assert torch.equal(alone(source), e(source))
    # Catches: a drawing from weights that are not in the file.
    with pytest.raises(RuntimeError, match=r"part\.safetensors: got weights of the encoder only"):
        alone.predict(source, target)
    with pytest.raises(ValueError, match="without the weights that draw"):
        zoo.save(alone, tmp_path / "again.safetensors")


def score(e, episodes):
    """Precision and recall over windows of ten frames, within 0.2."""
    z, flat = detect.keypoints(e.eval(), episodes), episodes.flat()
    e.train()
    found = precision_recall(z, flat.truth, 0.2, [10], episode=flat.episode)
    return float(found.precision[0]), float(found.recall[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transporter-small", "jakab-small"])
def test_it_learns_where_two_discs_are_and_an_untrained_one_does_not_know(name):
    train, test = discs(60), discs(20, seed=1)
    size = {"keypoints": 2, "image_size": 32, "width": 0.25, "batch_size": 16, "gap": (1, 8)}
    # Most of the recipe: two discs need no candidates.
    ours = {"separable": False, "temperature": 0.1, "rarity": 6.0, "whiten": True, "gate": 10.0}
    e = transporter.build(name, **size, **ours)
    e.prepare(train)
    untrained = score(e, test)
    result = fit(e, train, steps=120, learning_rate=0.01, schedule="one-cycle", progress=False)
    learned = score(result.extractor, test)
    assert max(untrained) < 0.6
    assert min(learned) > 0.9


RUN = {"steps": 8, "seed": 2, "every": 3, "learning_rate": 0.01, "schedule": "one-cycle",
       "name": "run", "checkpoint_every": 0.0, "progress": False}  # fmt: skip


def train(folder, die_after=None):
    """A short run; ``die_after`` so many steps its process is killed in the middle of the next."""
    torch.set_num_threads(1)
    e = tiny("transporter-small-recipe", norm="batch", candidates=5, choose_after=3)
    steps = [0]
    whole = e.loss

    def loss(batch):
        parts = whole(batch)
        steps[0] += e.training
        if die_after is not None and steps[0] > die_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return parts

    e.loss = loss
    episodes, others = discs(6, size=16), discs(4, size=16, seed=1)
    return fit(e, episodes, validate=others, folder=folder, **RUN)


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    """Catches: a median frame, moments or a choice that is left out of a checkpoint."""
    threads = torch.get_num_threads()
    with contextlib.ExitStack() as stack:
        stack.callback(torch.set_num_threads, threads)
        unbroken = train(tmp_path / "unbroken")
        child = multiprocessing.get_context("spawn").Process(
            target=train, args=(tmp_path / "killed", 5)
        )
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        assert max(p.name for p in (tmp_path / "killed").glob("run.step-*")) == (
            "run.step-00000005.safetensors"
        )
        resumed = train(tmp_path / "killed")
    same_weights(resumed.extractor, unbroken.extractor)
    clocks = {"seconds", "cpu_seconds", "train_seconds", "train_cpu_seconds"}
    one, other = (
        [{k: v for k, v in row.items() if k not in clocks} for row in run.curve]
        for run in (resumed, unbroken)
    )
    assert one == other
    assert one[-1]["step"] == 8
