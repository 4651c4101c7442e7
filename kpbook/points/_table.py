"""CSV files: ours, pandas', DeepLabCut's, SLEAP's and MediaPipe's."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kpbook._checks import complain
from kpbook.points._sightings import PAIR, Sightings, no_format

Line = tuple[int, list[str]]  # its number in the file, and its cells

# What pandas takes for missing, in lower case.
_MISSING = {"", "nan", "-nan", "na", "n/a", "<na>", "null", "none", "#n/a", "#n/a n/a", "#na"}
_MISSING |= {"1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"}
_FRAME = {"frame", "frame_idx", "frame_index", "frame_number", "frame_num", "frame_id", "frame_no"}
_INDEX = {"", "unnamed: 0", "index"}  # pandas writes its index first, without a name
_WHO = {"track", "track_id", "individual", "individuals", "person", "person_id", "animal"}
_PART = {"landmark", "landmark_id", "landmark_index", "landmark_name", "keypoint", "joint", "node"}
_SCORE = {"likelihood", "confidence", "conf", "score", "visibility", "visible", "vis", "prob"}
_KIND = "|".join(["x", "y", "z", "presence", *sorted(_SCORE), "p", "c", "v"])
# nose_x, nose.x; and x0, x_0, x_nose
_COLUMN = re.compile(
    rf"(?P<name>.+)[ _.:](?P<kind>{_KIND})"
    rf"|(?P<kind2>{_KIND})(?:(?P<number>\d+)|[ _.](?P<name2>.+))",
    re.IGNORECASE,
)
_AGAIN = re.compile(r"\.\d+$")  # pandas reads a second nose_x as nose_x.1
_OF_TABLES = ("kpbook", "pandas", "sleap", "mediapipe")
_DLC_ROWS = ("scorer", "individuals", "bodyparts", "coords")


def read_table(path: Path, text: str, asked: str | None) -> Sightings:
    """Read a CSV file of any format; ``asked`` is the one that it is said to have."""
    lines = _lines(path, text)
    header = lines[0][1] if lines else [""]
    if header[0].lower() in _DLC_ROWS and asked in (None, "deeplabcut"):
        return _deeplabcut(path, lines)
    lower = [name.lower() for name in header]
    _check_header(path, header)
    if set(lower) & _PART and {"x", "y"} <= set(lower) and asked in (None, "mediapipe"):
        return _one_landmark_a_row(path, lines, lower)
    columns = _columns(path, header)
    kind = asked or _kind_of(lower, columns)
    if not columns or kind not in _OF_TABLES or (kind == "kpbook" and not is_ours(header)):
        raise no_format(path.name, f"header {','.join(header)[:60]!r}")
    return _wide(path, lines, lower, columns, kind)


def is_ours(header: Sequence[str]) -> bool:
    """Whether a header is ``x0,y0,x1,y1,...``."""
    return list(header) == [f"{axis}{n}" for n in range(len(header) // 2) for axis in "xy"]


def _check_header(path: Path, header: list[str]) -> None:
    text = ",".join(header)
    for mark, called in ((";", "semicolons"), ("\t", "tabs")):
        if mark in text:
            hint = f"Separate the columns by commas, not by {called}, and write 0.5, not 0,5."
            got = f"header {text[:60]!r}"
            raise ValueError(complain(path.name, got, "'x0,y0,x1,y1,...'", hint))
    names = set(header)
    name, times = Counter(_once(name, names) for name in header).most_common(1)[0]
    if times > 1:
        got = f"a header with {name!r} {times} times"
        raise ValueError(complain(path.name, got, "a name of its own for every column"))


def _once(name: str, header: set[str]) -> str:
    """``nose_x`` for the ``nose_x.1`` beside it; other names, as ``nose.x``, stay what they are."""
    first = _AGAIN.sub("", name)
    double = first in header and (first.lower() in ("x", "y") or _COLUMN.fullmatch(first))
    return first if double else name


def _columns(path: Path, header: list[str]) -> dict[str, dict[str, int]]:
    """Keypoint -> x, y, z, score -> its column; only keypoints that have a place."""
    found: dict[str, dict[str, int]] = {}
    for i, name in enumerate(header):
        match = _COLUMN.fullmatch(name)
        if match:
            kind = (match["kind"] or match["kind2"]).lower()
            kind = kind if kind in ("x", "y", "z", "presence") else "score"
            part = match["name"] or match["number"] or match["name2"]
            if found.setdefault(part, {}).setdefault(kind, i) != i:
                got = f"columns {header[found[part][kind]]!r} and {name!r}"
                raise ValueError(complain(path.name, got, "one of them"))
    placed = {part: at for part, at in found.items() if {"x", "y"} & set(at)}
    for part, at in placed.items():
        if not {"x", "y"} <= set(at) or at["y"] < at["x"]:
            got = f"header {','.join(header)[:60]!r} with no x before the y of {part!r}"
            expected = "'x0,y0,x1,y1,...', or x and y of every keypoint"
            hint = "Two columns for each keypoint, x to the right and y down, -1 to +1."
            raise ValueError(complain(path.name, got, expected, hint))
    return placed


def _kind_of(header: list[str], columns: dict[str, dict[str, int]]) -> str:
    if is_ours(header):
        return "kpbook"
    kinds = {kind for at in columns.values() for kind in at}
    if "frame_idx" in header and any("." in name for name in header):
        return "sleap"
    return "mediapipe" if {"z", "score"} <= kinds else "pandas"


def _wide(
    path: Path,
    lines: list[Line],
    header: list[str],
    columns: dict[str, dict[str, int]],
    kind: str,
) -> Sightings:
    """A row for each frame, or each individual in a frame, and columns for each keypoint."""
    rows = lines[1:]
    who = next((i for i, name in enumerate(header) if name in _WHO), None)
    number = next((i for i, name in enumerate(header) if name in _FRAME), None)
    index = 0 if header[0] in _INDEX else None
    values = _numbers(path, rows, len(header), list(columns.values()))
    where = [f"{path.name}, line {line}" for line, _ in rows]
    if number is None and index is not None and all(_is_whole(row[index]) for _, row in rows):
        number = index
    frame = list(range(len(rows)))
    if number is not None:
        cells = (row[number] for _, row in rows)
        frame = [_whole(cell, at) for cell, at in zip(cells, where, strict=True)]
    names = ["" if who is None else row[who] for _, row in rows]
    in_order = frame == list(range(len(rows)))
    plain = all(part.isdecimal() and "score" not in at for part, at in columns.items())
    units = {"sleap": "pixels", "mediapipe": "fraction", "kpbook": "image"}.get(kind, "")
    return Sightings(
        format=kind,
        values=values,
        columns=[("", part) for part in columns],
        frame=frame,
        individual=names if who is None else in_turn(names, frame),
        where=where,
        units="image" if kind == "pandas" and plain else units,
        numbered=number is not None,
        complete=number is None or (in_order and number == index),
    )


def _deeplabcut(path: Path, lines: list[Line]) -> Sightings:
    """Header rows that each begin with their name, then a row for each frame."""
    heads: dict[str, list[str]] = {}
    for _, row in lines[:4]:
        if row[0].lower() in _DLC_ROWS:
            heads[row[0].lower()] = row
    rows, width = lines[len(heads) :], len(lines[0][1])
    if not {"bodyparts", "coords"} <= set(heads) or any(len(h) != width for h in heads.values()):
        got = f"header rows {', '.join(heads)} of {[len(h) for h in heads.values()]} cells"
        expected = "DeepLabCut's scorer, (individuals,) bodyparts and coords, all of one length"
        raise ValueError(complain(path.name, got, expected))
    who = heads.get("individuals", [""] * width)
    columns: dict[tuple[str, str], dict[str, int]] = {}
    for i, (name, part, kind) in enumerate(
        zip(who, heads["bodyparts"], heads["coords"], strict=True)
    ):
        kind = _AGAIN.sub("", kind)
        if kind in ("x", "y", "likelihood"):
            at = columns.setdefault((name, part), {})
            if at.setdefault("score" if kind == "likelihood" else kind, i) != i:
                got = f"{part!r} {kind} {f'of {name!r} ' if name else ''}twice in the header"
                raise ValueError(complain(path.name, got, "every body part once"))
    if not columns or not all({"x", "y"} <= set(at) for at in columns.values()):
        got = f"coords {','.join(heads['coords'])[:60]!r}"
        raise ValueError(complain(path.name, got, "x, y (and likelihood) of every body part"))
    first = min(at["x"] for at in columns.values())  # labels have the picture's name there
    rows = rows[_names_index(rows, first, width) :]
    where = [f"{path.name}, line {line}" for line, _ in rows]
    values = _numbers(path, rows, width, list(columns.values()))
    numbered = first == 1 and all(_is_whole(row[0]) for _, row in rows)
    frame = list(range(len(rows)))
    if numbered:
        frame = [_whole(row[0], at) for (_, row), at in zip(rows, where, strict=True)]
    in_order = frame == list(range(len(rows)))
    blank, complete = [""] * len(rows), in_order or not numbered
    keys = list(columns)
    return Sightings(
        "deeplabcut", values, keys, frame, blank, where, "pixels", numbered, complete=complete
    )


def _names_index(rows: list[Line], first: int, width: int) -> bool:
    """Whether the first row is no frame, but the name of pandas' index, alone: ``frame,,,``.

    A frame without points looks alike: ``0,,,``, ``labeled-data,reach,img0000.png,,``. But frames
    are counted, or have files: a name has no digits, dots or slashes. Above a whole number it may
    have them, ``level_0``, if it does not begin like a number.
    """
    if not rows or rows[0][1][first:] != [""] * (width - first):
        return False
    counted = len(rows) > 1 and _is_whole(rows[1][1][0])
    name = r"[^\d.+-].*" if counted else r"[^\d./\\]+"
    return re.fullmatch(name, "".join(rows[0][1][:first])) is not None


def _one_landmark_a_row(path: Path, lines: list[Line], header: list[str]) -> Sightings:
    """MediaPipe's landmarks one below the other: frame, landmark, x, y, z, visibility."""
    rows = lines[1:]
    part, who = (next((i for i, n in enumerate(header) if n in s), None) for s in (_PART, _WHO))
    number = next((i for i, name in enumerate(header) if name in _FRAME), None)
    if number is None or part is None:
        raise no_format(path.name, f"header {','.join(header)[:60]!r}", "There is no frame column.")
    at = {"x": header.index("x"), "y": header.index("y")}
    if sure := [i for i, name in enumerate(header) if name in _SCORE]:
        at["score"] = sure[0]
    numbers = _numbers(path, rows, len(header), [at])[:, 0]
    parts = list(dict.fromkeys(row[part] for _, row in rows))
    places: dict[tuple[int, str], int] = {}
    where: list[str] = []
    values = np.full((len(rows), len(parts), 3), np.nan)
    seen: set[tuple[int, str]] = set()
    for (line, row), three in zip(rows, numbers, strict=True):
        here = f"{path.name}, line {line}"
        key = _whole(row[number], here), "" if who is None else row[who]
        place = places.setdefault(key, len(places))
        where += [here] * (len(places) - len(where))
        if (place, row[part]) in seen:
            got = f"landmark {row[part]!r} of frame {key[0]} again"
            raise ValueError(complain(here, got, "every landmark once a frame"))
        seen.add((place, row[part]))
        values[place, parts.index(row[part])] = three
    frame, individual = [number for number, _ in places], [name for _, name in places]
    columns = [("", name) for name in parts]
    values = values[: len(places)]
    return Sightings("mediapipe", values, columns, frame, individual, where, "fraction")


def in_turn(names: list[str], frame: list[int]) -> list[str]:
    """Names of individuals; those without one are told apart by their order in the frame."""
    turn: dict[int, int] = {}
    order = []
    for name, number in zip(names, frame, strict=True):
        order.append(turn.get(number, 0))
        turn[number] = order[-1] + (not name)
    alone = not any(names) and max(turn.values(), default=0) <= 1
    return [name or ("" if alone else str(n)) for name, n in zip(names, order, strict=True)]


# -- cells -------------------------------------------------------------------------------------


def _lines(path: Path, text: str) -> list[Line]:
    """Rows of cells that are not blank, each with the number of its line."""
    found = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        try:  # a line at a time: a stray quote would swallow all that follow
            cells = next(csv.reader([line], strict=True), []) if '"' in line else line.split(",")
        except csv.Error as error:
            where, got = f"{path.name}, line {number}", f"{line[:60]!r} ({error})"
            raise ValueError(
                complain(where, got, "cells between commas", "A stray quote?")
            ) from None
        cells = [cell.strip() for cell in cells]
        if cells not in ([], [""]):
            found.append((number, cells))
    return found


def _numbers(path: Path, rows: list[Line], width: int, columns: list[dict[str, int]]) -> np.ndarray:
    """x, y and likelihood of each keypoint, ``(R, P, 3)``; NaN where a cell is empty."""
    if not rows:
        raise ValueError(complain(path.name, "0 rows", "a row for each frame"))
    values = np.full((len(rows), len(columns), 3), np.nan)
    kinds = ("x", "y", "score")
    cells = [
        (p, c, at[kind])
        for p, at in enumerate(columns)
        for c, kind in enumerate(kinds)
        if kind in at
    ]
    for r, (line, row) in enumerate(rows):
        try:
            if len(row) != width:
                raise ValueError
            for p, c, i in cells:
                values[r, p, c] = _number(row[i])
            wrong = np.isinf(values[r]) | (
                np.isnan(values[r, :, :1]) != np.isnan(values[r, :, 1:2])
            )
            if wrong.any():
                raise ValueError
        except ValueError:
            got, hint = f"{','.join(row)[:60]!r}", PAIR
            expected = f"{width} cells" if len(row) != width else "finite numbers"
            if width == 2 * len(columns):
                expected = f"{width} finite numbers"
            if np.isinf(values[r]).any():
                hint = "inf is no place and no likelihood. Both cells of a lost point are empty."
            where = f"{path.name}, line {line}"
            raise ValueError(complain(where, got, expected, hint)) from None
    return values


def _number(cell: str) -> float:
    low = cell.lower()
    if low in _MISSING:
        return np.nan
    if low in ("true", "false"):  # a visibility
        return float(low == "true")
    if "_" in cell:  # Python reads 1_000
        raise ValueError
    return float(cell)


def _is_whole(cell: str) -> bool:
    return re.fullmatch(r"[+-]?\d{1,15}(\.0*)?", cell) is not None


def _whole(cell: str, where: str) -> int:
    if not _is_whole(cell):
        raise ValueError(complain(where, f"frame {cell!r}", "the number of a frame"))
    return int(cell.partition(".")[0])
