"""Keypoints of all frames of a recording, from whoever finds them: THE one home of that loop.

A detector is an extractor, any function from images to keypoints, an array, or a file of points.
What comes out is always ``(M, N, 2)`` in image coordinates of one view; keypoints in metres are
projected by that view's camera.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from kpbook._arrays import as_float64
from kpbook._checks import check_finite, check_integer, check_shape, check_unmasked, complain
from kpbook.episodes import Episodes
from kpbook.grid import as_size
from kpbook.images import to_float
from kpbook.points import Points, read_points

Detector = Callable[[torch.Tensor], Any]

_BATCH = 64
_OF_NUMPY = {torch.float16, torch.float32, torch.float64}


def keypoints(
    detector: Any, episodes: Episodes, view: int = 0, *, batch: int = _BATCH
) -> np.ndarray:
    """Keypoints of all frames in a row, ``(M, N, 2)``, in the precision that they came in.

    Args:
        detector: An extractor, or a function from images, float32 ``(B, 3, H, W)`` in [0, 1], to
            keypoints ``(B, N, 2)``. One with an attribute ``views = V`` above 1 gets
            ``(B, V, 3, H, W)``; one with ``dimensions = 3`` returns ``(B, N, 3)``, metres in the
            world. A torch module gets its images where its weights are. Or keypoints of all
            frames in a row as array, tensor or nested lists; or the path of a file that
            :func:`kpbook.points.read_points` reads.
        episodes: Frames.
        view: In which camera's image; without several views also whose frames are shown.
        batch: Images at a time.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If the detector is of another kind or does not return numbers.
        ValueError: If it does not return ``(B, N, 2)`` for B images, N changes, a keypoint is NaN
            or infinite, the frames do not fit, or it is a torch module in training mode.
    """
    points, present = points_of(detector, episodes, view, batch=batch)
    if present is not None:
        got = f"{int((~present).sum())} of {present.size} points that are not there"
        hint = "kpbook.judge takes them: it leaves those frames out."
        raise ValueError(complain("detector", got, "every keypoint in every frame", hint))
    return points


def points_of(
    detector: Any, episodes: Episodes, view: int = 0, *, batch: int = _BATCH
) -> tuple[np.ndarray, np.ndarray | None]:
    """Keypoints of all frames, ``(M, N, 2)``, and where there are any, bool ``(M, N)``.

    The second is ``None`` if every keypoint is there in every frame. Arguments and errors as in
    :func:`keypoints`; the detector may be a :class:`kpbook.points.Points`, too.
    """
    M, present = len(episodes) * episodes.images.shape[1], None
    hint = "Keypoints of all frames in a row, in the order of episodes.flat()."
    if isinstance(detector, str | Path):
        detector = read_points(detector, M, image_size=episodes.image_size)
    if isinstance(detector, Points):
        points, present = detector.points, None if detector.found.all() else detector.found
    elif isinstance(detector, np.ndarray | torch.Tensor | list | tuple):
        points = _as_array(detector, name="detector", expected=f"({M}, N, 2) numbers", hint=hint)
    elif callable(detector):
        points = in_image(found(detector, episodes, view, batch=batch), episodes, view)
    else:
        expected = "a function from images to keypoints, an array, Points, or the path of a file"
        raise TypeError(complain("detector", type(detector).__name__, expected))
    check_shape(points, f"{M} N 2", name="detector", hint=hint)
    hint = "Where nothing was found, say so: kpbook.points.Points(points, found)."
    check_finite(points, name="detector", hint=hint)
    return points, present


@torch.no_grad()
def found(
    detector: Detector, episodes: Episodes, view: int = 0, *, batch: int = _BATCH
) -> np.ndarray:
    """What a function from images returns for all frames, ``(M, N, 2)`` or ``(M, N, 3)`` metres.

    Arguments and errors as in :func:`keypoints`.
    """
    batch = check_integer(batch, name="batch", minimum=1, hint="Images at a time.")
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
    """Return where a network is; raise ``ValueError`` if what it finds depends on its batch.

    A part of it is in training mode, or normalises by the batch in evaluation mode, too. Methods
    and ``functools.partial`` are looked through.
    """
    while not isinstance(network, torch.nn.Module):
        inner = getattr(network, "func", getattr(network, "__self__", None))
        if inner is None:
            break
        network = inner
    if isinstance(network, torch.nn.Module):
        for part, module in network.named_modules():
            where = f" (its part {part!r})" if part else ""
            if getattr(module, "training", False):
                hint = "Call .eval() on it first: dropout and batch normalisation differ."
                got = f"a torch module in training mode{where}"
                raise ValueError(complain(name, got, "one in evaluation mode", hint))
            if isinstance(module, _BatchNorm) and module.running_mean is None:
                hint = "Build it with track_running_stats=True."
                got = f"a batch norm without statistics of its own{where}"
                raise ValueError(complain(name, got, "the same answer in every batch", hint))
    return device_of(network)


def check_episodes(episodes: Any, *, name: str = "episodes") -> None:
    """Raise ``TypeError`` unless they are Episodes."""
    if not isinstance(episodes, Episodes):
        hint = "Episodes.sample() is a recording; Episodes.from_frames takes your own pictures."
        raise TypeError(complain(name, type(episodes).__name__, "Episodes", hint))


def check_fits(extractor: Any, episodes: Any, *, name: str) -> None:
    """Raise unless ``episodes`` are Episodes of the extractor's image size and views.

    Raises:
        TypeError: If they are no Episodes.
        ValueError: If their frames have another size, or too few views.
    """
    check_episodes(episodes, name=name)
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


def _as_array(x: Any, *, name: str, expected: str, hint: str) -> np.ndarray:
    """A copy of numbers in their own precision, which says how far rounding goes; else in float64.

    A copy: a detector may fill one buffer again and again.
    """
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu().to_dense()
        if x.is_floating_point() and x.dtype not in _OF_NUMPY:
            x = x.float()
        x = x.numpy()
    if isinstance(x, np.ndarray) and x.dtype in (np.float16, np.float32, np.float64):
        check_unmasked(x, name=name)
        return np.array(x)
    return as_float64(x, name=name, expected=expected, hint=hint)
