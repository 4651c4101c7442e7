"""Atari worlds: their pictures, their rules against the pictures, and what is refused."""

from __future__ import annotations

import importlib.util
import pickle

import conftest
import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import kpbook.world
from kpbook.episodes import record
from kpbook.grid import to_pixels
from kpbook.recordings import atari
from kpbook.world import registry
from kpbook.world.atari.games import GAMES, SCREEN, things_of

if importlib.util.find_spec("ale_py") is None:
    conftest.left_out("ale-py is not installed: pip install 'kpbook[atari]'")

from kpbook.world.atari import world as atari_world
from kpbook.world.atari.sample import make
from kpbook.world.atari.world import AtariWorld

WITH_RULES = [name for name, game in GAMES.items() if game.things]


def play(game: str, steps: int, seed: int = 0, **options):
    """A world after each of ``steps`` random actions."""
    world = AtariWorld(game, **options)
    rng, over = np.random.default_rng(seed), True
    for _ in range(steps):
        if over:
            world.reset(seed=int(rng.integers(1000)))
        *_, terminated, truncated, _ = world.step(int(rng.integers(world.action_space.n)))
        over = terminated or truncated
        yield world


def places_px(world: AtariWorld) -> np.ndarray:
    """Truth in pixels of the emulator's screen; an integer is the centre of one."""
    first, end = world.game.rows
    H, W = world.image_size
    x, y = to_pixels(world.truth(), (H, W)).T
    x, y = (x + 0.5) * SCREEN[1] / W - 0.5, (y + 0.5) * (end - first) / H - 0.5 + first
    return np.stack([x, y], axis=-1)


@pytest.mark.parametrize("game", GAMES)
def test_gymnasium_accepts_it(game):
    check_env(AtariWorld(game), skip_render_check=True)
    assert gymnasium.make("kpbook/Atari-v0", game=game).unwrapped.look == game


@pytest.mark.parametrize("game", GAMES)
def test_a_seed_is_a_game(game):  # catches: a first frame, a policy or a random start of its own
    def films(seed):
        return np.stack([w.frame() for w in play(game, 40, seed)])

    np.testing.assert_array_equal(films(3), films(3))
    world = AtariWorld(game)
    starts = [world.reset(seed=s)[0].tobytes() for s in range(12)]
    assert world.reset(seed=0)[0].tobytes() == starts[0]  # also in a used world
    for _ in range(5):
        world.step(1)
    assert world.reset(seed=0)[0].tobytes() == starts[0]


def test_a_copy_is_a_fresh_world_of_the_same_settings():
    world = AtariWorld("frostbite", (48, 32), picture="screen", max_steps=7)
    copy = pickle.loads(pickle.dumps(world))
    assert copy.description() == world.description()
    np.testing.assert_array_equal(copy.reset(seed=5)[0], world.reset(seed=5)[0])


@pytest.mark.slow
@pytest.mark.parametrize("game", WITH_RULES)
def test_rules_agree_with_the_colours_of_the_picture(game):
    """Oracle: the middle of the object's colours near its point, in pictures alone.

    Catches: a wrong byte, a swapped axis, a wrong offset, the RAM of another frame, a point that
    is called visible where nothing of the object is drawn.
    """
    off: dict[str, list[np.ndarray]] = {name: [] for name in AtariWorld(game).objects}
    seen = dict.fromkeys(off, 0)
    for world in play(game, 1500):
        screen, visible = world.screen(), world.visible()
        for k, ((x, y), thing) in enumerate(zip(places_px(world), things_of(game), strict=True)):
            if not visible[k]:
                continue
            seen[thing.name] += 1
            w, h = thing.size
            w, h = w / 2 + 4, h / 2 + 4  # no farther: the next floe is 8 pixels away
            left, top = max(0, round(x - w)), max(world.game.rows[0], round(y - h))
            right, bottom = round(x + w) + 1, min(round(y + h) + 1, world.game.rows[1])
            mask = (screen[top:bottom, left:right, None] == thing.palette).all(-1).any(-1)
            assert mask.any(), f"{thing.name} is called visible, and its colours are nowhere near"
            rows, columns = np.nonzero(mask)
            middle = [
                (columns.min() + columns.max()) / 2 + left,
                (rows.min() + rows.max()) / 2 + top,
            ]
            off[thing.name].append(np.abs(np.array(middle) - [x, y]))
    for name, distances in off.items():
        assert seen[name] > 15, f"{name} was seen {seen[name]} times: too few to say anything"
        # Of what moves fast the maximum of two frames shows both: half the way to either side.
        near = np.mean([(d <= 3.5).all() for d in distances])
        least = 0.9 if (game, name) == ("frostbite", "player") else 0.98
        assert near >= least, f"{name}: {near:.2f} of its points within 3.5 of 210 pixels"
        assert np.median(distances, axis=0).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("game", WITH_RULES)
def test_what_is_called_visible_shows_its_colour_at_the_point(game):
    """In 99 % of the frames: a picture's pixel covers some 2.5 x 2.5 of the screen's."""
    hits: dict[str, list[bool]] = {}
    for world in play(game, 1200, seed=9):
        screen = world.screen()
        for (x, y), thing, visible in zip(
            places_px(world), things_of(game), world.visible(), strict=True
        ):
            if visible:
                left, top = max(0, round(x - 1.25)), round(y - 1.25)
                patch = screen[top : round(y + 1.25) + 1, left : round(x + 1.25) + 1]
                hits.setdefault(thing.name, []).append(
                    bool((patch[:, :, None] == thing.palette).all(-1).any())
                )
    assert set(hits) == {thing.name for thing in things_of(game)}
    assert {name: np.mean(each) >= 0.99 for name, each in hits.items()} == dict.fromkeys(hits, True)


@pytest.mark.slow
def test_pongs_ball_is_absent_in_a_third_of_the_steps():
    seen = np.mean([world.visible() for world in play("pong", 1200)], axis=0)
    assert 0.25 < 1 - seen[2] < 0.45
    assert seen[0] > 0.95


def test_a_hidden_ball_is_not_seen():  # catches: visibility from the RAM instead of the picture
    for world in play("pong", 400):
        if world.visible()[2]:
            world._screen[:] = world._screen[0, 0]
            assert not world.visible().any()
            return
    raise AssertionError("no ball in 400 steps")


def test_a_picture_is_the_mean_of_the_pixels_that_it_covers():
    *_, world = play("breakout", 30, image_size=(41, 32))
    first, end = world.game.rows
    field = world.screen()[first:end].astype(float)
    fine = np.repeat(np.repeat(field, 41, 0), 1, 1)  # 164 rows x 41, 160 columns
    exact = fine.reshape(41, 164, 32, 5, 3).mean((1, 3))
    np.testing.assert_allclose(world.frame(), exact, atol=0.51)


@pytest.mark.slow
def test_the_maximum_of_two_frames_shows_what_flickers():
    """Without it a ghost of Ms Pac-Man is missing in every other frame."""
    shares = []
    for world in play("ms_pacman", 600):
        shares.append(world.visible())
    assert np.mean(shares, axis=0)[1] > 0.8


@pytest.mark.slow
def test_recording_draws_new_games_and_needs_no_rule():
    games = record(AtariWorld("seaquest"), episodes=2, steps=700, policy="random", progress=False)
    assert games.objects == ()
    assert games.extras["start"].sum() > 2
    assert games.games.max() + 1 == games.extras["start"].sum()
    pong = record(AtariWorld(), episodes=2, steps=30, policy="random", progress=False)
    assert pong.objects == ("player", "enemy", "ball")
    assert pong.truth.shape == (2, 30, 1, 3, 2)


def moved(world: AtariWorld, dx: int, dy: int) -> np.ndarray:
    """The field moved by so many pixels of the screen, its edge repeated."""
    first, end = world.game.rows
    field = world.screen()[first:end]
    H, W = len(field), SCREEN[1]
    return field[np.clip(np.arange(H) - dy, 0, H - 1)][:, np.clip(np.arange(W) - dx, 0, W - 1)]


def test_a_camera_that_shakes_moves_picture_and_truth_alike():
    """Catches: truth that stays, moves the other way, or along the other axis."""
    size = (160, 160)  # of Pong's field: a pixel of the picture is one of the screen
    still, world = AtariWorld("pong", size), AtariWorld("pong", size, shake=5)
    still.reset(seed=3), world.reset(seed=3)
    rng, moves = np.random.default_rng(0), []
    for _ in range(60):
        action = int(rng.integers(6))
        still.step(action), world.step(action)
        np.testing.assert_array_equal(world.screen(), still.screen())  # the game is the same
        off = to_pixels(world.truth(), size) - to_pixels(still.truth(), size)
        np.testing.assert_allclose(off, np.broadcast_to(off[0], off.shape), atol=1e-9)
        dx, dy = off[0].round().astype(int)
        np.testing.assert_array_equal(world.frame(), moved(still, dx, dy))
        moves.append((dx, dy))
    moves = np.array(moves)
    assert np.abs(moves).max() == 5
    assert len(np.unique(moves, axis=0)) > 30  # anew in every picture
    assert abs(np.corrcoef(moves.T)[0, 1]) < 0.5  # each way for itself


def test_what_the_shaking_moves_out_of_the_picture_is_not_seen():
    """Catches: visibility of the screen that the camera no longer shows."""
    out = 0
    for world in play("pong", 300, shake=30):
        point, seen = to_pixels(world.truth(), world.image_size), world.visible()
        beyond = ((point < -0.5) | (point > 63.5)).any(axis=-1)
        assert not (seen & beyond).any()
        out += beyond[:2].sum()  # of the paddles, which are drawn nearly always
    assert out > 50


def test_a_seed_is_a_shake_and_none_changes_nothing():
    def films(seed, **options):
        return np.stack([w.frame() for w in play("pong", 20, seed, **options)])

    np.testing.assert_array_equal(films(1, shake=3), films(1, shake=3))
    assert (films(1, shake=3) != films(1)).any()
    np.testing.assert_array_equal(films(1, shake=0), films(1))
    assert AtariWorld(shake=2).description() != AtariWorld().description()
    assert pickle.loads(pickle.dumps(AtariWorld(shake=2))).shake == 2


@pytest.mark.slow
@pytest.mark.parametrize("game", atari.SHIPPED)
def test_the_samples_are_made_again_byte_for_byte(game, tmp_path):
    """Two of their windows from the games, and the files from what they hold."""
    sample, again = atari.sample(game), make(game, episodes=2)
    for name in ("images", "truth", "visible", "actions", "rewards", "terminated", "seeds"):
        np.testing.assert_array_equal(getattr(again, name), getattr(sample, name)[:2])
    np.testing.assert_array_equal(again.extras["start"], sample.extras["start"][:2])
    assert {**again.origin, "episodes": len(sample)} == sample.origin
    path = sample.save(tmp_path / "again.kpe", compression=9)
    assert path.read_bytes() == atari.path_of(game).read_bytes()


def test_a_world_by_name():
    assert registry.make("atari", game="breakout").look == "breakout"
    assert kpbook.world.AtariWorld is AtariWorld
    assert kpbook.world.GAMES is GAMES


def test_one_can_ask_for_a_simulator(monkeypatch):
    assert kpbook.world.available("atari")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ale_py" else 1)
    assert not kpbook.world.available("atari")
    assert kpbook.world.available("push")  # of which alone it speaks without a name
    assert kpbook.world.available()
    with pytest.raises(ValueError, match="world: got 'pong', expected one of 'push', 'atari'"):
        kpbook.world.available("pong")


def test_max_steps_truncates():
    world = AtariWorld(max_steps=2)
    world.reset(seed=0)
    assert [world.step(0)[3] for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"game": "tennis"}, "game: got 'tennis'.*pong"),
        ({"image_size": 8}, "image_size: got .*16 to 210 rows"),
        ({"image_size": (64, 300)}, "image_size"),
        ({"picture": "crop"}, "picture: got 'crop'"),
        ({"max_steps": 0}, "max_steps"),
        ({"shake": -1}, "shake: got -1, expected at least 0. Pixels of the screen"),
        ({"render_mode": "human"}, "render_mode"),
    ],
)
def test_what_it_refuses(options, says):
    with pytest.raises(ValueError, match=says):
        AtariWorld(**options)


def test_truth_of_a_game_without_rules_is_an_error_that_says_so():
    world = AtariWorld("seaquest")
    world.reset(seed=0)
    for ask in (world.truth, world.visible):
        with pytest.raises(ValueError, match=r"game: got 'seaquest'.*pong, ms_pacman, frostbite"):
            ask()


def test_actions_and_options_are_checked():
    world = AtariWorld()
    world.reset(seed=0)
    with pytest.raises(ValueError, match="action: got 6, expected below 6"):
        world.step(6)
    with pytest.raises(TypeError, match="action"):
        world.step(0.5)
    with pytest.raises(ValueError, match="options"):
        world.reset(options={"ball": (0, 0)})
    with pytest.raises(ValueError, match="policy: got 'push'"):
        world.policy("push", np.random.default_rng(0))


@pytest.mark.slow
def test_a_finished_game_cannot_be_stepped():
    world = AtariWorld("seaquest")
    world.reset(seed=0)
    rng, over = np.random.default_rng(0), False
    while not over:
        *_, over, _, _ = world.step(int(rng.integers(world.action_space.n)))
    with pytest.raises(RuntimeError, match="reset"):
        world.step(0)


def test_without_ale_py_one_sentence_says_what_to_install(monkeypatch):
    def missing(module, **options):
        return _require("no_such_emulator", **options)

    _require = atari_world.require
    monkeypatch.setattr(atari_world, "require", missing)
    with pytest.raises(ImportError, match=r"kpbook\[atari\].*recorded frames"):
        AtariWorld()
