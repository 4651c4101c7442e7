"""A folder that keeps recordings, each under the digest of all that made it."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kpbook._checks import complain
from kpbook.episodes.data import Episodes


def path_of(folder: Any, makers: Sequence[Any], origin: Mapping[str, Any]) -> Path:
    """Return where the recording of ``origin`` is kept, or raise."""
    if not isinstance(folder, str | Path):
        raise TypeError(complain("cache", repr(folder), "a folder's name, str or pathlib.Path"))
    for maker in makers:
        if not isinstance(maker, str):
            hint = "Nothing tells two versions of a function apart; leave cache out."
            raise ValueError(complain("cache", f"policy {maker!r}", "policies by name", hint))
    digest = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()
    path = Path(folder) / f"episodes-{digest[:16]}.kpe"
    if path.is_dir():
        hint = "Move it away, or cache in another folder."
        raise ValueError(complain("cache", f"a folder at {path}", "a file or nothing there", hint))
    return path


def prepare(folder: Path) -> None:
    """Make the folder, or raise now and not after hours of recording."""
    hint = "Name a folder; it is made if it is missing."
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        got = f"{folder}, which cannot be a folder ({error.strerror})"
        raise ValueError(complain("cache", got, "a folder", hint)) from error
    if not os.access(folder, os.W_OK):
        raise ValueError(complain("cache", f"{folder}, which is read-only", "a folder", hint))


def read(path: Path, origin: Mapping[str, Any]) -> Episodes | None:
    """Return a cached recording, or ``None`` if there is none that can be trusted."""
    if not path.exists():
        return None
    try:
        episodes = Episodes.load(path)
        if episodes.origin != origin:
            raise ValueError(complain(str(path), "a recording of other settings", "this one's"))
    except (ValueError, OSError) as error:
        warnings.warn(f"{error} It is recorded anew.", stacklevel=3)
        return None
    return episodes
