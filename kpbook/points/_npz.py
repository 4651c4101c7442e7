"""Tracks of points as TAP-Vid and those who follow it save them."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from kpbook._checks import complain
from kpbook.points._sightings import Sightings

_TRACKS = ("tracks", "points", "target_points", "pred_tracks")
_SEEN = ("visibles", "visible", "visibility", "pred_visibility")
_HIDDEN = ("occluded", "occlusion", "occlusions", "pred_occluded")
_BROKEN = (ValueError, OSError, EOFError, KeyError, MemoryError, SyntaxError, NotImplementedError)


def read_npz(path: Path, frames: int | None) -> Sightings:
    """Read tracks ``(N, T, 2)``, order (x, y), and where they are visible, ``(N, T)``.

    ``(T, N, 2)`` is taken too, if only that has the ``frames`` that were asked for.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:  # pickles can run
            known = {*_TRACKS, *_SEEN, *_HIDDEN}
            # What is no npy comes as bytes.
            names, arrays = file.files, {k: np.asarray(file[k]) for k in file.files if k in known}
    except (*_BROKEN, zipfile.BadZipFile, zlib.error, RuntimeError, tokenize.TokenError) as error:
        pickled = "allow_pickle" in str(error)
        got = "arrays of Python objects" if pickled else f"a broken npz ({type(error).__name__})"
        hint = "Save numbers: numpy.savez(path, tracks=..., visibles=...)." if pickled else ""
        raise ValueError(complain(path.name, got, "arrays of numbers", hint)) from None
    key = next((k for k in _TRACKS if k in arrays), None)
    if key is None:
        got = f"arrays {', '.join(names)[:60] or 'of no name'}"
        raise ValueError(complain(path.name, got, "'tracks' (N, T, 2), and 'visibles' (N, T)"))
    tracks, score = _as_tracks(path, key, arrays[key]), None
    for k in (*_SEEN, *_HIDDEN):
        if k in arrays and score is None:
            score = _as_score(path, k, arrays[k], tracks.shape[:2])
            score = 1 - score if k in _HIDDEN else score
    values = np.full((*tracks.shape[:2], 3), np.nan)
    values[..., :2] = tracks
    if score is not None:
        values[..., 2] = score
        values[score == 0, :2] = np.nan  # some write anything there
    time_first = key == "pred_tracks" or (
        frames is not None and values.shape[1] != frames == values.shape[0]
    )
    rows = values if time_first else values.transpose(1, 0, 2)
    T, N, _ = rows.shape
    where, parts = [f"{path.name}, frame {t}" for t in range(T)], [("", str(n)) for n in range(N)]
    blank, order = [""] * T, list(range(T))
    return Sightings(
        "tapvid", rows, parts, order, blank, where, "fraction|pixels", False, T, complete=True
    )


def _as_tracks(path: Path, key: str, x: np.ndarray) -> np.ndarray:
    x = x[0] if x.ndim == 4 and len(x) == 1 else x
    if x.ndim != 3 or x.shape[-1] != 2 or 0 in x.shape or x.dtype.kind not in "iuf":
        got, expected = f"{key} of shape {x.shape}, dtype {x.dtype}", "numbers (N, T, 2)"
        raise ValueError(complain(path.name, got, expected, "Points, frames, (x, y)."))
    return x.astype(np.float64)


def _as_score(path: Path, key: str, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    x = x[0] if x.ndim == 3 and len(x) == 1 else x
    if x.shape != shape or x.dtype.kind not in "biuf":
        got, expected = f"{key} of shape {x.shape}, dtype {x.dtype}", f"flags {shape}, as tracks"
        raise ValueError(complain(path.name, got, expected))
    numbers = x.astype(np.float64)
    if not ((numbers >= 0) & (numbers <= 1)).all():
        got = f"{key} from {numbers.min():g} to {numbers.max():g}"
        hint = "Logits: pass a sigmoid of them."
        raise ValueError(complain(path.name, got, "flags, or likelihoods from 0 to 1", hint))
    return numbers
