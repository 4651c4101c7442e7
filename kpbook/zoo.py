"""Shipped weights: ``kpbook.load(name)`` gives a trained extractor.

Weights are safetensors, never pickle: reading a file runs nothing in it. A file's metadata holds
the architecture's name and options (:mod:`kpbook.extractors.registry`), so that it says by itself
which network it fits, and a checksum of its numbers. ``kpbook/data/weights/manifest.json`` lists
what ships, with the sha256 of each file; the run record beside each file says where it comes from.

``python -m kpbook.zoo`` lists the names, ``python -m kpbook.zoo card NAME`` prints a model card,
``python -m kpbook.zoo add FOLDER/RUN --as NAME --description "..."`` ships a recorded run.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

import kpbook
from kpbook import runs
from kpbook._checks import check_choice, complain
from kpbook._files import write_atomically
from kpbook.extractors import registry
from kpbook.grid import as_size

#: Largest file that ships, bytes: the package has to stay a quick download.
LARGEST = 2_000_000
_HOME = Path(__file__).parent / "data" / "weights"
_AGAIN = "Install kpbook again, or restore the file from git."
_OWN_AGAIN = "Copy it anew, or save it again with kpbook.zoo.save."


# -- what ships ------------------------------------------------------------------------------


def names() -> list[str]:
    """Return the names of all shipped weights, sorted."""
    return sorted(_manifest())


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
    entry = _entry(name)
    path = _HOME / entry["file"]
    data = _bytes(path, _AGAIN)
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        got = f"a changed or damaged file of {len(data)} bytes"
        expected = f"the {entry['bytes']} bytes that shipped"
        raise ValueError(complain(path.name, got, expected, _AGAIN))
    return _built(path, data, _AGAIN, device)


def card(name: str) -> Card:
    """Return the model card of a shipped extractor, made from its run record.

    Raises:
        FileNotFoundError: If the run record is missing.
        ValueError: If the name is unknown.
    """
    entry = _entry(name)
    record = runs.load(_HOME / f"{name}.json")
    extractor = load(name)
    return Card("\n".join(_card_lines(name, entry, record, extractor)) + "\n")


class Card(str):
    """Markdown that a notebook shows as a page."""

    def _repr_markdown_(self) -> str:
        return str(self)


# -- files of weights ------------------------------------------------------------------------


def save(extractor: Any, path: str | Path, record: runs.RunRecord | None = None) -> Path:
    """Write an extractor's weights, float32, with what is needed to build it again.

    Args:
        extractor: One that ``kpbook.extractors.registry`` built: it has ``name`` and ``config``.
        path: Where to, ``something.safetensors``; an older file is replaced in one step.
        record: The run that trained it; its name goes into the file.

    Returns:
        The path.

    Raises:
        TypeError: If it is no such extractor.
        ValueError: If a weight is NaN or infinite, or the path does not end in ``.safetensors``.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(complain("path", str(path), "a name that ends in .safetensors"))
    if not isinstance(extractor, nn.Module) or not hasattr(extractor, "config"):
        hint = "Only those can be built again from their name and options."
        expected = "an extractor of kpbook.extractors.registry"
        raise TypeError(complain("extractor", type(extractor).__name__, expected, hint))
    tensors = {key: _stored(key, value) for key, value in extractor.state_dict().items()}
    metadata = {
        "kpbook": kpbook.__version__,
        "architecture": str(extractor.name),
        "config": json.dumps(extractor.config, sort_keys=True),
        "record": record.name if record else "",
        "sha256": _digest(tensors),
    }
    return write_atomically(path, safetensors.torch.save(tensors, metadata))


def load_file(path: str | Path, device: Any = None) -> Any:
    """Return the extractor that :func:`save` wrote to ``path``, in eval mode, as :func:`load`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is cut off, changed, not written by :func:`save`, or made for an
            architecture that this version of kpbook does not build.
    """
    path = Path(path)
    return _built(path, _bytes(path, "Check the path."), _OWN_AGAIN, device)


def _stored(key: str, value: Tensor) -> Tensor:
    """A copy of its own, float32 if it is floating: tied tensors must not share memory."""
    copy = value.detach().cpu().clone().contiguous()
    if not copy.is_floating_point():
        return copy
    if not torch.isfinite(copy).all():
        hint = "The training diverged; a smaller learning rate usually helps."
        raise ValueError(complain(key, "NaN or infinite weights", "finite numbers", hint))
    return copy.float()


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over names and numbers; safetensors itself notices only a wrong length."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(tensors[key].numpy().tobytes())
    return digest.hexdigest()


def _bytes(path: Path, hint: str) -> bytes:
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no such file"
        raise FileNotFoundError(complain(str(path), kind, "a .safetensors file", hint))
    return path.read_bytes()


def _built(path: Path, data: bytes, hint: str, device: Any) -> Any:
    """Build the architecture that the file names and fill it."""
    metadata, tensors = _read(path, data, hint)
    try:
        extractor = registry.build(metadata["architecture"], **json.loads(metadata["config"]))
    except (TypeError, ValueError) as error:
        got = f"weights of kpbook {metadata['kpbook']} for an architecture that cannot be built"
        expected = f"one that kpbook {kpbook.__version__} knows"
        raise ValueError(complain(str(path), got, expected, str(error))) from error
    _fill(extractor, tensors, path, metadata)
    return extractor.to(device).eval()


def _read(path: Path, data: bytes, hint: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        tensors = safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        got = f"a file that is cut off or damaged ({error})"
        raise ValueError(complain(str(path), got, "safetensors", hint)) from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = header.get("__metadata__", {})
    missing = {"kpbook", "architecture", "config", "sha256"} - set(metadata)
    if missing:
        got = f"metadata without {', '.join(sorted(missing))}"
        expected = "weights that kpbook.zoo.save wrote"
        raise ValueError(complain(str(path), got, expected, "Another program wrote it."))
    if _digest(tensors) != metadata["sha256"]:
        got = "numbers that differ from the file's own checksum"
        raise ValueError(complain(str(path), got, "an undamaged file", hint))
    return metadata, tensors


def _fill(
    extractor: nn.Module, tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]
) -> None:
    wanted = {key: tuple(value.shape) for key, value in extractor.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in tensors.items()}
    off = sorted(key for key in wanted | given if wanted.get(key) != given.get(key))
    if off:
        key = off[0]
        got = f"weights for another architecture: {key} is {given.get(key, 'missing')}"
        expected = f"{wanted.get(key, 'no such tensor')}, as {metadata['architecture']!r} has it"
        hint = f"{len(off)} tensor(s) differ; the file was made with kpbook {metadata['kpbook']}."
        raise ValueError(complain(str(path), got, expected, hint))
    extractor.load_state_dict(dict(tensors))


# -- the manifest ----------------------------------------------------------------------------


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
    data = _bytes(source, "Give folder/run, without a suffix.")
    if len(data) > LARGEST:
        hint = "Fewer channels or keypoints make it smaller."
        raise ValueError(complain(str(source), f"{len(data)} bytes", f"at most {LARGEST}", hint))
    metadata, _ = _read(source, data, _OWN_AGAIN)
    _built(source, data, _OWN_AGAIN, None)
    if metadata["record"] != record.name:
        got = f"weights of the run {metadata['record']!r}"
        raise ValueError(complain(str(source), got, f"those of its record, {record.name!r}"))
    manifest = _manifest()
    if name in manifest and not replace:
        raise ValueError(complain("name", repr(name), "a new name", "--replace overwrites it."))
    manifest[name] = {
        "file": f"{name}.safetensors",
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "architecture": metadata["architecture"],
        "description": description,
        "record": record.name,
    }
    dataclasses.replace(record, name=name, results=record.results[-1:]).save(_HOME)
    path = write_atomically(_HOME / f"{name}.safetensors", data)
    text = json.dumps({"weights": dict(sorted(manifest.items()))}, indent=1)
    write_atomically(
        _HOME / "manifest.json", (text + "\n").encode()
    )  # last: it makes the rest seen
    return path


def _manifest() -> dict[str, dict[str, Any]]:
    path = _HOME / "manifest.json"
    try:
        return dict(json.loads(_bytes(path, _AGAIN))["weights"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(complain(str(path), "a damaged file", "a manifest", _AGAIN)) from error


def _entry(name: str) -> dict[str, Any]:
    manifest = _manifest()
    return manifest[check_choice(name, sorted(manifest), name="name")]


# -- the model card --------------------------------------------------------------------------


def _card_lines(
    name: str, entry: Mapping[str, Any], record: runs.RunRecord, extractor: Any
) -> list[str]:
    """Nothing in a card is typed by hand, but the description that `add` was given."""
    settings = record.config.get("settings", {})
    count = sum(p.numel() for p in extractor.parameters())
    H, W = as_size(extractor.image_size)
    data = json.dumps(settings.get("data"), sort_keys=True)
    split = settings.get("split", {})
    return [
        f"# {name}",
        "",
        entry["description"],
        "",
        f"- **What:** `{entry['architecture']}` with `{json.dumps(extractor.config)}`; "
        f"{count:,} parameters, {entry['bytes']:,} bytes.",
        f"- **In, out:** images {H} x {W}, `float (B, 3, {H}, {W})` in [0, 1], to keypoints "
        "`(B, N, 2)` in image coordinates.",
        f"- **Trained on:** `{data}`, {split.get('train')} episodes; scored on "
        f"{split.get('validation')} others, half of them for the fit.",
        f"- **Run again:** `{record.command}`, seed {record.seed}; {record.seconds:.0f} s on "
        f"{record.device}, kpbook {record.versions['kpbook']}, torch {record.versions['torch']}, "
        f"{record.date}.",
        f"- **Run record:** `{entry['record']}`; sha256 of the weights `{entry['sha256']}`.",
        f"- **Limits:** known for frames as above (camera, look, objects, {H} x {W}), nowhere "
        "else. One run of several seeds: another run's keypoints differ.",
        "- **Licence:** MIT, as kpbook.",
        "",
        *_score_lines(record),
    ]


def _score_lines(record: runs.RunRecord) -> list[str]:
    last = record.results[-1]
    names = [key.partition("/")[2] for key in last if key.startswith("error/")]
    columns = {
        "error/": "error",
        "r2/": "R²",
        "within/": "within episodes",
        "keypoint/": "keypoint",
    }
    rows = [
        f"| {name} | " + " | ".join(_short(last.get(f"{key}{name}")) for key in columns) + " |"
        for name in names
    ]
    head = f"| object | {' | '.join(columns.values())} |"
    unit = "Errors are mean squared distances in image coordinates, -1 to +1."
    return [head, "|---" * (1 + len(columns)) + "|", *rows, "", unit]


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


# -- the command -----------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """List the shipped weights, print a card, or ship a run; return 2 if that is impossible."""
    parser = argparse.ArgumentParser(prog="python -m kpbook.zoo", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    shown = commands.add_parser("card", help="print a model card")
    shown.add_argument("name")
    added = commands.add_parser("add", help="ship a recorded run")
    added.add_argument("run", help="folder/run, without a suffix")
    added.add_argument("--as", dest="name", required=True, help="what kpbook.load calls it")
    added.add_argument("--description", required=True, help="one line")
    added.add_argument("--replace", action="store_true", help="overwrite weights of that name")
    options = parser.parse_args(arguments)
    try:
        if options.command == "add":
            add(options.run, options.name, options.description, replace=options.replace)
        if options.command == "card":
            print(card(options.name))
        else:
            for name, entry in sorted(_manifest().items()):
                print(f"{name:<32} {entry['bytes']:>9} bytes  {entry['description']}")
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
