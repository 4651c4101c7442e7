"""Keypoints of all frames of a recording, from whoever finds them: THE one home of that loop.

A detector is an extractor, any function from images to keypoints, an array, or a CSV file. What
comes out is always ``(M, N, 2)`` in image coordinates of one view; keypoints in metres are
projected by that view's camera.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kpbook._arrays import as_float64
from kpbook._checks import check_finite, check_integer, check_shape, check_unmasked, complain
from kpbook.episodes import Episodes
from kpbook.grid import as_size
from kpbook.images import to_float

Detector = Callable[[torch.Tensor], Any]

_BATCH = 64


def keypoints(
    detector: Any, episodes: Episodes, view: int = 0, *, batch: int = _BATCH
) -> np.ndarray:
    """Keypoints of all frames in a row, ``(M, N, 2)``, in the precision that they came in.

    Args:
        detector: An extractor, or a function from images, float32 ``(B, 3, H, W)`` in [0, 1], to
            keypoints ``(B, N, 2)``. One with an attribute ``views = V`` above 1 gets
            ``(B, V, 3, H, W)``; one with ``dimensions = 3`` returns ``(B, N, 3)``, metres in the
            world. A torch module gets its images where its weights are. Or keypoints of all
            frames in a row as array, tensor or nested lists; or the path of a CSV file.
        episodes: Frames.
        view: In which camera's image; without several views also whose frames are shown.
        batch: Images at a time.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If the detector is of another kind or does not return numbers.
        ValueError: If it does not return ``(B, N, 2)`` for B images, N changes, a keypoint is NaN
            or infinite, the frames do not fit, or it is a torch module in training mode.
    """
    M = len(episodes.flat(view).images)
    hint = "Keypoints of all frames in a row, in the order of episodes.flat()."
    if isinstance(detector, str | Path):
        points = read_points(detector, M)
    elif isinstance(detector, np.ndarray | torch.Tensor | list | tuple):
        points = _as_array(detector, name="detector", expected=f"({M}, N, 2) numbers", hint=hint)
    elif callable(detector):
        points = in_image(found(detector, episodes, view, batch=batch), episodes, view)
    else:
        expected = "a function from images to keypoints, an array, or the path of a CSV file"
        raise TypeError(complain("detector", type(detector).__name__, expected))
    check_shape(points, f"{M} N 2", name="detector", hint=hint)
    check_finite(points, name="detector", hint="A keypoint has a place in every frame.")
    return points


@torch.no_grad()
def found(
    detector: Detector, episodes: Episodes, view: int = 0, *, batch: int = _BATCH
) -> np.ndarray:
    """What a function from images returns for all frames, ``(M, N, 2)`` or ``(M, N, 3)`` metres.

    Arguments and errors as in :func:`keypoints`.
    """
    check_integer(batch, name="batch", minimum=1, hint="Images at a time.")
    device = check_ready(detector, name="detector")
    if hasattr(detector, "image_size"):
        check_fits(detector, episodes, name="episodes")
    views, D = getattr(detector, "views", 1), getattr(detector, "dimensions", 2)
    flat = episodes.flat(view).images if views == 1 else episodes.images[:, :, :views]
    images = flat.reshape(-1, *flat.shape[-3 if views == 1 else -4 :])
    hint = "One row of keypoints per image, each " + ("(x, y)." if D == 2 else "(x, y, z).")
    parts: list[np.ndarray] = []
    for start in range(0, len(images), batch):
        some = images[start : start + batch]
        name, N = "detector(images)", parts[0].shape[1] if parts else "N"
        expected = f"({len(some)}, {N}, {D}) numbers"
        part = _as_array(detector(to_float(some, device)), name=name, expected=expected, hint=hint)
        check_shape(part, f"{len(some)} {N} {D}", name=name, hint=hint)
        parts.append(part)
    return np.concatenate(parts)


def device_of(network: Any) -> torch.device:
    """Where the weights of a network are; the CPU if it has none, or is no network."""
    weights = network.parameters() if isinstance(network, torch.nn.Module) else iter(())
    first = next(iter(weights), None)
    return torch.device("cpu") if first is None else first.device


def check_ready(network: Any, *, name: str = "extractor") -> torch.device:
    """Return where a network is; raise ``ValueError`` if a part of it is in training mode."""
    if isinstance(network, torch.nn.Module):
        training = [part for part, module in network.named_modules() if module.training]
        if training:
            where = f" (its part {training[0]!r})" if training[0] else ""
            hint = "Call .eval() on it first: dropout and batch normalisation differ."
            got = f"a torch module in training mode{where}"
            raise ValueError(complain(name, got, "one in evaluation mode", hint))
    return device_of(network)


def check_fits(extractor: Any, episodes: Any, *, name: str) -> None:
    """Raise unless ``episodes`` are Episodes of the extractor's image size and views.

    Raises:
        TypeError: If they are no Episodes.
        ValueError: If their frames have another size, or too few views.
    """
    if not isinstance(episodes, Episodes):
        hint = "Episodes.sample() is a recording; Episodes.from_frames takes your own pictures."
        raise TypeError(complain(name, type(episodes).__name__, "Episodes", hint))
    check_size(extractor, episodes.image_size, name=name)
    views = getattr(extractor, "views", 1)
    if len(episodes.views) < views:
        got = f"{len(episodes.views)} view(s)"
        hint = "Record with as many cameras: PushWorld(camera=[...])."
        raise ValueError(complain(name, got, f"the extractor's {views}", hint))


def check_size(extractor: Any, size: tuple[int, int], *, name: str) -> None:
    """Raise ``ValueError`` unless frames of ``size`` ``(H, W)`` are of the extractor's size."""
    wanted = as_size(extractor.image_size, name="image_size")
    if tuple(size) != wanted:
        hint = (
            "Record at that size (PushWorld(image_size=...)), resize the frames with "
            "kpbook.images, or build the extractor for them."
        )
        got, expected = f"frames of {tuple(size)} pixels", f"{wanted}, the extractor's image_size"
        raise ValueError(complain(name, got, expected, hint))


def in_image(points: np.ndarray, episodes: Episodes, view: int = 0) -> np.ndarray:
    """What :func:`found` returned in image coordinates of one view, ``(M, N, 2)``.

    Raises:
        ValueError: If they are metres and the camera is unknown, or a point lies behind it.
    """
    if points.shape[-1] == 2:
        return points
    if not episodes.cameras:
        hint = "Keypoints in metres have an image only where the camera is known."
        raise ValueError(complain("episodes", "no cameras", "a camera for each view", hint))
    image, depth_m = episodes.cameras[view].project(points)
    if not (depth_m > 0).all():
        got = f"{int((depth_m <= 0).sum())} keypoints behind the camera {episodes.views[view]!r}"
        hint = "Usual causes: a pose for its inverse (X_WC, X_CW), or another unit than metres."
        raise ValueError(complain("detector(images)", got, "points in front of it", hint))
    return image


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


def _as_array(x: Any, *, name: str, expected: str, hint: str) -> np.ndarray:
    """A copy of numbers in their own precision, which says how far rounding goes; else in float64.

    A copy: a detector may fill one buffer again and again.
    """
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        x = (x.float() if x.dtype == torch.bfloat16 else x).numpy()  # NumPy has none
    if isinstance(x, np.ndarray) and x.dtype in (np.float16, np.float32, np.float64):
        check_unmasked(x, name=name)
        return np.array(x)
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
