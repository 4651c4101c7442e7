"""Wrong versions of what the course teaches, each of which its tests must notice.

A test that cannot fail proves nothing. Each mutant is a mistake that people make; the taught
functions' own tests run with that one mistake in place, and they must fail. All of them run in one
process of their own, which imports torch once: ``python tests/test_mutants.py`` shows the list.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
RIGHT = "the right version"

#: Name of the mistake -> module, right source, wrong source.
MUTANTS = {
    "temperature multiplies": (
        "cores",
        "else logits / wide(temperature)[..., None, None]",
        "else logits * wide(temperature)[..., None, None]",
    ),
    "softmax over one axis": (
        "cores",
        "torch.softmax(scores.flatten(-2), dim=-1).view(logits.shape)",
        "torch.softmax(scores, dim=-1)",
    ),
    "softmax over channels": (
        "cores",
        "torch.softmax(scores.flatten(-2), dim=-1)",
        "torch.softmax(scores.flatten(-2), dim=0)",
    ),
    "x and y swapped": (
        "cores",
        "x = heatmaps.sum(-2) @ axis_coordinates(W, like=heatmaps)\n"
        "    y = heatmaps.sum(-1) @ axis_coordinates(H, like=heatmaps)",
        "y = heatmaps.sum(-2) @ axis_coordinates(W, like=heatmaps)\n"
        "    x = heatmaps.sum(-1) @ axis_coordinates(H, like=heatmaps)",
    ),
    "cell corners instead of centres": ("grid", "ends = (-1, 1)", "ends = (-1 + 1 / n, 1 - 1 / n)"),
    "coordinates from 0 to 1": ("grid", "ends = (-1, 1)", "ends = (0, 1)"),
    "y points up": (
        "grid",
        "y = axis_coordinates(H, like=like)[:, None]",
        "y = -axis_coordinates(H, like=like)[:, None]",
    ),
    "separable is the marginal": (
        "cores",
        "x = along_x.softmax(-1)",
        "x = softmax(logits, temperature).sum(-2)",
    ),
    "separable sums instead of averaging": (
        "cores",
        "logits.sum(-2) / H, logits.sum(-1) / W",
        "logits.sum(-2), logits.sum(-1)",
    ),
    "no half in the Gaussian": ("cores", "gx, gy = (-0.5 * dx**2)", "gx, gy = (-(dx**2))"),
    "sigma for its square": (
        "cores",
        "points[..., :1]) / wide(sigma)[..., None]",
        "points[..., :1]) / wide(sigma)[..., None].sqrt()",
    ),
    "spread by cancelling squares": (
        "heatmaps",
        "(px * dx**2).sum(-1) + (py * dy**2).sum(-1)",
        "(px * x**2).sum(-1) - (px * x).sum(-1) ** 2 + (py * y**2).sum(-1) - (py * y).sum(-1) ** 2",
    ),
    "presence in the listing's order": (
        "heatmaps",
        'tanh_last = form == "equation"',
        'tanh_last = form != "equation"',
    ),
    "padding forgotten": ("grid", "((kernel - 1) / 2 - padding)", "((kernel - 1) / 2)"),
    "stride counted before its layer": (
        "grid",
        "offset += stride * ((kernel - 1) / 2 - padding)\n        stride *= step",
        "stride *= step\n        offset += stride * ((kernel - 1) / 2 - padding)",
    ),
    "pixels counted from the edge": (
        "grid",
        "_span(size) / 2, _span(size) / 2)",
        "(_span(size) + 1) / 2, _span(size) / 2)",
    ),
    "error summed over time": (
        "metric._scores",
        "np.square(np.ascontiguousarray(x)).mean(axis=-1)",
        "np.square(np.ascontiguousarray(x)).sum(axis=-1)",
    ),
    "fitted on the scored frames": (
        "metric.tracking",
        "result = _judge(scored, fit, transform)",
        "result = _judge(scored, scored, transform)",
    ),
    "keypoint chosen on the scored frames": (
        "metric.tracking",
        "keypoint = _choose(maps, fit)",
        "keypoint = _choose(fit_pairs(scored, transform), scored)",
    ),
    "R2 against the scored frames' own mean": (
        "metric._scores",
        "y - constant[..., None]",
        "y - y.mean(axis=-1, keepdims=True)",
    ),
    "hidden frames count in the score": (
        "metric.tracking",
        "in groups(counts)",
        "in groups(np.ones_like(counts))",
    ),
    "centred over all episodes at once": (
        "metric.tracking",
        "label = frames.episode[frames.counts_of(n, k)]",
        "label = 0 * frames.episode[frames.counts_of(n, k)]",
    ),
    "pixels of the other axis": ("metric.tracking", "pixel**2", "pixel[::-1] ** 2"),
    "an error at its threshold is lost": ("metric.tracking", "(e <= mu)", "(e < mu)"),
    "never seen is tracked": ("metric.tracking", "(e <= mu)", "~(e > mu)"),
    "hidden frames move within their episode": (
        "metric.tracking",
        "slice(None) if counts.all() else counts",
        "slice(None)",
    ),
    "summed over hidden frames too": (
        "metric.tracking",
        "T = scored.counts_for(result.keypoint).sum(axis=0)",
        "T = len(scored.seen)",
    ),
    "three frames are enough for an affine map": (
        "metric._maps",
        'UNKNOWNS = {"affine": 3',
        'UNKNOWNS = {"affine": 2',
    ),
    "who answers in easy frames only is chosen": (
        "metric.tracking",
        "np.isfinite(maps.error) & (2 * maps.frames >= fit.seen.sum(axis=0))",
        "np.isfinite(maps.error)",
    ),
    "a lost point is one at the centre": (
        "metric._frames",
        "        return self.seen & (self.found[:, keypoint] | (keypoint < 0))",
        "        return self.seen",
    ),
    "a lost keypoint is a detection": (
        "metric.matching",
        "2 * there[whole].reshape(-1, length, there.shape[1]).sum(axis=1) >= length",
        "2 * there[whole].reshape(-1, length, there.shape[1]).sum(axis=1) >= 0",
    ),
    "as many frames as unknowns are enough": (
        "metric._regression",
        "at_least=unknowns + 1",
        "at_least=unknowns",
    ),
    "the last cell is part of the picture's edge": (
        "points._sightings",
        "z * [W, H] - 0.5",
        "z * [W - 1, H - 1]",
    ),
    "a likelihood of 0 is a point": (
        "points._sightings",
        "((score > 0) & (score >= threshold))",
        "(score >= threshold)",
    ),
    "hidden frames count in the fit": (
        "metric._maps",
        "in groups(seen, at",
        "in groups(np.ones_like(seen), at",
    ),
    "a map without a shift": (
        "metric._maps",
        'if transform == "identity" else shift',
        "if transform else shift",
    ),
    "identity with a shift": (
        "metric._maps",
        'if transform == "identity" else shift',
        "if not transform else shift",
    ),
    "each axis fitted alone": (
        "metric._maps",
        "r = xy * unit.prod(axis=-1)",
        "r = 0 * xy",
    ),
    "one tolerance for every scale": (
        "metric._maps",
        "roundings * eps * np.sqrt(mean_square)",
        "1e-6 * np.ones_like(mean_square)",
    ),
    "rounding fitted as motion": (
        "metric._maps",
        "_ROUNDINGS_OF_16_BITS = 16, 1",
        "_ROUNDINGS_OF_16_BITS = 0, 0",
    ),
    "normal equations for every keypoint": (
        "metric._maps",
        "_COLLINEAR = 1e-6",
        "_COLLINEAR = 1e-14",
    ),
    "the smallest map of columns of length 1": (
        "metric._maps",
        "np.outer(direction, along[0]) / (direction @ direction)",
        "np.outer(vt[0] * unit, along[0])",
    ),
    "negative errors of perfect keypoints": ("metric._maps", ".clip(min=0)", ""),
    "the other interquartile mean": (
        "metric.statistics",
        "n // 4 : n - n // 4",
        "(n + 2) // 4 : n - (n + 2) // 4",
    ),
    "objects drawn apart from their runs": (
        "metric.statistics",
        "x[drawn[i : i + step]]",
        "np.random.default_rng(i).choice(x.ravel(), (len(drawn[i : i + step]), *x.shape))",
    ),
    "5 % left out at each end": (
        "metric.statistics",
        "[50 - 50 * level, 50 + 50 * level]",
        "[100 - 100 * level, 100 * level]",
    ),
    "24 of 24 is 1 without doubt": (
        "metric.statistics",
        "z * math.sqrt(z**2 + 4 * k * (n - k) / n) / (2 * (n + z**2))",
        "z * math.sqrt(k * (n - k) / n) / n",
    ),
    "a warning for every crossed map": (
        "metric.tracking",
        "min(2, len(clear))",
        "min(1, len(clear))",
    ),
    "regression with a shift that it must not have": (
        "metric._regression",
        "if not intercept:",
        "if False:",
    ),
    "regression of any size": (
        "metric._regression",
        "s > max(floor, s[0] * max(x.shape) * np.finfo(np.float64).eps)",
        "s > 0",
    ),
    "dearest pairs first": (
        "metric._windows",
        "linear_sum_assignment(window)",
        "linear_sum_assignment(-window)",
    ),
    "near pairs rather than many": (
        "metric._windows",
        "1 + longest * distance.shape[2]",
        "1.01 * longest",
    ),
    "every unmatched keypoint is a detection": (
        "metric._windows",
        "found - np.minimum(found - m, K - present)",
        "found + 0 * m",
    ),
    "windows across episodes": ("metric._windows", "if not label.size:", "if True:"),
    "absent frames count in the mean": (
        "metric.matching",
        "total / np.maximum(time, 1)",
        "total / length",
    ),
    "a hit at the radius is lost": (
        "metric.matching",
        "(distance(p, y) <= near)",
        "(distance(p, y) < near)",
    ),
    "hidden frames count in the fit of what is in view": (
        "judge",
        '{"visible": seen, "fit_visible": fit_seen, **masks}',
        '{"visible": seen, **masks}',
    ),
    "in view across episodes": (
        "judge",
        "*fit, episode=label, **in_view",
        "*fit, **in_view",
    ),
    "windows across games": (
        "judge",
        '"episode": games[second]',
        '"episode": label',
    ),
    "the usual radius whatever was asked": (
        "judge",
        "precision_recall(z, y, radius, steps",
        "precision_recall(z, y, RADIUS, steps",
    ),
    "hidden frames count after the map": (
        "judge",
        "result.predict(z), y, radius, **scored",
        "result.predict(z), y, radius, found=chosen",
    ),
    "outside is hidden, too": ("judge", "(inside & ~seen)", "(~seen)"),
    "in view is everywhere": (
        "judge",
        '"R², in view": self.in_view.r2',
        '"R², in view": self.tracking.r2',
    ),
    "fitted where it is scored": (
        "judge",
        "fit = points[~second], flat.truth[~second]\n    masks",
        "fit = points[second], flat.truth[second]\n    masks",
    ),
    "the first view whatever was asked": (
        "detect",
        "episodes.flat(view).images",
        "episodes.flat().images",
    ),
    "a network that still trains": (
        "detect",
        'if getattr(module, "training", False):',
        "if False:",
    ),
    "squared error summed": ("cores", "(weight * squared).mean()", "(weight * squared).sum()"),
    "weight of errors, not of squares": (
        "cores",
        "(weight * squared).mean()",
        "(weight.square() * squared).mean()",
    ),
    "moving fast costs": ("cores", "points.diff(n=2, dim=-3)", "points.diff(n=1, dim=-3)"),
    "keypoints for time": ("cores", "points.diff(n=2, dim=-3)", "points.diff(n=2, dim=-2)"),
    "mean over colours, not over pixels": (
        "losses",
        "weight / (share @ weight)",
        "weight / weight.mean()",
    ),
    "the floor of a colour left out": (
        "losses",
        "max(floor, share[present].min())",
        "share[present].min()",
    ),
    "blue slowest": (
        "losses",
        "index = (red * bins + green) * bins + blue",
        "index = (blue * bins + green) * bins + red",
    ),
    "bytes rounded down": ("losses", "* 255).round().long()", "* 255).long()"),
    "cells of 255": ("losses", "np.arange(256) * bins >> 8", "np.arange(256) * (bins - 1) // 255"),
    "a bias in front of normalisation": (
        "extractors.blocks",
        "padding, bias=False)",
        "padding, bias=True)",
    ),
    "no padding": ("extractors.blocks", "kernel // 2 if padding is None", "0 if padding is None"),
    "a pooling not counted": (
        "extractors.blocks",
        "isinstance(layer, nn.Conv2d | nn.MaxPool2d)",
        "isinstance(layer, nn.Conv2d)",
    ),
    "width as it is, not its logarithm": (
        "extractors.blocks",
        "self.log.clamp(-_LARGEST_LOG, _LARGEST_LOG).exp()",
        "self.log + 1",
    ),
    "a width that underflows": (
        "extractors.blocks",
        "self.log.clamp(-_LARGEST_LOG, _LARGEST_LOG).exp()",
        "self.log.exp()",
    ),
    "every map counts alike in the prior": (
        "extractors.autoencoder.recipe",
        "(sure * maps).mean(0)",
        "maps.mean(0)",
    ),
    "a prior that draws to the usual place": (
        "extractors.autoencoder.recipe",
        "(near.clamp(max=1) + _NEVER).log()",
        "(near + _NEVER).log()",
    ),
    "a prior while training": (
        "extractors.autoencoder.recipe",
        "if self.prior is None or self.training else",
        "if self.prior is None else",
    ),
    "two looks half a cell apart": (
        "extractors.autoencoder.recipe",
        "conv(near, far, 4, stride=2, padding=1)",
        "conv(near, far, 3, stride=2, padding=1)",
    ),
    "the paper's width taken for ours": (
        "extractors.autoencoder.layers",
        "PAPER_SIGMA = 0.1 / 2**0.5",
        "PAPER_SIGMA = 0.1",
    ),
    "map coordinates for image coordinates": (
        "extractors.autoencoder.model",
        'if self.coordinates != "image":',
        "if self.coordinates:",
    ),
    "the background left out": (
        "extractors.autoencoder.model",
        "return image if self.background is None else image + self.background",
        "return image",
    ),
    "noise on the target": (
        "extractors.autoencoder.model",
        '"target": clean}',
        '"target": clean + noise}',
    ),
    "noise from the global generator": (
        "extractors.autoencoder.model",
        "torch.randn(clean.shape, generator=generator)",
        "torch.randn(clean.shape)",
    ),
    "weights from the global generator": (
        "extractors.autoencoder.names",
        "        torch.manual_seed(seed)\n",
        "",
    ),
    "velocity without its weight": (
        "extractors.autoencoder.model",
        'loss + self.velocity * parts["velocity"]',
        'loss + parts["velocity"]',
    ),
    "velocity across snippets": (
        "extractors.autoencoder.model",
        "acceleration(points.unflatten(0, (B, S)))",
        "acceleration(points[None])",
    ),
    "options forgotten": ("extractors.autoencoder.names", "config=config, **chosen", "**chosen"),
    "no ReLU in front of DSAE's softmax": (
        "extractors.autoencoder.layers",
        "*conv(b, keypoints, 5, padding=same))",
        "*conv(b, keypoints, 5, padding=same)[:-1])",
    ),
    "KeyNet's second stride forgotten": (
        "extractors.autoencoder.layers",
        "*conv(b, c, stride=late)",
        "*conv(b, c)",
    ),
    "a row for a column": (
        "cores",
        "along_y.softmax(-1)[..., :, None] * along_x.softmax(-1)[..., None, :]",
        "along_y.softmax(-1)[..., None, :] * along_x.softmax(-1)[..., :, None]",
    ),
    "what has left the game counts": (
        "judge",
        '"fit_visible": flat.visible[~second]}\n    scored',
        "}\n    scored",
    ),
    "nothing leaves where the target's keypoints are": (
        "extractors.transporter.transport",
        "kept = (1 - source_maps) * (1 - target_maps)",
        "kept = (1 - source_maps) * torch.ones_like(target_maps)",
    ),
    "nothing leaves where the source's keypoints were": (
        "extractors.transporter.transport",
        "kept = (1 - source_maps) * (1 - target_maps)",
        "kept = 1 - target_maps",
    ),
    "maps of source and target swapped": (
        "extractors.transporter.transport",
        "blend(source, target, *weights(source_maps, target_maps))",
        "blend(source, target, *weights(target_maps, source_maps))",
    ),
    "the last keypoint first": (
        "extractors.transporter.transport",
        "zip(kept.split(1, 1), target_maps.split(1, 1), strict=True)",
        "zip(kept.split(1, 1)[::-1], target_maps.split(1, 1)[::-1], strict=True)",
    ),
    "what one keypoint brings no other takes away": (
        "extractors.transporter.transport",
        "A, W = keep * A, keep * W + put",
        "A, W = keep * A, W + put",
    ),
    "all keypoints at once": (
        "extractors.transporter.transport",
        "    return A, W\n",
        "    return A, target_maps.sum(1, keepdim=True).clamp(max=1)\n",
    ),
    "no stop-gradient": (
        "extractors.transporter.model",
        "torch.is_grad_enabled() and not self.stop_gradient",
        "torch.is_grad_enabled()",
    ),
    "a stop-gradient that nothing lifts": (
        "extractors.transporter.model",
        "torch.is_grad_enabled() and not self.stop_gradient",
        "False",
    ),
    "the source's keypoints learn": (
        "extractors.transporter.model",
        "here, features = self.gaussians(source), self.features(channels_last(source))\n",
        "features = self.features(channels_last(source))\n        here = self.gaussians(source)\n",
    ),
    "the source's features learn": (
        "extractors.transporter.model",
        "here, features = self.gaussians(source), self.features(channels_last(source))\n",
        "here = self.gaussians(source)\n        features = self.features(channels_last(source))\n",
    ),
    "the target's features stay": (
        "extractors.transporter.model",
        "blend(features, brought,",
        "blend(brought, brought,",
    ),
    "taken from the target's keypoints": (
        "extractors.transporter.model",
        "*weights(here, there)",
        "*weights(there, here)",
    ),
    "the generator sees the source's keypoints": (
        "extractors.transporter.model",
        "in_places(self.gaussians(target))",
        "in_places(self.gaussians(source))",
    ),
    "the earlier frame from the later one": (
        "extractors.transporter.model",
        'return {"source": source, "target": target}',
        'return {"source": target, "target": source}',
    ),
    "the gate before the temperature": (
        "extractors.transporter.model",
        "/ self.temperature + gate",
        "/ self.temperature + gate / self.temperature",
    ),
    "heat maps of the other softmax": (
        "extractors.transporter.model",
        "cores.separable_softmax if self.separable else cores.softmax",
        "cores.softmax if self.separable else cores.separable_softmax",
    ),
    "the weighted loss reported as the plain one": (
        "extractors.transporter.model",
        '"reconstruction": squared.detach().mean()',
        '"reconstruction": loss.detach()',
    ),
    "the Transporter's width as its code has it": (
        "extractors.transporter.names",
        "PAPER_SIGMA = 0.1 / 2**0.5",
        "PAPER_SIGMA = 0.1",
    ),
    "a Transporter from the global generator": (
        "extractors.transporter.names",
        "torch.manual_seed(check_seed(seed))",
        "check_seed(seed)",
    ),
    "options of a Transporter forgotten": (
        "extractors.transporter.names",
        "config=config, **chosen",
        "**chosen",
    ),
    "a map at half the size": (
        "extractors.transporter.layers",
        "*conv(before, after, stride=2, norm=norm)",
        "*conv(before, after, stride=1 + (after == b), norm=norm)",
    ),
    "activations of colours": (
        "extractors.transporter.layers",
        "nn.Conv2d(a, 3, 3, padding=1))",
        "nn.Conv2d(a, 3, 3, padding=1), nn.ReLU())",
    ),
    "the worst candidates": (
        "extractors.transporter.recipe",
        "min(losses, key=",
        "max(losses, key=",
    ),
    "each candidate for itself": (
        "extractors.transporter.recipe",
        "torch.tensor([*kept, one]",
        "torch.tensor([one]",
    ),
    "chosen anew at every step": (
        "extractors.transporter.recipe",
        "int(self.taken) == self.choose_after + 1",
        "int(self.taken) > self.choose_after",
    ),
    "trials in the norms": (
        "extractors.transporter.model",
        "self.eval()  # trials",
        "self.train()  # trials",
    ),
    "where y is, x": (
        "extractors.transporter.recipe",
        "cell_coordinates(size).movedim(-1, 0)",
        "cell_coordinates(size).flip(-1).movedim(-1, 0)",
    ),
    "a validation is a step": (
        "extractors.transporter.model",
        "if self.training and self.candidates.count():",
        "if self.candidates.count():",
    ),
    "nearer pairs are taken": (
        "episodes.diverse",
        "_nearest(looks, buffer) > _nearest(buffer[old], buffer, own=old)",
        "_nearest(looks, buffer) < _nearest(buffer[old], buffer, own=old)",
    ),
    "a pair is its own neighbour": (
        "episodes.diverse",
        "_nearest(buffer[old], buffer, own=old)",
        "_nearest(buffer[old], buffer)",
    ),
    "the later frame alone": (
        "episodes.diverse",
        "np.concatenate([small[e, early], small[e, late]], axis=1)",
        "np.concatenate([small[e, late], small[e, late]], axis=1)",
    ),
    "both frames from anywhere": (
        "episodes.diverse",
        "int(rng.integers(a, middle)), int(rng.integers(middle, b))",
        "*sorted(int(n) for n in rng.integers(a, b, 2))",
    ),
    "trajectories across games": (
        "episodes.diverse",
        "np.flatnonzero(np.diff(games))",
        "np.flatnonzero(np.diff(games) < 0)",
    ),
}

#: Module -> the tests that teach it. Put in place in this order: a later one imports an earlier.
TAUGHT = {
    "grid": ("test_heatmaps.py", "test_grid.py"),
    "cores": ("test_heatmaps.py", "test_grid.py", "test_losses.py"),
    "heatmaps": ("test_heatmaps.py", "test_grid.py"),
    "metric._frames": ("test_tracking.py",),
    "metric._maps": ("test_tracking.py",),
    "metric._scores": ("test_tracking.py",),
    "metric._regression": ("test_matching.py",),
    "metric._windows": ("test_matching.py",),
    "metric.tracking": ("test_tracking.py",),
    "metric.matching": ("test_matching.py",),
    "metric.statistics": ("test_statistics.py",),
    "points._sightings": ("test_points.py",),
    "points.read": ("test_points.py",),
    "detect": ("test_judge.py",),
    "judge": ("test_judge.py",),
    "losses": ("test_losses.py",),
    "extractors.blocks": ("test_autoencoder.py",),
    "extractors.autoencoder.layers": ("test_autoencoder.py",),
    "extractors.autoencoder.model": ("test_autoencoder.py",),
    "extractors.autoencoder.recipe": ("test_autoencoder.py",),
    "extractors.autoencoder.names": ("test_autoencoder.py",),
    "extractors.autoencoder": ("test_autoencoder.py",),
    "extractors.transporter.transport": ("test_transporter.py",),
    "extractors.transporter.layers": ("test_transporter.py",),
    "extractors.transporter.recipe": ("test_transporter.py",),
    "extractors.transporter.model": ("test_transporter.py",),
    "extractors.transporter.names": ("test_transporter.py",),
    "extractors.transporter": ("test_transporter.py",),
    "episodes.diverse": ("test_diverse.py",),
}


def run_taught_tests(names: Iterable[str]) -> int:
    """Run the taught functions' tests up to the first failure; return pytest's exit status."""
    files = [str(TESTS / name) for name in names]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", os.devnull]
    options += ["-m", "not slow"]
    with contextlib.redirect_stdout(io.StringIO()):
        return int(pytest.main([*options, f"--rootdir={TESTS}", *files]))


def put(file: str, text: str) -> None:
    """Give a module of the package another source, and renew what imports from it."""
    for name in TAUGHT:
        module = importlib.import_module(f"kpbook.{name}")
        path = Path(str(module.__file__))
        source = text if name == file else path.read_text(encoding="utf-8")
        exec(compile(source, str(path), "exec"), module.__dict__)


def survey() -> dict[str, int]:
    """Exit status of the tests under each mutant, and under the right version."""
    statuses = {RIGHT: run_taught_tests(sorted(set().union(*TAUGHT.values())))}
    for name, (file, right, wrong) in MUTANTS.items():
        path = Path(str(importlib.import_module(f"kpbook.{file}").__file__))
        text = path.read_text(encoding="utf-8")
        if text.count(right) != 1:
            raise ValueError(
                f"{name}: {right!r} is no longer once in {path.name}; renew the mutant"
            )
        put(file, text.replace(right, wrong))
        statuses[name] = run_taught_tests(TAUGHT[file])
        put(file, text)
    return statuses


@pytest.mark.slow
def test_every_mutant_dies_and_the_right_version_lives() -> None:
    done = subprocess.run(
        [sys.executable, __file__],
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # tiny tensors: more threads only wait
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    statuses = json.loads(done.stdout.splitlines()[-1])
    assert statuses.pop(RIGHT) == 0
    assert set(statuses) == set(MUTANTS)
    survivors = [name for name, status in statuses.items() if status != 1]  # 1: a test failed
    assert not survivors


if __name__ == "__main__":
    print(json.dumps(survey()))  # noqa: T201
