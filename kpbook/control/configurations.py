"""Settings of SAC: those of the paper, and ours that learn on one CPU core in minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from kpbook._checks import (
    check_choice,
    check_integer,
    check_positive,
    check_range,
    complain,
)
from kpbook.control.options import Options


@dataclass(frozen=True)
class Configuration:
    """How SAC learns (Haarnoja et al., 2018), with or without HER.

    Attributes:
        options: What is seen, unless a run says otherwise.
        width: Units of each of the two hidden layers of actor and critics.
        learning_rate: Of Adam, for actor, critics and entropy coefficient.
        gamma: Discount of an action (not of a simulator step).
        tau: Share of the critics that their targets take over after an update.
        batch_size: Transitions of an update.
        updates: Per simulator step.
        envs: Worlds in lockstep.
        warm_up: Simulator steps of random actions before the first update.
        buffer: Most transitions that are kept.
        her: Exchanged goals per real one, from the future of the same episode; 0: no HER.

    Raises:
        TypeError: If a setting is of another kind.
        ValueError: If a number is out of range, or two do not go together.
    """

    options: Options
    width: int
    learning_rate: float
    gamma: float
    tau: float
    batch_size: int
    updates: float
    envs: int
    warm_up: int
    buffer: int
    her: int

    def __post_init__(self) -> None:
        for name in ("width", "batch_size", "envs", "buffer"):
            check_integer(getattr(self, name), name=name, minimum=1)
        for name in ("her", "warm_up"):
            check_integer(getattr(self, name), name=name, minimum=0)
        for name in ("learning_rate", "tau", "updates"):
            check_positive(getattr(self, name), name=name)
        for name in ("gamma", "tau"):
            check_range(getattr(self, name), 0, 1, name=name)
        each = self.updates * self.options.repeat * self.envs
        if each < 1 or each != round(each):
            got = f"{each:g} between two actions of all worlds"
            hint = "It is updates * repeat * envs."
            raise ValueError(complain("updates", got, "a whole number, at least 1", hint))
        if self.her and not self.options.goals:
            got = "HER with points='all'"
            hint = "No keypoint is known to be the cube's: there is no goal to exchange."
            raise ValueError(complain("her", got, "0, or points='objects'", hint))
        least = self.options.steps * self.envs
        if self.her and self.warm_up < least:
            hint = "HER exchanges goals of episodes that have ended."
            raise ValueError(
                complain("warm_up", self.warm_up, f"at least {least}, an episode each", hint)
            )

    @property
    def updates_each(self) -> int:
        """Updates between two actions of all worlds."""
        return round(self.updates * self.options.repeat * self.envs)

    def but(self, **changes: Any) -> Configuration:
        """The same with other settings; those of :class:`Options` by their names, too.

        Raises:
            TypeError: If a setting is of another kind.
            ValueError: If there is no such setting, or it makes no sense.
        """
        seeing = {field.name for field in fields(Options)}
        own = {field.name for field in fields(Configuration)} - {"options"}
        for change in changes:
            check_choice(change, sorted(seeing | own), name="setting")
        options = replace(self.options, **{k: v for k, v in changes.items() if k in seeing})
        return replace(self, options=options, **{k: v for k, v in changes.items() if k in own})

    def plain(self) -> dict[str, Any]:
        """All settings by name, those of the options among them."""
        flat = asdict(self)
        return {**flat.pop("options"), **flat}


#: ``"paper"``: the settings of Cramer et al. (2024), section 5.2 and its code: stable-baselines3's
#: SAC with a longer warm-up, without HER, every keypoint as state, 100 steps an episode.
#: ``"cpu"``: fewer and larger updates, actions that last two steps, relative places, episodes that
#: go on at the goal, and HER.
CONFIGURATIONS: Mapping[str, Configuration] = {
    "paper": Configuration(
        options=Options(points="all", relative=False, unit_m=1.0, repeat=1, steps=100, ends=True),
        width=256,
        learning_rate=3e-4,
        gamma=0.99,
        tau=0.005,
        batch_size=256,
        updates=1.0,
        envs=10,
        warm_up=100_000,
        buffer=1_000_000,
        her=0,
    ),
    "cpu": Configuration(
        options=Options(),
        width=128,
        learning_rate=1e-3,
        gamma=0.95,
        tau=0.02,
        batch_size=256,
        updates=0.25,
        envs=4,
        warm_up=1_000,
        buffer=1_000_000,
        her=4,
    ),
}


def configuration(name: str, **changes: Any) -> Configuration:
    """Return a named configuration, with changes.

    ``state="full"`` has no points; there the paper's ``points="all"`` is left out by itself.

    Raises:
        TypeError: If a setting is of another kind.
        ValueError: If the name or a setting is unknown, or a value makes no sense.
    """
    base = CONFIGURATIONS[check_choice(name, CONFIGURATIONS, name="configuration")]
    if changes.get("state") == "full":
        changes = {"points": "objects", **changes}
    return base.but(**changes)


def from_plain(settings: Mapping[str, Any]) -> Configuration:
    """Return the configuration whose :meth:`Configuration.plain` is ``settings``.

    Raises:
        TypeError: If a setting is missing, unknown or of another kind.
        ValueError: If a value makes no sense.
    """
    seeing = {field.name for field in fields(Options)}
    options = Options(**{k: v for k, v in settings.items() if k in seeing})
    return Configuration(options, **{k: v for k, v in settings.items() if k not in seeing})
