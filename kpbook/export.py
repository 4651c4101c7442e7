"""Extractors as ONNX files: for the browser, and for any program that has no torch."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

import kpbook
from kpbook._checks import check_floating, check_shape, check_tensor, complain, require
from kpbook._files import file_path, write_atomically
from kpbook.detect import check_ready
from kpbook.extractors.base import Draws, Extractor, lacks, offers
from kpbook.grid import as_size

#: What the file computes from ``images``, float32 ``(B, 3, H, W)`` in [0, 1]; the last one if
#: the extractor draws.
OUTPUTS = ("keypoints", "heatmaps", "reconstruction")
_PURPOSE = "writing ONNX files"
_SAME = 1e-3  # share of the largest number: rounding stays below 1e-5, another batch above 0.1


class _Whole(nn.Module):
    """All that the contract promises, in one graph; what the parts share is computed once.

    It names its inputs and outputs, with shapes without B: ``None`` is any number, and no shape any
    shape.
    """

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.extractor, views = extractor, getattr(extractor, "views", 1)
        several = (views,) if views > 1 else ()
        self.inputs = {"images": (*several, 3, *as_size(extractor.image_size, name="image_size"))}
        points = (None, getattr(extractor, "dimensions", 2))
        shapes = points, (*several, None, None, None), None
        names = OUTPUTS if offers(extractor, Draws) else OUTPUTS[:2]
        self.outputs = dict(zip(names, shapes, strict=False))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        extractor = self.extractor
        found = extractor(images), extractor.heatmaps(images)
        return (*found, extractor.reconstruct(images)) if len(self.outputs) == 3 else found


def _copy(whole: nn.Module) -> Any:
    """A copy on the CPU."""
    try:
        return copy.deepcopy(whole).cpu()
    except RuntimeError as error:
        hint = (
            "A tensor that still hangs on its gradient, kept as an attribute, is the usual cause: "
            f"keep .detach() of it. torch says: {str(error).splitlines()[0]}"
        )
        got = "one that cannot be copied"
        raise ValueError(complain("extractor", got, "copy.deepcopy to work", hint)) from error


def to_onnx(extractor: Any, path: str | Path) -> Path:
    """Write an extractor as one ONNX file.

    The file takes ``images``, float32 ``(B, 3, H, W)`` in [0, 1], any B, and gives ``keypoints``
    ``(B, N, 2)`` in image coordinates, ``heatmaps`` ``(B, N, h, w)`` and, from an extractor that
    draws, ``reconstruction`` ``(B, 3, h', w')``, as the extractor's own methods do; with several
    views or in metres, the shapes of :class:`kpbook.extractors.Extractor`. A program that asks for
    one of them pays for that one. The values of the images are not checked there. Before the file
    appears it is run on one, five and eleven images and compared with torch.

    Its metadata hold ``kpbook`` (version), ``name``, and as JSON ``image_size`` (H, W).

    A module that itself names its ``inputs`` and ``outputs``, each with its shape without B, such
    as :class:`kpbook.extractors.transporter.Stages`, is written with those.

    Args:
        extractor: Anything of the contract of :mod:`kpbook.extractors.base`, or as above, in eval
            mode, on any device. It is not changed.
        path: Of the file, which appears whole or not at all.

    Returns:
        The path.

    Raises:
        ImportError: If onnx, onnxscript or onnxruntime is missing, or torch is older than 2.6.
        IsADirectoryError: If ``path`` is a folder.
        TypeError: If the extractor is no module, or lacks a part of the contract.
        ValueError: If a part of it is in training mode, it cannot be copied, holds an operation
            that ONNX does not know, the shapes are not those of the contract, or the file gives
            other numbers for another number of images.
    """
    whole, path = _check(extractor), file_path(path)
    onnx = require("onnx", extra="export", purpose=_PURPOSE)
    for package in ("onnxscript", "onnxruntime"):
        require(package, extra="export", purpose=_PURPOSE)
    if "external_data" not in inspect.signature(torch.onnx.export).parameters:
        raise ImportError(complain("torch", torch.__version__, "2.6 or later for ONNX files"))
    whole = _copy(whole).eval()
    example = _random(whole, 2)  # the exporter would take a batch of one for "always one"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "whole.onnx"
        _export(whole, example, file)
        _simplify(file)
        _try_other_batches(whole, file)
        model = onnx.load(file)
    about = {
        "kpbook": kpbook.__version__,
        "name": str(getattr(extractor, "name", "")),
        "image_size": json.dumps(as_size(extractor.image_size)),
    }
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    return write_atomically(path, model.SerializeToString())


def difference(extractor: Any, path: str | Path, *inputs: Tensor) -> dict[str, float]:
    """Compare the file with torch: the largest absolute difference of each output.

    Args:
        extractor: What was written.
        path: Of the file.
        *inputs: Of an extractor, images, float32 ``(B, 3, H, W)`` in [0, 1]; else what it names.

    Returns:
        Name of the output -> difference; keypoints in image coordinates.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If onnxruntime is missing.
        TypeError: If the images are no tensor of floating-point numbers.
        ValueError: If it is no ONNX file, there are more or fewer inputs than it has, or images
            are not of the extractor's size.
    """
    if not Path(path).is_file():
        hint = "kpbook.export.to_onnx(extractor, path) writes it."
        raise FileNotFoundError(complain(str(path), "no such file", "an ONNX file", hint))
    whole = _check(extractor)
    if len(inputs) != len(whole.inputs):
        expected = f"{len(whole.inputs)}: {', '.join(whole.inputs)}"
        raise ValueError(complain("inputs", len(inputs), expected))
    for (name, shape), given in zip(whole.inputs.items(), inputs, strict=True):
        check_tensor(given, name=name)
        check_floating(given, name=name, hint="kpbook.images.to_float converts bytes.")
        check_shape(given, " ".join(["B", *map(str, shape)]), name=name)
    try:
        both = list(_both(_copy(whole), path, tuple(given.float() for given in inputs)))
    except Exception as error:  # onnxruntime has many kinds
        got = f"a file that cannot be run: {str(error).splitlines()[0][:200]}"
        raise ValueError(complain(str(path), got, "an ONNX file of to_onnx")) from error
    return {name: float(np.abs(a - b).max()) for name, a, b in both}


def _both(
    whole: Any, path: str | Path, inputs: tuple[Tensor, ...]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name of each output, what the file gives, and what torch gives."""
    onnxruntime = require("onnxruntime", extra="export", purpose="running ONNX files")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised; else it is printed, too
    cpu = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(path), options, providers=cpu)
    with torch.no_grad():
        ours = [output.numpy() for output in whole(*(given.cpu() for given in inputs))]
    names = list(whole.outputs)
    fed = zip(whole.inputs, inputs, strict=True)
    theirs = session.run(names, {name: given.cpu().numpy() for name, given in fed})
    return iter(zip(names, theirs, ours, strict=True))


def _random(whole: Any, B: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(B)
    return tuple(torch.rand(B, *shape, generator=generator) for shape in whole.inputs.values())


def _simplify(file: Path) -> None:
    """Fold constants and batch norms, and drop the exporter's remarks: a smaller, quicker file.

    Of onnxruntime's levels the basic one keeps to ONNX's own operations.
    """
    onnxruntime = require("onnxruntime", extra="export", purpose=_PURPOSE)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(file)
    try:
        onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has many kinds
        got = f"a file that onnxruntime does not take: {str(error).splitlines()[0][:200]}"
        raise ValueError(complain("extractor", got, "operations that it knows")) from error


def _try_other_batches(whole: Any, file: Path) -> None:
    """Raise unless the file gives torch's numbers for other numbers of images, too.

    The export follows Python for two images; a loop over them, or a list of them, leaves two
    images in the file for good.
    """
    for B in (1, 5, 11):
        try:
            both = list(_both(whole, file, _random(whole, B)))
        except Exception as error:  # onnxruntime has many kinds
            _complain_of_batch(B, str(error).splitlines()[0][:200], error)
        for name, _, ours in both:
            if whole.outputs[name] is not None:
                _check_contract(name, ours.shape, (B, *whole.outputs[name]))
        for name, theirs, ours in both:
            if theirs.shape != ours.shape:
                _complain_of_batch(B, f"{name} of shape {theirs.shape} for {ours.shape}")
            off = float(np.abs(theirs - ours).max())
            if not off <= _SAME * max(1.0, float(np.abs(ours).max())):
                _complain_of_batch(B, f"{name} that differ from torch's by {off:.3g}")


def _check_contract(name: str, shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> None:
    """Raise unless an output has the sizes that are promised, and as many axes."""
    sizes = zip(shape, wanted, strict=False)
    if len(shape) != len(wanted) or any(n is not None and n != size for size, n in sizes):
        axes = ", ".join("any" if n is None else str(n) for n in wanted)
        hint = "kpbook.extractors.check_extractor tries the whole contract."
        raise ValueError(complain(name, f"shape {shape}", f"({axes})", hint))


def _complain_of_batch(B: int, what: str, error: Exception | None = None) -> NoReturn:
    hint = (
        "Usual cause: a Python loop or torch.stack over the images of a batch, or a size read as "
        "a number (x.shape[0] in a list). Write it for the whole batch at once."
    )
    got = f"a file that goes wrong on {B} image(s): {what}"
    raise ValueError(complain("extractor", got, "one file for any number", hint)) from error


def _check(extractor: Any) -> Any:
    """Return what computes all that the file is to hold, and names its inputs and outputs."""
    if not isinstance(extractor, nn.Module):
        got = type(extractor).__name__
        raise TypeError(complain("extractor", got, "a torch module of the extractor's contract"))
    lacking = lacks(extractor, Extractor)
    named = bool(lacking) and hasattr(extractor, "inputs") and hasattr(extractor, "outputs")
    if lacking and not named:
        hint = "kpbook.extractors.base says what each part is."
        raise TypeError(complain("extractor", f"none of {lacking}", "the whole contract", hint))
    check_ready(extractor)
    return extractor if named else _Whole(extractor)


def _export(whole: Any, example: tuple[Tensor, ...], file: Path) -> None:
    said = io.StringIO()  # the exporter prints its progress, and its own deprecations
    try:
        with contextlib.redirect_stdout(said), warnings.catch_warnings(), _no_log():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                whole,
                example,
                file,
                input_names=list(whole.inputs),
                output_names=list(whole.outputs),
                dynamic_shapes=({0: torch.export.Dim("B")},) * len(example),
                external_data=False,  # else the weights go to a second file
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        hint = (
            "Usual causes: a Python branch on a tensor's value (call kpbook.cores, or "
            "check before), or NumPy in forward. The exporter says: " + _first_cause(error)
        )
        expected = "operations that ONNX knows"
        raise ValueError(
            complain("extractor", "one that cannot be traced", expected, hint)
        ) from error


@contextlib.contextmanager
def _no_log() -> Iterator[None]:
    """Leave out what the exporter logs: torchvision's operations, which nobody asked for."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().splitlines()[0][:200]
