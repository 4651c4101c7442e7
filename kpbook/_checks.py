"""The one place that words errors about shapes, ranges, dtypes, options and missing packages.

A message has three parts: what was given, what was expected, and the likely cause or the fix.
Checks that look at sizes return them, so a caller uses the check instead of skipping it.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import math
import re
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
import torch


def complain(name: str, got: object, expected: str, hint: str = "") -> str:
    """Word one error: ``name: got …, expected …. hint``."""
    return f"{name}: got {got}, expected {expected}.{' ' + hint if hint else ''}"


def check_array(x: object, *, name: str, hint: str = "") -> None:
    """Raise ``TypeError`` unless ``x`` is a torch tensor or a NumPy array without masked values."""
    if not isinstance(x, torch.Tensor | np.ndarray):
        raise TypeError(complain(name, _type_name(x), "a torch.Tensor or a numpy.ndarray", hint))
    check_unmasked(x, name=name)


def check_unmasked(x: object, *, name: str) -> None:
    """Raise ``ValueError`` if ``x`` is a masked array that hides a value: most code reads it.

    A list of them hides as much: NumPy drops the masks where it joins the parts.
    """
    if isinstance(x, list | tuple):
        for part in x:
            check_unmasked(part, name=name)
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        got = f"a masked array with {int(np.ma.getmaskarray(x).sum())} of {x.size} values masked"
        hint = "Pass what is missing as such (visible=, found=), and fill the array."
        raise ValueError(complain(name, got, "a number in every place", hint))


def check_tensor(x: object, *, name: str, hint: str = "") -> None:
    """Raise ``TypeError`` unless ``x`` is a torch tensor."""
    if not isinstance(x, torch.Tensor):
        fix = "torch.from_numpy(...) converts." if isinstance(x, np.ndarray) else ""
        raise TypeError(complain(name, _type_name(x), "a torch.Tensor", hint or fix))


def check_shape(x: Any, pattern: str, *, name: str, hint: str = "") -> tuple[int, ...]:
    """Match a shape against a pattern and return the sizes of its named axes.

    Args:
        x: Tensor or array.
        pattern: Axes separated by spaces. A number is that size, a word is any size of at
            least 1, a leading ``...`` any number of axes of at least 1 each: ``"... H W"``.
        name: What the caller calls ``x``.
        hint: Likely cause or fix, a sentence.

    Returns:
        The sizes of the named axes, in the pattern's order.

    Raises:
        TypeError: If ``x`` is neither a tensor nor an array.
        ValueError: If the shape does not match, or an axis is empty.
    """
    check_array(x, name=name, hint=hint)
    sizes, any_front = _parsed(pattern)
    shape = tuple(x.shape)
    front = len(shape) - len(sizes)
    fits = front >= 0 if any_front else front == 0
    named = []
    if fits:
        for want, size in zip(sizes, shape[front:], strict=True):
            if want is None:
                named.append(size)
            elif want != size:
                fits = False
    if not fits or 0 in shape:
        axes = pattern.split()
        expected = f"({', '.join(axes)}{',' if len(axes) == 1 else ''})"
        empty = " with no empty axis" if fits else ""
        raise ValueError(complain(name, f"shape {shape}", expected + empty, hint))
    return tuple(named)


@functools.cache
def _parsed(pattern: str) -> tuple[tuple[int | None, ...], bool]:
    """Wanted sizes, ``None`` for a named axis, and whether further axes may stand in front."""
    axes = pattern.split()
    any_front = axes[:1] == ["..."]
    sizes = tuple(int(axis) if axis.isdigit() else None for axis in axes[any_front:])
    return sizes, any_front


def check_floating(x: Any, *, name: str, hint: str = "") -> None:
    """Raise ``TypeError`` unless ``x`` holds floating-point numbers."""
    check_array(x, name=name, hint=hint)
    floating = (
        x.dtype.is_floating_point
        if isinstance(x, torch.Tensor)
        else np.issubdtype(x.dtype, np.floating)
    )
    if not floating:
        raise TypeError(complain(name, f"dtype {x.dtype}", "a floating-point dtype", hint))


def check_uint8(x: Any, *, name: str, hint: str = "") -> None:
    """Raise ``TypeError`` unless ``x`` holds bytes."""
    check_array(x, name=name, hint=hint)
    if x.dtype not in (torch.uint8, np.dtype(np.uint8)):
        raise TypeError(complain(name, f"dtype {x.dtype}", "uint8", hint))


def check_finite(x: Any, *, name: str, hint: str = "") -> None:
    """Raise ``ValueError`` if ``x`` holds a NaN or an infinity; say how many and where."""
    if traced(x) or (isinstance(x, float) and math.isfinite(x)):  # without a tensor
        return
    values = _tensor(x)
    if math.isfinite(values.sum().item()):  # one cheap number rules both out
        return
    bad = ~torch.isfinite(values)
    if bad.any():
        first = tuple(bad.nonzero()[0].tolist())
        got = f"{int(bad.sum())} of {bad.numel()} values NaN or infinite, the first at {first}"
        raise ValueError(complain(name, got, "finite numbers", hint))


def check_positive(x: Any, *, name: str, hint: str = "") -> None:
    """Raise ``ValueError`` unless every number in ``x`` is finite and greater than 0."""
    if traced(x) or (type(x) in (float, int) and 0 < x < math.inf):  # without a tensor
        return
    values = _as_numbers(x, name=name, expected="> 0", hint=hint)
    low = float(values.min()) if values.numel() else float("nan")
    if not (low > 0 and bool(torch.isfinite(values).all())):
        worst = low if not low > 0 else float(values.max())
        raise ValueError(complain(name, worst, "> 0 and finite" if low > 0 else "> 0", hint))


def check_range(x: Any, low: float, high: float, *, name: str, hint: str = "") -> None:
    """Raise ``ValueError`` unless every number in ``x`` lies in [``low``, ``high``]."""
    if traced(x):
        return
    expected = f"values in [{_number(low)}, {_number(high)}]"
    values = _as_numbers(x, name=name, expected=expected, hint=hint)
    smallest, largest = float(values.min()), float(values.max())
    if not (smallest >= low and largest <= high):
        ends = _number(smallest), _number(largest)
        got = "values from {} to {}".format(*ends) if values.numel() > 1 else ends[0]
        raise ValueError(complain(name, got, expected, hint))


def traced(x: Any) -> bool:
    """Whether ``x`` is a tensor of a network that is being exported: it has no values to check."""
    return isinstance(x, torch.Tensor) and torch.compiler.is_compiling()


def check_flag(x: Any, *, name: str, hint: str = "") -> bool:
    """Return ``x`` as ``bool``; raise ``TypeError`` unless it is one: "False" and 0 are none."""
    if not isinstance(x, bool | np.bool_):
        raise TypeError(complain(name, repr(x), "True or False", hint))
    return bool(x)


def check_integer(x: Any, *, name: str, minimum: int, hint: str = "") -> int:
    """Return ``x`` as ``int``; raise unless it is a whole number of at least ``minimum``.

    NumPy's numbers, and arrays and tensors without axes, are taken as what they hold.
    """
    if getattr(x, "shape", None) == ():
        check_unmasked(x, name=name)
        x = x.item()
    if isinstance(x, bool) or not isinstance(x, int):
        raise TypeError(complain(name, f"{x!r}", f"a whole number, at least {minimum}", hint))
    if x < minimum:
        raise ValueError(complain(name, x, f"at least {minimum}", hint))
    return int(x)


def check_seed(seed: Any) -> int:
    """Return a seed as ``int``; raise unless torch and NumPy take it."""
    seed = check_integer(seed, name="seed", minimum=0)
    if seed >= 2**63:
        raise ValueError(complain("seed", seed, "below 2**63"))
    return int(seed)


def check_scalar(x: Any, *, name: str, hint: str = "") -> float:
    """Return ``x`` as ``float``; raise ``TypeError`` unless it is one number.

    NumPy's numbers, and arrays and tensors without axes, are taken as what they hold.
    """
    if getattr(x, "shape", None) == ():
        check_unmasked(x, name=name)
        x = x.item()
    if isinstance(x, bool) or not isinstance(x, int | float):
        raise TypeError(complain(name, f"{x!r:.80}", "one number", hint))
    return float(x)


def check_choice(value: Any, choices: Iterable[str], *, name: str, hint: str = "") -> str:
    """Return ``value``; raise ``ValueError`` that lists ``choices`` unless it is one of them."""
    names = list(choices)
    if value in names:
        return str(value)
    close = difflib.get_close_matches(str(value), names, n=1)
    guess = f"Did you mean {close[0]!r}?" if close else ""
    expected = "one of " + ", ".join(repr(n) for n in names)
    raise ValueError(complain(name, repr(value), expected, " ".join(filter(None, [guess, hint]))))


def check_name(value: Any, *, name: str) -> str:
    """Return ``value``; raise ``ValueError`` unless it can be the name of a file everywhere."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", str(value)):
        expected = "letters, digits, '.', '_' and '-'"
        raise ValueError(complain(name, repr(value), expected, "It becomes a file's name."))
    return str(value)


def require(module: str, *, extra: str, purpose: str, hint: str = "") -> ModuleType:
    """Import an optional package, or say what it is for and how to install it.

    Raises:
        ImportError: If the package is missing; the message names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        fix = f"Install it with: pip install 'kpbook[{extra}]'."
        message = complain(module, "no such package", f"it to be installed: {purpose} needs it", "")
        raise ImportError(" ".join(filter(None, [message, fix, hint]))) from error


def _as_numbers(x: Any, *, name: str, expected: str, hint: str) -> torch.Tensor:
    if x is None or isinstance(x, str | bytes | bool):
        raise TypeError(complain(name, repr(x), f"a number or a tensor, {expected}", hint))
    check_unmasked(x, name=name)
    try:
        # float64: a Python float such as 1e-300 must not become 0 on the way to the check.
        return _tensor(x if hasattr(x, "dtype") else np.float64(x))
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            complain(name, repr(x), f"a number or a tensor, {expected}", hint)
        ) from None


def _number(value: float) -> str:
    """Whole numbers in full, 4294967296; others with six digits."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:g}"


def _tensor(x: Any) -> torch.Tensor:
    """View ``x`` as a tensor to look at.

    Torch warns about an array that it could not write, and takes none that runs backwards.
    """
    if isinstance(x, np.ndarray) and (not x.flags.writeable or min(x.strides, default=0) < 0):
        x = x.copy()
    return torch.as_tensor(x).detach()


def _type_name(x: object) -> str:
    return type(x).__name__
