"""What a run is called and made of, and whether the extractor can be trained at all."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from kpbook._checks import check_integer, complain
from kpbook._files import jsonable
from kpbook.episodes import Episodes
from kpbook.extractors.base import Learner, lacks
from kpbook.grid import as_size

#: Arrays of a recording that :func:`digest` leaves out of a run's settings: not all have them.
LABELS = ("visible", "actions", "rewards", "terminated")


def check_learner(extractor: Any) -> None:
    """Raise ``TypeError`` unless an extractor is a module that can be trained."""
    hint = "kpbook.extractors.registry.build makes one."
    expected = "a torch.nn.Module that learns: batch, loss"
    missing = lacks(extractor, Learner)
    if missing:
        got = f"{type(extractor).__name__}, which has no {', '.join(missing)}"
        raise TypeError(complain("extractor", got, expected, hint))
    if not isinstance(extractor, nn.Module):
        raise TypeError(complain("extractor", type(extractor).__name__, expected, hint))
    if hasattr(extractor, "images_per_batch"):
        check_integer(extractor.images_per_batch, name="extractor.images_per_batch", minimum=1)


def kind_of(extractor: Any) -> str:
    """Return the extractor's name, or that of its class."""
    return str(getattr(extractor, "name", type(extractor).__name__))


def label_of(extractor: Any, seed: int, name: Any) -> str:
    """Return the run's name, which becomes that of files."""
    label = f"{kind_of(extractor)}-seed-{seed}" if name is None else name
    if not isinstance(label, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", label):
        hint = "It becomes the name of files."
        raise ValueError(complain("name", repr(label), "letters, digits, '.', '_' and '-'", hint))
    return label


def plain(settings: Any, *, name: str) -> dict[str, Any]:
    """Return settings as they read back from JSON."""
    try:
        plain = json.loads(json.dumps(settings, allow_nan=False, default=jsonable))
        if not isinstance(plain, dict):
            raise TypeError("no dict")
    except (TypeError, ValueError) as error:
        got = f"{settings!r} ({error})"
        expected = "a dict of numbers, words, lists and dicts"
        raise TypeError(complain(name, got, expected)) from None
    return plain


def digest(episodes: Episodes, *names: str) -> str:
    """Return sixteen hexadecimal digits that tell recordings apart: frames, truth, objects.

    With names of arrays and extras, it tells those apart instead.
    """
    state = hashlib.sha256(repr((episodes.images.shape, episodes.objects, *names)).encode())
    for name in names or ("images", "truth"):
        array = episodes.extras[name] if name in episodes.extras else getattr(episodes, name)
        state.update(f"{array.dtype} {array.shape}".encode() if names else b"")
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()[:16]


def _image_size(extractor: Any) -> list[int] | None:
    """Return ``[H, W]`` of one that says it: a learner need not be an extractor."""
    return list(as_size(extractor.image_size)) if hasattr(extractor, "image_size") else None


def images_per_batch(extractor: Any, batch: Any) -> int:
    """Return the extractor's ``images_per_batch``; without it, count the images of a batch.

    They are the entry "images" of a dict, or else the first tensor ``(..., 3, H, W)``.

    Raises:
        TypeError: If no images are found.
    """
    if hasattr(extractor, "images_per_batch"):
        return int(extractor.images_per_batch)
    parts = [batch]
    if isinstance(batch, Mapping):
        parts = [batch.get("images"), *batch.values()]
    elif isinstance(batch, tuple | list):
        parts = list(batch)
    for part in parts:
        if isinstance(part, Tensor) and part.dim() > 3 and part.numel():
            return math.prod(part.shape[:-3])
    got = f"a {type(batch).__name__} without images"
    hint = "fit counts what it has seen. Or state images_per_batch in the extractor."
    raise TypeError(complain("extractor.batch", got, "a tensor (..., 3, H, W) in it", hint))


def describe(extractor: Any, batch: Any) -> dict[str, Any]:
    """Return what tells architectures apart, in plain types; ``weights`` stands for the shapes.

    Args:
        extractor: What will be trained.
        batch: One that it drew, to count the images if it does not say how many there are.
    """
    shapes = [(n, str(t.dtype), tuple(t.shape)) for n, t in extractor.state_dict().items()]
    return {
        "name": kind_of(extractor),
        "config": plain(getattr(extractor, "config", {}), name="extractor.config"),
        "image_size": _image_size(extractor),
        "images_per_batch": images_per_batch(extractor, batch),
        "parameters": sum(p.numel() for p in extractor.parameters()),
        "weights": hashlib.sha256(repr(shapes).encode()).hexdigest()[:16],
    }
