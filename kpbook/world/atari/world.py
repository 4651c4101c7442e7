"""An Atari game as a world: small pictures, and where things are, from the emulator's RAM."""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Any

import numpy as np

from kpbook._checks import check_choice, check_integer, complain, require
from kpbook.episodes.world import Policy
from kpbook.grid import Size, as_size, from_pixels
from kpbook.world.atari.games import GAMES, SCREEN, things_of

_HINT = "Without it, kpbook.recordings.atari.sample() still gives recorded frames."

try:
    import gymnasium
    from gymnasium import spaces
except ImportError:
    require("gymnasium", extra="atari", purpose="AtariWorld", hint=_HINT)
    raise

REPEAT = 4
PICTURES = ("field", "screen")
_NOOPS = 30
_FPS = 60
_NEAR = 1  # pixels around a point in which its object's colour has to be seen


class AtariWorld(gymnasium.Env[np.ndarray, Any]):
    """A game of the Atari 2600; a ``gymnasium.Env``, and a world to record.

    An action is held for four frames, and the picture is the larger, pixel by pixel, of the last
    two of them: a 2600 draws some things in every other frame only. No action sticks. Source:
    Kulkarni et al. (2019), section 4; the maximum is that of Mnih et al. (2015).

    Args:
        game: A name, :data:`~kpbook.world.atari.games.GAMES`.
        image_size: Pixels of the picture, ``(H, W)`` or one integer; each is the mean of the
            screen's pixels that it covers.
        picture: ``"field"``, without the rows of score and lives; or ``"screen"``.
        shake: Every picture is moved by up to so many pixels of the screen, each way, at random:
            a camera that does not stand still. What comes in repeats the picture's edge.
        max_steps: Truncate a game after this many actions; never without it.
        render_mode: ``"rgb_array"``, the only one.

    Attributes:
        objects: Names along K, of a game with rules; others have none.
        views: One, ``"screen"``.

    Copying and pickling give a fresh world with the same settings.

    Raises:
        ImportError: If gymnasium or ale-py is missing.
        ValueError: If a name is unknown or a number out of range.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": _FPS // REPEAT}  # noqa: RUF012
    views = ("screen",)
    ends_early = True

    def __init__(
        self,
        game: str = "pong",
        image_size: Size = 64,
        picture: str = "field",
        shake: int = 0,
        max_steps: int | None = None,
        render_mode: str = "rgb_array",
    ) -> None:
        self.game = GAMES[check_choice(game, GAMES, name="game")]
        self.name = game
        self.image_size = as_size(image_size, name="image_size")
        for pixels, most in zip(self.image_size, SCREEN, strict=True):
            if not 16 <= pixels <= most:
                expected = f"16 to {SCREEN[0]} rows and 16 to {SCREEN[1]} columns"
                hint = "The emulator's screen is no larger."
                raise ValueError(complain("image_size", self.image_size, expected, hint))
        self.picture = check_choice(picture, PICTURES, name="picture")
        self.shake = check_integer(shake, name="shake", minimum=0, hint="Pixels of the screen.")
        self.render_mode = check_choice(render_mode, ["rgb_array"], name="render_mode")
        self.max_steps = max_steps
        if max_steps is not None:
            self.max_steps = check_integer(max_steps, name="max_steps", minimum=1)
        self.look = game
        self.objects = tuple(thing.name for thing in self.game.things)
        self._settings: dict[str, Any] = {
            "game": game,
            "image_size": self.image_size,
            "picture": picture,
            "shake": self.shake,
            "max_steps": self.max_steps,
        }
        self._rows = self.game.rows if picture == "field" else (0, SCREEN[0])
        self._shrink = [
            _shares(pixels, end - first)
            for pixels, (first, end) in zip(
                self.image_size, (self._rows, (0, SCREEN[1])), strict=True
            )
        ]
        ale_py = require("ale_py", extra="atari", purpose="AtariWorld", hint=_HINT)
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._ale = ale_py.ALEInterface()
        self._ale.setInt("random_seed", 0)
        self._ale.setFloat("repeat_action_probability", 0.0)
        self._ale.loadROM(ale_py.roms.get_rom_path(self.game.rom))
        # A reset leaves timers in the RAM; the state of a game just loaded is the same every time.
        self._fresh = self._ale.cloneState(include_rng=True)
        self._actions = list(self._ale.getMinimalActionSet())
        self.action_space = spaces.Discrete(len(self._actions))
        self.observation_space = spaces.Box(0, 255, (*self.image_size, 3), np.uint8)
        self._start()

    # -- gymnasium ---------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start a game, and do nothing for 0 to 30 frames, as many as the seed says.

        Args:
            seed: The same seed gives the same game. Without it, the next one of the world's own
                generator.
            options: None are known.

        Raises:
            ValueError: If there are options.
        """
        if options:
            raise ValueError(
                complain("options", repr(options), "none: a game has no places to set")
            )
        if seed is not None:
            seed = check_integer(seed, name="seed", minimum=0)
        super().reset(seed=seed)
        self._start(int(self.np_random.integers(_NOOPS + 1)))
        return self.frame(), {"lives": self._ale.lives()}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Hold an action, an index of the game's own actions, for four frames.

        Raises:
            RuntimeError: If the game is over.
            TypeError: If the action is no whole number.
            ValueError: If the game has no such action.
        """
        if self._ale.game_over():
            raise RuntimeError("the game is over; reset the world to start another")
        action = check_integer(action, name="action", minimum=0)
        if action >= len(self._actions):
            raise ValueError(complain("action", action, f"below {len(self._actions)}"))
        reward = 0.0
        for frame in range(REPEAT):
            reward += self._ale.act(self._actions[action])
            if frame == REPEAT - 2:
                before, ram = self._ale.getScreenRGB(), self._ale.getRAM()
        self._screen, self._frame = np.maximum(before, self._ale.getScreenRGB()), None
        self._ram = ram if self.game.late else self._ale.getRAM()
        self._move()
        self._steps += 1
        over = bool(self._ale.game_over())
        truncated = self.max_steps is not None and self._steps >= self.max_steps and not over
        return self.frame(), float(reward), over, truncated, {"lives": self._ale.lives()}

    def render(self) -> np.ndarray:
        """Return :meth:`frame`."""
        return self.frame()

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process gets a fresh world with the same settings.
        return functools.partial(type(self), **self._settings), ()

    # -- what is seen ------------------------------------------------------------------------

    def frame(self, view: str = "screen") -> np.ndarray:
        """Return the picture, uint8 ``(H, W, 3)``."""
        check_choice(view, self.views, name="view")
        frame: np.ndarray | None = self._frame
        if frame is None:
            down, across = self._shrink
            first, end = self._rows
            field = self._screen[first:end].astype(np.float32)
            if self.shake:
                right, down_by = self._moved
                rows_from = (np.arange(len(field)) - down_by).clip(0, len(field) - 1)
                columns_from = (np.arange(SCREEN[1]) - right).clip(0, SCREEN[1] - 1)
                field = field[rows_from][:, columns_from]
            rows = down @ field.reshape(len(field), -1)  # (H, 160 * 3)
            mean = across @ rows.reshape(-1, SCREEN[1], 3)  # (H, W, 3)
            frame = self._frame = np.floor(mean + 0.5).astype(np.uint8)
        return frame.copy()

    def screen(self) -> np.ndarray:
        """Return all of the emulator's screen, the maximum of two frames, uint8 (210, 160, 3)."""
        return self._screen.copy()

    def truth(self, view: str = "screen") -> np.ndarray:
        """Return the objects' image coordinates, float64 ``(K, 2)``, from the RAM.

        The middle of that part of an object's box that lies in the field: a paddle that is cut
        off at the wall has its point in what is left of it. An object that is not there has some
        place all the same; ask :meth:`visible`.

        Raises:
            ValueError: If the game has no rules.
        """
        check_choice(view, self.views, name="view")
        things_of(self.name)
        first, end = self._rows
        (H, W), tall, wide = self.image_size, end - first, SCREEN[1]
        x, y = (self._middles() + self._moved).T  # integers are centres of the screen's pixels
        pixels = np.stack([(x + 0.5) * W / wide, (y - first + 0.5) * H / tall], axis=-1) - 0.5
        return from_pixels(pixels, self.image_size)

    def visible(self, view: str = "screen") -> np.ndarray:
        """Say which objects are drawn at their points, bool ``(K,)``: by the picture's own pixels.

        An object is seen if one of the 3 x 3 pixels of the screen around its point has a colour
        in which the object is drawn, and the camera's shaking has not moved the point out.

        Raises:
            ValueError: If the game has no rules.
        """
        check_choice(view, self.views, name="view")
        seen = np.zeros(len(self.objects), dtype=bool)
        for k, (thing, (x, y)) in enumerate(
            zip(things_of(self.name), self._middles(), strict=True)
        ):
            left, top = int(np.floor(x + 0.5)) - _NEAR, int(np.floor(y + 0.5)) - _NEAR
            first, end = self.game.rows
            around = self._screen[
                max(top, first) : max(first, min(top + 2 * _NEAR + 1, end)),
                max(left, 0) : max(0, left + 2 * _NEAR + 1),
            ]
            seen[k] = (around[:, :, None] == thing.palette).all(-1).any()
        seen &= self._inside()
        return seen

    # -- recording ---------------------------------------------------------------------------

    def policy(self, name: str, rng: np.random.Generator) -> Policy:
        """Return a policy for one game, by name: ``"random"``, every action equally likely."""
        check_choice(name, ["random"], name="policy")
        return lambda observation: int(rng.integers(len(self._actions)))

    def description(self) -> dict[str, Any]:
        """Return everything that shapes this world's bytes, in plain types: a cache key."""
        import kpbook

        return {
            "world": type(self).__name__,
            **self._settings,
            "image_size": list(self.image_size),
            "versions": {
                "kpbook": kpbook.__version__,
                "ale-py": importlib.metadata.version("ale-py"),
            },
        }

    # -- inside ------------------------------------------------------------------------------

    _screen: np.ndarray
    _ram: np.ndarray
    _moved: np.ndarray

    def _start(self, noops: int = 0) -> None:
        """Start a game anew and let some frames pass."""
        self._ale.restoreState(self._fresh)
        self._steps = 0
        for _ in range(noops):
            self._ale.act(0)
        self._screen, self._frame = self._ale.getScreenRGB(), None
        self._ram = self._ale.getRAM()
        self._move()

    def _move(self) -> None:
        """Draw by how much the next picture is moved, right and down."""
        self._moved = np.zeros(2, dtype=np.int64)
        if self.shake:
            self._moved = self.np_random.integers(-self.shake, self.shake + 1, 2)

    def _inside(self) -> np.ndarray:
        """Whether each object's point is still in the picture, moved as that is, bool ``(K,)``."""
        if not self.shake:
            return np.ones(len(self.objects), dtype=bool)
        x, y = (self._middles() + self._moved).T
        first, end = self._rows
        inside: np.ndarray = (x >= 0) & (x <= SCREEN[1] - 1) & (y >= first) & (y <= end - 1)
        return inside

    def _middles(self) -> np.ndarray:
        """Middles of the objects' parts in the field, pixels of the screen, ``(K, 2)``."""
        boxes = self.game.boxes(self._ram)
        middles: np.ndarray = (boxes[:, :2] + boxes[:, 2:]) / 2
        return middles


def _shares(pixels: int, of: int) -> np.ndarray:
    """Which share of each of ``of`` pixels makes up each of fewer: float32 ``(pixels, of)``."""
    edges = np.arange(pixels + 1) * of / pixels
    left, right = edges[:-1, None], edges[1:, None]
    covered = np.minimum(right, np.arange(1, of + 1)) - np.maximum(left, np.arange(of))
    shares: np.ndarray = (np.clip(covered, 0, None) * pixels / of).astype(np.float32)
    return shares


gymnasium.register(id="kpbook/Atari-v0", entry_point="kpbook.world.atari.world:AtariWorld")
