"""Checkpoints of a run: two generations in a folder, each file whole and with a checksum.

A file holds tensors (safetensors, so nothing in it can be run) and, as JSON in its metadata, the
plain notes of the run: step, curve, clock and settings. It appears in one step under a name that
states its step; the one before it goes only when it is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from kpbook._checks import complain
from kpbook._files import write_atomically
from kpbook.training.guards import warn

_KIND = "kpbook checkpoint 1"
_GENERATIONS = 2
#: Seconds after which a temporary file belongs to a writer that was killed.
_ABANDONED = 60.0


class State(NamedTuple):
    """All that decides how a run goes on."""

    tensors: dict[str, Tensor]  # on the CPU, contiguous
    notes: dict[str, Any]  # plain types; finite numbers


def write(path: Path, state: State) -> None:
    """Write a state to ``path``, whole or not at all."""
    notes = json.dumps(state.notes, allow_nan=False)
    metadata = {"kind": _KIND, "notes": notes, "sha256": _digest(state.tensors, notes)}
    write_atomically(path, safetensors.torch.save(state.tensors, metadata))


def read(path: Path) -> State:
    """Read what :func:`write` wrote.

    Raises:
        ValueError: If the file is cut short, changed or of another kind.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Cloned: the file is mapped into memory, and will be deleted.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        got = f"no safetensors file ({error})"
        raise ValueError(complain(str(path), got, "a checkpoint as it was written")) from None
    if metadata.get("kind") != _KIND:
        raise ValueError(complain(str(path), "a file of another kind", f"a {_KIND!r}"))
    if _digest(tensors, metadata.get("notes", "")) != metadata.get("sha256"):
        got = "contents that do not match their checksum"
        raise ValueError(complain(str(path), got, "a checkpoint as it was written"))
    return State(tensors, json.loads(metadata["notes"]))


def _digest(tensors: Mapping[str, Tensor], notes: str) -> str:
    """Checksum: safetensors sees a file that is too short, not one with a changed byte."""
    digest = hashlib.sha256(notes.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Sixteen hexadecimal digits that tell weights apart, whatever device they are on."""
    return _digest({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, "")[:16]


class Shelf:
    """The checkpoints of one run, ``<folder>/<name>.step-<step>.safetensors``.

    Args:
        folder: Where they lie; made if it is missing.
        name: Of the run; several runs may share a folder.

    Raises:
        TypeError: If ``folder`` is no path.
        ValueError: If it cannot be made or written to.
    """

    def __init__(self, folder: str | Path, name: str) -> None:
        if not isinstance(folder, str | Path):
            raise TypeError(complain("folder", repr(folder), "a folder's name, str or Path"))
        self.folder, self.name = Path(folder), name
        hint = "Name a folder; it is made if it is missing."
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            got = f"{self.folder}, which cannot be a folder ({error.strerror})"
            raise ValueError(complain("folder", got, "a folder", hint)) from error
        if not os.access(self.folder, os.W_OK):
            got = f"{self.folder}, which is read-only"
            raise ValueError(complain("folder", got, "a folder", hint))
        self._kept: list[Path] = []
        self._sweep()

    def paths(self) -> list[Path]:
        """Checkpoints of this run, the earliest step first."""
        pattern = re.compile(re.escape(self.name) + r"\.step-\d+\.safetensors")
        return sorted(p for p in self.folder.iterdir() if pattern.fullmatch(p.name) and p.is_file())

    def newest(self, settings: Mapping[str, Any]) -> State | None:
        """Return the latest checkpoint that is whole, or ``None``; report each damaged one.

        Raises:
            ValueError: If it belongs to a run of other ``settings``.
        """
        for path in reversed(self.paths()):
            try:
                state = read(path)
            except ValueError as error:
                earlier = "It is left out, and an earlier one used, or the run starts anew."
                warn(f"{error} {earlier}")
                continue
            _check_same(path, state.notes["settings"], settings)
            self._kept = [path]
            return state
        return None

    def put(self, state: State) -> None:
        """Write a checkpoint, then remove all but the last two good ones.

        A disk that is full must not end hours of training: it is reported, and training goes on.
        """
        path = self.folder / f"{self.name}.step-{state.notes['step']:08d}.safetensors"
        try:
            write(path, state)
        except OSError as error:
            warn(f"No checkpoint was written: {error}. Training goes on.")
            return
        self._kept = [*(p for p in self._kept if p != path), path][-_GENERATIONS:]
        for other in set(self.paths()) - set(self._kept):
            other.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove every checkpoint of this run, and its record."""
        for path in (*self.paths(), self.folder / f"{self.name}.json"):
            if path.is_file():
                path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what killed writers left; another process may be writing right now."""
        for path in self.folder.glob(f".{self.name}.step-*.tmp"):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink(missing_ok=True)


def _check_same(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise unless two settings are equal; name those that differ."""
    old, new = _flat(found), _flat(wanted)
    off = sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
    if off:
        hint = (
            "A run goes on only as it began. Name another folder to keep both, or pass "
            "resume=False to begin anew and delete the old checkpoints."
        )
        got, expected = (", ".join(f"{k} {side.get(k)!r}" for k in off) for side in (old, new))
        raise ValueError(complain(str(path), f"a run of {got}", expected, hint))


def _flat(settings: Mapping[str, Any], front: str = "") -> dict[str, Any]:
    """Nested settings as ``{"extractor.name": ...}``."""
    rows: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            rows |= _flat(value, f"{front}{key}.")
        else:
            rows[f"{front}{key}"] = value
    return rows
