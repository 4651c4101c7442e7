"""Traits of live figures, which refuse what a figure cannot show in the words of ``_checks``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

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

T = TypeVar("T")
#: An option of a trait, or a function of the figure that tells it.
OfFigure: TypeAlias = T | Callable[[Any], T]


def given(option: OfFigure[T], figure: Any) -> T:
    """An option as it is for this figure."""
    return option(figure) if callable(option) else option


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


class Number(FigureTrait):
    """One number from ``low`` to ``high``; it becomes a float."""

    kind = "a number"

    def __init__(self, low: float, high: float, default: Any = 0.0, hint: str = "") -> None:
        super().__init__(default)
        self.ends, self.hint = (low, high), hint

    def shape(self, figure: Any) -> str:
        return ""

    def check(self, value: Any, figure: Any) -> Any:
        name, shape = str(self.name), self.shape(figure)
        numbers = as_float64(value, name=name, expected=self.kind, hint=self.hint)
        if holds_flags(value) or (numbers.ndim and not shape):
            raise TypeError(complain(name, repr(value), self.kind, self.hint))
        check_shape(numbers, shape, name=name, hint=self.hint)
        check_range(numbers, *self.ends, name=name, hint=self.hint)
        return numbers.tolist()


class Numbers(Number):
    """A list of ``count`` numbers, each from ``low`` to ``high``."""

    kind = "numbers"

    def __init__(
        self, count: OfFigure[int], low: float, high: float, default: Any = None, hint: str = ""
    ) -> None:
        super().__init__(low, high, default, hint)
        self.count = count

    def shape(self, figure: Any) -> str:
        return str(given(self.count, figure))


class Positive(FigureTrait):
    """A number greater than 0; it becomes a float."""

    def __init__(self, default: float, hint: str = "") -> None:
        super().__init__(default)
        self.hint = hint

    def check(self, value: Any, figure: Any) -> float:
        check_positive(value, name=str(self.name), hint=self.hint)
        return float(value)


class Whole(FigureTrait):
    """A whole number from ``low`` to ``high``; a hint may speak of ``{count}``, one more."""

    def __init__(self, low: int, high: OfFigure[int], default: int = 0, hint: str = "") -> None:
        super().__init__(default)
        self.low, self.high, self.hint = low, high, hint

    def check(self, value: Any, figure: Any) -> int:
        name, high = str(self.name), given(self.high, figure)
        hint = self.hint.format(count=high + 1)
        number = check_integer(value, name=name, minimum=self.low, hint=hint)
        check_range(number, self.low, high, name=name, hint=hint)
        return number


class Choice(FigureTrait):
    """One of some words."""

    def __init__(self, options: OfFigure[Iterable[str]], default: str | None = None) -> None:
        super().__init__(default)
        self.options = options

    def check(self, value: Any, figure: Any) -> str:
        return check_choice(value, given(self.options, figure), name=str(self.name))


class Flag(FigureTrait):
    """True or False."""

    def check(self, value: Any, figure: Any) -> bool:
        return check_flag(value, name=str(self.name))
