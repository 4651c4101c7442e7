"""A prediction: the reader answers first, then the page shows what the code found.

The directive writes the question as an admonition, and the fields of the answer as data;
``prediction.js`` makes the form, folds the outputs up to the claim that holds the answer, and
compares. Without a script, and in a notebook, the question stays text and nothing is folded.

    ```{prediction}
    :number: x (the keypoint's x)
    Two equal blobs sit at -1 and 0.5. Where is the keypoint?
    ```

Options, at least one: ``number`` and ``place`` take ``name (label)``; ``choice`` and ``ticks`` take
``name (option; option)``, or ``name [label] (option; option)`` where there are several rows. Fields
of a kind are separated by semicolons outside the parentheses. A name is one of the numbers of the
first claim below that has all of them. A label that ends in "%" takes per cent of a share; a place
is (x, y) on [-1, 1]², y down.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

KINDS = ("number", "choice", "ticks", "place")
FIELD = re.compile(r"\s*(\w+)(?: \[(.+?)\])? \((.+?)\)\s*(?:;(?=\s*\w+(?: \[.+?\])? \()|$)")


def fields(kind: str, text: str) -> list[dict[str, Any]]:
    """The fields that an option asks for.

    Raises:
        ValueError: If the text is not of the form ``name (label); name (label)``, or a choice has
            fewer than two options.
    """
    found, at = [], 0
    while at < len(text):
        match = FIELD.match(text, at)
        if match is None:
            raise ValueError(f"got :{kind}: {text!r}, expected: name (label); name (label)")
        name, row, label = match.groups()
        field: dict[str, Any] = {"kind": kind, "name": name, "label": label}
        if kind in {"choice", "ticks"}:
            options = [option.strip() for option in label.split(";")]
            field |= {"label": row or "", "options": options}
            if len(field["options"]) < 2:
                raise ValueError(f"got one option in :{kind}: {text!r}, expected several")
        found.append(field)
        at = match.end()
    return found


class Prediction(SphinxDirective):
    """``{prediction}``: a question and the fields of its answer."""

    has_content = True
    option_spec: ClassVar[dict[str, Any]] = dict.fromkeys(KINDS, directives.unchanged_required)

    def run(self) -> list[nodes.Node]:
        """Return the admonition, with its fields as data in its last line."""
        self.assert_has_content()
        try:
            asked = [f for kind, text in self.options.items() for f in fields(kind, text)]
        except ValueError as error:
            raise self.error(f"prediction: {error}") from error
        if not asked:
            raise self.error(f"prediction: got no field, expected one of {', '.join(KINDS)}")
        box = nodes.admonition(classes=["tip", "kp-prediction"])
        box += nodes.title("", "Predict")
        self.state.nested_parse(self.content, self.content_offset, box)
        data = html.escape(json.dumps(asked))
        box += nodes.raw("", f'<div class="kp-fields" data-fields="{data}"></div>', format="html")
        return [box]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("prediction", Prediction)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
