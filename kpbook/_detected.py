"""Keypoints of all frames in a row from whoever finds them: a function, an array, a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kpbook._arrays import as_float64
from kpbook._checks import check_finite, check_integer, check_shape, complain
from kpbook.episodes import Episodes, Flat
from kpbook.images import to_float

Detector = Callable[[torch.Tensor], Any]

_BATCH = 64


def keypoints(
    detector: Detector, episodes: Episodes, *, view: int = 0, batch: int = _BATCH
) -> np.ndarray:
    """Keypoints of all frames in a row, ``(M, N, 2)``, in the precision that they came in.

    Args:
        detector: A function from images, float32 ``(B, 3, H, W)`` in [0, 1], to keypoints
            ``(B, N, 2)``. A torch module gets its images where its weights are.
        episodes: Frames.
        view: Which camera.
        batch: Images at a time.

    Raises:
        TypeError: If the detector does not return numbers.
        ValueError: If it does not return ``(B, N, 2)`` for B images, N changes, or it is a torch
            module in training mode.
    """
    check_integer(batch, name="batch", minimum=1, hint="Images at a time.")
    return _run(detector, episodes.flat(view).images, batch)


def read_points(path: str | Path, frames: int) -> np.ndarray:
    """Read keypoints of all frames from a CSV file, float64 ``(M, N, 2)``.

    The header is ``x0,y0,x1,y1,...``; then comes one row per frame, in the order of
    ``episodes.flat()``: all frames of the first episode, then of the second.

    Args:
        path: The file, UTF-8.
        frames: How many frames there are, M.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no UTF-8, header, columns or rows do not fit, or a cell is not a
            finite number; the message names the file's line.
    """
    path = Path(path)
    header, *rows = _lines(path) or [(1, [])]
    N = len(header[1]) // 2
    if not N or header[1] != [f"{axis}{n}" for n in range(N) for axis in "xy"]:
        text = ",".join(header[1])
        hint = "Two columns for each keypoint, x to the right and y down, -1 to +1."
        if ";" in text:
            hint = "Separate the columns by commas, not by semicolons, and write 0.5, not 0,5."
        raise ValueError(complain(path.name, f"header {text[:60]!r}", "'x0,y0,x1,y1,...'", hint))
    if len(rows) != frames:
        hint = "One row per frame, in the order of episodes.flat()."
        raise ValueError(complain(path.name, f"{len(rows)} rows", f"{frames}", hint))
    values = np.empty((frames, 2 * N))
    for i, (line, row) in enumerate(rows):
        numbers = [_number(cell) for cell in row]
        if len(row) != 2 * N or not np.isfinite(numbers).all():
            got, expected = f"{','.join(row)[:60]!r}", f"{2 * N} finite numbers"
            hint = "A keypoint has a place in every frame."
            raise ValueError(complain(f"{path.name}, line {line}", got, expected, hint))
        values[i] = numbers
    return values.reshape(frames, N, 2)


def as_keypoints(detector: Any, flat: Flat) -> np.ndarray:
    """Keypoints ``(M, N, 2)`` of all frames; the detector is as in :func:`kpbook.judge.judge`."""
    M = len(flat.images)
    hint = "Keypoints of all frames in a row, in the order of episodes.flat()."
    if isinstance(detector, str | Path):
        points = read_points(detector, M)
    elif isinstance(detector, np.ndarray | torch.Tensor | list | tuple):
        points = _as_array(detector, name="detector", expected=f"({M}, N, 2) numbers", hint=hint)
    elif callable(detector):
        points = _run(detector, flat.images, _BATCH)
    else:
        expected = "a function from images to keypoints, an array, or the path of a CSV file"
        raise TypeError(complain("detector", type(detector).__name__, expected))
    check_shape(points, f"{M} N 2", name="detector", hint=hint)
    check_finite(points, name="detector", hint="A keypoint has a place in every frame.")
    return points


@torch.no_grad()
def _run(detector: Detector, images: np.ndarray, batch: int) -> np.ndarray:
    device: Any = "cpu"
    if isinstance(detector, torch.nn.Module):
        if any(part.training for part in detector.modules()):
            got, expected = "a torch module in training mode", "one in evaluation mode"
            hint = "Call .eval() on it first: dropout and batch normalisation differ."
            raise ValueError(complain("detector", got, expected, hint))
        device = next((w.device for w in detector.parameters()), device)
    hint = "One row of keypoints per image, each (x, y)."
    parts: list[np.ndarray] = []
    for start in range(0, len(images), batch):
        some = images[start : start + batch]
        name, N = "detector(images)", parts[0].shape[1] if parts else "N"
        expected = f"({len(some)}, {N}, 2) numbers"
        part = _as_array(detector(to_float(some, device)), name=name, expected=expected, hint=hint)
        check_shape(part, f"{len(some)} {N} 2", name=name, hint=hint)
        parts.append(part)
    return np.concatenate(parts)


def _as_array(x: Any, *, name: str, expected: str, hint: str) -> np.ndarray:
    """Numbers in their own precision, which says how far rounding goes; else in float64."""
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        x = (x.float() if x.dtype == torch.bfloat16 else x).numpy()  # NumPy has none
    if isinstance(x, np.ndarray) and x.dtype in (np.float16, np.float32, np.float64):
        return x
    return as_float64(x, name=name, expected=expected, hint=hint)


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Rows of cells that are not blank, each with the number of its line in the file."""
    with path.open(newline="", encoding="utf-8-sig") as file:  # -sig: the mark of a spreadsheet
        reader = csv.reader(file)
        try:
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
        except UnicodeDecodeError:
            raise ValueError(complain(path.name, "bytes that are no UTF-8", "UTF-8")) from None
    return [(line, row) for line, row in rows if row not in ([], [""])]


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan
