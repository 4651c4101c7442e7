"""Run the named parts of ``make test`` one after the other and say how long each took.

All parts run even if one fails, so one run shows everything that is wrong.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from changed import changed_files, chosen

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

PYTEST = [sys.executable, "-m", "pytest", "-q", "--durations=10"]
WORKERS = ["-n", "2", "--dist", "worksteal"]  # neighbours share what a module sets up
# nbval runs cells in kernels; our settings for warnings and doctests are for our own process.
NBVAL = [
    *["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300", "--dist", "loadfile"],
    *["-o", "addopts=", "-o", "filterwarnings=default", "-p", "no:cacheprovider"],
]

PARTS: dict[str, list[list[str]]] = {
    "lint": [
        [str(BIN / "ruff"), "format", "--check", "."],
        [str(BIN / "ruff"), "check", "."],
    ],
    "types": [[sys.executable, "-m", "mypy"]],
    "quick": [[*PYTEST, *WORKERS, "-m", "not slow and not site"]],
    "unit": [[*PYTEST, *WORKERS, "-m", "not site"]],
    "notebooks": [[*PYTEST, *WORKERS, *NBVAL, "book"]],
    "site": [[str(BIN / "jupyter-book"), "build", ".", "--all", "-W", "--keep-going", "-q"]],
    "browser": [
        [*PYTEST, *WORKERS, "-m", "site and not alone", "tests"],
        [*PYTEST, "-m", "alone", "tests"],
    ],
}

# Two notebooks or two test workers run at a time; one torch thread each fills two cores.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
NO_TESTS = 5  # pytest's exit status when nothing was collected


def narrowed(part: str, command: list[str], changed: set[str]) -> list[str] | None:
    """A command for what changed only; None where that leaves it nothing to do."""
    tests = chosen(changed)
    if tests is None or part in {"lint", "types", "site"}:
        return command
    if part == "notebooks":
        books = sorted(file for file in changed if file.endswith(".ipynb"))
        everything = any(file.startswith(("kpbook/", "book/exercises/")) for file in changed)
        return command if everything else [*command[:-1], *books] if books else None
    return [*(word for word in command if word != "tests"), *tests]


def run(part: str) -> tuple[float, bool]:
    """Run one part; return its seconds and whether it passed."""
    print(f"\n== {part} ".ljust(80, "="), flush=True)
    env = os.environ | (ONE_THREAD if part in {"quick", "unit", "notebooks"} else {})
    env["PATH"] = f"{BIN}{os.pathsep}{env.get('PATH', '')}"
    start = time.monotonic()
    good = True
    changed = changed_files() if os.environ.get("CHANGED") == "1" else None
    for command in PARTS[part]:
        chosen_command = command if changed is None else narrowed(part, command, changed)
        if chosen_command is None:
            continue
        status = subprocess.run(chosen_command, cwd=ROOT, env=env).returncode
        nothing = changed is not None or not any(ROOT.glob("book/*.ipynb"))
        good = good and (status == 0 or (status == NO_TESTS and nothing))
    return time.monotonic() - start, good


def main(parts: list[str]) -> int:
    """Run ``parts``; return 1 if any failed."""
    results = {part: run(part) for part in parts}
    print("\n" + "seconds".rjust(9) + "  part")
    for part, (seconds, good) in results.items():
        print(f"{seconds:9.1f}  {part:<10} {'passed' if good else 'FAILED'}")
    print(f"{sum(seconds for seconds, _ in results.values()):9.1f}  in all")
    return 0 if all(good for _, good in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
