"""Arrays and a description in one compressed file with a checksum; nothing in it can be run.

Three lines of text, then xz::

    kpbook arrays 1
    <sha256 of everything after this line>
    {"description": {...}, "arrays": [[name, dtype, shape], ...]}
    <the arrays' bytes, little-endian, in that order, compressed>

A file that was cut short, changed or made by another program is refused before it is unpacked.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from kpbook._checks import check_integer, check_range, complain
from kpbook._files import file_path, jsonable, write_atomically

_MAGIC = b"kpbook arrays 1\n"
_ANY_VERSION = b"kpbook arrays "
_HINT = "Delete the file and make it again."
T = TypeVar("T")
#: Types of numbers that a file can hold.
DTYPES = (
    "|b1", "|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8",
)  # fmt: skip


def write(
    path: str | Path,
    description: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    compression: int,
) -> Path:
    """Write arrays and a JSON description to ``path``, whole or not at all.

    The same content gives the same bytes, for one version of liblzma and one level of
    ``compression``, 0 (quick) to 9 (small).

    Raises:
        IsADirectoryError: If ``path`` is a folder.
    """
    path = file_path(path)
    compression = check_integer(compression, name="compression", minimum=0)
    check_range(compression, 0, 9, name="compression", hint="xz's level.")
    table, raw = [], []
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        if little.dtype.str not in DTYPES:
            raise TypeError(complain(name, f"dtype {array.dtype}", f"one of {DTYPES}"))
        table.append([name, little.dtype.str, list(little.shape)])
        raw.append(little.tobytes())
    header = {"description": description, "arrays": table}
    body = (
        json.dumps(header, sort_keys=True, default=jsonable).encode()
        + b"\n"
        + lzma.compress(b"".join(raw), preset=compression)
    )
    digest = hashlib.sha256(body).hexdigest().encode()
    return write_atomically(path, _MAGIC + digest + b"\n" + body)


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the description and the arrays of a file that :func:`write` made.

    Raises:
        FileNotFoundError: If there is no such file.
        IsADirectoryError: If it is a folder.
        ValueError: If it is something else, of another version, cut short or changed.
    """
    path, name = file_path(path), str(path)
    if not path.exists():
        fix = f"Paths start at {Path.cwd()} unless they are absolute; or make the file first."
        raise FileNotFoundError(complain(name, "no such file", "a file that was saved", fix))
    data = path.read_bytes()
    if not data.startswith(_MAGIC):
        ours = data.startswith(_ANY_VERSION)
        got = f"format {data.splitlines()[0].decode(errors='replace')!r}" if ours else "other bytes"
        raise ValueError(complain(name, got, f"a file that starts {_MAGIC.decode()[:-1]!r}", _HINT))
    digest, _, body = data[len(_MAGIC) :].partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        got = f"{len(data)} bytes that do not match their checksum"
        raise ValueError(complain(name, got, "the file as it was written", _HINT))
    try:
        return _unpack(body)
    except (ValueError, KeyError, TypeError, lzma.LZMAError) as error:
        got = f"contents that do not fit together ({error})"
        raise ValueError(complain(name, got, "a description and its arrays", _HINT)) from error


def read_as(path: str | Path, kind: str, make: Callable[[dict[str, Any], dict[str, Any]], T]) -> T:
    """Return what ``make`` makes of the description and the arrays of a file of a ``kind``.

    Raises:
        FileNotFoundError: If there is no such file.
        IsADirectoryError: If it is a folder.
        ValueError: If it is damaged, of another version or kind, or parts are missing.
    """
    description, arrays = read(path)
    found = description.get("kind")
    if found != kind:
        raise ValueError(complain(str(path), f"a file of {found!r}", f"a file of {kind!r}"))
    try:
        return make(description, arrays)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        got = f"parts that are missing or do not fit ({type(error).__name__}: {error})"
        raise ValueError(complain(str(path), got, f"all of a file of {kind!r}", _HINT)) from error


class Stored:
    """A dataclass that one file holds: its arrays, and a description of its other fields.

    A class names its ``_kind`` and its ``_arrays``, and gives :meth:`_description` and
    :meth:`_from_parts`.
    """

    _kind: ClassVar[str]
    _arrays: ClassVar[tuple[str, ...]]

    def save(self, path: str | Path) -> Path:
        """Write one file with a checksum, whole or not at all, and return its path."""
        arrays = {name: getattr(self, name) for name in self._arrays}
        return write(path, {"kind": self._kind, **self._description()}, arrays, 9)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is cut short, changed, of another version or another kind.
        """
        return read_as(path, cls._kind, cls._from_parts)

    def _description(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def _from_parts(cls, description: dict[str, Any], arrays: dict[str, Any]) -> Self:
        raise NotImplementedError


def _unpack(body: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    line, _, packed = body.partition(b"\n")
    header = json.loads(line)
    raw = bytearray(lzma.decompress(packed))  # an array over it may be written to
    arrays, start = {}, 0
    for key, dtype, shape in header["arrays"]:
        if dtype not in DTYPES:
            raise ValueError(complain(key, f"dtype {dtype!r}", f"one of {DTYPES}"))
        count = math.prod(shape)
        array = np.frombuffer(raw, dtype=dtype, count=count, offset=start).reshape(shape)
        arrays[key] = array.astype(array.dtype.newbyteorder("="), copy=False)
        start += array.nbytes
    return dict(header["description"]), arrays
