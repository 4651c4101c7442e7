"""One loop for all extractors: it learns, it repeats itself, and nothing ends it in bad order."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from toy_extractor import RUN, SIZE, Toy, discs, toy, train, train_and_die

import kpbook
from kpbook import grid, runs
from kpbook.episodes import Episodes
from kpbook.images import to_float
from kpbook.metric import tracking_error
from kpbook.training import Fit, checkpoints, fit
from kpbook.training.run import Run, rate
from kpbook.training.validation import Validation, to_device

CLOCKS = {"seconds", "cpu_seconds", "train_seconds", "train_cpu_seconds"}
QUIET = {"progress": False}


def timeless(curve):
    return [{k: v for k, v in row.items() if k not in CLOCKS} for row in curve]


def weights(extractor: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in extractor.state_dict().items()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Bit for bit."""
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def assert_same_run(one: Fit, other: Fit) -> None:
    assert timeless(one.curve) == timeless(other.curve)
    assert_equal(weights(one.extractor), weights(other.extractor))


# -- learning ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 3])
def test_a_toy_extractor_learns_moving_discs_and_an_untrained_one_does_not_track(seed):
    """Catches: no step taken, another's weights stepped, signs, a batch that never changes."""
    episodes, others = discs(40), discs(20, seed=1)
    options = {"validate": others, "seed": seed, "schedule": "one-cycle", **QUIET}
    untrained = fit(toy(seed), episodes, steps=1, learning_rate=1e-9, **options)
    trained = fit(toy(seed), episodes, steps=250, learning_rate=0.02, **options)
    r2 = [
        [result.curve[-1][f"r2/{name}"] for name in others.objects]
        for result in (untrained, trained)
    ]
    assert min(r2[0]) < 0.6
    assert min(r2[1]) > 0.9
    assert trained.curve[-1]["validation/loss"] < 0.3 * untrained.curve[-1]["validation/loss"]


@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
def test_fit_is_the_loop_that_anybody_would_write(schedule):
    """Oracle: ten lines with torch's Adam and scheduler; catches extra draws and lost steps."""
    episodes, extractor, steps = discs(5), toy(2), 12
    extractor.prepare(episodes)
    adam = torch.optim.Adam(extractor.parameters(), lr=0.01)
    cycle = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=0.01, total_steps=steps)
    if schedule == "constant":
        for group in adam.param_groups:
            group.update(lr=0.01, betas=(0.9, 0.999))
    generator, losses = torch.Generator().manual_seed(7), []
    for _ in range(steps):
        loss = extractor.loss(extractor.batch(episodes, generator))["loss"]
        adam.zero_grad()
        loss.backward()
        adam.step()
        if schedule == "one-cycle":
            cycle.step() if len(losses) < steps - 1 else None
        losses.append(loss.item())

    result = fit(
        toy(2), episodes, steps=steps, seed=7, learning_rate=0.01, schedule=schedule, every=5,
        **QUIET,
    )  # fmt: skip
    for name, tensor in result.extractor.state_dict().items():
        torch.testing.assert_close(tensor, extractor.state_dict()[name], rtol=1e-5, atol=1e-7)
    assert [row["step"] for row in result.curve] == [5, 10, 12]
    assert [row["images"] for row in result.curve] == [80, 160, 192]
    means = [np.mean(losses[:5]), np.mean(losses[5:10]), np.mean(losses[10:])]
    assert [row["loss"] for row in result.curve] == pytest.approx(means, rel=1e-4)


@pytest.mark.parametrize("steps", [2, 5, 10, 41])
def test_one_cycle_is_that_of_torch(steps):
    weight = nn.Parameter(torch.zeros(1))
    adam = torch.optim.Adam([weight])
    cycle = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=3.0, total_steps=steps)
    for step in range(steps):
        (group,) = adam.param_groups
        share, beta = rate("one-cycle", step, steps)
        assert 3 * share == pytest.approx(group["lr"], rel=1e-9), step
        assert beta == pytest.approx(group["betas"][0], rel=1e-9), step
        adam.step()
        if step < steps - 1:
            cycle.step()


def test_weight_decay_shrinks_what_no_gradient_holds():
    """Decoupled: a weight with gradient 0 becomes w (1 - lr decay) at each step."""

    class Held(Toy):
        def loss(self, batch):
            parts = super().loss(batch)
            return {"loss": parts["loss"] * 0}

    start = toy(0).colours.detach()
    extractor = Held()
    with torch.no_grad():
        extractor.colours.copy_(start)
    options = {"steps": 3, "learning_rate": 0.5, "weight_decay": 0.2, **QUIET}
    fit(extractor, discs(3), **options)
    torch.testing.assert_close(extractor.colours.detach(), start * 0.9**3)


# -- validation --------------------------------------------------------------------------------


def test_tracking_is_fitted_on_the_first_half_of_the_episodes_and_scored_on_the_second():
    """Catches: one half on both sides, a cut inside an episode, training mode while judging."""
    others = discs(5, seed=4)
    result = fit(toy(1), discs(4), steps=6, validate=others, **QUIET)
    extractor, flat = result.extractor, others.flat()
    with torch.no_grad():
        points = extractor(to_float(flat.images)).numpy()
    first = flat.episode < 2
    expected = tracking_error(
        points[~first], flat.truth[~first], fit_points=points[first], fit_truth=flat.truth[first]
    )
    row = result.curve[-1]
    for k, name in enumerate(others.objects):
        assert row[f"error/{name}"] == pytest.approx(expected.error[k], rel=1e-4)
        assert row[f"r2/{name}"] == pytest.approx(expected.r2[k], abs=1e-4)


def test_tracking_may_be_followed_in_frames_in_which_an_object_is_seen():
    """Catches: a flag that stops at the first row, at the door, or changes the training."""
    others, rng = discs(6, seed=4), np.random.default_rng(0)
    seen = rng.random(others.visible.shape) < 0.7
    fields = {name: getattr(others, name) for name in Episodes.__dataclass_fields__}
    others = Episodes(**{**fields, "visible": seen})
    options = {"steps": 6, "every": 3, "validate": others, **QUIET}
    plain, result = (fit(toy(1), discs(4), seen_only=s, **options) for s in (False, True))
    flat = others.flat()
    with torch.no_grad():
        points = result.extractor(to_float(flat.images)).numpy()
    first = flat.episode < 3
    fitted = {"fit_points": points[first], "fit_truth": flat.truth[first]}
    masks = {"visible": flat.visible[~first], "fit_visible": flat.visible[first]}
    expected = tracking_error(points[~first], flat.truth[~first], **fitted, **masks)
    row = result.curve[-1]
    for k, name in enumerate(others.objects):
        assert row[f"error/{name}"] == pytest.approx(expected.error[k], rel=1e-4)
        for at in (0, 1):
            assert row[f"error/{name}"] != plain.curve[at][f"error/{name}"]
    assert [r["loss"] for r in plain.curve] == [r["loss"] for r in result.curve]


def test_validation_changes_nothing_in_the_run():
    """Catches: batches drawn from the run's generator, running means that learn in validation."""
    results = [
        fit(toy(0, dropout=0.1), discs(4), steps=9, every=2, validate=others, **QUIET)
        for others in (None, discs(4, seed=1))
    ]
    assert_equal(*(weights(result.extractor) for result in results))


def test_the_validation_loss_is_that_of_the_same_batches_every_time():
    """Weights that do not move: only a redrawn batch could. Catches: the run's own generator."""

    class Still(Toy):
        def train(self, mode=True):
            return super().train(False)  # running means do not move, either

    values = set()
    for seed in (0, 5):
        extractor = Still()
        extractor.load_state_dict(toy(0).state_dict())
        options = {"steps": 3, "every": 1, "learning_rate": 1e-30, "seed": seed, **QUIET}
        result = fit(extractor, discs(4), validate=discs(4, seed=1), **options)
        values |= {row["validation/reconstruction"] for row in result.curve}
    assert len(values) == 1


def test_modes_training_in_the_loop_evaluation_in_validation_and_at_the_end():
    class Spy(Toy):
        def __init__(self):
            super().__init__()
            self.modes = set()

        def loss(self, batch):
            self.modes.add(("loss", self.training, torch.is_grad_enabled()))
            return super().loss(batch)

        def forward(self, images):
            self.modes.add(("forward", self.training, torch.is_grad_enabled()))
            return super().forward(images)

    spy = Spy().eval()
    with torch.no_grad():  # a caller's
        result = fit(spy, discs(4), steps=4, validate=discs(4), **QUIET)
    assert spy.modes == {
        ("loss", True, True), ("loss", False, False), ("forward", False, False),
    }  # fmt: skip
    assert result.extractor is spy
    assert not spy.training


def test_an_object_that_stays_still_has_no_r2_and_the_record_can_say_so(tmp_path):
    others = discs(4, seed=1)
    still = Episodes.from_frames(
        others.images[:, :, 0], truth=0 * others.truth[:, :, 0], objects=others.objects
    )
    result = fit(toy(), discs(4), steps=2, validate=still, folder=tmp_path, **QUIET)
    assert result.curve[-1]["r2/green"] is None
    assert runs.load(tmp_path / "toy-seed-0.json").results[-1]["r2/green"] is None


# -- repeatability -----------------------------------------------------------------------------


def test_the_seed_decides_all_that_is_drawn_and_the_callers_generator_is_left_alone():
    """Also what dropout draws from torch's own generator, wherever that stands before."""
    results = []
    with torch.random.fork_rng(devices=[]):
        for seed, state in ((1, 10), (1, 20), (2, 10)):
            torch.manual_seed(state)
            before = torch.get_rng_state()
            results.append(fit(toy(dropout=0.1), discs(4), steps=5, seed=seed, **QUIET))
            assert torch.equal(before, torch.get_rng_state())
    one, same, other = results
    assert_same_run(one, same)
    assert one.curve[-1]["loss"] != other.curve[-1]["loss"]


@pytest.fixture(scope="module")
def process():
    """Start a process of its own that has torch loaded already."""
    context = multiprocessing.get_context("forkserver")
    # The first optimiser of a process loads torch._dynamo, which takes a second.
    context.set_forkserver_preload(["toy_extractor", "torch._dynamo"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        forkserver.ensure_running()

    def start(target, *args):
        child = context.Process(target=target, args=args)
        child.start()
        return child

    return start


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    threads = torch.get_num_threads()
    yield train(tmp_path_factory.mktemp("whole"))
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("nth", [1, 3, 5])
@pytest.mark.parametrize("moment", ["write", "row", "step"])
def test_a_run_killed_in_the_middle_of_something_continues_bit_for_bit(
    process, tmp_path, uninterrupted, moment, nth
):
    """Catches: anything left out of the checkpoint; a half-written file that is believed."""
    child = process(train_and_die, tmp_path, moment, nth)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    if moment == "write":
        assert list(tmp_path.glob(".run.step-*.half.tmp"))
    assert_same_run(train(tmp_path), uninterrupted)


@pytest.mark.slow
def test_a_run_killed_again_and_again_continues_bit_for_bit(process, tmp_path, uninterrupted):
    """SIGKILL from outside, at moments that a seeded generator chooses."""
    rng, kills, reached = random.Random(0), 0, 0
    for _ in range(RUN["steps"]):
        child = process(train, tmp_path)
        reached += rng.randint(1, 5)
        while child.is_alive() and max(checkpoint_steps(tmp_path), default=0) < reached:
            time.sleep(0.001)
        child.join(rng.uniform(0, 0.01))  # somewhere within the next step
        child.kill()
        child.join()
        kills += child.exitcode == -signal.SIGKILL
        reached = max(checkpoint_steps(tmp_path))
        if child.exitcode == 0:
            break
    assert child.exitcode == 0
    assert kills >= 3
    assert_same_run(train(tmp_path), uninterrupted)
    assert runs.load(tmp_path / "run.json").results[-1]["step"] == RUN["steps"]


def checkpoint_steps(folder: Path) -> list[int]:
    return sorted(int(p.name.split("-")[1].split(".")[0]) for p in folder.glob("run.step-*"))


# -- checkpoints -------------------------------------------------------------------------------

SHORT = {"steps": 6, "every": 2}


def stop_after(extractor: nn.Module, step: int, how) -> nn.Module:
    """Call ``how`` in the step after ``step``."""
    loss, calls = extractor.loss, [0]

    def counted(batch):
        if extractor.training:
            calls[0] += 1
            if calls[0] == step + 1:
                how()
        return loss(batch)

    extractor.loss = counted
    return extractor


class Broken(Exception):
    """Stands for anything that ends a process."""


def broken_after(folder: Path, step: int, **options) -> None:
    def raise_it():
        raise Broken

    extractor = stop_after(toy(), step, raise_it)
    options = {"checkpoint_every": 0.0, "name": "run", **SHORT, **QUIET, **options}
    with pytest.raises(Broken):
        fit(extractor, discs(4), folder=folder, **options)
    assert not extractor.training


def test_two_checkpoints_are_kept_and_hold_no_pickle(tmp_path):
    broken_after(tmp_path, 5)
    assert checkpoint_steps(tmp_path) == [4, 5]
    for path in checkpoints.Shelf(tmp_path, "run").paths():
        raw = path.read_bytes()
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        assert header["adam/colours/exp_avg"]["shape"] == [5, 3]
        notes = json.loads(header["__metadata__"]["notes"])
        assert [row["step"] for row in notes["curve"]] == [2, 4]
        assert notes["settings"]["learning_rate"] == 1e-3


def test_the_checkpoint_that_a_run_came_back_to_is_kept_as_the_second_one(tmp_path):
    broken_after(tmp_path, 3)
    broken_after(tmp_path, 1)
    assert checkpoint_steps(tmp_path) == [3, 4]


def test_checkpoints_come_by_the_clock(tmp_path, monkeypatch):
    """Every 30 s of a clock that jumps 8 s a look: catches steps taken for seconds."""
    now = [0.0]

    def clock():
        now[0] += 8.0
        return now[0]

    put = []
    monkeypatch.setattr("kpbook.training.loop.time.monotonic", clock)
    monkeypatch.setattr(checkpoints.Shelf, "put", lambda _, state: put.append(state.notes["step"]))
    fit(toy(), discs(3), steps=20, every=20, folder=tmp_path, checkpoint_every=30.0, **QUIET)
    assert put == [4, 8, 12, 16, 20]


@pytest.mark.parametrize("damage", ["cut", "empty", "flip", "other", "text"])
def test_a_damaged_checkpoint_is_reported_and_the_previous_one_used(tmp_path, damage):
    whole = fit(toy(), discs(4), **SHORT, **QUIET)
    broken_after(tmp_path, 5)
    newest = tmp_path / "run.step-00000005.safetensors"
    data = bytearray(newest.read_bytes())
    if damage == "flip":
        data[-9] ^= 1
    contents = {
        "cut": data[:-100],
        "empty": b"",
        "flip": data,
        "text": b"no such thing" * 20,
        "other": file_of_another_program(),
    }
    newest.write_bytes(contents[damage])
    extractor = toy()
    with pytest.warns(UserWarning, match=r"step-00000005\.safetensors: got .*an earlier one used"):
        result = fit(
            extractor, discs(4), folder=tmp_path, name="run", checkpoint_every=0, **SHORT, **QUIET
        )
    assert_same_run(result, whole)
    assert checkpoint_steps(tmp_path) == [5, 6]


def file_of_another_program() -> bytes:
    import safetensors.torch

    return safetensors.torch.save({"weight": torch.zeros(3)})


def test_without_any_whole_checkpoint_the_run_starts_anew(tmp_path):
    whole = fit(toy(), discs(4), **SHORT, **QUIET)
    broken_after(tmp_path, 3)
    for path in tmp_path.glob("run.step-*"):
        path.write_bytes(path.read_bytes()[:50])
    with pytest.warns(UserWarning, match="starts anew") as caught:
        result = fit(toy(), discs(4), folder=tmp_path, name="run", **SHORT, **QUIET)
    assert len(caught) == 2
    assert_same_run(result, whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 7}, r"got a run of steps 6, expected steps 7\. A run goes on only as it began"),
        ({"seed": 1}, "seed 0, expected seed 1"),
        ({"learning_rate": 0.1}, r"learning_rate 0\.001, expected learning_rate 0\.1"),
        ({"weight_decay": 0.1}, "weight_decay"),
        ({"schedule": "one-cycle"}, "schedule 'constant', expected schedule 'one-cycle'"),
        ({"every": 3}, "every 2, expected every 3"),
        ({"config": {"recipe": "b"}}, "config.recipe None, expected config .*config.recipe 'b'"),
        ({"validate": discs(4)}, "validate None"),
        ({"seen_only": True}, "seen_only None, expected seen_only True"),
        ({"episodes": discs(4, seed=2)}, "episodes '[0-9a-f]{16}', expected episodes '"),
        ({"extractor": toy(keypoints=6)}, r"extractor\.config\.keypoints 5"),
        ({"extractor": toy(batch_size=8)}, r"extractor\.images_per_batch 16"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path, change, message):
    broken_after(tmp_path, 3)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    options = {"extractor": toy(), "episodes": discs(4), **SHORT, **QUIET, **change}
    with pytest.raises(ValueError, match=message):
        fit(folder=tmp_path, name="run", **options)
    assert before == {p.name: p.read_bytes() for p in tmp_path.iterdir()}


def test_resume_false_begins_anew_and_deletes_what_was_there(tmp_path):
    broken_after(tmp_path, 3, learning_rate=0.5)
    (tmp_path / "run.json").write_text("a record of before")
    (tmp_path / "other.step-00000001.safetensors").write_bytes(b"another run's")
    extractor, seen = toy(), []

    def look():
        seen.extend(p.name for p in tmp_path.iterdir())
        raise Broken

    with pytest.raises(Broken):
        fit(stop_after(extractor, 0, look), discs(4), folder=tmp_path, name="run", resume=False,
            **SHORT, **QUIET)  # fmt: skip
    assert seen == ["other.step-00000001.safetensors"]


def test_a_finished_run_is_read_not_run_again(tmp_path):
    """Catches: a step too many, a record that names a machine that did nothing."""
    first = fit(toy(), discs(4), folder=tmp_path, **SHORT, **QUIET)
    path = tmp_path / "toy-seed-0.json"
    path.write_text(path.read_text().replace(first.record.device, "another machine"))

    class Idle(Toy):
        def loss(self, batch):
            raise Broken

    idle = Idle()
    idle.load_state_dict(toy().state_dict())
    again = fit(idle, discs(4), folder=tmp_path, **SHORT, **QUIET)
    assert_same_run(again, first)
    assert again.curve == first.curve
    assert again.record.device == "another machine"
    assert again.record.results == first.record.results


def test_a_second_seed_in_the_same_folder_is_not_given_the_firsts_result(tmp_path):
    """Catches: three seeds of one network, and the first one's weights three times."""
    options = {"folder": tmp_path, **SHORT, **QUIET}
    first = fit(toy(0), discs(4), **options)
    other = toy(1)
    with pytest.raises(ValueError, match=r"run that began with other weights.*a name or a folder"):
        fit(other, discs(4), **options)
    assert torch.equal(other.colours, toy(1).colours)
    for mine in (toy(0), first.extractor):  # as it began, and as it ended
        assert_same_run(fit(mine, discs(4), **options), first)
    again = fit(toy(1), discs(4), resume=False, **options)
    assert not torch.equal(again.extractor.colours, first.extractor.colours)


@pytest.mark.parametrize("what", ["visible", "actions", "rewards", "terminated", "start"])
def test_a_run_on_the_same_frames_with_other_labels_is_refused(tmp_path, what):
    """Catches: a learner that draws actions, given another run's weights."""
    options = {"folder": tmp_path, **SHORT, **QUIET}
    episodes = discs(4)
    fields = {name: getattr(episodes, name) for name in Episodes.__dataclass_fields__}
    fields["extras"] = {**episodes.extras, "start": np.zeros(episodes.rewards.shape, bool)}
    fields["actions"] = np.zeros((*episodes.rewards.shape, 2))
    first = fit(toy(), Episodes(**fields), **options)
    assert_same_run(fit(toy(), Episodes(**fields), **options), first)
    if what == "start":
        fields["extras"]["start"][:, 3] = True
    else:
        fields[what] = np.array(fields[what])
        fields[what][0, 1] = 1 - fields[what][0, 1]
    with pytest.raises(ValueError, match="episodes: got other actions, flags or extras"):
        fit(toy(), Episodes(**fields), **options)


@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_is_no_checkpoint_and_no_record(tmp_path, resume):
    for name in ("toy-seed-0.step-00000003.safetensors", "toy-seed-0.json"):
        (tmp_path / name).mkdir()
    with pytest.warns(UserWarning, match="record was not written"):
        result = fit(toy(), discs(4), folder=tmp_path, resume=resume, **SHORT, **QUIET)
    assert_same_run(result, fit(toy(), discs(4), **SHORT, **QUIET))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"learning_rate": np.array([0.01, 0.02])}, TypeError, "learning_rate: got array"),
        ({"weight_decay": [0.1]}, TypeError, "weight_decay: got"),
        ({"checkpoint_every": np.array([1, 2])}, TypeError, "checkpoint_every: got"),
        ({"seed": 2**63}, ValueError, r"seed: got \d+, expected below 2\*\*63"),
    ],
)
def test_one_number_is_one_number(options, error, message):
    with pytest.raises(error, match=message):
        fit(toy(), discs(4), **SHORT | QUIET | options)


def test_an_unfinished_run_of_other_weights_goes_on_with_a_warning(tmp_path):
    broken_after(tmp_path, 3)
    with pytest.warns(UserWarning, match=r"other weights\. That run goes on; resume=False"):
        result = fit(toy(9), discs(4), folder=tmp_path, name="run", **SHORT, **QUIET)
    assert_same_run(result, fit(toy(), discs(4), **SHORT, **QUIET))


def test_a_checkpoint_that_does_not_say_how_it_began_is_taken(tmp_path):
    whole = fit(toy(), discs(4), **SHORT, **QUIET)
    broken_after(tmp_path, 3)
    path = checkpoints.Shelf(tmp_path, "run").paths()[-1]
    state = checkpoints.read(path)
    del state.notes["began_as"], state.notes["labels"]  # as before version 0.2
    checkpoints.write(path, state)
    assert_same_run(fit(toy(9), discs(4), folder=tmp_path, name="run", **SHORT, **QUIET), whole)


def test_leftovers_of_killed_writers_go_and_those_of_living_ones_stay(tmp_path):
    old, new = (tmp_path / f".run.step-00000001.safetensors.{x}.tmp" for x in "ab")
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    checkpoints.Shelf(tmp_path, "run")
    assert not old.exists()
    assert new.exists()


def test_a_full_disk_is_reported_and_training_goes_on(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_atomically", full)
    monkeypatch.setattr(runs, "write_atomically", full)
    with pytest.warns(UserWarning, match="No space left") as caught:
        result = fit(toy(), discs(4), folder=tmp_path, **SHORT, **QUIET)
    texts = [str(w.message) for w in caught]
    assert "No checkpoint was written" in texts[0]
    assert "run record was not written" in texts[-1]
    assert result.curve[-1]["step"] == SHORT["steps"]
    assert {Path(w.filename).name for w in caught} == {"test_training.py"}


def test_prepare_comes_first_and_again_when_a_run_is_resumed(tmp_path):
    """A buffer that it sets need not survive in the caller's new extractor; its value must."""
    broken_after(tmp_path, 3)
    result = fit(toy(), discs(4), folder=tmp_path, name="run", **SHORT, **QUIET)
    assert result.extractor.background.mean() > 0.2  # the grey of the ground, not the zeros


# -- Ctrl-C ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def python_handles_ctrl_c():
    """A shell lets what it starts in the background ignore Ctrl-C; these tests press it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_keeps_what_was_learned_and_a_later_call_goes_on(tmp_path):
    whole = fit(toy(), discs(4), **SHORT, **QUIET)
    options = {"folder": tmp_path, "name": "run", **SHORT, **QUIET}
    with pytest.warns(UserWarning, match=r"Interrupted after step 4 of 6.*same arguments to go on"):
        result = fit(stop_after(toy(), 3, press_ctrl_c), discs(4), **options)
    assert result.stopped == "interrupted"
    assert [row["step"] for row in result.curve] == [2, 4]
    assert result.record.results[-1]["stopped"] == "interrupted"
    assert not result.extractor.training
    assert checkpoint_steps(tmp_path) == [4]
    assert not (tmp_path / "run.json").exists()  # a record says that a run is finished
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again = fit(result.extractor, discs(4), **options)  # what it has learned is not held against it
    assert again.stopped is None
    assert_same_run(again, whole)


def test_ctrl_c_without_a_folder_leaves_the_weights_in_the_extractor():
    extractor = stop_after(toy(), 2, press_ctrl_c)
    with pytest.warns(UserWarning, match=r"Interrupted after step 3 of 6.*With folder="):
        fit(extractor, discs(4), **SHORT, **QUIET)
    steps = fit(toy(), discs(4), steps=3, **QUIET)  # the same three steps
    assert_equal(weights(extractor), weights(steps.extractor))


def raise_at(monkeypatch, moment: str, nth: int) -> nn.Module:
    """Raise KeyboardInterrupt at a moment of step ``nth``, in the middle of it."""
    extractor, times = toy(dropout=0.1), [0]
    owner, name, first = {
        "batch": (extractor, "batch", 2),  # one is drawn before the first step, and one to validate
        "loss": (extractor, "loss", 0),
        "backward": (torch.Tensor, "backward", 0),
        "optimiser": (torch.optim.AdamW, "step", 0),
        "validation": (Validation, "row", 0),
        "row": (Run, "add_row", 0),
        "checkpoint": (checkpoints.Shelf, "put", 0),
    }[moment]
    whole = getattr(owner, name)

    def struck(*args, **kwargs):
        if moment in ("batch", "loss") and not extractor.training:
            return whole(*args, **kwargs)
        times[0] += 1
        if times[0] - first != nth:
            return whole(*args, **kwargs)
        if moment in ("batch", "loss", "backward", "validation", "row"):
            whole(*args, **kwargs)  # its draws, running means and rows are made, and must go
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, name, struck)
    return extractor


RAISED = {"steps": 6, "every": 3, "checkpoint_every": 3600.0, "name": "run"}


@pytest.fixture(scope="module")
def six_steps():
    return fit(toy(dropout=0.1), discs(4), validate=discs(4, seed=1), **RAISED, **QUIET)


@pytest.mark.parametrize(
    ("moment", "nth", "after"),
    [
        ("batch", 5, 4),
        ("loss", 1, 0),
        ("loss", 5, 4),
        ("backward", 2, 1),
        ("validation", 1, 3),
        ("validation", 2, 6),
        ("row", 1, 3),
        ("row", 2, 6),
    ],
)
def test_an_interrupt_that_is_raised_keeps_the_weights_and_a_later_call_is_the_same_run(
    tmp_path, monkeypatch, six_steps, moment, nth, after
):
    """Catches: draws, running means or rows of the broken step that stay; steps that go."""
    options = {"folder": tmp_path, "validate": discs(4, seed=1), **RAISED, **QUIET}
    with monkeypatch.context() as patch:
        extractor = raise_at(patch, moment, nth)
        with pytest.warns(UserWarning, match=rf"after step {after} of 6: .*keeps what it has lea"):
            result = fit(extractor, discs(4), **options)
    assert result.stopped == "interrupted"
    assert not extractor.training
    assert checkpoint_steps(tmp_path) == [after]
    taken = toy(dropout=0.1)
    if after:
        fit(taken, discs(4), **{**RAISED, "steps": after}, **QUIET)
    else:
        taken.prepare(discs(4))
    assert_equal(weights(extractor), weights(taken))
    again = fit(toy(dropout=0.1), discs(4), **options)
    assert again.stopped is None
    assert_same_run(again, six_steps)


def test_an_interrupt_inside_the_optimisers_step_rolls_back_and_says_so(
    tmp_path, monkeypatch, six_steps
):
    options = {"folder": tmp_path, "validate": discs(4, seed=1), **RAISED, **QUIET}
    with monkeypatch.context() as patch:
        extractor = raise_at(patch, "optimiser", 5)
        message = r"inside the optimiser's step 5 of 6: the extractor is back at .* of step 3\."
        with pytest.warns(UserWarning, match=message) as caught:
            fit(extractor, discs(4), **options)
    assert not any("keeps" in str(warning.message) for warning in caught)
    taken = fit(toy(dropout=0.1), discs(4), **{**RAISED, "steps": 3}, **QUIET)
    assert_equal(weights(extractor), weights(taken.extractor))
    assert_same_run(fit(toy(dropout=0.1), discs(4), **options), six_steps)


def test_an_interrupt_while_the_last_checkpoint_is_written_finds_the_run_finished(
    tmp_path, monkeypatch, six_steps
):
    options = {"folder": tmp_path, "validate": discs(4, seed=1), **RAISED, **QUIET}
    with monkeypatch.context() as patch:
        result = fit(raise_at(patch, "checkpoint", 1), discs(4), **options)
    assert result.stopped is None
    assert checkpoint_steps(tmp_path) == [6]
    assert_same_run(result, six_steps)


def test_an_interrupt_that_finds_spoilt_weights_goes_back_and_says_so(tmp_path):
    """Step 3 spoils them, the interrupt comes before anything has looked."""
    extractor, batch, drawn = Diverging(3, "colours"), Toy.batch, [0]

    def struck(episodes, generator):
        drawn[0] += 1
        if drawn[0] == 1 + 4:
            raise KeyboardInterrupt
        return batch(extractor, episodes, generator)

    extractor.batch = struck
    with pytest.raises(FloatingPointError, match=r"in colours after step 3, .* weights of step 2"):
        fit(extractor, discs(4), folder=tmp_path, name="run", **SHORT, **QUIET)
    assert_equal(weights(extractor), weights(fit(toy(), discs(4), steps=2, **QUIET).extractor))


def test_a_second_ctrl_c_does_not_wait_for_the_step(tmp_path):
    def twice():
        press_ctrl_c()
        press_ctrl_c()

    extractor = stop_after(toy(), 3, twice)
    with pytest.warns(UserWarning, match="Interrupted after step 3 of 6"):
        result = fit(extractor, discs(4), folder=tmp_path, name="run", **SHORT, **QUIET)
    assert result.stopped == "interrupted"
    again = fit(toy(), discs(4), folder=tmp_path, name="run", **SHORT, **QUIET)
    assert_same_run(again, fit(toy(), discs(4), **SHORT, **QUIET))


def test_another_handler_of_ctrl_c_is_left_in_place():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    try:
        result = fit(stop_after(toy(), 1, press_ctrl_c), discs(4), **SHORT, **QUIET)
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == [1]
    assert result.stopped is None


# -- NaN ---------------------------------------------------------------------------------------


class Diverging(Toy):
    """Its loss, or the gradient of it, is NaN at one step."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__()
        self.load_state_dict(toy().state_dict())
        self.at, self.what, self.calls = step, what, 0

    def loss(self, batch):
        parts = super().loss(batch)
        self.calls += self.training
        if self.calls != self.at or not self.training:
            return parts
        if self.what in ("all", "colours"):  # the slope of sqrt at 0: a finite loss, NaN behind it
            spoilt = [self.colours] if self.what == "colours" else self.parameters()
            zero = sum((weight * 0).sum() for weight in spoilt)
            return {**parts, "loss": parts["loss"] + zero.sqrt()}
        bad = parts["reconstruction"] * float(self.what)
        return {**parts, "loss": parts["loss"] + bad, "reconstruction": bad}


@pytest.mark.parametrize("what", ["nan", "inf"])
def test_a_loss_that_is_not_finite_stops_the_run_and_the_last_good_weights_return(tmp_path, what):
    extractor = Diverging(4, what)
    message = (
        rf"loss: got {what} at step 4 \(not finite: 'loss', 'reconstruction'\), expected a finite "
        r"number\. Usual causes: a learning rate that is too high \(0\.001 here\).* step 2\."
    )
    with pytest.raises(FloatingPointError, match=message):
        fit(extractor, discs(4), folder=tmp_path, name="run", **SHORT, **QUIET)
    good = fit(toy(), discs(4), steps=2, **QUIET)
    assert_equal(weights(extractor), weights(good.extractor))
    assert not extractor.training
    assert checkpoint_steps(tmp_path) == [2]


def test_a_loss_that_starts_as_nan_leaves_the_first_weights():
    extractor = Diverging(1, "nan")
    with pytest.raises(FloatingPointError, match=r"at step 1 .* back at its weights of step 0\."):
        fit(extractor, discs(4), **SHORT, **QUIET)
    start = toy()
    start.prepare(discs(4))
    assert_equal(weights(extractor), weights(start))


@pytest.mark.parametrize(
    ("step", "what", "good", "message"),
    [
        (
            3,
            "colours",
            2,
            r"loss: got nan at step 4 .*gradient of step 3 had already spoilt colours",
        ),
        (3, "all", 2, r"weights: got NaN .*encoder\.0\.weight.* after step 3"),  # no soft-argmax
        (4, "colours", 2, r"weights: got NaN or infinite values in colours after step 4"),  # a row
        (4, "all", 2, r"weights: got NaN or infinite values in colours, enc.* after step 4"),
        (6, "all", 4, r"weights: got NaN .* after step 6, .* weights of step 4"),  # the last one
    ],
)
def test_a_gradient_of_nan_behind_a_finite_loss_is_found(tmp_path, step, what, good, message):
    """Catches: a NaN in the final weights, in a checkpoint, or in the good copy."""
    extractor = Diverging(step, what)
    with pytest.raises(FloatingPointError, match=message):
        fit(extractor, discs(4), folder=tmp_path, name="run", validate=discs(4), **SHORT, **QUIET)
    assert all(torch.isfinite(t).all() for t in extractor.state_dict().values())
    assert checkpoint_steps(tmp_path) == [good]


def test_weights_of_nan_never_reach_a_checkpoint(tmp_path):
    """Step 3 spoils them; no row is due, but a checkpoint is."""
    options = {"folder": tmp_path, "name": "run", "checkpoint_every": 0.0, **SHORT, **QUIET}
    with pytest.raises(FloatingPointError, match=r"weights: got NaN .* after step 3, .* step 2\."):
        fit(Diverging(3, "all"), discs(4), **options)
    assert checkpoint_steps(tmp_path) == [1, 2]


# -- clocks and the record ---------------------------------------------------------------------


def test_the_rate_leaves_validation_out_and_the_total_does_not():
    """Validation that sleeps 0.2 s each time; catches images/s of the wrong clock."""

    class Sleepy(Toy):
        def forward(self, images):
            time.sleep(0.2)
            return super().forward(images)

    result = fit(Sleepy(), discs(4), steps=4, every=2, validate=discs(4), **QUIET)
    row = result.record.results[-1]
    assert row["seconds"] > 0.4 > row["train_seconds"]
    assert row["train_cpu_seconds"] <= row["cpu_seconds"]
    assert row["images_per_second"] == pytest.approx(64 / row["train_seconds"])
    assert row["images_per_cpu_second"] == pytest.approx(64 / row["train_cpu_seconds"])


def test_times_add_up_over_resumed_runs_and_count_getting_ready(tmp_path):
    class Slow(Toy):
        def prepare(self, episodes):
            super().prepare(episodes)
            time.sleep(0.3)

    options = {"folder": tmp_path, "name": "run", "every": 1, "steps": 4, **QUIET}
    with pytest.warns(UserWarning, match="Interrupted"):
        first = fit(stop_after(Slow(), 1, press_ctrl_c), discs(4), **options)
    assert first.curve[-1]["seconds"] > 0.3
    second = fit(first.extractor, discs(4), **options)
    seconds = [row["seconds"] for row in second.curve]
    assert seconds == sorted(seconds)
    assert seconds[-1] > 0.6
    assert second.record.seconds >= seconds[-1]
    train_times = [row["train_seconds"] for row in second.curve]
    assert train_times == sorted(train_times)
    assert train_times[:2] == [row["train_seconds"] for row in first.curve]


def test_the_record_holds_the_curve_and_all_settings(tmp_path):
    options = {"validate": discs(4, seed=1), "config": {"recipe": "a", "sizes": (1, 2)}}
    result = fit(toy(), discs(4), folder=tmp_path, seed=5, **options, **SHORT, **QUIET)
    record = runs.load(tmp_path / "toy-seed-5.json")
    assert record == result.record
    assert [row["step"] for row in record.results] == [2, 4, 6]
    assert record.seed == 5
    assert record.config["config"] == {"recipe": "a", "sizes": [1, 2]}
    assert record.config["extractor"]["config"] == {"keypoints": 5, "batch_size": 16, "length": 1}
    assert record.config["extractor"]["image_size"] == [20, 28]
    assert "fit(toy, episodes, steps=6, seed=5, learning_rate=0.001" in record.command
    assert set(result.curve[-1]) == {
        "step", "images", *CLOCKS, "loss", "reconstruction", "validation/loss",
        "validation/reconstruction", *(f"{s}/{o}" for s in ("error", "r2")
        for o in ("red", "green", "blue")),
    }  # fmt: skip


def test_about_twenty_rows_and_always_one_at_the_end():
    counts = {
        steps: [row["step"] for row in fit(toy(), discs(3), steps=steps, **QUIET).curve]
        for steps in (1, 7, 45)
    }
    assert counts[1] == [1]
    assert counts[7] == [1, 2, 3, 4, 5, 6, 7]
    assert counts[45] == [*range(2, 45, 2), 45]


def test_progress_shows_loss_and_r2_or_nothing(capfd):
    fit(toy(), discs(4), steps=4, every=2, validate=discs(4))
    shown = capfd.readouterr().err
    assert "4/4" in shown
    for word in ("loss=", "r2/red=", "r2/blue="):
        assert word in shown
    fit(toy(), discs(4), steps=4, **QUIET)
    assert capfd.readouterr() == ("", "")


# -- devices -----------------------------------------------------------------------------------


def test_tensors_of_a_batch_move_and_the_rest_stays():
    moved = to_device({"images": torch.zeros(2), "gap": 3}, torch.device("meta"))
    assert moved["images"].device.type == "meta"
    assert moved["gap"] == 3


class Pair(NamedTuple):
    images: torch.Tensor
    gap: int


def test_a_batch_of_another_kind_than_a_dict_moves_too():
    """Catches: an AttributeError for a tensor, a tuple that loses its type, words touched."""
    meta, images, words = torch.device("meta"), torch.zeros(2), object()
    assert to_device(images, meta).device.type == "meta"
    pair = to_device((images, 3), meta)
    assert type(pair) is tuple
    assert (pair[0].device.type, pair[1]) == ("meta", 3)
    named = to_device(Pair(images, 3), meta)
    assert (type(named), named.images.device.type, named.gap) == (Pair, "meta", 3)
    several = to_device({"views": [images, images]}, meta)
    assert [view.device.type for view in several["views"]] == ["meta", "meta"]
    assert to_device(words, meta) is words


class Bare(nn.Module):
    """The members that the contract names, and no other; batches of several kinds."""

    image_size = SIZE

    def __init__(self, kind: str = "dict"):
        super().__init__()
        self.inner, self.kind = toy(), kind

    def forward(self, images):
        return self.inner(images)

    def heatmaps(self, images):
        return self.inner.heatmaps(images)

    def reconstruct(self, images):
        return self.inner.reconstruct(images)

    def batch(self, episodes, generator):
        drawn = self.inner.batch(episodes, generator)
        return {
            "dict": drawn,
            "other keys": {"gap": 3, "frames": drawn["images"], "small": drawn["target"]},
            "tensor": drawn["images"],
            "tuple": (drawn["images"], drawn["target"]),
            "snippets": {"images": drawn["images"].unflatten(0, (2, 8))},
            "words": {"images": ["disc"], "gap": torch.zeros(3)},
        }[self.kind]

    def loss(self, batch):
        images = batch
        if isinstance(batch, dict):
            images = batch["frames" if self.kind == "other keys" else "images"]
        if isinstance(batch, tuple):
            images, _ = batch
        images = images.reshape(-1, *images.shape[-3:])
        off = self.inner.reconstruct(images) - functional.avg_pool2d(images, 2)
        return {"loss": off.square().mean()}


@pytest.mark.parametrize("kind", ["dict", "other keys", "tensor", "tuple", "snippets"])
def test_an_extractor_of_the_contracts_members_learns_and_its_images_are_counted(kind):
    result = fit(Bare(kind), discs(4), validate=discs(4, seed=1), **SHORT, **QUIET)
    assert [row["images"] for row in result.curve] == [32, 64, 96]  # 16 a step
    assert result.record.config["extractor"]["images_per_batch"] == 16
    assert_equal(
        weights(result.extractor), weights(fit(Bare(), discs(4), **SHORT, **QUIET).extractor)
    )


@pytest.mark.parametrize("device", ["cpu", *["cuda"] * torch.cuda.is_available()])
def test_a_run_on_each_device_of_this_machine(device, tmp_path):
    result = fit(
        toy(), discs(4), device=device, validate=discs(4), folder=tmp_path, **SHORT, **QUIET
    )
    assert next(result.extractor.parameters()).device.type == device
    assert result.curve[-1]["step"] == SHORT["steps"]


# -- bad input ---------------------------------------------------------------------------------


class Wordless(nn.Module):
    image_size = 20


class NoImages(Toy):
    images_per_batch = 0


class NoLoss(Toy):
    def loss(self, batch):
        return {"reconstruction": super().loss(batch)["loss"]}


class ManyLosses(Toy):
    def loss(self, batch):
        return {"loss": super().loss(batch)["loss"].expand(3)}


class CutOff(Toy):
    def loss(self, batch):
        return {"loss": super().loss(batch)["loss"].detach()}


class TakenName(Toy):
    def loss(self, batch):
        return super().loss(batch) | {"step": torch.zeros(())}


def in_pixels(episodes):
    return replace(episodes, truth=grid.to_pixels(episodes.truth, episodes.image_size))


def without_truth(episodes: Episodes) -> Episodes:
    return Episodes.from_frames(episodes.images[:, :, 0])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"extractor": Wordless()}, TypeError,
         "Wordless, which has no batch, loss, .*learns: batch, loss.*registry.build makes"),
        ({"extractor": Bare("words")}, TypeError,
         r"extractor\.batch: got a dict without images.*Or state images_per_batch"),
        ({"extractor": NoImages()}, ValueError, r"images_per_batch: got 0, expected at least 1"),
        ({"extractor": "keynet"}, TypeError, "extractor: got str"),
        ({"extractor": NoLoss()}, TypeError, r"extractor\.loss: got dict with \['reconstr"),
        ({"extractor": ManyLosses()}, ValueError, r"'loss' of \(3,\), expected scalar"),
        ({"extractor": CutOff()}, ValueError, "a 'loss' without gradient"),
        ({"extractor": TakenName()}, ValueError, r"parts \['step'\]"),
        ({"extractor": toy().requires_grad_(False)}, ValueError, "without trainable"),
        ({"extractor": toy(length=8)}, ValueError, "length: got 8, expected at most the 7 frames"),
        ({"steps": 0}, ValueError, "steps: got 0, expected at least 1"),
        ({"steps": 2.5}, TypeError, "steps: got 2.5"),
        ({"every": 0}, ValueError, "every: got 0"),
        ({"seed": -1}, ValueError, "seed: got -1"),
        ({"learning_rate": 0}, ValueError, "learning_rate: got 0"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay: got -0.1"),
        ({"checkpoint_every": -1}, ValueError, "checkpoint_every: got -1.*In seconds"),
        ({"schedule": "onecycle"}, ValueError,
         "schedule: got 'onecycle', expected one of 'constant', 'one-cycle'. Did you mean"),
        ({"episodes": np.zeros((2, 3))}, TypeError, "episodes: got ndarray, expected Episodes"),
        ({"episodes": Episodes.from_frames(np.zeros((3, 5, 7, 3), np.uint8))}, ValueError,
         r"episodes: got frames of \(5, 7\) pixels, expected \(20, 28\)"),
        ({"validate": Episodes.from_frames(np.zeros((3, 5, 7, 3), np.uint8))}, ValueError,
         r"validate: got frames of \(5, 7\) pixels"),
        ({"validate": discs(3, objects=("a", "b", "c"))}, ValueError,
         r"validate: got objects \('a', 'b', 'c'\), expected \('red', 'green', 'blue'\)"),
        ({"validate": without_truth(discs(3))}, ValueError,
         "validate: got episodes without truth"),
        ({"validate": in_pixels(discs(3))}, ValueError,
         r"validate: got truth with \d+% of the points beyond 4, .*kpbook.grid.from_pixels"),
        ({"validate": discs(1)}, ValueError, "validate: got 1 episode, expected at least 2"),
        ({"validate": discs(2, frames=1)}, ValueError, "1 frame"),
        ({"extractor": toy(length=3), "validate": discs(4, frames=2)}, ValueError,
         "length: got 3, expected at most the 2 frames"),
        ({"validate": 3}, TypeError, "validate: got int, expected Episodes"),
        ({"name": "a/b"}, ValueError, "name: got 'a/b', expected letters"),
        ({"name": 3}, ValueError, "name: got 3"),
        ({"folder": 3}, TypeError, "folder: got 3"),
        ({"folder": __file__}, ValueError, "folder: got .*cannot be a folder"),
        ({"device": "cupa"}, ValueError, "device: got 'cupa', which torch refuses"),
        ({"config": {"f": test_tensors_of_a_batch_move_and_the_rest_stays}}, TypeError,
         "config: got .*expected a dict of numbers"),
        ({"config": {"f": float("nan")}}, TypeError, "config: got .*nan"),
        ({"seen_only": 1}, TypeError, "seen_only: got 1, expected True or False"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_bad_input_is_named(change, error, message):
    options = {"extractor": toy(), "episodes": discs(4), **SHORT, **QUIET, **change}
    with pytest.raises(error, match=message):
        fit(**options)


@pytest.mark.parametrize(
    ("length", "others"), [(1, discs(2, frames=1)), (3, discs(4, frames=2)), (8, None)]
)
def test_what_is_too_short_complains_before_the_first_step(tmp_path, length, others):
    """Not an hour later; and what a folder holds is not touched."""
    old = tmp_path / "run.step-00000001.safetensors"
    old.write_bytes(b"of before")

    def step():
        raise Broken

    options = {"folder": tmp_path, "name": "run", "resume": False, **SHORT, **QUIET}
    with pytest.raises(ValueError, match="frame"):
        fit(stop_after(toy(length=length), 0, step), discs(4), validate=others, **options)
    assert old.exists()


def test_frames_without_truth_can_be_trained_on_and_others_validate():
    result = fit(toy(), without_truth(discs(4)), validate=discs(4), **SHORT, **QUIET)
    assert "r2/red" in result.curve[-1]


def test_training_is_a_part_of_the_package():
    assert kpbook.training.fit is fit
