"""The house rules that a machine can hold: layers, notebooks, versions, words, sizes, commands."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import statistics
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import conftest
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = conftest.ROOT
sys.path.insert(0, str(ROOT / "book" / "_ext"))
import address  # noqa: E402 - lives beside the Sphinx extension
import clean_notebooks as hygiene  # noqa: E402

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def tracked() -> list[Path]:
    """Files that git tracks; in a copy without git, every file but what is built."""
    try:
        command = ["git", "ls-files", "-z"]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        names = [n for n in done.stdout.split("\0") if n]
    except (OSError, subprocess.CalledProcessError):
        built = {".git", ".venv", "_build", "node_modules", "__pycache__"}
        paths = (p.relative_to(ROOT) for p in ROOT.rglob("*") if p.is_file())
        names = [p.as_posix() for p in paths if not built & set(p.parts)]
    return [ROOT / n for n in names if (ROOT / n).is_file()]


# -- layers ------------------------------------------------------------------------------------

LAYERS = {
    "_arrays": 0, "_checks": 0, "_files": 0, "_store": 0, "_timing": 0, "tier": 0,
    "cores": 1, "grid": 1, "images": 1,
    "heatmaps": 2, "cameras": 2, "losses": 2, "metric": 2, "episodes": 2, "points": 2, "plot": 2,
    "runs": 2, "tables": 2, "recordings": 2, "claims": 2, "_flipbook": 2,
    "detect": 3, "judge": 3, "world": 3, "extractors": 3,
    "training": 4, "zoo": 4, "export": 4, "control": 4,
    "recorded": 5, "ledger": 5, "sweep": 5, "bench": 5, "_bench_learning": 5, "widgets": 5,
}  # fmt: skip
SHARED_EXTRACTOR_FILES = {"base", "blocks", "registry", "__init__"}


def modules() -> dict[str, Path]:
    """Dotted name of every module of the package -> its file."""
    found = {}
    for path in sorted((ROOT / "kpbook").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of ``known`` that a file imports anywhere, also inside functions."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *filter(None, [node.module])])
            submodules = {f"{base}.{alias.name}" for alias in node.names} & set(known)
            found |= submodules or {base}
            if any(f"{base}.{alias.name}" not in known for alias in node.names):
                found.add(base)
    return {f for f in found if f in known and f != name}


FRONT_DOOR = 2  # kpbook/__init__.py collects public names of layers 0 to 2


def layer(name: str) -> int:
    return FRONT_DOOR if name == "kpbook" else LAYERS[name.split(".")[1]]


def layer_faults(known: dict[str, Path]) -> list[str]:
    """One line per import that goes up, sideways between extractors, or into widgets."""
    faults = []
    for name, path in known.items():
        for target in imports(name, path, known):
            if layer(target) > layer(name):
                faults.append(f"{name} (layer {layer(name)}) imports {target} ({layer(target)})")
            here, there = name.split("."), target.split(".")
            both = here[1:2] == there[1:2] == ["extractors"] and len(here) == len(there) == 3
            if both and not {here[2], there[2]} & SHARED_EXTRACTOR_FILES:
                faults.append(f"{name} imports its sibling {target}")
            if there[1:2] == ["widgets"] and here[1:2] != ["widgets"]:
                faults.append(f"{name} imports {target}; nobody imports widgets")
    return faults


def test_every_module_has_a_layer() -> None:
    assert {n.split(".")[1] for n in modules() if n != "kpbook"} <= set(LAYERS)


def test_a_module_imports_only_from_its_own_or_a_lower_layer() -> None:
    assert layer_faults(modules()) == []


def test_the_layer_check_sees_an_import_that_goes_up(tmp_path: Path) -> None:
    """The check itself can fail: a grid that imports the playground, hidden in a function."""
    bad = tmp_path / "grid.py"
    bad.write_text("def f():\n    from kpbook.widgets import soft_argmax\n")
    known = modules() | {
        "kpbook.grid": bad,
        "kpbook.widgets": bad,
        "kpbook.widgets.soft_argmax": bad,
    }
    assert any(fault.startswith("kpbook.grid (layer 1)") for fault in layer_faults(known))


def test_imports_have_no_circle() -> None:
    known = modules()
    # A package's front door may collect its own files; it is a circle only with other modules.
    graph = {
        name: {
            t
            for t in imports(name, path, known)
            if name == "kpbook"
            or not (t.startswith(f"{name}.") or name.startswith(f"{t}."))
            or (t == "kpbook")
        }
        for name, path in known.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for target in sorted(graph.get(name, set())):
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_the_package_imports_neither_book_nor_tests() -> None:
    for name, path in modules().items():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?m)^\s*(from|import) (book|tests|conftest)\b", text), name


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = [
        "pybullet",
        "panda_gym",
        "gymnasium",
        "stable_baselines3",
        "ale_py",
        "matplotlib",
        "ipywidgets",
        "anywidget",
        "IPython",
    ]
    code = f"import sys, kpbook; print([m for m in {heavy} if m in sys.modules])"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_parts_load_at_their_first_use_and_others_do_not_exist() -> None:
    code = (
        "import kpbook; print(kpbook.episodes.Episodes.__name__, kpbook.tier.name())\nkpbook.tears"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    env = {**os.environ, "KPBOOK_TIER": "smoke"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=env)
    assert done.stdout.split() == ["Episodes", "smoke"]
    assert "AttributeError: module 'kpbook' has no attribute 'tears'" in done.stderr


def test_every_public_name_has_a_docstring() -> None:
    package = importlib.import_module("kpbook")
    assert package.__all__ == sorted(package.__all__)
    for name in package.__all__:
        assert inspect.getdoc(getattr(package, name)), name


# -- notebooks ---------------------------------------------------------------------------------


def read_notebook(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def code_cells(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (cell for cell in notebook["cells"] if cell["cell_type"] == "code")


@notebooks
def test_notebook_holds_text_outputs_only_where_nbval_compares_them(path: Path) -> None:
    notebook = read_notebook(path)
    assert "widgets" not in notebook["metadata"], "stored widget state: clear all outputs"
    for cell in code_cells(notebook):
        first = "".join(cell["source"])[:80]
        checked = "NBVAL_CHECK_OUTPUT" in "".join(cell["source"]) or "nbval-check-output" in cell[
            "metadata"
        ].get("tags", [])
        assert checked or not cell["outputs"], f"stored output of the cell {first!r}"
        ran = cell["execution_count"] is not None  # nbval asks for a number where it compares
        assert ran == bool(cell["outputs"]), f"execution count of the cell {first!r}"
        for output in cell["outputs"]:
            kinds = set(output.get("data", {"text/plain": ""}))
            assert kinds <= {"text/plain"}, f"{kinds} stored in the cell {first!r}"


@notebooks
def test_notebook_is_as_make_fix_leaves_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert json.loads(hygiene.cleaned(text)) == json.loads(text), "run `make fix`"


def test_cleaning_keeps_only_the_text_that_nbval_compares() -> None:
    def cell(source: str, output: dict[str, Any]) -> dict[str, Any]:
        base = {"cell_type": "code", "id": "a", "execution_count": 7}
        base["metadata"] = {"tags": ["run"]}
        return base | {"source": [source], "outputs": [output]}

    text = {"output_type": "stream", "name": "stdout", "text": ["1"]}
    picture = {"output_type": "display_data", "data": {"image/png": "", "text/plain": ""}}
    cells = [
        cell("# NBVAL_CHECK_OUTPUT", text),
        cell("print(1)", text),
        cell("# NBVAL_CHECK_OUTPUT", picture),
    ]
    before = {"cells": cells, "metadata": {"widgets": {}, "kernelspec": {"name": "python3"}}}
    after = json.loads(hygiene.cleaned(json.dumps(before)))
    assert [len(c["outputs"]) for c in after["cells"]] == [1, 0, 0]
    assert [c["execution_count"] for c in after["cells"]] == [1, None, None]
    assert "widgets" not in after["metadata"]


@pytest.mark.parametrize("tag", [*hygiene.FOLDED, *hygiene.SHOWN])
def test_a_tag_alone_decides_what_is_folded(tag: str) -> None:
    metadata = {"tags": [tag, "hide-input"], "jupyter": {"source_hidden": True}, "cellView": "form"}
    shown = {"cell_type": "code", "source": ["x = 1\n", "x"], "metadata": {"tags": [tag]}}
    titled = ["# @title Something else\n", "x = 1\n", "x"]
    hidden = {"cell_type": "code", "source": titled, "metadata": metadata}
    for cell in (shown, hidden):
        hygiene.fold(cell)
    if tag in hygiene.FOLDED:
        assert shown["source"] == [f"# @title {hygiene.FOLDED[tag]}\n", "x = 1\n", "x"]
        assert hidden["source"] == titled  # a title of one's own stays
        assert shown["metadata"] == hidden["metadata"] == metadata
    else:
        assert shown["source"] == hidden["source"] == ["x = 1\n", "x"]
        assert shown["metadata"] == hidden["metadata"] == {"tags": [tag]}


@pytest.mark.parametrize("tags", [[], ["hide-input"], ["taught", "claim"]])
def test_a_cell_without_one_role_is_named(tags: list[str]) -> None:
    with pytest.raises(ValueError, match=r"cell c7 has the tags .*, expected one of taught, run"):
        hygiene.role({"id": "c7", "metadata": {"tags": tags}})


@notebooks
def test_cells_are_short(path: Path) -> None:
    """What a reader sees at once, and what is one click away."""
    lengths: dict[bool, list[int]] = {True: [], False: []}
    for cell in code_cells(read_notebook(path)):
        if "colab" not in cell["metadata"]["tags"]:
            shown = hygiene.role(cell) in hygiene.SHOWN
            lengths[shown].append(len("".join(cell["source"]).splitlines()))
    assert max(lengths[True]) <= 30, lengths
    assert max(lengths[False]) <= 40, lengths
    if path.name[0].isdigit():
        assert statistics.median(lengths[True]) <= 10, lengths


@notebooks
def test_notebook_runs_in_the_kernel_of_the_environment(path: Path) -> None:
    assert read_notebook(path)["metadata"]["kernelspec"]["name"] == "python3"


def test_the_kernel_is_the_environments_own() -> None:
    manager = pytest.importorskip("jupyter_client.kernelspec").KernelSpecManager()
    spec = manager.get_kernel_spec("python3")
    command = Path(spec.argv[0])
    assert command.name in {"python", "python3"} or command == Path(sys.executable)
    assert not command.is_absolute() or command.resolve() == Path(sys.executable).resolve()


def test_every_chapter_is_in_the_table_of_contents() -> None:
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    missing = [p.stem for p in NOTEBOOKS if f"file: book/{p.stem}" not in toc]
    assert missing == []


# -- one source for address and version --------------------------------------------------------


@pytest.mark.parametrize("path", address.files(), ids=lambda p: p.name)
def test_copies_of_address_and_version_are_up_to_date(path: Path) -> None:
    """Also every chapter's first cell: in Colab it installs this release. `make address` writes."""
    text = path.read_text(encoding="utf-8")
    new = address.up_to_date(path, text, *address.source())
    if path.suffix == ".ipynb":
        assert json.loads(new) == json.loads(text), "run `make address`"
    else:
        assert new == text, "run `make address`"


def test_a_link_says_that_it_is_pending_until_the_address_has_an_owner() -> None:
    old, new = (f"https://github.com/{owner}/keypoints-for-control" for owner in ("OWNER", "me"))
    readme = address.up_to_date(
        ROOT / "README.md", (ROOT / "README.md").read_text(encoding="utf-8"), old, "0.1.0"
    )
    assert readme.count("(pending: ") == 2
    there = address.up_to_date(ROOT / "README.md", readme, new, "0.1.0")
    assert "pending" not in there
    assert address.up_to_date(ROOT / "README.md", there, old, "0.1.0") == readme
    for url, text in ((old, "Colab (pending)"), (f"{new}/issues", "Colab")):
        link = {"url": url, "tooltip": "Launch on Colab", "text": "Colab"}
        address.say_pending([{"buttons": [link]}, {"tooltip": "Full screen"}])
        assert link["text"] == text
        assert link["tooltip"].endswith("not public yet)") == (url == old)


def test_no_other_file_spells_out_another_address() -> None:
    url, _ = address.source()
    owner, name = url.removeprefix("https://github.com/").split("/")
    for path in tracked():
        if path.suffix in {".png", ".xz", ".kpe", ".npz", ".safetensors", ".json"}:
            continue
        for other in re.findall(rf"([\w.-]+)/{name}\b", path.read_text(encoding="utf-8")):
            assert other in {owner, "~", ".."}, f"{path.name} names {other}/{name}"


def test_colab_cell_does_nothing_outside_colab(tmp_path: Path) -> None:
    code = "".join(address.colab_cell(*address.source())["source"])
    check = code + "\nimport os; assert not os.listdir('.'), os.listdir('.')"
    subprocess.run([sys.executable, "-c", check], cwd=tmp_path, check=True)


def test_colab_cell_clones_the_tag_installs_it_and_goes_into_the_book(tmp_path: Path) -> None:
    """In a pretended Colab: which commands would run, and where does the notebook end up?"""
    url, version = address.source()
    code = "".join(address.colab_cell(url, version)["source"])
    pretend = f"""
import os, subprocess, sys, types
sys.modules["google.colab"] = types.ModuleType("google.colab")
os.environ["HOME"] = os.environ["USERPROFILE"] = {str(tmp_path)!r}
calls = []
def run(command, check):
    calls.append(command)
    if command[0] == "git":
        os.makedirs(command[-1] + "/book")
subprocess.run = run
{code}
{code}
assert len(calls) == 2, calls
assert calls[0][:2] == ["git", "clone"] and {url!r} in calls[0] and "v{version}" in calls[0]
assert calls[1][1:4] == ["-m", "pip", "install"] and calls[1][-1].endswith("[widgets]")
assert os.getcwd().endswith("kpbook-v{version}/book"), os.getcwd()
"""
    subprocess.run([sys.executable, "-c", pretend], cwd=tmp_path, check=True)


# -- versions of dependencies ------------------------------------------------------------------


def floors() -> dict[str, Requirement]:
    """What CI installs: the package, and all extras."""
    extras = PROJECT["optional-dependencies"].values()
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    return {r.name: r for r in map(Requirement, lines)}


def pins() -> dict[str, Requirement]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {r.name: r for r in (Requirement(x) for x in lines if x and not x.startswith("#"))}


@pytest.mark.parametrize("name", sorted(floors()))
def test_requirements_pin_each_dependency_above_its_floor(name: str) -> None:
    floor, pin = floors()[name], pins()[name]
    (exact,) = pin.specifier
    assert exact.operator == "=="
    assert exact.version in floor.specifier
    assert str(floor.marker) == str(pin.marker)
    assert not Version(exact.version).local, "a local version exists on one machine only"


def test_only_jupyter_book_has_an_upper_bound() -> None:
    extras = PROJECT["optional-dependencies"].values()
    lines = [*PROJECT["dependencies"], *(r for extra in extras for r in extra)]
    for requirement in map(Requirement, lines):
        operators = {s.operator for s in requirement.specifier}
        allowed = {">=", "<"} if requirement.name == "jupyter-book" else {">="}
        assert operators <= allowed, requirement


def test_conda_environment_has_the_same_floors() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    lines = [x for x in conda if isinstance(x, str)] + conda[-1]["pip"]
    other = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
    extras = PROJECT["optional-dependencies"]
    known = floors() | {"python": Requirement(f"python{PROJECT['requires-python']}")}
    seen = set()
    for line in lines:
        if line in {"pip", "-e ."}:
            continue
        requirement = Requirement(line)
        name = other.get(requirement.name, requirement.name)
        assert requirement.specifier == known[name].specifier, line
        seen.add(name)
    lines = [r for extra in ("world", "atari", "control", "widgets") for r in extras[extra]]
    needed = map(Requirement, [*PROJECT["dependencies"], *lines])
    assert {r.name for r in needed} <= seen


def test_npm_lock_names_no_host() -> None:
    lock = json.loads((ROOT / "book" / "package-lock.json").read_text(encoding="utf-8"))
    for name, package in lock["packages"].items():
        assert "resolved" not in package, name
        assert name == "" or package["integrity"], name


# -- layout, words, sizes ----------------------------------------------------------------------

PROMISED = {
    "README.md", "_config.yml", "_toc.yml", "environment.yml", "requirements.txt",
    "pyproject.toml", "Makefile", "book", "kpbook", "tests",
}  # fmt: skip
ALSO = {
    "LICENSE", "LICENSE-text.md", "CITATION.cff", "CONTRIBUTING.md", "CHANGELOG.md",
    ".ci", ".github", ".gitignore",
}  # fmt: skip


def test_top_level_is_as_promised() -> None:
    names = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert names >= PROMISED
    assert names <= PROMISED | ALSO


def test_no_tracked_file_is_large() -> None:
    large = [p.name for p in tracked() if p.stat().st_size > 3_000_000]
    assert large == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "LICENSE-text.md"])
def test_links_to_files_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [t for t in targets if not (ROOT / t).exists()] == []


# Spelled in pieces, so that this file does not hold what it looks for.
FORBIDDEN = [
    "/" + "work/", "/" + "tmp/", "/" + "root/", "/" + r"home/\w", "/" + "opt/", r"\." + "library",
    "py" + r"pi\.org", "python" + "hosted", "registry" + r"\.npm", "download" + r"\.pytorch",
    "conda" + r"\.anaconda", "un" + "pkg", "js" + "delivr", r"[A-Z]:\\" + "Users",
]  # fmt: skip


def test_no_file_names_a_machine_or_a_registry() -> None:
    pattern = re.compile("|".join(FORBIDDEN), re.IGNORECASE)
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # pictures and recorded samples
        found += [f"{path.relative_to(ROOT)}: {m.group()}" for m in pattern.finditer(text)]
    assert found == []


def test_decisions_are_short() -> None:
    text = (ROOT / "book" / "decisions.md").read_text(encoding="utf-8")
    for record in text.split("\n## ")[1:]:
        title, *lines = record.strip().splitlines()
        assert len([x for x in lines if x.strip()]) <= 12, title
        for part in ("**Context.**", "**Choice.**", "**Price.**", "**Undo.**"):
            assert part in record, f"{title}: no {part}"


# -- commands ----------------------------------------------------------------------------------


def test_workflows_only_call_make() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
        runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
        assert runs
        for command in runs:
            assert re.fullmatch(r"make [a-z-]+", command), f"{path.name}: {command}"


def test_make_help_lists_every_command() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.findall(r"(?m)^\.PHONY: (.*)", text)[0].split()) - {"setup"}
    listed = set(re.findall(r"(?m)^([a-z-]+):.*##", text))
    assert listed == phony


def test_ci_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="must not leave this out: no browser"):
        conftest.left_out("no browser")
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        conftest.left_out("no browser")


def test_execution_cache_notices_a_change_in_the_package(tmp_path: Path) -> None:
    house = importlib.import_module("house")
    (tmp_path / "kpbook").mkdir()
    (tmp_path / "book" / "results").mkdir(parents=True)
    digests = [house.digest_of_inputs(tmp_path)]
    for name in ("kpbook/grid.py", "kpbook/core.mjs", "book/results/bench.json"):
        (tmp_path / name).write_text("1")
        digests.append(house.digest_of_inputs(tmp_path))
        (tmp_path / name).write_text("2")
        digests.append(house.digest_of_inputs(tmp_path))
    assert len(set(digests)) == len(digests)
    assert digests[-1] == house.digest_of_inputs(tmp_path)


@pytest.mark.slow
def test_wheel_holds_the_data_and_the_live_figures(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = [
        p.relative_to(ROOT).as_posix() for p in tracked() if p.is_relative_to(ROOT / "kpbook")
    ]
    assert set(package) <= names
    assert not any(name.startswith(("book/", "tests/")) for name in names)
