"""Clean the chapters: no outputs but the text that nbval compares, and bookkeeping folded.

Each code cell has one of the tags below; what is folded follows from it, here and nowhere else: on
the site by the tag ``hide-input``, in JupyterLab by ``source_hidden``, in Colab by its form view
with a title. Run by ``make fix``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import reading_time

BOOK = Path(__file__).resolve().parent.parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}

#: Tag of a code cell that a reader sees: taught, worth running or changing, an exercise, its check.
SHOWN = ("taught", "run", "exercise", "exercise-check")
#: Tag of a code cell whose source is folded, and its title in Colab.
FOLDED = {
    "setup": "Imports",
    "book": "The book's version",
    "live": "Live figure",
    "result": "Make this table or figure",
    "claim": "Check this sentence",
}
TITLE = "# @title "  # what Colab's form view shows


def is_checked(cell: dict[str, Any]) -> bool:
    """Does nbval compare this cell's output with the stored one?"""
    tags = cell["metadata"].get("tags", [])
    return "NBVAL_CHECK_OUTPUT" in "".join(cell["source"]) or "nbval-check-output" in tags


def is_text(output: dict[str, Any]) -> bool:
    """Is this output text and nothing else?"""
    return set(output.get("data", {"text/plain": ""})) <= {"text/plain"}


def cleaned(text: str) -> str:
    """Return a notebook without outputs, counts and widget state, except where nbval compares.

    A checked cell keeps its text output, and the number 1 because nbval asks for one.
    """
    notebook = json.loads(text)
    notebook["metadata"] = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        keep = [o for o in cell["outputs"] if is_checked(cell) and is_text(o)]
        for output in keep:
            if "execution_count" in output:
                output["execution_count"] = 1
        cell["outputs"] = keep
        cell["execution_count"] = 1 if keep else None
        for name in ("execution", "collapsed", "scrolled"):
            cell["metadata"].pop(name, None)
        if "colab" not in cell["metadata"].get("tags", []):
            fold(cell)
    reading_time.write(notebook["cells"], role)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def role(cell: dict[str, Any]) -> str:
    """The one tag that says what a code cell is for.

    Raises:
        ValueError: If there is none, or more than one.
    """
    tags = [t for t in cell["metadata"].get("tags", []) if t in {*SHOWN, *FOLDED}]
    if len(tags) != 1:
        what = f"cell {cell.get('id')} has the tags {tags}"
        raise ValueError(f"{what}, expected one of {', '.join([*SHOWN, *FOLDED])}")
    return str(tags[0])


def fold(cell: dict[str, Any]) -> None:
    """Fold a cell's source, or show it, as its tag says."""
    source, metadata = "".join(cell["source"]), cell["metadata"]
    title, rest = source.partition("\n")[::2] if source.startswith(TITLE) else ("", source)
    tags = [tag for tag in metadata["tags"] if tag != "hide-input"]
    hidden = role(cell) in FOLDED
    for name in ("jupyter", "cellView"):
        metadata.pop(name, None)
    if hidden:
        tags.append("hide-input")
        metadata |= {"jupyter": {"source_hidden": True}, "cellView": "form"}
        rest = f"{title or TITLE + FOLDED[role(cell)]}\n{rest}"
    metadata["tags"] = tags
    cell["metadata"] = dict(sorted(metadata.items()))
    cell["source"] = rest.splitlines(keepends=True)


def main() -> None:
    """Clean every chapter in place."""
    for path in sorted(BOOK.glob("*.ipynb")):
        old = path.read_text(encoding="utf-8")
        new = cleaned(old)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(f"book/{path.name}: cleaned")


if __name__ == "__main__":
    main()
