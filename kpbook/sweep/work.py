"""One job, from episodes to run record, in a process of its own."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from kpbook import training, zoo
from kpbook._files import write_atomically
from kpbook.detect import device_of, keypoints
from kpbook.episodes import Episodes
from kpbook.extractors import registry
from kpbook.extractors.base import Draws, offers
from kpbook.images import resize, to_float
from kpbook.judge import by_halves
from kpbook.sweep.plan import Job, episodes_of

_BATCH = 64
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_PATIENCE = 1.0  # seconds between two looks whether the sweep lives
_LAST_WORDS = 12  # lines of a crashed job's output that are shown


def run_apart(job: Job, out: Path, sweep: int) -> None:
    """Train one job in a process of its own, and leave its outcome in a file.

    The process reads the job from a pipe, and ends when the pipe's other end does: whatever
    kills this one, which minds it, or the sweep leaves nothing behind that still trains.

    Args:
        job: What to train.
        out: Folder of the sweep.
        sweep: Process id of the sweep.
    """
    log = out / ".work" / f"{job.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", "from kpbook.sweep.work import main; main()"]
    environment = os.environ | _ONE_THREAD | {"PYTHONFAULTHANDLER": "1"}
    line = json.dumps({"job": asdict(job), "out": str(out)}) + "\n"
    with log.open("wb") as sink:
        # A session of its own: Ctrl-C must not reach `fit`, which would keep half a run.
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        with child.stdin or sink as pipe:
            try:
                pipe.write(line.encode())
                pipe.flush()
            except BrokenPipeError:
                pass  # it died at once; its log says why
            code = _wait(child, sweep)
    good = code == 0 and job.finished(out) is not None
    words = "" if good else _last_words(code, log)
    write_atomically(job.outcome(out), words.encode())
    if good:
        log.unlink()


def _wait(child: subprocess.Popen[bytes], sweep: int) -> int:
    ours = os.getppid() == sweep  # not in the sweep's own process, nor in one of ray's
    while True:
        try:
            return child.wait(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            if ours and os.getppid() != sweep:  # it was killed, and joblib would not notice
                os._exit(1)


def _last_words(code: int, log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_LAST_WORDS:]
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    return "\n".join([how, *lines])


def main() -> None:
    """Read a job from standard input and train it; the body of the process."""
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    train(Job(**order["job"]), Path(order["out"]))


def _end_with_parent() -> None:
    sys.stdin.read()  # returns when the parent is gone
    os._exit(1)


def train(job: Job, out: Path) -> None:
    """Train one job, or go on with it, and write its record and weights into ``out``."""
    settings, work = job.settings, job.work(out)
    split = settings["split"]
    episodes = episodes_of(settings, out / ".work", workers=1)
    training_set, validation = episodes.split(
        (split["train"], split["validation"]), seed=split["seed"]
    )
    overrides = settings["overrides"]
    extractor = registry.build(settings["architecture"], seed=job.seed, **overrides)
    fit = training.fit(
        extractor,
        training_set,
        steps=settings["steps"],
        seed=job.seed,
        validate=validation,
        folder=work,
        name=job.name,
        progress=False,
        **settings["fit"],
    )
    if fit.stopped:
        raise SystemExit(f"{job.name} was {fit.stopped}; its checkpoint stays.")
    *rows, last = fit.record.results
    record = replace(
        fit.record,
        name=job.name,
        command=job.command,
        results=[*rows, {**last, **evaluate(fit.extractor, validation)}],
        config={**fit.record.config, "settings": dict(settings), "digest": job.digest},
    )
    # Before and after the weights: there is never one that belongs to others.
    (out / f"{job.name}.json").unlink(missing_ok=True)
    zoo.save(fit.extractor, out / f"{job.name}.safetensors", record)
    zoo.save(fit.extractor, job.encoder(out), record, encoder_only=True)
    record.save(out)  # last: it is what makes a job finished
    shutil.rmtree(work, ignore_errors=True)


def evaluate(extractor: Any, validation: Episodes, *, draws: bool = True) -> dict[str, Any]:
    """Score an extractor on the second half of the episodes; the map is fitted on the first.

    Args:
        extractor: From frames to keypoints, in eval mode.
        validation: Episodes with truth, at least 2.
        draws: Whether the extractor can draw. ``False`` for weights of an encoder alone.

    Returns:
        For each object ``error/<object>`` ([-1, 1]² units), ``r2/<object>`` and
        ``keypoint/<object>``, and ``reconstruction_error``, the mean squared error per colour
        value over all validation frames, at the size of the reconstruction, if it draws. A number
        that does not exist is ``None``.
    """
    result = by_halves(keypoints(extractor, validation), validation.flat())
    drawn = draws and offers(extractor, Draws)
    row: dict[str, Any] = {}
    if drawn:
        row["reconstruction_error"] = _reconstruction_error(extractor, validation)
    for k, name in enumerate(validation.objects):
        for part in ("error", "r2"):
            value = float(getattr(result, part)[k])
            row[f"{part}/{name}"] = value if math.isfinite(value) else None
        row[f"keypoint/{name}"] = int(result.keypoint[k])
    return row


@torch.no_grad()
def _reconstruction_error(extractor: Any, validation: Episodes) -> float:
    """Mean squared error per colour value over all frames."""
    frames, device = validation.flat().images, device_of(extractor)
    errors = []
    for start in range(0, len(frames), _BATCH):
        images = to_float(frames[start : start + _BATCH], device)
        drawn = extractor.reconstruct(images)
        target = resize(images, drawn.shape[-2:])
        errors.append((drawn - target).square().mean((1, 2, 3)).cpu())
    return float(torch.cat(errors).double().mean())
