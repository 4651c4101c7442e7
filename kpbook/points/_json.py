"""JSON files: COCO's, OpenPose's and MediaPipe's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kpbook._checks import complain
from kpbook._files import natural
from kpbook.points._sightings import Sightings, no_format
from kpbook.points._table import in_turn

_LISTS = (
    "pose_landmarks",
    "poseLandmarks",
    "landmarks",
    "landmark",
    "hand_landmarks",
    "face_landmarks",
)
Row = tuple[int, str, list[tuple[str, list[float]]], str]  # frame, individual, parts, place


def read_json(path: Path, text: str, frames: int | None, asked: str | None) -> Sightings:
    """Read one JSON file of any format."""
    content = load(path.name, text)
    entries = content if isinstance(content, list) else [content]
    dicts = [entry for entry in entries if isinstance(entry, dict)]
    people = bool(entries) and all(isinstance(e, dict) and "people" in e for e in entries)
    if people and asked in (None, "openpose"):
        places = [f"{path.name}, frame {t}" for t in range(len(entries))]
        return openpose(path, list(zip(places, entries, strict=True)), None)
    if asked in (None, "coco"):
        if isinstance(content, dict) and isinstance(content.get("annotations"), list):
            return _coco(path, content, frames)
        if dicts and all({"image_id", "keypoints"} <= set(entry) for entry in dicts):
            return _coco(path, {"annotations": entries}, frames)
    if asked in (None, "mediapipe"):
        listed = content.get("frames") if isinstance(content, dict) else content
        if isinstance(listed, list):
            return _mediapipe(path, listed)
    keys = f"keys {', '.join(map(str, content))[:60]}" if isinstance(content, dict) else "a list"
    raise no_format(path.name, f"JSON with {keys}" if isinstance(content, dict | list) else "JSON")


def read_folder(folder: Path) -> Sightings:
    """Read OpenPose's folder: one file for each frame, which its name counts."""
    files = [file for file in folder.glob("*.json") if not file.is_dir()]  # some name a folder so
    files.sort(key=lambda file: natural(file.name))
    if not files:
        hint = "OpenPose writes one file a frame: video_000000000000_keypoints.json, and so on."
        raise ValueError(complain(folder.name, "a folder without JSON files", "some", hint))
    numbers = [re.search(r"(\d+)(_keypoints)?$", file.stem) for file in files]
    told = [int(match[1]) for match in numbers if match]
    distinct = len(set(told)) == len(files)
    people = [(file.name, load(file.name, text_of(file))) for file in files]
    return openpose(folder, people, told if distinct else None)


def text_of(path: Path) -> str:
    """Text of a UTF-8 file; -sig: the mark that a spreadsheet puts first."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        hint = "Export the table as CSV, in UTF-8."
        expected = "UTF-8 text (CSV or JSON), or an npz"
        raise ValueError(complain(path.name, "bytes that are no UTF-8", expected, hint)) from None


def load(name: str, text: str) -> Any:
    """Parse JSON, or say where it breaks."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where, got = f"{name}, line {error.lineno}", f"broken JSON ({error.msg})"
    except (RecursionError, ValueError) as error:
        where, got = name, f"JSON that cannot be read ({str(error)[:60]})"
    raise ValueError(complain(where, got, "whole JSON", "Was the file cut short?"))


def openpose(path: Path, entries: list[tuple[str, Any]], numbers: list[int] | None) -> Sightings:
    """People of every frame, body only."""
    rows: list[Row] = []
    told = numbers or list(range(len(entries)))
    for number, (place, entry) in zip(told, entries, strict=True):
        people = entry.get("people") if isinstance(entry, dict) else None
        if not isinstance(people, list):
            raise no_format(place, "JSON without people")
        for i, person in enumerate(people):
            where = f"{place}, person {i}"
            given = person.get("pose_keypoints_2d") if isinstance(person, dict) else None
            triples = _triples(given, where, "pose_keypoints_2d")
            parts = [(str(n), triple) for n, triple in enumerate(triples)]
            if parts:
                rows.append((number, _person(person), parts, where))
    frames = max(told, default=-1) + 1
    return _gather(path, "openpose", rows, "pixels", numbers is not None, frames, numbers is None)


def _person(person: dict[str, Any]) -> str:
    """OpenPose's ``person_id`` is [-1] unless it tracks."""
    given = person.get("person_id")
    one = given[0] if isinstance(given, list) and len(given) == 1 else given
    return str(one) if isinstance(one, int) and one >= 0 else ""


def _coco(path: Path, content: dict[str, Any], frames: int | None) -> Sightings:
    images = [x for x in _dicts(content.get("images")) if "id" in x]
    categories = {str(c.get("id")): c for c in _dicts(content.get("categories"))}
    place_of = _places(images, frames)
    annotations = [a for a in _dicts(content["annotations"]) if a.get("keypoints")]
    several = len({str(a.get("category_id")) for a in annotations}) > 1
    rows: list[Row] = []
    for i, a in enumerate(annotations):
        where = f"{path.name}, annotation {i}"
        image = a.get("image_id")
        key = str(image)
        if images and key not in place_of:
            raise ValueError(complain(where, f"image_id {image!r}", "the id of one of the images"))
        number = place_of[key] if images else _frame_of(image, where)
        category = categories.get(str(a.get("category_id")), {})
        triples = _triples(a["keypoints"], where, "keypoints")
        names = category.get("keypoints") or []
        fits = isinstance(names, list) and len(names) == len(triples)
        parts = [str(n) for n in (names if fits else range(len(triples)))]
        who = str(a.get("track_id", ""))
        if several:
            who = f"{category.get('name', a.get('category_id'))}{f' {who}' if who else ''}"
        rows.append((number, who, list(zip(parts, triples, strict=True)), where))
    sizes = [(x.get("height"), x.get("width")) for x in images]
    size = sizes[0] if sizes and all(other == sizes[0] for other in sizes) else None
    known = size is not None and all(isinstance(n, int) and n > 1 for n in size)
    ranked = bool(images) and frames in (None, len(images))
    count = len(images) if ranked else None
    said = _gather(path, "coco", rows, "pixels", not ranked, count, False)
    return said if not known else Sightings(**{**vars(said), "size": size})


def _dicts(listed: Any) -> list[dict[str, Any]]:
    return [x for x in listed if isinstance(x, dict)] if isinstance(listed, list) else []


def _places(images: list[dict[str, Any]], frames: int | None) -> dict[str, int]:
    """Image id -> frame: images in the order of their files' names, or of their ids.

    If there are more frames than images, the last number in the name, or the id, is the frame.
    """

    def name(image: dict[str, Any]) -> tuple[Any, ...]:
        return natural(str(image.get("file_name") or image["id"]))

    if frames in (None, len(images)):
        return {str(image["id"]): t for t, image in enumerate(sorted(images, key=name))}
    return {str(x["id"]): _frame_of(x.get("file_name") or x["id"], "images") for x in images}


def _frame_of(image: Any, where: str) -> int:
    if isinstance(image, int) and not isinstance(image, bool):
        return image
    numbers = re.findall(r"\d+", str(image).rpartition("/")[2])
    if isinstance(image, str) and numbers and len(numbers[-1]) < 16:
        return int(numbers[-1])
    raise ValueError(complain(where, f"image {image!r}", "a number, or a name with one"))


def _mediapipe(path: Path, listed: list[Any]) -> Sightings:
    rows: list[Row] = []
    numbered = bool(listed) and all(
        isinstance(e, dict) and _number_of(e) is not None for e in listed
    )
    for t, entry in enumerate(listed):
        number = _number_of(entry) if numbered else t
        for i, landmarks in enumerate(_people(entry)):
            where = f"{path.name}, frame {number}"
            parts = [_landmark(x, n, where) for n, x in enumerate(landmarks)]
            rows.append((number or 0, str(i) if _many(listed) else "", parts, where))
    if not rows:
        raise no_format(path.name, f"a list of {len(listed)} without landmarks")
    count = None if numbered else len(listed)
    return _gather(path, "mediapipe", rows, "fraction", numbered, count, not numbered)


def _number_of(entry: Any) -> int | None:
    numbers = (entry.get(key) for key in ("frame", "frame_idx", "frame_number", "frame_index"))
    return next((n for n in numbers if isinstance(n, int) and not isinstance(n, bool)), None)


def _people(entry: Any) -> Iterator[list[Any]]:
    """Lists of landmarks in a frame: none, one, or one for each person."""
    if isinstance(entry, dict):
        entry = next((entry[key] for key in _LISTS if key in entry), None)
        if isinstance(entry, dict):
            entry = entry.get("landmark")
    if isinstance(entry, list) and entry:
        if all(isinstance(x, list) and x and isinstance(x[0], dict) for x in entry):
            yield from entry
        else:
            yield entry


def _many(listed: list[Any]) -> bool:
    return any(len(list(_people(entry))) > 1 for entry in listed)


def _landmark(landmark: Any, n: int, where: str) -> tuple[str, list[float]]:
    if not isinstance(landmark, dict) or not {"x", "y"} <= set(landmark):
        raise no_format(where, f"{str(landmark)[:40]!r} for a landmark", "It has x and y.")
    name = landmark.get("name")
    numbers = [landmark["x"], landmark["y"], landmark.get("visibility")]
    return (name if isinstance(name, str) else str(n)), [_number(x, where) for x in numbers]


def _triples(given: Any, where: str, name: str) -> list[list[float]]:
    flat = given
    if isinstance(given, list) and given and all(isinstance(x, list) for x in given):
        flat = [number for triple in given for number in triple]
    if given is None:
        flat = []
    if not isinstance(flat, list) or len(flat) % 3:
        got = (
            f"{name} of {len(flat)} numbers" if isinstance(flat, list) else f"{name} {given!r}"[:60]
        )
        raise ValueError(complain(where, got, "three for each keypoint: x, y and how sure"))
    numbers = [_number(x, where) for x in flat]
    triples = [numbers[i : i + 3] for i in range(0, len(numbers), 3)]
    return [[np.nan, np.nan, 0.0] if score == 0 else [x, y, score] for x, y, score in triples]


def _number(x: Any, where: str) -> float:
    if x is None:
        return np.nan
    if isinstance(x, bool) or not isinstance(x, int | float) or abs(x) > 1e300 or x in _ENDS:
        raise ValueError(complain(where, f"{str(x)[:40]!r}", "a finite number"))
    return float(x)


_ENDS = (float("inf"), float("-inf"))


def _gather(
    path: Path,
    kind: str,
    rows: list[Row],
    units: str,
    numbered: bool,
    frames: int | None,
    complete: bool,
) -> Sightings:
    """Rows of parts by name as one array."""
    if not rows:
        hint = "There is nothing to judge."
        raise ValueError(complain(path.name, "nobody in any frame", "keypoints", hint))
    columns = list(dict.fromkeys(name for _, _, parts, _ in rows for name, _ in parts))
    place = {name: p for p, name in enumerate(columns)}
    values = np.full((len(rows), len(columns), 3), np.nan)
    for r, (_, _, parts, _) in enumerate(rows):
        for name, triple in parts:
            values[r, place[name]] = triple
    frame, who = [row[0] for row in rows], [row[1] for row in rows]
    return Sightings(
        format=kind,
        values=values,
        columns=[("", name) for name in columns],
        frame=frame,
        individual=in_turn(who, frame),
        where=[row[3] for row in rows],
        units=units,
        numbered=numbered,
        frames=frames,
        complete=complete,
    )
