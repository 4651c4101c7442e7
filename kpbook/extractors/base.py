"""The contracts of extractors, and the check that readers run on their own network.

An extractor is a ``torch.nn.Module`` that turns images into keypoints in image coordinates, or in
metres. Whatever consumes keypoints (metric, policy, live figure) relies on this page and nothing
else. There are three contracts, each independent of the others; :func:`offers` asks for one.
"""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from kpbook._checks import check_shape, check_tensor, complain
from kpbook.detect import device_of
from kpbook.episodes import Episodes
from kpbook.grid import as_size, to_pixels
from kpbook.heatmaps import expectation, spread
from kpbook.images import check_images

#: A keypoint is sharp, and must move with the image, if its map's spread is below this: then
#: at most some 3 % of its probability is elsewhere and holds it back.
_SHARP = 0.2
#: ... and if its mean, in map coordinates, is below this: the border cuts off what lies beyond.
_INSIDE = 0.85
#: Share of the shift, and pixels, by which a sharp keypoint may miss it: clutter, half cells.
_SHIFT_TOLERANCE, _SHIFT_TOLERANCE_PX = 0.05, 0.25
_SMALLEST_PX = 16
_FARTHEST_M = 100.0  # a coordinate in metres beyond this is in other units


class Extractor(Protocol):
    """From images to keypoints.

    Two attributes may say more; without them it looks at one image and answers in its plane:
    ``views = V``, images from V cameras at once, ``(B, V, 3, H, W)``; and ``dimensions = 3``,
    keypoints ``(B, N, 3)`` in metres in the world. With several views the heat maps are
    ``(B, V, N, h, w)``. One that knows where things usually are says so in
    ``knows_places = True`` (:func:`check_extractor`).
    """

    @property
    def image_size(self) -> int | tuple[int, int]:
        """``(H, W)`` of the images, or one integer for a square."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """Images ``float (B, 3, H, W)`` in [0, 1] to keypoints ``(B, N, 2)``, image coordinates."""
        ...

    def heatmaps(self, images: Tensor) -> Tensor:
        """Images ``float (B, 3, H, W)`` to heat maps ``(B, N, h, w)``, each summing to 1."""
        ...


class Learner(Protocol):
    """What :func:`kpbook.training.fit` takes: a ``torch.nn.Module`` that learns from episodes.

    It may also have, and ``fit`` then uses:

    - ``images_per_batch``, an integer: images that a step sees, for the curve and the rates.
      Without it they are counted in the first batch: the entry "images" of a dict, or else the
      first tensor ``(..., 3, H, W)``.
    - ``prepare(episodes)``: called once before the first step, also of a resumed run; to set
      buffers such as a median frame.
    - ``name`` and ``config`` (plain types), for the run's name and record.
    """

    def batch(self, episodes: Episodes, generator: torch.Generator) -> Any:
        """Draw what :meth:`loss` takes, with no other randomness than ``generator``.

        A dict, tuple or list of tensors, or one tensor, on the CPU: ``fit`` moves the tensors.
        """
        ...

    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Scalars by name: ``"loss"`` is minimised, the other entries are reported beside it.

        No name may be that of another column of the curve, such as ``"step"``.
        """
        ...


class Draws(Protocol):
    """Draws an image again from its keypoints alone."""

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images ``float (B, 3, H, W)`` to what is drawn of them, ``(B, 3, h, w)``."""
        ...


def lacks(extractor: Any, contract: type) -> list[str]:
    """Names of a contract that an object does not have, in the contract's order."""
    parts = [n for n in vars(contract) if not n.startswith("_") or n == "__call__"]
    return [n for n in parts if not hasattr(extractor, n)]


def offers(extractor: Any, contract: type) -> bool:
    """Whether an object has every part of a contract; :func:`check_extractor` tries them."""
    return not lacks(extractor, contract)


def move(extractor: nn.Module, device: Any) -> torch.device:
    """Move an extractor to ``device``, unless that is ``None``; return where it is.

    Raises:
        ValueError: If torch does not know the device, or the machine has none.
    """
    if device is not None:
        try:
            extractor.to(torch.device(device))
        except (RuntimeError, AssertionError, TypeError) as error:
            first = str(error).splitlines()[0]
            got = f"{device!r}, which torch refuses ({first})"
            hint = 'Leave it out to stay where the extractor is, usually the "cpu".'
            raise ValueError(complain("device", got, "a device of this machine", hint)) from error
    return device_of(extractor)


class ExtractorError(ValueError):
    """An extractor breaks its contract; the message names the usual cause."""


def check_extractor(extractor: Any, frames: Tensor) -> list[str]:
    """Hold an extractor to the contract, as Gymnasium's ``check_env`` does an environment.

    Eight checks, in this order: shape, finiteness, range, heat maps, repeatability, independence
    of the images of a batch, gradient, and shift: an image that moves by s pixels, a quarter of
    its size, moves its keypoints by s pixels. The last one looks only at keypoints with a sharp
    heat map inside the image; without any it warns and checks nothing. It sees a scale that is
    off by more than about 7 % at 64 pixels, not less. It is left out where an image that moves as
    a whole says nothing: for keypoints in metres, and for an extractor that knows where things
    usually are, from a median frame or a prior, and says so in ``knows_places = True``.

    Args:
        extractor: The network; put it into the mode in which it will be used (``.eval()``).
        frames: At least two different images ``float (B, 3, H, W)`` in [0, 1], as in use; of an
            extractor with several views, ``(B, V, 3, H, W)``.

    Returns:
        The names of the checks that passed.

    Raises:
        ExtractorError: At the first check that fails.
        TypeError: If ``frames`` is no floating-point tensor.
        ValueError: If ``frames`` are not as above, in [0, 1] and of the extractor's size.
    """
    causes = {"image_size": "set it in __init__."}
    for name in lacks(extractor, Extractor):
        what = "what the contract of an extractor names"
        _fail(name, "no such attribute", what, causes.get(name, "see Extractor."))
    size = as_size(extractor.image_size, name="image_size")
    _check_frames(extractor, frames, size)
    with torch.no_grad():
        z = extractor(frames)
        _check_output(z, frames, getattr(extractor, "dimensions", 2))
        _check_heatmaps(extractor.heatmaps(frames), z, tuple(frames.shape[1:-3]))
        _check_repeats(extractor, frames, z)
    _check_gradient(extractor, frames)
    passed = ["shape", "finite", "range", "heat maps", "repeatable", "batch", "gradient"]
    if getattr(extractor, "knows_places", False) or z.shape[-1] == 3:
        return passed
    with torch.no_grad():
        if _check_shift(extractor, frames):
            passed.append("shift")
    return passed


def _check_frames(extractor: Any, frames: Tensor, size: tuple[int, int]) -> None:
    """Raise unless frames, and what the extractor says of its views, make sense."""
    views, D = getattr(extractor, "views", 1), getattr(extractor, "dimensions", 2)
    if D not in (2, 3) or (views > 1 and D == 2):
        got, expected = f"{D} with {views} view(s)", "2 with one view, or 3 with any number"
        cause = "an image coordinate belongs to one view: return metres, or look at one view."
        _fail("dimensions", got, expected, cause)
    if views == 1:
        check_images(frames, size, name="frames")
    else:
        check_tensor(frames, name="frames")
        check_shape(frames, f"B {views} 3 {size[0]} {size[1]}", name="frames", hint="All views.")
        check_images(frames.flatten(0, 1), size, name="frames")
    if (frames == frames[:1]).all():
        raise ValueError(complain("frames", "one image", "at least two different ones"))
    if min(size) < _SMALLEST_PX:
        raise ValueError(complain("frames", f"{size} pixels", f"at least {_SMALLEST_PX} each way"))


def _fail(what: str, got: str, expected: str, cause: str) -> None:
    raise ExtractorError(complain(what, got, expected, f"Usual cause: {cause}"))


def _check_output(z: Any, frames: Tensor, D: int) -> None:
    B, H, W = len(frames), *frames.shape[-2:]
    if not isinstance(z, Tensor) or z.ndim != 3 or z.shape[0] != B or z.shape[2] != D:
        got = f"shape {tuple(z.shape)}" if isinstance(z, Tensor) else type(z).__name__
        cause = f"one flat vector per image; use .unflatten(-1, (N, {D}))."
        _fail("keypoints", got, f"({B}, N, {D}) for {B} images", cause)
    if not torch.isfinite(z).all():
        cause = "a softmax over a map of NaN or infinite scores; look at the weights."
        _fail("keypoints", "NaN or infinite values", "finite numbers", cause)
    edge = 1.001 * max(W / (W - 1), H / (H - 1))  # image coordinates of the border's outer edge
    limit = edge if D == 2 else _FARTHEST_M
    if z.abs().max() > limit:
        what = f"image coordinates, at most {edge:.3g} in size"
        cause = "pixels instead of [-1, 1]; kpbook.grid.from_pixels converts."
        if D == 3:
            what, cause = f"metres, at most {limit:g} in size", "millimetres, or a depth near 0."
        _fail("keypoints", f"values from {z.min():.3g} to {z.max():.3g}", what, cause)


def _check_heatmaps(maps: Any, z: Tensor, views: tuple[int, ...]) -> None:
    B, N, _ = z.shape
    if not isinstance(maps, Tensor):
        _fail("heat maps", type(maps).__name__, "a tensor", "a list of maps; torch.stack them.")
    if tuple(maps.shape[:-2]) != (B, *views, N):
        cause = "heatmaps() and forward() disagree on the number of keypoints."
        expected = f"({', '.join(map(str, (B, *views, N)))}, h, w)"
        _fail("heat maps", f"shape {tuple(maps.shape)}", expected, cause)
    total = maps.sum((-2, -1))
    if maps.min() < 0 or not torch.allclose(total, torch.ones_like(total), atol=1e-3):
        got = f"values from {maps.min():.3g}, sums from {total.min():.3g} to {total.max():.3g}"
        cause = "scores before the softmax, or a softmax over one axis or over channels."
        _fail("heat maps", got, "at least 0 and a sum of 1 for each map", cause)


def _check_repeats(extractor: Any, frames: Tensor, z: Tensor) -> None:
    if not torch.allclose(extractor(frames), z, atol=1e-5):
        cause = "dropout or noise in training mode; call .eval()."
        _fail("second call on the same images", "other keypoints", "the same keypoints", cause)
    backwards = extractor(frames.flip(0)).flip(0)
    alone = torch.cat([extractor(frames[:1]), extractor(frames[1:])])
    off = max(float((backwards - z).abs().max()), float((alone - z).abs().max()))
    if off > 1e-3:
        cause = "batch normalisation in training mode (call .eval()), or a reshape over the batch."
        got = f"keypoints that move by {off:.3g} with the rest of the batch"
        _fail("one image among others", got, "keypoints of its own", cause)


def _check_gradient(extractor: Any, frames: Tensor) -> None:
    images = frames.detach().clone().requires_grad_()
    cause = "an arg-max, .detach(), .data, no_grad or NumPy on the way to the keypoints."
    with torch.enable_grad():  # the caller may be under no_grad
        z = extractor(images)
        if not z.requires_grad:
            _fail("gradient at the pixels", "none", "one", cause)
        # Random weights: the plain sum of all coordinates can have no gradient by symmetry.
        weights = torch.randn(z.shape, generator=torch.Generator().manual_seed(0)).to(z)
        grads: tuple[Tensor | None, ...] = torch.autograd.grad(
            (z * weights).sum(), images, allow_unused=True
        )
    grad = grads[0]
    if grad is None or not grad.any():
        _fail("gradient at the pixels", "none" if grad is None else "0 everywhere", "one", cause)
    elif not torch.isfinite(grad).all():
        cause = "a square root or a logarithm at 0."
        _fail("gradient at the pixels", "NaN or infinite values", "finite numbers", cause)


def _check_shift(extractor: Any, frames: Tensor) -> bool:
    """Move the images along x, then y; return whether any keypoint was fit to judge by."""
    H, W = frames.shape[-2:]
    moves = []
    for axis, size in ((0, W), (1, H)):
        s = 4 * (size // 16)  # a multiple of 4, so that such a stride sees the same cells again
        moved = _median_move(extractor, frames, s, axis)
        if moved is None:  # everything on the right or at the bottom: move the other way
            s = -s
            moved = _median_move(extractor, frames, s, axis)
        if moved is None:
            warnings.warn(
                "check_extractor: no keypoint has a sharp heat map well inside the image, so "
                "the shift was not checked. An untrained network is like that; so is one whose "
                "heat maps stay flat (a temperature that is too high).",
                stacklevel=3,
            )
            return False
        moves.append((s, moved, "xy"[axis]))
    for s, moved, name in moves:
        along, across = (moved[0], moved[1]) if name == "x" else (moved[1], moved[0])
        tolerance = _SHIFT_TOLERANCE * abs(s) + _SHIFT_TOLERANCE_PX
        if abs(along - s) <= tolerance and abs(across) <= 2 * tolerance:
            continue
        got = f"keypoints that move by (x, y) = ({moved[0]:+.2f}, {moved[1]:+.2f}) px"
        cause = _cause(along / s, across / s)
        _fail(f"image moved by {s} px along {name}", got, f"{s:+d} px along {name}", cause)
    return True


def _median_move(extractor: Any, frames: Tensor, s: int, axis: int) -> tuple[float, float] | None:
    """Median move of the keypoints that are fit to judge by, (x, y) in pixels."""
    size = tuple(frames.shape[-2:])
    shifted = _moved(frames, s, axis)
    use = _sharp_inside(extractor, frames) & _sharp_inside(extractor, shifted)
    if not use.any():
        return None
    before, after = (to_pixels(extractor(images), size) for images in (frames, shifted))  # type: ignore[arg-type]
    x, y = (after - before)[use].median(0).values.tolist()
    return x, y


def _cause(along: float, across: float) -> str:
    """Name the usual cause of a move, given as shares of the expected one."""
    if abs(across) > abs(along):
        return "x and y swapped: keypoints are (x, y), a map's axes are (row, column)."
    if along < 0:
        return "a flipped axis: y points down, as rows do."
    if along < 0.2:
        return "keypoints that do not depend on where things are."
    return (
        "map coordinates returned as image coordinates: strides and missing padding scale them; "
        "kpbook.grid.map_to_image converts."
    )


def _sharp_inside(extractor: Any, images: Tensor) -> Tensor:
    """Which keypoints ``(B, N)`` have a heat map that is one compact blob off the border.

    Read from the maps alone: the keypoints are what is being judged.
    """
    maps = extractor.heatmaps(images)
    return (spread(maps) < _SHARP) & (expectation(maps).abs() < _INSIDE).all(-1)


def _moved(images: Tensor, s: int, axis: int) -> Tensor:
    """Move the content by ``s`` pixels along x (axis 0) or y (axis 1); the border repeats."""
    H, W = images.shape[-2:]
    before, after = max(s, 0), max(-s, 0)
    pad = (before, after, 0, 0) if axis == 0 else (0, 0, before, after)
    padded = nn.functional.pad(images, pad, mode="replicate")
    return padded[..., -H:, -W:] if s < 0 else padded[..., :H, :W]
