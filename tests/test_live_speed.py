"""Live figures answer at once and pages stay light: limits on what ``live_speed.py`` measures."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import pytest
from live_speed import MOVES, SLOW, Hand, bare, on_one_core, size
from test_site import CHAPTERS, PAGES

HEIGHTS = {"01": 18_000, "02": 22_000, "03": 32_000}  # px; every other page 28,000

pytestmark = [pytest.mark.site, pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(scope="module")
def one_core(playwright: Any) -> Iterator[Any]:
    with on_one_core(playwright) as browser:
        yield browser


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_light_and_short_before_it_is_touched(
    one_core: Any, site_url: str, name: str
) -> None:
    found = size(one_core, f"{site_url}/{name}.html")
    assert found.bytes <= 1.8e6
    assert found.height_px <= HEIGHTS.get(name.removeprefix("book/")[:2], 28_000)
    if name in CHAPTERS:
        assert found.code_lines > 50
        assert found.taught_lines >= 0.6 * found.code_lines


def test_a_figure_adds_little_to_what_its_network_needs(one_core: Any, site_url: str) -> None:
    """Times are ratios to the same network on the same core without a figure.

    The best of three each: what another process takes from this core is not the figure's. The
    times themselves stand on the performance page, as recorded.
    """
    starts, runs = zip(*(bare(one_core, site_url) for _ in range(3)), strict=True)
    hands = [Hand(one_core, site_url) for _ in range(3)]
    assert min(hand.first_touch() for hand in hands) <= 1.5 * min(starts)
    assert all(hand.requests.weight() <= 4.2e6 for hand in hands)
    times = [hand.drag() for hand in hands]
    assert {len(each) for each in times} == {MOVES}
    alone = min(statistics.median(each) for each in runs)
    assert min(statistics.median(each) for each in times) <= 2.5 * alone
    assert alone > SLOW / 2 or "page" in {hand.place("rarity") for hand in hands}
