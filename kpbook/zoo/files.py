"""One file of weights: what is written into it, and what is checked when it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

import kpbook
from kpbook import runs
from kpbook._checks import complain
from kpbook._files import write_atomically
from kpbook.extractors import registry
from kpbook.extractors.base import move

OWN_AGAIN = "Copy it anew, or save it again with kpbook.zoo.save."


def save(
    extractor: Any,
    path: str | Path,
    record: runs.RunRecord | None = None,
    *,
    encoder_only: bool = False,
) -> Path:
    """Write an extractor's weights, float32, with what is needed to build it again.

    Args:
        extractor: One that ``kpbook.extractors.registry`` built: it has ``name`` and ``config``.
        path: Where to, ``something.safetensors``; an older file is replaced in one step.
        record: The run that trained it; its name goes into the file.
        encoder_only: Leave out what only draws, a fraction of the size: weights whose names begin
            as the extractor's ``only_draws`` says. What is loaded from such a file gives the same
            keypoints and refuses to reconstruct.

    Returns:
        The path.

    Raises:
        TypeError: If it is no such extractor.
        ValueError: If a weight is NaN or infinite, the path does not end in ``.safetensors``, or
            an extractor without a decoder is to be saved whole.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(complain("path", str(path), "a name that ends in .safetensors"))
    if not isinstance(extractor, nn.Module) or not hasattr(extractor, "config"):
        hint = "Only those can be built again from their name and options."
        expected = "an extractor of kpbook.extractors.registry"
        raise TypeError(complain("extractor", type(extractor).__name__, expected, hint))
    if not encoder_only and any(isinstance(part, _NotSaved) for part in extractor.children()):
        hint = "It came from a file without them: encoder_only=True."
        got = "an extractor without the weights that draw"
        raise ValueError(complain("extractor", got, "whole weights", hint))
    tensors = {
        key: _stored(key, value)
        for key, value in extractor.state_dict().items()
        if not (encoder_only and key.startswith(_only_draws(extractor)))
    }
    metadata = {
        "part": "encoder" if encoder_only else "all",
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
            architecture that this version of kpbook does not build; or there is no such device.
    """
    path = Path(path)
    return built(path, read_bytes(path, "Check the path."), OWN_AGAIN, device)


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


def read_bytes(path: Path, hint: str) -> bytes:
    """Return a file's bytes; raise ``FileNotFoundError`` with a ``hint`` if there is none."""
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no such file"
        raise FileNotFoundError(complain(str(path), kind, "a .safetensors file", hint))
    return path.read_bytes()


def built(path: Path, data: bytes, hint: str, device: Any) -> Any:
    """Build the architecture that the file names and fill it."""
    metadata, tensors = read(path, data, hint)
    try:
        extractor = registry.build(metadata["architecture"], **json.loads(metadata["config"]))
    except (TypeError, ValueError) as error:
        got = f"weights of kpbook {metadata['kpbook']} for an architecture that cannot be built"
        expected = f"one that kpbook {kpbook.__version__} knows"
        raise ValueError(complain(str(path), got, expected, str(error))) from error
    _fill(extractor, tensors, path, metadata)
    move(extractor, device)
    return extractor.eval()


def read(path: Path, data: bytes, hint: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the metadata and the tensors of a file's bytes; ``path`` only names it in errors.

    Raises:
        ValueError: If it is cut off, changed, or not written by :func:`save`.
    """
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
    encoder_only = metadata.get("part") == "encoder"
    wanted = {
        key: tuple(value.shape)
        for key, value in extractor.state_dict().items()
        if not (encoder_only and key.startswith(_only_draws(extractor)))
    }
    given = {key: tuple(value.shape) for key, value in tensors.items()}
    off = sorted(key for key in wanted | given if wanted.get(key) != given.get(key))
    if off:
        key = off[0]
        got = f"weights for another architecture: {key} is {given.get(key, 'missing')}"
        expected = f"{wanted.get(key, 'no such tensor')}, as {metadata['architecture']!r} has it"
        hint = f"{len(off)} tensor(s) differ; the file was made with kpbook {metadata['kpbook']}."
        raise ValueError(complain(str(path), got, expected, hint))
    extractor.load_state_dict(dict(tensors), strict=not encoder_only)
    if not encoder_only:
        return
    for part, module in list(extractor.named_children()):
        if f"{part}." in _only_draws(extractor) and any(True for _ in module.parameters()):
            setattr(extractor, part, _NotSaved(path.name))


def _only_draws(extractor: nn.Module) -> tuple[str, ...]:
    """Beginnings of the names of weights that no keypoint depends on."""
    return tuple(getattr(extractor, "only_draws", ()))


class _NotSaved(nn.Module):
    """Stands where a part that draws was, such as the decoder."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def forward(self, *inputs: Tensor) -> Tensor:
        """Refuse."""
        got, expected = "weights of the encoder only", "weights of what draws, too"
        raise RuntimeError(complain(self.file, got, expected, "What ships (zoo.names()) is whole."))
