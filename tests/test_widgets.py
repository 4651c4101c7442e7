"""Live figures without a browser: the joined front end, its arithmetic under node, the traits."""

from __future__ import annotations

import base64
import functools
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import torch
import traitlets
from conftest import ROOT
from live import KIB, WIDGETS, in_node, node, size_of

import kpbook
from kpbook import widgets
from kpbook.widgets import SoftArgmaxPlayground, _base, soft_argmax

LOADER = ROOT / "book" / "_assets" / "widgets" / "static-anywidget.js"
evaluate = functools.partial(in_node, core="core", figure="soft_argmax")


@pytest.mark.parametrize("path", sorted(WIDGETS.glob("*.mjs")), ids=lambda path: path.stem)
def test_a_part_imports_what_it_uses_and_uses_what_it_imports(path: Path) -> None:
    """Joined, all parts share one scope, so a missing import would go unnoticed."""
    text = path.read_text(encoding="utf-8")
    imports = re.findall(r'^import \{([^}]*)\} from "\./[\w-]+\.mjs";$', text, re.MULTILINE)
    known = {name.strip() for names in imports for name in names.split(",") if name.strip()}
    body = re.sub(r"^import [^;]*;$", "", text, flags=re.MULTILINE | re.DOTALL)
    body = re.sub(r"//[^\n]*|/\*\*.*?\*/", "", body, flags=re.DOTALL)  # comments
    used = set(re.findall(r"(?<![.\w])[A-Za-z_$][\w$]*", body.replace("...", "")))
    called = set(re.findall(r"(?<![.\w])(\w+)\(", body.replace("...", "")))
    defined = r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)"
    own = set(re.findall(defined, text, re.MULTILINE))
    own |= set(re.findall(r"^  (?:async )?(\w+)\(.*\{$", text, re.MULTILINE))  # methods
    own |= set(re.findall(r"\b(?:const|let) (\w+)", body))
    others = {
        name
        for other in WIDGETS.glob("*.mjs")
        if other != path
        for name in re.findall(defined, other.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert known - used == set(), "imported for nothing"
    assert (called & others) - known - own == set(), "used, but not imported"


# -- joining -----------------------------------------------------------------------------------


def test_joined_module_drops_the_import_of_the_core_and_keeps_the_default_export() -> None:
    core = "export const a = 1;\nexport function f() {}\nexport async function g() {}\n"
    figure = (
        'import {\n  a,\n  f,\n} from "./core.mjs";\nexport class C {}\nexport default { a };\n'
    )
    joined = _base.join_modules(core, figure)
    assert [line for line in joined.splitlines() if line] == [
        "const a = 1;",
        "function f() {}",
        "async function g() {}",
        "class C {}",
        "export default { a };",
    ]


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        ('import x from "https://example.org/x.js";\nexport default {};', r"got 'import x from"),
        ('import x from "./other.mjs";\nexport default {};', r"expected imports only as"),
        ("const x = 1;\nexport { x };\nexport default {};", r"got 'export \{ x \};'"),
        ("const x = 1;", "got 0 default exports, expected 1"),
    ],
)
def test_what_cannot_be_joined_is_refused(figure: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _base.join_modules("", figure)


def test_front_end_is_a_module_that_node_reads_with_one_export(tmp_path: Path) -> None:
    module = tmp_path / "joined.mjs"
    module.write_text(SoftArgmaxPlayground._esm, encoding="utf-8")
    script = "const m = await import(process.argv[1]);"
    script += "console.log(Object.keys(m), typeof m.default.render);"
    out = node("--input-type=module", "-e", script, module.as_uri())
    assert out.split() == ["[", "'default'", "]", "function"]


def test_nothing_is_fetched_from_another_host() -> None:
    figures = [getattr(widgets, name)._esm for name in widgets.__all__]
    for text in (*figures, LOADER.read_text(encoding="utf-8")):
        hosts = set(re.findall(r"https?://([\w.]+)", text))
        assert hosts <= {"www.w3.org"}  # the name of the SVG namespace, not an address
        assert "fetch(" not in text


def test_parts_pass_their_own_tests_under_node() -> None:
    files = sorted(str(path) for path in (ROOT / "tests" / "js").glob("*.test.mjs"))
    out = node("--test", "--test-reporter=tap", *files)
    passed = re.search(r"^# pass (\d+)$", out, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) >= 45


# -- the same numbers in three places ------------------------------------------------------------


def stored_maps() -> list[dict[str, Any]]:
    """Maps of several sizes, scales and temperatures, among them huge logits and single rows."""
    rng = np.random.default_rng(0)
    cases = []
    for H, W in [(24, 32), (7, 5), (1, 9), (6, 1), (35, 35)]:
        for scale, temperature in [(1, 1.0), (5, 0.5), (5, 0.05), (2, 20.0), (1e4, 1.0)]:
            logits = scale * rng.standard_normal((H, W))
            cases.append({"H": H, "W": W, "temperature": temperature, "logits": logits.tolist()})
    return cases


def test_javascript_agrees_with_kpbook_on_stored_maps() -> None:
    cases = stored_maps()
    script = """
    answer = data.map(({ H, W, temperature: t, logits }) => {
      const a = Float64Array.from(logits.flat());
      return [
        ...core.softArgmax(a, H, W, t), ...core.softArgmax(a, H, W, t, true), ...core.mode(a, H, W),
        core.presence(a), core.spread(core.softmax(a, t), H, W),
      ];
    })"""
    expected = []
    for case in cases:
        a = torch.tensor(case["logits"], dtype=torch.float64)
        t = case["temperature"]
        points = [
            kpbook.soft_argmax(a, t),
            kpbook.soft_argmax(a, t, separable=True),
            kpbook.mode(a),
        ]
        last = [kpbook.presence(a), kpbook.spread(kpbook.spatial_softmax(a, t))]
        expected.append(torch.cat([*points, torch.stack(last)]))
    got = torch.tensor(evaluate(script, cases), dtype=torch.float64)
    torch.testing.assert_close(got, torch.stack(expected), rtol=0, atol=1e-10)


PLAYS: list[dict[str, Any]] = [
    {},
    {"noise": 1.5, "seed": 2**32 - 1, "temperature": 0.3, "relu": True, "background": -1.0},
    {
        "blobs": [{"x": -1, "y": 1, "height": 3}, {"x": 0.2, "y": 0.9, "height": -2}],
        "size": [7, 11],
        "sigma": 3.0,
        "shift": -2.5,
        "temperature": 4.0,
        "noise": 0.7,
        "seed": 12,
    },
]


@pytest.mark.parametrize("traits", PLAYS)
def test_python_and_browser_draw_the_same_map_and_read_it_the_same(traits: dict[str, Any]) -> None:
    figure = SoftArgmaxPlayground(**traits)
    script = """
    const state = figure.cleanState(data);
    const logits = figure.makeLogits(state, core.gaussianNoise(state.H * state.W, state.seed));
    answer = { logits: [...logits], estimates: figure.readOut(state, logits).estimates }"""
    got = evaluate(script, figure.get_state(set(SoftArgmaxPlayground().traits(sync=True)) - SKIP))
    np.testing.assert_allclose(got["logits"], figure.logits().numpy().ravel(), rtol=0, atol=1e-10)
    want = figure.read_out()
    assert got["estimates"].keys() == want.keys() == figure.estimates.keys()
    for name in ("truth", "joint", "separable", "mode", "presence", "spread"):
        assert got["estimates"][name] == pytest.approx(want[name], abs=1e-9), name
    for group in ("error_cells", "mass"):
        for name, value in want[group].items():
            assert got["estimates"][group][name] == pytest.approx(value, abs=1e-5), name


SKIP = {"_esm", "layout", "tabbable", "tooltip"}


def test_sliders_end_where_the_traits_do() -> None:
    text = (WIDGETS / "soft_argmax.mjs").read_text(encoding="utf-8")
    block = text.split("const LIMITS = {")[1].split("};")[0]
    pairs = re.findall(r"(\w+): \[([-\d.]+), ([-\d.]+)\]", block)
    assert {name: (float(a), float(b)) for name, a, b in pairs} == soft_argmax.LIMITS


# -- the class ---------------------------------------------------------------------------------


def test_stored_state_stays_small() -> None:
    assert size_of(SoftArgmaxPlayground().get_state()) < 60 * KIB


@pytest.mark.parametrize(
    ("traits", "message"),
    [
        (
            {"temperature": 0.0},
            r"temperature: got 0, expected values in \[0.05, 20\]",
        ),
        ({"noise": -1.0}, "noise: got -1, expected"),
        ({"blobs": []}, "blobs: got 0 of them, expected 1 or 2"),
        ({"blobs": [{"x": 0, "y": 0}]}, r"blobs\[0\]: got \['x', 'y'\], expected the keys x, y"),
        ({"blobs": [{"x": 2, "y": 0, "height": 1}]}, r"blobs\[0\]\['x'\]: got 2, expected"),
        (
            {"blobs": [{"x": float("nan"), "y": 0, "height": 1}]},
            r"blobs\[0\]\['x'\]: got nan, expected",
        ),
        ({"size": [24]}, r"size: got .*24.* expected an integer or \(H, W\)"),
        ({"size": [0, 4]}, "size: got 0, expected at least 1"),
        ({"sigma": 0.0}, "sigma: got 0.0, expected > 0"),
        ({"seed": -1}, "seed: got -1, expected at least 0"),
        (
            {"seed": 2**32},
            r"seed: got 4294967296, expected values in \[0, 4294967295\]. The noise has 32 bits",
        ),
        ({"show": "logit"}, "Did you mean 'logits'"),
    ],
)
def test_bad_traits_are_refused_with_a_message_that_teaches(
    traits: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SoftArgmaxPlayground(**traits)


def test_estimates_follow_a_trait_that_python_changes() -> None:
    figure = SoftArgmaxPlayground(noise=0.0)
    figure.temperature = 5.0
    expected = kpbook.soft_argmax(figure.logits(), 5.0).tolist()
    assert figure.estimates["joint"] == expected
    assert f"joint x {expected[0]:.2f}" in figure.still()


def test_what_the_prompt_says_to_notice_happens() -> None:
    figure = SoftArgmaxPlayground()
    figure.blobs = [{**figure.blobs[0], "x": 1.0, "y": -1.0}]
    figure.background = 0.0
    assert "corner" in figure.prompt
    assert "background logit to 0" in figure.prompt
    assert figure.estimates["error_cells"]["joint"] > 5
    x, y = figure.estimates["joint"]
    assert x < 0.75  # towards the centre, along both axes
    assert y > -0.75
    assert figure.estimates["error_cells"]["mode"] < 2


def test_wrong_kind_of_trait_is_refused() -> None:
    with pytest.raises(traitlets.TraitError, match="temperature"):
        SoftArgmaxPlayground(temperature="hot")


def test_still_picture_holds_the_map_and_says_the_estimates_without_script() -> None:
    figure = SoftArgmaxPlayground(noise=0.0, size=[7, 11])
    page = figure.still()
    assert "<script" not in page
    for name in ("joint", "separable", "mode"):
        assert f"{name} x {figure.estimates[name][0]:.2f}" in page
    png = re.search(r"data:image/png;base64,([\w+/=]+)", page)
    assert png is not None
    pixels = matplotlib.image.imread(BytesIO(base64.b64decode(png[1])))
    assert pixels.shape[:2] == (7, 11)
    darkest = np.unravel_index(pixels.reshape(7, 11, -1)[..., 0].argmin(), (7, 11))
    brightest = np.unravel_index(figure.logits().numpy().argmax(), (7, 11))
    assert darkest == brightest


def test_showing_it_publishes_the_still_picture_and_then_the_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[dict[str, Any]] = []
    publish = lambda data, metadata=None: shown.append(data)  # noqa: E731
    monkeypatch.setattr("IPython.display.publish_display_data", publish)
    figure = SoftArgmaxPlayground()
    figure._ipython_display_()
    assert f'data-kp-still="{figure.model_id}"' in shown[0]["text/html"]
    view = shown[1]["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == figure.model_id == figure.still_id
