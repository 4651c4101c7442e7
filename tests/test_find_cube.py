"""Find the cube: the class alone, and the figure on the built page, used as a reader uses it."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Visit
from live import (
    STATE,
    LiveFigure,
    rewritten,
)
from live_speed import Hand
from toy_extractor import Toy

import kpbook
from kpbook import export
from kpbook.extractors.registry import build
from kpbook.images import to_float
from kpbook.recordings.push_poses import Poses
from kpbook.widgets import FindTheCube
from kpbook.widgets._networks import LABELS, MENU
from kpbook.widgets.find_cube import _look

PAGE = "book/index.html"
site_test = pytest.mark.site


# -- networks that the book has never seen ------------------------------------------------------


class Blind(torch.nn.Module):
    """Three keypoints on what is green, blue and dark, and nothing drawn again."""

    image_size = (64, 64)
    name = "by-colour"

    def __init__(self) -> None:
        super().__init__()
        self.look = torch.nn.Conv2d(3, 3, 1)
        weight = torch.tensor([[-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0], [-1.0, -1.0, -1.0]])
        self.look.weight.data = 30 * weight[..., None, None]

    def heatmaps(self, images: torch.Tensor) -> torch.Tensor:
        return kpbook.spatial_softmax(self.look(images))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return kpbook.soft_argmax(self.look(images))


class ByColour(Blind):
    """An encoder that the book has never seen."""

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(images, 2)


# -- the class ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def figure() -> FindTheCube:
    return FindTheCube("rarity")


def test_the_first_view_is_answered_by_torch(figure: FindTheCube) -> None:
    image = to_float(Poses.sample().example[None])
    with torch.no_grad():
        expected = kpbook.load("rarity")(image)[0]
    np.testing.assert_allclose(figure.networks[0]["first"], expected, atol=1e-6)


def test_heat_map_and_drawing_of_the_first_view_are_torch_s(figure: FindTheCube) -> None:
    about, image = figure.scene["drawn"], to_float(Poses.sample().example[None])
    network = kpbook.load("rarity")
    with torch.no_grad():
        heat = network.heatmaps(image)[0, about["keypoint"]].numpy()
        again = network.reconstruct(image)[0].numpy().clip(0, 1)
    flat = np.frombuffer(zlib.decompress(figure.drawn), np.uint8) / 255
    assert about["keypoint"] == figure.networks[0]["assigned"][0]["keypoint"]
    stored = flat[: heat.size].reshape(heat.shape)
    np.testing.assert_allclose(stored, heat / heat.max(), atol=0.51 / 255)
    np.testing.assert_allclose(flat[heat.size :].reshape(again.shape), again, atol=0.51 / 255)


def test_the_metric_s_keypoints_find_the_objects_in_the_first_view(figure: FindTheCube) -> None:
    poses, network = Poses.sample(), figure.networks[0]
    x, y, _, *target = poses.places.tolist()
    truth, _ = poses.camera.project(np.array([[x, y, 0.02], [*target, 0.0]]))
    for row, where in zip(network["assigned"][:2], truth, strict=True):
        z = np.array(network["first"][row["keypoint"]])
        assert np.linalg.norm(np.array(row["A"]) @ z + row["b"] - where) < 0.08  # 2.5 pixels of 64


def test_the_kernel_answers_what_torch_says(figure: FindTheCube, monkeypatch: Any) -> None:
    said: list[tuple[Any, Any]] = []
    monkeypatch.setattr(
        figure, "send", lambda content, buffers=None: said.append((content, buffers))
    )
    image = to_float(Poses.sample().example[None])
    question = {"question": 3, "network": "rarity", "shapes": {"images": list(image.shape)}}
    figure._answer(figure, question, [memoryview(image.numpy().tobytes())])
    ((content, buffers),) = said
    assert content["answer"] == 3
    assert content["shapes"] == {
        "keypoints": [32, 2], "heatmaps": [32, 32, 32], "reconstruction": [3, 64, 64],
    }  # fmt: skip
    points = np.frombuffer(buffers[0], np.float32).reshape(32, 2)
    np.testing.assert_allclose(points, figure.networks[0]["first"], atol=1e-5)
    figure._answer(figure, {**question, "network": "none"}, [b""])
    assert "none" in said[1][0]["error"]


def test_a_network_that_was_just_trained_can_be_tried() -> None:
    figure = FindTheCube(build("basic-quarter").eval(), cube=[0.1, 0.0])
    assert [n["name"] for n in figure.networks] == ["basic-quarter"]
    assert figure.cube == [0.1, 0.0]
    assert len(figure.networks[0]["first"]) == 16


def test_a_network_for_other_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"networks: got toy for images of \(20, 28\)"):
        FindTheCube(Toy().eval())


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("cube", [0.3, 0.0], "cube: .*-0.2"),
        ("target", [0.1], r"target: got shape \(1,\)"),
        ("yaw", 91.0, "yaw"),
        ("light", 0.0, "light"),
        ("pose", 999, "pose"),
        ("network", "none", "network: got 'none', expected one of 'rarity'"),
        ("engine", "torch", "engine: got 'torch'"),
        ("keypoint", -2, "keypoint"),
        ("keypoint", 32, "keypoint: .*31"),
        ("address", "_static/", "address: got '_static/', expected a whole address"),
        ("address", "https://example.org/_static", "with a slash at its end"),
    ],
)
def test_traits_are_checked(figure: FindTheCube, trait: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        setattr(figure, trait, value)


def test_a_misspelt_option_is_said() -> None:
    with pytest.raises(ValueError, match=r"option: got 'nework', .*'network'.*Did you mean"):
        FindTheCube("rarity", nework="rarity")


def test_a_network_in_training_answers_as_in_evaluation_and_goes_on_training() -> None:
    network = build("basic-quarter", seed=0).eval()
    figure = FindTheCube(network)
    network.train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = _look(network, to_float(Poses.sample().example[None]))
    np.testing.assert_allclose(found["keypoints"], figure.networks[0]["first"], atol=1e-6)
    assert network.training
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_a_network_that_does_not_draw_is_shown_without_a_drawing() -> None:
    figure = FindTheCube(Blind().eval())
    assert figure.scene["drawn"]["again"] is None
    h, w = figure.scene["drawn"]["map"]
    assert len(zlib.decompress(figure.drawn)) == h * w


@pytest.mark.slow
def test_the_still_shows_the_chosen_network() -> None:
    name = "keynet-quarter-vel-std-bg"
    still = FindTheCube("rarity", name, network=name).still()
    assert f"arm. {LABELS[name]} finds cube at pixel" in still


def test_two_networks_of_one_name_are_numbered() -> None:
    figure = FindTheCube("rarity", build("rarity"))
    assert [n["name"] for n in figure.networks] == ["rarity", "rarity (2)"]
    assert figure.networks[0]["first"] != figure.networks[1]["first"]


def test_the_still_says_what_it_shows(figure: FindTheCube) -> None:
    still = figure.still()
    assert re.search(r"finds cube at pixel \([\d.]+, [\d.]+\); target at pixel", still)
    assert still.count("<circle") == 3


# -- the built page ----------------------------------------------------------------------------


class Figure(LiveFigure):
    """The figure in a browser, which answers later than its next frame."""

    name, grip = "find-the-cube", "cube"

    def drag(self, what: Any, dx: float, dy: float = 0) -> None:
        super().drag(what, dx, dy)
        self.answered()

    def off(self, name: str = "cube") -> float:
        """Pixels of 64 between what the object's keypoint says and where the object is."""
        return float(np.linalg.norm(np.subtract(self.ask("said")[name], self.ask("truth")[name])))


@pytest.fixture
def live(visit: Visit) -> Iterator[Figure]:
    visit.page.goto(f"{visit.url}/{PAGE}")
    yield Figure(visit.page)
    visit.check()


@site_test
@pytest.mark.slow
def test_nothing_is_loaded_before_the_first_touch(visit: Visit) -> None:
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.page.goto(f"{visit.url}/{PAGE}")
    figure = Figure(visit.page)
    visit.page.wait_for_timeout(500)
    assert not [url for url in asked if "onnx" in url]
    assert figure.at.locator("figcaption").all_inner_texts() == [
        "What the network sees: 64 \u00d7 64 pixels",
        f"Heat map of keypoint {figure.ask('selected')}",
        "The scene, drawn again from the points",
    ]
    figure.drag("cube", 30, 10)
    # A set: on a busy machine the network moves to a worker, which asks the cache once more.
    heavy = sorted({url.rpartition("/")[2] for url in asked if "onnx" in url})
    assert heavy == ["ort-wasm-simd-threaded.wasm", "ort.wasm.bundle.min.mjs", "rarity.onnx"]
    visit.check()


@site_test
@pytest.mark.slow
def test_a_drag_moves_the_cube_s_keypoint_with_the_cube(live: Figure) -> None:
    before_said, before_true = live.ask("said")["cube"], live.ask("truth")["cube"]
    live.drag("cube", 70, 25)
    said = np.subtract(live.ask("said")["cube"], before_said)
    true = np.subtract(live.ask("truth")["cube"], before_true)
    assert np.linalg.norm(true) > 5  # pixels of 64
    assert said @ true / np.linalg.norm(said) / np.linalg.norm(true) > 0.97
    assert live.off() < 2.5
    assert re.search(r"cube: keypoint \d+ is [\d.]+ pixels off", live.words())


def green(pixels: Any, side: int) -> np.ndarray:
    """Where the middle of what is green is, pixels of 64."""
    picture = np.reshape(pixels, (side, side, -1)).astype(int)
    v, u = np.nonzero(picture[..., 1] > picture[..., [0, 2]].max(axis=-1) + 60)
    return (np.array([u.mean(), v.mean()]) + 0.5) * 64 / side - 0.5


@site_test
@pytest.mark.slow
def test_eye_and_network_see_the_same_scene(live: Figure) -> None:
    for dx in (0, 60):
        live.drag("cube", dx, dx / 3)
        eye, network = green(live.ask("eye"), 256), green(live.ask("pixels"), 64)
        assert np.linalg.norm(eye - network) < 0.5
        assert np.linalg.norm(eye - live.ask("truth")["cube"]) < 1.5  # the arm hides none of it


@site_test
@pytest.mark.slow
def test_the_legend_names_what_is_in_the_scene_and_nothing_else(live: Figure) -> None:
    wall, box = (live.at.get_by_text(words, exact=True) for words in ("grey wall", "orange box"))
    assert not wall.is_visible()
    live.at.get_by_label("A grey wall").check()
    live.answered()
    assert wall.is_visible()
    assert not box.is_visible()


@site_test
@pytest.mark.slow
def test_arrow_keys_move_the_cube_on_the_screen(live: Figure) -> None:
    for key, axis, sign in (("ArrowRight", 0, 1), ("ArrowUp", 1, -1), ("ArrowLeft", 0, -1)):
        before = live.ask("truth")["cube"]
        live.handle().press(f"Shift+{key}")
        live.answered()
        moved = np.subtract(live.ask("truth")["cube"], before)
        assert sign * moved[axis] > 1.5, key  # up and down the table are foreshortened
        assert abs(moved[1 - axis]) < abs(moved[axis]), key
        assert live.off() < 3


@site_test
@pytest.mark.slow
def test_a_network_that_does_not_track_is_visibly_lost(live: Figure) -> None:
    live.drag("cube", 60, 30)
    tracked = live.off()
    live.at.get_by_label("Network", exact=True).select_option("keynet-quarter-vel-std-bg")
    live.answered()
    assert live.ask("state")["network"] == "keynet-quarter-vel-std-bg"
    assert live.off() > 3 * tracked


def torch_s(network: Any, live: Figure) -> dict[str, np.ndarray]:
    """What torch makes of the pixels that the page shows."""
    pixels = np.array(live.ask("pixels"), dtype=np.uint8).reshape(1, 64, 64, 3)
    return _look(network, to_float(pixels))


@site_test
@pytest.mark.slow
@pytest.mark.parametrize("name", MENU)
def test_the_browser_says_what_torch_says(live: Figure, name: str) -> None:
    """On the first view and, through the page's own pixels, on a rearranged one."""
    live.at.get_by_label("Network", exact=True).select_option(name)
    live.drag("cube", 40, 20)
    live.at.get_by_label("Pose of the arm", exact=True).press("End")
    live.answered()
    assert live.ask("parities")[name] < 1e-4
    said = live.at.locator(".parity").inner_text()
    measured = r"onnxruntime and torch by \de\u2212\d+ on \d+ recorded"
    assert re.search(rf"{LABELS[name]}: .* {measured}", said)
    found, expected = live.ask("found"), torch_s(kpbook.load(name), live)
    assert sorted(found) == sorted(export.OUTPUTS)
    for part, values in expected.items():
        np.testing.assert_allclose(
            np.reshape(found[part], values.shape), values, atol=1e-4, err_msg=part
        )


@site_test
@pytest.mark.slow
def test_reset_and_link_bring_a_view_back(live: Figure) -> None:
    first = live.ask("state")
    live.drag("cube", 50, 10)
    live.at.get_by_label("A grey wall").check()
    changed = live.ask("state")
    assert changed != first
    link = live.copied_link()
    live.reset()
    assert live.ask("state") == first
    assert live.opened(link).ask("state") == changed


@site_test
@pytest.mark.slow
@pytest.mark.parametrize("missing", ["rarity.onnx", "ort.wasm.bundle.min.mjs", "ort-wasm*.wasm"])
@pytest.mark.parametrize("how", ["missing", "broken"])
def test_without_its_engine_the_figure_says_so_and_keeps_its_first_view(
    visit: Visit, missing: str, how: str
) -> None:
    broken = {"status": 200, "body": "these are not its bytes"}
    visit.page.route(
        f"**/{missing}",
        lambda route: route.abort() if how == "missing" else route.fulfill(**broken),
    )
    thrown: list[str] = []
    visit.page.on("pageerror", lambda error: thrown.append(str(error)))
    page = visit.open(PAGE)
    figure = Figure(page)
    before = figure.ask("points")
    figure.handle().press("Shift+ArrowRight")
    figure.at.and_(page.locator("[data-engine=failed]")).wait_for(timeout=20_000)
    assert "could not start in this browser" in figure.at.get_by_role("status").first.inner_text()
    assert figure.ask("points") == before
    assert figure.words() == "The book's recipe has not answered for this scene yet."
    assert thrown == []


@site_test
@pytest.mark.slow
def test_two_thousand_drags_leave_the_heap_as_it_was(browser: Any, site_url: str) -> None:
    hand = Hand(browser, site_url)
    hand.first_touch()
    hand.drags(200)  # what is made once has been made
    before = hand.heap()
    assert hand.drags(2000) == 2000
    assert abs(hand.heap() / before - 1) < 0.1


@site_test
@pytest.mark.slow
def test_a_slow_network_answers_from_a_worker(visit: Visit) -> None:
    """What takes longer than the limit leaves the page's own thread; here everything does."""
    visit.page.add_init_script("globalThis.KPBOOK_SLOW_MS = 0")
    visit.page.goto(f"{visit.url}/{PAGE}")
    figure = Figure(visit.page)
    figure.drag("cube", 40, 20)
    assert figure.place("rarity") == "worker"
    figure.drag("cube", -15, 10)
    expected = torch_s(kpbook.load("rarity"), figure)["keypoints"]
    np.testing.assert_allclose(np.array(figure.ask("points")).reshape(-1, 2), expected, atol=1e-4)
    visit.check()


@site_test
@pytest.mark.slow
def test_where_no_worker_can_start_a_slow_network_still_answers(visit: Visit) -> None:
    visit.page.add_init_script(
        "globalThis.KPBOOK_SLOW_MS = 0; globalThis.Worker = class { constructor() {"
        " throw new Error('blocked'); } };"
    )
    visit.page.goto(f"{visit.url}/{PAGE}")
    figure = Figure(visit.page)
    figure.drag("cube", 40, 20)
    assert figure.place("rarity") == "page"
    figure.drag("cube", -15, 10)
    assert figure.off() < 2.5
    visit.check()


@site_test
@pytest.mark.slow
@pytest.mark.parametrize("lost", ["rarity.onnx", "ort.wasm.bundle.min.mjs*", "ort-wasm*.wasm"])
def test_reset_starts_an_engine_that_has_failed_anew(visit: Visit, lost: str) -> None:
    visit.page.route(f"**/{lost}", lambda route: route.abort())
    page = visit.open(PAGE)
    figure = Figure(page)
    figure.handle().press("Shift+ArrowRight")
    figure.at.and_(page.locator("[data-engine=failed]")).wait_for(timeout=20_000)
    page.unroute(f"**/{lost}")
    figure.reset()
    figure.drag("cube", 40, 20)
    assert figure.off() < 2.5
    assert figure.at.get_by_role("status").first.inner_text() == ""


@site_test
@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        "delete globalThis.WebAssembly",
        "WebAssembly.instantiate = WebAssembly.instantiateStreaming = WebAssembly.compile ="
        " async () => { throw new WebAssembly.CompileError('blocked') }",
    ],
    ids=["no WebAssembly", "wasm blocked"],
)
def test_without_webassembly_the_figure_says_so(visit: Visit, script: str) -> None:
    thrown: list[str] = []
    visit.page.on("pageerror", lambda error: thrown.append(str(error)))
    visit.page.add_init_script(script)
    page = visit.open(PAGE)
    figure = Figure(page)
    before = figure.ask("points")
    figure.handle().press("Shift+ArrowRight")
    figure.at.and_(page.locator("[data-engine=failed]")).wait_for(timeout=20_000)
    assert "could not start in this browser" in figure.at.get_by_role("status").first.inner_text()
    assert figure.ask("points") == before
    assert thrown == []  # the runtime complains on the console, which is its right
    assert visit.foreign == []


@pytest.fixture(scope="module")
def unseen_file(tmp_path_factory: Any) -> Path:
    return export.to_onnx(ByColour().eval(), tmp_path_factory.mktemp("onnx") / "by-colour.onnx")


@site_test
@pytest.mark.slow
def test_another_network_under_a_known_name_runs_and_is_called_a_stranger(
    visit: Visit, unseen_file: Path
) -> None:
    visit.page.route("**/live/rarity.onnx", lambda route: route.fulfill(path=unseen_file))
    visit.page.goto(f"{visit.url}/{PAGE}")
    figure = Figure(visit.page)
    figure.drag("cube", 60, 25)
    shown = np.array(figure.ask("points")).reshape(-1, 2)
    np.testing.assert_allclose(shown, torch_s(ByColour().eval(), figure)["keypoints"], atol=1e-4)
    assert figure.ask("said") == {}
    note = figure.at.locator(".parity").inner_text()
    assert "another network than this page was made with" in note
    assert "is not known" in figure.words()
    visit.check()


@site_test
@pytest.mark.slow
def test_an_encoder_that_the_book_has_never_seen_runs_unchanged(
    visit: Visit, unseen_file: Path
) -> None:
    unseen = ByColour().eval()
    known = FindTheCube(unseen).networks

    def put_it_there(text: str) -> str:
        head, start, rest = text.partition(STATE)
        stored, end, tail = rest.partition("</script>")
        state = json.loads(stored)
        for model in state["state"].values():
            if "networks" in model["state"]:
                model["state"] |= {"networks": known, "network": "by-colour"}
        return head + start + json.dumps(state) + end + tail

    rewritten(visit, PAGE, put_it_there)
    visit.page.route("**/live/by-colour.onnx", lambda route: route.fulfill(path=unseen_file))
    visit.page.goto(f"{visit.url}/{PAGE}")
    figure = Figure(visit.page)
    before = np.array(figure.ask("said")["cube"])
    figure.drag("cube", 60, 25)
    assert figure.ask("parities")["by-colour"] < 1e-4
    assert figure.ask("said")["cube"][0] - before[0] > 5  # pixels of 64, with the hand
    assert figure.off() < 3
    expected = torch_s(unseen, figure)["keypoints"]
    np.testing.assert_allclose(np.array(figure.ask("points")).reshape(-1, 2), expected, atol=1e-4)
    visit.check()
