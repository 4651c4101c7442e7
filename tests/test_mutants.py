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
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
RIGHT = "the right version"

#: Name of the mistake -> module, right source, wrong source.
MUTANTS = {
    "temperature multiplies": (
        "heatmaps",
        "else logits / tau[..., None, None]",
        "else logits * tau[..., None, None]",
    ),
    "softmax over one axis": (
        "heatmaps",
        "torch.softmax(scores.flatten(-2), dim=-1).view(logits.shape)",
        "torch.softmax(scores, dim=-1)",
    ),
    "softmax over channels": (
        "heatmaps",
        "torch.softmax(scores.flatten(-2), dim=-1)",
        "torch.softmax(scores.flatten(-2), dim=0)",
    ),
    "x and y swapped": (
        "heatmaps",
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
        "heatmaps",
        "x = along_x.softmax(-1)",
        "x = _softmax(logits, tau).sum(-2)",
    ),
    "separable sums instead of averaging": (
        "heatmaps",
        "logits.sum(-2) / H, logits.sum(-1) / W",
        "logits.sum(-2), logits.sum(-1)",
    ),
    "no half in the Gaussian": ("heatmaps", "gx, gy = (-0.5 * dx**2)", "gx, gy = (-(dx**2))"),
    "sigma for its square": (
        "heatmaps",
        "points[..., :1]) / sigma[..., None]",
        "points[..., :1]) / sigma[..., None].sqrt()",
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
}


def run_taught_tests() -> int:
    """Run the taught functions' tests up to the first failure; return pytest's exit status."""
    files = [str(TESTS / name) for name in ("test_heatmaps.py", "test_grid.py")]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", os.devnull]
    with contextlib.redirect_stdout(io.StringIO()):
        return int(pytest.main([*options, f"--rootdir={TESTS}", *files]))


def put(file: str, text: str) -> None:
    """Give a module of the package another source; heatmaps last, as it imports from grid."""
    for name in ("grid", "heatmaps"):
        module = importlib.import_module(f"kpbook.{name}")
        path = Path(str(module.__file__))
        source = text if name == file else path.read_text(encoding="utf-8")
        exec(compile(source, str(path), "exec"), module.__dict__)


def survey() -> dict[str, int]:
    """Exit status of the tests under each mutant, and under the right version."""
    statuses = {RIGHT: run_taught_tests()}
    for name, (file, right, wrong) in MUTANTS.items():
        path = Path(str(importlib.import_module(f"kpbook.{file}").__file__))
        text = path.read_text(encoding="utf-8")
        if text.count(right) != 1:
            raise ValueError(
                f"{name}: {right!r} is no longer once in {path.name}; renew the mutant"
            )
        put(file, text.replace(right, wrong))
        statuses[name] = run_taught_tests()
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
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    statuses = json.loads(done.stdout.splitlines()[-1])
    assert statuses.pop(RIGHT) == 0
    assert set(statuses) == set(MUTANTS)
    survivors = [name for name, status in statuses.items() if status != 1]  # 1: a test failed
    assert not survivors


if __name__ == "__main__":
    print(json.dumps(survey()))  # noqa: T201
