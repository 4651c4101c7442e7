"""PandaPush as a world with cameras: frames, depth, masks and the true points.

Task and physics are panda-gym's; four things differ from its ``PandaPush-v3``:

* ``reset`` rebuilds the scene, so that an episode is the same first, after another one and in
  another process. panda-gym's keeps the solver's contact caches and drifts by centimetres.
* The target is drawn as Cramer et al.'s opaque blue square on the table; the goal is unchanged.
* Pictures come from named cameras and, by default, a robot that is cheap to draw.
* The observation space has bounds that a real episode does not leave.
"""

from __future__ import annotations

import copy
import functools
import importlib.metadata
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from kpbook._arrays import as_float64
from kpbook._checks import check_choice, check_finite, check_integer, complain, require
from kpbook.cameras import Camera
from kpbook.grid import Size, as_size, to_pixels
from kpbook.world.push import egl, objects
from kpbook.world.push.names import CRAMER, OLD, canonical
from kpbook.world.push.orbits import CAMERAS, View, choose_cameras, with_our_lens
from kpbook.world.push.policies import POLICIES, Policy
from kpbook.world.quiet import quiet

if TYPE_CHECKING:
    from kpbook.world.push.drawing import Image

_WHEELS = (
    "pybullet has wheels for Python 3.10 and 3.11 only; elsewhere: conda install -c conda-forge "
    "pybullet. Without it, kpbook.episodes.Episodes.sample() still gives recorded frames."
)

try:
    import gymnasium
    from gymnasium import spaces
except ImportError:
    require("gymnasium", extra="world", purpose="PushWorld", hint=_WHEELS)
    raise

OBJECTS = ("cube", "target", "end_effector")
MASK_NAMES = ("background", "cube", "target", "arm", "hand", "second_cube")
LOOKS = ("fast", "full")
RENDERERS = ("tiny", "egl")
REWARDS = ("sparse", "dense")
TOUCHING_M = 0.002  # a surface this little in front of a point does not hide it
_FPS = 25  # 20 physics steps of 1/500 s per action
_OWN_MASK = np.array([1, 2, 4, 5])  # mask id of the body that each object belongs to
# Bounds of the observation: hand position and velocity, then the cube's position, angles,
# velocity and angular velocity. Positions in metres, angles in radians, speeds per second.
_BOUNDS = np.repeat([10.0, 100.0, 10.0, 3.1416, 100.0, 1000.0], 3).astype(np.float32)


class PushWorld(gymnasium.Env[Any, np.ndarray]):
    """A robot arm, a cube to push and a target to push it to; a ``gymnasium.Env``.

    ``reset`` and ``step`` are panda-gym's: the observation is a dictionary (``observation``,
    ``achieved_goal``, ``desired_goal``), the action moves the hand by up to 5 cm per axis, and
    an episode terminates when the cube is within 5 cm of the goal.

    Args:
        image_size: Pixels of every frame, ``(H, W)`` or one integer.
        camera: A name (:data:`kpbook.world.CAMERAS`), a pose ``X_WC`` ``(4, 4)`` with OpenCV's
            axes, a :class:`~kpbook.cameras.Camera`, or a list of them for several views. Names
            and poses have a lens of 60 degrees between the upper and the lower edge and square
            pixels at any ``image_size``; a Camera of your own is resized to it, its edges stay.
        look: ``"fast"`` draws the robot's collision meshes, a grey per link, no shadows;
            ``"full"`` its visual meshes with shadows, as panda-gym. Physics is the same.
        renderer: ``"tiny"``, pybullet's on the CPU, or ``"egl"``, which needs OpenGL through EGL
            and draws other pixels. A process holds one such world at a time; ``close`` frees it.
        reward: ``"sparse"`` (-1 until the goal is met) or ``"dense"`` (minus the distance).
        max_steps: Truncate an episode after this many steps; never without it.
        render_mode: ``"rgb_array"``, the only one.
        scene: A name (:data:`SCENES`) or colours by object, ``{"cube": (0.9, 0.1, 0.1)}``: red,
            green and blue in [0, 1] or ``"arm-grey"``, for ``cube``, ``target`` and
            ``second_cube``; without a colour there is no second cube. It is the first one's
            like, starts beside it, and comes last in :attr:`objects`. The observation is
            panda-gym's and does not tell of it.

    Attributes:
        objects: Names along K, :data:`OBJECTS` and in some scenes ``"second_cube"``.
        scene: The colours, by object.

    Copying and pickling give a fresh world with the same settings, not in the same state:
    ``reset`` it with the seed of the episode.

    Raises:
        ImportError: If gymnasium, pybullet or panda-gym is missing.
        TypeError: If a camera or the scene is none of the above.
        ValueError: If a name is unknown or a colour out of range.
        RuntimeError: If EGL cannot be used; later, if the world is closed.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": _FPS}  # noqa: RUF012  # gymnasium's
    objects: tuple[str, ...] = OBJECTS
    policies = POLICIES

    def __init__(
        self,
        image_size: Size = 64,
        camera: View | Sequence[View] = CRAMER,
        look: str = "fast",
        renderer: str = "tiny",
        reward: str = "sparse",
        max_steps: int | None = None,
        render_mode: str = "rgb_array",
        scene: str | Mapping[str, Any] = CRAMER,
    ) -> None:
        self.image_size = as_size(image_size, name="image_size")
        self.look = check_choice(look, LOOKS, name="look")
        self.renderer = check_choice(renderer, RENDERERS, name="renderer")
        self.reward = check_choice(reward, REWARDS, name="reward")
        self.render_mode = check_choice(render_mode, ["rgb_array"], name="render_mode")
        self.max_steps = None
        if max_steps is not None:
            hint = "None: never truncate."
            self.max_steps = check_integer(max_steps, name="max_steps", minimum=1, hint=hint)
        self.cameras = choose_cameras(camera, self.image_size)
        self.scene = objects.choose(scene, self.look)
        if "second_cube" in self.scene:
            self.objects = (*OBJECTS, "second_cube")
        self._settings: dict[str, Any] = {
            "image_size": self.image_size,
            "camera": copy.deepcopy(camera),  # the caller may go on with it
            "look": look,
            "renderer": renderer,
            "reward": reward,
            "max_steps": self.max_steps,
            "scene": dict(self.scene),
        }

        self.action_space = spaces.Box(-1.0, 1.0, shape=(3,), dtype=np.float32)
        goal = spaces.Box(-10.0, 10.0, shape=(3,), dtype=np.float32)
        self.observation_space = spaces.Dict(
            {
                "observation": spaces.Box(-_BOUNDS, _BOUNDS, dtype=np.float32),
                "achieved_goal": goal,
                "desired_goal": goal,
            }
        )
        with quiet():  # pybullet announces its build time on import
            for package in ("pybullet", "panda_gym"):
                require(package, extra="world", purpose="PushWorld", hint=_WHEELS)
            from kpbook.world.push import simulation
            from kpbook.world.push.drawing import Drawer

        self._panda = simulation
        self._open_sim: Any = simulation.Simulation(simulation.robot_file(look))
        if renderer == "egl":
            self._free = egl.load(self, self._sim)
        self._drawer = Drawer(self._sim, look, renderer)
        self._images: dict[Camera, Image] = {}
        self._positions: np.ndarray | None = None
        self._rebuild()
        if renderer == "egl":
            with quiet():
                for _ in range(2):  # the first two drawings of a context lack shading in places
                    self._drawer.draw(self.camera())

    # -- gymnasium ---------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Rebuild the scene and draw goal and cube.

        Args:
            seed: The same seed gives the same episode, to the bit. Without it, the next
                episode of the world's own generator.
            options: ``{"cube": (x, y), "target": (x, y)}`` puts either at a place on the
                table, metres, instead of drawing it. Where there is a ``"second_cube"``, a place
                for it needs one for the first.
        """
        places = objects.check_places(options, self.scene)
        if seed is not None:
            seed = check_integer(seed, name="seed", minimum=0)
        super().reset(seed=seed)
        self._rebuild(places)
        observation = self._observation()
        return observation, {"is_success": self._success(observation)}

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Move the hand by ``0.05 * action`` metres per axis, ``(3,)`` in [-1, 1]; 0.04 s pass.

        Numbers beyond [-1, 1] are clipped, as panda-gym does.
        """
        sim = self._sim
        self._robot.set_action(_check_action(action))
        sim.step()
        self._forget()
        self._steps += 1
        observation = self._observation()
        terminated = self._success(observation)
        reward = self.compute_reward(observation["achieved_goal"], observation["desired_goal"], {})
        truncated = self.max_steps is not None and self._steps >= self.max_steps
        return observation, float(reward), terminated, truncated, {"is_success": terminated}

    def compute_reward(
        self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any
    ) -> np.ndarray:
        """panda-gym's reward for any goals ``(..., 3)``: what hindsight replay asks for."""
        return np.asarray(self._task.compute_reward(achieved_goal, desired_goal, info))

    def render(self) -> np.ndarray:
        """Return :meth:`frame` of the first camera."""
        return self.frame()

    def close(self) -> None:
        """Free the simulation; nothing can be reset, stepped or drawn afterwards."""
        if self._open_sim is None:
            return
        if self.renderer == "egl":
            self._free()
        else:
            self._open_sim.close()
        self._open_sim = None
        self._forget()

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process gets a fresh world with the same settings.
        return functools.partial(type(self), **self._settings), ()

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the cameras."""
        return tuple(self.cameras)

    # -- what a camera sees ------------------------------------------------------------------

    def camera(self, camera: View | None = None) -> Camera:
        """Return a camera: the first by default, a name or a pose in the world's image size."""
        if camera is None:
            return next(iter(self.cameras.values()))
        if isinstance(camera, Camera):
            return camera
        camera = canonical(camera)
        if isinstance(camera, str):
            if camera in self.cameras:
                return self.cameras[camera]
            check_choice(camera, dict.fromkeys([*self.cameras, *CAMERAS]), name="camera")
        return with_our_lens(camera, self.image_size)

    def frame(self, camera: View | None = None) -> np.ndarray:
        """Return the picture, uint8 ``(H, W, 3)``."""
        return self._image(camera).frame.copy()

    def depth(self, camera: View | None = None) -> np.ndarray:
        """Return metres along the camera's z axis, float64 ``(H, W)``; ``inf``: nothing there."""
        return self._image(camera).depth_m.copy()

    def mask(self, camera: View | None = None) -> np.ndarray:
        """Return which body each pixel shows, int64 ``(H, W)``: indices of :data:`MASK_NAMES`.

        0 is everything else (table, floor, nothing), 1 the cube, 2 the target, 3 the arm with
        its flange, 4 the hand with its fingers, 5 the second cube.
        """
        return self._image(camera).mask.copy()

    def positions(self) -> np.ndarray:
        """Return where the objects are, ``(K, 3)`` metres, in the order of :attr:`objects`.

        Middle of a cube, middle of the blue square (z = 0) and the point between the
        fingertips that the action moves, as drawn. (The observation holds panda-gym's hand
        position, which lags by one physics step of 2 ms.)
        """
        sim = self._sim
        if self._positions is None:
            hand = self.link()
            cube, target, *more = map(sim.get_base_position, ("object", *list(self.scene)[1:]))
            self._positions = np.stack([cube, target, hand, *more])
        return self._positions.copy()

    def link(self, name: str = "panda_grasptarget") -> np.ndarray:
        """Return where the origin of a link of the robot is drawn, ``(3,)`` metres.

        Args:
            name: ``"panda_link1"`` to ``"panda_link8"``, ``"panda_hand"`` or another name of the
                robot's description; without it the point between the fingertips, panda-gym's
                link 11.

        Raises:
            ValueError: If the robot has no such link; the message lists them.
        """
        return np.asarray(self._panda.link_position(self._sim, name))

    def truth(self, camera: View | None = None) -> np.ndarray:
        """Return the objects' image coordinates, float64 ``(K, 2)``; may lie off the image.

        A point at or behind the camera is NaN: it has no image.
        """
        return self.camera(camera).project(self.positions())[0]

    def visible(self, camera: View | None = None) -> np.ndarray:
        """Say which objects' points can be seen, bool ``(K,)``.

        A point is visible if it lies in front of the camera and within the image's edges, and
        the pixel nearest to it shows either the object's own body (the hand with its fingers
        for the end effector) or no surface more than 2 mm in front of the point.
        """
        camera = self.camera(camera)
        points, depth_m = camera.project(self.positions())
        image = self._image(camera)
        H, W = camera.image_size
        pixels = to_pixels(points, (H, W))
        inside = (np.abs(pixels - [(W - 1) / 2, (H - 1) / 2]) < [W / 2, H / 2]).all(axis=-1)
        seen = np.zeros(len(points), dtype=bool)
        columns, rows = np.floor(pixels[inside] + 0.5).astype(int).T
        own = image.mask[rows, columns] == _OWN_MASK[: len(points)][inside]
        free = image.depth_m[rows, columns] >= depth_m[inside] - TOUCHING_M
        seen[inside] = own | free
        return seen

    # -- recording ---------------------------------------------------------------------------

    def policy(self, name: str, rng: np.random.Generator) -> Policy:
        """Return a policy for one episode, by name: ``"random_walk"`` or ``"push"``."""
        return self.policies[check_choice(name, self.policies, name="policy")](self, rng)

    def description(self) -> dict[str, Any]:
        """Return everything that shapes this world's bytes, in plain types: a cache key."""
        import kpbook

        # The key of old recordings stays: the old name, and no scene but another than theirs.
        other = self.scene != objects.SCENES[CRAMER]
        return {
            "world": type(self).__name__,
            "image_size": list(self.image_size),
            "cameras": {
                OLD if name == CRAMER else name: [camera.intrinsics.tolist(), camera.X_WC.tolist()]
                for name, camera in self.cameras.items()
            },
            "look": self.look,
            "renderer": self.renderer,
            "reward": self.reward,
            **({"scene": {n: list(rgb) for n, rgb in self.scene.items()}} if other else {}),
            "versions": {
                "kpbook": kpbook.__version__,
                "panda-gym": importlib.metadata.version("panda-gym"),
                "pybullet": importlib.metadata.version("pybullet"),
            },
        }

    # -- inside ------------------------------------------------------------------------------

    @property
    def _sim(self) -> Any:
        """The simulation."""
        if self._open_sim is None:
            raise RuntimeError("the world is closed; make a new one")
        return self._open_sim

    @property
    def _client(self) -> Any:
        """Pybullet's functions, bound to the simulation."""
        return self._sim.physics_client

    def _rebuild(self, places: Mapping[str, np.ndarray] = MappingProxyType({})) -> None:
        """Make the scene anew and place cube and target; the hand goes to its neutral pose."""
        self._forget()
        self._steps = 0
        self._robot, self._task = self._panda.build(
            self._sim, self.reward, draw_room=not self._drawer.room_apart, colours=self.scene
        )
        self._task.np_random = self.np_random
        self._robot.reset()
        self._task.reset()
        if places:
            cube = places.get("cube", self._task.get_achieved_goal()[:2])
            self._task.place(cube, places.get("target", self._task.goal[:2]))
        if "second_cube" in self.scene:
            cube = self._task.get_achieved_goal()[:2]
            beside = places.get("second_cube", objects.draw_beside(cube, self.np_random))
            self._task.place_second(beside)

    def _forget(self) -> None:
        """Drop what was drawn and computed for the last state."""
        self._images.clear()
        self._positions = None

    def _observation(self) -> dict[str, np.ndarray]:
        robot, task = self._robot.get_obs(), self._task.get_obs()
        return {
            "observation": np.concatenate([robot, task]).astype(np.float32),
            "achieved_goal": self._task.get_achieved_goal().astype(np.float32),
            "desired_goal": self._task.get_goal().astype(np.float32),
        }

    def _success(self, observation: dict[str, np.ndarray]) -> bool:
        # against the unrounded goal, as panda-gym
        return bool(self._task.is_success(observation["achieved_goal"], self._task.get_goal()))

    def _image(self, camera: View | None) -> Image:
        """Draw a view, or return it if nothing has changed since it was last drawn."""
        view, _ = self.camera(camera), self._sim  # closed is closed, drawn or not
        if view not in self._images:
            self._images[view] = self._drawer.draw(view)
        return self._images[view]


def _check_action(action: Any) -> np.ndarray:
    expected, hint = "(3,), finite numbers in [-1, 1]", "It moves the hand along x, y and z."
    numbers = as_float64(action, name="action", expected=expected, hint=hint)
    if numbers.shape != (3,):
        raise ValueError(complain("action", f"shape {numbers.shape}", expected, hint))
    check_finite(numbers, name="action", hint=f"Expected {expected}.")
    return np.array(action) if isinstance(action, np.ndarray) else numbers


gymnasium.register(id="kpbook/Push-v0", entry_point="kpbook.world.push.world:PushWorld")
