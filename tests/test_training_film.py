"""Training, replayed: the recording, the class alone, and the figure on the built page."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, Visit
from live import KIB, LiveFigure, in_node

import kpbook
from kpbook import runs, zoo
from kpbook.grid import to_pixels
from kpbook.images import resize, to_float
from kpbook.metric import THRESHOLD_OF
from kpbook.recordings.training_film import DRAWN, LEVEL
from kpbook.recordings.training_film import TrainingFilm as Replay
from kpbook.sweep import film, plan
from kpbook.sweep.work import train
from kpbook.widgets import TrainingFilm

PAGE = "book/03_spatial_autoencoders.html"
OBJECTS = ("cube", "target", "end effector")
site_test = pytest.mark.site


@pytest.fixture(scope="module")
def replay() -> Replay:
    return Replay.sample()


def marks_of(replay: Replay) -> np.ndarray:
    """Where the metric's maps put the objects, image coordinates ``(C, F, K, 2)``."""
    points = replay.points.astype(np.float64)
    where = np.take_along_axis(points, replay.keypoint[:, None, :, None], axis=2)
    return np.einsum("ckij,cfkj->cfki", replay.linear, where) + replay.offset[:, None]


def off_px(replay: Replay) -> np.ndarray:
    """Distance of those marks from the truth, pixels ``(C, F, K)``."""
    H, W = replay.frames.shape[1:3]
    gap = to_pixels(marks_of(replay), (H, W)) - to_pixels(replay.truth, (H, W))
    return np.asarray(np.linalg.norm(gap, axis=-1))


# -- the recording -----------------------------------------------------------------------------


def test_the_run_is_the_shipped_one_and_its_curve_the_recorded_one(replay: Replay) -> None:
    assert replay.run == zoo.shipped.entry_of("rarity")["record"]
    recorded = runs.load(ROOT / "book" / "results" / "recipe" / f"{replay.run}.json")
    at = {int(step): c for c, step in enumerate(replay.steps)}
    assert len(recorded.results) == 10
    for row in recorded.results:
        c = at[row["step"]]
        assert row["images"] == replay.seen[c]
        for part in ("error", "r2"):
            told = [row[f"{part}/{name}"] for name in replay.objects]
            np.testing.assert_allclose(getattr(replay, part)[c], told, rtol=1e-6)


def test_the_last_checkpoint_is_the_shipped_network(replay: Replay) -> None:
    network, images = kpbook.load("rarity"), to_float(replay.frames)
    with torch.no_grad():
        points, heat, drawn = (f(images) for f in (network, network.heatmaps, network.reconstruct))
    np.testing.assert_allclose(replay.points[-1], points, atol=1e-5)
    heat = heat[:, replay.keypoint[-1]]
    shade = (heat / heat.amax((-2, -1), keepdim=True)).sqrt()
    np.testing.assert_allclose(replay.heat[-1] / 255, shade, atol=0.5 / 255 + 1e-4)
    small = 255 * resize(drawn.clamp(0, 1), (DRAWN, DRAWN)).movedim(1, -1)
    np.testing.assert_allclose(replay.drawn[-1], small, atol=LEVEL / 2 + 0.6)  # rounded twice


def test_the_first_checkpoint_is_not(replay: Replay) -> None:
    """The comparison above can fail."""
    assert replay.steps[0] == 0
    assert np.abs(replay.points[0] - replay.points[-1]).max() > 0.5
    assert (replay.error[0] > [THRESHOLD_OF[name] for name in replay.objects]).all()


def test_the_looks_are_densest_where_errors_fall(replay: Replay) -> None:
    gaps = np.diff(replay.steps)
    assert (gaps > 0).all()
    assert gaps[0] * 20 <= gaps[-1]
    fall = np.abs(np.diff(np.log(replay.error[:, :2]), axis=0)).max(axis=1)
    assert np.log(3) > fall.max()  # no error falls to a third between two looks


def test_the_frames_show_different_cubes_and_one_has_the_hand_near(replay: Replay) -> None:
    cube, hand = (replay.truth[:, replay.objects.index(name)] for name in ("cube", "end_effector"))
    assert len(replay.frames) == 4
    gaps = np.linalg.norm(cube[:, None] - cube, axis=-1)
    assert gaps[~np.eye(4, dtype=bool)].min() > 0.2
    near = np.linalg.norm(cube - hand, axis=-1)
    assert near.argmin() == 0
    assert near[0] < 0.25
    assert np.abs(replay.truth).max() < 0.9


def test_it_saves_and_loads_and_is_refused_when_damaged(replay: Replay, tmp_path: Path) -> None:
    path = replay.save(tmp_path / "one.kpe")
    again = Replay.load(path)
    for field in dataclasses.fields(Replay):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(replay, field.name))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"one\.kpe: got \d+ bytes that do not match"):
        Replay.load(path)


def test_the_file_that_ships_is_small() -> None:
    assert (ROOT / "kpbook" / "data" / "training_film.kpe").stat().st_size < 130 * KIB


SMALL = """
data: sample
split: {train: 12, validation: 60}
runs:
  - {name: small, architecture: rarity, seeds: [2], steps: 4, every: 2, schedule: one-cycle}
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of one run of four steps; returns its record's path."""
    folder = tmp_path_factory.mktemp("sweep")
    config = folder / "small.yml"
    config.write_text(SMALL)
    (job,) = plan.read(config)
    train(job, folder)
    return folder / f"{job.name}.json"


@pytest.mark.slow
def test_a_run_is_repeated_from_its_record_although_it_is_looked_at_more_often(small: Path) -> None:
    taken = film.take(small, steps=(0, 1, 2, 3, 4))
    record = runs.load(small)
    assert taken.seen.tolist() == [0, 33, 66, 99, 132]
    for row, c in zip(record.results, (2, 4), strict=True):
        told = [row[f"error/{name}"] for name in taken.objects]
        np.testing.assert_allclose(taken.error[c], told, rtol=1e-6)
    trained = zoo.load_file(small.with_suffix(".safetensors"))
    with torch.no_grad():
        np.testing.assert_allclose(taken.points[4], trained(to_float(taken.frames)), atol=1e-5)
    assert np.abs(taken.points[4] - taken.points[3]).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("what", ["errors", "episodes"])
def test_a_run_that_does_not_repeat_is_refused(small: Path, what: str, tmp_path: Path) -> None:
    content = json.loads(small.read_text())
    if what == "errors":
        content["results"][0]["error/target"] *= 1.001
        message = r"small-s2: got an error of .* for target after step 2, expected .* as recorded"
    else:
        content["config"]["validate"] = "0" * 16
        message = "episodes: got others, expected those of small-s2"
    (tmp_path / small.name).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        film.take(tmp_path / small.name, steps=(0, 2))


# -- the class ---------------------------------------------------------------------------------

UNPACK = """
const { about, packed, states } = data;
const found = await figure.unpack(Buffer.from(packed, "base64"), about);
const parts = Object.fromEntries(Object.entries(found).map(([name, a]) => [name, Array.from(a)]));
answer = { parts, marks: states.map((state) => figure.marksAt(found, about, state)) };
"""


def test_the_page_unpacks_what_python_packed_and_puts_marks_where_the_metric_does(
    replay: Replay,
) -> None:
    figure, H = TrainingFilm(), replay.frames.shape[1]
    cases = [(c, f) for c in (0, 7, len(replay) - 1) for f in range(len(replay.frames))]
    data = {
        "about": figure.about,
        "packed": base64.b64encode(figure.packed).decode(),
        "states": [{"checkpoint": c, "frame": f, "object": "cube"} for c, f in cases],
    }
    answer = in_node(UNPACK, data, figure="training_film_state")
    for name in ("points", "frames", "heat", "drawn"):
        expected = getattr(replay, name)
        found = np.array(answer["parts"][name], dtype=np.float64).reshape(expected.shape)
        np.testing.assert_array_equal(found, expected.astype(np.float64), err_msg=name)
    expected, off = to_pixels(marks_of(replay), H), off_px(replay)
    for (c, f), marks in zip(cases, answer["marks"], strict=True):
        for k in range(len(OBJECTS)):
            np.testing.assert_allclose(marks[k]["said"], expected[c, f, k], atol=1e-9)
            np.testing.assert_allclose(marks[k]["off"], off[c, f, k], atol=1e-9)


def test_what_the_prompt_says_to_notice_happens(replay: Replay) -> None:
    mu = np.array([THRESHOLD_OF[name] for name in replay.objects])
    lost = [np.flatnonzero(replay.error[:, k] > mu[k]).max() for k in range(3)]
    assert (np.diff(lost) > 0).all()  # found one after the other: cube, target, end effector
    assert max(lost) < len(replay) - 1
    first = TrainingFilm()
    begin, end = off_px(replay)[0, first.frame], off_px(replay)[-1]
    assert begin[:2].min() > 3
    assert end[:, :2].max() < 1  # pixels: on their crosses
    assert end[:, 2].min() > 1
    assert end[:, 2].max() < 5


@pytest.mark.parametrize(
    ("traits", "message"),
    [
        ({"checkpoint": 99}, r"checkpoint: got 99, .* There are 27, from 0 on"),
        ({"checkpoint": -1}, "checkpoint: got -1, expected at least 0"),
        ({"frame": 4}, r"frame: got 4, .* There are 4, from 0 on"),
        ({"object": "arm"}, "object: got 'arm', expected one of 'cube', 'target', 'end effector'"),
    ],
)
def test_bad_traits_are_refused_with_a_message_that_teaches(
    traits: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingFilm(**traits)


def test_the_still_says_what_it_shows_without_script(replay: Replay) -> None:
    still = TrainingFilm(checkpoint=len(replay) - 1).still()
    assert "<script" not in still
    assert "after 1350 of 1350 steps" in still
    said = still.partition("<figcaption>")[2]
    assert said.count("(tracked)") == 3
    u, v = to_pixels(marks_of(replay)[-1, 1, 0], 64) + 0.5
    assert f'<circle cx="{u:.2f}" cy="{v:.2f}"' in still
    assert TrainingFilm().still().partition("<figcaption>")[2].count("(not tracked)") == 3


# -- the built page ----------------------------------------------------------------------------


class Figure(LiveFigure):
    """The figure in a browser, held against the recording."""

    name, grip = "training-replayed", "checkpoint"

    def place(self, checkpoint: int) -> float:
        """Pixels from the chart's left edge."""
        return float(self.at.evaluate(f"e => e.kpbook.place({checkpoint})"))

    def state(self) -> tuple[int, int, str]:
        state = self.ask("state")
        return state["checkpoint"], state["frame"], state["object"]

    def press(self, *keys: str) -> None:
        for key in keys:
            self.handle().press(key)
        self.settle()

    def agrees_with(self, replay: Replay) -> None:
        """Every number that is shown is the recording's: marks and points, table and words."""
        self.settle()
        c, f, _ = self.state()
        np.testing.assert_allclose(self.ask("points"), replay.points[c, f], atol=1e-7)
        np.testing.assert_allclose(self.ask("errors"), replay.error[c], rtol=1e-12)
        off = off_px(replay)[c, f]
        for k, name in enumerate(OBJECTS):
            assert self.ask("marks")[name]["off"] == pytest.approx(off[k], abs=1e-6)
            row = self.at.locator(f"tr[data-row='{name}'] td").all_inner_texts()
            error, tracked = replay.error[c, k], THRESHOLD_OF[replay.objects[k]]
            assert int(row[0]) == replay.keypoint[c, k]
            assert float(row[1]) == pytest.approx(error, rel=0.051)
            assert row[2] == ("yes" if error <= tracked else "no")
            assert float(row[3]) == pytest.approx(off[k], abs=0.0501)
        assert self.handle().get_attribute("aria-valuenow") == str(c)


@pytest.fixture
def live(visit: Visit) -> Iterator[Figure]:
    visit.page.goto(f"{visit.url}/{PAGE}")
    yield Figure(visit.page)
    visit.check()


@site_test
@pytest.mark.slow
def test_the_handle_s_keys_go_through_the_run(live: Figure, replay: Replay) -> None:
    last = len(replay) - 1
    assert live.state() == (0, 1, "cube")
    live.agrees_with(replay)
    for key, expected in (
        ("ArrowRight", 1), ("ArrowUp", 2), ("Shift+ArrowRight", 7), ("ArrowLeft", 6),
        ("End", last), ("ArrowRight", last), ("ArrowDown", last - 1), ("Home", 0),
    ):  # fmt: skip
        live.press(key)
        assert live.state()[0] == expected, key
        live.agrees_with(replay)


@site_test
@pytest.mark.slow
def test_a_drag_in_the_chart_finds_the_objects_one_after_the_other(
    live: Figure, replay: Replay
) -> None:
    at = [int(np.flatnonzero(replay.steps == step)[0]) for step in (0, 50, 225, 1350)]
    x, y = live.centre(live.handle())
    x += 6  # a grip off the centre
    live.page.mouse.move(x, y)
    live.page.mouse.down()
    tracked = []
    for c in at[1:]:
        live.page.mouse.move(x + live.place(c) - live.place(0), y + 30, steps=5)
        live.agrees_with(replay)
        assert live.state()[0] == c
        tracked.append(live.at.locator("td.yes").count())
    live.page.mouse.up()
    assert tracked == [1, 2, 3]
    words = live.words()
    assert words.startswith("Step 1,350, 44,550 images of 44,550. Tracked: cube, target, end eff")


@site_test
@pytest.mark.slow
def test_a_click_in_the_chart_and_the_slider_go_there(live: Figure, replay: Replay) -> None:
    live.at.locator(".chart canvas").click(position={"x": live.place(12) + 1, "y": 120})
    assert live.state()[0] == 12
    live.agrees_with(replay)
    slider = live.at.get_by_label("Checkpoint", exact=True)
    assert slider.input_value() == "12"
    slider.press("ArrowRight")
    assert live.state()[0] == 13
    live.agrees_with(replay)


@site_test
@pytest.mark.slow
def test_frame_and_heat_map_are_chosen(live: Figure, replay: Replay) -> None:
    pixels = "e => [...e.shadowRoot.querySelectorAll('canvas')].map((c) => c.toDataURL())"
    live.press("End")
    before = live.at.evaluate(pixels)
    live.at.get_by_label("Heat map of the keypoint that is best for").select_option("target")
    live.settle()
    changed = [a != b for a, b in zip(before, live.at.evaluate(pixels), strict=True)]
    assert changed == [True, True, False, False]  # frame (the chosen dot), heat map
    keypoint = replay.keypoint[-1, 1]
    caption = live.at.locator("figcaption").first.inner_text()
    assert caption == f"Heat map of keypoint {keypoint}, now the best for the target"
    live.at.get_by_label("Frame, of episodes").select_option("3")
    assert live.state() == (len(replay) - 1, 3, "target")
    live.agrees_with(replay)


@site_test
@pytest.mark.slow
def test_play_goes_through_the_run_and_can_be_stopped(live: Figure, replay: Replay) -> None:
    live.page.emulate_media(reduced_motion="no-preference")
    live.button("Play").click()
    live.page.wait_for_function(
        "document.querySelector('#training-replayed').kpbook.state().checkpoint >= 3"
    )
    assert live.at.locator(".words").get_attribute("aria-live") == "off"
    live.button("Stop").click()
    stopped = live.state()[0]
    live.page.wait_for_timeout(1600)
    assert live.state()[0] == stopped
    assert live.at.locator(".words").get_attribute("aria-live") == "polite"
    for before in (2, 1):  # at the end it stops by itself, also if the first step leads there
        live.press("End", *["ArrowLeft"] * before)
        live.button("Play").click()
        live.page.wait_for_timeout(1600)
        live.button("Play").wait_for()
        assert live.state()[0] == len(replay) - 1
    live.press("Home")
    live.button("Play").click()
    live.press("ArrowRight")  # a hand takes over
    assert live.button("Play").is_visible()


@site_test
@pytest.mark.slow
def test_with_reduced_motion_play_is_one_step_a_press(live: Figure, replay: Replay) -> None:
    live.button("Next checkpoint").click()
    live.page.wait_for_timeout(1600)
    assert live.state()[0] == 1
    live.press("End")
    live.button("Next checkpoint").click()
    assert live.state()[0] == 0
    assert live.button("Play").count() == 0
    live.agrees_with(replay)


@site_test
@pytest.mark.slow
def test_reset_and_link_bring_a_view_back(live: Figure) -> None:
    first = live.state()
    live.press("Shift+ArrowRight")
    live.at.get_by_label("Heat map of the keypoint that is best for").select_option("end effector")
    live.at.get_by_label("Frame, of episodes").select_option("2")
    changed = live.state()
    assert changed == (5, 2, "end effector")
    link = live.copied_link()
    live.reset()
    assert live.state() == first
    assert live.opened(link).state() == changed


@site_test
@pytest.mark.slow
def test_a_link_that_makes_no_sense_gives_a_view(visit: Visit) -> None:
    visit.page.goto(f"{visit.url}/{PAGE}#training-replayed?checkpoint=9e9&frame=x&object=arm")
    figure = Figure(visit.page)
    assert figure.state() == (len(Replay.sample()) - 1, 0, "cube")
    visit.check()
