"""Transport: the field of Pong in Python and in the page, the stages, the class, and the figure."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Visit
from live import KIB, LiveFigure, in_node, size_of

from kpbook import export
from kpbook.episodes import Episodes
from kpbook.extractors.transporter import Stages, build
from kpbook.grid import to_pixels
from kpbook.images import to_float, to_uint8
from kpbook.recordings.atari import TRAIN, sample
from kpbook.widgets import Transport
from kpbook.widgets._pong import FIELD, Field, walk
from kpbook.widgets.transport import GAPS, NETWORK, RADIUS, stages_of

PAGE = "book/05_transporter.html"
site_test = pytest.mark.site


@pytest.fixture(scope="module")
def games() -> Episodes:
    return sample()


@pytest.fixture(scope="module")
def network(games: Episodes) -> Any:
    """An untrained Transporter that has seen the frames."""
    made = build("transporter-small-recipe", keypoints=3, seed=1)
    made.prepare(games[:2])
    return made.eval()


@pytest.fixture(scope="module")
def figure(network: Any) -> Transport:
    return Transport(network)


def some_places(count: int, seed: int = 0) -> list[list[float]]:
    """Places all over the field, half of them without a ball, some at its edges."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 159, (count, 4)) + 0.5
    rows[0], rows[1] = 0.5, 158.5
    return [row[: 4 - 2 * (k % 2)].tolist() for k, row in enumerate(rows)]


# -- the field ---------------------------------------------------------------------------------


def test_page_and_python_draw_the_same_field_and_know_the_same_points(games: Episodes) -> None:
    field, places = Field.of(games), some_places(24)
    script = """answer = data.places.map((one) => [
        [...pong.drawField(data.field, one)], pong.pointsOf(data.field, one)])"""
    drawn = in_node(script, {"field": field.described(), "places": places}, pong="pong_scene")
    for one, (pixels, points) in zip(places, drawn, strict=True):
        np.testing.assert_array_equal(field.picture(one).ravel(), pixels)
        np.testing.assert_allclose(points, field.points(one), atol=1e-12)


def _known_places(games: Episodes) -> tuple[np.ndarray, np.ndarray]:
    """Where all middles were, also of a paddle that is cut off: ``(E, T, K, 2)``; what is there."""
    scale = np.array(FIELD[::-1]) / games.image_size[::-1]
    middles = (to_pixels(games.truth[:, :, 0], games.image_size) + 0.5) * scale - 0.5
    half, last = 7.5, FIELD[0] - 1
    y = middles[:, :, :2, 1]  # the middle of what is left of 16 rows
    y[y < half] = 2 * y[y < half] - half
    low = y > last - half
    y[low] = 2 * y[low] - last + half
    return np.round(2 * middles) / 2, games.visible[:, :, 0]


def _candidates(field: Field, middles: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """What may have been drawn: of the player RAM knows every other row only."""
    player, enemy = middles[:2, 1]
    enemy = enemy if seen[1] else -50.0  # above the field
    rest = middles[2].tolist() if seen[2] else []
    pair = [field.picture([player + half, enemy, *rest]) for half in (-0.5, 0.5)]
    return np.stack(pair).astype(int)


def test_recorded_frames_are_drawn_to_a_level_where_nothing_moved(games: Episodes) -> None:
    """These are 84 of 9,600: in most, something moves, and the recorded picture has it twice."""
    field = Field.of(games)
    middles, seen = _known_places(games)
    same = (middles[:, 1:] == middles[:, :-1]).all(-1) | ~(seen[:, 1:] | seen[:, :-1])
    still = np.zeros(seen.shape[:2], dtype=bool)
    still[:, 1:-1] = same[:, 1:].all(-1) & same[:, :-1].all(-1)
    assert still.sum() == 84
    for e, t in np.argwhere(still):
        drawn = _candidates(field, middles[e, t], seen[e, t])
        assert np.abs(games.images[e, t, 0] - drawn).max((1, 2, 3)).min() <= 1, (e, t)


def test_recorded_frames_hold_what_is_drawn_and_what_was_there_before(games: Episodes) -> None:
    """The larger of two frames is nowhere below the last one, but where RAM is a pixel off.

    Of all frames 8 % agree to a level.
    """
    field = Field.of(games)
    middles, seen = _known_places(games)
    some = [(e, t) for e in range(len(games)) for t in range(7, 400, 40)]
    agree, holds = [], []
    for e, t in some:
        more = games.images[e, t, 0] - _candidates(field, middles[e, t], seen[e, t])
        agree.append(np.abs(more).max((1, 2, 3)).min() <= 1)
        holds.append(more.min((1, 2, 3)).max() >= -1)
    assert np.mean(holds) > 0.9
    assert np.mean(agree) == pytest.approx(0.08, abs=0.03)


def test_paddles_never_leave_their_columns(games: Episodes) -> None:
    assert (np.ptp(games.truth[:, :, 0, :2, 0], axis=(0, 1)) == 0).all()


def test_the_walk_is_one_of_the_held_out_ones(games: Episodes) -> None:
    held, field = games[TRAIN:], Field.of(games)
    steps = walk(held, GAPS, 10)
    assert len(steps) == GAPS + 1
    ours = np.stack([field.points(one) for one in steps])
    half_row = 0.51 * 2 / FIELD[0] * 64 / 63
    truth = held.truth[:, :, 0]
    near = [
        (e, t)
        for e in range(len(held))
        for t in range(truth.shape[1] - GAPS)
        if np.abs(truth[e, t : t + GAPS + 1] - ours).max() < half_row
    ]
    assert len(near) == 1
    ((e, t),) = near
    assert held.visible[e, t : t + GAPS + 1].all()
    assert held.games[e, t] == held.games[e, t + GAPS]


# -- the stages --------------------------------------------------------------------------------


def pairs(games: Episodes, count: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    frames = to_float(games[TRAIN:].flat().images[:: 3200 // (2 * count)][: 2 * count])
    return frames[:count], frames[count:]


def test_the_last_stages_are_the_network_s_own(games: Episodes, network: Any) -> None:
    source, target = pairs(games)
    stages = stages_of(network, games)
    with torch.no_grad():
        found = dict(zip(stages.outputs, stages(source, target, torch.ones(5, 3)), strict=True))
        torch.testing.assert_close(found["reconstruction"], network.predict(source, target))
        torch.testing.assert_close(found["source_keypoints"], network(source))
        torch.testing.assert_close(found["target_keypoints"], network(target))
        loss = network.loss({"source": source, "target": target})
    assert {name: tuple(part.shape[1:]) for name, part in found.items()} == stages.outputs
    error = found["errors"].mean(0)
    torch.testing.assert_close(error[0, 0], loss["loss"])
    torch.testing.assert_close(error[0, 1], loss["reconstruction"])
    torch.testing.assert_close(error[1, 1], (source - target).square().mean())


def test_what_no_keypoint_moves_stays_the_source_s(games: Episodes, network: Any) -> None:
    source, target = pairs(games)
    stages = stages_of(network, games)
    with torch.no_grad():
        _, _, kept, moved, drawn, _ = stages(source, target, torch.zeros(5, 3))
        torch.testing.assert_close(kept, moved)
        features = network.features(source)
        torch.testing.assert_close(drawn, network.refine(features))
        one = stages(source, target, torch.tensor([[0.0, 1.0, 0.0]]).expand(5, 3))[2]
        gaussian = (1 - network.gaussians(source)) * (1 - network.gaussians(target))
    expected = (0.5 + (kept - 0.5) * gaussian[:, 1:2]).clamp(0, 1)
    torch.testing.assert_close(one, expected)


def test_a_network_without_pixel_weights_has_one_error(games: Episodes) -> None:
    plain = build("transporter-small", keypoints=2)
    source, target = pairs(games)
    with torch.no_grad():
        errors = stages_of(plain, games)(source, target, torch.ones(5, 2))[-1]
    torch.testing.assert_close(errors[..., 0], errors[..., 1])


def test_colours_are_the_features_principal_axes(games: Episodes, network: Any) -> None:
    axes = stages_of(network, games).axes.double()
    unit = axes / axes.norm(dim=1, keepdim=True)
    torch.testing.assert_close(unit @ unit.T, torch.eye(3).double(), atol=1e-5, rtol=0)
    assert (axes.gather(1, axes.abs().argmax(1, keepdim=True)) > 0).all()
    frames = to_float(games[:TRAIN].flat().images[::100])
    with torch.no_grad():
        seen = network.features(frames).movedim(1, -1).flatten(0, -2).double() @ unit.T
    assert (seen.var(0).diff() < 0).all()
    assert (seen.T.corrcoef() - torch.eye(3)).abs().max() < 0.1  # other frames than it was made of


@pytest.mark.slow
def test_the_file_of_all_stages_says_what_torch_says(
    games: Episodes, network: Any, tmp_path: Any
) -> None:
    import onnx

    stages = stages_of(network, games).eval()
    path = export.to_onnx(stages, tmp_path / "stages.onnx")
    moved = torch.tensor([[1.0, 1.0, 1.0], [0, 1, 0], [0, 0, 0], [1, 0, 1], [1, 1, 0]])
    off = export.difference(stages, path, *pairs(games), moved)
    assert list(off) == list(stages.outputs)
    assert max(off.values()) < 1e-4, off
    layers = sum(isinstance(layer, torch.nn.Conv2d) for layer in network.modules())
    nodes = onnx.load(path).graph.node
    assert sum(node.op_type == "Conv" for node in nodes) == layers  # both frames at once, and once


def test_a_network_that_transports_nothing_is_refused(games: Episodes) -> None:
    with pytest.raises(TypeError, match="network: got ConditionalGenerator, expected a Transp"):
        Transport(build("jakab-small-recipe", keypoints=3))
    with pytest.raises(ValueError, match=r"networks: got .* \(128, 128\), expected one for \(64"):
        Transport(build("transporter"))
    Stages(build("pixel-transporter-small-recipe", keypoints=3), games.flat().images[:9])


# -- the class ---------------------------------------------------------------------------------


def test_the_first_view_is_answered_by_torch(figure: Transport, network: Any) -> None:
    field = figure._field
    frames = [field.picture(figure._recorded[k]) for k in (0, figure.gap)]
    with torch.no_grad():
        images = to_float(np.stack(frames))
        np.testing.assert_allclose(figure.networks[0]["first"], network(images), atol=1e-6)
        drawn = to_uint8(network.predict(images[:1], images[1:]))[0].astype(int)
    bytes_ = np.frombuffer(zlib.decompress(figure.drawn), np.uint8)
    stored = bytes_[-drawn.size :].reshape(3, 64, 64).transpose(1, 2, 0)
    assert np.abs(stored - drawn).max() <= 1
    assert len(bytes_) == 3 * (2 * 32 * 32 + 64 * 64)


def test_the_kernel_answers_what_torch_says(
    figure: Transport, network: Any, monkeypatch: Any
) -> None:
    said: list[tuple[Any, Any]] = []
    monkeypatch.setattr(
        figure, "send", lambda content, buffers=None: said.append((content, buffers))
    )
    source, target = (torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64))
    inputs = {"target": target, "moved": torch.tensor([[0.0, 1.0, 1.0]]), "source": source}
    shapes = {name: list(part.shape) for name, part in inputs.items()}
    question = {"question": 3, "network": network.name, "shapes": shapes}
    buffers = [memoryview(part.numpy().tobytes()) for part in inputs.values()]
    network.train()  # it goes on learning in another cell
    figure._answer(figure, question, buffers)
    assert network.training
    network.eval()
    ((content, answer),) = said
    assert content["answer"] == 3
    assert list(content["shapes"]) == list(figure._stages.outputs)
    found = dict(zip(content["shapes"], answer, strict=True))
    with torch.no_grad():
        expected = figure._stages(source, target, inputs["moved"])
    for (name, data), part in zip(found.items(), expected, strict=True):
        got = np.frombuffer(data, np.float32).reshape(part.shape[1:])
        np.testing.assert_allclose(got, part[0], atol=1e-5, err_msg=name)
    figure._answer(figure, question, buffers[:2])
    assert "error" in said[1][0]


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("source", [1.0], "source: got 1 numbers, expected 4, 2 or none. .player y, enemy y"),
        ("target", [1.0, 2.0, 3.0], "target: got 3 numbers"),
        ("target", [1.0, 160.0], r"target: got values from 1 to 160, expected .*\[0, 159\]"),
        ("gap", 0, "gap: got 0, expected at least 1"),
        ("gap", 21, r"gap: got 21, expected values in \[1, 20\]"),
        ("keypoint", 3, "keypoint: got 3, expected .* -1 moves those of all"),
        ("engine", "torch", "engine: got 'torch'"),
    ],
)
def test_traits_are_checked(figure: Transport, trait: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        setattr(figure, trait, value)


def test_frames_without_a_ball_or_as_recorded_are_taken(network: Any) -> None:
    figure = Transport(network, source=[80, 60], target=[], gap=3)
    assert figure._pair() == ([80.5, 60.5], figure._recorded[3])
    assert figure.scene["first"] == {"source": [80.0, 60.0], "target": [], "gap": 3, "keypoint": -1}


def test_the_still_says_what_it_shows(figure: Transport) -> None:
    still = figure.still()
    assert still.count("<circle") == 6
    assert re.search(r"10 steps apart.*In the target keypoint 0 is \d\.\d\d from the", still)


def test_what_a_page_stores_stays_small(figure: Transport) -> None:
    assert size_of(figure.get_state()) < 75 * KIB


def test_the_shipped_network_is_on_all_three_things_in_the_first_view() -> None:
    figure = Transport()
    for k, points in zip((0, figure.gap), figure.networks[0]["first"], strict=True):
        truth = figure._field.points(figure._recorded[k])
        away = np.linalg.norm(np.array(points)[:, None] - truth, axis=-1)
        assert (away.min(0) < RADIUS).all()
    (drawing, _), (copy, _) = figure.networks[0]["errors"]
    assert drawing < copy / 5


# -- the built page ----------------------------------------------------------------------------


class Figure(LiveFigure):
    """The figure in a browser, which answers later than its next frame."""

    name, grip = "transport", "target-ball"

    def drag(self, what: Any, dx: float, dy: float = 0) -> None:
        super().drag(what, dx, dy)
        self.answered()

    def torch_s(self, moved: list[float]) -> dict[str, np.ndarray]:
        """What torch makes of the pixels that the page shows."""
        pixels = np.array(self.ask("pixels"), dtype=np.uint8).reshape(2, 64, 64, 3)
        source, target = to_float(pixels).split(1)
        figure = Transport()
        return figure.look(
            figure._stages, source=source, target=target, moved=torch.tensor([moved])
        )

    def nearest(self, thing: int, frame: int = 1) -> float:
        """Distance of the nearest keypoint to a thing."""
        return float(min(row[thing] for row in self.ask("distances")[frame]))


@pytest.fixture
def live(visit: Visit) -> Iterator[Figure]:
    visit.page.goto(f"{visit.url}/{PAGE}")
    yield Figure(visit.page)
    visit.check()


@site_test
@pytest.mark.slow
def test_a_drag_loads_the_network_and_a_keypoint_follows_the_ball(visit: Visit) -> None:
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.page.goto(f"{visit.url}/{PAGE}")
    live = Figure(visit.page)
    visit.page.wait_for_timeout(500)
    assert not [url for url in asked if "onnx" in url]
    before = np.array(live.ask("state")["target"])
    live.drag("target-ball", 40, 30)
    heavy = sorted({url.rpartition("/")[2] for url in asked if "onnx" in url})
    wasm = ["ort-wasm-simd-threaded.wasm", "ort.wasm.bundle.min.mjs"]
    assert heavy == [*wasm, f"{NETWORK}-stages.onnx"]
    moved = np.array(live.ask("state")["target"]) - before
    assert moved[2:].min() > 10
    assert (moved[:2] == 0).all()
    assert live.nearest(2) < RADIUS
    assert "is on the ball" in live.words()
    visit.check()


@site_test
@pytest.mark.slow
def test_the_browser_says_what_torch_says(live: Figure) -> None:
    live.drag("target-ball", -30, 20)
    live.drag("source-player", 0, -25)
    live.choose("Which keypoints move features", "1")
    live.answered()
    assert live.ask("parities")[NETWORK] < 1e-4
    said = live.at.locator(".parity").inner_text()
    assert re.search(r"The Transporter: .* onnxruntime and torch by \de\u2212\d+ on \d+", said)
    found, expected = live.ask("found"), live.torch_s([0.0, 1.0, 0.0])
    assert sorted(found) == sorted(expected)
    for part, values in expected.items():
        np.testing.assert_allclose(
            np.reshape(found[part], values.shape), values, atol=1e-4, err_msg=part
        )


@site_test
@pytest.mark.slow
def test_the_gap_sets_the_target_by_hand_and_by_link(live: Figure) -> None:
    recorded = live.ask("state")
    live.drag("target-enemy", 30, 20)
    changed = live.ask("state")
    assert changed["target"][1] > recorded["target"][1] + 5
    live.slide("Steps from source to target, as recorded", 20)
    far = live.ask("state")
    assert far["gap"] == 20
    assert far["target"] not in (recorded["target"], changed["target"])
    assert far["source"] == recorded["source"]
    assert live.at.get_by_text("Target: 20 steps later").is_visible()
    live.reset()
    assert live.ask("state") == recorded
    page = live.page
    page.evaluate("location.hash = '#transport?gap=20'")
    live.answered()
    assert live.ask("state") == far
    page.evaluate("location.hash = '#transport?gap=1&target=80,60&keypoint=0'")
    live.answered()
    assert live.ask("state") == {**recorded, "gap": 1, "target": [80.5, 60.5], "keypoint": 0}
    link = live.copied_link()
    assert live.opened(link).ask("state")["target"] == [80.5, 60.5]


@site_test
@pytest.mark.slow
def test_a_ball_goes_and_comes_back_where_it_was(live: Figure) -> None:
    before = live.ask("state")
    ball = live.at.get_by_label("A ball in the target")
    ball.uncheck()
    live.answered()
    assert live.ask("state")["target"] == before["target"][:2]
    assert not live.handle().is_visible()
    assert [row[2] for row in live.ask("distances")[1]] == [None] * 3
    ball.check()
    live.answered()
    assert live.ask("state") == before
    assert live.handle().is_visible()


@site_test
@pytest.mark.slow
def test_arrow_keys_move_ball_and_paddles_as_the_game_lets_them(live: Figure) -> None:
    start = live.ask("state")["target"]
    live.handle().press("ArrowLeft")
    live.handle().press("Shift+ArrowDown")
    live.handle("target-player").press("ArrowRight")
    live.handle("target-player").press("ArrowUp")
    live.answered()
    moved = np.subtract(live.ask("state")["target"], start)
    assert moved.tolist() == [-2, 0, -2, 10]
    assert live.place(NETWORK) in {"page", "worker"}


@site_test
@pytest.mark.slow
def test_without_its_network_the_figure_says_so_and_its_frames_still_move(visit: Visit) -> None:
    visit.page.route("**/*-stages.onnx", lambda route: route.abort())
    figure = Figure(visit.open(PAGE))
    before = figure.ask("points")
    figure.handle().press("Shift+ArrowRight")
    figure.at.and_(visit.page.locator("[data-engine=failed]")).wait_for(timeout=20_000)
    assert "could not start in this browser" in figure.at.get_by_role("status").first.inner_text()
    assert figure.ask("points") == before
    assert figure.words() == "The Transporter has not answered for these frames yet."
    visit.page.unroute("**/*-stages.onnx")
    figure.reset()
    figure.drag("target-ball", 20, 10)
    assert figure.nearest(2) < RADIUS
