"""Clean the chapters: no outputs but the text that nbval compares. Run by ``make fix``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BOOK = Path(__file__).resolve().parent.parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


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
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


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
