"""Sweeps: what the file says, what comes out, and what survives crashes, kills and Ctrl-C."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import conftest
import numpy as np
import pytest
import torch

from kpbook import runs, tables, zoo
from kpbook.episodes import Episodes
from kpbook.extractors.autoencoder import names
from kpbook.images import resize, to_float
from kpbook.sweep import __main__ as sweep_main
from kpbook.sweep import extractor as extractor_job
from kpbook.sweep import metrics, plan, transfer, work
from kpbook.sweep import tables as sweep_tables
from kpbook.sweep.__main__ import main

TINY = "{keypoints: 3, batch_size: 1}"  # a step takes some 20 ms
CONFIG = f"""
data: sample
split: {{train: 7, validation: 5, seed: 2}}
defaults: {{steps: 4, every: 2, learning_rate: 1e-3, overrides: {TINY}}}
runs:
  - {{name: a, architecture: dsae-quarter, seeds: 2}}
  - {{name: b, architecture: basic-quarter, seeds: [5]}}
"""


@pytest.fixture
def config(tmp_path):
    """Write a sweep's file, after replacements such as ``("seeds: 2", "seeds: 0")``."""

    def write(*replacements, text=CONFIG):
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "c.yml"
        path.write_text(text)
        return path

    return write


# -- what the file says --------------------------------------------------------------------------


def test_a_file_becomes_one_job_for_each_run_and_seed(config):
    jobs = plan.read(config())
    assert [job.name for job in jobs] == ["a-s0", "a-s1", "b-s5"]
    assert [job.seed for job in jobs] == [0, 1, 5]
    settings = dict(jobs[2].settings)
    built = settings.pop("built")  # the rest of the options, too: a default may change
    assert (built["keypoints"], built["learn_sigma"]) == (3, "no")
    assert settings == {
        "architecture": "basic-quarter",
        "overrides": {"keypoints": 3, "batch_size": 1},
        "steps": 4,
        "data": "sample",
        "split": {"train": 7, "validation": 5, "seed": 2},
        "fit": {"every": 2, "learning_rate": 0.001},  # YAML 1.1 takes 1e-3 for a word
    }


def test_another_default_is_another_run(config, monkeypatch):
    before = plan.read(config())
    options = {**names.ARCHITECTURES["dsae"].options, "keypoints": 3, "velocity": 0.2}
    changed = names.ARCHITECTURES["dsae"]._replace(options=options)
    monkeypatch.setattr(names, "ARCHITECTURES", {**names.ARCHITECTURES, "dsae": changed})
    after = plan.read(config())
    assert [a.digest == b.digest for a, b in zip(before, after, strict=True)] == [
        False,
        False,
        True,
    ]


def test_a_run_overrides_the_defaults(config):
    own = "seeds: [5], images: 100, learning_rate: 3E+0, split: {train: 9, validation: 3}"
    (job,) = plan.read(config(("seeds: [5]", own)))[2:]
    assert job.settings["steps"] == 34  # 100 images, three a batch, rounded up
    assert job.settings["fit"]["learning_rate"] == 3.0
    assert job.settings["split"] == {"train": 9, "validation": 3, "seed": 0}


def test_the_command_in_a_record_names_no_folder_of_this_machine(config, monkeypatch):
    path = config()
    assert plan.read(path)[0].command == "python -m kpbook.sweep c.yml --only a-s0"
    monkeypatch.chdir(path.parent.parent)
    command = plan.read(path)[0].command
    assert command == f"python -m kpbook.sweep {path.parent.name}/c.yml --only a-s0"


WRONG = {
    "no YAML": ("runs:", "runs: [", r"got no YAML \(.*line.*indentation"),
    "another key": ("defaults:", "default:", "key: got 'default'.*Did you mean 'defaults'"),
    "run's key": ("seeds: 2", "sedes: 2", r"runs\[0\]: key: got 'sedes'.*mean 'seeds'"),
    "own key": ("seeds: 2", "folder: x", r"runs\[0\]: key: got 'folder'"),
    "architecture": ("dsae-quarter", "dase-quarter", r"runs\[0\]: .*'dase-quarter'.*dsae"),
    "number as name": ("dsae-quarter", "7", r"architecture: got 7, expected a name"),
    "override": ("keypoints: 3", "keypoint: 3", r"runs\[0\]: .*'keypoint'.*'keypoints'"),
    "override's value": ("keypoints: 3", "keypoints: 0", r"runs\[0\]: keypoints: got 0"),
    "seed twice": ("batch_size: 1", "seed: 1", "'seeds' decides the first weights"),
    "zero seeds": ("seeds: 2", "seeds: 0", r"runs\[0\]: seeds: got 0, expected at least 1\. A n"),
    "empty seeds": ("seeds: 2", "seeds: []", "got an empty list, expected at least one seed"),
    "negative seed": ("[5]", "[5, -1]", r"runs\[1\]: seeds: got -1"),
    "seed as word": ("[5]", "[five]", "got 'five', expected a whole number"),
    "same seed": ("[5]", "[5, 5]", "got 'b-s5' twice"),
    "same name": ("name: b, architecture: basic-quarter, seeds: [5]", "name: a, architecture: "
                  "dsae-quarter", "got 'a-s0' twice"),
    "name of a file": ("name: b", "name: ../b", r"runs\[1\]: name: got '../b'.*file's name"),
    "no length": ("steps: 4, ", "", "got neither, expected one of 'images' and 'steps'"),
    "two lengths": ("steps: 4", "steps: 4, images: 9", "got images and steps"),
    "no steps": ("steps: 4", "steps: 0", "steps: got 0, expected at least 1"),
    "no data": ("data: sample", "", "got no 'data', expected a 'data' here or in the defaults"),
    "data": ("data: sample", "data: samples", "data: got 'samples', expected keys among"),
    "data's key": ("data: sample", "data: {episode: 9}", "data: key: got 'episode'.*'episodes'"),
    "no episodes": ("data: sample", "data: {steps: 9}", "got no 'episodes', expected how many"),
    "too few episodes": ("train: 7", "train: 296", r"got 296 \+ 5 episodes, expected at most 300"),
    "one for validation": ("validation: 5", "validation: 1", "validation: got 1.*at least 2"),
    "no training set": ("train: 7, ", "", "train: got None, expected a whole number"),
    "matching": ("steps: 4", "steps: 4, matching: 3", "matching: got 3, expected keys among rad"),
    "matching's key": ("steps: 4", "steps: 4, matching: {radii: 1}", "key: got 'radii'.*'radius'"),
    "no lengths": ("steps: 4", "steps: 4, matching: {radius: 0.2}",
                   r"runs\[0\]: matching: got no 'lengths', expected a radius and lengths"),
    "one length": ("steps: 4", "steps: 4, matching: {radius: 0.2, lengths: 5}",
                   r"lengths: got 5, expected a list, such as \[1, 50\]"),
    "length 0": ("steps: 4", "steps: 4, matching: {radius: 0.2, lengths: [0]}",
                 "matching: lengths: got 0, expected at least 1"),
    "radius": ("steps: 4", "steps: 4, matching: {radius: 0, lengths: [1]}",
               r"matching: radius: got 0.*, expected > 0\. Image coordinates"),
    "radius as word": ("steps: 4", "steps: 4, matching: {radius: far, lengths: [1]}",
                       "matching: radius: got 'far', expected one number"),
    "seen_only": ("steps: 4", "steps: 4, seen_onyl: true", "got 'seen_onyl'.*mean 'seen_only'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_file_says_where_before_anything_runs(config, tmp_path, capsys, fault):
    old, new, message = WRONG[fault]
    out = tmp_path / "out"
    assert main([str(config((old, new))), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert re.search(message, said, re.DOTALL), said
    assert "c.yml" in said
    assert not out.exists()


@pytest.mark.parametrize("rest", ["", "runs:", "runs: []", "runs: 3", "runs: {name: a}"])
def test_a_file_without_runs_says_so(config, capsys, rest):
    assert main([str(config(text=f"data: sample\n{rest}\n"))]) == 2
    assert re.search(r"got runs = .*, expected a list of at least one", capsys.readouterr().err)


@pytest.mark.parametrize("text", ["", "3", "[a]", "runs: [3]\n", "runs: [a]\ndefaults: 5\n"])
def test_a_file_that_is_no_mapping_says_so(config, capsys, text):
    assert main([str(config(text=text))]) == 2
    assert re.search(r"c\.yml.*: got .*, expected keys among", capsys.readouterr().err)


def test_a_missing_file_says_so(tmp_path, capsys):
    assert main([str(tmp_path / "d.yml")]) == 2
    assert "d.yml: got no such file" in capsys.readouterr().err


def test_the_digest_knows_settings_and_nothing_else(config):
    def digests(*replacements):
        return [job.digest for job in plan.read(config(*replacements))]

    a0, a1, b5 = digests()
    assert a0 == a1 != b5  # the seed stands in the name
    assert digests(("name: a", "name: z"))[0] == a0
    for old, new in (("1e-3", "2e-3"), ("steps: 4", "steps: 5"), ("train: 7", "train: 8")):
        assert digests((old, new))[0] != a0
    assert digests(("seeds: 2", "seeds: 2, overrides: {keypoints: 4}"))[0] != a0


def test_matching_is_a_part_of_what_shapes_a_run(config):
    """Catches: a number that a table holds, of a radius that its record does not say."""
    plain, matched, other = (
        plan.read(config(("steps: 4", f"steps: 4{more}")))[0]
        for more in (
            "",
            ", matching: {radius: 0.2, lengths: [1, 5]}",
            ", matching: {radius: 0.2, lengths: [1]}",
        )
    )
    assert "matching" not in plain.settings  # what was recorded before keeps its digest
    assert matched.settings["matching"] == {"radius": 0.2, "lengths": [1, 5]}
    assert len({job.digest for job in (plain, matched, other)}) == 3
    assert plan.read(config(("steps: 4", "steps: 4, seen_only: true")))[0].settings["fit"] == {
        "every": 2, "learning_rate": 0.001, "seen_only": True,
    }  # fmt: skip


# -- what has finished ---------------------------------------------------------------------------

ROWS = [
    {"step": 2, "loss": 0.75, "error/cube": 0.5, "r2/cube": None},
    {"step": 4, "loss": 0.25, "error/cube": 0.125, "r2/cube": 0.5, "keypoint/cube": 2,
     "reconstruction_error": 0.0625},
]  # fmt: skip


def finish(job, out, **changes):
    config = {"settings": dict(job.settings), "digest": job.digest} | changes
    runs.RunRecord(job.name, job.command, ROWS, 1.5, config, job.seed).save(out)


def test_a_dry_run_lists_what_has_finished(config, tmp_path, capsys):
    path, out = config(), tmp_path / "out"
    finish(plan.read(path)[1], out)
    assert main([str(path), "--out", str(out), "--dry-run"]) == 0
    words = capsys.readouterr().out.split()
    assert words == ["a-s0", "to", "do", "a-s1", "finished", "b-s5", "to", "do"]


def test_a_record_alone_says_that_a_job_has_finished(config, tmp_path):
    """Git leaves the weights of some sweeps out. Catches: a clone that trains all of them anew."""
    (job, *_) = plan.read(config())
    assert job.finished(tmp_path) is None
    (tmp_path / "a-s0.encoder.safetensors").touch()  # it ended between weights and record
    assert job.finished(tmp_path) is None
    (tmp_path / "a-s0.encoder.safetensors").unlink()
    finish(job, tmp_path)
    assert job.finished(tmp_path).name == "a-s0"


def test_a_clone_without_weights_refuses_other_settings_too(config, tmp_path):
    finish(plan.read(config())[0], tmp_path)
    with pytest.raises(ValueError, match="a-s0: got a finished run with another steps"):
        plan.read(config(("steps: 4", "steps: 6")))[0].check_same(tmp_path)


@pytest.mark.slow
def test_a_run_that_is_forced_anew_has_not_finished_before_its_new_record(
    config, tmp_path, monkeypatch
):
    """Catches: new weights beside the record of the old ones, after a crash between the two."""
    (job, *_) = plan.read(config())
    finish(job, tmp_path)

    def crash(extractor, path, record, *, encoder_only=False):
        assert job.finished(tmp_path) is None
        raise MemoryError

    monkeypatch.setattr(extractor_job.zoo, "save", crash)
    with pytest.raises(MemoryError):
        work.train(job, tmp_path)
    assert job.finished(tmp_path) is None
    assert list(job.work(tmp_path).glob("*.safetensors"))  # the same command goes on from there


@pytest.mark.parametrize("missing", [(), ("runs.csv",), ("runs.csv", "curves.csv")])
def test_tables_are_written_when_nothing_is_left_to_do(config, tmp_path, capsys, missing):
    """Catches: records brought together from two machines, with the tables of one or of none."""
    path, out = config(), tmp_path / "out"
    for job in plan.read(path):
        finish(job, out)
    for name in {"runs.csv", "curves.csv"} - set(missing):
        (out / name).write_text("of one machine\n")
    assert main([str(path), "--out", str(out), "--only", "a"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2 jobs, 0 to do")
    assert f"Tables: {out / 'runs.csv'}, {out / 'curves.csv'}" in said
    assert [row["run"] for row in table(out / "runs.csv")] == ["a", "a", "b"]
    assert len(table(out / "curves.csv")) == 6


def test_no_table_is_promised_where_no_job_has_finished(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sweep_main, "_run_all", lambda jobs, todo, *_: {"a-s0": "out of memory"})
    assert main([str(config()), "--out", str(tmp_path / "out")]) == 1
    assert "No job has finished, so there are no tables." in capsys.readouterr().out
    assert not list((tmp_path / "out").glob("*.csv"))


@pytest.mark.parametrize("name", ["ablation", "autoencoders", "recipe", "scenes"])
def test_the_books_tables_are_those_of_its_records(name, tmp_path):
    """Catches: records without their rows, and a default that makes recorded runs other runs."""
    home = conftest.ROOT / "book" / "results"
    jobs = plan.read(home / f"{name}.yml")
    records = [path.stem for path in (home / name).glob("*-s*.json")]
    assert sorted(job.name for job in jobs if job.finished(home / name)) == sorted(records)
    for path in (home / name).glob("*-s*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())  # as a clone has them, no weights
    sweep_tables.write(jobs, tmp_path)
    for file in ("runs.csv", "curves.csv"):
        assert (tmp_path / file).read_text() == (home / name / file).read_text(), file


def test_finished_runs_of_other_settings_are_refused_unless_forced(config, tmp_path, capsys):
    out = tmp_path / "out"
    finish(plan.read(config())[0], out)
    changed = [str(config(("steps: 4", "steps: 6"))), "--out", str(out), "--dry-run"]
    assert main(changed) == 2
    assert re.search(
        r"a-s0: got a finished run with another steps.*--force", capsys.readouterr().err
    )
    assert main([*changed, "--only", "b"]) == 0
    assert main([*changed, "--force"]) == 0
    assert "finished" not in capsys.readouterr().out


def test_only_takes_runs_and_jobs(config, capsys):
    path = str(config())
    for pattern, wanted in (("a", ["a-s0", "a-s1"]), ("*-s[15]", ["a-s1", "b-s5"])):
        assert main([path, "--dry-run", "--only", pattern]) == 0
        assert re.findall(r"\w-s\d", capsys.readouterr().out) == wanted
    assert main([path, "--dry-run", "--only", "A"]) == 2
    assert "--only: got 'A', expected a pattern of some of: a, b" in capsys.readouterr().err


def test_a_number_of_jobs_below_one_is_refused(config, capsys):
    assert main([str(config()), "--dry-run", "--jobs", "0"]) == 2
    assert "--jobs: got 0, expected at least 1" in capsys.readouterr().err


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_tables_hold_what_the_records_hold(config, tmp_path):
    jobs = plan.read(config())
    for job in jobs[1:]:
        finish(job, tmp_path)
    sweep_tables.write(jobs, tmp_path)
    final = table(tmp_path / "runs.csv")
    assert [(row["run"], row["seed"], row["object"]) for row in final] == [
        ("a", "1", "cube"),
        ("b", "5", "cube"),
    ]
    parts = ("architecture", "error", "r2", "keypoint", "reconstruction_error", "step")
    assert [final[1][part] for part in parts] == [
        "basic-quarter", "0.125", "0.5", "2", "0.0625", "4",
    ]  # fmt: skip
    curves = table(tmp_path / "curves.csv")
    assert [(row["seed"], row["step"], row["error/cube"], row["r2/cube"]) for row in curves] == [
        ("1", "2", "0.5", ""), ("1", "4", "0.125", "0.5"),
        ("5", "2", "0.5", ""), ("5", "4", "0.125", "0.5"),
    ]  # fmt: skip


# -- what a run is worth -------------------------------------------------------------------------


class Painted(torch.nn.Module):
    """Two keypoints: a pixel's red and green, mixed affinely, and one that stands still."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([[0.5, 0.25], [-0.5, 1.0]]))

    def forward(self, images):
        z = images[:, :2, 0, 0] @ self.weight + 0.125
        return torch.stack([torch.zeros_like(z), z], dim=1)

    def reconstruct(self, images):
        return resize(images, (2, 3)) + 0.25


def painted(rng, move):
    """Five episodes of three frames whose first pixel says where the object is."""
    images = rng.integers(256, size=(5, 3, 4, 6, 3), dtype=np.uint8)
    place = images[:, :, 0, 0, :2] / 255.0
    truth = np.stack([place @ [[1.0, 0.5], [0.0, -1.0]] + 0.5, np.full((5, 3, 2), 0.25)], axis=2)
    truth[2:, :, 0] += move  # wrong by so much in the half that is scored
    return Episodes.from_frames(images, truth, objects=("mover", "still"))


def test_the_map_is_fitted_on_the_first_half_and_scored_on_the_second():
    """Catches: halves swapped, a fit on all frames, another keypoint."""
    row = extractor_job.evaluate(
        Painted().eval(), painted(np.random.default_rng(0), move=[0.3, 0.4])
    )
    assert row["error/mover"] == pytest.approx(0.25, rel=1e-4)  # 0.3² + 0.4²
    assert row["keypoint/mover"] == 1
    assert row["r2/still"] is None
    assert row["reconstruction_error"] == pytest.approx(0.0625)


def test_an_object_may_be_scored_only_where_it_is_seen():
    episodes = painted(np.random.default_rng(0), move=[0.3, 0.4])
    visible = episodes.visible.copy()
    visible[2:, 2:] = False  # what is left of the scored half: two frames an episode
    episodes = dataclasses.replace(episodes, visible=visible)
    row = extractor_job.evaluate(Painted().eval(), episodes, seen_only=True)
    assert row["error/mover"] == pytest.approx(0.25, rel=1e-4)
    moved = episodes.truth.copy()
    moved[2:, 2:, :, 0] += 9  # nobody sees it
    row = extractor_job.evaluate(
        Painted().eval(), dataclasses.replace(episodes, truth=moved), seen_only=True
    )
    assert row["error/mover"] == pytest.approx(0.25, rel=1e-4)


def matched(start, lengths, radius=0.1, lost=()):
    """Two windows of six frames; keypoints on the objects but in the frames ``lost``."""
    rng = np.random.default_rng(0)
    frames = rng.integers(256, size=(2, 6, 4, 6, 3), dtype=np.uint8)
    truth = rng.uniform(-0.9, 0.9, (2, 6, 2, 2))
    visible = np.ones((2, 6, 2), dtype=bool)
    visible[0, :, 1] = False  # the second object is not there in the first window
    episodes = Episodes.from_frames(frames, truth, visible, objects=("a", "b"))
    if start is not None:
        episodes = dataclasses.replace(episodes, extras={"start": start})
    points = truth.reshape(12, 2, 2)[:, ::-1].copy()
    points[list(lost)] += 3
    given = iter(torch.from_numpy(points).float().split([12]))
    return extractor_job.match(lambda images: next(given), episodes, radius, lengths)


def test_matching_is_over_windows_that_lie_in_one_game():
    """Oracle: counted by hand. Catches: windows across games, unseen objects, longer lengths."""
    assert matched(None, [1, 6, 7]) == {
        "precision over 1": 1.0, "recall over 1": 1.0,
        "precision over 6": 1.0, "recall over 6": 1.0,
    }  # fmt: skip
    lost = matched(None, [1, 6], lost=[3])
    # The seen object of frame 3 is lost; its other keypoint says nothing of what is not there.
    assert lost["recall over 1"] == pytest.approx(17 / 18)
    assert lost["recall over 6"] == pytest.approx(2 / 3)
    restart = np.zeros((2, 6), dtype=bool)
    restart[:, 0] = restart[0, 4] = True
    games = matched(restart, [1, 4, 6], lost=[4])  # the window of four before it is whole
    assert games["recall over 4"] == 1
    assert games["recall over 6"] == 1  # the second window; the first has no game as long
    assert matched(restart, [4], lost=[3]) == {
        "precision over 4": pytest.approx(2 / 3), "recall over 4": pytest.approx(2 / 3),
    }  # fmt: skip


def test_nothing_is_matched_where_there_is_nothing_to_match():  # catches: a crash after training
    assert matched(None, [7, 50]) == {}
    frames = np.zeros((2, 3, 4, 6, 3), np.uint8)
    assert extractor_job.match(Painted(), Episodes.from_frames(frames), 0.1, [1]) == {}


@pytest.mark.slow
def test_precision_and_recall_are_columns_of_the_table(config, tmp_path):
    more = "steps: 4, seen_only: true, matching: {radius: 0.2, lengths: [1, 20, 50]}"
    path = config(("steps: 4", more))
    (job, *_) = plan.read(path)
    work.train(job, tmp_path)
    sweep_tables.write([job], tmp_path)
    rows = table(tmp_path / "runs.csv")
    assert [row["object"] for row in rows] == ["cube", "target", "end_effector"]
    found = runs.load(tmp_path / "a-s0.json").results[-1]
    for row in rows:
        for name in ("precision over 1", "recall over 1", "precision over 20", "recall over 20"):
            assert float(row[name]) == pytest.approx(found[name], rel=1e-5)
        assert "recall over 50" not in row  # episodes have 20 frames
    _, validation = extractor_job.parts_of(job.settings, tmp_path)
    e = zoo.load_file(job.encoder(tmp_path))
    again = extractor_job.evaluate(e, validation, draws=False, seen_only=True)
    assert {key: found[key] for key in again} == again


# -- whole sweeps, in processes of their own -----------------------------------------------------


@pytest.fixture
def sweep():
    """Start a sweep that answers Ctrl-C, whatever the shell told the tests; end it for sure."""
    started = []

    def start(path: Path, *options: str) -> subprocess.Popen[bytes]:
        code = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
            "from kpbook.sweep.__main__ import main; sys.exit(main(sys.argv[1:]))"
        )
        command = [sys.executable, "-c", code, path.name, "--out", "out", "--jobs", "2", *options]
        # Files, not pipes: joblib's helpers outlive a killed sweep and would hold a pipe open.
        with (path.parent / "said").open("wb") as out, (path.parent / "complained").open("wb") as e:
            process = subprocess.Popen(
                command,
                cwd=path.parent,
                env=os.environ | {"PYTHONPATH": str(conftest.ROOT), "OMP_NUM_THREADS": "1"},
                stdout=out,
                stderr=e,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ended(process: subprocess.Popen[bytes], path: Path) -> tuple[int, str, str]:
    """Its exit status, what it said and what it complained of."""
    status = process.wait(timeout=400)  # a busy machine
    return status, *((path.parent / name).read_text() for name in ("said", "complained"))


def numbers(path: Path) -> list[dict[str, object]]:
    """The curve of a record, without what the clock says."""
    clock = re.compile("second")
    return [
        {key: value for key, value in row.items() if not clock.search(key)}
        for row in runs.load(path).results
    ]


@pytest.mark.slow
def test_a_sweep_records_its_runs_and_reports_the_one_that_crashed(config, sweep):
    spoilt = "seeds: [5]}\n  - {name: bad, architecture: dsae-quarter, learning_rate: 1e30}"
    path = config(("seeds: [5]}", spoilt))
    out = path.parent / "out"
    status, said, complained = ended(sweep(path), path)
    assert status == 1
    assert re.search(r"\[\d/4\] bad-s0 +CRASHED: FloatingPointError", said)
    assert "Traceback" in (out / ".work" / "bad-s0.log").read_text()
    assert re.search("bad-s0 crashed: exit status 1.*FloatingPointError", complained, re.DOTALL)
    names = {p.name for p in out.iterdir()}
    assert names == {".work", "runs.csv", "curves.csv"} | {
        f"{name}.{end}"
        for name in ("a-s0", "a-s1", "b-s5")
        for end in ("json", "safetensors", "encoder.safetensors")
    }
    assert not list((out / ".work").glob("a-*"))  # checkpoints and logs of what has finished
    check_scores(out)
    assert numbers(out / "a-s0.json") != numbers(out / "a-s1.json")  # the seed decides

    before = {p: p.read_bytes() for p in out.iterdir() if p.is_file()}
    status, said, _ = ended(sweep(path, "--only", "[ab]"), path)
    assert (status, said.splitlines()[0]) == (0, "3 jobs, 0 to do, 2 at a time")
    assert before == {p: p.read_bytes() for p in out.iterdir() if p.is_file()}


def check_scores(out: Path) -> None:
    """The stored weights, run on the split's frames, give the table: least squares by NumPy."""
    _, validation = Episodes.sample().split((7, 5), seed=2)
    fit, score = validation[:2].flat(), validation[2:].flat()
    for row in table(out / "runs.csv"):
        extractor = zoo.load_file(out / f"{row['run']}-s{row['seed']}.encoder.safetensors")
        k, n = validation.objects.index(row["object"]), int(row["keypoint"])
        with torch.no_grad():
            z_fit, z_score = (extractor(to_float(half.images))[:, n] for half in (fit, score))
        ones_fit, ones_score = (np.c_[z.double(), np.ones(len(z))] for z in (z_fit, z_score))
        affine = np.linalg.lstsq(ones_fit, fit.truth[:, k], rcond=None)[0]
        error = ((ones_score @ affine - score.truth[:, k]) ** 2).sum(1).mean()
        assert float(row["error"]) == pytest.approx(error, rel=1e-3)
        curve = runs.load(out / f"{row['run']}-s{row['seed']}.json").results
        assert float(row["error"]) == pytest.approx(curve[-1][f"error/{row['object']}"], rel=1e-5)


LONG, LONGER = (  # one job may begin while the other has long been at work
    (("steps: 4, every: 2", f"steps: {steps}, every: {steps // 2}, checkpoint_every: 0"),)
    for steps in (200, 4000)
)


def processes(parent: int, word: str) -> list[int]:
    """Ids of the living descendants whose command line holds ``word``."""
    table = subprocess.run(
        ["ps", "-ww", "-eo", "pid,ppid,stat,args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[1:]
    rows = [line.split(None, 3) for line in table]
    children = [r for r in rows if int(r[1]) == parent and not r[2].startswith("Z")]
    found = [int(r[0]) for r in children if word in r[3]]
    return found + [pid for r in children for pid in processes(int(r[0]), word)]


def wait_for(condition, what: str, seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"no {what} after {seconds} s"
        time.sleep(0.05)


def lives(pid: int) -> bool:
    stat = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return bool(stat.stdout.strip()) and not stat.stdout.startswith("Z")


def at_work(sweep, path: Path) -> tuple[subprocess.Popen[bytes], list[int]]:
    """Start a sweep of two jobs; return it and those who train, each with a checkpoint."""
    process = sweep(path, "--only", "a")
    work_folder = path.parent / "out" / ".work"
    wait_for(
        lambda: len({p.parent for p in work_folder.glob("a-*/a-s?.step-*[1-9]?.safe*")}) == 2,
        "checkpoints",
    )
    trainers = processes(process.pid, "kpbook.sweep.work")
    assert len(trainers) == 2
    return process, trainers


@pytest.mark.slow
def test_a_killed_job_takes_no_other_down_and_goes_on_as_if_never_stopped(config, sweep):
    path = config(*LONG)
    out = path.parent / "out"
    process, trainers = at_work(sweep, path)
    os.kill(trainers[0], signal.SIGKILL)
    status, said, complained = ended(process, path)
    assert status == 1
    assert "crashed: killed by SIGKILL" in complained
    (killed,) = re.findall(r"\] (a-s\d) +CRASHED", said)
    (other,) = {"a-s0", "a-s1"} - {killed}
    assert (out / f"{other}.json").is_file()
    assert not (out / f"{killed}.json").exists()

    status, said, _ = ended(sweep(path, "--only", "a"), path)
    assert (status, said.splitlines()[0]) == (0, "2 jobs, 1 to do, 2 at a time")
    (job,) = [job for job in plan.read(path) if job.name == killed]
    torch.set_num_threads(1)
    work.train(job, path.parent / "straight")
    assert numbers(out / f"{killed}.json") == numbers(path.parent / "straight" / f"{killed}.json")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["Ctrl-C", "kill"])
def test_stopping_a_sweep_ends_all_processes_and_keeps_the_checkpoints(config, sweep, how):
    path = config(*LONGER)
    process, trainers = at_work(sweep, path)
    if how == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)  # a terminal tells the whole group
        status, _, complained = ended(process, path)
        assert status == 130
        assert "goes on from the last checkpoints" in complained
        assert "Traceback" not in complained
    else:
        process.kill()
        process.wait()
    wait_for(lambda: not any(map(lives, trainers)), "end of training")
    out = path.parent / "out"
    assert len({p.parent for p in out.glob(".work/a-*/*.safetensors")}) == 2
    assert not list(out.glob("*.json"))  # half a run is no run


@pytest.mark.slow
def test_a_killed_minder_of_a_job_is_replaced(config, sweep):
    path = config(*LONG)
    process, _ = at_work(sweep, path)
    os.kill(processes(process.pid, "LokyProcess")[0], signal.SIGKILL)
    status, said, complained = ended(process, path)
    assert status == 0
    assert "The pool broke; begun anew." in complained
    assert set(re.findall(r"\] (a-s\d) ", said)) == {"a-s0", "a-s1"}
    assert len(list((path.parent / "out").glob("a-s?.json"))) == 2


@pytest.mark.parametrize("late", [0, 1])
def test_a_ray_node_that_starts_late_gets_a_second_try(monkeypatch, late):
    did = []

    class Ray:
        def is_initialized(self):
            return False

        def init(self, **options):
            did.append("init")
            if did.count("init") <= late:
                raise Exception("The current node timed out during startup.")

        def shutdown(self):
            did.append("shutdown")

        register_ray = shutdown

    monkeypatch.setattr(sweep_main, "require", lambda *names, **words: Ray())
    sweep_main._start_ray()
    assert did == ["shutdown", "init", *late * ["shutdown", "init"]]


@pytest.mark.slow
def test_ray_gives_the_same_numbers_as_this_machines_processes(config, sweep):
    """A local cluster with two workers; ``work.train`` here is the sweep's one job, undivided."""
    path = config()
    status, said, complained = ended(sweep(path, "--only", "a", "--backend", "ray"), path)
    assert (status, said.splitlines()[0]) == (0, "2 jobs, 2 to do, 2 at a time"), complained
    torch.set_num_threads(1)
    for job in plan.read(path)[:2]:
        work.train(job, path.parent / "straight")
        assert numbers(path.parent / "out" / f"{job.name}.json") == numbers(
            path.parent / "straight" / f"{job.name}.json"
        )


@pytest.mark.slow
@pytest.mark.world
def test_episodes_are_recorded_once_and_read_by_every_job(config, sweep):
    data = "data: {episodes: 12, steps: 3, seed: 4, policy: [random_walk, push], look: fast}"
    path = config(("data: sample", data))
    out = path.parent / "out"
    status, _, complained = ended(sweep(path, "--only", "a"), path)
    assert status == 0, complained
    (recording,) = (out / ".work").glob("*.kpe")
    job = plan.read(path)[0]
    episodes = Episodes.load(recording)
    assert json.loads(json.dumps(job.settings["data"]))["seed"] == episodes.origin["seed"] == 4
    assert episodes.policies == ("random_walk", "push") * 6


# -- every metric over the runs -------------------------------------------------------------------


@pytest.mark.slow
def test_metrics_of_all_finished_runs_and_only_new_ones_again(
    config, tmp_path, capsys, monkeypatch
):
    path = config()
    out = tmp_path / "c"
    assert main([str(path), "--out", str(out), "--jobs", "1"]) == 0
    (out / "b-s5.json").rename(tmp_path / "later.json")  # has not finished
    assert metrics.main([str(path)]) == 0
    rows = tables.read(out / "metrics.csv")
    keys = [(row["run"], row["seed"], row["object"]) for row in rows]
    assert keys == [("a", s, k) for s in (0, 1) for k in ("cube", "target", "end_effector")]
    scored = {(r["run"], r["seed"], r["object"]): r for r in tables.read(out / "runs.csv")}
    for key, row in zip(keys, rows, strict=True):  # the protocol is that of the training's end
        assert row["error"] == pytest.approx(scored[key]["error"], rel=1e-4)
        assert row["keypoint"] == scored[key]["keypoint"]
    record = runs.load(out / "metrics.json")
    assert record.results == [{"runs": 2, "judged now": 2}]
    assert str(tmp_path) not in record.command

    (tmp_path / "later.json").rename(out / "b-s5.json")
    changed = (out / "metrics.csv").read_text().replace("a,1,sha256-", "a,1,sha256-0")
    (out / "metrics.csv").write_text(changed)  # settings of another day
    asked = []
    judged = metrics._rows
    monkeypatch.setattr(
        metrics, "_rows", lambda job, *rest: asked.append(job.name) or judged(job, *rest)
    )
    assert metrics.main([str(path)]) == 0
    assert asked == ["a-s1", "b-s5"]
    again = tables.read(out / "metrics.csv")
    assert [(row["run"], row["seed"]) for row in again[::3]] == [("a", 0), ("a", 1), ("b", 5)]
    assert again[:6] == rows


def test_metrics_are_renewed_with_the_weights_and_the_protocol(config, tmp_path, monkeypatch):
    # Catches: rows that were judged by another radius, or of weights that have been replaced.
    path, out = config(), tmp_path / "c"
    out.mkdir()
    jobs, asked = plan.read(path), []
    for i, job in enumerate(jobs):
        (out / f"{job.name}.encoder.safetensors").write_bytes(bytes([i]))

    def rows(job, out, device, verdicts):
        asked.append(job.name)
        run, seed, settings = metrics._key(job, out)
        return [{"run": run, "seed": seed, "settings": settings, "object": "cube"}]

    def renewed():
        asked.clear()
        metrics.judge_all(path)
        settings = [row["settings"] for row in tables.read(out / "metrics.csv")]
        assert len(set(settings)) == 3
        assert all(re.fullmatch("sha256-[0-9a-f]{12}", text) for text in settings)
        return list(asked)

    monkeypatch.setattr(plan.Job, "finished", lambda job, out: True)
    monkeypatch.setattr(metrics, "_rows", rows)
    names = [job.name for job in jobs]
    assert renewed() == names
    assert renewed() == []
    (out / f"{names[1]}.encoder.safetensors").write_bytes(b"trained anew")
    assert renewed() == names[1:2]
    for name, value in {
        "RADIUS": 0.1,
        "LENGTHS": (1, 5),
        "PROTOCOL": metrics.PROTOCOL + 1,
        "R2_TRACKED": 0.7,
        "THRESHOLD_OF": {"cube": 0.1},
    }.items():
        monkeypatch.setattr(metrics, name, value)
        assert renewed() == names, name
        assert renewed() == []
    changed = config(("steps: 4", "steps: 5"))
    assert changed == path
    assert renewed() == names


def test_metrics_keep_the_rows_of_runs_whose_weights_are_not_there(
    config, tmp_path, capsys, monkeypatch
):
    """A clone of a sweep whose weights git leaves out. Catches: rows that are dropped."""
    path, out = config(), tmp_path / "c"
    jobs = plan.read(path)
    for job in jobs:
        finish(job, out)
    encoders = [out / f"{job.name}.encoder.safetensors" for job in jobs]
    encoders[0].write_bytes(b"of a-s0")
    asked = []

    def rows(job, out, device, verdicts):
        asked.append(job.name)
        run, seed, settings = metrics._key(job, out)
        return [{"run": run, "seed": seed, "settings": settings, "object": "cube"}]

    monkeypatch.setattr(metrics, "_rows", rows)
    assert metrics.main([str(path)]) == 2  # neither weights nor rows
    said = capsys.readouterr().err
    again = r"python -m kpbook\.sweep c\.yml --only a-s1 --force` trains them again"
    assert re.search(rf"a-s1\.encoder\.safetensors: got no such file, .*{again}", said), said
    assert "2 of 3" in said
    assert not asked
    assert not (out / "metrics.csv").exists()

    for i, encoder in enumerate(encoders[1:]):
        encoder.write_bytes(bytes([i]))
    assert metrics.main([str(path)]) == 0
    before = (out / "metrics.csv").read_bytes()
    for encoder in encoders[1:]:
        encoder.unlink()
    encoders[0].write_bytes(b"trained anew")
    asked.clear()
    assert metrics.main([str(path)]) == 0
    assert asked == ["a-s0"]
    kept = (out / "metrics.csv").read_bytes()
    assert kept.splitlines()[2:] == before.splitlines()[2:]  # head, a-s0, the two others
    assert len(kept.splitlines()) == 4

    monkeypatch.setattr(metrics, "RADIUS", 0.1)  # rows by another protocol are not these rows
    assert metrics.main([str(path)]) == 2
    assert "a-s1.encoder.safetensors: got no such file" in capsys.readouterr().err
    assert (out / "metrics.csv").read_bytes() == kept


def test_metrics_say_what_is_wrong(config, tmp_path, capsys):
    path = config()
    assert metrics.main([str(path)]) == 2
    assert re.search("no finished run.*trains them", capsys.readouterr().err)
    assert metrics.main([str(tmp_path / "none.yml")]) == 2
    assert "none.yml" in capsys.readouterr().err


# -- trained weights on other frames --------------------------------------------------------------


@pytest.mark.slow
def test_weights_are_scored_on_the_frames_of_another_sweep(config, tmp_path, capsys):
    trained = config()
    assert main([str(trained), "--out", str(tmp_path / "c"), "--jobs", "1"]) == 0
    scenes = tmp_path / "d.yml"
    scenes.write_text(CONFIG.replace("name: b", "name: elsewhere"))
    (tmp_path / "c" / "b-s5.json").unlink()  # has not finished
    assert transfer.main([str(trained), str(scenes), "elsewhere", "a"]) == 0
    assert (tmp_path / "transfer-a.json").is_file()  # each run has a record
    record = runs.load(tmp_path / "transfer-elsewhere.json")
    assert [(row["run"], row["seed"]) for row in record.results] == [("a", 0), ("a", 1)]
    assert str(tmp_path) not in record.command
    for row in record.results:  # the same frames here, so the score of the training's end
        before = runs.load(tmp_path / "c" / f"a-s{row['seed']}.json").results[-1]
        for key in ("error/cube", "r2/target", "r2/end_effector"):
            assert row[key] == pytest.approx(before[key], rel=1e-4, nan_ok=True)
        assert row["keypoint/cube"] == before["keypoint/cube"]
        assert "reconstruction_error" not in row


def test_transfer_scores_as_the_run_of_the_frames_does(config, tmp_path, monkeypatch):
    """Catches: objects that have left the game, scored where they are nowhere."""
    trained = config(("steps: 4", "steps: 4, seen_only: true"))
    job, asked = plan.read(trained)[0], []
    finish(job, tmp_path / "c")
    network = names.build("dsae-quarter", keypoints=3, batch_size=1)
    zoo.save(network, job.encoder(tmp_path / "c"), encoder_only=True)
    monkeypatch.setattr(transfer, "evaluate", lambda *_, **options: asked.append(options) or {})
    transfer.transfer(trained, trained, "a", tmp_path)
    assert asked == [{"draws": False, "seen_only": True}]


def test_transfer_says_which_weights_are_missing_and_how_to_make_them(config, tmp_path, capsys):
    trained = config()
    for job in plan.read(trained):
        finish(job, tmp_path / "c")
    assert transfer.main([str(trained), str(trained), "a"]) == 2
    said = capsys.readouterr().err
    again = r"python -m kpbook\.sweep c\.yml --only a-s0 --force` trains them again"
    assert re.search(rf"a-s0\.encoder\.safetensors: got no such file, .*{again}", said), said
    assert "3 of 3" in said


def test_transfer_says_what_is_wrong(config, tmp_path, capsys):
    trained = config()
    assert transfer.main([str(trained), str(trained), "c"]) == 2
    assert "run: got 'c', expected one of a, b." in capsys.readouterr().err
    assert transfer.main([str(trained), str(trained), "a"]) == 2
    assert re.search("no finished run.*trains them", capsys.readouterr().err)
    other = tmp_path / "other.yml"
    other.write_text(CONFIG.replace("validation: 5, seed: 2", "validation: 5, seed: 3"))
    assert transfer.main([str(trained), str(other), "a"]) == 2
    assert "scored on episodes that it was trained on" in capsys.readouterr().err
    recorded = "{episodes: 30, seed: %d, image_size: 64}"
    for seed, refused in ((0, True), (1, False)):  # an episode belongs to its seed and number
        for path, of in ((trained, recorded % 0), (other, recorded % seed)):
            path.write_text(path.read_text().replace("data: sample", f"data: {of}"))
        assert transfer.main([str(trained), str(other), "a"]) == 2
        assert ("trained on" in (said := capsys.readouterr().err)) == refused, said
        other.write_text(other.read_text().replace(recorded % seed, "sample"))
    assert transfer.main([str(trained), str(tmp_path / "none.yml"), "a"]) == 2
    assert "none.yml" in capsys.readouterr().err
