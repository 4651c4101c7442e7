"""The benchmark measures what it says, writes its record, and names its parts."""

import numpy as np
import pytest
import torch
from torch import nn

from kpbook import _bench_learning as learning
from kpbook import _timing, bench, runs
from kpbook.extractors import registry


def test_every_contender_runs_once_a_round_and_the_warm_up_is_left_out():
    calls = []
    times = bench.measure(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, warm_up=2
    )
    assert calls == ["a", "b"] * 5
    assert {name: len(ms) for name, ms in times.items()} == {"a": 3, "b": 3}


def test_calls_that_fill_the_caches_are_not_timed(monkeypatch):
    clock, calls = [0.0], []

    def a():  # every second call takes a second
        calls.append("a")
        clock[0] += calls.count("a") % 2

    monkeypatch.setattr(_timing.time, "perf_counter", lambda: clock[0])
    rivals = {"a": a, "b": lambda: calls.append("b")}
    times = bench.measure(rivals, rounds=2, warm_up=0, before=1)
    assert calls == ["a", "a", "b", "b"] * 2
    assert times == {"a": [0, 0], "b": [0, 0]}


def test_ratios_are_those_of_the_medians():
    ms = {"kpbook joint": [2.0, 4.0, 90.0], "one pass (sum)": [0.5, 1.0, 0.7], "kornia": [8.0] * 3}
    joint, one_pass, kornia = bench._soft_argmax_rows({"forward": ms})
    assert joint["forward, ms"] == 4.0
    assert kornia["forward / joint"] == 2.0
    assert kornia["forward / one pass"] == pytest.approx(8 / 0.7)
    assert one_pass["forward / joint"] == pytest.approx(0.7 / 4)


def test_the_command_prints_a_table_and_writes_a_record(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "FPAC_SHAPE", (2, 3, 5, 7))
    threads = torch.get_num_threads()
    bench.main(["soft_argmax", "--out", str(tmp_path)])
    assert torch.get_num_threads() == threads
    shown = capsys.readouterr().out
    assert "kpbook separable" in shown
    record = runs.load(tmp_path / "bench-soft-argmax.json")
    assert record.command == "python -m kpbook.bench soft_argmax"
    names = [row["function"] for row in record.results]
    assert names[:3] == ["one pass (sum)", "kpbook joint", "kpbook separable"]
    assert all(row["forward + backward, ms"] > 0 for row in record.results)


def test_an_unknown_benchmark_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"benchmark: got 'rendr'.*Did you mean 'render'"):
        bench.main(["rendr", "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())


# -- training ------------------------------------------------------------------------------------


def test_multiply_adds_are_those_of_the_formula():
    network = nn.Sequential(
        nn.Conv2d(4, 6, (3, 5), stride=2, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 3 * 4, 7),
    )
    images = torch.zeros(2, 4, 7, 11)  # to 3 x 4 cells
    # Each output number: one multiply-add per number of the window, in its group of 2 channels.
    expected = 2 * (6 * 3 * 4 * (3 * 5 * 2) + 7 * (6 * 3 * 4))
    assert _timing.multiply_adds(network, lambda: network(images)) == expected
    assert not any(layer._forward_hooks for layer in network.modules())


def test_multiply_adds_grow_with_the_images():
    network = registry.build("basic-quarter").eval()
    one, three = (
        _timing.multiply_adds(network, lambda n=n: network(torch.zeros(n, 3, 64, 64)))
        for n in (1, 3)
    )
    assert three == 3 * one > 1e6


def test_rates_are_computed_from_medians_and_the_peak_from_the_best():
    times = {"matmul": [4.0, 2.0, 3.0], "net": [50.0, 90.0, 100.0]}
    (row,) = learning._training_rows(times, {"matmul": 1e9, "net": 3e9}, {"net": 96})
    assert row["images/s"] == pytest.approx(96 / 0.090)
    assert row["million multiply-adds an image"] == pytest.approx(3e9 / 96 / 1e6)
    assert row["GFLOP/s"] == pytest.approx(6 * 3e9 / 0.090 / 1e9)
    assert row["matmul peak, GFLOP/s"] == pytest.approx(2 * 1e9 / 0.002 / 1e9)
    assert row["share of the matmul peak"] == pytest.approx(row["GFLOP/s"] / 1000)


def test_a_training_step_is_one_of_fit():
    """Loss, gradient and Adam: every weight that training changes has moved, by a step of Adam."""
    torch.manual_seed(0)
    extractor = registry.build("basic-quarter", batch_size=1, learn_sigma="shared")
    batch = {key: torch.rand(1, 3, 3, 64, 64) for key in ("images", "target")}
    before = {n: p.detach().clone() for n, p in extractor.named_parameters() if p.requires_grad}
    learning._training_step(extractor.train(), batch)()
    for name, weight in extractor.named_parameters():
        if name in before:
            moved = (weight - before[name]).abs().max()
            assert 0 < moved < 1.01e-3, name


@pytest.mark.slow
def test_training_is_measured_on_frames_and_recorded(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(learning, "TRAINED", ("rarity",))
    monkeypatch.setattr(_timing, "MATMUL_SIZES", {"cpu": (17, 31)})
    monkeypatch.setitem(
        bench.BENCHES, "training", lambda device: learning.bench_training(1, device)
    )
    threads = torch.get_num_threads()
    bench.main(["training", "--out", str(tmp_path)])
    assert torch.get_num_threads() == threads
    record = runs.load(tmp_path / "bench-training.json")
    (row,) = record.results
    assert row["network"] == "rarity"
    assert row["images/s"] > 0
    assert row["share of the matmul peak"] > 0
    assert "rarity" in capsys.readouterr().out


def test_every_trained_network_can_be_built():
    for name in learning.TRAINED:
        assert registry.build(name).image_size == 64


# -- tracking ------------------------------------------------------------------------------------


def test_all_contenders_compute_the_same_errors(monkeypatch):
    monkeypatch.setattr(learning, "TRACKING_SIZE", (40, 5, 3))
    rows = learning.bench_tracking(rounds=1)
    assert len(rows) == 3
    assert rows[0]["times ours"] == 1
    assert all(row["relative difference"] < 1e-9 for row in rows)


def test_the_slow_loop_finds_a_tracked_object_and_a_lost_one():
    rng = np.random.default_rng(3)
    points = rng.uniform(-1, 1, (50, 4, 2))
    lost = rng.uniform(-1, 1, (50, 2))
    truth = np.stack([points[:, 2] @ [[0.5, 0.2], [-0.1, 0.7]] + 0.3, lost], axis=1)
    for function in (learning._errors_by_pair, learning._errors_by_keypoint):
        error = function(points, truth)
        assert error[0] == pytest.approx(0, abs=1e-20)
        assert 0.3 < error[1] < lost.var(axis=0).sum()


def test_ratios_of_the_metric_are_those_of_the_medians():
    rows = learning._tracking_rows(
        {"ours": [1.0, 2.0, 9.0], "loop": [30.0, 24.0, 1.0]},
        {"ours": [7.0, 3.0, 4.0], "loop": [50.0, 60.0, 1.0]},
        [0.0, 1e-12],
    )
    assert [row["ms"] for row in rows] == [2.0, 24.0]
    assert [row["ms, caches cold"] for row in rows] == [4.0, 50.0]
    assert [row["times ours"] for row in rows] == [1.0, 12.0]
    assert [row["relative difference"] for row in rows] == [0.0, 1e-12]
