"""Traits of live figures, which refuse what a figure cannot show in the words of ``_checks``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import traitlets

from kpbook._arrays import as_float64
from kpbook._checks import (
    check_choice,
    check_flag,
    check_integer,
    check_positive,
    check_range,
    check_shape,
    complain,
)


class WrongKind(traitlets.TraitError, TypeError):
    """A value of the wrong kind: what traitlets' users catch, and kpbook's ``TypeError``."""


class FigureTrait(traitlets.TraitType[Any, Any]):
    """A trait that the page shares; a kind of it gives :meth:`check`.

    Args:
        default: First value, copied for every figure; ``None`` where the figure sets it.
    """

    def __init__(self, default: Any = None) -> None:
        super().__init__(default)
        self.tag(sync=True)

    def default(self, obj: Any = None) -> Any:
        return copy.deepcopy(self.default_value)

    def check(self, value: Any, figure: Any) -> Any:
        """Return what is stored for ``value``; raise ``ValueError`` or ``TypeError``."""
        raise NotImplementedError

    def validate(self, obj: Any, value: Any) -> Any:
        try:
            return self.check(value, obj)
        except TypeError as error:
            raise WrongKind(str(error)) from None


class Custom(FigureTrait):
    """Whatever a function of the value makes of it."""

    def __init__(self, make: Callable[[Any], Any], default: Any = None) -> None:
        super().__init__(default)
        self.make = make

    def check(self, value: Any, figure: Any) -> Any:
        return self.make(value)


def holds_flags(value: Any) -> bool:
    """Whether there is a bool among some numbers: NumPy makes 0 or 1 of it."""
    if isinstance(value, list | tuple):
        return any(map(holds_flags, value))
    return isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")


class Numbers(FigureTrait):
    """A list of ``count`` numbers from ``low`` to ``high``."""

    kind = "numbers"

    def __init__(
        self, count: int, low: float, high: float, default: Any = None, hint: str = ""
    ) -> None:
        super().__init__(default)
        self.shape, self.ends, self.hint = str(count), (low, high), hint

    def check(self, value: Any, figure: Any) -> Any:
        name = str(self.name)
        numbers = as_float64(value, name=name, expected=self.kind, hint=self.hint)
        if holds_flags(value) or (numbers.ndim and not self.shape):
            raise TypeError(complain(name, repr(value), self.kind, self.hint))
        check_shape(numbers, self.shape, name=name, hint=self.hint)
        check_range(numbers, *self.ends, name=name, hint=self.hint)
        return numbers.tolist()


class Number(Numbers):
    """One number from ``low`` to ``high``; it becomes a float."""

    kind = "a number"

    def __init__(self, low: float, high: float, default: float = 0.0, hint: str = "") -> None:
        super().__init__(0, low, high, default, hint)
        self.shape = ""


class Positive(FigureTrait):
    """A number greater than 0; it becomes a float."""

    def __init__(self, default: float, hint: str = "") -> None:
        super().__init__(default)
        self.hint = hint

    def check(self, value: Any, figure: Any) -> float:
        check_positive(value, name=str(self.name), hint=self.hint)
        return float(value)


class Whole(FigureTrait):
    """A whole number from ``low`` to ``high``, which may be a function of the figure."""

    def __init__(
        self, low: int, high: int | Callable[[Any], int], default: int = 0, hint: str = ""
    ) -> None:
        super().__init__(default)
        self.low, self.high, self.hint = low, high, hint

    def check(self, value: Any, figure: Any) -> int:
        name = str(self.name)
        high = self.high(figure) if callable(self.high) else self.high
        hint = self.hint.format(count=high + 1)
        number = check_integer(value, name=name, minimum=self.low, hint=hint)
        check_range(number, self.low, high, name=name, hint=hint)
        return number


class Choice(FigureTrait):
    """One of some words, which may be a function of the figure."""

    def __init__(
        self, options: Iterable[str] | Callable[[Any], Iterable[str]], default: str | None = None
    ) -> None:
        super().__init__(default)
        self.options = options

    def check(self, value: Any, figure: Any) -> str:
        options = self.options(figure) if callable(self.options) else self.options
        return check_choice(value, options, name=str(self.name))


class Flag(FigureTrait):
    """True or False."""

    def check(self, value: Any, figure: Any) -> bool:
        return check_flag(value, name=str(self.name))
