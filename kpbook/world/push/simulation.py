"""The push task's scene: panda-gym's robot and task, rebuilt at will, in two looks.

The only file that imports pybullet and panda-gym; :mod:`kpbook.world.push.world` loads it when a
world is made. Physics is panda-gym's own. What is drawn differs: the target is the opaque blue
square of Cramer et al., and the robot's arm may be drawn with its collision meshes, which costs a
tenth.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pybullet
import pybullet_data
from panda_gym.envs.robots.panda import Panda
from panda_gym.envs.tasks.push import Push
from panda_gym.pybullet import PyBullet
from pybullet_utils.bullet_client import BulletClient

from kpbook._checks import check_choice
from kpbook.world.push.objects import Colours

# Grey of each link in the fast look. Collision meshes carry no colour, and one flat grey hides
# the hand. White arm and dark joints, as the original; the hand darker than it, to be told apart.
SHADES = {
    "panda_link0": 0.90,
    "panda_link1": 0.97,
    "panda_link2": 0.86,
    "panda_link3": 0.97,
    "panda_link4": 0.82,
    "panda_link5": 0.93,
    "panda_link6": 0.76,
    "panda_link7": 0.48,
    "panda_hand": 0.30,
    "panda_leftfinger": 0.12,
    "panda_rightfinger": 0.12,
}
HAND_LINKS = (8, 9, 10)  # pybullet's link indices of the hand and the two fingers
_ROBOT = "franka_panda/panda.urdf"
_BASE = np.array([-0.6, 0.0, 0.0])  # where panda-gym's push environment puts the robot
_TARGET_HALF = np.array([0.02, 0.02, 0.0002])  # 4 cm x 4 cm x 0.4 mm


class _Client(BulletClient):  # type: ignore[misc]
    """A client connected without options: with any, pybullet prints them on the screen."""

    def __init__(self) -> None:
        self._shapes: dict[int, int] = {}
        self._pid = os.getpid()
        self._client = pybullet.connect(pybullet.DIRECT)


class Simulation(PyBullet):  # type: ignore[misc]  # panda-gym ships no types
    """panda-gym's wrapper of pybullet, without a window; loads the robot from a given file."""

    def __init__(self, robot_file: str) -> None:
        self.render_mode = "rgb_array"
        self.connection_mode = pybullet.DIRECT
        self.physics_client = _Client()
        self.n_substeps = 20
        self.timestep = 1.0 / 500
        self.robot_file = robot_file
        self._bodies_idx: dict[str, int] = {}

    def clear(self) -> None:
        """Empty the world, caches of contacts included: only this makes a reset repeatable."""
        self.physics_client.resetSimulation()
        self.physics_client.setTimeStep(self.timestep)
        self.physics_client.setGravity(0, 0, -9.81)
        self.physics_client.setAdditionalSearchPath(pybullet_data.getDataPath())
        self._bodies_idx.clear()

    def loadURDF(self, body_name: str, **kwargs: Any) -> None:
        """Load the robot from our file; the name is the base class's."""
        super().loadURDF(body_name, **{**kwargs, "fileName": self.robot_file})

    def has(self, name: str) -> bool:
        """Say whether there is a body of that name."""
        return name in self._bodies_idx

    def body(self, name: str) -> int:
        """Return pybullet's index of a body."""
        return self._bodies_idx[name]


def create_room(sim: PyBullet) -> None:
    """Make floor and table as panda-gym's push task does: all that never moves."""
    sim.create_plane(z_offset=-0.4)
    sim.create_table(length=1.1, width=0.7, height=0.4, x_offset=-0.3)


class FlatTargetPush(Push):  # type: ignore[misc]
    """panda-gym's push task with the paper's target, opaque, flat, on the table; or two cubes."""

    def __init__(self, sim: PyBullet, reward: str, colours: Colours) -> None:
        self.colours = colours
        super().__init__(sim, reward_type=reward)

    def _create_scene(self) -> None:
        create_room(self.sim)
        self._create_cube("object", "cube")
        self.sim.create_box(
            body_name="target",
            half_extents=_TARGET_HALF,
            mass=0.0,
            ghost=True,
            position=np.zeros(3),
            rgba_color=np.array([*self.colours["target"], 1.0]),
        )
        if "second_cube" in self.colours:  # last: the others' bodies stay as they are without it
            self._create_cube("second_cube", "second_cube")

    def _create_cube(self, body: str, name: str) -> None:
        self.sim.create_box(
            body_name=body,
            half_extents=np.ones(3) * self.object_size / 2,
            mass=1.0,
            position=np.array([0.0, 0.0, self.object_size / 2]),
            rgba_color=np.array([*self.colours[name], 1.0]),
        )

    def reset(self) -> None:
        """Draw goal and cube as panda-gym does; the goal stays at z = 0.02, its body lies at 0."""
        super().reset()
        self.place(self.get_achieved_goal()[:2], self.goal[:2])

    def place(self, cube: np.ndarray, target: np.ndarray) -> None:
        """Put cube and target at ``(x, y)`` on the table, metres."""
        self.goal = np.array([*target, self.object_size / 2])
        upright = np.array([0.0, 0.0, 0.0, 1.0])
        self.sim.set_base_pose("target", np.array([*target, 0.0]), upright)
        self.sim.set_base_pose("object", np.array([*cube, self.object_size / 2]), upright)

    def place_second(self, cube: np.ndarray) -> None:
        """Put the second cube at ``(x, y)`` on the table, metres."""
        position, upright = np.array([*cube, self.object_size / 2]), np.array([0.0, 0.0, 0.0, 1.0])
        self.sim.set_base_pose("second_cube", position, upright)


def build(
    sim: Simulation, reward: str, draw_room: bool, colours: Colours
) -> tuple[Panda, FlatTargetPush]:
    """Empty the simulation and make robot and task anew, in panda-gym's order."""
    sim.clear()
    robot = Panda(sim, block_gripper=True, base_position=_BASE)
    task = FlatTargetPush(sim, reward, colours)
    if not draw_room:
        for name in ("plane", "table"):  # without opacity the CPU renderer skips a body
            sim.physics_client.changeVisualShape(sim.body(name), -1, rgbaColor=[1, 1, 1, 0])
    return robot, task


def link_position(sim: Simulation, link: str) -> np.ndarray:
    """Return where the origin of one of the robot's links is drawn, ``(3,)`` metres.

    pybullet's own answer is one physics step old (up to 3 mm), and asking it to recompute changes
    the state that the next action starts from. So the chain of joints is multiplied out here.
    """
    states = sim.physics_client.getJointStates(sim.body("panda"), range(7))
    angles = iter([state[0] for state in states])
    X = np.eye(4)
    X[:3, 3] = _BASE
    for origin, turns in _chain(link):
        X = X @ origin
        if turns:
            angle = next(angles)
            s, c = np.sin(angle), np.cos(angle)
            X[:3, :2] = X[:3, :2] @ np.array([[c, -s], [s, c]])
    return X[:3, 3]


@functools.cache
def _chain(link: str) -> list[tuple[np.ndarray, bool]]:
    """The joints from base to a link: pose in the parent link, and whether it turns.

    Every turning joint of the arm turns about its own z axis.
    """
    joints = _joints()
    check_choice(link, joints, name="link")
    chain = []
    while link in joints:
        link, origin, turns = joints[link]
        chain.append((origin, turns))
    return chain[::-1]


@functools.cache
def _joints() -> dict[str, tuple[str, np.ndarray, bool]]:
    """Link -> its parent, its pose in it, and whether the joint between them turns."""
    joints: dict[str, tuple[str, np.ndarray, bool]] = {}
    tree = ElementTree.parse(Path(pybullet_data.getDataPath()) / _ROBOT)
    for joint in tree.getroot().iter("joint"):
        ends = {part.tag: part.get("link", "") for part in joint if part.tag in ("parent", "child")}
        place = next(joint.iter("origin"))
        roll_pitch_yaw, xyz = (
            np.array(place.get(key, "").split(), dtype=np.float64) for key in ("rpy", "xyz")
        )
        origin = np.eye(4)
        quaternion = pybullet.getQuaternionFromEuler(roll_pitch_yaw.tolist())
        origin[:3, :3] = np.reshape(pybullet.getMatrixFromQuaternion(quaternion), (3, 3))
        origin[:3, 3] = xyz
        joints[ends["child"]] = ends["parent"], origin, joint.get("type") == "revolute"
    return joints


def robot_file(look: str) -> str:
    """Return the path of the robot's description for a look."""
    return _ROBOT if look == "full" else _fast_robot_file()


@functools.cache
def _fast_robot_file() -> str:
    """Write the robot with collision meshes to draw and a grey per link; physics untouched.

    The file lives in a temporary folder of its own: pybullet caches a file's content by name.
    """
    data = Path(pybullet_data.getDataPath()) / "franka_panda"
    tree = ElementTree.parse(data / "panda.urdf")
    for link in tree.getroot().iter("link"):
        name = link.get("name", "")
        for kind in ("visual", "collision"):
            part = link.find(kind)
            mesh = None if part is None else part.find("geometry/mesh")
            if part is None or mesh is None:
                continue
            file = mesh.get("filename", "").rsplit("/", 1)[-1]
            mesh.set("filename", str(data / "meshes" / "collision" / file))
            if kind == "visual":
                for material in part.findall("material"):
                    part.remove(material)
                material = ElementTree.SubElement(part, "material", name=f"shade_of_{name}")
                shade = SHADES[name]
                ElementTree.SubElement(material, "color", rgba=f"{shade} {shade} {shade} 1")
    folder = tempfile.mkdtemp(prefix="kpbook-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "panda.urdf"
    tree.write(path)
    return str(path)
