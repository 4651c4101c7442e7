"""How long a chapter takes to read, counted; ``make fix`` writes it into its head and sections.

Prose at 150 words a minute, code that is shown at 15 lines a minute, half a minute for each
figure, table, displayed formula and prediction; what is folded counts nothing. Exercises stand
apart: they state their own minutes.
"""

from __future__ import annotations

import re
from typing import Any

WORDS, LINES, LOOKS = 150, 15, 2  # a minute
SHOWN = {"taught", "run"}
LOOKED_AT = {"result", "live"}

HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
NOT_PROSE = re.compile(
    r"^```\S*python\n.*?^```|^:::?\w+.*?$|^`{3,4}.*?$|^:\w+:.*?$|<[^>]+>|\$\$.*?\$\$|\\begin\{align.*?\\end\{align\*?\}",
    re.MULTILINE | re.DOTALL,
)
FOLDED = re.compile(r"^(`{3,4})\{admonition\}[^\n]*\n:class: dropdown\n.*?^\1$", re.M | re.S)
TIME = re.compile(r"(\*\*Time:\*\*\s+)\d+( minutes?)")
HEAD = re.compile(r"\d+ minutes of reading(, \d+ of exercises)?")
EXERCISE = re.compile(r"^### Exercise .*\(.*?(\d+) minutes\)", re.MULTILINE)


def minutes(kind: str, source: str, role: str = "") -> float:
    """Minutes that a cell, or a piece of prose, takes."""
    if kind == "code":
        lines = len(source.splitlines()) if role in SHOWN else 0
        return lines / LINES + (role in LOOKED_AT) / LOOKS
    seen = FOLDED.sub(" ", source)
    looks = seen.count("{prediction}") + seen.count("$$") // 2 + seen.count("\\begin{align")
    words = re.findall(r"[\w$\\][^\s|]*", NOT_PROSE.sub(" ", seen))
    return len(words) / WORDS + looks / LOOKS


def of_sections(cells: list[dict[str, Any]], role: Any) -> dict[str, float]:
    """Minutes of each section by its heading, "" before the first; ``role(cell)`` is its tag."""
    found, section = {"": 0.0}, ""
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            if "colab" not in cell["metadata"].get("tags", []):
                found[section] += minutes("code", source, role(cell))
            continue
        before, *rest = HEADING.split(source)
        found[section] += minutes("markdown", before)
        for section, text in zip(rest[::2], rest[1::2], strict=True):
            found[section] = found.get(section, 0.0) + minutes("markdown", text)
    return found


def write(cells: list[dict[str, Any]], role: Any) -> None:
    """Write the minutes where a chapter's head and its sections name them."""
    each = of_sections(cells, role)
    prose = [cell for cell in cells if cell["cell_type"] == "markdown"]
    sources = ["".join(cell["source"]) for cell in prose]
    work = sum(int(found) for source in sources for found in EXERCISE.findall(source))
    reading = sum(m for section, m in each.items() if section != "Exercises")
    head = f"{reading:.0f} minutes of reading" + (f", {work} of exercises" if work else "")
    section = ""
    for cell, source in zip(prose, sources, strict=True):
        source = HEAD.sub(head, source)
        pieces = re.split(r"(?=^## )", source, flags=re.MULTILINE)
        for k, piece in enumerate(pieces):
            heading = HEADING.match(piece)
            section = heading[1] if heading else section
            n = max(1, round(each[section]))
            pieces[k] = TIME.sub(rf"\g<1>{n} minute{'s' * (n > 1)}", piece)
        cell["source"] = "".join(pieces).splitlines(keepends=True)
