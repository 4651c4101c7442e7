"""What an agent sees, what it is rewarded for, and how long it acts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from kpbook._checks import check_choice, check_flag, check_integer, check_positive, complain

STATES = ("full", "true", "true-image", "keypoints")
REWARDS = ("simulator", "true", "keypoints")
POINTS = ("objects", "all")
HIDDEN = ("found", "held", "carried")


@dataclass(frozen=True)
class Options:
    """What an agent sees, what it is rewarded for, and how long it acts.

    Attributes:
        state: ``"full"``, panda-gym's 18 numbers; ``"true"``, the true points on the table,
            metres; ``"true-image"``, the true points in the image; ``"keypoints"``.
        hand: Whether position and velocity of the hand, metres and metres a second, are measured:
            the paper's ``s_ext``; without them, its ``s``. Part of the full state.
        points: ``"objects"``, a point each for cube, target and hand; ``"all"``, every keypoint as
            it is, in image coordinates. Of the true points, all are those three.
        relative: Add the cube's place relative to the hand's. (The goal's relative to the cube's
            is :func:`policy_input`'s.) Not with all points.
        velocity: Add how far each point moved since the last observation; 0 at first.
        hidden: What becomes of a keypoint while its heat map is wider than
            :attr:`kpbook.control.places.Fit.spread`: the object is hidden then, or the network in
            doubt. ``"found"``: it is where the network says. ``"held"``: it stays where it last
            was sure. ``"carried"``: so do target and hand, but the cube goes where the hand goes
            while that is within 6 cm: what hides a cube often pushes it. (A hand that passes high
            above one carries it wrongly.) What is found
            first in an episode is taken in any case.
        reward: 0 if the cube is within 5 cm of the goal, else -1, by the ``"simulator"`` (in
            space), by the ``"true"`` points (on the table) or by the ``"keypoints"``.
        unit_m: Metres that a policy reads as 1: places on the table, and differences of them, are
            divided by it (:func:`policy_input`). Networks learn faster from numbers about 1.
        repeat: Simulator steps that an action lasts.
        steps: Simulator steps of an episode, a multiple of ``repeat``.
        ends: Whether an episode ends when the goal is met, as panda-gym's do. Where it goes on,
            the agent sees the cube at its goal, and every goal that HER exchanges means the same:
            come here and stay. (Where it ends, the real goal means: touch it.)

    Raises:
        TypeError: If an option is of another kind.
        ValueError: If an option is unknown, or two of them do not go together.
    """

    state: str = "true"
    hand: bool = True
    points: str = "objects"
    relative: bool = True
    velocity: bool = False
    hidden: str = "found"
    reward: str = "simulator"
    unit_m: float = 0.2
    repeat: int = 2
    steps: int = 50
    ends: bool = False

    def __post_init__(self) -> None:
        check_choice(self.state, STATES, name="state")
        check_choice(self.points, POINTS, name="points")
        check_choice(self.reward, REWARDS, name="reward")
        check_choice(self.hidden, HIDDEN, name="hidden")
        for name in ("hand", "relative", "velocity", "ends"):
            check_flag(getattr(self, name), name=name)
        check_positive(self.unit_m, name="unit_m", hint="In metres.")
        check_integer(self.repeat, name="repeat", minimum=1)
        check_integer(self.steps, name="steps", minimum=1)
        if self.steps % self.repeat:
            got = f"{self.steps} steps with actions of {self.repeat}"
            raise ValueError(complain("steps", got, "a multiple of repeat"))
        for off, got, expected in (
            (self.state == "full" and not self.hand, "hand=False", "True: the full state has it"),
            (
                self.hidden != "found" and not self.mapped,
                f"hidden={self.hidden!r}",
                "'found' without keypoints of objects",
            ),
            (self.points == "all" and self.relative, "relative=True", "False with points='all'"),
            (self.points == "all" and self.state == "full", "points='all'", "'objects' with full"),
            (
                self.reward == "keypoints" and not self.mapped,
                "reward='keypoints'",
                "another reward without state='keypoints' and points='objects'",
            ),
        ):
            if off:
                raise ValueError(complain("options", got, expected))

    @property
    def mapped(self) -> bool:
        """Whether keypoints are mapped to the table, by a :class:`~kpbook.control.places.Fit`."""
        return self.state == "keypoints" and self.points == "objects"

    @property
    def goals(self) -> bool:
        """Whether goals hold a place as seen: those HER can exchange."""
        return self.points == "objects"

    def plain(self) -> dict[str, Any]:
        """The options by name."""
        return asdict(self)
