"""Reading times: counted by one formula, and written where a chapter names them."""

from __future__ import annotations

import re
import sys

import notebooks
import pytest
from conftest import ROOT

sys.path.append(str(ROOT / "book" / "_ext"))
import clean_notebooks
import reading_time

CHAPTERS = sorted(path.stem for path in (ROOT / "book").glob("[0-9][0-9]_*.ipynb"))


def markdown(source):
    return {"cell_type": "markdown", "source": [source], "metadata": {}}


def code(source, tag):
    return {"cell_type": "code", "source": [source], "metadata": {"tags": [tag]}}


@pytest.mark.parametrize(
    ("cell", "minutes"),
    [
        (markdown("word " * 300), 2.0),
        (markdown("$$ a = b $$"), 0.5),
        (markdown("\\begin{align*}\na &= b\n\\end{align*}"), 0.5),
        (markdown("```{prediction}\n:number: a (x)\n```"), 0.5),
        (markdown("````{admonition} Hint\n:class: dropdown\n" + "word " * 300 + "\n````"), 0.0),
        (markdown("```python\nx = 1\n```"), 0.0),
        (code("x = 1\n" * 30, "taught"), 2.0),
        (code("x = 1\n" * 30, "claim"), 0.0),
        (code("x = 1\n" * 30, "book"), 0.0),
        (code("plot()", "result"), 0.5),
    ],
)
def test_minutes_of_a_cell(cell, minutes):
    found = reading_time.of_sections([cell], clean_notebooks.role)
    assert found == {"": pytest.approx(minutes)}


def test_minutes_are_written_into_the_head_and_the_sections():
    cells = [
        markdown("| 1 minutes of reading, 1 of exercises |"),
        markdown("## 1.1 First\n\n**Time:** 1 minute.\n" + "word " * 600),
        markdown("\n## 1.2 Second\n\n**Time:** 9 minutes."),
        markdown("## Exercises\n\n### Exercise 1.1: x (one star, 7 minutes)\n" + "word " * 600),
    ]
    reading_time.write(cells, clean_notebooks.role)
    text = "".join("".join(cell["source"]) for cell in cells)
    assert "| 4 minutes of reading, 7 of exercises |" in text
    assert re.findall(r"\*\*Time:\*\* (.*?)\.", text) == ["4 minutes", "1 minute"]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_says_how_long_it_takes(chapter):
    text = "\n\n".join(
        c["source"] for c in notebooks.cells(chapter) if c["cell_type"] == "markdown"
    )
    head = re.search(r"(\d+) minutes of reading, (\d+) of exercises", text)
    assert head is not None
    assert int(head[1]) > 10
    assert int(head[2]) > 10
    sections = re.findall(r"^## \d+\.\d+ .*?(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert sections
    for section in sections:
        assert len(re.findall(r"\*\*Time:\*\*\s+\d+ minute", section)) <= 1
