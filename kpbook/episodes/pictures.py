"""A reader's own pictures: arrays, files, folders and films, as uint8 frames and nothing lost."""

from __future__ import annotations

import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kpbook._arrays import as_flags, as_float64, plain
from kpbook._checks import check_uint8, check_unmasked, complain
from kpbook._files import natural

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
BYTES = (
    "Frames are bytes, 0 to 255; kpbook.images.to_uint8 converts floats (..., 3, H, W); 16 bits: "
    "(x / 257).round().astype(np.uint8), or by the largest value that there can be."
)
COLOUR_LAST = "Colour comes last, in the order red, green, blue."
_READ = "Read it with imageio.v3.imread, scale it to 0 to 255 and pass the array as uint8."
_EXPECTED = "pictures: an array, a file, a folder, or a list of files or arrays (H, W, 3)"
_FILMS = {"GIF", "PNG", "TIFF", "WEBP"}  # others hold previews or layers beside the picture
_GREY_16 = {"I;16", "I;16B", "I;16L", "I;16N"}  # how Pillow calls unsigned samples of full range
_DEEP = re.compile(";16[BLN]")  # more than 8 bits a colour; BMP's "BGR;16" is 16 bits for all three
_OPAQUE = {"1", "CMYK", "HSV", "L", "LAB", "RGB", "RGBX", "YCbCr"}
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    struct.error,
    zlib.error,
)
_BITS = 258  # TIFF: the tag that says how many a sample has
_INK = 262  # TIFF: this tag is 0 where 0 is white
_SMALL_PAGE = 254, 1  # TIFF: this bit of this tag marks a preview of another page


def own_fields(
    frames: Any, truth: Any, visible: Any, objects: Sequence[str] | None
) -> dict[str, Any]:
    """Return all fields of :meth:`Episodes.from_frames`, copied from a reader's own."""
    images = read_frames(frames)
    one = images.ndim == 4
    images = images[None] if one else images
    E, T, H, W, _ = images.shape
    points = np.zeros((E, T, 0, 2)) if truth is None else _truth(truth, (E, T), one)
    K = points.shape[2]
    if isinstance(objects, str) or not isinstance(objects, Iterable | None):
        raise TypeError(complain("objects", repr(objects), "a list of names, one per object"))
    edges = [W / max(W - 1, 1), H / max(H - 1, 1)]
    seen: np.ndarray = np.all(np.abs(points) <= edges, axis=-1)
    if visible is not None:
        seen = _flags(visible, points.shape[:3], one)
    return {
        "images": images[:, :, None],
        "truth": points[:, :, None],
        "visible": seen[:, :, None],
        "actions": np.zeros((E, T, 0), dtype=np.float32),
        "rewards": np.zeros((E, T), dtype=np.float32),
        "terminated": np.zeros((E, T), dtype=bool),
        "seeds": np.full(E, -1),
        "policies": ("unknown",) * E,
        "objects": tuple(f"object {k}" for k in range(K)) if objects is None else tuple(objects),
        "views": ("yours",),
        "cameras": (),
        "look": "yours",
        "origin": {},
        "extras": {},
    }


def _truth(truth: Any, rows: tuple[int, int], one: bool) -> np.ndarray:
    expected = "image coordinates (T, K, 2) or (E, T, K, 2)"
    points = as_float64(truth, name="truth", expected=expected)
    points = points[None] if one else points
    if points.ndim != 4 or points.shape[:2] != rows or points.shape[3] != 2:
        expected = "(T, K, 2)" if one else "(E, T, K, 2)"
        hint = f"There are {rows[0]} episode(s) of {rows[1]} frames."
        raise ValueError(complain("truth", f"shape {np.shape(truth)}", expected, hint))
    return points


def _flags(visible: Any, shape: tuple[int, ...], one: bool) -> np.ndarray:
    hint = "A likelihood becomes a flag by a threshold: likelihood > 0.6."
    seen = as_flags(visible, name="visible", hint=hint)
    if seen.shape != shape[one:]:
        hint = "One flag for each point of the truth."
        raise ValueError(complain("visible", f"shape {seen.shape}", f"{shape[one:]}", hint))
    return seen[None] if one else seen


def read_frames(source: Any) -> np.ndarray:
    """Return frames, copied or read, uint8 ``(T, H, W, 3)`` or ``(E, T, H, W, 3)``."""
    if hasattr(source, "shape"):
        check_unmasked(source, name="frames")
        images = np.array(plain(source))
        check_uint8(images, name="frames", hint=BYTES)
    else:
        images = _one_size(list(_pictures(source)))
    if images.ndim not in (4, 5) or images.shape[-1] != 3 or 0 in images.shape:
        got = f"shape {images.shape}"
        expected = "(T, H, W, 3) or (E, T, H, W, 3), nothing empty"
        raise ValueError(complain("frames", got, expected, COLOUR_LAST))
    return images


def _pictures(source: Any) -> Iterator[tuple[str, np.ndarray]]:
    """What each picture is called, and the picture."""
    if isinstance(source, str | Path):
        place = Path(source)
        if not os.path.isdir(place):  # Path.is_dir() raises for a name that is too long
            yield from _opened(place, film=True)
            return
        source = _folder(place)
        if not source:
            raise ValueError(complain("frames", f"no pictures in {place}", f"{sorted(SUFFIXES)}"))
    if not isinstance(source, Iterable) or isinstance(source, bytes):
        raise TypeError(complain("frames", repr(source), _EXPECTED))
    for i, item in enumerate(source):
        if isinstance(item, str | Path):
            yield from _opened(Path(item), film=False)
        elif hasattr(item, "shape"):
            check_unmasked(item, name=f"frames[{i}]")
            picture = np.asarray(plain(item))
            check_uint8(picture, name="frames", hint=f"It is picture {i} of the list. {BYTES}")
            yield f"picture {i} of the list", picture
        else:
            raise TypeError(complain("frames", f"a list that holds {item!r:.80}", _EXPECTED))


def _one_size(named: list[tuple[str, np.ndarray]]) -> np.ndarray:
    if not named:
        raise ValueError(complain("frames", "no pictures", f"files of {sorted(SUFFIXES)}"))
    first = named[0][1].shape
    for name, picture in named:
        if picture.shape != first:
            size, wanted = (s[:2] if len(s) == 3 else s for s in (picture.shape, first))
            hint = "Resize or crop them first."
            expected = f"pictures of one size, {wanted}"
            raise ValueError(complain("frames", f"{size} in {name}", expected, hint))
    return np.stack([picture for _, picture in named])


def _folder(place: Path) -> list[Path]:
    """Picture files of a folder in natural order; hidden ones are other programs' notes."""
    try:
        files = [p for p in place.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()]
    except OSError as error:
        got = f"{place}, which cannot be read ({error.strerror})"
        raise ValueError(complain("frames", got, "a folder of pictures")) from error
    return sorted((p for p in files if not p.name.startswith(".")), key=lambda p: natural(p.name))


def _opened(file: Path, *, film: bool) -> list[tuple[str, np.ndarray]]:
    """The picture in a file; of a film, all its pictures."""
    from PIL import Image, UnidentifiedImageError

    try:
        if not file.exists():
            raise FileNotFoundError(complain("frames", f"no file {file}", "picture files"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what is broken is said below
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                pages = _pages(image) if film else [0]
                names = [f"{file}, picture {p}" if len(pages) > 1 else str(file) for p in pages]
                return [(n, _page(image, p, n)) for p, n in zip(pages, names, strict=True)]
    except FileNotFoundError:
        raise
    except UnidentifiedImageError:
        got = f"{file}" if file.stat().st_size else f"{file}, which is empty"
        hint = 'For a video, pass imageio.v3.imread("video.mp4").'
        if file.suffix.lower() in {".tif", ".tiff"}:
            hint = f"A TIFF of floats, or of a kind that Pillow does not read? {_READ}"
        raise ValueError(complain("frames", got, "a picture file", hint)) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        got = f"{file}, which is too large ({error})"
        raise ValueError(complain("frames", got, "frames, a few thousand pixels a side")) from None
    except _BROKEN as error:
        got = f"{file}, which cannot be read ({error})"
        hint = "It may be cut short, or not yours to read."
        raise ValueError(complain("frames", got, "a whole picture file", hint)) from error


def _pages(image: Any) -> Sequence[int]:
    """Pages of a file that was given alone: a film's, or the first."""
    if image.format not in _FILMS:
        return [0]
    tag, bit = _SMALL_PAGE
    pages = []
    for page in range(getattr(image, "n_frames", 1)):
        image.seek(page)
        if not (image.format == "TIFF" and int(image.tag_v2.get(tag, 0)) & bit):
            pages.append(page)
    return pages[bool(image.info.get("default_image")) :]  # a PNG's, for who shows no films


def _page(image: Any, page: int, name: str) -> np.ndarray:
    """One page of an open file, uint8 ``(H, W, 3)``, the right way up."""
    from PIL import Image, ImageOps

    image.seek(page)
    stored = [_raw_mode(tile) for tile in image.tile]  # loading forgets it
    image.load()
    upright = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF" or _bits(image) > 8 or any(_DEEP.search(raw) for raw in stored):
        if image.mode[0] == "I" and set(stored) <= _GREY_16 and stored:
            samples = np.asarray(upright).astype(np.uint32)
            if getattr(image, "tag_v2", {}).get(_INK) == 0:  # Pillow sees to it for 8 bits only
                samples = 65535 - samples
            grey = (samples + 128) // 257
            grey[samples == upright.info.get("transparency")] = 255
            return np.repeat(grey[..., None].astype(np.uint8), 3, axis=-1)
        got = f"more than 8 bits a colour in {name} ({stored[0] if stored else image.mode})"
        raise TypeError(complain("frames", got, "8 bits, or grey of 16", _READ))
    if upright.mode not in _OPAQUE or "transparency" in upright.info:
        paper = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(paper, upright.convert("RGBA"))
    return np.asarray(upright.convert("RGB"))


def _bits(image: Any) -> int:
    """Bits of a TIFF's samples: where colours lie apart, Pillow reads 16 as 8; else nothing."""
    tags = getattr(image, "tag_v2", {})
    return max((int(bits) for bits in tags.get(_BITS, ())), default=0)


def _raw_mode(tile: Any) -> str:
    """How the samples of a piece of a picture are stored, as Pillow calls it; or nothing."""
    options = tile[3]
    first = options[0] if isinstance(options, tuple | list) and options else options
    return first if isinstance(first, str) else ""
