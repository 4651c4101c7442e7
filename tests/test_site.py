"""The built site, seen by a browser: whole, quiet, self-contained, readable, accessible.

Screenshots of every page's beginning (light, dark, phone) are left in ``_build/screenshots``.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import notebooks
import pytest
import yaml
from conftest import ROOT, Visit

pytestmark = [pytest.mark.site, pytest.mark.slow]

AXE = ROOT / "book" / "node_modules" / "axe-core" / "axe.min.js"
SHOTS = ROOT / "_build" / "screenshots"
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}


def toc_pages() -> list[str]:
    """Every page of the table of contents, as a path without its ending."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    pages = [toc["root"]]
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            pages += [chapter["file"], *(page["file"] for page in chapter.get("sections", []))]
    return [page.removesuffix(".ipynb").removesuffix(".md") for page in pages]


PAGES = toc_pages()
CHAPTERS = [p for p in PAGES if re.match(r"book/\d\d_", p)]
EVERY_PAGE = [*PAGES, "search"]


def violations(page: Any) -> list[str]:
    """Run axe-core on the page; one line per broken rule with the first element that breaks it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"{v['id']} ({len(v['nodes'])}): {v['nodes'][0]['target']} "
        f"{v['nodes'][0]['html'][:160]} {v['nodes'][0]['failureSummary'][:300]}"
        for v in found
    ]


def screenshot(page: Any, name: str, kind: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    path = SHOTS / f"{name.replace('/', '-')}.{kind}.png"
    width, height = page.evaluate("[innerWidth, document.documentElement.scrollHeight]")
    top = {"x": 0, "y": 0, "width": width, "height": min(height, 5000)}  # the rest costs seconds
    page.screenshot(path=path, full_page=True, clip=top, animations="disabled")


def set_formulas(page: Any) -> list[str]:
    """Wait for MathJax; return the formulas that it could not set."""
    if page.locator("main .math").count() == 0:
        return []
    page.wait_for_function("window.MathJax?.startup?.promise !== undefined")
    page.evaluate("() => MathJax.startup.promise")
    return page.eval_on_selector_all(
        "main .math",
        "all => all.filter(e => !e.querySelector('mjx-container') || e.querySelector('mjx-merror'))"
        ".map(e => e.textContent)",
    )


def faulty_figures(page: Any) -> list[str]:
    """Images that do not load, or whose alt text is missing or a file's name."""
    images = page.eval_on_selector_all(
        "main img",
        "all => Promise.all(all.map(async i => { i.loading = 'eager';"
        " await i.decode().catch(() => 0);"
        " return [i.getAttribute('src'), i.alt, i.naturalWidth]; }))",
    )
    return [
        f"{source[:80]}: alt {alt!r}, {width} px wide"
        for source, alt, width in images
        if width == 0 or len(alt) < 10 or re.search(r"_images/|\.(png|svg)\b", alt)
    ]


# Elements whose right edge is outside the window, unless they sit in a box that scrolls.
STICKING_OUT = """() => [...document.querySelectorAll(".bd-article-container *")]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
    .filter(e => {
        for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
            if (["auto", "scroll", "hidden"].includes(getComputedStyle(p).overflowX)) return false;
        return true;
    })
    .slice(0, 5).map(e => e.outerHTML.slice(0, 120))"""


# Formulas whose beginning is left of their box: they would be read, and scrolled, from the end.
BEGINS_OUTSIDE = """() => [...document.querySelectorAll("div.math")]
    .map((box) => [box, box.querySelector("mjx-container")])
    .filter(([box, formula]) => formula && box.checkVisibility())
    .filter(([box, formula]) =>
        formula.getBoundingClientRect().left < box.getBoundingClientRect().left - 1)
    .map(([box]) => box.textContent.slice(0, 80))"""


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_page_is_whole_quiet_self_contained_and_accessible(visit: Visit, name: str) -> None:
    visit.page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page = visit.open(f"{name}.html")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.locator("main h1:visible").count() == 1
    assert set_formulas(page) == []
    screenshot(page, name, "light")
    assert faulty_figures(page) == []
    assert violations(page) == []
    visit.check()


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_page_works_on_a_phone_and_in_the_dark(visit: Visit, name: str) -> None:
    visit.page.set_viewport_size(PHONE)
    visit.page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page = visit.open(f"{name}.html")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.locator(".kp-reveal").evaluate_all("all => all.forEach(button => button.click())")
    set_formulas(page)
    screenshot(page, name, "phone")
    assert page.evaluate(STICKING_OUT) == []
    assert page.evaluate(BEGINS_OUTSIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert violations(page) == []

    page.set_viewport_size(DESKTOP)  # the same page, to save a visit
    screenshot(page, name, "dark")
    assert violations(page) == []
    visit.check()


def test_search_finds_a_word_and_leads_to_it(visit: Visit) -> None:
    page = visit.open("search.html?q=keypoint")
    page.wait_for_selector("#search-results li a")
    assert page.locator("#search-results li").count() >= 2
    page.locator("#search-results li a").first.click()
    page.wait_for_selector("main h1:visible")
    assert "keypoint" in page.inner_text("main").lower()
    visit.check()


def test_search_opens_from_the_keyboard(visit: Visit) -> None:
    page = visit.open()
    page.keyboard.press("Control+k")
    page.wait_for_selector("dialog[open] input[type=search], .search-button__search-container.show")
    page.keyboard.type("temperature")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=temperature*")


def test_theme_switch_changes_the_page_and_is_remembered(visit: Visit) -> None:
    page = visit.open()
    seen = set()
    for _ in range(3):
        page.locator("button.theme-switch-button:visible").first.click()
        seen.add(page.evaluate("document.documentElement.dataset.mode"))
    assert seen == {"light", "dark", "auto"}
    while page.evaluate("document.documentElement.dataset.mode") != "dark":
        page.locator("button.theme-switch-button:visible").first.click()
    page = visit.open("book/notation.html")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.parametrize("name", [name for name in PAGES if (ROOT / f"{name}.ipynb").is_file()])
def test_bookkeeping_is_folded_and_one_key_away(visit: Visit, name: str) -> None:
    """Which cells, and what they are called, is decided in clean_notebooks.py."""
    cells = [c for c in notebooks.cells(Path(name).name) if c["cell_type"] == "code"]
    folded = [c["source"] for c in cells if "hide-input" in c["metadata"]["tags"]]
    titles = [source.splitlines()[0].removeprefix("# @title ") for source in folded]
    page = visit.open(f"{name}.html")
    page.locator(".kp-reveal").evaluate_all("all => all.forEach(button => button.click())")
    switches = page.locator(".cell details.above-input")
    said = [text.strip() for text in switches.locator("summary").all_inner_texts()]
    assert said == [f"Code: {title}" for title in titles]
    assert switches.evaluate_all("all => all.filter((d) => d.open).length") == 0
    first = switches.first
    assert not first.locator("pre").is_visible()
    first.locator("summary").press("Enter")
    assert (
        first.locator("pre").inner_text().strip() == "\n".join(folded[0].splitlines()[1:]).strip()
    )
    visit.check()


def test_front_door_leads_to_the_book(visit: Visit) -> None:
    page = visit.page
    page.goto(f"{visit.url}/")
    page.wait_for_url("**/book/index.html")
    assert page.get_attribute("html", "lang") == "en"
    visit.check()


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter_opens_in_colab_and_binder_and_downloads(site: Path, name: str) -> None:
    text = (site / f"{name}.html").read_text(encoding="utf-8")
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    place = config["repository"]["url"].split("//")[1].split("/", 1)[1]
    branch = config["repository"]["branch"]
    assert f"https://colab.research.google.com/github/{place}/blob/{branch}/{name}.ipynb" in text
    assert f"https://mybinder.org/v2/gh/{place}/{branch}" in text
    assert re.search(rf'href="[^"]*_sources/{name}\.ipynb"', text)
    assert (site / "_sources" / f"{name}.ipynb").is_file()


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pairs = dict(attrs)
        if pairs.get("id"):
            self.ids.add(str(pairs["id"]))
        if tag == "a" and pairs.get("href"):
            self.targets.append(str(pairs["href"]))
        if tag in {"script", "img", "iframe", "source", "video"} and pairs.get("src"):
            self.loads.append(str(pairs["src"]))
        if tag == "link" and pairs.get("rel") in {"stylesheet", "icon", "preload"}:
            self.loads.append(str(pairs["href"]))


def parse(path: Path) -> _Links:
    links = _Links()
    links.feed(path.read_text(encoding="utf-8"))
    return links


def test_every_link_inside_the_site_leads_somewhere(site: Path) -> None:
    pages = {path: parse(path) for path in site.rglob("*.html")}
    broken = []
    for path, links in pages.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = there / "index.html" if there.is_dir() else there
            if not there.is_file():
                broken.append(f"{path.name} -> {target}")
            elif "?" in parts.fragment:  # it sets a live figure: test_predictions.py clicks it
                continue
            elif parts.fragment and there in pages and parts.fragment not in pages[there].ids:
                broken.append(f"{path.name} -> {target} (no such place)")
    assert broken == []


def test_no_page_names_another_host_as_a_source(site: Path) -> None:
    for path in site.rglob("*.html"):
        for source in parse(path).loads:
            assert not re.match(r"(https?:)?//", source), f"{path.name} loads {source}"


def test_site_states_language_year_and_favicon(site: Path) -> None:
    text = (site / "book" / "index.html").read_text(encoding="utf-8")
    assert '<html lang="en"' in text
    assert "2026" in text
    assert re.search(r'<link rel="icon" href="[^"]*favicon.svg"', text)
    assert (site / "_static" / "favicon.svg").is_file()


def test_live_figures_are_stored_in_their_page(site: Path) -> None:
    """A page that shows a live figure carries its state and loads our loader, not a CDN's."""
    for path in (site / "book").glob("*.html"):
        text = path.read_text(encoding="utf-8")
        states = re.findall(
            r'<script type="application/vnd.jupyter.widget-state\+json">(.*?)</script>', text, re.S
        )
        if states:
            assert json.loads(states[0])["state"]
            assert "static-anywidget.js" in text
