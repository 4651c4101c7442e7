"""Predictions: what their directive takes, and what a reader's guess is told on the built pages."""

from __future__ import annotations

import html
import json
import math
import re
import sys
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch
from conftest import ROOT, Visit
from live import LiveFigure
from test_site import CHAPTERS

from kpbook.claims import claim

sys.path.append(str(ROOT / "book" / "_ext"))
import prediction


def numbers(shown: Any) -> dict[str, Any]:
    """What a claim tells its page, unseen."""
    text = re.search(r'<data class="kp-numbers" value="([^"]*)"></data>', shown._repr_markdown_())
    return json.loads(html.unescape(text[1])) if text else {}


def test_a_claim_tells_the_page_its_numbers():
    shown = claim(
        "off by {a:.1f}",
        True,
        a=np.float64(0.123456789),
        n=np.int64(3),
        z=torch.tensor([0.5, -0.25]),
        best="the 'mean' & \"mode\"",
        ticks=("spread", "entropy"),
        gone=math.nan,
        yes=np.True_,
    )
    assert numbers(shown) == {
        "a": 0.123457,
        "n": 3,
        "z": [0.5, -0.25],
        "best": "the 'mean' & \"mode\"",
        "ticks": ["spread", "entropy"],
        "gone": "nan",
        "yes": True,
    }
    assert "<data" not in claim("nothing to fill in", True)._repr_markdown_()


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("number", "a (x)", [{"kind": "number", "name": "a", "label": "x"}]),
        (
            "number",
            "a (miss of the cube (lid), px); b (share, %)",
            [
                {"kind": "number", "name": "a", "label": "miss of the cube (lid), px"},
                {"kind": "number", "name": "b", "label": "share, %"},
            ],
        ),
        (
            "ticks",
            "w (presence; spread (1.8); entropy)",
            [
                {
                    "kind": "ticks",
                    "name": "w",
                    "label": "",
                    "options": ["presence", "spread (1.8)", "entropy"],
                }
            ],
        ),
        (
            "choice",
            "a [first row] (yes; no); b [second] (yes; no)",
            [
                {"kind": "choice", "name": "a", "label": "first row", "options": ["yes", "no"]},
                {"kind": "choice", "name": "b", "label": "second", "options": ["yes", "no"]},
            ],
        ),
    ],
)
def test_fields_are_a_name_and_a_label_or_options(kind, text, expected):
    assert prediction.fields(kind, text) == expected


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("number", "x for 1", r"got :number: 'x for 1', expected: name \(label\)"),
        ("number", "a (x); b", r"expected: name \(label\)"),
        ("choice", "best (mean)", "got one option"),
    ],
)
def test_a_field_that_cannot_be_read_is_named(kind, text, message):
    with pytest.raises(ValueError, match=message):
        prediction.fields(kind, text)


# -- on the built pages ----------------------------------------------------------------------------


def fields_of(box: Any) -> list[dict[str, Any]]:
    return json.loads(box.locator(".kp-fields").get_attribute("data-fields"))


def found(box: Any) -> dict[str, Any]:
    """The numbers of the first claim after a prediction that has all of its names."""
    names = [field["name"] for field in fields_of(box)]
    return box.evaluate(
        """(box, names) => [...document.querySelectorAll("data.kp-numbers")]
            .filter((d) => box.compareDocumentPosition(d) & Node.DOCUMENT_POSITION_FOLLOWING)
            .map((d) => JSON.parse(d.getAttribute("value")))
            .find((numbers) => names.every((name) => name in numbers))""",
        names,
    )


def guess(box: Any, answers: dict[str, Any]) -> None:
    """Fill in the answers, as a reader who knows them would."""
    for field in fields_of(box):
        answer = answers[field["name"]]
        if field["kind"] == "number":
            scale = 100 if field["label"].endswith("%") else 1
            box.get_by_label(field["label"], exact=True).fill(f"{scale * answer:.9g}")
        elif field["kind"] == "place":
            place = box.get_by_role("slider", name=field["label"])
            for key, steps in zip(("Right", "Down"), answer, strict=True):
                key = key if steps > 0 else {"Right": "Left", "Down": "Up"}[key]
                for _ in range(round(abs(steps) / 0.05)):
                    place.press(f"Arrow{key}")
        else:
            for option in [answer] if isinstance(answer, str) else answer:
                assert option in field["options"], f"{field}: the code found {option!r}"
                row = box.get_by_role("group", name=field["label"]) if field["label"] else box
                row.get_by_label(option, exact=True).check()


@pytest.mark.site
@pytest.mark.slow
@pytest.mark.parametrize("name", CHAPTERS)
def test_a_reader_predicts_before_the_page_tells(visit: Visit, name: str) -> None:
    """Every prediction has an answer below it, folds it, and tells a right guess so."""
    page = visit.open(f"{name}.html")
    boxes = page.locator(".kp-prediction")
    states = boxes.evaluate_all("all => all.map(box => box.dataset.state)")
    assert len(states) >= 4
    assert set(states) == {"asked"}
    hidden = page.locator(".cell[hidden], .cell_output[hidden]")
    before = hidden.count()
    assert before >= len(states)
    for box in boxes.all():
        answers = found(box)
        guess(box, answers)
        box.get_by_role("button", name="Reveal", exact=True).press("Enter")
        said = box.locator(".kp-said")
        assert said.evaluate("element => element === document.activeElement")
        text = said.inner_text()
        for field in fields_of(box):
            if field["kind"] == "number" and isinstance(answers[field["name"]], (int, float)):
                assert "exactly right" in text or "within 10 %" in text, text
        assert "You said" in text or "boxes right" in text, text
        assert page.locator('[data-state="asked"]').count() == len(states) - 1
        states.pop()
        assert hidden.count() < before
        before = hidden.count()
    assert before == 0
    assert page.evaluate("Object.keys(localStorage).filter(k => !/mode|theme/.test(k))") == []
    visit.check()


@pytest.mark.site
@pytest.mark.slow
def test_a_wrong_guess_is_told_how_far_off_it_is_and_no_guess_is_asked_again(visit: Visit) -> None:
    page = visit.open(f"{CHAPTERS[0]}.html")
    box = next(
        box for box in page.locator(".kp-prediction").all() if fields_of(box)[0]["kind"] == "number"
    )
    button = box.get_by_role("button", name="Reveal", exact=True)
    button.click()
    assert box.locator(".kp-wrong").inner_text() == "Make a guess first."
    field, answers = fields_of(box)[0], found(box)
    box.get_by_label(field["label"], exact=True).fill("a third")
    button.click()
    assert "Type a number" in box.locator(".kp-wrong").inner_text()
    assert box.locator("[aria-invalid=true]").count() == 1
    scale = 100 if field["label"].endswith("%") else 1
    wrong = scale * (5 * answers[field["name"]] or 1)
    box.get_by_label(field["label"], exact=True).fill(f"{wrong:.9g}")
    button.click()
    text = box.locator(".kp-said").inner_text()
    assert "off by" in text or "5 times too" in text, text
    page.get_by_role("button", name="Reveal all on this page").or_(
        page.locator(".kp-reveal").first
    ).first.click()
    visit.check()


@pytest.mark.site
@pytest.mark.slow
def test_without_a_script_nothing_is_folded(browser: Any, site_url: str) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{site_url}/{CHAPTERS[0]}.html")
    assert page.locator(".kp-prediction").count() >= 4
    assert page.locator(".kp-guess").count() == 0
    outputs = page.locator(".cell_output")
    assert outputs.count() > 10
    assert all(output.is_visible() for output in outputs.all())
    page.context.close()


@pytest.mark.site
@pytest.mark.slow
@pytest.mark.parametrize("name", CHAPTERS)
def test_words_of_the_text_set_its_figures(visit: Visit, name: str) -> None:
    """At least four a chapter; a click gives the view that the link's fields say."""
    page = visit.open(f"{name}.html")
    links = page.locator("a.kp-view").evaluate_all("all => all.map(a => a.hash)")
    assert len(links) >= 4
    for k, link in enumerate(links):
        figure, _, query = link[1:].partition("?")
        live = LiveFigure(page, figure)
        live.reset()
        page.locator("a.kp-view").nth(k).click()
        live.settle()
        copied = dict(parse_qsl(live.copied_link().partition("?")[2], keep_blank_values=True))
        wanted = dict(parse_qsl(query, keep_blank_values=True))
        assert wanted
        for field, value in wanted.items():
            assert same(copied.get(field), value), f"{link}: {field} is {copied.get(field)}"
    visit.check()


def same(got: str | None, wanted: str) -> bool:
    """The same words, or the same numbers."""
    if got is None or got == wanted:
        return got == wanted
    try:
        pairs = zip(map(float, got.split(",")), map(float, wanted.split(",")), strict=True)
        return all(math.isclose(a, b, abs_tol=1e-4) for a, b in pairs)
    except ValueError:
        return False
