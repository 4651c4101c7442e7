"""Write the repository's address and version, kept in pyproject.toml, to where they are repeated.

Run by ``make address``. ``tests/test_house.py`` uses the same functions to see that every copy is
up to date. Each chapter's first cell is a copy, too: in Colab it installs this very release. While
the address has no owner, whatever leads to it says that it is pending.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent

COLAB_CELL = """\
# In Colab only: fetch this release with its recorded results.
import sys

if "google.colab" in sys.modules:
    import os
    import subprocess

    tag = "{tag}"
    url = "{url}"
    folder = os.path.expanduser(f"~/kpbook-{{tag}}")
    if not os.path.isdir(folder):
        clone = ["git", "clone", "--quiet", "--depth", "1", "--branch", tag]
        subprocess.run([*clone, url, folder], check=True)
        install = [sys.executable, "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, f"{{folder}}[widgets]"], check=True)
    os.chdir(f"{{folder}}/book")
"""
COLAB_TAGS = ["colab", "remove-cell"]


def source(root: Path = ROOT) -> tuple[str, str]:
    """Address of the repository and version, as pyproject.toml has them."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"], project["version"]


def pending(url: str) -> str:
    """What is said beside a link to an address that has no owner yet; nothing once it has one."""
    return " (pending: the repository is not public yet)" if "/OWNER/" in url else ""


def say_pending(buttons: list[dict[str, Any]]) -> None:
    """Say at the theme's buttons which of them lead to an address without an owner."""
    for button in buttons:
        say_pending(button.get("buttons", []))
        said = pending(button.get("url") or "")
        if said:
            button["tooltip"] = f"{button['tooltip']}{said}"
            button["text"] = f"{button['text']} (pending)"


def colab_cell(url: str, version: str) -> dict[str, Any]:
    """First cell of a chapter, as notebook JSON."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": "colab",
        "metadata": {"jupyter": {"source_hidden": True}, "tags": COLAB_TAGS},
        "outputs": [],
        "source": COLAB_CELL.format(url=url, tag=f"v{version}").rstrip("\n").splitlines(True),
    }


def with_colab_cell(text: str, url: str, version: str) -> str:
    """Put the Colab cell first in a notebook, in place of an older one."""
    notebook = json.loads(text)
    cells = notebook["cells"]
    if cells and "colab" in cells[0]["metadata"].get("tags", []):
        cells = cells[1:]
    notebook["cells"] = [colab_cell(url, version), *cells]
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def up_to_date(path: Path, text: str, url: str, version: str) -> str:
    """Return the text of a file with its copies made new.

    Raises:
        ValueError: If the file has no place for a copy that it should hold.
    """
    if path.suffix == ".ipynb":
        return with_colab_cell(text, url, version)
    places = {
        "_config.yml": [
            (r"(?m)^  url: \S+", f"  url: {url}"),
            (r"(?m)^  branch: \S+", f"  branch: v{version}"),
        ],
        "CITATION.cff": [
            (r"(?m)^repository-code: .*", f'repository-code: "{url}"'),
            (r"(?m)^version: .*", f"version: {version}"),
        ],
        "README.md": [
            (r"(?m)^(Every chapter has a button for each).*", rf"\1{pending(url)}."),
            (r"(?m)^(The code is at) <.*", rf"\1 <{url}>{pending(url)}."),
        ],
        "__init__.py": [(r"(?m)^__version__ = .*", f'__version__ = "{version}"')],
    }
    for pattern, new in places[path.name]:
        text, count = re.subn(pattern, new, text)
        if count == 0:
            raise ValueError(f"{path.name}: no place that looks like {pattern}")
    return text


def files(root: Path = ROOT) -> list[Path]:
    """Every file that holds a copy."""
    named = ["_config.yml", "CITATION.cff", "README.md", "kpbook/__init__.py"]
    return [root / name for name in named] + sorted((root / "book").glob("*.ipynb"))


def main() -> None:
    """Write all copies; name the files that changed."""
    url, version = source()
    for path in files():
        old = path.read_text(encoding="utf-8")
        new = up_to_date(path, old, url, version)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: written")


if __name__ == "__main__":
    main()
