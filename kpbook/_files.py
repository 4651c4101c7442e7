"""Files that are written whole or not at all, their order, and the one reader of YAML."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from kpbook._checks import complain, require


def natural(name: str) -> tuple[Any, ...]:
    """Key that sorts names of files: 9 before 10 whatever their zeros, upper case as lower.

    The suffix, then the name as it is written, decide a tie.
    """
    stem, suffix = os.path.splitext(name.casefold())
    parts = re.split(r"(\d+)", stem)  # words at even places, numbers at odd ones
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], suffix, name


def file_path(path: Any) -> Path:
    """Return the path of a file, to be read or written.

    Raises:
        IsADirectoryError: If it is a folder.
        TypeError: If it is no path.
    """
    if not isinstance(path, str | Path):
        raise TypeError(complain("path", repr(path), "a file's name, str or pathlib.Path"))
    place = Path(path)
    if place.is_dir():
        fix = "Give the name of the file in it."
        raise IsADirectoryError(complain(str(place), "a folder", "a file", fix))
    return place


def write_atomically(path: str | Path, data: bytes) -> Path:
    """Write ``data`` to ``path`` in one step: a reader sees the old file or the new one.

    The bytes go to a temporary file in the same folder, reach the disk, and are renamed. Folders
    on the way are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp makes it private
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def jsonable(value: Any) -> Any:
    """What JSON does not know, for ``json.dumps(default=)``: arrays and their scalars.

    Raises:
        TypeError: If it is something else.
    """
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(complain("JSON", type(value).__name__, "numbers, words, lists and dicts"))


def read_yaml(path: str | Path, *, purpose: str) -> Any:
    """Read a YAML file; ``1e-3`` is a number.

    Args:
        path: The file, UTF-8.
        purpose: What needs it, for the error where pyyaml is missing.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If pyyaml is missing.
        ValueError: If it is no YAML, a value is none of its type, a key is there twice, or it is
            nested too deeply.
    """
    yaml = require("yaml", extra="sweep", purpose=purpose)
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(complain(str(path), "no such file", "a YAML file"))

    kinds = ("str", "int", "float", "bool", "null", "timestamp", "binary")
    scalars = {f"tag:yaml.org,2002:{kind}" for kind in kinds}

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        """YAML 1.1 takes ``1e-3``, without a dot, for a word; nobody means that.

        PyYAML gives the last of two values of a key, and names no line where a value is wrong.
        """

        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            known = set()  # looked at here, before keys that are merged (<<) come in
            for key, _ in node.value:
                if key.tag in scalars:
                    name = self.construct_object(key)
                    if name in known:
                        twice = f"{name!r} twice"
                        raise yaml.MarkedYAMLError(problem=twice, problem_mark=key.start_mark)
                    known.add(name)
            return node

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except (ValueError, LookupError, AttributeError) as error:
                problem = f"{node.value!r:.80} is no {node.tag.rpartition(':')[2]}: {error}"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from error

    number = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        hint = "Mind the indentation, and a space after each colon."
        raise ValueError(complain(str(path), f"no YAML ({error})", "YAML", hint)) from error
