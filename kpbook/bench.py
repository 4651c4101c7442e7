"""The table of ratios: ``python -m kpbook.bench`` measures, prints and records it.

Each group times its contenders in turn, round after round, in one process, so that a machine
whose speed drifts slows all of them alike. What is quoted is the median over rounds and the ratio
of medians. The first rounds warm up the allocator and the caches and are not counted.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kpbook import heatmaps, runs, tables
from kpbook._bench_learning import bench_tracking, bench_training
from kpbook._checks import check_choice, require
from kpbook._timing import Calls, Row, measure, one_thread
from kpbook.heatmaps import soft_argmax

#: The shape of Boney et al. (2021), section VI-D: batch, keypoints, height, width.
FPAC_SHAPE = (128, 32, 35, 35)


def bench_soft_argmax(rounds: int = 30, device: str = "cpu") -> list[Row]:
    """Time joint and separable soft-argmax against kornia's and dsntnn's, forward and both ways.

    Args:
        rounds: Counted rounds.
        device: ``"cpu"`` (one thread, as in a data loader's worker) or ``"cuda"``.

    Returns:
        One row per contender; for each direction its median milliseconds, and those over the
        joint form's and over those of one pass over the memory (the sum of all logits).
    """
    subpix = require("kornia.geometry.subpix", extra="dev", purpose="the comparison")
    dsntnn = require("dsntnn", extra="dev", purpose="the comparison")

    def kornia_(a: Tensor) -> Tensor:
        points: Tensor = subpix.spatial_expectation2d(subpix.spatial_softmax2d(a))
        return points

    def dsntnn_(a: Tensor) -> Tensor:
        points: Tensor = dsntnn.dsnt(dsntnn.flat_softmax(a))
        return points

    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "one pass (sum)": lambda a: a.sum(),
        "kpbook joint": soft_argmax,
        "kpbook separable": lambda a: soft_argmax(a, separable=True),
        "kornia": kornia_,
        "dsntnn": dsntnn_,
    }
    logits = torch.randn(FPAC_SHAPE, generator=torch.Generator().manual_seed(0)).to(device)
    points = soft_argmax(logits)
    tracked = logits.clone().requires_grad_()

    def forward(f: Callable[[Tensor], Tensor]) -> None:
        with torch.no_grad():
            f(logits)

    def both(f: Callable[[Tensor], Tensor]) -> None:
        tracked.grad = None
        out = f(tracked)
        out.backward(torch.ones_like(out))

    times = {}
    with one_thread(device):
        for direction, run in (("forward", forward), ("forward + backward", both)):
            calls: Calls = {name: _bind(run, f) for name, f in functions.items()}
            calls["input checks alone"] = lambda: _checks(logits, points)
            times[direction] = measure(calls, rounds, warm_up=10, device=device)
    return _soft_argmax_rows(times)


def bench_render(rounds: int = 40) -> list[Row]:
    """Time frames of :class:`kpbook.world.PushWorld` against panda-gym's own ``render()``.

    Returns:
        One row per image size: frames per second of both, and their ratio.
    """
    gymnasium = require("gymnasium", extra="world", purpose="the comparison")
    from kpbook.world import PushWorld
    from kpbook.world.quiet import quiet

    rows = []
    for size in (64, 128):
        with quiet():  # pybullet announces itself, panda-gym's options are printed
            require("panda_gym", extra="world", purpose="the comparison")
            theirs = gymnasium.make(
                "PandaPush-v3", renderer="Tiny", render_width=size, render_height=size
            )
        theirs.reset(seed=0)
        ours = {look: PushWorld(image_size=size, look=look) for look in ("fast", "full")}
        calls: Calls = {"panda-gym": theirs.render}
        for look, world in ours.items():
            world.reset(seed=0)
            calls[look] = _bind(_new_frame, world)
        times = measure(calls, rounds, warm_up=3)
        theirs.close()
        for world in ours.values():
            world.close()
        rows.append(_render_row(size, times))
    return rows


def bench_record(episodes: int = 40, steps: int = 20) -> list[Row]:
    """Time recording end to end on one process: physics, scene rebuilds, frames and truth."""
    require("pybullet", extra="world", purpose="recording")
    from kpbook.episodes import record
    from kpbook.world import PushWorld

    rows = []
    for size in (64, 128):
        world = PushWorld(image_size=size)
        record(world, episodes=2, steps=steps, seed=1, progress=False)
        start = time.perf_counter()
        record(world, episodes=episodes, steps=steps, seed=0, progress=False)
        seconds = time.perf_counter() - start
        world.close()
        rows.append({"image": f"{size} px", "frames/s": episodes * steps / seconds})
    return rows


BENCHES: dict[str, Callable[..., list[Row]]] = {
    "soft_argmax": bench_soft_argmax,
    "render": bench_render,
    "record": bench_record,
    "training": bench_training,
    "tracking": bench_tracking,
}
#: Those that also run on a GPU, and packages whose versions matter to each.
ON_DEVICE = ("soft_argmax", "training")
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "soft_argmax": ("kornia", "dsntnn"),
    "render": ("panda-gym", "pybullet"),
    "record": ("panda-gym", "pybullet"),
}


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmarks that the command line names, print their tables and record them."""
    parser = argparse.ArgumentParser(prog="python -m kpbook.bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(BENCHES)}; all without it")
    parser.add_argument(
        "--device", default="cpu", help=f"cpu or cuda, for {' and '.join(ON_DEVICE)}"
    )
    parser.add_argument("--out", type=Path, default=_results(), help="folder for run records")
    options = parser.parse_args(arguments)
    for name in options.names or BENCHES:
        check_choice(name, BENCHES, name="benchmark")
    for name in options.names or BENCHES:
        kwargs = {"device": options.device} if name in ON_DEVICE else {}
        start = time.perf_counter()
        rows = BENCHES[name](**kwargs)
        seconds = time.perf_counter() - start
        print(f"\n{name}\n{tables.show(rows)}")
        device = kwargs.get("device", "cpu")
        record = runs.RunRecord(
            name=f"bench-{name.replace('_', '-')}{'' if device == 'cpu' else '-gpu'}",
            command=f"python -m kpbook.bench {name}"
            + ("" if device == "cpu" else f" --device {device}"),
            results=rows,
            seconds=seconds,
            device=runs.describe_device(device, threads=1),
            versions=runs.describe_versions(*PACKAGES.get(name, ())),
        )
        print(f"recorded in {record.save(options.out)}")


def _results() -> Path:
    """The folder that the book reads, seen from the checkout, or one of the caller's own."""
    return Path("book/results") if Path("book").is_dir() else Path("results")


def _soft_argmax_rows(times: dict[str, dict[str, list[float]]]) -> list[Row]:
    rows: list[Row] = [{"function": name} for name in times["forward"]]
    for direction, by_name in times.items():
        medians = {name: statistics.median(ms) for name, ms in by_name.items()}
        for row in rows:
            ms = medians[row["function"]]
            row[f"{direction}, ms"] = ms
            row[f"{direction} / joint"] = ms / medians["kpbook joint"]
            row[f"{direction} / one pass"] = ms / medians["one pass (sum)"]
    return rows


def _render_row(size: int, times: dict[str, list[float]]) -> Row:
    medians = {name: statistics.median(ms) for name, ms in times.items()}
    return {
        "image": f"{size} px",
        "panda-gym frames/s": 1e3 / medians["panda-gym"],
        "full look frames/s": 1e3 / medians["full"],
        "fast look frames/s": 1e3 / medians["fast"],
        "full / panda-gym": medians["panda-gym"] / medians["full"],
        "fast / panda-gym": medians["panda-gym"] / medians["fast"],
    }


def _checks(logits: Tensor, points: Tensor) -> None:
    """What soft_argmax does besides the arithmetic: look at the input and at the small output."""
    heatmaps._checked(logits, 1.0)
    heatmaps._is_finite(points)


def _new_frame(world: Any) -> None:
    world._forget()  # a world keeps the frame of its state; this one has to be drawn again
    world.frame()


def _bind(run: Callable[..., None], argument: Any) -> Callable[[], object]:
    return lambda: run(argument)


if __name__ == "__main__":
    main()
