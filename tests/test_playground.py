"""The soft-argmax playground on the built page, without a kernel, used as a reader uses it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import torch
from conftest import Visit
from live import (
    VIEW,
    LiveFigure,
    caption_of_still,
    on_a_phone,
    rewritten,
    without_loader,
)

import kpbook

pytestmark = [pytest.mark.site, pytest.mark.slow]

H, W = 24, 32


def pages_with_figure(site: Path) -> list[str]:
    """Every page that stores a soft-argmax playground."""
    found = [
        path.relative_to(site).as_posix()
        for path in sorted((site / "book").glob("*.html"))
        if VIEW in (text := path.read_text(encoding="utf-8")) and "SoftArgmaxView" in text
    ]
    assert found, "no page of the book shows the playground"
    return found


class Figure(LiveFigure):
    """One playground in a browser."""

    name, grip = "soft-argmax", "blob1"

    def joint(self) -> torch.Tensor:
        return torch.tensor(self.ask("estimates")["joint"], dtype=torch.float64)

    def logits(self) -> torch.Tensor:
        return torch.tensor(self.ask("logits"), dtype=torch.float64).reshape(H, W)

    def agrees_with_kpbook(self) -> None:
        """Every number that is shown follows from the shown logits, by kpbook's own code."""
        got, a, t = self.ask("estimates"), self.logits(), self.ask("state")["temperature"]
        expected = {
            "joint": kpbook.soft_argmax(a, t),
            "separable": kpbook.soft_argmax(a, t, separable=True),
            "mode": kpbook.mode(a),
            "presence": kpbook.presence(a),
            "spread": kpbook.spread(kpbook.spatial_softmax(a, t)),
        }
        for name, value in expected.items():
            shown = torch.tensor(got[name], dtype=torch.float64)
            torch.testing.assert_close(shown, value, rtol=0, atol=1e-5, msg=name)
        for name in ("joint", "separable", "mode"):
            cells = self.at.locator(f"tr[data-row={name}] td").all_inner_texts()
            numbers = [float(text.replace("\u2212", "-")) for text in cells]
            assert numbers[:2] == pytest.approx(expected[name].tolist(), abs=0.00501)
            assert numbers[2] == pytest.approx(got["error_cells"][name], abs=0.0501)


@pytest.fixture
def figure(visit: Visit, site: Path) -> Iterator[Figure]:
    """The playground of the first page that has one; afterwards the page must have been quiet."""
    visit.page.goto(f"{visit.url}/{pages_with_figure(site)[0]}")
    yield Figure(visit.page)
    visit.check()


def cells(dx: float, dy: float) -> torch.Tensor:
    """A distance in cells as a difference of map coordinates."""
    return torch.tensor([2 * dx / (W - 1), 2 * dy / (H - 1)], dtype=torch.float64)


def test_every_page_with_a_figure_draws_it(visit: Visit, site: Path) -> None:
    for name in pages_with_figure(site):
        figure = Figure(visit.open(name))
        assert visit.page.locator(".kp-live[data-live=failed]").count() == 0
        assert visit.page.locator("[data-kp-still]").count() == 0  # its still picture is gone
        figure.agrees_with_kpbook()
        assert figure.redraw_cost() < 1
    visit.check()


def test_mouse_drag_moves_the_estimate_as_far_as_the_hand(figure: Figure) -> None:
    figure.slide("Background logit", -10)
    figure.slide("Noise, standard deviation", 0)
    before, mouse, cell = figure.joint(), figure.page.mouse, figure.ask("cell")
    x, y = figure.centre(figure.handle())
    mouse.move(x + 9, y - 7)  # a grip beside the centre must not make the blob jump
    mouse.down()
    mouse.move(x + 9 - 8 * cell, y - 7 + 5 * cell, steps=6)
    mouse.up()
    figure.settle()
    torch.testing.assert_close(figure.joint() - before, cells(-8, 5), rtol=0, atol=0.02)
    mouse.move(x - 8 * cell - 9, y + 5 * cell + 7, steps=4)  # released: it no longer follows
    figure.settle()
    torch.testing.assert_close(figure.joint() - before, cells(-8, 5), rtol=0, atol=0.02)
    figure.agrees_with_kpbook()


def test_arrow_keys_move_the_estimate_by_cells_and_the_words_follow(figure: Figure) -> None:
    figure.slide("Background logit", -10)
    figure.slide("Noise, standard deviation", 0)
    before, scrolled = figure.joint(), figure.page.evaluate("scrollY")
    status = figure.at.locator("p[role=status]")
    words = status.inner_text()
    handle = figure.handle()
    text = handle.get_attribute("aria-valuetext")
    keys = ["ArrowLeft"] * 3 + ["ArrowDown"] * 3 + ["Shift+ArrowDown", "ArrowUp"]
    for key in keys:
        handle.press(key)
    figure.settle()
    torch.testing.assert_close(figure.joint() - before, cells(-3, 7), rtol=0, atol=0.02)
    assert handle.get_attribute("aria-valuetext") != text
    x = f"{figure.joint()[0]:.2f}".replace("-", "\u2212")
    assert f"Joint estimate: x {x}" not in words
    status.filter(has_text=f"Joint estimate: x {x}").wait_for()  # once the keys have paused
    assert figure.page.evaluate("scrollY") == scrolled  # arrows move the blob, not the page


def test_tab_reaches_the_handle_and_it_says_what_it_is(figure: Figure) -> None:
    figure.at.evaluate("e => { e.tabIndex = -1; e.focus(); }")
    figure.page.keyboard.press("Tab")
    focused = "e => e.shadowRoot.activeElement?.getAttribute('aria-label')"
    assert figure.at.evaluate(focused) == "Blob 1"
    assert figure.handle().get_attribute("role") == "slider"
    assert figure.handle().get_attribute("aria-roledescription")


def test_finger_drags_the_blob_on_a_phone(browser: Any, site_url: str, site: Path) -> None:
    address = f"{site_url}/{pages_with_figure(site)[0]}"
    with on_a_phone(browser, address) as page:
        figure = Figure(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        inner = figure.at.evaluate("e => e.shadowRoot.querySelector('.figure').scrollWidth")
        assert inner <= figure.at.evaluate("e => e.clientWidth")
        figure.handle().scroll_into_view_if_needed()
        figure.slide("Background logit", -10)
        figure.slide("Noise, standard deviation", 0)
        before, cell = figure.joint(), figure.ask("cell")
        x, y = figure.centre(figure.handle())
        scrolled = page.evaluate("scrollY")
        figure.finger([(x - k * cell, y + k * cell) for k in range(7)])
        torch.testing.assert_close(figure.joint() - before, cells(-6, 6), rtol=0, atol=0.02)
        assert page.evaluate("scrollY") == scrolled  # the finger moved the blob, not the page


def test_temperature_and_relu_change_the_estimate_as_kpbook_says(figure: Figure) -> None:
    sharp = figure.joint()
    figure.slide("Temperature", 0.8)  # the slider is logarithmic: 10 ** 0.8
    assert figure.ask("state")["temperature"] == pytest.approx(10**0.8, rel=0.01)
    figure.agrees_with_kpbook()
    assert figure.joint().norm() < 0.6 * sharp.norm()  # warmer: towards the centre
    figure.slide("Temperature", 0)
    figure.at.get_by_label("ReLU before the softmax").check()
    figure.settle()
    figure.agrees_with_kpbook()
    assert figure.logits().min() == 0
    assert figure.joint().norm() < 0.9 * sharp.norm()


def test_a_constant_added_to_every_logit_moves_nothing(figure: Figure) -> None:
    before, presence = figure.joint(), figure.ask("estimates")["presence"]
    figure.slide("Added to every logit", 3.5)
    torch.testing.assert_close(figure.joint(), before, rtol=0, atol=1e-9)
    assert figure.ask("estimates")["presence"] > presence


def test_two_equal_blobs_put_the_estimate_in_the_middle(figure: Figure) -> None:
    assert figure.handle("blob2").is_hidden()
    figure.slide("Noise, standard deviation", 0)
    figure.at.get_by_label("Second blob").check()
    figure.slide("Blob 1, peak logit", 6)
    figure.slide("Blob 2, peak logit", 6)
    blobs = figure.ask("state")["blobs"]
    middle = torch.tensor([(blobs[0][c] + blobs[1][c]) / 2 for c in "xy"], dtype=torch.float64)
    torch.testing.assert_close(figure.joint(), middle, rtol=0, atol=0.02)
    figure.agrees_with_kpbook()
    figure.handle("blob2").press("Shift+ArrowRight")
    figure.settle()
    torch.testing.assert_close(figure.joint(), middle + cells(2.5, 0), rtol=0, atol=0.02)
    figure.slide("Blob 2, peak logit", 4)  # two logits lower: about e^2 times less mass
    assert (figure.joint() - middle - cells(2.5, 0)).norm() > 0.2


def test_reset_restores_the_first_view(figure: Figure) -> None:
    first = figure.ask("estimates")
    figure.handle().press("Shift+ArrowLeft")
    figure.slide("Temperature", 1)
    figure.at.get_by_label("Second blob").check()
    figure.at.get_by_role("button", name="New noise").click()
    figure.settle()
    assert figure.ask("estimates") != first
    figure.reset()
    assert figure.ask("estimates") == first
    assert not figure.at.get_by_label("Second blob").is_checked()


def test_copied_link_reproduces_the_view(figure: Figure) -> None:
    figure.at.get_by_label("Second blob").check()
    figure.handle("blob2").press("ArrowUp")
    figure.slide("Temperature", -0.37)
    figure.slide("Noise, standard deviation", 1.15)
    figure.at.get_by_role("button", name="New noise").click()
    figure.at.get_by_label("logits", exact=True).check()
    figure.settle()
    seen = [figure.ask("state"), figure.ask("estimates")]
    again = figure.opened(figure.copied_link())
    assert [again.ask("state"), again.ask("estimates")] == seen


def test_a_broken_link_still_gives_a_figure(visit: Visit, site: Path) -> None:
    junk = "blob1=a,,&temperature=-3&noise=1e999&relu=maybe&show=" + quote("<b>")
    figure = Figure(visit.open(f"{pages_with_figure(site)[0]}#soft-argmax?{junk}"))
    figure.agrees_with_kpbook()
    visit.check()


def test_dark_theme_repaints_the_canvas_and_stays_accessible(figure: Figure) -> None:
    corner = """e => { const c = e.shadowRoot.querySelector('canvas');
        const p = c.getContext('2d').getImageData(40, 30, 1, 1).data;
        return (p[0] + p[1] + p[2]) / 3; }"""
    shades = {}
    figure.at.get_by_label("Second blob").check()
    for theme in ("light", "dark"):
        assert figure.violations(theme) == []
        shades[theme] = figure.at.evaluate(corner)
    assert shades["light"] > 200
    assert shades["dark"] < 80


def test_several_views_on_one_page_share_the_model(visit: Visit, site: Path) -> None:
    name = pages_with_figure(site)[0]

    def twice(text: str) -> str:
        start = text.index(f'<script type="{VIEW}">')
        end = text.index("</script>", start) + len("</script>")
        return text[:end] + text[start:end] + text[end:]

    rewritten(visit, name, twice)
    page = visit.open(name)
    one, two = Figure(page), Figure(page, "soft-argmax-2")
    two.handle().press("Shift+ArrowLeft")
    two.settle()
    assert one.ask("estimates") == two.ask("estimates")
    assert one.violations("light") == two.violations("light") == []
    visit.check()


@pytest.mark.parametrize("damage", ["no state", "broken module", "no loader"])
def test_where_the_figure_cannot_start_a_picture_and_a_sentence_stay(
    visit: Visit, site: Path, damage: str
) -> None:
    name = pages_with_figure(site)[0]
    change = {
        "no state": lambda text: text.replace('"still_id"', '"still_id', 1),
        "broken module": lambda text: text.replace("export default", "export defect"),
        "no loader": without_loader,
    }[damage]
    rewritten(visit, name, change)
    page = visit.open(name)
    assert "A still picture of a live figure" in caption_of_still(page)
    assert page.locator("[id^=soft-argmax][data-ready]").count() == 0
    if damage != "no loader":
        assert "could not start" in page.locator(".kp-live").first.inner_text()
        assert not visit.foreign
