"""A sentence that renders only if it holds.

The text of a chapter states results. Each such sentence is a call: its numbers are computed in
the same cell, and if its condition fails, the cell fails, and with it the build.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from kpbook._checks import complain


class ClaimError(AssertionError):
    """The text claims something that this run does not show."""


@dataclass(frozen=True)
class Claim:
    """A sentence whose condition held; notebooks show it as text."""

    sentence: str

    def __repr__(self) -> str:
        return f"Checked: {self.sentence}"

    def _repr_markdown_(self) -> str:
        return f"> **Checked.** {self.sentence}"


def claim(sentence: str, holds: Any, **numbers: Any) -> Claim:
    """Return the sentence, filled with ``numbers``, if ``holds`` is true.

    Args:
        sentence: What the text says, with ``str.format`` fields: ``"off by {error:.1f} px"``.
        holds: One yes or no: a bool, an array or tensor of one element, or a function of the
            numbers by their names that gives one. So each number is written once, and what is
            compared is what is printed: ``lambda error: error < 1``.
        **numbers: Values of the fields.

    Returns:
        An object that a notebook shows as the sentence.

    Raises:
        ClaimError: If the condition is false; the message holds the sentence with its numbers.
        TypeError: If the condition is not one yes or no, or a function of other names.
    """
    filled = sentence.format(**numbers)
    if callable(holds):
        asked = inspect.signature(holds).parameters
        unknown = sorted(asked.keys() - numbers.keys())
        if unknown:
            got, expected = f"a function of {unknown}", f"names among {sorted(numbers)}"
            raise TypeError(complain("holds", got, expected))
        holds = holds(**{name: numbers[name] for name in asked})
    yes = holds.tolist() if hasattr(holds, "tolist") else holds
    while isinstance(yes, list) and len(yes) == 1:
        yes = yes[0]
    if not isinstance(yes, bool):
        hint = "Reduce it with .all() or .any(), or compare numbers."
        raise TypeError(complain("holds", repr(holds), "one True or False", hint))
    if not yes:
        raise ClaimError(f"this does not hold: {filled}")
    return Claim(filled)
