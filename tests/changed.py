"""What ``make test CHANGED=1`` runs: the tests that name what differs from ``main``.

A quick first answer, not the proof: a test that reaches a module only through another one is left
to ``make test``. Whatever this cannot judge, such as a setting, chooses all tests.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALWAYS = "tests/test_house.py"
PROSE = {".md", ".txt", ".cff"}  # only the house and the site see a change of these


def changed_files(root: Path = ROOT) -> set[str]:
    """Files that differ from ``main`` on the origin, or else from the last commit."""

    def git(*args: str) -> list[str]:
        done = subprocess.run(["git", *args], cwd=root, capture_output=True, text=True)
        return done.stdout.splitlines() if done.returncode == 0 else []

    base = (git("merge-base", "HEAD", "origin/main") or ["HEAD"])[0]
    return {*git("diff", "--name-only", base), *git("ls-files", "--others", "--exclude-standard")}


def named(file: str) -> str | None:
    """A pattern of the names under which tests know a file, None if any test may depend on it."""
    path = Path(file)
    if path.suffix == ".ipynb":
        return rf"{path.stem}\b|test_chapter_{path.stem[:2]}\b"
    if path.suffix == ".mjs":
        return "|".join(
            rf"\b(test_)?{word}\b" for word in (path.stem, path.stem.rpartition("_")[0]) if word
        )
    if file.startswith("book/exercises/"):
        return rf"exercises\.{path.parent.name}\b|{path.parent.name}\.checks|_{path.parent.name}\b"
    if file.startswith("kpbook/") and path.suffix == ".py":
        part = path.parts[1].removesuffix(".py")
        return rf"kpbook\.{part}\b|from kpbook import .*\b{part}\b|kpbook/{part}\b"
    return None


def chosen(changed: set[str], root: Path = ROOT) -> list[str] | None:
    """Test files that name one of ``changed`` (paths from the root); None for all of them."""
    picked, patterns = {ALWAYS}, []
    for file in changed:
        path = Path(file)
        if re.match(r"tests/test_\w+\.py$", file):
            picked.add(file)
        elif file.startswith("tests/js/"):
            picked.add("tests/test_widgets.py")  # it runs them all
        elif file.startswith("tests/") and path.stem not in {"conftest", "parts"}:
            patterns.append(rf"\b{re.escape(path.stem)}\b")
        elif path.suffix not in PROSE:
            pattern = named(file)
            if pattern is None:
                return None
            patterns.append(pattern)
    tests = {path.relative_to(root).as_posix(): path for path in (root / "tests").glob("test_*.py")}
    for file, path in tests.items():
        text = f"{path.stem}\n{path.read_text(encoding='utf-8')}"
        if any(re.search(pattern, text) for pattern in patterns):
            picked.add(file)
    return sorted(picked & set(tests))
