"""Stopwatches of the benchmarks: contenders in turn, one thread, memory kept, a matmul to beat."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

Calls = dict[str, Callable[[], object]]
Row = dict[str, Any]
#: Sides of the square matrices whose product is the yardstick: in a CPU's cache, and far beyond.
MATMUL_SIZES = {"cpu": (512, 1024), "cuda": (4096, 8192)}


def measure(
    contenders: Calls, rounds: int, warm_up: int, device: str = "cpu", before: int = 0
) -> dict[str, list[float]]:
    """Time each contender once a round and return its milliseconds, warm-up left out.

    ``before`` calls of the contender that are not timed fill the caches with what it needs. Without
    them a short one starts on what the long one before it has left there.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(warm_up + rounds):
        for name, run in contenders.items():
            for _ in range(before):
                run()
            _wait(device)
            start = time.perf_counter()
            run()
            _wait(device)
            if number >= warm_up:
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


@contextlib.contextmanager
def one_thread(device: str) -> Iterator[None]:
    """Compute on one thread and reuse memory, as a worker does; on a GPU nothing changes."""
    threads = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
        _keep_freed_memory()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def same_arithmetic() -> Iterator[None]:
    """Let a GPU round products of matrices as it rounds those of convolutions (TF32)."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def matmuls(device: str) -> tuple[Calls, dict[str, float]]:
    """Products of square float32 matrices, and the multiply-adds of each."""
    calls: Calls = {}
    work = {}
    generator = torch.Generator().manual_seed(0)
    for n in MATMUL_SIZES[torch.device(device).type]:
        a, b = (torch.randn(n, n, generator=generator).to(device) for _ in range(2))
        calls[f"matmul {n}"] = _product(a, b)
        work[f"matmul {n}"] = float(n**3)
    return calls, work


def multiply_adds(network: nn.Module, run: Callable[[], object]) -> int:
    """Count the multiply-adds of every convolution and linear layer while ``run`` runs.

    Additions, activations, batch normalisation and the soft-argmax are not counted: in these
    networks they are a few per cent of the arithmetic, though not of the time.
    """
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            kernel = layer.kernel_size[0] * layer.kernel_size[1]
            total += output.numel() * kernel * layer.in_channels // layer.groups
        elif isinstance(layer, nn.Linear):
            total += output.numel() * layer.in_features

    hooks = [layer.register_forward_hook(count) for layer in network.modules()]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return total


def _product(a: Tensor, b: Tensor) -> Callable[[], object]:
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def _keep_freed_memory() -> None:
    """Tell glibc to reuse large blocks instead of handing each back to the system.

    Otherwise fresh pages cost more than the arithmetic, and most for whoever makes the most
    temporary arrays: kornia's forward pass takes three times as long. Others than glibc: no-op.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        m_trim_threshold, m_mmap_threshold = -1, -3  # from malloc.h
        libc.mallopt(m_mmap_threshold, 2**25)  # bytes; our maps have 20 MB
        libc.mallopt(m_trim_threshold, 2**31 - 1)


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
