"""What every live figure of the built pages owes its readers, whichever it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import Visit
from live import (
    KIB,
    LiveFigure,
    caption_of_still,
    rewritten,
    size_of,
    stored_state,
    without_loader,
)
from test_site import DESKTOP, PHONE, SHOTS

pytestmark = [pytest.mark.site, pytest.mark.slow]

HIDE_BARS = ".bd-header-article, .pst-skip-link, #pst-skip-link { display: none !important; }"


class Page(NamedTuple):
    figures: dict[str, str]  # id -> its handle
    most_kib: int  # that one figure of it stores
    still: str  # what the first figure's picture says without a script


PAGES = {
    "book/index": Page({"find-the-cube": "cube"}, 110, "the network rarity in a scene"),
    "book/01_soft_argmax": Page({"soft-argmax": "blob1"}, 60, "the probability of each cell"),
    "book/02_world": Page({"camera": "orbit"}, 80, "yaw 45°, pitch -35°"),
    "book/03_spatial_autoencoders": Page(
        {"training-replayed": "checkpoint", "find-the-cube": "cube"}, 270, "(not tracked)"
    ),
    "book/04_tracking_metric": Page({"judging": "mu"}, 150, "what keypoint"),
}
EACH = [(page, name) for page, about in PAGES.items() for name in about.figures]


class Figure(LiveFigure):
    """Any of them, held by its handle."""

    def __init__(self, page: Any, where: str, name: str) -> None:
        self.name, self.grip = name, PAGES[where].figures[name]  # type: ignore[misc]
        super().__init__(page)


def photograph(figure: Figure, kind: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    figure.at.screenshot(path=SHOTS / f"figure-{figure.name}.{kind}.png", style=HIDE_BARS)


def fits(figure: Figure, width: int) -> None:
    """Neither the figure nor what is in it is wider than the window."""
    assert figure.page.evaluate("document.documentElement.scrollWidth") <= width
    parts = "e => [...e.shadowRoot.querySelectorAll('*')].map(c => c.getBoundingClientRect().right)"
    right = figure.at.evaluate("e => e.getBoundingClientRect().right")
    assert max(figure.at.evaluate(parts)) <= right + 0.5
    assert right <= width


@pytest.mark.parametrize("where", PAGES)
def test_a_page_has_its_figures_and_no_others(visit: Visit, where: str) -> None:
    page = visit.open(f"{where}.html")
    ids = page.locator(".kp-live > *").evaluate_all("all => all.map(e => e.id)")
    assert ids == list(PAGES[where].figures)
    assert page.locator("[data-kp-still]").count() == 0  # the still pictures have gone


@pytest.mark.parametrize(("where", "name"), EACH)
def test_it_gives_way_when_the_window_narrows(visit: Visit, where: str, name: str) -> None:
    figure = Figure(visit.open(f"{where}.html"), where, name)
    fits(figure, DESKTOP["width"])
    photograph(figure, "light")
    visit.page.set_viewport_size(PHONE)
    visit.page.emulate_media(color_scheme="dark")
    figure.settle()
    fits(figure, PHONE["width"])
    photograph(figure, "phone")
    before = figure.ask("state")
    figure.handle().press("ArrowRight")
    figure.settle()
    assert figure.ask("state") != before
    visit.check()


@pytest.mark.parametrize(("where", "name"), EACH)
def test_it_breaks_no_rule_of_accessibility(visit: Visit, where: str, name: str) -> None:
    figure = Figure(visit.open(f"{where}.html"), where, name)
    before = figure.ask("state")
    figure.handle().press("ArrowRight")
    figure.settle()
    assert figure.ask("state") != before
    for theme in ("light", "dark"):
        assert figure.violations(theme) == [], theme
    visit.check()


@pytest.mark.parametrize("where", PAGES)
def test_without_a_script_a_picture_and_a_sentence_stay(visit: Visit, where: str) -> None:
    rewritten(visit, f"{where}.html", without_loader)
    caption = caption_of_still(visit.open(f"{where}.html"))
    assert "A still picture of a live figure" in caption
    assert PAGES[where].still in caption


@pytest.mark.parametrize("where", PAGES)
def test_what_a_page_stores_stays_small(site: Path, where: str) -> None:
    models = stored_state(site, f"{where}.html").values()
    assert max(map(size_of, models)) < PAGES[where].most_kib * KIB
