"""Sphinx extension of this book: no third-party host, and a cache that knows what it depends on.

- Execution cache. jupyter-cache compares code cells only, so a change in ``kpbook`` would go
  unnoticed. The cache's folder therefore carries a digest of everything else a chapter reads:
  the package, its data, the stored results, the tier and the versions of Python and torch.
  What it does not hold is executed on all cores at once.
- Markup. What Sphinx and myst-nb write is repaired on its way to the page: roles and names that
  screen readers stumble over, numbered formulas, and the front door, a bare redirect.
- Third-party bundles. MathJax and onnxruntime-web are copied from ``book/node_modules`` into the
  built site, so pages load them from their own host.
- Icons. The theme brings them as fonts and once more as a large script, which goes.
- Networks. The shipped weights are written as ONNX files for the live figures.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import re
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

import address  # beside this file

ROOT = Path(__file__).resolve().parent.parent.parent
NODE_MODULES = ROOT / "book" / "node_modules"

# What to copy from npm: package, path inside it, path under the site's _static.
BUNDLES = [
    ("mathjax", "es5/tex-chtml.js", "mathjax/tex-chtml.js"),
    ("mathjax", "es5/input/tex/extensions", "mathjax/input/tex/extensions"),
    ("mathjax", "es5/output/chtml/fonts/woff-v2", "mathjax/output/chtml/fonts/woff-v2"),
    ("onnxruntime-web", "dist/ort.wasm.bundle.min.mjs", "onnxruntime/ort.wasm.bundle.min.mjs"),
    (
        "onnxruntime-web",
        "dist/ort-wasm-simd-threaded.wasm",
        "onnxruntime/ort-wasm-simd-threaded.wasm",
    ),
]

PARITY_EVERY = 500  # of a sample's pictures, each so many-th is shown to torch and onnxruntime

ICON_SCRIPT = re.compile(r"<script[^>]*scripts/fontawesome\.js[^>]*></script>\s*")
# A folded cell's switch, and the title that is its first line.
FOLD = re.compile(
    r'(<details class="admonition hide above-input">\s*<summary>\s*<p[^>]*>)Show code cell source'
    r"(</p>\s*<p[^>]*>)Hide code cell source(</p>\s*</summary>(?:(?!</details>).)*?<pre>"
    r"<span></span>)"
    r'<span class="c1"># @title ([^<]*)</span>\n',
    re.DOTALL,
)
SPLIT = re.compile(r"\\begin\{split\}(.*?)\\end\{split\}", re.DOTALL)

FRONT_DOOR = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url={target}">
<link rel="icon" href="_static/favicon.svg">
<title>{title}</title>
</head>
<body><main><h1>{title}</h1><p><a href="{target}">Read the book</a></p></main></body>
</html>
"""


def digest_of_inputs(root: Path = ROOT) -> str:
    """Digest of all that a chapter's outputs depend on, beside its own code cells."""
    digest = hashlib.sha256()
    versions = [platform.python_version()]
    for package in ("torch", "numpy", "matplotlib"):
        versions.append(metadata.version(package))
    digest.update(repr([os.environ.get("KPBOOK_TIER", "smoke"), *versions]).encode())
    book = root / "book"
    paths = [book / "my_find_cube.py"]  # a reader's own, where it was saved
    for folder in (root / "kpbook", book / "results", book / "exercises"):
        paths += sorted(folder.rglob("*"))
    for path in paths:
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def choose_cache(app: Sphinx, config: Config) -> None:
    """Point myst-nb at the cache of this digest; throw the caches of older ones away."""
    folder = ROOT / "_build" / ".jupyter_cache"
    current = folder / digest_of_inputs()
    for old in folder.iterdir() if folder.is_dir() else []:
        if old != current:
            shutil.rmtree(old)
    config.nb_execution_cache_path = str(current)


def say_pending(app: Sphinx, config: Config) -> None:
    """Give pages ``{{ pending }}``: what they say of links to an address without an owner."""
    said = address.pending(address.source()[0])
    config.myst_substitutions = {**(config.myst_substitutions or {}), "pending": said}


def execute_chapters(app: Sphinx) -> None:
    """Execute the notebooks that the cache does not know, as many at a time as there are cores.

    myst-nb takes what it finds in the cache and executes the rest one by one; it also reports what
    fails here, for it then executes that once more.
    """
    if app.builder.format != "html":
        return
    cache = get_cache(str(app.config.nb_execution_cache_path))
    for page in sorted(app.env.found_docs):
        path = Path(app.env.doc2path(page))
        if path.suffix == ".ipynb":
            cache.add_nb_to_project(str(path))
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the cores are taken
    quiet = logging.getLogger("kpbook.chapters")
    quiet.setLevel(logging.ERROR)  # else every process reports its end
    executor = load_executor("local-parallel", cache, quiet)
    executor.run_and_cache(timeout=app.config.nb_execution_timeout)


def copy_bundles(app: Sphinx, exception: Exception | None) -> None:
    """Copy the third-party bundles into the site."""
    if exception is not None or app.builder.format != "html":
        return
    for package, source, target in BUNDLES:
        here = NODE_MODULES / package / source
        there = Path(app.outdir) / "_static" / target
        if not here.exists():
            raise ExtensionError(
                f"{package}: {source} is not under book/node_modules; `make book` installs it"
            )
        there.parent.mkdir(parents=True, exist_ok=True)
        if here.is_dir():
            shutil.copytree(here, there, dirs_exist_ok=True)
        else:
            shutil.copy2(here, there)


def drop_icon_script(app: Sphinx, exception: Exception | None) -> None:
    """Take out the script that draws icons anew as SVG: the style sheet has them as fonts."""
    if exception is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if ICON_SCRIPT.search(text):
            page.write_text(ICON_SCRIPT.sub("", text), encoding="utf-8")
    for file in (Path(app.outdir) / "_static" / "scripts").glob("fontawesome.js*"):
        file.unlink()


def write_networks(app: Sphinx, exception: Exception | None) -> None:
    """Write the shipped networks as ONNX files into the site; live figures run them.

    Beside them stands how far onnxruntime is from torch on recorded pictures.
    """
    if exception is not None or app.builder.format != "html":
        return
    import torch
    from kpbook import export, zoo
    from kpbook.episodes import Episodes
    from kpbook.images import to_float
    from kpbook.recordings import atari
    from kpbook.widgets import transport

    made = ROOT / "_build" / ".onnx" / digest_of_inputs()
    live = Path(app.outdir) / "_static" / "live"
    live.mkdir(parents=True, exist_ok=True)
    seen = (to_float(Episodes.sample().flat().images[::PARITY_EVERY]),)
    written = {name: (zoo.load(name), seen) for name in zoo.names()}
    games = atari.sample()
    stages = transport.stages_of(zoo.load(transport.NETWORK), games)
    pair = to_float(games.flat().images[::PARITY_EVERY])
    every = torch.ones(len(pair), stages.network.keypoints)
    written[f"{transport.NETWORK}-stages"] = stages.eval(), (pair, pair.flip(0), every)
    parity = {}
    for name, (network, inputs) in written.items():
        file = made / f"{name}.onnx"
        if not file.is_file():
            export.to_onnx(network, file)
        off = export.difference(network, file, *inputs)
        keypoints = max(value for part, value in off.items() if part.endswith("keypoints"))
        parity[name] = {"keypoints": keypoints, "images": len(inputs[0])}
        shutil.copy2(file, live / file.name)
    module = f"export default {json.dumps(parity)};\n"
    (live / "parity.mjs").write_text(module, encoding="utf-8")


def repair_markup(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    r"""Repair a page's HTML.

    - A bibliography's entries get a role that a list may hold (``doc-biblioentry`` is deprecated).
    - The table of run times says "passed" in a word, which every font has and readers speak.
    - A folded cell's switch is named by the words on it, which are the cell's title.
    - Sphinx puts every formula that holds a line break, also one inside a vector, into ``split``,
      where MathJax refuses the number that ``\tag`` gives; such a formula is taken out again.
    - Buttons that lead to an address without an owner say so.
    - Colab opens only ``.ipynb``: an executed page in Markdown gets no launch buttons.
    """
    if "body" in context:
        body = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')
        body = body.replace(' aria-label="Toggle hidden content"', "")
        body = FOLD.sub(r"\1Code: \4\2Code: \4\3", body)
        body = body.replace("<p>\N{WHITE HEAVY CHECK MARK}</p>", "<p>passed</p>")
        context["body"] = SPLIT.sub(lambda m: m[1] if r"\tag{" in m[1] else m[0], body)
    address.say_pending(context.get("header_buttons", []))
    if not str(app.env.doc2path(pagename)).endswith(".ipynb"):
        context["header_buttons"] = [
            button
            for button in context.get("header_buttons", [])
            if button.get("label") != "launch-buttons"
        ]


def write_front_door(app: Sphinx, exception: Exception | None) -> None:
    """Write ``index.html``: a page that leads to the book, also for those who block redirects."""
    if exception is None and app.builder.format == "html":
        target = f"{app.config.root_doc}.html"
        (Path(app.outdir) / "index.html").write_text(
            FRONT_DOOR.format(title=app.config.html_title, target=target), encoding="utf-8"
        )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx; myst-nb reads its configuration at builder-inited, after ours."""
    app.connect("config-inited", choose_cache, priority=1)
    app.connect("env-before-read-docs", lambda app, env, names: execute_chapters(app))
    app.connect("config-inited", say_pending, priority=1)
    app.connect("html-page-context", repair_markup, priority=900)  # after the theme's
    app.connect("build-finished", copy_bundles)
    app.connect("build-finished", drop_icon_script)
    app.connect("build-finished", write_networks)
    app.connect("build-finished", write_front_door, priority=900)  # after sphinx-external-toc's
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
