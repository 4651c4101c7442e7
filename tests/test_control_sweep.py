"""Agents in a sweep: what its file says, which encoder is taken, and what is left behind."""

from __future__ import annotations

import csv

import conftest
import pytest
import torch

from kpbook import runs, tables, zoo
from kpbook.control import agents
from kpbook.extractors import registry
from kpbook.judge import judge
from kpbook.sweep import agent, metrics, plan
from kpbook.sweep.__main__ import main

pytestmark = pytest.mark.world
conftest.need_agents()

TINY = "{envs: 2, warm_up: 100, width: 8, batch_size: 8}"
CONFIG = f"""
defaults: {{kind: agent, steps: 8, every: 8, episodes: 1, overrides: {TINY}}}
runs:
  - {{name: points, state: "true"}}
  - {{name: keys, state: keypoints, hand: false, extractor: rarity, seeds: [4]}}
"""


@pytest.fixture
def config(tmp_path):
    """Write a sweep's file, after replacements."""

    def write(*replacements):
        text = CONFIG
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "agents.yml"
        path.write_text(text)
        return path

    return write


def test_a_run_states_all_that_shapes_it(config):
    points, keys = plan.read(config())
    assert (points.kind, points.name, keys.name) == ("agent", "points-s0", "keys-s4")
    assert keys.settings["extractor"] == "rarity"
    built = keys.settings["built"]
    assert (built["hand"], built["gamma"], built["width"], built["repeat"]) == (False, 0.95, 8, 2)
    assert points.digest != keys.digest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('state: "true"', "state: tru", r"runs\[0\]: state: got 'tru'.*Did you mean 'true'"),
        ('state: "true"', 'state: "true", extractor: rarity', "expected no 'extractor'"),
        (", extractor: rarity", "", r"runs\[1\]: extractor: got None, expected an 'extractor'"),
        ("extractor: rarity", "extractor: rarest", "one of .*'rarity'"),
        ("extractor: rarity", "extractor: untrained/x", r"runs\[1\]: extractor"),
        ("extractor: rarity", "extractor: recipe/", "'sweep/run' or 'sweep/run-s0'"),
        ("extractor: rarity", "extractor: [1]", r"got \[1\], expected a name"),
        ("hand: false", "hand: 0", "hand: got 0, expected True or False"),
        ("width: 8", "wide: 8", "setting: got 'wide'.*Did you mean 'width'"),
        ("width: 8", "state: full", "settings by name, without state, hand, reward"),
        ("defaults:", "data: sample\ndefaults:", r"runs\[1\]: split: train: got None"),
        ("steps: 8", "steps: 0", "steps: got 0, expected at least 1"),
        ('state: "true"', "hand: true", "no 'state', expected a 'state' here"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(config, old, new, message):
    with pytest.raises((TypeError, ValueError), match=message):
        plan.read(config((old, new)))


def test_an_extractor_is_shipped_recorded_or_untrained(config, tmp_path):
    out = tmp_path / "agents"
    first, second = (registry.build("dsae-quarter", seed=seed).eval() for seed in (4, 9))
    zoo.save(first, tmp_path / "other" / "run-s4.encoder.safetensors", encoder_only=True)
    zoo.save(second, tmp_path / "other" / "run-s9.encoder.safetensors", encoder_only=True)

    def taken(name):
        (_, job) = plan.read(config(("extractor: rarity", f"extractor: {name}")))
        agent.prepare([job], out / ".work", 1)
        found = agent.extractor_of(job, out)
        assert not found.training
        return next(iter(found.encoder.parameters()))

    def weight(extractor):
        return next(iter(extractor.encoder.parameters()))

    assert torch.equal(taken("other/run"), weight(first))  # of the agent's seed, 4
    assert torch.equal(taken("other/run-s9"), weight(second))
    assert torch.equal(taken("untrained/dsae-quarter"), weight(first))
    assert torch.equal(taken("rarity"), weight(zoo.load("rarity")))
    with pytest.raises(FileNotFoundError, match=r"no gone-s4.encoder.*Missing: 1 encoders"):
        taken("other/gone")


def test_the_extractors_of_agents_are_judged_each_once(config, tmp_path, monkeypatch):
    path = config(
        ("defaults:", "data: sample\nsplit: {train: 1, validation: 8}\ndefaults:"),
        ("seeds: [4]", "seeds: [4, 5]"),
        ("runs:", "runs:\n  - {name: first, state: keypoints, extractor: untrained/dsae-quarter}"),
    )
    out, judged = tmp_path / "agents", []
    monkeypatch.setattr(plan.Job, "finished", lambda job, out: job.seed != 5)
    monkeypatch.setattr(metrics, "judge", lambda *a, **k: judged.append(a) or judge(*a, **k))
    assert metrics.judge_all(path).results == [{"runs": 2, "judged now": 2}]
    rows = tables.read(out / "metrics.csv")
    assert [(row["run"], row["seed"], row["object"]) for row in rows] == [
        (run, seed, obj)
        for run, seed in (("first", 0), ("keys", 4))
        for obj in ("cube", "target", "end_effector")
    ]
    assert rows[3]["R²"] > 0.9 > rows[0]["R²"]
    monkeypatch.setattr(plan.Job, "finished", lambda job, out: True)
    assert metrics.judge_all(path).results == [{"runs": 3, "judged now": 1}]
    assert len(judged) == 3
    again = tables.read(out / "metrics.csv")
    mine = [{k: row[k] for k in ("object", "R²", "error")} for row in again]
    assert mine[3:6] == mine[6:]  # keys, seeds 4 and 5: one network


@pytest.mark.slow
def test_a_sweep_trains_agents_and_records_them(config, tmp_path):
    out = tmp_path / "agents"
    assert main([str(config()), "--out", str(out), "--jobs", "1"]) == 0
    last = runs.load(out / "keys-s4.json").results[-1]
    assert {"success", "success_by_keypoints", "cpu_seconds", "steps_per_cpu_second"} <= set(last)
    assert {"share/physics", "share/drawing", "share/network", "share/update"} <= set(last)
    with (out / "runs.csv").open() as file:
        assert [(r["run"], r["seed"]) for r in csv.DictReader(file)] == [
            ("points", "0"),
            ("keys", "4"),
        ]
    found = agents.load(out / "keys-s4.agent.safetensors")
    assert (found.name, found.configuration.options.state) == ("keys-s4", "keypoints")
    assert len(found.fit.keypoint) == 3
