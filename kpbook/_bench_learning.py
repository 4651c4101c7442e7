"""Two benchmarks: a step of training against a product of matrices, the metric against a loop."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kpbook._timing import Calls, Row, matmuls, measure, multiply_adds, one_thread, same_arithmetic
from kpbook.episodes import Episodes
from kpbook.extractors import registry
from kpbook.metric import tracking_error

#: What the recorded runs of chapter 3 train.
TRAINED = (
    "dsae-quarter", "basic-quarter", "basic-kp32-quarter", "keynet-quarter",
    "keynet-quarter-vel-std-bg", "rarity",
)  # fmt: skip
#: Frames, keypoints and objects of a validation: 100 episodes of 20 frames.
TRACKING_SIZE = (2000, 32, 3)


def bench_training(rounds: int = 7, device: str = "cpu") -> list[Row]:
    """Time a training step of each network: loss, backward pass, and a step of Adam.

    A batch is drawn once, before the clock starts. The yardstick, the product of two square
    matrices, is measured in the same rounds.

    Returns:
        One row per network: images per second (median), multiply-adds per image (forward), the
        arithmetic rate, counted as 6 operations for each of them (2 forward, 4 backward), and
        that rate as a share of the fastest matrix product.
    """
    episodes = Episodes.sample()[:20]
    calls, work = matmuls(device)
    images = {}
    with one_thread(device), same_arithmetic():
        for name in TRAINED:
            extractor, batch = _ready(name, episodes, device)
            calls[name] = _training_step(extractor, batch)
            # Counted in the loss, as that is where each layer is used as training uses it.
            work[name] = multiply_adds(extractor, partial(extractor.loss, batch))
            images[name] = extractor.images_per_batch
        times = measure(calls, rounds, warm_up=2, device=device)
    return _training_rows(times, work, images)


def bench_tracking(rounds: int = 20) -> list[Row]:
    """Time :func:`kpbook.metric.tracking_error` against least squares in a loop.

    Returns:
        One row per contender: median milliseconds of a call that follows another of its own, how
        many times as long as ours, the milliseconds of a call that follows another contender's
        and finds the caches filled by that, and the largest relative difference of its errors
        from ours.
    """
    T, N, K = TRACKING_SIZE
    rng = np.random.default_rng(0)
    points, truth = rng.uniform(-1, 1, (T, N, 2)), rng.uniform(-1, 1, (T, K, 2))
    truth += points[:, :K]  # somewhat tracked: no error is that of a constant
    functions: dict[str, Callable[..., np.ndarray]] = {
        "kpbook.metric.tracking_error": lambda z, y: tracking_error(z, y).error,
        "lstsq, each keypoint and object": _errors_by_pair,
        "lstsq, each keypoint": _errors_by_keypoint,
    }
    with one_thread("cpu"):
        calls: Calls = {name: partial(f, points, truth) for name, f in functions.items()}
        cold = measure(calls, rounds, warm_up=3)
        times = measure(calls, rounds, warm_up=0, before=2)
    ours, *_ = errors = [f(points, truth) for f in functions.values()]
    off = [float(np.abs(e / ours - 1).max()) for e in errors]
    return _tracking_rows(times, cold, off)


def _ready(name: str, episodes: Episodes, device: str) -> tuple[Any, dict[str, Tensor]]:
    """An extractor as at the first step of its training, and a batch."""
    extractor: Any = registry.build(name)
    extractor.prepare(episodes)
    batch = extractor.batch(episodes, torch.Generator().manual_seed(0))
    return extractor.to(device).train(), {key: x.to(device) for key, x in batch.items()}


def _training_step(extractor: Any, batch: dict[str, Tensor]) -> Callable[[], object]:
    adam = torch.optim.AdamW(extractor.parameters(), lr=1e-3, weight_decay=0.0)  # as in fit

    def step() -> None:
        adam.zero_grad(set_to_none=True)
        extractor.loss(batch)["loss"].backward()
        adam.step()

    return step


def _training_rows(
    times: dict[str, list[float]], work: Mapping[str, float], images: Mapping[str, int]
) -> list[Row]:
    products = set(times) - set(images)
    peak = max(2 * work[name] / min(times[name]) for name in products)  # operations per ms
    rows = []
    for name, count in images.items():
        ms = statistics.median(times[name])
        rate = 6 * work[name] / ms
        rows.append(
            {
                "network": name,
                "images/s": 1e3 * count / ms,
                "million multiply-adds an image": work[name] / count / 1e6,
                "GFLOP/s": rate / 1e6,
                "share of the matmul peak": rate / peak,
                "matmul peak, GFLOP/s": peak / 1e6,
            }
        )
    return rows


def _tracking_rows(
    times: dict[str, list[float]], cold: dict[str, list[float]], off: list[float]
) -> list[Row]:
    ours, *_ = medians = [statistics.median(ms) for ms in times.values()]
    return [
        {
            "function": name,
            "ms": ms,
            "times ours": ms / ours,
            "ms, caches cold": statistics.median(cold[name]),
            "relative difference": d,
        }
        for name, ms, d in zip(times, medians, off, strict=True)
    ]


def _errors_by_pair(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Tracking errors ``(K,)`` as one writes them first: an affine fit for every pair."""
    T, N, K = len(points), points.shape[1], truth.shape[1]
    error = np.empty((N, K))
    for n in range(N):
        z = np.column_stack([points[:, n], np.ones(T)])
        for k in range(K):
            fit, *_ = np.linalg.lstsq(z, truth[:, k], rcond=None)
            error[n, k] = np.square(z @ fit - truth[:, k]).sum() / T
    return np.asarray(error.min(axis=0))


def _errors_by_keypoint(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The same with one factorisation for all objects."""
    T, N, K = len(points), points.shape[1], truth.shape[1]
    y = truth.reshape(T, 2 * K)
    error = np.empty((N, K))
    for n in range(N):
        z = np.column_stack([points[:, n], np.ones(T)])
        fit, *_ = np.linalg.lstsq(z, y, rcond=None)
        error[n] = np.square(z @ fit - y).sum(axis=0).reshape(K, 2).sum(axis=1) / T
    return np.asarray(error.min(axis=0))
