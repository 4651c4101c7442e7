"""The house holds for families to come: 3-D, no decoder, no cameras, no objects, an agent.

None of them has a line of its own in the package; each goes through whatever applies to it.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import conftest
import numpy as np
import pytest
import torch
import toy_families as toys
from toy_world import games

from kpbook import detect, judge, ledger, recorded, runs, training, zoo
from kpbook.episodes import record
from kpbook.export import difference, to_onnx
from kpbook.extractors import check_extractor, registry
from kpbook.extractors.base import Draws, Extractor, Learner, offers
from kpbook.images import to_float
from kpbook.sweep import metrics, plan, transfer, work
from kpbook.sweep import tables as sweep_tables
from kpbook.zoo import cards, shipped

SWEEP = """
plugins: [toy_families]
data: {world: balls, episodes: 12, steps: 6, seed: 4, policy: drift}
split: {train: 6, validation: 6}
defaults: {steps: 4, every: 2}
runs:
  - {name: metres, architecture: triangulating}
  - {name: carry, architecture: carrier, overrides: {keypoints: 3}, seeds: 2}
  - {name: game, architecture: carrier, overrides: {image_size: [3, 5]},
     data: {world: game, episodes: 6, steps: 9, policy: press}, split: {train: 4, validation: 2}}
  - {name: waits, kind: player, world: game, steps: 20, seeds: 3}
"""


@pytest.fixture(scope="module")
def balls():
    return record(toys.Balls(), episodes=16, steps=6, policy="drift", progress=False)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of all of them, run by its command in processes of its own."""
    home = tmp_path_factory.mktemp("families")
    (home / "all.yml").write_text(SWEEP)
    command = [sys.executable, "-m", "kpbook.sweep", "all.yml", "--out", "all", "--jobs", "2"]
    paths = os.pathsep.join([str(conftest.ROOT), str(conftest.ROOT / "tests")])
    env = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return home, done.stdout


# -- keypoints in metres --------------------------------------------------------------------------


def test_a_3d_extractor_is_held_to_its_contract(balls):
    extractor = registry.build("triangulating").eval()
    images = to_float(balls.images[:2, 0])
    checked = check_extractor(extractor, images)
    assert checked
    p_W = extractor(images).detach().numpy()
    off_m = np.linalg.norm(p_W - balls.positions[:2, 0], axis=-1)
    assert np.median(off_m) < 0.08  # in a room of 0.4; a pixel is 3 cm, and balls hide balls


@pytest.mark.parametrize("view", [0, 1])
def test_its_keypoints_are_detected_and_judged_in_each_view(balls, view):
    extractor = registry.build("triangulating").eval()
    z = detect.keypoints(extractor, balls, view)
    assert z.shape == (96, 3, 2)
    image, _ = balls.cameras[view].project(detect.found(extractor, balls))
    np.testing.assert_array_equal(z, image)
    verdict = judge.judge(extractor, balls, view=view, thresholds={})
    assert verdict.tracking.keypoint.tolist() == [0, 1, 2]
    assert verdict.tracking.r2.min() > 0.95
    assert verdict.tracked.all()


@pytest.mark.slow
def test_it_learns_is_kept_and_exported(balls, tmp_path):
    train, validation = balls.split((8, 8), seed=0)
    extractor = registry.build("triangulating")
    fit = training.fit(
        extractor, train, steps=30, validate=validation, learning_rate=0.1, every=15, progress=False
    )
    first, last = fit.curve[0], fit.curve[-1]
    assert last["validation/loss"] < first["validation/loss"]
    assert last["r2/red"] > 0.5
    zoo.save(fit.extractor, tmp_path / "e.safetensors", fit.record)
    again = zoo.load_file(tmp_path / "e.safetensors")
    images = to_float(balls.images[:3, 0])
    assert torch.equal(again(images), fit.extractor(images))
    to_onnx(again, tmp_path / "e.onnx")
    off = difference(again, tmp_path / "e.onnx", images)
    assert off["keypoints"] < 1e-4
    assert "reconstruction" not in off


# -- no decoder -----------------------------------------------------------------------------------


def test_a_learner_that_cannot_draw_from_one_image(balls, tmp_path):
    carrier = registry.build("carrier", seed=1)
    assert [offers(carrier, c) for c in (Extractor, Learner, Draws)] == [True, True, False]
    train, validation = balls.split((8, 8), seed=0)
    options = {"steps": 40, "every": 20, "learning_rate": 0.01, "progress": False}
    fit = training.fit(carrier, train, validate=validation, **options)
    assert fit.curve[-1]["validation/loss"] < fit.curve[0]["validation/loss"]
    check_extractor(fit.extractor, to_float(balls.images[:2, 0, 0]))
    assert judge.judge(fit.extractor, balls).tracking.error.shape == (3,)
    to_onnx(fit.extractor, tmp_path / "e.onnx")
    off = difference(fit.extractor, tmp_path / "e.onnx", to_float(balls.images[:3, 0, 0]))
    assert sorted(off) == ["heatmaps", "keypoints"]
    whole = zoo.save(fit.extractor, tmp_path / "whole.safetensors")
    part = zoo.save(fit.extractor, tmp_path / "part.safetensors", encoder_only=True)
    images = to_float(balls.images[:3, 0, 0])
    assert part.stat().st_size < whole.stat().st_size
    assert torch.equal(zoo.load_file(part)(images), fit.extractor(images))


# -- no cameras, early ends, no objects -----------------------------------------------------------


def test_a_game_without_cameras_is_detected_and_learned_from(tmp_path):
    episodes = games()
    carrier = registry.build("carrier", image_size=(3, 5))
    fit = training.fit(carrier, episodes, steps=4, every=2, progress=False)
    assert np.isfinite(fit.curve[-1]["loss"])
    assert detect.keypoints(fit.extractor, episodes).shape == (54, 4, 2)
    with pytest.raises(ValueError, match="0 objects, expected at least 4 with truth"):
        judge.judge(fit.extractor, episodes)
    with pytest.raises(ValueError, match="validate: got episodes without truth"):
        training.fit(registry.build("carrier", image_size=(3, 5)), episodes, steps=2,
                     validate=episodes)  # fmt: skip


# -- all of them in one sweep ---------------------------------------------------------------------


def rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.slow
def test_one_row_per_object_and_one_where_there_is_none(swept):
    home, said = swept
    table = rows(home / "all" / "runs.csv")
    found = [(row["run"], row["seed"], row["object"]) for row in table]
    three = ("red", "green", "blue")
    assert found == [
        *[("metres", "0", obj) for obj in three],
        *[("carry", str(seed), obj) for seed in (0, 1) for obj in three],
        ("game", "0", ""),
        *[("waits", str(seed), "") for seed in (0, 1, 2)],
    ]
    by_run = {row["run"]: row for row in table}
    assert float(by_run["metres"]["r2"]) > 0.9
    assert float(by_run["game"]["loss"]) > 0
    assert by_run["game"]["r2"] == by_run["waits"]["architecture"] == ""
    assert float(by_run["waits"]["return"]) == 4
    assert {row["run"] for row in rows(home / "all" / "curves.csv")} == set(by_run)
    assert "waits-s0" in said
    assert "return 4" in said
    kept = {path.name for path in (home / "all").iterdir()}
    assert {"waits-s2.policy", "waits-s2.json", "carry-s1.encoder.safetensors"} <= kept


@pytest.mark.slow
def test_a_second_start_has_nothing_left_to_do(swept, monkeypatch, capsys):
    home, _ = swept
    monkeypatch.chdir(home)
    jobs = plan.read(home / "all.yml")
    assert all(job.finished(home / "all") for job in jobs)
    (waits,) = [job for job in jobs if job.name == "waits-s1"]
    assert (waits.kind, waits.settings["kind"]) == ("player", "player")
    before = (home / "all" / "runs.csv").read_bytes()
    assert sweep_tables.write(jobs, home / "all")
    assert (home / "all" / "runs.csv").read_bytes() == before


@pytest.mark.slow
def test_recorded_runs_of_every_kind_are_read(swept):
    home, _ = swept
    sweep = recorded.Sweep.read("all", home)
    planned = {"metres": 1, "carry": 2, "game": 1, "waits": 3}
    assert sweep.planned == planned
    assert all(sweep.complete(run) for run in planned)
    assert sweep.objects("metres") == ["red", "green", "blue"]
    assert sweep.objects("waits") == []
    np.testing.assert_array_equal(sweep.column("waits", "return"), [4, 4, 4])
    assert sweep.capability("waits", {}) is None
    with pytest.raises(ValueError, match=r"all: carry: got no threshold for red, green, blue"):
        sweep.capability("carry", {})
    assert sweep.capability("carry", dict.fromkeys(("red", "green", "blue"), 9.0)).mean == 1


def paper(*entries, **changes):
    made = {"tolerance": 0.1, "thresholds": {}, "deviations": {}, "settings": (), **changes}
    return ledger.Paper("k", "Somebody (2019)", entries=entries, **made)


@pytest.mark.slow
def test_the_ledger_answers_with_a_return(swept):
    home, _ = swept
    common = {"sweep": "all", "where": "Fig. 1", "measure": "mean", "column": "return"}
    entries = [
        ledger.Entry("return", run="waits", stated=4.05, **common),
        ledger.Entry("return", run="waits", stated=5.0, **common),
        ledger.Entry("return", run="waits", stated=5.0, tolerance=1.0, **common),
        ledger.Entry("return", run="waits", stated="figure", **common),
        ledger.Entry("difference", run="waits", minus="waits", stated=0.0, **common),
    ]
    sweeps = ledger.read_sweeps(entries, home)
    table = ledger.rows(paper(*entries), sweeps)
    assert [row["ours"] for row in table] == ["4.000"] * 4 + ["0.000"]
    assert [row["status"] for row in table] == [
        "reproduced", "not reproduced at this scale", "reproduced", "figure only", "reproduced",
    ]  # fmt: skip
    assert {row["seeds"] for row in table} == {"3 of 3"}
    assert ledger.lost(paper(), sweeps["all"], "waits") == "no objects"
    assert ledger.lost(paper(), sweeps["all"], "walks") == ledger.NOT_RECORDED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"column": "retrun"}, "return: got column 'retrun', in which no seed of 'waits' has a nu"),
        ({"column": "r2"}, "return: got column 'r2', in which no seed"),
        ({"measure": "capability", "column": None}, "the capability of 'waits', which scores no"),
        ({"object": "red"}, "no seed of 'waits' has a number for 'red'"),
    ],
)
def test_the_ledger_is_never_silent_about_a_recorded_run(swept, changes, message):
    """Catches: "not recorded yet" for ever."""
    home, _ = swept
    common = {"sweep": "all", "where": "Fig. 1", "measure": "mean", "column": "return"}
    entry = ledger.Entry("return", run="waits", stated=4.0, **{**common, **changes})
    with pytest.raises(ValueError, match=message):
        ledger.rows(paper(entry), ledger.read_sweeps([entry], home))


@pytest.mark.slow
def test_the_zoo_takes_what_the_sweep_kept(swept, monkeypatch, tmp_path):
    home, _ = swept
    assert shipped.median_seed(home / "all" / "waits", by="return").name == "waits-s1"
    with pytest.raises(ValueError, match=r"waits-s0\.json: got a record without R².*--by"):
        shipped.median_seed(home / "all" / "waits")
    with pytest.raises(ValueError, match="without 'retrun', expected one of step, return"):
        shipped.median_seed(home / "all" / "waits", by="retrun")
    monkeypatch.setattr(shipped, "HOME", tmp_path)
    (tmp_path / "manifest.json").write_text('{"weights": {}}')
    for run in ("metres", "game"):
        zoo.add(home / "all" / f"{run}-s0", run, "A test.")
    card = str(cards.card("metres"))
    assert "`float (B, 2, 3, 32, 40)` in [0, 1], to keypoints `(B, N, 3)` in metres" in card
    assert "| red |" in card
    card = str(cards.card("game"))
    assert "| loss |" in card
    assert "| object |" not in card


@pytest.mark.slow
def test_every_metric_and_a_transfer_of_those_that_have_truth(swept, tmp_path):
    home, _ = swept
    config = home / "truth.yml"
    config.write_text(SWEEP.partition("  - {name: game")[0])
    judged = metrics.judge_all(config, home / "all")
    assert judged.results == [{"runs": 3, "judged now": 3}]
    table = rows(home / "all" / "metrics.csv")
    assert len(table) == 9
    other = home / "other.yml"
    other.write_text(SWEEP.replace("seed: 4", "seed: 5").partition("  - {name: carry")[0])
    os.symlink(home / "all", home / "truth")
    moved = transfer.transfer(config, other, "metres", home)
    assert [row["run"] for row in moved.results] == ["metres", "carry", "carry"]
    assert moved.results[0]["r2/red"] > 0.9


def test_a_job_that_is_done_here_is_the_one_that_is_done_apart(tmp_path):
    """An agent's job in this process, without the command."""
    config = tmp_path / "c.yml"
    config.write_text("plugins: [toy_families]\ndefaults: {kind: player, steps: 10}\n"
                      "runs: [{name: w, world: game}]\n")  # fmt: skip
    (job,) = plan.read(config)
    toys.prepare([job], tmp_path / ".work", 1)
    work.train(job, tmp_path)
    found = runs.load(tmp_path / "w-s0.json")
    assert found.config == {"settings": dict(job.settings), "digest": job.digest}
    assert found.command == job.command == "python -m kpbook.sweep c.yml --only w-s0"
    assert [row["step"] for row in found.results] == [5, 10]


FAULTS = {
    "plugin": ("[toy_families]", "[toy_familes]", ImportError, r"plugins: got 'toy_familes'.*PYTH"),
    "plugins": ("[toy_families]", "toy_families", TypeError, "plugins: got 'toy_families', expect"),
    "kind": (
        "kind: player",
        "kind: plaeyr",
        ValueError,
        r"runs\[3\]: kind: got 'plaeyr'.*mean 'pla",
    ),
    "world": ("{world: balls", "{world: bals", ValueError, r"data: got 'bals'.*mean 'balls'"),
    "option": ("{world: balls", "{world: balls, size: 3", ValueError, "data: key: got 'size'"),
    "agent's world": (
        "player, world: game",
        "player, world: gmae",
        ValueError,
        "world: got 'gmae'",
    ),
    "agent's key": ("player, world", "player, images: 3, world", ValueError, "key: got 'images'"),
    "needed": ("player, world: game", "player", ValueError, "no 'world', expected a 'world' here"),
    "value": ("steps: 20", "steps: 21", ValueError, r"runs\[3\]: steps: got 21, expected a mul"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_file_says_where(tmp_path, fault):
    old, new, error, message = FAULTS[fault]
    assert old in SWEEP
    (tmp_path / "c.yml").write_text(SWEEP.replace(old, new))
    with pytest.raises(error, match=message) as caught:
        plan.read(tmp_path / "c.yml")
    assert "c.yml" in str(caught.value)
