"""Recording, splitting, drawing, storing: on a toy world, and on PandaPush where it matters."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import pickle
import signal
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from toy_world import ToyWorld, drift, walk

from kpbook import _store
from kpbook.episodes import Episodes, record
from kpbook.grid import from_pixels
from kpbook.images import to_float
from kpbook.recordings import atari

ARRAYS = ("images", "truth", "visible", "actions", "rewards", "terminated", "seeds", "positions")


def toy(episodes=7, steps=5, views=1, **options) -> Episodes:
    options = {"policy": "walk", "progress": False, **options}
    return record(ToyWorld(views), episodes=episodes, steps=steps, **options)


def assert_same(a: Episodes, b: Episodes) -> None:
    for name in ARRAYS:
        left, right = getattr(a, name), getattr(b, name)
        assert left.dtype == right.dtype, name
        np.testing.assert_array_equal(left, right, err_msg=name)
    for name in ("policies", "objects", "views", "cameras", "look", "origin"):
        assert getattr(a, name) == getattr(b, name), name


# -- recording ---------------------------------------------------------------------------------


def test_arrays_have_the_promised_shapes_and_types():
    """E, T, V, H, W, K, A = 7, 5, 3, 3, 5, 2, 2"""
    e = toy(views=3)
    shapes = {name: (getattr(e, name).shape, getattr(e, name).dtype.name) for name in ARRAYS}
    assert shapes == {
        "images": ((7, 5, 3, 3, 5, 3), "uint8"),
        "truth": ((7, 5, 3, 2, 2), "float64"),
        "visible": ((7, 5, 3, 2), "bool"),
        "actions": ((7, 5, 2), "float32"),
        "rewards": ((7, 5), "float32"),
        "terminated": ((7, 5), "bool"),
        "seeds": ((7,), "int64"),
        "positions": ((7, 5, 2, 3), "float64"),
    }
    assert (len(e), e.image_size, e.views) == (7, (3, 5), ("v0", "v1", "v2"))
    assert (e.objects, e.look) == (("dot", "corner"), "toy")
    assert e.cameras == tuple(ToyWorld(3).cameras.values())


def test_frames_are_those_after_each_step_and_an_episode_goes_on_after_the_goal():
    e = toy(views=2)
    np.testing.assert_array_equal(
        e.images[:, :, :, 0, 0, 1], [[[1] * 2, [2] * 2, [3] * 2, [4] * 2, [5] * 2]] * 7
    )
    np.testing.assert_array_equal(e.images[:, :, :, 0, 0, 2], [[[0, 1]] * 5] * 7)
    np.testing.assert_array_equal(e.terminated[0], [False, False, False, True, True])
    np.testing.assert_array_equal(e.rewards[0], [-1, -2, -3, -4, -5])


def test_the_action_belongs_to_the_frame_that_it_led_to():
    e = toy()
    np.testing.assert_allclose(
        np.diff(e.truth[:, :, 0, 0], axis=1), 0.1 * e.actions[:, 1:], atol=1e-7
    )


def test_an_episode_depends_on_seed_and_index_alone():
    e = toy(episodes=6, seed=3)
    assert_same(toy(episodes=6, seed=3), e)
    np.testing.assert_array_equal(toy(episodes=2, seed=3).images, e.images[:2])
    assert not np.intersect1d(e.seeds, toy(episodes=6, seed=4).seeds).size
    assert len(set(e.seeds.tolist())) == 6


def test_an_episode_can_be_played_again_from_its_seed_alone():
    e, world = toy(), ToyWorld()
    for one in e:
        start = int(one.seeds[0])
        world.reset(seed=start)
        act = walk(world, np.random.default_rng([start, 1]))
        for t in range(5):
            world.step(act({}))
            np.testing.assert_array_equal(world.frame("v0"), one.images[0, t, 0])


@pytest.mark.slow
def test_the_number_of_processes_does_not_change_a_byte():
    options = {"views": 2, "policy": ["walk", drift]}
    assert_same(toy(workers=3, **options), toy(**options))


@pytest.mark.slow
@pytest.mark.world
def test_pandapush_is_the_same_from_one_process_and_from_two():
    """With pushes, whose contacts show any state left over from the episode before."""
    from kpbook.world import PushWorld

    options = {"episodes": 5, "steps": 12, "policy": ["push", "random_walk"], "progress": False}
    world = PushWorld(image_size=24, camera=["cramer2024", "top"])
    one = record(world, **options)
    assert_same(record(world, workers=2, **options), one)
    moved = np.ptp(one.positions[:, :, 0, :2], axis=1).max(axis=-1)
    assert moved[::2].min() > 0.01
    world.close()


def test_several_policies_take_turns():
    e = toy(policy=("walk", "stay", drift))
    assert e.policies == ("walk", "stay", "drift", "walk", "stay", "drift", "walk")
    np.testing.assert_array_equal(e.actions[1], 0)
    np.testing.assert_array_equal(e.actions[2], 1)
    assert (e.actions[3] != 0).all()


def test_progress_is_shown_only_if_asked(capsys):
    toy(progress=False)
    assert capsys.readouterr().err == ""
    toy(progress=True)
    assert "7/7" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"episodes": 0}, ValueError, "episodes: got 0, expected at least 1"),
        ({"episodes": 2.5}, TypeError, "episodes: got 2.5, expected a whole number"),
        ({"steps": 0}, ValueError, "steps: got 0, expected at least 1"),
        ({"workers": 0}, ValueError, "workers: got 0, expected at least 1"),
        ({"seed": -1}, ValueError, "seed: got -1, expected at least 0"),
        ({"policy": "wlak"}, ValueError, "policy: got 'wlak', expected one of.*mean 'walk'"),
        ({"policy": ["walk", "x"]}, ValueError, "policy: got 'x'"),
        ({"policy": []}, ValueError, "policy: got an empty list"),
        ({"policy": [3]}, TypeError, "policy: got 3, expected a name or"),
        ({"policy": lambda w, r: None, "workers": 2}, ValueError, "workers: .*top level of a mod"),
        ({"policy": drift, "cache": "somewhere"}, ValueError, "cache: .*policies by name"),
        ({"policy": None}, TypeError, "policy: got None, expected a name or a function"),
        ({"policy": {"walk": 1}}, TypeError, "policy: got {'walk': 1}, expected a name or"),
        ({"cache": 3}, TypeError, "cache: got 3, expected a folder's name"),
    ],
)
def test_wrong_requests_are_named(options, error, message):
    with pytest.raises(error, match=message):
        toy(**options)


def test_truth_that_is_nan_is_an_error_and_says_why():
    with pytest.raises(ValueError, match=r"truth: got .* NaN.*behind the camera"):
        record(ToyWorld(nan=True), episodes=2, policy="walk", progress=False)


@pytest.mark.slow
def test_a_worker_that_dies_is_reported():
    """A policy that ends its process, as running out of memory would."""
    with pytest.raises(RuntimeError, match=r"workers: got a worker that died.*workers=1"):
        toy(episodes=1, workers=2, policy=_fatal)


def _fatal(world, rng):
    os._exit(3)


KILLED = """
from pathlib import Path
import test_episodes
from toy_world import ToyWorld
from kpbook.episodes import record

if __name__ == "__main__":
    record(
        test_episodes.Slow(), episodes=9, policy="stay", workers=2, cache="cache", progress=False
    )
"""


class Slow(ToyWorld):
    """Leaves a file named after its process at each reset, and takes its time."""

    def reset(self, *, seed):
        Path(f"{os.getpid()}.pid").touch()
        time.sleep(0.2)
        return super().reset(seed=seed)

    def step(self, action):
        time.sleep(0.2)
        return super().step(action)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:  # on Linux an orphan may be dead and not yet buried
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return not Path("/proc/self").exists()


def wait_for(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    assert condition()


@pytest.mark.slow
@pytest.mark.parametrize("kill", ["SIGKILL", "SIGTERM"])
def test_workers_end_with_a_recording_that_is_killed_and_leave_no_half_cache(tmp_path, kill):
    """catches: orphans that wait for work for ever"""
    (tmp_path / "script.py").write_text(KILLED)
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    script = subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}
    )
    try:
        wait_for(lambda: len(list(tmp_path.glob("*.pid"))) == 2, 60)
    finally:
        script.send_signal(signal.Signals[kill])
        script.wait()
    workers = [int(path.stem) for path in tmp_path.glob("*.pid")]
    wait_for(lambda: not any(map(alive, workers)), 10)
    assert not list((tmp_path / "cache").glob("*"))


class Reuses(ToyWorld):
    """One buffer each for frames, truth and flags, and it writes into the action that it gets."""

    def __init__(self):
        super().__init__(2)
        self.buffers = dict.fromkeys(("frame", "truth", "visible", "positions"))

    def _reused(self, name, value):
        buffer = self.buffers[name] = value if self.buffers[name] is None else self.buffers[name]
        buffer[...] = value
        return buffer

    def frame(self, camera):
        return self._reused("frame", super().frame(camera))

    def truth(self, camera):
        return self._reused("truth", super().truth(camera))

    def visible(self, camera):
        return self._reused("visible", np.abs(super().truth(camera)).max(axis=-1) <= 1.25)

    def positions(self):
        return self._reused("positions", super().positions())

    def step(self, action):
        outcome = super().step(action)
        action[...] = 99.0
        return outcome


def reusing(world, rng):
    buffer = np.zeros(2, np.float32)

    def act(observation):
        buffer[:] = rng.normal(size=2)
        return buffer

    return act


def test_buffers_that_a_world_or_a_policy_uses_again_are_copied():
    """catches: both views of the second, or the clipped action"""
    fresh = record(ToyWorld(2), episodes=3, steps=4, policy="walk", progress=False)
    reused = record(Reuses(), episodes=3, steps=4, policy=reusing, progress=False)
    for name in ("images", "truth", "visible", "actions", "positions"):
        np.testing.assert_allclose(getattr(reused, name), getattr(fresh, name), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("truth", np.ma.masked_all((2, 2)), ValueError, "truth: got a masked array"),
        ("visible", np.array([0.9, 0.1]), TypeError, "visible: got dtype float64.*True and False"),
        ("visible", np.array([1, 0]), TypeError, "visible: got dtype int64"),
        ("frame", np.zeros((3, 5, 3)), TypeError, r"world\.frame\('v0'\): got dtype float64"),
        ("frame", np.zeros((3, 5), np.uint8), ValueError, r"world\.frame\('v0'\): got shape"),
    ],
)
def test_what_a_world_returns_is_checked(name, value, error, message):
    world = ToyWorld()
    setattr(world, name, lambda camera: value)
    with pytest.raises(error, match=message):
        record(world, episodes=1, steps=2, policy="walk", progress=False)


@pytest.mark.parametrize(
    ("reward", "error", "message"),
    [
        (np.ma.masked, ValueError, r"world\.step\(\)\[1\], reward: got a masked array"),
        (None, TypeError, r"reward: got None, expected one number"),
        ([1.0, 2.0], ValueError, r"reward: got shape \(2,\), expected one number"),
    ],
    ids=repr,
)
def test_a_reward_is_one_number(reward, error, message):  # catches: masked recorded as 0
    class Odd(ToyWorld):
        def step(self, action):
            return super().step(action)[0], reward, *super().step(action)[2:]

    with pytest.raises(error, match=message):
        record(Odd(), episodes=1, steps=2, policy="walk", progress=False)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (np.ma.array([1.0, 2.0], mask=[False, True]), ValueError),
        ([[1], [1, 2]], TypeError),
        (np.array([None, 1]), TypeError),
    ],
    ids=repr,
)
def test_what_a_world_knows_besides_is_checked(value, error):
    world = ToyWorld()
    world.extras = lambda: {"mass": value}
    with pytest.raises(error, match=r"world\.extras\(\)\['mass'\]: got"):
        record(world, episodes=1, steps=2, policy="walk", progress=False)


def test_what_a_world_knows_besides_may_be_of_torch():
    world = ToyWorld()
    world.extras = lambda: {"mass": torch.ones(3, dtype=torch.bfloat16, requires_grad=True)}
    found = record(world, episodes=1, steps=2, policy="walk", progress=False).extras["mass"]
    np.testing.assert_array_equal(found, np.ones((1, 2, 3)))


@pytest.mark.parametrize("progress", ["False", 0, None, np.nan])
def test_progress_is_a_bool(progress):
    with pytest.raises(TypeError, match=r"progress: got .*expected True or False"):
        toy(progress=progress)


def test_an_action_with_a_masked_number_is_refused():
    with pytest.raises(ValueError, match="action: got a masked array"):
        toy(policy=lambda world, rng: lambda _: np.ma.array([1.0, 2.0], mask=[False, True]))


# -- cache -------------------------------------------------------------------------------------


def cached(folder, world=None, **options):
    world = world or ToyWorld()
    options = {"episodes": 4, "steps": 3, "policy": "walk", "progress": False, **options}
    return record(world, cache=folder, **options), world.resets


def test_a_second_recording_with_the_same_settings_is_read(tmp_path):
    first, resets = cached(tmp_path)
    again, no_resets = cached(tmp_path)
    assert (resets, no_resets) == (4, 0)
    assert_same(first, again)
    assert [p.suffix for p in tmp_path.iterdir()] == [".kpe"]


@pytest.mark.parametrize(
    "other",
    [{"episodes": 3}, {"steps": 2}, {"seed": 1}, {"policy": "stay"}, {"world": ToyWorld(2)}],
    ids=lambda other: next(iter(other)),  # the same words in every test worker
)
def test_any_other_setting_is_recorded_for_itself(tmp_path, other):
    cached(tmp_path)
    assert cached(tmp_path, **other)[1] > 0
    assert len(list(tmp_path.iterdir())) == 2


def spoil(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "one bit flipped":
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    elif how == "header changed":
        path.write_bytes(data.replace(b'"toy"', b'"tox"', 1))
    elif how == "foreign":
        path.write_bytes(b"\x89PNG and so on")
    elif how == "old version":
        path.write_bytes(data.replace(b"kpbook arrays 1", b"kpbook arrays 0", 1))
    elif how == "other settings":
        cached(path.parent, seed=99)
        (other,) = set(path.parent.iterdir()) - {path}
        other.replace(path)
    elif how == "other kind":
        _store.write(path, {"kind": "weights"}, {"a": np.zeros(3)}, 1)
    elif how == "no arrays":
        _store.write(path, _store.read(path)[0], {}, 1)
    elif how == "an array too many":
        description, arrays = _store.read(path)
        _store.write(path, description, {**arrays, "masks": np.zeros(3)}, 1)
    elif how == "an array without axes":
        description, arrays = _store.read(path)
        _store.write(path, description, {**arrays, "actions": np.array(1.0)}, 1)
    elif how == "no description":
        _store.write(path, {"kind": "episodes"}, _store.read(path)[1], 1)
    elif how == "cameras of another shape":
        description, arrays = _store.read(path)
        _store.write(path, {**description, "cameras": [[1, 2]]}, arrays, 1)
    else:  # bytes that no version of us wrote, under a good checksum
        body = {"not JSON": b"{", "no table": b"{}\n", "not xz": b'{"arrays": []}\nrest'}[how]
        path.write_bytes(_store._MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


BROKEN = [
    "truncated", "empty", "one bit flipped", "header changed", "foreign", "old version",
    "no arrays", "an array too many", "an array without axes", "no description",
    "cameras of another shape", "not JSON", "no table", "not xz",
]  # fmt: skip


@pytest.mark.parametrize("how", [*BROKEN, "other settings", "other kind"])
def test_a_broken_cache_is_noticed_reported_once_and_recorded_anew(tmp_path, how):
    good, _ = cached(tmp_path)
    (path,) = tmp_path.iterdir()
    spoil(path, how)
    with pytest.warns(UserWarning, match=r"got .*expected .*It is recorded anew\.") as seen:
        again, resets = cached(tmp_path)
    assert len(seen) == 1
    assert path.name in str(seen[0].message)
    assert resets == 4
    assert_same(again, good)
    assert cached(tmp_path)[1] == 0  # and the new file is good


@pytest.mark.parametrize("how", [*BROKEN, "other kind"])
def test_loading_a_broken_file_is_an_error(tmp_path, how):
    cached(tmp_path)
    (path,) = tmp_path.iterdir()
    spoil(path, how)
    with pytest.raises(ValueError, match=rf"{path.name}: got .*expected"):
        Episodes.load(path)


def test_an_interrupted_recording_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_is_a_file_or_lies_in_one_is_named_before_recording(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in ("file", "file/below"):
        world = ToyWorld()
        with pytest.raises(ValueError, match=r"cache: got .*cannot be a folder.*expected a folder"):
            cached(tmp_path / place, world)
        assert world.resets == 0
    assert (tmp_path / "file").read_text() == "mine"


def test_a_read_only_cache_is_named_before_recording_but_read_from(tmp_path, monkeypatch):
    cached(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)  # who runs the tests may write anywhere
    assert cached(tmp_path)[1] == 0
    world = ToyWorld()
    with pytest.raises(ValueError, match=r"cache: got .*read-only"):
        cached(tmp_path, world, seed=1)
    assert world.resets == 0


def test_a_folder_in_the_place_of_a_cached_file_is_named_before_recording(tmp_path):
    cached(tmp_path)
    (path,) = tmp_path.iterdir()
    path.unlink()
    path.mkdir()
    world = ToyWorld()
    with pytest.raises(ValueError, match=rf"cache: got a folder at .*{path.name}.*Move it away"):
        cached(tmp_path, world)
    assert world.resets == 0


def test_a_recording_that_cannot_be_cached_is_not_lost(tmp_path, monkeypatch):
    """A full disk shows only at the end."""

    def full(*_):
        raise OSError(28, "No space left on device")

    good, _ = cached(tmp_path / "good")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="The recording was not cached: .*No space left"):
        recorded, _ = cached(tmp_path / "full")
    assert_same(recorded, good)
    assert list((tmp_path / "full").iterdir()) == []


@pytest.mark.world
def test_pandapushs_cache_key_holds_all_that_shapes_the_bytes():
    from kpbook.world import PushWorld

    base = {"image_size": 16, "camera": "cramer2024", "look": "fast"}
    changes = [{}, {"image_size": 17}, {"camera": "top"}, {"look": "full"}, {"reward": "dense"}]
    keys = []
    for change in changes:
        world = PushWorld(**{**base, **change})
        keys.append(json.dumps(world.description(), sort_keys=True))
        world.close()
    assert len(set(keys)) == len(changes)
    found = json.loads(keys[0])
    assert found["renderer"] == "tiny"
    assert set(found["versions"]) == {"kpbook", "panda-gym", "pybullet"}


# -- files -------------------------------------------------------------------------------------


def test_saving_and_loading_keeps_everything_and_the_same_content_gives_the_same_bytes(tmp_path):
    e = toy(views=2, policy=["walk", "stay"])
    e.save(tmp_path / "a.kpe")
    toy(views=2, policy=["walk", "stay"]).save(tmp_path / "b.kpe")
    assert_same(Episodes.load(tmp_path / "a.kpe"), e)
    assert (tmp_path / "a.kpe").read_bytes() == (tmp_path / "b.kpe").read_bytes()


def test_numpys_numbers_in_names_and_origin_are_saved_as_numbers(tmp_path):
    e = Episodes.from_frames(np.zeros((2, 4, 5, 3), np.uint8), np.zeros((2, 2, 2)), objects=[*"ab"])
    fields = {n: getattr(e, n) for n in Episodes.__dataclass_fields__}
    fields |= {"objects": np.arange(2), "origin": {"seed": np.int64(3), "size": np.array([4, 5])}}
    loaded = Episodes.load(Episodes(**fields).save(tmp_path / "a.kpe", compression=np.int64(1)))
    assert (loaded.objects, loaded.origin) == ((0, 1), {"seed": 3, "size": [4, 5]})


@pytest.mark.parametrize(
    ("compression", "error"), [("a", TypeError), (11, ValueError), (-1, ValueError)]
)
def test_a_level_of_compression_that_xz_lacks_is_named(tmp_path, compression, error):
    with pytest.raises(error, match="compression: got"):
        toy().save(tmp_path / "a.kpe", compression=compression)
    assert list(tmp_path.iterdir()) == []


def test_what_was_loaded_can_be_changed(tmp_path):
    e = Episodes.load(toy().save(tmp_path / "a.kpe"))
    e.images[0] = 0
    to_float(e.images)


def test_nothing_in_a_file_is_a_pickle(tmp_path):
    """catches: np.save with allow_pickle; an array of objects is refused, not pickled"""
    with pytest.raises(TypeError, match="x: got dtype object"):
        _store.write(tmp_path / "a", {}, {"x": np.array([{}], dtype=object)}, 1)
    assert not (tmp_path / "a").exists()
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(toy().save(tmp_path / "b").read_bytes())


def test_a_missing_file_is_a_file_not_found_with_what_to_do(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"none\.kpe: got no such file, exp.*Paths start at"
    ):
        Episodes.load(tmp_path / "none.kpe")


def test_what_is_no_files_name_is_named(tmp_path):
    for act in (Episodes.load, toy().save):
        with pytest.raises(IsADirectoryError, match=r": got a folder, expected a file\. Give the"):
            act(tmp_path)
        with pytest.raises(TypeError, match="path: got 3, expected a file's name"):
            act(3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lost", ["frames", "cameras"])
def test_a_scene_without_a_part_is_an_error_that_says_so(tmp_path, lost):
    from kpbook.recordings.push_moment import Moment

    description, arrays = _store.read(Moment.sample().save(tmp_path / "a.kpe"))
    for parts in (description, arrays):
        parts.pop(lost, None)
    _store.write(tmp_path / "a.kpe", description, arrays, 0)
    with pytest.raises(ValueError, match=rf"a\.kpe: got parts that are missing.*{lost}.*expected"):
        Moment.load(tmp_path / "a.kpe")
    toy().save(tmp_path / "b.kpe")
    with pytest.raises(ValueError, match=r"got a file of 'episodes', expected a file of 'scene'"):
        Moment.load(tmp_path / "b.kpe")


# -- the sample --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample() -> Episodes:
    return Episodes.sample()


def test_the_sample_is_what_the_course_promises_of_it(sample):
    assert len(sample) >= 300
    assert sample.images.shape[1:] == (20, 1, 64, 64, 3)
    assert sample.objects == ("cube", "target", "end_effector")
    assert (sample.views, sample.look) == (("cramer2024",), "fast")
    assert np.mean([p == "push" for p in sample.policies]) == pytest.approx(1 / 3, abs=0.01)
    file = Path(_store.__file__).parent / "data" / "push_sample.kpe"
    assert file.stat().st_size <= 2_000_000


def test_the_sample_takes_little_longer_to_load_than_its_file_to_unpack():
    file = Path(_store.__file__).parent / "data" / "push_sample.kpe"

    def unpack():
        data = file.read_bytes()
        hashlib.sha256(data)
        lzma.decompress(data[data.index(lzma.compress(b"")[:6]) :])

    def seconds(what):
        start = time.perf_counter()
        what()
        return time.perf_counter() - start

    turns = [(seconds(Episodes.sample), seconds(unpack)) for _ in range(3)]
    ours, theirs = (min(times) for times in zip(*turns, strict=True))
    assert ours < 2 * theirs


def test_the_samples_truth_is_the_projection_of_its_positions(sample):
    points, _ = sample.cameras[0].project(sample.positions)
    np.testing.assert_allclose(points, sample.truth[:, :, 0], atol=1e-12)


def test_the_samples_visible_cubes_are_green_at_the_truth_and_its_hidden_ones_are_not(sample):
    """Ties pictures to truth with no simulator; catches: swapped or flipped axes, late frames"""
    flat = sample.flat()
    for k, channel in ((0, 1), (1, 2)):
        x, y = np.floor(sample.truth_px[:, :, 0].reshape(-1, 3, 2)[:, k] + 0.5).astype(int).T
        x, y = x.clip(0, 63), y.clip(0, 63)
        colour = flat.images[np.arange(len(flat.images)), y, x].astype(int)
        others = np.delete(colour, channel, axis=1).max(axis=1)
        coloured = colour[:, channel] > 1.3 * others + 10
        assert coloured[flat.visible[:, k]].mean() > 0.98
        assert coloured[~flat.visible[:, k]].mean() < 0.02


def test_the_sample_of_pong_is_what_the_course_promises_of_it():
    """Needs no emulator. Catches: swapped axes, late frames, objects in another order."""
    e = atari.sample()
    assert e.images.shape == (atari.TRAIN + atari.HELD_OUT, 400, 1, 64, 64, 3)
    assert e.objects == ("player", "enemy", "ball")
    assert (e.views, e.cameras, e.look) == (("screen",), (), "pong")
    assert set(e.policies) == {"random"}
    flat, ground = e.flat(), np.array([144, 72, 17])
    x, y = np.floor(e.truth_px.reshape(-1, 3, 2) + 0.5).astype(int).clip(0, 63).transpose(2, 0, 1)
    off = np.abs(flat.images[np.arange(len(x))[:, None], y, x] - ground).sum(-1)  # (M, 3)
    assert (off[flat.visible] > 40).mean() > 0.99
    assert (off[~flat.visible] > 40).mean() < 0.02
    assert flat.visible[:, 0].mean() > 0.99
    assert 0.25 < 1 - flat.visible[:, 2].mean() < 0.45


def test_samples_of_other_games_ship_small():
    for game, (windows, steps) in atari.SHIPPED.items():
        e = atari.sample(game)
        assert e.images.shape == (windows, steps, 1, 64, 64, 3)
        assert e.look == game
        assert atari.path_of(game).stat().st_size <= 250_000
    with pytest.raises(ValueError, match=r"game: got 'breakout', expected one of 'pong'.*record "):
        atari.sample("breakout")


@pytest.mark.slow
@pytest.mark.world
def test_the_documented_command_makes_the_sample_again(sample):
    """The first episodes; floats may differ in their last bits on another processor."""
    from kpbook.world.push.sample import make

    again = make(episodes=4)
    np.testing.assert_array_equal(again.seeds, sample.seeds[:4])
    np.testing.assert_allclose(again.actions[:, 0], sample.actions[:4, 0], atol=1e-5)
    np.testing.assert_allclose(again.truth[:2], sample.truth[:2], atol=1e-3)
    assert (again.images[:2] == sample.images[:2]).mean() > 0.999


# -- selection ---------------------------------------------------------------------------------


def test_selecting_keeps_every_array_and_name_in_step():
    e = toy(policy=["walk", "stay", drift])
    for key, rows in [(3, [3]), (-1, [6]), (slice(1, 6, 2), [1, 3, 5]), ([4, 0], [4, 0])]:
        part = e[key]
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(part, name), getattr(e, name)[rows])
        assert part.policies == tuple(e.policies[i] for i in rows)
    mask = np.array(e.policies) == "stay"
    assert e[mask].policies == ("stay", "stay")
    assert [int(one.seeds[0]) for one in e] == e.seeds.tolist()


def test_selecting_nothing_or_too_far_is_an_error():
    e = toy()
    for key in (slice(3, 3), [], np.zeros(7, dtype=bool)):
        with pytest.raises(ValueError, match=r"episodes: got .*selects no episode"):
            e[key]
    with pytest.raises(IndexError):
        e[7]


@given(st.integers(2, 40), st.integers(0, 5), st.lists(st.floats(0.05, 1), min_size=1, max_size=4))
def test_a_split_deals_whole_episodes_to_disjoint_parts(E, seed, shares):
    e = Episodes.from_frames(np.arange(E * 2 * 3, dtype=np.uint8).reshape(E, 2, 1, 1, 3))
    shares = [s / sum(shares) for s in shares]
    try:
        parts = e.split(shares, seed=seed)
    except ValueError as error:
        assert "at least one episode each" in str(error)  # noqa: PT017 - both outcomes are legal
        return
    members = [{one.images.tobytes() for one in part} for part in parts]
    assert all(not a & b for a, b in combinations(members, 2))
    assert sum(len(part) for part in parts) == E == len(set.union(*members))
    for part, share in zip(parts, shares, strict=True):
        assert abs(len(part) - share * E) <= 1


def test_a_split_by_counts_is_exact_and_random_by_seed():
    e = toy(episodes=20)
    train, test = e.split((12, 5), seed=1)
    assert (len(train), len(test)) == (12, 5)
    same, _ = e.split((12, 5), seed=1)
    np.testing.assert_array_equal(train.seeds, same.seeds)
    other, _ = e.split((12, 5), seed=2)
    assert not np.array_equal(train.seeds, other.seeds)
    assert not np.array_equal(train.seeds, e.seeds[:12])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((0.5, 0.6), "parts: got .*add up to at most 1"),
        ((4, 4), "parts: got .*counts up to 7 in all"),
        ((), "parts: got"),
        ((0.9, -0.1), "positive shares"),
        ((0.99, 0.01), "parts: got .*leaves a part empty.*never cuts an episode"),
        ((np.nan, 0.5), r"parts: got \(nan, 0.5\), expected positive shares"),
        ((0.5, np.inf), r"parts: got \(0.5, inf\), expected positive shares"),
    ],
)
def test_an_impossible_split_is_named(parts, message):
    with pytest.raises(ValueError, match=message):
        toy().split(parts)


@pytest.mark.parametrize("parts", [0.5, None, "ab", ("a", "b"), [[1], [2]]], ids=repr)
def test_a_split_into_no_list_of_numbers_is_named(parts):
    with pytest.raises(TypeError, match=r"parts: got .*positive shares.*Such as \(0\.8, 0\.2\)"):
        toy().split(parts)


@pytest.mark.parametrize("seed", ["a", None, 1.5])
def test_a_splits_seed_is_a_whole_number(seed):
    """catches: None, which would split differently each time"""
    with pytest.raises(TypeError, match=r"seed: got .*a whole number, at least 0"):
        toy().split((0.5, 0.5), seed=seed)


@pytest.mark.parametrize("seed", [np.array(3), np.uint8(3), torch.tensor(3)], ids=repr)
def test_a_splits_seed_may_be_numpys(seed):
    e = toy(episodes=6)
    parts = (0.5, 0.5)
    for ours, theirs in zip(e.split(parts, seed=seed), e.split(parts, seed=3), strict=True):
        np.testing.assert_array_equal(ours.images, theirs.images)


def test_one_episode_cannot_be_split():
    with pytest.raises(ValueError, match=r"of 1 episode\(s\).*never cuts an episode"):
        toy(episodes=1).split((0.5, 0.5))


# -- batches -----------------------------------------------------------------------------------


def origin(batch: torch.Tensor) -> np.ndarray:
    """(seed mod 251, step, view) painted into each toy picture, (..., 3)."""
    return (batch[..., :, 0, 0] * 255).round().long().numpy()


def test_batches_are_floats_colour_first_in_0_1(rng):
    e = toy(views=2)
    frames = e.frames(11, rng)
    assert (frames.shape, frames.dtype) == ((11, 3, 3, 5), torch.float32)
    assert 0 <= frames.min() < 0.2 < 0.8 < frames.max() <= 1
    assert e.snippets(3, 11, rng).shape == (11, 3, 3, 3, 5)
    assert [b.shape for b in e.pairs(2, 11, rng)] == [(11, 3, 3, 5)] * 2
    assert e.frames(11, rng, view=None).shape == (11, 2, 3, 3, 5)
    assert e.snippets(3, 11, rng, view=None).shape == (11, 3, 2, 3, 3, 5)


def test_every_frame_is_equally_likely(rng):
    e = toy()
    seen = origin(e.frames(7000, rng))
    counts = np.unique(seen, axis=0, return_counts=True)[1]
    assert len(counts) == 35
    assert counts.min() > 140
    assert counts.max() < 270  # 200 each, five standard deviations


def test_a_snippet_is_a_run_of_one_episode_and_every_start_occurs(rng):
    e = toy()
    seen = origin(e.snippets(3, 500, rng))
    assert (np.diff(seen[..., 1], axis=1) == 1).all()
    assert (seen[..., 0] == seen[:, :1, 0]).all()
    assert set(seen[:, 0, 1]) == {1, 2, 3}
    assert set(seen[:, 0, 0]) == set((e.seeds % 251).tolist())
    assert set(origin(e.snippets(5, 50, rng))[:, 0, 1]) == {1}


def test_a_pair_is_gap_steps_apart_in_one_episode(rng):
    e = toy()
    first, second = (origin(b) for b in e.pairs((1, 4), 2000, rng))
    gaps = second[:, 1] - first[:, 1]
    assert (first[:, 0] == second[:, 0]).all()
    np.testing.assert_allclose(np.bincount(gaps)[1:] / 2000, 0.25, atol=0.05)
    assert set(first[gaps == 1][:, 1]) == {1, 2, 3, 4}
    first, second = (origin(b) for b in e.pairs(4, 9, rng))
    assert (second[:, 1] - first[:, 1] == 4).all()


def test_views_are_drawn_together_or_by_index(rng):
    e = toy(views=3)
    both = origin(e.frames(20, rng, view=None))
    assert (both[..., 2] == [0, 1, 2]).all()
    assert (both[..., :2] == both[:, :1, :2]).all()
    assert (origin(e.frames(20, rng, view=2))[:, 2] == 2).all()


def test_the_same_generator_draws_the_same_batch():
    e = toy()
    a, b = (e.snippets(2, 8, torch.Generator().manual_seed(5)) for _ in range(2))
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_flat_lists_frames_episode_by_episode():
    e = toy(views=2)
    flat = e.flat(view=1)
    assert flat.images.shape == (35, 3, 5, 3)
    np.testing.assert_array_equal(flat.episode, np.repeat(np.arange(7), 5))
    np.testing.assert_array_equal(flat.truth[8], e.truth[1, 3, 1])
    np.testing.assert_array_equal(flat.images[8], e.images[1, 3, 1])
    np.testing.assert_array_equal(flat.visible[8], e.visible[1, 3, 1])


def test_truth_px_is_the_truth_on_the_pixel_ruler():
    e = toy()
    np.testing.assert_allclose(from_pixels(e.truth_px, (3, 5)), e.truth)


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda e, g: e.frames(0, g), ValueError, "batch: got 0, expected at least 1"),
        (lambda e, g: e.frames(2, 0), TypeError, r"generator: got 0.*manual_seed"),
        (lambda e, g: e.frames(2, g, view=1), ValueError, "view: got 1, expected below 1"),
        (lambda e, g: e.snippets(6, 2, g), ValueError, "length: got 6, expected at most the 5"),
        (lambda e, g: e.snippets(0, 2, g), ValueError, "length: got 0"),
        (lambda e, g: e.pairs(5, 2, g), ValueError, "gap: got 5, expected 1 <= .* <= 4"),
        (lambda e, g: e.pairs((3, 2), 2, g), ValueError, "gap: got"),
        (lambda e, g: e.pairs(0, 2, g), ValueError, "gap: got 0.*both frames are the same"),
        (lambda e, g: e.flat(3), ValueError, "view: got 3"),
        (lambda e, g: e.pairs((1, 2, 3), 2, g), ValueError, r"gap: got \(1, 2, 3\), .*or two"),
        (lambda e, g: e.pairs((), 2, g), ValueError, r"gap: got \(\), .*or two"),
        (lambda e, g: e.pairs(1.5, 2, g), TypeError, "gap: got 1.5, expected a whole number"),
        (lambda e, g: e.pairs((1, 2.5), 2, g), TypeError, "gap: got 2.5, expected a whole number"),
        (lambda e, g: e.pairs("12", 2, g), TypeError, "gap: got '12'"),
    ],
)
def test_impossible_batches_are_named(draw, error, message, rng):
    with pytest.raises(error, match=message):
        draw(toy(), rng)


# -- a reader's own frames ---------------------------------------------------------------------


def pictures(*shape) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(*shape, 3), dtype=np.uint8)


def test_own_arrays_become_episodes_of_one_view():
    one = Episodes.from_frames(pictures(5, 7, 9))
    assert (one.images.shape, len(one), one.objects) == ((1, 5, 1, 7, 9, 3), 1, ())
    assert one.truth_px.shape == (1, 5, 1, 0, 2)
    assert one.flat().truth.shape == (5, 0, 2)
    truth = np.full((2, 5, 3, 2), 0.5)
    truth[1, 2, 0] = [1.3, 0]
    two = Episodes.from_frames(pictures(2, 5, 7, 9), truth=truth, objects=["a", "b", "c"])
    np.testing.assert_array_equal(two.truth[:, :, 0], truth)
    assert (two.visible.sum(), two.visible[1, 2, 0, 0]) == (29, False)
    assert two.objects == ("a", "b", "c")
    hidden = Episodes.from_frames(pictures(2, 5, 7, 9), truth, visible=np.zeros((2, 5, 3), bool))
    assert not hidden.visible.any()
    two.split((1, 1))


def test_own_tensors_are_taken_as_arrays_are():
    frames, truth = pictures(5, 7, 9), np.full((5, 2, 2), 0.25)
    arrays = Episodes.from_frames(frames, truth, visible=np.eye(5, 2, dtype=bool))
    tensors = [torch.from_numpy(x) for x in (frames, truth, np.eye(5, 2, dtype=bool))]
    assert_same(Episodes.from_frames(*tensors), arrays)
    assert_same(Episodes.from_frames(list(tensors[0]), *tensors[1:]), arrays)


def test_own_frames_can_be_saved_and_drawn(tmp_path, rng):
    e = Episodes.from_frames(pictures(2, 5, 7, 9))
    back = Episodes.load(e.save(tmp_path / "mine.kpe"))
    assert_same(back, e)
    assert back.frames(4, rng).shape == (4, 3, 7, 9)


def test_own_picture_files_are_read_in_order_from_a_list_a_folder_and_a_gif(tmp_path):
    frames = pictures(4, 6, 8)
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{i:02}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    np.testing.assert_array_equal(Episodes.from_frames(tmp_path).images[0, :, 0], frames)
    files = [tmp_path / "03.png", str(tmp_path / "01.png")]
    np.testing.assert_array_equal(Episodes.from_frames(files).images[0, :, 0], frames[[3, 1]])
    flat = [Image.new("RGB", (8, 6), (60 * i, 0, 0)) for i in range(3)]
    flat[0].save(tmp_path / "film.gif", save_all=True, append_images=flat[1:])
    film = Episodes.from_frames(tmp_path / "film.gif").images[0, :, 0]
    np.testing.assert_array_equal(film[:, 0, 0, 0], [0, 60, 120])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: pictures(5, 7, 9) / 255, TypeError, "frames: got dtype float64.*to_uint8"),
        (lambda p: pictures(7, 9), ValueError, r"frames: got shape \(7, 9, 3\), expected \(T, H"),
        (lambda p: pictures(5, 7, 9)[..., 0], ValueError, r"frames: got shape \(5, 7, 9\)"),
        (lambda p: pictures(5, 7, 9).transpose(0, 3, 1, 2), ValueError, "Colour comes last"),
        (lambda p: pictures(0, 7, 9), ValueError, "frames: got shape .*nothing empty"),
        (lambda p: [], ValueError, "frames: got no pictures"),
        (lambda p: p, ValueError, "frames: got no pictures"),
        (lambda p: [p / "none.png"], FileNotFoundError, r"none\.png"),
        (lambda p: write(p / "a.mp4", b"video"), ValueError, r"a\.mp4.*imageio"),
        (lambda p: None, TypeError, r"frames: got None, expected pictures: an array, a file, a f"),
        (lambda p: [1, 2], TypeError, "frames: got a list that holds 1, expected pictures"),
        (lambda p: [torch.zeros(3, 4, 3)], TypeError, "frames: got dtype float32"),
        (lambda p: [pictures(3, 4), pictures(4, 4)], ValueError, r"pictures of one size, \(3, 4\)"),
    ],
)
def test_frames_that_do_not_fit_are_named(make, error, message, tmp_path):
    with pytest.raises(error, match=message):
        Episodes.from_frames(make(tmp_path))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"truth": np.zeros((4, 2, 2))}, r"truth: got shape \(4, 2, 2\), expected \(T, K, 2\)"),
        ({"truth": np.zeros((5, 2, 3))}, r"truth: got shape \(5, 2, 3\)"),
        ({"truth": np.full((5, 2, 2), np.nan)}, "truth: got 20 of 20 values NaN"),
        ({"truth": np.zeros((5, 2, 2)), "objects": ["a"]}, r"truth: got shape .*1 objects"),
        (
            {"truth": np.zeros((5, 2, 2)), "visible": np.ones((5, 3), bool)},
            r"visible: got shape \(5, 3\), expected \(5, 2\)",
        ),
    ],
)
def test_truth_that_does_not_fit_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        Episodes.from_frames(pictures(5, 7, 9), **options)


def test_a_digest_of_the_format_is_as_documented(tmp_path):
    magic, digest, rest = (toy().save(tmp_path / "a")).read_bytes().split(b"\n", 2)
    assert magic == b"kpbook arrays 1"
    assert digest.decode() == hashlib.sha256(rest).hexdigest()


def test_recording_something_that_is_no_world_names_what_it_lacks():
    with pytest.raises(
        TypeError, match=r"world: got NoneType, which has no reset, step.*PushWorld"
    ):
        record(None, episodes=1, progress=False)
