"""Live figures without a browser: the joined front end, its arithmetic under node, the traits."""

from __future__ import annotations

import base64
import colorsys
import functools
import json
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
from kpbook import plot, widgets
from kpbook.widgets import SoftArgmaxPlayground, _base, _join, _traits, soft_argmax

LOADER = ROOT / "book" / "_assets" / "widgets" / "static-anywidget.js"
evaluate = functools.partial(in_node, maps="maps", figure="soft_argmax_state")


@pytest.mark.parametrize("path", sorted(WIDGETS.glob("*.mjs")), ids=lambda path: path.stem)
def test_a_part_imports_what_it_uses_and_uses_what_it_imports(path: Path) -> None:
    """A missing import would go unnoticed until a reader's gesture calls it."""
    text = path.read_text(encoding="utf-8")
    imports = re.findall(r'^import \{([^}]*)\} from "\./[\w-]+\.mjs";$', text, re.MULTILINE)
    words = [name.split(" as ")[-1].strip() for names in imports for name in names.split(",")]
    known = set(filter(None, words))
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


def written(folder: Path, **modules: str) -> Path:
    """A folder with modules: name -> text."""
    for name, text in modules.items():
        (folder / f"{name}.mjs").write_text(text, encoding="utf-8")
    return folder


def run(folder: Path, text: str) -> Any:
    """What a joined module's default export is, under node, where ``./part.mjs`` is nothing."""
    away = folder / "elsewhere"
    away.mkdir()
    (away / "joined.mjs").write_text(text, encoding="utf-8")
    script = "const m = await import(process.argv[1]);"
    script += "console.log(JSON.stringify([Object.keys(m), m.default]));"
    names, default = json.loads(
        node("--input-type=module", "-e", script, (away / "joined.mjs").as_uri())
    )
    assert names == ["default"]
    return default


FIGURE = """
import { f, size as sizeOf } from "./one.mjs";
import {
  f as g, // of another part
  Shape,
} from "./two.mjs";

const size = 5;
export default [f(), g(), size, sizeOf, new Shape().name];
"""
ONE = """
import { count } from "./counter.mjs";
export const size = 1;
const secret = "one";
export function f() {
  return secret + count();
}
"""
TWO = """
import { count } from "./counter.mjs";
const [secret, one] = ["two", 1];
export function f() {
  return secret + count();
}
class Base { name = "base"; }
export class Shape extends Base {}
"""
COUNTER = "let n = 0;\nexport function count() {\n  return ++n;\n}\n"


def test_parts_keep_their_own_names_and_each_runs_once(tmp_path: Path) -> None:
    """Catches: one scope for all, an import of an import that is not followed, two counters."""
    written(tmp_path, figure=FIGURE, one=ONE, two=TWO, counter=COUNTER)
    text = _join.front_end("figure.mjs", tmp_path)
    assert run(tmp_path, text) == ["one1", "two2", 5, 1, "base"]


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        ('import x from "https://example.org/x.js";\nexport default {};', r"got 'import x from"),
        ('import x from "./part.mjs";\nexport default {};', r"expected imports only as"),
        ('import * as x from "./part.mjs";\nexport default {};', r"expected imports only as"),
        ('import "./part.mjs";\nexport default {};', r"expected imports only as"),
        ('export { x } from "./part.mjs";\nexport default {};', r"expected imports only as"),
        ("const x = 1;\nexport { x };\nexport default {};", r"got 'export \{ x \};'"),
        ("export let x = 1;\nexport default {};", r"got 'export let x = 1;'"),
        ("export const [x] = [1];\nexport default {};", r"got 'export const \[x\] = \[1\];'"),
        ("export default function f() {}", r"got 'export default function f"),
        ("export default {};\nexport default {};", r"got 2 default exports"),
        ("const x = 1;", "figure.mjs: got 0 default exports, expected 1"),
        (
            'import { x, y } from "./part.mjs";\nexport default {};',
            r"figure\.mjs, import from part\.mjs: got 'y', expected one of 'x', 'yy'. Did you",
        ),
        (
            'import { x } from "./circle.mjs";\nexport default {};',
            r"got circle\.mjs -> back\.mjs -> circle\.mjs, expected no circle",
        ),
        (
            'import { x } from "./figure.mjs";\nexport default {};',
            r"got figure\.mjs -> figure\.mjs, expected no circle",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused(tmp_path: Path, figure: str, message: str) -> None:
    written(
        tmp_path,
        figure=figure,
        part="export const x = 1;\nexport const yy = 2;\n",
        circle='import { y } from "./back.mjs";\nexport const x = 1;\n',
        back='import { x } from "./circle.mjs";\nexport const y = 1;\n',
    )
    with pytest.raises(ValueError, match=message):
        _join.front_end("figure.mjs", tmp_path)


def test_a_part_that_is_not_there_is_named_with_the_file_that_asks_for_it(tmp_path: Path) -> None:
    written(tmp_path, figure='import { x } from "./none.mjs";\nexport default {};')
    with pytest.raises(FileNotFoundError, match=r"no file none\.mjs, which figure\.mjs imports"):
        _join.front_end("figure.mjs", tmp_path)


@pytest.mark.parametrize("name", widgets.__all__)
def test_front_end_is_a_module_that_node_reads_with_one_export(name: str, tmp_path: Path) -> None:
    module = tmp_path / "joined.mjs"
    module.write_text(getattr(widgets, name)._esm, encoding="utf-8")
    script = "const m = await import(process.argv[1]);"
    script += "console.log(Object.keys(m), typeof m.default.render);"
    out = node("--input-type=module", "-e", script, module.as_uri())
    assert out.split() == ["[", "'default'", "]", "function"]


# -- colours -----------------------------------------------------------------------------------


def hue(colour: str) -> float:
    """Degrees round the circle of colours."""
    rgb = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    return 360 * colorsys.rgb_to_hsv(*rgb)[0]


def test_stills_have_the_page_s_colours_which_are_those_of_the_book_s_charts() -> None:
    inks = in_node("answer = marks.INKS", None, marks="marks")
    assert list(_base.PALETTE) == inks["light"]["palette"]
    assert len(inks["dark"]["palette"]) == len(_base.PALETTE) == 6
    for k, other in enumerate((1, 0, 2)):  # cube, target and hand; charts begin with blue
        for colour in (inks["light"]["palette"][k], inks["dark"]["palette"][k]):
            assert abs(hue(colour) - hue(plot.PALETTE[other])) < 8, colour


def test_a_colour_of_the_palette_is_written_down_once() -> None:
    inks = in_node("answer = marks.INKS", None, marks="marks")
    for colour in {*inks["light"]["palette"], *inks["dark"]["palette"]}:
        files = [f for f in WIDGETS.glob("*.*") if colour in f.read_text(encoding="utf-8").lower()]
        assert [f.name for f in files] == ["marks.mjs"], colour


# -- what is stored ----------------------------------------------------------------------------


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
    assert int(passed[1]) >= 85


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
        ...maps.softArgmax(a, H, W, t), ...maps.softArgmax(a, H, W, t, true), ...maps.mode(a, H, W),
        maps.presence(a), maps.spread(maps.softmax(a, t), H, W),
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
    const state = figure.clean(data);
    const logits = figure.makeLogits(state, maps.gaussianNoise(state.H * state.W, state.seed));
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
    found = evaluate("answer = figure.LIMITS", None)
    assert {name: tuple(ends) for name, ends in found.items()} == soft_argmax.LIMITS


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


class Every(traitlets.HasTraits):
    """One trait of each kind."""

    number = _traits.Number(-1, 2, 0.5, hint="Metres.")
    numbers = _traits.Numbers(2, -1, 2, [0.0, 0.0])
    positive = _traits.Positive(1.0)
    whole = _traits.Whole(0, lambda self: self.last, hint="There are {count}, from 0 on.")
    choice = _traits.Choice(lambda self: self.words, "a")
    flag = _traits.Flag(False)
    last, words = 4, ("a", "bc")


@pytest.mark.parametrize(
    ("trait", "value", "stored"),
    [
        ("number", 1, 1.0),
        ("number", np.float32(0.5), 0.5),
        ("number", np.int64(2), 2.0),
        ("number", torch.tensor(0.25), 0.25),
        ("numbers", (1, np.float32(-0.5)), [1.0, -0.5]),
        ("numbers", np.array([1, 2]), [1.0, 2.0]),
        ("numbers", torch.tensor([0.5, 1.0]), [0.5, 1.0]),
        ("positive", np.int64(3), 3.0),
        ("whole", np.int64(4), 4),
        ("whole", np.uint8(0), 0),
        ("choice", "bc", "bc"),
        ("flag", np.True_, True),
    ],
)
def test_a_trait_stores_plain_values_whatever_numbers_it_is_given(
    trait: str, value: Any, stored: Any
) -> None:
    figure = Every(**{trait: value})
    assert getattr(figure, trait) == stored
    assert json.loads(json.dumps(getattr(figure, trait))) == stored
    assert type(getattr(figure, trait)) is type(stored)


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("number", "1", "number: got '1', expected a number"),
        ("number", None, "number: got None"),
        ("number", True, "number: got True"),
        ("number", [1.0], r"number: got \[1.0\], expected a number. Metres"),
        ("numbers", [0.5, True], r"numbers: got \[0.5, True\]"),
        ("numbers", "12", "numbers: got '12'"),
        ("numbers", [[0.5], [1, 2]], "numbers: got a list that holds no array"),
        ("positive", "1", "positive: got '1'"),
        ("positive", True, "positive: got True"),
        ("whole", 1.0, "whole: got 1.0, expected a whole number, at least 0. There are 5"),
        ("whole", True, "whole: got True"),
        ("whole", "1", "whole: got '1'"),
        ("flag", "False", "flag: got 'False', expected True or False"),
        ("flag", 0, "flag: got 0"),
        ("flag", 1.0, "flag: got 1.0"),
        ("flag", float("nan"), "flag: got nan"),
        ("flag", None, "flag: got None"),
    ],
)
@pytest.mark.parametrize("error", [TypeError, traitlets.TraitError])
def test_a_value_of_the_wrong_kind_is_refused_for_either_reader(
    trait: str, value: Any, message: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match=message):
        Every(**{trait: value})


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("number", 3, r"number: got 3, expected values in \[-1, 2\]. Metres."),
        ("number", float("inf"), "number: got inf"),
        ("numbers", [0, float("nan")], "numbers: got values from nan"),
        ("numbers", [0, 0, 0], r"numbers: got shape \(3,\), expected \(2,\)"),
        ("numbers", np.ma.array([0, 0], mask=[0, 1]), "numbers: got a masked array"),
        ("positive", 0, "positive: got 0"),
        ("positive", float("inf"), "positive: got inf"),
        ("whole", 5, "whole: got 5, .* There are 5, from 0 on"),
        ("whole", -1, "whole: got -1, expected at least 0. There are 5"),
        ("choice", "bb", "choice: got 'bb', expected one of 'a', 'bc'"),
        ("choice", None, "choice: got None"),
        ("choice", ["a"], "choice: got"),
    ],
)
def test_a_value_out_of_range_is_refused(trait: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Every(**{trait: value})


def test_a_list_that_is_a_default_is_not_shared_between_figures() -> None:
    one, two = Every(), Every()
    one.numbers.append(9.0)
    assert two.numbers == [0.0, 0.0]


@pytest.mark.parametrize(
    "blobs",
    [None, 3, "ab", [1], [{"x": "0", "y": 0, "height": 1}], [{"x": True, "y": 0, "height": 1}]],
)
def test_a_blob_of_the_wrong_kind_is_refused(blobs: Any) -> None:
    with pytest.raises(TypeError, match="blobs"):
        SoftArgmaxPlayground(blobs=blobs)


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
