"""A sentence that renders only if it holds.

The text of a chapter states results. Each such sentence is a call: its numbers are computed in
the same cell, and if its condition fails, the cell fails, and with it the build.
"""

from __future__ import annotations

import html
import inspect
import json
import math
from dataclasses import dataclass, field
from typing import Any

from kpbook._checks import complain


class ClaimError(AssertionError):
    """The text claims something that this run does not show."""


@dataclass(frozen=True)
class Claim:
    """A sentence whose condition held; notebooks show it as text.

    Attributes:
        sentence: The sentence, filled.
        numbers: What it was filled with. A page keeps them beside it, unseen, so that a reader's
            prediction is compared with what the code found.
    """

    sentence: str
    numbers: dict[str, Any] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        return f"Checked: {self.sentence}"

    def _repr_markdown_(self) -> str:
        plain = {name: _plain(value) for name, value in self.numbers.items()}
        found = html.escape(json.dumps(plain, allow_nan=False))
        data = f'<data class="kp-numbers" value="{found}"></data>' if plain else ""
        return f"> **Checked.** {self.sentence}{data}"


def claim(sentence: str, holds: Any, **numbers: Any) -> Claim:
    """Return the sentence, filled with ``numbers``, if ``holds`` is true.

    Args:
        sentence: What the text says, with ``str.format`` fields: ``"off by {error:.1f} px"``.
        holds: One yes or no: a bool, an array or tensor of one element, or a function of the
            numbers by their names that gives one. So each number is written once, and what is
            compared is what is printed: ``lambda error: error < 1``.
        **numbers: Values of the fields. One that no field names is the answer to a prediction.

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
    return Claim(filled, numbers)


def _plain(value: Any) -> Any:
    """A claim's number as JSON: six digits of a float, lists of arrays, else its words."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    return value if isinstance(value, (bool, int)) else str(value)
