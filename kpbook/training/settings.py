"""What a run is called and made of, and whether the extractor can be trained at all."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import numpy as np
from torch import nn

from kpbook._checks import check_integer, complain
from kpbook.episodes import Episodes
from kpbook.grid import as_size


def check_learner(extractor: Any) -> None:
    """Raise ``TypeError`` unless an extractor is a module that can be trained."""
    hint = "kpbook.extractors.registry.build makes one."
    expected = "a torch.nn.Module that learns: image_size, images_per_batch, batch, loss"
    needed = ("image_size", "images_per_batch", "batch", "loss")
    missing = [part for part in needed if not hasattr(extractor, part)]
    if missing:
        got = f"{type(extractor).__name__}, which has no {', '.join(missing)}"
        raise TypeError(complain("extractor", got, expected, hint))
    if not isinstance(extractor, nn.Module):
        raise TypeError(complain("extractor", type(extractor).__name__, expected, hint))
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
        plain = json.loads(json.dumps(settings, allow_nan=False))
        if not isinstance(plain, dict):
            raise TypeError("no dict")
    except (TypeError, ValueError) as error:
        got = f"{settings!r} ({error})"
        expected = "a dict of numbers, words, lists and dicts"
        raise TypeError(complain(name, got, expected)) from None
    return plain


def digest(episodes: Episodes) -> str:
    """Return sixteen hexadecimal digits that tell recordings apart: frames, truth, objects."""
    state = hashlib.sha256(repr((episodes.images.shape, episodes.objects)).encode())
    for array in (episodes.images, episodes.truth):
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()[:16]


def describe(extractor: Any) -> dict[str, Any]:
    """Return what tells architectures apart, in plain types; ``weights`` stands for the shapes."""
    shapes = [(n, str(t.dtype), tuple(t.shape)) for n, t in extractor.state_dict().items()]
    return {
        "name": kind_of(extractor),
        "config": plain(getattr(extractor, "config", {}), name="extractor.config"),
        "image_size": list(as_size(extractor.image_size)),
        "images_per_batch": int(extractor.images_per_batch),
        "parameters": sum(p.numel() for p in extractor.parameters()),
        "weights": hashlib.sha256(repr(shapes).encode()).hexdigest()[:16],
    }
