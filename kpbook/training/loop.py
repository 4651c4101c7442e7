"""The loop: steps, validation, checkpoints, an end in good order whatever happens."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from kpbook import runs
from kpbook._checks import (
    check_choice,
    check_flag,
    check_integer,
    check_positive,
    check_range,
    check_scalar,
    check_seed,
    complain,
)
from kpbook.detect import check_episodes, check_fits
from kpbook.episodes import Episodes
from kpbook.extractors.base import move
from kpbook.training.checkpoints import Shelf, State, fingerprint
from kpbook.training.guards import Interrupts, own_randomness, warn
from kpbook.training.record import record_of, saved
from kpbook.training.run import SCHEDULES, Run
from kpbook.training.settings import (
    check_learner,
    describe,
    digest,
    label_of,
    plain,
)
from kpbook.training.validation import Validation

_POINTS = 20  # of the curve, if ``every`` is not given


@dataclass(frozen=True)
class Fit:
    """What :func:`fit` returns.

    Attributes:
        curve: One row per point. ``step``, ``images`` (seen so far); ``seconds`` and
            ``cpu_seconds`` (of everything), ``train_seconds`` and ``train_cpu_seconds`` (of the
            steps alone), summed over resumed runs; ``loss`` and its parts, averaged over the
            steps since the last row; with ``validate`` also ``validation/<part>``,
            ``error/<object>`` (squared distance, normalised units) and ``r2/<object>``. ``None``
            stands for a value that is not finite.
        record: The run record: the curve, with ``images_per_second`` and
            ``images_per_cpu_second`` (of the steps alone) in its last row.
        extractor: The one that was given, trained, in eval mode.
        stopped: ``None``, or ``"interrupted"`` if Ctrl-C ended the run before its last step.
    """

    curve: list[dict[str, Any]]
    record: runs.RunRecord
    extractor: Any
    stopped: str | None = None


def fit(
    extractor: nn.Module,
    episodes: Episodes,
    *,
    steps: int,
    seed: int = 0,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    schedule: str = "constant",
    validate: Episodes | None = None,
    seen_only: bool = False,
    every: int | None = None,
    folder: str | Path | None = None,
    name: str | None = None,
    resume: bool = True,
    checkpoint_every: float = 30.0,
    device: Any = None,
    progress: bool = True,
    config: Mapping[str, Any] | None = None,
) -> Fit:
    """Train an extractor with Adam (Cramer et al., 2024, use it at 1e-3 without a schedule).

    ``seed`` decides all batches. The initial weights are the caller's: with
    ``kpbook.extractors.registry.build(name, seed=...)`` the same machine, with the same number of
    threads, repeats a run bit for bit on a CPU. (``build`` does not look at ``torch.manual_seed``;
    a network of your own usually does.) A run that was killed and resumed is the same run, too, if
    all state of the extractor is in its ``state_dict``.

    Ctrl-C ends the step, writes a checkpoint if there is a folder, warns, and returns with
    ``stopped="interrupted"``: the extractor keeps what it has learned. Calling ``fit`` again with
    the same folder goes on. A second Ctrl-C, or a ``KeyboardInterrupt`` from elsewhere, does not
    wait for the step: what the step had done so far is undone. Inside the optimiser's step, where
    some weights are new and some old, the extractor goes back to the last row of the curve or
    checkpoint, and the warning says so.

    Args:
        extractor: A module that keeps the contract of :class:`kpbook.extractors.base.Learner`.
            If it has ``prepare(episodes)``, that is called first.
        episodes: To train on.
        steps: Of the optimiser, at least 1.
        seed: Of the batches.
        learning_rate: Of Adam; the peak of a one-cycle schedule.
        weight_decay: Decoupled, as in AdamW.
        schedule: "constant", or "one-cycle" (see :func:`kpbook.training.run.rate`).
        validate: Other episodes, with truth, to follow tracking on: the affine map is fitted on
            the first half of them and scored on the second.
        seen_only: Follow an object only in frames in which it is seen. A cube that is hidden is
            somewhere; a ball that has left the game is nowhere.
        every: Steps between rows of the curve; without it about 20 rows. The last step has one.
        folder: Where checkpoints and the run record (``<name>.json``, at the end) go.
        name: Of the run, also of its files; the extractor's and the seed without it.
        resume: Go on from a checkpoint in ``folder``. ``False`` deletes what it finds there.
        checkpoint_every: Seconds between checkpoints, at least 0, which is after every step.
        device: Where to train, such as "cuda"; where the extractor is without it.
        progress: Show a progress bar.
        config: Further settings for the run record, in plain types. A checkpoint of others is
            refused.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: If a number is out of range, a name unknown, the frames do not fit the
            extractor, or the checkpoint belongs to a run of other settings, or to a finished one
            that began with other weights.
        FloatingPointError: If the loss or a weight is NaN or infinite. The extractor, and the
            checkpoint, keep the last good weights.
    """
    began = time.perf_counter(), time.process_time()
    steps = check_integer(steps, name="steps", minimum=1)
    seed = check_seed(seed)
    every = max(1, round(steps / _POINTS)) if every is None else every
    every = check_integer(every, name="every", minimum=1, hint="Steps between rows of the curve.")
    learning_rate = check_scalar(learning_rate, name="learning_rate")
    weight_decay = check_scalar(weight_decay, name="weight_decay")
    checkpoint_every = check_scalar(checkpoint_every, name="checkpoint_every", hint="In seconds.")
    check_positive(learning_rate, name="learning_rate")
    check_range(weight_decay, 0, 1, name="weight_decay")
    check_range(checkpoint_every, 0, math.inf, name="checkpoint_every", hint="In seconds.")
    check_choice(schedule, SCHEDULES, name="schedule")
    flags = (("resume", resume), ("progress", progress), ("seen_only", seen_only))
    for option, flag in flags:
        check_flag(flag, name=option)
    check_learner(extractor)
    check_episodes(episodes)
    if hasattr(extractor, "image_size"):
        check_fits(extractor, episodes, name="episodes")
    label = label_of(extractor, seed, name)
    validation = None
    if validate is not None:
        validation = Validation(validate, extractor, episodes, seen_only)
    shelf = None if folder is None else Shelf(folder, label)
    place = move(extractor, device)
    options = {
        "steps": steps,
        "seed": seed,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "schedule": schedule,
        "every": every,
        "episodes": digest(episodes),
        "validate": None if validate is None else digest(validate),
        "config": plain(config or {}, name="config"),
        **({"seen_only": True} if seen_only else {}),  # older checkpoints do not say it
    }
    began_as = fingerprint(extractor.state_dict())  # before `prepare` changes it
    with own_randomness(seed, place), torch.enable_grad():
        try:
            batch = _prepare(extractor, episodes, validation)
            extractor.train()
            settings = {"extractor": describe(extractor, batch), **options}
            run = Run(extractor, episodes, place, settings, began, began_as)
            _resume(run, shelf, resume)
            stopped = _loop(run, validation, shelf, checkpoint_every, _bar(run, progress))
        finally:
            extractor.eval()
    record = record_of(run, label, stopped)
    if folder is not None and stopped is None:
        record = saved(record, Path(folder))
    return Fit(run.curve, record, extractor, stopped)


# -- the loop --------------------------------------------------------------------------------


def _loop(
    run: Run, validation: Validation | None, shelf: Shelf | None, pause: float, bar: Any
) -> str | None:
    """Take the steps that are left; return "interrupted" or ``None``."""
    steps, struck, torn = run.settings["steps"], False, 0
    with Interrupts() as interrupts, bar:
        try:
            try:
                _steps(run, validation, shelf, pause, bar, interrupts)
            except KeyboardInterrupt:  # in the middle of something
                struck, at = True, run.step + 1
                torn = 0 if run.take_back() else at
            run.keep()
        except FloatingPointError:
            run.restore(run.good)
            if shelf:
                shelf.put(run.good)
            raise
        finished = run.step == steps and not run.row_is_due
        if shelf and (struck or not finished):
            shelf.put(run.good)
    if finished:
        return None
    where, kept = f"after step {run.step}", "the extractor keeps what it has learned"
    if torn:
        where = f"inside the optimiser's step {torn}"
        kept = f"the extractor is back at its weights of step {run.step}"
    again = "Call fit again with the same arguments to go on." if shelf else (
        "With folder=... a later call could go on."
    )  # fmt: skip
    warn(f"Interrupted {where} of {steps}: {kept}. {again}")
    return "interrupted"


def _steps(
    run: Run,
    validation: Validation | None,
    shelf: Shelf | None,
    pause: float,
    bar: Any,
    interrupts: Interrupts,
) -> None:
    """Take steps to the last one, or to the first Ctrl-C."""
    written = time.monotonic()
    if run.row_is_due:  # an interrupt held it up
        _add_row(run, validation)
        if shelf:
            shelf.put(run.good)
    while run.step < run.settings["steps"] and not interrupts.asked:
        loss = run.advance()
        if run.row_is_due:
            _add_row(run, validation)
        last = run.step == run.settings["steps"]
        if shelf and (last or time.monotonic() - written >= pause):
            run.keep()
            shelf.put(run.good)
            written = time.monotonic()
        _show(bar, run, loss)


def _add_row(run: Run, validation: Validation | None) -> None:
    """Add a row to the curve; one that is cut off can be taken back."""
    run.check_weights()
    run.begin()
    run.add_row(validation.row(run.extractor, run.device) if validation else {})
    run.end()
    run.keep()


def _resume(run: Run, shelf: Shelf | None, resume: bool) -> None:
    if shelf is None:
        return
    if not resume:
        shelf.clear()
        return
    found = shelf.newest(run.settings)
    if found is not None:
        if found.notes.get("labels", run.labels) != run.labels:
            got = f"other actions, flags or extras than those of the run in {shelf.folder}"
            hint = "Name another folder to keep both; resume=False begins anew."
            raise ValueError(complain("episodes", got, "that run's recording", hint))
        _check_began(found, run.began_as, shelf.folder)
        spent = run.times  # on getting ready, just now
        run.restore(found)
        run.times = {key: run.times[key] + spent[key] for key in spent}


def _check_began(found: State, began_as: str, folder: Path) -> None:
    """Ask whether a checkpoint is of the extractor that was given.

    It is if the extractor has the weights that the run began with, or those of the checkpoint: of
    a call before. A run that is whole is refused else; one that is not may come from a network
    that is built from other random numbers each time, and goes on.
    """
    front = "extractor/"
    now = {n.removeprefix(front): t for n, t in found.tensors.items() if n.startswith(front)}
    if found.notes.get("began_as", began_as) == began_as or fingerprint(now) == began_as:
        return
    got = f"a checkpoint in {folder} of a run that began with other weights"
    rows = found.notes["curve"]
    if not rows or rows[-1]["step"] < found.notes["settings"]["steps"]:
        warn(f"extractor: {got}. That run goes on; resume=False begins anew with these weights.")
        return
    hint = "Give each run a name or a folder of its own; resume=False deletes the old one."
    raise ValueError(complain("extractor", got, "the weights of that run", hint))


def _prepare(extractor: Any, episodes: Episodes, validation: Validation | None) -> Any:
    """Run the extractor's hook, and draw from both recordings before anything is written.

    Returns:
        A batch, which the run will not see.
    """
    if hasattr(extractor, "prepare"):
        extractor.prepare(episodes)
    batch = extractor.batch(episodes, torch.Generator().manual_seed(0))
    if validation:
        validation.first_batch(extractor)
    return batch


# -- what is shown -----------------------------------------------------------------------------


def _bar(run: Run, progress: bool) -> Any:
    steps = run.settings["steps"]
    return tqdm(total=steps, initial=run.step, unit="step", disable=not progress)


def _show(bar: Any, run: Run, loss: float) -> None:
    row = run.curve[-1] if run.curve else {}
    scores = {
        key: f"{value:.2f}"
        for key, value in row.items()
        if key.startswith("r2/") and value is not None
    }
    bar.set_postfix({"loss": f"{loss:.3g}"} | scores, refresh=False)
    bar.update()
