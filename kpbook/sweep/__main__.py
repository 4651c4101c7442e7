"""``python -m kpbook.sweep config.yml``: run what has not finished, and write the tables."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from kpbook._checks import check_integer, complain, require
from kpbook.sweep import kinds, plan, tables
from kpbook.sweep.work import run_apart

BACKENDS = ("loky", "ray")
_LIVES = 3  # times that the pool of processes may break before the sweep gives up
_PAUSE = 0.5  # seconds between two looks for outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sweep; return 0 if every job has finished, 1 if one crashed, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        jobs = plan.read(options.config)
        chosen = _chosen(jobs, options.only)
        out = options.out or _results() / options.config.stem
        todo = chosen if options.force else _unfinished(chosen, out)
        count = _processes(options.jobs, options.backend)
        if options.dry_run:
            return _list(chosen, todo)
        many = count if count > 0 else "as many as the cluster takes"
        print(f"{len(chosen)} jobs, {len(todo)} to do, {many} at a time", flush=True)
        for kind in dict.fromkeys(job.kind for job in todo):
            mine = [job for job in todo if job.kind == kind]
            kinds.of(kind).prepare(mine, out / ".work", max(1, count))
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        crashed = _run_all(jobs, todo, out, options.backend, count)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from the last checkpoints.", file=sys.stderr)
        return 130
    return _report(crashed, jobs, out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kpbook.sweep", description=__doc__)
    parser.add_argument("config", type=Path, help="a YAML file; see help(kpbook.sweep)")
    parser.add_argument("--out", type=Path, help="folder of records, weights and tables")
    parser.add_argument("--jobs", type=int, help="processes at a time; one a core without it")
    parser.add_argument("--backend", choices=BACKENDS, default="loky", help="this machine, or ray")
    parser.add_argument("--only", metavar="PATTERN", help="jobs or runs of this name; * and ? fit")
    parser.add_argument("--force", action="store_true", help="run finished jobs again, too")
    parser.add_argument("--dry-run", action="store_true", help="list the jobs and run nothing")
    return parser


def _chosen(jobs: list[plan.Job], only: str | None) -> list[plan.Job]:
    if only is None:
        return jobs
    match = fnmatch.fnmatchcase
    chosen = [job for job in jobs if match(job.name, only) or match(job.run, only)]
    if not chosen:
        names = ", ".join(dict.fromkeys(job.run for job in jobs))
        raise ValueError(complain("--only", repr(only), f"a pattern of some of: {names}"))
    return chosen


def _unfinished(jobs: list[plan.Job], out: Path) -> list[plan.Job]:
    for job in jobs:
        job.check_same(out)
    return [job for job in jobs if not job.finished(out)]


def _list(jobs: list[plan.Job], todo: list[plan.Job]) -> int:
    for job in jobs:
        print(f"{job.name:<40} {'to do' if job in todo else 'finished'}")
    return 0


def _processes(asked: int | None, backend: str) -> int:
    joblib = require("joblib", extra="sweep", purpose="running jobs side by side")
    if asked is None:
        # joblib's -1 stands for all that a cluster has.
        return -1 if backend == "ray" else int(joblib.cpu_count(only_physical_cores=True))
    return check_integer(asked, name="--jobs", minimum=1)


def _results() -> Path:
    """The folder that the book reads, seen from the checkout, or one of the caller's own."""
    return Path("book/results") if Path("book").is_dir() else Path("results")


def _run_all(
    jobs: list[plan.Job], todo: list[plan.Job], out: Path, backend: str, count: int
) -> dict[str, str]:
    """Run jobs, whatever happens to the pool; return the last words of those that crashed."""
    joblib = require("joblib", extra="sweep", purpose="running jobs side by side")
    loky = require("joblib.externals.loky.process_executor", extra="sweep", purpose="the pool")
    if backend == "ray":
        _start_ray()
    with Reporter(jobs, todo, out) as reporter:
        for _ in range(_LIVES):
            left = [job for job in todo if job.name not in reporter.ended]
            pool = joblib.Parallel(n_jobs=count, backend=backend, batch_size=1)
            try:
                pool(joblib.delayed(run_apart)(job, out.resolve(), os.getpid()) for job in left)
                break
            except loky.TerminatedWorkerError as error:
                # Somebody killed a process that minds a job: go on with what has not ended.
                first = str(error).splitlines()[0]
                print(f"The pool broke; begun anew. {first}", file=sys.stderr, flush=True)
                reporter.look()
    lost = {job.name: "the pool broke each time" for job in todo if job.name not in reporter.ended}
    return {name: words for name, words in reporter.ended.items() if words} | lost


def _start_ray() -> None:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # ray's own, 15, starves on a shared machine
    ray = require("ray", extra="sweep", purpose="--backend ray")
    require("ray.util.joblib", extra="sweep", purpose="--backend ray").register_ray()
    if ray.is_initialized():
        return
    try:
        ray.init(log_to_driver=False, logging_level="ERROR")
    except Exception:  # a busy machine: its node gets 30 s to start, and has often started late
        ray.shutdown()
        ray.init(log_to_driver=False, logging_level="ERROR")


class Reporter:
    """Tells of each job as it ends, and keeps the tables up to date.

    It looks for the outcomes in the folder: of joblib's backends some, ray's among them, return
    nothing before the last job has ended.

    Attributes:
        ended: Name -> last words, empty for a job that finished.
    """

    def __init__(self, jobs: list[plan.Job], todo: list[plan.Job], out: Path) -> None:
        self.ended: dict[str, str] = {}
        self._jobs, self._todo, self._out = jobs, todo, out
        self._start, self._stop = time.monotonic(), threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Reporter:
        for job in self._todo:
            job.outcome(self._out).unlink(missing_ok=True)  # of an earlier sweep
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.look()

    def _watch(self) -> None:
        while not self._stop.wait(_PAUSE):
            self.look()

    def look(self) -> None:
        """Report the jobs that have ended since the last look."""
        with self._lock:
            for job in self._todo:
                if job.name not in self.ended and job.outcome(self._out).is_file():
                    self._tell(job)

    def _tell(self, job: plan.Job) -> None:
        words = self.ended[job.name] = job.outcome(self._out).read_text(encoding="utf-8")
        job.outcome(self._out).unlink()
        head = f"[{len(self.ended)}/{len(self._todo)}] {job.name:<24}"
        record = job.finished(self._out)
        if words or record is None:
            print(f"{head} CRASHED: {words.splitlines()[-1]}", flush=True)
            return
        minutes = (time.monotonic() - self._start) / 60
        print(f"{head} {tables.summary(record)}  ({minutes:.1f} minutes so far)", flush=True)
        tables.write(self._jobs, self._out)


def _report(crashed: dict[str, str], jobs: list[plan.Job], out: Path) -> int:
    # Also when nothing was left to do: records may have come from another machine.
    written = tables.write(jobs, out)
    for name, words in crashed.items():
        print(f"\n{name} crashed: {words}", file=sys.stderr)
    if crashed:
        print(f"\n{len(crashed)} job(s) crashed; the same command tries again.", file=sys.stderr)
    paths = f"Tables: {out / 'runs.csv'}, {out / 'curves.csv'}"
    print(paths if written else "No job has finished, so there are no tables.")
    return 1 if crashed else 0


if __name__ == "__main__":
    sys.exit(main())
