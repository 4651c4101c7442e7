"""Judge it: its numbers against kpbook's, the class alone, and the figure on the built page."""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Visit
from live import (
    KIB,
    LiveFigure,
    in_node,
    node,
    on_a_phone,
    size_of,
)
from toy_extractor import Toy

import kpbook
from kpbook.episodes import Episodes
from kpbook.extractors.registry import build
from kpbook.judge import by_halves, judge, keypoints
from kpbook.metric import THRESHOLDS, tracking_capability, tracking_error
from kpbook.recorded import Sweep
from kpbook.widgets import JudgeIt, judge_it

PAGE = "book/judge_your_own.html"  # the whole figure
CHAPTER = "book/04_tracking_metric.html"  # its parts
PARTS = {"map": "judging", "threshold": "judging-2", "fit": "judging-3"}  # and their names there
RESULTS = ROOT / "book" / "results"
KEYNET = "keynet-quarter-vel-std-bg"
SAME = 1e-6  # the page's numbers and kpbook's
site_test = pytest.mark.site
evaluate = functools.partial(in_node, tracking="tracking", judge_state="judge_state")


@pytest.fixture(scope="module")
def figure() -> JudgeIt:
    return JudgeIt(results=RESULTS)


def packed(figure: JudgeIt) -> dict[str, Any]:
    """What the page holds, for ``evaluate``."""
    return {
        "packed": base64.b64encode(figure.packed).decode(),
        "about": figure.about,
        "networks": figure.networks,
        "recorded": figure.recorded,
    }


UNPACK = """
const counts = data.networks.map((n) => n.keypoints);
const held = await judge_state.unpack(Buffer.from(data.packed, "base64"), data.about, counts);
const framesFor = (fit, in_view, k) => {
  const { about: { H, W }, about } = data;
  return { ...judge_state.framesOf({ fit, in_view }, k, held.seen, about), H, W };
};
"""


# -- the same numbers in the page and in kpbook ------------------------------------------------


def awkward() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keypoints that are hard to fit ``(T, N, 2)``, objects ``(T, 3, 2)`` and their episodes."""
    rng = np.random.default_rng(0)
    T, episode = 240, np.repeat(range(12), 20)
    y = 0.1 + 0.3 * rng.normal(size=(T, 3, 2))
    y[:, 1] = rng.normal(size=(12, 2))[episode]  # stands still within episodes
    y[:, 2] = 0.25  # never moves
    line = rng.normal(size=T)
    z = rng.normal(size=(T, 10, 2)) * [0.3, 0.1]
    z[:, 0] = y[:, 0] @ np.array([[1, 0.3], [-0.2, 0.8]]) + 0.05 * rng.normal(size=(T, 2))
    z[:, 1] = 0.37  # constant
    z[:, 2, 1] = -0.2  # one coordinate constant
    z[:, 3] = np.stack([0.1 + 0.3 * line, 0.5 - 0.2 * line], axis=-1)  # collinear
    z[:, 4] = np.stack([0.1 + 0.3 * y[:, 0, 0], 0.5 - 0.2 * y[:, 0, 0]], axis=-1)
    z[:, 5, 1] = z[:, 5, 0] + 1e-5 * y[:, 0, 1]  # all but collinear, and the rest matters
    z[:, 6] = 0.5 + 1e-7 * z[:, 6]  # small motion
    z[:, 7] = y[:, 1]  # constant within episodes
    z[:, 8] = y[:, 0]  # perfect
    z[:, 9] = 0.7 + 2.0**-53 * rng.integers(0, 4, (T, 2))  # rounding, no motion
    return z, y, episode


def by_kpbook(
    z: np.ndarray, y: np.ndarray, fit: np.ndarray, scored: np.ndarray, episode: np.ndarray
) -> list[list[list[float]]]:
    """Error of the fit, error, R², pixels, error and R² within: of every (keypoint, object)."""
    rows = []
    for n in range(z.shape[1]):
        row = []
        for k in range(y.shape[1]):
            f, s = fit[:, k], scored[:, k]
            one = slice(n, n + 1), slice(k, k + 1)
            parts = z[s][:, one[0]], y[s][:, one[1]], z[f][:, one[0]], y[f][:, one[1]]
            r = tracking_error(*parts, episode=episode[s])
            plain = r.error, r.r2, r.rms_px(64), r.within, r.within_r2
            row.append([r.fit_error[0, 0], *(number[0] for number in plain)])
        rows.append(row)
    return rows


NUMBERS = "(p) => [p.fitError, p.error, p.r2, p.px, p.within, p.withinR2]"


def test_hard_pairs_are_judged_as_kpbook_does() -> None:
    """Catches: no pseudo-inverse, a still object that is followed perfectly, rounding as motion."""
    z, y, episode = awkward()
    fit = np.arange(240) < 120
    script = f"""
    const track = (x, n) => [0, 1].map((c) => Float64Array.from(x, (row) => row[n][c]));
    const frames = {{ fit: data.fit, scored: data.scored, episode: data.episode, H: 64, W: 64 }};
    const numbers = {NUMBERS};
    answer = data.z[0].map((_, n) => data.y[0].map((_, k) => {{
      const pair = [track(data.z, n), track(data.y, k), frames];
      return numbers({{ ...tracking.judgePair(...pair), ...tracking.judgeWithin(...pair) }});
    }}))"""
    data = {
        "z": z.tolist(), "y": y.tolist(), "fit": np.flatnonzero(fit).tolist(),
        "scored": np.flatnonzero(~fit).tolist(), "episode": episode[~fit].tolist(),
    }  # fmt: skip
    got = np.array(evaluate(script, data), dtype=float)
    rows = np.repeat(fit[:, None], 3, axis=1)
    want = np.array(by_kpbook(z, y, rows, ~rows, episode))
    np.testing.assert_allclose(got, want, rtol=0, atol=SAME)
    assert np.isnan(want[:, 1:, 4:]).all()  # within: they stand still
    assert np.isnan(want[:, 2, 2]).all()  # R² of the object that never moves
    assert np.isfinite(want[:, 0]).all()


@pytest.mark.slow
@pytest.mark.parametrize("in_view", [False, True])
@pytest.mark.parametrize("where", ["other", "same"])
def test_every_pair_of_the_recording_is_judged_as_kpbook_does(
    figure: JudgeIt, where: str, in_view: bool
) -> None:
    script = (
        UNPACK
        + f"""
    const numbers = {NUMBERS};
    answer = held.tracks.slice(1).map((points) => points.map((z) => held.tracks[0].map((y, k) => {{
      const pair = [z, y, framesFor({json.dumps(where)}, {json.dumps(in_view)}, k)];
      return numbers({{ ...tracking.judgePair(...pair), ...tracking.judgeWithin(...pair) }});
    }})))"""
    )
    found = evaluate(script, packed(figure))
    flat = figure.recording.flat()
    counts = flat.visible if in_view else np.ones_like(flat.visible)
    second = (flat.episode >= judge_it.EPISODES)[:, None]
    scored = counts & second
    fit = scored if where == "same" else counts & ~second
    for got, z in zip(found, figure.points.values(), strict=True):
        want = np.array(by_kpbook(z, flat.truth, fit, scored, flat.episode))
        np.testing.assert_allclose(np.array(got, dtype=float), want, rtol=0, atol=SAME)


def test_the_page_chooses_the_keypoints_and_finds_the_errors_of_judge(figure: JudgeIt) -> None:
    script = (
        UNPACK
        + """
    answer = held.tracks.slice(1).map((points) => held.tracks[0].map((y, k) =>
      ["other", "same"].map((fit) => [false, true].map((inView) => {
        const { pairs, best } = judge_state.judgeAll(points, y, framesFor(fit, inView, k));
        return [best, pairs[best].error, pairs[best].r2];
      }))))"""
    )
    found = evaluate(script, packed(figure))
    for got, verdict in zip(found, figure.verdicts.values(), strict=True):
        for k in range(3):
            (other, in_view), (same, _) = got[k]
            for numbers, r in (
                (other, verdict.tracking),
                (in_view, verdict.in_view),
                (same, verdict.same_frames),
            ):
                assert numbers[0] == r.keypoint[k]
                assert numbers[1:] == pytest.approx([r.error[k], r.r2[k]], abs=SAME)


@pytest.mark.parametrize("mu", [THRESHOLDS, (0.0013, 0.004, 0.0703613), (0.05, 0.05, 1.0)])
def test_capability_over_recorded_runs_is_that_of_kpbook(
    figure: JudgeIt, mu: tuple[float, ...]
) -> None:
    script = """
    answer = Object.values(data.errors).map((errors) => tracking.capabilityOf(errors, data.mu))"""
    errors = figure.recorded["errors"]
    assert len(errors) > 10
    found = evaluate(script, {"errors": errors, "mu": mu})
    for got, runs in zip(found, errors.values(), strict=True):
        overall, each = tracking_capability(np.array(runs, dtype=float), mu)
        assert got["runs"] == len(runs)
        assert got["overall"] == pytest.approx(overall, abs=1e-12)
        assert np.divide(got["hits"], len(runs)) == pytest.approx(each, abs=1e-12)


def test_all_keypoints_are_judged_anew_within_a_million_roots(figure: JudgeIt) -> None:
    """Both in one run, times of the processor: a slow or busy machine says the same."""
    script = (
        UNPACK
        + """
    const [truth, points] = held.tracks;
    const again = () => judge_state.judgeAll(points, truth[0], framesFor("other", false, 0));
    let sum = 0;
    const roots = () => { for (let i = 0; i < 1e6; i++) sum += Math.sqrt(i); };
    const cost = (what) => {
        for (let i = 0; i < 30; i++) what();
        const start = process.cpuUsage().user;
        for (let i = 0; i < 100; i++) what();
        return process.cpuUsage().user - start; };
    answer = cost(again) / cost(roots)"""
    )
    assert evaluate(script, packed(figure)) < 1


# -- the class ---------------------------------------------------------------------------------


def test_the_page_unpacks_what_python_packed(figure: JudgeIt) -> None:
    script = (
        UNPACK
        + """
    const tracks = held.tracks.map((points) => points.map((track) => track.map((c) => [...c])));
    const last = [...held.pictures.slice(-4096)].map((i) => held.palette[3 * i + 1]);
    answer = { tracks, seen: [...held.seen], last }"""
    )
    got = evaluate(script, packed(figure))
    tracks = [np.array(t).transpose(2, 0, 1) for t in got["tracks"]]
    flat = figure.recording.flat()
    for track, want in zip(tracks, [flat.truth, *figure.points.values()], strict=True):
        np.testing.assert_array_equal(track, want)
    assert got["seen"] == flat.visible.astype(int).ravel().tolist()
    green = figure.recording.images[-1, -1, 0, ..., 1].ravel().astype(int)
    assert 0 <= (green - got["last"]).min() <= (green - got["last"]).max() < 8  # 32 shades


def test_rounded_positions_are_judged_as_those_that_were_given(figure: JudgeIt) -> None:
    episodes = judge_it._episodes()
    assert np.abs(figure.recording.truth - episodes.truth).max() < 1e-4
    for name, verdict in figure.verdicts.items():
        given = by_halves(keypoints(kpbook.load(name), episodes), episodes.flat())
        assert verdict.tracking.keypoint.tolist() == given.keypoint.tolist()
        np.testing.assert_allclose(verdict.tracking.error, given.error, atol=2e-5)
        np.testing.assert_allclose(verdict.tracking.r2, given.r2, atol=2e-4)


def test_rounding_keeps_what_stands_still_and_small_motions() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (50, 4, 2))
    x[:, 1] = 0.3
    x[:, 2] = 0.3 + 1e-8 * rng.normal(size=(50, 2))  # float32's own rounding: no motion
    x[:, 3] = 0.3 + 1e-3 * rng.normal(size=(50, 2))
    _, y = judge_it._rounded(x, 2047)
    assert np.ptp(y[:, 1:3], axis=0).max() == 0
    assert np.abs(y - x).max(axis=0) == pytest.approx(0, abs=2 / 2047)
    assert np.abs(y[:, 3] - x[:, 3]).max() < 1e-3 * 8 / 2047


def test_episodes_are_held_out_and_the_cube_moves_in_all_of_them(figure: JudgeIt) -> None:
    train, _ = Episodes.sample().split((240, 60), seed=0)
    seeds = figure.recording.seeds.tolist()
    assert len(set(seeds)) == 2 * judge_it.EPISODES
    assert not set(seeds) & set(train.seeds.tolist())
    cube = figure.recording.truth[:, :, 0, 0]
    assert np.ptp(cube, axis=1).max(axis=1).min() > 4 / 31.5  # pixels of 64


def test_the_rivals_table_is_what_judge_says(figure: JudgeIt) -> None:
    for about, (name, z) in zip(figure.networks, figure.points.items(), strict=True):
        verdict = judge(z, figure.recording, name=name)
        row, by_object = verdict.row(), verdict.rows()
        assert about["name"] == name
        for line in about["metrics"]:
            metric = re.sub(r" frames?$", "", line["metric"])
            assert line["all"] == row[metric]
            if line["objects"]:
                assert line["objects"] == [r[metric] for r in by_object]
        metrics = [line["metric"] for line in about["metrics"]]
        assert {"R², all keypoints", "PCK", "precision over 1 frame", "recall over 20 frames"} <= {
            *metrics
        }


def test_recorded_runs_are_those_of_the_book(figure: JudgeIt) -> None:
    errors, groups = figure.recorded["errors"], figure.recorded["groups"]
    sweep = Sweep.read("recipe", RESULTS)
    assert len(errors["rarity"]) == sweep.seeds("rarity")
    column = [run[2] for run in errors["rarity"]]
    assert column == sweep.column("rarity", "error", "end_effector").tolist()
    assert all("rarity" in runs for runs in groups.values())
    assert list(groups) == ["networks", "ablation", "scenes"]
    assert all(runs[-1] == "rarity" for runs in groups.values())  # the words count the last one's


def test_a_constant_on_the_recipe_s_episodes_is_told_by_all_its_runs(figure: JudgeIt) -> None:
    """1 - e / v = R² with one v for each object, whichever run is asked."""
    sweep = Sweep.read("recipe", RESULTS)
    for obj, still in zip(figure.recording.objects, figure.recorded["still"], strict=True):
        error, r2 = (sweep.column("rarity", name, obj) for name in ("error", "r2"))
        np.testing.assert_allclose(1 - error / still, r2, atol=1e-4)


@pytest.mark.slow
def test_without_recorded_runs_there_is_a_figure_without_them(tmp_path: Path) -> None:
    figure = JudgeIt("rarity", results=tmp_path)
    assert figure.recorded == {"errors": {}, "groups": {}, "still": []}
    assert figure.networks[0]["chosen"] == figure.verdicts["rarity"].tracking.keypoint.tolist()


@pytest.mark.slow
def test_a_network_that_was_just_trained_can_be_judged() -> None:
    figure = JudgeIt(build("basic-quarter").eval(), object="target", results=RESULTS)
    assert figure.network == "basic-quarter"
    assert figure.networks[0]["keypoints"] == 16
    assert not figure.verdicts["basic-quarter"].tracked[:2].any()  # as good as untrained


def test_a_network_for_other_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"networks: got toy for images of \(20, 28\)"):
        JudgeIt(Toy().eval())


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("network", "none", "network: got 'none', expected one of 'rarity'"),
        ("object", "cubes", "Did you mean 'cube'"),
        ("keypoint", -2, "keypoint: got -2, expected at least -1. -1 for the metric's choice"),
        ("keypoint", 99, "keypoint: got 99"),
        ("frame", 120, "frame: got 120"),
        ("mu", [0.1], r"mu: got shape \(1,\)"),
        ("mu", [0.1, 0.1, 0.0], "mu: .*0.0003"),
        ("fit", "all", "fit: got 'all', expected one of 'other', 'same'"),
        ("group", "none", "group: got 'none'"),
    ],
)
def test_traits_are_checked(figure: JudgeIt, trait: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        setattr(figure, trait, value)


def test_what_the_prompt_says_to_notice_happens(figure: JudgeIt) -> None:
    """The other network's R² rises on the frames of its fit, the recipe's hardly does."""
    other, recipe = figure.verdicts[KEYNET], figure.verdicts["rarity"]
    assert "R² rises though no keypoint has moved" in figure.prompt
    assert (other.same_frames.r2 - other.tracking.r2).mean() > 0.05
    assert (recipe.same_frames.r2 - recipe.tracking.r2 < 0.03).all()


def test_what_the_text_says_of_the_map_happens(figure: JudgeIt) -> None:
    """Section 4.2: beside the hand, and on it after its map; KeyNet's is stretched in vain."""
    first = slice(judge_it.EPISODES * 20, judge_it.EPISODES * 20 + 20)
    truth = figure.recording.flat().truth[first]
    off = {}
    for name, k in (("rarity", 2), ("rarity", 0), (KEYNET, 0)):
        result = figure.verdicts[name].same_frames
        raw = figure.points[name][first, result.keypoint[k]]
        mapped = result.predict(figure.points[name][first])[:, k]
        miss = [np.linalg.norm(z - truth[:, k], axis=-1).mean() for z in (raw, mapped)]
        spread = [np.sqrt(z.var(axis=0).sum()) for z in (raw, mapped, truth[:, k])]
        off[name, k] = (*miss, *spread)
    assert off["rarity", 2][1] < off["rarity", 2][0] / 3  # another place, laid onto the truth
    assert off["rarity", 0][0] < 2 / 31.5  # pixels: the cube's keypoint sits on it
    _, miss, raw, mapped, real = off[KEYNET, 0]
    assert raw < real / 4
    assert mapped > 3 * raw
    assert miss > 3 * off["rarity", 0][1]


def test_the_still_says_what_it_shows(figure: JudgeIt) -> None:
    still, verdict = figure.still(), figure.verdicts["rarity"]
    assert "<script" not in still
    assert still.count("<polyline") == 3  # the keypoint's path, the object's, the mapped one
    assert f"R² {verdict.tracking.r2[0]:.2f} over 6 episodes" in still
    assert "3 of 3 objects are tracked" in still


@pytest.fixture(scope="module")
def parts() -> dict[str, JudgeIt]:
    return {part: JudgeIt(results=RESULTS, part=part) for part in PARTS}


def test_a_still_of_runs_counts_them(figure: JudgeIt, parts: dict[str, JudgeIt]) -> None:
    still, errors = parts["threshold"].still(), figure.recorded["errors"]
    runs = figure.recorded["groups"]["networks"]
    assert still.count("<circle") == sum(len(errors[run]) for run in runs)
    assert "rarity 24 of 24" in still
    assert "keynet-quarter 0 of 6" in still
    assert "<script" not in still


def test_a_still_says_the_error_of_the_fit_that_is_shown() -> None:
    figure = JudgeIt(KEYNET, results=RESULTS, part="map", object="target", fit="same")
    verdict = figure.verdicts[KEYNET]
    assert f"R² {verdict.same_frames.r2[1]:.2f} over 6 episodes" in figure.still()
    assert verdict.same_frames.r2[1] > verdict.tracking.r2[1] + 0.05


def test_a_part_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"part: got 'maps'.*Did you mean 'map'"):
        JudgeIt(results=RESULTS, part="maps")


def test_a_part_stores_no_more_than_it_shows(figure: JudgeIt, parts: dict[str, JudgeIt]) -> None:
    whole = size_of(figure.get_state())
    size = {part: size_of(one.get_state()) for part, one in parts.items()}
    assert size["map"] < whole
    assert size["fit"] < whole - 20 * KIB  # no pictures
    assert size["threshold"] < whole / 2  # no trajectories
    assert parts["map"].recorded == parts["fit"].recorded
    assert parts["map"].recorded["groups"] == {}
    assert parts["threshold"].recorded == figure.recorded
    assert len({one.prompt for one in (*parts.values(), figure)}) == 4


@pytest.mark.parametrize("part", PARTS)
def test_the_page_unpacks_a_part(figure: JudgeIt, parts: dict[str, JudgeIt], part: str) -> None:
    script = """
    const held = await judge_state.unpack(
      Buffer.from(data.packed, "base64"), data.about, data.networks.map((n) => n.keypoints));
    answer = { tracks: held.tracks.map((points) => points.map((track) => track.map((c) => [...c]))),
      pictures: held.pictures.length, colours: held.palette.length / 3 }"""
    got = evaluate(script, packed(parts[part]))
    flat = figure.recording.flat()
    frames = len(flat.truth) // 2 * flat.images[0, ..., 0].size
    assert got["pictures"] == (frames if part == "map" else 0)
    assert bool(got["colours"]) == (part == "map")
    wanted = [] if part == "threshold" else [flat.truth, *figure.points.values()]
    assert len(got["tracks"]) == len(wanted)
    for track, want in zip(got["tracks"], wanted, strict=True):
        np.testing.assert_array_equal(np.array(track).transpose(2, 0, 1), want)


def test_stored_state_stays_below_150_kib(figure: JudgeIt) -> None:
    assert size_of(figure.get_state()) < 150 * KIB


def test_the_module_has_one_export_no_comment_and_no_foreign_host(tmp_path: Path) -> None:
    assert set(re.findall(r"https?://([\w.]+)", JudgeIt._esm)) <= {"www.w3.org"}
    assert "fetch(" not in JudgeIt._esm
    assert not re.search(r"^\s*(//|/\*\*)", JudgeIt._esm, re.MULTILINE)
    module = tmp_path / "joined.mjs"
    module.write_text(JudgeIt._esm, encoding="utf-8")
    script = "console.log(typeof (await import(process.argv[1])).default.render)"
    assert node("--input-type=module", "-e", script, module.as_uri()).strip() == "function"


# -- the built page ----------------------------------------------------------------------------


class Figure(LiveFigure):
    """The figure in a browser, and the numbers that it shows."""

    name, grip = "judging", "frame"

    def fact(self, name: str) -> str:
        text: str = self.at.locator(f"[data-fact='{name}']").inner_text()
        return text


@pytest.fixture
def live(visit: Visit) -> Iterator[Figure]:
    visit.page.goto(f"{visit.url}/{PAGE}")
    yield Figure(visit.page)
    visit.check()


@site_test
@pytest.mark.slow
def test_what_is_shown_is_what_judge_says(live: Figure, figure: JudgeIt) -> None:
    for network in (KEYNET, "rarity"):
        live.choose("Network", network)
        verdict = figure.verdicts[network].tracking
        for k, obj in enumerate(figure.recording.objects):
            live.choose("Object", obj)
            got = live.ask("judged")
            assert got["chosen"] == verdict.keypoint[k]
            assert got["error"] == pytest.approx(verdict.error[k], abs=SAME)
            assert live.fact("r2").replace("\u2212", "-") == f"{verdict.r2[k]:.3f}"
            assert live.fact("px") == f"{verdict.rms_px(64)[k]:.2f}"
            follows = verdict.within_r2[k]
            assert live.fact("withinR2") == ("\u2013" if np.isnan(follows) else f"{follows:.3f}")
    assert live.ask("parity") < SAME
    assert "differ by at most" in live.at.locator(".parity").inner_text()


@site_test
@pytest.mark.slow
def test_fit_on_the_same_frames_flatters(live: Figure, figure: JudgeIt) -> None:
    live.choose("Network", KEYNET)
    before = float(live.fact("r2"))
    live.choose("Maps are fitted on", "same")
    assert float(live.fact("r2")) > before
    same = figure.verdicts[KEYNET].same_frames
    assert live.ask("judged")["error"] == pytest.approx(same.error[0], abs=SAME)
    live.at.get_by_label("Only frames in view").check()
    live.choose("Maps are fitted on", "other")
    in_view = figure.verdicts[KEYNET].in_view
    assert live.ask("judged")["error"] == pytest.approx(in_view.error[0], abs=SAME)


@site_test
@pytest.mark.slow
def test_the_frame_follows_the_hand_along_the_path(live: Figure) -> None:
    """A cube that stands still before it is pushed has several frames in one place."""
    path, frame = live.ask("path"), live.ask("state")["frame"]
    for later in (path["now"] + 5, 0, len(path["real"]) - 1):
        now = live.ask("path")["now"]
        wanted = np.array(path["real"][later])
        assert np.linalg.norm(wanted - path["real"][now]) > 15  # CSS pixels
        live.drag("frame", *(wanted - path["real"][now]))
        got = live.ask("path")
        assert np.linalg.norm(wanted - got["real"][got["now"]]) < 5
        assert live.ask("state")["frame"] == frame - path["now"] + got["now"]
    live.handle("frame").press("Shift+ArrowLeft")
    live.settle()
    at = live.ask("state")["frame"]
    for key, change in (("ArrowRight", 1), ("ArrowLeft", -1), ("Shift+ArrowLeft", -5),
                        ("ArrowDown", 20), ("ArrowUp", -20)):  # fmt: skip
        live.handle("frame").press(key)
        live.settle()
        assert live.ask("state")["frame"] == at + change, key
        at += change
    assert "episode 1 of 6, frame" in live.handle("frame").get_attribute("aria-valuetext")


@site_test
@pytest.mark.slow
def test_another_keypoint_is_chosen_by_key_drag_and_click(live: Figure) -> None:
    order = live.ask("judged")["order"]
    best = live.ask("judged")["fitError"]
    for key, rank in (("ArrowRight", 1), ("Shift+ArrowRight", 6), ("ArrowLeft", 5)):
        live.handle("keypoint").press(key)
        live.settle()
        assert live.ask("judged")["chosen"] == order[rank], key
    assert live.ask("judged")["fitError"] > best  # ranks go by the fit, which is known beforehand
    live.drag("keypoint", 1000)
    assert live.ask("judged")["chosen"] == order[-1]
    words = live.words()
    assert f"keypoint {order[-1]}. Error" in words
    assert "is not tracked" in words
    chart = live.at.locator(".chart canvas")
    width = chart.bounding_box()["width"]
    chart.click(position={"x": 40 + (10 + 0.5) * (width - 56) / len(order), "y": 150})
    live.settle()
    assert live.ask("judged")["chosen"] == order[10]
    live.at.get_by_role("button", name="The metric's keypoint").click()
    live.settle()
    assert live.ask("judged")["chosen"] == order[0]


@site_test
@pytest.mark.slow
def test_the_threshold_is_dragged_and_the_runs_are_counted(live: Figure, figure: JudgeIt) -> None:
    errors = {run: np.array(rows, float) for run, rows in figure.recorded["errors"].items()}

    def counted() -> None:
        mu = live.ask("state")["mu"]
        for row in live.ask("runs"):
            overall, each = tracking_capability(errors[row["run"]], mu)
            shown = live.at.locator(f"tr[data-run='{row['run']}'] td").all_inner_texts()
            n = len(errors[row["run"]])
            assert shown[1:] == [f"{round(each[0] * n)} of {n}", f"{overall:.2f}"]

    counted()
    before = live.ask("state")["mu"][0]
    tracked = sum(row["hits"][0] for row in live.ask("runs"))
    live.drag("mu", 160)
    wide = live.ask("state")["mu"][0]
    assert wide > 2 * before
    assert sum(row["hits"][0] for row in live.ask("runs")) > tracked
    counted()
    live.handle("mu").press("ArrowLeft")
    live.settle()
    assert live.ask("state")["mu"][0] == pytest.approx(wide / 10**0.05, rel=0.01)
    slider = live.at.get_by_label(re.compile("largest error of a tracked cube"))
    slider.press("Home")
    live.settle()
    assert live.ask("state")["mu"][0] == pytest.approx(judge_it.LIMITS[0])
    assert live.fact("tracked") == "no"
    counted()
    live.choose("Recorded runs", "ablation")
    assert "no-whitening" in [row["run"] for row in live.ask("runs")]
    counted()
    live.at.get_by_role("button", name="The paper's µ").click()
    live.settle()
    assert live.ask("state")["mu"] == list(THRESHOLDS)


@site_test
@pytest.mark.slow
def test_a_finger_drags_the_threshold_on_a_phone(browser: Any, site_url: str) -> None:
    with on_a_phone(browser, f"{site_url}/{PAGE}") as page:
        live = Figure(page)
        inner = live.at.evaluate("e => e.shadowRoot.querySelector('.figure').scrollWidth")
        assert inner <= live.at.evaluate("e => e.clientWidth")
        live.handle("mu").scroll_into_view_if_needed()
        before, box = live.ask("state")["mu"][0], live.handle("mu").bounding_box()
        x, y = box["x"] + 22, box["y"] + 22
        live.finger([(x, y), (x + 10, y), (x + 20, y)])
        assert live.ask("state")["mu"][0] > 2 * before


@site_test
@pytest.mark.slow
def test_reset_and_link_bring_a_view_back(live: Figure) -> None:
    first = live.ask("state")
    live.choose("Network", KEYNET)
    live.choose("Object", "end_effector")
    live.choose("Maps are fitted on", "same")
    live.at.get_by_label("Only frames in view").check()
    live.handle("frame").press("ArrowDown")
    live.handle("keypoint").press("ArrowRight")
    live.drag("mu", -60)
    changed = live.ask("state")
    assert all(changed[name] != first[name] for name in first if name != "group")
    link = live.copied_link()
    live.reset()
    assert live.ask("state") == first
    assert live.opened(link).ask("state") == changed


# -- its parts, in the chapter -------------------------------------------------------------------


class Part(Figure):
    """One of the chapter's parts."""

    def __init__(self, page: Any, part: str) -> None:
        LiveFigure.__init__(self, page, PARTS[part])


@pytest.fixture
def chapter(visit: Visit) -> Iterator[Any]:
    visit.page.goto(f"{visit.url}/{CHAPTER}")
    yield visit.page
    visit.check()


SHOWN = {
    "map": {"frame", "keypoint"},
    "threshold": {"mu"},
    "fit": {"keypoint"},
}


@site_test
@pytest.mark.slow
def test_each_part_shows_what_its_section_needs(chapter: Any) -> None:
    tables = {"map": 1, "threshold": 1, "fit": 1}
    labels = {
        "map": ["Network", "Object", "Frame"],
        "threshold": ["Object", "Recorded runs", "µ, largest error of a tracked target"],
        "fit": ["Network", "Object", "Maps are fitted on", "Only frames in view"],
    }
    titles = set()
    for part, grips in SHOWN.items():
        one = Part(chapter, part)
        handles = one.at.locator("[data-handle]").evaluate_all(
            "all => all.map(e => e.dataset.handle)"
        )
        assert set(handles) == grips
        assert one.at.locator("table").count() == tables[part]
        found = one.at.locator("label").all_inner_texts()
        assert [label.strip() for label in found] == labels[part]
        titles.add(one.at.locator(".figure").get_attribute("aria-label"))
        assert (one.at.locator(".parity").count() == 1) == (part != "threshold")
    assert len(titles) == 3


@site_test
@pytest.mark.slow
def test_the_part_of_the_map_is_moved_by_key_and_says_the_map(
    chapter: Any, figure: JudgeIt
) -> None:
    one = Part(chapter, "map")
    assert one.ask("state")["object"] == "end_effector"
    same = figure.verdicts["rarity"].same_frames
    assert one.ask("judged")["error"] == pytest.approx(same.error[2], abs=SAME)
    path = one.ask("path")
    raw, said, real = (np.array(path[name]) for name in ("raw", "said", "real"))
    off = [np.linalg.norm(z - real, axis=-1).mean() for z in (raw, said)]
    assert off[1] < off[0] / 2  # beside the object, and on it after the map
    before = one.ask("state")["frame"]
    one.handle("frame").press("ArrowRight")
    one.settle()
    assert one.ask("state")["frame"] == before + 1
    one.handle("keypoint").press("ArrowRight")
    one.settle()
    assert one.ask("judged")["chosen"] == one.ask("judged")["order"][1]
    assert "end effector: keypoint" in one.words()
    assert one.at.locator(".map").inner_text().startswith("Its map: (")


@site_test
@pytest.mark.slow
def test_the_part_of_the_threshold_counts_by_key(chapter: Any, figure: JudgeIt) -> None:
    one = Part(chapter, "threshold")
    assert (one.ask("state")["object"], one.ask("state")["group"]) == ("target", "ablation")
    for _ in range(9):
        one.handle("mu").press("ArrowLeft")
        one.settle()
    mu = one.ask("state")["mu"][1]
    assert mu == pytest.approx(0.015 * 10**-0.45, rel=0.02)
    rows = one.ask("runs")
    errors = {run: np.array(e, float) for run, e in figure.recorded["errors"].items()}
    assert [row["hits"][1] for row in rows] == [(errors[r["run"]][:, 1] <= mu).sum() for r in rows]
    hits, runs = sum(r["hits"][1] for r in rows), sum(r["runs"] for r in rows)
    assert hits < runs
    words = one.words()
    assert f"{hits} of {runs} runs track the target" in words
    needed = 1 - mu / figure.recorded["still"][1]
    assert f"asks for an R² of {needed:.2f}" in words


@site_test
@pytest.mark.slow
def test_the_part_of_the_fit_shows_the_flattery_by_key(chapter: Any, figure: JudgeIt) -> None:
    one = Part(chapter, "fit")
    one.choose("Network", KEYNET)
    one.choose("Object", "target")
    verdict = figure.verdicts[KEYNET]
    assert one.ask("judged")["r2"] == pytest.approx(verdict.tracking.r2[1], abs=SAME)
    one.choose("Maps are fitted on", "same")
    assert one.ask("judged")["r2"] == pytest.approx(verdict.same_frames.r2[1], abs=SAME)
    assert one.fact("withinR2") == "\u2013"
    one.handle("keypoint").press("ArrowRight")
    one.settle()
    assert one.ask("judged")["chosen"] == one.ask("judged")["order"][1]


@site_test
@pytest.mark.slow
def test_the_figure_says_when_its_numbers_are_not_those_of_the_table(live: Figure) -> None:
    """R² above is of another fit than R² of the rivals' table: it has to say so."""
    caption = live.at.locator(".rivals caption")
    assert "so they differ" not in caption.inner_text()
    live.choose("Maps are fitted on", "same")
    assert (
        "the numbers above are fitted where they are scored, so they differ" in caption.inner_text()
    )
    live.at.get_by_label("Only frames in view").check()
    live.settle()
    assert "fitted where they are scored, of frames in view, so" in caption.inner_text()
