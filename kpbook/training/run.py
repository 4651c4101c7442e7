"""The state of one training run: a step forward, a copy of everything, and back to it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kpbook._checks import complain
from kpbook.episodes import Episodes
from kpbook.training.checkpoints import State
from kpbook.training.settings import LABELS, digest
from kpbook.training.validation import finite, scalars, to_device

SCHEDULES = ("constant", "one-cycle")
_CAUSES = (
    "Usual causes: a learning rate that is too high ({rate:g} here); a square root, a logarithm "
    "or a division at 0 in the loss; images outside [0, 1]."
)
_TIMES = ("seconds", "cpu_seconds", "train_seconds", "train_cpu_seconds")


def rate(schedule: str, step: int, steps: int) -> tuple[float, float]:
    """Return the share of the learning rate, and Adam's first beta, for ``step`` of ``steps``.

    "one-cycle" is that of ``torch.optim.lr_scheduler.OneCycleLR`` with its defaults: up from 1/25
    over the first 30 % of the steps and down to 4e-6, each along half a cosine, while beta goes
    from 0.95 to 0.85 and back. As a function of the step alone, it has no state to restore.
    """
    if schedule == "constant":
        return 1.0, 0.9
    top, end = 0.3 * steps - 1, steps - 1
    if step <= top:
        t = step / top
        return _along_cosine(1 / 25, 1.0, t), _along_cosine(0.95, 0.85, t)
    t = (step - top) / (end - top)
    return _along_cosine(1.0, 4e-6, t), _along_cosine(0.85, 0.95, t)


class _Before(NamedTuple):
    """All that a step or a row changes beside the trained weights and Adam's moments."""

    others: dict[str, Tensor]  # running means, frozen weights; copies
    batches: Tensor
    torch: Tensor
    curve: list[dict[str, Any]]
    sums: dict[str, float]
    summed: int


def _along_cosine(start: float, end: float, t: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * t)) / 2


@dataclass
class Run:
    """An extractor on its way. ``advance`` is one step; ``snapshot`` and ``restore`` are exact.

    What an exception cuts off is undone by ``take_back``; only inside the optimiser's step, which
    changes weight after weight, there is no way back but to the last good state.

    Attributes:
        extractor: In training mode, on ``device``.
        episodes: Where ``extractor.batch`` draws from.
        device: Where the extractor is.
        settings: All that shapes the result, in plain types.
        began: Wall and CPU clock at the start: getting ready is part of what a run costs.
        began_as: Fingerprint of the extractor that was given.
        step: Steps taken.
        curve: Rows so far.
        good: The last state whose weights were finite.
    """

    extractor: Any
    episodes: Episodes
    device: torch.device
    settings: dict[str, Any]
    began: tuple[float, float]
    began_as: str = ""
    step: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_TIMES, 0.0))

    def __post_init__(self) -> None:
        named = self.extractor.named_parameters()
        self._weights = {name: p for name, p in named if p.requires_grad}
        if not self._weights:
            hint = "fit trains what requires a gradient."
            got = "one without trainable parameters"
            raise ValueError(complain("extractor", got, "at least one parameter", hint))
        # With a weight decay of 0 this is plain Adam, as in the paper.
        self._adam = torch.optim.AdamW(
            self._weights.values(),
            lr=self.settings["learning_rate"],
            weight_decay=self.settings["weight_decay"],
        )
        self.generator = torch.Generator().manual_seed(self.settings["seed"])
        self._sums: dict[str, float] = {}  # of the loss's parts, since the last row
        self._summed = 0
        self._wall, self._cpu = self.began
        self._before: _Before | None = None  # while something goes on that can be undone
        self._torn = False  # while weights are changed
        self.labels = digest(self.episodes, *LABELS, *sorted(self.episodes.extras))
        self.good = self.snapshot()

    # -- one step ----------------------------------------------------------------------------

    def advance(self) -> float:
        """Take one step and return its loss.

        Raises:
            FloatingPointError: If the loss is NaN or infinite; nothing is changed then.
        """
        wall, cpu = time.perf_counter(), time.process_time()
        self.begin()
        self._set_rate()
        batch = to_device(self.extractor.batch(self.episodes, self.generator), self.device)
        parts = self._loss(batch)
        values = scalars(parts)
        if not math.isfinite(values["loss"]):
            self._complain_of_loss(values)
        if not parts["loss"].requires_grad:
            hint = "A .detach(), .item() or no_grad cuts it off from the weights."
            got = "a 'loss' without gradient"
            raise ValueError(complain("extractor.loss", got, "one that leads to weights", hint))
        self._adam.zero_grad(set_to_none=True)
        parts["loss"].backward()
        self._torn = True
        self._adam.step()
        for part, value in values.items():
            self._sums[part] = self._sums.get(part, 0.0) + value
        self._summed += 1
        self.times["train_seconds"] += time.perf_counter() - wall
        self.times["train_cpu_seconds"] += time.process_time() - cpu
        self.step += 1
        self.end()
        return values["loss"]

    def _loss(self, batch: Any) -> Any:
        try:
            return self.extractor.loss(batch)
        except (ValueError, RuntimeError):  # a soft-argmax that looks at its scores, say
            self.check_weights()  # spoilt weights are the better explanation
            raise

    def _set_rate(self) -> None:
        schedule, steps = self.settings["schedule"], self.settings["steps"]
        share, beta = rate(schedule, self.step, steps)
        for group in self._adam.param_groups:
            group["lr"] = share * self.settings["learning_rate"]
            group["betas"] = (beta, 0.999)

    @property
    def row_is_due(self) -> bool:
        """Whether the curve lacks a row of the present step."""
        due = self.step % self.settings["every"] == 0 or self.step == self.settings["steps"]
        last = self.curve[-1]["step"] if self.curve else 0
        return due and last != self.step

    def add_row(self, more: Mapping[str, Any]) -> None:
        """Add to the curve: loss parts, averaged since the last row, and ``more``."""
        self.tick()
        images = self.step * self.settings["extractor"]["images_per_batch"]
        row = {"step": self.step, "images": images, **self.times}
        parts = {part: finite(total / self._summed) for part, total in self._sums.items()}
        taken = sorted(parts.keys() & {*row, *more})
        if taken:
            expected = "other names: these are columns of the curve"
            raise ValueError(complain("extractor.loss", f"parts {taken}", expected))
        self.curve = [*self.curve, row | parts | dict(more)]
        self._sums, self._summed = {}, 0

    # -- one that is cut off -----------------------------------------------------------------

    def begin(self) -> None:
        """Note what a step or a row may change before it is whole."""
        self._before = _Before(
            {
                n: t.clone()
                for n, t in self.extractor.state_dict().items()
                if n not in self._weights
            },
            self.generator.get_state(),
            torch.get_rng_state(),
            self.curve,
            dict(self._sums),
            self._summed,
        )

    def end(self) -> None:
        """It is whole."""
        self._before = None
        self._torn = False

    def take_back(self) -> bool:
        """Undo what has begun and not ended; the run goes on as if it had never begun.

        Returns:
            ``False`` if the optimiser was at work: the run is back at the good state then.
        """
        if self._torn:
            self.restore(self.good)
            return False
        if self._before is not None:
            before = self._before
            self.extractor.load_state_dict(before.others, strict=False)
            self.generator.set_state(before.batches)
            torch.set_rng_state(before.torch)
            self.curve, self._sums, self._summed = before.curve, before.sums, before.summed
            self.end()
        return True

    def tick(self) -> None:
        """Bring the total times up to date."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.times["seconds"] += wall - self._wall
        self.times["cpu_seconds"] += cpu - self._cpu
        self._wall, self._cpu = wall, cpu

    # -- there and back ----------------------------------------------------------------------

    def snapshot(self) -> State:
        """Copy everything that decides how the run goes on.

        Raises:
            FloatingPointError: If a weight is NaN or infinite: such a state is never kept.
        """
        self.check_weights()
        self.tick()
        tensors = {f"extractor/{n}": _copy(t) for n, t in self.extractor.state_dict().items()}
        for name, weight in self._weights.items():
            moments = self._adam.state.get(weight, {})
            tensors |= {f"adam/{name}/{key}": _copy(value) for key, value in moments.items()}
        tensors["generator/batches"] = self.generator.get_state()
        tensors["generator/torch"] = torch.get_rng_state()  # a network with dropout draws there
        notes = {
            "settings": self.settings,
            "began_as": self.began_as,
            "labels": self.labels,
            "step": self.step,
            "curve": self.curve,
            "times": dict(self.times),
            "sums": dict(self._sums),
            "summed": self._summed,
        }
        return State(tensors, notes)

    def keep(self) -> None:
        """Make the present state the good one."""
        notes = self.good.notes
        if (notes["step"], len(notes["curve"])) != (self.step, len(self.curve)):
            self.good = self.snapshot()

    def restore(self, state: State) -> None:
        """Go back to a state; the run continues from there bit for bit, on a CPU."""
        tensors, notes = state
        front = "extractor/"
        self.extractor.load_state_dict(
            {n.removeprefix(front): t for n, t in tensors.items() if n.startswith(front)}
        )
        self._adam.state.clear()
        for name, weight in self._weights.items():
            for key in ("step", "exp_avg", "exp_avg_sq"):
                saved = tensors.get(f"adam/{name}/{key}")
                if saved is not None:  # none before the first gradient
                    # Strides as Adam gives them, so that sums keep their order.
                    like = saved if key == "step" else torch.empty_like(weight)
                    self._adam.state[weight][key] = torch.empty_like(like).copy_(saved)
        self.generator.set_state(tensors["generator/batches"])
        torch.set_rng_state(tensors["generator/torch"])
        self.began_as = notes.get("began_as", self.began_as)
        self.step, self.curve = notes["step"], list(notes["curve"])
        self.times, self._sums = dict(notes["times"]), dict(notes["sums"])
        self._summed = notes["summed"]
        self.good = state
        self.end()

    # -- what went wrong ---------------------------------------------------------------------

    def check_weights(self) -> None:
        """Raise ``FloatingPointError`` if a weight or a moment of Adam is NaN or infinite."""
        bad = self._bad_weights()
        if bad:
            got = f"NaN or infinite values in {', '.join(bad)} after step {self.step}"
            raise FloatingPointError(complain("weights", got, "finite numbers", self._hint()))

    def _bad_weights(self) -> list[str]:
        bad = []
        for name, weight in self._weights.items():
            moments = self._adam.state.get(weight, {}).values()
            if not all(bool(torch.isfinite(t).all()) for t in (weight, *moments)):
                bad.append(name)
        return bad

    def _complain_of_loss(self, values: Mapping[str, float]) -> None:
        parts = ", ".join(f"{k!r}" for k, v in values.items() if not math.isfinite(v))
        got = f"{values['loss']} at step {self.step + 1} (not finite: {parts})"
        bad = self._bad_weights()
        since = f" The gradient of step {self.step} had already spoilt {', '.join(bad)}."
        hint = self._hint() + (since if bad else "")
        raise FloatingPointError(complain("loss", got, "a finite number", hint))

    def _hint(self) -> str:
        back = self.good.notes["step"] if hasattr(self, "good") else 0
        causes = _CAUSES.format(rate=self.settings["learning_rate"])
        return f"{causes} The extractor is back at its weights of step {back}."


def _copy(tensor: Tensor) -> Tensor:
    """On the CPU and contiguous, as safetensors asks; never a view of the original."""
    return tensor.detach().to("cpu", copy=True).contiguous()
