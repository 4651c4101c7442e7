"""The camera of chapter 2: the class alone, and the figure on the built page, used as a reader."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import Visit
from live import (
    LiveFigure,
    in_node,
)
from scipy.spatial import Delaunay

from kpbook.cameras import Camera
from kpbook.grid import to_pixels
from kpbook.recordings import push_views as views
from kpbook.recordings.push_moment import Moment
from kpbook.widgets import CameraFigure
from kpbook.widgets.camera import IMAGE_SIZE, LIMITS, PRESETS, TOLERANCE

PAGE = "book/02_world.html"
site_test = pytest.mark.site
evaluate = functools.partial(in_node, orbit="orbit", figure="camera_state")
PAPER = PRESETS["cramer2024"]


# -- the same numbers in the page and in kpbook ------------------------------------------------


def random_orbits(count: int) -> list[dict[str, Any]]:
    """Cameras all over the sliders' ranges, and beyond: from below, too."""
    rng = np.random.default_rng(0)
    return [
        {
            "target": rng.uniform(-0.3, 0.3, 3).tolist(),
            "distance": rng.uniform(*LIMITS["distance"]),
            "yaw": rng.uniform(*LIMITS["yaw"]),
            "pitch": rng.uniform(-90, 90),
            "fov": rng.uniform(*LIMITS["fov"]),
            "H": int(rng.integers(20, 300)),
            "W": int(rng.integers(20, 300)),
        }
        for _ in range(count)
    ]


def test_the_page_projects_as_kpbook_does_also_behind_the_camera() -> None:
    """200 cameras, 40 points each: pixels, depth and both matrices to 1e-9."""
    orbits = random_orbits(200)
    p_W = np.random.default_rng(1).uniform(-1.0, 1.0, (40, 3))
    script = """answer = data.orbits.map((o) => {
      const camera = orbit.orbitCamera(o, o.H, o.W);
      const steps = data.p_W.map((p) => orbit.stepsOf(camera, p));
      return { M: camera.M, X_CW: camera.X_CW, steps };
    })"""
    behind = 0
    for o, got in zip(
        orbits, evaluate(script, {"orbits": orbits, "p_W": p_W.tolist()}), strict=True
    ):
        size = (o["H"], o["W"])
        camera = Camera.orbit(o["target"], o["distance"], o["yaw"], o["pitch"], o["fov"], size)
        np.testing.assert_allclose(got["M"], camera.intrinsics, rtol=1e-12)
        np.testing.assert_allclose(got["X_CW"], camera.X_CW, atol=1e-12)
        image, depth_m = camera.project(p_W)
        pixels = to_pixels(image, size)
        for k, steps in enumerate(got["steps"]):
            np.testing.assert_allclose(steps["p_C"][2], depth_m[k], atol=1e-12)
            if np.isnan(image[k]).any():
                assert steps["pixel"] is steps["image"] is steps["normalised"] is None
                behind += 1
                continue
            # a point at 1e-3 of the camera's plane has its rounding multiplied by 1e3
            np.testing.assert_allclose(steps["pixel"], pixels[k], rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(steps["image"], image[k], rtol=1e-9, atol=1e-9)
            within = (
                np.abs(pixels[k] - [(o["W"] - 1) / 2, (o["H"] - 1) / 2]) * 2 < size[::-1]
            ).all()
            assert steps["inside"] == within
    assert 500 < behind < 200 * 40 - 500


def test_page_and_class_agree_on_which_recorded_view_fits() -> None:
    rng, figure, states = np.random.default_rng(2), CameraFigure(), []
    for name, near in PRESETS.items():
        for spread in (0.0, 0.4, 0.9, 1.1, 2.0):
            state = near._asdict() | {"target": list(near.target)}
            for number, most in TOLERANCE.items():
                state[number] += spread * most * rng.choice([-1, 1])
            state["pitch"] = max(state["pitch"], -90.0)
            states.append((state, name if spread < 1 else None))
    script = "answer = data.states.map((s) => figure.recordedView(s, data.scene)?.name ?? null)"
    found = evaluate(script, {"states": [s for s, _ in states], "scene": figure.scene})
    assert found == [name for _, name in states]
    assert [CameraFigure(**state)._recorded() for state, _ in states] == found


# -- lines and pictures fall together ----------------------------------------------------------


def test_the_recorded_cameras_are_those_of_these_numbers() -> None:
    recorded = views.sample()
    assert recorded.views == tuple(PRESETS)
    for name, camera in zip(recorded.views, recorded.cameras, strict=True):
        assert PRESETS[name].camera(views.IMAGE_SIZE) == camera


def inside_hull(corners_px: np.ndarray, size: int) -> np.ndarray:
    """Pixels ``(H, W)`` whose centre lies within the convex hull of points ``(N, 2)``."""
    row, column = np.mgrid[:size, :size]
    where = np.stack([column, row], axis=-1).reshape(-1, 2)
    return np.asarray(Delaunay(corners_px).find_simplex(where) >= 0).reshape(size, size)


@pytest.mark.parametrize("view", range(len(PRESETS)), ids=list(PRESETS))
def test_the_cube_s_pixels_lie_where_its_projected_edges_are(view: int) -> None:
    """Overlap at least 0.95; from above, where the arm hides a part, all that is seen lies in."""
    recorded, figure = views.sample(), CameraFigure()
    corners = np.array([p["p_W"] for p in figure.scene["points"] if "corner" in p["name"]])
    points, _ = recorded.cameras[view].project(corners)
    drawn = inside_hull(to_pixels(points, views.IMAGE_SIZE), views.IMAGE_SIZE)
    seen = recorded.mask[view] == 1
    assert seen.sum() > 100
    assert (drawn & seen).sum() / seen.sum() > 0.95
    hidden_by_the_arm = drawn & np.isin(recorded.mask[view], (3, 4))
    assert (drawn & seen).sum() / (drawn & ~hidden_by_the_arm).sum() > 0.95
    wrong = recorded.cameras[(view + 1) % 4].project(corners)[0]
    other = inside_hull(to_pixels(wrong, views.IMAGE_SIZE), views.IMAGE_SIZE)
    assert (other & seen).sum() / (other | seen).sum() < 0.6  # another camera's edges would not


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_picture_is_shown_only_where_the_lines_still_fall_on_it(name: str) -> None:
    """At the worst corner of the tolerance the cube is at most 1 % of the image off."""
    orbit, recorded = PRESETS[name], views.sample()
    corners = views.cube_corners(recorded.positions[0])
    right = orbit.camera(IMAGE_SIZE).project(corners)[0]
    off = []
    for signs in itertools.product((-1, 1), repeat=4):
        moved = {
            number: getattr(orbit, number) + sign * most
            for sign, (number, most) in zip(signs, TOLERANCE.items(), strict=True)
        }
        off.append(np.abs(orbit._replace(**moved).camera(IMAGE_SIZE).project(corners)[0] - right))
    assert np.max(off) / 2 < 0.01


@pytest.mark.parametrize("view", range(len(PRESETS)), ids=list(PRESETS))
def test_the_table_s_outline_is_the_table_s(view: int) -> None:
    """2 cm within the outline the picture shows the lid, 2 cm beyond it what lies lower."""
    recorded, (xs, ys) = views.sample(), np.array(views.TABLE)
    camera, H = recorded.cameras[view], views.IMAGE_SIZE
    edge = np.linspace(-0.95, 0.95, 60)
    middle, half = np.array([xs.mean(), ys.mean()]), np.array([np.ptp(xs), np.ptp(ys)]) / 2
    counts = {}
    for sign in (-1, 1):
        sides = [np.c_[np.full(60, s), edge] for s in (-1, 1)]
        around = np.concatenate([*sides, *(side[:, ::-1] for side in sides)])  # of the unit square
        out = np.where(np.abs(around) == 1, np.sign(around) * sign * 0.02, 0)
        p_W = np.c_[middle + around * half + out, np.zeros(len(around))]
        points, depth_m = camera.project(p_W)
        column, row = np.floor(to_pixels(points, H) + 0.5).T
        seen = (depth_m > 0) & (np.minimum(column, row) >= 0) & (np.maximum(column, row) < H)
        column, row = column[seen].astype(int), row[seen].astype(int)
        free = recorded.mask[view, row, column] == 0  # no arm before it
        there = recorded.depth_m[view, row, column][free] - depth_m[seen][free]
        counts[sign] = np.abs(there) < 0.01  # metres
    assert len(counts[-1]) > 20
    assert counts[-1].mean() > 0.97
    assert counts[1].mean() < 0.03


@pytest.mark.world
@pytest.mark.slow
def test_the_shipped_views_are_what_the_simulator_draws(simulator: None) -> None:
    from kpbook.world.push import moment  # needs the simulator

    shipped, drawn = views.sample(), moment.take_views()
    assert (shipped.views, shipped.objects, shipped.cameras) == (
        drawn.views, drawn.objects, drawn.cameras,
    )  # fmt: skip
    for name in ("frames", "mask"):  # another C library may round a pixel at an edge otherwise
        assert (getattr(shipped, name) != getattr(drawn, name)).mean() < 1e-3, name
    np.testing.assert_allclose(shipped.positions, drawn.positions, atol=1e-6)


def test_it_is_the_moment_of_chapter_2() -> None:
    shipped, chapter = views.sample(), Moment.sample()
    np.testing.assert_array_equal(shipped.positions, chapter.positions)
    assert CameraFigure().camera() == chapter.cameras[0]
    assert chapter.cameras[0].image_size == (IMAGE_SIZE, IMAGE_SIZE)


# -- the class ---------------------------------------------------------------------------------


def test_what_the_prompt_says_to_notice_happens() -> None:
    first = CameraFigure().camera()
    narrow, far = CameraFigure(fov=20.0).camera(), CameraFigure(distance=2.0).camera()
    np.testing.assert_array_equal(narrow.X_CW, first.X_CW)
    assert (narrow.intrinsics != first.intrinsics).sum() == 2  # f, twice
    np.testing.assert_array_equal(far.intrinsics, first.intrinsics)
    moved = np.abs(far.X_CW - first.X_CW) > 1e-12
    assert np.argwhere(moved).tolist() == [[2, 3]]

    def spread(camera: Camera) -> float:
        """How unlike the cube's four edges along x look: 1 minus shortest over longest."""
        ends = views.cube_corners(views.sample().positions[0]).reshape(4, 2, 3)  # bit 0: x
        seen = camera.project(ends)[0]
        lengths = np.linalg.norm(seen[:, 1] - seen[:, 0], axis=-1)
        return 1 - float(lengths.min() / lengths.max())

    lens = np.degrees(2 * np.arctan(np.tan(np.radians(30)) * 0.7 / 2.0))  # the cube's old size
    assert spread(CameraFigure(distance=2.0, fov=lens).camera()) < 0.5 * spread(first)


@pytest.mark.parametrize(
    ("traits", "message"),
    [
        ({"distance": 0.0}, r"distance: got 0, expected values in \[0.1, 2\]. Metres"),
        ({"pitch": 10.0}, r"pitch: got 10, expected .* Degrees: 0 is level"),
        ({"yaw": 270.0}, "yaw: got 270"),
        ({"fov": float("nan")}, "fov: got nan"),
        ({"target": [0, 0]}, r"target: got shape \(2,\)"),
        ({"target": [0, 0, 5]}, r"target: got values from 0 to 5, expected values in \[-1, 1\]"),
        ({"point": "corner8"}, "point: got 'corner8', expected one of 'cube', 'target'"),
    ],
)
def test_bad_traits_are_refused_with_a_message_that_teaches(
    traits: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        CameraFigure(**traits)


def test_the_still_says_the_truth_s_pixels_and_what_has_no_image() -> None:
    recorded = views.sample()
    still = CameraFigure().still()
    large = recorded.cameras[0]
    for camera, form in (
        (large.resized(IMAGE_SIZE), "the {name} on pixel ({u:.1f}, {v:.1f})"),
        (large, '<circle cx="{u_edge:.2f}" cy="{v_edge:.2f}"'),  # SVG counts from the edge
    ):
        pixels = to_pixels(camera.project(recorded.positions)[0], camera.image_size)
        for name, (u, v) in zip(("cube", "target", "end effector"), pixels, strict=True):
            assert form.format(name=name, u=u, v=v, u_edge=u + 0.5, v_edge=v + 0.5) in still
    assert "<script" not in still
    close = CameraFigure(distance=0.1, yaw=-135.0).still()
    assert "the end effector behind the camera, without an image" in close
    assert close.count("<circle") == still.count("<circle") - 1
    assert "nan" not in close


# -- the built page ----------------------------------------------------------------------------


class Figure(LiveFigure):
    """The figure in a browser, held against kpbook's camera."""

    name, grip = "camera", "orbit"

    def camera(self) -> Camera:
        """The camera of the page's state, by kpbook."""
        s = self.ask("state")
        numbers = (s["target"], s["distance"], s["yaw"], s["pitch"], s["fov"])
        return Camera.orbit(*numbers, image_size=IMAGE_SIZE)

    def agrees_with_kpbook(self) -> None:
        """Every number that is shown follows from the state, by kpbook's own code."""
        camera, chosen = self.camera(), self.ask("state")["point"]
        for name, steps in self.ask("points").items():
            image, depth_m = camera.project(np.array(steps["p_W"]))
            assert steps["p_C"][2] == pytest.approx(float(depth_m), abs=1e-12)
            if np.isnan(image).any():
                assert steps["pixel"] is None
            else:
                np.testing.assert_allclose(steps["image"], image, rtol=1e-9, atol=1e-9)
            if name == chosen:
                self._table_shows(steps, camera)
        np.testing.assert_allclose(
            self.numbers("[data-matrix=M] td"), camera.intrinsics.ravel(), atol=5e-3
        )
        np.testing.assert_allclose(
            self.numbers("[data-matrix=X_CW] td"), camera.X_CW.ravel(), atol=5.01e-4
        )

    def _table_shows(self, steps: dict[str, Any], camera: Camera) -> None:
        p_W = np.array(steps["p_W"])
        p_C = camera.X_CW[:3, :3] @ p_W + camera.X_CW[:3, 3]
        np.testing.assert_allclose(self.numbers("[data-row=p_W] td"), p_W, atol=5.01e-4)
        np.testing.assert_allclose(self.numbers("[data-row=p_C] td"), p_C, atol=5.01e-4)
        image, _ = camera.project(p_W)
        there = not np.isnan(image).any()
        for row, values, digits in (
            ("normalised", p_C[:2] / p_C[2], 3),
            ("pixel", to_pixels(image, IMAGE_SIZE), 2),
            ("image", image, 3),
        ):
            shown = self.numbers(f"[data-row={row}] td")
            np.testing.assert_allclose(shown, values if there else [], atol=0.501 * 10**-digits)

    def numbers(self, cells: str) -> list[float]:
        texts = self.at.locator(cells).all_inner_texts()
        return [float(text.replace("\u2212", "-")) for text in texts if text]

    def colour(self, pixel: list[float]) -> list[int]:
        """What the canvas shows at a pixel of the image, red, green and blue."""
        read = """(e, [u, v]) => { const c = e.shadowRoot.querySelector("canvas");
            const [x, y] = [u, v].map((p) => Math.floor(((p + 0.5) / 128) * c.width));
            return [...c.getContext("2d").getImageData(x, y, 1, 1).data].slice(0, 3); }"""
        return list(self.at.evaluate(read, pixel))


@pytest.fixture
def live(visit: Visit) -> Iterator[Figure]:
    visit.page.goto(f"{visit.url}/{PAGE}")
    yield Figure(visit.page)
    visit.check()


@site_test
@pytest.mark.slow
def test_it_starts_with_the_paper_s_camera_on_its_picture(live: Figure) -> None:
    assert live.page.locator("[data-kp-still]").filter(has_text="yaw 45°").count() == 0
    assert live.ask("recorded") == "cramer2024"
    live.agrees_with_kpbook()
    frame = views.sample().frames[0]
    bare = [[57, 4], [120, 60], [64, 122], [70, 16]]  # sky, table, its side, hand: no lines
    for u, v in bare:
        assert live.colour([u, v]) == frame[2 * v + 1, 2 * u + 1].tolist()
    live.at.get_by_label("Show the recorded picture").uncheck()
    live.settle()
    assert live.colour([70, 16]) != frame[33, 141].tolist()
    assert 'recorded view "cramer2024". The camera' in live.words()


@site_test
@pytest.mark.slow
def test_the_drawn_edges_are_where_kpbook_projects_them(live: Figure) -> None:
    """The canvas has the cube's ink along its lid's edges: half a pixel off would miss them."""
    # Three canvas pixels for each of the screen's: a line's soft border is narrow beside it.
    sharp = {"width": 1280, "height": 900, "deviceScaleFactor": 3, "mobile": False}
    session = live.page.context.new_cdp_session(live.page)
    session.send("Emulation.setDeviceMetricsOverride", sharp)
    live.slide("Distance", 0.3)
    live.slide("Field of view", 40)  # the cube is large beside the marks
    corners = views.cube_corners(views.sample().positions[0])
    ink = np.array([0xD5, 0x5E, 0x00])
    for yaw in (20, 70):
        live.slide("Yaw", yaw)
        for a, b in ((4, 5), (5, 7), (7, 6), (6, 4)):  # the lid is never hidden
            for share in (0.3, 0.7):
                image, _ = live.camera().project((1 - share) * corners[a] + share * corners[b])
                seen = live.colour(to_pixels(image, IMAGE_SIZE).tolist())
                assert np.abs(seen - ink).max() < 60, (yaw, a, b)


@site_test
@pytest.mark.slow
@pytest.mark.parametrize("by", ["handle", "picture"])
def test_a_drag_turns_the_scene_with_the_hand(live: Figure, by: str) -> None:
    place = "orbit" if by == "handle" else live.at.locator(".stage canvas")
    before, camera = live.ask("state"), live.camera()
    live.drag(place, 60, 20)
    after = live.ask("state")
    assert after["yaw"] == pytest.approx(before["yaw"] - 30)  # half a degree a pixel
    assert after["pitch"] == pytest.approx(before["pitch"] - 10)
    nearer = 0.7 * np.array(before["target"]) + 0.3 * camera.X_WC[:3, 3]  # under the hand
    moved = live.camera().project(nearer)[0] - camera.project(nearer)[0]
    assert moved[0] > 0.1
    assert moved[1] > 0.05
    assert live.ask("recorded") is None
    assert live.at.get_by_label("Camera", exact=True).input_value() == "none"
    live.agrees_with_kpbook()


@site_test
@pytest.mark.slow
def test_keys_turn_it_by_degrees_as_the_drag_does_and_stop_at_straight_down(live: Figure) -> None:
    for key, yaw, pitch in (
        ("ArrowRight", -1, 0),
        ("Shift+ArrowLeft", 10, 0),
        ("ArrowDown", 0, -1),
        ("Shift+ArrowUp", 0, 10),
    ):
        before = live.ask("state")
        live.handle().press(key)
        live.settle()
        after = live.ask("state")
        assert (after["yaw"] - before["yaw"], after["pitch"] - before["pitch"]) == (yaw, pitch)
        live.agrees_with_kpbook()
    for _ in range(8):
        live.handle().press("Shift+ArrowDown")
    assert live.ask("state")["pitch"] == -90
    assert (
        live.handle().get_attribute("aria-valuetext")
        == "yaw 54.0 degrees, pitch \u221290.0 degrees"
    )


@site_test
@pytest.mark.slow
def test_the_lens_changes_m_alone_and_the_distance_one_number(live: Figure) -> None:
    M, X_CW = (live.numbers(f"[data-matrix={name}] td") for name in ("M", "X_CW"))
    live.slide("Field of view", 30)
    assert live.numbers("[data-matrix=X_CW] td") == X_CW
    assert live.numbers("[data-matrix=M] td")[0] > 1.9 * M[0]
    M = live.numbers("[data-matrix=M] td")
    live.slide("Distance", 1.5)
    assert live.numbers("[data-matrix=M] td") == M
    changed = np.subtract(live.numbers("[data-matrix=X_CW] td"), X_CW)
    assert changed[11] == pytest.approx(1.5 - 0.7, abs=1e-3)
    assert np.count_nonzero(changed) == 1
    live.agrees_with_kpbook()


@site_test
@pytest.mark.slow
def test_a_point_behind_the_camera_has_no_image_and_the_figure_says_so(live: Figure) -> None:
    live.choose("Follow one point", "end_effector")
    live.slide("Distance", 0.1)
    live.slide("Yaw", -135)
    assert live.ask("points")["end_effector"]["p_C"][2] < 0
    live.agrees_with_kpbook()
    assert live.numbers("[data-row=pixel] td") == []
    assert "behind the camera: no image" in live.at.locator(".lost").inner_text()
    assert "the end effector is behind the camera and has no image" in live.words()


@site_test
@pytest.mark.slow
@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_stands_where_the_recorded_camera_stood(live: Figure, name: str) -> None:
    live.slide("Field of view", 90)
    live.choose("Camera", name)
    assert live.ask("recorded") == name
    recorded = views.sample()
    camera = recorded.cameras[recorded.views.index(name)].resized(IMAGE_SIZE)
    np.testing.assert_allclose(live.camera().X_WC, camera.X_WC, atol=1e-12)
    np.testing.assert_allclose(live.camera().intrinsics, camera.intrinsics, rtol=1e-12)
    live.agrees_with_kpbook()


@site_test
@pytest.mark.slow
def test_reset_and_link_bring_a_view_back(live: Figure) -> None:
    first = live.ask("state")
    live.drag("orbit", -33, 12)
    live.slide("Distance", 0.45)
    live.choose("Follow one point", "corner6")
    live.at.get_by_label("Show the recorded picture").uncheck()
    changed = live.ask("state")
    assert all(changed[name] != first[name] for name in ("yaw", "pitch", "distance", "point"))
    link = live.copied_link()
    live.reset()
    assert live.ask("state") == first
    assert live.opened(link).ask("state") == changed


@site_test
@pytest.mark.slow
@pytest.mark.alone
def test_a_frame_is_drawn_in_time(live: Figure) -> None:
    assert live.redraw_cost() < 1
