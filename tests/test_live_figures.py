"""What every live figure of the built pages owes its readers, whichever it is."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import BROWSER_ARGS, Visit, _QuietHandler, _Server, find_browser
from live import (
    KIB,
    LiveFigure,
    caption_of_still,
    on_a_phone,
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
    "book/index": Page({"find-the-cube": "cube"}, 110, "The book's recipe finds cube at"),
    "book/01_soft_argmax": Page({"soft-argmax": "blob1"}, 60, "the probability of each cell"),
    "book/02_world": Page({"camera": "orbit"}, 80, "yaw 45°, pitch -35°"),
    "book/03_spatial_autoencoders": Page(
        {"training-replayed": "checkpoint", "find-the-cube": "cube"}, 270, "(not tracked)"
    ),
    "book/04_tracking_metric": Page(
        {"judging": "frame", "judging-2": "mu", "judging-3": "keypoint"}, 150, "dotted"
    ),
    "book/05_transporter": Page({"transport": "target-ball"}, 75, "source and target, 10 steps"),
    "book/judge_your_own": Page({"judging": "mu"}, 150, "dotted"),
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


@pytest.mark.parametrize(("where", "name"), EACH)
def test_a_finger_moves_it_on_a_phone_and_not_the_page(
    browser: Any, site_url: str, where: str, name: str
) -> None:
    with on_a_phone(browser, f"{site_url}/{where}.html") as page:
        page.wait_for_load_state("networkidle")
        figure = Figure(page, where, name)
        figure.handle().scroll_into_view_if_needed()
        figure.settle()
        before, scrolled = figure.ask("state"), page.evaluate("scrollY")
        x, y = figure.centre(figure.handle())
        inwards = 1 if x < PHONE["width"] / 2 else -1
        figure.finger([(x + inwards * k, y + k / 2) for k in range(0, 60, 10)])
        assert figure.ask("state") != before
        assert page.evaluate("scrollY") == scrolled


@pytest.mark.parametrize("where", PAGES)
def test_without_a_script_a_picture_and_a_sentence_stay(visit: Visit, where: str) -> None:
    rewritten(visit, f"{where}.html", without_loader)
    caption = caption_of_still(visit.open(f"{where}.html"))
    assert "A still picture of a live figure" in caption
    assert PAGES[where].still in caption


def test_the_scene_is_seen_without_scrolling(visit: Visit) -> None:
    stage = visit.open("book/index.html").locator("#find-the-cube[data-ready] .stage")
    box = stage.bounding_box()
    assert 0 < box["y"] < box["y"] + box["height"] <= DESKTOP["height"]


def test_the_runtime_is_downloaded_once_for_the_whole_book(
    playwright: Any, site: Path, tmp_path: Path
) -> None:
    sent: list[str] = []

    class Counts(_QuietHandler):
        def send_response(self, code: int, message: str | None = None) -> None:
            if code == 200 and "/onnxruntime/" in self.path:  # 304: the reader has it
                sent.append(self.path.rpartition("/")[2])
            super().send_response(code, message)

    server = _Server(("127.0.0.1", 0), partial(Counts, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # A reader's browser: one without a folder keeps nothing as large as the runtime.
    context = playwright.chromium.launch_persistent_context(
        tmp_path, executable_path=find_browser(), args=BROWSER_ARGS
    )
    page = context.new_page()
    for where in ("book/index", "book/03_spatial_autoencoders"):
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/{where}.html")
        figure = Figure(page, where, "find-the-cube")
        figure.handle().press("ArrowRight")
        figure.at.and_(page.locator("[data-engine=ready]")).wait_for()
    context.close()
    server.shutdown()
    server.server_close()
    assert sorted(sent) == ["ort-wasm-simd-threaded.wasm", "ort.wasm.bundle.min.mjs"]


def test_the_whole_site_stays_small(site: Path) -> None:
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) <= 60e6


@pytest.mark.parametrize("where", PAGES)
def test_what_a_page_stores_stays_small(site: Path, where: str) -> None:
    models = stored_state(site, f"{where}.html").values()
    assert max(map(size_of, models)) < PAGES[where].most_kib * KIB
