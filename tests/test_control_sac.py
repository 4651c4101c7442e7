"""SAC and HER: exchanged goals and their rewards, a run that is killed, what does not fit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import conftest
import numpy as np
import pytest
import torch

from kpbook import _checks, runs, zoo
from kpbook.control.configurations import CONFIGURATIONS, configuration
from kpbook.control.observe import NEAR_M

pytestmark = pytest.mark.world
conftest.need_agents()

from test_control_observe import Colours  # noqa: E402

from kpbook.control import agents, places, sac  # noqa: E402
from kpbook.control.vector import PushVec  # noqa: E402
from kpbook.world import PushWorld  # noqa: E402

#: Episodes of 6 steps in two worlds, updates from the first episode's end on.
TINY = {
    "steps": 6,
    "velocity": True,
    "envs": 2,
    "warm_up": 12,
    "batch_size": 8,
    "width": 8,
    "updates": 0.25,
}
RUN = {"steps": 60, "seed": 3, "every": 30, "episodes": 2, "progress": False}


def tiny(**changes):
    return configuration("cpu", **{**TINY, **changes})


def train(folder=None, changes=None, **more):
    torch.set_num_threads(1)
    options = {"checkpoint_every": 0.0, "folder": folder, **RUN, **more}
    return sac.train(PushWorld, tiny(**(changes or {})), **options)


def numbers(trained):
    """All that has to be equal: weights, and the curve without its clocks."""
    clocks = ("seconds", "cpu_seconds", "train_cpu_seconds")
    rows = [{k: v for k, v in row.items() if k not in clocks} for row in trained.curve]
    return rows, {k: v.clone() for k, v in trained.model.policy.state_dict().items()}


def assert_same(one, other):
    assert one[0] == other[0]
    for name, value in one[1].items():
        assert torch.equal(value, other[1][name]), name


# -- several worlds -------------------------------------------------------------------------------


def played(env, steps=8, seed=0):
    rng = np.random.default_rng(seed)
    return [env.step(rng.uniform(-1, 1, (env.num_envs, 3))) for _ in range(steps)]


@pytest.fixture
def env():
    env = PushVec(PushWorld, 2, tiny(repeat=2).options, seed=5)
    env.reset()
    yield env
    env.close()


def test_an_episode_that_ends_hands_over_its_last_observation(env):
    steps = played(env)
    dones = np.array([done for _, _, done, _ in steps])
    assert dones.tolist() == [[False] * 2, [False] * 2, [True] * 2] * 2 + [[False] * 2] * 2
    for observation, reward, done, infos in steps:
        for w, info in enumerate(infos):
            assert ("terminal_observation" in info) == done[w]
            assert info["TimeLimit.truncated"] == (done[w] and reward[w] != 0)
            if done[w]:  # the next episode has begun: another goal
                last = info["terminal_observation"]["desired_goal"]
                assert np.abs(last - observation["desired_goal"][w]).max() > 1e-3
    assert env.simulated == 8 * 2 * 2


@pytest.mark.parametrize("ends", [True, False])
def test_an_episode_goes_on_at_the_goal_or_ends_there(ends, monkeypatch):
    env = PushVec(PushWorld, 2, tiny(ends=ends).options, seed=5)
    env.reset()
    monkeypatch.setattr(env.observer, "compute_reward", lambda *goals: np.float32([0, -1]))
    steps = played(env, 3)
    assert [list(done) for _, _, done, _ in steps] == [[ends, False], [ends, False], [True, True]]
    cut = [[info["TimeLimit.truncated"] for info in infos] for *_, infos in steps]
    assert cut == [[False, False], [False, False], [not ends, True]]
    env.close()


def test_an_environment_goes_to_where_another_stood(env):
    played(env, 4)
    notes, arrays = env.place()
    later = played(env, 4, seed=1)
    other = PushVec(PushWorld, 2, env.observer.options, seed=5)
    other.restore(notes, arrays)
    assert other.simulated == 16
    for (a, ra, *_), (b, rb, *_) in zip(later, played(other, 4, seed=1), strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])
        np.testing.assert_array_equal(ra, rb)
    other.close()


# -- HER ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reward", ["simulator", "keypoints"])
def test_an_exchanged_goal_is_one_of_the_episode_with_both_places_and_its_reward(reward):
    """Cubes that move a random way in a buffer of our own making; rewards by hand."""
    changes = {"state": "keypoints", "reward": reward, "batch_size": 64}
    extractor = Colours().eval()
    fit = places.Fit(np.zeros(3, int), np.zeros((3, 6, 2)), np.zeros(3), np.ones(3))
    made = tiny(**changes)
    env = PushVec(PushWorld, 2, made.options, 0, extractor, fit)
    model = sac._build(made, env, {"steps": 100, "seed": 0})
    rng, buffer = np.random.default_rng(0), model.replay_buffer
    path = rng.normal(0, 0.03, (20, 2, 5)).cumsum(0).astype(np.float32)  # achieved goals
    wanted = rng.normal(0, 0.1, (2, 5)).astype(np.float32)
    none = np.zeros((2, *env.observation_space["observation"].shape), np.float32)
    for t in range(19):
        now, then = (
            {"observation": none + s, "achieved_goal": path[s], "desired_goal": wanted}
            for s in (t, t + 1)
        )
        real = env.compute_reward(then["achieved_goal"], wanted, {})
        buffer.add(now, then, np.zeros((2, 3)), real, np.full(2, t == 18), [{}, {}])
    drawn = buffer.sample(400)
    columns = slice(3, 5) if reward == "keypoints" else slice(0, 3)
    exchanged = 0
    for i in range(400):
        goal = drawn.observations["desired_goal"][i].numpy()
        t = int(drawn.next_observations["observation"][i, 0])
        arrived = drawn.next_observations["achieved_goal"][i].numpy()
        w = int(np.abs(path[t] - arrived).sum(-1).argmin())
        if not np.array_equal(goal, wanted[w]):
            exchanged += 1
            assert any(np.array_equal(goal, path[s, w]) for s in range(t, 20))  # catches: the past
        near = np.linalg.norm(arrived[columns] - goal[columns]) < NEAR_M
        assert drawn.rewards[i].item() == (0 if near else -1)
    assert exchanged == 320  # four of five
    env.close()


# -- runs -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole():
    return train()


def test_a_run_ends_with_its_last_step_and_says_what_it_cost(whole):
    assert [row["step"] for row in whole.curve] == [32, 60]
    last = whole.record.results[-1]
    shares = [value for key, value in last.items() if key.startswith("share/")]
    assert sum(shares) == pytest.approx(1)
    assert last["steps_per_cpu_second"] == pytest.approx(60 / last["train_cpu_seconds"])
    assert 0 <= last["success"] <= 1
    assert whole.record.config["configuration"]["gamma"] == 0.95


def test_the_seed_decides_a_run_and_the_callers_generators_are_left_alone(whole):
    torch.manual_seed(9)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    assert_same(numbers(whole), numbers(train()))
    assert np.array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])
    other = numbers(train(seed=4))[1]
    assert any(not torch.equal(v, other[k]) for k, v in numbers(whole)[1].items())


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import test_control_sac as t
from kpbook.training import checkpoints
put, count = checkpoints.Shelf.put, [0]
def deadly(self, state):
    put(self, state)
    count[0] += 1
    if count[0] == {nth}:
        os.kill(os.getpid(), signal.SIGKILL)
checkpoints.Shelf.put = deadly
t.train({folder!r})
"""


@pytest.mark.slow
@pytest.mark.parametrize("nth", [2, 11])  # during random actions; during updates, mid-episode
def test_a_killed_run_ends_as_if_it_had_not_been(whole, tmp_path, nth):
    tests = str(Path(__file__).parent)
    code = KILLED.format(tests=tests, nth=nth, folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    assert_same(numbers(whole), numbers(train(tmp_path)))


def test_a_finished_run_is_read_and_another_one_refused(tmp_path, whole):
    train(tmp_path)
    again = train(tmp_path)
    assert_same(numbers(whole), numbers(again))
    with pytest.raises(ValueError, match=r"a run of configuration.gamma 0.95, expected .* 0.9"):
        train(tmp_path, {"gamma": 0.9})
    with pytest.raises(ValueError, match="a run of steps 60, expected steps 90"):
        train(tmp_path, steps=90)


@pytest.mark.slow
def test_keypoints_train_too_and_both_successes_are_told(tmp_path):
    changes = {"state": "keypoints", "hidden": "carried", "velocity": True, "reward": "keypoints"}
    trained = train(tmp_path, changes, extractor=Colours().eval())
    assert {"success", "success_by_keypoints"} <= set(trained.curve[-1])
    assert trained.fit.keypoint[:2].tolist() == [0, 1]
    shares = trained.record.results[-1]
    assert min(shares[f"share/{part}"] for part in ("physics", "drawing", "network")) > 0


def test_success_counts_episodes_and_not_steps():
    """A model that never moves, in worlds of which every second episode is at its goal at once."""

    class Still:
        def predict(self, seen, deterministic):
            return np.zeros((2, 3)), None

    class Fake:
        num_envs = 2

        class observer:
            class options:
                mapped = True

        def restart(self):
            self.number = [0, 0]
            return {}

        def step(self, actions):
            infos = [
                {"is_success": n % 2 == 1, "keypoints_success": w == 0}
                for w, n in enumerate(self.number)
            ]
            self.number = [n + 1 for n in self.number]
            return {}, np.zeros(2), np.ones(2, bool), infos

    shares = sac.success(Still(), Fake(), 5)  # episodes 0, 1, 2 here and 0, 1 there
    assert shares == {"success": 2 / 5, "success_by_keypoints": 2 / 5}


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"relative": False, "hand": False, "unit_m": 1.0}])
def test_an_agent_acts_from_its_file_as_it_did(tmp_path, changes):
    trained = train(changes=changes, steps=20, every=20)
    path = tmp_path / "one.agent.safetensors"
    agents.save(path, trained.model, tiny(**changes), trained.fit, "one")
    found = agents.load(path)
    assert (found.name, found.fit, found.configuration) == ("one", None, tiny(**changes))
    env = PushVec(PushWorld, 2, tiny(**changes).options, seed=1)
    seen = env.reset()
    actions, _ = found.predict(seen)
    np.testing.assert_array_equal(actions, trained.model.predict(seen, deterministic=True)[0])
    with torch.no_grad():
        inside = trained.model.policy.obs_to_tensor(seen)[0], torch.from_numpy(actions)
        critics = torch.cat(trained.model.critic(*inside), dim=1)
    np.testing.assert_array_equal(found.value(seen, actions), critics.min(dim=1).values)
    assert sac.success(found, env, 2)["success"] in (0, 0.5, 1)
    with pytest.raises(ValueError, match=r"actions: got shape \(1, 3\), expected \(2, 3\)"):
        found.value(seen, actions[:1])
    env.close()


def test_a_file_that_is_no_whole_agent_is_refused(tmp_path, whole):
    path = tmp_path / "one.agent.safetensors"
    with pytest.raises(FileNotFoundError, match=r"got no such file, expected an agent"):
        agents.load(path)
    agents.save(path, whole.model, tiny(), None, "one")
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-4])
    with pytest.raises(ValueError, match="no safetensors file"):
        agents.load(path)
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="do not match their checksum"):
        agents.load(path)
    train(tmp_path)
    with pytest.raises(ValueError, match="got a checkpoint of a run, expected an agent"):
        agents.load(next(tmp_path.glob("agent.step*")))


@pytest.mark.slow
def test_the_agents_that_ship_push_the_cube():
    for name, path in agents.shipped().items():
        found = agents.load(path)
        options = found.configuration.but(ends=True).options
        extractor = None if name == "true" else zoo.load(name)
        env = PushVec(PushWorld, 5, options, 77, extractor, found.fit)
        assert sac.success(found, env, 20)["success"] >= 0.7, name
        env.close()
        record = runs.load(path.parent / f"{name}.json")
        assert record.results[-1]["success"] >= 0.8
        assert record.name == found.name


# -- settings -------------------------------------------------------------------------------------


def test_the_papers_settings():
    paper = CONFIGURATIONS["paper"].plain()
    stated = {"learning_rate": 3e-4, "gamma": 0.99, "tau": 0.005, "batch_size": 256, "envs": 10}
    assert stated.items() <= paper.items()
    assert (paper["warm_up"], paper["her"], paper["steps"]) == (100_000, 0, 100)
    assert CONFIGURATIONS["paper"].updates_each == 10
    assert configuration("paper", state="full").options.points == "objects"


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("gpu", {}, "configuration: got 'gpu', expected one of 'paper', 'cpu'"),
        ("cpu", {"learning": 1}, r"setting: got 'learning'.*Did you mean 'learning_rate'"),
        ("cpu", {"gamma": 1.5}, "gamma"),
        ("cpu", {"envs": 1}, "0.5 between two actions of all worlds, expected a whole number"),
        ("cpu", {"points": "all", "relative": False}, "HER with points='all'"),
        ("cpu", {"warm_up": 10}, "warm_up: got 10, expected at least 200, an episode each"),
    ],
)
def test_settings_that_make_no_sense_are_named(name, changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        configuration(name, **changes)


def test_what_train_cannot_use_is_named(tmp_path, monkeypatch):
    with pytest.raises(TypeError, match=r"configuration: got str, expected a Configuration"):
        sac.train(PushWorld, "cpu", steps=1)
    with pytest.raises(ValueError, match="steps: got 0"):
        train(steps=0)
    with pytest.raises(ValueError, match=r"pixels, expected \(32, 32\)"):
        train(changes={"state": "keypoints"}, extractor=Colours(32).eval())

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(_checks.importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"pip install 'kpbook\[control\]'"):
        train()
