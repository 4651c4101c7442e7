"""What the book shows: figures with computed alt texts, run records, tables and claims."""

import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from kpbook import _files, plot, runs, tables
from kpbook.claims import ClaimError, claim


def test_the_alt_text_is_computed_from_the_data():
    maps = torch.zeros(2, 5, 9)
    maps[0, 4, 2] = maps[1, 1, 8] = 1.0
    made = plot.heat_maps(maps, {"keypoint": torch.tensor([[-1.0, -1.0], [0.0, 1.0]])}, ["A", "B"])
    assert made.alt == (
        "2 heat maps. "
        "A; highest probability in row 4, column 2 of 5 by 9; keypoint at cell (0.0, 0.0). "
        "B; highest probability in row 1, column 8 of 5 by 9; keypoint at cell (4.0, 4.0)."
    )


def test_points_outside_the_image_are_said_to_be_and_nan_is_not_mentioned():
    z = np.array([[2.0, 0.0], [np.nan, 0.0]])
    made = plot.frames(np.zeros((2, 5, 9, 3), np.uint8), {"hand": z})
    assert made.alt == "2 camera frames. hand at pixel (12.0, 2.0), outside."


def test_one_name_may_have_several_marks():
    z = np.array([[[-1.0, -1.0], [1.0, 1.0]], [[0.0, 0.0], [np.nan, 0.0]]])
    made = plot.frames(np.zeros((2, 5, 9, 3), np.uint8), {"keypoints": z})
    said = "keypoints at pixel (0.0, 0.0), (8.0, 4.0). keypoints at pixel (4.0, 2.0)."
    assert made.alt == f"2 camera frames. {said}"
    panels = [ax.lines for ax in made.figure.axes]
    assert [len(lines) for lines in panels] == [1, 1]
    assert panels[0][0].get_xydata().tolist() == [[0, 0], [8, 4]]
    with pytest.raises(ValueError, match=r"points\['p'\]: got shape \(1, 2, 2\)"):
        plot.frames(np.zeros((2, 5, 9, 3), np.uint8), {"p": z[:1]})


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).astype(int)


def premultiplied(rgba: np.ndarray) -> np.ndarray:
    return np.concatenate([rgba[..., :3] * rgba[..., 3:] / 255, rgba[..., 3:]], axis=-1)


def test_a_palette_makes_a_chart_smaller_and_leaves_its_colours_and_its_look():
    made = plot.curves(range(40), {"a": np.sin(range(40)), "b": np.cos(range(40))}, "x", "y")
    whole = io.BytesIO()
    made._drawn("light").savefig(whole, format="png", dpi=plot._DPI, transparent=True)
    small = made.png()
    assert len(small) < 0.6 * len(whole.getvalue())
    before, after = pixels(whole.getvalue()), pixels(small)
    assert abs(premultiplied(before) - premultiplied(after)).mean() < 0.5
    blue = (before == [0x00, 0x72, 0xB2, 255]).all(-1)
    assert blue.sum() > 100
    assert (after[blue] == before[blue]).all()


def test_a_picture_of_many_colours_stays_whole():
    noise = np.random.default_rng(0).integers(0, 255, (1, 40, 40, 3), dtype=np.uint8)
    made = plot.frames(noise)
    shown = {tuple(colour) for colour in pixels(made.png())[..., :3].reshape(-1, 3)}
    assert {tuple(colour) for colour in noise.reshape(-1, 3).astype(int)} <= shown


def test_a_point_is_drawn_where_the_pixel_is():  # catches: swapped axes, y up
    made = plot.frames(np.zeros((1, 8, 8, 3)), {"p": np.array([[1.0, -1.0]])})
    picture = pixels(made.png())[..., :3]
    orange = (abs(picture - [0xD5, 0x5E, 0x00]).sum(-1) < 60) & (picture.sum(-1) > 0)
    rows, columns = orange[: int(orange.shape[0] * 0.8)].nonzero()  # above the legend
    panel = (picture.sum(-1) < 6).nonzero()
    assert columns.mean() > np.quantile(panel[1], 0.8)
    assert rows.mean() < np.quantile(panel[0], 0.2)


def test_light_and_dark_differ_and_both_carry_the_alt_text():
    made = plot.curves([1, 2, 3], {"a < b": [3, 1, 2], "c": [0, 0, 0]}, "x", "y in px")
    shown = made._repr_html_()
    assert shown.count('alt="Line chart of y in px over x, from 1 to 3. a &lt; b goes from 3') == 2
    light, dark = re.findall(r'class="kp-(\w+) dark-light"', shown)
    assert (light, dark) == ("light", "dark")
    assert made.png("light") != made.png("dark")
    text = pixels(made.png("dark"))
    assert text[..., 3].min() == 0  # transparent, so the page's own background shows
    assert text[text[..., 3] == 255].max() > 200  # light ink on dark


def test_gaps_and_bfloat16_can_be_drawn():
    made = plot.curves([1, 2, 3], {"a": [torch.nan, 1.0, 2.0]}, "x", "y")
    assert "a goes from 1 to 2, lowest 1, highest 2" in made.alt
    assert "row 0, column 1" in plot.heat_maps(torch.eye(2).flip(0)[None].bfloat16()).alt


def test_the_figure_is_a_matplotlib_figure():
    made = plot.bars({"cube": {"in": 1.0, "between": 2.0}}, "variance")
    assert [p.get_height() for p in made.figure.axes[0].patches] == [1.0, 2.0]
    assert made.alt == "Bar chart of variance. cube: in 1, between 2."


def test_several_lines_of_a_kind_share_colour_and_label():
    made = plot.curves([1, 2], {"a": [[3, 1], [5, 2], [7, 9]], "b": [1, 1]}, "x", "y")
    assert "a: 3 lines, the median goes from 5 to 2, lowest 1, highest 9. b goes from 1" in made.alt
    (ax,) = made.figure.axes
    assert len({line.get_color() for line in ax.lines[:3]}) == 1
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_a_scatter_plot_has_a_panel_each_and_says_what_is_in_it():
    xy = [(1.0, 0.1), (2.0, 0.4)]
    made = plot.scatter(
        {"cube": {"A": xy, "B": []}, "hand": {"B": xy[:1]}}, "loss", "error", lines={"cube": 0.2}
    )
    assert made.alt == (
        "Scatter plot of error over loss. cube: A 2 points, x 1 to 2, y 0.1 to 0.4, B has none, "
        "dashed line at 0.2. hand: B 1 point, x 1 to 1, y 0.1 to 0.1."
    )
    cube, hand = made.figure.axes
    marks = [
        (line.get_marker(), line.get_markeredgecolor()) for line in (cube.lines[1], *hand.lines)
    ]
    assert marks[0] == marks[1], "one series, one marker, in every panel"
    assert made.png("dark") != made.png()


def test_strips_show_every_value_and_the_median():
    made = plot.strips({"cube": {"A": [3.0, 1.0, 2.0], "B": [4.0]}}, "error")
    assert made.alt == (
        "Strip plot of error. cube: A median 2 of 3, 1 to 3, B median 4 of 1, 4 to 4."
    )
    (ax,) = made.figure.axes
    assert [list(line.get_xdata()) for line in ax.lines] == [[3, 1, 2], [2], [4], [4]]
    assert ax.get_ylim() == (1.5, -0.5), "the first group on top"


def film(**changes):
    points = {"a < b": np.array([[-1.0, -1.0], [np.nan, 0.0], [1.0, 1.0]])}
    return plot.flipbook(np.zeros((3, 5, 9, 3), np.uint8), **{"points": points, **changes})


def test_a_flipbook_shows_one_frame_and_waits():
    shown = film()._repr_html_()
    assert re.findall(r'class="kp-frame( kp-now)?"', shown) == [" kp-now", "", ""]
    assert film().alt == (
        "Film of 3 frames of 9 by 5 pixels. a < b goes from pixel (0.0, 0.0) to (8.0, 4.0)."
    )
    assert 'aria-label="Film of 3 frames' in shown
    assert "a &lt; b" in shown
    assert "a < b" not in shown
    assert shown.count('<g transform="translate(') == 3, "two frames and the key; NaN draws nothing"
    assert "http" not in shown


def test_a_flipbook_draws_floats_as_bytes_and_titles_each_frame():
    floats = torch.zeros(2, 4, 4, 3)
    floats[1] = 1.0
    made = plot.flipbook(floats, titles=["before", "after"], fps=2)
    assert made.images.max() == 255
    assert re.findall('data-said="([^"]*)"', made._repr_html_()) == ["before", "after"]
    assert "s.oninput()},500)" in made._repr_html_()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: film(titles=["a"]), "titles: got 1 titles, expected 3"),
        (lambda: film(points={"p": np.zeros((2, 2))}), r"points\['p'\]: got shape \(2, 2\)"),
        (lambda: film(points={str(n): np.zeros((3, 2)) for n in range(7)}), "got 7 names"),
        (lambda: film(fps=0), "fps: got 0"),
        (lambda: plot.flipbook(np.zeros((0, 5, 9, 3))), r"images: got shape \(0, 5, 9, 3\)"),
        (lambda: plot.flipbook(np.zeros((5, 9, 3))), r"images: got shape \(5, 9, 3\)"),
        (lambda: plot.scatter({}, "x", "y"), "panels: got no series"),
        (lambda: plot.scatter({"a": {"s": [(1, np.nan)]}}, "x", "y"), "series 's'"),
        (lambda: plot.strips({"a": {}}, "x"), "panels: got no group"),
        (lambda: plot.strips({"a": {"g": [1]}, "b": {"h": [1]}}, "x"), r"panels\['b'\]"),
        (lambda: plot.strips({"a": {"g": []}}, "x"), "expected at least one finite value"),
        (lambda: plot.curves([1, 2], {"a": np.zeros((3, 4))}, "x", "y"), r"ys\['a'\]: got shape"),
    ],
)
def test_bad_films_and_clouds_get_one_message(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: plot.heat_maps(torch.zeros(5, 9)),
            r"maps: got shape \(5, 9\), expected \(M, H, W\)",
        ),
        (
            lambda: plot.heat_maps(torch.zeros(2, 5, 9), titles=["A"]),
            "titles: got 1 titles, expected 2",
        ),
        (
            lambda: plot.frames(np.zeros((1, 5, 9, 3)), {"p": np.zeros((2, 2))}),
            r"points\['p'\]: got",
        ),
        (lambda: plot.curves([1, 2], {"a": [1, 2, 3]}, "x", "y"), r"ys\['a'\]: got shape \(3,\)"),
        (lambda: plot.bars({}, "y"), "values: got no group"),
        (lambda: plot.bars({"g": {}}, "y"), "no series"),
        (lambda: plot.heat_maps(torch.full((1, 2, 2), torch.nan)), "maps: got 4 of 4 values NaN"),
        (lambda: plot.heat_maps(torch.zeros(1, 2, 2), columns=0), "columns: got 0"),
        (lambda: plot.curves([1], {"a": [torch.nan]}, "x", "y"), "no finite value"),
        (lambda: plot.bars({"g": {"s": 1}}, "y").png("blue"), "one of 'light', 'dark'"),
        (lambda: plot.bars({"a": {"x": 1}, "b": {"y": 1}}, "y"), r"values\['b'\]: got \['y'\]"),
    ],
)
def test_bad_figures_get_one_message(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def drawn(kind: str, data: np.ndarray) -> plot.Plot | plot.Flipbook:
    """A figure of each kind, from numbers in [0, 1] of shape (2, 4, 4, 3)."""
    calls = {
        "bars": lambda: plot.bars({"g": {"s": data[1, 0, 0, :1].reshape(())}}, "y"),
        "curves, x": lambda: plot.curves(data[1, :, 0, 0], {"a": [1, 2, 3, 4]}, "x", "y"),
        "curves, y": lambda: plot.curves([1, 2, 3, 4], {"a": data[:, :, 0, 0]}, "x", "y"),
        "flipbook": lambda: plot.flipbook(data),
        "flipbook, points": lambda: plot.flipbook(np.ones((2, 4, 4, 3)), {"p": data[:, 0, 1, :2]}),
        "frames": lambda: plot.frames(data),
        "frames, list": lambda: plot.frames(list(data)),
        "frames, points": lambda: plot.frames(np.ones((2, 4, 4, 3)), {"p": data[:, 0, 1, :2]}),
        "heat_maps": lambda: plot.heat_maps(data[..., 0]),
        "heat_maps, points": lambda: plot.heat_maps(np.eye(4)[None], {"p": data[1:, 0, 1, :2]}),
        "heat_maps, tensor": lambda: plot.heat_maps(torch.from_numpy(data)[..., 0]),
        "scatter": lambda: plot.scatter({"A": {"s": data[0, 0, :, :2]}}, "x", "y"),
        "scatter, lines": lambda: plot.scatter(
            {"A": {"s": [(1, 2)]}}, "x", "y", lines={"A": data[1, 0, 0, :1].reshape(())}
        ),
        "strips": lambda: plot.strips({"A": {"s": data.reshape(-1)}}, "x"),
    }
    return calls[kind]()


KINDS = """bars|curves, x|curves, y|flipbook|flipbook, points|frames|frames, list|frames, points|
heat_maps|heat_maps, points|heat_maps, tensor|scatter|scatter, lines|strips""".replace("\n", "")


def numbers() -> np.ndarray:
    return np.linspace(0, 1, 96, dtype=np.float32).reshape(2, 4, 4, 3)


def look(made: plot.Plot | plot.Flipbook) -> bytes | str:
    return made.png() if isinstance(made, plot.Plot) else made._repr_html_()


@pytest.mark.parametrize("kind", KINDS.split("|"))
def test_what_is_drawn_is_what_the_data_were_at_the_call(kind):
    data = numbers()
    made = drawn(kind, data)
    before = look(made)
    data[:] = data[::-1, ::-1, ::-1].copy() ** 2
    assert look(made) == before
    assert look(drawn(kind, data)) != before


@pytest.mark.parametrize("kind", [kind for kind in KINDS.split("|") if "tensor" not in kind])
def test_hidden_values_are_not_drawn_and_a_mask_of_nothing_is_fine(kind):
    bare = drawn(kind, np.ma.array(numbers()))
    assert look(bare) == look(drawn(kind, numbers()))
    hidden = np.ma.masked_greater(numbers(), 0.01)
    with pytest.raises(ValueError, match=r"got a masked array with .*expected a number in every"):
        drawn(kind, hidden)


@pytest.mark.parametrize("draw", [plot.frames, plot.flipbook])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_bytes_are_drawn_as_they_were_at_the_call(draw, kind):
    data = np.zeros((2, 4, 4, 3), np.uint8)
    made = draw(kind(data))
    before = look(made)
    data[:] = 200
    assert look(made) == before


def test_heights_are_drawn_as_they_were_when_the_chart_was_made():
    heights = {"g": {"s": 1.0}}
    made = plot.bars(heights, "y")
    heights["g"]["s"] = 5.0
    assert [p.get_height() for p in made.figure.axes[0].patches] == [1.0]


@pytest.mark.parametrize("draw", [plot.frames, plot.flipbook])
@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (
            np.full((2, 8, 8, 3), 60000, np.uint16),
            TypeError,
            r"got dtype uint16, expected uint8.*65535",
        ),
        (np.zeros((2, 8, 8, 3), int), TypeError, "got dtype int64, expected uint8. Or floats"),
        (np.zeros((2, 8, 8, 3), bool), TypeError, "got dtype bool"),
        (torch.zeros((2, 8, 8, 3), dtype=torch.int16), TypeError, "got dtype int16"),
        (np.full((2, 8, 8, 3), 255.0), ValueError, r"from 255 to 255, .*\[0, 1\].*Divide bytes"),
        (np.full((2, 8, 8, 3), -0.1), ValueError, r"values from -0.1 to -0.1"),
        (np.full((2, 8, 8, 3), np.nan), ValueError, "images: got values from nan to nan"),
    ],
)
def test_pictures_are_bytes_or_floats_from_0_to_1(draw, images, error, message):
    with pytest.raises(error, match=message):
        draw(images)


def test_half_precision_and_reversed_bytes_are_floats_too():
    images = numbers()
    assert plot.frames(images.astype(">f8")).png() == plot.frames(images).png()
    half = torch.from_numpy(images).bfloat16()
    assert plot.flipbook(half)._repr_html_() == plot.flipbook(half.float())._repr_html_()


def test_a_claim_renders_with_its_numbers_only_if_it_holds():
    shown = claim("the error is {e:.1f} px", torch.tensor(1.25) < 2, e=1.25)
    assert shown._repr_markdown_().startswith("> **Checked.** the error is 1.2 px<data ")
    with pytest.raises(ClaimError, match=r"this does not hold: the error is 3\.2 px"):
        claim("the error is {e:.1f} px", np.float64(3.25) < 2, e=3.25)


def test_a_claim_may_compare_the_numbers_that_it_prints():
    near = lambda e: e < 2  # noqa: E731
    assert claim("off by {e:.1f} of {n}", near, e=1.25, n=3).sentence == "off by 1.2 of 3"
    with pytest.raises(ClaimError, match="this does not hold: off by 2"):
        claim("off by {e:.0f}", near, e=torch.tensor(2.0))
    with pytest.raises(TypeError, match=r"holds: got a function of \['e'\], expected names among"):
        claim("off by {error}", near, error=1)
    with pytest.raises(TypeError, match="expected one True or False"):
        claim("off by {e}", lambda e: e, e=1)


@pytest.mark.parametrize("vague", [1, "yes", None, np.float64(0.5)])
def test_a_claim_wants_one_yes_or_no(vague):
    with pytest.raises(TypeError, match=r"holds: got .*, expected one True or False"):
        claim("something", vague)


@pytest.mark.parametrize(
    "many", [np.array([True, True]), torch.tensor([True, True]), torch.ones(0, dtype=torch.bool)]
)
def test_a_claim_does_not_take_many_answers_or_none(many):
    with pytest.raises(TypeError, match=r"Reduce it with \.all\(\)"):
        claim("something", many)


def test_one_element_is_one_answer():
    assert claim("yes", torch.tensor([[True]])).sentence == "yes"


def record(**changes):
    fields = {"name": "demo", "command": "python -m demo", "results": [{"ms": 1.5}], "seconds": 2.0}
    return runs.RunRecord(**{**fields, **changes})


def test_a_record_comes_back_as_it_was_saved(tmp_path):
    saved = record(seed=3, config={"B": 128})
    assert runs.load(saved.save(tmp_path)) == saved
    assert list(tmp_path.iterdir()) == [tmp_path / "demo.json"]


def test_a_record_holds_arrays_as_lists_and_refuses_nan(tmp_path):
    path = record(results=[{"ms": torch.tensor([1.0, 2.0])}]).save(tmp_path)
    assert runs.load(path).results == [{"ms": [1.0, 2.0]}]
    with pytest.raises(
        ValueError, match=r"demo: got .*nan.*Store None for a value that is missing"
    ):
        record(results=[{"ms": float("nan")}]).save(tmp_path)
    assert runs.load(path).results == [{"ms": [1.0, 2.0]}]  # the old file is still whole


@pytest.mark.parametrize("name", ["../elsewhere", "", "a/b", ".hidden"])
def test_a_record_s_name_is_a_file_s_name(tmp_path, name):
    with pytest.raises(ValueError, match=r"expected letters, digits.*It becomes a file's name"):
        record(name=name).save(tmp_path)


def test_a_cut_off_record_says_so(tmp_path):
    path = record().save(tmp_path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"expected a run record\. Restore it from git"):
        runs.load(path)


def test_a_record_keeps_what_it_was_given(tmp_path):
    rows, config = [{"ms": 1.5, "each": np.ones(2)}], {"k": [1]}
    made = record(results=rows, config=config)
    rows[0]["ms"], config["k"][0] = 9.0, 2
    rows[0]["each"][:] = 7
    rows.append({})
    found = runs.load(made.save(tmp_path))
    assert (found.results, found.config) == ([{"ms": 1.5, "each": [1, 1]}], {"k": [1]})


@pytest.mark.parametrize("depth", [300, 900, 100_000])  # the decoder, the copy, the first two
def test_a_record_nested_without_end_says_so(tmp_path, depth):
    path = record(results=["here"]).save(tmp_path)
    path.write_text(path.read_text().replace('"here"', "[" * depth + "]" * depth))
    if depth > 300:
        with pytest.raises(ValueError, match=r"no JSON \(.*expected a run record\. Restore it"):
            runs.load(path)
    else:
        assert runs.load(path).results


def test_a_foreign_record_names_the_fields_that_differ(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"name": "x"}))
    with pytest.raises(ValueError, match="fields that differ in command, config"):
        runs.load(path)


def test_a_missing_record_lists_the_others(tmp_path):
    record().save(tmp_path)
    with pytest.raises(FileNotFoundError, match="Records in that folder: demo"):
        runs.load(tmp_path / "dema.json")


def test_a_table_has_headers_escapes_text_and_rounds():
    made = tables.show([{"what": "a<b", "ms": 1.23456}, {"what": "c", "ms": None}], caption="Times")
    shown = made._repr_html_()
    assert '<th scope="row">a&lt;b</th><td style="text-align:right">1.23</td>' in shown
    assert "<caption>Times</caption>" in shown
    assert repr(made).splitlines() == ["what  ms", "a<b   1.23", "c     -"]


def test_a_table_without_rows_or_with_an_unknown_column_is_an_error():
    with pytest.raises(ValueError, match="rows: got none"):
        tables.show([])
    with pytest.raises(ValueError, match=r"columns: got \['mss'\], expected names among \['ms'\]"):
        tables.show([{"ms": 1.0}], ["mss"])


def test_a_table_keeps_its_rows():
    rows = [{"ms": 1.0}]
    made = tables.show(rows)
    rows[0]["ms"] = 2.0
    rows.append({"ms": 3.0})
    assert repr(made) == "ms\n1.00"


def test_an_interrupted_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        _files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_reads_back_as_numbers_words_and_gaps(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("run,seed,r2\nbasic,0,0.5\n24,1,\n")
    assert tables.read(path) == [
        {"run": "basic", "seed": 0, "r2": 0.5},
        {"run": 24, "seed": 1, "r2": None},
    ]
    path.write_text("run,seed\nbasic\n")
    with pytest.raises(ValueError, match="1 cells in line 2, expected 2, as in its head"):
        tables.read(path)
    path.write_text("")
    assert tables.read(path) == []
    with pytest.raises(FileNotFoundError, match=r"kpbook\.sweep writes"):
        tables.read(tmp_path / "none.csv")


def test_a_table_is_read_as_spreadsheets_write_it(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("run,seed\n1_000,1e3\n٣,-2\n", encoding="utf-8-sig")
    assert tables.read(path) == [{"run": "1_000", "seed": 1000.0}, {"run": "٣", "seed": -2}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run,seed,run\na,0,b\n", r"runs.csv: got 'run' twice, expected a name of its own each"),
        ("run,seed\na,0\nb\0,1\n", r"runs.csv: got a NUL character in line 3, expected a table"),
        ('run,seed\na,0\n"b"c,1\nd,2\n', r"runs.csv: got no CSV \(line 3: .*expected after"),
        ('run,seed\na,0\n"b,1\nc,2\nd,3\n', r"no CSV \(line 3: unexpected end of data\)"),
        ('run,seed\n"a\nb",0\n"c,1\nd,2\n', r"no CSV \(line 4: unexpected end of data\)"),
        ('run,seed\n"a\nb",0\nc\n', "1 cells in line 4, expected 2, as in its head"),
    ],
)
def test_a_damaged_table_says_where(tmp_path, text, message):
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        tables.read(path)
