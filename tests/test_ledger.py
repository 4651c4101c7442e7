"""Recorded runs, intervals, the rule of status, and the two pages that show them."""

import ast
import csv
import re
import shutil
from pathlib import Path

import conftest
import numpy as np
import pytest

from kpbook import _bench_learning as learning
from kpbook import ledger, runs, sweep
from kpbook.claims import ClaimError
from kpbook.ledger import FIGURE, NOT_RECORDED, NOT_REPRODUCED, OURS, REPRODUCED, Entry
from kpbook.metric import wilson
from kpbook.recorded import Capability, Sweep, last_quarter, medians, planned_seeds

RESULTS = conftest.ROOT / "book" / "results"
PAPER = RESULTS / "paper.yml"
SWEEPS = ("autoencoders", "recipe", "ablation", "scenes", "transporter", "transporter_ablation")
MU = {"cube": 0.015, "target": 0.015, "end_effector": 0.1}
LOST = 0.2


def results_folder(tmp_path: Path) -> Path:
    """A results folder with the papers and the sweeps' files, and nothing recorded."""
    folder = tmp_path / "results"
    folder.mkdir()
    for path in RESULTS.glob("*.yml"):
        shutil.copy(path, folder)
    return folder


def record(folder: Path, name: str, runs: dict[str, list[dict[str, float]]], **more: float) -> None:
    """Write made-up runs: run -> one mapping from object to error for each seed."""
    columns = {"images": 80000, "seconds": 300.0, "cpu_seconds": 250.0, "train_cpu_seconds": 90.0}
    columns |= {"images_per_second": 320.0, "r2": 0.99} | more
    rows = [
        {"run": run, "seed": seed, "object": obj, "error": error, **columns}
        for run, seeds in runs.items()
        for seed, errors in enumerate(seeds)
        for obj, error in errors.items()
    ]
    (folder / name).mkdir()
    with (folder / name / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def made_up(errors: dict[str, list[float]], asked: int = 6) -> Sweep:
    """A sweep of one run, from object -> error of each seed."""
    rows = [
        {"run": "net", "seed": seed, "object": obj, "error": e, "r2": 1 - e, "images": 500}
        for obj, values in errors.items()
        for seed, e in enumerate(values)
    ]
    return Sweep("made-up", {"net": asked}, rows)


# -- the rule ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "ours", "complete", "expected"),
    [
        (0.681, 0.681, True, REPRODUCED),
        (0.681, 0.781, True, REPRODUCED),  # the tolerance itself still counts
        (0.681, 0.581, True, REPRODUCED),
        (0.681, 0.782, True, NOT_REPRODUCED),  # better is another number, too
        (0.681, 0.0, True, NOT_REPRODUCED),
        (0.681, 0.681, False, NOT_RECORDED),  # the first seeds decide nothing
        (0.681, None, True, NOT_RECORDED),
        ("figure", 0.5, True, FIGURE),
        ("figure", 0.5, False, NOT_RECORDED),
        ("nothing", 0.5, True, OURS),
        ("nothing", None, False, NOT_RECORDED),
    ],
)
def test_status(stated, ours, complete, expected):
    assert ledger.status(stated, ours, complete, tolerance=0.1) == expected


def paper_of(key):
    return next(paper for paper in ledger.papers(PAPER) if paper.key == key)


def test_a_row_is_judged_when_every_seed_is_there(tmp_path):
    folder = results_folder(tmp_path)
    tracks_two = {"cube": 0.01, "target": 0.01, "end_effector": 0.3}
    paper = paper_of("cramer2024")
    record(
        folder,
        "autoencoders",
        {"keynet-quarter": [tracks_two] * 6, "dsae-quarter": [tracks_two] * 5},
    )
    rows = {r["quantity"]: r for r in ledger.rows(paper, ledger.read_sweeps(paper.entries, folder))}
    keynet, eef = rows["KeyNet: mean capability"], rows["KeyNet: end effector's capability"]
    assert keynet["status"] == REPRODUCED  # 0.667 beside 0.681
    assert keynet["ours"].startswith("0.667 (0.67 to 0.67)")
    assert eef["status"] == NOT_REPRODUCED  # 0 beside 0.167
    assert eef["ours"].startswith("0.000 (0.00 to 0.39)")
    assert rows["DSAE: mean capability"]["status"] == NOT_RECORDED
    assert rows["DSAE: mean capability"]["seeds"] == "5 of 6"
    gain = rows["KeyNet: gain of mean capability by the three switches"]
    assert gain["status"] == NOT_RECORDED
    assert gain["ours"] is None


def test_a_difference_waits_for_both_runs():
    entry = Entry("gain", "s", "b", stated=0.3, where="§1", minus="a")
    rows = [
        {"run": run, "seed": 0, "object": "cube", "error": e} for run, e in (("a", 1), ("b", 0))
    ]
    both = Sweep("s", {"a": 1, "b": 1}, rows)
    assert entry.value(both, MU) == 1.0  # b tracks, a does not
    assert entry.complete(both)
    assert not entry.complete(Sweep("s", {"a": 2, "b": 1}, rows))
    assert entry.value(Sweep("s", {"a": 1, "b": 1}, rows[1:]), MU) is None


@pytest.mark.parametrize(("measure", "expected"), [("mean", 4.0), ("median", 2.0)])
def test_a_column_is_reduced_over_seeds_of_its_object(measure, expected):
    entry = Entry("e", "s", "net", "nothing", measure=measure, column="error", object="target")
    errors = {"cube": [7.0, 7.0, 7.0], "target": [1.0, 9.0, 2.0]}
    assert entry.value(made_up(errors), MU) == expected


def test_an_object_that_the_run_does_not_score_is_said():
    entry = Entry("e", "s", "net", "nothing", object="cubes")
    with pytest.raises(ValueError, match=r"e: got 'cubes'.*Did you mean 'cube'"):
        entry.value(made_up({"cube": [0.0, 1.0]}), MU)


# -- the papers' file ----------------------------------------------------------------------------


@pytest.mark.parametrize("paper", ledger.papers(PAPER), ids=lambda paper: paper.key)
def test_the_file_of_the_papers_is_well_formed(paper):
    bibliography = (RESULTS.parent / "references.bib").read_text(encoding="utf-8")
    assert f"{{{paper.key}," in bibliography
    assert paper.thresholds == (MU if paper.key == "cramer2024" else {})
    assert len({entry.what for entry in paper.entries}) == len(paper.entries)
    used = {key for entry in paper.entries for key in entry.deviations}
    assert used == set(paper.deviations), "a deviation that no row has"
    for entry in paper.entries:
        assert not isinstance(entry.stated, float) or 0 <= entry.stated <= 1, entry.what


def test_every_entry_and_every_setting_names_a_run_that_a_sweep_asks_for():
    for paper in ledger.papers(PAPER):
        for entry in paper.entries:
            planned = planned_seeds(RESULTS / f"{entry.sweep}.yml")
            assert entry.run in planned, entry.what
            assert entry.minus is None or entry.minus in planned, entry.what
        for row in paper.settings:
            assert "ours" in row or (RESULTS / f"{row['sweep']}.yml").is_file(), row


def test_every_network_of_the_sweep_is_in_the_ledger():
    runs = {entry.run for paper in ledger.papers(PAPER) for entry in paper.entries}
    assert set(planned_seeds(RESULTS / "autoencoders.yml")) <= runs


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_seeds_are_counted_as_the_sweep_counts_them(name):
    path = RESULTS / f"{name}.yml"
    jobs = [job.run for job in sweep.read(path)]
    assert planned_seeds(path) == {run: jobs.count(run) for run in jobs}


def test_seeds_may_be_a_list_and_have_a_default(tmp_path):
    path = tmp_path / "some.yml"
    path.write_text("runs: [{name: a, seeds: [3, 5, 8]}, {name: b}]")
    assert planned_seeds(path) == {"a": 3, "b": 1}
    assert planned_seeds(tmp_path / "none.yml") == {}


BROKEN_YAML = {
    "a: 1\nb: 2020-13-45": r"no YAML \(.*month must be in 1..12.*line 2",
    "a: 1\nb: !!int x": r"no YAML \(.*'x'.*line 2",
    "a: !!bool x": r"no YAML \(.*'x'.*line 1",
    "a: !!timestamp x": r"no YAML \(.*'x'.*line 1",
    "a: " + "[" * 2000 + "]" * 2000: r"no YAML \(.*recursion",
    "a: 1\nb: 2\na: 3": r"no YAML \(.*'a' twice.*line 3",
    "a: {1: x, 0x1: y}": r"no YAML \(.*1 twice.*line 1",
    "runs: [": r"no YAML \(.*line 1",
}


@pytest.mark.parametrize("read", [ledger.papers, planned_seeds, sweep.read])
@pytest.mark.parametrize("text", BROKEN_YAML)
def test_broken_yaml_names_the_file_and_the_line(tmp_path, read, text):
    path = tmp_path / "some.yml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"(?s)some\.yml: got {BROKEN_YAML[text]}"):
        read(path)


def test_merged_keys_may_be_overridden_and_a_name_may_be_both(tmp_path):
    path = tmp_path / "some.yml"
    path.write_text(
        "x: {y: &one {seeds: 2, kind: a}, z: &two {<<: *one, seeds: 3}}\n"
        "defaults: {<<: *two}\nruns: [{name: 1}, {name: '1', <<: *one}]"
    )
    assert planned_seeds(path) == {1: 3, "1": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got None, expected papers"),
        ("[a]", r"got \['a'\], expected papers"),
        ("word", "got 'word', expected papers"),
        ("a: 3", "a: got 3, expected a mapping with a list of `entries`"),
        ("a: {title: A}", r"a: got \{'title': 'A'\}, expected a mapping with a list of `entries`"),
        ("a: {entries: }", r"a: got \{'entries': None\}, expected"),
        ("a: {entries: [3]}", r"a: got \{'entries': \[3\]\}, expected"),
    ],
)
def test_a_file_without_papers_says_what_was_expected(tmp_path, text, message):
    path = tmp_path / "paper.yml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"paper\.yml: {message}"):
        ledger.papers(path)


@pytest.mark.parametrize("entry", ["{what: a}", "{what: a, whom: b}"])
def test_a_key_of_an_entry_that_is_missing_or_unknown_is_a_type_error(tmp_path, entry):
    path = tmp_path / "paper.yml"
    path.write_text(f"a: {{entries: [{entry}]}}")
    with pytest.raises(TypeError):
        ledger.papers(path)


@pytest.mark.parametrize(
    "text",
    ["", "[a]", "word", "{}", "runs:", "runs: a", "runs: [a]", "runs: [{seeds: 1}]",
     "{runs: [{name: a}], defaults: [1]}"],
)  # fmt: skip
def test_a_sweep_s_file_without_runs_says_what_was_expected(tmp_path, text):
    path = tmp_path / "some.yml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"some\.yml: got .*, expected .*`runs`"):
        planned_seeds(path)


@pytest.mark.parametrize("seeds", ["many", "", "2.5"])
def test_seeds_that_are_no_number_are_refused(tmp_path, seeds):
    path = tmp_path / "some.yml"
    path.write_text(f"runs: [{{name: a, seeds: {seeds}}}]")
    with pytest.raises(TypeError, match=r"some\.yml: a: seeds: got .*, expected a whole number"):
        planned_seeds(path)


def test_defaults_may_be_empty(tmp_path):
    path = tmp_path / "some.yml"
    path.write_text("defaults:\nruns: [{name: a}]")
    assert planned_seeds(path) == {"a": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measure": "mode"}, "measure: got 'mode'"),
        ({"stated": "figures"}, "stated: got 'figures'.*Did you mean 'figure'"),
        ({"where": ""}, "where: got ''"),
        ({"column": "error"}, "column 'error' with measure 'capability'"),
        ({"measure": "median"}, "column None with measure 'median'"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(change, message):
    good = {"what": "e", "sweep": "s", "run": "r", "stated": 0.5, "where": "§5"}
    Entry(**good)
    with pytest.raises(ValueError, match=message):
        Entry(**good | change)


def test_an_unknown_deviation_is_refused():
    entry = Entry("e", "s", "r", "nothing", deviations=["z"])
    with pytest.raises(ValueError, match="e: deviations: got 'z'"):
        ledger.Paper("key", "title", 0.1, MU, {"a": "text"}, [], [entry])


# -- intervals -----------------------------------------------------------------------------------


def test_runs_are_drawn_whole():
    """Objects of one run hang together: 20 runs are 20 draws, not 60."""
    together = np.where(np.arange(20) < 10, 0.0, LOST)
    found = Capability.of(dict.fromkeys(MU, together), MU)
    low, high = found.interval
    assert found.mean == 0.5
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 20), abs=0.06)  # 0.44, not 0.25
    assert found.each_interval["cube"] == wilson(10, 20)


def test_one_run_has_an_interval_without_width():
    found = made_up({"cube": [0.0], "target": [LOST]}).capability("net", MU)
    assert found.interval == (0.5, 0.5)
    assert found.each_interval["cube"] == wilson(1, 1)


def test_capability_keeps_each_object_apart():
    errors = {"cube": [0.015, 0.016, 0.0, 0.0], "target": [LOST] * 4, "end_effector": [0.1] * 4}
    found = made_up(errors).capability("net", MU)
    assert found.each == {"cube": 0.75, "target": 0.0, "end_effector": 1.0}
    assert found.mean == pytest.approx(1.75 / 3)
    assert found.seeds == 4
    assert made_up(errors).capability("other", MU) is None


# -- recorded runs -------------------------------------------------------------------------------


def test_a_column_has_one_number_a_seed_in_the_order_of_seeds():
    rows = [
        {"run": "net", "seed": seed, "object": obj, "within": value}
        for seed, obj, value in [(2, "a", 2.0), (0, "b", 9.0), (0, "a", None), (10, "a", 10.0)]
    ]
    made = Sweep("s", {"net": 4}, rows)
    np.testing.assert_array_equal(made.column("net", "within", "a"), [np.nan, 2.0, 10.0])
    assert np.isnan(made.column("net", "absent", "a")).all()
    assert made.seeds("net") == 3
    assert not made.complete("net")
    assert made.column("other", "within").shape == (0,)


def test_jobs_and_summary_say_what_the_tables_say():
    errors, r2 = {"cube": [0.0, 1.0], "end_effector": [0.0, 0.0]}, [0.9, 0.5]
    rows = [
        {"run": "net", "seed": s, "object": k, "error": e[s], "r2": r2[s] * w}
        | {"reconstruction_error": 0.1 + s}
        for s in (0, 1)
        for (k, e), w in zip(errors.items(), (1, 0.5), strict=True)
    ]
    alone = {"run": "agent", "seed": 0, "object": None, "reconstruction_error": None}
    sweep = Sweep("s", {"net": 2}, [*rows, alone])
    first, second, agent = sweep.jobs()
    assert first["e"] == {"cube": 0.0, "end_effector": 0.0}
    assert (second["loss"], second["r2"]) == (1.1, {"cube": 0.5, "end_effector": 0.25})
    assert agent == {"run": "agent", "seed": 0, "loss": None, "e": {}, "r2": {}}
    net, bare = sweep.summary(MU)
    assert (net["run"], net["seeds"], net["capability"]) == ("net", 2, 0.75)
    assert net["loss"] == pytest.approx(0.6)
    assert net["R² cube"] == pytest.approx(0.7)
    assert net["R² end effector"] == pytest.approx(0.35)
    low, high = sweep.capability("net", MU).interval
    assert net["95 % interval"] == f"{low:.3f} to {high:.3f}"
    assert bare == {"run": "agent", "seeds": 1, "loss": None}


def test_a_curve_has_one_line_a_seed_in_the_order_of_seeds():
    looks = [
        {"run": run, "seed": seed, "images": n, "error/cube": 10 * seed + n}
        for run, seeds in (("net", (7, 2)), ("other", (1,)))
        for seed in seeds
        for n in (3, 6)
    ]
    sweep = Sweep("s", {"net": 2}, [], history=looks)
    assert sweep.curves("net", "error/cube") == ([3, 6], [[23, 26], [73, 76]])
    assert sweep.curves("net", "images", x="seed") == ([2, 7], [[3, 6], [3, 6]])
    assert sweep.curves("none", "error/cube") == ([], [])
    read = Sweep.read("recipe", RESULTS)
    images, lines = read.curves("rarity", "error/target")
    assert len(lines) == read.seeds("rarity")
    assert {len(line) for line in lines} == {len(images)}


def test_weights_on_another_scene_are_a_sweep_of_the_same_runs(tmp_path):
    home = Sweep("home", {"net": 2}, [])
    scores = [
        {"run": "net", "seed": s, "error/cube": e, "r2/cube": 1 - e, "error/end_effector": 0.5}
        | {"r2/end_effector": None, "keypoint/cube": s}
        for s, e in ((1, 0.25), (0, 0.75))
    ]
    about = {"command": "", "seconds": 1.0, "device": "", "versions": {}}
    record = runs.RunRecord("transfer-away", results=scores, config={"trained": "home"}, **about)
    record.save(tmp_path)
    away = home.transfer("away", tmp_path)
    assert (away.name, away.seeds("net"), away.complete("net")) == ("away", 2, True)
    assert away.objects("net") == ["cube", "end_effector"]
    np.testing.assert_array_equal(away.column("net", "error", "cube"), [0.75, 0.25])
    np.testing.assert_array_equal(away.column("net", "keypoint", "cube"), [0, 1])
    assert np.isnan(away.column("net", "r2", "end_effector")).all()
    assert away.jobs()[0]["e"] == {"cube": 0.25, "end_effector": 0.5}
    with pytest.raises(ValueError, match="got weights of 'home', expected those of 'other'"):
        Sweep("other", {}, []).transfer("away", tmp_path)


def test_a_scene_on_which_nothing_was_recorded_has_no_rows(tmp_path):
    away = Sweep("home", {"net": 2}, []).transfer("nowhere", tmp_path)
    assert (away.name, away.rows, away.jobs(), away.complete("net")) == ("nowhere", (), [], False)


def test_the_recipe_s_recorded_transfers_have_every_seed():
    recipe = Sweep.read("recipe", RESULTS)
    for scene in ("full-look", "new-episodes", *Sweep.read("recordings", RESULTS).planned):
        away = recipe.transfer(scene, RESULTS)
        assert away.complete("rarity"), scene
        assert away.objects("rarity") == recipe.objects("rarity")


def test_medians_of_groups_leave_empty_cells_out():
    cells = [("b", 0, "x", 3.0), ("b", 0, "y", None), ("b", 1, "x", 5.0), ("a", 0, "x", None)]
    rows = [dict(zip(("run", "seed", "object", "R²"), cell, strict=True)) for cell in cells]
    assert medians(rows, by=["run"], columns=["R²"]) == [
        {"run": "b", "seeds": 2, "R²": 4.0},
        {"run": "a", "seeds": 1, "R²": None},
    ]
    by_object = medians(rows, by=["run", "object"], columns=["R²"])
    assert [(r["run"], r["object"], r["R²"]) for r in by_object] == [
        ("b", "x", 4.0), ("b", "y", None), ("a", "x", None),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["autoencoders", "recipe", "scenes", "ablation"])
def test_every_recorded_run_has_been_judged_by_every_metric(name):
    """If this fails: python -m kpbook.sweep.metrics book/results/<name>.yml"""
    sweep = Sweep.read(name, RESULTS)

    def keys(rows):
        return [(row["run"], row["seed"], row["object"]) for row in rows]

    assert keys(sweep.metrics) == keys(sweep.rows)
    for judged, scored in zip(sweep.metrics, sweep.rows, strict=True):
        assert judged["error"] == pytest.approx(scored["error"], rel=1e-3)
        assert judged["keypoint"] == scored["keypoint"]


def test_a_run_that_nobody_asked_for_is_never_complete():
    assert not Sweep("s", {}, made_up({"cube": [0.0]}).rows).complete("net")


def test_lost_objects_are_named_with_their_seeds():
    paper = paper_of("cramer2024")
    errors = {"cube": [0.0, 0.0, 0.0], "target": [0.25, 0.25, 0.0], "end_effector": [0.05] * 3}
    assert ledger.lost(paper, made_up(errors), "net") == "target 1 of 3 (R² 0.75)"
    assert ledger.lost(paper, made_up({obj: [0.0] for obj in MU}), "net") == "none"
    assert ledger.lost(paper, made_up(errors), "other") == NOT_RECORDED
    assert ledger.lost(paper_of("kulkarni2019"), made_up(errors), "net") == "no thresholds"


def test_the_last_quarter_compares_the_end_with_three_quarters_of_each_seed():
    curves = [
        {"run": "net", "seed": seed, "step": step, "error/cube": e, "error/target": None}
        for seed, course in enumerate([(8.0, 4.0, 2.0, 1.0), (9.0, 9.0, 4.0, 3.0)])
        for step, e in zip((100, 200, 300, 400), course, strict=True)
    ]
    assert last_quarter(curves, "net") == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert last_quarter(curves, "other") is None


# -- the pages -----------------------------------------------------------------------------------


def shown_by(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a page's cells beside a results folder; return all that they show, as text."""
    monkeypatch.chdir(folder.parent)
    text = (RESULTS.parent / f"{page}.md").read_text(encoding="utf-8")
    cells = re.findall(r"(?ms)^```\{code-cell\}[^\n]*\n(?::tags:[^\n]*\n)?(.*?)^```$", text)
    assert len(cells) >= text.count("{code-cell}") > 3
    names: dict[str, object] = {}
    shown: list[object] = []
    for cell in cells:
        tree = ast.parse(cell)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, page, "exec"), names)
        names["display"] = shown.append
        if last is not None:
            shown.append(eval(compile(ast.Expression(last.value), page, "eval"), names))
    return "\n".join(_text(x) for x in shown if x is not None)


def _text(x: object) -> str:
    for method in ("_repr_html_", "_repr_markdown_"):
        if hasattr(x, method):
            getattr(x, method)()  # what the book shows must not fail either
    return str(getattr(x, "data", repr(x)))


def test_the_ledger_builds_when_nothing_is_recorded(tmp_path, monkeypatch):
    shown = shown_by("ledger", results_folder(tmp_path), monkeypatch)
    assert re.search(r"(?m)^reproduced +0$", shown)
    entries = sum(len(paper.entries) for paper in ledger.papers(PAPER))
    assert re.search(rf"(?m)^not recorded yet +{entries}$", shown)
    assert "Nothing stated and recorded in full was missed." in shown


def test_performance_builds_when_nothing_is_recorded(tmp_path, monkeypatch):
    shown = shown_by("performance", results_folder(tmp_path), monkeypatch)
    for name in ("soft_argmax", "render", "record", "training", "tracking"):
        assert f"Not recorded yet: `python -m kpbook.bench {name}`." in shown
    assert "python -m kpbook.bench training --device cuda" in shown
    assert re.search(r"no-rarity +0 of 4 +not recorded yet", shown)
    assert "Checked" not in shown


def test_performance_builds_with_no_file_at_all(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    assert "not recorded yet" in shown_by("performance", tmp_path / "results", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["ledger", "performance"])
def test_a_page_builds_from_what_is_recorded_today(page, tmp_path, monkeypatch):
    folder = tmp_path / "results"
    shutil.copytree(RESULTS, folder, ignore=shutil.ignore_patterns("*.safetensors", ".work"))
    assert shown_by(page, folder, monkeypatch)


@pytest.mark.parametrize("name", SWEEPS)
def test_performance_builds_with_one_sweep_half_done(name, tmp_path, monkeypatch):
    folder = results_folder(tmp_path)
    run = next(iter(planned_seeds(RESULTS / f"{name}.yml")))
    record(folder, name, {run: [dict.fromkeys(MU, 0.001)]})
    assert f"1 of {planned_seeds(RESULTS / f'{name}.yml')[run]}" in shown_by(
        "performance", folder, monkeypatch
    )


def test_the_recipe_is_judged_by_what_was_required_and_by_the_goal(tmp_path, monkeypatch):
    folder = results_folder(tmp_path)
    good, lost = dict.fromkeys(MU, 0.001), {**dict.fromkeys(MU, 0.001), "target": LOST}
    record(folder, "recipe", {"rarity": [good] * 21 + [lost] * 3}, cpu_seconds=130.0)
    shown = shown_by("performance", folder, monkeypatch)
    assert re.search(r"mean tracking capability +≥ 0.95 +≥ 0.986 +0.958 .*goal not reached", shown)
    assert re.search(r"CPU s of a whole run +≤ 240 +≤ 120 +130 .*goal not reached", shown)
    assert re.search(r"R², end_effector +≥ 0.75 +≥ 0.85 +0.990 .* goal reached", shown)
    assert re.search(r"target +21 of 24 +0.875", shown)
    assert "Checked: Over 24 seeds the mean tracking capability is 0.958" in shown
    assert "whole recipe" in shown


@pytest.mark.parametrize(
    ("tracked", "more"), [(19, {}), (24, {"cpu_seconds": 241.0}), (24, {"r2": 0.93})]
)
def test_performance_claims_nothing_that_was_not_reached(tracked, more, tmp_path, monkeypatch):
    folder = results_folder(tmp_path)
    good, lost = dict.fromkeys(MU, 0.001), {**dict.fromkeys(MU, 0.001), "target": LOST}
    record(folder, "recipe", {"rarity": [good] * tracked + [lost] * (24 - tracked)}, **more)
    with pytest.raises(ClaimError, match="this does not hold: Over 24 seeds"):
        shown_by("performance", folder, monkeypatch)


def test_the_ledger_says_what_was_not_reached_and_why(tmp_path, monkeypatch):
    folder = results_folder(tmp_path)
    lost = {"cube": 0.001, "target": LOST, "end_effector": 0.3}
    record(folder, "autoencoders", {"keynet-quarter": [lost] * 6}, r2=0.25)
    shown = shown_by("ledger", folder, monkeypatch)
    assert re.search(r"KeyNet: mean capability +0.681 +§5.1 +0.333 .*not reproduced at this", shown)
    assert re.search(
        r"KeyNet: mean capability +-0.348 +target 0 of 6 \(R² 0.25\); end_effector 0 of 6 "
        r"\(R² 0.25\) +1.3%",
        shown,
    )
    assert "Not recorded yet: DSAE: mean capability" in shown


def bench_records(folder: Path, share: float, ratio: float) -> None:
    """Records as the benchmarks write them, made of times that are made up."""
    work = dict.fromkeys(learning.TRAINED, 96e8) | {"rarity": 33e8 * share, "matmul": 1e9}
    images = dict.fromkeys(learning.TRAINED, 96) | {"rarity": 33}
    times = {"matmul": [25.0]} | {name: [1000.0 * work[name] / 96e8] for name in learning.TRAINED}
    loop = {"ours": [1.0], "pairs": [ratio], "keypoints": [4.0]}
    results = {
        "bench-training": learning._training_rows(times, work, images),
        "bench-tracking": learning._tracking_rows(loop, loop, [0.0, 1e-15, 1e-15]),
    }
    for name, rows in results.items():
        runs.RunRecord(name=name, command="-", results=rows, seconds=1.0).save(folder)


def test_performance_shows_recorded_benchmarks(tmp_path, monkeypatch):
    folder = results_folder(tmp_path)
    bench_records(folder, share=0.1, ratio=12.0)
    shown = shown_by("performance", folder, monkeypatch)
    assert "trains 10.0 times as many images a second" in shown
    assert "with 10.0 times fewer multiply-adds" in shown
    assert "takes 12.0 times as long" in shown


def test_performance_does_not_call_a_slow_metric_fast(tmp_path, monkeypatch):
    folder = results_folder(tmp_path)
    bench_records(folder, share=0.1, ratio=9.9)
    with pytest.raises(ClaimError, match=r"takes 9\.9 times as long"):
        shown_by("performance", folder, monkeypatch)


def test_performance_does_not_call_a_heavy_recipe_light(tmp_path, monkeypatch):
    folder = results_folder(tmp_path)
    bench_records(folder, share=0.9, ratio=12.0)
    with pytest.raises(ClaimError, match="not hold: The recipe trains 1"):
        shown_by("performance", folder, monkeypatch)
