"""One door for the files of other programs; what each is, its content says."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from kpbook._arrays import as_float64
from kpbook._checks import check_choice, check_integer, complain
from kpbook.grid import Size, as_size
from kpbook.points._json import read_folder, read_json, text_of
from kpbook.points._npz import read_npz
from kpbook.points._sightings import THRESHOLDS, Options, Sightings, assemble, no_format
from kpbook.points._table import read_table
from kpbook.points.found import Points

#: What ``format=`` may be; see :mod:`kpbook.points` for each.
FORMATS = tuple(THRESHOLDS)
#: What ``units=`` may be: image coordinates, pixels, or fractions of the picture, 0 to 1.
UNITS = ("image", "pixels", "fraction")


def read_points(
    path: str | Path,
    frames: int | None = None,
    *,
    image_size: Size | None = None,
    format: str | None = None,
    threshold: float | None = None,
    individual: str | int | None = None,
    units: str | None = None,
    first_frame: int = 0,
    first_pixel: float = 0.0,
) -> Points:
    """Read keypoints of all frames that another program found.

    The formats stand in :mod:`kpbook.points`. Frames are those of ``episodes.flat()`` in a row: all
    of the first episode, then of the second. A frame that the file leaves out, as SLEAP, COCO and
    OpenPose do, is one without points.

    Several animals or people: each one's parts are keypoints of their own, named
    ``individual/part``. They are told apart by the name that the file gives (individual, track,
    person_id, track_id; COCO's category where there are several), else by their order in the frame:
    "0", "1". Parts keep the file's order.

    Args:
        path: The file, or OpenPose's folder.
        frames: How many frames there are, M; without it as many as the file says.
        image_size: (H, W) of the pictures that the other program saw. Pixels and fractions need
            it, except COCO's, whose file says it; then that counts.
        format: One of :data:`FORMATS`, to be told nothing by the content.
        threshold: Likelihood below which there is no point; without it the format's own, which is
            0.6 for DeepLabCut and pandas, 0.5 for MediaPipe and TAP-Vid, else 0. A likelihood of 0
            is never a point; one that is missing is. MediaPipe's does not count if it is 0
            everywhere, as for hands.
        individual: Only this one's keypoints, by its name or its number.
        units: One of :data:`UNITS`, if they are not the format's own. pandas' columns with names
            or likelihoods, and TAP-Vid's tracks, are pixels if most of them lie beyond 4; (0, 0)
            does not count.
        first_frame: Number of the first frame, where the file counts them.
        first_pixel: Where the centre of the first pixel is: 0, as a rule. 0.5 if whole numbers are
            pixels' corners, as in TAP-Vid's pixels; 1 if they count from 1.

    Returns:
        The points, in image coordinates, and where there are any.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If an option is of another kind.
        ValueError: If the file is of no known format, damaged, or contradicts itself or the
            options; the message names the file, and the line or place in it.

    Warns:
        UserWarning: If most of the points lie outside a picture of ``image_size``, MediaPipe's
            visibility is 0 everywhere, or a keypoint without likelihood is at (0, 0) in some frames
            and more than 4 away in all others: lost, as a rule, but it stays a point.
    """
    if not isinstance(path, str | Path):
        raise TypeError(complain("path", repr(path)[:60], "a file's name, str or pathlib.Path"))
    ask = Options(
        frames=None if frames is None else check_integer(frames, name="frames", minimum=1),
        image_size=None if image_size is None else as_size(image_size, name="image_size"),
        threshold=None if threshold is None else _as_number(threshold, "threshold"),
        individual=_as_individual(individual),
        units=None if units is None else check_choice(units, UNITS, name="units"),
        first_frame=check_integer(first_frame, name="first_frame", minimum=0),
        first_pixel=_as_number(first_pixel, "first_pixel"),
    )
    if format is not None:
        check_choice(format, FORMATS, name="format")
    said = _read(Path(path), ask.frames, format)
    return assemble(Path(path), said, ask)


def _read(path: Path, frames: int | None, asked: str | None) -> Sightings:
    if not os.path.exists(path):  # Path's raises OSError for a name that is too long
        fix = f"Paths start at {Path.cwd()} unless they are absolute."
        raise FileNotFoundError(
            complain(str(path)[:300], "no such file", "a file of keypoints", fix)
        )
    if path.is_dir():
        said = read_folder(path)
    else:
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(b"\x89HDF"):
            hint = (
                "Export CSV: DeepLabCut with save_as_csv=True or analyze_videos_converth5_to_csv; "
                "SLEAP with File > Export Analysis CSV or sleap-convert --format analysis.csv."
            )
            raise ValueError(complain(path.name, "HDF5", "CSV", hint))
        if start.startswith(b"\x80"):
            hint = "A pickle can run anything. numpy.savez(path, tracks=..., visibles=...) cannot."
            raise ValueError(complain(path.name, "a pickle", "an npz", hint))
        said = (
            read_npz(path, frames) if start.startswith(b"PK") else _read_text(path, frames, asked)
        )
    if asked is not None and said.format != asked:
        raise no_format(
            path.name, f"{said.format}, where {asked} was asked for", "Leave format out."
        )
    return said


def _read_text(path: Path, frames: int | None, asked: str | None) -> Sightings:
    text = text_of(path)
    if text.lstrip()[:1] in ("{", "["):
        return read_json(path, text, frames, asked)
    return read_table(path, text, asked)


def _as_number(x: float, name: str) -> float:
    number = as_float64(x, name=name, expected="a number")
    if number.ndim or isinstance(x, bool):
        raise TypeError(complain(name, repr(x)[:60], "a number"))
    if not np.isfinite(number) or number < 0:
        raise ValueError(complain(name, float(number), "a finite number, at least 0"))
    return float(number)


def _as_individual(x: str | int | None) -> str | None:
    if x is not None and (isinstance(x, bool) or not isinstance(x, str | int | np.integer)):
        raise TypeError(complain("individual", repr(x)[:60], "a name or a number"))
    return None if x is None else str(x)
