"""The weights that ship with the package: one folder, one manifest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from kpbook import runs
from kpbook._checks import check_choice, complain
from kpbook._files import write_atomically
from kpbook.zoo.files import OWN_AGAIN, built, read, read_bytes

#: Largest file that ships, bytes: the package has to stay a quick download.
LARGEST = 2_000_000
HOME = Path(__file__).parents[1] / "data" / "weights"
_AGAIN = "Install kpbook again, or restore the file from git."


def names() -> list[str]:
    """Return the names of all shipped weights, sorted."""
    return sorted(manifest())


def load(name: str, device: Any = None) -> Any:
    """Return a shipped extractor, trained and in eval mode; the same as ``kpbook.load``.

    Its parameters keep ``requires_grad``, so that it can be trained further. Where no gradient
    is wanted, call it under ``torch.no_grad()``, which also saves memory.

    Args:
        name: One of :func:`names`.
        device: Where it lives: ``"cpu"``, ``"cuda"``; the CPU without it.

    Returns:
        An extractor: images ``float (B, 3, H, W)`` in [0, 1] of its ``image_size`` to keypoints
        ``(B, N, 2)`` in image coordinates.

    Raises:
        FileNotFoundError: If the file of a known name is missing.
        ValueError: If the name is unknown or the file is not the one that shipped.
    """
    entry = entry_of(name)
    path = HOME / entry["file"]
    data = read_bytes(path, _AGAIN)
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        got = f"a changed or damaged file of {len(data)} bytes"
        expected = f"the {entry['bytes']} bytes that shipped"
        raise ValueError(complain(path.name, got, expected, _AGAIN))
    return built(path, data, _AGAIN, device)


def add(run: str | Path, name: str, description: str, *, replace: bool = False) -> Path:
    """Ship a recorded run: copy its weights and record into the package, list it in the manifest.

    Args:
        run: ``folder/run`` of a sweep: ``run.safetensors`` and ``run.json`` are there.
        name: What ``kpbook.load`` will call it.
        description: One line.
        replace: Whether weights of that name may be replaced.

    Returns:
        The path of the shipped weights.

    Raises:
        FileNotFoundError: If the weights or the record are missing.
        ValueError: If the file is damaged or larger than :data:`LARGEST`, belongs to another
            record, or the name is taken.
    """
    source = Path(f"{run}.safetensors")
    record = runs.load(f"{run}.json")
    again = f"Git leaves whole weights out; `{record.command} --force` trains this run again."
    data = read_bytes(source, again)
    if len(data) > LARGEST:
        hint = "Fewer channels or keypoints make it smaller."
        raise ValueError(complain(str(source), f"{len(data)} bytes", f"at most {LARGEST}", hint))
    metadata, _ = read(source, data, OWN_AGAIN)
    built(source, data, OWN_AGAIN, None)
    if metadata["record"] != record.name:
        got = f"weights of the run {metadata['record']!r}"
        raise ValueError(complain(str(source), got, f"those of its record, {record.name!r}"))
    listed = manifest()
    if name in listed and not replace:
        raise ValueError(complain("name", repr(name), "a new name", "--replace overwrites it."))
    listed[name] = {
        "file": f"{name}.safetensors",
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "architecture": metadata["architecture"],
        "description": description,
        "record": record.name,
    }
    dataclasses.replace(record, name=name, results=record.results[-1:]).save(HOME)
    path = write_atomically(HOME / f"{name}.safetensors", data)
    text = json.dumps({"weights": dict(sorted(listed.items()))}, indent=1)
    # Last: it is what makes the others seen.
    write_atomically(HOME / "manifest.json", (text + "\n").encode())
    return path


def median_seed(run: str | Path, by: str | None = None) -> Path:
    """Return the recorded seed of a run whose result is the median.

    What ships is neither the luckiest seed nor one that somebody picked. Of an even number of
    seeds, the lower one of the two in the middle.

    Args:
        run: ``folder/run`` of a sweep, whose seeds are ``run-s0.json`` and so on.
        by: Column of the last row that they are ordered by; R², averaged over objects, without it.

    Raises:
        FileNotFoundError: If no seed has been recorded.
        ValueError: If a record is damaged or holds no such number.
    """
    run = Path(run)
    numbered = (p for p in run.parent.glob(f"{run.name}-s*.json") if p.stem[-1].isdigit())
    seeds = [p for p in numbered if p.stem.rpartition("-s")[0] == run.name]
    if not seeds:
        hint = "Give folder/run, without a seed."
        raise FileNotFoundError(complain(str(run), "no recorded seed", "run-s0.json, ...", hint))

    def quality(path: Path) -> float:
        last = (runs.load(path).results or [{}])[-1]
        keys = [key for key in last if key.startswith("r2/")] if by is None else [by]
        values = [last[key] for key in keys if isinstance(last.get(key), int | float)]
        if not values:
            what = "R²" if by is None else repr(by)
            hint = "Name a column with --by." if by is None else ""
            got = f"a record without {what}"
            expected = "r2/<object> in it" if by is None else f"one of {', '.join(last)}"
            raise ValueError(complain(str(path), got, expected, hint))
        return float(sum(values) / len(values))

    seeds.sort(key=lambda p: int(p.stem.rpartition("-s")[2]))  # decides where results tie
    ordered = sorted(seeds, key=quality)
    return ordered[(len(ordered) - 1) // 2].with_suffix("")


def manifest() -> dict[str, dict[str, Any]]:
    """Return what ships: name -> file, sha256, bytes, architecture, description, run record."""
    path = HOME / "manifest.json"
    try:
        return dict(json.loads(read_bytes(path, _AGAIN))["weights"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(complain(str(path), "a damaged file", "a manifest", _AGAIN)) from error


def entry_of(name: str) -> dict[str, Any]:
    """Return the manifest's entry of a name; raise ``ValueError`` if it is unknown."""
    listed = manifest()
    return listed[check_choice(name, sorted(listed), name="name")]
