"""The benchmark measures what it says, writes its record, and names its parts."""

import pytest
import torch

from kpbook import bench, runs


def test_every_contender_runs_once_a_round_and_the_warm_up_is_left_out():
    calls = []
    times = bench.measure(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, warm_up=2
    )
    assert calls == ["a", "b"] * 5
    assert {name: len(ms) for name, ms in times.items()} == {"a": 3, "b": 3}


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
