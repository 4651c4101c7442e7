"""Numbers from whoever has them: lists, NumPy arrays and torch tensors on any device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kpbook._checks import check_unmasked, complain
from kpbook._store import DTYPES


def as_float64(x: Any, *, name: str, expected: str, hint: str = "") -> np.ndarray:
    """Return a float64 copy of ``x``.

    Raises:
        TypeError: If ``x`` does not hold numbers in a regular shape; the message says
            ``expected`` and ``hint``.
        ValueError: If it is a masked array that hides a value.
    """
    numbers = _array(x, name=name)
    if numbers.dtype.kind not in "biuf":
        got = repr(x) if isinstance(x, str | None) else f"a {type(x).__name__} that holds no array"
        raise TypeError(complain(name, got, expected, hint))
    return np.array(numbers, dtype=np.float64)


def as_flags(x: Any, *, name: str, hint: str = "") -> np.ndarray:
    """Return a copy of ``x`` as bool.

    Raises:
        TypeError: If ``x`` holds anything but True and False: a likelihood, 0 and 1, a word or a
            NaN would all become one of the two.
        ValueError: If it is a masked array that hides a value.
    """
    flags = _array(x, name=name)
    if flags.dtype != np.bool_:
        raise TypeError(complain(name, _kind(x), "True and False (dtype bool)", hint))
    return np.array(flags)


def as_stored(x: Any, *, name: str) -> np.ndarray:
    """Return a copy of ``x`` in its own type: numbers or flags that a file can hold.

    Raises:
        TypeError: If it holds something else, or is of no regular shape.
        ValueError: If it is a masked array that hides a value.
    """
    array = _array(x, name=name)
    if array.dtype.newbyteorder("<").str not in DTYPES:
        raise TypeError(complain(name, _kind(x), "numbers or flags, one type for all"))
    return np.array(array)


def _array(x: Any, *, name: str) -> np.ndarray:
    """``x`` as an array, not copied; of objects if its rows differ in length, or hold oddities."""
    check_unmasked(x, name=name)
    try:
        return np.asarray(plain(x))
    except (TypeError, ValueError):
        return np.asarray(None)


def _kind(x: Any) -> str:
    return f"dtype {x.dtype}" if hasattr(x, "dtype") else f"a {type(x).__name__} of others"


def plain(x: Any) -> Any:
    """A tensor as an array, also within lists; anything else as it is."""
    if isinstance(x, list | tuple):  # NumPy reads tensors in a list slowly and with a warning
        return [plain(each) for each in x]
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        return (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    return x
