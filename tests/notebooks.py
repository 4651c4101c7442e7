"""Reading chapters as tests do: cells by tag, exercise solutions, and code in a fresh namespace."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

BOOK = Path(__file__).resolve().parent.parent / "book"
sys.path.append(str(BOOK))  # as a chapter's kernel has it


def cells(chapter: str) -> list[dict[str, Any]]:
    """All cells of ``book/<chapter>.ipynb``, each source as one text."""
    content = json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    return [{**cell, "source": "".join(cell["source"])} for cell in content["cells"]]


def code_with_tag(chapter: str, *tags: str) -> list[str]:
    """Sources of the code cells that carry one of ``tags``, in order."""
    return [
        cell["source"]
        for cell in cells(chapter)
        if cell["cell_type"] == "code" and set(tags) & set(cell["metadata"].get("tags", []))
    ]


def namespace(chapter: str, *tags: str, **given: Any) -> dict[str, Any]:
    """Run the cells with one of ``tags`` in a fresh namespace and return it."""
    scope = dict(given)
    for source in code_with_tag(chapter, *tags):
        exec(compile(source, chapter, "exec"), scope)
    return scope


def taught(chapter: str, **given: Any) -> dict[str, Any]:
    """What a chapter teaches, also where the reader writes it first: there, the book's version."""
    return namespace(chapter, "taught", "exercise", "book", **checks(chapter), **given)


def checks(chapter: str) -> dict[str, Any]:
    """The checks of a chapter's exercises, by name."""
    module = importlib.import_module(f"exercises.{chapter[3:]}.checks")
    return {name: value for name, value in vars(module).items() if name.startswith("check_")}


def exercises(chapter: str, **given: Any) -> dict[str, Any]:
    """The blanks of a chapter's exercises, as readers get them, and the checks of their answers."""
    return namespace(chapter, "exercise", **taught(chapter, **given)) | checks(chapter)


def solutions(chapter: str) -> dict[str, str]:
    """Function name -> source of the solution that the chapter's drop-down shows."""
    found = {}
    for cell in cells(chapter):
        for block in re.findall(r"```python\n(.*?)```", cell["source"], flags=re.DOTALL):
            for name in re.findall(r"^def (\w+)", block, flags=re.MULTILINE):
                found[name] = block
    return found
