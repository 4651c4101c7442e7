"""``python -m kpbook.sweep config.yml``: run what has not finished, and write the tables."""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from kpbook import runs
from kpbook._checks import check_integer, complain, require
from kpbook.sweep import plan, tables
from kpbook.sweep.work import run_apart

BACKENDS = ("loky", "ray")
_LIVES = 3  # times that the pool of processes may break before the sweep gives up


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sweep; return 0 if every job has finished, 1 if one crashed, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        jobs = plan.read(options.config)
        chosen = _chosen(jobs, options.only)
        out = options.out or _results() / options.config.stem
        todo = chosen if options.force else _unfinished(chosen, out)
        count = _processes(options.jobs)
        if options.dry_run:
            return _list(chosen, todo)
        print(f"{len(chosen)} jobs, {len(todo)} to do, {count} at a time", flush=True)
        for job in {str(job.settings["data"]): job for job in todo}.values():
            plan.episodes_of(job.settings, out / ".work", count)  # recorded once, then read
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        crashed = _run_all(jobs, todo, out, options.backend, count)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from the last checkpoints.", file=sys.stderr)
        return 130
    return _report(crashed, out)


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


def _processes(asked: int | None) -> int:
    joblib = require("joblib", extra="sweep", purpose="running jobs side by side")
    if asked is None:
        return int(joblib.cpu_count(only_physical_cores=True))
    return check_integer(asked, name="--jobs", minimum=1)


def _results() -> Path:
    """The folder that the book reads, seen from the checkout, or one of the caller's own."""
    return Path("book/results") if Path("book").is_dir() else Path("results")


def _run_all(
    jobs: list[plan.Job], todo: list[plan.Job], out: Path, backend: str, count: int
) -> dict[str, str]:
    """Run jobs and tell of each as it ends; return the last words of those that crashed."""
    start, crashed, done = time.perf_counter(), {}, 0
    for name, words in _outcomes(todo, out, backend, count):
        done += 1
        head = f"[{done}/{len(todo)}] {time.perf_counter() - start:6.0f} s  {name:<24}"
        if words:
            crashed[name] = words
            print(f"{head} CRASHED: {words.splitlines()[-1]}", flush=True)
            continue
        print(f"{head} {tables.summary(runs.load(out / f'{name}.json'))}", flush=True)
        tables.write(jobs, out)
    return crashed


def _outcomes(
    todo: list[plan.Job], out: Path, backend: str, count: int
) -> Iterator[tuple[str, str]]:
    """Yield (name, last words) of every job as it ends, whatever happens to the pool."""
    joblib = require("joblib", extra="sweep", purpose="running jobs side by side")
    broken = require("joblib.externals.loky.process_executor", extra="sweep", purpose="the pool")
    if backend == "ray":
        require("ray.util.joblib", extra="sweep", purpose="--backend ray").register_ray()
    left = {job.name: job for job in todo}
    for _ in range(_LIVES):
        pool = joblib.Parallel(
            n_jobs=count, backend=backend, batch_size=1, return_as="generator_unordered"
        )
        calls = [joblib.delayed(run_apart)(job, out.resolve()) for job in left.values()]
        try:
            for name, words in pool(calls):
                del left[name]
                yield name, words
            return
        except broken.TerminatedWorkerError as error:
            reason = str(error)  # one that minds jobs was killed: begin anew with what is left
    for name in left:
        yield name, f"the pool broke {_LIVES} times: {reason}"


def _report(crashed: dict[str, str], out: Path) -> int:
    for name, words in crashed.items():
        print(f"\n{name} crashed: {words}", file=sys.stderr)
    if crashed:
        print(f"\n{len(crashed)} job(s) crashed; the same command tries again.", file=sys.stderr)
    print(f"Tables: {out / 'runs.csv'}, {out / 'curves.csv'}")
    return 1 if crashed else 0


if __name__ == "__main__":
    sys.exit(main())
