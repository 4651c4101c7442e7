"""One job, from episodes to run record, in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import torch

from kpbook._files import write_atomically
from kpbook.sweep import kinds
from kpbook.sweep.plan import Job

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
    """Train one job, or go on with it, and write its record, and what it keeps, into ``out``."""
    kinds.load(job.plugins)
    record, keep = kinds.of(job.kind).train(job, out)
    record = replace(
        record,
        name=job.name,
        command=job.command,
        config={**record.config, "settings": dict(job.settings), "digest": job.digest},
    )
    # Before and after what it keeps: there is never a record that belongs to others.
    (out / f"{job.name}.json").unlink(missing_ok=True)
    keep(record)
    record.save(out)  # last: it is what makes a job finished
    shutil.rmtree(job.work(out), ignore_errors=True)
