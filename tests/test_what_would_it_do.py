"""What would the agent do: its arithmetic in the page, the class, and the figure in a browser."""

from __future__ import annotations

import base64
import functools
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import conftest
import numpy as np
import pytest
import torch
from conftest import ROOT, SITE, Visit, left_out
from live import KIB, STATE, VIEW, LiveFigure, caption_of_still, in_node, on_a_phone, size_of

import kpbook
from kpbook import export
from kpbook.control import agents, places, weights
from kpbook.control.configurations import Configuration, configuration
from kpbook.episodes import Episodes
from kpbook.grid import to_pixels
from kpbook.recordings.push_poses import Poses
from kpbook.widgets import WhatWouldItDo

pytestmark = pytest.mark.world
conftest.need_agents()

from stable_baselines3.sac.policies import MultiInputPolicy  # noqa: E402

from kpbook.control.observe import Observer, policy_input  # noqa: E402
from kpbook.control.policy import Reading  # noqa: E402
from kpbook.world import PushWorld  # noqa: E402

TRACKS, LOST = "rarity", "keynet-quarter-vel-std-bg"
#: Every combination of options that changes what is read at first.
READ: dict[str, dict[str, Any]] = {
    "true": {},
    "true, no hand": {"hand": False},
    "true, absolute": {"relative": False, "unit_m": 1.0},
    "keypoints": {"state": "keypoints", "hidden": "carried", "velocity": True},
    "keypoints, no hand": {"state": "keypoints", "hand": False, "reward": "keypoints"},
    "keypoints, absolute": {"state": "keypoints", "hand": False, "relative": False},
}


# -- agents that nobody trained --------------------------------------------------------------------


@pytest.fixture(scope="module")
def world() -> Iterator[Any]:
    world = PushWorld()
    yield world
    world.close()


@pytest.fixture(scope="module")
def fits(world: Any) -> dict[str, places.Fit]:
    return {name: places.calibrate(kpbook.load(name), world, frames=100) for name in (TRACKS, LOST)}


def wrote(
    path: Path, world: Any, fit: places.Fit | None, *, seed: int = 0, **changes: Any
) -> tuple[Path, Configuration, Observer]:
    """Write an agent of random weights, larger than those of a beginner, as training would."""
    made = configuration("cpu", **{"width": 16, **changes})
    extractor = kpbook.load(TRACKS) if made.options.mapped else None
    observer = Observer(made.options, world, 1, extractor, fit)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        policy = MultiInputPolicy(
            observer.observation_space,
            world.action_space,
            lambda _: 1e-3,
            net_arch=[made.width] * 2,
            features_extractor_class=Reading,
            features_extractor_kwargs={"relative": made.options.relative, "scale": observer.scale},
        )
    with torch.no_grad():
        for name, value in policy.state_dict().items():
            value.mul_(2.5 if name.endswith("weight") else 1)
    model = SimpleNamespace(policy=policy, observation_space=observer.observation_space)
    agents.save(path, model, made, fit, "random")
    return path, made, observer


@pytest.fixture(scope="module")
def trio(world: Any, fits: Any, tmp_path_factory: Any) -> list[tuple[Any, Path]]:
    """Pairs of networks and agents: one that tracks, one that does not, and true places."""
    folder = tmp_path_factory.mktemp("agents")
    kinds = [(TRACKS, {}), (LOST, {"hand": False}), (None, {})]
    pairs = []
    for k, (name, changes) in enumerate(kinds):
        state = "true" if name is None else "keypoints"
        path = folder / f"{name}.agent.safetensors"
        fit = None if name is None else fits[name]
        pairs.append((name, wrote(path, world, fit, seed=k, state=state, **changes)[0]))
    return pairs


@pytest.fixture(scope="module")
def figure(trio: Any) -> WhatWouldItDo:
    return WhatWouldItDo(*trio)


# -- the arithmetic --------------------------------------------------------------------------------


def scenes(count: int) -> list[dict[str, np.ndarray]]:
    """What a world would return of random scenes in which nothing moves."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(count):
        hand = [*rng.uniform(-0.2, 0.2, 2), rng.uniform(0, 0.25)]
        cube, target = rng.uniform(-0.15, 0.15, (2, 2))
        seen = np.array([*hand, 0, 0, 0, *cube, 0.02, *np.zeros(9)], np.float32)
        row = {"observation": seen, "achieved_goal": seen[6:9]}
        rows.append(row | {"desired_goal": np.array([*target, 0.02], np.float32)})
    return rows


def pictures(count: int) -> np.ndarray:
    images = Episodes.sample().flat().images
    return np.asarray(images[:: len(images) // count][:count])


def first_seen(observer: Observer, states: list[Any], frames: np.ndarray) -> dict[str, np.ndarray]:
    """The first observation of an episode in each scene, whose picture is given."""
    worlds = [SimpleNamespace(frame=lambda f=frame: f) for frame in frames]
    slots = range(len(states))
    observer.memory = np.zeros((len(states), *observer.memory.shape[1:]))
    return observer.observe(worlds, states, slots, [True] * len(states))


def stored(agent: Any, name: str | None) -> tuple[dict[str, Any], str]:
    """What the page gets of one agent: its description and its weights."""
    figure = WhatWouldItDo((name, agent))
    return figure.networks[0]["agent"], base64.b64encode(figure.weights).decode()


IN_PAGE = """
const bytes = new Uint8Array(Buffer.from(data.weights, "base64"));
const [one] = agent.withNetworks([data.agent], await agent.unpackWeights(bytes));
answer = data.scenes.map(({ keypoints, truth, hand }) => {
  const places = keypoints ? agent.placesOf(one, keypoints) : [...truth, hand.slice(0, 2)];
  return { read: agent.readFirst(one, places, hand), ...agent.think(one, places, hand) };
});
"""


def in_page(
    described: Any, packed: str, states: list[Any], keypoints: np.ndarray | None
) -> dict[str, np.ndarray]:
    """What the page's own code makes of scenes: ``read``, ``places``, ``action``, ``value``."""
    rows = [
        {
            "keypoints": None if keypoints is None else keypoints[i].tolist(),
            "truth": [s["achieved_goal"][:2].tolist(), s["desired_goal"][:2].tolist()],
            "hand": s["observation"][:3].tolist(),
        }
        for i, s in enumerate(states)
    ]
    data = {"agent": described, "weights": packed, "scenes": rows}
    found = in_node(IN_PAGE, data, agent="what_would_it_do_agent")
    return {key: np.array([row[key] for row in found]) for key in found[0]}


@pytest.mark.parametrize("changes", READ.values(), ids=READ)
def test_the_page_reads_and_acts_as_torch_does(
    changes: dict[str, Any], world: Any, fits: Any, tmp_path: Path
) -> None:
    """State vector to rounding; action and value to float16: 1e-3 of their range was measured."""
    mapped = changes.get("state") == "keypoints"
    fit, count = fits[TRACKS] if mapped else None, 40
    file = tmp_path / "one.agent.safetensors"
    path, made, observer = wrote(file, world, fit, width=128, **changes)
    states, frames = scenes(count), pictures(count)
    observation = first_seen(observer, states, frames)
    keypoints = None
    if fit is not None:
        found, _ = places.find(kpbook.load(TRACKS), frames)
        keypoints = found[:, fit.keypoint]
    page = in_page(*stored(path, TRACKS if mapped else None), states, keypoints)

    read = np.concatenate(policy_input(observation, made.options.relative), axis=1)
    np.testing.assert_allclose(page["read"], read * observer.scale, rtol=0, atol=2e-5)
    agent = agents.load(path)
    actions, _ = agent.predict(observation)
    values = agent.value(observation, actions)
    assert np.ptp(actions, axis=0).min() > 0.3  # the agent is not indifferent
    assert np.abs(page["action"] - actions).max() < 5e-3 * np.ptp(actions)
    assert np.abs(page["value"] - values).max() < 5e-3 * np.ptp(values)
    # NumPy's networks are torch's, without rounding to 16 bits.
    networks = weights.of(path)
    np.testing.assert_allclose(networks.act(read), actions, rtol=0, atol=1e-5)
    np.testing.assert_allclose(networks.value(read, actions), values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("changes", READ.values(), ids=READ)
def test_a_first_reading_is_the_observer_s(
    changes: dict[str, Any], world: Any, fits: Any, tmp_path: Path
) -> None:
    mapped = changes.get("state") == "keypoints"
    fit = fits[TRACKS] if mapped else None
    _, made, observer = wrote(tmp_path / "one", world, fit, **changes)
    states, frames = scenes(7), pictures(7)
    expected = policy_input(first_seen(observer, states, frames), made.options.relative)
    hand = np.stack([s["observation"][:3] for s in states]).astype(float)
    if fit is None:
        cube, target = (
            np.stack([s[key][:2] for s in states]) for key in ("achieved_goal", "desired_goal")
        )
        points = np.stack([cube, target, hand[:, :2]], axis=1)
    else:
        points = fit.place(places.find(kpbook.load(TRACKS), frames)[0])
    read = weights.first_reading(made.options, points, hand)
    np.testing.assert_allclose(read, np.concatenate(expected, axis=1), rtol=0, atol=1e-6)


def test_mean_positions_of_heat_maps_are_torch_s() -> None:
    network = kpbook.load(TRACKS)
    frame = pictures(3)[1:2]
    with torch.no_grad():
        maps = network.heatmaps(kpbook.images.to_float(frame))[0]
    data = {"maps": maps.numpy().ravel().tolist(), "dims": list(maps.shape)}
    script = "answer = agent.expectation({ data: data.maps, dims: data.dims }, [3, 0, 31])"
    found = in_node(script, data, agent="what_would_it_do_agent")
    expected, _ = places.find(network, frame)
    np.testing.assert_allclose(found, expected[0, [3, 0, 31]], rtol=0, atol=1e-5)


def test_networks_refuse_what_does_not_fit(trio: Any, tmp_path: Path) -> None:
    networks = weights.of(trio[2][1])
    with pytest.raises(ValueError, match=r"read: got shape \(2, 5\)"):
        networks.act(np.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"actions: got shape \(1, 3\)"):
        networks.value(np.zeros((2, 14)), np.zeros((1, 3)))
    with pytest.raises(TypeError, match="agent: got 3, expected an Agent"):
        weights.of(3)
    with pytest.raises(FileNotFoundError, match="no such file"):
        weights.of(tmp_path / "none")
    with pytest.raises(ValueError, match="got state='full' with points='objects'"):
        weights.first_reading(
            configuration("cpu", state="full").options, np.zeros((1, 3, 2)), np.zeros((1, 3))
        )


# -- the class -------------------------------------------------------------------------------------


def test_an_agent_and_its_file_are_the_same(trio: Any, figure: WhatWouldItDo) -> None:
    loaded = WhatWouldItDo(*((name, agents.load(path)) for name, path in trio))
    assert loaded.weights == figure.weights
    assert loaded.networks == figure.networks


def test_the_menu_has_networks_and_true_places(figure: WhatWouldItDo) -> None:
    rows = [(one["name"], one["label"], one["file"]) for one in figure.networks]
    assert rows == [
        (TRACKS, "The book's recipe", f"{TRACKS}.onnx"),
        (LOST, "KeyNet, all three switches", f"{LOST}.onnx"),
        ("true", "True places", None),
    ]
    assert figure.network == TRACKS


def test_the_first_view_is_read_by_torch(figure: WhatWouldItDo, fits: Any) -> None:
    example = Poses.sample().example[None]
    found, _ = places.find(kpbook.load(TRACKS), example)
    np.testing.assert_allclose(
        figure.networks[0]["seen"], found[0, fits[TRACKS].keypoint], rtol=0, atol=1e-6
    )
    believed = figure.first_action()["places"]
    np.testing.assert_allclose(believed, fits[TRACKS].place(found)[0], rtol=0, atol=1e-5)


def test_the_still_says_what_is_seen_and_done(figure: WhatWouldItDo, trio: Any) -> None:
    words = r"the cube at .* cm off and the target at .* cm off\. It would move the hand [\d.]+ cm"
    still = figure.still()
    assert re.search(f"With The book.*s recipe, an agent sees {words}", still)
    assert still.count("<circle") == 3
    assert still.count("<polygon") == 1
    true = WhatWouldItDo(trio[2], network="true").still()
    assert "With True places" in true
    assert true.partition("<figcaption>")[2].count("0.0 cm off") == 2


def test_the_still_s_arrow_starts_at_the_hand(figure: WhatWouldItDo) -> None:
    line = re.search(r'x1="([\d.]+)" y1="([\d.]+)"', figure.still())
    assert line is not None
    hand = to_pixels(Poses.sharp().hand[0], (256, 256)) + 0.5
    np.testing.assert_allclose([float(v) for v in line.groups()], hand, atol=0.1)


def test_the_kernel_answers_keypoints_and_heat_maps(
    figure: WhatWouldItDo, monkeypatch: Any
) -> None:
    said: list[tuple[Any, Any]] = []
    monkeypatch.setattr(
        figure, "send", lambda content, buffers=None: said.append((content, buffers))
    )
    image = kpbook.images.to_float(Poses.sample().example[None])
    question = {"question": 3, "network": TRACKS, "shapes": {"images": list(image.shape)}}
    figure._answer(figure, question, [memoryview(image.numpy().tobytes())])
    ((content, buffers),) = said
    assert content["shapes"] == {"keypoints": [32, 2], "heatmaps": [32, 32, 32]}
    points = np.frombuffer(buffers[0], np.float32).reshape(32, 2)
    np.testing.assert_allclose(points, figure.networks[0]["first"], atol=1e-5)


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("cube", [0.3, 0.0], "cube: .*-0.2"),
        ("pose", 17, "pose: .*There are 17"),
        ("network", "none", "network: got 'none', expected one of 'rarity', .*'true'"),
        ("engine", "torch", "engine: got 'torch'"),
    ],
)
def test_traits_are_checked(figure: WhatWouldItDo, trait: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        setattr(figure, trait, value)


def test_a_misspelt_option_is_said(trio: Any) -> None:
    with pytest.raises(ValueError, match=r"option: got 'nework', .*'network'.*Did you mean"):
        WhatWouldItDo(trio[2], nework="true")
    with pytest.raises(ValueError, match="option: got 'keypoint'"):
        WhatWouldItDo(trio[2], keypoint=3)


def test_what_does_not_go_together_is_named(
    trio: Any, world: Any, fits: Any, tmp_path: Path
) -> None:
    path = trio[0][1]
    with pytest.raises(TypeError, match="agents: got 'rarity', expected a pair"):
        WhatWouldItDo("rarity", path)
    with pytest.raises(ValueError, match="got state='keypoints' and points='objects' for true"):
        WhatWouldItDo((None, path))
    with pytest.raises(ValueError, match=r"got state='true' .* for rarity, expected state='key"):
        WhatWouldItDo((TRACKS, trio[2][1]))
    with pytest.raises(
        ValueError, match=r"fit to keypoint \d+ for yours, expected one to 2 points"
    ):
        WhatWouldItDo((Two().eval(), path))
    with pytest.raises(TypeError, match="agent: got None, expected an Agent"):
        WhatWouldItDo((TRACKS, None))
    full, _, _ = wrote(tmp_path / "full", world, None, state="full")
    with pytest.raises(ValueError, match="got state='full'"):
        WhatWouldItDo((None, full))


class Two(torch.nn.Module):
    """Two keypoints in the middle."""

    image_size = (64, 64)

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def heatmaps(self, images: torch.Tensor) -> torch.Tensor:
        return torch.full((len(images), 2, 8, 8), 1 / 64)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(images), 2, 2)


def test_those_that_ship_come_by_themselves(trio: Any, monkeypatch: Any) -> None:
    with_none = {"true": trio[2][1], LOST: trio[1][1], TRACKS: trio[0][1]}
    monkeypatch.setattr(agents, "shipped", lambda: with_none)
    assert [one["name"] for one in WhatWouldItDo().networks] == [TRACKS, LOST, "true"]
    monkeypatch.setattr(agents, "shipped", dict)
    with pytest.raises(ValueError, match="agents: got none, and none ships"):
        WhatWouldItDo()


def test_shipped_agents_are_found_by_their_files(tmp_path: Path, monkeypatch: Any) -> None:
    for name in ("true", "rarity"):
        (tmp_path / f"{name}.agent.safetensors").touch()
    (tmp_path / "README.md").touch()
    monkeypatch.setattr(agents, "_DATA", tmp_path)
    assert list(agents.shipped()) == ["rarity", "true"]
    assert agents.shipped()["true"].name == "true.agent.safetensors"


def test_two_agents_of_one_network_are_numbered(trio: Any) -> None:
    network = kpbook.load(TRACKS)
    names = WhatWouldItDo(trio[0], trio[2], (network, trio[0][1]), trio[2]).networks
    assert [one["name"] for one in names] == [TRACKS, "true", f"{TRACKS} (2)", "true (2)"]


def test_the_figure_needs_neither_simulator_nor_stable_baselines3(trio: Any) -> None:
    pairs = [(name, str(path)) for name, path in trio]
    code = (
        "import sys\n"
        "for name in ('gymnasium', 'stable_baselines3', 'panda_gym', 'pybullet'):\n"
        "    sys.modules[name] = None\n"
        "from kpbook.widgets import WhatWouldItDo\n"
        f"print(len(WhatWouldItDo(*{pairs!r}).still()) > 1000)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.strip() == "True", done.stderr


def test_what_a_page_stores_stays_small(world: Any, tmp_path: Path) -> None:
    """Of agents as wide as those that are trained, besides what the scene costs."""
    path, _, _ = wrote(tmp_path / "one", world, None, width=128)
    one, two = (size_of(WhatWouldItDo(*[(None, path)] * n).get_state()) for n in (1, 2))
    assert two - one < 130 * KIB
    assert one - (two - one) < 115 * KIB


# -- in a browser ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_site(figure: WhatWouldItDo, tmp_path_factory: Any) -> Path:
    """A page of our own, as the book's build makes one, with what its figure asks for."""
    from ipywidgets.embed import embed_data

    runtime = ROOT / "book" / "node_modules" / "onnxruntime-web" / "dist"
    built = SITE / "_static" / "onnxruntime"
    there = next((folder for folder in (built, runtime) if folder.is_dir()), None)
    if there is None:
        left_out("no onnxruntime-web: run `make book` first")
    folder = tmp_path_factory.mktemp("site")
    static = folder / "_static"
    for part in ("live", "widgets", "onnxruntime"):
        (static / part).mkdir(parents=True)
    shutil.copy(ROOT / "book/_assets/widgets/static-anywidget.js", static / "widgets")
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"):
        shutil.copy(there / name, static / "onnxruntime")
    for name in (TRACKS, LOST):
        export.to_onnx(kpbook.load(name), static / "live" / f"{name}.onnx")
    (static / "live" / "parity.mjs").write_text("export default {};\n")
    data = embed_data(views=[figure], drop_defaults=False)
    state, view = json.dumps(data["manager_state"]), json.dumps(data["view_specs"][0])
    (folder / "page.html").write_text(
        '<!doctype html><html lang="en" data-content_root="./"><head><title>Page</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<link rel="icon" href="data:,">'
        '<script defer src="_static/widgets/static-anywidget.js"></script></head><body><main>'
        f"<h1>Page</h1>{figure.still()}{STATE}{state}</script>"
        f'<script type="{VIEW}">{view}</script></main></body></html>',
        encoding="utf-8",
    )
    return folder


@pytest.fixture(scope="module")
def site_url(own_site: Path) -> Iterator[str]:
    """Address of our own page's folder, in the place of the book's."""
    handler = functools.partial(conftest._QuietHandler, directory=str(own_site))
    server = conftest._Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


class Figure(LiveFigure):
    """The figure in a browser, which answers later than its next frame."""

    name, grip = "what-would-it-do", "cube"

    def drag(self, what: Any, dx: float, dy: float = 0) -> None:
        super().drag(what, dx, dy)
        self.current()

    def current(self) -> None:
        """Wait for the network's answer, if one was asked, and for the map."""
        for what in ("current", "mapped"):
            self.page.wait_for_function(f"document.querySelector('#{self.name}').kpbook.{what}()")
        self.settle()

    def see_with(self, name: str) -> None:
        self.choose("What the agent sees with", name)
        self.current()

    def off(self, k: int = 0) -> float:
        """Metres between where the agent sees cube (0) or target (1) and where it is."""
        truth = self.ask("state")[("cube", "target")[k]]
        return float(np.linalg.norm(np.subtract(self.ask("mind")["places"][k], truth)))


@pytest.fixture
def live(visit: Visit) -> Iterator[Figure]:
    visit.page.goto(f"{visit.url}/page.html")
    yield Figure(visit.page)
    visit.check()


site_test = pytest.mark.site
browser_test = pytest.mark.slow


@site_test
@browser_test
def test_nothing_is_loaded_before_the_first_touch(visit: Visit) -> None:
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.page.goto(f"{visit.url}/page.html")
    live = Figure(visit.page)
    visit.page.wait_for_timeout(500)
    assert not [url for url in asked if "onnx" in url]
    captions = live.at.locator("figcaption").all_inner_texts()
    assert captions[0].startswith("What the critics expect for the hand at each place 20 cm")
    assert re.fullmatch(r"Heat map of keypoint \d+, the cube's", captions[2])
    live.see_with("true")  # it needs none either
    live.drag("cube", 20, 10)
    assert not [url for url in asked if "onnx" in url]
    live.see_with(TRACKS)
    live.answered()
    heavy = sorted({url.rpartition("/")[2] for url in asked if "onnx" in url})
    assert heavy == ["ort-wasm-simd-threaded.wasm", "ort.wasm.bundle.min.mjs", f"{TRACKS}.onnx"]
    visit.check()


@site_test
@browser_test
def test_the_first_view_is_the_still_s(live: Figure, figure: WhatWouldItDo) -> None:
    mind, expected = live.ask("mind"), figure.first_action()
    np.testing.assert_allclose(mind["places"], expected["places"], atol=1e-4)
    np.testing.assert_allclose(mind["action"], expected["action"], atol=2e-2)
    assert abs(mind["value"] - expected["value"]) < 2e-2


@site_test
@browser_test
def test_a_network_that_tracks_turns_the_arrow_and_one_that_does_not_hardly(live: Figure) -> None:
    moved = {}
    for name in (TRACKS, LOST):
        live.see_with(name)
        before = live.ask("mind")
        live.drag("cube", 70, 25)
        after = live.ask("mind")
        moved[name] = np.linalg.norm(np.subtract(after["places"][0], before["places"][0]))
        if name == TRACKS:
            assert live.off() < 0.03
            assert np.abs(np.subtract(after["action"], before["action"])).max() > 0.05
        else:
            assert live.off() > 0.05
        live.reset()
    assert moved[TRACKS] > 1.5 * moved[LOST]
    assert moved[TRACKS] > 0.05


@site_test
@browser_test
@pytest.mark.parametrize("name", [TRACKS, LOST, "true"])
def test_the_browser_does_what_torch_says(
    live: Figure, name: str, figure: WhatWouldItDo, trio: Any
) -> None:
    """Of the page's own pixels: what is seen, the action, its value, and the map."""
    live.see_with(name)
    live.drag("cube", -40, 30)
    live.slide("Pose of the arm", 4)
    live.current()
    state, mind = live.ask("state"), live.ask("mind")
    agent = weights.of(dict(trio)[None if name == "true" else name])
    hand = Poses.sample().hand_m[[state["pose"]]]
    points = np.array([[state["cube"], state["target"], hand[0, :2]]])
    if name != "true":
        pixels = np.array(live.ask("pixels"), dtype=np.uint8).reshape(1, 64, 64, 3)
        assert agent.fit is not None
        points = agent.fit.place(places.find(kpbook.load(name), pixels)[0])
        assert live.ask("parities")[name] < 1e-4
    np.testing.assert_allclose(mind["places"], points[0], rtol=0, atol=1e-4)
    options = agent.configuration.options
    read = weights.first_reading(options, points, hand)
    np.testing.assert_allclose(live.ask("read"), read[0] * agent.scale, rtol=0, atol=1e-3)
    actions = agent.act(read)
    np.testing.assert_allclose(mind["action"], actions[0], rtol=0, atol=2e-2)
    np.testing.assert_allclose(live.ask("moved"), 0.1 * actions[0], rtol=0, atol=2e-3)

    shown = live.ask("map")
    R = Poses.sample().camera.X_WC[:3, :3]
    right, away = (v[:2] / np.linalg.norm(v[:2]) for v in (R[:, 0], R[:, 2]))
    steps = 0.25 * ((2 * np.arange(25) + 1) / 25 - 1)
    a, r = np.meshgrid(shown["middle"][1] - steps, shown["middle"][0] + steps, indexing="ij")
    cells = (r[..., None] * right + a[..., None] * away).reshape(-1, 2)
    many = np.repeat(points, len(cells), axis=0)
    many[:, 2] = cells
    hands = np.concatenate([cells, np.full((len(cells), 1), hand[0, 2])], axis=1)
    each = weights.first_reading(options, many, hands)
    expected = agent.value(each, agent.act(each))
    assert np.abs(np.array(shown["values"]) - expected).max() < 2e-2 * np.ptp(expected)
    assert shown["low"] == pytest.approx(min(shown["values"]))


@site_test
@browser_test
def test_true_places_need_no_picture(live: Figure) -> None:
    sentence = live.at.get_by_text("This agent reads the true places of cube and target")
    heat = live.at.get_by_text("Heat map of keypoint")
    assert heat.is_visible()
    assert not sentence.is_visible()
    live.see_with("true")
    assert sentence.is_visible()
    assert not heat.is_visible()
    live.at.get_by_label("A grey wall").check()
    live.drag("target", 30, 10)
    words = live.words()
    assert words.count("0.0 cm from where it is") == 2
    assert re.search(r"would (hardly )?move the hand.*; its critics expect .*on the map\.$", words)
    live.see_with(LOST)
    assert heat.is_visible()
    assert not sentence.is_visible()


@site_test
@browser_test
def test_arrow_keys_move_cube_and_target_and_what_is_seen(live: Figure) -> None:
    for name, k in (("cube", 0), ("target", 1)):
        before = live.ask("mind")["places"][k]
        live.handle(name).press("Shift+ArrowRight")
        live.current()
        assert np.linalg.norm(np.subtract(live.ask("mind")["places"][k], before)) > 0.02
        assert live.off(k) < 0.04
    assert "the agent sees the cube at" in live.words()


@site_test
@browser_test
def test_reset_and_link_bring_a_view_back(live: Figure) -> None:
    first = live.ask("state")
    assert "keypoint" not in first
    live.see_with("true")
    live.drag("cube", 50, 10)
    live.at.get_by_label("A grey wall").check()
    changed = live.ask("state")
    link = live.copied_link()
    live.reset()
    assert live.ask("state") == first
    again = live.opened(link)
    assert again.ask("state") == changed
    again.current()


@site_test
@browser_test
def test_it_fits_a_phone_and_breaks_no_rule(visit: Visit) -> None:
    visit.page.goto(f"{visit.url}/page.html")
    live = Figure(visit.page)
    for size in ({"width": 1280, "height": 900}, {"width": 360, "height": 740}):
        visit.page.set_viewport_size(size)
        live.settle()
        for name in (TRACKS, "true"):
            live.see_with(name)
            for theme in ("light", "dark"):
                assert live.violations(theme) == [], theme
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    visit.check()


@site_test
@browser_test
def test_a_finger_moves_it_on_a_phone_and_not_the_page(browser: Any, site_url: str) -> None:
    with on_a_phone(browser, f"{site_url}/page.html") as page:
        figure = Figure(page)
        figure.handle().scroll_into_view_if_needed()
        figure.settle()
        before, scrolled = figure.ask("state"), page.evaluate("scrollY")
        x, y = figure.centre(figure.handle())
        figure.finger([(x - k, y + k / 2) for k in range(0, 60, 10)])
        assert figure.ask("state") != before
        assert page.evaluate("scrollY") == scrolled


@site_test
@browser_test
def test_without_a_script_a_picture_and_its_words_stay(visit: Visit) -> None:
    visit.page.route("**/static-anywidget.js", lambda route: route.fulfill(body=""))
    visit.page.goto(f"{visit.url}/page.html")
    caption = caption_of_still(visit.page)
    assert "A still picture of a live figure that needs JavaScript" in caption
    assert "It would move the hand" in caption


@site_test
@browser_test
def test_without_its_network_the_figure_says_so_and_true_places_still_work(visit: Visit) -> None:
    visit.page.route(f"**/{TRACKS}.onnx", lambda route: route.abort())
    visit.page.goto(f"{visit.url}/page.html")
    figure = Figure(visit.page)
    figure.handle().press("Shift+ArrowRight")
    figure.at.and_(visit.page.locator("[data-engine=failed]")).wait_for(timeout=20_000)
    assert "could not start in this browser" in figure.at.get_by_role("status").first.inner_text()
    assert figure.words() == "The book's recipe has not answered for this scene yet."
    figure.see_with("true")
    assert figure.words().count("0.0 cm from where it is") == 2
    assert figure.at.get_by_role("status").first.inner_text() == ""


@site_test
@browser_test
def test_another_network_under_a_known_name_moves_no_arrow(visit: Visit, own_site: Path) -> None:
    other = own_site / "_static" / "live" / f"{LOST}.onnx"
    visit.page.route(f"**/live/{TRACKS}.onnx", lambda route: route.fulfill(path=other))
    visit.page.goto(f"{visit.url}/page.html")
    figure = Figure(visit.page)
    figure.handle().press("Shift+ArrowRight")
    figure.answered()
    assert figure.ask("mind") is None
    assert "cannot read this one" in figure.words()
    assert figure.at.get_by_text("No map: the agent cannot read this network").is_visible()
    figure.see_with("true")
    assert figure.ask("mind") is not None
    visit.check()
