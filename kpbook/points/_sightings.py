"""What a file says, row by row, and how that becomes one point per frame and keypoint."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kpbook._checks import check_choice, complain
from kpbook.grid import as_size, from_pixels
from kpbook.points.found import Points

#: Likelihood from which on there is a point, as each tool's own plots take it; 0 is always lost.
THRESHOLDS = {
    "kpbook": 0.0, "pandas": 0.6, "deeplabcut": 0.6, "sleap": 0.0, "coco": 0.0, "openpose": 0.0,
    "mediapipe": 0.5, "tapvid": 0.5,
}  # fmt: skip
# Numbers of which most lie beyond this are pixels: fractions and image coordinates are about 1.
_FAR = 4.0
# So many frames without a row, for each with one, are more likely a number that counts no frames.
_SPARSE = 1000
PAIR = "A keypoint has a place in every frame, or both of its cells are empty."


@dataclass(frozen=True)
class Sightings:
    """Rows of a file: in each, the keypoints of one individual in one frame."""

    format: str
    values: np.ndarray  # x, y and likelihood (R, P, 3); NaN where there is none
    columns: list[tuple[str, str]]  # individual ("" if the row says it) and part of each column, P
    frame: list[int]  # R
    individual: list[str]  # R, "" if the columns say it
    where: list[str]  # place of each row, for messages, R
    units: str = ""  # "image", "pixels" or "fraction"; "" to be told by the numbers
    numbered: bool = True  # frames have numbers of the tool's; else they come in order
    frames: int | None = None  # how many frames the file speaks of
    complete: bool = False  # it has every frame of the recording
    size: tuple[int, int] | None = None  # of the pictures


@dataclass(frozen=True)
class Options:
    """What a reader's caller asks for."""

    frames: int | None = None
    image_size: tuple[int, int] | None = None
    threshold: float | None = None
    individual: str | None = None
    units: str | None = None
    first_frame: int = 0
    first_pixel: float = 0.0


def assemble(path: Path, said: Sightings, ask: Options) -> Points:
    """One point per frame and keypoint, in image coordinates.

    Raises:
        ValueError: If rows contradict each other or the options; the message names the place.
    """
    _check_pairs(said)
    frame, M = _frames(path, said, ask)
    keys, values = _by_keypoint(said, frame, M)
    present = list(dict.fromkeys(who for who, _ in keys))
    if ask.individual is not None:
        name = f"individual of {path.name}"
        if not any(present):
            hint = "The file names no individuals."
            raise ValueError(complain(name, repr(ask.individual), "none", hint))
        chosen = check_choice(ask.individual, present, name=name)
        use = [n for n, (who, _) in enumerate(keys) if who == chosen]
        keys, values, present = [keys[n] for n in use], values[:, use], [chosen]
    names = [part if len(present) == 1 else f"{who}/{part}" for who, part in keys]
    threshold = THRESHOLDS[said.format] if ask.threshold is None else ask.threshold
    z, score = values[..., :2], values[..., 2]
    given = said.values[..., 2]
    if said.format == "mediapipe" and (given == 0).any() and not (given > 0).any():
        got, hint = "visibility 0 everywhere", "It is ignored: MediaPipe fills in none for hands."
        warnings.warn(complain(path.name, got, "some above 0", hint), stacklevel=3)
        score = np.full_like(score, np.nan)
    # A point that has no likelihood was set by hand.
    found = np.isfinite(z).all(axis=-1) & (np.isnan(score) | ((score > 0) & (score >= threshold)))
    _warn_of_zeros(path, z, found & np.isnan(score), names)
    return Points(_to_image(path, z, found, said, ask), found, tuple(names))


def _warn_of_zeros(path: Path, z: np.ndarray, unsure: np.ndarray, names: list[str]) -> None:
    """Many tables of pixels say (0, 0) where nothing was found; a track seldom leaps there."""
    size = np.abs(z).max(axis=-1)
    zero = unsure & (size == 0)
    nearest = np.where(np.isfinite(size) & ~zero, size, np.inf).min(axis=0)
    leaps = zero.any(axis=0) & (nearest > _FAR) & (nearest < np.inf)
    if leaps.any():
        who = ", ".join(repr(name) for name, leap in zip(names, leaps, strict=True) if leap)
        got = f"(0, 0) {zero[:, leaps].sum()} times for {who[:60]}, else never near"
        hint = "They are kept as points: empty their cells if they are none."
        expected = "no numbers where nothing was found"
        warnings.warn(complain(path.name, got, expected, hint), stacklevel=4)


def _check_pairs(said: Sightings) -> None:
    z = said.values[..., :2]
    wrong = np.isinf(said.values).any(axis=-1) | (np.isnan(z[..., 0]) != np.isnan(z[..., 1]))
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        x, y, _ = said.values[row, column].tolist()
        got = f"({x:g}, {y:g}) for {'/'.join(filter(None, said.columns[column]))!r}"
        raise ValueError(complain(said.where[row], got, "finite numbers or none", PAIR))


def _frames(path: Path, said: Sightings, ask: Options) -> tuple[list[int], int]:
    """Frame of each row, from 0, and how many frames there are."""
    frame, R = said.frame, said.frames if said.frames is not None else len(said.frame)
    if said.complete and ask.frames not in (None, R):
        hint = "One row per frame, in the order of episodes.flat()."
        raise ValueError(complain(path.name, f"{R} rows", f"{ask.frames}", hint))
    if said.numbered:
        frame = [number - ask.first_frame for number in frame]
    last = max(frame, default=-1)
    M = ask.frames or max(last + 1, said.frames or 0)
    if ask.frames is None and _SPARSE * (len(set(frame)) + 1) < M:
        got = f"numbers up to {last} for {len(set(frame))} frames"
        raise ValueError(complain(path.name, got, "frames that are counted", "Pass frames=."))
    for number, where in zip(frame, said.where, strict=True):
        if not 0 <= number < M:
            hint = (
                "Frames count from 0, as in episodes.flat(); first_frame=1 if yours count from 1."
            )
            got, first = f"frame {number + ask.first_frame}", ask.first_frame
            expected = f"a frame from {first} {f'to {first + M - 1}' if ask.frames else 'on'}"
            raise ValueError(complain(where, got, expected, hint))
    return frame, M


def _by_keypoint(
    said: Sightings, frame: list[int], M: int
) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Individual and part of each keypoint, N; and x, y and likelihood, ``(M, N, 3)``."""
    rows: dict[str, dict[int, int]] = {}
    for row, (number, who) in enumerate(zip(frame, said.individual, strict=True)):
        before = rows.setdefault(who, {}).setdefault(number, row)
        same = np.array_equal(said.values[before, :, :2], said.values[row, :, :2], equal_nan=True)
        if before != row and not same:
            got = f"frame {number}{f' of {who!r}' if who else ''} again, after {said.where[before]}"
            hint = "Rows that were joined need numbers of their own: reset_index(drop=True)."
            raise ValueError(complain(said.where[row], got, "a row for each frame", hint))
    keys, parts = [], []
    for who, at in rows.items():
        part = np.full((M, *said.values.shape[1:]), np.nan)
        part[list(at)] = said.values[list(at.values())]
        parts.append(part)
        keys += [(who or column, name) for column, name in said.columns]
    return keys, np.concatenate(parts, axis=1)


def _to_image(
    path: Path, z: np.ndarray, found: np.ndarray, said: Sightings, ask: Options
) -> np.ndarray:
    placed = np.abs(z[found & z.any(axis=-1)]).max(axis=-1)  # without (0, 0): often lost, see above
    far = placed.size > 0 and float(np.median(placed)) > _FAR
    guess = ("pixels" if far else "image") if not said.units else said.units
    if guess == "fraction|pixels":
        guess = "pixels" if far else "fraction"
    units = ask.units or guess
    if units == "image":
        return z
    if units == "fraction" and far:
        hint = "units='pixels' if that is what they are."
        raise ValueError(complain(path.name, "numbers beyond 4", "fractions of the picture", hint))
    size = said.size or ask.image_size
    if size is None:
        hint = f"{path.name} holds {'pixels' if units == 'pixels' else 'fractions of the picture'}."
        expected = "(height, width) in pixels of the pictures that the other program saw"
        raise ValueError(complain("image_size", "None", expected, hint))
    H, W = as_size(size, name="image_size")
    pixels = z - ask.first_pixel if units == "pixels" else z * [W, H] - 0.5
    image = from_pixels(pixels, (H, W))
    outside = np.abs(image[found]) > [W / (W - 1) + 0.01, H / (H - 1) + 0.01]
    if found.any() and (share := float(outside.any(axis=-1).mean())) > 0.5:
        got = f"{(H, W)}, and {share:.0%} of the points outside"
        expected = "(height, width) of the pictures that the other program saw"
        warnings.warn(complain("image_size", got, expected), stacklevel=4)
    return image


def no_format(name: str, got: str, hint: str = "") -> ValueError:
    """The one error for content that is none of the formats."""
    expected = (
        "one of: CSV with the header 'x0,y0,x1,y1,...' or columns such as nose_x,nose_y; "
        "DeepLabCut's CSV (scorer, bodyparts, coords); SLEAP's analysis CSV (frame_idx, nose.x); "
        "MediaPipe's landmarks (x, y, z, visibility) as CSV or JSON; COCO's JSON (annotations or "
        "results with keypoints); OpenPose's JSON (people with pose_keypoints_2d); TAP-Vid's npz "
        "(tracks)"
    )
    hint = hint or "Two columns for each keypoint, x to the right and y down, -1 to +1."
    return ValueError(complain(name, got, expected, hint))
